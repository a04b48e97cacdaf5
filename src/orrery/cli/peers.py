"""`orrery peers`: whom the nodes of hosts know, and by which way."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption
from orrery.cli.hosting import HostsArgument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from orrery.fleet import Reply
    from orrery.fleet.node_models import Peer

_WATCH_INTERVAL_S = 10.0
"""Each look is a login at every host."""
_ROLES = ("PLANET", "MOON")


def peers(
    hosts: HostsArgument = None,
    home: HomeOption = HERE,
    roots: Annotated[
        bool, typer.Option("--roots", help="Only roots of a planet or moon that it holds.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            "-w",
            help="Ask again every ten seconds until Ctrl-C; JSON on one line each.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show whom the nodes of hosts know.

    Each `[[host]]` of orrery.toml is asked over its local API: its roots first, then other nodes,
    with version, latency and the path in use; without a path it is reached through a root. So you
    see whether a node has come to a new root. Exit status 1: one could not be asked.
    """
    from orrery.cli import output, watching
    from orrery.home import Home

    names = list(dict.fromkeys(hosts or ())) or None
    with Home.open(home) as opened:

        def replies() -> list[Reply[tuple[Peer, ...]]]:
            import asyncio

            from orrery.fleet import ask_hosts

            return asyncio.run(ask_hosts(opened, names, lambda api: api.peers()))

        def lines() -> list[Text]:
            return list(peer_lines(replies(), opened.clock(), only_roots=roots))

        def described() -> list[dict[str, Any]]:
            return [describe_reply(each, only_roots=roots) for each in replies()]

        if as_json and watch:
            watching.watch_json(described, _WATCH_INTERVAL_S)
            return
        if watch:
            watching.watch(lines, _WATCH_INTERVAL_S)
            return
        found = replies()
        if as_json:
            output.print_json([describe_reply(each, only_roots=roots) for each in found])
        else:
            output.print_lines(peer_lines(found, opened.clock(), only_roots=roots))
    raise typer.Exit(int(any(each.answer is None for each in found)))


def peer_lines(
    replies: Sequence[Reply[tuple[Peer, ...]]], now_ms: int, *, only_roots: bool
) -> Iterator[Text]:
    """For each host its name, and below it a line for each node that it knows.

    Args:
        replies: what the hosts said.
        now_ms: the clock.
        only_roots: whether other nodes are left out.
    """
    from rich.text import Text

    from orrery.cli import output

    for number, reply in enumerate(replies):
        if number:
            yield Text()
        yield Text(reply.host, style="bold")
        if reply.answer is None:
            yield from (Text(line, style="red") for line in output.wrap(reply.error))
            continue
        listed = _listed(reply.answer, only_roots=only_roots)
        if not listed:
            yield Text("it knows no root" if only_roots else "it knows nobody")
            continue
        rows: list[tuple[str, ...]] = [("node", "role", "version", "latency", "heard", "path")]
        rows += [_row(peer, now_ms) for peer in listed]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for position, row in enumerate(rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            yield Text("  ".join(cells).rstrip(), style="" if position else "cyan")


def describe_reply(reply: Reply[tuple[Peer, ...]], *, only_roots: bool) -> dict[str, Any]:
    """What a host said, for programs."""
    from orrery.wire.address import format_address

    return {
        "host": reply.host,
        "error": reply.error or None,
        "peers": None
        if reply.answer is None
        else [
            {
                "node": format_address(peer.address),
                "role": peer.role.lower(),
                "version": peer.version,
                "latency_ms": peer.latency_ms,
                "path": None if peer.path is None else str(peer.path.endpoint),
                "heard_at_ms": None if peer.path is None else peer.path.last_receive_ms,
            }
            for peer in _listed(reply.answer, only_roots=only_roots)
        ],
    }


def _listed(peers: Sequence[Peer], *, only_roots: bool) -> list[Peer]:
    """Roots first; those of a planet before those of a moon."""
    shown = [peer for peer in peers if peer.is_root or not only_roots]
    order = {role: number for number, role in enumerate(_ROLES)}
    return sorted(shown, key=lambda peer: (order.get(peer.role, len(order)), peer.address))


def _row(peer: Peer, now_ms: int) -> tuple[str, ...]:
    from orrery.spans import format_age
    from orrery.wire.address import format_address

    path = peer.path
    return (
        format_address(peer.address),
        peer.role.lower(),
        peer.version or "-",
        "-" if peer.latency_ms is None else f"{peer.latency_ms} ms",
        "-"
        if path is None or not path.last_receive_ms
        else format_age(now_ms - path.last_receive_ms),
        "through a root" if path is None else str(path.endpoint),
    )
