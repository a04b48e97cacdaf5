"""`--watch`: the same view again and again, on a terminal in place."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.text import Text

INTERVAL_S = 1.0
WatchOption = Annotated[
    bool,
    typer.Option(
        "--watch", "-w", help="Show it again each second until Ctrl-C; JSON on one line each."
    ),
]


def watch(lines: Callable[[], list[Text]], interval_s: float = INTERVAL_S) -> None:
    """Show lines until Ctrl-C: in place on a terminal, one view after another in a pipe."""
    from rich.console import Console, Group
    from rich.live import Live

    from orrery.cli import output

    try:
        if not sys.stdout.isatty():
            while True:
                output.print_lines(lines())
                print(flush=True)
                time.sleep(interval_s)
        console = Console(highlight=False)
        with Live(
            Group(*lines()),
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live:
            while True:
                time.sleep(interval_s)
                live.update(Group(*lines()), refresh=True)
    except KeyboardInterrupt:
        return


def watch_json(describe: Callable[[], object], interval_s: float = INTERVAL_S) -> None:
    """Print a value again and again until Ctrl-C, each time as one line of JSON."""
    try:
        while True:
            print(json.dumps(describe()), flush=True)
            time.sleep(interval_s)
    except KeyboardInterrupt:
        return
