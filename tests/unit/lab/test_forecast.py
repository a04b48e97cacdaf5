"""Plans, fleets and what comes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orrery.errors import UsageError
from orrery.lab.churn import DAY_MS, HOUR_MS, Daily, Sessions
from orrery.lab.forecast import (
    CONDUCTOR_MS,
    Fleet,
    Forecast,
    Outcome,
    Server,
    Spread,
    Step,
    shares_of,
    spread,
    steps_of,
)
from orrery.lab.load import Kind
from orrery.lab.rehearsal.sample import make_sample
from orrery.lab.traffic import hello_exchange
from orrery.rollout.cohorts import EVERYBODY, Named, Share
from orrery.vl1.limits import Allowance
from orrery.vl1.push import PushSettings
from orrery.wire.address import Address

ALWAYS = Sessions(offline=0.0)
ONE = Step("one", 400)
ROOT = Server("root")
RTT_MS = (20.0, 120.0)


def fleet(nodes: int = 2_000, **other: object) -> Fleet:
    values: dict[str, object] = {"churn": ALWAYS, "servers": (ROOT,), "rtt_ms": RTT_MS}
    return Fleet(nodes, **(values | other))  # type: ignore[arg-type]


def run(plan: Forecast, **other: object) -> Outcome:
    return plan.run(fleet(**other), seed=1)  # type: ignore[arg-type]


def test_a_fleet_that_is_online_has_a_push_after_one_way() -> None:
    push = PushSettings(nodes=Allowance(5_000, 5_000), bytes=Allowance(1e9, 1e9))
    outcome = run(Forecast((ONE,), cohorts=(1.0,)), servers=(Server("root", push),))
    half_ms, _, all_ms = outcome.adopted_ms
    assert half_ms == pytest.approx(35, abs=2)
    assert all_ms == pytest.approx(60, abs=1)
    # The root knows as soon again, the conductor a little later.
    (turn,) = outcome.turns
    assert turn.reached_ms == pytest.approx(2 * all_ms + CONDUCTOR_MS, abs=1)
    assert outcome.done_ms == turn.reached_ms
    assert outcome.unseen == 0


def test_cohorts_are_ranges_and_each_waits_for_the_one_before() -> None:
    plan = Forecast((ONE, replace(ONE, name="two")), cohorts=(0.01, 0.1, 1.0), settle_ms=60_000)
    outcome = run(plan)
    assert [(turn.step, turn.cohort, turn.nodes) for turn in outcome.turns] == [
        (0, 0, 20),
        (0, 1, 180),
        (0, 2, 1_800),
        (1, 0, 20),
        (1, 1, 180),
        (1, 2, 1_800),
    ]
    for before, after in zip(outcome.turns, outcome.turns[1:], strict=False):
        assert after.opened_ms == before.reached_ms + 60_000
    assert outcome.adopted_ms[0] > outcome.turns[-1].opened_ms
    first, second = outcome.curves
    assert first.reached_ms(1.0) is not None
    assert second.reached_ms(0.011) >= outcome.turns[4].opened_ms  # type: ignore[operator]


def test_a_step_may_have_cohorts_and_a_required_share_of_its_own() -> None:
    away = Sessions(offline=0.3, session_ms=HOUR_MS)
    steps = (replace(ONE, cohorts=(1.0,), required=0.5), ONE)
    outcome = run(Forecast(steps, cohorts=(0.5, 1.0)), churn=away)
    assert [turn.nodes for turn in outcome.turns] == [2_000, 1_000, 1_000]
    # Half of them are online at once; the last of all takes hours.
    assert outcome.turns[0].reached_ms < 10_000
    assert outcome.turns[0].adopted_ms[2] > HOUR_MS
    assert outcome.turns[2].reached_ms - outcome.turns[2].opened_ms > 10 * 60_000


def test_nodes_that_are_asleep_have_it_when_they_wake() -> None:
    away = Sessions(offline=0.5, session_ms=HOUR_MS)
    outcome = run(Forecast((ONE,), cohorts=(1.0,)), churn=away, nodes=20_000)
    curve = outcome.curves[0]
    assert curve.reached_ms(0.49) < 5_100  # type: ignore[operator]
    # Half of the absent return in ln 2 hours.
    assert curve.reached_ms(0.75) == pytest.approx(np.log(2) * HOUR_MS, rel=0.05)


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_who_wakes_has_it_after_a_round_trip_or_looks_again_every_five_seconds(
    loss: float,
) -> None:
    office = Daily(begins_ms=20 * HOUR_MS, spread_ms=0.0)
    outcome = run(Forecast((ONE,), cohorts=(1.0,)), churn=office, loss=loss)
    curve = outcome.curves[0]
    rounds = [divmod(at_ms - 12 * HOUR_MS, 5_000) for at_ms in curve.times_ms]
    assert all(20 <= rest_ms <= 120 for _, rest_ms in rounds)
    at_once = np.interp(12 * HOUR_MS + 200, curve.times_ms, curve.shares)
    assert at_once == pytest.approx((1 - loss) ** 2, abs=0.03)


def test_nodes_that_sleep_beyond_the_horizon_cease_to_count() -> None:
    away = Sessions(offline=0.2, session_ms=10 * DAY_MS)
    plan = Forecast((ONE,), cohorts=(1.0,), horizon_ms=DAY_MS)
    outcome = run(plan, churn=away)
    assert 0 < outcome.unseen < 400
    assert outcome.done_ms <= DAY_MS + CONDUCTOR_MS
    assert outcome.adopted_ms[2] <= DAY_MS
    assert outcome.curves[0].reached_ms(1.0) == outcome.adopted_ms[2]
    patient = run(replace(plan, horizon_ms=400 * DAY_MS), churn=away)
    assert patient.unseen == 0
    assert patient.adopted_ms[2] > 2 * DAY_MS


def test_without_push_it_takes_a_round_of_hello() -> None:
    silent = Server("root", PushSettings(enabled=False))
    outcome = run(Forecast((ONE,), cohorts=(1.0,)), servers=(silent,), nodes=20_000)
    half_ms, most_ms, all_ms = outcome.adopted_ms
    assert half_ms == pytest.approx(112_500, rel=0.03)
    assert most_ms == pytest.approx(0.99 * 225_000, rel=0.01)
    assert all_ms <= 225_060
    # Its answers carry the Worlds, and each is followed by a probe.
    loads = outcome.loads[0]
    assert loads[Kind.PUSH].mean == (0, 0, 0, 0)
    assert loads[Kind.PROBE].mean.packets_out == pytest.approx(20_000 / 225, rel=0.02)
    worlds = 20_000 * (hello_exchange(400).out.size_bytes - hello_exchange().out.size_bytes)
    extra = loads[Kind.HELLO].mean.bytes_out - 20_000 / 225 * hello_exchange().out.size_bytes
    assert extra * all_ms / 1000 == pytest.approx(worlds, rel=0.02)


def test_the_night_is_waited_for() -> None:
    office = Daily(begins_ms=17 * HOUR_MS)
    outcome = run(Forecast((ONE,), cohorts=(1.0,)), churn=office)
    assert outcome.adopted_ms[0] < 10_000
    assert 13 * HOUR_MS < outcome.adopted_ms[1] < 20 * HOUR_MS


def test_who_slept_through_rotations_is_handed_every_link() -> None:
    away = Sessions(offline=0.5, session_ms=50 * DAY_MS)
    served = []
    for rotates in (False, True):
        steps = tuple(replace(ONE, rotates=rotates, required=0.4) for _ in range(4))
        plan = Forecast(steps, cohorts=(1.0,), settle_ms=1_000, horizon_ms=1_000 * DAY_MS)
        outcome = run(plan, churn=away)
        span_s = max(outcome.adopted_ms[2], outcome.done_ms) / 1000
        served.append(outcome.loads[0][Kind.HELLO].mean.bytes_out * span_s)
    # A thousand nodes were away: three links more for nearly each.
    assert served[1] - served[0] == pytest.approx(1_000 * 3 * 400, rel=0.1)


def test_chains_that_fit_no_packet_take_more_round_trips() -> None:
    away = Sessions(offline=0.5, session_ms=HOUR_MS)
    large = Step("large", 9_000, rotates=True, required=0.4)
    steps = (large, large, large)
    plan = Forecast(steps, cohorts=(1.0,), settle_ms=1)
    outcome = plan.run(fleet(churn=away, rtt_ms=(4_000.0, 4_000.0)))
    small = replace(plan, steps=tuple(replace(step, rotates=False) for step in steps))
    sooner = small.run(fleet(churn=away, rtt_ms=(4_000.0, 4_000.0)))
    assert outcome.adopted_ms[1] > sooner.adopted_ms[1]


def test_roots_push_side_by_side() -> None:
    slow = PushSettings(nodes=Allowance(100, 100))
    plan = Forecast((ONE,), cohorts=(1.0,))
    one = run(plan, servers=(Server("a", slow),))
    two = run(plan, servers=(Server("a", slow), Server("b", slow)))
    assert two.adopted_ms[0] < one.adopted_ms[0]
    assert len(two.loads) == 2
    for loads in two.loads:
        # Each of them pushes to every node, and half of the nodes ask it for both.
        pushed = loads[Kind.PUSH].mean.packets_out * 60
        assert pushed == pytest.approx(2_000, rel=0.01)
        whois = one.loads[0][Kind.WHOIS].mean.packets_in
        assert loads[Kind.WHOIS].mean.packets_in == pytest.approx(whois, rel=0.05)


def test_nodes_that_have_just_left_are_pushed_to_in_vain() -> None:
    coming = Sessions(offline=0.5, session_ms=4 * 60_000)
    outcome = run(Forecast((ONE,), cohorts=(1.0,), horizon_ms=DAY_MS), churn=coming, nodes=10_000)
    loads = outcome.loads[0]
    span_s = max(outcome.adopted_ms[2], outcome.done_ms, 60_000) / 1000
    pushed = loads[Kind.PUSH].mean.packets_out * span_s
    # Of the absent, a share of 1 - e^(-243/240) left while their path was still known.
    assert pushed == pytest.approx(5_000 + 5_000 * (1 - np.exp(-243 / 240)), rel=0.05)


def test_loss_takes_time_and_packets() -> None:
    plan = Forecast((ONE,), cohorts=(1.0,))
    good, bad = run(plan), run(plan, loss=0.3)
    assert bad.adopted_ms[1] > 5_000 > good.adopted_ms[1]
    pushes = bad.loads[0][Kind.PUSH].mean.packets_out * max(60, bad.done_ms / 1000)
    # A push, a probe and its answer arrive together with a chance of 0.34; later probes suffice.
    assert 1.5 * 2_000 < pushes < 3 * 2_000


def test_the_same_seed_gives_the_same_future() -> None:
    plan, some = Forecast((ONE,)), fleet(churn=Sessions(0.2), loss=0.1)
    assert plan.run(some, 5) == plan.run(some, 5)
    assert plan.run(some, 5) != plan.run(some, 6)


def test_progress_is_told_after_each_turn() -> None:
    told: list[tuple[int, int]] = []
    plan = Forecast((ONE, ONE))
    plan.run(fleet(10), progress=lambda done, of: told.append((done, of)))
    assert told == [(done, 6) for done in range(1, 7)]


def test_a_cohort_that_adds_nobody_is_passed() -> None:
    outcome = run(Forecast((ONE,), cohorts=(0.1, 0.2, 1.0)), nodes=3)
    assert [turn.nodes for turn in outcome.turns] == [1, 0, 2]
    assert outcome.turns[1].reached_ms == outcome.turns[1].opened_ms + CONDUCTOR_MS


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": ()},
        {"cohorts": ()},
        {"cohorts": (0.5,)},
        {"cohorts": (0.5, 0.5, 1.0)},
        {"cohorts": (0.0, 1.0)},
        {"required": 0.0},
        {"required": 1.1},
        {"settle_ms": -1.0},
        {"horizon_ms": 0.0},
        {"steps": (replace(ONE, world_bytes=0),)},
        {"steps": (replace(ONE, world_bytes=20_000),)},
        {"steps": (replace(ONE, required=2.0),)},
        {"steps": (replace(ONE, cohorts=(0.3,)),)},
    ],
)
def test_plans_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Forecast(**({"steps": (ONE,)} | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"nodes": 0},
        {"servers": ()},
        {"loss": 0.95},
        {"loss": -0.1},
        {"rtt_ms": (100.0, 50.0)},
        {"rtt_ms": (0.0, 6_000.0)},
    ],
)
def test_fleets_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        fleet(**wrong)  # type: ignore[arg-type]


def test_cohorts_of_a_rollout_as_shares() -> None:
    names = frozenset(Address(0x1000000000 + number) for number in range(10))
    one, ten = Share(10_000), Share(100_000)
    assert shares_of([one, ten, EVERYBODY], 1_000) == (0.01, 0.1, 1.0)
    assert shares_of([Named(names), ten, EVERYBODY], 1_000) == pytest.approx((0.01, 0.109, 1.0))
    assert shares_of([ten, Named(names), EVERYBODY], 100) == pytest.approx((0.09, 0.19, 1.0))
    assert shares_of([Named(names), ten, EVERYBODY], 10) == (1.0,)


def test_the_middle_and_the_ends() -> None:
    assert spread([3, 1, 2]) == Spread(2, 1, 3)
    assert spread([3, 1, 2, 4]) == Spread(3, 1, 4)


def test_the_steps_of_a_plan_with_what_each_asks_for() -> None:
    script = make_sample(20)
    start = script.chain.newest
    steps = steps_of(script.order.plan, start)
    assert [step.name for step in steps] == ["step 1", "step 2"]
    assert [step.rotates for step in steps] == [True, False]
    assert all(step.waits_for_all for step in steps)
    # Four roots and two, in IPv4: 17 + 64 + 96 + 1 bytes, and 71 + 1 + 7 for each.
    assert [step.world_bytes for step in steps] == [178 + 4 * 79, 178 + 2 * 79]


def test_all_are_waited_for_where_a_step_says_so_though_fewer_are_required() -> None:
    sleepy = fleet(churn=Sessions(0.2))
    eager = Forecast((Step("first", 500), Step("second", 500)), (0.5, 1.0), required=0.5)
    steps = tuple(replace(step, waits_for_all=True) for step in eager.steps)
    patient = replace(eager, steps=steps)
    hasty, waiting = eager.run(sleepy), patient.run(sleepy)
    # The first cohort is no other, the last one is.
    assert waiting.turns[1].opened_ms == hasty.turns[1].opened_ms
    assert waiting.turns[2].opened_ms > waiting.turns[1].adopted_ms[2]
    assert hasty.turns[2].opened_ms < hasty.turns[1].adopted_ms[2]


def test_a_cohort_does_not_wait_for_who_is_asleep_but_a_step_does() -> None:
    sleepy = fleet(churn=Sessions(0.2))
    steps = tuple(Step(name, 500, waits_for_all=True) for name in ("one", "two"))
    patient = Forecast(steps, (0.1, 1.0), settle_ms=10_000)
    quick = replace(patient, awake_ms=15_000)
    slow, fast = patient.run(sleepy), quick.run(sleepy)
    assert slow.turns[1].opened_ms > HOUR_MS
    assert fast.turns[1].opened_ms == pytest.approx(15_000 + CONDUCTOR_MS + 10_000)
    # Sleepers of the first cohort are among those that the end of the step waits for.
    assert fast.turns[2].opened_ms >= max(turn.adopted_ms[2] for turn in fast.turns[:2])
    assert fast.turns[2].opened_ms < slow.turns[2].opened_ms
    # Who is not there at all is waited for by nobody; then all are asked for at the end.
    nobody = quick.run(fleet(churn=Sessions(0.99)))
    assert nobody.turns[1].opened_ms == pytest.approx(15_000 + CONDUCTOR_MS + 10_000)
    assert nobody.curves[-1].shares[-1] == 1
