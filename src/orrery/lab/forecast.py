"""What a rollout will take, before it is begun: a fleet of up to a million nodes as arithmetic.

No packet is sent here and no node exists: for each node a few numbers are drawn (its sessions, its
delay, what gets lost), and what `RootNode` and `LeafNode` would do with them is computed for all of
them at once. `docs/forecast.md` states the model and what it leaves out; tests hold it against the
real code on a virtual network.

The nodes are numbered in the order in which cohorts reach them, so that a cohort is a range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from orrery.errors import UsageError
from orrery.lab.churn import Churn, Indices
from orrery.lab.curve import TOLD_SHARES, Curve, Times, first_time, measure
from orrery.lab.load import Kind, Load, Meter
from orrery.lab.reaching import Chances, Reaching, failures
from orrery.lab.turns import HELLO_MS, WHOIS_MS
from orrery.rollout.cohorts import Cohort, Named
from orrery.rollout.conditions import Adopted
from orrery.rollout.plan import Plan
from orrery.vl1.push import PushSettings
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES
from orrery.wire.world import World
from orrery.worlds.stage import PLACES

DAY_MS = 86_400_000.0
CONDUCTOR_MS = 1_000.0
"""Until the conductor knows what a root has learned: the root's batch for the store, and a look."""
CHECK_MS = WHOIS_MS
"""How often a node without an answer looks for its roots again."""

Progress = Callable[[int, int], None]
"""Told how many turns of cohorts are computed, of how many."""


@dataclass(frozen=True, slots=True)
class Step:
    """One revision of a plan.

    Attributes:
        name: what people call it.
        world_bytes: size of its World.
        rotates: whether it names a new key: who missed it is handed it before what comes later.
        required: share of the counted nodes that must have adopted it before the next; None: that
            of the forecast.
        cohorts: as for the forecast; None: those.
        waits_for_all: whether all counted nodes must have adopted it before the next step, as the
            conditions of a plan say, though fewer are required of a cohort.
    """

    name: str
    world_bytes: int
    rotates: bool = False
    required: float | None = None
    cohorts: tuple[float, ...] | None = None
    waits_for_all: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """A root that pushes."""

    name: str
    push: PushSettings = PushSettings()  # noqa: RUF009 - immutable


@dataclass(frozen=True, slots=True)
class Fleet:
    """Who is led, by whom, over what.

    Attributes:
        nodes: how many.
        churn: how they come and go.
        servers: the roots; every node knows all of them.
        rtt_ms: the shortest and the longest round trip; each node has its own to each root.
        loss: share of datagrams that are lost, each way.
    """

    nodes: int
    churn: Churn
    servers: tuple[Server, ...]
    rtt_ms: tuple[float, float] = (20.0, 120.0)
    loss: float = 0.0

    def __post_init__(self) -> None:
        if self.nodes < 1 or not self.servers:
            raise UsageError("a forecast needs one node and one root at least")
        if not 0 <= self.loss <= 0.9:
            raise UsageError("0% to 90% of the packets may be lost")
        if not 0 <= self.rtt_ms[0] <= self.rtt_ms[1] < CHECK_MS:
            raise UsageError("a round trip takes less than 5 s")


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of the turn of one cohort at one step. Times are since the begin.

    Attributes:
        step: number of the step from 0.
        cohort: number of the cohort from 0.
        nodes: how many the cohort adds to those before it.
        opened_ms: when its turn came.
        adopted_ms: when 50, 99 and 100 % of the nodes that it adds had adopted.
        reached_ms: when the conductor knew that the required share had.
    """

    step: int
    cohort: int
    nodes: int
    opened_ms: float
    adopted_ms: tuple[float, ...]
    reached_ms: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One future.

    Attributes:
        turns: of the cohorts, in order.
        adopted_ms: when 50, 99 and 100 % of the counted nodes held the last revision.
        done_ms: when the conductor was done.
        unseen: nodes that ceased to count before they adopted the last revision.
        curves: for each step.
        loads: for each root.
    """

    turns: tuple[Turn, ...]
    adopted_ms: tuple[float, ...]
    done_ms: float
    unseen: int
    curves: tuple[Curve, ...]
    loads: tuple[dict[Kind, Load], ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """A plan, and how it is to be carried out.

    Attributes:
        steps: the revisions, in order.
        cohorts: cumulative shares of the fleet, growing, the last 1.
        settle_ms: how long the conductor watches after the required share of a cohort has adopted,
            before the next turn.
        required: share of the counted nodes that must have adopted.
        horizon_ms: a node counts when it was seen in this time.
        awake_ms: after this time a cohort is not waited for longer than until those of it have
            adopted that were online at its turn; None: until the required share of all has.
    """

    steps: tuple[Step, ...]
    cohorts: tuple[float, ...] = (0.01, 0.1, 1.0)
    settle_ms: float = 600_000.0
    required: float = 1.0
    horizon_ms: float = 30 * DAY_MS
    awake_ms: float | None = None

    def __post_init__(self) -> None:
        if not self.steps:
            raise UsageError("a plan has one step at least")
        for step in self.steps:
            cohorts, required = self._of(step)
            if not cohorts or cohorts[-1] != 1 or any(a >= b for a, b in pairwise((0, *cohorts))):
                raise UsageError("cohorts are growing shares of the fleet, the last of them 100%")
            if not 0 < required <= 1:
                raise UsageError("the required share is more than 0% and at most 100%")
            if not 1 <= step.world_bytes <= OK_HELLO_WORLDS_BYTES:
                raise UsageError(
                    f"a World of {step.world_bytes} bytes is none that a packet can carry: 1 to "
                    f"{OK_HELLO_WORLDS_BYTES} bytes"
                )
        if self.settle_ms < 0 or self.horizon_ms <= 0:
            raise UsageError("settle time and horizon are spans of time")

    def _of(self, step: Step) -> tuple[tuple[float, ...], float]:
        cohorts = self.cohorts if step.cohorts is None else step.cohorts
        return cohorts, self.required if step.required is None else step.required

    def run(self, fleet: Fleet, seed: int = 0, progress: Progress | None = None) -> Outcome:
        """Compute one future.

        Args:
            fleet: who is led.
            seed: of all chance.
            progress: told after each turn of a cohort.
        """
        return _Run(self, fleet, np.random.default_rng(seed)).play(progress)

    @property
    def turns(self) -> int:
        """How many turns of cohorts there are."""
        return sum(len(self._of(step)[0]) for step in self.steps)

    def turns_of(self, step: Step, nodes: int) -> tuple[tuple[tuple[int, int], ...], float]:
        """The range of nodes of each cohort of a step, and the share that must adopt."""
        cohorts, required = self._of(step)
        ends = [0, *(math.ceil(share * nodes - 1e-9) for share in cohorts)]
        return tuple(pairwise(ends)), required


class _Run:
    """One future, being computed."""

    def __init__(self, forecast: Forecast, fleet: Fleet, random: np.random.Generator) -> None:
        self._forecast = forecast
        self._fleet = fleet
        self._random = random
        nodes, roots = fleet.nodes, len(fleet.servers)
        self._chances = Chances(1 - fleet.loss, roots)
        self._presence = fleet.churn.fleet(nodes, forecast.horizon_ms, random)
        # One way to each root; a node asks the nearest one.
        low_ms, high_ms = fleet.rtt_ms
        delay_ms = random.uniform(low_ms / 2, high_ms / 2, (roots, nodes))
        self._delay_ms = delay_ms.astype(np.float32)
        self._best = delay_ms.argmin(axis=0).astype(np.uint8)
        shares = np.bincount(self._best, minlength=roots) / nodes
        self._meter = Meter(self._presence, nodes, shares.tolist(), self._chances.heard)
        # When each node has, or will have, the step that it was led to last; what it held before.
        self._adopted_ms = np.full(nodes, -np.inf)
        self._held = np.full(nodes, -1, np.int16)
        self._by_waking = np.zeros(nodes, np.bool_)
        # Which nodes of the cohort that was opened last were online then.
        self._online = np.zeros(0, np.bool_)
        # What links a node is handed that missed all steps before one, in bytes.
        links = accumulate(step.world_bytes if step.rotates else 0 for step in forecast.steps)
        self._links_bytes = np.array([0, *links], np.float64)

    def play(self, progress: Progress | None) -> Outcome:
        forecast, nodes = self._forecast, self._fleet.nodes
        turns: list[Turn] = []
        curves: list[Curve] = []
        confirmed_ms, lost_ms = np.empty(nodes), np.empty(nodes)
        for number, step in enumerate(forecast.steps):
            ranges, required = forecast.turns_of(step, nodes)
            for cohort, (begin, end) in enumerate(ranges):
                now_ms = turns[-1].reached_ms + forecast.settle_ms if turns else 0.0
                added = slice(begin, end)
                confirmed_ms[added], lost_ms[added] = self._open(number, added, now_ms)
                awaits_all = step.waits_for_all and end == nodes
                share = 1.0 if awaits_all else required
                known_ms = first_time(confirmed_ms[:end], lost_ms[:end], share, now_ms)
                if forecast.awake_ms is not None and not awaits_all:
                    awake_ms = first_time(confirmed_ms[added][self._online], None, share, now_ms)
                    known_ms = min(known_ms, max(awake_ms, now_ms + forecast.awake_ms))
                adopted_ms = _told(self._adopted_ms[added], lost_ms[added], now_ms)
                reached_ms = known_ms + CONDUCTOR_MS
                turns.append(Turn(number, cohort, end - begin, now_ms, adopted_ms, reached_ms))
                if progress is not None:
                    progress(len(turns), forecast.turns)
            curves.append(measure(step.name, self._adopted_ms, lost_ms))
        adopted_ms = _told(self._adopted_ms, lost_ms, 0.0)
        end_ms = max(adopted_ms[-1], turns[-1].reached_ms)
        self._note_woken(slice(0, nodes), len(forecast.steps) - 1, end_ms)
        return Outcome(
            turns=tuple(turns),
            adopted_ms=adopted_ms,
            done_ms=turns[-1].reached_ms,
            unseen=int((lost_ms < self._adopted_ms).sum()),
            curves=tuple(curves),
            loads=self._meter.loads(end_ms, forecast.steps[-1].world_bytes),
        )

    def _open(self, step: int, added: slice, at_ms: float) -> tuple[Times, Times]:
        """Lead these nodes to a step from now on.

        Returns:
            When a root knows that each has adopted, and when each ceases to count if it has not.
        """
        self._note_woken(added, step - 1, at_ms)
        nodes = np.arange(added.start, added.stop)
        presence, horizon_ms = self._presence, self._forecast.horizon_ms
        presence.meet(nodes, at_ms)
        online = self._online = presence.start_ms[nodes] <= at_ms
        adopted_ms, confirmed_ms = np.full((2, len(nodes)), np.inf)
        lost_ms = presence.seen_ms[nodes] + horizon_ms
        lost_ms[online] = presence.end_ms[nodes[online]] + horizon_ms
        left_ms = at_ms - presence.seen_ms[nodes[~online]]
        reached = self._reach(nodes[online], left_ms, step, at_ms)
        adopted_ms[online], confirmed_ms[online] = reached
        # All others have it in a session to come; so do those who were about to confirm.
        self._by_waking[added] = np.isinf(adopted_ms)
        waiting = np.flatnonzero(online & np.isinf(confirmed_ms))
        presence.meet(nodes[waiting], presence.end_ms[nodes[waiting]])
        waiting = np.flatnonzero(np.isinf(confirmed_ms))
        while len(waiting):
            woken = self._wake(nodes[waiting], adopted_ms[waiting], step)
            adopted_ms[waiting], confirmed_ms[waiting] = woken
            waiting = waiting[np.isinf(confirmed_ms[waiting])]
            presence.meet(nodes[waiting], presence.end_ms[nodes[waiting]])
        self._adopted_ms[added] = adopted_ms
        return confirmed_ms, lost_ms

    def _reach(
        self, nodes: Indices, left_ms: Times, step: int, at_ms: float
    ) -> tuple[Times, Times]:
        """Nodes that are online: when each has adopted and when a root knows, in this session."""
        size_bytes = self._forecast.steps[step].world_bytes
        reached = Reaching(
            pushes_of=tuple(server.push for server in self._fleet.servers),
            best=self._best[nodes],
            delay_ms=self._delay_ms[:, nodes],
            until_ms=self._presence.end_ms[nodes] - at_ms,
            left_ms=left_ms,
            world_bytes=size_bytes,
            chances=self._chances,
            random=self._random,
        ).run()
        self._meter.opened(at_ms, reached, size_bytes)
        return reached.adopted_ms + at_ms, reached.confirmed_ms + at_ms

    def _wake(self, nodes: Indices, adopted_ms: Times, step: int) -> tuple[Times, Times]:
        """Nodes that come online: they say HELLO to every root, and each answers.

        Args:
            nodes: whose session begins.
            adopted_ms: when each has adopted, infinite where it has not; who has, tells so now.
            step: where they are led.

        Returns:
            When each has adopted and when a root knows, infinite where the session ends before.
        """
        chances, random, count = self._chances, self._random, len(nodes)
        start_ms, end_ms = self._presence.start_ms[nodes], self._presence.end_ms[nodes]
        delay_ms = self._delay_ms[self._best[nodes], nodes].astype(np.float64)
        lacks = np.isinf(adopted_ms)
        pushes = any(server.push.enabled for server in self._fleet.servers)
        had_ms = start_ms.copy()
        if not pushes:
            # After a short absence the next HELLO is not due yet, and nothing else brings a World.
            due_ms = self._presence.seen_ms[nodes] + random.uniform(0, HELLO_MS, count)
            np.maximum(had_ms, due_ms, out=had_ms)
        handed_bytes = self._handed_bytes(nodes, step)
        for size_bytes in np.unique(handed_bytes).astype(int).tolist():
            of_size = np.flatnonzero(handed_bytes == size_bytes)
            packets = math.ceil(size_bytes / OK_HELLO_WORLDS_BYTES)
            handed = chances.greeted(math.ceil(size_bytes / packets))
            lost = failures(handed, len(of_size), random)
            had_ms[of_size] += packets * 2 * delay_ms[of_size] + lost * CHECK_MS
        adopted_ms = np.where(lacks, had_ms, adopted_ms)
        # A probe comes with the answer; where it is lost, the next push or HELLO makes it good.
        probed = chances.probed(self._forecast.steps[step].world_bytes)
        lost = failures(probed, count, random) * (CHECK_MS if pushes else HELLO_MS)
        told_ms = start_ms + failures(chances.told, count, random) * CHECK_MS
        confirmed_ms = np.where(lacks, adopted_ms + lost, told_ms) + delay_ms
        adopted_ms[lacks & (adopted_ms > end_ms)] = np.inf
        confirmed_ms[confirmed_ms > end_ms] = np.inf
        return adopted_ms, confirmed_ms

    def _handed_bytes(self, nodes: Indices, step: int) -> Times:
        """The Worlds that lead each node to a step: the one it lacks, and links before it."""
        links_bytes = self._links_bytes[step] - self._links_bytes[self._held[nodes] + 1]
        handed: Times = links_bytes + self._forecast.steps[step].world_bytes
        return handed

    def _note_woken(self, among: slice, step: int, at_ms: float) -> None:
        """Note what nodes were handed that woke until now, and that all of these hold a step."""
        has = self._adopted_ms[among] <= at_ms
        woken = among.start + np.flatnonzero(has & self._by_waking[among])
        self._meter.woke(self._adopted_ms[woken], self._handed_bytes(woken, step))
        self._held[among][has] = step


def _told(adopted_ms: Times, lost_ms: Times, since_ms: float) -> tuple[float, ...]:
    return tuple(first_time(adopted_ms, lost_ms, share, since_ms) for share in TOLD_SHARES)


def shares_of(cohorts: Iterable[Cohort], nodes: int) -> tuple[float, ...]:
    """The cohorts of a rollout as cumulative shares of so many nodes."""
    listed = tuple(cohorts)
    named = sum(len(cohort.addresses) for cohort in listed if isinstance(cohort, Named))
    named_share = min(named / nodes, 1.0)
    so_far, place, ends = 0, 0.0, []
    for cohort in listed:
        if isinstance(cohort, Named):
            so_far += len(cohort.addresses)
        else:
            place = cohort.places / PLACES
        ends.append(min(place * (1 - named_share) + so_far / nodes, 1.0))
    # Where a small fleet has more names than nodes, the rest of the cohorts adds nobody.
    distinct = [end for end, after in pairwise((*ends, 2.0)) if end < after and end < 1]
    return (*distinct, 1.0)


def steps_of(plan: Plan, start: World) -> tuple[Step, ...]:
    """The steps of a plan, for a forecast.

    Args:
        plan: the plan.
        start: the revision that it starts from.
    """
    steps = []
    key = start.updates_must_be_signed_by
    for step in plan.steps:
        world = replace(plan.world(step, start.timestamp_ms + step.number), signature=bytes(96))
        steps.append(
            Step(
                f"step {step.number}",
                len(world.encode()),
                rotates=step.names != key,
                waits_for_all=any(isinstance(each, Adopted) for each in step.done),
            )
        )
        key = step.names
    return tuple(steps)


class Spread(NamedTuple):
    """A number that several futures differ in."""

    median: float
    least: float
    most: float


def spread(values: Iterable[float]) -> Spread:
    """The middle and the ends of some values; of an even number the larger middle."""
    ordered = sorted(values)
    return Spread(ordered[len(ordered) // 2], ordered[0], ordered[-1])
