"""Commands on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from subprocess import PIPE
from typing import cast

from orrery.errors import HostError
from orrery.fleet.collecting import Collected, too_late
from orrery.fleet.shell import Finished

_SHELL = "/bin/sh"
_ERROR_FD = 2


class LocalShell:
    """Runs commands on the machine that Orrery runs on, as the user that it runs as.

    A command is the first of a process group and session of its own: a Ctrl-C at the terminal is
    none of its business, and when its time is over, all that it started in its group ends with it.
    What it left running in the background when it ended goes on.

    Attributes:
        where: What to call it in an error.
    """

    where = "this machine"

    async def run(self, command: str, data: bytes = b"", *, timeout_s: float = 30) -> Finished:
        """Run a command to its end; see `Shell.run`."""
        running = _Running(Collected(self.where))
        transport = await _start(command, running)
        try:
            async with asyncio.timeout(timeout_s):
                _feed(transport, data)
                await running.ended
        except TimeoutError:
            raise too_late(self.where, timeout_s) from None
        finally:
            await _end(transport, running)
        status = transport.get_returncode() or 0
        return Finished(
            status if status >= 0 else 128 - status, bytes(running.got.out), bytes(running.got.err)
        )


async def _start(command: str, running: _Running) -> asyncio.SubprocessTransport:
    starting = asyncio.ensure_future(
        asyncio.get_running_loop().subprocess_exec(
            lambda: running,
            _SHELL,
            "-c",
            command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
    )
    try:
        transport, _ = await asyncio.shield(starting)
    except (OSError, ValueError) as error:
        raise HostError(f"no command can be started on this machine: {error}") from None
    except asyncio.CancelledError:
        # It may run already, and have started others, which asyncio would not end.
        with suppress(OSError, ValueError):
            transport, _ = await starting
            await _end(transport, running)
        raise
    return transport


class _Running(asyncio.SubprocessProtocol):
    """A command while it runs.

    Attributes:
        got: What it has written.
        ended: Done when it has ended and nobody holds its outputs any longer, or wrote too much.
        gone: Done when nothing of it is left in this process.
    """

    def __init__(self, got: Collected) -> None:
        loop = asyncio.get_running_loop()
        self.got = got
        self.ended: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self.ended.done():
            return
        try:
            self.got.add(data, error=fd == _ERROR_FD)
        except HostError as error:
            self.ended.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        if not self.gone.done():
            self.gone.set_result(None)


def _feed(transport: asyncio.SubprocessTransport, data: bytes) -> None:
    stdin = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
    stdin.write(data)
    stdin.write_eof()


async def _end(transport: asyncio.SubprocessTransport, running: _Running) -> None:
    if transport.get_returncode() is None:
        with suppress(ProcessLookupError):
            os.killpg(transport.get_pid(), signal.SIGKILL)
    transport.close()
    if not running.ended.done():
        running.ended.cancel()
    await running.gone
