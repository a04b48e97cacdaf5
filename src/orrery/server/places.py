"""Which places answer: roots are asked at their endpoints, as a stranger would ask them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping

from orrery.rollout.places import Place
from orrery.server.asking import AskingLine
from orrery.server.clock import Clock
from orrery.vl1.events import PlaceAnswered
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import WorldHeld

ASK_S = 2.0
"""How often a place is asked."""
ANSWERED_MS = 15_000
"""A place answers if it did in this time; one that was asked for so long and did not, does not."""


class PlaceWatch:
    """Asks places as long as it is wanted to; without a wish it has no socket and does nothing.

    Args:
        clock: tells the steady time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._identity: Identity | None = None
        self._line: AskingLine | None = None
        self._answered_ms: dict[Place, int] = {}
        self._held: dict[tuple[int, Address], int] = {}
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
            self._line = AskingLine(self._identity, self._clock, self._on_answer)
        now_ms = self._clock.now_ms()
        is_new = not self._since_ms.keys() >= wanted.keys()
        self._since_ms = {place: self._since_ms.get(place, now_ms) for place in wanted}
        if is_new or now_ms - self._asked_ms >= ASK_S * 1_000:
            self._asked_ms = now_ms
            self._line.ask(wanted.items())

    @property
    def answering(self) -> frozenset[Place]:
        """The places that answer."""
        now_ms = self._clock.now_ms()
        answered_ms = self._answered_ms
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
        ).difference(self._answered_ms)

    def held(self, world_id: int) -> dict[Address, int]:
        """The timestamps of a World that roots sent, by their addresses."""
        return {
            root: timestamp_ms
            for (id_, root), timestamp_ms in self._held.items()
            if id_ == world_id
        }

    def close(self) -> None:
        """Stop asking, and forget."""
        if self._line is not None:
            self._line.close()
        self._line = None
        self._since_ms = {}
        self._answered_ms = {}
        self._held = {}

    def _on_answer(self, answer: PlaceAnswered) -> None:
        self._answered_ms[Place(answer.root, answer.endpoint)] = answer.at_ms
        for world in answer.worlds:
            self._held[world.id, answer.root.address] = world.timestamp_ms


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
