"""Commands as processes: what they write is waited for, line by line."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.unit.server.serving import LIMIT_S


def environment(**more: str) -> dict[str, str]:
    """That of this process, without what tells Orrery where it is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORRERY_")}
    return kept | more


class Command:
    """A command that has ended.

    Attributes:
        status: its exit status.
        out: its standard output.
        err: its standard error.
    """

    def __init__(self, status: int, out: bytes, err: bytes) -> None:
        self.status = status
        self.out = out.decode()
        self.err = err.decode()

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


async def orrery(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Command:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orrery",
        *map(str, arguments),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(**(env or {})),
    )
    async with asyncio.timeout(LIMIT_S):
        out, err = await process.communicate()
    return Command(process.returncode or 0, out, err)


class Serving:
    """An `orrery serve` that runs, with what it logs."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.logged: list[dict[str, Any]] = []

    @classmethod
    async def start(cls, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Self:
        """Start it, and wait until it serves."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "orrery",
            "serve",
            *map(str, arguments),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            env=environment(**(env or {})),
        )
        serving = cls(process)
        await serving.until("serving")
        return serving

    async def until(self, event: str) -> dict[str, Any]:
        """Wait for the next line with this event."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                line = await self._line()
                assert line, f"it ended without {event!r}, after {self.logged}"
                if self.logged[-1]["event"] == event:
                    return self.logged[-1]

    async def _line(self) -> bytes:
        assert self.process.stderr is not None
        line = await self.process.stderr.readline()
        if line:
            self.logged.append(json.loads(line))
        return line

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it.

        Returns:
            Its exit status; all that it logged has been read.
        """
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(LIMIT_S):
            while await self._line():
                pass
            return await self.process.wait()


def events(serving: Serving) -> list[str]:
    """What was logged, in a word each."""
    return [entry["event"] for entry in serving.logged]


_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-_])")


def plain(text: str) -> str:
    """What a terminal was sent, without colours and movements."""
    return _ESCAPES.sub("", text)
