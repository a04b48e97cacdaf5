"""`orrery status`: roots, chain and adoption of every World of a home."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orrery.cli.adoption import Adoption
    from orrery.home import Home

_BAR = 30
SeenOption = Annotated[
    str, typer.Option("--seen", metavar="SPAN", help="Count nodes seen in the last 10m, 36h, 7d …")
]


def status(
    home: HomeOption = HERE,
    seen: SeenOption = "1h",
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again each second.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the Worlds, whether the server runs, and how many nodes hold which revision."""
    from orrery.cli import output, watching
    from orrery.home import Home
    from orrery.spans import parse_span_ms

    span_ms = parse_span_ms(seen)
    with Home.open(home) as opened:
        if as_json:
            output.print_json(_describe(opened, span_ms))
        elif watch:
            watching.watch(lambda: _render(opened, span_ms, seen))
        else:
            from rich.console import Console

            Console(highlight=False).print(_render(opened, span_ms, seen))


def is_serving(home: Home) -> bool:
    """Whether a server has this home."""
    from filelock import FileLock, Timeout

    path = home.path / "serve.lock"
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _adoptions(home: Home, span_ms: int) -> list[Adoption]:
    from orrery.cli.adoption import adoption_of

    since_ms = home.clock() - span_ms
    return [adoption_of(home.store, world.id, since_ms) for world in home.served_worlds()]


def _describe(home: Home, span_ms: int) -> dict[str, Any]:
    from orrery.cli.output import iso_time
    from orrery.wire.signature import fingerprint

    worlds = []
    for adoption in _adoptions(home, span_ms):
        newest = adoption.chain.newest
        worlds.append(
            {
                "type": newest.type.name.lower(),
                "id": f"{newest.id:016x}",
                "revisions": len(adoption.chain),
                "timestamp_ms": newest.timestamp_ms,
                "time": iso_time(newest.timestamp_ms),
                "next_signer": fingerprint(newest.updates_must_be_signed_by),
                "roots": [
                    {
                        "address": f"{root.identity.address:010x}",
                        "endpoints": [str(endpoint) for endpoint in root.endpoints],
                    }
                    for root in newest.roots
                ],
                "nodes": adoption.nodes,
                "adopted": adoption.adopted,
                "levels": [
                    {
                        "revision": level.revision,
                        "timestamp_ms": level.timestamp_ms,
                        "nodes": level.nodes,
                    }
                    for level in adoption.levels
                ],
            }
        )
    return {"home": str(home.path), "serving": is_serving(home), "worlds": worlds}


def _render(home: Home, span_ms: int, seen: str) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    serving = is_serving(home)
    state = ("running", "green") if serving else ("not running: orrery serve", "yellow")
    parts: list[RenderableType] = [Text.assemble("server  ", state)]
    for adoption in _adoptions(home, span_ms):
        parts += ["", *_render_world(adoption, seen)]
    return Group(*parts)


def _render_world(adoption: Adoption, seen: str) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    from orrery.cli.output import iso_time
    from orrery.wire.signature import fingerprint

    newest = adoption.chain.newest
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan", no_wrap=True)
    facts.add_column()
    facts.add_row("revision", f"{len(adoption.chain)}, {iso_time(newest.timestamp_ms)}")
    facts.add_row("next signer", fingerprint(newest.updates_must_be_signed_by))
    for number, root in enumerate(newest.roots):
        endpoints = ", ".join(str(endpoint) for endpoint in root.endpoints)
        facts.add_row("" if number else "roots", f"{root.identity.address:010x}  {endpoints}")
    title = Text(f"{newest.type.name.lower()} {newest.id:016x}", style="bold")
    if not adoption.nodes:
        facts.add_row("nodes", f"none seen in the last {seen}")
        return [title, facts]
    share = adoption.adopted / adoption.nodes
    bar = "█" * int(share * _BAR)
    style = "green" if share == 1 else "yellow"
    told = f" {adoption.adopted} of {adoption.nodes} nodes seen in the last {seen}"
    facts.add_row("adopted", Text.assemble((bar.ljust(_BAR, "░"), style), told))
    for level in adoption.levels:
        facts.add_row("", f"{_name_level(level.revision, level.timestamp_ms)}: {level.nodes}")
    return [title, facts]


def _name_level(revision: int | None, timestamp_ms: int) -> str:
    if revision is not None:
        return f"revision {revision}"
    return f"not of this chain, {timestamp_ms}" if timestamp_ms else "waiting for it"
