"""Asking the roots of a planet, once, which of them answer and whether they hold a newer one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass

from orrery.rollout.places import Place
from orrery.server.clock import Clock
from orrery.server.udp import UdpSockets
from orrery.vl1.asker import Asker
from orrery.vl1.events import PlaceAnswered
from orrery.vl1.path import Path
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import WorldHeld
from orrery.wire.world import World

ASK_S = 0.5
"""How often who has not answered is asked again."""
_ANYWHERE = (Endpoint(bytes(4), 0), Endpoint(bytes(16), 0))


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
    identity = await asyncio.to_thread(Identity.generate, entropy=os.urandom)
    line = _Line(identity, waiting)
    try:
        async with asyncio.timeout(patience_s):
            while not line.is_complete:
                line.ask(held)
                line.answered.clear()
                try:
                    await asyncio.wait_for(line.answered.wait(), ASK_S)
                except TimeoutError:
                    continue
    except TimeoutError:
        pass  # who has not answered by now is not there
    finally:
        line.close()
    return Answers(frozenset(line.found), tuple(line.worlds))


class _Line:
    """An asker on its sockets, and what it was answered."""

    def __init__(self, identity: Identity, wanted: set[Place]) -> None:
        self._clock = Clock()
        self._asker = Asker(identity, os.urandom)
        self._wanted = wanted
        self._sockets = UdpSockets(_ANYWHERE, self._on_datagram, self._flush)
        self._loop = asyncio.get_running_loop()
        for bound in self._sockets.sockets:
            self._loop.add_reader(bound.fileno(), self._sockets.receive, bound)
        self.answered = asyncio.Event()
        self.found: set[Place] = set()
        self.worlds: list[World] = []

    @property
    def is_complete(self) -> bool:
        """Whether all have answered."""
        return self.found >= self._wanted

    def ask(self, held: WorldHeld) -> None:
        """Ask each that has not answered."""
        now_ms = self._clock.now_ms()
        for root, endpoint in self._wanted - self.found:
            self._asker.ask(root, endpoint, now_ms, held)
        self._flush()

    def close(self) -> None:
        """Close the sockets."""
        for bound in self._sockets.sockets:
            self._loop.remove_reader(bound.fileno())
        self._sockets.close()

    def _on_datagram(self, datagram: bytes, path: Path) -> None:
        self._asker.receive(datagram, path, self._clock.now_ms())

    def _flush(self) -> None:
        output = self._asker.drain()
        for datagram, path in output.datagrams:
            self._sockets.send(datagram, path)
        for event in output.events:
            if isinstance(event, PlaceAnswered):
                self.found.add(Place(event.root, event.endpoint))
                self.worlds += [world for world in event.worlds if world not in self.worlds]
                self.answered.set()
