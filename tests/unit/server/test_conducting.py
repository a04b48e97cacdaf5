"""The conductor on a home, turn by turn: nodes are lines in a table, and time is set."""

from dataclasses import replace
from pathlib import Path

import pytest

from orrery.errors import OrreryError, UnreadableError
from orrery.home import Home, carrying, lock_keys, unlock_keys
from orrery.home.rolling import begin, pause, resume, roll_back, stop, view
from orrery.rollout.conditions import Adopted, Answering, Condition, Heard
from orrery.rollout.conductor import Facts
from orrery.rollout.order import Order
from orrery.rollout.places import places_of
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState
from orrery.server.conducting import LEASE_MS
from orrery.store import Rollout
from orrery.wire.world import Root, World, WorldType
from tests.crash.rolling import (
    CANARY,
    COHORTS,
    NODES,
    SECOND,
    SETTLE_MS,
    Process,
    SetClock,
    check_nobody_is_before_his_turn,
    fleet_of,
    go_on,
    rollout_of,
)
from tests.crash.stepping import disk_full, machine
from tests.unit.custody.locks import quick_lock
from tests.unit.home.making import ELSEWHERE, ONE, entropy, make_home
from tests.unit.rollout.ordering import order_of, plan_of, step_of
from tests.unit.store.making import NOW_MS, identity, sighting, world

OVER = frozenset(state for state in RolloutState if state.is_over)
STILL = OVER | {RolloutState.PAUSED}


class Scene:
    """A home with one root, some nodes, a clock, and conductors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = SetClock()
        with make_home(path, (ONE,), entropy=entropy("conducted")) as home:
            (self.planet,) = home.served_worlds()
        self.root = self.planet.roots[0].identity
        self.key = self.planet.updates_must_be_signed_by
        self.fleet = fleet_of(self.planet)
        with self.home() as home:
            self.fleet.take(home, NOW_MS)

    def home(self, *, writer: bool = False) -> Home:
        return Home.open(self.path, writer=writer, clock=self.clock.now_ms)

    def order(self, *endpoints: tuple[object, ...], **values: object) -> Order:
        """One step for each list of endpoints."""
        steps = [
            step_of(number, (Root(self.root, places),), self.key)  # type: ignore[arg-type]
            for number, places in enumerate(endpoints, start=1)
        ]
        values = {"settle_ms": SETTLE_MS} | values
        return order_of(plan_of(self.planet, *steps), COHORTS, **values)

    def begin(self, order: Order) -> None:
        with self.home(writer=True) as home:
            begin(home, "home", order, self.clock.now_ms())

    def go_on(self, *states: RolloutState) -> Rollout:
        until = frozenset(states) or STILL
        return go_on(self.path, self.clock, self.fleet, until=until)

    @property
    def chain(self) -> list[World]:
        with self.home() as home:
            return list(home.store.chain(self.planet.id))

    @property
    def in_file(self) -> World:
        return World.decode((self.path / "planet").read_bytes())

    def later(self, ms: int = LEASE_MS + 1) -> None:
        """Let so much time pass that a dead conductor's lease is over."""
        self.clock.steady_ms += ms


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "home")


def test_a_step_goes_from_cohort_to_cohort(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE)))
    with scene.home() as home:
        process = Process(scene.path, scene.clock)
        seen = []
        while not rollout_of(home).state.is_over:
            while process.turn():
                rollout = rollout_of(home)
                seen.append((rollout.state.value, rollout.cohort))
                check_nobody_is_before_his_turn(home, scene.fleet)
                if rollout.served is not None:
                    assert scene.in_file == scene.planet
            scene.fleet.take(home, scene.clock.now_ms())
            check_nobody_is_before_his_turn(home, scene.fleet)
            scene.clock.steady_ms += 2_000
        process.end()
    assert seen == [
        ("running", -1),  # a timestamp is given out
        ("running", -1),  # published, for nobody
        ("running", 0),
        ("settling", 0),
        ("running", 1),
        ("settling", 1),
        ("done", 1),
    ]
    assert scene.in_file == scene.chain[-1]
    actions = [entry.action for entry in scene.home().store.audit_entries(2)]
    assert actions == ["rollout done", "publish"]


def test_a_root_that_retired_is_not_waited_for(scene: Scene) -> None:
    retired = identity(9).address
    with scene.home() as home:
        home.store.note_root(retired, (str(ELSEWHERE),), NOW_MS)
        planet = {"planet_id": scene.planet.id, "planet_timestamp_ms": scene.planet.timestamp_ms}
        home.store.record([sighting(retired, NOW_MS, **planet)])
    scene.begin(scene.order((ONE, ELSEWHERE)))
    assert scene.go_on().state is RolloutState.DONE
    with scene.home() as home:
        seen = view(home, scene.planet.id, scene.clock.now_ms())
    assert seen is not None
    assert sum(cohort.counted for cohort in seen.cohorts) == len(NODES)


def test_only_one_process_conducts_and_the_next_takes_over(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE)))
    first, second = (Process(scene.path, scene.clock) for _ in range(2))
    assert first.turn()
    assert not second.turn()
    scene.later(LEASE_MS - 1)
    assert not second.turn()
    scene.later(1_001)
    assert second.turn()  # it publishes what the other has given a timestamp for
    assert not first.turn()
    assert first.conducting._lease is None
    assert len(scene.chain) == 2
    for process in (first, second):
        process.end()
    scene.later()
    assert scene.go_on().state is RolloutState.DONE
    assert len(scene.chain) == 2


def test_who_lets_go_is_followed_at_once(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE)))
    first, second = (Process(scene.path, scene.clock) for _ in range(2))
    assert first.turn()
    first.conducting._leave(first.home)
    assert second.turn()
    second.end()


def test_who_has_lost_the_lease_without_knowing_changes_nothing(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE)))
    first, second = (Process(scene.path, scene.clock) for _ in range(2))
    assert first.turn()
    lease = first.conducting._lease
    scene.later()
    assert second.turn()
    first.conducting._lease, first.conducting._renewed_ms = lease, scene.clock.now_ms()
    assert not first.turn()
    assert len(scene.chain) == 2
    assert second.turn()
    for process in (first, second):
        process.end()


def test_a_new_endpoint_that_nobody_comes_to_pauses_it(scene: Scene) -> None:
    scene.fleet.dead = {ELSEWHERE}
    scene.begin(scene.order((ONE, ELSEWHERE)))
    paused = scene.go_on()
    assert paused.state is RolloutState.PAUSED
    assert "came to a new endpoint of it, of 1 that did" in paused.reason
    assert paused.reason.endswith("then `orrery resume` or `orrery rollback`")
    assert scene.fleet.holds[SECOND] == scene.planet.timestamp_ms
    # Somebody has looked, and says that this is so.
    scene.later()
    with scene.home() as home:
        resume(home, "home", scene.clock.now_ms())
    paused = scene.go_on()
    assert "of 2 that did" in paused.reason
    assert set(scene.fleet.holds.values()) == {scene.chain[-1].timestamp_ms}
    scene.later()
    with scene.home() as home:
        resume(home, "home", scene.clock.now_ms())
    assert scene.go_on().state is RolloutState.DONE


def test_a_bad_canary_stops_it_and_is_taken_back(scene: Scene) -> None:
    scene.fleet.dead = {ELSEWHERE}
    scene.begin(scene.order((ELSEWHERE,)))  # a planner would never
    paused = scene.go_on()
    assert paused.state is RolloutState.PAUSED
    assert "the only node that took revision" in paused.reason
    assert f"{CANARY:010x}" in paused.reason
    assert {scene.fleet.holds[each] for each in NODES[1:]} == {scene.planet.timestamp_ms}
    assert scene.in_file == scene.planet
    scene.later()
    with scene.home() as home:
        roll_back(home, "home", scene.clock.now_ms())
    back = scene.go_on()
    assert back.state is RolloutState.ROLLED_BACK
    first, bad, newest = scene.chain
    assert newest.roots == first.roots != bad.roots
    assert scene.in_file == newest
    # The canary comes back when its endpoint does, and is led on.
    scene.fleet.dead.clear()
    with scene.home() as home:
        scene.fleet.take(home, scene.clock.now_ms())
    assert set(scene.fleet.holds.values()) == {newest.timestamp_ms}


def test_a_canary_that_takes_it_and_is_never_heard_again_holds_it_up(scene: Scene) -> None:
    """It is not known that it took it: it might as well have fallen asleep."""
    scene.fleet.mute = {CANARY}
    scene.begin(scene.order((ONE, ELSEWHERE)))
    process = Process(scene.path, scene.clock)
    for _ in range(60):
        while process.turn():
            pass
        scene.fleet.take(process.home, scene.clock.now_ms())
        scene.clock.steady_ms += 5_000
    held_up = rollout_of(process.home)
    assert (held_up.state, held_up.cohort) == (RolloutState.RUNNING, 0)
    assert held_up.reason.endswith("have not been heard from since")
    assert scene.fleet.holds[SECOND] == scene.planet.timestamp_ms
    process.end()


def test_what_everybody_had_is_taken_back_from_the_canary_first(scene: Scene) -> None:
    scene.fleet.away = {SECOND}
    scene.begin(scene.order((ONE, ELSEWHERE)))
    scene.go_on(RolloutState.RUNNING)
    with scene.home() as home:
        process = Process(scene.path, scene.clock)
        while rollout_of(home).cohort < 1:
            process.turn()
            scene.fleet.take(home, scene.clock.now_ms())
            scene.clock.steady_ms += 1_000
        assert rollout_of(home).served is None
        scene.fleet.away.clear()
        roll_back(home, "home", scene.clock.now_ms())
        while process.turn():
            check_nobody_is_before_his_turn(home, scene.fleet)
        assert rollout_of(home).state is RolloutState.SETTLING
        scene.fleet.take(home, scene.clock.now_ms())
        first, bad, newest = scene.chain
        assert scene.fleet.holds[CANARY] == newest.timestamp_ms
        assert scene.fleet.holds[SECOND] == bad.timestamp_ms
        process.end()
    scene.later()
    assert scene.go_on().state is RolloutState.ROLLED_BACK
    with scene.home() as home:
        scene.fleet.take(home, scene.clock.now_ms())
    assert set(scene.fleet.holds.values()) == {newest.timestamp_ms}
    assert newest.roots == first.roots


def test_a_step_that_is_only_signed_is_taken_back_at_once(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE)))
    process = Process(scene.path, scene.clock)
    assert process.turn()
    roll_back(process.home, "home", scene.clock.now_ms())
    while process.turn():
        pass
    process.end()
    with scene.home() as home:
        assert rollout_of(home).state is RolloutState.ROLLED_BACK
        assert rollout_of(home).served is None
    assert scene.chain == [scene.planet]


def test_a_pause_stands_still(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE)))
    process = Process(scene.path, scene.clock)
    assert process.turn()
    paused = pause(process.home, "home", scene.clock.now_ms())
    for _ in range(5):
        assert not process.turn()
        scene.later()
    assert rollout_of(process.home) == paused
    resume(process.home, "home", scene.clock.now_ms())
    assert process.turn()
    process.end()


def test_a_stopped_one_leaves_who_is_held_back_where_he_is(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE)))
    scene.go_on(RolloutState.SETTLING)
    scene.later()
    with scene.home() as home:
        stop(home, "home", scene.clock.now_ms())
    assert scene.go_on().state is RolloutState.STOPPED
    with scene.home() as home:
        scene.fleet.take(home, scene.clock.now_ms())
    assert scene.fleet.holds[SECOND] == scene.planet.timestamp_ms
    assert scene.fleet.holds[CANARY] == scene.chain[-1].timestamp_ms
    # Another plan goes on from there, and leads those who were left behind as well.
    newest = scene.chain[-1]
    plan = plan_of(newest, step_of(1, (Root(scene.root, (ONE,)),), scene.key))
    scene.begin(order_of(plan, COHORTS, settle_ms=SETTLE_MS))
    assert scene.go_on().state is RolloutState.DONE
    assert set(scene.fleet.holds.values()) == {scene.chain[-1].timestamp_ms}


def test_what_somebody_else_publishes_stops_it(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE), (ELSEWHERE,)))
    scene.go_on(RolloutState.SETTLING)
    scene.later()
    with scene.home(writer=True) as home:
        signer = home.keys.signer_for(scene.planet.id, scene.key)
        other = replace(scene.chain[-1], timestamp_ms=scene.clock.now_ms()).sign(signer)
        home.store.add_revision(other, scene.clock.now_ms())
    assert scene.go_on().state is RolloutState.STOPPED


def test_a_clock_an_hour_back_holds_it_up_and_loses_nothing(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE)))
    process = Process(scene.path, scene.clock)
    while process.turn():
        pass
    scene.fleet.take(process.home, scene.clock.now_ms())
    scene.clock.apart_ms = -3_600_000
    while process.turn():
        pass
    waiting = rollout_of(process.home)
    assert waiting.state is RolloutState.WAITING
    assert waiting.reason.startswith("the clock of this machine is behind")
    for _ in range(10):
        scene.clock.steady_ms += SETTLE_MS
        assert not process.turn()
    scene.clock.apart_ms = 0
    assert process.turn()
    process.end()
    scene.later()
    assert scene.go_on().state is RolloutState.DONE
    assert len(scene.chain) == 2


def test_a_clock_that_is_behind_may_be_accepted(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE)))
    scene.clock.steady_ms -= 7_200_000
    assert scene.go_on(RolloutState.WAITING).reason.startswith("the clock of this machine")
    scene.later()
    with scene.home() as home:
        resume(home, "home", scene.clock.now_ms())
    done = scene.go_on()
    assert done.state is RolloutState.DONE
    first, second = scene.chain
    assert second.timestamp_ms == first.timestamp_ms + 1


def test_a_locked_key_pauses_with_the_command_that_mends_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_lock(monkeypatch)
    scene.begin(scene.order((ONE, ELSEWHERE)))
    with Home.open(scene.path, writer=True, passphrase=lambda _: "secret words") as home:
        lock_keys(home, "home", NOW_MS)
    paused = scene.go_on()
    assert paused.state is RolloutState.PAUSED
    assert paused.reason.endswith("then let it go on with `orrery resume`")
    assert scene.chain == [scene.planet]
    scene.later()
    with Home.open(scene.path, writer=True, passphrase=lambda _: "secret words") as home:
        unlock_keys(home, "home", NOW_MS)
        resume(home, "home", scene.clock.now_ms())
    assert scene.go_on().state is RolloutState.DONE


def test_a_missing_key_pauses_it(scene: Scene) -> None:
    scene.begin(scene.order((ONE, ELSEWHERE)))
    (key_file,) = scene.path.glob("keys.d/*/current.c25519")
    content = key_file.read_bytes()
    key_file.unlink()
    paused = scene.go_on()
    assert paused.state is RolloutState.PAUSED
    assert "put the right key file back from a backup; then let it go on" in paused.reason
    key_file.write_bytes(content)
    key_file.chmod(0o600)
    scene.later()
    with scene.home() as home:
        resume(home, "home", scene.clock.now_ms())
    assert scene.go_on().state is RolloutState.DONE


def test_what_was_signed_elsewhere_needs_no_key_here(scene: Scene) -> None:
    order = scene.order((ONE, ELSEWHERE), (ONE,))
    with scene.home() as home:
        signer = home.keys.signer_for(scene.planet.id, scene.key)
    signed = [
        order.plan.world(step, NOW_MS + 10 + step.number).sign(signer) for step in order.plan.steps
    ]
    for key_file in scene.path.glob("keys.d/*/current.c25519"):
        key_file.unlink()
    scene.begin(replace(order, signed=tuple(world.encode() for world in signed)))
    assert scene.go_on().state is RolloutState.DONE
    assert scene.chain == [scene.planet, *signed]


@pytest.mark.timeout(120)
def test_a_full_disk_holds_it_up_and_loses_nothing(tmp_path: Path) -> None:
    stop_at, refused = 0, 0
    while True:
        scene = Scene(tmp_path / str(stop_at))
        scene.begin(scene.order((ONE, ELSEWHERE)))
        process = Process(scene.path, scene.clock)
        with machine(stop_at, fault=disk_full) as running:
            for _ in range(60):
                try:
                    while process.turn():
                        pass
                    scene.fleet.take(process.home, scene.clock.now_ms())
                    if rollout_of(process.home).state.is_over:
                        break
                except (OrreryError, OSError):
                    refused += 1
                scene.clock.steady_ms += 2_000
        done = rollout_of(process.home)
        process.end()
        assert (done.state, done.reason) == (RolloutState.DONE, "every step is done")
        assert len(scene.chain) == 2
        assert scene.in_file == scene.chain[-1]
        if len(running.steps) <= stop_at:
            break
        stop_at += 7
    assert refused > 3


def test_a_plan_that_cannot_be_read_harms_no_other(scene: Scene) -> None:
    with scene.home() as home:
        home.store.create_rollout(scene.planet.id, "{}", NOW_MS)
        process = Process(scene.path, scene.clock)
        assert not process.turn()
        assert not process.turn()
        process.end()
        assert rollout_of(home).state is RolloutState.PLANNED


def test_another_writer_holds_up_what_a_file_follows_from_and_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "_WAIT_S", 0)
    scene.begin(scene.order((ONE, ELSEWHERE)))
    process = Process(scene.path, scene.clock)
    with scene.home(writer=True):
        assert not process.turn()
        assert rollout_of(process.home).state is RolloutState.PLANNED
    while process.turn():
        pass
    with scene.home(writer=True):
        scene.fleet.take(process.home, scene.clock.now_ms())
        assert process.turn()
        assert rollout_of(process.home).state is RolloutState.SETTLING
        scene.clock.steady_ms += SETTLE_MS
        scene.fleet.take(process.home, scene.clock.now_ms())
        assert not process.turn()  # the next cohort is everybody, and the World file follows
    assert process.turn()
    process.end()


def test_what_goes_wrong_with_one_world_does_not_hold_up_another(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moon of which no key is here, and one of which the chain was tampered with."""
    with scene.home(writer=True) as home:
        for world_id in (5, 6):
            moon = world(NOW_MS, world_id=world_id, world_type=WorldType.MOON)
            home.store.add_revision(moon, NOW_MS)
            plan = plan_of(moon, step_of(1, moon.roots, moon.updates_must_be_signed_by))
            progress = Progress(revisions=(NOW_MS,)).to_json()
            order = order_of(plan, COHORTS).to_json()
            home.store.create_rollout(world_id, order, NOW_MS, intents=progress)
    scene.begin(scene.order((ONE, ELSEWHERE)))
    process = Process(scene.path, scene.clock)
    process.conducting._follow(process.home)
    jobs = {job.rollout.world_id: job for job in process.conducting._jobs.values()}

    def fail(*_: object) -> Facts:
        raise UnreadableError("the chain is broken")

    monkeypatch.setattr(jobs[6], "look", fail)
    for _ in range(60):
        with pytest.raises(UnreadableError, match="the chain is broken"):
            process.turn()
        scene.fleet.take(process.home, scene.clock.now_ms())
        scene.clock.steady_ms += 2_000
        if rollout_in(process.home, scene.planet.id).state.is_over:
            break
    assert rollout_in(process.home, scene.planet.id).state is RolloutState.DONE
    paused = rollout_in(process.home, 5)
    assert paused.state is RolloutState.PAUSED
    assert "no key in" in paused.reason
    assert rollout_in(process.home, 6).state is RolloutState.PLANNED
    process.end()


def rollout_in(home: Home, world_id: int) -> Rollout:
    (rollout,) = home.store.rollouts(1, world_id=world_id)
    return rollout


def test_places_of_this_root_answer_by_its_own_word(scene: Scene) -> None:
    listed = tuple(sorted(places_of([Root(scene.root, (ONE, ELSEWHERE))])))
    order = scene.order((ONE, ELSEWHERE))
    done: tuple[Condition, ...] = (Adopted(1), Heard(listed))
    step = replace(order.plan.steps[0], before=(Answering(listed),), done=done)
    scene.begin(replace(order, plan=replace(order.plan, steps=(step,))))
    assert scene.go_on().state is RolloutState.DONE


def test_a_place_where_nobody_answers_is_waited_for(scene: Scene) -> None:
    elsewhere = tuple(places_of([Root(identity(3).public(), (ELSEWHERE,))]))
    order = scene.order((ONE, ELSEWHERE))
    step = replace(order.plan.steps[0], before=(Answering(elsewhere),))
    scene.begin(replace(order, plan=replace(order.plan, steps=(step,))))
    process = Process(scene.path, scene.clock)
    assert process.turn()
    waiting = rollout_of(process.home)
    assert waiting.state is RolloutState.WAITING
    assert waiting.reason == f"step 1 is published when this is so: {Answering(elsewhere)}"
    assert not process.turn()
    assert process.conducting._places_to_ask(frozenset()).keys() == set(elsewhere)
    process.end()
