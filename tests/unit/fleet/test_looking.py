"""What an answer of `host.sh` says, whatever it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.fleet.host_script import HostScript, Record
from orrery.fleet.host_view import HostView
from orrery.fleet.local_shell import LocalShell
from orrery.fleet.looking import look, read_view
from orrery.home.settings import HostSettings
from orrery.worlds.earth import EARTH
from tests.unit.store.making import identity

NOW_MS = 1_790_000_000_000
HOST = HostSettings(name="nas")
LISTED = "{} 2 {} {} 4096 Nov 23 16:20 {}"
STATUS = {
    "address": "6e133e061d",
    "clock": NOW_MS,
    "online": True,
    "planetWorldId": EARTH.id,
    "planetWorldTimestamp": EARTH.timestamp_ms,
    "version": "1.14.1",
}


def records(**changed: str | bytes) -> tuple[Record, ...]:
    told: dict[str, str | bytes] = {
        "home": "/var/lib/zerotier-one\n/root/.orrery.d/x\n",
        "files": "\n".join(
            LISTED.format(*each)
            for each in (
                ("drwxr-xr-x", 0, 0, "."),
                ("-rw-r--r--", 0, 0, "planet"),
                ("-rw-------", 0, 0, "identity.secret"),
            )
        ),
        "file planet": EARTH.encode(),
        "disk": "Filesystem 1024-blocks Used Available Capacity Mounted on\n"
        "/dev/vda1 1000000 400000 600000 40% /\n",
        "answer /status": json.dumps(STATUS),
        "answer /peer": "[]",
        "answer /moon": "[]",
        "time": f"{NOW_MS // 1000}\n",
    }
    told |= {name.replace("_", " "): data for name, data in changed.items()}
    return tuple(
        Record(name, data if isinstance(data, bytes) else data.encode())
        for name, data in told.items()
    )


def seen(host: HostSettings = HOST, **changed: str | bytes) -> HostView:
    return read_view(host, "here", records(**changed), NOW_MS, NOW_MS + 100)


def codes(view: HostView) -> list[str]:
    return [problem.code for problem in view.problems]


def test_a_host_where_all_is_well() -> None:
    view = seen()
    assert view.planet == EARTH
    assert (view.home, view.work) == ("/var/lib/zerotier-one", "/root/.orrery.d/x")
    assert (view.disk_total_bytes, view.disk_free_bytes) == (1_024_000_000, 614_400_000)
    assert view.running is not None
    assert (view.node, view.running.planet_ms) == (0x6E133E061D, EARTH.timestamp_ms)
    assert (view.clock_skew_ms, codes(view), view.unfinished) == (0, [], None)


@pytest.mark.parametrize(
    ("flags", "name", "sentence", "mend"),
    [
        ("-rw-r--r--", "identity.secret", "open to other users (mode 0644)", "chmod 600 "),
        ("-rw-r--r--", "authtoken.secret", "open to other users (mode 0644)", "chmod 600 "),
        ("-rw-rw-rw-", "planet", "may be changed by other users (mode 0666)", "chmod go-w "),
        ("lrwxrwxrwx", "planet", "planet is no file but a link", ""),
        ("drwxr-xr-x", "planet", "planet is no file but a link or something else", ""),
    ],
)
def test_what_is_wrong_with_a_file(flags: str, name: str, sentence: str, mend: str) -> None:
    home = LISTED.format("drwxr-xr-x", 0, 0, ".")
    view = seen(files=f"{home}\n{LISTED.format(flags, 0, 0, name)}")
    assert any(
        sentence in problem.sentence and problem.mend.startswith(mend) for problem in view.problems
    )


def test_a_file_that_the_service_cannot_write() -> None:
    home = LISTED.format("drwxr-xr-x", 999, 999, ".")
    view = seen(files=f"{home}\n{LISTED.format('-rw-r--r--', 0, 0, 'planet')}")
    assert [problem.mend for problem in view.problems if problem.code == "owner"] == [
        "chown 999:999 /var/lib/zerotier-one/planet"
    ]


@pytest.mark.parametrize(("ahead_s", "skew_ms"), [(0, 0), (90, 89_900), (-90, -89_001)])
def test_the_clock(ahead_s: int, skew_ms: int) -> None:
    view = seen(time=str(NOW_MS // 1000 + ahead_s))
    assert view.clock_skew_ms == skew_ms
    assert ("clock" in codes(view)) is bool(ahead_s)


def test_openwrt_with_a_home_in_memory() -> None:
    disk = "Filesystem 1024-blocks Used Available Capacity Mounted on\ntmpfs 60000 4 59996 1% /tmp"
    assert "volatile" in codes(seen(HostSettings(name="nas", platform="openwrt"), disk=disk))
    assert "volatile" not in codes(seen(disk=disk))


def test_a_home_that_this_user_may_not_write_to() -> None:
    assert seen(writable="yes\n").is_writable
    assert not seen(writable="no\n").is_writable


def test_a_deploy_that_was_cut_off_and_one_that_goes_on() -> None:
    told = "20261123T162600123Z-1a2b3c\nchecking\nalice on laptop\n1790000000000\n"
    view = seen(unfinished=told)
    assert view.unfinished is not None
    assert (view.unfinished.state, view.unfinished.by) == ("checking", "alice on laptop")
    assert not view.unfinished.is_alive
    assert "cut-off" in codes(view)
    view = seen(working=told)
    assert view.unfinished is not None
    assert view.unfinished.is_alive


@given(
    st.dictionaries(
        st.sampled_from([record.name.replace(" ", "_") for record in records()] + ["working"]),
        st.one_of(
            st.binary(max_size=200),
            st.text(max_size=100).map(str.encode),
            st.integers().map(lambda number: str(number).encode() * 400),
        ),
    )
)
def test_no_answer_of_a_host_is_a_bug_of_ours(changed: dict[str, bytes]) -> None:
    read_view(HOST, "here", records(**changed), NOW_MS, NOW_MS + 100)


def test_nothing_that_a_host_says_steers_a_terminal() -> None:
    steering = "\x1b]0;mine\x07\x1b[2J"
    status = {"answer_/status": json.dumps(STATUS | {"version": steering})}
    changed: dict[str, str | bytes] = dict(
        status,
        home=f"/{steering}\n/root/.orrery.d/x\n",
        files=LISTED.format("-rw-rw-rw-", 0, 0, f"moons.d/{steering}.moon"),
        unfinished=f"x\ninstalling{steering}\n{steering}\n1\n",
    )
    view = read_view(HOST, "here", records(**changed), NOW_MS, NOW_MS + 100)
    assert (view.home, view.files) == (HOST.home, {})
    said = [view.home, *view.files, *(problem.sentence for problem in view.problems)]
    assert view.unfinished is not None
    assert view.running is not None
    said += [view.unfinished.state, view.unfinished.by, view.running.version]
    assert all(each.isprintable() for each in said), said


async def test_a_home_is_looked_at_without_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    home = tmp_path / "a home"
    (home / "moons.d").mkdir(parents=True)
    (home / "planet").write_bytes(EARTH.encode())
    (home / "identity.public").write_text(identity(1).to_string())
    (home / "identity.secret").write_text(identity(1).to_string(secret=True))
    host = HostSettings.model_validate({"name": "nas", "home": str(home)})
    view = await look(LocalShell(), host, lambda: NOW_MS)
    assert (view.node, view.planet) == (identity(1).address, EARTH)
    assert view.running is None
    assert view.files["identity.secret"].data is None
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
        ["a home", "moons.d", "planet", "identity.public", "identity.secret"]
    )


async def test_what_is_read_back_is_what_was_sent(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    path = tmp_path / "it's here"
    await HostScript(LocalShell(), sudo=False).upload(str(path), data)
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o600
