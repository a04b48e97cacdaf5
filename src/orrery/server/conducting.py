"""The conductor: reads what is known, lets `rollout.conductor` decide, and carries it out.

Every server of a home has one. Each says in the store where its root listens, and asks the nodes
that took a revision lately; the one that has the lease decides.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

import structlog

from orrery.errors import ConflictError, CustodyError, DecodeError, OrreryError, VerifyError
from orrery.home import Home
from orrery.home.carrying import Carrier, position_of
from orrery.home.rolling import CONDUCTOR_LEASE
from orrery.rollout.conditions import Evidence, Heard, Stopped
from orrery.rollout.conductor import Decision, Facts, decide, paused
from orrery.rollout.places import Place
from orrery.rollout.state import RolloutState
from orrery.server.clock import Clock
from orrery.server.job import Job
from orrery.server.logs import Trouble
from orrery.server.places import PlaceWatch, own_endpoints
from orrery.store import Lease, Rollout
from orrery.wire.address import Address, format_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import WorldHeld

TURN_S = 0.2
"""How often a rollout is looked at while nothing happens."""
IDLE_S = 0.25
"""How soon a new rollout is noticed."""
RETRY_S = 1.0
LEASE_MS = 10_000
"""A conductor that is gone is replaced after this time."""
BEAT_MS = 5_000
"""How often a root says where it listens while there is a rollout."""
IDLE_BEAT_MS = 60_000
"""Likewise while there is none: plans know by it which roots share this store."""
FRESH_MS = 15_000
"""Who said so in this time listens there."""
ASK_NODES_MS = 2_000
"""How often nodes that took a revision are asked whether they are still there."""

MAX_TRACES = 10
"""Traces of bugs that are logged."""

log = structlog.get_logger("orrery.server")
P = ParamSpec("P")
T = TypeVar("T")


class Conducting:
    """Conducts the rollouts of a home, from `run` until it is cancelled.

    Args:
        open_home: opens the home for this alone.
        root: the root of this server.
        endpoints: where it listens.
        ask_nodes: lets the root ask nodes what they hold; called in the event loop.
        clock: the server's.
    """

    def __init__(
        self,
        open_home: Callable[[], Home],
        root: Address,
        endpoints: tuple[Endpoint, ...],
        ask_nodes: Callable[[Iterable[Address]], None],
        clock: Clock,
    ) -> None:
        self._open_home = open_home
        self._root = root
        self._endpoints = endpoints
        self._ask_nodes = ask_nodes
        self._clock = clock
        self._holder = f"{format_address(root)}, process {os.getpid()}, {secrets.token_hex(4)}"
        self._places = PlaceWatch(clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="conductor")
        self._lease: Lease | None = None
        self._renewed_ms = -LEASE_MS
        self._beat_ms = -IDLE_BEAT_MS
        self._asked_ms = -ASK_NODES_MS
        self._files_behind = False
        self._version = -1
        self._jobs: dict[int, Job] = {}
        self._unreadable: set[int] = set()

    async def run(self) -> None:
        """Conduct until cancelled; what goes wrong is told once, and tried again."""
        trouble = Trouble("conducting rollouts")
        home: Home | None = None
        bugs = 0
        try:
            while True:
                wait_s = RETRY_S
                try:
                    if home is None:
                        home = await self._off_loop(self._open_home)
                    wait_s = await self._turn(home)
                    trouble.end()
                except OrreryError as error:
                    self._start_over()
                    trouble.begin(error)
                except Exception as error:
                    # A bug of ours must not stop the root for everybody.
                    self._start_over()
                    bugs += 1
                    if bugs <= MAX_TRACES:
                        log.error("bug", exc_info=error)
                await asyncio.sleep(wait_s)
        finally:
            self._places.close()
            if home is not None:
                await self._off_loop(self._leave, home)
            self._thread.shutdown()

    async def _off_loop(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in the one thread of this, after what runs there already."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *args, **kwargs))

    def _leave(self, home: Home) -> None:
        """Let go of the lease, so that the next one need not wait for its end."""
        try:
            if self._lease is not None:
                home.store.release_lease(self._lease)
        except OrreryError as error:
            log.warning("lease kept", error=str(error))
        finally:
            home.close()

    async def _turn(self, home: Home) -> float:
        """Look at everything once; returns how long to wait then, in seconds."""
        await self._off_loop(self._follow, home)
        if not self._jobs:
            await self._places.watch({})
            return IDLE_S
        changed = False
        if self._lease is None:
            await self._places.watch({})
        else:
            listening = await self._off_loop(self._listening, home)
            await self._places.watch(self._places_to_ask(listening))
            changed = await self._off_loop(self._conduct, home, self._lease, listening)
        now_ms = self._clock.now_ms()
        if now_ms - self._asked_ms >= ASK_NODES_MS:
            self._asked_ms = now_ms
            self._ask_nodes(await self._off_loop(self._nodes_to_ask))
        return 0 if changed else TURN_S

    def _start_over(self) -> None:
        """After something went wrong, which may have kept a World file from being written."""
        self._look_again()
        self._files_behind = True

    def _look_again(self) -> None:
        """Read rollouts and lease anew in the next turn."""
        self._version = -1
        self._renewed_ms = -LEASE_MS

    def _wall_ms(self) -> int:
        return self._clock.wall_ms(self._clock.now_ms())

    # -- what every server does; off the event loop, one call at a time --------------------------

    def _follow(self, home: Home) -> None:
        """Notice rollouts, say that this root is here, and get or keep the lease."""
        if self._files_behind and self._lease is not None:
            Carrier(home, self._lease).write_worlds()
            self._files_behind = False
        version = home.store.rollout_version()
        if version != self._version:
            active = home.store.active_rollouts()
            jobs = [job for each in active if (job := self._job(home, each)) is not None]
            self._jobs = {job.rollout.number: job for job in jobs}
            self._version = version
        self._beat(home)
        if self._jobs:
            self._keep_lease(home)
        elif self._lease is not None:
            home.store.release_lease(self._lease)
            self._lease = None

    def _job(self, home: Home, rollout: Rollout) -> Job | None:
        job = self._jobs.get(rollout.number)
        if job is not None:
            job.rollout = rollout
            return job
        try:
            return Job(rollout, home.store)
        except DecodeError as error:
            if rollout.number not in self._unreadable:
                log.error("rollout unreadable", rollout=rollout.number, error=str(error))
            self._unreadable.add(rollout.number)
            return None

    def _beat(self, home: Home) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - self._beat_ms < (BEAT_MS if self._jobs else IDLE_BEAT_MS):
            return
        self._beat_ms = now_ms
        listed = {
            place.endpoint
            for job in self._jobs.values()
            for place in job.places
            if place.identity.address == self._root
        }
        is_ours = {endpoint.ip: _is_ours(endpoint) for endpoint in listed}
        own = own_endpoints(listed, self._endpoints, is_ours)
        told = [str(endpoint) for endpoint in dict.fromkeys((*own, *self._endpoints))]
        home.store.note_root(self._root, told, self._wall_ms())

    def _keep_lease(self, home: Home) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - self._renewed_ms < LEASE_MS // 3:
            return
        wall_ms = self._wall_ms()
        lease = self._lease
        if lease is not None and not home.store.renew_lease(lease, wall_ms, LEASE_MS):
            log.info("conductor", meaning="another process carries rollouts out now")
            lease = self._lease = None
            for job in self._jobs.values():
                job.forget()
        if lease is None:
            lease = home.store.acquire_lease(CONDUCTOR_LEASE, self._holder, wall_ms, LEASE_MS)
            if lease is not None:
                log.info("conductor", meaning="this process carries rollouts out")
                self._lease = lease
                self._files_behind = True  # who had it before may have died in between
        self._renewed_ms = now_ms if lease is not None else now_ms - LEASE_MS // 3 + 1_000

    def _nodes_to_ask(self) -> list[Address]:
        wall_ms = self._wall_ms()
        return [
            address
            for job in self._jobs.values()
            if job.rollout.state is not RolloutState.PAUSED
            for address in job.nodes_to_ask(wall_ms)
        ]

    # -- what the one with the lease does --------------------------------------------------------

    def _listening(self, home: Home) -> frozenset[Place]:
        """The places where roots listen that share this home, by their own word."""
        now_ms = self._wall_ms()
        here = {
            (root.address, endpoint)
            for root in home.store.roots()
            if abs(now_ms - root.last_at_ms) < FRESH_MS
            for endpoint in root.endpoints
        }
        return frozenset(
            place
            for job in self._jobs.values()
            for place in job.places
            if (place.identity.address, str(place.endpoint)) in here
        )

    def _places_to_ask(self, listening: frozenset[Place]) -> dict[Place, WorldHeld]:
        return {
            place: held
            for job in self._jobs.values()
            if job.rollout.state is not RolloutState.PAUSED
            for place, held in job.places_to_ask().items()
            if place not in listening
        }

    def _conduct(self, home: Home, lease: Lease, listening: frozenset[Place]) -> bool:
        """Do what is to be done now; returns whether anything was."""
        roots = frozenset(root.address for root in home.store.roots())
        carrier = Carrier(home, lease)
        changed = False
        trouble: OrreryError | None = None
        for job in self._jobs.values():
            if job.rollout.state is RolloutState.PAUSED:
                job.forget()
                continue
            try:
                changed |= self._carry_on(carrier, job, roots, listening)
            except ConflictError as error:
                # Somebody steers it, changes the home, or has taken over.
                log.info("conflict", rollout=job.rollout.number, error=str(error))
                self._look_again()
            except OrreryError as error:
                trouble = error  # of this one: the others go on
        if trouble is not None:
            raise trouble
        return changed

    def _carry_on(
        self, carrier: Carrier, job: Job, roots: frozenset[Address], listening: frozenset[Place]
    ) -> bool:
        now_ms = self._wall_ms()
        job.note_clock(now_ms - self._clock.now_ms())
        facts = job.look(roots, now_ms)
        evidence = self._with_places(job, facts.evidence, roots, listening)
        return self._act(carrier, job, replace(facts, evidence=evidence))

    def _with_places(
        self, job: Job, evidence: Evidence, roots: frozenset[Address], listening: frozenset[Place]
    ) -> Evidence:
        """What is known of places beside what is known of nodes."""
        answering = self._places.answering | listening
        # What was not asked for long enough has neither answered nor stopped.
        unknown = self._places.unknown & job.places_in(Stopped)
        # Of a root elsewhere nobody tells which nodes are heard there: that it answers must do.
        elsewhere = [
            place
            for place in job.places_in(Heard) & answering
            if place.identity.address not in roots
        ]
        return replace(
            evidence,
            installed={**evidence.installed, **self._places.held(job.rollout.world_id)},
            answering=answering | unknown,
            heard={**dict.fromkeys(elsewhere, 1), **evidence.heard},
        )

    def _act(self, carrier: Carrier, job: Job, facts: Facts) -> bool:
        before, order = job.rollout, job.order
        at = position_of(before)
        decision = decide(order, job.cohorts, at, facts)
        if decision == Decision(at):
            return False
        try:
            after = carrier.carry_out(before, order, decision, facts.now_ms)
        except (CustodyError, VerifyError) as error:
            pause = Decision(paused(at, f"{error}; then let it go on with `orrery resume`"))
            after = carrier.carry_out(before, order, pause, facts.now_ms)
        job.rollout = after
        self._version = -1
        log.info(
            "rollout",
            world=f"{after.world_id:016x}",
            state=after.state.value,
            step=after.step + 1,
            cohort=after.cohort + 1,
            reason=after.reason,
        )
        return True


def _is_ours(endpoint: Endpoint) -> bool:
    """Whether an IP address is one of this machine."""
    family = socket.AF_INET if endpoint.family == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((socket.inet_ntop(family, endpoint.ip), 0))
    except OSError:
        return False
    return True
