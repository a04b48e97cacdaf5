"""What is read of a machine, a home and its surroundings."""

from __future__ import annotations

import json
import os
import shlex
import socket
from pathlib import Path

import pytest

from orrery.doctor import Commands, Level, examine, gather
from orrery.doctor.gathering import clock, network
from orrery.doctor.gathering.backups import look_at_backups
from orrery.errors import UnreadableError
from orrery.home import Home
from orrery.store import AuditEntry
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from tests.unit.cli.running import Orrery, runner
from tests.unit.doctor.sound import seen, sound_home
from tests.unit.home.making import make_home
from tests.unit.server.serving import free_port, loopback
from tests.unit.store.making import NOW_MS, identity


def test_who_receives_at_a_port() -> None:
    endpoint = loopback("127.0.0.1", free_port())
    assert list(network._listeners([endpoint], is_served=False)) == []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind((endpoint.host, endpoint.port))
        (found,) = network._listeners([endpoint], is_served=False)
        assert (found.endpoint, found.process) == (endpoint, os.getpid())
        assert found.program == Path(f"/proc/{os.getpid()}/comm").read_text().strip()
        # Our own server is there, whoever it is.
        assert list(network._listeners([endpoint], is_served=True)) == [found]


def test_ways_and_addresses_of_this_machine() -> None:
    here = loopback("127.0.0.1", 9993)
    assert network._has_route(here)
    assert network._is_local(here)
    assert not network._is_local(Endpoint.from_text("192.0.2.200:9993"))


LISTED = """\
00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000007 02 40 00 80     eth0
20010db8000000000000000000000001 02 40 00 01     eth0
20010db8000000000000000000000002 02 40 00 20     eth0
20010db8000000000000000000000003 04 40 00 80 ztabcdef
fe800000000000000000000000000001 02 40 20 80     eth0
fd000000000000000000000000000001 02 40 00 80     eth0
"""


def test_a_public_address_that_stays() -> None:
    found = network.lasting_ipv6(LISTED, 9993)
    assert str(found) == "2001:db8::7/9993"
    assert network.lasting_ipv6("", 9993) is None


def test_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clock.is_synchronized() in (True, False, None)
    monkeypatch.setattr("sys.platform", "darwin")
    assert clock.is_synchronized() is None


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        ({"chronyd"}, "chronyd"),
        ({"apk"}, "apk add chrony"),
        ({"apt-get", "dnf"}, "apt-get install -y chrony"),
        (set(), ""),
    ],
)
def test_what_keeps_the_clock_right(
    monkeypatch: pytest.MonkeyPatch, programs: set[str], expected: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name in programs else None)
    assert clock.remedy() == expected


def test_backups_of_other_roots_are_none_of_this_home(tmp_path: Path) -> None:
    root = identity(0).address
    with make_home(tmp_path / "home") as home:
        wanted = '[backup]\nto = "b"\nrecipients = ["' + RECIPIENT + '"]\n'
        home.save_settings(home.settings_path.read_text() + wanted)
        folder = tmp_path / "home" / "b"
        folder.mkdir()
        ours = f"orrery-{root:010x}-20260921T141320000Z.scheduled.age"
        theirs = "orrery-1234567890-20260921T151320000Z.age"
        for name in (ours, theirs, "notes.txt"):
            (folder / name).write_bytes(b"age-encryption.org/v1\n")
        found = look_at_backups(home, home.settings(), root, ())
        assert (found.newest, found.newest_at_ms) == (folder / ours, NOW_MS)
        assert found.is_whole
        assert found.same_disk
        audit = (AuditEntry(7, "me", "publish", "x"), AuditEntry(5, "me", "backup", "/mnt/b.age"))
        told = look_at_backups(home, None, root, audit)
        assert (told.by_hand_at_ms, told.by_hand_place) == (5, "/mnt/b.age")
        assert look_at_backups(home, None, Address(0), ()).last_at_ms == 0


RECIPIENT = "age1r5fmxj0retn3nnssvemddhhdrkqc6mxlamd4k7rffkshwy74pu4ss5tzcy"


def test_where_there_is_no_home(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UnreadableError, match="orrery init"):
            gather(path)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    with sound_home(tmp_path / "home"):
        pass
    home = tmp_path / "home"
    seen(home)  # the files beside the database come and go

    def state() -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(home.rglob("*"))
            if path.is_file() and not path.name.startswith("orrery.db-")
        }

    before = state()
    seen(home)
    assert state() == before


@pytest.fixture
def orrery(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Orrery:
    monkeypatch.setattr("orrery.doctor.gathering.network.PATIENCE_S", 0.05)
    monkeypatch.chdir(tmp_path)
    return runner(capsysbinary, monkeypatch)


def test_an_init_that_was_interrupted(tmp_path: Path, orrery: Orrery) -> None:
    home = tmp_path / "home"
    make_home(home).close()
    for name in ("orrery.db", "planet"):
        (home / name).unlink()
    (home / "init.unfinished").touch()
    (finding,) = examine(gather(home), Commands(home))
    assert (finding.code, finding.level) == ("not-open", Level.PROBLEM)
    (command,) = finding.mend
    words = shlex.split(command)
    assert words[:2] == ["orrery", "init"]
    assert orrery(*words[1:]).status == 0
    with Home.open(home) as opened:
        assert len(opened.served_worlds()) == 1


def test_mending_what_others_can_read_is_left_to_its_owner(tmp_path: Path, orrery: Orrery) -> None:
    home = tmp_path / "home"
    make_home(home).close()
    (home / "keys.d").chmod(0o755)
    (home / "planet").unlink()
    result = orrery("doctor", "--mend", "--home", home)
    assert result.status == 1
    assert "warning: nothing was mended: " in result.err
    assert f"chmod 700 {home / 'keys.d'}" in result.out
    (home / "keys.d").chmod(0o700)
    result = orrery("doctor", "--mend", "--home", home)
    assert result.err == f"wrote {home / 'planet'}, which was missing\n"
    shown = result.out.replace(str(home), "home").splitlines()
    assert all(len(line) <= 80 for line in shown if line[:4].strip())


def test_a_secret_that_may_not_be_used_makes_no_stranger_of_the_root(
    tmp_path: Path, orrery: Orrery
) -> None:
    home = tmp_path / "home"
    make_home(home).close()
    (home / "identity.secret").chmod(0o644)
    found = json.loads(orrery("doctor", "--no-hosts", "--json", "--home", home).out)["findings"]
    mends = {each["code"]: each["mend"] for each in found}
    assert mends["exposed-secret"] == [f"chmod 600 {home / 'identity.secret'}"]
    assert mends["not-served"] == [f"orrery serve --home {home}"]
    assert "root-down" not in mends
    (home / "identity.secret").unlink()
    found = json.loads(orrery("doctor", "--no-hosts", "--json", "--home", home).out)["findings"]
    assert {"identity", "not-served"} <= {each["code"] for each in found}


def test_nothing_is_mended_where_there_is_no_home(tmp_path: Path, orrery: Orrery) -> None:
    result = orrery("doctor", "--mend", "--home", tmp_path)
    assert (result.status, result.out) == (3, "")
    assert list(tmp_path.iterdir()) == []
