"""Greeting those that were known before this start, so that nobody waits for their next HELLO.

A root that comes back, at the same place or at another one, is heard by nodes when they speak next,
and says nothing itself to one that it has not heard. Greeted where it was, a node that can be
reached there answers at once: it is seen, what it holds is known, and packets for it have a way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from orrery.errors import DecodeError, UsageError
from orrery.store import NodeRecord
from orrery.vl1.root_peer import KnownNode
from orrery.wire.address import Address
from orrery.wire.cached_peer import CachedPeer
from orrery.wire.endpoint import Endpoint
from orrery.worlds.handover import HandoverTable

TURN = 20
"""Nodes that are greeted at once."""
TURN_S = 0.1
"""From one turn to the next: 200 nodes a second, each some kilobytes of memory and 150 bytes."""
SEEN_MS = 86_400_000
"""A node that was seen in this time before the start is greeted."""


class Greeting(NamedTuple):
    """A node, and where to greet it."""

    node: KnownNode
    endpoints: tuple[Endpoint, ...]


def greetings_of(
    known: Iterable[tuple[NodeRecord, KnownNode]],
    table: HandoverTable,
    root: Address,
    now_ms: int,
) -> list[Greeting]:
    """Whom of the nodes of an earlier run to greet, in the order that they are given in.

    A node that does not hold us as one of its roots is left alone: whether it reaches us by itself
    is what a rollout wants to know of it, and it would be seen to.

    Args:
        known: nodes, as they are stored and as the root knows them.
        table: tells what is in the revisions that they hold.
        root: our address.
        now_ms: the wall clock.
    """
    found = []
    for record, node in known:
        if now_ms - record.last_seen_ms >= SEEN_MS:
            continue
        worlds = (table.revision_at(*held) for held in node.held)
        roots = (each.identity.address for world in worlds if world for each in world.roots)
        if root in roots:
            try:
                found.append(Greeting(node, (Endpoint.from_text(record.path),)))
            except (DecodeError, UsageError):
                continue  # nowhere that one could be greeted at
    return found


async def greet(
    before: Iterable[Greeting],
    acquaintances: Callable[[], Iterator[CachedPeer]] | None,
    say: Callable[[Iterable[Greeting]], int],
) -> int:
    """Greet everybody once, a few at a time.

    Args:
        before: nodes that were seen by this root.
        acquaintances: those of the one whose place it has taken, which may take their time.
        say: greets some, and returns how many of them had not come by themselves.

    Returns:
        How many were greeted.
    """
    greeted = 0
    told = iter(before)
    while some := list(islice(told, TURN)):
        greeted += say(some)
        await asyncio.sleep(TURN_S)
    if acquaintances is None:
        return greeted
    hearsay = acquaintances()
    while peers := await asyncio.to_thread(lambda: list(islice(hearsay, TURN))):
        greeted += say([_met(peer) for peer in peers])
        await asyncio.sleep(TURN_S)
    return greeted


def _met(peer: CachedPeer) -> Greeting:
    return Greeting(KnownNode(peer.identity, peer.protocol, peer.version), peer.endpoints)
