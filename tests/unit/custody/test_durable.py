import errno
import os
import stat
from pathlib import Path

import pytest

from orrery.custody import durable
from orrery.errors import UnreadableError
from tests.crash.stepping import disk_full, machine


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400])
def test_a_file_has_the_mode_that_is_asked_for(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        durable.write_file(tmp_path / "planet", b"new", mode)
    finally:
        os.umask(before)
    assert (tmp_path / "planet").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "planet").stat().st_mode) == mode
    assert _names(tmp_path) == ["planet"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_has_the_owner_that_is_asked_for(tmp_path: Path) -> None:
    durable.write_file(tmp_path / "planet", b"new", 0o644, durable.Owner(1234, 2345))
    assert durable.Owner.of(tmp_path / "planet") == durable.Owner(1234, 2345)
    durable.make_directory(tmp_path / "moons.d", 0o755, durable.Owner(1234, 2345))
    assert durable.Owner.of(tmp_path / "moons.d") == durable.Owner(1234, 2345)


@pytest.mark.parametrize("loses", [False, True], ids=["keeps", "loses"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_file_is_whole_wherever_the_machine_stops(
    tmp_path: Path, old: bytes | None, loses: bool
) -> None:
    path = tmp_path / "planet"
    stop, ended = 0, False
    while not ended:
        path.unlink(missing_ok=True)
        if old is not None:
            path.write_bytes(old)
        with machine(stop, loses=loses) as running:
            durable.write_file(path, b"new" * 1000, 0o644)
        ended = not running.stopped
        found = path.read_bytes() if path.exists() else None
        assert found in (old, b"new" * 1000)
        if ended:
            assert found == b"new" * 1000
        durable.remove_leftovers(tmp_path)
        assert _names(tmp_path) in ([], ["planet"])
        stop += 1
    assert running.steps == ["create", "fchmod", "write", "fsync", "replace", "fsync"]


@pytest.mark.parametrize("step", range(5))
def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path, step: int) -> None:
    path = tmp_path / "planet"
    path.write_bytes(b"old")
    with (
        machine(step, fault=disk_full),
        pytest.raises(UnreadableError, match=r"the disk is full .* free some space"),
    ):
        durable.write_file(path, b"new", 0o644)
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["planet"]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    durable.write_file(tmp_path / "planet", bytes(range(100)), 0o644)
    assert (tmp_path / "planet").read_bytes() == bytes(range(100))


def test_directories_are_made_with_their_parents(tmp_path: Path) -> None:
    durable.make_directory(tmp_path / "a" / "b", 0o700)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    durable.make_directory(tmp_path / "a" / "b", 0o755)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_leftovers_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / ".orrery-planet-0123.tmp").write_bytes(b"half")
    (tmp_path / ".other.tmp").write_bytes(b"")
    (tmp_path / "planet").write_bytes(b"")
    assert durable.remove_leftovers(tmp_path) == (".orrery-planet-0123.tmp",)
    assert _names(tmp_path) == [".other.tmp", "planet"]
    assert durable.remove_leftovers(tmp_path / "nowhere") == ()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "as the owner"),
        (errno.EROFS, "mounted read-only"),
        (errno.ENOENT, "no such file"),
        (errno.EIO, "check the path and the disk"),
    ],
)
def test_failures_are_sentences(tmp_path: Path, number: int, said: str) -> None:
    with (
        machine(0, fault=lambda: OSError(number, os.strerror(number))),
        pytest.raises(UnreadableError, match=said),
    ):
        durable.write_file(tmp_path / "planet", b"", 0o644)


def test_a_file_system_without_directory_sync_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    durable.sync_directory(tmp_path)
