"""The tally: who holds what and who was heard where, counted as the reports come in."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from orrery.rollout.cohorts import Cohorts
from orrery.rollout.health import Habit, Health, Takers, departure_rate, expect_gone, judge
from orrery.rollout.places import Place, name_places
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint

CALL_BACK_MS = 30_000
"""A node that took a revision and has settled is heard from again in this time, or is gone."""
LONG_CALL_BACK_MS = 90_000
"""Likewise where they are so many that not all can be asked: each is reported once a minute."""
RECENT_MS = 120_000
"""Who was heard from in this time before it was given a revision was there then: all that are there
are reported once a minute."""
MOST_ASKED = 1_000
"""So many nodes are asked at most whether they are still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The revision that is rolled out.

    Attributes:
        timestamp_ms: of it, 0 as long as none is.
        enough: timestamps that count as having it: its own and those of what follows.
        listed: the places that it lists, as far as it would be known that a node is heard there,
            and those that the revision before listed at other ports of the same addresses.
        new: those of them at addresses where the revision before listed none.
        settle_ms: how long a node is watched.
        forgiven_ms: nodes that took it before are not judged.
    """

    timestamp_ms: int = 0
    enough: frozenset[int] = frozenset()
    listed: frozenset[Place] = frozenset()
    new: frozenset[Place] = frozenset()
    settle_ms: int = 0
    forgiven_ms: int = 0


class CohortCount(NamedTuple):
    """How many nodes of a cohort count, and how many of those have the revision."""

    counted: int
    adopted: int


class Report(NamedTuple):
    """What is known of a node.

    Attributes:
        address: the node.
        holds_ms: the revision that it holds.
        seen_ms: when it was heard from last.
        habit: how much it was there so far.
    """

    address: Address
    holds_ms: int
    seen_ms: int
    habit: Habit = Habit()


@dataclass(slots=True)
class _Node:
    cohort: int
    holds_ms: int
    seen_ms: int
    habit: Habit


class _Taker(NamedTuple):
    """When a node took the revision, and when the tally began to look at it."""

    took_ms: int
    since_ms: int


def places_at(places: Collection[Place], here: Endpoint) -> frozenset[Place]:
    """Which places of a root something came in by that it received at an endpoint of its own.

    Behind a NAT that is not the endpoint which a World lists: then all of the same port and family
    may be meant, or of the family, or all there are.

    Args:
        places: of one root.
        here: where it was received.
    """
    family = frozenset(place for place in places if place.endpoint.family == here.family)
    port = frozenset(place for place in family if place.endpoint.port == here.port)
    exact = frozenset(place for place in port if place.endpoint == here)
    return exact or port or family or frozenset(places)


class Tally:
    """Counts the nodes of one World for one revision; for another revision make another tally.

    Args:
        world_id: the World.
        cohorts: who belongs to which.
        uncounted: nodes that do not count.
        target: the revision that is rolled out.
        began_ms: when this tally began to look: nobody is gone for what was missed before.
    """

    def __init__(
        self,
        world_id: int,
        cohorts: Cohorts,
        uncounted: Collection[Address],
        target: Target,
        began_ms: int,
    ) -> None:
        self.target = target
        self._world_id = world_id
        self._cohorts = cohorts
        self._uncounted = frozenset(uncounted)
        self._began_ms = began_ms
        self._nodes: dict[Address, _Node] = {}
        self._held: list[Counter[int]] = [Counter() for _ in range(len(cohorts))]
        self._absences = 0
        self._present_ms = 0
        self._heard: dict[Place, set[Address]] = {}
        self._takers: dict[Address, _Taker] = {}
        self._pardoned: set[Address] = set()
        self._waiting: set[Address] = set()
        self._came: set[Address] = set()
        self._stage = (-1, 0)
        self._lagging: set[Address] = set()
        self._silent: set[Address] = set()
        self._expected_gone = dict.fromkeys(self._patiences_ms, 0.0)
        self.installed: dict[Address, int] = {}

    @property
    def _patiences_ms(self) -> tuple[int, int]:
        """How long a node is waited for, where they are few and where they are many."""
        settle_ms = self.target.settle_ms
        return settle_ms + CALL_BACK_MS, settle_ms + LONG_CALL_BACK_MS

    # -- what is reported ----------------------------------------------------------------------

    def load(self, reports: Iterable[Report], took_ms: Mapping[Address, int]) -> None:
        """Begin with what is known.

        Args:
            reports: of nodes, each once.
            took_ms: who took the revision, and when.
        """
        for report in reports:
            self._count(report)
        # What is dated later than now was noted before the clock was set back.
        for address, at_ms in took_ms.items():
            self._take(address, min(at_ms, self._began_ms))
        for address, node in self._nodes.items():
            node.seen_ms = min(node.seen_ms, self._began_ms)
            self._look_at(address, node)

    def note(self, report: Report) -> None:
        """A node was heard from."""
        node = self._count(report)
        if node is not None:
            self._look_at(report.address, node)

    def note_heard(self, address: Address, places: Collection[Place], at_ms: int) -> None:
        """A node was heard at one of these places, which of them is not known where they differ."""
        if address not in self._nodes:
            return
        for place in places:
            self._heard.setdefault(place, set()).add(address)
        taker = self._takers.get(address)
        if taker is None or at_ms < taker.took_ms:
            return
        if places and self.target.new.issuperset(places):
            self._came.add(address)
        if not self.target.listed.isdisjoint(places):
            self._settle(address, taker, at_ms)

    def forget(self, seen_before_ms: int) -> None:
        """Let nodes not count any more that were last seen before the horizon."""
        old = [address for address, node in self._nodes.items() if node.seen_ms < seen_before_ms]
        for address in old:
            node = self._nodes.pop(address)
            self._held[node.cohort][node.holds_ms] -= 1
            self._absences -= node.habit.absences
            self._present_ms -= node.habit.present_ms
            self._waiting.discard(address)
            self._lagging.discard(address)
            self._silent.discard(address)

    def _count(self, report: Report) -> _Node | None:
        address, holds_ms, seen_ms, habit = report
        if address in self._cohorts.roots:
            self.installed[address] = holds_ms
        if address in self._uncounted:
            return None
        node = self._nodes.get(address)
        if node is None:
            cohort = self._cohorts.cohort_of(self._world_id, address)
            node = self._nodes[address] = _Node(cohort, holds_ms, seen_ms, Habit())
        else:
            self._held[node.cohort][node.holds_ms] -= 1
            node.holds_ms, node.seen_ms = holds_ms, seen_ms
        self._held[node.cohort][holds_ms] += 1
        self._absences += habit.absences - node.habit.absences
        self._present_ms += habit.present_ms - node.habit.present_ms
        node.habit = habit
        self._look_for_lag(address, node)
        return node

    def _look_for_lag(self, address: Address, node: _Node) -> None:
        cohort, since_ms = self._stage
        lacks = node.cohort <= cohort and node.holds_ms not in self.target.enough
        if lacks and node.seen_ms >= since_ms:
            self._lagging.add(address)
        else:
            self._lagging.discard(address)
        if lacks and since_ms - RECENT_MS <= node.seen_ms < since_ms:
            self._silent.add(address)
        else:
            self._silent.discard(address)

    def _look_at(self, address: Address, node: _Node) -> None:
        if node.holds_ms in self.target.enough:
            self._take(address, node.seen_ms)
            if not self.target.listed and (taker := self._takers.get(address)) is not None:
                self._settle(address, taker, node.seen_ms)

    def _take(self, address: Address, at_ms: int) -> None:
        """A node took the revision; only the first time counts."""
        node = self._nodes.get(address)
        if node is None or address in self._takers or address in self._pardoned:
            return
        if at_ms <= self.target.forgiven_ms:
            self._pardoned.add(address)
            return
        self._takers[address] = _Taker(at_ms, max(at_ms, self._began_ms))
        self._waiting.add(address)
        rate = departure_rate(node.habit, Habit(self._absences, self._present_ms))
        for patience_ms in self._expected_gone:
            self._expected_gone[patience_ms] += expect_gone(rate, patience_ms)

    def _settle(self, address: Address, taker: _Taker, at_ms: int) -> None:
        if at_ms >= taker.took_ms + self.target.settle_ms:
            self._waiting.discard(address)

    # -- what follows from it ------------------------------------------------------------------

    def __len__(self) -> int:
        """How many nodes count."""
        return len(self._nodes)

    @property
    def holders(self) -> dict[int, int]:
        """How many counted nodes hold which timestamp."""
        total: Counter[int] = Counter()
        for held in self._held:
            total.update(held)
        return dict(+total)

    @property
    def heard(self) -> dict[Place, int]:
        """At how many counted nodes were heard at which place."""
        return {place: len(addresses) for place, addresses in self._heard.items()}

    @property
    def cohorts(self) -> tuple[CohortCount, ...]:
        """Each cohort, in order."""
        enough = self.target.enough
        return tuple(
            CohortCount(held.total(), sum(held[timestamp_ms] for timestamp_ms in enough))
            for held in self._held
        )

    def lagging(self, stage: int, since_ms: int) -> int:
        """How many nodes of the first cohorts were heard from since, and do not have it yet.

        Args:
            stage: number of the last of these cohorts.
            since_ms: the time.
        """
        if self._stage != (stage, since_ms):
            self._stage = stage, since_ms
            for address, node in self._nodes.items():
                self._look_for_lag(address, node)
        return len(self._lagging)

    def to_ask(self) -> list[Address]:
        """Nodes that took the revision and are not known to be well, the last ones first.

        All that took it as long as nobody came to its new places: who comes there shows it only
        when it is asked.
        """
        takers = self._takers
        asked: Collection[Address] = self._waiting
        if self.target.new and not self._came:
            asked = takers
        return sorted(asked, key=lambda each: -takers[each].took_ms)[:MOST_ASKED]

    def to_wake(self, since_ms: int) -> list[Address]:
        """Nodes that were given the revision, do not have it, and were heard from since.

        One that wakes shows it by its answer, and need not be waited for until it speaks by itself.
        """
        cohort, _ = self._stage
        missing = (
            address
            for address, node in self._nodes.items()
            if node.cohort <= cohort
            and node.seen_ms >= since_ms
            and node.holds_ms not in self.target.enough
        )
        return list(islice(missing, MOST_ASKED))

    def health(self, now_ms: int) -> Health:
        """What became of the nodes that took the revision."""
        target = self.target
        few_ms, many_ms = self._patiences_ms
        patience_ms = few_ms if len(self._takers) <= MOST_ASKED else many_ms
        takers = self._takers
        gone = [each for each in self._waiting if now_ms - takers[each].since_ms > patience_ms]
        awaited = len(self._waiting) - len(gone)
        new_places = ""
        if target.new and not self._came:
            new_places = name_places(target.new)
            awaited = sum(now_ms - each.since_ms <= patience_ms for each in takers.values())
        health = judge(
            Takers(
                target_ms=target.timestamp_ms,
                count=len(takers),
                awaited=awaited,
                gone=gone,
                expected_gone=self._expected_gone[patience_ms],
                new_places=new_places,
                came=len(self._came),
            )
        )
        return replace(health, silent=len(self._silent))
