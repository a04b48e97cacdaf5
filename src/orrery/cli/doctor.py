"""`orrery doctor`: what is wrong with a home, with the command that mends it."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from pathlib import Path
from typing import Annotated

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption, home_option


def doctor(
    home: HomeOption = HERE,
    hosts: Annotated[
        bool, typer.Option("--hosts/--no-hosts", help="Look at the hosts of orrery.toml too.")
    ] = True,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="First mend what every command mends that changes a home: World files, and what "
            "an interrupted one left.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a home and all around it.

    Files, clock, keys, chain, roots, rollouts, backups, hosts, and who would be stranded by what;
    each finding with the command that mends it. Nothing is changed without --mend. Exit status 1
    when something needs doing.
    """
    from orrery.cli import output
    from orrery.cli.doctor_view import describe, lines
    from orrery.doctor import Commands, Level, examine, gather

    if mend:
        _mend(home)
    snapshot = gather(home, hosts=hosts)
    findings = examine(snapshot, Commands(home, home_option(home)))
    if as_json:
        output.print_json(describe(home, findings))
    else:
        output.print_lines(lines(findings))
    if any(finding.level is Level.PROBLEM for finding in findings):
        raise typer.Exit(1)


def _mend(home: Path) -> None:
    from orrery.cli import output
    from orrery.errors import OrreryError
    from orrery.home import Home
    from orrery.home.home import check_is_home

    check_is_home(home)
    try:
        with Home.open(home, writer=True) as opened:
            for sentence in opened.repairs:
                output.say(sentence)
    except OrreryError as error:
        output.warn(f"nothing was mended: {error}")  # the findings tell what to do first
