"""`orrery serve` in a process of its own, as whoever started it sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from orrery.errors import ServiceError

_READY_LIMIT_S = 30
_END_LIMIT_S = 10
_LOG_LINES = 20


class ServeProcess:
    """A root. Use `ServeProcess.start`, and `end` it.

    Attributes:
        log: the file that it writes its log into.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self.log = log

    @classmethod
    async def start(cls, home: Path, log: Path, options: Sequence[str] = ()) -> Self:
        """Start a root and wait until it says that it is ready, as systemd would.

        Args:
            home: its home.
            log: its log, which is written on.
            options: for `orrery serve`, beside the home.

        Raises:
            ServiceError: it ended, or was not ready in time.
        """
        ready_path = log.with_suffix(".ready")
        ready_path.unlink(missing_ok=True)
        with (
            log.open("ab") as written,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
        ):
            ready.setblocking(False)
            ready.bind(str(ready_path))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "orrery", "serve", "--home", str(home), *options),
                stdout=written,
                stderr=written,
                env={**os.environ, "NOTIFY_SOCKET": str(ready_path)},
            )
            served = cls(process, log)
            told = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(ready, 100))
            ended = asyncio.ensure_future(process.wait())
            try:
                await asyncio.wait(
                    [told, ended], timeout=_READY_LIMIT_S, return_when=asyncio.FIRST_COMPLETED
                )
                if not told.done():
                    raise ServiceError(f"a root does not start; its log says:\n{served.log_tail()}")
            except BaseException:
                await served.end(signal.SIGKILL)
                raise
            finally:
                told.cancel()
                ended.cancel()
        return served

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal and wait for its end; who does not go is killed."""
        if not self.is_running:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        try:
            async with asyncio.timeout(_END_LIMIT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def log_tail(self) -> str:
        """The last it said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
