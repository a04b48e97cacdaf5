"""`orrery adopt`: take over a planet or moon that runs already."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption, show_search

if TYPE_CHECKING:
    from orrery.home.named_endpoint import WantedEndpoint
    from orrery.wire.address import Address


def adopt(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH…",
            help="Folders, zips or files: a zerotier-one home, the data of docker-zerotier-planet "
            "or ztnet, a mkworld folder, a moon.json. A World file that is named itself is taken "
            "for the one in use.",
        ),
    ],
    home: HomeOption = HERE,
    world: Annotated[
        list[str] | None,
        typer.Option(metavar="HEX", help="Adopt only the World with this id; several times."),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The identity.secret for the home's own root, in place of others."
        ),
    ] = None,
    beside: Annotated[
        bool | None,
        typer.Option(
            "--beside/--in-place",
            help="Be a new root beside those that run, or take the place of the one whose secret "
            "is found. Default: take its place, unless it is a network controller too.",
        ),
    ] = None,
    join: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IP:PORT|NAME:PORT",
            help="Where nodes will reach the home's own root: orrery.toml then wants it as one "
            "more root. May be given several times.",
        ),
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROOT=IP:PORT",
            help="Where a root is, for orrery.toml, in place of what the World says of it.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only look: make no home and write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take over a planet or moon that runs already.

    Finds the World in use, its signing keys and its roots, says what can be done with them and what
    is wrong, and makes a home whose first revision is that World. No node is touched, and what is
    adopted is only read.
    """
    import os
    import sys

    from orrery.cli import output
    from orrery.cli.adopt_view import describe, show_findings, show_home, show_worlds
    from orrery.cli.arguments import read_argument
    from orrery.cli.documents import parse_id
    from orrery.custody import read_identity_secret
    from orrery.home import adopting, wall_clock_ms
    from orrery.home.named_endpoint import read_endpoint

    endpoints = _read_endpoints(endpoint or ())
    joining = [read_argument("--join", text, read_endpoint) for text in join or ()]
    if not dry_run:
        adopting.check_apart(paths, home)
    given = None if identity is None else read_identity_secret(identity)
    now_ms = wall_clock_ms()
    wanted = None if world is None else [parse_id(text, "--world") for text in world]
    findings = adopting.investigate(paths, now_ms, world_ids=wanted)
    if dry_run or not findings.worlds:
        choice = None
        if findings.worlds:
            choice = adopting.choose_identity(findings, given=given, beside=beside)
        if as_json:
            if findings.worlds:
                output.print_json(describe(findings, choice, None))
        else:
            show_worlds(findings)
            show_findings(findings)
        adopting.check_adoptable(findings)
        if choice is not None:
            adopting.check_wish(findings, choice, endpoints=endpoints, join=joining)
        return
    adopting.check_adoptable(findings)
    choice = adopting.choose_identity(findings, given=given, beside=beside)
    show_progress = sys.stderr.isatty() and choice.identity is None
    made = adopting.adopt(
        findings,
        home,
        now_ms,
        choice,
        entropy=os.urandom,
        endpoints=endpoints,
        join=joining,
        progress=show_search if show_progress else None,
    )
    with made:
        if show_progress:
            print(file=sys.stderr)
        if as_json:
            output.print_json(describe(findings, choice, made))
            return
        show_worlds(findings)
        show_findings(findings)
        show_home(findings, choice, made, home, joins=bool(joining))


def _read_endpoints(texts: list[str] | tuple[()]) -> dict[Address, list[WantedEndpoint]]:
    """`ROOT=IP:PORT`, several of which may be of one root."""
    from orrery.cli.arguments import read_argument
    from orrery.errors import UsageError
    from orrery.home.named_endpoint import read_endpoint
    from orrery.wire.address import parse_address

    found: dict[Address, list[WantedEndpoint]] = {}
    for text in texts:
        root, mark, place = text.partition("=")
        if not mark:
            raise UsageError(
                f"--endpoint {text!r} does not say of which root: write ROOT=IP:PORT with the 10 "
                "hex digits of its address, or --join for a root of your own"
            )
        address = read_argument("--endpoint", root, parse_address)
        found.setdefault(address, []).append(read_argument("--endpoint", place, read_endpoint))
    return found
