"""Asking the roots of a planet, once, which of them answer and whether they hold a newer one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from orrery.rollout.places import Place
from orrery.server.asking import AskingLine
from orrery.server.clock import Clock
from orrery.vl1.events import PlaceAnswered
from orrery.wire.identity import Identity
from orrery.wire.verbs import WorldHeld
from orrery.wire.world import World

ASK_S = 0.5
"""How often who has not answered is asked again."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What roots said.

    Attributes:
        places: The places that answered.
        worlds: What they sent, because it is newer than what they were told.
    """

    places: frozenset[Place]
    worlds: tuple[World, ...]


async def ask_roots(places: Iterable[Place], held: WorldHeld, patience_s: float) -> Answers:
    """Ask roots at their places, as a stranger would.

    Args:
        places: Whom, and where.
        held: The planet to speak of, and the timestamp to say that we hold.
        patience_s: How long to wait for those that do not answer.
    """
    waiting = set(places)
    if not waiting:
        return Answers(frozenset(), ())
    found: set[Place] = set()
    worlds: list[World] = []
    answered = asyncio.Event()

    def on_answer(answer: PlaceAnswered) -> None:
        found.add(Place(answer.root, answer.endpoint))
        worlds.extend(world for world in answer.worlds if world not in worlds)
        answered.set()

    identity = await asyncio.to_thread(Identity.generate, entropy=os.urandom)
    line = AskingLine(identity, Clock(), on_answer)
    try:
        async with asyncio.timeout(patience_s):
            while missing := waiting - found:
                line.ask((place, held) for place in missing)
                answered.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(answered.wait(), ASK_S)
    except TimeoutError:
        pass  # who has not answered by now is not there
    finally:
        line.close()
    return Answers(frozenset(found), tuple(worlds))
