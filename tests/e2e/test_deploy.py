"""`orrery deploy` and `orrery hosts` by a person, with real processes and real sshds."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from orrery.home import publish
from tests.e2e.processes import Command, orrery
from tests.e2e.terminals import COLUMNS, Terminal
from tests.fleet.conftest import bed, credentials, ssh_home, sshd_possible  # noqa: F401
from tests.unit.home.making import ELSEWHERE, ONE, make_home, want
from tests.unit.server.serving import eventually, wall_ms

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.bed import Bed, FakeHost

pytestmark = pytest.mark.timeout(240)


class Place:
    """A home with two revisions of a planet, and hosts that hold the first.

    Attributes:
        path: the home.
        old: the first revision.
        new: the second.
        nas: a host.
        box: another one.
    """

    def __init__(self, directory: Path, bed: Bed) -> None:  # noqa: F811
        self.at, self.path = directory, directory / "home"
        with make_home(self.path, [ONE], entropy=os.urandom) as home:
            (self.old,) = home.served_worlds()
            want(home, ONE, ELSEWHERE)
            self.new = publish(home, "home", wall_ms()).world
        self.nas, self.box = (bed.host(name, planet=self.old) for name in ("nas", "box"))
        self.say('[deploy]\ntimeout = "10s"\n', self.nas.toml(), self.box.toml())

    def edit(self, old: str, new: str) -> None:
        """Change orrery.toml."""
        settings = self.path / "orrery.toml"
        text = settings.read_text()
        assert old in text
        settings.write_text(text.replace(old, new, 1))

    def say(self, *texts: str) -> None:
        """Add to orrery.toml."""
        with (self.path / "orrery.toml").open("a") as settings:
            settings.writelines(f"\n{text}" for text in texts)

    async def run(self, command: str, *arguments: str) -> Command:
        """Run a command about this home."""
        return await orrery(command, *arguments, "--home", self.path)

    def check(self, *hosts: FakeHost) -> None:
        """Check that these hosts hold the new revision, and nothing is half done there."""
        for host in hosts:
            host.check_settled(self.new)


@pytest.fixture
def place(tmp_path: Path, bed: Bed) -> Place:  # noqa: F811
    return Place(tmp_path, bed)


async def test_hosts_are_looked_at_deployed_and_found_up_to_date(place: Place) -> None:
    before = await place.run("hosts")
    assert (before.status, before.err) == (0, f"next: orrery deploy --home {place.path}\n")
    head, *lines = before.out.splitlines()
    assert head.split() == ["host", "node", "home", "version", "free", "clock"]
    assert lines[0].split()[2:5] == ["node", "1/2", "online"]
    assert lines[1] == "  - home: it holds revision 1, and is to hold revision 2"

    dry = await place.run("deploy", "--dry-run")
    assert (dry.status, dry.out.splitlines()[-1]) == (0, "2 hosts: 2 would deploy")
    assert place.nas.planet() == place.old.encode()

    done = await place.run("deploy")
    assert (done.status, done.out.splitlines()[-1]) == (0, "2 hosts: 2 deployed")
    assert "nas: installing" in done.err.splitlines()
    place.check(place.nas, place.box)
    kept = (place.path / "backups/hosts/nas").glob("*/planet")
    assert [path.read_bytes() for path in kept] == [place.old.encode()]

    again = await place.run("deploy", "--json")
    assert (again.status, again.err) == (0, "")
    assert {each["result"] for each in again.json["hosts"]} == {"up-to-date"}
    after = await place.run("hosts", "nas", "--json")
    (world,) = after.json[0]["worlds"]
    assert (world["revision"], world["revisions"], world["act"]) == (2, 2, "nothing")
    assert place.nas.state().starts == 2, "once by itself, once by the deploy"


async def test_a_host_that_does_not_do_with_it_stops_the_others(place: Place) -> None:
    place.nas.hurry()
    place.nas.order(dies_of=[place.new.timestamp_ms])
    place.say('[[host]]\nname = "router"\nssh = "root@127.0.0.1:1"\n')
    failed = await place.run("deploy")
    assert failed.status == 1
    assert failed.out.splitlines()[-1] == "3 hosts: 1 put back, 1 unreachable, 1 skipped"
    assert f"when that is mended: orrery deploy --home {place.path}" in failed.err
    place.nas.check_settled(place.old)
    place.box.check_settled(place.old)
    place.nas.obey()
    mended = await place.run("deploy", "box", "nas")
    assert mended.status == 0
    place.check(place.nas, place.box)


def _interrupted(place: Place) -> tuple[int, str]:
    """Begin at a terminal, and press Ctrl-C while the node is waited for."""
    with Terminal("deploy", "nas", "--home", place.path, at=place.at) as shown:
        shown.until("waiting until it is back")
        shown.type("\x03")
        return shown.end(), shown.text


async def test_ctrl_c_leaves_the_host_to_itself(place: Place) -> None:
    place.edit('"10s"', '"10m"')
    place.nas.order(reports=place.old.timestamp_ms)
    status, text = _interrupted(place)
    assert status == 130
    said = " ".join(text.split())
    assert "nas goes on without this command, and will run with the new World or" in said
    assert f"`orrery deploy nas --home {place.path}` tells how it ended" in said
    assert "Traceback" not in text
    busy = await place.run("deploy", "nas", "--json")
    assert busy.json["hosts"][0]["result"] == "busy"
    place.nas.obey("reports")
    await eventually(place.nas.is_idle)
    place.nas.check_whole(place.old, place.new)
    rest = await place.run("deploy", "nas")
    assert rest.status == 0, rest.out
    place.check(place.nas)


def _at_a_terminal(place: Place) -> tuple[int, Terminal]:
    with Terminal("deploy", "--home", place.path, at=place.at) as shown:
        return shown.end(), shown


async def test_a_person_sees_where_each_host_is(place: Place) -> None:
    status, shown = _at_a_terminal(place)
    assert status == 0, shown.text
    assert "of 2 hosts done" in shown.text
    assert "restarting zerotier-one" in shown.text or "waiting until it is back" in shown.text
    assert "2 hosts: 2 deployed" in shown.lines
    assert all(len(line) <= COLUMNS for line in shown.lines)
    place.check(place.nas, place.box)


async def test_mistakes_are_one_sentence_each(place: Place, tmp_path: Path) -> None:
    unknown = await place.run("deploy", "nass")
    assert (unknown.status, unknown.out) == (2, "")
    assert "nass" in unknown.err
    assert unknown.err.count("\n") == 1
    nowhere = await orrery("hosts", "--home", tmp_path / "nowhere", "--json")
    assert nowhere.status == 3
    assert json.loads(nowhere.err)["error"]["code"] == "unreadable"
    place.edit('name = "nas"', 'name = "nas"\nport = 22')
    wrong = await place.run("deploy")
    assert wrong.status == 3
    assert "port" in wrong.err
