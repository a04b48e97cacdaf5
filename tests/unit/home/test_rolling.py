"""Rollouts as commands begin and steer them; nobody carries them out here."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orrery.errors import ConflictError, CustodyError, PlanError, UpdateRefused, UsageError
from orrery.home import Home, publish
from orrery.home.rolling import CONDUCTOR_LEASE, begin, pause, resume, roll_back, stop, view
from orrery.rollout.cohorts import EVERYBODY, Named
from orrery.rollout.conductor import CLOCK_TOLERANCE_MS
from orrery.rollout.fleet import Group, Standing
from orrery.rollout.order import Order
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState
from orrery.store import Adoption, Rollout
from orrery.wire.address import Address
from orrery.wire.world import Root, World
from tests.unit.home.making import ELSEWHERE, ONE, make_home, want
from tests.unit.rollout.ordering import order_of, plan_of, step_of
from tests.unit.store.making import NOW_MS, identity, key, sighting

LATER_MS = NOW_MS + 1_000
FIRST, SECOND, THIRD, SLEEPER = (Address(number) for number in (11, 12, 13, 14))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "home") as made:
        yield made


def planet_of(home: Home) -> World:
    (world,) = home.served_worlds()
    return world


def order_for(home: Home, **values: object) -> Order:
    planet = planet_of(home)
    roots = (Root(planet.roots[0].identity, (ONE, ELSEWHERE)),)
    plan = plan_of(planet, step_of(1, roots, planet.updates_must_be_signed_by))
    return order_of(plan, **values)  # type: ignore[arg-type]


def start(home: Home, **values: object) -> Rollout:
    return begin(home, "home", order_for(home, **values), LATER_MS, actor="Ada")


def test_a_rollout_is_stored_as_planned(home: Home) -> None:
    rollout = start(home)
    assert rollout.state is RolloutState.PLANNED
    assert Order.from_json(rollout.plan) == order_for(home)
    assert Progress.from_json(rollout.intents).revisions == (planet_of(home).timestamp_ms,)
    assert rollout.served is None
    entry = home.store.audit_entries(1)[0]
    assert (entry.actor, entry.action) == ("Ada", "begin rollout")


def test_nothing_is_published_beside_it(home: Home) -> None:
    start(home)
    want(home, ONE, ELSEWHERE)
    with pytest.raises(ConflictError, match="a rollout of 'home' goes on and is planned"):
        publish(home, "home", LATER_MS)
    with pytest.raises(ConflictError, match="has a rollout already"):
        start(home)
    stop(home, "home", LATER_MS)
    publish(home, "home", LATER_MS)


def test_a_plan_for_another_revision_is_refused(home: Home) -> None:
    order = order_for(home)
    want(home, ONE, ELSEWHERE)
    publish(home, "home", LATER_MS)
    with pytest.raises(ConflictError, match="make a new plan with `orrery plan`"):
        begin(home, "home", order, LATER_MS)


def test_a_plan_that_starts_from_other_content_is_refused(home: Home) -> None:
    order = order_for(home)
    forged = replace(order.plan, start_signature=bytes(96))
    with pytest.raises(ConflictError, match="starts from revision"):
        begin(home, "home", replace(order, plan=forged), LATER_MS)


def test_what_makes_no_sense_is_refused(home: Home) -> None:
    order = order_for(home)
    with pytest.raises(PlanError, match="has no step"):
        begin(home, "home", replace(order, plan=replace(order.plan, steps=())), LATER_MS)
    with pytest.raises(UsageError, match="this plan is for World 0000000000000001"):
        begin(home, "home", replace(order, plan=replace(order.plan, id=1)), LATER_MS)
    root = Named(frozenset({planet_of(home).roots[0].identity.address}))
    with pytest.raises(UsageError, match="is a root, and would hand"):
        begin(home, "home", replace(order, cohorts=(root, EVERYBODY)), LATER_MS)
    assert home.store.rollouts() == ()


def test_a_step_that_nobody_can_sign_is_refused(home: Home) -> None:
    order = order_for(home)
    step = replace(order.plan.steps[0], signed_by=key(7).public)
    with pytest.raises(CustodyError, match="the key that must sign the first step is not in"):
        begin(home, "home", replace(order, plan=replace(order.plan, steps=(step,))), LATER_MS)


def test_what_was_signed_elsewhere_is_checked(home: Home) -> None:
    order = order_for(home)
    world = order.plan.world(order.plan.steps[0], LATER_MS)
    forged = replace(order, signed=(world.sign(key(7)).encode(),))
    with pytest.raises(UpdateRefused, match="wants an update signed by"):
        begin(home, "home", forged, LATER_MS)
    signer = home.keys.signer_for(world.id, planet_of(home).updates_must_be_signed_by)
    begin(home, "home", replace(order, signed=(world.sign(signer).encode(),)), LATER_MS)


def test_it_is_paused_and_resumed(home: Home) -> None:
    rollout = start(home)
    paused = pause(home, "home", LATER_MS, actor="Ada")
    assert (paused.state, paused.reason) == (RolloutState.PAUSED, "paused by Ada")
    with pytest.raises(PlanError, match="is paused already: paused by Ada"):
        pause(home, "home", LATER_MS)
    resumed = resume(home, "home", LATER_MS + 5)
    assert (resumed.state, resumed.version) == (RolloutState.RUNNING, rollout.version + 2)
    assert Progress.from_json(resumed.intents).forgiven_ms == LATER_MS + 5
    with pytest.raises(PlanError, match="is not paused, it is running"):
        resume(home, "home", LATER_MS + 5)


def test_a_clock_that_was_set_back_may_be_accepted(home: Home) -> None:
    start(home)
    behind_ms = LATER_MS - CLOCK_TOLERANCE_MS
    with pytest.raises(PlanError, match="is not paused"):
        resume(home, "home", behind_ms)
    accepted = resume(home, "home", behind_ms - 1)
    assert Progress.from_json(accepted.intents).clock_ms == behind_ms - 1


def test_it_is_taken_back_once(home: Home) -> None:
    rollout = start(home)
    progress = replace(Progress.from_json(rollout.intents), signing_ms=LATER_MS)
    home.store.update_rollout(replace(rollout, intents=progress.to_json()), LATER_MS)
    back = Progress.from_json(roll_back(home, "home", LATER_MS).intents)
    assert (back.rolling_back, back.signing_ms) == (True, 0)
    with pytest.raises(PlanError, match="is being rolled back already"):
        roll_back(home, "home", LATER_MS)


def test_a_rollback_that_paused_may_be_said_again(home: Home) -> None:
    start(home)
    rollout = roll_back(home, "home", LATER_MS)
    progress = replace(Progress.from_json(rollout.intents), signing_ms=LATER_MS)
    home.store.update_rollout(replace(rollout, intents=progress.to_json()), LATER_MS)
    pause(home, "home", LATER_MS)
    again = roll_back(home, "home", LATER_MS)
    assert again.state is RolloutState.RUNNING
    assert Progress.from_json(again.intents).signing_ms == LATER_MS


@pytest.mark.parametrize("steer", [pause, resume, roll_back, stop])
def test_without_a_rollout_there_is_nothing_to_steer(
    home: Home, steer: Callable[[Home, str, int], Rollout]
) -> None:
    with pytest.raises(PlanError, match="no rollout of 'home' goes on"):
        steer(home, "home", LATER_MS)
    assert view(home, planet_of(home).id, LATER_MS) is None


def test_what_is_done_is_taken_back_by_another_plan(home: Home) -> None:
    stop(home, "home", start(home).created_at_ms)
    with pytest.raises(PlanError, match=r"put the old settings back into .* `orrery apply`"):
        roll_back(home, "home", LATER_MS)


def test_who_changes_it_at_the_same_time_is_waited_for(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = start(home)
    update = home.store.update_rollout
    others = [rollout]

    def interrupted(changed: Rollout, now_ms: int, **values: object) -> Rollout:
        if others:
            update(replace(others.pop(), step=0), now_ms)
        return update(changed, now_ms, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(home.store, "update_rollout", interrupted)
    assert pause(home, "home", LATER_MS).version == rollout.version + 2


def test_it_is_seen_by_cohort(home: Home) -> None:
    planet = planet_of(home)
    cohorts = (Named(frozenset({FIRST, SECOND})), EVERYBODY)
    order = order_for(home, cohorts=cohorts)
    exempt = (Group(Standing(planet.timestamp_ms), (THIRD,)),)
    order = replace(order, plan=replace(order.plan, exempt=exempt))
    begin(home, "home", order, LATER_MS)
    told = {"planet_id": planet.id, "planet_timestamp_ms": planet.timestamp_ms}
    root = planet.roots[0].identity.address
    home.store.record(
        [
            *(sighting(each, LATER_MS, **told) for each in (FIRST, SECOND, THIRD, root)),
            sighting(SLEEPER, NOW_MS, **told),
            sighting(99, NOW_MS - order.horizon_ms, **told),
        ]
    )
    seen = view(home, planet.id, LATER_MS)
    assert seen is not None
    assert (seen.target_ms, seen.adopted_at_ms, seen.is_conducted) == (0, (), False)
    assert [(each.counted, each.adopted, each.is_open) for each in seen.cohorts] == [
        (2, 0, False),
        (1, 0, False),
    ]
    # As the conductor would: published, the first cohort open, one node of it has it.
    rollout = seen.rollout
    step = order.plan.steps[0]
    signer = home.keys.signer_for(planet.id, step.signed_by)
    home.store.add_revision(order.plan.world(step, LATER_MS).sign(signer), LATER_MS)
    progress = replace(seen.progress, revisions=(planet.timestamp_ms, LATER_MS))
    home.store.update_rollout(
        replace(rollout, state=RolloutState.RUNNING, cohort=0, intents=progress.to_json()),
        LATER_MS,
    )
    home.store.record([], [Adoption(FIRST, planet.id, LATER_MS, LATER_MS + 7, "hello")])
    home.store.acquire_lease(CONDUCTOR_LEASE, "somebody", LATER_MS, 1_000)
    seen = view(home, planet.id, LATER_MS + 10)
    assert seen is not None
    assert (seen.target_ms, seen.adopted_at_ms) == (LATER_MS, (LATER_MS + 7,))
    assert (seen.is_conducted, seen.conductor and seen.conductor.holder) == (True, "somebody")
    first, rest = seen.cohorts
    assert (first.name, first.is_open, first.counted, first.adopted) == (
        "000000000b, 000000000c",
        True,
        2,
        1,
    )
    (missing,) = first.missing
    assert (missing.address, missing.holds_ms, missing.seen_ms) == (
        SECOND,
        planet.timestamp_ms,
        LATER_MS,
    )
    assert (rest.name, rest.is_open, rest.adopted) == ("100%", False, 0)
    assert rest.missing[0].seen_ms == NOW_MS
    assert view(home, planet.id, LATER_MS + 5_000).is_conducted is False  # type: ignore[union-attr]


def test_a_root_of_a_later_step_is_no_node(home: Home) -> None:
    order = order_for(home)
    new = Root(identity(1).public(), (ELSEWHERE,))
    steps = (*order.plan.steps, step_of(2, (new,), order.plan.steps[0].names))
    named = Named(frozenset({new.identity.address}))
    order = replace(order, plan=replace(order.plan, steps=steps), cohorts=(named, EVERYBODY))
    with pytest.raises(UsageError, match="is a root"):
        begin(home, "home", order, LATER_MS)
