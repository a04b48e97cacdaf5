import hashlib
import os
import stat
from pathlib import Path

import pytest

from orrery.custody import Owner
from orrery.errors import UnreadableError
from orrery.home import atomic
from tests.crash.stepping import disk_full, machine

NOW_MS = 1_790_000_000_123


def _replace(path: Path, data: bytes, now_ms: int = NOW_MS) -> None:
    atomic.replace_file(path, data, backups=path.parent / "backups", now_ms=now_ms)


def _copies(path: Path) -> list[bytes]:
    return [p.read_bytes() for p in atomic.copies_of(path.name, path.parent / "backups")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "planet"


def test_the_file_before_is_kept_with_time_and_hash(path: Path) -> None:
    _replace(path, b"one")
    assert not (path.parent / "backups").exists()
    _replace(path, b"two")
    assert path.read_bytes() == b"two"
    (copy,) = (path.parent / "backups").iterdir()
    digest = hashlib.sha256(b"one").hexdigest()[:12]
    assert copy.name == f"planet.20260921T141320123Z.{digest}"
    assert copy.read_bytes() == b"one"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700


def test_equal_content_is_not_written_again(path: Path) -> None:
    _replace(path, b"one")
    before = path.stat()
    _replace(path, b"one")
    assert path.stat() == before
    assert _copies(path) == []


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_the_mode_is_kept(path: Path, mode: int) -> None:
    _replace(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(mode)
    _replace(path, b"two")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept(path: Path) -> None:
    _replace(path, b"one")
    os.chown(path, 1234, 2345)
    _replace(path, b"two")
    assert Owner.of(path) == Owner(1234, 2345)


def test_a_bounded_number_of_copies_is_kept(path: Path) -> None:
    total = atomic.BACKUPS_KEPT + 5
    other = path.with_name("planet.other")
    _replace(other, b"1")
    _replace(other, b"2")
    for number in range(total + 1):
        _replace(path, b"%d" % number, NOW_MS + number)
    assert _copies(path) == [b"%d" % number for number in range(5, total)]
    assert _copies(other) == [b"1"]


def test_content_that_comes_back_is_kept_again(path: Path) -> None:
    for number, data in enumerate((b"one", b"two", b"one", b"two")):
        _replace(path, data, NOW_MS + number)
    assert _copies(path) == [b"one", b"two", b"one"]


@pytest.mark.parametrize("now_ms", [-1, 0, 2**63])
def test_any_clock_will_do(path: Path, now_ms: int) -> None:
    _replace(path, b"one")
    _replace(path, b"two", now_ms)
    assert _copies(path) == [b"one"]


@pytest.mark.parametrize("loses", [False, True], ids=["keeps", "loses"])
def test_no_content_is_lost_wherever_the_machine_stops(tmp_path: Path, loses: bool) -> None:
    stop, ended = 0, False
    while not ended:
        path = tmp_path / str(stop) / "planet"
        path.parent.mkdir()
        _replace(path, b"zero", 1)
        _replace(path, b"one", 2)
        with machine(stop, loses=loses) as running:
            _replace(path, b"two", 3)
        ended = not running.stopped
        assert path.read_bytes() in (b"one", b"two")
        if path.read_bytes() == b"two":
            assert _copies(path) == [b"zero", b"one"]
        stop += 1
    assert path.read_bytes() == b"two"
    assert stop > 10


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "planet"
    _replace(path, b"one")
    _replace(path, b"two")
    with machine() as counting:
        _replace(path, b"three")
    # Only after the very last rename can the new file be there although its sync failed.
    for step in range(len(counting.steps) - 1):
        _replace(path, b"old %d" % step)
        with machine(step, fault=disk_full), pytest.raises(UnreadableError, match="disk is full"):
            _replace(path, b"new")
        assert path.read_bytes() == b"old %d" % step
        assert not list(tmp_path.rglob(".orrery-*"))
