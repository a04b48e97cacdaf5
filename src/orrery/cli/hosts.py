"""`orrery hosts`: what there is on each host, and what a deploy would do there."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption
from orrery.cli.hosting import HostsArgument

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from orrery.cli.hosts_view import Looked, Newer
    from orrery.home import Home

_WATCH_INTERVAL_S = 10.0
"""Each look is a login at every host."""


def hosts(
    hosts: HostsArgument = None,
    home: HomeOption = HERE,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            "-w",
            help="Look again every ten seconds until Ctrl-C; JSON on one line each.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is on each host.

    Hosts are the servers with an official zerotier-one that stand in orrery.toml as `[[host]]`.
    Each with the revision of each World that it holds (`2/3`; `other` for a World that is none of
    this home's, `none`, `waits` for a moon that it wants and does not have), whether it is online,
    its version of ZeroTier One, free disk and clock; and below, what is not as it should be and
    how to mend it. Nothing is changed there. Exit status 1: one could not be looked at.
    """
    from orrery.cli import output, watching
    from orrery.cli.hosts_view import describe_looked, host_lines
    from orrery.home import Home

    names = list(dict.fromkeys(hosts or ()))
    with Home.open(home) as opened:

        def described() -> list[dict[str, object]]:
            looked, newest = _look(opened, names)
            return [describe_looked(each, newest) for each in looked]

        def lines() -> list[Text]:
            looked, newest = _look(opened, names)
            return list(host_lines(looked, newest, output.width(), opened.clock()))

        if as_json and watch:
            watching.watch_json(described, _WATCH_INTERVAL_S)
            return
        if watch:
            watching.watch(lines, _WATCH_INTERVAL_S)
            return
        with _looking(quiet=as_json):
            looked, newest = _look(opened, names)
        if as_json:
            output.print_json([describe_looked(each, newest) for each in looked])
        else:
            output.print_lines(host_lines(looked, newest, output.width(), opened.clock()))
            _tell_next(looked, home, named=bool(names))
    raise typer.Exit(int(any(not each.view.is_reached for each in looked)))


def _look(home: Home, names: list[str]) -> tuple[list[Looked], Newer | None]:
    """Look at hosts, and at what they are compared with."""
    import asyncio

    from orrery.cli.hosts_view import Looked, newest_in_use
    from orrery.fleet import look_at, plan_for, read_known

    settings = home.settings()
    views = asyncio.run(look_at(home, names or None))
    known = read_known(home)
    looked = [
        Looked(
            view,
            plan_for(known, settings.host(view.name), view) if view.is_reached else None,
        )
        for view in views
    ]
    since_ms = home.clock() - settings.rollout.horizon_ms
    seen = {
        node.address: node.version
        for node in home.store.nodes(seen_since_ms=since_ms, limit=1_000_000)
    }
    return looked, newest_in_use(seen, views)


@contextmanager
def _looking(*, quiet: bool) -> Iterator[None]:
    """Say at a terminal what is waited for, as long as it is."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("looking at the hosts"):
        yield


def _tell_next(looked: Sequence[Looked], home: Path, *, named: bool) -> None:
    """The command that does what there is to do."""
    from orrery.cli import output
    from orrery.cli.hosting import deploy_command
    from orrery.cli.hosts_view import is_left

    left = [each.view.name for each in looked if is_left(each)]
    if left:
        every = not named and len(left) == len(looked)
        output.say(f"next: {deploy_command(() if every else left, home)}")
