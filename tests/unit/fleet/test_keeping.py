"""Copies of what lay on hosts, kept here."""

from pathlib import Path

import pytest

from orrery.errors import HostError
from orrery.fleet.keeping import drop_files, drop_surplus, keep_files
from orrery.home.archive import unpack
from orrery.home.backing_up import take
from orrery.home.restoring import restore
from tests.unit.home.making import ONE, make_home
from tests.unit.store.making import NOW_MS

FILES = {
    "planet": b"a planet",
    "moons.d/000000b5c6f8908a.moon": b"a moon",
    "identity.public": b"{}",
}


def name(number: int) -> str:
    return f"20261123T16260012{number}Z-1a2b3c"


def found(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_they_are_for_their_owner_alone(tmp_path: Path) -> None:
    kept = keep_files(tmp_path / "backups" / "hosts" / "nas", name(1), FILES)
    assert found(kept) == FILES
    for path in (tmp_path / "backups").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_the_newest_stay(tmp_path: Path) -> None:
    folder = tmp_path / "backups" / "hosts" / "nas"
    for number in range(4):
        keep_files(folder, name(number), FILES)
    (folder / ".orrery-cut-off").mkdir()
    (folder / "mine").mkdir()
    drop_surplus(folder, 2)
    assert sorted(path.name for path in folder.iterdir()) == [name(2), name(3), "mine"]
    drop_files(folder / name(3))
    drop_files(folder / name(3))
    assert sorted(path.name for path in folder.iterdir()) == [name(2), "mine"]
    drop_surplus(tmp_path / "nobody", 2)


def test_they_are_part_of_a_backup_of_the_home(tmp_path: Path) -> None:
    with make_home(tmp_path / "home", [ONE]) as home:
        keep_files(home.backups / "hosts" / "nas", name(1), FILES)
        with home.start_deploying():
            taken = take(home, NOW_MS)
    assert not taken.left_out
    restore(unpack(taken.archive.pack(), "it"), "it", tmp_path / "new", NOW_MS)
    assert found(tmp_path / "new" / "backups" / "hosts" / "nas" / name(1)) == FILES


@pytest.mark.parametrize(
    "told",
    ["../../../../.ssh/authorized_keys", "/etc/passwd", "moons.d/../../x", "local.conf"],
)
def test_a_host_that_tells_another_name_writes_nothing_here(tmp_path: Path, told: str) -> None:
    with pytest.raises(HostError, match="host nas tells of a file"):
        keep_files(tmp_path / "backups" / "hosts" / "nas", name(1), FILES | {told: b"theirs"})
    assert not list(tmp_path.iterdir())
