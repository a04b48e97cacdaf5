"""One steady clock for the protocol, and its relation to the wall clock for the records."""

from __future__ import annotations

import time


class Clock:
    """Milliseconds that never step.

    They start as those since 1970, so that they look right in packets, and go on by the monotonic
    clock: a wall clock that is set an hour back must not hold up what is due in a second.
    """

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """The steady time."""
        return (time.monotonic_ns() + self._offset_ns) // 1_000_000

    def wall_ms(self, steady_ms: int) -> int:
        """What the wall clock, as it goes now, says of a steady time."""
        behind_ns = time.time_ns() - time.monotonic_ns() - self._offset_ns
        return steady_ms + behind_ns // 1_000_000
