"""A rollout whose conductor dies before every single step of what changes the disk."""

import shutil
from pathlib import Path

import pytest

from orrery.home import Home
from orrery.home.rolling import roll_back
from orrery.rollout.state import RolloutState
from orrery.server.conducting import LEASE_MS
from orrery.wire.world import World
from tests.crash.rolling import (
    Fleet,
    SetClock,
    fleet_of,
    go_on,
    make_rolling,
    rollout_of,
    watched_signatures,
)
from tests.crash.stepping import machine

_SLOW = pytest.mark.slow


def planet_of(path: Path) -> World:
    return World.decode((path / "planet").read_bytes())


def check_end(path: Path, state: RolloutState, revisions: int, fleet: Fleet) -> None:
    """The end is as if nobody had died."""
    with Home.open(path, writer=True) as home:
        rollout = rollout_of(home)
        assert rollout.state is state
        assert rollout.served is None
        chain = home.store.chain(rollout.world_id)
        assert len(chain) == revisions
        assert planet_of(path) == chain.newest
        assert set(fleet.holds.values()) == {chain.newest.timestamp_ms}
        notes = [each.note for each in home.store.revisions(rollout.world_id)]
        assert len(notes) == len(set(notes))


def test_a_rollout_comes_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "home"
    make_rolling(path)
    fleet, clock = fleet_of(planet_of(path)), SetClock()
    with watched_signatures() as signed:
        done = go_on(path, clock, fleet)
    assert (done.state, done.reason) == (RolloutState.DONE, "every step is done")
    assert len(signed) == 2
    check_end(path, RolloutState.DONE, 3, fleet)


def _roll_back(path: Path, clock: SetClock, fleet: Fleet) -> None:
    with Home.open(path) as home:
        if not rollout_of(home).state.is_over:
            roll_back(home, "home", clock.now_ms())


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("stride", "loses"),
    [
        (17, True),
        pytest.param(1, True, marks=_SLOW),
        pytest.param(1, False, marks=_SLOW),
    ],
)
def test_killed_anywhere_it_comes_to_its_end(tmp_path: Path, stride: int, loses: bool) -> None:
    make_rolling(tmp_path / "template")
    stop, ended = 0, False
    while not ended:
        path = tmp_path / str(stop)
        shutil.copytree(tmp_path / "template", path)
        fleet, clock = fleet_of(planet_of(path)), SetClock()
        with watched_signatures() as signed:
            with machine(stop, loses=loses) as running:
                go_on(path, clock, fleet)
            ended = not running.stopped
            if not ended:
                clock.steady_ms += LEASE_MS + 1
                go_on(path, clock, fleet)
        assert all(len(contents) == 1 for contents in signed.values()), "signed twice"
        check_end(path, RolloutState.DONE, 3, fleet)
        with Home.open(path) as home:
            published = {
                each.world.timestamp_ms for each in home.store.revisions(planet_of(path).id)
            }
        assert published >= signed.keys(), "signed, and never published"
        shutil.rmtree(path)
        stop += stride
    assert stop > 40


@pytest.mark.timeout(900)
@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=_SLOW)])
def test_killed_anywhere_it_is_taken_back(tmp_path: Path, stride: int) -> None:
    template = tmp_path / "template"
    make_rolling(template)
    fleet = fleet_of(planet_of(template))
    clock = SetClock()
    go_on(template, clock, fleet, until=frozenset({RolloutState.SETTLING}))
    held = dict(fleet.holds)
    _roll_back(template, clock, fleet)
    now_ms, stop, ended = clock.now_ms() + LEASE_MS + 1, 0, False
    while not ended:
        path = tmp_path / str(stop)
        shutil.copytree(template, path)
        fleet, clock = Fleet(dict(held)), SetClock(now_ms)
        with watched_signatures() as signed:
            with machine(stop, loses=True) as running:
                go_on(path, clock, fleet)
            ended = not running.stopped
            if not ended:
                clock.steady_ms += LEASE_MS + 1
                go_on(path, clock, fleet)
            clock.steady_ms += 1
        with Home.open(path) as home:
            fleet.take(home, clock.now_ms())
        assert all(len(contents) == 1 for contents in signed.values()), "signed twice"
        check_end(path, RolloutState.ROLLED_BACK, 3, fleet)
        shutil.rmtree(path)
        stop += stride
    assert stop > 15
