"""A model of a host with a zerotier-one: what stands in `bin/` of a test bed is this program.

It runs by itself, with nothing but the standard library, as the commands of a host do:

    fake_host.py DIRECTORY COMMAND ARGUMENT...

DIRECTORY is that of the host (see `tests.fleet.bed`); COMMAND is the name under which it was
called: zerotier-cli, zerotier-one, systemctl, service, zerotier (an init script), launchctl, docker
or sudo.

As the real service, the model reads its files when it starts, and at no other time; takes its
built-in planet when `planet` is missing or broken, and writes it over the file; and writes a moon
that it is handed. Facts: shared vectors, "Files in the home directory" and "HTTP API".
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

ROOTS = 4
ENDPOINTS = 32
MOON = re.compile(r"[0-9a-f]{16}\.moon")


class BrokenError(ValueError):
    """Bytes that are no World."""


def read_world(data: bytes) -> dict[str, Any]:
    """Type, id, timestamp and roots of a World, if it is whole."""
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        part = data[at : at + count]
        if len(part) < count:
            raise BrokenError
        at += count
        return part

    kind = take(1)[0]
    world_id = int.from_bytes(take(8), "big")
    timestamp = int.from_bytes(take(8), "big")
    key, signature = take(64), take(96)
    roots = []
    count = take(1)[0]
    if kind not in (1, 127) or count > ROOTS:
        raise BrokenError
    for _ in range(count):
        address, zero, public = take(5), take(1), take(64)
        take(take(1)[0])
        endpoints = []
        many = take(1)[0]
        if many > ENDPOINTS:
            raise BrokenError
        for _ in range(many):
            family = take(1)[0]
            if family:
                ip = take({4: 4, 6: 16}[family])
                port = int.from_bytes(take(2), "big")
                text = ".".join(map(str, ip)) if family == 4 else ip.hex(":", 2)
                endpoints.append(f"{text}/{port}")
        identity = f"{address.hex()}:{zero[0]}:{public.hex()}"
        roots.append({"identity": identity, "stableEndpoints": endpoints})
    if kind == 127:
        take(int.from_bytes(take(2), "big"))
    return {
        "type": kind,
        "id": world_id,
        "timestamp": timestamp,
        "roots": roots,
        "key": key.hex(),
        "signature": signature.hex(),
    }


class Host:
    """The host: its files, what runs on it, and what it was told to do wrong."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "zerotier"
        self._lock = (directory / "service.lock").open("a")

    def __enter__(self) -> Host:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.state = json.loads((self.directory / "state.json").read_text())
        self.orders = json.loads((self.directory / "orders.json").read_text())
        return self

    def __exit__(self, *_: object) -> None:
        new = self.directory / "state.json.new"
        new.write_text(json.dumps(self.state))
        new.rename(self.directory / "state.json")
        self._lock.close()

    def start(self) -> bool:
        """Start the service; whether it runs then."""
        state, orders = self.state, self.orders
        state["starts"] += 1
        state["running"] = False
        state["asks"] = 0
        if state["starts"] in orders.get("stays_down", []):
            return False
        identity = self.home / "identity.secret"
        if not identity.exists():
            # The real one would make a new one, and nobody would know it any longer.
            state["identity_lost"] = True
            return False
        planet = self._planet()
        state["planet"] = planet
        state["moons"] = self._moons()
        held = [planet, *state["moons"].values()]
        if any(world["timestamp"] in orders.get("dies_of", []) for world in held):
            return False
        state["running"] = True
        return True

    def _planet(self) -> dict[str, Any]:
        file = self.home / "planet"
        try:
            planet = read_world(file.read_bytes())
        except (OSError, BrokenError):
            planet = {"type": 0}
        if planet["type"] != 1:
            earth = (self.directory / "earth").read_bytes()
            file.write_bytes(earth)
            self.state["fell_back"] = True
            planet = read_world(earth)
        return planet

    def _moons(self) -> dict[str, dict[str, Any]]:
        folder = self.home / "moons.d"
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        names = [file.name[:16] for file in files if MOON.fullmatch(file.name)]
        return {name: self._moon_of_file(name) for name in names}

    def _moon_of_file(self, name: str) -> dict[str, Any]:
        """A moon as it is in its file; without a whole one, it is waited for."""
        try:
            moon = read_world((self.home / "moons.d" / f"{name}.moon").read_bytes())
        except (OSError, BrokenError):
            moon = {"type": 0}
        is_it = moon["type"] == 127 and moon["id"] == int(name, 16)
        return moon if is_it else _waiting(name)

    def ask(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, Any]:
        """Ask the local API: the status of HTTP, 0 for none, and the answer."""
        state = self.state
        if not state["running"]:
            return 0, "connection failed"
        state["asks"] += 1
        if state["asks"] <= self.orders.get("asks_until_up", 0):
            return 0, "connection failed"
        self._hand_moons()
        parts = path.strip("/").split("/")
        match method, parts:
            case "GET", ["status"]:
                return 200, self._status()
            case "GET", ["peer"]:
                return 200, self._peers()
            case "GET", ["moon"]:
                return 200, [
                    _moon(moon) for moon in state["moons"].values() if not moon.get("waiting")
                ]
            case "POST", ["moon", moon_id] if len(moon_id) == 10:
                name = moon_id.rjust(16, "0")
                # One that it has it keeps; a new one it takes from its file, if there is one.
                if name not in state["moons"]:
                    state["moons"][name] = self._moon_of_file(name)
                return 200, _moon(state["moons"][name])
            case "DELETE", ["moon", moon_id] if len(moon_id) == 10:
                name = moon_id.rjust(16, "0")
                state["moons"].pop(name, None)
                (self.home / "moons.d" / f"{name}.moon").unlink(missing_ok=True)
                return 200, {"result": True}
        return 404, ""

    def _hand_moons(self) -> None:
        for name, moon in self.state["moons"].items():
            data = self.orders.get("hands", {}).get(name)
            if moon.get("waiting") and data is not None:
                folder = self.home / "moons.d"
                folder.mkdir(exist_ok=True)
                (folder / f"{name}.moon").write_bytes(bytes.fromhex(data))
                self.state["moons"][name] = read_world(bytes.fromhex(data))

    def _online(self) -> bool:
        orders = self.orders
        return (
            not orders.get("offline", False)
            and self.state["planet"]["timestamp"] not in orders.get("offline_with", [])
            and self.state["asks"] > orders.get("asks_until_online", 0)
        )

    def _status(self) -> dict[str, Any]:
        planet = self.state["planet"]
        version = self.orders.get("version", "1.14.2")
        major, minor, revision = map(int, version.split("."))
        return {
            "address": self.state["identity"][:10],
            "clock": time.time_ns() // 1_000_000 + self.orders.get("clock_ahead_ms", 0),
            "config": {
                "settings": {
                    "allowTcpFallbackRelay": True,
                    "homeDir": str(self.home),
                    "listeningOn": ["127.0.0.1/9993"],
                    "primaryPort": 9993,
                    "surfaceAddresses": [],
                }
            },
            "online": self._online(),
            "planetWorldId": planet["id"],
            "planetWorldTimestamp": self.orders.get("reports", planet["timestamp"]),
            "publicIdentity": self.state["identity"],
            "tcpFallbackActive": False,
            "version": version,
            "versionBuild": 0,
            "versionMajor": major,
            "versionMinor": minor,
            "versionRev": revision,
        }

    def _peers(self) -> list[dict[str, Any]]:
        now = time.time_ns() // 1_000_000
        online = self._online()
        return [
            {
                "address": root["identity"][:10],
                "isBonded": False,
                "latency": 7 if online else -1,
                "paths": [
                    {
                        "active": True,
                        "address": endpoint,
                        "expired": False,
                        "lastReceive": now,
                        "lastSend": now,
                        "localPort": 9993,
                        "localSocket": 1,
                        "preferred": True,
                        "trustedPathId": 0,
                    }
                    for endpoint in root["stableEndpoints"][:1]
                    if online
                ],
                "role": "PLANET",
                "tunneled": False,
                "version": "1.14.2",
                "versionMajor": 1,
                "versionMinor": 14,
                "versionRev": 2,
            }
            for root in self.state["planet"]["roots"]
            if not self.state["identity"].startswith(root["identity"][:10])
        ]


def _waiting(name: str) -> dict[str, Any]:
    return {"waiting": True, "id": int(name, 16), "timestamp": 0, "roots": []}


def _moon(moon: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"{moon['id']:016x}",
        "roots": moon["roots"],
        "signature": moon.get("signature"),
        "timestamp": moon["timestamp"],
        "updatesMustBeSignedBy": moon.get("key"),
        "waiting": moon.get("waiting", False),
    }


def restart(directory: Path, *, stop: bool = True, start: bool = True) -> int:
    """Restart the service; what a service manager then ends with."""
    with Host(directory) as host:
        hangs = host.orders.get("restart_hangs", False)
        if stop:
            host.state["running"] = False
        if start:
            runs = host.start()
            if not runs and host.orders.get("tells_failure", False):
                print("Job for zerotier-one.service failed.", file=sys.stderr)
                return 1
    if hangs:
        signal.pause()
    return 0


def zerotier_cli(directory: Path, arguments: list[str]) -> int:
    """The command line tool of zerotier-one."""
    home = next((one[2:] for one in arguments if one.startswith("-D")), "")
    command, *rest = [one for one in arguments if not one.startswith("-")]
    with Host(directory) as host:
        known = {str(host.home), str(host.home.resolve()), "/var/lib/zerotier-one"}
        is_other = bool(home) and str(Path(home)) not in known
        if is_other or not (host.home / "zerotier-one.port").exists():
            print(
                f"zerotier-cli: missing port and zerotier-one.port not found in {home}",
                file=sys.stderr,
            )
            return 2
        match command:
            case "orbit":
                status, answer = host.ask("POST", f"/moon/{rest[0]}", {"seed": rest[1]})
            case "deorbit":
                status, answer = host.ask("DELETE", f"/moon/{rest[0]}")
            case _:
                status, answer = host.ask("GET", command)
    if status == 200 and command.startswith("/"):
        # As the service prints JSON: keys in order, a blank for each level.
        print(json.dumps(answer, indent=1, sort_keys=True), end="")
        return 0
    if status == 200:
        print(f"200 {command} OK")
        return 0
    print(f"{status} {command} {answer}")
    return 1


def docker(directory: Path, arguments: list[str]) -> int:
    """As much of docker as a deploy needs; the container is a view of the host's own files."""
    with Host(directory) as host:
        container = host.orders["container"]
        home = host.home
    inside, outside = container["home"], str(home)
    verb, *rest = arguments

    def known(name: str) -> None:
        if name != container["name"]:
            print(f"Error response from daemon: No such container: {name}", file=sys.stderr)
            sys.exit(1)

    match verb:
        case "restart" | "start" | "stop":
            known(rest[-1])
            return restart(directory, stop=verb != "start", start=verb != "stop")
        case "ps":
            print(container["name"])
            return 0
        case "inspect":
            known(rest[-1])
            if "-f" in rest or "--format" in rest:
                # The one template in use: a mount on a line, as DESTINATION:SOURCE.
                if container["mounted"]:
                    print(f"{inside}:{outside}")
                print()
                return 0
            mount = {"Type": "bind", "Source": outside, "Destination": inside}
            mounts = [mount] if container["mounted"] else []
            print(json.dumps([{"Name": f"/{container['name']}", "Mounts": mounts}], indent=4))
            return 0
        case "exec":
            while rest[0].startswith("-"):
                rest = rest[1:]
            known(rest[0])
            with Host(directory) as host:
                if not host.state["running"]:
                    print("Error response from daemon: container is not running", file=sys.stderr)
                    return 1
            command = [word.replace(inside, outside) for word in rest[1:]]
            return subprocess.run(command, check=False).returncode
        case "cp":
            source, target = (word for word in rest if not word.startswith("-"))
            places = [
                word.replace(f"{container['name']}:{inside}", outside) for word in (source, target)
            ]
            shutil.copy(places[0], places[1])
            return 0
    print(f"docker: {verb!r} is not a docker command.", file=sys.stderr)
    return 1


def main(directory: Path, name: str, *arguments: str) -> int:
    """Be one of the commands."""
    with (directory / "commands.log").open("a") as log:
        log.write(f"{name} {' '.join(arguments)}\n")
    words = list(arguments)
    match name:
        case "zerotier-cli":
            return zerotier_cli(directory, words)
        case "zerotier-one":
            return zerotier_cli(directory, [word for word in words if word != "-q"])
        case "docker":
            return docker(directory, words)
        case "sudo":
            _become(words[1:] if words[0] == "-n" else words)
        case "systemctl" | "zerotier":
            verb = words[0]
        case "service":
            verb = words[1]
        case "launchctl":
            verb = {"unload": "stop", "load": "start"}[words[0]]
        case _:
            raise AssertionError(name)
    return restart(directory, stop=verb != "start", start=verb != "stop")


def _become(command: list[str]) -> NoReturn:
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
