"""Sessions of fleets: shares, lengths, memory, and what sightings tell of them."""

from __future__ import annotations

import numpy as np
import pytest

from orrery.errors import UsageError
from orrery.lab.churn import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    PRESENT_MS,
    Churn,
    Daily,
    Presence,
    Renewals,
    Sessions,
    Sighted,
    Times,
)
from orrery.store.presence import NodePresence

NODES = 40_000
ALL = np.arange(NODES)
HORIZON_MS = 30 * DAY_MS


def fleet(model: Churn, nodes: int = NODES, seed: int = 1) -> Presence:
    return model.fleet(nodes, HORIZON_MS, np.random.default_rng(seed))


def online_at(presence: Presence, at_ms: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    presence.meet(ALL, at_ms)
    return presence.start_ms <= at_ms


# -- sessions of random length ---------------------------------------------------------------------


@pytest.mark.parametrize("at_ms", [0.0, HOUR_MS, 3 * DAY_MS])
def test_the_share_that_is_offline_is_the_same_at_any_time(at_ms: float) -> None:
    presence = fleet(Sessions(0.3, 8 * HOUR_MS, 0.2))
    online = online_at(presence, at_ms)
    assert online.mean() == pytest.approx(0.7, abs=0.01)
    assert presence.online_share(at_ms) == pytest.approx(0.7, abs=0.01)


def test_absences_are_as_long_as_shares_and_sessions_say() -> None:
    model = Sessions(0.25, 6 * HOUR_MS)
    assert model.absence_ms == pytest.approx(2 * HOUR_MS)
    presence = fleet(model)
    for at_ms in (0.0, 7 * HOUR_MS):
        online = online_at(presence, at_ms)
        # Exponential: what is left is as long as the whole, and so is what is over.
        left_ms = presence.end_ms[online] - at_ms
        wait_ms = presence.start_ms[~online] - at_ms
        age_ms = at_ms - presence.seen_ms[~online]
        assert left_ms.mean() == pytest.approx(6 * HOUR_MS, rel=0.03)
        assert wait_ms.mean() == pytest.approx(2 * HOUR_MS, rel=0.03)
        assert age_ms.mean() == pytest.approx(2 * HOUR_MS, rel=0.05)
        assert np.median(wait_ms) == pytest.approx(np.log(2) * 2 * HOUR_MS, rel=0.04)


def test_leaping_over_sessions_is_like_going_from_one_to_the_next() -> None:
    model = Sessions(0.5, HOUR_MS)
    leaping, stepping = fleet(model), fleet(model, seed=2)
    first = online_at(leaping, 0.0)
    later = online_at(leaping, HOUR_MS)
    first_too = online_at(stepping, 0.0)
    while True:
        over = np.flatnonzero(stepping.end_ms <= HOUR_MS)
        if not len(over):
            break
        stepping.meet(over, stepping.end_ms[over])
    later_too = stepping.start_ms <= HOUR_MS
    for before, after in ((first, later), (first_too, later_too)):
        # Two states, each left once an hour: (1 + e^-2) / 2 stay as they were.
        assert (before == after).mean() == pytest.approx((1 + np.exp(-2)) / 2, abs=0.01)


def test_who_is_always_on_never_leaves() -> None:
    presence = fleet(Sessions(0.4, HOUR_MS, always_on=0.5))
    stays = np.isinf(presence.end_ms)
    assert stays.mean() == pytest.approx(0.5, abs=0.01)
    assert online_at(presence, 100 * DAY_MS)[stays].all()
    assert np.isinf(fleet(Sessions(0.0)).end_ms).all()


def test_asking_again_changes_nothing() -> None:
    for model in (Sessions(0.4), Daily(used=0.6)):
        presence = fleet(model)
        presence.meet(ALL, DAY_MS)
        before = presence.start_ms.copy(), presence.end_ms.copy()
        presence.meet(ALL, DAY_MS)
        assert (presence.start_ms == before[0]).all()
        assert (presence.end_ms == before[1]).all()


def test_everybody_was_seen_within_the_horizon() -> None:
    presence = Sessions(0.5, 60 * DAY_MS).fleet(NODES, DAY_MS, np.random.default_rng(1))
    presence.meet(ALL, 0.0)
    assert presence.seen_ms.min() >= -DAY_MS


def test_as_many_wake_as_return() -> None:
    presence = fleet(Sessions(0.2, 8 * HOUR_MS))
    away = ~online_at(presence, 0.0)
    woken = (presence.start_ms[away] < 10 * MINUTE_MS).sum() / (10 * MINUTE_MS)
    assert woken == pytest.approx(presence.wakes_per_ms(0.0), rel=0.1)


@pytest.mark.parametrize(
    ("offline", "session_ms", "always_on"),
    [(-0.1, 1, 0), (1.0, 1, 0), (0.2, 0, 0), (0.2, 1, 1.1), (0.2, 1, 0.8), (0.5, 1, 0.7)],
)
def test_shares_that_cannot_be(offline: float, session_ms: float, always_on: float) -> None:
    with pytest.raises(UsageError):
        Sessions(offline, session_ms, always_on)


# -- hours of the day ------------------------------------------------------------------------------


def test_a_fleet_of_laptops_is_there_in_the_day_and_away_at_night() -> None:
    presence = fleet(Daily(begins_ms=9 * HOUR_MS, always_on=0.1))
    for hour, share in ((13, 1.0), (18, 0.55), (23, 0.1), (24 + 3, 0.1), (24 + 8, 0.55)):
        at_ms = (hour - 9) * HOUR_MS
        assert online_at(presence, at_ms).mean() == pytest.approx(share, abs=0.03)
        assert presence.online_share(at_ms) == pytest.approx(share, abs=0.03)


def test_sessions_may_go_past_midnight() -> None:
    presence = fleet(Daily(22 * HOUR_MS, 6 * HOUR_MS, 0.0, spread_ms=MINUTE_MS))
    assert online_at(presence, 2 * HOUR_MS).all()
    assert not online_at(presence, 12 * HOUR_MS).any()
    assert presence.start_ms - 12 * HOUR_MS == pytest.approx(10 * HOUR_MS, abs=10 * MINUTE_MS)


def test_unused_days_are_passed_over() -> None:
    presence = fleet(Daily(used=0.5, spread_ms=MINUTE_MS))
    online = online_at(presence, 3 * HOUR_MS)
    assert online.mean() == pytest.approx(0.5, abs=0.01)
    days = np.round((presence.start_ms[~online] + HOUR_MS) / DAY_MS)
    assert days.min() == 1
    # The first used day of fair coins.
    assert days.mean() == pytest.approx(2.0, abs=0.05)
    assert (presence.seen_ms[~online] <= 3 * HOUR_MS - 15 * HOUR_MS + 10 * MINUTE_MS).all()


def test_the_morning_is_when_they_wake() -> None:
    presence = fleet(Daily(begins_ms=0.0, used=0.8))
    rates = [presence.wakes_per_ms(hour * HOUR_MS) for hour in range(24)]
    assert max(range(24), key=rates.__getitem__) == 8
    assert sum(rates) * HOUR_MS == pytest.approx(0.8 * NODES, rel=0.05)


@pytest.mark.parametrize(
    "wrong", [{"used": 0.01}, {"used": 1.2}, {"always_on": 2.0}, {"from_ms": 0.0, "until_ms": 0.0}]
)
def test_days_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Daily(**wrong)


# -- sightings -------------------------------------------------------------------------------------


def sighted(truth: Renewals, duty: Times) -> Sighted:
    """What a root would know of a fleet at time 0."""
    age_ms = np.where(truth.start_ms > 0, -truth.seen_ms, 60_000.0)
    counts = age_ms <= HORIZON_MS
    return Sighted(age_ms[counts], duty[counts], HORIZON_MS)


def mixed_fleet() -> tuple[Renewals, Times]:
    """Half is away for an hour at a time, a quarter for three days, the rest never."""
    chance = np.random.default_rng(3)
    kind = chance.choice(3, NODES, p=(0.5, 0.25, 0.25))
    duty = np.array([0.8, 0.4, 1.0])[kind]
    absence_ms = np.array([HOUR_MS, 3 * DAY_MS, HOUR_MS])[kind]
    away = chance.random(NODES) >= duty
    leaves = (1 - duty) / duty / absence_ms
    age_ms = chance.exponential(absence_ms[away])
    return Renewals(leaves, 1 / absence_ms, away, age_ms, chance), duty


@pytest.mark.parametrize("knows_duty", [True, False])
def test_absent_nodes_return_as_those_did_that_were_sighted(knows_duty: bool) -> None:
    truth, duty = mixed_fleet()
    model = sighted(truth, duty if knows_duty else np.full(NODES, np.nan))
    again = fleet(model, 60_000)
    away = again.start_ms > 0
    missed = truth.seen_ms < -PRESENT_MS  # who has just left does not show
    assert away.mean() == pytest.approx(missed.mean(), abs=0.01)
    for share in (0.25, 0.75, 0.9, 0.99):
        expected = np.quantile(truth.start_ms[missed], share)
        assert np.quantile(again.start_ms[away], share) == pytest.approx(expected, rel=0.1)


def test_as_many_leave_as_return_so_that_the_fleet_stays_as_it_is() -> None:
    truth, duty = mixed_fleet()
    again = fleet(sighted(truth, duty))
    count = len(again.start_ms)
    everybody = np.arange(count)
    for at_ms in (0.0, 2 * HOUR_MS, 2 * DAY_MS):
        again.meet(everybody, at_ms)
        online = (again.start_ms <= at_ms).mean()
        assert online == pytest.approx((truth.start_ms <= 0).mean(), abs=0.03)
    assert np.isinf(again.end_ms).mean() == pytest.approx(0.25, abs=0.12)


def test_a_fleet_of_which_nobody_is_absent_stays() -> None:
    presence = fleet(Sighted(np.full(10, 1_000.0), np.full(10, np.nan), HORIZON_MS), 10)
    assert np.isinf(presence.end_ms).all()


def test_what_a_store_tells() -> None:
    newest_ms = 1_790_000_000_000
    day_ms = round(DAY_MS)
    seen = [
        NodePresence(newest_ms, newest_ms - 2 * day_ms, 1_440),  # half of the time, by minutes
        NodePresence(newest_ms - day_ms, newest_ms - 2 * day_ms, 2_880),  # all of its first day
        NodePresence(newest_ms - 3_600_000, newest_ms - 3_600_000, 1),  # too new to tell
        NodePresence(newest_ms - 40 * day_ms, newest_ms - 50 * day_ms, 9),  # beyond the horizon
    ]
    model = Sighted.of(seen, HORIZON_MS, 8 * HOUR_MS, MINUTE_MS)
    assert model.age_ms.tolist() == [0.0, DAY_MS, HOUR_MS]
    assert model.duty[:2].tolist() == [0.5, 1.0]
    assert np.isnan(model.duty[2])
    assert model.seen_within(HOUR_MS) == pytest.approx(2 / 3)
    assert np.isnan(Sighted.of(seen, HORIZON_MS, HOUR_MS, None).duty).all()
    assert model.describe() == (
        "3 nodes as sighted: 33.3 % in the last 5 minutes, 66.7 % in the last hour, "
        "100 % in the last day, 100 % in the last week"
    )


def test_a_store_that_has_seen_nobody() -> None:
    with pytest.raises(UsageError, match="no node was seen"):
        Sighted.of([], HORIZON_MS, HOUR_MS, None)
