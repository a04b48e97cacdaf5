"""Backups at their times, as `[backup]` in orrery.toml says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from orrery.errors import OrreryError
from orrery.home import Home
from orrery.home.backing_up import back_up, due_in_ms
from orrery.server.logs import Trouble

LOOK_S = 60.0
"""How often orrery.toml is read, and how soon is tried again what failed."""
MAX_TRACES = 10
"""Traces of bugs that are logged."""

log = structlog.get_logger("orrery.server")


class Backups:
    """Makes the backups of a home, from `run` until it is cancelled.

    Every server of a home has one; the home's lock lets one of them make a backup that is due.

    Args:
        open_home: opens the home for this alone.
        wall_ms: the wall clock.
    """

    def __init__(self, open_home: Callable[[], Home], wall_ms: Callable[[], int]) -> None:
        self._open_home = open_home
        self._wall_ms = wall_ms

    async def run(self) -> None:
        """Make backups until cancelled; what goes wrong is told once, and tried again."""
        trouble = Trouble("making backups")
        bugs = 0
        while True:
            wait_s = LOOK_S
            try:
                wait_s = await asyncio.to_thread(self.look)
                trouble.end()
            except OrreryError as error:
                trouble.begin(error)
            except Exception as error:
                # A bug of ours must not stop the root for everybody.
                bugs += 1
                if bugs <= MAX_TRACES:
                    log.error("bug", exc_info=error)
            await asyncio.sleep(wait_s)

    def look(self) -> float:
        """Make a backup if it is time for one.

        Returns:
            When to look again, in seconds.

        Raises:
            OrreryError: it cannot be made.
        """
        with self._open_home() as home:
            wanted = home.settings().backup
            if wanted is None:
                return LOOK_S
            due_ms = due_in_ms(home, wanted, self._wall_ms())
            if not due_ms:
                home.acquire()
                now_ms = self._wall_ms()
                due_ms = due_in_ms(home, wanted, now_ms)  # another server may have been faster
                if not due_ms:
                    log.info("backup", file=str(back_up(home, wanted, now_ms, "scheduled")))
                    due_ms = wanted.every_ms
        return min(due_ms / 1000, LOOK_S)
