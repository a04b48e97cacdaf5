"""What a restored home has to learn before it signs again, and that it then repeats nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from orrery.errors import ConflictError, PlanError, UnreadableError, UpdateRefused, UsageError
from orrery.home import Home, publish, rotate_key
from orrery.home.archive import Archive
from orrery.home.backing_up import take
from orrery.home.restoring import restore
from orrery.home.rolling import begin, roll_back, stop
from orrery.home.settling import settle
from orrery.home.unsettled import MARK_NAME, read_mark
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState
from orrery.wire.address import Address
from orrery.wire.signature import SigningKey
from orrery.wire.world import World
from tests.crash import rolling
from tests.crash.rolling import (
    TURN_MS,
    Fleet,
    Process,
    SetClock,
    fleet_of,
    go_on,
    make_rolling,
    rollout_of,
    watched_signatures,
)
from tests.unit.home.making import ELSEWHERE, ONE, TWO, entropy, make_home, want
from tests.unit.store.making import NOW_MS, sighting

BACKUP_MS = NOW_MS + 60_000
RESTORED_MS = BACKUP_MS + 3_600_000
SETTLED_MS = RESTORED_MS + 60_000
NODES = tuple(Address(0x1000000000 + number) for number in range(3))


class Loss:
    """A home with nodes, its backup, and the same home after that, until it is lost."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lost = make_home(directory / "lost", (ONE, TWO), entropy=entropy("lost"))
        (self.planet,) = self.lost.served_worlds()
        self.see(self.lost, NOW_MS, *NODES)
        self.archive = take(self.lost, BACKUP_MS).archive

    def see(self, home: Home, now_ms: int, *nodes: Address, holding: World | None = None) -> None:
        """Let nodes be seen."""
        world = holding or self.planet
        told = {"planet_id": world.id, "planet_timestamp_ms": world.timestamp_ms}
        home.store.record([sighting(node, now_ms, **told) for node in nodes])

    def publish(self, *endpoints: object, at_ms: int = BACKUP_MS + 1_000) -> World:
        """Publish something that the backup lacks."""
        want(self.lost, *endpoints)  # type: ignore[arg-type]
        return publish(self.lost, "home", at_ms).world

    def restore(self) -> Home:
        """The home of the backup, as a writer."""
        path = self.directory / "restored"
        restore(self.archive, "it", path, RESTORED_MS)
        return Home.open(path, writer=True, clock=lambda: SETTLED_MS)


@pytest.fixture
def loss(tmp_path: Path) -> Loss:
    return Loss(tmp_path)


def _may_sign(home: Home, now_ms: int = SETTLED_MS + 1) -> World:
    want(home, ONE, ELSEWHERE)
    return publish(home, "home", now_ms).world


def test_nothing_is_signed_before_it_is_settled(loss: Loss) -> None:
    with loss.restore() as home:
        want(home, ONE)
        with pytest.raises(PlanError, match="orrery restore --finish"):
            publish(home, "home", SETTLED_MS)
        assert home.store.newest(loss.planet.id) is not None
        assert home.served_worlds() == (loss.planet,)
        (home.path / MARK_NAME).write_text("{}")
        with pytest.raises(UnreadableError, match="cannot be understood"):
            publish(home, "home", SETTLED_MS)


def test_what_nobody_knows_is_asked_for(loss: Loss) -> None:
    with loss.restore() as home:
        loss.see(home, RESTORED_MS + 1, *NODES[:2])
        with pytest.raises(PlanError, match=r"2 of the 3 nodes .* were heard since") as told:
            settle(home, SETTLED_MS)
        for way in ("orrery serve", "--world", "--nothing-newer"):
            assert way in str(told.value)
        assert read_mark(home.path) is not None
        loss.see(home, RESTORED_MS + 2, NODES[2])
        settle(home, SETTLED_MS)
        assert read_mark(home.path) is None
        assert [each.action for each in home.store.audit_entries(2)] == [
            "finish restore",
            "restore",
        ]
        assert _may_sign(home).timestamp_ms > SETTLED_MS
        with pytest.raises(PlanError, match="nothing to finish"):
            settle(home, SETTLED_MS)


def test_somebody_may_know(loss: Loss) -> None:
    with loss.restore() as home:
        settled = settle(home, SETTLED_MS, nothing_newer=True)
        assert settled.worlds[0].added == ()
        _may_sign(home)


def test_what_a_node_holds_is_never_left_out(loss: Loss) -> None:
    later = loss.publish(ONE)
    with loss.restore() as home:
        loss.see(home, RESTORED_MS + 1, *NODES[:2])
        loss.see(home, RESTORED_MS + 1, NODES[2], holding=later)
        for nothing_newer in (False, True):
            with pytest.raises(PlanError, match=f"1 node .* holds revision {later.timestamp_ms}"):
                settle(home, SETTLED_MS, nothing_newer=nothing_newer)
        settled = settle(home, SETTLED_MS, [later])
        assert settled.worlds[0].added == (later,)
        assert home.store.chain(later.id).newest == later
        assert World.decode((home.path / "planet").read_bytes()) == later
        following = _may_sign(home)
        later.verify(loss.planet.updates_must_be_signed_by)
        assert following.timestamp_ms > later.timestamp_ms


def test_the_newest_world_of_a_node_is_enough(loss: Loss) -> None:
    with loss.restore() as home:
        settle(home, SETTLED_MS, [loss.planet])
        _may_sign(home)


def test_a_world_that_is_not_of_the_chain(loss: Loss, tmp_path: Path) -> None:
    key = SigningKey.generate(entropy("stranger"))
    with loss.restore() as home:
        with pytest.raises(UsageError, match="is none of this home"):
            settle(home, SETTLED_MS, [replace(loss.planet, id=5)])
        older = replace(loss.planet, timestamp_ms=1).sign(key)
        same = replace(loss.planet, roots=()).sign(key)
        for world in (older, same):
            with pytest.raises(ConflictError, match="made elsewhere"):
                settle(home, SETTLED_MS, [world])
        forged = replace(loss.planet, timestamp_ms=SETTLED_MS).sign(key)
        with pytest.raises(UpdateRefused, match="signed by another key"):
            settle(home, SETTLED_MS, [forged])
        assert home.store.chain(loss.planet.id).revisions == (loss.planet,)


def test_a_key_that_was_changed_after_the_backup(loss: Loss) -> None:
    rotate_key(loss.lost, "home", BACKUP_MS, entropy("new"))
    named = loss.publish(ONE)
    last = loss.publish(ONE, ELSEWHERE, at_ms=BACKUP_MS + 2_000)
    with loss.restore() as home:
        with pytest.raises(UpdateRefused, match="named the new key with --world as well"):
            settle(home, SETTLED_MS, [last])
        settled = settle(home, SETTLED_MS, [last, named])
        assert settled.worlds[0].added == (named, last)
        assert settled.worlds[0].missing_key is not None
        assert home.store.chain(last.id).newest == last


def test_a_clock_that_is_behind(loss: Loss) -> None:
    with loss.restore() as home:
        with pytest.raises(PlanError, match="set the clock"):
            settle(home, BACKUP_MS - 400_000, nothing_newer=True)
        settle(home, BACKUP_MS - 1_000, nothing_newer=True)
        assert _may_sign(home, BACKUP_MS - 999).timestamp_ms > BACKUP_MS


@pytest.mark.parametrize("ahead_ms", [0, 86_400_000])
def test_no_timestamp_is_given_out_twice(tmp_path: Path, ahead_ms: int) -> None:
    """The lost home goes on as fast as it can; its clock may have been ahead once."""
    with make_home(tmp_path / "lost", entropy=entropy("lost")) as lost:
        (planet,) = lost.served_worlds()
        lost.store.allocate_timestamp(planet.id, BACKUP_MS - 5 + ahead_ms)
        archive = take(lost, BACKUP_MS).archive
        passed_ms = 40
        given = {
            lost.store.allocate_timestamp(planet.id, BACKUP_MS + after_ms)
            for after_ms in range(passed_ms)
        }
    restore(archive, "it", tmp_path / "there", BACKUP_MS + passed_ms)
    with Home.open(tmp_path / "there", writer=True) as home:
        settle(home, BACKUP_MS + passed_ms, nothing_newer=True)
        following = {home.store.allocate_timestamp(planet.id, BACKUP_MS) for _ in range(50)}
    assert not given & following
    assert min(following) <= max(given) + 50  # and not further ahead than it must


def test_settling_again_after_an_interruption_does_the_rest(
    loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = loss.publish(ONE)
    with loss.restore() as home:

        def full(*_: object) -> None:
            raise UnreadableError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(Home, "write_worlds", full)
            with pytest.raises(UnreadableError, match="full"):
                settle(home, SETTLED_MS, [later])
        assert read_mark(home.path) is not None
        settle(home, SETTLED_MS, [later])
        assert home.store.chain(later.id).revisions == (loss.planet, later)
        _may_sign(home)


# During a rollout


def _until(path: Path, clock: SetClock, turns: int) -> tuple[Archive, Fleet]:
    """Carry a rollout on for so many turns, and back the home up then; with the nodes."""
    process = Process(path, clock)
    (planet,) = process.home.served_worlds()
    fleet = fleet_of(planet)
    try:
        for _ in range(turns):
            process.turn()
            fleet.take(process.home, clock.now_ms())
            clock.steady_ms += TURN_MS
        process.home.acquire()
        return take(process.home, clock.now_ms()).archive, fleet
    finally:
        process.end()


def go_on_a_little(process: Process) -> None:
    """Some turns, in which a timestamp is given out if it may be."""
    for _ in range(5):
        process.turn()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
def test_a_rollout_goes_on_after_a_restore(tmp_path: Path, turns: int) -> None:
    clock = SetClock()
    with watched_signatures() as signed:
        make_rolling(tmp_path / "lost")
        archive, fleet = _until(tmp_path / "lost", clock, turns)
        there = tmp_path / "there"
        restored = restore(archive, "it", there, clock.now_ms())
        assert len(restored.rollouts) == 1
        with Home.open(there) as home:
            assert rollout_of(home).state is RolloutState.PAUSED
            assert "orrery restore --finish" in rollout_of(home).reason
            before = home.store.chain(restored.worlds[0].id).revisions
        with Home.open(there, writer=True) as home:
            (rollout,) = settle(home, clock.now_ms(), nothing_newer=True).rollouts
            assert rollout.state is restored.rollouts[0].state
        rollout = go_on(there, clock, fleet)
    assert rollout.state is RolloutState.DONE, rollout.reason
    with Home.open(there) as home:
        revisions = home.store.chain(rollout.world_id).revisions
    assert revisions[: len(before)] == before
    assert len(revisions) == 3
    assert all(len(different) == 1 for different in signed.values())


def test_the_backup_before_a_signature_lets_the_same_be_signed_again(tmp_path: Path) -> None:
    """What the lost home signed and published last is signed again, with the same bytes."""
    clock = SetClock()
    order = make_rolling(tmp_path / "lost")
    process = Process(tmp_path / "lost", clock)
    process.turn()
    while not Progress.from_json(rollout_of(process.home).intents).signing_ms:
        process.turn()
    process.home.acquire()
    archive = take(process.home, clock.now_ms()).archive
    process.home.release()
    process.turn()
    published = process.home.store.chain(order.plan.id).newest
    process.end()
    restore(archive, "it", tmp_path / "there", clock.now_ms())
    with Home.open(tmp_path / "there", writer=True) as home:
        assert home.store.chain(order.plan.id).newest != published
        settle(home, clock.now_ms(), nothing_newer=True)
    clock.steady_ms += 11_000  # the lease of the lost server has to run out
    again = Process(tmp_path / "there", clock)
    again.turn()
    assert again.home.store.chain(order.plan.id).newest.encode() == published.encode()
    again.end()


@pytest.mark.parametrize("turns", [0, 2])
def test_a_step_that_was_published_after_the_backup_is_found(
    tmp_path: Path, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some nodes have it from the lost home, whoever's turn it is here.
    monkeypatch.setattr(rolling, "check_nobody_is_before_his_turn", lambda *_: None)
    clock = SetClock()
    order = make_rolling(tmp_path / "lost")
    with Home.open(tmp_path / "lost", writer=True) as home:
        archive = take(home, clock.now_ms()).archive
    fleet = fleet_of(World.decode((tmp_path / "lost" / "planet").read_bytes()))
    process = Process(tmp_path / "lost", clock)
    for _ in range(3 + turns):
        process.turn()
        fleet.take(process.home, clock.now_ms())
        clock.steady_ms += TURN_MS
    step = process.home.store.chain(order.plan.id).revisions[1]
    process.end()
    restore(archive, "it", tmp_path / "there", clock.now_ms())
    with Home.open(tmp_path / "there", writer=True) as home:
        (rollout,) = settle(home, clock.now_ms(), [step]).rollouts
        assert Progress.from_json(rollout.intents).revisions[-1] == step.timestamp_ms
    rollout = go_on(tmp_path / "there", clock, fleet)
    assert rollout.state is RolloutState.DONE, rollout.reason
    with Home.open(tmp_path / "there") as home:
        assert home.store.chain(order.plan.id).revisions[1] == step


def test_a_rollout_that_was_overtaken_is_stopped(tmp_path: Path) -> None:
    clock = SetClock()
    order = make_rolling(tmp_path / "lost")
    with Home.open(tmp_path / "lost", writer=True) as home:
        archive = take(home, clock.now_ms()).archive
        (planet,) = home.served_worlds()
        signer = home.keys.signer_for(planet.id, planet.updates_must_be_signed_by)
    other = replace(planet, timestamp_ms=clock.now_ms()).sign(signer)
    restore(archive, "it", tmp_path / "there", clock.now_ms())
    with Home.open(tmp_path / "there", writer=True) as home:
        (rollout,) = settle(home, clock.now_ms(), [other]).rollouts
        assert rollout.state is RolloutState.STOPPED
        assert "make a new plan" in rollout.reason
        assert home.store.chain(order.plan.id).newest == other


def test_no_rollout_begins_before_it_is_settled(tmp_path: Path) -> None:
    order = make_rolling(tmp_path / "lost")
    with Home.open(tmp_path / "lost", writer=True) as home:
        stop(home, "home", NOW_MS + 2)
        archive = take(home, BACKUP_MS).archive
    restore(archive, "it", tmp_path / "there", RESTORED_MS)
    with Home.open(tmp_path / "there", writer=True) as home:
        with pytest.raises(PlanError, match="orrery restore --finish"):
            begin(home, "home", order, SETTLED_MS)
        assert settle(home, SETTLED_MS, nothing_newer=True).rollouts == ()
        assert begin(home, "home", order, SETTLED_MS).number == 2


def test_who_steers_it_meanwhile_is_heard_and_nothing_is_signed(tmp_path: Path) -> None:
    clock = SetClock()
    make_rolling(tmp_path / "lost")
    archive, fleet = _until(tmp_path / "lost", clock, 3)
    restore(archive, "it", tmp_path / "there", clock.now_ms())
    with Home.open(tmp_path / "there", writer=True) as home:
        before = home.store.chain(rollout_of(home).world_id).revisions
        roll_back(home, "home", clock.now_ms())
    clock.steady_ms += 11_000  # the lease of the lost server has to run out
    process = Process(tmp_path / "there", clock)
    with pytest.raises(PlanError, match="orrery restore --finish"):
        go_on_a_little(process)
    assert process.home.store.chain(rollout_of(process.home).world_id).revisions == before
    process.home.acquire()
    (rollout,) = settle(process.home, clock.now_ms(), nothing_newer=True).rollouts
    assert Progress.from_json(rollout.intents).rolling_back
    process.end()
    assert go_on(tmp_path / "there", clock, fleet).state is RolloutState.ROLLED_BACK
