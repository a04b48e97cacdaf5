"""A fleet in a process of its own, told what to do on stdin and telling what happens on stdout.

Both ways go lines of JSON. The first line in holds the settings (`FleetSettings`); then come
commands:

    {"do": "sleep", "nodes": [0, 3]}    as if their lids were closed
    {"do": "wake", "nodes": [0, 3]}
    {"do": "block", "endpoints": ["127.0.0.3/9993"]}      a firewall drops what goes there or comes
    {"do": "unblock", "endpoints": ["127.0.0.3/9993"]}
    {"do": "orbit", "moon": "000000b9ce1f7fa4", "seed": "b9ce1f7fa4"}    all of them
    {"do": "stop"}

Out come reports; `at_ms` is CLOCK_REALTIME in milliseconds:

    {"report": "generated", "done": 3, "of": 25}
    {"report": "ready", "addresses": ["89e92ceee5", …]}
    {"report": "online", "node": 0, "root": "6e133e061d", "at_ms": 1700000000000.123}
    {"report": "taken", "node": 0, "world": "dc2bc199e3a5a08c", "timestamp_ms": …, "at_ms": …}
    {"report": "refused", "node": 0, "world": …, "timestamp_ms": …, "reason": …, "at_ms": …}
    {"report": "stopped", "packets in": 12345, …}

Commands are carried out in order; each is answered by {"report": "done", "do": …}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

from orrery.lab.fleet import Fleet, bind_sockets
from orrery.lab.identities import make_unproven_identity
from orrery.server.clock import Clock
from orrery.vl1.events import Event, UpstreamAnswered, WorldRefused, WorldTaken
from orrery.vl1.leaf import LeafNode
from orrery.wire.address import format_address, parse_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import World

_LARGEST_LINE_BYTES = 16 << 20


class FleetSettings(BaseModel):
    """What a fleet is made of.

    Attributes:
        planet: the World that the leaves start with, in hex.
        moons: likewise.
        generate: so many leaves with real identities, made at the start.
        unproven: so many leaves with identities of the lab, made from `seed`.
        seed: see `lab.identities`.
        ips: addresses of this machine that sockets are bound to, in turn.
        sockets: how many sockets they share; 0 for one each.
        spread_ms: they start one after another over this time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    planet: str
    moons: tuple[str, ...] = ()
    generate: int = 0
    unproven: int = 0
    seed: str = "fleet"
    ips: tuple[str, ...] = ("127.0.0.1",)
    sockets: int = 0
    spread_ms: int = 1_000


def unproven_identities(seed: str, count: int) -> list[Identity]:
    """The identities that a fleet with these settings has, for a root to know them."""
    return [make_unproven_identity(f"{seed} {number}") for number in range(count)]


class _Program:
    """The fleet's own side of the two pipes."""

    def __init__(self, settings: FleetSettings) -> None:
        self._settings = settings
        self._lines: list[str] = []

    async def run(self, commands: asyncio.StreamReader) -> None:
        """Live until told to stop, or until nobody is there to tell."""
        clock = Clock()
        fleet = self._make_fleet(clock)
        flushing = asyncio.create_task(self._flush_often())
        try:
            fleet.start(self._settings.spread_ms)
            while line := await commands.readline():
                command = json.loads(line)
                if command["do"] == "stop":
                    break
                self._obey(fleet, command)
        finally:
            flushing.cancel()
            fleet.close()
            self._say(report="stopped", **fleet.counts)
            self._flush()

    def _make_fleet(self, clock: Clock) -> Fleet:
        settings = self._settings
        # All leaves share one object for each World that they start with.
        planet = World.decode(bytes.fromhex(settings.planet))
        moons = [World.decode(bytes.fromhex(moon)) for moon in settings.moons]
        identities = unproven_identities(settings.seed, settings.unproven)
        for done in range(1, settings.generate + 1):
            identities.append(Identity.generate(entropy=os.urandom))
            self._say(report="generated", done=done, of=settings.generate)
            self._flush()
        leaves = [
            LeafNode.holding(identity, os.urandom, planet, moons, clock.now_ms())
            for identity in identities
        ]
        sockets = bind_sockets(settings.ips, settings.sockets or len(leaves))
        self._say(report="ready", addresses=[format_address(leaf.address) for leaf in leaves])
        self._flush()
        return Fleet(leaves, sockets, clock, self._on_event)

    def _obey(self, fleet: Fleet, command: dict[str, Any]) -> None:
        match command["do"]:
            case "sleep":
                fleet.put_to_sleep(command["nodes"])
            case "wake":
                fleet.wake(command["nodes"])
            case "block":
                fleet.block(map(Endpoint.from_text, command["endpoints"]))
            case "unblock":
                fleet.unblock(map(Endpoint.from_text, command["endpoints"]))
            case "orbit":
                moon, seed = int(command["moon"], 16), parse_address(command["seed"])
                for number in range(len(fleet)):
                    fleet.call(number, lambda leaf, now_ms: leaf.orbit(moon, seed, now_ms))
            case unknown:
                self._say(report="unknown", do=unknown)
                return
        self._say(report="done", do=command["do"])
        self._flush()

    def _on_event(self, number: int, event: Event, at_ms: float) -> None:
        match event:
            case UpstreamAnswered():
                self._say(
                    report="online", node=number, root=format_address(event.address), at_ms=at_ms
                )
            case WorldTaken():
                self._say(report="taken", node=number, **_named(event.world), at_ms=at_ms)
            case WorldRefused():
                self._say(
                    report="refused",
                    node=number,
                    **_named(event.world),
                    reason=event.reason,
                    at_ms=at_ms,
                )

    def _say(self, **report: object) -> None:
        self._lines.append(json.dumps(report))

    def _flush(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()

    async def _flush_often(self) -> None:
        # A line per event would cost as much as the event; 5 ms late is soon enough, as each
        # report carries its own time.
        while True:
            await asyncio.sleep(0.005)
            self._flush()


def _named(world: World) -> dict[str, object]:
    return {"world": f"{world.id:016x}", "timestamp_ms": world.timestamp_ms}


async def _main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LARGEST_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    settings = FleetSettings.model_validate_json(await reader.readline())
    await _Program(settings).run(reader)


def main() -> None:
    """Be a fleet: `python -m orrery.lab.fleet_program`."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a socket for each node
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - optional

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_main())


if __name__ == "__main__":
    main()
