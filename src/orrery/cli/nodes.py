"""`orrery nodes`: every node with its revision, path, software version and last seen."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption
from orrery.cli.watching import WatchOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from orrery.cli.adoption import Held
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
    outdated: Annotated[
        bool,
        typer.Option(
            "--outdated",
            help="By versions of ZeroTier One, those that run an older one than another node does.",
        ),
    ] = False,
    below: Annotated[
        str | None,
        typer.Option("--below", metavar="VERSION", help="With --outdated: older than 1.14.0."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only the node of these 10 hex digits.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 1_000,
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the nodes, last seen first.

    The columns of Worlds say which revision of how many a node holds: `2/3`; `other` another
    planet, `fork` a World with this id that is not of this chain, `waits` a moon that it wants
    and does not have, `-` nothing.
    """
    from orrery.cli import output, watching
    from orrery.cli.arguments import read_argument
    from orrery.cli.versions import describe_groups, group_lines, group_outdated, read_version
    from orrery.errors import UsageError
    from orrery.home import Home
    from orrery.spans import parse_span_ms
    from orrery.wire.address import parse_address

    span_ms = None if seen is None else parse_span_ms(seen)
    wanted = None if address is None else read_argument("--address", address, parse_address)

    limit_version = None if below is None else read_argument("--below", below, read_version)
    if below is not None and not outdated:
        raise UsageError("--below says what is --outdated: give both")

    nobody = "no node has been seen yet"
    if seen is not None or wanted is not None:
        nobody = "no such node has been seen"
    if behind:
        nobody = "no such node is behind"

    with Home.open(home) as opened:

        def listed() -> tuple[list[Chain], list[NodeRecord]]:
            chains = [opened.store.chain(world.id) for world in opened.served_worlds()]
            found = opened.store.nodes(
                address=wanted,
                seen_since_ms=0 if span_ms is None else opened.clock() - span_ms,
                limit=1_000_000 if behind or outdated else limit,
            )
            kept = [node for node in found if not behind or _is_behind(node, chains)]
            return chains, kept if outdated else kept[:limit]

        def described() -> list[dict[str, Any]]:
            chains, found = listed()
            if outdated:
                return describe_groups(group_outdated(found, limit_version))
            return [_describe(node, chains) for node in found]

        def lines() -> list[Text]:
            chains, found = listed()
            if outdated:
                if not found:
                    from rich.text import Text

                    return [Text(nobody)]
                groups = group_outdated(found, limit_version)
                return list(group_lines(groups, limit_version, opened.clock()))
            return _lines(opened, nobody, chains, found)

        if as_json and watch:
            watching.watch_json(described)
        elif as_json:
            output.print_json(described())
        elif watch:
            watching.watch(lines)
        else:
            output.print_lines(lines())


def _is_behind(node: NodeRecord, chains: Sequence[Chain]) -> bool:
    """Whether a node lacks the newest revision of the planet, or of a moon that it orbits."""
    from orrery.cli.adoption import held_by
    from orrery.wire.world import WorldType

    held = {held.world_id: held for held in held_by(node, chains)}
    return any(
        held[chain.world_id].behind != 0
        if chain.world_id in held
        else chain.newest.type is WorldType.PLANET
        for chain in chains
    )


def _describe(node: NodeRecord, chains: Sequence[Chain]) -> dict[str, Any]:
    from orrery.cli.adoption import held_by
    from orrery.cli.output import iso_time
    from orrery.wire.signature import fingerprint

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
                "known_at_ms": held.known_at_ms,
                "how": held.how,
                "fork": held.fork
                and {
                    "next_signer": fingerprint(held.fork.wanted_key or b""),
                    "roots": [f"{address:010x}" for address in held.fork.roots],
                    "first_seen_ms": held.fork.first_at_ms,
                },
            }
            for held in held_by(node, chains)
        ],
    }


def _lines(home: Home, nobody: str, chains: list[Chain], found: list[NodeRecord]) -> list[Text]:
    """A table with one line a node, whose path goes on a line of its own where it has no room."""
    from rich.text import Text

    from orrery.cli.adoption import held_by
    from orrery.spans import format_age
    from orrery.wire.world import WorldType

    if not found:
        return [Text(nobody)]
    now_ms = home.clock()
    worlds = [
        "planet" if chain.newest.type is WorldType.PLANET else f"{chain.world_id:010x}"
        for chain in chains
    ]
    rows = [[Text(name, style="cyan") for name in ("node", *worlds, "seen", "version", "path")]]
    for node in found:
        held = {held.world_id: held for held in held_by(node, chains)}
        rows.append(
            [
                Text(f"{node.address:010x}"),
                *(_name_held(node, held.get(chain.world_id), chain) for chain in chains),
                Text(format_age(now_ms - node.last_seen_ms)),
                Text(".".join(map(str, node.version))),
                Text(node.path),
            ]
        )
    return list(_table(rows))


def _table(rows: list[list[Text]]) -> Iterator[Text]:
    from rich.text import Text

    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    widths = [
        max(cell.cell_len for cell in column) for column in list(zip(*rows, strict=True))[:-1]
    ]
    for *cells, last in rows:
        line = Text()
        for cell, width in zip(cells, widths, strict=True):
            line.append_text(cell)
            line.pad_right(width + 2 - cell.cell_len)
        if room is not None and line.cell_len + last.cell_len > room:
            line.rstrip()
            yield line
            line = Text("  ")
        line.append_text(last)
        yield line


def _name_held(node: NodeRecord, held: Held | None, chain: Chain) -> Text:
    """Which revision of how many, in one word: `2/3`."""
    from rich.text import Text

    from orrery.wire.world import WorldType

    if held is None:
        other = chain.newest.type is WorldType.PLANET and node.planet_id
        return Text("other", style="red") if other else Text("-")
    if held.revision is None:
        return Text("fork", style="red") if held.timestamp_ms else Text("waits", style="yellow")
    return Text(f"{held.revision}/{len(chain)}", style="yellow" if held.behind else "green")
