"""`orrery nodes`: every node with its revision, path, software version and last seen."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from orrery.home import Home
    from orrery.store import NodeRecord
    from orrery.worlds.chain import Chain


def nodes(
    home: HomeOption = HERE,
    seen: Annotated[
        str | None,
        typer.Option("--seen", metavar="SPAN", help="Only nodes seen in the last 10m, 36h, 7d …"),
    ] = None,
    behind: Annotated[
        bool, typer.Option("--behind", help="Only nodes that lack the newest revision of a World.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only the node of these 10 hex digits.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 1_000,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again each second.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the nodes, last seen first."""
    from orrery.cli import output, watching
    from orrery.home import Home
    from orrery.spans import parse_span_ms
    from orrery.wire.address import parse_address

    span_ms = None if seen is None else parse_span_ms(seen)
    wanted = None if address is None else parse_address(address)

    with Home.open(home) as opened:

        def listed() -> tuple[list[Chain], list[NodeRecord]]:
            chains = [opened.store.chain(world.id) for world in opened.served_worlds()]
            found = opened.store.nodes(
                address=wanted,
                seen_since_ms=0 if span_ms is None else opened.clock() - span_ms,
                limit=1_000_000 if behind else limit,
            )
            kept = [node for node in found if not behind or _is_behind(node, chains)]
            return chains, kept[:limit]

        if as_json:
            chains, found = listed()
            output.print_json([_describe(node, chains) for node in found])
        elif watch:
            watching.watch(lambda: _render(opened, *listed()))
        else:
            from rich.console import Console

            Console(highlight=False).print(_render(opened, *listed()))


def _is_behind(node: NodeRecord, chains: Sequence[Chain]) -> bool:
    from orrery.cli.adoption import held_by

    return any(held.behind != 0 for held in held_by(node, chains))


def _describe(node: NodeRecord, chains: Sequence[Chain]) -> dict[str, Any]:
    from orrery.cli.adoption import held_by
    from orrery.cli.output import iso_time

    return {
        "address": f"{node.address:010x}",
        "path": node.path,
        "version": ".".join(map(str, node.version)),
        "protocol": node.protocol,
        "first_seen_ms": node.first_seen_ms,
        "last_seen_ms": node.last_seen_ms,
        "last_seen": iso_time(node.last_seen_ms),
        "planet_id": f"{node.planet_id:016x}",
        "planet_timestamp_ms": node.planet_timestamp_ms,
        "worlds": [
            {
                "id": f"{held.world_id:016x}",
                "timestamp_ms": held.timestamp_ms,
                "revision": held.revision,
                "behind": held.behind,
                "since_ms": held.since_ms,
                "how": held.how,
            }
            for held in held_by(node, chains)
        ],
    }


def _render(home: Home, chains: list[Chain], found: list[NodeRecord]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    from orrery.cli.adoption import held_by
    from orrery.spans import format_age

    if not found:
        return Text("no node has been seen")
    now_ms = home.clock()
    table = Table(box=None, pad_edge=False, header_style="cyan")
    for heading in ("node", "path", "version", "seen", "holds"):
        table.add_column(heading, no_wrap=heading != "holds")
    for node in found:
        holds = Text("\n").join(
            _name_held(held.world_id, held.timestamp_ms, held.revision, held.behind, chains)
            for held in held_by(node, chains)
        )
        table.add_row(
            f"{node.address:010x}",
            node.path,
            ".".join(map(str, node.version)),
            format_age(now_ms - node.last_seen_ms),
            holds if holds.plain else Text("another planet", style="yellow"),
        )
    return table


def _name_held(
    world_id: int,
    timestamp_ms: int,
    revision: int | None,
    behind: int | None,
    chains: list[Chain],
) -> Text:
    from rich.text import Text

    several = f"{world_id:x}: " if len(chains) > 1 else ""
    if revision is None:
        what = f"not ours, {timestamp_ms}" if timestamp_ms else "waits for it"
        return Text(several + what, style="red" if timestamp_ms else "yellow")
    if behind:
        return Text(f"{several}{revision}, {behind} behind", style="yellow")
    return Text(f"{several}{revision}", style="green")
