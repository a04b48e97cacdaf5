"""Deploys to all hosts of a home, and kills itself before a command.

python -m tests.fleet.deploying_process HOME NUMBER
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orrery.fleet import deploy, deploying
from orrery.home import Home
from tests.fleet.bed import Cuts, cut_commands

if TYPE_CHECKING:
    from orrery.fleet.shell import Finished, Shell


class _Kill(Cuts):
    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    async def run(self, shell: Shell, command: str, data: bytes, timeout_s: float) -> Finished:
        if len(self.commands) + 1 == self._number:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().run(shell, command, data, timeout_s)


def main(path: str, number: str) -> None:
    """Do it."""
    with pytest.MonkeyPatch.context() as patch, Home.open(Path(path)) as home:
        patch.setattr(deploying, "POLL_S", 0.05)
        cut_commands(patch, _Kill(int(number)))
        asyncio.run(deploy(home))


if __name__ == "__main__":
    main(*sys.argv[1:])
