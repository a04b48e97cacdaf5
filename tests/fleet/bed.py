"""A bed of hosts: each a real sshd, in front of a folder with a model of zerotier-one.

    def test(bed: Bed) -> None:                            # fixture, tests/fleet/conftest.py
        host = bed.host("node-1", planet=old)              # its service runs, with this planet
        home.settings gets host.toml()                     # [[host]], reached over SSH
        ...deploy...
        host.check_whole(old, new)                         # what must be true after anything

What a host has:

    host.directory      bin/ (first in PATH), zerotier/ (the home), commands.log, sshd.log
    host.home           planet, moons.d/, identity.*, authtoken.secret, local.conf, …
    host.state()        what runs: running, starts, planet and moon timestamps
    host.toml(...)      its [[host]]; `local=True` for one without ssh (then use `host.local(...)`)
    host.line           the line to it: cut(), cut_at(to_host=, from_host=), mend()  (sshd.py)
    host.sshd.kill()    its sshd dies
    host.order(...)     what goes wrong there from now on, by name:
        stays_down=[1, 3]       the first and third start from now do not come up
        tells_failure=True      …and the service manager says so
        dies_of=[timestamp]     it does not come up with a World of this timestamp
        offline=True            it never gets online
        offline_with=[ts]       …with a planet of this timestamp
        asks_until_up=3         the first so many questions after a start get no answer
        asks_until_online=3     …and so many say that it is not online
        reports=timestamp       it says that it holds this planet, whatever it holds
        restart_hangs=True      the service is restarted, but the command does not end
        hands={moon_id: World}  its seeds have this moon
        clock_ahead_ms=...      its clock is wrong
        version="1.10.6"        what runs there
    host.receive(world) the node is handed a World by its root, in band
    host.restart()      somebody else restarts it
    host.trip(n, how)   what happens at the n-th command there that changes anything (mv, cp, rm,
        ln, mkdir, chmod, chown, sync, and the service manager), counted from now; see `Trip`
    host.trips          how many of these there were since then
    host.commands()     what was called there: service managers, docker, zerotier-cli

A `FaultyShell` cuts between commands; `cut_commands` puts one around every way to every host.

    host.hurry()        its clock runs fast, for tests in which it waits in vain
    host.is_idle()      whether nothing runs there that a deploy began; see `eventually`

There is no waiting in here: all that "takes a while" is counted in questions.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orrery.errors import HostError
from orrery.fleet import reaching
from orrery.home.settings import HostSettings
from orrery.wire.address import format_address
from orrery.wire.world import World, WorldType
from orrery.worlds.earth import EARTH
from tests.fleet.sshd import Credentials, Sshd
from tests.unit.store.making import identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    import pytest

    from orrery.fleet.shell import Finished, Shell

FAKE_HOST: Final = Path(__file__).with_name("fake_host.py")
SERVICE_COMMANDS: Final = ("systemctl", "service", "launchctl", "docker", "zerotier")
OTHER_COMMANDS: Final = ("zerotier-cli", "zerotier-one", "sudo")
TRIPPING: Final = ("mv", "cp", "rm", "ln", "mkdir", "rmdir", "chmod", "chown", "sync")
CONTAINER: Final = "zerotier"
CONTAINER_HOME: Final = "/var/lib/zerotier-one"
MARK: Final = "ORRERY_TEST_HOST"

_SECRETS = ("identity.secret", "authtoken.secret")
_STAGING = ".orrery-deploy"
_HOME = {
    *_SECRETS,
    "identity.public",
    "local.conf",
    "moons.d",
    "planet",
    "zerotier-one.port",
}


class Trip(StrEnum):
    """What happens at a command on the host."""

    DIE_BEFORE = "die-before"
    """All that was started together with it is killed; it is not run."""
    DIE_AFTER = "die-after"
    """It is run, then all that was started together with it is killed."""
    FAIL = "fail"
    """It fails, as on a full disk, and does nothing."""


@dataclass(frozen=True)
class State:
    """What runs on a host.

    Attributes:
        running: Whether the service runs.
        starts: How often it was started.
        planet_ms: The timestamp of the planet that it holds, or held last.
        planet_id: The id of that.
        moons: World ids and timestamps of the moons; 0 for those that it waits for.
        fell_back: Whether it ever found no planet and took the built-in one.
        identity_lost: Whether it ever found no identity.
    """

    running: bool
    starts: int
    planet_ms: int
    planet_id: int
    moons: dict[int, int]
    fell_back: bool
    identity_lost: bool


class FakeHost:
    """A host of the bed; see the top of this file."""

    def __init__(
        self,
        directory: Path,
        credentials: Credentials,
        number: int,
        *,
        planet: World | None,
        moons: Iterable[World],
        platform: str,
        mounted: bool,
        shell: str,
        ssh_options: Iterable[str],
    ) -> None:
        self.name = directory.name
        self.directory = directory
        self.home = directory / "zerotier"
        self.identity = identity(number)
        self.address = self.identity.address
        self.platform = platform
        self._credentials = credentials
        self._mounts: list[str] = []
        self._make_home(planet, moons)
        self._make_state(mounted)
        self._make_commands(shell)
        (directory / "user").mkdir()
        self.environment: dict[str, str] = {
            "PATH": f"{directory / 'bin'}:{os.defpath}:/usr/sbin:/sbin",
            "HOME": str(directory / "user"),
            MARK: str(directory),
        }
        self.sshd = Sshd(directory, credentials, self.environment, *ssh_options)
        self.restart()

    @property
    def line(self) -> Any:
        """The line to its sshd."""
        return self.sshd.line

    @property
    def target(self) -> str:
        """Where it is, as `ssh` in `[[host]]`."""
        return f"{self._credentials.user}@127.0.0.1:{self.sshd.port}"

    def values(self, *, local: bool = False, **more: Any) -> dict[str, Any]:
        """What its `[[host]]` says."""
        values: dict[str, Any] = {"name": self.name}
        if not local:
            values |= {
                "ssh": self.target,
                "key": str(self._credentials.user_key),
                "known_hosts": str(self._credentials.known_hosts),
            }
        if self.platform != "linux":
            values["platform"] = self.platform
        match self.platform:
            case "docker":
                values |= {"container": CONTAINER, "home": CONTAINER_HOME}
            case "openwrt":
                values |= {"home": str(self.home), "restart": "zerotier restart"}
            case _:
                values["home"] = str(self.home)
        return {key: value for key, value in (values | more).items() if value is not None}

    def settings(self, *, local: bool = False, **more: Any) -> HostSettings:
        """Its `[[host]]`."""
        return HostSettings.model_validate(self.values(local=local, **more))

    def toml(self, *, local: bool = False, **more: Any) -> str:
        """The text of its `[[host]]`."""
        lines = [
            f"{key} = {json.dumps(value)}"
            for key, value in self.values(local=local, **more).items()
        ]
        return "\n".join(("", "[[host]]", *lines, ""))

    def local(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this machine be this host, for a `[[host]]` without ssh."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    # What it is made of

    def _make_home(self, planet: World | None, moons: Iterable[World]) -> None:
        self.home.mkdir(parents=True, mode=0o755)
        self._write("identity.secret", self.identity.to_string(secret=True).encode(), 0o600)
        self._write("identity.public", self.identity.to_string().encode(), 0o644)
        self._write("authtoken.secret", b"a" * 24, 0o600)
        self._write("zerotier-one.port", b"9993", 0o644)
        self._write("local.conf", b'{"settings": {"primaryPort": 9993}}', 0o644)
        if planet is not None:
            self._write("planet", planet.encode(), 0o644)
        (self.home / "moons.d").mkdir(mode=0o755)
        for moon in moons:
            self._write(f"moons.d/{moon.id:016x}.moon", moon.encode(), 0o644)

    def _write(self, name: str, data: bytes, mode: int) -> None:
        (self.home / name).write_bytes(data)
        (self.home / name).chmod(mode)

    def _make_state(self, mounted: bool) -> None:
        state = {
            "running": False,
            "starts": 0,
            "asks": 0,
            "moons": {},
            "identity": self.identity.to_string(),
        }
        container = {"name": CONTAINER, "home": CONTAINER_HOME, "mounted": mounted}
        (self.directory / "state.json").write_text(json.dumps(state))
        (self.directory / "orders.json").write_text(json.dumps({"container": container}))
        (self.directory / "earth").write_bytes(EARTH.encode())
        (self.directory / "commands.log").write_text("")
        (self.directory / "trips").write_text("")

    def _make_commands(self, shell: str) -> None:
        folder = self.directory / "bin"
        folder.mkdir()
        fake = shlex.join([sys.executable, "-I", "-S", str(FAKE_HOST), str(self.directory)])
        for name in SERVICE_COMMANDS:
            self._make_command(name, f'{fake} {name} "$@"', trips=True)
        for name in OTHER_COMMANDS:
            self._make_command(name, f'{fake} {name} "$@"', trips=False)
        if shell:
            self._make_command("sh", f'{shell} "$@"', trips=False)
        for name in TRIPPING:
            real = shutil.which(name, path=os.defpath)
            assert real is not None
            self._make_command(name, f'{real} "$@"', trips=True)

    def _make_command(self, name: str, command: str, *, trips: bool) -> None:
        lines = ["#!/bin/sh"]
        if trips:
            place = shlex.quote(str(self.directory))
            lines += [
                f"echo {name} >>{place}/trips",
                f"if [ -e {place}/trip ]; then",
                f"    read -r at how <{place}/trip",
                "    now=0",
                f"    while read -r _; do now=$((now + 1)); done <{place}/trips",
                '    if [ "$now" -eq "$at" ]; then',
                "        case $how in",
                f"        {Trip.FAIL}) echo {name}: No space left on device >&2; exit 1 ;;",
                f"        {Trip.DIE_AFTER}) {command} ;;",
                "        esac",
                "        kill -s KILL 0",
                "    fi",
                "fi",
            ]
        path = self.directory / "bin" / name
        path.write_text("\n".join((*lines, f"exec {command}", "")))
        path.chmod(0o755)

    # What happens there

    def order(self, **orders: Any) -> None:
        """Let things go wrong from now on; see the top of this file."""
        starts = self.state().starts
        if "stays_down" in orders:
            orders["stays_down"] = [starts + start for start in orders["stays_down"]]
        if "hands" in orders:
            orders["hands"] = {
                f"{moon_id:016x}": world.encode().hex()
                for moon_id, world in orders["hands"].items()
            }
        self._change("orders.json", orders)

    def obey(self, *names: str) -> None:
        """Take orders back; all, when none is named."""
        path = self.directory / "orders.json"
        kept = json.loads(path.read_text())
        for name in names or [name for name in kept if name != "container"]:
            kept.pop(name, None)
        path.write_text(json.dumps(kept))

    def _change(self, name: str, values: Mapping[str, Any]) -> None:
        path = self.directory / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    def trip(self, at: int, how: Trip) -> None:
        """Let something happen at a command; see `Trip`.

        Args:
            at: Which of those to come, from 1 on.
            how: What.
        """
        (self.directory / "trips").write_text("")
        (self.directory / "trip").write_text(f"{at} {how}\n")

    def watch(self) -> None:
        """Count commands from now on, and let nothing happen at any."""
        (self.directory / "trip").unlink(missing_ok=True)
        (self.directory / "trips").write_text("")

    @property
    def trips(self) -> list[str]:
        """The commands that changed something, since they are counted."""
        return (self.directory / "trips").read_text().split()

    def restart(self) -> None:
        """Restart the service from outside."""
        self.call("systemctl", "restart", "zerotier-one")

    def stop(self) -> None:
        """Stop the service from outside."""
        self.call("systemctl", "stop", "zerotier-one")

    def call(self, name: str, *arguments: str) -> None:
        """Call one of the model's commands; it does not count."""
        subprocess.run(
            [sys.executable, "-I", "-S", FAKE_HOST, self.directory, name, *arguments], check=True
        )

    def receive(self, world: World) -> None:
        """Let the running node take a World in band: written in place, and in use at once."""
        state = json.loads((self.directory / "state.json").read_text())
        name = "planet" if world.type is WorldType.PLANET else f"moons.d/{world.id:016x}.moon"
        (self.home / name).write_bytes(world.encode())
        held = {
            "type": int(world.type),
            "id": world.id,
            "timestamp": world.timestamp_ms,
            "roots": [
                {
                    "identity": root.identity.to_string(),
                    "stableEndpoints": [str(endpoint) for endpoint in root.endpoints],
                }
                for root in world.roots
            ],
            "key": world.updates_must_be_signed_by.hex(),
            "signature": world.signature.hex(),
        }
        if world.type is WorldType.PLANET:
            state["planet"] = held
        else:
            state["moons"][f"{world.id:016x}"] = held
        (self.directory / "state.json").write_text(json.dumps(state))

    def hurry(self) -> None:
        """Let its clock run fast: four times while it sleeps, four seconds with each question.

        So timeouts there are over soon, and what it waits for has time to happen all the same. Only
        what a deploy left running there sees that clock, and nobody who looks at the host.
        """
        place = shlex.quote(str(self.directory))
        folder = self.directory / "bin"
        sleep = shutil.which("sleep", path=os.defpath)
        date = shutil.which("date", path=os.defpath)
        scripts = {
            "sleep": f"""echo "$1" >>{place}/slept
exec {sleep} "$(awk -v span="$1" 'BEGIN {{ print span / 4 }}')"
""",
            "date": f"""case "$*,$(tr '\\0' ' ' </proc/$PPID/cmdline)" in
+%s,*" run "*) ;;
*) exec {date} "$@" ;;
esac
echo $(($({date} +%s) + $(awk '{{ slept += $1 }} END {{ print int(slept) }}' {place}/slept)))
""",
        }
        (self.directory / "slept").write_text("")
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}")
            (folder / name).chmod(0o755)
        asking = folder / "zerotier-cli"
        asking.write_text(
            asking.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\necho 4 >>{place}/slept\n")
        )

    def is_idle(self) -> bool:
        """Whether nothing runs there that somebody began over SSH."""
        return not self._processes()

    def fill_disk(self, kept_bytes: int) -> None:
        """Fill its disk, which must be a `small_disk`, up to so many free bytes."""
        assert self._mounts, "the host has no disk of its own: use small_disk()"
        free = os.statvfs(self.home)
        with (self.directory / "disk" / "filler").open("ab") as filler:
            filler.write(bytes(max(0, free.f_bavail * free.f_bsize - kept_bytes)))

    def free_disk(self) -> None:
        """Remove what fill_disk wrote."""
        (self.directory / "disk" / "filler").unlink(missing_ok=True)

    def small_disk(self, size_bytes: int) -> str | None:
        """Move the home, and that of the user, onto a small disk of their own.

        Returns:
            Why that cannot be done here; None when it is.
        """
        disk = self.directory / "disk"
        disk.mkdir()
        if reason := self._mount("-t", "tmpfs", "-o", f"size={size_bytes}", "none", str(disk)):
            return f"no disk can be mounted here: {reason}"
        for place in (self.home, self.directory / "user"):
            inside = disk / place.name
            shutil.copytree(place, inside)
            if reason := self._mount("--bind", str(inside), str(place)):
                return f"no directory can be mounted here: {reason}"
        return None

    def _mount(self, *arguments: str) -> str:
        done = subprocess.run(["mount", *arguments], check=False, capture_output=True)
        if done.returncode == 0:
            self._mounts.append(arguments[-1])
        return done.stderr.decode().strip()

    def die(self) -> None:
        """Kill everything that a deploy runs there, as a power failure does."""
        while found := self._processes():
            for process in found:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def _processes(self) -> set[int]:
        # Twice: one that is forked while the first look goes on, by one that was seen before it,
        # or that has no environment just then because it becomes another program.
        return self._marked() | self._marked()

    def _marked(self) -> set[int]:
        mark = f"{MARK}={self.directory}".encode()
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            number = int(path.parent.name)
            with suppress(OSError):
                if number != os.getpid() and mark in path.read_bytes().split(b"\0"):
                    found.add(number)
        return found

    def end(self) -> None:
        """Leave nothing behind."""
        self.sshd.stop()
        self.die()
        for mount in reversed(self._mounts):
            subprocess.run(["umount", "-l", mount], check=True)

    # What is there

    def state(self) -> State:
        """What runs there."""
        found = json.loads((self.directory / "state.json").read_text())
        planet = found.get("planet", {"timestamp": 0, "id": 0})
        return State(
            running=found["running"],
            starts=found["starts"],
            planet_ms=planet["timestamp"],
            planet_id=planet["id"],
            moons={int(name, 16): moon["timestamp"] for name, moon in found["moons"].items()},
            fell_back=found.get("fell_back", False),
            identity_lost=found.get("identity_lost", False),
        )

    def planet(self) -> bytes:
        """Its planet file."""
        return (self.home / "planet").read_bytes()

    @property
    def deploys(self) -> Path:
        """Where deploys keep their journal and their backups there."""
        return self.directory / "user" / ".orrery.d"

    def backups(self) -> list[bytes]:
        """The planet files that were backed up there, the oldest first."""
        return [path.read_bytes() for path in sorted(self.deploys.glob("*/backups/*/planet"))]

    def commands(self) -> list[str]:
        """What was called there."""
        return (self.directory / "commands.log").read_text().splitlines()

    def modes(self) -> dict[str, tuple[int, int, int]]:
        """Mode, owner and group of everything that zerotier-one owns there."""
        names = [".", "moons.d", "planet", "identity.public", "local.conf", *_SECRETS]
        found = {}
        for name in names:
            if (self.home / name).exists():
                status = (self.home / name).stat()
                found[name] = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        return found

    def check_whole(self, *worlds: World, running: bool = True) -> None:
        """Check what must be true after anything: a whole World that runs, and intact secrets.

        Args:
            worlds: The planets that it may hold, old or new.
            running: Whether its service must run.
        """
        state = self.state()
        allowed = {world.encode(): world.timestamp_ms for world in worlds}
        assert not state.identity_lost
        assert not state.fell_back, "the service found no whole planet at a start"
        assert self.planet() in allowed, "the planet file is neither the old nor the new one"
        if running:
            assert state.running, "the service does not run"
            assert state.planet_ms in allowed.values(), state
        secret = (self.home / "identity.secret").read_text()
        assert secret == self.identity.to_string(secret=True)
        assert (self.home / "authtoken.secret").read_bytes() == b"a" * 24
        modes = {name: mode for name, (mode, _, _) in self.modes().items()}
        expected = {
            ".": 0o755,
            "moons.d": 0o755,
            "planet": 0o644,
            "identity.public": 0o644,
            "local.conf": 0o644,
            "identity.secret": 0o600,
            "authtoken.secret": 0o600,
        }
        assert modes == expected
        # No secret went anywhere, not even into a backup on the host itself.
        key = secret.rpartition(":")[2].encode()
        for path in (*self.home.rglob("*"), *self.deploys.rglob("*")):
            if path.is_file() and path != self.home / "identity.secret":
                assert key not in path.read_bytes(), path

    def check_settled(self, world: World, *, was_cut: bool = False) -> None:
        """Check that it holds and runs a planet, and that no deploy left anything in the home.

        Args:
            world: The planet.
            was_cut: Whether a deploy was killed there: an empty directory of it may be left.
        """
        self.check_whole(world)
        assert self.state().planet_ms == world.timestamp_ms
        left = {path.name for path in self.home.iterdir()} - _HOME
        if was_cut and left == {_STAGING}:
            assert stat.S_IMODE((self.home / _STAGING).stat().st_mode) == 0o700
        else:
            assert left == set()


class Bed:
    """Hosts, and the keys of who may log in at them.

    Attributes:
        credentials: The keys.
        hosts: The hosts.
    """

    def __init__(self, directory: Path, credentials: Credentials) -> None:
        self.credentials = credentials
        self.hosts: list[FakeHost] = []
        self._directory = directory

    def host(
        self,
        name: str,
        *,
        planet: World | None = None,
        moons: Iterable[World] = (),
        platform: str = "linux",
        mounted: bool = True,
        number: int | None = None,
        shell: str = "",
        ssh_options: Iterable[str] = (),
    ) -> FakeHost:
        """A new host, whose service runs.

        Args:
            name: What to call it.
            planet: Its planet file; without one, the service takes the built-in planet.
            moons: Its moons.
            platform: What it is, as in `[[host]]`.
            mounted: With docker, whether the home is a mount of the host.
            number: Which of the recorded identities it has; each of 20 hosts has another one, from
                the last one (29) down.
            shell: What its `sh` is, if not that of this machine: "busybox sh".
            ssh_options: Lines for its sshd_config.
        """
        directory = self._directory / name
        directory.mkdir()
        host = FakeHost(
            directory,
            self.credentials,
            29 - len(self.hosts) % 20 if number is None else number,
            planet=planet,
            moons=moons,
            platform=platform,
            mounted=mounted,
            shell=shell,
            ssh_options=ssh_options,
        )
        self.hosts.append(host)
        return host

    def end(self) -> None:
        """End all of it."""
        for host in self.hosts:
            host.end()


# Cuts between commands


class Cuts:
    """Counts the commands that are run on hosts, and cuts the connection at one of them.

    Attributes:
        commands: The commands so far, with the host where each was run.
        is_cut: Whether the connection is gone; it stays so until `mend`.
    """

    def __init__(self) -> None:
        self.commands: list[tuple[str, str]] = []
        self.is_cut = False
        self._before: int | str | None = None
        self._after: int | str | None = None

    def at(self, *, before: int | str | None = None, after: int | str | None = None) -> None:
        """Cut at a command to come: it is not run, or it is run and nobody hears of it.

        Args:
            before: Its number from 1 on, or a part of its text.
            after: The same.
        """
        self.commands.clear()
        self.is_cut = False
        self._before, self._after = before, after

    def mend(self) -> None:
        """Let all commands through again, and count from the start."""
        self.at()

    async def run(self, shell: Shell, command: str, data: bytes, timeout_s: float) -> Finished:
        """Run a command, or not."""
        if not self.is_cut:
            self.commands.append((shell.where, command))
        if self.is_cut or self._is_it(self._before, command):
            self.is_cut = True
            raise HostError(f"the connection to {shell.where} was lost (cut before it)")
        is_last = self._is_it(self._after, command)
        finished = await shell.run(command, data, timeout_s=timeout_s)
        if is_last:
            self.is_cut = True
            raise HostError(f"the connection to {shell.where} was lost (cut after it)")
        return finished

    def _is_it(self, which: int | str | None, command: str) -> bool:
        if isinstance(which, str):
            return which in command
        return which == len(self.commands)


class FaultyShell:
    """A shell whose commands are cut off."""

    def __init__(self, shell: Shell, cuts: Cuts) -> None:
        self.where = shell.where
        self._shell = shell
        self._cuts = cuts

    async def run(self, command: str, data: bytes = b"", *, timeout_s: float = 30) -> Finished:
        """Run a command, or not."""
        return await self._cuts.run(self._shell, command, data, timeout_s)


def cut_commands(monkeypatch: pytest.MonkeyPatch, cuts: Cuts | None = None) -> Cuts:
    """Put one `Cuts` around every way to every host, wherever `open_shell` was imported to."""
    cuts = cuts or Cuts()
    real = reaching.open_shell

    @asynccontextmanager
    async def open_shell(host: HostSettings, home: Path) -> AsyncIterator[Shell]:
        if cuts.is_cut:
            raise HostError(f"{host.name} cannot be reached (cut)")
        async with real(host, home) as shell:
            yield FaultyShell(shell, cuts)

    for name, module in list(sys.modules.items()):
        if name.startswith("orrery.") and getattr(module, "open_shell", None) is real:
            monkeypatch.setattr(module, "open_shell", open_shell)
    return cuts


def node_text(host: FakeHost) -> str:
    """The address of its node, as `node` in `[[host]]`."""
    return format_address(host.address)
