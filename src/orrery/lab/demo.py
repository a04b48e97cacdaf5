"""The main job, shown: a planet that updates itself, on this machine, in under 40 seconds.

A root (`orrery serve`) runs in one process and a fleet of virtual nodes in another; they meet over
UDP on loopback. The planet is changed as `orrery publish` does it: once by an endpoint, then by two
new signing keys while some nodes are asleep, which are then woken.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from orrery.errors import OrreryError, ServiceError
from orrery.home import Home, SettingsEditor, create, publish, rotate_key, wall_clock_ms
from orrery.lab.fleet import bind_sockets
from orrery.lab.fleet_process import FleetProcess
from orrery.lab.fleet_program import FleetSettings
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World

NODES = 25
SLEEPERS = 5
_START_LIMIT_S = 15
_STEP_LIMIT_S = 8
_SLEEP_S = 6.0
"""A node looks after its roots every 5 s: one that wakes after more does so at once."""
_CONFIRMATION_POLL_S = 0.1
_LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class StepBegun:
    """What is being done now, in words."""

    text: str


@dataclass(frozen=True, slots=True)
class NodesMade:
    """How many identities have their proof of work."""

    done: int
    of: int


@dataclass(frozen=True, slots=True)
class NodeOnline:
    """A node has found its root."""

    node: int


@dataclass(frozen=True, slots=True)
class RevisionPublished:
    """A revision of the planet, numbered from 1, and what is new in it."""

    revision: int
    world: World
    change: str


@dataclass(frozen=True, slots=True)
class RevisionAdopted:
    """A node took a revision, so long after `publish` was called, by the node's own account."""

    node: int
    revision: int
    after_ms: float


@dataclass(frozen=True, slots=True)
class RevisionConfirmed:
    """The root learned, by asking, that a node holds a revision, so long after `publish`."""

    node: int
    revision: int
    after_ms: float


@dataclass(frozen=True, slots=True)
class NodesAsleep:
    """These nodes hear nothing from now on."""

    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NodesWoken:
    """These nodes go on."""

    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NodeResult:
    """A line of the final table.

    Attributes:
        address: of the node.
        slept: whether it was asleep during the rotations.
        after_ms: for each published revision, how long after `publish` the node took it; None:
            never.
        after_waking_ms: how long after it was woken it had the newest, for one that slept.
        confirmed: whether the root knows that it holds the newest revision.
    """

    address: Address
    slept: bool
    after_ms: tuple[float | None, ...]
    after_waking_ms: float | None
    confirmed: bool

    @property
    def passed(self) -> bool:
        """Whether it took every link, and the root knows."""
        return self.confirmed and None not in self.after_ms


@dataclass(frozen=True, slots=True)
class DemoEnded:
    """The end: the table, and whether every node adopted every link."""

    nodes: tuple[NodeResult, ...]
    revisions: tuple[int, ...]
    took_s: float

    @property
    def passed(self) -> bool:
        """Whether every node adopted every link."""
        return bool(self.nodes) and all(node.passed for node in self.nodes)


DemoEvent = (
    StepBegun
    | NodesMade
    | NodeOnline
    | RevisionPublished
    | RevisionAdopted
    | RevisionConfirmed
    | NodesAsleep
    | NodesWoken
    | DemoEnded
)


async def run_demo(
    directory: Path, *, nodes: int = NODES, sleepers: int = SLEEPERS, pause_s: float = 1.0
) -> AsyncIterator[DemoEvent]:
    """Play the scenario; the last event is `DemoEnded`.

    Args:
        directory: an empty place for the root's home and its log; it stays for a look afterwards.
        nodes: size of the fleet.
        sleepers: how many of them miss the rotations of the key.
        pause_s: what a person has to look at each step.

    Raises:
        ServiceError: a process ended, or did not come to work.
        OrreryError: the home could not be made or published from.
    """
    demo = _Demo(directory, nodes, sleepers, pause_s)
    playing = asyncio.create_task(demo.play())
    playing.add_done_callback(lambda _: demo.events.put_nowait(None))
    try:
        while (event := await demo.events.get()) is not None:
            yield event
        await playing  # raises what went wrong
    finally:
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError, OrreryError):
            await playing


class _Published:
    """A revision of the planet, and who has it."""

    def __init__(self, number: int, world: World, called_ms: float) -> None:
        self.number = number
        self.world = world
        self.called_ms = called_ms
        self.taken_ms: dict[int, float] = {}
        self.confirmed_ms: dict[int, float] = {}


class _Demo:
    """The scenario, playing."""

    def __init__(self, directory: Path, nodes: int, sleepers: int, pause_s: float) -> None:
        self.events: asyncio.Queue[DemoEvent | None] = asyncio.Queue()
        self._home_path = directory / "root"
        self._log_path = directory / "serve.log"
        self._ready_path = directory / "ready"
        self._count = nodes
        self._pause_s = pause_s
        self._sleepers = tuple(range(nodes))[:: max(1, nodes // sleepers)][:sleepers]
        self._online: set[int] = set()
        self._published: dict[int, _Published] = {}
        self._taken: list[tuple[int, int, float]] = []
        self._changed = asyncio.Event()
        self._woken_ms: float | None = None
        self._began = time.monotonic()

    async def play(self) -> None:
        """From an empty directory to the table."""
        self._say("making a root: its identity, its signing key and the first planet")
        planet, first, second = await asyncio.to_thread(self._make_home)
        async with contextlib.AsyncExitStack() as stack:
            root = await self._start_root(stack)
            fleet = await FleetProcess.start(
                FleetSettings(planet=planet.encode().hex(), generate=self._count, spread_ms=500)
            )
            stack.push_async_callback(fleet.stop)
            tasks = [asyncio.create_task(self._listen(fleet)), asyncio.create_task(root.wait())]
            tasks.append(asyncio.create_task(self._confirm(fleet)))
            for task in tasks:
                stack.callback(task.cancel)
            acting = asyncio.create_task(self._act(fleet, first, second))
            stack.callback(acting.cancel)
            done, _ = await asyncio.wait([acting, *tasks], return_when=asyncio.FIRST_COMPLETED)
            if acting not in done:
                for task in done:
                    task.result()
                raise ServiceError(f"the root ended early; its log says:\n{self._log_tail()}")
            acting.result()
        self.events.put_nowait(self._result(fleet))

    # -- the scenario ------------------------------------------------------------------------------

    async def _act(self, fleet: FleetProcess, first: Endpoint, second: Endpoint) -> None:
        everybody = set(range(self._count))
        self._say(f"{self._count} nodes with that planet start and look for their root")
        if not await self._until(lambda: self._online == everybody, _START_LIMIT_S):
            raise ServiceError(
                f"only {len(self._online)} of {self._count} nodes found the root in "
                f"{_START_LIMIT_S} s; its log says:\n{self._log_tail()}"
            )
        await asyncio.sleep(self._pause_s)
        self._say("the root gets a second endpoint: publish")
        await self._publish(f"endpoint {second} added", endpoints=(first, second))
        await self._until(lambda: self._newest_has(everybody), _STEP_LIMIT_S)

        await asyncio.sleep(self._pause_s)
        self._say(f"{len(self._sleepers)} nodes fall asleep, and the signing key is changed twice")
        await fleet.sleep(self._sleepers)
        asleep_s = time.monotonic()
        self.events.put_nowait(NodesAsleep(self._sleepers))
        awake = everybody.difference(self._sleepers)
        for number in (1, 2):
            await asyncio.sleep(self._pause_s)
            await self._publish(f"key changed, {number} of 2", rotate=True)
            await self._until(lambda: self._newest_has(awake), _STEP_LIMIT_S)

        await asyncio.sleep(max(0, asleep_s + _SLEEP_S - time.monotonic()))
        self._say("the sleepers wake, two keys behind")
        self._woken_ms = time.time_ns() / 1_000_000
        await fleet.wake(self._sleepers)
        self.events.put_nowait(NodesWoken(self._sleepers))
        await self._until(lambda: self._newest_has(everybody), _STEP_LIMIT_S)
        await asyncio.sleep(self._pause_s)

    def _newest_has(self, nodes: set[int]) -> bool:
        """Whether these took the newest revision and the root knows."""
        newest = list(self._published.values())[-1]
        return nodes <= newest.taken_ms.keys() and nodes <= newest.confirmed_ms.keys()

    async def _until(self, reached: Callable[[], bool], limit_s: float) -> bool:
        """Wait for something; False when it does not come, which the table will tell."""
        try:
            async with asyncio.timeout(limit_s):
                while not reached():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _say(self, text: str) -> None:
        self.events.put_nowait(StepBegun(text))

    # -- the root ----------------------------------------------------------------------------------

    def _make_home(self) -> tuple[World, Endpoint, Endpoint]:
        probes = bind_sockets(("127.0.0.1",), 2)
        places = [Endpoint.from_text("{}/{}".format(*probe.getsockname())) for probe in probes]
        for probe in probes:
            probe.close()
        first, second = places
        with create(
            self._home_path, wall_clock_ms(), [first], entropy=os.urandom, listen=places
        ) as home:
            (planet,) = home.served_worlds()
        return planet, first, second

    async def _start_root(self, stack: contextlib.AsyncExitStack) -> asyncio.subprocess.Process:
        """`orrery serve`, and wait until it says that it is ready, as systemd would."""
        loop = asyncio.get_running_loop()
        ready = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        ready.setblocking(False)
        ready.bind(str(self._ready_path))
        log = stack.enter_context(self._log_path.open("wb"))
        root = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orrery", "serve", "--home", str(self._home_path)),
            stdout=log,
            stderr=log,
            env={**os.environ, "NOTIFY_SOCKET": str(self._ready_path)},
        )
        stack.push_async_callback(_end, root)
        told = asyncio.create_task(loop.sock_recv(ready, 100))
        ended = asyncio.create_task(root.wait())
        try:
            await asyncio.wait(
                [told, ended], timeout=_START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if not told.done():
                raise ServiceError(f"the root does not start; its log says:\n{self._log_tail()}")
        finally:
            told.cancel()
            ended.cancel()
        return root

    def _log_tail(self) -> str:
        lines = self._log_path.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])

    async def _publish(
        self, change: str, *, endpoints: tuple[Endpoint, ...] = (), rotate: bool = False
    ) -> None:
        called_ms, world = await asyncio.to_thread(self._sign, endpoints, rotate)
        number = len(self._published) + 2
        self._published[world.timestamp_ms] = _Published(number, world, called_ms)
        self.events.put_nowait(RevisionPublished(number, world, change))
        self._note_all_taken()

    def _sign(self, endpoints: tuple[Endpoint, ...], rotate: bool) -> tuple[float, World]:
        with Home.open(self._home_path, writer=True) as home:
            (wanted,) = home.settings().worlds
            if endpoints:
                editor = SettingsEditor(home.settings_path.read_text(encoding="utf-8"))
                editor.set_endpoints(wanted.name, wanted.roots[0].name, endpoints)
                home.save_settings(editor.text())
            if rotate:
                rotate_key(home, wanted.name, wall_clock_ms(), os.urandom)
            called_ms = time.time_ns() / 1_000_000
            return called_ms, publish(home, wanted.name, wall_clock_ms()).world

    # -- what comes of it --------------------------------------------------------------------------

    async def _listen(self, fleet: FleetProcess) -> None:
        """Note what the fleet reports."""
        async for report in fleet.reports():
            match report["report"]:
                case "generated":
                    self.events.put_nowait(NodesMade(report["done"], report["of"]))
                case "online":
                    self._online.add(report["node"])
                    self.events.put_nowait(NodeOnline(report["node"]))
                case "taken":
                    self._taken.append((report["node"], report["timestamp_ms"], report["at_ms"]))
            self._note_all_taken()

    def _note_all_taken(self) -> None:
        """Note what nodes took; one may have a revision before `publish` has returned."""
        self._taken = [taken for taken in self._taken if not self._note_taken(*taken)]
        self._changed.set()

    def _note_taken(self, node: int, timestamp_ms: int, at_ms: float) -> bool:
        published = self._published.get(timestamp_ms)
        if published is None:
            return False
        if node not in published.taken_ms:
            published.taken_ms[node] = at_ms
            self.events.put_nowait(
                RevisionAdopted(node, published.number, at_ms - published.called_ms)
            )
        return True

    async def _confirm(self, fleet: FleetProcess) -> None:
        """Note what the root has learned, from its store."""
        with Home.open(self._home_path) as home:
            while True:
                await asyncio.sleep(_CONFIRMATION_POLL_S)
                numbers = {address: node for node, address in enumerate(fleet.addresses)}
                for published in tuple(self._published.values()):
                    if len(published.confirmed_ms) == self._count:
                        continue
                    known = await asyncio.to_thread(
                        home.store.adoptions, published.world.id, published.world.timestamp_ms
                    )
                    for record in known:
                        node = numbers.get(record.address)
                        if node is not None and node not in published.confirmed_ms:
                            published.confirmed_ms[node] = record.first_at_ms
                            self.events.put_nowait(
                                RevisionConfirmed(
                                    node,
                                    published.number,
                                    record.first_at_ms - published.called_ms,
                                )
                            )
                            self._changed.set()

    def _result(self, fleet: FleetProcess) -> DemoEnded:
        published = list(self._published.values())
        newest = published[-1]
        results = []
        for node, address in enumerate(fleet.addresses):
            slept = node in self._sleepers
            after_waking_ms = None
            if slept and self._woken_ms is not None and node in newest.taken_ms:
                after_waking_ms = newest.taken_ms[node] - self._woken_ms
            results.append(
                NodeResult(
                    address,
                    slept,
                    tuple(
                        one.taken_ms[node] - one.called_ms if node in one.taken_ms else None
                        for one in published
                    ),
                    after_waking_ms,
                    node in newest.confirmed_ms,
                )
            )
        return DemoEnded(
            tuple(results),
            tuple(one.number for one in published),
            time.monotonic() - self._began,
        )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
