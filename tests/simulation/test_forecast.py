"""The forecast's arithmetic, held against the real root and leaves on a virtual network.

Agreement is asked for of the quartiles and the 90th percentile of a fleet of 200 to 300 nodes:
within 15 %, and 150 ms for what 300 nodes differ by chance (WHOIS comes at a random moment of 5 s).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from heapq import heapify, heappop
from itertools import pairwise

import numpy as np
import pytest

from orrery.lab.chains import root_of, table_of
from orrery.lab.churn import Indices, Presence, Sessions, Times
from orrery.lab.forecast import Fleet, Forecast, Server, Step
from orrery.lab.identities import make_unproven_identity
from orrery.lab.load import LEAST_MEAN_MS, Kind
from orrery.lab.network import Host, Link, Traffic
from orrery.lab.reaching import Chances, Reached, Reaching
from orrery.lab.traffic import IP_UDP_BYTES
from orrery.vl1.events import AdoptionLearned, WorldServed
from orrery.vl1.limits import Allowance
from orrery.vl1.push import PushSettings
from orrery.vl1.root import RootNode
from orrery.wire.endpoint import Endpoint
from tests.simulation.scene import Scene, taken_ms

NODES = 300
DELAYS_MS = (10, 60)
RTT_MS = (2.0 * DELAYS_MS[0], 2.0 * DELAYS_MS[1])
SHARES = (0.25, 0.5, 0.75, 0.9)
SLOW = PushSettings(nodes=Allowance(30, 30))
FEW_BYTES = PushSettings(bytes=Allowance(10_000, 10_000))
NO_PUSH = PushSettings(enabled=False)
NEAR = Link((0, 0))


class Real:
    """A fleet that is online, each node somewhere in its rounds of HELLO and WHOIS."""

    def __init__(
        self,
        nodes: int,
        roots: int = 1,
        push: PushSettings = PushSettings(),  # noqa: B008 - immutable
        *,
        loss: float = 0.0,
        spread_ms: int = 5_000,
    ) -> None:
        self.scene = scene = Scene(seed=1, push=push, root_link=NEAR)
        self.network = scene.network
        self.random = random.Random(1)
        self.roots: list[Host] = [scene.root_host]
        others = [(make_unproven_identity(f"root {r}"), _place(r)) for r in range(1, roots)]
        if others:
            scene.maker.revise([*scene.maker.newest.roots, *(root_of(*each) for each in others)])
            scene.root.publish(table_of(scene.maker), self.network.now_ms)
        for identity, place in others:
            root = RootNode(
                identity, scene.entropy, table_of(scene.maker), self.network.now_ms, push=push
            )
            self.roots.append(self.network.add(root, place, link=NEAR))
        # The way to each root takes a time of its own until now, so that the best one differs.
        link = Link(DELAYS_MS) if others else None
        begin_ms = self.network.now_ms
        for start_ms in sorted(self.random.randrange(spread_ms) for _ in range(nodes)):
            self.network.run_for(max(0, begin_ms + start_ms - self.network.now_ms))
            scene.add_leaves(1, link or self._fixed())
        self.network.run_for(20_000)
        for host in scene.leaves:
            host.link = self._fixed()._replace(loss_out=loss, loss_in=loss)

    def _fixed(self) -> Link:
        delay_ms = self.random.randint(*DELAYS_MS)
        return Link((delay_ms, delay_ms))

    def publish(self) -> int:
        """A new revision at every root; returns when."""
        self.scene.maker.revise()
        for host in self.roots:
            host.events.clear()
            self.network.traffic[host.endpoints[0]] = Traffic()
            assert isinstance(host.node, RootNode)
            host.node.publish(table_of(self.scene.maker), self.network.now_ms)
            self.network.act(host)
        return self.network.now_ms

    def adopted_ms(self, since_ms: int) -> Times:
        """How long after a time each leaf took its last World, infinite if it did not."""
        return np.array(
            [
                float(times[-1] - since_ms) if (times := taken_ms(host)) and times[-1] >= since_ms
                else np.inf
                for host in self.scene.leaves
            ]
        )  # fmt: skip

    def confirmed_ms(self, since_ms: int) -> Times:
        """How long after a time the first root learned that each leaf has the newest revision."""
        newest_ms = self.scene.maker.newest.timestamp_ms
        known: dict[int, float] = {}
        for host in self.roots:
            for event in host.events_of(AdoptionLearned):
                if event.timestamp_ms == newest_ms:
                    at_ms = float(event.at_ms - since_ms)
                    known[event.address] = min(known.get(event.address, np.inf), at_ms)
        return np.array([known.get(host.node.address, np.inf) for host in self.scene.leaves])

    @property
    def world_bytes(self) -> int:
        return len(self.scene.maker.newest.encode())


def _place(number: int) -> Endpoint:
    return Endpoint(bytes((20, 0, number, 1)), 9993)


def computed(
    push: PushSettings, *, roots: int = 1, loss: float = 0.0, world_bytes: int = 257
) -> Reached:
    """What the forecast makes of ten such fleets."""
    nodes = 10 * NODES
    chance = np.random.default_rng(1)
    delay_ms = chance.uniform(*DELAYS_MS, (roots, nodes)).astype(np.float32)
    # Ten times the fleet at ten times the pace.
    faster = push._replace(
        nodes=Allowance(*(10 * part for part in push.nodes)),
        bytes=Allowance(*(10 * part for part in push.bytes)),
    )
    # Here each node has one delay, to every root alike.
    delay_ms[:] = delay_ms[0]
    return Reaching(
        pushes_of=(faster,) * roots,
        best=chance.integers(roots, size=nodes).astype(np.uint8),
        delay_ms=delay_ms,
        until_ms=np.full(nodes, np.inf),
        left_ms=np.zeros(0),
        world_bytes=world_bytes,
        chances=Chances(1 - loss, roots),
        random=chance,
    ).run()


def assert_alike(real_ms: Times, computed_ms: Times, shares: Sequence[float] = SHARES) -> None:
    for share in shares:
        expected = float(np.quantile(real_ms, share, method="higher"))
        found = float(np.quantile(computed_ms, share, method="higher"))
        assert found == pytest.approx(expected, rel=0.15, abs=150), f"at {share:.0%}"


@pytest.mark.parametrize(
    ("push", "roots", "loss", "spread_ms", "run_ms"),
    [
        pytest.param(PushSettings(), 1, 0.0, 5_000, 10_000, id="at-once"),
        pytest.param(SLOW, 1, 0.0, 5_000, 10_000, id="slow-queue"),
        pytest.param(FEW_BYTES, 1, 0.0, 5_000, 10_000, id="few-bytes"),
        pytest.param(PushSettings(), 1, 0.2, 5_000, 400_000, id="loss"),
        pytest.param(SLOW, 1, 0.2, 5_000, 400_000, id="slow-queue-and-loss"),
        pytest.param(SLOW, 2, 0.0, 225_000, 10_000, id="two-roots"),
        pytest.param(NO_PUSH, 1, 0.0, 225_000, 230_000, id="no-push"),
        pytest.param(NO_PUSH, 1, 0.2, 225_000, 1_500_000, id="no-push-and-loss"),
    ],
)
def test_nodes_that_are_online_adopt_and_confirm_as_computed(
    push: PushSettings, roots: int, loss: float, spread_ms: int, run_ms: int
) -> None:
    real = Real(NODES, roots, push, loss=loss, spread_ms=spread_ms)
    published_ms = real.publish()
    real.network.run_for(run_ms)
    reached = computed(push, roots=roots, loss=loss, world_bytes=real.world_bytes)
    assert_alike(real.adopted_ms(published_ms), reached.adopted_ms)
    # The last of those that lose much are few, and confirm after minutes, each by chance.
    assert_alike(real.confirmed_ms(published_ms), reached.confirmed_ms, SHARES[: 3 if loss else 4])


def test_as_many_pushes_are_sent_as_computed() -> None:
    for push, roots, loss in ((SLOW, 1, 0.0), (SLOW, 2, 0.0), (SLOW, 1, 0.2), (SLOW, 1, 0.5)):
        real = Real(NODES, roots, push, loss=loss)
        real.publish()
        real.network.run_for(120_000)
        leaves = {host.node.address for host in real.scene.leaves}
        reached = computed(push, roots=roots, loss=loss, world_bytes=real.world_bytes)
        for host, pushes in zip(real.roots, reached.pushes, strict=True):
            served = [
                event
                for event in host.events_of(WorldServed)
                if event.pushed and event.address in leaves
            ]
            assert pushes[:120].sum() / 10 == pytest.approx(len(served), rel=0.07)


# -- load --------------------------------------------------------------------------------------


def test_what_a_root_is_asked_all_the_time_and_by_a_push() -> None:
    real = Real(NODES, spread_ms=225_000)
    place = real.roots[0].endpoints[0]

    def measured(span_s: int) -> Times:
        real.network.run_for(span_s * 1_000)
        traffic = real.network.traffic[place]
        return np.array(
            [
                traffic.packets_to,
                traffic.packets_from,
                traffic.bytes_to + traffic.packets_to * IP_UDP_BYTES,
                traffic.bytes_from + traffic.packets_from * IP_UDP_BYTES,
            ],
            np.float64,
        )

    span_s = 225
    real.network.traffic[place] = Traffic()
    idle = measured(span_s)
    real.publish()
    pushed = measured(span_s) - idle

    fleet = Fleet(NODES, Sessions(offline=0.0), (Server("root"),), RTT_MS)
    load = Forecast((Step("one", real.world_bytes),), cohorts=(1.0,)).run(fleet).loads[0]
    background = np.add(load[Kind.HELLO].mean, load[Kind.WHOIS].mean)
    assert background * span_s == pytest.approx(idle, rel=0.02)
    events = np.add(load[Kind.PUSH].mean, load[Kind.PROBE].mean) * LEAST_MEAN_MS / 1000
    assert events == pytest.approx(pushed, rel=0.02)
    # All of it in one second.
    peak = np.array(load[Kind.ALL].peak)
    assert peak == pytest.approx(background + pushed, rel=0.02)


# -- coming and going --------------------------------------------------------------------------


class Scheduled(Presence):
    """Sessions that are given: the same as in the virtual network."""

    def __init__(self, sessions: list[list[tuple[float, float]]]) -> None:
        count = len(sessions)
        self._sessions = sessions
        super().__init__(np.zeros(count), np.full(count, -np.inf), np.zeros(count))

    def meet(self, nodes: Indices, at_ms: Times | float) -> None:
        times_ms = np.broadcast_to(at_ms, nodes.shape)
        for node, time_ms in zip(nodes.tolist(), times_ms.tolist(), strict=True):
            before = [end for _, end in self._sessions[node] if end <= time_ms]
            start, end = next(s for s in self._sessions[node] if s[1] > time_ms)
            self.seen_ms[node] = time_ms if start <= time_ms else max(before, default=-60_000.0)
            self.start_ms[node], self.end_ms[node] = start, end

    def online_share(self, at_ms: float) -> float:
        return float(
            np.mean([any(a <= at_ms < b for a, b in sessions) for sessions in self._sessions])
        )

    def wakes_per_ms(self, at_ms: float) -> float:
        return 0.0


class Schedule:
    """A `Churn` of one presence."""

    def __init__(self, sessions: list[list[tuple[float, float]]]) -> None:
        self.sessions = sessions

    def fleet(self, nodes: int, horizon_ms: float, random: np.random.Generator) -> Presence:
        return Scheduled(self.sessions)

    def describe(self) -> str:
        return "as in the virtual network"


class Sleepers:
    """Puts the leaves of a fleet to sleep and wakes them, and remembers when."""

    def __init__(self, real: Real, online_ms: float, offline_ms: float, until_ms: float) -> None:
        self._real = real
        self._begin_ms = real.network.now_ms
        chance = random.Random(2)
        self.sessions: list[list[tuple[float, float]]] = []
        self._due: list[tuple[float, int]] = []
        for node in range(len(real.scene.leaves)):
            awake = chance.random() < online_ms / (online_ms + offline_ms)
            at_ms, turns = 0.0, [0.0] if awake else []
            if not awake:
                real.network.put_to_sleep(real.scene.leaves[node])
            while at_ms < until_ms:
                at_ms += chance.expovariate(1 / (online_ms if awake else offline_ms))
                awake = not awake
                turns.append(at_ms)
                self._due.append((at_ms, node))
            while len(turns) < 4 or len(turns) % 2:
                turns.append(turns[-1] + until_ms if turns else until_ms)
            self.sessions.append(list(zip(turns[::2], turns[1::2], strict=True)))
        heapify(self._due)

    def run_until(self, at_ms: float) -> None:
        """Let time pass, since the begin."""
        network = self._real.network
        while self._due and self._due[0][0] <= at_ms:
            due_ms, node = heappop(self._due)
            network.run_for(max(0, round(self._begin_ms + due_ms) - network.now_ms))
            host = self._real.scene.leaves[node]
            if host.is_up:
                network.put_to_sleep(host)
            else:
                network.wake(host)
        network.run_for(max(0, round(self._begin_ms + at_ms) - network.now_ms))


@pytest.mark.parametrize(
    ("push", "loss"),
    [
        pytest.param(PushSettings(), 0.0, id="push"),
        pytest.param(PushSettings(), 0.2, id="push-and-loss"),
        pytest.param(NO_PUSH, 0.0, id="no-push"),
    ],
)
def test_nodes_that_come_and_go_adopt_as_computed(push: PushSettings, loss: float) -> None:
    nodes = 120
    real = Real(nodes, push=push, loss=loss, spread_ms=225_000 if not push.enabled else 5_000)
    sleepers = Sleepers(real, 600_000, 300_000, 6_000_000)
    published_ms = real.publish()
    adopted_ms = np.full(nodes, np.inf)
    while np.isinf(adopted_ms).any():
        sleepers.run_until(real.network.now_ms - published_ms + 60_000)
        adopted_ms = real.adopted_ms(published_ms)

    fleet = Fleet(nodes, Schedule(sleepers.sessions), (Server("root", push),), RTT_MS, loss)
    plan = Forecast((Step("one", real.world_bytes),), cohorts=(1.0,))
    outcomes = [plan.run(fleet, seed) for seed in range(20)]
    for index, share in enumerate((0.5, 0.99, 1.0)):
        expected = float(np.quantile(adopted_ms, share, method="inverted_cdf"))
        found = float(np.median([outcome.adopted_ms[index] for outcome in outcomes]))
        assert found == pytest.approx(expected, rel=0.15, abs=150), f"at {share:.0%}"


def test_a_plan_of_three_steps_takes_as_long_as_computed() -> None:
    """Each next step is published when all have confirmed and the settle time has passed."""
    nodes, span_ms, settle_ms = 80, 6_000_000, 60_000.0
    real = Real(nodes)
    sleepers = Sleepers(real, 300_000, 120_000, span_ms)
    begin_ms = real.network.now_ms
    opened_ms: list[float] = []
    for _ in range(3):
        published_ms = real.publish()
        opened_ms.append(float(published_ms - begin_ms))
        confirmed_ms = np.full(nodes, np.inf)
        while np.isinf(confirmed_ms).any():
            sleepers.run_until(real.network.now_ms - begin_ms + 1_000)
            confirmed_ms = real.confirmed_ms(published_ms)
        # The conductor looks a second later in the forecast, so it does here.
        reached_ms = opened_ms[-1] + float(confirmed_ms.max()) + 1_000
        sleepers.run_until(reached_ms + settle_ms)

    fleet = Fleet(nodes, Schedule(sleepers.sessions), (Server("root"),), RTT_MS)
    steps = tuple(Step(f"step {n}", real.world_bytes) for n in range(3))
    outcome = Forecast(steps, cohorts=(1.0,), settle_ms=settle_ms).run(fleet)
    assert [turn.opened_ms for turn in outcome.turns] == pytest.approx(opened_ms, rel=0.05, abs=500)
    spans = [after - before for before, after in pairwise(opened_ms)]
    assert min(spans) > settle_ms
