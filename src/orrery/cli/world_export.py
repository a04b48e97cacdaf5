"""`orrery world export`: the World file of a revision of a home."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from typing import Annotated

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption, choose_world, world_names


def export(
    out: Annotated[str, typer.Argument(metavar="OUT", help="File to write; - prints it.")],
    world: Annotated[
        str | None,
        typer.Option(
            "--world",
            metavar="WORLD",
            help="Name or id of a World of the home; may be left out where there is one only.",
            autocompletion=world_names,
        ),
    ] = None,
    revision: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Which revision, from 1. Default: the newest."),
    ] = None,
    home: HomeOption = HERE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the World file of a revision of a home.

    For official roots that a plan says to install it on, and for nodes that no root reaches. The
    file in the home itself is older while a rollout holds the newest back from some nodes.
    """
    from orrery.cli import output
    from orrery.cli.files import STANDARD, check_one_standard_output, check_output, write_output
    from orrery.errors import UsageError
    from orrery.home import Home

    check_output(out, force=force)
    check_one_standard_output(out, as_json=as_json)
    with Home.open(home) as opened:
        wanted = choose_world(opened, world)
        revisions = opened.store.revisions(wanted.id)
    if not revisions or (revision or 0) > len(revisions):
        raise UsageError(
            f"World {wanted.name!r} has {len(revisions)} revision{'s' * (len(revisions) != 1)}"
            + (f", and none has the number {revision}" if revisions else "")
            + (": name one that it has" if revisions else ": publish the first one")
        )
    number = revision or len(revisions)
    chosen = revisions[number - 1]
    write_output(out, chosen.encoded, force=force, is_text=False)
    if as_json:
        output.print_json(
            {
                "file": out,
                "world": f"{wanted.id:016x}",
                "revision": number,
                "revisions": len(revisions),
                "timestamp_ms": chosen.world.timestamp_ms,
            }
        )
    elif out != STANDARD:
        output.say(f"wrote {out}: revision {number} of {len(revisions)} of {wanted.name}")
