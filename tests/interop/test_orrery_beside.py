"""An official root that is network controller too, and an Orrery root that joins and leads.

The session of docs/operations/beside-a-controller.md: the planet is made as docker-zerotier-planet
makes it, two leaves live by it in a network of its controller. From the first to the last line
nobody touches the leaves: the same processes, with no file written but by themselves.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from orrery.home import SettingsEditor
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import EARTH_ID, World
from tests.fleet.sshd import Credentials, why_no_sshd
from tests.interop.dockerplanet import FIXED_MS, PORT, DockerPlanet, serve_ssh
from tests.interop.lab import eventually
from tests.interop.orreryroot import COMMAND, orrery, wall_ms, written_ms
from tests.interop.realnode import Controller, RealNode
from tests.interop.test_orrery_rollout import Pinging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.interop.conftest import Measured
    from tests.interop.lab import Host, Lab

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

HELLO_S = 240.0
"""Longer than a leaf waits between two HELLOs: 225 s."""
PATIENCE_S = 120.0
ELSEWHERE = "10.77.99.1"
OWN_PLACE = "root-2"


@pytest.fixture
def docker_planet(lab: Lab, zerotier_one: Path) -> DockerPlanet:
    """A planet with one root, which runs."""
    if not zerotier_one.with_name("mkworld").exists():
        pytest.skip(f"there is no mkworld beside {zerotier_one}")
    return DockerPlanet(lab.host("root-1"), zerotier_one).start()


@pytest.fixture
def credentials(docker_planet: DockerPlanet, zerotier_one: Path, tmp_path: Path) -> Credentials:
    """Who may log in on its server, where a real sshd runs."""
    if reason := why_no_sshd():
        pytest.skip(reason)
    made = Credentials.make(tmp_path / "ssh")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "zerotier-cli").symlink_to(zerotier_one)
    serve_ssh(docker_planet.host, made, tools)
    return made


class Members:
    """Two real leaves in a network of the controller, and what became of them since.

    Args:
        lab: Where they live.
        binary: Their zerotier-one.
        official: The root and controller.
        isolated: They reach each other through a root only.
    """

    def __init__(
        self, lab: Lab, binary: Path, official: DockerPlanet, *, isolated: bool = False
    ) -> None:
        self.network = Controller(official).create_network()
        self.leaves = [
            RealNode(lab.host(name, isolated=isolated), binary, planet=official.download).start()
            for name in ("leaf-1", "leaf-2")
        ]
        for leaf in self.leaves:
            leaf.wait_path(official.address)
            leaf.join(self.network)
        _, self.there = (leaf.wait_network(self.network) for leaf in self.leaves)
        self._processes = [leaf.daemon.pid for leaf in self.leaves]
        self.wait_ping()

    @property
    def host(self) -> Host:
        """Where pings start, to `there`."""
        return self.leaves[0].host

    def wait_ping(self) -> None:
        """Wait until one answers the other."""
        eventually(lambda: self.host.ping(self.there), within_s=60, what="leaf-2 answers leaf-1")

    def rename(self, official: RealNode, name: str) -> float:
        """Give the network a name at its controller; seconds until both leaves know it."""
        began_ms = wall_ms()
        official.api("POST", f"/controller/network/{self.network}", {"name": name})

        def told() -> bool:
            networks = (leaf.api("GET", f"/network/{self.network}") for leaf in self.leaves)
            return all(network["name"] == name for network in networks)

        eventually(told, within_s=PATIENCE_S, what=f"the leaves know that it is {name}")
        return (wall_ms() - began_ms) / 1000

    def wait_path(self, root: str, place: str) -> None:
        """Wait until each has a living path to a root at a place."""

        def has(leaf: RealNode) -> bool:
            paths = leaf.peers()[root]["paths"]
            return any(path["address"] == place and path["active"] for path in paths)

        for leaf in self.leaves:
            what = f"{leaf.host.name} has a path to {root} at {place}"
            eventually(lambda leaf=leaf: has(leaf), within_s=PATIENCE_S, what=what)  # type: ignore[misc]

    def check_untouched(self, planet: bytes) -> None:
        """They hold this planet, and are the processes that they were at the beginning."""
        assert {leaf.planet for leaf in self.leaves} == {planet}
        assert [leaf.daemon.pid for leaf in self.leaves] == self._processes
        for leaf in self.leaves:
            leaf.daemon.check_running()


class Beside:
    """The home that `adopt` makes of it, and its root in a host of its own.

    Args:
        host: Where the root serves.
        official: What is adopted.
    """

    def __init__(self, host: Host, official: DockerPlanet) -> None:
        self.host = host
        self.home = host.directory / "orrery"
        self.place = f"{host.address}/9993"
        # Its moon is left alone: nodes have none.
        self.told: dict[str, Any] = json.loads(
            orrery(
                "adopt",
                official.data,
                "--world",
                f"{EARTH_ID:x}",
                "--home",
                self.home,
                "--join",
                self.place,
                "--json",
            )
        )
        settings = self.home / "orrery.toml"
        settings.write_text(settings.read_text().replace('settle = "10s"', 'settle = "2s"'))

    def reach(self, official: DockerPlanet, credentials: Credentials) -> None:
        """Say in orrery.toml how the official root is reached over SSH, and restarted."""
        with (self.home / "orrery.toml").open("a") as settings:
            settings.write(
                f"""
[[host]]
name = "root-1"
ssh = "{credentials.user}@{official.host.address}"
key = "{credentials.user_key}"
known_hosts = "{credentials.known_hosts}"
home = "{official.home}"
restart = {json.dumps(official.restart_command)}
"""
            )

    @property
    def address(self) -> str:
        """Of its root."""
        address: str = self.told["root"]["address"]
        return address

    @property
    def planet(self) -> bytes:
        """Its newest planet for nodes."""
        return (self.home / "planet").read_bytes()

    def serve(self) -> None:
        """Start its root."""
        serving = self.host.run([*COMMAND, "serve", "--home", str(self.home)], cwd=self.home)
        serving.wait_line(r'"event": "serving"', within_s=20)

    def command(self, *arguments: str | Path) -> str:
        """What a command on the home says that is run on its host."""
        argv = [*COMMAND, *map(str, arguments), "--home", str(self.home)]
        done = subprocess.run(
            ["ip", "netns", "exec", self.host.namespace, *argv],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def plan(self, *options: str) -> dict[str, Any]:
        """What `orrery plan` says."""
        told: dict[str, Any] = json.loads(self.command("plan", "--json", *options))
        return told

    def rollout(self) -> dict[str, Any]:
        """Where the rollout stands."""
        (world,) = json.loads(self.command("status", "--json"))["worlds"]
        found: dict[str, Any] = world["rollout"]
        return found

    def wait_rollout(self, reached: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Wait until the rollout stands so."""
        last: dict[str, Any] = {}

        def look() -> bool:
            last.update(self.rollout())
            assert reached(last) or not last["is_over"], last
            return reached(last)

        eventually(look, within_s=PATIENCE_S, what=what, every_s=0.3)
        return last

    def wait_done(self) -> dict[str, Any]:
        """Wait for its end."""
        return self.wait_rollout(lambda found: found["state"] == "done", "the rollout is done")

    def move(self, root: str, place: str) -> None:
        """Want a root elsewhere, as in an editor."""
        settings = self.home / "orrery.toml"
        editor = SettingsEditor(settings.read_text())
        editor.set_endpoints("planet", root, [Endpoint.from_text(place)])
        settings.write_text(editor.text())

    def knows(self, nodes: Sequence[RealNode]) -> bool:
        """Whether it lists these nodes with its newest planet."""
        newest = World.decode(self.planet).timestamp_ms
        listed = {
            each["address"]: [held["timestamp_ms"] for held in each["worlds"]]
            for each in json.loads(self.command("nodes", "--json"))
        }
        return all(listed.get(node.address) == [newest] for node in nodes)


def join(beside: Beside, official: DockerPlanet, members: Members, measured: Measured) -> None:
    """Let the Orrery root join, install its file on the official one, and wait for the leaves."""
    beside.serve()
    planned = beside.plan()
    (step,) = planned["plan"]["steps"]
    assert planned["kinds"] == ["add-root"]
    assert step["install_last"] == [official.address]
    # Whether it has told by now which planet it holds is a matter of milliseconds.
    (held,) = planned["official"].items()
    assert held[0] == official.address
    assert held[1] in {None, official.status()["planetWorldTimestamp"]}
    assert planned["cautions"] == []
    # It installs the file of the step on the official root, and restarts that, by itself.
    before, began_ms = official.process, wall_ms()
    said = beside.command("apply", "--yes")
    assert "root-1: planet: holds revision 2 now" in said
    assert beside.rollout()["state"] == "done"
    measured(
        "beside a controller: `apply` that installs the step on the official root over SSH",
        f"{(wall_ms() - began_ms) / 1000:.1f} s",
    )
    first = beside.planet
    assert official.planet == first
    assert official.process != before
    (looked_at,) = json.loads(beside.command("hosts", "--json"))
    assert looked_at["node"] == official.address

    # The Orrery root is unknown to the leaves until the official one hands it out.
    assert not beside.knows(members.leaves)
    warned = beside.plan("--next-key", "ab" * 64)["cautions"]
    assert [each["caution"] for each in warned] == ["nobody-seen"]
    for leaf in members.leaves:
        leaf.wait_planet(first, within_s=HELLO_S)
    measured(
        "  … to the planet file of the leaves, with their own next HELLO",
        ", ".join(f"{(written_ms(leaf.home / 'planet') - began_ms) / 1000:.1f} s"
                  for leaf in members.leaves),
    )  # fmt: skip
    eventually(lambda: beside.knows(members.leaves), within_s=60, what="they come to Orrery")


def test_an_orrery_root_joins_a_controller_and_moves_it(
    lab: Lab,
    zerotier_one: Path,
    docker_planet: DockerPlanet,
    credentials: Credentials,
    measured: Measured,
) -> None:
    official = docker_planet
    # It serves another planet than its leaves have.
    assert official.status()["planetWorldTimestamp"] != FIXED_MS
    assert World.decode(official.download).timestamp_ms == FIXED_MS
    members = Members(lab, zerotier_one, official)

    beside = Beside(lab.host(OWN_PLACE), official)
    beside.reach(official, credentials)
    (world,) = beside.told["worlds"]
    assert world["can"] == "everything"
    assert [root["networks"] for root in world["roots"]] == [1]
    assert beside.told["root"]["role"] == "beside"
    codes = {finding["code"] for finding in beside.told["findings"]}
    assert codes >= {"fixed-timestamp", "not-served", "exposed-secret"}
    assert beside.planet == official.download

    with Pinging(members.host, members.there) as pinging:
        join(beside, official, members, measured)
        process = official.process

        # The first root gets another address, and the key is changed on the way.
        there = f"{ELSEWHERE}/{PORT}"
        official.host.add_address(ELSEWHERE)
        beside.move("root-1", there)
        beside.command("key", "rotate")
        planned = beside.plan()
        steps = planned["plan"]["steps"]
        assert planned["official"] == {official.address: World.decode(beside.planet).timestamp_ms}
        assert not any(step["install_first"] or step["install_last"] for step in steps)
        assert {each for group in planned["plan"]["fleet"] for each in group["nodes"]} == {
            leaf.address for leaf in members.leaves
        }
        beside.command("apply", "--yes", "--detach")
        done = beside.wait_done()
        measured(
            f"the official root gets another address, and a new key: {len(steps)} step(s)",
            f"{(done['ended_ms'] - done['begun_ms']) / 1000:.1f} s",
        )
        # In band: the process of the official root is the one that it was, too.
        assert official.planet == beside.planet
        assert official.process == process
        members.check_untouched(beside.planet)
        official.host.remove_address(official.host.address)
        members.wait_path(official.address, there)
        measured(
            "  its network gets a name: both leaves know",
            f"{members.rename(official, 'one'):.2f} s",
        )

        # Then another machine: the folder is copied without what it knew of its peers.
        third = lab.host("root-3")
        moved = f"{third.address}/{PORT}"
        beside.move("root-1", moved)
        in_turn = ("--in-turn", f"{there}={moved}")
        assert len(beside.plan(*in_turn)["plan"]["steps"]) == 2
        beside.command("apply", "--yes", "--detach", *in_turn)
        beside.wait_rollout(lambda found: "stopped" in found["reason"], "it is to be stopped")
        official.stop()
        began_ms = wall_ms()
        official = DockerPlanet(third, zerotier_one, official.data).start()
        members.wait_path(official.address, moved)
        measured(
            "it starts on another machine without peers.d: from its stop to a path of both leaves",
            f"{(wall_ms() - began_ms) / 1000:.1f} s",
        )
        done = beside.wait_done()
        members.check_untouched(beside.planet)
        measured(
            "  its network gets another name: both leaves know",
            f"{members.rename(official, 'two'):.2f} s",
        )
        members.wait_ping()
    measured(
        "  pings of the leaves all the time; of these without an answer; longest time without one",
        f"{pinging.sent}; {pinging.lost}; {pinging.longest_ms / 1000:.1f} s",
    )
    # Who starts anew finds everybody by what it holds.
    leaf = members.leaves[0]
    leaf.restart()
    for root, place in ((official.address, moved), (beside.address, beside.place)):
        eventually(
            lambda root=root, place=place: (
                place
                in [  # type: ignore[misc]
                    path["address"] for path in leaf.peers()[root]["paths"]
                ]
            ),
            within_s=30,
            what=f"leaf-1 finds {root}",
        )
    leaf.wait_online()
    members.wait_ping()
