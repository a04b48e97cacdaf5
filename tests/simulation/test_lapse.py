"""Time-lapse leaves out what changes nothing: held against the same network with every packet."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import pytest

from orrery.lab.chains import ChainMaker, root_of, table_of
from orrery.lab.identities import make_unproven_identity
from orrery.lab.lapse import LapsedLeaf, LapsedNetwork, LapsedRoot
from orrery.lab.network import START_MS, Host, Link, Nat, NatKind
from orrery.lab.seeded import seeded_entropy
from orrery.vl1.events import AdoptionLearned, Event, UpstreamAnswered, WorldTaken
from orrery.vl1.leaf import LeafNode
from orrery.vl1.root_peer import KnownNode
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import WorldType
from orrery.worlds.handover import HandoverTable
from orrery.worlds.stage import Membership, Stage
from tests.simulation.scene import PLANET_ID, endpoint_of

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
ONE, TWO, THREE = (make_unproven_identity(f"root {n}") for n in range(3))
ONE_HERE, ONE_THERE = map(Endpoint.from_text, ("20.0.0.1/9993", "20.0.0.2/9993"))
TWO_HERE, TWO_ON_IPV6 = map(Endpoint.from_text, ("20.0.1.1/9993", "[2001:db8::1]:9993"))
THREE_HERE = Endpoint.from_text("20.0.2.1/9993")
ROOT_LATENCY_MS = {ONE: 10, TWO: 20, THREE: 30}


class Told(NamedTuple):
    """What a node reported."""

    at_ms: int
    by: Address
    what: str
    about: Address
    timestamp_ms: int


class Play:
    """A small fleet and its roots, with fixed latencies."""

    def __init__(self, *, lapse: bool, leaves: int = 12) -> None:
        self.network = LapsedNetwork(1, lapse=lapse)
        self.network.watcher = self._watch
        self.entropy = seeded_entropy(1)
        self.told: list[Told] = []
        self.stages: dict[int, Stage] = {}
        self.maker = ChainMaker(
            WorldType.PLANET,
            PLANET_ID,
            [root_of(ONE, ONE_HERE), root_of(TWO, TWO_HERE)],
            self.entropy,
            START_MS - 1_000_000,
        )
        identities = [make_unproven_identity(number) for number in range(leaves)]
        self.known = [KnownNode(identity.public()) for identity in identities]
        self.roots: dict[Identity, Host] = {}
        self.start(ONE, ONE_HERE)
        self.start(TWO, TWO_HERE)
        self.leaves = [self._add(number, identity) for number, identity in enumerate(identities)]

    def _add(self, number: int, identity: Identity) -> Host:
        nat, places = None, [endpoint_of(number)]
        if number % 3 == 0:
            kind = NatKind.PORT_RESTRICTED if number % 2 else NatKind.FULL_CONE
            nat = Nat(bytes((50, 0, number, 1)), kind)
            places = [Endpoint(bytes((10, 0, number, 1)), 9993)]
        elif number % 3 == 1:
            places.append(Endpoint.from_text(f"[2001:db8::{number + 100:x}]:9993"))
        self.network.run_for(1_234)
        leaf = LapsedLeaf.holding(
            identity, self.entropy, self.maker.newest, (), self.network.now_ms
        )
        latency_ms = 5 + number
        return self.network.add(leaf, *places, nat=nat, link=Link((latency_ms, latency_ms)))

    def _watch(self, host: Host, event: Event) -> None:
        by, now_ms = Address(host.node.address), self.network.now_ms
        match event:
            case WorldTaken():
                told = Told(now_ms, by, "taken", event.source, event.world.timestamp_ms)
            case AdoptionLearned():
                told = Told(now_ms, by, "learned", event.address, event.timestamp_ms)
            case UpstreamAnswered():
                told = Told(now_ms, by, "answered", event.address, 0)
            case _:
                return
        self.told.append(told)

    def _root(self, identity: Identity) -> LapsedRoot:
        root = LapsedRoot(identity, self.entropy, self._table(), self.network.now_ms)
        for node in self.known:
            root.learn(node)
        return root

    def _table(self) -> HandoverTable:
        return table_of(self.maker, stages=self.stages)

    def start(self, identity: Identity, place: Endpoint) -> None:
        latency_ms = ROOT_LATENCY_MS[identity]
        with self.network.disturbing(silences=False):
            self.roots[identity] = self.network.add(
                self._root(identity), place, link=Link((latency_ms, latency_ms))
            )

    def stop(self, identity: Identity) -> None:
        with self.network.disturbing():
            self.network.put_to_sleep(self.roots[identity])

    def restart(self, identity: Identity) -> None:
        with self.network.disturbing():
            self.network.replace(self.roots[identity], self._root(identity))

    def open(self, identity: Identity, place: Endpoint) -> None:
        with self.network.disturbing(silences=False):
            self.network.open_place(self.roots[identity], place)

    def close(self, place: Endpoint) -> None:
        with self.network.disturbing():
            self.network.take_away(place)

    def serve(self, opened: Membership | None = None, held_back_ms: int = 0) -> None:
        """Let all roots that run serve what was signed, to some or to everybody."""
        self.stages = {} if opened is None else {PLANET_ID: Stage(held_back_ms, opened)}
        with self.network.disturbing(silences=False):
            for host in self.roots.values():
                if host.is_up and isinstance(host.node, LapsedRoot):
                    host.node.publish(self._table(), self.network.now_ms)
                    self.network.act(host)

    def sleep(self, *numbers: int) -> None:
        for number in numbers:
            self.network.put_to_sleep(self.leaves[number])

    def wake(self, *numbers: int) -> None:
        for number in numbers:
            if not self.leaves[number].is_up:
                self.network.wake(self.leaves[number])

    def first_times(self, what: str) -> dict[tuple[Address, Address, int], int]:
        """When each first reported what."""
        first: dict[tuple[Address, Address, int], int] = {}
        for told in self.told:
            if told.what == what:
                first.setdefault((told.by, told.about, told.timestamp_ms), told.at_ms)
        return first


def play_everything(play: Play, random: Random) -> None:
    """Endpoints, roots, keys and cohorts change while leaves sleep and roots fail."""
    network, maker = play.network, play.maker
    wait = network.run_for
    wait(random.randint(1, 20 * MINUTE_MS))
    # A second endpoint for one root, a family more for the other.
    play.open(ONE, ONE_THERE)
    play.open(TWO, TWO_ON_IPV6)
    before = maker.newest
    newest = maker.revise(
        [root_of(ONE, ONE_HERE, ONE_THERE), root_of(TWO, TWO_HERE, TWO_ON_IPV6)], rotate=True
    )
    some = random.sample(range(len(play.leaves)), 6)
    play.sleep(*some[:2])
    chosen = frozenset(Address(play.leaves[n].node.address) for n in some[1:4])
    play.serve(Membership(named=chosen), before.timestamp_ms)
    wait(random.randint(1 * SECOND_MS, 60 * 60 * SECOND_MS))
    play.serve()
    wait(random.randint(1 * SECOND_MS, 10 * 60 * SECOND_MS))
    play.wake(*some[:2])
    wait(2 * HOUR_MS)
    # The old endpoint goes away.
    play.close(ONE_HERE)
    wait(random.randint(10 * SECOND_MS, 40 * 60 * SECOND_MS))
    maker.revise([root_of(ONE, ONE_THERE), root_of(TWO, TWO_HERE)])
    play.serve()
    wait(random.randint(1 * SECOND_MS, 3 * 60 * SECOND_MS))
    # A root is added while another is down, and some sleep.
    play.stop(ONE)
    play.start(THREE, THREE_HERE)
    play.sleep(*some[3:])
    wait(random.randint(1 * SECOND_MS, 30 * 60 * SECOND_MS))
    maker.revise(
        [root_of(ONE, ONE_THERE), root_of(TWO, TWO_HERE), root_of(THREE, THREE_HERE)], rotate=True
    )
    play.serve()
    wait(random.randint(1 * SECOND_MS, 40 * 60 * SECOND_MS))
    play.wake(*some[4:])
    play.restart(ONE)
    wait(random.randint(1 * SECOND_MS, 40 * 60 * SECOND_MS))
    maker.revise([root_of(TWO, TWO_HERE), root_of(THREE, THREE_HERE)])
    play.serve()
    wait(random.randint(1 * SECOND_MS, 40 * 60 * SECOND_MS))
    play.stop(ONE)
    play.wake(*some)
    wait(2 * DAY_MS if play.network.lapse else HOUR_MS)
    assert newest.timestamp_ms < maker.newest.timestamp_ms


@pytest.mark.parametrize("seed", range(3))
def test_time_lapse_has_everything_happen_when_it_does_with_every_packet(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which of several endpoints a leaf tries is chance, and the two have different luck.
    monkeypatch.setattr(LeafNode, "_any_of", _first_of)
    whole, lapsed = Play(lapse=False), Play(lapse=True)
    play_everything(whole, Random(seed))
    play_everything(lapsed, Random(seed))
    for what in ("taken", "learned", "answered"):
        assert lapsed.first_times(what) == whole.first_times(what), what
    assert lapsed.network.rounds < whole.network.rounds / 10


def _first_of(leaf: LeafNode, endpoints: tuple[Endpoint, ...], family: int) -> Endpoint | None:
    return next((endpoint for endpoint in endpoints if endpoint.family == family), None)
