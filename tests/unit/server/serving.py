"""A home with its server in the running event loop, and leaves that live by it."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from orrery.home import Home, propose, publish, rotate_key
from orrery.lab.fleet import Fleet, bind_sockets
from orrery.server.clock import Clock
from orrery.server.service import ServeOptions, Server
from orrery.store import Revision
from orrery.vl1.events import Event
from orrery.vl1.leaf import LeafNode
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from tests.unit.home.making import make_home, want
from tests.unit.store.making import identity

LIMIT_S = 30
"""Ends a test that waits in vain; nothing is measured by it."""

EventT = TypeVar("EventT")


def wall_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def loopback(ip: str, port: int = 0) -> Endpoint:
    """An endpoint of this machine."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    return Endpoint(socket.inet_pton(family, ip), port)


def free_port(ip: str = "127.0.0.1") -> int:
    """A UDP port that nobody has; a World must be signed before a server is bound."""
    (probe,) = bind_sockets([ip], 1)
    with probe:
        port: int = probe.getsockname()[1]
        return port


async def eventually(reached: Callable[[], bool]) -> None:
    """Wait for what another thread or process brings about and tells nobody."""
    async with asyncio.timeout(LIMIT_S):
        while not reached():
            await asyncio.sleep(0.01)


class Site:
    """A home with one planet, whose root is at loopback, and a server of it.

    Args:
        directory: where the home goes.
        ip: where the planet says that the root is.
        listen: where it receives, when that is not there.
    """

    def __init__(self, directory: Path, ip: str = "127.0.0.1", listen: str | None = None) -> None:
        self.path = directory / "home"
        self.endpoint = loopback(ip, free_port(listen or ip))
        self._listen = loopback(listen or ip, self.endpoint.port)
        make_home(self.path, [self.endpoint], entropy=os.urandom).close()
        self.home = Home.open(self.path)
        (self.planet,) = self.home.served_worlds()

    async def start(self, **options: object) -> Server:
        """Start a server."""
        values = {"listen": (self._listen,)} | options
        self.server = Server(
            self.home.identity(),
            self.home.store,
            ServeOptions(**values),  # type: ignore[arg-type]
        )
        await self.server.start()
        return self.server

    async def publish(self, port: int | None = None, *, rotate: bool = False) -> Revision:
        """Publish as another process would: with its own connection, and not in this thread."""
        return await asyncio.to_thread(self._publish, port, rotate=rotate)

    def _publish(self, port: int | None, *, rotate: bool) -> Revision:
        with Home.open(self.path, writer=True) as home:
            if port is not None:
                want(home, self.endpoint, loopback("127.9.9.9", port))
            if rotate:
                rotate_key(home, "home", wall_ms(), os.urandom)
            return publish(home, "home", wall_ms())

    async def publish_step(self, port: int) -> Revision:
        """Publish as a conductor does: what is held back stays so."""
        return await asyncio.to_thread(self._publish_step, port)

    def _publish_step(self, port: int) -> Revision:
        with Home.open(self.path, writer=True) as home:
            want(home, self.endpoint, loopback("127.9.9.9", port))
            world = propose(home, "home").world
            timestamp_ms = home.store.allocate_timestamp(world.id, wall_ms())
            signer = home.keys.signer_for(world.id, world.updates_must_be_signed_by)
            signed = replace(world, timestamp_ms=timestamp_ms).sign(signer)
            return home.store.add_revision(signed, wall_ms())


class Crowd:
    """Leaves with recorded identities, and what they report.

    Args:
        planet: what they hold at first.
        numbers: of their identities.
        ip: where they are.
        sockets: how many sockets they share.
    """

    def __init__(
        self, planet: World, numbers: Iterable[int], ip: str = "127.0.0.1", sockets: int = 1
    ) -> None:
        clock = Clock()
        self.identities = [identity(number) for number in numbers]
        self.addresses = {each.address for each in self.identities}
        leaves = [
            LeafNode.holding(each, os.urandom, planet, (), clock.now_ms())
            for each in self.identities
        ]
        self.fleet = Fleet(leaves, bind_sockets([ip], sockets), clock, self._note)
        self._events: list[tuple[int, Event]] = []
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Let them begin."""
        self.fleet.start()

    def close(self) -> None:
        """End them."""
        self.fleet.close()

    def _note(self, number: int, event: Event, _at_ms: float) -> None:
        self._events.append((number, event))
        self._changed.set()

    def told(self, kind: type[EventT], such: Callable[[EventT], bool] = lambda _: True) -> set[int]:
        """Who has reported such an event."""
        return {n for n, event in self._events if isinstance(event, kind) and such(event)}

    def forget(self) -> None:
        """Forget what was reported."""
        self._events.clear()

    async def all_tell(
        self, kind: type[EventT], such: Callable[[EventT], bool] = lambda _: True
    ) -> None:
        """Wait until everybody has reported such an event."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.told(kind, such)) < len(self.fleet):
                self._changed.clear()
                await self._changed.wait()


def hello(number: int, planet: World) -> bytes:
    """The HELLO with which a leaf with this identity asks the root of its planet."""
    now_ms = Clock().now_ms()
    leaf = LeafNode.holding(identity(number), os.urandom, planet, (), now_ms)
    leaf.tick(now_ms)
    datagram, _ = leaf.drain().datagrams[0]
    return datagram
