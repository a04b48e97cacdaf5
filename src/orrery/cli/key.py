"""`orrery key`: the key pairs that sign Worlds."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from typing import Annotated

import typer

app = typer.Typer(
    help="Make and show the keys that sign Worlds.", no_args_is_help=True, rich_markup_mode=None
)

_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_DEFAULT_NAME = "current.c25519"


@app.command()
def new(
    out: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help=f"File to write, mode 0600, or a directory for {_DEFAULT_NAME} in it.",
        ),
    ] = _DEFAULT_NAME,
    as_json: _JsonOption = False,
) -> None:
    """Make a new signing key, in the 128 bytes that mkworld reads."""
    import os
    from pathlib import Path

    from orrery.cli import output
    from orrery.cli.files import STANDARD, write_output
    from orrery.errors import ConflictError, UsageError
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


@app.command()
def show(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Key file, moon.json with a key, or 128 hex digits; - reads standard input.",
        ),
    ],
    secret: Annotated[bool, typer.Option("--secret", help="Show the private key too.")] = False,
    as_json: _JsonOption = False,
) -> None:
    """Show a signing key: its fingerprint and public key, the private one only with --secret."""
    import shlex

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
