"""`orrery backup` and `orrery restore` as people run them."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest

from orrery.home import Home
from orrery.home.unsettled import MARK_NAME
from tests.unit.cli.running import Orrery
from tests.unit.home.making import ELSEWHERE, ONE, entropy, make_home, want
from tests.unit.store.making import identity

ROOT = f"{identity(0).address:010x}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_home(tmp_path / "home", entropy=entropy("backup")).close()
    return tmp_path / "home"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, Path]:
    """An age key pair: the public one, and the file of the private one."""
    private = pyrage.x25519.Identity.generate()
    path = tmp_path / "age.txt"
    path.write_text(f"# created by a test\n{private}\n")
    path.chmod(0o600)
    return str(private.to_public()), path


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signals of the test process stay as they were, and nobody is waited for."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr("orrery.cli.restore._PATIENCE_S", 0.1)  # no root of these tests answers
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_with_a_passphrase(
    orrery: Orrery, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORRERY_PASSPHRASE", "correct horse")
    result = orrery("backup", "--home", home, "--out", tmp_path)
    assert result.status == 0, result.err
    (file,) = tmp_path.glob("*.age")
    assert file.name.startswith(f"orrery-{ROOT}-")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"orrery restore --check {file}" in " ".join(result.out.split())
    assert b"orrery.toml" not in file.read_bytes()
    checked = orrery("restore", "--check", file)
    assert checked.status == 0, checked.err
    assert f"{file} restores" in " ".join(checked.out.split())
    assert "is in it" in checked.out
    monkeypatch.setenv("ORRERY_PASSPHRASE", "wrong")
    wrong = orrery("restore", "--check", file)
    assert (wrong.status, wrong.err.count("\n")) == (4, 1)
    assert "the passphrase is wrong" in wrong.err
    monkeypatch.delenv("ORRERY_PASSPHRASE")
    nobody = orrery("backup", "--home", home, "--out", tmp_path / "other.age")
    assert nobody.status == 4
    assert "a backup cannot be locked without a passphrase" in nobody.err


def test_to_a_recipient_and_back(
    orrery: Orrery, home: Path, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    public, private = keys
    file, there = tmp_path / "b.age", tmp_path / "there"
    made = orrery("backup", "--home", home, "--out", file, "--recipient", public, "--json").json
    assert (made["root"], made["recipients"], made["left_out"]) == (ROOT, [public], [])
    assert orrery("backup", "--home", home, "--out", file, "--recipient", public).status == 5
    without = orrery("restore", file, "--home", there)
    assert (without.status, "--identity" in without.err) == (4, True)
    result = orrery("restore", file, "--home", there, "--identity", private)
    assert result.status == 0, result.err
    assert f"restored root {ROOT}" in result.out
    again = orrery("restore", file, "--home", there, "--identity", private)
    assert (again.status, "has a home already" in again.err) == (5, True)
    with Home.open(there, writer=True) as opened:
        want(opened, ONE, ELSEWHERE)
    refused = orrery("publish", "--home", there)
    assert (refused.status, "orrery restore --finish" in refused.err) == (1, True)
    unknown = orrery("restore", "--finish", "--home", there)
    assert (unknown.status, "--nothing-newer" in unknown.err) == (1, True)
    finished = orrery("restore", "--finish", "--home", there, "--world", home / "planet")
    assert finished.status == 0, finished.err
    assert "this home may sign again" in finished.out
    assert orrery("publish", "--home", there).status == 0
    assert orrery("restore", "--finish", "--home", there).status == 1


def test_all_at_once_and_for_programs(
    orrery: Orrery, home: Path, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    public, private = keys
    made = orrery("backup", "--home", home, "--out", "-", "--recipient", public)
    file = tmp_path / "b.age"
    file.write_bytes(made.out_bytes)
    there = tmp_path / "there"
    result = orrery(
        *("restore", file, "--home", there, "--identity", private, "--nothing-newer", "--json")
    )
    assert result.status == 0, result.err
    assert result.json["root"] == ROOT
    assert result.json["worlds"][0]["holds_next_signer"] is True
    assert result.json["finished"]["worlds"][0]["added_ms"] == []
    assert not (there / MARK_NAME).exists()
    checked = orrery("restore", "--check", file, "--identity", private, "--json").json
    assert (checked["home"], checked["nodes"]) == (None, 0)


def test_what_is_no_backup_is_refused_in_one_sentence(
    orrery: Orrery, home: Path, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    public, private = keys
    file, other = tmp_path / "b.age", tmp_path / "other.age"
    orrery("backup", "--home", home, "--out", file, "--recipient", public)
    good = file.read_bytes()
    half = len(good) // 2
    stranger = pyrage.x25519.Identity.generate()
    cases = {
        "was cut short or changed": [
            good[:-1],
            good[:half],
            good[:200],
            good[:half] + bytes([good[half] ^ 1]) + good[half + 1 :],
        ],
        "was sealed to other keys": [pyrage.encrypt(b"x", [stranger.to_public()])],
        "is no backup of Orrery": [pyrage.encrypt(b"x" * 999, [private_public(private)])],
        "is no age file": [b"", b"x" * 9999, (home / "planet").read_bytes()],
    }
    for told, contents in cases.items():
        for content in contents:
            other.write_bytes(content)
            for check in (["--check"], ["--home", tmp_path / "there"]):
                result = orrery("restore", other, *check, "--identity", private)
                assert result.status in (3, 4)
                assert told in result.err
                assert result.err.count("\n") == 1
            assert not (tmp_path / "there").exists()


def private_public(path: Path) -> object:
    """The recipient of the private key in a file."""
    return pyrage.x25519.Identity.from_str(path.read_text().splitlines()[1]).to_public()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("FILE", "--finish"),
        ("--check",),
        ("FILE", "--check", "--nothing-newer"),
        ("FILE", "--check", "--world", "WORLD"),
    ],
)
def test_what_makes_no_sense(orrery: Orrery, arguments: tuple[str, ...]) -> None:
    assert orrery("restore", *arguments).status == 2


def test_recipients_that_are_none(
    orrery: Orrery, home: Path, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    secret = keys[1].read_text().splitlines()[1]
    for text, told in (("age1xyz", "is no recipient"), (secret, "this is a private age key")):
        result = orrery("backup", "--home", home, "--recipient", text)
        assert (result.status, told in result.err) == (2, True)
        assert secret not in result.err
    both = orrery(
        *("backup", "--home", home, "--recipient", keys[0]),
        *("--passphrase-file", tmp_path / "passphrase"),
    )
    assert both.status == 2


def test_a_home_of_another_directory_is_named_in_what_is_next(
    orrery: Orrery, home: Path, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    public, private = keys
    settings = home / "orrery.toml"
    (tmp_path / "safe").mkdir()
    text = f'\n[backup]\nto = "{tmp_path / "safe"}"\nrecipients = ["{public}"]\n'
    settings.write_text(settings.read_text() + text)
    (home / "notes").write_text("mine")
    result = orrery("backup", "--home", home)
    assert result.status == 0, result.err
    assert "notes is no part of a home" in result.err
    (file,) = (tmp_path / "safe").glob("*.age")
    shutil.rmtree(home)
    result = orrery("restore", file, "--home", home, "--identity", private)
    assert f"orrery restore --finish --home {home}" in " ".join(result.out.split())


def test_a_request_to_end_leaves_nothing(
    orrery: Orrery, home: Path, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    public, private = keys
    file, place = tmp_path / "b.age", tmp_path / "tmp"
    place.mkdir()
    orrery("backup", "--home", home, "--out", file, "--recipient", public)
    program = (
        "import os, signal, sys\n"
        "from orrery.home import restoring\n"
        "def ended(*_): os.kill(os.getpid(), signal.SIGTERM)\n"
        "restoring.check_whole = ended\n"
        "from orrery.cli import main\n"
        "sys.exit(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "restore", "--check", file, "--identity", private],
        env={"TMPDIR": str(place)},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr
    assert list(place.iterdir()) == []


def test_a_file_that_is_there_is_left_alone(orrery: Orrery, home: Path, tmp_path: Path) -> None:
    taken = tmp_path / "b.age"
    taken.write_bytes(b"x")
    result = orrery("backup", "--home", home, "--out", taken)
    assert result.status == 5
    assert result.err == f"orrery: {taken} is there already: name another file\n"
    assert taken.read_bytes() == b"x"
    result = orrery("backup", "--home", home, "--out", "-", "--json")
    assert (result.status, result.error["code"]) == (2, "usage")


def test_a_file_is_no_place_for_a_home(orrery: Orrery, home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse")
    secret.chmod(0o600)
    orrery("backup", "--home", home, "--out", tmp_path / "b.age", "--passphrase-file", secret)
    result = orrery("restore", tmp_path / "b.age", "--home", secret, "--passphrase-file", secret)
    assert result.status == 5
    assert "is no directory: name a directory that is not there yet" in result.err


def test_who_may_not_enter_a_home_is_told_by_what_is_in_the_way(
    orrery: Orrery, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, **_: Any) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    monkeypatch.setattr(Path, "stat", refuse)
    result = orrery("nodes", "--home", home)
    assert (result.status, result.err) == (
        3,
        f"orrery: {home} cannot be opened: you may not do that; run the command as the owner of "
        "the directory\n",
    )


def test_json_of_an_error(orrery: Orrery, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    result = orrery("restore", "--check", tmp_path / "x", "--json")
    assert json.loads(result.err)["error"]["code"] == "malformed"
