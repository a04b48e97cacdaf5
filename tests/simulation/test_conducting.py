"""The conductor on its store, with real roots and leaves, in the fake network and virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orrery.home import Home
from orrery.home.rolling import begin, roll_back
from orrery.lab.network import FakeNetwork, Host, Link
from orrery.lab.seeded import seeded_entropy
from orrery.rollout.cohorts import EVERYBODY, Named, Share
from orrery.rollout.conditions import Adopted, Answering, Heard
from orrery.rollout.places import places_of
from orrery.rollout.state import RolloutState
from orrery.server.conducting import ASK_NODES_MS
from orrery.server.recorder import Recorder
from orrery.server.service import _known_node
from orrery.vl1.events import WorldTaken
from orrery.vl1.leaf import LeafNode
from orrery.vl1.root import RootNode
from orrery.vl1.root_peer import KnownNode
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES
from orrery.wire.world import Root, World
from orrery.worlds.handover import HandoverTable
from tests.crash.rolling import Process, SetClock, rollout_of
from tests.simulation.scene import endpoint_of, leaf_of
from tests.unit.home.making import entropy, make_home
from tests.unit.rollout.ordering import order_of, plan_of, step_of
from tests.unit.store.making import identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orrery.rollout.order import Order
    from orrery.store import Rollout
    from orrery.vl1.path import Path as WirePath
    from orrery.wire.identity import Identity

FIRST = Endpoint.from_text("20.0.0.1/9993")
SECOND = Endpoint.from_text("20.0.1.1/9993")
TURN_MS = 250
SETTLE_MS = 5_000
DAY_MS = 86_400_000
STILL = frozenset(state for state in RolloutState if state.is_over) | {RolloutState.PAUSED}


class Server:
    """A root in the network, with what a server does for it: records, serves, conducts."""

    def __init__(self, village: Village, root: Identity, endpoint: Endpoint) -> None:
        self._village, self._root, self._endpoint = village, root, endpoint
        self.network = village.network
        self._open()
        self.host = self.network.add(self.node, endpoint)

    def _open(self) -> None:
        village, root = self._village, self._root
        self.process = Process(village.path, village.clock, root.address, (self._endpoint,))
        self.store = self.process.home.store
        self.recorder = Recorder(self.store, village.clock, root.address, self._locate)
        self.version, table = self._table()
        self.node = RootNode(root, village.entropy, table, self.network.now_ms)

    def restart(self) -> None:
        """Die, and be started again with what is stored."""
        self.process.end()
        self._open()
        for record in self.store.nodes():
            self.node.learn(_known_node(record))
        self.network.replace(self.host, self.node)

    def _locate(self, path: WirePath) -> Endpoint:
        return self.host.endpoints[path.socket]

    def _table(self) -> tuple[int, HandoverTable]:
        serving = self.store.serving()
        stages = {world_id: served.stage for world_id, served in serving.served.items()}
        return serving.version, HandoverTable(serving.chains, OK_HELLO_WORLDS_BYTES, stages)

    def turn(self, *, asks: bool) -> None:
        self.recorder.take(self.host.events)
        self.host.events.clear()
        asyncio.run(self.recorder.flush())
        while self.process.turn():
            pass
        if asks:
            self.node.ask(self.process.conducting._nodes_to_ask(), self.network.now_ms)
        if self.store.data_version() != self.version:
            self.version, table = self._table()
            self.node.publish(table, self.network.now_ms)
        self.network.act(self.host)


class Village:
    """Two roots with one home, and leaves that live by the first."""

    def __init__(self, path: Path, leaves: int, link: Link) -> None:
        self.path = path
        self.clock = SetClock()
        self.entropy = seeded_entropy(7)
        self.network = FakeNetwork(7, now_ms=self.clock.now_ms())
        make_home(path, (FIRST,), entropy=entropy("village")).close()
        self.servers = [
            Server(self, identity(number), endpoint)
            for number, endpoint in enumerate((FIRST, SECOND))
        ]
        self.home = self.servers[0].process.home
        (self.planet,) = self.home.served_worlds()
        self.leaves: list[Host] = []
        self.network.watcher = self._note
        for number in range(leaves):
            node = LeafNode.holding(
                identity(2 + number), self.entropy, self.planet, (), self.network.now_ms
            )
            for server in self.servers:
                server.node.learn(KnownNode(identity(2 + number).public()))
            self.leaves.append(self.network.add(node, endpoint_of(number), link=link))

    def close(self) -> None:
        for server in self.servers:
            server.process.end()

    def _note(self, host: Host, event: object) -> None:
        """No leaf takes what its cohort is not given."""
        if not isinstance(event, WorldTaken):
            return
        served = rollout_of(self.home).served
        if served is not None and not served.opened.includes(self.planet.id, host.node.address):  # type: ignore[arg-type]
            assert event.world.timestamp_ms <= served.held_back_ms, "taken before its turn"

    def run_for(self, duration_ms: int) -> None:
        for _ in range(duration_ms // TURN_MS):
            self.turn()

    def turn(self) -> None:
        self.network.run_for(TURN_MS)
        self.clock.steady_ms = self.network.now_ms
        asks = self.network.now_ms % ASK_NODES_MS < TURN_MS
        for server in self.servers:
            server.turn(asks=asks)

    def until(self, *states: RolloutState, limit_ms: int = 600_000) -> Rollout:
        wanted = frozenset(states) or STILL
        end_ms = self.network.now_ms + limit_ms
        while rollout_of(self.home).state not in wanted:
            self.turn()
            assert self.network.now_ms < end_ms, rollout_of(self.home).reason
        return rollout_of(self.home)

    def order(self) -> Order:
        """From the first root to the second one, over both."""
        first, second = self.roots
        key = self.planet.updates_must_be_signed_by
        new = tuple(places_of([second]))
        steps = (
            step_of(
                1,
                (first, second),
                key,
                before=(Answering(new),),
                done=(Adopted(1), Heard(new)),
            ),
            step_of(2, (second,), key),
        )
        cohorts = (Named(frozenset({identity(2).address})), Share(500_000), EVERYBODY)
        return order_of(plan_of(self.planet, *steps), cohorts, settle_ms=SETTLE_MS)

    @property
    def roots(self) -> tuple[Root, Root]:
        return (
            Root(identity(0).public(), (FIRST,)),
            Root(identity(1).public(), (SECOND,)),
        )

    def begin(self, order: Order) -> None:
        with Home.open(self.path, writer=True, clock=self.clock.now_ms) as home:
            begin(home, "home", order, self.clock.now_ms())

    @property
    def chain(self) -> list[World]:
        return list(self.home.store.chain(self.planet.id))

    def holds(self) -> list[int]:
        planets = [leaf_of(host).planet for host in self.leaves]
        return [planet.timestamp_ms for planet in planets if planet is not None]


@pytest.fixture
def village(tmp_path: Path) -> Iterator[Village]:
    made = Village(tmp_path / "home", 14, Link())
    made.run_for(15_000)
    yield made
    made.close()


def test_a_healthy_fleet_passes_a_step_in_seconds(village: Village) -> None:
    began_ms = village.network.now_ms
    village.begin(village.order())
    assert village.until().state is RolloutState.DONE
    assert set(village.holds()) == {village.chain[-1].timestamp_ms}
    # Two steps of three cohorts, each watched for five seconds.
    assert village.network.now_ms - began_ms < 6 * (SETTLE_MS + 8_000)


def test_packets_that_are_lost_and_nodes_that_sleep_are_waited_for(tmp_path: Path) -> None:
    village = Village(tmp_path / "home", 14, Link(loss_out=0.15, loss_in=0.15))
    village.run_for(30_000)
    for host in village.leaves[3:6]:
        village.network.put_to_sleep(host)
    village.begin(village.order())
    reason = f"step 1 is done when this is so: {Adopted(1)}"
    while rollout_of(village.home).reason != reason:
        village.turn()
        assert rollout_of(village.home).state not in STILL
    union = village.chain[-1].timestamp_ms
    assert sorted(set(village.holds())) == [village.planet.timestamp_ms, union]
    village.run_for(120_000)
    assert rollout_of(village.home).state is RolloutState.WAITING
    for host in village.leaves[3:6]:
        village.network.wake(host)
    done = village.until()
    assert (done.state, done.reason) == (RolloutState.DONE, "every step is done")
    assert set(village.holds()) == {village.chain[-1].timestamp_ms}
    village.close()


def test_a_root_that_dies_in_the_middle_and_its_conductor_with_it(village: Village) -> None:
    village.begin(village.order())
    village.until(RolloutState.SETTLING)
    first, second = village.servers
    if first.process.conducting._lease is None:
        first, second = second, first
    village.network.put_to_sleep(first.host)
    village.servers = [second]
    village.home = second.process.home
    village.run_for(30_000)
    assert second.process.conducting._lease is not None
    village.network.wake(first.host)
    village.servers = [first, second]
    assert village.until().state is RolloutState.DONE
    assert first.process.conducting._lease is None
    assert set(village.holds()) == {village.chain[-1].timestamp_ms}


def test_all_roots_are_restarted_in_the_middle(village: Village) -> None:
    """Nodes say HELLO every 225 s: until then nobody who is well may be missed."""
    village.begin(village.order())
    while rollout_of(village.home).step < 1 or rollout_of(village.home).cohort < 0:
        village.turn()
    for server in village.servers:
        server.restart()
    village.home = village.servers[0].process.home
    done = village.until()
    assert (done.state, done.reason) == (RolloutState.DONE, "every step is done")
    assert set(village.holds()) == {village.chain[-1].timestamp_ms}


def test_a_new_root_that_nodes_do_not_reach_stops_it(village: Village) -> None:
    """It listens, and says so; a firewall keeps the nodes from it."""
    village.network.put_to_sleep(village.servers[1].host)
    village.begin(village.order())
    paused = village.until()
    assert paused.state is RolloutState.PAUSED
    assert "no node that took revision" in paused.reason
    assert f"{identity(1).address:010x} at 20.0.1.1/9993" in paused.reason
    assert paused.cohort == 0
    roll_back(village.home, "home", village.clock.now_ms())
    assert village.until().state is RolloutState.ROLLED_BACK
    village.run_for(10_000)
    first, _, back = village.chain
    assert back.roots == first.roots
    assert set(village.holds()) == {back.timestamp_ms}


def test_a_bad_canary_stops_it_and_comes_back_when_it_can(village: Village) -> None:
    """The root that is to be the only one dies when the first node lives by it alone."""
    village.begin(village.order())
    while rollout_of(village.home).step < 1 or rollout_of(village.home).cohort < 0:
        village.turn()
    village.network.put_to_sleep(village.servers[1].host)
    paused = village.until()
    assert paused.state is RolloutState.PAUSED
    assert "not heard from again at any endpoint of it" in paused.reason
    assert f"{identity(2).address:010x}" in paused.reason
    _, union, contracted = village.chain
    assert village.holds().count(contracted.timestamp_ms) == 1
    assert village.holds().count(union.timestamp_ms) == 13
    roll_back(village.home, "home", village.clock.now_ms())
    assert village.until().state is RolloutState.ROLLED_BACK
    village.run_for(10_000)
    back = village.chain[-1]
    assert back.roots == union.roots
    assert village.holds().count(back.timestamp_ms) >= 13
    village.network.wake(village.servers[1].host)
    village.run_for(30_000)
    assert set(village.holds()) == {back.timestamp_ms}
