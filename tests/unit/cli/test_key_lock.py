"""`orrery key lock` and `unlock`."""

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from orrery.errors import UsageError
from orrery.home import Home, lock_keys
from tests.unit.cli.running import Orrery
from tests.unit.custody.locks import quick_lock
from tests.unit.home.making import make_home
from tests.unit.store.making import NOW_MS

_IN_A_TERMINAL = (
    "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "from orrery.cli import main; main()"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    quick_lock(monkeypatch)
    for name in ("ORRERY_PASSPHRASE", "CREDENTIALS_DIRECTORY", "ORRERY_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, text in (("right", "correct horse\n"), ("wrong", "battery staple\n"), ("empty", "")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    make_home(tmp_path / "home").close()
    return tmp_path / "home"


def _keys(home: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in home.glob("keys.d/**/*")
        if path.is_file()
    }


def _change(home: Path) -> None:
    settings = home / "orrery.toml"
    settings.write_text(settings.read_text().replace('"203.0.113.7:9993"', '"203.0.113.7:9994"'))


def test_a_locked_key_signs_with_its_passphrase_alone(
    orrery: Orrery, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = orrery("key", "lock", "--world", "home", "--home", home, "--passphrase-file", "right")
    assert result.status == 0
    assert result.out.startswith("keys of planet home, locked\ncurrent  ")
    (name,) = [name for name in _keys(home) if name.endswith(".c25519.age")]
    assert name in result.out
    assert not [name for name in _keys(home) if name.endswith(".c25519")]

    _change(home)
    result = orrery("publish", "--home", home)
    assert (result.status, "is locked: give --passphrase-file" in result.err) == (4, True)
    result = orrery("publish", "--home", home, "--passphrase-file", "wrong")
    assert (result.status, "the passphrase is wrong or the file is dam" in result.err) == (4, True)
    monkeypatch.setenv("ORRERY_PASSPHRASE", "correct horse")
    assert orrery("publish", "--home", home).status == 0

    result = orrery("key", "unlock", "--home", home)
    assert (result.status, result.out.partition("\n")[0]) == (0, "keys of planet home, unlocked")
    monkeypatch.delenv("ORRERY_PASSPHRASE")
    assert orrery("key", "new", "--world", "home", "--home", home).status == 0
    assert orrery("publish", "--home", home).status == 0


def test_a_wrong_passphrase_changes_nothing(orrery: Orrery, home: Path) -> None:
    lock = ("key", "lock", "--home", home, "--passphrase-file")
    unlock = ("key", "unlock", "--home", home, "--passphrase-file")
    before = _keys(home)
    result = orrery(*lock, "empty")
    assert (result.status, "an empty passphrase locks nothing" in result.err) == (4, True)
    result = orrery(*lock, "missing")
    assert (result.status, "missing cannot be read" in result.err) == (3, True)
    assert _keys(home) == before
    assert orrery(*lock, "right").status == 0
    locked = _keys(home)
    result = orrery(*unlock, "wrong")
    assert (result.status, result.out) == (4, "")
    assert "cannot be unlocked: the passphrase is wrong or the file is damaged" in result.err
    assert orrery(*unlock, "wrong", "--json").error["code"] == "key"
    assert _keys(home) == locked
    assert orrery(*unlock, "right").status == 0
    index = {name for name in locked if name.endswith(".json")}
    assert {name: data for name, data in _keys(home).items() if name not in index} == before


def test_what_is_so_already_is_said(orrery: Orrery, home: Path) -> None:
    result = orrery("key", "unlock", "--home", home)
    assert (result.status, result.out) == (0, "the keys of planet home are unlocked already\n")
    assert orrery("key", "lock", "--home", home, "--passphrase-file", "right").status == 0
    again = orrery("key", "lock", "--home", home, "--passphrase-file", "wrong")
    assert (again.status, again.out) == (0, "the keys of planet home are locked already\n")
    with Home.open(home) as opened:
        done = [entry.action for entry in opened.store.audit_entries()]
    assert done == ["lock keys", "publish"]


def test_programs_are_told_which_keys(orrery: Orrery, home: Path) -> None:
    orrery("key", "new", "--world", "home", "--home", home)
    told = orrery("key", "lock", "--home", home, "--passphrase-file", "right", "--json").json
    assert (told["locked"], [key["slot"] for key in told["changed"]]) == (
        True,
        ["current", "previous"],
    )
    assert all(Path(key["file"]).exists() for key in told["changed"])
    shown = orrery("key", "show", "--world", "home", "--home", home, "--json").json
    assert [key["fingerprint"] for key in shown] == [key["fingerprint"] for key in told["changed"]]
    assert all(key["locked"] for key in shown)
    again = orrery("key", "lock", "--home", home, "--passphrase-file", "right", "--json").json
    assert again["changed"] == []


def test_a_new_key_is_not_locked_with_another_passphrase_in_silence(
    orrery: Orrery, home: Path
) -> None:
    assert orrery("key", "lock", "--home", home, "--passphrase-file", "right").status == 0
    make = ("key", "new", "--world", "home", "--home", home, "--no-lock")
    assert orrery(*make).status == 0
    before = _keys(home)
    result = orrery("key", "lock", "--home", home, "--passphrase-file", "wrong")
    assert (result.status, "previous.c25519.age is locked already, and does" in result.err) == (
        4,
        True,
    )
    assert _keys(home) == before


def _at_a_terminal(*arguments: str | Path, typed: Sequence[str]) -> tuple[int, str]:
    """Run a command at a terminal of its own and type these lines, each when it is asked for.

    Returns:
        The exit status, and what the terminal showed.
    """
    own, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _IN_A_TERMINAL, *arguments],
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    shown, lines = b"", list(typed)
    with contextlib.suppress(OSError):  # what Linux says when the other end is closed
        while part := os.read(own, 1024):
            shown += part
            if lines and shown.endswith(b": "):
                os.write(own, lines.pop(0).encode() + b"\n")
                shown += b"(typed)"
    os.close(own)
    assert lines == []
    return process.wait(), shown.decode()


def test_a_person_is_asked_twice_before_a_lock(home: Path) -> None:
    pytest.importorskip("pyrage")  # in a process of its own, the lock is a real one
    before = _keys(home)
    typed = ("correct hrose", "correct horse", "correct horse", "correct horse")
    status, shown = _at_a_terminal("key", "lock", "--home", home, typed=typed)
    assert (status, "do not match" in shown) == (0, True)
    assert "New passphrase of every key of World " in shown
    locked = _keys(home)
    assert any(name.endswith(".age") for name in locked)

    status, shown = _at_a_terminal("key", "unlock", "--home", home, typed=["correct hrose"])
    assert (status, "the passphrase is wrong" in shown) == (4, True)
    assert _keys(home) == locked
    status, shown = _at_a_terminal("key", "unlock", "--home", home, typed=["correct horse"])
    assert (status, "Passphrase of every key of World " in shown) == (0, True)
    assert "horse" not in shown
    assert before.items() <= _keys(home).items()


def test_a_world_without_keys_or_name_is_said(orrery: Orrery, home: Path) -> None:
    result = orrery("key", "lock", "--home", home, "--world", "hoem")
    assert (result.status, "did you mean 'home'?" in result.err) == (2, True)
    for folder in (home / "keys.d").iterdir():
        folder.rename(home / "gone")
    result = orrery("key", "lock", "--home", home, "--passphrase-file", "right")
    assert (result.status, "has no signing key yet" in result.err) == (4, True)


def test_a_key_that_others_can_read_is_not_locked(orrery: Orrery, home: Path) -> None:
    (path,) = home.glob("keys.d/*/current.c25519")
    path.chmod(0o644)
    result = orrery("key", "lock", "--home", home, "--passphrase-file", "right")
    assert (result.status, f"run: chmod 600 {path}" in result.err) == (4, True)
    assert path.exists()


def test_only_a_writer_locks(home: Path) -> None:
    with Home.open(home) as opened, pytest.raises(UsageError, match="open for reading only"):
        lock_keys(opened, "home", NOW_MS)
