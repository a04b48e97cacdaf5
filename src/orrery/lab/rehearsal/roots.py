"""The roots of a rehearsal: which run where, and what they start with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from orrery.lab.lapse import LapsedNetwork, LapsedRoot
from orrery.lab.network import Host, Link
from orrery.lab.rehearsal.cast import Cast
from orrery.lab.rehearsal.outcome import Outage
from orrery.lab.rehearsal.script import Script
from orrery.rollout.landscape import PlaceState
from orrery.rollout.places import Place, places_of
from orrery.vl1.node import Entropy
from orrery.vl1.root import RootLimits
from orrery.vl1.root_peer import KnownNode
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.worlds.chain import Chain
from orrery.worlds.handover import HandoverTable


class Roots:
    """All of them.

    Args:
        script: what is rehearsed.
        network: where they live.
        cast: stands in for them.
        entropy: for their packets.
        table: what a root that starts serves.
        known: the nodes that the store tells it of.
        tell: told what happens.

    Attributes:
        hosts: those that ever ran, by address.
        places: what runs at an endpoint, or did.
        outages: that are over.
    """

    def __init__(
        self,
        script: Script,
        network: LapsedNetwork,
        cast: Cast,
        *,
        entropy: Entropy,
        table: Callable[[], HandoverTable],
        known: Callable[[], Iterable[KnownNode]],
        tell: Callable[[str], None],
    ) -> None:
        self._script = script
        self._network = network
        self._cast = cast
        self._entropy = entropy
        self._table = table
        self._known = known
        self._tell = tell
        self._down: dict[Address, int] = {}
        self.hosts: dict[Address, Host] = {}
        self.places: dict[Endpoint, Place] = {}
        self.outages: list[Outage] = []

    def start(self, chain: Chain, beside: Iterable[Chain]) -> None:
        """Open the places that answer as the plan begins.

        Args:
            chain: what is published, of stand-ins.
            beside: other Worlds.
        """
        landscape = self._script.landscape
        states = {
            place: state
            for real, state in landscape.states.items()
            for place in self._cast.places([real])
        }
        alive = set(places_of(chain.newest.roots))
        for other in beside:
            alive |= places_of(self._cast.roots(landscape.beside.get(other.world_id, ())))
        alive = {place for place in alive if states.get(place) is not PlaceState.GONE}
        alive |= {place for place, state in states.items() if state is PlaceState.ALIVE}
        for place in sorted(alive):
            self.open(place)

    def open(self, place: Place) -> None:
        """Start a root at a place."""
        address = place.identity.address
        other = self._network.host_at(place.endpoint)
        host = self.hosts.get(address)
        if other is not None and other is not host:
            self._tell(f"{place} cannot start: something else runs there")
            return
        with self._network.disturbing(silences=False):
            self.places[place.endpoint] = place
            if host is None:
                self.hosts[address] = self._network.add(
                    self._new_root(address), place.endpoint, link=Link((0, 1))
                )
            else:
                if other is None:
                    self._network.open_place(host, place.endpoint)
                if not host.is_up and address not in self._down:
                    self._network.replace(host, self._new_root(address))
        self._tell(f"{self._script.name_of(address)} starts at {place.endpoint}")

    def close(self, place: Place) -> None:
        """Stop a root at a place."""
        host = self.hosts.get(place.identity.address)
        if host is None or self._network.host_at(place.endpoint) is not host:
            return
        with self._network.disturbing():
            self._network.take_away(place.endpoint)
            if not self._open_places(host):
                self._network.put_to_sleep(host)
        self._tell(f"{self._script.name_of(place.identity.address)} stops at {place.endpoint}")

    def _new_root(self, address: Address) -> LapsedRoot:
        root = LapsedRoot(
            self._cast.identity(address),
            self._entropy,
            self._table(),
            self._network.now_ms,
            limits=RootLimits(peers=max(RootLimits().peers, len(self._script.actors))),
        )
        for node in self._known():
            root.learn(node)
        return root

    def _open_places(self, host: Host) -> list[Endpoint]:
        return [own for own in host.endpoints if self._network.host_at(own) is host]

    def answering(self) -> frozenset[Place]:
        """The places that answer a probe."""
        return frozenset(
            self.places[endpoint]
            for host in self.hosts.values()
            if host.is_up
            for endpoint in self._open_places(host)
        )

    def serving(self) -> list[tuple[LapsedRoot, Host]]:
        """Those that run."""
        return [
            (host.node, host)
            for host in self.hosts.values()
            if host.is_up and isinstance(host.node, LapsedRoot)
        ]

    def serve(self) -> None:
        """Let every root that runs serve what the store says."""
        table = self._table()
        with self._network.disturbing(silences=False):
            for root, host in self.serving():
                root.publish(table, self._network.now_ms)
                self._network.act(host)

    # -- outages -----------------------------------------------------------------------------------

    def fail(self, address: Address) -> None:
        """Let a root go down."""
        self._down[address] = self._network.now_ms
        with self._network.disturbing():
            self._network.put_to_sleep(self.hosts[address])
        self._tell(f"{self._script.name_of(address)} goes down")

    def start_again(self, address: Address, begin_ms: int) -> None:
        """Let a root that went down come up, unless it was stopped for good meanwhile.

        Args:
            address: of the root.
            begin_ms: of the rehearsal.
        """
        self._note_outage(address, begin_ms, self._network.now_ms - begin_ms)
        host = self.hosts[address]
        if self._open_places(host):
            with self._network.disturbing():
                self._network.replace(host, self._new_root(address))
            self._tell(f"{self._script.name_of(address)} comes up again")

    def end_outages(self, begin_ms: int) -> None:
        """Note what is still down in the end."""
        for address in tuple(self._down):
            self._note_outage(address, begin_ms, math.inf)

    def _note_outage(self, address: Address, begin_ms: int, end_ms: float) -> None:
        since_ms = self._down.pop(address) - begin_ms
        self.outages.append(Outage(self._script.name_of(address), since_ms, end_ms))
