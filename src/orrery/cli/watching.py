"""`--watch`: the same view again and again, on a terminal in place."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

INTERVAL_S = 1.0


def watch(render: Callable[[], RenderableType]) -> None:
    """Show `render()` until Ctrl-C: in place on a terminal, one after another in a pipe."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    try:
        if not sys.stdout.isatty():
            while True:
                console.print(render())
                sys.stdout.flush()
                time.sleep(INTERVAL_S)
        with Live(render(), console=console, auto_refresh=False, screen=False) as live:
            while True:
                time.sleep(INTERVAL_S)
                live.update(render(), refresh=True)
    except KeyboardInterrupt:
        return
