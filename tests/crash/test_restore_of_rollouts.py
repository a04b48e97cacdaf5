"""A home that is lost in the middle of a rollout, and goes on from a backup that is older.

The rollout is carried out once, and the home is backed up before everything that its conductor
does. Then it is lost at each later moment, with the nodes as they were then; what is restored from
each of the backups has to learn what it lacks, and to come to an end at which

    - no timestamp was ever signed for two different Worlds,
    - every revision that was in the backup, or that a node holds, is in the chain,
    - every node holds the newest one.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from orrery.errors import PlanError, UpdateRefused
from orrery.home import Home, publish
from orrery.home.archive import Archive
from orrery.home.backing_up import take
from orrery.home.home import DATABASE_NAME
from orrery.home.restoring import restore
from orrery.home.rolling import pause, resume, roll_back
from orrery.home.settling import settle
from orrery.home.unsettled import read_mark
from orrery.rollout.state import RolloutState
from orrery.server.conducting import LEASE_MS
from orrery.store import Rollout
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from orrery.worlds.chain import Chain
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
from tests.crash.stepping import machine
from tests.crash.test_home_steps import check_whole
from tests.unit.home.making import ELSEWHERE, ONE, want
from tests.unit.store.making import sighting

_SLOW = pytest.mark.slow
_AFTER_MS = 30_000
"""From a loss to the restore."""


@dataclass(frozen=True)
class Moment:
    """A home before the next thing that its conductor does.

    Attributes:
        archive: Its backup.
        now_ms: The clock.
        revisions: Its chain.
        given: Timestamps that were given out.
        holds: What each node holds.
    """

    archive: Archive
    now_ms: int
    revisions: tuple[World, ...]
    given: frozenset[int]
    holds: dict[Address, int]


@dataclass(frozen=True)
class Life:
    """A rollout from its begin to its end.

    Attributes:
        moments: All of it.
        taken_back: Whether it was taken back in the middle.
    """

    moments: list[Moment]
    taken_back: bool


def _given(home: Home) -> frozenset[int]:
    with closing(sqlite3.connect(home.path / DATABASE_NAME)) as database:
        return frozenset(row[0] for row in database.execute("SELECT timestamp_ms FROM timestamps"))


def _moment(home: Home, fleet: Fleet, now_ms: int) -> Moment:
    home.acquire()
    try:
        archive = take(home, now_ms).archive
    finally:
        home.release()
    (world_id,) = home.store.world_ids()
    revisions = home.store.chain(world_id).revisions
    return Moment(archive, now_ms, revisions, _given(home), dict(fleet.holds))


def _live(path: Path, *, taken_back: bool = False) -> Iterator[Moment]:
    """The whole life of a rollout, moment by moment; it may be taken back below the canary."""
    clock = SetClock()
    process = Process(path, clock)
    fleet = fleet_of(World.decode((path / "planet").read_bytes()))
    try:
        for _ in range(100):
            yield _moment(process.home, fleet, clock.now_ms())
            if taken_back and len(set(fleet.holds.values())) > 1:
                roll_back(process.home, "home", clock.now_ms())
                taken_back = False
            if process.turn():
                continue
            if rollout_of(process.home).state.is_over:
                return
            fleet.take(process.home, clock.now_ms())
            clock.steady_ms += TURN_MS
    finally:
        process.end()
    raise AssertionError("it comes to no end")


@pytest.fixture(scope="module", params=["done", "taken back"])
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """The moments of a rollout that comes to its end, or is taken back."""
    path = tmp_path_factory.mktemp("life") / "lost"
    make_rolling(path)
    with watched_signatures() as signed:
        moments = list(_live(path, taken_back=request.param == "taken back"))
    assert len(moments) > 8
    assert len(moments[-1].revisions) == 3
    assert all(len(different) == 1 for different in signed.values())
    return Life(moments, request.param == "taken back")


def _tell(home: Home, holds: dict[Address, int], now_ms: int) -> None:
    """Let nodes tell a restored home what they hold."""
    (world_id,) = home.store.world_ids()
    home.store.record(
        [
            sighting(node, now_ms, planet_id=world_id, planet_timestamp_ms=held_ms)
            for node, held_ms in holds.items()
        ]
    )


def _lead_on(chain: Chain, worlds: list[World]) -> bool:
    """Whether a node that holds the newest revision takes these, one after the other."""
    try:
        for world in worlds:
            chain = chain.extend(world)
    except UpdateRefused:
        return False
    return True


def _learn(home: Home, lost: Moment, now_ms: int) -> Rollout | None:
    """Settle a restored home with the files of nodes, as far as there is need."""
    known = {world.timestamp_ms for world in home.store.chain(lost.revisions[0].id).revisions}
    published = {world.timestamp_ms: world for world in lost.revisions}
    held = [published[held_ms] for held_ms in sorted(set(lost.holds.values()) - known)]
    _tell(home, lost.holds, now_ms)
    if held:
        with pytest.raises(PlanError, match="published after the backup was made and is not here"):
            settle(home, now_ms, nothing_newer=True)
        assert read_mark(home.path) is not None
    if not _lead_on(home.store.chain(lost.revisions[0].id), held):
        # Nodes have gone past the revision that named the key.
        with pytest.raises(UpdateRefused, match="Give the World that named the new key"):
            settle(home, now_ms, held)
        assert read_mark(home.path) is not None
        held = [world for world in lost.revisions if world.timestamp_ms not in known]
    settled = settle(home, now_ms, held)
    return settled.rollouts[0] if settled.rollouts else None


def _finish(path: Path, lost: Moment, clock: SetClock) -> Fleet:
    """Go on from a settled home until all nodes hold the newest revision."""
    fleet = Fleet(dict(lost.holds))
    with Home.open(path) as home:
        (world_id,) = home.store.world_ids()
        state = rollout_of(home).state
    if not state.is_over:
        done = go_on(path, clock, fleet)
        assert done.state in (RolloutState.DONE, RolloutState.ROLLED_BACK), done.reason
    with Home.open(path, writer=True, clock=clock.now_ms) as home:
        if rollout_of(home).state is RolloutState.STOPPED:
            want(home, ONE, Endpoint(ELSEWHERE.ip, 9))
            publish(home, "home", clock.now_ms())
        fleet.take(home, clock.now_ms())
        newest = home.store.chain(world_id).newest
    assert set(fleet.holds.values()) == {newest.timestamp_ms}
    return fleet


def _pairs(moments: int, stride: int) -> Iterator[tuple[int, int]]:
    """From which moment there is a backup, and at which the home is lost."""
    for backup in range(0, moments, stride):
        yield from ((backup, lost) for lost in range(backup, moments, stride))
        if (moments - 1 - backup) % stride:
            yield backup, moments - 1


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=_SLOW)])
def test_from_any_backup_and_any_loss_it_comes_to_an_end(
    life: Life, tmp_path: Path, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some nodes have it from the lost home, whoever's turn it is in the restored one.
    monkeypatch.setattr(rolling, "check_nobody_is_before_his_turn", lambda *_: None)
    made: dict[int, set[bytes]] = {}
    for moment in life.moments:
        for world in moment.revisions:
            made.setdefault(world.timestamp_ms, set()).add(world.encode())
    went_on = stopped = 0
    for number, (begin, end) in enumerate(_pairs(len(life.moments), stride)):
        backup, lost = life.moments[begin], life.moments[end]
        path = tmp_path / str(number)
        clock = SetClock(lost.now_ms + _AFTER_MS)
        restore(backup.archive, "it", path, clock.now_ms())
        with watched_signatures() as signed:
            with Home.open(path, writer=True, clock=clock.now_ms) as home:
                before = home.store.chain(backup.revisions[0].id).revisions
                rollout = _learn(home, lost, clock.now_ms())
            clock.steady_ms += LEASE_MS + 1
            _finish(path, lost, clock)
        with Home.open(path) as home:
            revisions = home.store.chain(backup.revisions[0].id).revisions
            given = _given(home)
        assert before == backup.revisions
        assert revisions[: len(before)] == before
        timestamps = [world.timestamp_ms for world in revisions]
        assert set(timestamps) >= set(lost.holds.values())
        assert all(earlier < later for earlier, later in pairwise(timestamps))
        for timestamp_ms, contents in signed.items():
            different = contents | made.get(timestamp_ms, set())
            assert len(different) == 1, f"{timestamp_ms} was signed for different Worlds"
        # What only the lost home has given out is given out no more, used or not.
        again = (given - backup.given) & (lost.given - backup.given)
        assert again <= set(lost.holds.values()) | {w.timestamp_ms for w in lost.revisions}
        went_on += rollout is not None and rollout.state is not RolloutState.STOPPED
        stopped += rollout is not None and rollout.state is RolloutState.STOPPED
        check_whole(path)
        shutil.rmtree(path)
    assert went_on
    # What was taken back is in no plan; everything else is.
    assert bool(stopped) is life.taken_back


@pytest.mark.parametrize("found", [False, True])
@pytest.mark.parametrize("taken_back", [False, True])
@pytest.mark.timeout(900)
def test_settling_stopped_anywhere_lets_the_rollout_go_on(
    tmp_path: Path, found: bool, taken_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "check_nobody_is_before_his_turn", lambda *_: None)
    make_rolling(tmp_path / "lost")
    moments = list(_live(tmp_path / "lost"))
    first = next(m for m in moments if len(m.revisions) > 1)
    backup = moments[moments.index(first) - 1] if found else first
    lost = next(m for m in moments if first.revisions[-1].timestamp_ms in m.holds.values())
    worlds = [first.revisions[-1]] if found else []
    now_ms = lost.now_ms + _AFTER_MS
    template = tmp_path / "template"
    restore(backup.archive, "it", template, now_ms)
    if taken_back:
        with Home.open(template, writer=True) as home:
            roll_back(home, "home", now_ms)
    stop, ended = 0, False
    while not ended:
        path = tmp_path / str(stop)
        shutil.copytree(template, path)
        clock = SetClock(now_ms)
        with watched_signatures() as signed:
            with machine(stop, loses=True) as running:  # noqa: SIM117
                with Home.open(path, writer=True, clock=clock.now_ms) as home:
                    settle(home, now_ms, worlds, nothing_newer=not found)
            ended = not running.stopped
            with Home.open(path, writer=True, clock=clock.now_ms) as home:
                if read_mark(path) is not None:
                    settle(home, now_ms, worlds, nothing_newer=not found)
                chain = home.store.chain(first.revisions[0].id)
                assert chain.revisions == first.revisions
            clock.steady_ms += LEASE_MS + 1
            fleet = Fleet(dict(lost.holds))
            done = go_on(path, clock, fleet)
        assert (
            done.state
            is {
                (False, False): RolloutState.DONE,
                (False, True): RolloutState.ROLLED_BACK,
                (True, False): RolloutState.DONE,
                # Who takes a step back that was published all the same has to look what nodes hold.
                (True, True): RolloutState.STOPPED,
            }[found, taken_back]
        )
        assert all(len(contents) == 1 for contents in signed.values())
        if done.state is not RolloutState.STOPPED:  # which goes on to hold nodes back
            check_whole(path)
        shutil.rmtree(path)
        stop += 1
    assert stop > 5


def test_a_rollout_that_was_paused_by_hand_stays_so(tmp_path: Path) -> None:
    make_rolling(tmp_path / "lost")
    *_, middle = (m for m in _live(tmp_path / "lost") if len(m.revisions) == 2)
    clock = SetClock(middle.now_ms)
    restore(middle.archive, "it", tmp_path / "again", clock.now_ms())
    with Home.open(tmp_path / "again", writer=True, clock=clock.now_ms) as home:
        settle(home, clock.now_ms(), nothing_newer=True)
        paused = pause(home, "home", clock.now_ms(), actor="ada")
        archive = take(home, clock.now_ms()).archive
    restore(archive, "it", tmp_path / "there", clock.now_ms())
    with Home.open(tmp_path / "there", writer=True, clock=clock.now_ms) as home:
        (rollout,) = settle(home, clock.now_ms(), nothing_newer=True).rollouts
        assert (rollout.state, rollout.reason) == (RolloutState.PAUSED, paused.reason)
        resume(home, "home", clock.now_ms())
    clock.steady_ms += LEASE_MS + 1
    assert go_on(tmp_path / "there", clock, Fleet(dict(middle.holds))).state is RolloutState.DONE


@pytest.mark.parametrize("loses", [True, pytest.param(False, marks=_SLOW)])
def test_a_restore_stopped_anywhere_leaves_the_rollout_still_or_no_home(
    tmp_path: Path, loses: bool
) -> None:
    make_rolling(tmp_path / "lost")
    moments = list(_live(tmp_path / "lost"))
    backup = next(m for m in moments if len(m.revisions) > 1)
    stop, ended = 0, False
    while not ended:
        place = tmp_path / str(stop)
        place.mkdir()
        path = place / "home"
        with machine(stop, loses=loses) as running:
            restore(backup.archive, "it", path, backup.now_ms)
        ended = not running.stopped
        if not path.exists():
            restore(backup.archive, "it", path, backup.now_ms)
        mark = read_mark(path)
        assert mark is not None
        assert [held.state for held in mark.rollouts] != [RolloutState.PAUSED]
        with Home.open(path) as home:
            assert rollout_of(home).state is RolloutState.PAUSED
            assert home.store.chain(backup.revisions[0].id).revisions == backup.revisions
        process = Process(path, SetClock(backup.now_ms + LEASE_MS + 1))
        assert not process.turn()
        process.end()
        shutil.rmtree(place)
        stop += 2
    assert stop > 25
