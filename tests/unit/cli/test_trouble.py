"""A full disk, a clock that was set back, a wrong passphrase: told, and nothing is lost."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orrery.custody import durable
from orrery.home import Home
from orrery.home.plan_file import PlanFile
from tests.unit.cli.rolling import MOVED, newest, now_ms, revisions, rolling_home, wish
from tests.unit.cli.running import Orrery
from tests.unit.custody.locks import quick_lock
from tests.unit.home.making import ONE
from tests.unit.store.making import sighting

HOUR_MS = 3_600_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.delenv("ORRERY_HOME", raising=False)
    monkeypatch.delenv("ORRERY_PASSPHRASE", raising=False)
    with rolling_home(tmp_path / "home") as made:
        wish(made, MOVED)
        yield made


def files(path: Path) -> dict[str, bytes]:
    """Everything that a person would miss, but the database."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and not file.name.endswith(("lock", "-wal", "-shm", ".db"))
    }


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets every file fail that is written from now on; SQLite has its own."""

    def fill() -> None:
        def fail(path: Path, *_: object) -> None:
            path.write_bytes(b"a part of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(durable, "_write_new", fail)

    return fill


def test_a_plan_that_does_not_fit_the_disk_is_not_there(
    orrery: Orrery, home: Home, full_disk: Callable[[], None], tmp_path: Path
) -> None:
    (tmp_path / "old.json").write_text("an older plan")
    before = files(tmp_path)
    full_disk()
    for arguments in (("new.json",), ("old.json", "--force")):
        result = orrery("plan", "--home", "home", "--out", *arguments)
        assert (result.status, "the disk is full" in result.err) == (3, True)
    assert files(tmp_path) == before


def test_a_signature_that_does_not_fit_the_disk_leaves_the_plan_as_it_was(
    orrery: Orrery, home: Home, full_disk: Callable[[], None], tmp_path: Path
) -> None:
    assert orrery("plan", "--home", "home", "--out", "plan.json").status == 0
    before = files(tmp_path)
    full_disk()
    result = orrery("key", "sign", "plan.json", "--home", "home", "--yes")
    assert (result.status, "the disk is full" in result.err) == (3, True)
    assert files(tmp_path) == before
    assert PlanFile.from_json((tmp_path / "plan.json").read_text()).unsigned == (1, 2)


def test_a_key_that_does_not_fit_the_disk_leaves_the_one_before(
    orrery: Orrery, home: Home, full_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(home.path)
    with monkeypatch.context() as filled:
        del filled
        full_disk()
        result = orrery("key", "rotate", "--home", "home")
        assert (result.status, "the disk is full" in result.err) == (3, True)
        assert files(home.path) == before
    monkeypatch.undo()
    assert orrery("key", "rotate", "--home", home.path).status == 0
    assert orrery("plan", "--home", home.path).status == 0


_INDEX_BYTES = 32_768
"""What SQLite needs beside a database to read it."""


def _limited(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command whose database has room to be read, and not for a change."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (_INDEX_BYTES, resource.RLIM_INFINITY))

    return subprocess.run(
        [sys.executable, "-m", "orrery", *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )


def test_a_database_that_cannot_grow_begins_nothing(home: Home) -> None:
    planet = newest(home)
    held = {"planet_id": planet.id, "planet_timestamp_ms": planet.timestamp_ms}
    home.store.record(
        [sighting(node, now_ms(), **held) for node in range(1 << 36, 4_000 + (1 << 36))]
    )
    home.store.close()
    path = home.path
    ended = _limited("apply", "--home", str(path), "--yes", "--detach")
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1].startswith("orrery: ")
    assert "orrery.db" in ended.stderr
    assert "Traceback" not in ended.stderr
    with Home.open(path) as again:
        assert again.store.rollouts() == ()
        assert len(revisions(again)) == 1
    ended = subprocess.run(
        [sys.executable, "-m", "orrery", "apply", "--home", str(path), "--yes", "--detach"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0


# The clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the clock of the home back or forth."""
    import time

    true_ns = time.time_ns

    def move(by_ms: int) -> None:
        monkeypatch.setattr("orrery.home.home.time.time_ns", lambda: true_ns() + by_ms * 1_000_000)

    return move


def test_a_clock_an_hour_back_gives_larger_timestamps_all_the_same(
    orrery: Orrery, home: Home, clock: Callable[[int], None]
) -> None:
    last_ms = home.store.allocate_timestamp(newest(home).id, now_ms())
    clock(-HOUR_MS)
    result = orrery("plan", "--home", "home", "--out", "plan.json")
    assert result.status == 0
    file = PlanFile.from_json(Path("plan.json").read_text())
    stamps = [world.timestamp_ms for world in file.revisions]
    assert stamps == [last_ms + 1, last_ms + 2]
    assert orrery("key", "sign", "plan.json", "--home", "home", "--yes").status == 0
    assert orrery("apply", "plan.json", "--home", "home", "--yes", "--detach").status == 0
    assert "planned" in orrery("status", "--home", "home").out


def test_nodes_seen_in_what_is_the_future_now_are_counted(
    orrery: Orrery, home: Home, clock: Callable[[int], None]
) -> None:
    clock(-48 * HOUR_MS)
    assert "5 counted" in orrery("plan", "--home", "home").out
    assert orrery("status", "--home", "home").status == 0


# Passphrases


def test_a_wrong_passphrase_begins_nothing_and_uses_nothing_up(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_lock(monkeypatch)
    wish(home, ONE, MOVED)
    for name in ("right", "wrong"):
        Path(name).write_text(f"{name}\n")
        Path(name).chmod(0o600)
    arguments = ("--home", "home", "--passphrase-file")
    assert orrery("key", "lock", *arguments, "right").status == 0
    before = files(home.path)
    for more in ((), ("--json",)):
        result = orrery("apply", "--yes", "--detach", *arguments, "wrong", *more)
        assert (result.status, "the passphrase is wrong" in result.err) == (4, True)
        assert "wrong\n" not in result.err.replace("is wrong", "")
    nobody = orrery("apply", "--yes", "--detach", "--home", "home")
    assert (nobody.status, "--passphrase-file" in nobody.err) == (4, True)
    assert files(home.path) == before
    assert home.store.rollouts() == ()
    assert orrery("plan", "--home", "home").status == 0, "to plan, no passphrase is needed"
    assert orrery("apply", "--yes", "--detach", *arguments, "right").status == 0
