"""`orrery identity`: what zerotier-idtool does with identities."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from orrery.wire.identity import Identity

app = typer.Typer(
    help="Make, show and validate identities, and sign files with them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_IdentityArgument = Annotated[
    str,
    typer.Argument(
        metavar="IDENTITY",
        help="File such as identity.secret or identity.public, the text of a public identity, or "
        "- for standard input.",
    ),
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_LONGEST_FILE_BYTES = 1 << 30
_LONGEST_IDENTITY_BYTES = 4096
_SIGNATURE_DIGITS = 192


@app.command()
def new(
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Where the identity goes with its private key, mode 0600."
        ),
    ] = None,
    public: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where the identity goes without it, mode 0644."),
    ] = None,
    secret: Annotated[
        bool, typer.Option("--secret", help="Print the identity with its private key instead.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Threads to use. Default: one per core.")
    ] = None,
    as_json: _JsonOption = False,
) -> None:
    """Make a new identity, on all cores."""
    import os
    from pathlib import Path

    from orrery.cli import output
    from orrery.cli.files import STANDARD, write_output
    from orrery.errors import ConflictError, UsageError
    from orrery.wire.identity import Identity

    if (out is None) == (not secret):
        raise UsageError(
            "say where the private key goes: --out identity.secret for a file, or --secret to "
            "print it"
        )
    if STANDARD in (out, public):
        raise UsageError("name a file: to print the identity there is --secret")
    if out is not None and public is not None and Path(out).resolve() == Path(public).resolve():
        raise UsageError(f"{out} cannot be both --out and --public: name two files")
    for path in (out, public):
        if path is not None and os.path.lexists(path):
            raise ConflictError(
                f"{path} is there already, and a lost identity does not come back: name another "
                "file, or move that one away"
            )
    show_progress = sys.stderr.isatty()

    def progress(tries: int) -> None:
        print(f"\rtried {tries} keys, about 15 are needed ", end="", file=sys.stderr, flush=True)

    made = Identity.generate(
        entropy=os.urandom, workers=workers, progress=progress if show_progress else None
    )
    if show_progress:
        print(file=sys.stderr)
    if out is not None:
        write_output(out, made.to_string(secret=True).encode(), secret=True)
    if public is not None:
        write_output(public, str(made).encode())
    if as_json:
        output.print_json({**_describe(made, secret=secret), "file": out, "public_file": public})
    elif secret:
        print(made.to_string(secret=True))
    else:
        output.print_facts(
            f"identity {made.address:010x}",
            [
                ("fingerprint", made.fingerprint),
                ("secret", f"{out}, mode 0600"),
                *([("public", public)] if public is not None else []),
            ],
        )


@app.command()
def show(
    identity: _IdentityArgument,
    public: Annotated[
        bool,
        typer.Option("--public", help="Print the public text form and nothing else (getpublic)."),
    ] = False,
    secret: Annotated[bool, typer.Option("--secret", help="Show the private key too.")] = False,
    as_json: _JsonOption = False,
) -> None:
    """Show an identity. Whether it is valid is told by validate."""
    from orrery.cli import output
    from orrery.cli.world_view import split_key
    from orrery.errors import CustodyError, UsageError

    if public and (secret or as_json):
        raise UsageError("--public prints one line and nothing else: leave out the other options")
    name, found, path = _read(identity)
    if path is not None and found.private_key is not None:
        _warn_if_exposed(path)
    if secret and found.private_key is None:
        raise CustodyError(f"{name} holds no private key to show")
    if public:
        print(found)
    elif as_json:
        output.print_json(_describe(found, secret=secret))
    else:
        held = "there, shown with --secret" if found.private_key is not None else "none"
        private = split_key(found.private_key) if secret and found.private_key else held
        output.print_facts(
            f"identity {found.address:010x}",
            [
                ("fingerprint", found.fingerprint),
                ("public key", split_key(found.public_key)),
                ("PRIVATE KEY" if secret else "private key", private),
            ],
        )


@app.command()
def validate(identity: _IdentityArgument, as_json: _JsonOption = False) -> None:
    """Check the proof of work and the address of an identity. Exit status 0 valid, 1 not."""
    from orrery.cli import output
    from orrery.errors import VerifyError

    name, found, _ = _read(identity)
    try:
        found.validate()
    except VerifyError as error:
        raise VerifyError(f"{name}: {error}") from None
    if as_json:
        output.print_json({**_describe(found, secret=False), "valid": True})
    else:
        output.print_verdict(f"yes: {name} is a valid identity, {found.address:010x}")


@app.command()
def sign(
    identity: _IdentityArgument,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What to sign; - reads standard input.")
    ],
) -> None:
    """Sign a file and print the signature in hex.

    It is what zerotier-idtool sign prints.
    """
    from orrery.cli.files import check_one_standard_input
    from orrery.custody.identity_file import read_identity_secret
    from orrery.errors import CustodyError

    check_one_standard_input(identity, file)
    name, found, path = _read(identity)
    if found.private_key is None:
        raise CustodyError(f"{name} holds no private key: sign with its identity.secret")
    if path is not None:
        found = read_identity_secret(path)
    print(found.sign(_read_message(file)).hex())


@app.command()
def verify(
    identity: _IdentityArgument,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What was signed; - reads standard input.")
    ],
    signature: Annotated[
        str, typer.Argument(metavar="SIGNATURE", help="192 hex digits, or a file with them.")
    ],
    as_json: _JsonOption = False,
) -> None:
    """Verify the signature of a file, as zerotier-idtool verify does.

    Exit status 0: the identity signed these very bytes, 1: it did not.
    """
    from orrery.cli import output
    from orrery.cli.files import check_one_standard_input
    from orrery.errors import VerifyError

    check_one_standard_input(identity, file, signature)
    name, found, _ = _read(identity)
    signed = _read_signature(signature)
    try:
        found.verify(_read_message(file), signed)
    except VerifyError as error:
        raise VerifyError(f"{file}: {error}") from None
    if as_json:
        output.print_json({"file": file, "address": f"{found.address:010x}", "valid": True})
    else:
        output.print_verdict(f"yes: {name} signed {file}")


def _read(argument: str) -> "tuple[str, Identity, Path | None]":
    """The identity that an argument is or names, what to call it, and where it lies."""
    import re

    from orrery.cli.files import read_source
    from orrery.errors import CustodyError, DecodeError
    from orrery.wire.identity import Identity

    literal = re.match(r"\s*[0-9a-fA-F]{10}:", argument)
    if literal is not None:
        found = Identity.from_string(argument)
        if found.private_key is not None:
            raise CustodyError(
                "a private key on the command line can be read by every user of this machine: "
                "write it to a file with mode 0600 and name that"
            )
        return f"identity {found.address:010x}", found, None
    source = read_source(argument, _LONGEST_IDENTITY_BYTES)
    try:
        found = Identity.from_string(source.data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DecodeError(
            f"{source.name}: this is no text, and identities are: name an identity.public or "
            "identity.secret"
        ) from None
    except DecodeError as error:
        raise DecodeError(f"{source.name}: {error}") from None
    return source.name, found, source.path


def _read_message(argument: str) -> bytes:
    from orrery.cli.files import read_source
    from orrery.errors import UnreadableError

    source = read_source(argument, _LONGEST_FILE_BYTES)
    if len(source.data) > _LONGEST_FILE_BYTES:
        raise UnreadableError(f"{source.name} has more than 1 GiB: sign its hash instead")
    return source.data


def _read_signature(argument: str) -> bytes:
    import re

    from orrery.cli.files import read_source
    from orrery.errors import DecodeError

    name, text = "the signature", argument
    if not re.fullmatch(r"[0-9a-fA-F]{16,}", argument):
        source = read_source(argument, _LONGEST_IDENTITY_BYTES)
        name, text = source.name, source.data.decode("ascii", "replace").strip()
    if not re.fullmatch(f"[0-9a-fA-F]{{{_SIGNATURE_DIGITS}}}", text):
        raise DecodeError(
            f"{name} is not the {_SIGNATURE_DIGITS} hex digits that sign prints: copy them again"
        )
    return bytes.fromhex(text)


def _describe(found: "Identity", *, secret: bool) -> dict[str, object]:
    return {
        "address": f"{found.address:010x}",
        "fingerprint": found.fingerprint,
        "identity": str(found),
        "public_key": found.public_key.hex(),
        "holds_private_key": found.private_key is not None,
        **(
            {"private_key": found.private_key.hex()}
            if secret and found.private_key is not None
            else {}
        ),
    }


def _warn_if_exposed(path: "Path") -> None:
    import shlex

    from orrery.cli import output

    if path.is_file() and path.stat().st_mode & 0o077:
        output.warn(
            f"{path} holds a private key and other users can read it: run chmod 600 "
            f"{shlex.quote(str(path))}"
        )
