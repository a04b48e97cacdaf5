"""What commands that work on hosts have in common: how they name them, and which node is which."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import HERE, home_option

if TYPE_CHECKING:
    from orrery.fleet import Outcome
    from orrery.home import Home
    from orrery.home.settings import HostSettings, Settings
    from orrery.wire.address import Address

    HostNames = Mapping[Address, str]

_MOST_NAMED = 8


def host_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of hosts for the shell to complete; what is wrong is told by the command itself."""
    from orrery.errors import OrreryError
    from orrery.home.settings import FILE_NAME, Settings

    try:
        settings = Settings.load(Path(ctx.params.get("home") or HERE) / FILE_NAME)
    except OrreryError:
        return []
    given = ctx.params.get("hosts") or ()
    return [
        host.name
        for host in settings.hosts
        if host.name.startswith(incomplete) and host.name not in given
    ]


HostsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="HOST",
        help="Names of hosts of orrery.toml; all of them where none is named.",
        autocompletion=host_names,
    ),
]


def hosts_of_nodes(
    settings: Settings, world: str | None = None, *, by_name: bool = False
) -> HostNames:
    """Which host each node is, of those of which orrery.toml tells it.

    Args:
        settings: what orrery.toml says.
        world: only hosts that are to have the World of this name.
        by_name: whether a host without `node` is presumed to be the root of its name: good for
            naming a command to a person, who sees what it is about.
    """
    hosts = [host for host in settings.hosts if _is_for(host, world)]
    found = {host.node: host.name for host in hosts if host.node is not None}
    if by_name:
        roots = {
            root.name: root.identity.address for each in settings.worlds for root in each.roots
        }
        for host in hosts:
            if host.node is None and host.name in roots:
                found.setdefault(roots[host.name], host.name)
    return found


def _is_for(host: HostSettings, world: str | None) -> bool:
    return world is None or host.worlds is None or world in host.worlds


def find_hosts(home: Home, settings: Settings, world: str, *, quiet: bool) -> HostNames:
    """Which host each node is; those of which orrery.toml does not tell it are asked.

    Args:
        home: the home.
        settings: what orrery.toml says.
        world: only hosts that are to have the World of this name.
        quiet: do not tell whom nobody could ask.
    """
    import asyncio

    from orrery.cli import output
    from orrery.fleet import look_at

    found = dict(hosts_of_nodes(settings, world))
    unknown = [host.name for host in settings.hosts if host.node is None and _is_for(host, world)]
    for view in asyncio.run(look_at(home, unknown)) if unknown else ():
        if view.node is not None:
            found.setdefault(view.node, view.name)
        elif not quiet:
            output.warn(
                f"it is not known which node host {view.name} is: say `node` of it in orrery.toml"
                + (f"; {view.error}" if view.error else "")
            )
    return found


def deploy_command(names: Iterable[str], home: Path) -> str:
    """The command that deploys these hosts of this home."""
    return f"orrery deploy{''.join(f' {shlex.quote(name)}' for name in names)}{home_option(home)}"


def naming_home(outcomes: Iterable[Outcome], home: Path) -> list[Outcome]:
    """Outcomes whose sentences name the home in the commands that they tell to run."""
    from dataclasses import replace

    return [
        replace(
            each,
            sentence=each.sentence.replace(
                f"`orrery deploy {shlex.quote(each.host)}`",
                f"`{deploy_command([each.host], home)}`",
            ),
        )
        for each in outcomes
    ]


def name_hosts(names: Iterable[str]) -> str:
    """`root-2, nas and 3 more`."""
    listed = list(names)
    if len(listed) <= _MOST_NAMED:
        return " and ".join(each for each in (", ".join(listed[:-1]), *listed[-1:]) if each)
    left = len(listed) - _MOST_NAMED
    return f"{', '.join(listed[:_MOST_NAMED])} and {left:,} more"
