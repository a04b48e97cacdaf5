"""`orrery moon`: nodes of hosts that are to orbit a moon, or to leave it."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption, home_option
from orrery.cli.hosting import HostsArgument

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orrery.fleet import Reply
    from orrery.home import Home
    from orrery.wire.address import Address
    from orrery.worlds.chain import Chain

app = typer.Typer(
    help="Let nodes of hosts orbit a moon, or leave it, without a restart.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_ID = re.compile(r"[0-9a-fA-F]{1,16}")
MoonArgument = Annotated[
    str, typer.Argument(metavar="MOON", help="Name of a moon of orrery.toml, or the id of any.")
]


class Meant(NamedTuple):
    """The moon that is meant.

    Attributes:
        id: its id.
        name: what to call it.
        chain: its revisions, where this home publishes it.
    """

    id: int
    name: str
    chain: Chain | None


@app.command()
def orbit(
    moon: MoonArgument,
    hosts: HostsArgument = None,
    home: HomeOption = HERE,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A root of the moon; needed for one that is not in orrery.toml.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let the nodes of hosts orbit a moon.

    They ask a root of it for the moon, and take its later revisions by themselves. The command
    waits until each holds it, for the `timeout` of [deploy]. Exit status 1: one does not yet.
    """
    import asyncio

    from orrery.fleet import ask_hosts
    from orrery.fleet import orbit as orbit_moon
    from orrery.home import Home

    with Home.open(home) as opened:
        meant = choose_moon(opened, moon)
        seeds = _seeds(meant, seed)
        timeout_s = opened.settings().deploy.timeout_ms / 1000
        names = list(dict.fromkeys(hosts or ())) or None
        replies = asyncio.run(
            ask_hosts(opened, names, lambda api: orbit_moon(api, meant.id, seeds, timeout_s))
        )
    held = [(each, None if each.answer is None else each.answer.timestamp_ms) for each in replies]
    told = [
        (
            each,
            not each.error and ms is not None,
            _held_sentence(meant, each, ms, (timeout_s, home)),
        )
        for each, ms in held
    ]
    _conclude(meant, told, {each.host: {"timestamp_ms": ms} for each, ms in held}, as_json)


@app.command()
def leave(
    moon: MoonArgument,
    hosts: HostsArgument = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Let the nodes of hosts leave a moon.

    They forget it, and remove its file. A root of the moon that is to serve it needs it: leave it
    there. Exit status 1: one could not be asked.
    """
    import asyncio

    from orrery.fleet import ask_hosts
    from orrery.fleet import leave as leave_moon
    from orrery.home import Home

    with Home.open(home) as opened:
        meant = choose_moon(opened, moon)
        names = list(dict.fromkeys(hosts or ())) or None
        replies = asyncio.run(ask_hosts(opened, names, lambda api: leave_moon(api, meant.id)))
    told = [
        (
            each,
            each.answer is not None,
            each.error or _left_sentence(meant, had_it=bool(each.answer)),
        )
        for each in replies
    ]
    _conclude(meant, told, {each.host: {"had_it": each.answer} for each in replies}, as_json)


def choose_moon(home: Home, name: str) -> Meant:
    """The moon with this name in orrery.toml, or with this id.

    Args:
        home: the home.
        name: the name or id.

    Raises:
        UsageError: there is none of this name, it is a planet, or no node takes it this way.
    """
    from orrery.errors import UsageError
    from orrery.wire.world import WorldType

    settings = home.settings()
    listed = {world.id: world for world in settings.worlds}
    if name not in {world.name for world in settings.worlds} and _ID.fullmatch(name):
        world = listed.get(int(name, 16))
        if world is None:
            return Meant(int(name, 16), f"moon {int(name, 16):016x}", None)
    else:
        world = settings.world(name)
    if world.type is not WorldType.MOON:
        raise UsageError(
            f"{world.name!r} is a planet, which every node has one of: put it onto hosts with "
            "`orrery deploy`"
        )
    chain = home.store.chain(world.id) if home.store.newest(world.id) is not None else None
    return Meant(world.id, f"moon {world.name!r}", chain)


def _seeds(meant: Meant, seed: str | None) -> Sequence[Address]:
    from orrery.errors import DecodeError, UsageError
    from orrery.wire.address import parse_address

    if seed is not None:
        try:
            return [parse_address(seed)]
        except DecodeError as error:
            raise UsageError(f"--seed: {error}") from None
    if meant.chain is None:
        raise UsageError(
            f"{meant.name} is none that this home has published: name one of its roots with --seed"
        )
    return [root.identity.address for root in meant.chain.newest.roots]


def _left_sentence(meant: Meant, *, had_it: bool) -> str:
    if had_it:
        return f"has left {meant.name}"
    return f"did not hold {meant.name}, and does not ask for it any more"


def _held_sentence(
    meant: Meant, reply: Reply[Any], timestamp_ms: int | None, told: tuple[float, Path]
) -> str:
    timeout_s, home = told
    if reply.error:
        return reply.error
    if timestamp_ms is None:
        return (
            f"waits for {meant.name}: no root of it has answered within {timeout_s:.0f} s; it goes "
            f"on asking, and `orrery hosts{home_option(home)}` tells when it has it"
        )
    numbers = {
        revision.timestamp_ms: number for number, revision in enumerate(meant.chain or (), start=1)
    }
    number = numbers.get(timestamp_ms)
    return f"holds revision {timestamp_ms if number is None else number} of {meant.name}"


def _conclude(
    meant: Meant,
    told: Sequence[tuple[Reply[Any], bool, str]],
    details: dict[str, dict[str, Any]],
    as_json: bool,
) -> None:
    """Print what became of each host, and end."""
    from rich.text import Text

    from orrery.cli import output

    if as_json:
        hosts = [
            {"host": reply.host, "good": good, "error": reply.error or None, **details[reply.host]}
            for reply, good, _ in told
        ]
        output.print_json({"moon": f"{meant.id:016x}", "hosts": hosts})
    else:
        indent = max((len(reply.host) for reply, _, _ in told), default=0) + 2
        for reply, good, sentence in told:
            for number, line in enumerate(output.wrap(sentence, indent)):
                label = "" if number else reply.host
                style = "" if good else "red"
                output.print_lines([output.labelled(label, Text(line, style=style), indent)])
    raise typer.Exit(int(not all(good for _, good, _ in told)))
