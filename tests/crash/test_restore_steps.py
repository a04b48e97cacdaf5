"""A restore, and what settles it, with the machine stopping before every single step."""

import shutil
from pathlib import Path

import pytest

from orrery.errors import OrreryError, PlanError
from orrery.home import Home, publish
from orrery.home.archive import Archive
from orrery.home.backing_up import take
from orrery.home.restoring import check, restore
from orrery.home.settling import settle
from orrery.home.unsettled import read_mark
from orrery.wire.world import World
from tests.crash.stepping import disk_full, machine
from tests.crash.test_home_steps import check_whole
from tests.unit.home.making import ELSEWHERE, ONE, entropy, make_home, want
from tests.unit.store.making import NOW_MS

BACKUP_MS = NOW_MS + 100
SETTLED_MS = NOW_MS + 900


def _lose(directory: Path) -> tuple[Archive, World]:
    """A backup, and a revision that was published after it."""
    with make_home(directory / "lost", (ONE,), entropy=entropy("lost")) as home:
        archive = take(home, BACKUP_MS).archive
        want(home, ONE, ELSEWHERE)
        return archive, publish(home, "home", BACKUP_MS + 1).world


@pytest.mark.parametrize("loses", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_restore_stopped_anywhere_leaves_no_home_or_a_whole_one(
    tmp_path: Path, loses: bool
) -> None:
    archive, _ = _lose(tmp_path)
    stop, ended = 0, False
    while not ended:
        place = tmp_path / str(stop)
        place.mkdir()
        path = place / "home"
        with machine(stop, loses=loses) as running:
            restore(archive, "it", path, BACKUP_MS + 5)
        ended = not running.stopped
        if path.exists():
            assert read_mark(path) is not None
            check_whole(path)
        else:
            restore(archive, "it", path, BACKUP_MS + 5)
        shutil.rmtree(place)
        stop += 1
    assert stop > 25


def test_settling_stopped_anywhere_is_done_again(tmp_path: Path) -> None:
    archive, later = _lose(tmp_path)
    restore(archive, "it", tmp_path / "template", BACKUP_MS + 5)
    stop, ended = 0, False
    while not ended:
        path = tmp_path / str(stop)
        shutil.copytree(tmp_path / "template", path)
        with machine(stop, loses=True) as running:  # noqa: SIM117
            with Home.open(path, writer=True, clock=lambda: SETTLED_MS) as home:
                settle(home, SETTLED_MS, [later])
        ended = not running.stopped
        with Home.open(path, writer=True, clock=lambda: SETTLED_MS) as home:
            if read_mark(path) is not None:
                want(home, ONE)
                with pytest.raises(PlanError, match="orrery restore --finish"):
                    publish(home, "home", SETTLED_MS)
                settle(home, SETTLED_MS, [later])
            assert home.store.chain(later.id).newest == later
            assert home.store.allocate_timestamp(later.id, 0) > SETTLED_MS
        check_whole(path)
        shutil.rmtree(path)
        stop += 1
    assert stop > 5


def test_a_check_of_a_disk_that_is_full_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, _ = _lose(tmp_path)
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    full = pytest.raises((OrreryError, OSError), match=r"full|No space")
    for step in range(1, 30, 4):
        with machine(step, fault=disk_full), full:
            check(archive, "it", BACKUP_MS)
        assert list(place.iterdir()) == []
