"""`orrery demo`: a planet that updates itself, on this machine in half a minute."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from orrery.lab.demo import DemoEnded, DemoEvent

_COLUMNS = 4


def demo(
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Leave the root's home and its log here, to look at."
        ),
    ] = None,
) -> None:
    """Watch a planet update itself on this machine.

    A root and 25 virtual nodes on loopback: publish, rotate the key twice, wake sleepers. Ends with
    status 0 if every node took every revision and the root has confirmed it, else 1.
    """
    import asyncio
    import contextlib
    import tempfile

    from rich.console import Console

    from orrery.errors import ConflictError

    with contextlib.ExitStack() as stack:
        if keep is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orrery-")))
        elif keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise ConflictError(f"{keep} is not empty: name a directory that is, or a new one")
        else:
            keep.mkdir(parents=True, exist_ok=True)
            directory = keep
        console = Console(highlight=False)
        ended = asyncio.run(_play(directory, console))
        console.print(_table(ended))
        console.print(_summary(ended))
        if not ended.passed:
            raise typer.Exit(1)


async def _play(directory: Path, console: Console) -> DemoEnded:
    from rich.live import Live

    from orrery.lab.demo import DemoEnded, run_demo

    view = _View()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        async for event in run_demo(directory):
            if isinstance(event, DemoEnded):
                return event
            for line in view.take(event):
                live.console.print(line)
            if console.is_terminal:
                live.update(view.render(), refresh=True)
    raise AssertionError("the demo always tells its end")


class _View:
    """Who has what, as the demo goes on."""

    def __init__(self) -> None:
        self._made = ""
        self._cells: dict[int, tuple[int, float]] = {}
        self._confirmed: dict[int, int] = {}
        self._online: set[int] = set()
        self._asleep: set[int] = set()

    def take(self, event: DemoEvent) -> list[RenderableType]:
        """Note an event; returns the lines to print for it."""
        from rich.text import Text

        from orrery.lab import demo

        match event:
            case demo.StepBegun(text):
                return [Text.assemble(("• ", "cyan"), text)]
            case demo.NodesMade(done, of):
                self._made = f"identities with their proof of work: {done} of {of}"
            case demo.NodeOnline(node):
                self._online.add(node)
            case demo.RevisionPublished(revision, world, change):
                told = f"  revision {revision}: {change}, timestamp {world.timestamp_ms}"
                return [Text(told, style="bold")]
            case demo.RevisionAdopted(node, revision, after_ms):
                self._cells[node] = revision, after_ms
            case demo.RevisionConfirmed(node, revision, _):
                self._confirmed[node] = max(revision, self._confirmed.get(node, 0))
            case demo.NodesAsleep(nodes):
                self._asleep = set(nodes)
            case demo.NodesWoken():
                self._asleep = set()
        return []

    def render(self) -> RenderableType:
        """The nodes in a grid: revision and milliseconds after `publish`."""
        from rich.table import Table
        from rich.text import Text

        if not self._online:
            return Text(f"  {self._made}", style="dim")
        grid = Table.grid(padding=(0, 1))
        nodes = sorted(self._online)
        for start in range(0, len(nodes), _COLUMNS):
            grid.add_row(*(self._cell(node) for node in nodes[start : start + _COLUMNS]))
        return grid

    def _cell(self, node: int) -> Text:
        from rich.text import Text

        name = f"{node + 1:>3} "
        if node in self._asleep:
            return Text.assemble(name, ("asleep".ljust(15), "dim"))
        if node not in self._cells:
            return Text.assemble(name, ("rev 1".ljust(15), "yellow"))
        revision, after_ms = self._cells[node]
        known = self._confirmed.get(node, 0) >= revision
        told = f"rev {revision} {_milliseconds(after_ms)}{' ✓' if known else ''}"
        return Text.assemble(name, (told.ljust(15), "green" if known else "yellow"))


def _milliseconds(after_ms: float | None) -> str:
    if after_ms is None:
        return "never"
    return f"{after_ms:.0f} ms" if after_ms < 10_000 else f"{after_ms / 1000:.1f} s"


def _table(ended: DemoEnded) -> RenderableType:
    from rich.table import Table

    table = Table(
        title="milliseconds from publish until each node had it",
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="cyan",
    )
    table.add_column("node")
    for revision in ended.revisions:
        table.add_column(f"revision {revision}", justify="right")
    table.add_column("after waking", justify="right")
    table.add_column("confirmed")
    for node in ended.nodes:
        table.add_row(
            f"{node.address:010x}",
            *(_milliseconds(after_ms) for after_ms in node.after_ms),
            _milliseconds(node.after_waking_ms) if node.slept else "",
            "yes" if node.confirmed else "no",
            style=None if node.passed else "red",
        )
    return table


def _summary(ended: DemoEnded) -> RenderableType:
    from rich.text import Text

    passed = sum(node.passed for node in ended.nodes)
    if ended.passed:
        told = f"all {passed} nodes took every revision, in {ended.took_s:.0f} s of demo"
        return Text(told, style="bold green")
    return Text(f"only {passed} of {len(ended.nodes)} nodes took every revision", style="bold red")
