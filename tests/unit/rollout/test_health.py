import math

import pytest

from orrery.rollout.health import (
    Habit,
    Health,
    Takers,
    departure_rate,
    expect_gone,
    is_explained,
    judge,
)
from orrery.wire.address import Address

HOUR_MS = 3_600_000
STEADY = Habit(absences=1, present_ms=1_000 * HOUR_MS)
DOZING = Habit(absences=600, present_ms=10 * HOUR_MS)
GONE = tuple(Address(0x1000000000 + n) for n in range(7))


def test_without_history_a_node_leaves_every_ten_hours() -> None:
    assert departure_rate(Habit(), Habit()) == pytest.approx(1 / (10 * HOUR_MS))


def test_a_node_goes_as_it_went_before() -> None:
    fleet = Habit(100, 10_000 * HOUR_MS)
    assert departure_rate(STEADY, fleet) == pytest.approx(1 / (1_000 * HOUR_MS), rel=0.05)
    assert departure_rate(DOZING, fleet) == pytest.approx(60 / HOUR_MS, rel=0.1)
    # Of one that was hardly seen, the fleet tells more.
    assert departure_rate(Habit(0, 60_000), fleet) == pytest.approx(1 / (100 * HOUR_MS), rel=0.05)


def test_what_is_expected_is_a_probability() -> None:
    assert expect_gone(0, 1_000) == 0
    assert expect_gone(1 / HOUR_MS, HOUR_MS) == pytest.approx(1 - 1 / math.e)
    assert expect_gone(1, HOUR_MS) == pytest.approx(1)


@pytest.mark.parametrize(
    ("gone", "expected", "explained"),
    [
        (0, 0.0, True),
        (1, 0.009, False),
        (1, 0.011, True),
        (2, 0.14, False),
        (2, 0.16, True),
        (20, 10.0, False),
        (18, 10.0, True),
        (150, 100.0, False),
        (120, 100.0, True),
        (5, 0.0, False),
        (550, 500.0, True),
        (560, 500.0, False),
        (560, 505.0, False),
        (1_050, 1_000.0, True),
        (1_100, 1_000.0, False),
    ],
)
def test_how_many_may_go_by_themselves(gone: int, expected: float, explained: bool) -> None:
    assert is_explained(gone, expected) is explained
    # Against the sum of Poisson's probabilities, written down as it is in books.
    fewer = sum(
        math.exp(-expected + k * math.log(expected) - math.lgamma(k + 1)) if expected else k == 0
        for k in range(gone)
    )
    assert (1 - fewer >= 0.01 or not gone) is explained


def test_all_is_well() -> None:
    assert judge(Takers(target_ms=5, count=3)) == Health()
    assert judge(Takers(target_ms=5, count=3, awaited=2)) == Health(awaited=2)


@pytest.mark.parametrize(
    ("gone", "count", "words"),
    [
        (1, 1, "the only node that took revision 5 was not heard from again"),
        (2, 2, "all 2 nodes that took revision 5 were not heard from again"),
        (1, 9, "1 of 9 nodes that took revision 5 was not heard from again"),
    ],
)
def test_an_alarm_says_who_is_gone(gone: int, count: int, words: str) -> None:
    health = judge(Takers(target_ms=5, count=count, gone=GONE[:gone], expected_gone=0.0021))
    assert words in health.alarm
    assert "fewer than 0.01 would have gone by themselves: 1000000000" in health.alarm


@pytest.mark.parametrize(
    ("expected", "words"), [(0.00001, "fewer than 0.01"), (0.034, "0.034"), (123.4, "123")]
)
def test_an_alarm_says_how_many_would_have_gone(expected: float, words: str) -> None:
    gone = GONE * 100
    health = judge(Takers(target_ms=5, count=900, gone=gone, expected_gone=expected))
    assert f"by the history of this fleet {words} would have gone by themselves" in health.alarm


def test_an_alarm_names_a_few() -> None:
    health = judge(Takers(target_ms=5, count=7, gone=GONE, expected_gone=0.1))
    assert health.alarm.endswith("1000000003, 1000000004 and others")


def test_who_goes_by_itself_is_no_alarm() -> None:
    assert judge(Takers(target_ms=5, count=7, awaited=1, gone=GONE[:1], expected_gone=0.2)) == (
        Health(awaited=1)
    )


def test_somebody_comes_to_a_new_endpoint_or_it_is_out_of_reach() -> None:
    takers = Takers(target_ms=5, count=3, awaited=3, new_places="8056c2e21c at 192.0.2.1/9993")
    assert judge(takers) == Health(awaited=3)
    late = Takers(target_ms=5, count=3, awaited=2, new_places="8056c2e21c at 192.0.2.1/9993")
    assert judge(late).alarm == (
        "no node that took revision 5 came to a new endpoint of it, of 3 that did: 8056c2e21c at "
        "192.0.2.1/9993 may be out of their reach"
    )
    came = Takers(target_ms=5, count=3, awaited=2, new_places="8056c2e21c", came=1)
    assert judge(came) == Health(awaited=2)
    assert judge(Takers(target_ms=5, count=0, new_places="8056c2e21c")) == Health()
