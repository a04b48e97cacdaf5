"""The conductor in a rehearsal: `orrery.rollout.conductor.decide`, with a store in memory.

What `orrery.server.conducting` reads from the store and does through the home is here read from
what virtual roots report, and done with keys of the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from orrery.home.rolling import cohorts_of, uncounted_of
from orrery.lab.rehearsal.cast import Cast
from orrery.lab.rehearsal.steps import Stage
from orrery.rollout.cohorts import Cohorts
from orrery.rollout.conditions import Condition, Evidence
from orrery.rollout.conductor import (
    Act,
    Facts,
    Position,
    decide,
    next_world,
    published,
    target_of,
)
from orrery.rollout.health import Habit
from orrery.rollout.order import Order
from orrery.rollout.places import Place
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState
from orrery.rollout.tally import Report, Tally
from orrery.wire.address import Address
from orrery.wire.world import World
from orrery.worlds.chain import Chain

_MOST_DECISIONS = 100
"""One look that leads to more than this goes in a circle."""


@dataclass(slots=True)
class Known:
    """What roots have reported of a node: a row of the store.

    Attributes:
        holds_ms: the revision that it holds.
        seen_ms: when it was heard from last.
        habit: how much it was there before.
    """

    holds_ms: int
    seen_ms: int
    habit: Habit


class Conducting:
    """A rollout that is carried out.

    Args:
        order: what is to be done, of stand-ins.
        chain: what is published, of stand-ins.
        cast: signs for them.
        known: the nodes, as roots know them at the begin.
        now_ms: the time.
        serve: called when roots are to serve something else.

    Attributes:
        order: as given.
        chain: with what was published since.
        position: where the rollout stands.
        cohorts: as they are asked for.
        history: every change of state, step or cohort.
    """

    def __init__(
        self,
        order: Order,
        chain: Chain,
        cast: Cast,
        *,
        known: dict[Address, Known],
        now_ms: int,
        serve: Callable[[], None],
    ) -> None:
        self.order = order
        self.chain = chain
        self.cohorts: Cohorts = cohorts_of(order, chain.newest)
        self._cast = cast
        self._known = known
        self._serve = serve
        self._uncounted = uncounted_of(order, self.cohorts)
        self._took_ms: dict[Address, int] = {}
        self._hearings: dict[tuple[Address, Place], int] = {}
        self.position = Position(
            state=RolloutState.PLANNED,
            step=0,
            cohort=-1,
            reason="",
            served=None,
            progress=Progress(revisions=(chain.newest.timestamp_ms,), clock_ms=now_ms),
        )
        self.history: list[Stage] = [Stage(now_ms, self.position)]
        self._tally = self._new_tally(now_ms)

    # -- what roots report -------------------------------------------------------------------------

    def note(self, address: Address, holds_ms: int | None, now_ms: int) -> None:
        """A node was heard from, and holds this as far as that was told."""
        known = self._known.get(address)
        if known is None:
            if holds_ms is None:
                return
            known = self._known[address] = Known(holds_ms, now_ms, Habit())
        known.seen_ms = now_ms
        if holds_ms is not None and holds_ms != known.holds_ms:
            known.holds_ms = holds_ms
            if holds_ms == self._tally.target.timestamp_ms:
                self._took_ms.setdefault(address, now_ms)
        self._tally.note(Report(address, known.holds_ms, now_ms, known.habit))

    def note_heard(self, address: Address, place: Place, now_ms: int) -> None:
        """A node was heard at a place."""
        self._hearings[address, place] = now_ms
        self._tally.note_heard(address, (place,), now_ms)

    def forget(self, now_ms: int) -> None:
        """Let nodes not count any more that were not seen inside the horizon."""
        self._tally.forget(now_ms - self.order.horizon_ms)

    def known(self, address: Address) -> Known | None:
        """What is known of a node."""
        return self._known.get(address)

    @property
    def awaited(self) -> list[Address]:
        """Nodes that took the revision and are not known to be well."""
        return self._tally.to_ask()

    @property
    def listed(self) -> frozenset[Place]:
        """Where a node that took the revision is to be heard."""
        return self._tally.target.listed

    @property
    def counted(self) -> int:
        """How many nodes count."""
        return len(self._tally)

    # -- what follows ------------------------------------------------------------------------------

    def look(self, now_ms: int, answering: Collection[Place]) -> None:
        """Do whatever is to be done now."""
        for _ in range(_MOST_DECISIONS):
            facts = self._facts(now_ms, answering)
            position, act = decide(self.order, self.cohorts, self.position, facts)
            if (position, act) == (self.position, Act.NOTHING):
                return
            self._move(position, now_ms)
            if act is Act.ALLOCATE:
                timestamp_ms = max(now_ms, self.chain.newest.timestamp_ms + 1)
                progress = replace(self.position.progress, signing_ms=timestamp_ms)
                self._move(replace(self.position, progress=progress), now_ms)
            elif act is Act.PUBLISH:
                self._publish(now_ms)
        raise AssertionError("the conductor goes in a circle")

    def roll_back(self, now_ms: int) -> None:
        """What `orrery rollback` stores."""
        progress = replace(
            self.position.progress,
            rolling_back=True,
            signing_ms=0,
            complete_ms=0,
            clock_ms=now_ms,
            forgiven_ms=now_ms,
        )
        self._move(
            replace(self.position, state=RolloutState.RUNNING, progress=progress),
            now_ms,
        )

    def wanted(self, answering: Collection[Place], now_ms: int) -> Condition | None:
        """The condition of the plan that the rollout waits for."""
        if self.position.state is not RolloutState.WAITING:
            return None
        steps = self.order.plan.steps
        conditions: Iterable[Condition] = steps[self.position.step].before
        if self.position.progress.has_published(self.position.step):
            last = self.position.step == len(steps) - 1
            done = steps[self.position.step].done
            conditions = (*done, *self.order.plan.finish) if last else done
        evidence = self._facts(now_ms, answering).evidence
        return next((each for each in conditions if not each.is_met(evidence)), None)

    def _publish(self, now_ms: int) -> None:
        before = self.chain.newest
        world: World = next_world(self.order, self.position, self.chain.revisions)
        signed = self._cast.sign(world, before.updates_must_be_signed_by)
        self.chain = self.chain.extend(signed)
        self._move(published(self.position, signed.timestamp_ms, now_ms), now_ms)
        self._serve()

    def _move(self, position: Position, now_ms: int) -> None:
        before, self.position = self.position, position
        if _told_of(before) != _told_of(position):
            self.history.append(Stage(now_ms, position))
        if target_of(self.order, position, self.chain.revisions) != self._tally.target:
            self._took_ms.clear()
            self._tally = self._new_tally(now_ms)
        if before.served != position.served:
            self._serve()

    def _new_tally(self, now_ms: int) -> Tally:
        tally = Tally(
            self.order.plan.id,
            self.cohorts,
            self._uncounted,
            target_of(self.order, self.position, self.chain.revisions),
            now_ms,
        )
        since_ms = now_ms - self.order.horizon_ms
        tally.load(
            (
                Report(address, known.holds_ms, known.seen_ms, known.habit)
                for address, known in self._known.items()
                if known.seen_ms >= since_ms
            ),
            self._took_ms,
        )
        for (address, place), at_ms in self._hearings.items():
            tally.note_heard(address, (place,), at_ms)
        return tally

    def _facts(self, now_ms: int, answering: Collection[Place]) -> Facts:
        progress, tally = self.position.progress, self._tally
        back = (progress.back_ms,) if progress.back_ms else ()
        return Facts(
            now_ms=now_ms,
            newest_ms=self.chain.newest.timestamp_ms,
            evidence=Evidence(
                revisions=(*progress.revisions, *back),
                holders=tally.holders,
                installed=tally.installed,
                answering=answering,
                heard=tally.heard,
            ),
            cohorts=tally.cohorts,
            health=tally.health(now_ms),
            lagging=tally.lagging(self.position.cohort, progress.opened_ms),
        )


def _told_of(at: Position) -> tuple[object, ...]:
    """What the history tells of."""
    return at.state, at.step, at.cohort, at.reason, at.progress.revisions
