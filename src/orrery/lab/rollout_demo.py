"""The session of docs/operations/rollout.md, played: `make rollout-demo`.

Two roots are replaced by two others and the signing key is changed, for 40 virtual nodes that live
in a process of their own and meet the roots over UDP on loopback. Everything that an operator does
is done by the real commands, whose output is the transcript; what befalls the nodes (a firewall in
their way, sleep) and the roots (a kill) is done to them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import difflib
import os
import re
import shlex
import signal
import socket
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from orrery.errors import ServiceError
from orrery.home import Home, SettingsEditor
from orrery.lab.fleet_process import FleetProcess
from orrery.lab.fleet_program import FleetSettings
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity

NODES = 40
SLEEPERS = tuple(range(0, NODES, 4))
ROOTS = ("root-1", "root-2", "root-3", "root-4")
_PORTS = (9993, 19993, 29993)
_COLUMNS = 80
_PAGE_COLUMNS = 100
_LIMIT_S = 240.0
_POLL_S = 0.05
_TITLE = "A rollout from the first mistake to the last node"
_PREFACE = (
    f"Two roots are replaced by two others, and the signing key by another, while {NODES} nodes "
    f"live by them. On the way a firewall is forgotten, {len(SLEEPERS)} nodes sleep, and a root is "
    "killed. All of this is real output of `make rollout-demo`, on one machine with virtual nodes "
    "on loopback; each run has other addresses and times."
)
_NOISE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Transcript:
    """What is told on the way: to the terminal at once, and to a document at the end.

    Args:
        title: of the document.
        preface: its first paragraph.
    """

    def __init__(self, title: str = _TITLE, preface: str = _PREFACE) -> None:
        self._title, self._preface = title, preface
        self._blocks: list[str] = []
        self._console: list[str] = []

    def title(self, text: str) -> None:
        """Begin a part."""
        self._close_console()
        self._blocks.append(f"## {text}")
        print(f"\n== {text}\n", flush=True)

    def tell(self, text: str) -> None:
        """Say what happens."""
        self._close_console()
        wrapped = _wrap(text)
        self._blocks.append(wrapped)
        print(textwrap.indent(wrapped, "# "), flush=True)

    def line(self, text: str) -> None:
        """Add a line of the terminal."""
        self._console.append(text)
        print(text, flush=True)

    def document(self) -> str:
        """The whole of it in Markdown."""
        self._close_console()
        return "\n\n".join([f"# {self._title}", _wrap(self._preface), *self._blocks]) + "\n"

    def _close_console(self) -> None:
        if self._console:
            self._blocks.append("```console\n" + "\n".join(self._console) + "\n```")
            self._console = []


class Server:
    """One `orrery serve`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process

    async def end(self, number: signal.Signals) -> None:
        """Send it a signal and wait for its end."""
        if self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()


class Session:
    """The operator's terminal and what it is about.

    Args:
        directory: an empty one, where everything is made.
    """

    def __init__(self, directory: Path) -> None:
        self.transcript = Transcript()
        self._directory = directory
        self._home = directory / "home"
        self._servers: dict[str, Server] = {}
        self._taken: dict[int, set[int]] = {}
        self._online: set[int] = set()
        self._places = _free_places()
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "FORCE_COLOR"},
            "COLUMNS": "80",
            "NO_COLOR": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        self._environment.pop("ORRERY_HOME", None)

    # -- the session ---------------------------------------------------------------------------

    async def play(self) -> None:
        """All of it.

        Raises:
            ServiceError: something did not come as the document tells.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._end_servers)
            await self._make_planet()
            fleet = await self._start_fleet(stack)
            await self._bad_canary(fleet)
            await self._roll_out(fleet)
            await self._finish(fleet)

    async def _make_planet(self) -> None:
        first, second = self._places[:2]
        self.transcript.title("A planet with two roots")
        await self._orrery(
            f"init --home home --name home --root-name root-1 --endpoint {first} --listen {first}"
        )
        for name in ROOTS[1:]:
            await self._orrery(f"identity new --out {name}.secret --public {name}.public")
        self._edit({}, (("root-2", second),))
        await self._orrery("publish --home home")
        self.transcript.tell(
            "Both run on this machine and share the home, so that each knows what the other sees; "
            "one of them will carry rollouts out, and if it ends, the other."
        )
        await self._serve("root-1", None)
        await self._serve("root-2", second)

    async def _start_fleet(self, stack: contextlib.AsyncExitStack) -> FleetProcess:
        planet = (self._home / "planet").read_bytes()
        fleet = await FleetProcess.start(
            FleetSettings(planet=planet.hex(), generate=NODES, spread_ms=500)
        )
        stack.push_async_callback(fleet.stop)
        listening = asyncio.create_task(self._listen(fleet))
        stack.callback(listening.cancel)
        self.transcript.tell(f"{NODES} nodes get the planet file and start.")
        await self._until(lambda: len(self._online) == NODES, "all nodes are online")
        await asyncio.sleep(1)  # the servers write down what they saw once a second
        await self._orrery("status --home home")
        return fleet

    async def _bad_canary(self, fleet: FleetProcess) -> None:
        third, fourth = self._places[2:]
        self.transcript.title("A canary that stops itself")
        self.transcript.tell(
            "Both roots are to be replaced by two new ones, and the signing key by a new one. "
            "Cohorts are watched for two seconds here; 10 s to 10 min are usual."
        )
        await fleet.block([third, fourth])
        self._edit(
            {
                'cohorts = ["1%", "10%", "100%"]': 'cohorts = ["5%", "25%", "100%"]',
                'settle = "10s"': 'settle = "2s"',
            },
            (("root-3", third), ("root-4", fourth)),
            removed=("root-1", "root-2"),
        )
        await self._orrery("key rotate --home home")
        await self._serve("root-3", third)
        await self._serve("root-4", fourth)
        await self._orrery("plan --home home")
        self.transcript.tell(
            "The new roots answer the old ones. But the firewall of their provider drops what the "
            "nodes send, and nobody has noticed."
        )
        await self._orrery("apply --home home --yes", status=1)
        self.transcript.tell(
            "The first cohort has the new revision and still lives by the old roots. The others "
            "were not touched. The step is taken back:"
        )
        await self._orrery("rollback --home home")
        await self._orrery("status --home home")

    async def _roll_out(self, fleet: FleetProcess) -> None:
        third, fourth = self._places[2:]
        self.transcript.title("The same, with the firewall open")
        await fleet.unblock([third, fourth])
        await fleet.sleep(SLEEPERS)
        self.transcript.tell(
            f"The firewall is opened. {len(SLEEPERS)} of the {NODES} nodes go to sleep, which "
            "nobody knows. The same plan again:"
        )
        before_ms = self._newest_ms()
        await self._orrery("apply --home home --yes --detach")
        await self._until(lambda: self._newest_ms() != before_ms, "the first step is published")
        await self._until(lambda: bool(self._taken.get(self._newest_ms())), "a node took it")
        await self._until(lambda: self._conductor() != "", "a server conducts")
        conductor = self._conductor()
        self.transcript.tell(f"{conductor} carries it out, and is killed.")
        self.transcript.line(f"$ kill -9 {self._servers[conductor].process.pid}    # {conductor}")
        await self._servers[conductor].end(signal.SIGKILL)
        await self._until(
            lambda: self._conductor() not in {"", conductor}, "another server conducts"
        )
        self.transcript.tell(f"{self._conductor()} goes on. It waits for those asleep:")
        awake = NODES - len(SLEEPERS)
        await self._until(lambda: self._adopted() >= awake, "the store knows of those awake")
        await self._orrery("status --home home")
        self.transcript.tell(f"They wake up, and {conductor} is started again.")
        await fleet.wake(SLEEPERS)
        number = ROOTS.index(conductor)
        await self._serve(conductor, self._places[number] if number else None)
        await self._until(self._is_over, "the rollout is over")
        await self._orrery("status --home home")

    async def _finish(self, fleet: FleetProcess) -> None:
        for name in ROOTS[:2]:
            if self._servers[name].process.returncode is None:
                self.transcript.line(f"$ kill {self._servers[name].process.pid}    # {name}")
                await self._servers[name].end(signal.SIGTERM)
        await self._orrery("status --home home")
        await self._orrery("nodes --home home --behind")
        newest = self._newest_ms()
        if len(self._taken.get(newest, ())) != NODES:
            raise ServiceError(f"{len(self._taken.get(newest, ()))} of {NODES} nodes have the end")
        self.transcript.tell(
            f"All {NODES} nodes hold the last revision by their own account, live by the two new "
            "roots, and were touched by nobody."
        )

    # -- what the operator does ----------------------------------------------------------------

    def _edit(
        self,
        changed: dict[str, str],
        added: tuple[tuple[str, Endpoint], ...],
        removed: tuple[str, ...] = (),
    ) -> None:
        """Change `orrery.toml` as in an editor, and show what was changed."""
        path = self._home / "orrery.toml"
        before = path.read_text(encoding="utf-8")
        text = before
        for old, new in changed.items():
            text = text.replace(old, new)
        editor = SettingsEditor(text)
        for name, place in added:
            editor.add_root("home", name, self._identity(name), (place,))
        for name in removed:
            editor.remove_root("home", name)
        after = editor.text()
        path.write_text(after, encoding="utf-8")
        self.transcript.line("$ editor home/orrery.toml")
        compared = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
        for line in compared:
            if line[0] in "+-" and line[1:2] not in ("+", "-", "#", ""):
                self.transcript.line(line if len(line) <= _COLUMNS else f"{line[: _COLUMNS - 1]}…")

    async def _orrery(self, arguments: str, *, status: int = 0) -> None:
        """Run a command and show what it says."""
        self.transcript.line(f"$ orrery {arguments}")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orrery", *shlex.split(arguments)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._directory,
            env=self._environment,
        )
        while process.stdout is not None and (line := await process.stdout.readline()):
            self.transcript.line(_NOISE.sub("", line.decode()).rstrip())
        if (ended := await process.wait()) != status:
            raise ServiceError(f"`orrery {arguments}` ended with status {ended}, not {status}")

    async def _serve(self, name: str, listen: Endpoint | None) -> None:
        """Start a root in the background, and wait until it is ready."""
        arguments = "serve --home home"
        if listen is not None:
            arguments += f" --identity {name}.secret --listen {listen}"
        log = self._directory / f"{name}.log"
        self.transcript.line(f"$ orrery {arguments} 2> {name}.log &")
        loop = asyncio.get_running_loop()
        with (
            log.open("wb") as written,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
        ):
            ready.setblocking(False)
            address = self._directory / f"{name}.ready"
            address.unlink(missing_ok=True)
            ready.bind(str(address))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "orrery", *shlex.split(arguments)),
                stdout=written,
                stderr=written,
                cwd=self._directory,
                env={**self._environment, "NOTIFY_SOCKET": str(address)},
            )
            self._servers[name] = Server(name, process)
            told = asyncio.create_task(loop.sock_recv(ready, 100))
            ended = asyncio.create_task(process.wait())
            await asyncio.wait([told, ended], timeout=_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if not told.done():
                told.cancel()
                raise ServiceError(f"{name} does not start:\n{log.read_text(errors='replace')}")

    async def _end_servers(self) -> None:
        for server in self._servers.values():
            await server.end(signal.SIGTERM)

    # -- what is known -------------------------------------------------------------------------

    async def _listen(self, fleet: FleetProcess) -> None:
        async for report in fleet.reports():
            match report["report"]:
                case "online":
                    self._online.add(report["node"])
                case "taken":
                    self._taken.setdefault(report["timestamp_ms"], set()).add(report["node"])

    def _newest_ms(self) -> int:
        with Home.open(self._home) as home:
            (planet,) = home.served_worlds()
        return planet.timestamp_ms

    def _adopted(self) -> int:
        """How many nodes are known to have the newest revision."""
        with Home.open(self._home) as home:
            (planet,) = home.served_worlds()
            return len(home.store.adoptions(planet.id, planet.timestamp_ms))

    def _is_over(self) -> bool:
        with Home.open(self._home) as home:
            (planet,) = home.served_worlds()
            return home.store.active_rollout(planet.id) is None

    def _conductor(self) -> str:
        """The name of the root that carries rollouts out."""
        with Home.open(self._home) as home:
            lease = home.store.lease("conductor")
        holder = "" if lease is None else lease.holder
        return next(
            (
                name
                for name, server in self._servers.items()
                if f"{server.process.pid}" in holder and server.process.returncode is None
            ),
            "",
        )

    def _identity(self, name: str) -> Identity:
        written = (self._directory / f"{name}.public").read_text(encoding="ascii")
        return Identity.from_string(written.strip())

    async def _until(self, reached: Callable[[], bool], what: str) -> None:
        give_up = time.monotonic() + _LIMIT_S
        while not reached():
            if time.monotonic() > give_up:
                await self._orrery("status --home home")
                raise ServiceError(f"it does not come to that: {what}")
            await asyncio.sleep(_POLL_S)


def _wrap(text: str) -> str:
    return textwrap.fill(text, _PAGE_COLUMNS, break_long_words=False, break_on_hyphens=False)


def _free_places() -> tuple[Endpoint, ...]:
    """A loopback address for each root, with a port that is free on all and given out to nobody."""
    for port in _PORTS:
        places = tuple(
            Endpoint(bytes((127, 0, 0, number)), port) for number in range(11, 11 + len(ROOTS))
        )
        with contextlib.ExitStack() as stack:
            try:
                for place in places:
                    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    stack.enter_context(probe).bind((place.host, place.port))
            except OSError:
                continue
        return places
    raise ServiceError(f"other programs have the UDP ports {', '.join(map(str, _PORTS))} here")


def main() -> None:
    """Play the session: `python -m orrery.lab.rollout_demo [--write FILE]`."""
    parser = argparse.ArgumentParser(description=__doc__, prog="orrery.lab.rollout_demo")
    parser.add_argument("--write", metavar="FILE", type=Path, help="also write it as Markdown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orrery-") as directory:
        try:
            session = Session(Path(directory))
            asyncio.run(session.play())
        except ServiceError as error:
            sys.exit(f"rollout-demo: {error}")
    if arguments.write is not None:
        arguments.write.write_text(session.transcript.document(), encoding="utf-8")


if __name__ == "__main__":
    main()
