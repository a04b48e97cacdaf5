"""Which places answer: roots are asked at their endpoints, as a stranger would ask them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping

from orrery.rollout.places import Place
from orrery.server.clock import Clock
from orrery.server.udp import UdpSockets
from orrery.vl1.asker import Asker
from orrery.vl1.events import PlaceAnswered
from orrery.vl1.path import Path
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import WorldHeld

ASK_S = 2.0
"""How often a place is asked."""
ANSWERED_MS = 15_000
"""A place answers if it did in this time; one that was asked for so long and did not, does not."""
_ANYWHERE = (Endpoint(bytes(4), 0), Endpoint(bytes(16), 0))


class PlaceWatch:
    """Asks places as long as it is wanted to; without a wish it has no socket and does nothing.

    Args:
        clock: tells the steady time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._identity: Identity | None = None
        self._line: _Line | None = None
        self._since_ms: dict[Place, int] = {}
        self._asked_ms = 0

    async def watch(self, wanted: Mapping[Place, WorldHeld]) -> None:
        """Ask these places from now on; to be called again and again.

        Args:
            wanted: with each what to say that we hold: a root that holds a newer one tells.
        """
        if not wanted:
            self.close()
            return
        if self._identity is None:
            self._identity = await asyncio.to_thread(
                Identity.generate, entropy=os.urandom, workers=1
            )
        if self._line is None:
            self._line = _Line(self._identity, self._clock)
        now_ms = self._clock.now_ms()
        is_new = not self._since_ms.keys() >= wanted.keys()
        self._since_ms = {place: self._since_ms.get(place, now_ms) for place in wanted}
        if is_new or now_ms - self._asked_ms >= ASK_S * 1_000:
            self._asked_ms = now_ms
            self._line.ask(wanted)

    @property
    def answering(self) -> frozenset[Place]:
        """The places that answer."""
        if self._line is None:
            return frozenset()
        now_ms = self._clock.now_ms()
        answered_ms = self._line.answered_ms
        return frozenset(
            place
            for place in self._since_ms
            if place in answered_ms and now_ms - answered_ms[place] < ANSWERED_MS
        )

    @property
    def unknown(self) -> frozenset[Place]:
        """The places that have not answered, and were not asked for long enough to say so."""
        now_ms = self._clock.now_ms()
        return frozenset(
            place for place, since_ms in self._since_ms.items() if now_ms - since_ms < ANSWERED_MS
        ).difference(self._line.answered_ms if self._line is not None else ())

    def held(self, world_id: int) -> dict[Address, int]:
        """The timestamps of a World that roots sent, by their addresses."""
        found = {} if self._line is None else self._line.held
        return {
            root: timestamp_ms for (id_, root), timestamp_ms in found.items() if id_ == world_id
        }

    def close(self) -> None:
        """Stop asking, and forget."""
        if self._line is not None:
            self._line.close()
        self._line = None
        self._since_ms = {}


class _Line:
    """An asker on its sockets, and what it was answered."""

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self._clock = clock
        self._asker = Asker(identity, os.urandom)
        self._sockets = UdpSockets(_ANYWHERE, self._on_datagram, self._flush)
        self._loop = asyncio.get_running_loop()
        for bound in self._sockets.sockets:
            self._loop.add_reader(bound.fileno(), self._sockets.receive, bound)
        self.answered_ms: dict[Place, int] = {}
        self.held: dict[tuple[int, Address], int] = {}

    def ask(self, wanted: Mapping[Place, WorldHeld]) -> None:
        """Ask each once."""
        now_ms = self._clock.now_ms()
        for (root, endpoint), held in wanted.items():
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
                self.answered_ms[Place(event.root, event.endpoint)] = event.at_ms
                for world in event.worlds:
                    self.held[world.id, event.root.address] = world.timestamp_ms


def own_endpoints(
    listed: Iterable[Endpoint], bound: Iterable[Endpoint], is_ours: Mapping[bytes, bool]
) -> tuple[Endpoint, ...]:
    """At which of the endpoints that Worlds list for a root it receives, as far as it can tell.

    One that it is bound to, or that is an address of this machine where it is bound to all. On a
    machine that has none of the listed addresses of a family, because it is behind a NAT, those
    whose port it is bound to.

    Args:
        listed: what Worlds list.
        bound: where its sockets are bound.
        is_ours: whether an IP address is one of this machine.
    """
    candidates = {
        endpoint
        for endpoint in listed
        for own in bound
        if (own.family, own.port) == (endpoint.family, endpoint.port)
    }
    exact = {
        endpoint
        for endpoint in candidates
        if endpoint in set(bound) or (is_ours[endpoint.ip] and _has_wildcard(bound, endpoint))
    }
    told = {endpoint.family for endpoint in exact}
    return tuple(sorted(exact | {each for each in candidates if each.family not in told}))


def _has_wildcard(bound: Iterable[Endpoint], endpoint: Endpoint) -> bool:
    return Endpoint(bytes(len(endpoint.ip)), endpoint.port) in set(bound)
