"""The conductor's mind: from where a rollout stands and what is known to what is done next. Pure.

    state         means                                               goes on when
    planned       begun; nobody has looked at it yet                  a server looks at it
    waiting       a condition of the plan is not true yet             it is
    running       a step is signed, or given to a cohort              enough of those awake have it
    settling      the cohort has it and is watched                    the settle time is over and
                                                                      all of them were heard again
    paused        somebody said so, a key is missing, or nodes that   `resume`, or `rollback`
                  took the revision are gone
    done          every step is done                                  -
    rolled-back   the step was taken back                             -
    stopped       somebody said so, or somebody else published        -

A step goes: its conditions are met (waiting); a timestamp is given out and stored, and all nodes
are held back where they are (`Act.ALLOCATE`); the revision is signed and stored together with the
note that it is (`Act.PUBLISH`); cohort after cohort is opened, has it (running) and is watched
(settling); the last one is everybody; what makes it done is met (waiting). What is stored comes
first in every row of this, so whoever takes over finds what is to be done next: a revision that was
being signed is signed with the timestamp that was given out for it, which gives the same bytes.

A step is taken back by another revision with the content of the one before, which is given to those
first who were given the step, then to everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NamedTuple

from orrery.rollout.cohorts import Cohorts
from orrery.rollout.conditions import Answering, Condition, Evidence, Installed
from orrery.rollout.health import Health
from orrery.rollout.order import Order
from orrery.rollout.places import Place, places_of
from orrery.rollout.plan import Step
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState, Served
from orrery.rollout.tally import CohortCount, Target
from orrery.wire.world import World
from orrery.worlds.stage import NOBODY

CLOCK_TOLERANCE_MS = 60_000
"""A clock that is behind what was stored by more than this was set back."""

AWAKE_MS = 15_000
"""Who is given a revision and is not heard from in this time is asleep: pushes take moments."""


class Act(Enum):
    """What is to be done beside storing where the rollout stands.

    NOTHING. ALLOCATE: give out a timestamp first, and store it as `Progress.signing_ms`. PUBLISH:
    sign `next_world` and store it as a revision, in one transaction with the new position.
    """

    NOTHING = auto()
    ALLOCATE = auto()
    PUBLISH = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a rollout stands.

    Attributes:
        state: its name.
        step: the step that is carried out, from 0.
        cohort: the cohort that is open last, -1 for none.
        reason: why it waits or is over, in a sentence.
        served: what roots serve, None when they serve the newest to everybody.
        progress: what was done so far.
    """

    state: RolloutState
    step: int
    cohort: int
    reason: str
    served: Served | None
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known now.

    Attributes:
        now_ms: the wall clock.
        newest_ms: timestamp of the newest revision of the chain.
        evidence: what conditions are judged by.
        cohorts: how far each cohort is with the revision that is rolled out.
        health: what became of the nodes that took it.
        lagging: how many of those whom it was given to were heard from since, and do not have it
            yet: of nodes that are awake, who is still to be waited for.
    """

    now_ms: int
    newest_ms: int
    evidence: Evidence
    cohorts: Sequence[CohortCount]
    health: Health = Health()  # noqa: RUF009 - immutable
    lagging: int = 0


class Decision(NamedTuple):
    """What to do: `act`, and store `position` where it is another one than before."""

    position: Position
    act: Act = Act.NOTHING


def decide(order: Order, cohorts: Cohorts, at: Position, facts: Facts) -> Decision:
    """What to do next.

    Args:
        order: what is carried out.
        cohorts: the cohorts of it, with all roots in the last one.
        at: where it stands, as it is stored.
        facts: what is known now.
    """
    progress = at.progress
    if at.state.is_over or at.state is RolloutState.PAUSED:
        return Decision(at)
    if facts.now_ms < progress.clock_ms - CLOCK_TOLERANCE_MS:
        return _to(
            at,
            RolloutState.WAITING,
            "the clock of this machine is behind what it was when this rollout was looked at last: "
            "set it right, or let the rollout go by it as it is with `orrery resume`",
        )
    if facts.newest_ms != progress.newest_ms:
        return _to(
            at,
            RolloutState.STOPPED,
            f"revision {facts.newest_ms} was published beside this rollout, which expects "
            f"{progress.newest_ms}: make a new plan",
        )
    if progress.rolling_back:
        return _take_back(order, cohorts, at, facts)
    if not progress.has_published(at.step):
        return _publish(order, at, facts)
    if facts.health.alarm:
        return _to(
            at,
            RolloutState.PAUSED,
            f"{facts.health.alarm}; look at the roots, then `orrery resume` or `orrery rollback`",
        )
    is_last = at.cohort == len(cohorts) - 1
    if is_last and progress.complete_ms and _is_settled(order, at, facts):
        return _finish(order, at, facts)
    return _go_through_cohorts(order, cohorts, at, facts)


def next_world(order: Order, at: Position, revisions: Sequence[World]) -> World:
    """The unsigned World that `Act.PUBLISH` publishes.

    Args:
        order: what is carried out.
        at: where it stands.
        revisions: all revisions of the chain, oldest first.
    """
    timestamp_ms = at.progress.signing_ms
    if not at.progress.rolling_back:
        return order.plan.world(order.plan.steps[at.step], timestamp_ms)
    before_ms = at.progress.revisions[at.step]
    before = next(world for world in revisions if world.timestamp_ms == before_ms)
    return World(
        type=before.type,
        id=before.id,
        timestamp_ms=timestamp_ms,
        updates_must_be_signed_by=revisions[-1].updates_must_be_signed_by,
        roots=before.roots,
        dictionary=before.dictionary,
    )


def paused(at: Position, reason: str) -> Position:
    """The same, paused because what was to be done cannot be."""
    return replace(at, state=RolloutState.PAUSED, reason=reason)


def published(at: Position, timestamp_ms: int, now_ms: int) -> Position:
    """The same with the revision that `Act.PUBLISH` published."""
    progress = replace(at.progress, signing_ms=0, clock_ms=now_ms, opened_ms=now_ms, complete_ms=0)
    if progress.rolling_back:
        return replace(at, progress=replace(progress, back_ms=timestamp_ms))
    revisions = (*progress.revisions, timestamp_ms)
    return replace(at, cohort=-1, progress=replace(progress, revisions=revisions))


def target_of(order: Order, at: Position, revisions: Sequence[World]) -> Target:
    """What a tally counts for.

    Args:
        order: what is carried out.
        at: where it stands.
        revisions: all revisions of the chain, oldest first.
    """
    progress = at.progress
    if progress.back_ms:
        return Target(timestamp_ms=progress.back_ms, enough=frozenset({progress.back_ms}))
    if not progress.has_published(at.step):
        return Target()
    timestamp_ms = progress.revisions[at.step + 1]
    by_time = {world.timestamp_ms: world for world in revisions}
    listed = places_of(by_time[timestamp_ms].roots)
    before = places_of(by_time[progress.revisions[at.step]].roots)
    # A node stays with the port that it uses for as long as that answers: at another port of the
    # same address it is neither to be expected, nor missed.
    hosts_before = {(place.identity, place.endpoint.ip) for place in before}
    hosts = {(place.identity, place.endpoint.ip) for place in listed}
    # Nor is anybody expected where a root starts only in the turn of a later step.
    idle = _answering(order.plan.steps[at.step + 1 :]) - _answering(order.plan.steps[: at.step + 1])
    return Target(
        timestamp_ms=timestamp_ms,
        enough=frozenset(each for each in by_time if each >= timestamp_ms),
        listed=listed.union(p for p in before if (p.identity, p.endpoint.ip) in hosts),
        new=frozenset(
            place
            for place in listed - idle
            if (place.identity, place.endpoint.ip) not in hosts_before
        ),
        settle_ms=order.settle_ms,
        forgiven_ms=progress.forgiven_ms,
    )


def _answering(steps: Sequence[Step]) -> frozenset[Place]:
    """What has to answer before these steps are published."""
    conditions = (condition for step in steps for condition in step.before)
    return frozenset(
        place
        for condition in conditions
        if isinstance(condition, Answering)
        for place in condition.places
    )


# -- the rows ----------------------------------------------------------------------------------


def _publish(order: Order, at: Position, facts: Facts) -> Decision:
    """A step that is not published: its conditions, its timestamp, its signature."""
    step = order.plan.steps[at.step]
    unmet = _unmet(step.before, facts.evidence)
    if unmet is not None:
        if at.state is RolloutState.PLANNED and at.served is not None:
            # A rollout that stopped left nodes held back, and this one may wait for them.
            return Decision(replace(at, served=None))
        reason = f"step {step.number} is published when this is so: {unmet}"
        return _to(at, RolloutState.WAITING, reason)
    signing = replace(
        at,
        state=RolloutState.RUNNING,
        reason=f"step {step.number} of {len(order.plan.steps)} is being signed",
        served=Served(
            order.plan.id, at.served.held_back_ms if at.served else facts.newest_ms, NOBODY
        ),
        progress=_looked_at(at.progress, facts),
    )
    if order.signed_step(step.number) is None and not at.progress.signing_ms:
        return Decision(signing, Act.ALLOCATE)
    # What was signed elsewhere has its timestamp already; nobody may be handed it before it is
    # stored that all are held back.
    return Decision(signing, Act.NOTHING if at.served != signing.served else Act.PUBLISH)


def _go_through_cohorts(order: Order, cohorts: Cohorts, at: Position, facts: Facts) -> Decision:
    """A step that is published: cohort after cohort has it, and is watched."""
    if at.cohort < 0:
        by_hand = order.plan.steps[at.step].install_first
        installed = Installed(at.step + 1, by_hand)
        if by_hand and not installed.is_met(facts.evidence):
            reason = f"step {at.step + 1} goes to nodes when this is so: {installed}"
            return _to(at, RolloutState.WAITING, reason)
        return _open_next(order, cohorts, at, facts)
    name = _name(order, cohorts, at.step, at.cohort)
    counted, adopted = facts.cohorts[at.cohort]
    watched = f"{name} has it and is watched"
    if adopted < order.required * counted:
        watched = f"who is awake of {name} has it and is watched"
    if not at.progress.complete_ms:
        if adopted < order.required * counted and not _who_is_awake_has_it(order, at, facts):
            given = f"it is given to {name}"
            if facts.now_ms - at.progress.opened_ms >= AWAKE_MS and _is_silenced(at, facts):
                given += "; nodes that were there just before have not been heard from since"
            return _to(at, RolloutState.RUNNING, given)
        progress = replace(_looked_at(at.progress, facts), complete_ms=facts.now_ms)
        return _to(replace(at, progress=progress), RolloutState.SETTLING, watched)
    if not _is_settled(order, at, facts):
        return _to(at, RolloutState.SETTLING, watched)
    return _open_next(order, cohorts, at, facts)


def _open_next(order: Order, cohorts: Cohorts, at: Position, facts: Facts) -> Decision:
    """The next cohort that has a node which counts; the last one is everybody."""
    last = len(cohorts) - 1
    following = next((k for k in range(at.cohort + 1, last) if facts.cohorts[k].counted), last)
    opened = cohorts.opened(following)
    served = None
    if at.served is not None and not opened.is_everybody:
        served = replace(at.served, opened=opened)
    progress = replace(_looked_at(at.progress, facts), opened_ms=facts.now_ms, complete_ms=0)
    return _to(
        replace(at, cohort=following, served=served, progress=progress),
        RolloutState.RUNNING,
        f"it is given to {_name(order, cohorts, at.step, following)}",
    )


def _finish(order: Order, at: Position, facts: Facts) -> Decision:
    """A step that everybody is given: what makes it done, and what comes then."""
    step = order.plan.steps[at.step]
    unmet = _unmet(step.done, facts.evidence)
    if unmet is not None:
        reason = f"step {step.number} is done when this is so: {unmet}"
        return _to(at, RolloutState.WAITING, reason)
    if step.number < len(order.plan.steps):
        progress = replace(_looked_at(at.progress, facts), complete_ms=0)
        following = replace(at, step=at.step + 1, cohort=-1, progress=progress)
        return _to(following, RolloutState.RUNNING, f"step {step.number} is done")
    unmet = _unmet(order.plan.finish, facts.evidence)
    if unmet is not None:
        return _to(at, RolloutState.WAITING, f"every step is done; what is left: {unmet}")
    return _to(at, RolloutState.DONE, "every step is done")


def _take_back(order: Order, cohorts: Cohorts, at: Position, facts: Facts) -> Decision:
    """A step that is taken back: another revision, first for those who had it first."""
    step = f"step {at.step + 1}"
    progress = _looked_at(at.progress, facts)
    if not progress.has_published(at.step):
        if at.served is not None and at.served.held_back_ms != progress.newest_ms:
            reason = f"{step} was not published; nodes are held back as they were before"
            return _to(at, RolloutState.STOPPED, reason)
        reason = f"{step} was not published yet: there is nothing to take back"
        return _to(replace(at, served=None), RolloutState.ROLLED_BACK, reason)
    if not progress.back_ms:
        signing = replace(
            at,
            state=RolloutState.RUNNING,
            reason=f"{step} is being taken back",
            progress=progress,
        )
        if progress.signing_ms:
            return Decision(signing, Act.PUBLISH)
        if at.served is None:  # everybody was given it: the first come first again
            first = next((k for k, each in enumerate(facts.cohorts) if each.counted), 0)
            opened = cohorts.opened(first)
            if not opened.is_everybody:
                served = Served(order.plan.id, progress.newest_ms, opened)
                signing = replace(signing, cohort=first, served=served)
        return Decision(signing, Act.ALLOCATE)
    watched_ms = facts.now_ms - progress.opened_ms
    few = at.served is not None and at.cohort >= 0
    if few and (facts.lagging or watched_ms < order.settle_ms):
        reason = f"{step} is taken back from those who had it first"
        return _to(at, RolloutState.SETTLING, reason)
    done = f"{step} was taken back: revision {progress.back_ms} says what was so before it"
    if left := facts.evidence.holders.get(progress.revisions[at.step + 1], 0):
        done += f"; nodes that still hold the step, to be led on as they are heard: {left}"
    return _to(replace(at, served=None, progress=progress), RolloutState.ROLLED_BACK, done)


# -- what the rows are made of -----------------------------------------------------------------


def _to(at: Position, state: RolloutState, reason: str) -> Decision:
    return Decision(replace(at, state=state, reason=reason))


def _looked_at(progress: Progress, facts: Facts) -> Progress:
    return replace(progress, clock_ms=max(progress.clock_ms, facts.now_ms))


def _unmet(conditions: Sequence[Condition], evidence: Evidence) -> Condition | None:
    """The first of them that is not true; they become true in their order."""
    return next((each for each in conditions if not each.is_met(evidence)), None)


def _who_is_awake_has_it(order: Order, at: Position, facts: Facts) -> bool:
    """Whether enough of the nodes have it that were heard from since it was given to them.

    The others are asleep: a cohort after them need not wait, as only what makes a step done does.
    But a revision that silences whom it is given to must not be taken for one that nobody was there
    to take.
    """
    if facts.now_ms - at.progress.opened_ms < AWAKE_MS:
        return False
    adopted = _adopted(at, facts)
    return adopted >= order.required * (adopted + facts.lagging) and not _is_silenced(at, facts)


def _is_silenced(at: Position, facts: Facts) -> bool:
    """Whether more of those that were there fell silent when they were given it than have it."""
    return facts.health.silent > _adopted(at, facts)


def _adopted(at: Position, facts: Facts) -> int:
    return sum(each.adopted for each in facts.cohorts[: at.cohort + 1])


def _is_settled(order: Order, at: Position, facts: Facts) -> bool:
    """Whether who has the revision was watched for long enough and is well."""
    if not _adopted(at, facts):
        return True  # nobody is there to be watched
    watched_ms = facts.now_ms - at.progress.complete_ms
    return watched_ms >= order.settle_ms and not facts.health.awaited


def _name(order: Order, cohorts: Cohorts, step: int, cohort: int) -> str:
    return (
        f"cohort {cohort + 1} of {len(cohorts)} ({cohorts[cohort]}) in step {step + 1} of "
        f"{len(order.plan.steps)}"
    )
