"""The conductor's decisions, row by row."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from orrery.rollout.cohorts import EVERYBODY, Cohorts, Named, Share
from orrery.rollout.conditions import Adopted, Answering, Evidence, Stopped
from orrery.rollout.conductor import (
    AWAKE_MS,
    CLOCK_TOLERANCE_MS,
    Act,
    Decision,
    Facts,
    Position,
    decide,
    next_world,
    paused,
    published,
    target_of,
)
from orrery.rollout.health import Health
from orrery.rollout.order import Order
from orrery.rollout.places import Place, places_of
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState as State
from orrery.rollout.state import Served
from orrery.rollout.tally import CohortCount
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import Root
from orrery.worlds.stage import NOBODY
from tests.unit.rollout.ordering import order_of, plan_of, step_of
from tests.unit.store.making import NOW_MS, WORLD_ID, key, world

START = world(NOW_MS)
OTHER = world(NOW_MS, port=443).roots
PLACES = tuple(places_of(OTHER))
PLAN = plan_of(
    START,
    step_of(1, OTHER, key(1).public, before=(Answering(PLACES),), names=key(2).public),
    step_of(2, START.roots, key(2).public),
    finish=(Stopped(PLACES),),
)
SPEC = (Named(frozenset({Address(7)})), Share(500_000), EVERYBODY)
ORDER = order_of(PLAN, SPEC)
COHORTS = Cohorts(SPEC)
FIRST_MS, SECOND_MS = NOW_MS + 1, NOW_MS + 2
FIRST = PLAN.world(PLAN.steps[0], FIRST_MS).sign(key(1))
HELD_BACK = Served(WORLD_ID, NOW_MS, NOBODY)
PLANNED = Position(
    state=State.PLANNED,
    step=0,
    cohort=-1,
    reason="",
    served=None,
    progress=Progress(revisions=(NOW_MS,)),
)
PUBLISHED = Position(
    state=State.RUNNING,
    step=0,
    cohort=-1,
    reason="",
    served=HELD_BACK,
    progress=Progress(revisions=(NOW_MS, FIRST_MS)),
)


def facts_of(at: Position, *, answering: Any = PLACES, holders: Any = None, **values: Any) -> Facts:
    defaults: dict[str, Any] = {
        "now_ms": NOW_MS + 1_000_000,
        "newest_ms": at.progress.newest_ms,
        "evidence": Evidence(
            revisions=at.progress.revisions, holders=holders or {}, answering=answering
        ),
        "cohorts": (CohortCount(1, 0), CohortCount(4, 0), CohortCount(5, 0)),
    }
    return Facts(**(defaults | values))


def decided(at: Position, order: Order = ORDER, **values: Any) -> Decision:
    return decide(order, COHORTS, at, facts_of(at, **values))


def opened(cohort: int, **values: Any) -> Position:
    stage = COHORTS.opened(cohort)
    served = None if stage.is_everybody else replace(HELD_BACK, opened=stage)
    progress = replace(PUBLISHED.progress, **values)
    return replace(PUBLISHED, cohort=cohort, served=served, progress=progress)


# -- states in which nothing is done -------------------------------------------------------------


@pytest.mark.parametrize("state", [State.PAUSED, State.DONE, State.ROLLED_BACK, State.STOPPED])
def test_what_is_over_or_paused_stays_as_it_is(state: State) -> None:
    at = replace(PLANNED, state=state)
    assert decided(at, newest_ms=5) == Decision(at)


def test_a_clock_that_was_set_back_is_not_gone_by() -> None:
    now_ms = NOW_MS + 1_000_000
    late = replace(
        PUBLISHED,
        progress=replace(PUBLISHED.progress, clock_ms=now_ms + CLOCK_TOLERANCE_MS + 1),
    )
    position, act = decided(late)
    assert (position.state, act) == (State.WAITING, Act.NOTHING)
    assert "set it right, or let the rollout go by it as it is with `orrery resume`" in (
        position.reason
    )
    assert decided(position).position == position
    # It is set right: the rollout goes on.
    assert decided(position, now_ms=now_ms + CLOCK_TOLERANCE_MS + 1).position.cohort == 0
    little = replace(late, progress=replace(late.progress, clock_ms=now_ms + CLOCK_TOLERANCE_MS))
    assert decided(little).position.cohort == 0


def test_what_somebody_else_published_ends_it() -> None:
    position, act = decided(PUBLISHED, newest_ms=SECOND_MS)
    assert (position.state, act) == (State.STOPPED, Act.NOTHING)
    assert position.reason.startswith(f"revision {SECOND_MS} was published beside this rollout")
    assert position.served == HELD_BACK


# -- a step is published -------------------------------------------------------------------------


def test_a_step_waits_for_its_conditions() -> None:
    position, act = decided(PLANNED, answering=())
    assert (position.state, act) == (State.WAITING, Act.NOTHING)
    assert position.reason == f"step 1 is published when this is so: {PLAN.steps[0].before[0]}"
    assert decided(position, answering=()) == Decision(position)


def test_a_timestamp_comes_first_and_all_are_held_back_with_it() -> None:
    position, act = decided(PLANNED)
    assert act is Act.ALLOCATE
    assert (position.state, position.served) == (State.RUNNING, HELD_BACK)
    position = replace(position, progress=replace(position.progress, signing_ms=FIRST_MS))
    again, act = decided(position)
    assert (act, again) == (Act.PUBLISH, position)
    assert next_world(ORDER, again, [START]) == PLAN.world(PLAN.steps[0], FIRST_MS)
    after = published(again, FIRST_MS, NOW_MS + 9)
    assert after.progress.revisions == (NOW_MS, FIRST_MS)
    assert (after.progress.signing_ms, after.progress.opened_ms, after.cohort) == (
        0,
        NOW_MS + 9,
        -1,
    )


def test_a_timestamp_is_kept_while_a_condition_is_not_so_any_more() -> None:
    progress = replace(PLANNED.progress, signing_ms=FIRST_MS)
    at = replace(PLANNED, state=State.RUNNING, served=HELD_BACK, progress=progress)
    position, act = decided(at, answering=())
    assert (position.state, act) == (State.WAITING, Act.NOTHING)
    assert position.progress.signing_ms == FIRST_MS
    assert decided(position).act is Act.PUBLISH


def test_what_was_signed_elsewhere_needs_no_timestamp() -> None:
    order = replace(ORDER, signed=(FIRST.encode(), None))
    position, act = decided(PLANNED, order)
    assert (position.served, act) == (HELD_BACK, Act.NOTHING)
    assert decided(position, order) == Decision(position, Act.PUBLISH)


def test_who_a_rollout_that_stopped_held_back_is_led_to_the_start_if_need_be() -> None:
    before = Served(WORLD_ID, NOW_MS - 5, NOBODY)
    held = replace(PLANNED, served=before)
    assert decided(held).position.served == before
    assert decided(held, answering=()).position == replace(held, served=None)


def test_pausing_keeps_everything_else() -> None:
    assert paused(PUBLISHED, "why") == replace(PUBLISHED, state=State.PAUSED, reason="why")


# -- cohort after cohort -------------------------------------------------------------------------


def test_the_first_cohort_is_opened() -> None:
    position, act = decided(PUBLISHED)
    assert (position.cohort, position.state, act) == (0, State.RUNNING, Act.NOTHING)
    assert position.served == replace(HELD_BACK, opened=COHORTS.opened(0))
    assert position.reason == "it is given to cohort 1 of 3 (0000000007) in step 1 of 2"
    assert position.progress.opened_ms == position.progress.clock_ms == NOW_MS + 1_000_000


@pytest.mark.parametrize(
    ("counted", "cohort"), [((0, 4, 5), 1), ((0, 0, 5), 2), ((0, 0, 0), 2), ((1, 0, 0), 0)]
)
def test_a_cohort_without_a_node_is_passed_at_once(counted: tuple[int, ...], cohort: int) -> None:
    cohorts = [CohortCount(number, 0) for number in counted]
    assert decided(PUBLISHED, cohorts=cohorts).position.cohort == cohort


def test_everybody_is_no_stage() -> None:
    at = opened(1, complete_ms=1)
    position = decided(at, cohorts=[CohortCount(1, 1)] * 3).position
    assert (position.cohort, position.served) == (2, None)
    assert position.progress.complete_ms == 0


def test_nodes_are_given_a_step_when_those_have_it_who_need_it_by_hand() -> None:
    official = Address(0x8056C2E21C)
    steps = (replace(PLAN.steps[0], install_first=(official,)), *PLAN.steps[1:])
    order = replace(ORDER, plan=replace(PLAN, steps=steps))
    position = decided(PUBLISHED, order).position
    assert (position.state, position.cohort, position.served) == (State.WAITING, -1, HELD_BACK)
    assert "the World file of step 1 is installed on 8056c2e21c" in position.reason
    revisions = PUBLISHED.progress.revisions
    has_it = Evidence(revisions=revisions, holders={}, installed={official: FIRST_MS})
    assert decided(PUBLISHED, order, evidence=has_it).position.cohort == 0


@pytest.mark.parametrize(
    ("required", "adopted", "state"),
    [
        (Fraction(1), 3, State.RUNNING),
        (Fraction(1), 4, State.SETTLING),
        (Fraction(3, 4), 3, State.SETTLING),
        (Fraction(3, 4), 2, State.RUNNING),
    ],
)
def test_enough_of_a_cohort_must_have_it(required: Fraction, adopted: int, state: State) -> None:
    cohorts = (CohortCount(1, 1), CohortCount(4, adopted), CohortCount(5, 5))
    at = opened(1, opened_ms=NOW_MS + 1_000_000)
    position = decided(at, replace(ORDER, required=required), cohorts=cohorts).position
    assert position.state is state
    assert bool(position.progress.complete_ms) is (state is State.SETTLING)


@pytest.mark.parametrize(
    ("lagging", "opened_for_ms", "required", "state"),
    [
        (0, AWAKE_MS, Fraction(1), State.SETTLING),
        (0, AWAKE_MS - 1, Fraction(1), State.RUNNING),
        (1, AWAKE_MS, Fraction(1), State.RUNNING),
        (1, AWAKE_MS, Fraction(3, 4), State.SETTLING),
        (2, AWAKE_MS, Fraction(3, 4), State.RUNNING),
    ],
)
def test_a_cohort_does_not_wait_for_those_who_sleep(
    lagging: int, opened_for_ms: int, required: Fraction, state: State
) -> None:
    at = opened(1, opened_ms=NOW_MS + 1_000_000 - opened_for_ms)
    cohorts = (CohortCount(1, 1), CohortCount(8, 3), CohortCount(5, 0))
    order = replace(ORDER, required=required)
    position = decided(at, order, cohorts=cohorts, lagging=lagging).position
    assert position.state is state
    if state is State.SETTLING:
        assert position.reason.startswith("who is awake of cohort 2 of 3")
        assert position.cohort == 1


@pytest.mark.parametrize(("silent", "state"), [(3, State.RUNNING), (2, State.SETTLING)])
def test_a_revision_that_silences_nodes_is_not_given_to_others(silent: int, state: State) -> None:
    at = opened(1, opened_ms=NOW_MS)
    cohorts = (CohortCount(1, 1), CohortCount(8, 1), CohortCount(5, 0))
    position = decided(at, cohorts=cohorts, health=Health(silent=silent)).position
    assert position.state is state
    silenced = "nodes that were there just before have not been heard from since"
    assert position.reason.endswith(silenced) is (state is State.RUNNING)


@pytest.mark.parametrize(
    ("watched_ms", "awaited", "cohort"),
    [(9_999, 0, 0), (10_000, 1, 0), (10_000, 0, 1), (9_999, 1, 0)],
)
def test_a_cohort_is_watched_until_it_is_well(watched_ms: int, awaited: int, cohort: int) -> None:
    at = opened(0, complete_ms=NOW_MS + 1_000_000 - watched_ms)
    cohorts = (CohortCount(1, 1), CohortCount(4, 0), CohortCount(5, 0))
    position = decided(at, cohorts=cohorts, health=Health(awaited=awaited)).position
    assert position.cohort == cohort
    assert position.state is (State.RUNNING if cohort else State.SETTLING)


def test_what_was_complete_stays_so_when_another_node_wakes() -> None:
    at = opened(0, complete_ms=NOW_MS)
    cohorts = (CohortCount(2, 1), CohortCount(4, 0), CohortCount(5, 0))
    assert decided(at, cohorts=cohorts).position.cohort == 1


@pytest.mark.parametrize("state", [State.RUNNING, State.SETTLING, State.WAITING])
def test_it_pauses_when_nodes_are_gone(state: State) -> None:
    at = replace(opened(2, complete_ms=NOW_MS), state=state)
    position, act = decided(at, health=Health("all are gone"))
    assert (position.state, act) == (State.PAUSED, Act.NOTHING)
    assert position.reason == (
        "all are gone; look at the roots, then `orrery resume` or `orrery rollback`"
    )
    assert replace(position, state=state, reason="") == at


# -- a step is done ------------------------------------------------------------------------------

ALL = [CohortCount(1, 1)] * 3


def test_a_step_is_done_when_its_conditions_are() -> None:
    at = opened(2, complete_ms=NOW_MS)
    position = decided(at, cohorts=ALL, holders={NOW_MS: 1, FIRST_MS: 4}).position
    assert (position.state, position.step) == (State.WAITING, 0)
    assert position.reason == f"step 1 is done when this is so: {Adopted(1)}"
    position = decided(position, cohorts=ALL, holders={FIRST_MS: 5}).position
    assert (position.step, position.cohort, position.served) == (1, -1, None)
    assert (position.state, position.reason) == (State.RUNNING, "step 1 is done")
    assert decided(position, cohorts=ALL).act is Act.ALLOCATE


def test_the_rollout_is_done_when_the_rest_is() -> None:
    progress = Progress(revisions=(NOW_MS, FIRST_MS, SECOND_MS), complete_ms=NOW_MS)
    at = replace(opened(2), step=1, progress=progress)
    position = decided(at, cohorts=ALL, holders={SECOND_MS: 5}).position
    assert position.state is State.WAITING
    assert position.reason == f"every step is done; what is left: {Stopped(PLACES)}"
    done = decided(position, cohorts=ALL, holders={SECOND_MS: 5}, answering=()).position
    assert (done.state, done.reason, done.served) == (State.DONE, "every step is done", None)


def test_without_a_node_nobody_is_watched() -> None:
    at = opened(2, complete_ms=NOW_MS + 1_000_000)
    position = decided(at, cohorts=[CohortCount(0, 0)] * 3).position
    assert position.step == 1


# -- a step is taken back ------------------------------------------------------------------------


def back(at: Position, **progress: Any) -> Position:
    return replace(at, progress=replace(at.progress, rolling_back=True, **progress))


def test_what_was_not_published_is_not_taken_back() -> None:
    at = back(replace(PLANNED, served=HELD_BACK))
    position, act = decided(at)
    assert (position.state, position.served, act) == (State.ROLLED_BACK, None, Act.NOTHING)
    elsewhere = replace(at, served=Served(WORLD_ID, NOW_MS - 5, NOBODY))
    position = decided(elsewhere).position
    assert (position.state, position.served) == (State.STOPPED, elsewhere.served)


@pytest.mark.parametrize("cohort", [-1, 0, 1])
def test_who_had_it_gets_what_was_first(cohort: int) -> None:
    at = back(opened(cohort) if cohort >= 0 else PUBLISHED)
    position, act = decided(at)
    assert act is Act.ALLOCATE
    assert (position.served, position.cohort) == (at.served, cohort)
    position = replace(position, progress=replace(position.progress, signing_ms=SECOND_MS))
    position, act = decided(position)
    assert act is Act.PUBLISH
    wanted = next_world(ORDER, position, [START, FIRST])
    assert (wanted.roots, wanted.timestamp_ms) == (START.roots, SECOND_MS)
    assert wanted.updates_must_be_signed_by == FIRST.updates_must_be_signed_by == key(2).public
    after = published(position, SECOND_MS, NOW_MS + 5)
    assert after.progress.back_ms == after.progress.newest_ms == SECOND_MS
    assert after.progress.revisions == (NOW_MS, FIRST_MS)


def test_when_everybody_had_it_the_first_are_the_first_again() -> None:
    at = back(opened(2, complete_ms=NOW_MS))
    position, act = decided(at, cohorts=(CohortCount(0, 0), CohortCount(4, 4), CohortCount(5, 5)))
    assert (position.cohort, act) == (1, Act.ALLOCATE)
    assert position.served == Served(WORLD_ID, FIRST_MS, COHORTS.opened(1))
    alone = decided(at, cohorts=(CohortCount(0, 0), CohortCount(0, 0), CohortCount(5, 5)))
    assert (alone.position.served, alone.act) == (None, Act.ALLOCATE)


@pytest.mark.parametrize(
    ("returning", "watched_ms", "over"),
    [(1, 10_000, False), (0, 9_999, False), (0, 10_000, True)],
)
def test_everybody_is_led_back_when_those_have_it(
    returning: int, watched_ms: int, over: bool
) -> None:
    at = back(opened(0), back_ms=SECOND_MS, opened_ms=NOW_MS + 1_000_000 - watched_ms)
    position = decided(at, lagging=returning).position
    assert position.state is (State.ROLLED_BACK if over else State.SETTLING)
    assert (position.served is None) is over
    if over:
        assert position.reason == (
            f"step 1 was taken back: revision {SECOND_MS} says what was so before it"
        )


def test_who_still_holds_what_was_taken_back_is_told() -> None:
    at = back(opened(0), back_ms=SECOND_MS)
    reason = decided(at, holders={NOW_MS: 3, FIRST_MS: 2, SECOND_MS: 1}).position.reason
    assert reason.endswith("nodes that still hold the step, to be led on as they are heard: 2")


def test_what_nobody_was_given_is_back_at_once() -> None:
    at = back(PUBLISHED, back_ms=SECOND_MS, opened_ms=NOW_MS + 1_000_000)
    assert decided(at).position.state is State.ROLLED_BACK


def test_gone_nodes_do_not_stop_what_brings_them_back() -> None:
    at = back(opened(0), back_ms=SECOND_MS)
    assert decided(at, health=Health("all are gone")).position.state is State.ROLLED_BACK


# -- what is counted for -------------------------------------------------------------------------


def test_what_a_tally_counts_for() -> None:
    assert target_of(ORDER, PLANNED, [START]).timestamp_ms == 0
    target = target_of(ORDER, opened(0, forgiven_ms=5), [START, FIRST])
    assert (target.timestamp_ms, set(target.enough)) == (FIRST_MS, {FIRST_MS})
    assert target.listed == places_of((*START.roots, *OTHER))
    assert target.new == frozenset()
    assert (target.settle_ms, target.forgiven_ms) == (10_000, 5)
    # Who was taken back further has had the step as well.
    second = PLAN.world(PLAN.steps[1], SECOND_MS).sign(key(2))
    assert target_of(ORDER, opened(0), [START, FIRST, second]).enough == {FIRST_MS, SECOND_MS}
    returning = target_of(ORDER, back(opened(0), back_ms=SECOND_MS), [START, FIRST, second])
    assert (returning.timestamp_ms, set(returning.enough)) == (SECOND_MS, {SECOND_MS})
    assert returning.new == returning.listed == frozenset()


def test_nodes_are_not_expected_at_another_port_of_an_address() -> None:
    root = START.roots[0]
    (old,) = root.endpoints
    port, moved = Endpoint(old.ip, 443), Endpoint.from_text("198.51.100.77:9993")
    revisions = [
        replace(START, timestamp_ms=number, roots=(Root(root.identity, endpoints),))
        for number, endpoints in ((NOW_MS, (old,)), (FIRST_MS, (port, moved)))
    ]
    target = target_of(ORDER, opened(0), revisions)
    assert {place.endpoint for place in target.listed} == {old, port, moved}
    assert {place.endpoint for place in target.new} == {moved}


def test_nobody_is_expected_where_a_root_starts_in_the_turn_of_a_later_step() -> None:
    root = START.roots[0]
    there = Endpoint.from_text("198.51.100.77:9993")
    both = Root(root.identity, (*root.endpoints, there))
    moved = Root(root.identity, (there,))
    (old,), (new,) = places_of([root]), places_of([moved])
    signer = key(1).public
    second = step_of(2, (moved,), signer, before=(Stopped((old,)), Answering((new,))))
    revisions = [START, replace(START, timestamp_ms=FIRST_MS, roots=(both,))]

    def expected(*before: Answering) -> frozenset[Place]:
        order = order_of(plan_of(START, step_of(1, (both,), signer, before=before), second), SPEC)
        target = target_of(order, opened(0), revisions)
        assert target.listed == {old, new}
        return target.new

    assert expected() == frozenset()
    assert expected(Answering((new,))) == {new}
