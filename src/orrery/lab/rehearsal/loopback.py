"""A rehearsal with real processes and real sockets, on this machine, in real time.

Every root is an `orrery serve`, all of them with one home, and the nodes are leaves in a process of
their own. What the plan starts from is published there at ports of 127.0.0.1, what it leads to is
written into that home's `orrery.toml`, and the home makes a plan of its own and carries it out.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import tomlkit

from orrery.custody import write_identity
from orrery.errors import PlanError, ServiceError, UsageError
from orrery.home import Home, SettingsEditor, create, publish, rotate_key, wall_clock_ms
from orrery.home.carrying import position_of
from orrery.home.planning import make_plan
from orrery.home.rolling import begin, cohorts_of, roll_back
from orrery.lab.churn import Sessions
from orrery.lab.fleet import bind_sockets
from orrery.lab.fleet_process import FleetProcess
from orrery.lab.fleet_program import FleetSettings
from orrery.lab.rehearsal.faults import Fault, FaultKind
from orrery.lab.rehearsal.outcome import Happening, Lost, Outage, Outcome
from orrery.lab.rehearsal.script import Script
from orrery.lab.rehearsal.steps import Stage, tell_steps
from orrery.lab.serving import ServeProcess
from orrery.rollout.cohorts import Share
from orrery.rollout.conductor import Position
from orrery.rollout.order import Order
from orrery.rollout.places import Place, places_of
from orrery.rollout.state import RolloutState
from orrery.store import Rollout
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import Root, World

USUAL_NODES = 40
MOST_NODES = 500
USUAL_S = 180.0
SLEEP_S = 10.0
"""Those that sleep do so for this long after the rollout has begun."""
_ONLINE_LIMIT_S = 60
_POLL_S = 0.1
_SETTLED_S = 6.0
"""After the end, nodes have so long to find out that a root is gone."""
_WORLD = "rehearsal"
_PLAYED = frozenset((FaultKind.ROOT_DOWN, FaultKind.NODES_DOWN, FaultKind.UNREACHABLE))

Report = Callable[[int, str], None]


@dataclass(slots=True)
class _Root:
    """A root on this machine."""

    name: str
    real: Address
    identity: Identity
    places: dict[Endpoint, Endpoint]
    secret: Path | None
    open: set[Endpoint] = field(default_factory=set)
    process: ServeProcess | None = None


class Loopback:
    """A rehearsal on loopback.

    Args:
        script: what is rehearsed; how nodes come and go is left out of it but for the share that
            sleeps when the rollout begins.
        directory: an empty one, where everything is made.
        report: told how far it is.
    """

    def __init__(self, script: Script, directory: Path, report: Report | None = None) -> None:
        self._script = script
        self._directory = directory
        self._home_path = directory / "home"
        self._report = report
        self._random = Random(script.seed)  # noqa: S311 - a rehearsal is to be repeatable
        self._count = min(len(script.actors), MOST_NODES)
        self._roots: dict[Address, _Root] = {}
        self._by_place: dict[Endpoint, Endpoint] = {}
        self._taken: dict[int, dict[int, float]] = defaultdict(dict)
        self._online: set[int] = set()
        self._asleep: set[int] = set()
        self._history: list[Stage] = []
        self._course: list[Happening] = []
        self._outages: list[Outage] = []
        self._down: dict[Address, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._begin_s = 0.0
        self._released = 0
        for fault in script.faults:
            if fault.kind not in _PLAYED:
                raise UsageError(
                    f"{fault}: this is played in virtual time only; leave out --loopback, or play "
                    f"{', '.join(sorted(_PLAYED))}"
                )

    async def run(self) -> Outcome:
        """Play it to its end.

        Raises:
            ServiceError: a process ended, or did not come to work.
            PlanError: the home that was made has no plan of its own.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._end_roots)
            planet = await asyncio.to_thread(self._make_home)
            await self._start(planet.roots)
            fleet = await FleetProcess.start(
                FleetSettings(planet=planet.encode().hex(), generate=self._count, spread_ms=500)
            )
            stack.push_async_callback(fleet.stop)
            stack.push_async_callback(self._cancel)
            self._spawn(self._listen(fleet))
            if not await self._until(lambda: len(self._online) == self._count, _ONLINE_LIMIT_S):
                raise ServiceError(
                    f"only {len(self._online)} of {self._count} nodes found a root in "
                    f"{_ONLINE_LIMIT_S} s; {self._logs()}"
                )
            await asyncio.sleep(1)  # roots write down once a second what they saw
            order = await asyncio.to_thread(self._want)
            self._begin_s = time.monotonic()
            return await self._roll_out(order, fleet)

    # -- the home ----------------------------------------------------------------------------------

    def _make_home(self) -> World:
        """Publish what the plan starts from, with roots on this machine."""
        script = self._script
        contents = [script.chain.newest.roots, *(step.roots for step in script.order.plan.steps)]
        every: dict[Address, dict[Endpoint, None]] = {}
        for roots in contents:
            for root in roots:
                known = every.setdefault(root.identity.address, {})
                known.update(dict.fromkeys(root.endpoints))
        ports = iter(_free_places(sum(map(len, every.values()))))
        start = {root.identity.address: root for root in contents[0]}
        first = next(iter(start))
        mapped = {real: {place: next(ports) for place in places} for real, places in every.items()}
        home = create(
            self._home_path,
            wall_clock_ms(),
            [mapped[first][place] for place in start[first].endpoints],
            entropy=os.urandom,
            name=_WORLD,
            root_name=self._name(first, 1),
            listen=list(mapped[first].values()),
        )
        with home:
            for number, (real, places) in enumerate(mapped.items(), 1):
                secret = None
                identity = home.identity()
                if real != first:
                    identity = Identity.generate(entropy=os.urandom)
                    directory = self._directory / f"root-{number}"
                    directory.mkdir(mode=0o700)
                    write_identity(directory, identity)
                    secret = directory / "identity.secret"
                name = self._name(real, number)
                self._roots[real] = _Root(name, real, identity, places, secret)
                self._by_place.update({there: place for place, there in places.items()})
            self._set_rollout(home)
            if len(contents[0]) > 1:
                self._edit(home, contents[0])
                publish(home, _WORLD, wall_clock_ms())
            return next(iter(home.served_worlds()))

    def _name(self, real: Address, number: int) -> str:
        return self._script.names.get(real, f"root-{number}")

    def _set_rollout(self, home: Home) -> None:
        order = self._script.order
        document = tomlkit.parse(home.settings_path.read_text(encoding="utf-8"))
        rollout = document.setdefault("rollout", tomlkit.table())
        # Who is named is not here: these nodes have addresses of their own.
        rollout["cohorts"] = [str(each) for each in order.cohorts if isinstance(each, Share)]
        rollout["settle"] = f"{max(1, order.settle_ms // 1000)}s"
        rollout["required"] = f"{float(order.required) * 100:g}%"
        home.save_settings(tomlkit.dumps(document))

    def _edit(self, home: Home, roots: Iterable[Root]) -> None:
        """Write into `orrery.toml` that these roots are wanted."""
        editor = SettingsEditor(home.settings_path.read_text(encoding="utf-8"))
        (world,) = home.settings().worlds
        listed = {root.name for root in world.roots}
        wanted = set()
        for root in roots:
            ours = self._roots[root.identity.address]
            places = [ours.places[place] for place in root.endpoints]
            wanted.add(ours.name)
            if ours.name in listed:
                editor.set_endpoints(_WORLD, ours.name, places)
            else:
                editor.add_root(_WORLD, ours.name, ours.identity, places)
        for name in listed - wanted:
            editor.remove_root(_WORLD, name)
        home.save_settings(editor.text())

    def _want(self) -> Order:
        """Want what the plan leads to, and begin to carry out the plan for that."""
        plan = self._script.order.plan
        names = [self._script.chain.newest.updates_must_be_signed_by]
        names += [step.names for step in plan.steps]
        with Home.open(self._home_path, writer=True) as home:
            self._edit(home, plan.steps[-1].roots)
            if names[-1] != names[0]:
                rotate_key(home, _WORLD, wall_clock_ms(), os.urandom)
            order = make_plan(home, _WORLD, wall_clock_ms()).order
            if not order.plan.steps:
                raise PlanError("on loopback nothing is left of this plan: rehearse it without")
            begin(home, _WORLD, order, wall_clock_ms(), actor="rehearsal")
            return order

    # -- roots -------------------------------------------------------------------------------------

    async def _start(self, roots: Iterable[Root]) -> None:
        """Start the roots that have these places; addresses are those of this machine."""
        by_address = {root.identity.address: root for root in self._roots.values()}
        for root in roots:
            ours = by_address[root.identity.address]
            ours.open.update(root.endpoints)
            await self._serve(ours)

    async def _serve(self, root: _Root) -> None:
        """Let a root run where its places are open, or end it where none is."""
        if root.process is not None:
            await root.process.end()
            root.process = None
        if not root.open or root.real in self._down:
            return
        options = [text for place in sorted(root.open) for text in ("--listen", _listen(place))]
        if root.secret is not None:
            options += ["--identity", str(root.secret)]
        log = self._directory / f"{root.name}.log"
        root.process = await ServeProcess.start(self._home_path, log, options)

    async def _end_roots(self) -> None:
        for root in self._roots.values():
            if root.process is not None:
                await root.process.end()

    async def _start_new(self, order: Order) -> None:
        """Do what the plan asks for first: start what is new."""
        for step in order.plan.steps:
            for root in step.roots:
                ours = self._ours(root.identity.address)
                if not set(root.endpoints) <= ours.open:
                    ours.open.update(root.endpoints)
                    await self._serve(ours)
                    self._tell(f"{ours.name} starts at {_names(root.endpoints)}")

    async def _stop(self, places: Iterable[Place]) -> None:
        """Stop what is needed no more."""
        for address in dict.fromkeys(place.identity.address for place in places):
            ours = self._ours(address)
            gone = {place.endpoint for place in places if place.identity.address == address}
            ours.open -= gone
            await self._serve(ours)
            self._tell(f"{ours.name} stops at {_names(sorted(gone))}")

    def _ours(self, address: Address) -> _Root:
        return next(root for root in self._roots.values() if root.identity.address == address)

    # -- the rollout -------------------------------------------------------------------------------

    async def _roll_out(self, order: Order, fleet: FleetProcess) -> Outcome:
        script = self._script
        share = script.churn.offline if isinstance(script.churn, Sessions) else 0.0
        self._asleep = {n for n in range(self._count) if self._random.random() < share}
        await fleet.sleep(self._asleep)
        if self._asleep:
            self._tell(f"{len(self._asleep)} nodes are asleep")
            self._spawn(self._wake_later(fleet))
        for fault in script.faults:
            self._spawn(self._have(fault, fleet))
        self._spawn(self._after(min(script.operator_ms / 1000, 1.0), self._start_new(order)))
        limit_s = USUAL_S if script.for_ms is None else script.for_ms / 1000
        rolled_back = False
        with Home.open(self._home_path) as home:
            while self._now_ms() < limit_s * 1000:
                rollout = await asyncio.to_thread(_last, home)
                self._note(position_of(rollout))
                await self._release(order, rollout)
                if rollout.state.is_over:
                    break
                if rollout.state is RolloutState.PAUSED:
                    if not script.roll_back or rolled_back:
                        break
                    rolled_back = True
                    self._tell(f"it is rolled back, because it paused: {rollout.reason}")
                    await asyncio.to_thread(self._roll_back)
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(_POLL_S)
            ended_ms = self._now_ms()
            await fleet.wake(range(self._count))
            await asyncio.sleep(_SETTLED_S)
            newest = home.store.chain(order.plan.id).newest
        return self._outcome(order, fleet, newest, round(ended_ms))

    def _roll_back(self) -> None:
        with Home.open(self._home_path, writer=True) as home:
            roll_back(home, _WORLD, wall_clock_ms(), actor="rehearsal")

    async def _release(self, order: Order, rollout: Rollout) -> None:
        steps = order.plan.steps
        done = len(steps) if rollout.state is RolloutState.DONE else rollout.step
        for step in steps[self._released : done]:
            await self._stop(step.release)
        self._released = max(self._released, done)

    def _note(self, position: Position) -> None:
        told = position.state, position.step, position.cohort, position.progress.revisions
        last = self._history[-1].position if self._history else None
        if last is None or told != (
            last.state,
            last.step,
            last.cohort,
            last.progress.revisions,
        ):
            self._history.append(Stage(self._now_ms(), position))
        if self._report is not None:
            self._report(round(self._now_ms()), position.reason)

    # -- what befalls roots and nodes --------------------------------------------------------------

    async def _wake_later(self, fleet: FleetProcess) -> None:
        await asyncio.sleep(SLEEP_S)
        await fleet.wake(self._asleep)
        self._tell(f"{len(self._asleep)} nodes wake")

    async def _have(self, fault: Fault, fleet: FleetProcess) -> None:
        await asyncio.sleep(fault.at_ms / 1000)
        lasts_s = None if fault.for_ms is None else fault.for_ms / 1000
        match fault.kind:
            case FaultKind.ROOT_DOWN:
                await self._kill(fault, lasts_s)
            case FaultKind.NODES_DOWN:
                hit = [n for n in range(self._count) if self._random.random() < fault.share]
                await fleet.sleep(hit)
                self._tell(f"{len(hit)} nodes go away at once")
                if lasts_s is not None:
                    await asyncio.sleep(lasts_s)
                    await fleet.wake(hit)
                    self._tell(f"{len(hit)} nodes come back at once")
            case FaultKind.UNREACHABLE:
                there = [
                    root.places.get(fault.place) for root in self._roots.values() if fault.place
                ]
                places = [place for place in there if place is not None]
                await fleet.block(places)
                self._tell(f"{fault.place} gets out of reach of nodes")
                if lasts_s is not None:
                    await asyncio.sleep(lasts_s)
                    await fleet.unblock(places)
                    self._tell(f"{fault.place} is within reach of nodes again")

    async def _kill(self, fault: Fault, lasts_s: float | None) -> None:
        running = [
            root
            for root in self._roots.values()
            if root.process is not None and (not fault.root or root.name == fault.root)
        ]
        if not running:
            self._tell(f"{fault}: there is no such root to stop")
            return
        root = self._random.choice(running)
        self._down[root.real] = self._now_ms()
        if root.process is not None:
            await root.process.end(signal.SIGKILL)
            root.process = None
        self._tell(f"{root.name} is killed")
        if lasts_s is not None:
            await asyncio.sleep(lasts_s)
            self._outages.append(Outage(root.name, self._down.pop(root.real), self._now_ms()))
            await self._serve(root)
            self._tell(f"{root.name} is started again")

    # -- the rest ----------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _after(self, wait_s: float, work: Coroutine[Any, Any, None]) -> None:
        try:
            await asyncio.sleep(wait_s)
        except asyncio.CancelledError:
            work.close()
            raise
        await work

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, fleet: FleetProcess) -> None:
        async for report in fleet.reports():
            match report["report"]:
                case "online":
                    self._online.add(report["node"])
                case "taken":
                    taken = self._taken[report["node"]]
                    taken.setdefault(report["timestamp_ms"], self._now_ms())

    async def _until(self, reached: Callable[[], bool], limit_s: float) -> bool:
        end_s = time.monotonic() + limit_s
        while not reached():
            if time.monotonic() > end_s:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def _now_ms(self) -> float:
        return (time.monotonic() - self._begin_s) * 1000

    def _tell(self, what: str) -> None:
        self._course.append(Happening(round(self._now_ms()), what))

    def _logs(self) -> str:
        running = [root.process for root in self._roots.values() if root.process is not None]
        return "\n".join(process.log_tail() for process in running)

    def _outcome(self, order: Order, fleet: FleetProcess, newest: World, ended_ms: int) -> Outcome:
        start = self._script.chain.newest
        last = self._history[-1].position
        target_ms = newest.timestamp_ms if last.served is None else last.served.held_back_ms
        lost = []
        for number, address in enumerate(fleet.addresses):
            holds_ms = max(self._taken[number], default=order.plan.start_ms)
            if holds_ms < target_ms:
                lost.append(Lost(address, holds_ms, self._why(holds_ms, order)))
        for real, since_ms in self._down.items():
            self._outages.append(Outage(self._roots[real].name, since_ms, math.inf))
        cohorts = cohorts_of(order, start)
        return Outcome(
            nodes=self._count,
            counted=self._count,
            state=last.state,
            reason=last.reason,
            ended_ms=ended_ms,
            virtual_ms=round(self._now_ms()),
            steps=tuple(
                tell_steps(
                    order.plan,
                    cohorts,
                    self._history,
                    {each: self._taken[n] for n, each in enumerate(fleet.addresses)},
                )
            ),
            stranded=tuple(lost),
            forsaken=(),
            failed=(),
            behind=(),
            roots=(),
            outages=tuple(self._outages),
            course=tuple(self._course),
            packets=0,
            rounds=0,
            left_out=0,
            on_loopback=True,
        )

    def _why(self, holds_ms: int, order: Order) -> str:
        listed = next(
            (
                step.roots
                for at in reversed(self._history)
                for step, took in zip(
                    order.plan.steps, at.position.progress.revisions[1:], strict=False
                )
                if took == holds_ms
            ),
            (),
        )
        places = ", ".join(
            f"{place.endpoint}: {'runs' if self._runs(place) else 'nothing runs there'}"
            for place in sorted(places_of(listed))
        )
        return f"holds revision {holds_ms}" + (f", and looks at {places}" if places else "")

    def _runs(self, place: Place) -> bool:
        root = self._ours(place.identity.address)
        return root.process is not None and place.endpoint in root.open


def _last(home: Home) -> Rollout:
    (rollout,) = home.store.rollouts(1)
    return rollout


def _names(places: Iterable[Endpoint]) -> str:
    return " and ".join(map(str, places))


def _listen(place: Endpoint) -> str:
    return f"{place.host}:{place.port}"


def _free_places(count: int) -> list[Endpoint]:
    """Ports of this machine that nobody had a moment ago."""
    probes = bind_sockets(("127.0.0.1",), count)
    places = [Endpoint.from_text("{}/{}".format(*probe.getsockname())) for probe in probes]
    for probe in probes:
        probe.close()
    return places


async def rehearse_on_loopback(
    script: Script, directory: Path, report: Report | None = None
) -> Outcome:
    """Play a rehearsal with processes and sockets.

    Args:
        script: what is rehearsed.
        directory: an empty one, for the home and the logs.
        report: told how far it is.

    Raises:
        ServiceError: a process ended, or did not come to work.
        PlanError: there is no such plan on loopback.
        UsageError: a fault is played in virtual time only.
    """
    return await Loopback(script, directory, report).run()
