"""A root goes to another server by `backup` and `restore`, below real nodes that nobody touches.

The session of docs/backup.md, "Moving a root to a new server", and a server that is lost in the
middle of a rollout, whose backup goes on with it on another one.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from orrery.home import Home
from tests.interop.lab import eventually
from tests.interop.orreryroot import COMMAND, OrreryRoot, orrery, wall_ms, written_ms
from tests.interop.realnode import Controller
from tests.interop.test_orrery_rollout import (
    PATIENCE_S,
    Leaves,
    Pinging,
    canary_first,
    plan,
    rollout,
    wait_state,
    wish,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.conftest import Measured
    from tests.interop.lab import Host, Lab
    from tests.interop.realnode import RealNode

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

SECOND = "10.77.99.1"


@pytest.fixture
def start_leaves(lab: Lab, root: OrreryRoot, zerotier_one: Path) -> Leaves:
    """Starts nodes below the root."""
    wish(root, replace=[('settle = "10s"', 'settle = "2s"')])
    return Leaves(lab, root, zerotier_one)


class RestoredRoot(OrreryRoot):
    """A home that a backup becomes on another host.

    Args:
        host: Where it is restored, and will serve.
        backup: The file.
        passphrase: The file of its passphrase.
        options: More of `orrery restore`.
    """

    def __init__(self, host: Host, backup: Path, passphrase: Path, *options: str) -> None:
        self.host = host
        self.home = host.directory / "orrery"
        self._daemon = None
        self.told: dict[str, Any] = json.loads(
            self.command("restore", backup, "--passphrase-file", passphrase, *options, "--json")
        )


def back_up(root: OrreryRoot, directory: Path) -> tuple[Path, Path]:
    """A backup of a home, and the file of its passphrase."""
    passphrase, file = directory / "passphrase", directory / "move.age"
    passphrase.write_text("a passphrase for this test\n")
    passphrase.chmod(0o600)
    root.command("backup", "--out", file, "--passphrase-file", passphrase)
    orrery("restore", "--check", file, "--passphrase-file", passphrase)
    return file, passphrase


def wait_reason(root: OrreryRoot, part: str) -> None:
    """Wait until the rollout waits for this."""
    last = [""]

    def waits() -> bool:
        last[0] = rollout(root)["reason"]
        return part in last[0]

    try:
        eventually(waits, within_s=PATIENCE_S, what=part)
    except TimeoutError as error:
        error.add_note(f"it stands so: {last[0]}")
        raise


def wait_path_at(leaf: RealNode, root: str, endpoint: str) -> None:
    """Wait until a node has a living path to a root at an endpoint."""

    def lives() -> bool:
        paths = leaf.peers()[root]["paths"]
        return endpoint in {path["address"] for path in paths if path["active"]}

    eventually(lives, within_s=PATIENCE_S, what=f"{leaf.host.name} has a path to {endpoint}")


def test_a_root_moves_to_another_server(
    lab: Lab,
    root: OrreryRoot,
    start_leaves: Leaves,
    tmp_path: Path,
    measured: Measured,
) -> None:
    old, host = root, lab.host("new")
    old.serve()
    leaves = start_leaves(3, [old.address], isolated=(1, 2))
    processes = [leaf.daemon.pid for leaf in leaves]
    # What leaf1 and leaf2 say to each other goes through the root all the time.
    network = Controller(leaves[0]).create_network()
    for leaf in leaves[1:]:
        leaf.join(network)
    leaves[1].wait_network(network)
    there = leaves[2].wait_network(network)
    ping = leaves[1].host.ping
    eventually(lambda: ping(there), within_s=40, what="leaf2 answers leaf1")

    places = [f"{each.address}/9993" for each in (old.host, host)]
    in_turn = ("--in-turn", "=".join(place.replace("/", ":") for place in places))
    old.set_endpoints(places[1:])
    assert len(plan(old, *in_turn)["steps"]) == 2
    with Pinging(leaves[1].host, there) as pinging:
        old.command("apply", *in_turn, "--yes", "--detach")

        wait_reason(old, f"stopped: {old.address} at {places[0]}")
        assert {leaf.planet for leaf in leaves} == {old.planet}
        assert old.stop() == 0
        stopped_ms = wall_ms()
        new = RestoredRoot(host, *back_up(old, tmp_path), "--nothing-newer")
        assert new.told["root"] == old.address
        assert new.identity == old.identity
        assert new.planet == old.planet
        new.serve()
        served_ms = wall_ms()
        for leaf in leaves:
            wait_path_at(leaf, new.address, places[1])
        live_ms = wall_ms()
        done = wait_state(new, "done")
        eventually(lambda: ping(there), within_s=PATIENCE_S, what="leaf2 answers leaf1")
    final = new.world
    assert [str(each) for each in final.roots[0].endpoints] == places[1:]
    assert final.timestamp_ms > old.world.timestamp_ms
    for leaf in leaves:
        leaf.wait_planet(new.planet)
        new.wait_adopted(leaf.address, final)
    assert [leaf.daemon.pid for leaf in leaves] == processes
    file_ms = max(written_ms(leaf.home / "planet") for leaf in leaves)
    measured(
        "a root moves by backup and restore: from the end of the old server to the new one serving",
        f"{(served_ms - stopped_ms) / 1000:.1f} s",
    )
    measured(
        "  from there to: all leaves live there; have the last planet file; the plan is done",
        f"{(live_ms - served_ms) / 1000:.1f} s; {(file_ms - served_ms) / 1000:.1f} s; "
        f"{(done['ended_ms'] - served_ms) / 1000:.1f} s",
    )
    measured(
        "  relayed pings meanwhile; without an answer; longest time without one",
        f"{pinging.sent}; {pinging.lost}; {pinging.longest_ms / 1000:.1f} s",
    )
    leaves[0].restart()
    leaves[0].wait_online()


def refusal(root: OrreryRoot, *arguments: str) -> str:
    """Why a command on a home does nothing."""
    command = [*COMMAND, *arguments, "--home", str(root.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    return done.stderr


def take_the_place(lost: Host, lab: Lab) -> Host:
    """A new machine with the addresses of one that is gone."""
    (link,) = json.loads(lost.ip("-json", "link", "show", "dev", "eth0"))
    lost.unplug()
    host = lab.host("instead", lost.address)
    host.ip("link", "set", "dev", "eth0", "address", link["address"])
    host.add_address(SECOND)
    return host


@pytest.mark.parametrize("went_on", [False, True])
def test_a_server_is_lost_in_the_middle_of_a_rollout(
    lab: Lab,
    root: OrreryRoot,
    start_leaves: Leaves,
    tmp_path: Path,
    measured: Measured,
    *,
    went_on: bool,
) -> None:
    root.host.add_address(SECOND)
    root.serve()
    leaves = start_leaves(3, [root.address])
    sleeper, *awake = leaves
    start = root.world
    root.command("key", "rotate")
    wish(root, replace=[canary_first(awake[0])])
    root.set_endpoints([f"{SECOND}/9993"])
    assert len(plan(root)["steps"]) == 2
    sleeper.stop()
    root.command("apply", "--yes", "--detach")
    waiting = wait_state(root, "waiting", step=1)
    assert "every counted node holds" in waiting["reason"]
    processes = [leaf.daemon.pid for leaf in awake]
    backup = back_up(root, tmp_path)
    first = root.world
    if went_on:  # the lost server publishes what the backup lacks, and leads everybody there
        sleeper.start()
        wait_state(root, "done")
        assert {leaf.planet for leaf in leaves} == {root.planet}
        processes = [leaf.daemon.pid for leaf in leaves]
    last = root.world
    root.daemon.kill()

    instead = RestoredRoot(take_the_place(root.host, lab), *backup)
    assert (instead.world, instead.identity) == (first, root.identity)
    instead.serve()
    served_ms = wall_ms()
    assert rollout(instead)["state"] == "paused"
    instead.command("publish", status=1)
    if went_on:

        def names_it() -> bool:
            return f"revision {last.timestamp_ms} of" in refusal(instead, "restore", "--finish")

        eventually(names_it, within_s=300, what="a node tells what it holds", every_s=0.5)
        heard_ms = wall_ms()
        file = leaves[1].home / "planet"
        told = json.loads(instead.command("restore", "--finish", "--world", file, "--json"))
        assert told["finished"]["worlds"][0]["added_ms"] == [last.timestamp_ms]
    else:
        sleeper.start()
        heard = {leaf.address for leaf in leaves}

        def all_heard() -> bool:
            nodes = json.loads(instead.command("nodes", "--json"))
            return heard <= {n["address"] for n in nodes if n["last_seen_ms"] >= served_ms}

        eventually(all_heard, within_s=300, what="every node is heard", every_s=0.5)
        heard_ms = wall_ms()
        processes = [leaf.daemon.pid for leaf in awake]
        instead.command("restore", "--finish")
    done = wait_state(instead, "done")
    measured(
        f"a server lost in a rollout{', which went on after its backup' * went_on}: from its "
        "backup serving to nodes heard; to the end",
        f"{(heard_ms - served_ms) / 1000:.1f} s; {(done['ended_ms'] - served_ms) / 1000:.1f} s",
    )
    chain = chain_of(instead)
    assert chain == sorted(set(chain))
    assert chain[:2] == [start.timestamp_ms, first.timestamp_ms]
    assert len(chain) == 3
    if went_on:
        assert instead.planet == last.encode()
    for leaf in leaves:
        leaf.wait_planet(instead.planet)
        wait_path_at(leaf, instead.address, f"{SECOND}/9993")
    running = [leaf.daemon.pid for leaf in (leaves if went_on else awake)]
    assert running == processes

    # The end is a beginning: it signs with the key that was rotated, and everybody follows.
    instead.set_endpoints([f"{SECOND}/9993", f"{instead.host.address}/9993"])
    published = instead.publish()
    for leaf in leaves:
        leaf.wait_planet(published.encoded)


def chain_of(root: OrreryRoot) -> list[int]:
    """The timestamps of its planet's revisions."""
    with Home.open(root.home) as home:
        return [each.timestamp_ms for each in home.store.chain(root.world.id)]
