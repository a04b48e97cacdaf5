"""Our leaf on a network of official nodes: their root, their moon, their leaf."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from orrery.lab.fleet import Fleet
from orrery.server.clock import Clock
from orrery.vl1.events import EchoAnswered, Event, UpstreamAnswered, WorldTaken
from orrery.vl1.leaf import LeafNode
from orrery.wire.address import Address, parse_address
from orrery.wire.identity import Identity
from orrery.wire.packet import Verb
from orrery.wire.world import World
from tests.interop.realnode import RealNode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interop.lab import Host, Lab
    from tests.interop.realnode import IdTool, WorldSpec

pytestmark = pytest.mark.interop

WORLD_ID = 0xDC2BC199E3A5A08C


class Leaves:
    """Leaves of ours, each in a host of the lab, in one event loop."""

    def __init__(self, hosts: list[Host], identities: list[Identity], planet: World) -> None:
        clock = Clock()
        sockets = []
        for host in hosts:
            bound = host.socket(socket.AF_INET, socket.SOCK_DGRAM)
            bound.setblocking(False)
            bound.bind((host.address, 9993))
            sockets.append(bound)
        leaves = [
            LeafNode.holding(identity, os.urandom, planet, (), clock.now_ms())
            for identity in identities
        ]
        self.fleet = Fleet(leaves, sockets, clock, self._on_event)
        self.events: dict[type[Event], dict[int, Any]] = defaultdict(dict)
        self._changed = asyncio.Event()
        self.fleet.start()

    def _on_event(self, number: int, event: Event, at_ms: float) -> None:
        self.events[type(event)][number] = event
        self._changed.set()

    async def until(self, reached: Callable[[], bool], within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    async def online(self, within_s: float = 20) -> None:
        """All have heard from a root; a real root lets one stranger of a /24 in per 2 s."""
        await self.until(lambda: len(self.events[UpstreamAnswered]) == len(self.fleet), within_s)

    async def taken(self, number: int, within_s: float = 20) -> World:
        """The World that a leaf takes."""
        await self.until(lambda: number in self.events[WorldTaken], within_s)
        world: World = self.events[WorldTaken][number].world
        return world

    async def echo(self, number: int, address: Address, within_s: float = 20) -> bytes:
        """What comes back from another node."""
        payload = os.urandom(16)
        self.events[EchoAnswered].pop(number, None)
        self.fleet.call(number, lambda leaf, now_ms: leaf.send(address, Verb.ECHO, payload, now_ms))
        await self.until(lambda: number in self.events[EchoAnswered], within_s)
        answer = self.events[EchoAnswered][number]
        assert (answer.address, answer.payload) == (address, payload)
        return payload


@pytest.fixture
def identity(idtool: IdTool) -> str:
    """The secret identity of the root."""
    return idtool.generate()


@pytest.fixture
def spec(idtool: IdTool, lab: Lab, identity: str) -> WorldSpec:
    """The planet, with its signing key."""
    return idtool.planet_spec(WORLD_ID, {identity: ["10.77.7.1/9993"]})


@pytest.fixture
def root(lab: Lab, zerotier_one: Path, idtool: IdTool, identity: str, spec: WorldSpec) -> RealNode:
    """An official root."""
    host = lab.host("root", "10.77.7.1")
    planet = idtool.genmoon(spec)
    return RealNode(host, zerotier_one, planet=planet, identity=identity).start()


@pytest.fixture
def identities(idtool: IdTool) -> list[Identity]:
    """Those of our leaves."""
    return [Identity.from_string(idtool.generate()) for _ in range(2)]


@pytest.fixture
def hosts(lab: Lab) -> list[Host]:
    """Where they live."""
    return [lab.host("ours1"), lab.host("ours2")]


async def test_ours_and_theirs_reach_each_other(
    *,
    lab: Lab,
    zerotier_one: Path,
    root: RealNode,
    identity: str,
    identities: list[Identity],
    hosts: list[Host],
) -> None:
    theirs = RealNode(lab.host("theirs"), zerotier_one, planet=root.planet).start()
    theirs.wait_path(identity[:10])
    leaves = Leaves(hosts, identities, World.decode(root.planet))
    try:
        await leaves.online()
        assert {f"{ours.address:010x}" for ours in identities} <= root.peers().keys()
        # Ours learn by WHOIS who theirs is, and the other way round.
        await leaves.echo(0, parse_address(theirs.address))
        await leaves.echo(0, identities[1].address)
    finally:
        leaves.fleet.close()


async def test_ours_takes_two_rotations_from_a_root_that_serves_them_one_by_one(
    idtool: IdTool, root: RealNode, spec: WorldSpec, identities: list[Identity], hosts: list[Host]
) -> None:
    held = World.decode(root.planet)
    for _ in range(2):
        fresh = idtool.initmoon(str(identities[0]))
        spec["updatesMustBeSignedBy"] = fresh["signingKey"]
        update = idtool.genmoon(spec)
        spec["signingKey"] = fresh["signingKey"]
        spec["signingKey_SECRET"] = fresh["signingKey_SECRET"]
        root.stop()
        (root.home / "planet").write_bytes(update)
        root.start()
        # A leaf that starts says HELLO at once, with what it stored last.
        leaves = Leaves(hosts[:1], identities[:1], held)
        try:
            held = await leaves.taken(0)
            assert held.encode() == update
        finally:
            leaves.fleet.close()


async def test_ours_orbits_their_moon(
    *,
    lab: Lab,
    zerotier_one: Path,
    idtool: IdTool,
    root: RealNode,
    identities: list[Identity],
    hosts: list[Host],
) -> None:
    seed = RealNode(lab.host("seed"), zerotier_one, planet=root.planet).start()
    moon_spec = idtool.initmoon(seed.identity)
    moon_spec["roots"][0]["stableEndpoints"] = [f"{seed.host.address}/9993"]
    moon = idtool.genmoon(moon_spec)
    seed.stop()
    seed.write_moon(seed.address, moon)
    seed.start()
    seed.wait_online()
    leaves = Leaves(hosts[:1], identities[:1], World.decode(root.planet))
    try:
        await leaves.online()
        address = parse_address(seed.address)
        leaves.fleet.call(0, lambda leaf, now_ms: leaf.orbit(address, address, now_ms))
        await leaves.until(lambda: bool(leaves.fleet.leaf(0).moons), 30)
        assert leaves.fleet.leaf(0).moons[0].encode() == moon
        await leaves.until(lambda: leaves.events[UpstreamAnswered][0].address == address, 20)
    finally:
        leaves.fleet.close()
