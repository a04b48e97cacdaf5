"""How long a rollout will still take, judged by how the nodes have followed so far.

Nodes that are online follow within seconds. What takes time are those that sleep: each of them is
taken to wake up, at any moment, with the same chance. That chance is read off the curve of
adoption: how many nodes followed in the later half of the time since the cohort was opened, the
first seconds left out, over the time that nodes were missing in it. With k nodes missing, the last
one is awaited for H(k) = 1 + 1/2 + … + 1/k times the mean time of one. Later cohorts and steps are
taken to have as many sleepers as there are among their nodes now.
"""

from fractions import Fraction
from math import ceil, log

from orrery.home.rolling import CohortView, RolloutView
from orrery.rollout.state import RolloutState

_ASLEEP_MS = 300_000
"""A node that is there is heard from more often than that."""
BURST_MS = 5_000
"""In this time after a cohort is opened, who follows was awake."""
_ONLINE_MS = 1_000
"""What a cohort takes whose nodes are all there, beside the time that it is watched."""
_EULER = 0.5772156649


def time_left_ms(view: RolloutView, now_ms: int) -> int | None:
    """How long the rollout will take from now on, None where nothing tells.

    Args:
        view: the rollout.
        now_ms: the time.
    """
    if view.rollout.state in (RolloutState.PAUSED, RolloutState.PLANNED) or not view.target_ms:
        return None
    chance = _chance(view, now_ms)
    settle_ms = view.order.settle_ms
    left_ms = 0.0
    asleep = 0
    for number, cohort in enumerate(view.cohorts):
        sleepers = _asleep(cohort, now_ms)
        asleep += sleepers
        if number < view.rollout.cohort:
            continue
        is_last = number == len(view.cohorts) - 1
        required = Fraction(1) if is_last else view.order.required
        if cohort.is_open:
            awaited = _awaited_ms(len(cohort.missing), _spared(cohort, required), chance)
            settled_ms = now_ms - view.progress.complete_ms if view.progress.complete_ms else 0
            if settled_ms > settle_ms + _ONLINE_MS:
                return None  # what it waits for beyond that, its reason says
            watched_ms = max(settle_ms - settled_ms, 0) if cohort.counted else 0
        else:
            awaited = _awaited_ms(sleepers, _spared(cohort, required), chance)
            watched_ms = settle_ms + _ONLINE_MS if cohort.counted else 0
        if awaited is None:
            return None
        left_ms += awaited + watched_ms
    further = (
        0 if view.progress.rolling_back else len(view.order.plan.steps) - view.rollout.step - 1
    )
    if further > 0:
        awaited = _awaited_ms(asleep, 0, chance)
        if awaited is None:
            return None
        filled = sum(bool(cohort.counted) for cohort in view.cohorts)
        left_ms += further * (awaited + filled * (settle_ms + _ONLINE_MS))
    return round(left_ms)


def _asleep(cohort: CohortView, now_ms: int) -> int:
    return sum(now_ms - node.seen_ms > _ASLEEP_MS for node in cohort.missing)


def _spared(cohort: CohortView, required: Fraction) -> int:
    """How many nodes of a cohort may be missing when the next one's turn comes."""
    return cohort.counted - ceil(required * cohort.counted)


def _awaited_ms(missing: int, spared: int, chance: float | None) -> float | None:
    """How long it takes until only so many of the missing are missing."""
    if missing <= spared:
        return 0
    if not chance:
        return None
    return (_harmonic(missing) - _harmonic(spared)) / chance


def _chance(view: RolloutView, now_ms: int) -> float | None:
    """How many of one missing node follow in a millisecond; None if none did lately."""
    opened_ms = view.progress.opened_ms
    since_ms = max((opened_ms + now_ms) / 2, opened_ms + BURST_MS)
    if not opened_ms or now_ms <= since_ms:
        return None
    missing = sum(len(cohort.missing) for cohort in view.cohorts if cohort.is_open)
    followed = [at_ms for at_ms in view.adopted_at_ms if at_ms > since_ms]
    exposed_ms = missing * (now_ms - since_ms) + sum(at_ms - since_ms for at_ms in followed)
    return len(followed) / exposed_ms if followed and exposed_ms > 0 else None


def _harmonic(count: int) -> float:
    if count < 100:
        return sum(1 / number for number in range(1, count + 1))
    return log(count) + _EULER + 1 / (2 * count)
