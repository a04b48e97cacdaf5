"""What a rollout costs the server that conducts it, in CPU per second, by the size of the fleet.

    python benchmarks/conductor.py [--nodes 1000,100000] [--seconds 20]

Each in a process of its own. The store knows all nodes, each heard at one of two roots; a process
beside it writes that every node is there once a minute, as the roots do. A rollout is at its second
cohort of 10 %: nine of ten nodes of it have the revision, and the rest sleeps. Measured is the
process with the conductor alone, without a rollout and with it; and how long it takes to look at
the whole fleet once, as it does when it begins and after each step.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from orrery.home import Home, create
from orrery.home.rolling import begin
from orrery.lab.identities import make_unproven_identity
from orrery.rollout.cohorts import EVERYBODY, Cohorts, Share
from orrery.rollout.conditions import Adopted
from orrery.rollout.fleet import Group, Standing
from orrery.rollout.order import Order
from orrery.rollout.plan import Plan, Step
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState, Served
from orrery.server.clock import Clock
from orrery.server.conducting import Conducting
from orrery.server.job import Job
from orrery.server.logs import configure_logs
from orrery.store import Adoption, Sighting
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import Root, World

HERE = Endpoint.from_text("127.0.0.1/19993")
THERE = Endpoint.from_text("127.0.0.1/19994")
FIRST_ADDRESS = 0x1000000000
DAY_MS = 86_400_000
BATCH_S = 0.5
REPORT_S = 60
KB = 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--nodes", default="1000,10000,100000")
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--one", type=int, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one is not None:
        configure_logs("critical")
        measure(chosen.one, chosen.seconds)
        return
    print(
        f"{'nodes':>9}{'reports/s':>11}{'idle ms/s':>11}{'rollout ms/s':>14}{'whole s':>9}"
        f"{'MB':>7}",
        flush=True,
    )
    for nodes in chosen.nodes.split(","):
        arguments = ["--one", nodes, "--seconds", str(chosen.seconds)]
        subprocess.run([sys.executable, __file__, *arguments], check=True)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def sightings(numbers: range, planet: World, root: Address, at_ms: int) -> list[Sighting]:
    return [
        Sighting(
            Address(FIRST_ADDRESS + number),
            bytes(71),
            "198.51.100.4/29994",
            12,
            (1, 14, 1),
            at_ms,
            planet.id,
            planet.timestamp_ms,
            heard_by=root,
            heard_at=str(HERE),
        )
        for number in numbers
    ]


def make_home(path: Path, nodes: int) -> World:
    """A home whose store knows a fleet and is in the middle of a rollout; returns its planet."""
    with create(path, now_ms(), [HERE], entropy=os.urandom, name="home") as home:
        (planet,) = home.served_worlds()
        at_ms = now_ms()
        root = planet.roots[0]
        for start in range(0, nodes, 10_000):
            numbers = range(start, min(nodes, start + 10_000))
            home.store.record(sightings(numbers, planet, root.identity.address, at_ms))
        addresses = tuple(Address(FIRST_ADDRESS + number) for number in range(nodes))
        key = planet.updates_must_be_signed_by
        second = Root(make_unproven_identity("second").public(), (THERE,))
        step = Step(
            number=1,
            roots=(root, second),
            signed_by=key,
            names=key,
            changes=("another root",),
            done=(Adopted(1),),
        )
        plan = Plan(
            type=planet.type,
            id=planet.id,
            dictionary=b"",
            start_ms=planet.timestamp_ms,
            start_signature=planet.signature,
            steps=(step,),
            fleet=(Group(Standing(planet.timestamp_ms), addresses),),
        )
        cohorts = (Share(10_000), Share(100_000), EVERYBODY)
        order = Order(plan=plan, cohorts=cohorts, settle_ms=600_000, horizon_ms=30 * DAY_MS)
        rollout = begin(home, "home", order, at_ms)
        signer = home.keys.signer_for(planet.id, key)
        world = plan.world(step, at_ms).sign(signer)
        home.store.add_revision(world, at_ms)
        opened = Cohorts(cohorts).opened(1)
        takers = [each for each in addresses if opened.includes(planet.id, each)]
        for start in range(0, len(takers) * 9 // 10, 10_000):
            some = takers[start : min(len(takers) * 9 // 10, start + 10_000)]
            home.store.record(
                [], [Adoption(each, planet.id, world.timestamp_ms, at_ms, "probe") for each in some]
            )
        home.store.update_rollout(
            replace(
                rollout,
                state=RolloutState.RUNNING,
                cohort=1,
                served=Served(planet.id, planet.timestamp_ms, opened),
                intents=Progress(
                    revisions=(planet.timestamp_ms, world.timestamp_ms), opened_ms=at_ms
                ).to_json(),
            ),
            at_ms,
        )
    return planet


def write_reports(path: Path, nodes: int, planet: World) -> None:
    """Write that every node is there once a minute, until killed."""
    with Home.open(path) as home:
        held = {each.address: each.timestamp_ms for each in home.store.standings(planet.id)}
        batch = max(1, int(nodes * BATCH_S / REPORT_S))
        start = 0
        while True:
            began_s = time.monotonic()
            numbers = range(start, start + batch)
            seen = sightings(numbers, planet, planet.roots[0].identity.address, now_ms())
            told = [replace(each, planet_timestamp_ms=held[each.address]) for each in seen]
            home.store.record(told, now_ms=now_ms())
            start = (start + batch) % (nodes - batch + 1)
            time.sleep(max(0, BATCH_S - (time.monotonic() - began_s)))


@contextlib.contextmanager
def reporting(*arguments: object) -> Iterator[None]:
    writer = multiprocessing.get_context("spawn").Process(target=write_reports, args=arguments)
    writer.start()
    try:
        yield
    finally:
        writer.kill()
        writer.join()


async def run(path: Path, root: Address, seconds: float, *, warm_s: float) -> float:
    """CPU of this process per second, once it has warmed up."""
    conducting = Conducting(lambda: Home.open(path), root, (HERE, THERE), lambda _: None, Clock())
    task = asyncio.create_task(conducting.run())
    await asyncio.sleep(warm_s)
    before_s, began_s = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    spent_s = time.process_time() - before_s
    took_s = time.monotonic() - began_s
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return spent_s / took_s


def measure(nodes: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "home"
        planet = make_home(path, nodes)
        root = planet.roots[0].identity.address
        with Home.open(path) as home:
            (rollout,) = home.store.rollouts(1)
        with reporting(path, nodes, planet):
            busy = asyncio.run(run(path, root, seconds, warm_s=5 + nodes / 10_000))
            with Home.open(path) as home:
                (rollout,) = home.store.rollouts(1)
                assert rollout.state is RolloutState.RUNNING, rollout.reason
                whole_s = look_at_all(home)
                home.store.update_rollout(replace(rollout, state=RolloutState.STOPPED), now_ms())
            idle = asyncio.run(run(path, root, seconds / 2, warm_s=2))
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB
    print(
        f"{nodes:>9}{nodes / REPORT_S:>11.0f}{idle * 1000:>11.1f}{busy * 1000:>14.1f}"
        f"{whole_s:>9.2f}{most_mb:>7.0f}",
        flush=True,
    )


def look_at_all(home: Home) -> float:
    """How long it takes to read the whole fleet."""
    (rollout,) = home.store.rollouts(1)
    job = Job(rollout, home.store)
    began_s = time.process_time()
    job.look({Address(0)}, now_ms())
    return time.process_time() - began_s


if __name__ == "__main__":
    main()
