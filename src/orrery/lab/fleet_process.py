"""A fleet in a process of its own, as whoever started it sees it.

What is said over the two pipes stands in `lab.fleet_program`, which runs inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterable
from typing import Any, Self

from orrery.errors import ServiceError
from orrery.lab.fleet_program import FleetSettings
from orrery.wire.address import Address, format_address, parse_address
from orrery.wire.endpoint import Endpoint

_LARGEST_LINE_BYTES = 16 << 20


class FleetProcess:
    """A fleet in another process.

    Use `FleetProcess.start`, read `reports`, and `stop` it.

    Attributes:
        pid: of the process.
        addresses: of its nodes, once it has reported `ready`.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        commands: asyncio.StreamWriter,
        reports: asyncio.StreamReader,
    ) -> None:
        self._process = process
        self._commands = commands
        self._reports = reports
        self.pid = process.pid
        self.addresses: tuple[Address, ...] = ()

    @classmethod
    async def start(cls, settings: FleetSettings) -> Self:
        """Start the process; it says by its reports how far it is."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "orrery.lab.fleet_program",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LARGEST_LINE_BYTES,
        )
        if process.stdin is None or process.stdout is None:
            raise ServiceError("the process of the virtual fleet has no pipes")
        fleet = cls(process, process.stdin, process.stdout)
        await fleet._tell(settings.model_dump())
        return fleet

    async def reports(self) -> AsyncIterator[dict[str, Any]]:
        """What it reports, until it ends.

        Raises:
            ServiceError: it ended without being told to.
        """
        last: dict[str, Any] = {}
        while line := await self._reports.readline():
            last = json.loads(line)
            if last["report"] == "ready":
                self.addresses = tuple(parse_address(text) for text in last["addresses"])
            yield last
        if last.get("report") != "stopped":
            raise ServiceError(
                f"the process of the virtual fleet ended with status {await self._process.wait()}"
            )

    async def sleep(self, nodes: Iterable[int]) -> None:
        """Put nodes to sleep."""
        await self._tell({"do": "sleep", "nodes": list(nodes)})

    async def wake(self, nodes: Iterable[int]) -> None:
        """Wake nodes up."""
        await self._tell({"do": "wake", "nodes": list(nodes)})

    async def block(self, endpoints: Iterable[Endpoint]) -> None:
        """Put a firewall between the nodes and these endpoints."""
        await self._tell({"do": "block", "endpoints": [str(each) for each in endpoints]})

    async def unblock(self, endpoints: Iterable[Endpoint]) -> None:
        """Take that firewall away."""
        await self._tell({"do": "unblock", "endpoints": [str(each) for each in endpoints]})

    async def orbit(self, moon_id: int, seed: Address) -> None:
        """Let all nodes orbit a moon."""
        await self._tell({"do": "orbit", "moon": f"{moon_id:016x}", "seed": format_address(seed)})

    async def stop(self) -> None:
        """End it, kindly; its last report may still be read."""
        if self._process.returncode is None:
            with contextlib.suppress(ConnectionError):  # it ended by itself
                await self._tell({"do": "stop"})
            await self._process.wait()

    async def _tell(self, message: dict[str, Any]) -> None:
        self._commands.write(json.dumps(message).encode() + b"\n")
        await self._commands.drain()
