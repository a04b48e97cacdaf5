from collections.abc import Mapping

import pytest

from orrery.rollout.cohorts import EVERYBODY, Cohorts, Named
from orrery.rollout.health import Habit, Health
from orrery.rollout.places import Place
from orrery.rollout.tally import (
    CALL_BACK_MS,
    LONG_CALL_BACK_MS,
    MOST_ASKED,
    RECENT_MS,
    CohortCount,
    Report,
    Tally,
    Target,
    places_at,
)
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from tests.unit.store.making import NOW_MS, WORLD_ID, identity

ROOT = identity(0).public()
OLD = Place(ROOT, Endpoint.from_text("192.0.2.1/9993"))
NEW = Place(ROOT, Endpoint.from_text("192.0.2.2/9993"))
ONE, TWO, THREE, FOUR = (Address(0x1000000001 + n) for n in range(4))
COHORTS = Cohorts([Named(frozenset({ONE, TWO})), EVERYBODY], [ROOT.address])
BEFORE, AFTER, LATER = 10, 20, 30
SETTLE_MS = 1_000
TARGET = Target(
    timestamp_ms=AFTER,
    enough=frozenset({AFTER, LATER}),
    listed=frozenset({OLD, NEW}),
    new=frozenset({NEW}),
    settle_ms=SETTLE_MS,
)
KEPT = Target(
    timestamp_ms=AFTER, enough=frozenset({AFTER}), listed=frozenset({OLD}), settle_ms=SETTLE_MS
)


def tally_of(
    target: Target = TARGET,
    held: Mapping[Address, int] | None = None,
    took_ms: Mapping[Address, int] | None = None,
) -> Tally:
    tally = Tally(WORLD_ID, COHORTS, {FOUR, ROOT.address}, target, NOW_MS)
    held = dict.fromkeys((ONE, TWO, THREE, FOUR), BEFORE) if held is None else held
    tally.load([Report(*each, NOW_MS) for each in held.items()], took_ms or {})
    return tally


def take(tally: Tally, address: Address, at_ms: int = NOW_MS) -> None:
    tally.note(Report(address, AFTER, at_ms))


def test_nodes_are_counted_by_cohort() -> None:
    tally = tally_of(held={ONE: BEFORE, TWO: LATER, THREE: AFTER, FOUR: AFTER})
    assert len(tally) == 3
    assert tally.holders == {BEFORE: 1, AFTER: 1, LATER: 1}
    assert tally.cohorts == (CohortCount(2, 1), CohortCount(1, 1))
    take(tally, ONE)
    assert tally.holders == {AFTER: 2, LATER: 1}
    assert tally.cohorts == (CohortCount(2, 2), CohortCount(1, 1))
    tally.note(Report(ONE, BEFORE, NOW_MS))
    assert tally.cohorts == (CohortCount(2, 1), CohortCount(1, 1))


def test_roots_are_no_nodes() -> None:
    tally = tally_of(held={})
    tally.note(Report(ROOT.address, AFTER, NOW_MS))
    assert (len(tally), tally.installed) == (0, {ROOT.address: AFTER})


def test_who_is_beyond_the_horizon_does_not_count() -> None:
    tally = tally_of()
    tally.note(Report(ONE, BEFORE, NOW_MS + 5))
    tally.forget(NOW_MS + 1)
    assert tally.cohorts == (CohortCount(1, 0), CohortCount(0, 0))
    tally.note(Report(THREE, BEFORE, NOW_MS + 5))
    assert tally.cohorts == (CohortCount(1, 0), CohortCount(1, 0))


def test_a_node_is_well_when_it_was_heard_after_it_settled() -> None:
    tally = tally_of(KEPT)
    take(tally, ONE)
    assert tally.health(NOW_MS) == Health(awaited=1)
    tally.note_heard(ONE, [OLD], NOW_MS + SETTLE_MS - 1)
    tally.note_heard(ONE, [NEW], NOW_MS + SETTLE_MS)
    assert tally.health(NOW_MS + SETTLE_MS) == Health(awaited=1)
    assert tally.to_ask() == [ONE]
    tally.note_heard(ONE, [OLD], NOW_MS + SETTLE_MS)
    assert tally.health(NOW_MS + SETTLE_MS) == Health()
    assert tally.to_ask() == []


def test_without_a_place_that_tells_any_report_will_do() -> None:
    target = Target(timestamp_ms=AFTER, enough=frozenset({AFTER}), settle_ms=SETTLE_MS)
    tally = tally_of(target)
    take(tally, ONE)
    take(tally, ONE, NOW_MS + SETTLE_MS - 1)
    assert tally.health(NOW_MS + SETTLE_MS).awaited == 1
    take(tally, ONE, NOW_MS + SETTLE_MS)
    assert tally.health(NOW_MS + SETTLE_MS) == Health()


def test_a_node_that_is_not_heard_again_is_gone() -> None:
    tally = tally_of(KEPT)
    take(tally, ONE)
    last_ms = NOW_MS + SETTLE_MS + CALL_BACK_MS
    assert tally.health(last_ms) == Health(awaited=1)
    assert "the only node that took revision 20 was not heard" in tally.health(last_ms + 1).alarm
    # Back it comes.
    tally.note_heard(ONE, [OLD], last_ms + 2)
    assert tally.health(last_ms + 3) == Health()


def test_a_node_that_often_goes_is_no_alarm() -> None:
    tally = tally_of(KEPT, {})
    tally.note(Report(ONE, AFTER, NOW_MS, Habit(600, 36_000_000)))
    assert tally.health(NOW_MS + 60_000) == Health()


def test_many_are_given_more_time() -> None:
    many = [Address(0x3000000000 + n) for n in range(MOST_ASKED + 1)]
    tally = tally_of(KEPT, dict.fromkeys(many, BEFORE))
    for number, address in enumerate(many):
        take(tally, address, NOW_MS + number)
    asked = tally.to_ask()
    assert (len(asked), asked[0]) == (MOST_ASKED, many[-1])
    last_ms = NOW_MS + SETTLE_MS + LONG_CALL_BACK_MS
    assert tally.health(last_ms) == Health(awaited=len(many))
    assert "1001 nodes" in tally.health(last_ms + len(many)).alarm


def test_somebody_must_come_to_a_new_place() -> None:
    tally = tally_of()
    take(tally, ONE)
    tally.note_heard(ONE, [OLD, NEW], NOW_MS + SETTLE_MS)  # behind a NAT: one or the other
    assert tally.health(NOW_MS + SETTLE_MS) == Health(awaited=1)
    assert tally.to_ask() == [ONE]
    alarm = tally.health(NOW_MS + SETTLE_MS + CALL_BACK_MS + 1).alarm
    assert "no node that took revision 20 came to a new endpoint of it" in alarm
    tally.note_heard(ONE, [NEW], NOW_MS - 1)  # before it took it
    assert tally.health(NOW_MS + SETTLE_MS).awaited == 1
    tally.note_heard(ONE, [NEW], NOW_MS)
    assert tally.health(NOW_MS + SETTLE_MS) == Health()
    assert tally.heard == {OLD: 1, NEW: 1}


def test_hearing_of_who_does_not_count_tells_nothing() -> None:
    tally = tally_of()
    tally.note_heard(FOUR, [NEW], NOW_MS)
    tally.note_heard(Address(99), [NEW], NOW_MS)
    assert tally.heard == {}


def test_nobody_is_gone_for_what_was_missed() -> None:
    tally = tally_of(KEPT, {ONE: AFTER, TWO: AFTER}, {ONE: NOW_MS - 3_600_000})
    assert tally.health(NOW_MS + SETTLE_MS + CALL_BACK_MS) == Health(awaited=2)
    tally.note_heard(ONE, [OLD], NOW_MS)  # it took it long ago, and is heard
    assert tally.to_ask() == [TWO]


def test_what_was_noted_before_the_clock_was_set_back_is_not_waited_for() -> None:
    tally = Tally(WORLD_ID, COHORTS, (), KEPT, NOW_MS)
    later_ms = NOW_MS + 3_600_000
    tally.load([Report(ONE, AFTER, later_ms), Report(TWO, AFTER, later_ms)], {ONE: later_ms})
    for address in (ONE, TWO):
        tally.note_heard(address, [OLD], NOW_MS + SETTLE_MS)
    assert tally.health(NOW_MS + SETTLE_MS) == Health()


@pytest.mark.parametrize("loaded", [True, False])
def test_who_was_forgiven_is_not_judged(loaded: bool) -> None:
    target = Target(
        timestamp_ms=AFTER,
        enough=frozenset({AFTER}),
        listed=frozenset({NEW}),
        new=frozenset({NEW}),
        forgiven_ms=NOW_MS,
    )
    tally = tally_of(target, took_ms={ONE: NOW_MS} if loaded else None)
    take(tally, ONE, NOW_MS)
    take(tally, ONE, NOW_MS + 1)
    assert tally.health(NOW_MS + 10 * CALL_BACK_MS) == Health()
    take(tally, TWO, NOW_MS + 1)
    assert tally.health(NOW_MS + 1) == Health(awaited=1)


def test_who_returns_for_what_was_before() -> None:
    tally = tally_of(KEPT)
    tally.note(Report(ONE, BEFORE, NOW_MS + 5))
    tally.note(Report(THREE, BEFORE, NOW_MS + 5))
    assert tally.lagging(0, NOW_MS + 1) == 1
    assert tally.lagging(1, NOW_MS + 1) == 2
    assert tally.lagging(1, NOW_MS) == 3
    take(tally, ONE, NOW_MS + 6)
    assert tally.lagging(0, NOW_MS + 1) == 0


def test_who_lacks_it_is_called_as_long_as_there_is_a_way() -> None:
    tally = tally_of(KEPT)
    tally.note(Report(ONE, BEFORE, NOW_MS + 5))
    tally.note(Report(THREE, BEFORE, NOW_MS + 5))
    assert tally.to_wake(NOW_MS) == []  # it was given to nobody
    assert tally.lagging(1, NOW_MS + 5) == 2
    assert set(tally.to_wake(NOW_MS + 1)) == {ONE, THREE}
    assert len(tally.to_wake(NOW_MS)) == 3
    take(tally, ONE, NOW_MS + 6)
    assert tally.to_wake(NOW_MS + 1) == [THREE]


def test_who_falls_silent_when_it_is_given_something_is_counted() -> None:
    tally = tally_of(KEPT)
    opened_ms = NOW_MS + RECENT_MS
    tally.lagging(0, opened_ms)
    assert tally.health(opened_ms).silent == 2  # they were there at NOW_MS, if only just
    tally.note(Report(ONE, BEFORE, opened_ms))
    assert tally.health(opened_ms).silent == 1
    take(tally, TWO, opened_ms)
    assert tally.health(opened_ms).silent == 0
    tally.lagging(1, opened_ms + 1)
    assert tally.health(opened_ms).silent == 1  # the third has been away for long
    tally.forget(opened_ms + 1)
    assert tally.health(opened_ms).silent == 0


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        ("192.0.2.1/9993", {"192.0.2.1/9993"}),
        ("10.0.0.1/9993", {"192.0.2.1/9993", "192.0.2.2/9993"}),
        ("10.0.0.1/443", {"192.0.2.3/443"}),
        ("10.0.0.1/80", {"192.0.2.1/9993", "192.0.2.2/9993", "192.0.2.3/443"}),
        ("2001:db8::1/80", {"192.0.2.1/9993", "192.0.2.2/9993", "192.0.2.3/443"}),
    ],
)
def test_where_something_came_in_behind_a_nat(here: str, expected: set[str]) -> None:
    third = Place(ROOT, Endpoint.from_text("192.0.2.3/443"))
    found = places_at([OLD, NEW, third], Endpoint.from_text(here))
    assert {str(place.endpoint) for place in found} == expected


def test_a_root_without_places_is_heard_nowhere() -> None:
    assert places_at([], OLD.endpoint) == frozenset()


def test_who_took_it_is_asked_until_somebody_came_to_a_new_place() -> None:
    tally = tally_of()
    take(tally, ONE)
    tally.note_heard(ONE, [OLD], NOW_MS + SETTLE_MS)
    assert tally.health(NOW_MS + SETTLE_MS).awaited
    assert tally.to_ask() == [ONE]
    tally.note_heard(ONE, [NEW], NOW_MS + SETTLE_MS)
    assert tally.to_ask() == []
