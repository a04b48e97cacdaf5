"""What is said of hosts, from what was seen on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orrery.doctor import Level, Snapshot
from orrery.doctor.snapshot import Hosts
from orrery.fleet import Act, HostPlan, HostView, Problem, Running, Standing, Unfinished
from orrery.wire.address import Address
from tests.unit.doctor.sound import LATER_MS, findings, only, places, seen, sound_home, told
from tests.unit.store.making import NOW_MS, identity

HOSTS = """
[[host]]
name = "nas"
ssh = "me@nas.example.org:2222"
key = "keys/id"
sudo = true

[[host]]
name = "here"
"""


@pytest.fixture
def sound(tmp_path: Path) -> Snapshot:
    with sound_home(tmp_path / "home") as home:
        path = home.settings_path
        path.write_text(path.read_text() + HOSTS)
        return seen(home.path, hosts=Hosts(views=(view("nas"), view("here"))))


def view(name: str, **found: Any) -> HostView:
    """A host that is well."""
    running = Running(
        address=Address(0x2C3E8F527A),
        version="1.14.1",
        online=True,
        clock_ms=LATER_MS,
        planet_id=1,
        planet_ms=NOW_MS,
        moons={},
        peers=1,
    )
    values: dict[str, Any] = {
        "where": name,
        "looked_at_ms": LATER_MS,
        "home": "/var/lib/zerotier-one",
        "running": running,
        "files": {},
        "moons": {},
    }
    return HostView(name=name, **(values | found))


def with_nas(sound: Snapshot, *plans: HostPlan, **found: Any) -> Snapshot:
    """Where something is otherwise on the first host."""
    standings = {plan.host: plan for plan in plans}
    hosts = Hosts(views=(view("nas", **found), view("here")), standings=standings)
    return replace(sound, hosts=hosts)


def test_hosts_that_are_well(sound: Snapshot) -> None:
    assert findings(sound) == ()


def test_a_host_that_is_not_reached(sound: Snapshot) -> None:
    finding = only(with_nas(sound, error="me@nas: connection refused"))
    assert (finding.level, finding.code) == (Level.PROBLEM, "host-unreachable")
    key = sound.path / "keys/id"
    assert finding.mend == (f"ssh -p 2222 -i {key} me@nas.example.org true",)


@pytest.mark.parametrize(
    ("found", "level", "mend"),
    [
        (Problem("mode", "it is open", "sudo chmod 600 /x"), "problem", "'sudo chmod 600 /x'"),
        (Problem("service", "it is down", "x"), "problem", "'sudo -n systemctl restart "),
        (Problem("clock", "it is ahead"), "warning", "'timedatectl set-ntp true'"),
        (Problem("disk", "it is full"), "problem", "'du -xh /var/lib/zerotier-one | sort -h"),
        (Problem("world-file", "it is torn"), "problem", "orrery deploy nas --home HOME"),
    ],
)
def test_what_is_wrong_there_is_mended_from_here(
    sound: Snapshot, found: Problem, level: str, mend: str
) -> None:
    finding = only(with_nas(sound, problems=(found,)))
    assert (str(finding.level), finding.code) == (level, f"host-{found.code}")
    (command,) = finding.mend
    assert mend in command


def test_this_machine_needs_no_ssh(sound: Snapshot) -> None:
    problem = Problem("mode", "it is open", "chmod 600 /x")
    hosts = Hosts(views=(view("nas"), view("here", problems=(problem,))))
    assert only(replace(sound, hosts=hosts)).mend == ("chmod 600 /x",)


def test_clocks_that_are_all_wrong_are_one_wrong_clock(sound: Snapshot) -> None:
    problem = Problem("clock", "it is ahead")
    ahead = {"clock_skew_ms": 3_600_000, "problems": (problem,)}
    hosts = Hosts(views=(view("nas", **ahead), view("here", **ahead)))
    finding = only(replace(sound, hosts=hosts))
    assert (finding.level, finding.code) == (Level.PROBLEM, "clock-differs")
    one = Hosts(views=(view("nas", **ahead), view("here")))
    assert told(replace(sound, hosts=one)) == [("warning", "host-clock")]


def test_a_deploy_that_was_cut_off(sound: Snapshot) -> None:
    begun = Unfinished(
        id="x", state="installing", by="me on it", since_ms=LATER_MS - 7_200_000, is_alive=False
    )
    cut = with_nas(sound, unfinished=begun, problems=(Problem("cut-off", "it was cut off"),))
    finding = only(cut)
    assert (finding.code, finding.mend) == ("host-unfinished", ("orrery deploy nas --home HOME",))
    assert "2h ago" in finding.sentence
    assert told(with_nas(sound, unfinished=replace(begun, is_alive=True))) == []


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (Act.NOTHING, []),
        (Act.INSTALL, [("problem", "host-behind")]),
        (Act.REFUSED, [("warning", "host-refused")]),
    ],
)
def test_what_a_host_holds(sound: Snapshot, act: Act, expected: list[tuple[str, str]]) -> None:
    assert told(with_nas(sound, planned(sound, act, "revision 1, to hold 2"))) == expected


def test_what_is_replaced_when_that_is_said_is_mended_by_saying_it(sound: Snapshot) -> None:
    plan = planned(sound, Act.REFUSED, "it holds another planet; --replace puts ours in its place")
    torn = Problem("world-file", "it is torn")
    refused, other = findings(with_nas(sound, plan, problems=(torn,)))
    if refused.code != "host-refused":
        refused, other = other, refused
    assert refused.mend == ("orrery deploy nas --replace --home HOME",)
    assert other.mend == ("orrery deploy nas --home HOME",)
    newer = planned(sound, Act.REFUSED, "it holds a revision that is newer than all here")
    assert only(with_nas(sound, newer)).mend == ("orrery deploy nas --home HOME",)


def planned(sound: Snapshot, act: Act, sentence: str) -> HostPlan:
    """What is to be done on the first host."""
    (world,) = sound.worlds
    standing = Standing(
        name="home",
        world=world.newest,
        newest=world.newest,
        file=None,
        running_ms=None,
        number=1,
        target=2,
        of=2,
        is_root=False,
        act=act,
        sentence=sentence,
    )
    return HostPlan(host="nas", standings=(standing,))


def test_hosts_without_what_reaches_them(sound: Snapshot) -> None:
    finding = only(replace(sound, hosts=Hosts(missing_part="ssh")))
    assert (finding.code, finding.level) == ("part-missing", Level.PROBLEM)
    assert finding.mend[0].endswith("-m pip install 'zt-orrery[ssh]'")


def test_a_root_that_is_down_is_started_on_its_host(sound: Snapshot) -> None:
    down = with_nas(sound, node=identity(1).address)
    answered = down.network.asked - places(down, own=False)
    finding = only(replace(down, network=replace(down.network, answered=answered)))
    assert finding.code == "root-down"
    assert finding.mend[0].endswith("me@nas.example.org 'sudo -n systemctl restart zerotier-one'")
