"""The harness against official software alone: what Orrery is tested with works by itself."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.lab import DaemonExitedError, Host, Lab, eventually
from tests.interop.realnode import Controller, IdTool, RealNode

pytestmark = pytest.mark.interop

WORLD_ID = 0x0C0FFEE


class TestLab:
    def test_hosts_reach_each_other_and_nothing_else(self, lab: Lab) -> None:
        one, two = lab.host("one"), lab.host("two")
        assert one.ping(two.address) is not None
        assert one.ip("route", "show", "default") == ""

    def test_a_moved_host_is_found_at_its_new_address_only(self, lab: Lab) -> None:
        one, two = lab.host("one"), lab.host("two")
        old = two.address
        two.move("10.77.99.1")
        assert one.ping(two.address) is not None
        assert one.ping(old, within_s=0.2) is None

    def test_an_unplugged_host_is_cut_off_until_it_is_plugged_in(self, lab: Lab) -> None:
        one, two = lab.host("one"), lab.host("two")
        two.unplug()
        assert one.ping(two.address, within_s=0.2) is None
        two.plug()
        eventually(lambda: one.ping(two.address), within_s=5, what="it answers again")

    def test_sockets_of_hosts_speak_ipv6_too(self, lab: Lab) -> None:
        one, two = lab.host("one"), lab.host("two")
        one.add_address("fd77::1")
        two.add_address("fd77::2")
        with (
            one.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender,
            two.socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver,
        ):
            receiver.bind(("fd77::2", 9993))
            receiver.settimeout(5)
            sender.sendto(b"hello", ("fd77::2", 9993))
            data, source = receiver.recvfrom(100)
        assert (data, source[0]) == (b"hello", "fd77::1")

    def test_nothing_is_left_when_a_test_fails(self, lab_possible: None, tmp_path: Path) -> None:
        pids: list[int] = []
        left: list[str] = []

        def failing_test() -> None:
            with Lab(tmp_path) as lab:
                daemon = lab.host("one").run(["sh", "-c", "sleep 1000 & echo child $!; wait"])
                left.extend(lab.namespaces)
                pids.extend([daemon.pid, int(daemon.wait_line(r"child (\d+)", within_s=5)[1])])
                raise LookupError

        with pytest.raises(LookupError):
            failing_test()
        assert len(left) == 2
        assert not set(left) & set(_on_machine())
        eventually(lambda: not any(map(_runs, pids)), within_s=5, what="daemon and child are gone")

    def test_what_a_killed_run_left_is_removed(self, lab_possible: None, tmp_path: Path) -> None:
        script = """
import os, pathlib, sys
from tests.interop.lab import Lab
with Lab(pathlib.Path(sys.argv[1])) as lab:
    print(lab.host("one").run(["sleep", "1000"]).pid, *lab.namespaces, flush=True)
    os.kill(os.getpid(), 9)
"""
        run = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == -signal.SIGKILL, run.stderr
        pid, *left = run.stdout.split()
        assert len(left) == 2
        with Lab(tmp_path / "next"):
            assert not set(left) & set(_on_machine())
        eventually(lambda: not _runs(int(pid)), within_s=5, what="its daemon is gone")


class TestDaemon:
    def test_output_is_waited_for(self, lab: Lab) -> None:
        daemon = lab.host("one").run(
            ["sh", "-c", "sleep 0.1; echo on port 9993 >&2; exec sleep 99"]
        )
        assert daemon.wait_line(r"on port (\d+)$", within_s=5)[1] == "9993"
        with pytest.raises(TimeoutError, match="something else"):
            daemon.wait_line("something else", within_s=0.1)
        assert daemon.stop() == -signal.SIGTERM

    def test_an_early_end_is_reported_with_its_output(self, lab: Lab) -> None:
        daemon = lab.host("one").run(["sh", "-c", "echo no such key; exit 4"])
        with pytest.raises(DaemonExitedError, match=r"exit status 4(.|\n)*no such key"):
            daemon.wait_line("listening", within_s=5)
        assert daemon.wait(within_s=1) == 4

    def test_one_that_ignores_sigterm_is_killed(self, lab: Lab) -> None:
        daemon = lab.host("one").run(
            ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]
        )
        daemon.wait_line("up", within_s=5)
        assert daemon.stop(within_s=0.2) == -signal.SIGKILL


class TestIdTool:
    def test_a_generated_identity_is_valid_and_another_address_is_not(self, idtool: IdTool) -> None:
        public = idtool.public(idtool.generate())
        assert idtool.validate(public)
        assert not idtool.validate(("0" if public[0] != "0" else "1") + public[1:])

    def test_signatures(self, idtool: IdTool) -> None:
        secret = idtool.generate()
        signature = idtool.sign(secret, b"message")
        assert idtool.verify(idtool.public(secret), b"message", signature)
        assert not idtool.verify(idtool.public(secret), b"massage", signature)

    def test_worlds(self, idtool: IdTool) -> None:
        root = idtool.generate()
        planet = idtool.genmoon(idtool.planet_spec(WORLD_ID, {root: ["10.77.1.1/9993"]}))
        assert planet[:9] == b"\x01" + WORLD_ID.to_bytes(8, "big")
        moon = idtool.genmoon(idtool.initmoon(root))
        assert moon[:9] == b"\x7f" + int(root[:10], 16).to_bytes(8, "big")


class TestRealNodes:
    """Small official planets."""

    @pytest.fixture
    def identity(self, idtool: IdTool) -> str:
        """The secret identity of the root."""
        return idtool.generate()

    @pytest.fixture
    def planet(self, lab: Lab, zerotier_one: Path, idtool: IdTool, identity: str) -> bytes:
        """A planet whose only root, an official one, runs in the lab."""
        host = lab.host("root")
        planet = idtool.genmoon(idtool.planet_spec(WORLD_ID, {identity: [f"{host.address}/9993"]}))
        RealNode(host, zerotier_one, planet=planet, identity=identity).start()
        return planet

    @pytest.mark.parametrize("relayed", [False, True], ids=["directly", "through the root"])
    def test_two_leaves_of_a_network_ping_each_other(
        self, lab: Lab, zerotier_one: Path, identity: str, planet: bytes, relayed: bool
    ) -> None:
        def online(host: Host) -> RealNode:
            node = RealNode(host, zerotier_one, planet=planet).start()
            node.wait_path(identity[:10])
            return node

        controller = Controller(online(lab.host("controller")))
        leaf1 = online(lab.host("leaf1", isolated=relayed))
        leaf2 = online(lab.host("leaf2", isolated=relayed))
        leaf1.wait_online()
        assert leaf1.status()["planetWorldId"] == WORLD_ID
        assert leaf1.planet == planet
        assert leaf1.peers()[identity[:10]]["role"] == "PLANET"

        network = controller.create_network()
        leaf1.join(network)
        leaf2.join(network)
        leaf1.wait_network(network)
        address = leaf2.wait_network(network)
        assert controller.members(network) == {leaf1.address, leaf2.address}
        eventually(lambda: leaf1.host.ping(address), within_s=30, what="leaf2 answers leaf1")
        if relayed:
            assert leaf1.peers()[leaf2.address]["paths"] == []
        else:
            leaf1.wait_path(leaf2.address)

    def test_a_leaf_orbits_a_moon_and_keeps_it_over_a_restart(
        self, lab: Lab, zerotier_one: Path, idtool: IdTool, planet: bytes
    ) -> None:
        seed = RealNode(lab.host("seed"), zerotier_one, planet=planet).start()
        spec = idtool.initmoon(seed.identity)
        spec["roots"][0]["stableEndpoints"] = [f"{seed.host.address}/9993"]
        moon = idtool.genmoon(spec)
        seed.stop()
        seed.write_moon(seed.address, moon)
        seed.start()
        leaf = RealNode(lab.host("leaf"), zerotier_one, planet=planet).start()
        leaf.wait_online()
        leaf.orbit(seed.address, seed.address)
        leaf.wait_moon(seed.address, moon)
        leaf.restart()
        assert f"{seed.address:0>16}" in leaf.moons()
        leaf.deorbit(seed.address)
        assert leaf.moon(seed.address) is None

    def test_a_node_that_cannot_start_says_why(self, lab: Lab, zerotier_one: Path) -> None:
        node = RealNode(lab.host("node"), zerotier_one)
        with node.host.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
            other.bind(("127.0.0.1", node.port))
            other.listen()
            with pytest.raises(DaemonExitedError, match="bind control plane"):
                node.start()


def _on_machine() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in listed.stdout.splitlines()]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
