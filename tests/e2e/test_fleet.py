"""A fleet over real UDP against the real server, in this process and in its own."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from orrery.errors import ServiceError
from orrery.lab.chains import ChainMaker, root_of
from orrery.lab.fleet import Fleet, bind_sockets
from orrery.lab.fleet_process import FleetProcess
from orrery.lab.fleet_program import FleetSettings, unproven_identities
from orrery.lab.identities import make_unproven_identity
from orrery.server.clock import Clock
from orrery.server.service import ServeOptions, Server
from orrery.store import Sighting, Store
from orrery.vl1.events import EchoAnswered, Event, UpstreamAnswered, WorldTaken
from orrery.vl1.leaf import LeafNode
from orrery.wire.endpoint import Endpoint
from orrery.wire.packet import Verb
from orrery.wire.world import WorldType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

LIMIT_S = 30


class Root:
    """A server with one planet, and a store that knows a fleet."""

    def __init__(self, directory: Path) -> None:
        self.identity = make_unproven_identity("root")
        self.store = Store.open(directory / "orrery.db")
        self.now_ms = time.time_ns() // 1_000_000

    async def start(self, seed: str, nodes: int) -> None:
        # Which port is free shows when it is bound: so bind first, then sign.
        probe = bind_sockets(["127.0.0.1"], 1)[0]
        self.endpoint = Endpoint.from_text("{}/{}".format(*probe.getsockname()))
        probe.close()
        self.chain = ChainMaker(
            WorldType.PLANET,
            0x77,
            [root_of(self.identity, self.endpoint)],
            os.urandom,
            self.now_ms - 1_000_000,
        )
        self.store.add_revision(self.chain.newest, self.now_ms)
        self.store.record(
            [
                Sighting(node.address, node.to_bytes(), "127.0.0.1/1", 12, (1, 14, 1), 1, 0, 0)
                for node in unproven_identities(seed, nodes)
            ]
        )
        self.server = Server(self.identity, self.store, ServeOptions(listen=(self.endpoint,)))
        await self.server.start()

    def publish(self, *, rotate: bool = False) -> int:
        revision = self.chain.revise(rotate=rotate)
        self.store.add_revision(revision, self.now_ms)
        return revision.timestamp_ms

    async def stop(self) -> None:
        await self.server.stop()
        self.store.close()


@pytest.fixture
async def root(tmp_path: Path) -> AsyncIterator[Root]:
    root = Root(tmp_path)
    yield root
    await root.stop()


class Reports:
    """What a fleet's process says, to be waited for."""

    def __init__(self, fleet: FleetProcess) -> None:
        self.all: list[dict[str, Any]] = []
        self._reports = fleet.reports()

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not reached():
                self.all.append(await anext(self._reports))

    async def rest(self) -> None:
        async for report in self._reports:
            self.all.append(report)

    def nodes(self, kind: str, timestamp_ms: int | None = None) -> set[int]:
        return {
            report["node"]
            for report in self.all
            if report["report"] == kind
            and (timestamp_ms is None or report["timestamp_ms"] == timestamp_ms)
        }


async def test_many_nodes_behind_one_port(root: Root) -> None:
    seen: dict[type[Event], set[int]] = defaultdict(set)
    changed = asyncio.Event()

    def report(number: int, event: Event, at_ms: float) -> None:
        seen[type(event)].add(number)
        changed.set()

    async def all_report(kind: type[Event], numbers: set[int]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not seen[kind] >= numbers:
                changed.clear()
                await changed.wait()

    await root.start("crowd", 60)
    clock = Clock()
    leaves = [
        LeafNode.holding(identity, os.urandom, root.chain.newest, (), clock.now_ms())
        for identity in unproven_identities("crowd", 60)
    ]
    sockets = bind_sockets(["127.0.0.1"], 1)
    fleet = Fleet(leaves, sockets, clock, report)
    fleet.start()
    try:
        everybody = set(range(60))
        await all_report(UpstreamAnswered, everybody)
        newest_ms = root.publish()
        await all_report(WorldTaken, everybody)
        planets = [fleet.leaf(number).planet for number in range(len(fleet))]
        assert {planet.timestamp_ms for planet in planets if planet is not None} == {newest_ms}
        # They reach each other too, through the root, though all have one port.
        next_to = {leaf: leaves[number - 1].address for number, leaf in enumerate(leaves)}
        for number in everybody:
            fleet.call(
                number, lambda leaf, now_ms: leaf.send(next_to[leaf], Verb.ECHO, b"?", now_ms)
            )
        await all_report(EchoAnswered, everybody)
    finally:
        fleet.close()


async def test_a_fleet_in_a_process_of_its_own(root: Root) -> None:
    await root.start("process", 20)
    settings = FleetSettings(
        planet=root.chain.newest.encode().hex(), unproven=20, seed="process", sockets=3, spread_ms=0
    )
    fleet = await FleetProcess.start(settings)
    reports = Reports(fleet)
    try:
        everybody = set(range(20))
        await reports.until(lambda: reports.nodes("online") == everybody)
        assert list(fleet.addresses) == [
            identity.address for identity in unproven_identities("process", 20)
        ]
        sleepers = {3, 5, 8}
        await fleet.sleep(sleepers)
        await reports.until(lambda: {"report": "done", "do": "sleep"} in reports.all)
        for _ in range(2):
            root.publish(rotate=True)
        newest_ms = root.publish()
        await reports.until(lambda: reports.nodes("taken", newest_ms) == everybody - sleepers)
        await fleet.wake(sleepers)
        await reports.until(lambda: reports.nodes("taken", newest_ms) == everybody)
        # None was refused anything but what it had.
        reasons = {report["reason"] for report in reports.all if report["report"] == "refused"}
        assert all("has no use for the same World again" in r or "older" in r for r in reasons)
    finally:
        await fleet.stop()
    await reports.rest()
    assert reports.all[-1]["report"] == "stopped"
    assert reports.all[-1]["packets out"] > 60


async def test_a_firewall_between_a_fleet_and_its_root(root: Root) -> None:
    await root.start("firewall", 4)
    planet = root.chain.newest.encode().hex()
    fleet = await FleetProcess.start(FleetSettings(planet=planet, unproven=4, seed="firewall"))
    reports = Reports(fleet)
    try:
        await reports.until(lambda: len(reports.nodes("online")) == 4)
        await fleet.block([root.endpoint])
        await reports.until(lambda: {"report": "done", "do": "block"} in reports.all)
        newest_ms = root.publish()
        async with asyncio.timeout(LIMIT_S):
            while root.server.counts["pushed"] < 4:
                await asyncio.sleep(0.01)
        await fleet.unblock([root.endpoint])
        await reports.until(lambda: {"report": "done", "do": "unblock"} in reports.all)
        assert not reports.nodes("taken", newest_ms)
        await reports.until(lambda: len(reports.nodes("taken", newest_ms)) == 4)  # pushed again
    finally:
        await fleet.stop()
    await reports.rest()
    assert reports.all[-1]["packets blocked"] >= 4


async def test_the_end_of_a_fleet_that_was_not_told_to_stop_is_an_error() -> None:
    fleet = await FleetProcess.start(FleetSettings(planet="00"))
    with pytest.raises(ServiceError, match="ended with status 1"):
        await Reports(fleet).rest()
