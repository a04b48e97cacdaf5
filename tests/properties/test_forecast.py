"""What holds for every forecast."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.lab.churn import HOUR_MS, Churn, Daily, Sessions
from orrery.lab.curve import first_time, measure
from orrery.lab.forecast import Fleet, Forecast, Outcome, Server, Step
from orrery.lab.load import Kind
from orrery.vl1.limits import Allowance
from orrery.vl1.push import PushSettings

NODES = 1_500
NOISE = 1.08
"""What means of so many nodes may differ by chance."""


def paced(nodes_per_s: int, *, enabled: bool = True) -> PushSettings:
    return PushSettings(enabled=enabled, nodes=Allowance(nodes_per_s, nodes_per_s))


churns: st.SearchStrategy[Churn] = st.one_of(
    st.builds(
        Sessions,
        offline=st.floats(0, 0.45),
        session_ms=st.floats(60_000, 48 * HOUR_MS),
        always_on=st.floats(0, 0.5),
    ),
    st.builds(
        Daily,
        begins_ms=st.floats(0, 24 * HOUR_MS),
        used=st.floats(0.2, 1),
        always_on=st.floats(0, 1),
    ),
)
steps = st.builds(
    Step,
    name=st.just("step"),
    world_bytes=st.integers(100, 9_000),
    rotates=st.booleans(),
    required=st.one_of(st.none(), st.floats(0.3, 1)),
)
plans = st.builds(
    Forecast,
    steps=st.lists(steps, min_size=1, max_size=3).map(tuple),
    cohorts=st.sampled_from([(1.0,), (0.1, 1.0), (0.01, 0.1, 1.0)]),
    settle_ms=st.floats(0, HOUR_MS),
    required=st.floats(0.5, 1),
    horizon_ms=st.floats(HOUR_MS, 40 * 24 * HOUR_MS),
)
pushes = st.builds(paced, st.integers(1, 10_000), enabled=st.booleans())
servers = st.lists(
    st.builds(
        Server,
        name=st.just("root"),
        push=pushes,
    ),
    min_size=1,
    max_size=4,
).map(tuple)
fleets = st.builds(
    Fleet,
    nodes=st.integers(1, 400),
    churn=churns,
    servers=servers,
    rtt_ms=st.sampled_from([(0.0, 0.0), (20.0, 120.0), (500.0, 900.0)]),
    loss=st.floats(0, 0.5),
)


@settings(max_examples=150)
@given(plans, fleets, st.integers(0, 2**32))
def test_nothing_comes_before_its_cause(plan: Forecast, fleet: Fleet, seed: int) -> None:
    outcome = plan.run(fleet, seed)
    assert np.isfinite(outcome.adopted_ms).all()
    assert list(outcome.adopted_ms) == sorted(outcome.adopted_ms)
    assert sum(turn.nodes for turn in outcome.turns) == fleet.nodes * len(plan.steps)
    for before, after in pairwise(outcome.turns):
        assert after.opened_ms == pytest.approx(before.reached_ms + plan.settle_ms)
    for turn in outcome.turns:
        assert turn.opened_ms <= min(turn.adopted_ms)
        assert turn.opened_ms < turn.reached_ms
    for curve in outcome.curves:
        assert list(curve.times_ms) == sorted(curve.times_ms)
        assert all(0 <= share <= 1 for share in curve.shares)
        assert curve.shares[-1] == pytest.approx(1)
    assert 0 <= outcome.unseen <= fleet.nodes


@settings(max_examples=80)
@given(plans, fleets, st.integers(0, 2**32))
def test_loads_are_sound(plan: Forecast, fleet: Fleet, seed: int) -> None:
    outcome = plan.run(fleet, seed)
    for loads in outcome.loads:
        for load in loads.values():
            assert min(load.mean) >= 0
            assert min(load.peak) >= 0
        for index in range(4):
            parts = [load for kind, load in loads.items() if kind is not Kind.ALL]
            whole = loads[Kind.ALL]
            assert whole.mean[index] == pytest.approx(sum(load.mean[index] for load in parts))
            peaks = [load.peak[index] for load in parts]
            assert max(peaks) <= whole.peak[index] * (1 + 1e-9)
            assert whole.peak[index] <= sum(peaks) * (1 + 1e-9)


def mean_ms(outcome: Outcome) -> float:
    """The mean of what the curve tells, which is smoother than any quantile."""
    curve = outcome.curves[-1]
    shares = np.diff((0.0, *curve.shares))
    return float(np.dot(shares, curve.times_ms))


def run(churn: Churn, push: PushSettings, loss: float, roots: int, seed: int) -> float:
    fleet = Fleet(NODES, churn, (Server("root", push),) * roots, (20.0, 120.0), loss)
    return mean_ms(Forecast((Step("one", 1_000),), cohorts=(1.0,)).run(fleet, seed))


losses = st.floats(0, 0.6)
rates = st.integers(5, 20_000)


def luck_ms(loss: float) -> float:
    """How much later the last node of one future may come than that of another.

    Where packets are lost it is the one that lost several in a row, each worth a second or more.
    """
    return 50 + 6_000 * loss


@settings(max_examples=60)
@given(st.tuples(losses, losses), pushes, st.integers(1, 4), st.integers(0, 999))
def test_more_loss_is_never_faster(
    both: tuple[float, float], push: PushSettings, roots: int, seed: int
) -> None:
    less, more = sorted(both)
    still = Sessions(offline=0.0)
    quick, slow = (run(still, push, loss, roots, seed) for loss in (less, more))
    assert quick <= slow * NOISE + luck_ms(more)


@settings(max_examples=60)
@given(rates, rates, losses, st.integers(1, 4), st.integers(0, 999))
def test_a_faster_push_is_never_slower(
    one: int, other: int, loss: float, roots: int, seed: int
) -> None:
    slow_rate, quick_rate = sorted((one, other))
    still = Sessions(offline=0.0)
    slow, quick = (run(still, paced(rate), loss, roots, seed) for rate in (slow_rate, quick_rate))
    assert quick <= slow * NOISE + luck_ms(loss)


@settings(max_examples=30)
@given(rates, losses, st.integers(0, 999))
def test_more_roots_are_never_slower_and_push_beats_hello(
    rate: int, loss: float, seed: int
) -> None:
    still = Sessions(offline=0.0)
    by_roots = [run(still, paced(rate), loss, roots, seed) for roots in (1, 2, 4)]
    for fewer, more in pairwise(by_roots):
        assert more <= fewer * NOISE + luck_ms(loss)
    silent = run(still, paced(rate, enabled=False), loss, 1, seed)
    assert by_roots[0] <= silent * NOISE + luck_ms(loss)


@settings(max_examples=30)
@given(st.floats(0.05, 0.8), st.floats(0.05, 0.8), st.integers(0, 999))
def test_the_more_are_offline_the_longer_it_takes(one: float, other: float, seed: int) -> None:
    less, more = sorted((one, other))
    quick, slow = (
        run(Sessions(offline, 8 * HOUR_MS), PushSettings(), 0.0, 1, seed)
        for offline in (less, more)
    )
    # A share and its absence times count both: chance is larger here.
    assert quick <= slow * 1.3 + 60_000


moments = st.one_of(st.integers(0, 30).map(float), st.just(np.inf))


@given(
    st.lists(st.tuples(moments, moments), min_size=1, max_size=12),
    st.floats(0.01, 1),
    st.integers(0, 30),
)
def test_when_a_share_is_reached_as_by_counting(
    nodes: list[tuple[float, float]], share: float, since: int
) -> None:
    adopted = np.array([node[0] for node in nodes])
    lost = np.array([node[1] for node in nodes])

    def holds(at: float) -> bool:
        has = int((adopted <= at).sum())
        counted = int(((adopted <= at) | (lost > at)).sum())
        return has >= share * counted - 1e-9

    times = sorted({float(since), *(t for t in (*adopted, *lost) if since <= t < np.inf)})
    expected = next((at for at in times if holds(at)), np.inf)
    found = first_time(adopted, lost, share, float(since))
    assert found == expected
    curve = measure("one", adopted, lost)
    finite = [at for at in (*adopted, *lost) if at < np.inf]
    assert all(0 <= reached <= 1 for reached in curve.shares)
    if finite and share == 1 and since == 0 and np.isfinite(found):
        assert curve.reached_ms(1.0) is not None
