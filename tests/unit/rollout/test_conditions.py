import pytest

from orrery.rollout.conditions import (
    Adopted,
    Answering,
    Condition,
    Evidence,
    Heard,
    Installed,
    Stopped,
)
from orrery.rollout.places import Place, places_of
from orrery.wire.world import Root
from tests.unit.worlds.making import root

A = root(1, "198.51.100.1/9993", "[2001:db8::1]:9993")
B = root(2, "198.51.100.2/9993")
OFFICIAL = B.identity.address


def places(*roots: Root) -> tuple[Place, ...]:
    return tuple(sorted(places_of(roots)))


def test_a_step_is_adopted_when_all_hold_it_or_what_came_after() -> None:
    step = Adopted(1)
    assert not step.is_met(Evidence(revisions=[10], holders={}))
    evidence = Evidence(revisions=[10, 20], holders={10: 3, 20: 5})
    assert not step.is_met(evidence)
    assert step.missing(evidence) == (3, ())
    assert step.is_met(Evidence(revisions=[10, 20, 30], holders={20: 5, 30: 1}))
    assert step.is_met(Evidence(revisions=[10, 20], holders={}))


def test_who_holds_another_world_has_not_adopted_it_however_new_it_is() -> None:
    assert Adopted(1).missing(Evidence(revisions=[10, 20], holders={25: 2})) == (2, ())


def test_who_waits_for_a_moon_is_not_waited_for() -> None:
    assert Adopted(1).is_met(Evidence(revisions=[10, 20], holders={0: 2, 20: 1}))


def test_official_roots_must_hold_it_too() -> None:
    step = Adopted(1, (OFFICIAL,))
    for installed in ({}, {OFFICIAL: 10}):
        evidence = Evidence(revisions=[10, 20], holders={20: 1}, installed=installed)
        assert step.missing(evidence) == (0, (OFFICIAL,))
        assert not step.is_met(evidence)
    assert step.is_met(Evidence(revisions=[10, 20], holders={}, installed={OFFICIAL: 20}))


def test_a_file_is_installed_when_official_roots_hold_it() -> None:
    step = Installed(1, (OFFICIAL,))
    assert not step.is_met(Evidence(revisions=[10, 20], holders={}, installed={OFFICIAL: 10}))
    assert step.is_met(Evidence(revisions=[10, 20], holders={10: 9}, installed={OFFICIAL: 20}))
    assert not step.is_met(Evidence(revisions=[10], holders={}, installed={OFFICIAL: 10}))


def test_places_answer_or_have_stopped() -> None:
    evidence = Evidence(revisions=[10], holders={}, answering=places(B))
    assert Answering(places(A, B)).missing(evidence) == places(A)
    assert Answering(places(B)).is_met(evidence)
    assert Stopped(places(A, B)).missing(evidence) == places(B)
    assert Stopped(places(A)).is_met(evidence)


def test_nodes_are_heard_at_a_root_when_they_are_at_one_of_its_places() -> None:
    heard = Heard(places(A, B))
    first = places(A)[0]
    assert heard.missing(Evidence(revisions=[10], holders={}, heard={first: 1})) == places(B)
    assert heard.missing(Evidence(revisions=[10], holders={}, heard={first: 0})) == places(A, B)
    both = {first: 1, places(B)[0]: 7}
    assert heard.is_met(Evidence(revisions=[10], holders={}, heard=both))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Adopted(0), "every counted node holds the newest revision"),
        (
            Adopted(2, (OFFICIAL,)),
            "every counted node holds the revision of step 2, and so do roots 1000000002",
        ),
        (
            Installed(1, (OFFICIAL,)),
            "the World file of step 1 is installed on 1000000002, and read",
        ),
        (Answering(places(B)), "answering: 1000000002 at 198.51.100.2/9993"),
        (
            Stopped(places(A)),
            "stopped: 1000000001 at 198.51.100.1/9993 and 2001:db8::1/9993",
        ),
        (Heard(places(B)), "nodes were heard at 1000000002 at 198.51.100.2/9993"),
    ],
)
def test_conditions_in_words(condition: Condition, words: str) -> None:
    assert str(condition) == words
