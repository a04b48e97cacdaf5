"""What came of the steps of a rollout, from its history and from when nodes took what."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from orrery.lab.curve import TOLD_SHARES, first_time, measure
from orrery.lab.rehearsal.outcome import CohortOutcome, StepOutcome
from orrery.rollout.cohorts import Cohorts
from orrery.rollout.conductor import Position
from orrery.rollout.plan import Plan
from orrery.rollout.state import RolloutState
from orrery.wire.address import Address

Taken = Mapping[Address, Mapping[int, float]]
"""For each node: which revisions it took, and when."""


class Stage(NamedTuple):
    """Something that happened to a rollout.

    Attributes:
        at_ms: when, since the begin.
        position: where it stood from then on.
    """

    at_ms: float
    position: Position


def tell_steps(
    plan: Plan, cohorts: Cohorts, history: Sequence[Stage], taken: Taken
) -> Iterator[StepOutcome]:
    """What came of each step.

    Args:
        plan: what was carried out.
        cohorts: in which order the nodes were given it.
        history: what happened to the rollout, at least once.
        taken: by the nodes, by their own account.
    """
    exempt = {address for group in plan.exempt for address in group.addresses}
    counted = {address: times for address, times in taken.items() if address not in exempt}
    cohort_of = np.array([cohorts.cohort_of(plan.id, address) for address in counted], np.intp)
    revisions = history[-1].position.progress.revisions
    for number, step in enumerate(plan.steps):
        timestamp_ms = revisions[number + 1] if len(revisions) > number + 1 else 0
        adopted_ms = np.array([_adopted_ms(times, timestamp_ms) for times in counted.values()])
        opened = _opened_ms(history, number)
        done_ms = _done_ms(history, number)
        outcomes = []
        for cohort, entry in enumerate(cohorts):
            opened_ms = opened.get(cohort)
            mine = adopted_ms[cohort_of == cohort]
            told = tuple(
                first_time(mine, None, share, opened_ms or 0.0) if len(mine) else math.inf
                for share in TOLD_SHARES
            )
            later = [at_ms for other, at_ms in opened.items() if other > cohort]
            passed_ms = None if opened_ms is None else min(later, default=done_ms)
            outcomes.append(CohortOutcome(str(entry), len(mine), opened_ms, told, passed_ms))
        yield StepOutcome(
            number=step.number,
            changes=step.changes,
            timestamp_ms=timestamp_ms,
            published_ms=_published_ms(history, number),
            done_ms=done_ms,
            cohorts=tuple(outcomes),
            curve=measure(f"step {step.number}", adopted_ms),
        )


def _adopted_ms(taken: Mapping[int, float], timestamp_ms: int) -> float:
    """When a node had a revision, or one that follows it."""
    if not timestamp_ms:
        return math.inf
    return min((at_ms for took, at_ms in taken.items() if took >= timestamp_ms), default=math.inf)


def _opened_ms(history: Sequence[Stage], step: int) -> dict[int, float]:
    """When each cohort was opened first in a step."""
    opened: dict[int, float] = {}
    for at_ms, at in history:
        if at.step == step and at.cohort >= 0 and at.progress.has_published(step):
            opened.setdefault(at.cohort, at_ms)
    return opened


def _published_ms(history: Sequence[Stage], step: int) -> float | None:
    found = (at_ms for at_ms, at in history if at.progress.has_published(step))
    return next(found, None)


def _done_ms(history: Sequence[Stage], step: int) -> float | None:
    for at_ms, at in history:
        if at.step > step or (at.state is RolloutState.DONE and at.step == step):
            return at_ms
    return None
