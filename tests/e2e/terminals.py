"""A command at a terminal of 80 columns, as a person sees it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Self

from tests.e2e.processes import environment, plain
from tests.unit.server.serving import LIMIT_S

COLUMNS, LINES = 80, 24


class Terminal:
    """A command that runs at a terminal of its own.

    Args:
        arguments: of `orrery`.
        at: the directory where it runs.
    """

    def __init__(self, *arguments: str | Path, at: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        kept = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
        env = {name: value for name, value in environment().items() if name not in kept}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orrery", *map(str, arguments)],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=at,
                env=env | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
                start_new_session=True,
                # No thread of a test holds a lock that this needs.
                preexec_fn=_begin_session,  # noqa: PLW1509
            )
        finally:
            os.close(slave)
        self.sent = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """What it has written, without colours and movements."""
        return plain(self.sent).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        """The same, by lines; of a line that was written over, the last state."""
        return [line.rstrip("\r").rpartition("\r")[2] for line in self.text.split("\n")]

    def until(self, text: str, times: int = 1) -> None:
        """Wait until it has written a text, so many times."""
        give_up = time.monotonic() + LIMIT_S
        while self.text.count(text) < times:
            assert self._read(give_up), f"it ended after {self.text!r}"

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Wait for its end.

        Returns:
            Its exit status.
        """
        give_up = time.monotonic() + LIMIT_S
        while self._read(give_up):
            pass
        return self._process.wait(LIMIT_S)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def _read(self, give_up: float) -> bool:
        left = give_up - time.monotonic()
        assert left > 0, f"it wrote nothing more than {self.text!r}"
        if not select.select([self._master], [], [], left)[0]:
            return True
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # Linux: everybody at the other side has gone
            return False
        self.sent += data.decode()
        return bool(data)


def _begin_session() -> None:
    """Let Ctrl-C reach the command, and a hangup end it though who runs the tests ignores that."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def has_colour(text: str) -> bool:
    """Whether a text for a terminal is coloured."""
    return re.search(r"\x1b\[[0-9;]*[1-9][0-9;]*m", text) is not None
