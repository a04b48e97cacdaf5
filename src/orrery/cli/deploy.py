"""`orrery deploy`: put the Worlds onto hosts that run an official zerotier-one."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption
from orrery.cli.hosting import HostsArgument

if TYPE_CHECKING:
    from pathlib import Path

    from orrery.cli.deploy_view import Course
    from orrery.fleet import Outcome, Progress

_INTERRUPTED = 130


def deploy(
    hosts: HostsArgument = None,
    home: HomeOption = HERE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look, and say what would be done; change nothing.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Also where another planet is, or one that does not lead to this home's: the "
            "node leaves that one.",
        ),
    ] = False,
    restart_last_root: Annotated[
        bool,
        typer.Option(
            "--restart-last-root",
            help="Also restart a root when no other root answers: meanwhile nodes find none.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put the Worlds onto hosts, over SSH.

    Hosts are the servers with an official zerotier-one that stand in orrery.toml as `[[host]]`;
    this machine may be one. What is there is backed up on the host and here, the new files are
    installed whole, the node is restarted and must come back online with them; else what was there
    is put back. Roots come one at a time, then a first node alone, then the others. It may be
    repeated, and does what is left. Exit status 0: every host holds what it should.
    """
    from orrery.cli import output
    from orrery.cli.deploy_view import (
        describe_outcomes,
        interrupted_sentences,
        outcome_lines,
        summary,
    )
    from orrery.cli.hosting import deploy_command, naming_home
    from orrery.fleet import deploy as deploy_hosts
    from orrery.home import Home

    with Home.open(home) as opened:
        names = list(dict.fromkeys(hosts or ())) or None
        listed = names or [host.name for host in opened.settings().hosts]
        course = _course(listed, quiet=as_json)

        async def work(progress: Progress) -> list[Outcome]:
            return await deploy_hosts(
                opened,
                names,
                dry_run=dry_run,
                replace=replace,
                restart_last_root=restart_last_root,
                progress=progress,
            )

        try:
            outcomes = _watched(work, course, live=not as_json and sys.stdout.isatty())
            outcomes = naming_home(outcomes, home)
        except KeyboardInterrupt:
            for sentence in interrupted_sentences(course, deploy_command(hosts or (), home)):
                output.say(sentence)
            raise typer.Exit(_INTERRUPTED) from None
    is_good = all(each.is_good for each in outcomes)
    if as_json:
        told = describe_outcomes(outcomes)
        output.print_json({"dry_run": dry_run, "good": is_good, "hosts": told})
    else:
        output.print_lines(outcome_lines(outcomes, output.width()))
        if len(outcomes) > 1:
            output.print_lines([summary(outcomes)])
        _tell_next(outcomes, hosts or (), home, dry_run=dry_run)
    raise typer.Exit(int(not is_good))


def _course(names: list[str], *, quiet: bool) -> Course:
    """Who is told of each step: a person, in place; the reader of a log, in lines; nobody."""
    from orrery.cli.deploy_view import Course

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    lines = not quiet and not sys.stdout.isatty()
    return Course(names, lambda: time.monotonic_ns() // 1_000_000, tell if lines else None)


def _watched(
    work: Callable[[Progress], Awaitable[list[Outcome]]], course: Course, *, live: bool
) -> list[Outcome]:
    """Do it, and show on a terminal how far it is."""
    import asyncio

    async def run() -> list[Outcome]:
        return await work(course.note)

    if not live:
        return asyncio.run(run())

    from rich.console import Console, Group
    from rich.live import Live

    console = Console(highlight=False)
    with Live(
        console=console,
        get_renderable=lambda: Group(*course.lines(console.height - 1)),
        refresh_per_second=4,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as shown:
        shown.refresh()
        return asyncio.run(run())


def _tell_next(
    outcomes: Sequence[Outcome], named: Sequence[str], home: Path, *, dry_run: bool
) -> None:
    """The command that does what is left."""
    from orrery.cli import output
    from orrery.cli.hosting import deploy_command
    from orrery.fleet import Result

    left = [
        each.host
        for each in outcomes
        if (each.result is Result.WOULD_DEPLOY if dry_run else not each.is_good)
    ]
    if not left:
        return
    command = deploy_command(left if named or len(left) < len(outcomes) else (), home)
    output.say(f"next: {command}" if dry_run else f"when that is mended: {command}")
