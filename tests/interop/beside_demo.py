"""The session of docs/operations/beside-a-controller.md, played with real nodes.

    ORRERY_ZEROTIER_ONE=… python -m tests.interop.beside_demo --write FILE

Four servers and two leaves, each in a network namespace: a root and controller as
docker-zerotier-planet makes it, with a real sshd; a new server for Orrery; another one, to which
the first root moves in the end. What an operator does is done by the real commands, whose output is
the transcript.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orrery.home import SettingsEditor
from orrery.lab.rollout_demo import Transcript
from orrery.wire.endpoint import Endpoint
from tests.fleet.sshd import Credentials, why_no_sshd
from tests.interop.dockerplanet import PORT, DockerPlanet, serve_ssh
from tests.interop.lab import Lab, eventually, why_no_lab
from tests.interop.orreryroot import COMMAND
from tests.interop.realnode import Controller, RealNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.interop.lab import Host

FIRST, SECOND, THIRD, ELSEWHERE = "203.0.113.7", "198.51.100.9", "192.0.2.20", "203.0.113.50"
TITLE = "A planet with its controller, and a root that leads it"
PREFACE = (
    "A planet was made with docker-zerotier-planet: one server is its only root and, by ztncui, "
    "the controller of its network. That one stays as it is. Orrery joins it as a second root on a "
    "new server, and leads all updates from then on; so the first root gets another address, and "
    "another server, without anybody touching a client. All of this is real output with real "
    "zerotier-one, each in a network namespace; `python -m tests.interop.beside_demo` plays it."
)
_COLUMNS = 80
_NOISE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_AT_HOME = (
    'mount -t tmpfs none /var/lib && mkdir /var/lib/zerotier-one && mount --bind "$0" '
    '/var/lib/zerotier-one && exec "$@"'
)
"""Runs a command where a zerotier-one has its home at the usual place."""


class Session:
    """The operator's terminals.

    Args:
        lab: The network.
        binary: The real zerotier-one.
        directory: Where everything is made.
    """

    def __init__(self, lab: Lab, binary: Path, directory: Path) -> None:
        self.transcript = Transcript(TITLE, PREFACE)
        self._lab = lab
        self._binary = binary
        self._directory = directory
        self._work = directory / "work"
        self._home = self._work / "home"
        self._tools = directory / "tools"
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "FORCE_COLOR"},
            "COLUMNS": str(_COLUMNS),
            "NO_COLOR": "1",
            "HOME": str(self._work),
            "PATH": f"{self._tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        for name in ("ORRERY_HOME", "SSH_AUTH_SOCK"):
            self._environment.pop(name, None)

    # -- the session ---------------------------------------------------------------------------

    def play(self) -> None:
        """All of it."""
        self._prepare()
        self._what_runs()
        self._adopt()
        self._join()
        self._nodes_come()
        self._move_address()
        self._move_server()

    def _prepare(self) -> None:
        self._work.mkdir()
        self._tools.mkdir()
        for name in ("zerotier-cli", "zerotier-one"):
            (self._tools / name).symlink_to(self._binary)
        systemctl = self._tools / "systemctl"
        systemctl.write_text(
            '#!/bin/sh\n[ "$*" = "restart zerotier-one" ] && '
            'kill "$(cat /var/lib/zerotier-one/zerotier-one.pid)"\n'
        )
        systemctl.chmod(0o755)
        self._server = self._host("root-2", SECOND)
        self._official = DockerPlanet(self._host("root-1", FIRST), self._binary).start()
        ssh = self._work / ".ssh"
        credentials = Credentials.make(ssh)
        for name in ("user_key", "user_key.pub"):
            (ssh / name).rename(ssh / name.replace("user_key", "id_ed25519"))
        self._credentials = credentials
        self._serve_ssh(self._official)
        self._network = Controller(self._official).create_network()
        self._official.api("POST", f"/controller/network/{self._network}", {"name": "office"})
        self._leaves = [
            RealNode(self._host(name), self._binary, planet=self._official.download).start()
            for name in ("leaf-1", "leaf-2")
        ]
        for leaf in self._leaves:
            leaf.wait_path(self._official.address)
            leaf.join(self._network)
        _, self._there = (leaf.wait_network(self._network) for leaf in self._leaves)
        eventually(self._is_pinged, within_s=60, what="leaf-2 answers leaf-1")
        for leaf in self._leaves:
            leaf.wait_online()
        self._processes = [leaf.daemon.pid for leaf in self._leaves]

    def _what_runs(self) -> None:
        self.transcript.title("What runs")
        self.transcript.tell(
            "On the server root-1 there is the data folder of docker-zerotier-planet. Its planet "
            "lies where nodes fetch it, and not in the home of its own zerotier-one: that one "
            "still has the official planet, and could hand out no other one."
        )
        self._shell("root-1", ["ls", "zerotier/one", "zerotier/dist"], cwd=self._zerotier())
        self.transcript.tell("Two leaves have that planet, and are in a network of this server:")
        self._cli(0, "listpeers")
        self._cli(0, "listnetworks")
        self._ping()

    def _adopt(self) -> None:
        self.transcript.title("Adopt")
        self.transcript.tell(
            "The folder is copied to the new server, root-2, where Orrery reads it. Its moon is "
            "left alone with `--world`: no client ever had it."
        )
        shutil.copytree(self._official.data, self._work / "zerotier")
        for secret in ("one/moon.json", "one/previous.c25519", "one/current.c25519"):
            (self._work / "zerotier" / secret).chmod(0o600)
        self._orrery(f"adopt zerotier --world 8eac90a --home home --join {SECOND}:9993")

    def _join(self) -> None:
        self.transcript.title("The second root joins")
        self._console("root-2", "orrery serve --home home 2> serve.log &")
        serving = self._server.run(
            [*COMMAND, "serve", "--home", "home"], cwd=self._work, env=self._environment
        )
        serving.wait_line(r'"event": "serving"', within_s=20)
        self.transcript.tell(
            "Nodes take a new planet from roots that they know: so the old root has to hand this "
            "one out, and needs its file once. That is a host which Orrery may reach, over SSH:"
        )
        before = self._settings.read_text()
        added = f'\n[[host]]\nname = "root-1"\nssh = "root@{FIRST}"\n'
        self._settings.write_text(f"{before.rstrip()}\n{added}")
        self._show_edit(before)
        self.transcript.tell(
            "(This zerotier-one is a service of its server. In a container, two lines more say "
            'so: `platform = "docker"` and `container = "myztplanet"`.)'
        )
        self._orrery("hosts --home home", statuses=(0, 1))
        self._orrery("plan --home home")
        self._orrery("apply --home home --yes", after="plan: ")
        self.transcript.tell(
            "That was the one restart. From now on the first root knows the second, and takes what "
            "comes later over the wire, as clients do."
        )

    def _nodes_come(self) -> None:
        self.transcript.title("The clients come by themselves")
        self.transcript.tell(
            "Each says its next hello to the first root within 225 seconds, takes the planet with "
            "two roots in answer, and comes to the second. Until then Orrery does not know it, and "
            "a plan that takes something away would say so."
        )
        self._orrery("nodes --home home")
        for leaf in self._leaves:
            leaf.wait_planet((self._home / "planet").read_bytes(), within_s=240)
        eventually(self._are_listed, within_s=60, what="both leaves are listed", every_s=0.5)
        self.transcript.tell("Four minutes later:")
        self._orrery("nodes --home home")

    def _move_address(self) -> None:
        self.transcript.title("The first root gets another address")
        self.transcript.tell(
            f"The provider gives {ELSEWHERE} to root-1, and will take {FIRST} away. The signing "
            "key, which lay in a folder that others could read, is changed with it."
        )
        self._official.host.add_address(ELSEWHERE)
        process = self._official.process
        self._want(f"{ELSEWHERE}:{PORT}")
        self._orrery("key rotate --home home")
        self._orrery("plan --home home")
        self._orrery("apply --home home --yes", after="plan: ")
        assert self._official.process == process
        self.transcript.tell(
            "All three hold it, the official root as well, which was not restarted. The old "
            "address ends."
        )
        self._official.host.remove_address(FIRST)
        self._official.host.address = ELSEWHERE
        self._wait_paths(f"{ELSEWHERE}/{PORT}")
        self._orrery("status --home home")
        self._cli(0, "listpeers")
        self._ping()

    def _move_server(self) -> None:
        self.transcript.title("The first root gets another server")
        there = f"{THIRD}:{PORT}"
        self.transcript.tell(
            "Then that server is given up. The new one can start only when the old one has "
            "stopped, as both are the same root; `--in-turn` says so."
        )
        self._want(there)
        turn = f"--in-turn {ELSEWHERE}:{PORT}={there}"
        self._orrery(f"plan --home home {turn}")
        self._orrery(f"apply --home home --yes --detach {turn}", after="plan: ")
        eventually(
            lambda: "stopped" in self._rollout()["reason"], within_s=120, what="it is to stop"
        )
        self._orrery("status --home home")
        self.transcript.tell(
            "Now zerotier-one is stopped on the old server, its folder copied to the new one, and "
            "zerotier-one started there. The caches in `peers.d` were not copied, so that it knows "
            "nobody; the second root tells the clients where it is."
        )
        self._official.stop()
        self._official = DockerPlanet(
            self._host("root-3", THIRD), self._binary, self._official.data
        ).start()
        eventually(lambda: self._rollout()["is_over"], within_s=240, what="it is over", every_s=0.5)
        self._wait_paths(f"{THIRD}/{PORT}")
        self._official.api("POST", f"/controller/network/{self._network}", {"name": "new-office"})

        def is_renamed(leaf: RealNode) -> bool:
            found: dict[str, Any] = leaf.api("GET", f"/network/{self._network}")
            return bool(found["name"] == "new-office")

        eventually(
            lambda: all(map(is_renamed, self._leaves)), within_s=240, what="the network is renamed"
        )
        self.transcript.tell("The network goes on; its controller gives it another name.")
        self._orrery("status --home home")
        for number in range(2):
            self._cli(number, "listpeers")
        self._cli(1, "listnetworks")
        self._ping()
        assert [leaf.daemon.pid for leaf in self._leaves] == self._processes
        newest = (self._home / "planet").read_bytes()
        assert all(node.planet == newest for node in (*self._leaves, self._official))
        self.transcript.tell(
            "Both leaves are the processes that they were at the beginning, and nobody wrote a "
            "file of theirs but they themselves."
        )

    # -- what is done --------------------------------------------------------------------------

    def _host(self, name: str, address: str | None = None) -> Host:
        host = self._lab.host(name, address)
        host.ip("route", "add", "default", "dev", "eth0")
        return host

    def _serve_ssh(self, official: DockerPlanet) -> None:
        serve_ssh(
            official.host,
            self._credentials,
            self._tools,
            within=["sh", "-c", _AT_HOME, str(official.home)],
        )

    @property
    def _settings(self) -> Path:
        return self._home / "orrery.toml"

    def _want(self, place: str) -> None:
        before = self._settings.read_text()
        editor = SettingsEditor(before)
        editor.set_endpoints("planet", "root-1", [Endpoint.from_text(place)])
        self._settings.write_text(editor.text())
        self._show_edit(before)

    def _show_edit(self, before: str) -> None:
        self._console("root-2", "editor home/orrery.toml")
        after = self._settings.read_text()
        compared = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
        for line in compared:
            if line[0] in "+-" and line[1:2] not in ("+", "-", "#", ""):
                self.transcript.line(line)

    def _zerotier(self) -> Path:
        """A folder that looks as on root-1."""
        folder = self._directory / "opt"
        folder.mkdir(exist_ok=True)
        (folder / "zerotier").symlink_to(self._official.data)
        return folder

    def _console(self, host: str, command: str) -> None:
        self.transcript.line(f"{host}$ {command}")

    def _orrery(self, arguments: str, *, statuses: Iterable[int] = (0,), after: str = "") -> None:
        """Run a command on the new server; what it says up to a line that begins so is left out."""
        self._console("root-2", f"orrery {arguments}")
        argv = [*COMMAND, *shlex.split(arguments)]
        self._show(argv, self._server, self._work, statuses, after=after)

    def _cli(self, leaf: int, command: str) -> None:
        node = self._leaves[leaf]
        self._console(node.host.name, f"zerotier-cli {command}")
        cli = str(self._tools / "zerotier-cli")
        self._show(
            ["sh", "-c", _AT_HOME, str(node.home), cli, f"-p{node.port}", command],
            node.host,
            self._work,
        )

    def _shell(self, name: str, command: list[str], cwd: Path) -> None:
        self._console(name, " ".join(command))
        self._show(command, self._official.host, cwd)

    def _ping(self) -> None:
        self._console("leaf-1", f"ping -c 3 -q {self._there}")
        self._show(["ping", "-c", "3", "-q", self._there], self._leaves[0].host, self._work)

    def _show(
        self,
        argv: list[str],
        host: Host,
        cwd: Path,
        statuses: Iterable[int] = (0,),
        *,
        after: str = "",
    ) -> None:
        process = subprocess.Popen(
            ["ip", "netns", "exec", host.namespace, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=self._environment,
        )
        assert process.stdout is not None
        for raw in process.stdout:
            line = _NOISE.sub("", raw.decode()).rstrip()
            if not after:
                self.transcript.line(line)
            elif line.startswith(after):
                after = ""
                self.transcript.line("…")
        status = process.wait()
        assert not after, f"{argv}: nothing begins with {after!r}"
        assert status in tuple(statuses), f"{argv}: {status}"

    # -- what is known -------------------------------------------------------------------------

    def _json(self, arguments: str) -> Any:
        done = subprocess.run(
            [*COMMAND, *shlex.split(arguments), "--json", "--home", str(self._home)],
            capture_output=True,
            check=True,
            env=self._environment,
        )
        return json.loads(done.stdout)

    def _rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = self._json("status")["worlds"][0]["rollout"]
        return found

    def _are_listed(self) -> bool:
        listed = {node["address"] for node in self._json("nodes")}
        return all(leaf.address in listed for leaf in self._leaves)

    def _is_pinged(self) -> bool:
        return self._leaves[0].host.ping(self._there) is not None

    def _wait_paths(self, place: str) -> None:
        def has(leaf: RealNode) -> bool:
            paths = leaf.peers()[self._official.address]["paths"]
            return any(path["address"] == place and path["preferred"] for path in paths)

        eventually(
            lambda: all(map(has, self._leaves)), within_s=120, what=f"the leaves use {place}"
        )


def main() -> None:
    """Play the session: `python -m tests.interop.beside_demo [--write FILE]`."""
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.interop.beside_demo")
    parser.add_argument("--write", metavar="FILE", type=Path, help="also write it as Markdown")
    arguments = parser.parse_args()
    if reason := why_no_lab() or why_no_sshd():
        sys.exit(f"beside-demo: {reason}")
    binary = Path(os.environ["ORRERY_ZEROTIER_ONE"]).absolute()
    with tempfile.TemporaryDirectory(prefix="orrery-") as directory:
        path = Path(directory)
        (path / "lab").mkdir()
        with Lab(path / "lab") as lab:
            session = Session(lab, binary, path)
            session.play()
    if arguments.write is not None:
        arguments.write.write_text(session.transcript.document(), encoding="utf-8")


if __name__ == "__main__":
    main()
