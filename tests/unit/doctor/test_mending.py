"""Each command that a finding names is really run, and the finding is gone."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyrage
import pytest

from orrery.doctor.snapshot import Network
from orrery.home import Home, publish, rotate_key
from orrery.home.backing_up import take
from orrery.home.restoring import restore
from orrery.home.rolling import begin
from orrery.rollout.state import RolloutState, Served
from orrery.store import Rollout
from orrery.worlds.stage import NOBODY
from tests.unit.cli.rolling import now_ms
from tests.unit.cli.running import Orrery, runner
from tests.unit.custody.locks import quick_lock
from tests.unit.doctor.sound import NODES
from tests.unit.home.making import ELSEWHERE, ONE, entropy, make_home, want
from tests.unit.store.making import key, sighting

HOME = Path("the home")
"""Its name needs quotes."""


@pytest.fixture
def orrery(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Orrery:
    """Runs `orrery` in an empty directory; no root answers, and none is asked."""
    silent: Callable[..., Network] = lambda *_, **__: Network()  # noqa: E731
    monkeypatch.setattr("orrery.doctor.gathering.look_at_network", silent)
    monkeypatch.chdir(tmp_path)
    return runner(capsysbinary, monkeypatch)


@pytest.fixture
def home(orrery: Orrery) -> Path:
    with making() as made:
        want(made, ONE, ELSEWHERE)
        publish(made, "home", now_ms() - 60_000)
    return HOME


@contextmanager
def making() -> Iterator[Home]:
    with make_home(HOME, (ONE,), entropy=entropy("mending")) as made:
        yield made


class Doctor:
    """Finds what is wrong with the home, and does what it says.

    Args:
        orrery: runs commands.
        monkeypatch: of the test.
    """

    def __init__(self, orrery: Orrery, monkeypatch: pytest.MonkeyPatch) -> None:
        self._orrery = orrery
        self._patch = monkeypatch

    def finding(self, code: str) -> dict[str, Any]:
        """The finding with this code."""
        (found,) = [each for each in self._findings() if each["code"] == code]
        return found

    def codes(self) -> set[str]:
        """The codes of all findings."""
        return {each["code"] for each in self._findings()}

    def _findings(self) -> list[dict[str, Any]]:
        result = self._orrery("doctor", "--home", HOME, "--json")
        found: list[dict[str, Any]] = result.json["findings"]
        problems = [each for each in found if each["level"] == "problem"]
        assert result.status == bool(problems)
        assert result.json["needs_doing"] is bool(problems)
        return found

    def edit(self, old: str, new: str) -> None:
        """Let a person change this in the file that is opened."""
        script = Path("editor").absolute()
        program = (
            "import pathlib, sys; path = pathlib.Path(sys.argv[-1]); text = path.read_text(); "
            f"assert {old!r} in text; path.write_text(text.replace({old!r}, {new!r}, 1))"
        )
        script.write_text(f'#!/bin/sh\nexec python3 -c {shlex.quote(program)} "$@"\n')
        script.chmod(0o755)
        self._patch.setenv("EDITOR", str(script))

    def mend(self, code: str, **words: str | Path) -> None:
        """Do what a finding says, with these in the place of what only a person knows."""
        commands = "\n".join(self.finding(code)["mend"])
        for word, meant in words.items():
            assert word in commands
            commands = commands.replace(word, shlex.quote(str(meant)))
        for command in commands.splitlines():
            self.run(command)
        assert code not in self.codes()

    def run(self, command: str) -> None:
        """Run a command as a person does who copies it."""
        words = shlex.split(command)
        if words[0] == "orrery" and ">" not in words:
            result = self._orrery(*words[1:])
            assert result.status in (0, 1 if words[1] == "doctor" else 0), result.err
            return
        place = Path("bin").absolute()
        place.mkdir(exist_ok=True)
        (place / "orrery").write_text(f'#!/bin/sh\nexec {sys.executable} -m orrery "$@"\n')
        (place / "orrery").chmod(0o755)
        path = os.pathsep.join((str(place), os.environ["PATH"]))
        done = subprocess.run(
            ["sh", "-c", command],
            env={**os.environ, "PATH": path},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)


@pytest.fixture
def doctor(orrery: Orrery, home: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    return Doctor(orrery, monkeypatch)


def keys_of(path: Path) -> Path:
    (folder,) = (path / "keys.d").iterdir()
    return folder


# Files


@pytest.mark.parametrize(
    ("name", "mode", "code"),
    [
        ("identity.secret", 0o644, "exposed-secret"),
        ("keys.d", 0o755, "exposed-secret"),
        ("planet", 0o666, "writable-by-others"),
        (".", 0o777, "writable-by-others"),
    ],
)
def test_modes(doctor: Doctor, name: str, mode: int, code: str) -> None:
    (HOME / name).chmod(mode)
    doctor.mend(code)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owners(doctor: Doctor) -> None:
    os.chown(HOME / "identity.secret", 7, 7)
    doctor.mend("foreign-owner")


def test_a_key_that_is_open_is_one_finding(doctor: Doctor) -> None:
    (keys_of(HOME) / "current.c25519").chmod(0o644)
    assert doctor.codes() & {"exposed-secret", "key-unreadable", "key-missing"} == {
        "exposed-secret"
    }
    doctor.mend("exposed-secret")


def test_what_was_left_behind(doctor: Doctor) -> None:
    (HOME / ".orrery-planet-1234.tmp").write_bytes(b"half")
    (HOME / "init.unfinished").write_bytes(b"")
    assert "2 files" in doctor.finding("leftovers")["sentence"]
    doctor.mend("leftovers")
    assert not (HOME / ".orrery-planet-1234.tmp").exists()


def test_a_restore_that_was_killed(doctor: Doctor) -> None:
    left = Path(".orrery-restore-abcd").absolute()
    (left / "keys.d").mkdir(parents=True)
    assert "abandoned-restore" not in doctor.codes(), "it may go on"
    os.utime(left, (time.time() - 7_200,) * 2)
    doctor.mend("abandoned-restore")
    assert not left.exists()


def test_settings_that_are_gone(doctor: Doctor) -> None:
    # What was replaced is kept.
    with Home.open(HOME, writer=True) as opened:
        opened.save_settings(opened.settings_path.read_text() + "\n# changed\n")
    (HOME / "orrery.toml").unlink()
    doctor.mend("not-open")
    assert (HOME / "orrery.toml").exists()


def test_a_database_that_is_gone(orrery: Orrery, doctor: Doctor, tmp_path: Path) -> None:
    (HOME / "orrery.db").unlink()
    finding = doctor.finding("not-open")
    assert (
        finding["sentence"] == f"{HOME}/orrery.db is missing; put it back from a backup of the home"
    )
    there = tmp_path / "the home-restored"
    assert finding["mend"] == [f"orrery restore BACKUP --home {shlex.quote(str(there))}"]


# Settings, identity, keys


def test_mistakes_of_the_settings(doctor: Doctor) -> None:
    path = HOME / "orrery.toml"
    path.write_text(path.read_text().replace("push = true", "push = maybe", 1))
    doctor.edit("push = maybe", "push = true")
    doctor.mend("settings")


def test_a_world_that_was_not_published(doctor: Doctor) -> None:
    path = HOME / "orrery.toml"
    text = path.read_text()
    at = text.index("[[world]]")
    moon = text[at : text.index("[serve]")].replace('"home"', '"my moon"').replace("planet", "moon")
    with Home.open(HOME) as opened:
        (planet,) = opened.served_worlds()
    moon = moon.replace(f"{planet.id:016x}", "000000abcdef0001")
    path.write_text(text.replace("[serve]", f"{moon}\n[serve]", 1))
    doctor.mend("unpublished")


def test_identities(doctor: Doctor) -> None:
    (HOME / "identity.public").write_text("another")
    doctor.mend("identity-public")
    kept = (HOME / "identity.secret").rename("kept")
    doctor.mend("identity", IDENTITY=kept)


def test_keys_that_are_not_there(doctor: Doctor) -> None:
    kept = (keys_of(HOME) / "current.c25519").rename("kept")
    doctor.mend("key-elsewhere", KEYFILE=kept)
    (keys_of(HOME) / "current.c25519").write_bytes(key(9).encode())
    (keys_of(HOME) / "current.c25519").chmod(0o600)
    doctor.mend("key-missing", KEYFILE=kept)


def test_a_damaged_key(doctor: Doctor) -> None:
    path = keys_of(HOME) / "current.c25519"
    shutil.copy(path, "kept")
    path.write_bytes(b"torn")
    doctor.mend("key-unreadable", KEYFILE="kept")


def test_a_locked_key_that_was_put_there(
    orrery: Orrery, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_lock(monkeypatch)
    monkeypatch.setenv("ORRERY_PASSPHRASE", "correct horse")
    assert orrery("key", "lock", "--home", HOME).status == 0
    (keys_of(HOME) / "locked.json").unlink()
    doctor.mend("key-unknown")


def test_a_world_file_that_somebody_wrote_over(doctor: Doctor) -> None:
    (HOME / "planet").write_bytes(b"torn")
    doctor.mend("world-file")
    (HOME / "planet").unlink()
    doctor.mend("world-file")


# Rollouts and restores


@contextmanager
def rolling(**values: object) -> Iterator[Rollout]:
    """A rollout that stands as it is said."""
    from orrery.home.planning import make_plan

    with Home.open(HOME, writer=True) as opened:
        want(opened, ONE)
        begun = begin(opened, "home", make_plan(opened, "home", now_ms()).order, now_ms())
        yield opened.store.update_rollout(replace(begun, **values), now_ms() - 600_000)  # type: ignore[arg-type]


def test_a_rollout_that_is_paused(doctor: Doctor) -> None:
    with rolling(state=RolloutState.PAUSED, reason="nodes are not heard any more"):
        pass
    assert "nodes are not heard any more" in doctor.finding("rollout-paused")["sentence"]
    doctor.mend("rollout-paused")


def test_nodes_that_are_held_back(doctor: Doctor) -> None:
    with Home.open(HOME) as opened:
        (planet,) = opened.served_worlds()
    served = Served(planet.id, planet.timestamp_ms, NOBODY)
    with rolling(state=RolloutState.STOPPED, reason="stopped by somebody", served=served):
        pass
    doctor.mend("held-back")


def test_a_restore_that_is_not_finished(doctor: Doctor) -> None:
    with Home.open(HOME, writer=True) as opened:
        archive = take(opened, now_ms()).archive
    shutil.rmtree(HOME)
    restore(archive, "it", HOME, now_ms())
    assert "no-backup" not in doctor.codes()
    with Home.open(HOME) as opened:
        (planet,) = opened.served_worlds()
        holds = {"planet_id": planet.id, "planet_timestamp_ms": planet.timestamp_ms}
        opened.store.record([sighting(NODES[0], now_ms(), **holds)])
    assert "1 of 1 nodes" in doctor.finding("unsettled")["sentence"]
    doctor.mend("unsettled")


# Backups


def test_no_backup(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_PASSPHRASE", "correct horse")
    doctor.mend("no-backup")
    with Home.open(HOME, writer=True) as opened:
        rotate_key(opened, "home", now_ms(), os.urandom)
    doctor.mend("key-not-in-backup")


@pytest.fixture
def by_themselves(home: Path) -> Path:
    """Backups that are made by themselves, to a place that is not there yet."""
    public = pyrage.x25519.Identity.generate().to_public()
    path = home / "orrery.toml"
    place = Path("far/away").absolute()
    path.write_text(f'{path.read_text()}\n[backup]\nto = "{place}"\nrecipients = ["{public}"]\n')
    return place


def test_backups_that_are_not_made(by_themselves: Path, doctor: Doctor) -> None:
    doctor.mend("backup-place")
    doctor.mend("backup-late")
    (made,) = by_themselves.iterdir()
    made.write_bytes(b"")
    doctor.mend("backup-damaged")


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or not os.access("/dev/shm", os.W_OK), reason="no second disk"
)
def test_backups_on_the_same_disk(by_themselves: Path, doctor: Doctor, tmp_path: Path) -> None:
    by_themselves.mkdir(parents=True)
    other = Path(f"/dev/shm/orrery-{tmp_path.name}-{os.getpid()}")
    other.mkdir(mode=0o700)
    try:
        if other.stat().st_dev == HOME.stat().st_dev:
            pytest.skip("no second disk")
        doctor.edit(str(by_themselves), str(other))
        doctor.mend("backup-same-disk")
    finally:
        shutil.rmtree(other)


# Nodes


def test_nodes_that_nobody_leads(doctor: Doctor) -> None:
    with Home.open(HOME) as opened:
        (planet,) = opened.served_worlds()
        opened.store.record(
            [sighting(NODES[0], now_ms(), planet_id=planet.id, planet_timestamp_ms=7)]
        )
    for command in doctor.finding("stranded")["mend"]:
        doctor.run(command)
    assert Path("planet.new").read_bytes() == planet.encode()
    # A person carries it to the node, which tells of it when it is back.
    with Home.open(HOME) as opened:
        holds = {"planet_id": planet.id, "planet_timestamp_ms": planet.timestamp_ms}
        opened.store.record([sighting(NODES[0], now_ms() + 1, **holds)])
    assert "stranded" not in doctor.codes()


def test_status_tells_of_a_restore_that_is_not_finished(orrery: Orrery, doctor: Doctor) -> None:
    assert orrery("status", "--home", HOME, "--json").json["restored"] is None
    with Home.open(HOME, writer=True) as opened:
        archive = take(opened, now_ms()).archive
    shutil.rmtree(HOME)
    restore(archive, "it", HOME, now_ms())
    shown = orrery("status", "--home", HOME)
    assert "signs nothing\nbefore: orrery restore --finish --home 'the home'\n" in shown.out
    told = orrery("status", "--home", HOME, "--json").json["restored"]
    assert told["made_at_ms"] == archive.made_at_ms
    assert told["restored_at_ms"] >= archive.made_at_ms
