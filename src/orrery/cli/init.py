"""`orrery init`: a home with an identity, a signing key and a first revision."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import (
    HERE,
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    home_option,
    new_passphrase_provider,
    show_search,
)

if TYPE_CHECKING:
    from orrery.wire.address import Address
    from orrery.wire.world import World


def init(
    endpoint: Annotated[
        list[str],
        typer.Option(
            "--endpoint",
            metavar="IP:PORT|NAME:PORT",
            help="Where nodes reach this root; may be given several times.",
        ),
    ],
    home: HomeOption = HERE,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IP:PORT",
            help="Where this server receives. Default: the ports of the endpoints, everywhere.",
        ),
    ] = None,
    moon: Annotated[bool, typer.Option("--moon", help="Make a moon, not a planet.")] = False,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="How commands call the World.")
    ] = None,
    root_name: Annotated[
        str, typer.Option(metavar="NAME", help="How the settings call this root.")
    ] = "root-1",
    world_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="HEX",
            help="Id of the World. Default: random for a planet, the root's address for a moon.",
        ),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="An identity.secret to use; one that lies in the home is used too."
        ),
    ] = None,
    lock: Annotated[
        bool, typer.Option("--lock", help="Lock the signing key with a passphrase (age).")
    ] = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a home, with all that a World needs.

    That is a root identity, a signing key, orrery.toml and the first revision.
    """
    import os
    import sys

    from orrery.cli import output
    from orrery.cli.advice import advice
    from orrery.cli.arguments import read_argument
    from orrery.cli.documents import parse_id
    from orrery.home import create, wall_clock_ms
    from orrery.home.named_endpoint import read_endpoint, read_listen
    from orrery.wire.signature import fingerprint

    show_progress = sys.stderr.isatty()
    made = create(
        home,
        wall_clock_ms(),
        [read_argument("--endpoint", text, read_endpoint) for text in endpoint],
        entropy=os.urandom,
        kind="moon" if moon else "planet",
        name=name,
        root_name=root_name,
        world_id=None if world_id is None else parse_id(world_id),
        identity_secret=identity,
        lock_key=lock,
        passphrase=new_passphrase_provider(passphrase_file),
        listen=[read_argument("--listen", text, read_listen) for text in listen or ()],
        progress=show_search if show_progress else None,
    )
    with made:
        if show_progress:
            print(file=sys.stderr)
        (world,) = made.served_worlds()
        root = made.identity()
        path = made.world_path(world)
        advised = advice(world, wall_clock_ms())
        if as_json:
            output.print_json(
                {
                    "home": str(home.resolve()),
                    "root": f"{root.address:010x}",
                    "world": {
                        "type": world.type.name.lower(),
                        "id": f"{world.id:016x}",
                        "timestamp_ms": world.timestamp_ms,
                        "file": str(path),
                        "next_signer": fingerprint(world.updates_must_be_signed_by),
                    },
                    "listen": [str(each) for each in made.settings().serve.listen],
                    "warnings": output.warnings_as_json(advised),
                }
            )
            return
        kind = world.type.name.lower()
        output.print_facts(
            f"{kind} {world.id:016x}",
            [
                ("root", f"{root.address:010x}"),
                ("endpoints", ", ".join(str(each) for each in world.roots[0].endpoints)),
                ("signing key", fingerprint(world.updates_must_be_signed_by)),
                ("give to nodes", _how_nodes_get(world, root.address, path)),
                *(
                    [("their planet", f"the official one; if not, put its file into {home}")]
                    if kind == "moon"
                    else []
                ),
                ("keep a copy", f"{made.path / 'keys.d'}: without it no node takes an update"),
                ("next", f"orrery serve{home_option(home)}"),
            ],
        )
        for pitfall in advised:
            output.warn(pitfall.sentence)


def _how_nodes_get(world: "World", root: "Address", path: Path) -> str:
    if world.type.name == "PLANET":
        return f"{path}, in their home directory, then restart them"
    if world.id >> 40:  # zerotier-cli knows no longer ids
        return f"{path}, in moons.d of their home directory, then restart them"
    return f"zerotier-cli orbit {world.id:010x} {root:010x}"
