"""`orrery key`: the key pairs that sign Worlds."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import (
    HERE,
    HomeOption,
    PassphraseFileOption,
    WorldArgument,
    choose_world,
    home_option,
    new_passphrase_provider,
    passphrase_provider,
    tell_repairs,
    world_names,
)
from orrery.cli.key_sign import sign

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orrery.custody import KeyFile
    from orrery.home import Home, WorldSettings

app = typer.Typer(
    help="Make, show and lock signing keys, and sign plans.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_DEFAULT_NAME = "current.c25519"
_WorldOption = Annotated[
    str | None,
    typer.Option(
        "--world",
        metavar="WORLD",
        help="Name or id of a World of a home.",
        autocompletion=world_names,
    ),
]


@app.command()
def new(
    context: typer.Context,
    out: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help=f"File to write, mode 0600, or a directory for {_DEFAULT_NAME} in it.",
        ),
    ] = _DEFAULT_NAME,
    world: _WorldOption = None,
    home: HomeOption = HERE,
    lock: Annotated[
        bool | None,
        typer.Option(help="In a home: lock it with a passphrase. Default: as the key before."),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: _JsonOption = False,
) -> None:
    """Make a new signing key, in the 128 bytes that mkworld reads.

    With --world, in a home: as `orrery key rotate`.
    """
    import os
    from pathlib import Path

    from orrery.cli import output
    from orrery.errors import ConflictError, UsageError

    if world is not None:
        if _is_given(context, "out"):
            raise UsageError("the key of a home has its place there: leave out --out or --world")
        _new_in_home(home, world, lock, passphrase_file, as_json=as_json)
        return
    for name in ("home", "lock", "passphrase_file"):
        if _is_given(context, name):
            raise UsageError(
                f"--{name.replace('_', '-')} is for the key of a home: say of which World with "
                "--world, or leave it out"
            )

    from orrery.cli.files import STANDARD, write_output
    from orrery.wire.signature import SigningKey

    if out == STANDARD:
        raise UsageError("a private key does not go to standard output: name a file")
    path = Path(out) / _DEFAULT_NAME if Path(out).is_dir() else Path(out)
    if os.path.lexists(path):
        raise ConflictError(
            f"{path} is there already, and without it no node takes another update: name another "
            "file, or move that one away"
        )
    key = SigningKey.generate(os.urandom)
    write_output(str(path), key.encode(), secret=True)
    if as_json:
        output.print_json(
            {
                "file": str(path),
                "fingerprint": key.fingerprint,
                "public_key": key.public.hex(),
                "holds_private_key": True,
            }
        )
    else:
        output.print_facts(
            f"signing key {key.fingerprint}", [("file", f"{path}, mode 0600: keep a copy of it")]
        )


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line, and not only in the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _new_in_home(
    path: "Path",
    name: str | None,
    lock: bool | None,
    passphrase_file: "Path | None",
    *,
    as_json: bool,
) -> None:
    import os

    from orrery.cli import output
    from orrery.home import Home, rotate_key, wall_clock_ms

    provider = new_passphrase_provider(passphrase_file)
    with Home.open(path, writer=True, passphrase=provider) as opened:
        tell_repairs(opened)
        world = choose_world(opened, name)
        made = rotate_key(opened, world.name, wall_clock_ms(), os.urandom, locked=lock)
        published = opened.store.newest(world.id) is not None
    if as_json:
        output.print_json(
            {
                "file": str(made.path),
                "fingerprint": made.fingerprint,
                "public_key": None if made.public is None else made.public.hex(),
                "locked": made.locked,
            }
        )
        return
    output.print_facts(
        f"signing key {made.fingerprint}",
        [
            ("file", f"{made.path}, mode 0600: keep a copy of it"),
            (
                "next",
                f"orrery apply {shlex.quote(world.name)}{home_option(path)}, which names it; the "
                "key before signs that"
                if published
                else f"orrery publish {shlex.quote(world.name)}{home_option(path)}",
            ),
        ],
    )


@app.command()
def rotate(
    world: WorldArgument = None,
    home: HomeOption = HERE,
    lock: Annotated[
        bool | None,
        typer.Option(help="Lock it with a passphrase. Default: as the key before."),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: _JsonOption = False,
) -> None:
    """Make the key that a World is to name next.

    In a home; nothing is published yet. `orrery plan` shows the step to it and `orrery apply`
    makes it; the key before is kept and signs it.
    """
    _new_in_home(home, world, lock, passphrase_file, as_json=as_json)


app.command("sign")(sign)


@app.command("lock")
def lock_keys(
    world: _WorldOption = None,
    home: HomeOption = HERE,
    passphrase_file: PassphraseFileOption = None,
    as_json: _JsonOption = False,
) -> None:
    """Lock the signing keys of a World with a passphrase.

    They are encrypted where they lie (age). Whoever signs needs it then: `orrery publish` takes it
    as this command does. Without it no further revision can be signed, so keep it in a second
    place.
    """
    from orrery import home as homes

    provider = new_passphrase_provider(passphrase_file)
    with homes.Home.open(home, writer=True, passphrase=provider) as opened:
        tell_repairs(opened)
        wanted = choose_world(opened, world)
        changed = homes.lock_keys(opened, wanted.name, homes.wall_clock_ms())
        _tell_locks(opened, wanted, changed, locked=True, as_json=as_json)


@app.command("unlock")
def unlock_keys(
    world: _WorldOption = None,
    home: HomeOption = HERE,
    passphrase_file: PassphraseFileOption = None,
    as_json: _JsonOption = False,
) -> None:
    """Keep the signing keys of a World without a passphrase."""
    from orrery import home as homes

    provider = passphrase_provider(passphrase_file)
    with homes.Home.open(home, writer=True, passphrase=provider) as opened:
        tell_repairs(opened)
        wanted = choose_world(opened, world)
        changed = homes.unlock_keys(opened, wanted.name, homes.wall_clock_ms())
        _tell_locks(opened, wanted, changed, locked=False, as_json=as_json)


def _tell_locks(
    home: "Home",
    world: "WorldSettings",
    changed: "Sequence[KeyFile]",
    *,
    locked: bool,
    as_json: bool,
) -> None:
    from orrery.cli import output

    word = "locked" if locked else "unlocked"
    if as_json:
        output.print_json(
            {
                "world": f"{world.id:016x}",
                "locked": locked,
                "changed": [
                    {"slot": key.slot, "file": str(key.path), "fingerprint": key.fingerprint}
                    for key in changed
                ],
            }
        )
        return
    if not changed:
        output.print_verdict(f"the keys of {world.kind} {world.name} are {word} already")
        return
    output.print_facts(
        f"keys of {world.kind} {world.name}, {word}",
        [(key.slot, f"{key.fingerprint}, {key.path.relative_to(home.path)}") for key in changed],
    )


def _show_home(path: "Path", name: str, *, as_json: bool) -> None:
    from orrery.cli import output
    from orrery.home import Home

    with Home.open(path, passphrase=passphrase_provider(None)) as opened:
        world = choose_world(opened, name)
        keys = opened.keys.keys(world.id)
        newest = opened.store.newest(world.id)
    named = None if newest is None else newest.world.updates_must_be_signed_by
    if as_json:
        output.print_json(
            [
                {
                    "slot": key.slot,
                    "file": str(key.path),
                    "fingerprint": key.fingerprint,
                    "locked": key.locked,
                    "signs_next": key.public is not None and key.public == named,
                }
                for key in keys
            ]
        )
        return
    facts = []
    for key in keys:
        words = [key.fingerprint or "unknown until it is opened"]
        words += ["locked"] if key.locked else []
        words += (
            ["signs the next revision"] if key.public is not None and key.public == named else []
        )
        facts.append((key.slot, ", ".join(words)))
    output.print_facts(f"keys of {world.kind} {world.name}", facts)


@app.command()
def show(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="Key file, moon.json with a key, or 128 hex digits; - reads standard input.",
        ),
    ] = None,
    secret: Annotated[bool, typer.Option("--secret", help="Show the private key too.")] = False,
    world: _WorldOption = None,
    home: HomeOption = HERE,
    as_json: _JsonOption = False,
) -> None:
    """Show a signing key.

    Its fingerprint and public key, the private one only with --secret. With --world, the keys of a
    World of a home.
    """
    from orrery.errors import UsageError

    if world is not None and file is None:
        if secret:
            raise UsageError("the private keys of a home are shown file by file: name the file")
        _show_home(home, world, as_json=as_json)
        return
    if file is None or world is not None:
        raise UsageError("name a key file, or --world for the keys of a home")

    from orrery.cli import output
    from orrery.cli.documents import key_in, trust_signing_key
    from orrery.cli.world_view import split_key
    from orrery.errors import CustodyError
    from orrery.wire.signature import fingerprint

    public, source, document = key_in(file)
    held = document is not None and document.holds_secret
    if secret and (source is None or document is None or not held):
        raise CustodyError(f"{file} holds no private key to show")
    if source is not None and held and source.is_open_to_others:
        output.warn(
            f"{source.name} holds a private key and other users can read it: run chmod 600 "
            f"{shlex.quote(source.name)}"
        )
    private = None
    if secret and source is not None and document is not None:
        private = trust_signing_key(source, document).private
    if as_json:
        output.print_json(
            {
                "file": None if source is None else source.name,
                "fingerprint": fingerprint(public),
                "public_key": public.hex(),
                "holds_private_key": held,
                **({} if private is None else {"private_key": private.hex()}),
            }
        )
        return
    shown: tuple[str, str] | str = "there, shown with --secret" if held else "none"
    if private is not None:
        shown = split_key(private)
    output.print_facts(
        f"signing key {fingerprint(public)}",
        [
            ("public key", split_key(public)),
            ("PRIVATE KEY" if private is not None else "private key", shown),
        ],
    )
