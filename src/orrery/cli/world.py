"""`orrery world`: World files in every format."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orrery.cli.world_export import export

if TYPE_CHECKING:
    from orrery.cli.files import Source
    from orrery.wire.signature import SigningKey
    from orrery.wire.world import World
    from orrery.worlds.formats import Document

app = typer.Typer(
    help="Show, verify, compare, convert, sign and export Worlds.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("export")(export)

_FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="World file in any format; - reads standard input.")
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_LooseOption = Annotated[
    bool,
    typer.Option(
        "--loose",
        help="Take mistakes in a text for what its own tool would make of them, with a warning.",
    ),
]
_ForceOption = Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")]
_TimestampOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Timestamp of the new World: milliseconds since 1970 or ISO 8601. Default: now.",
    ),
]
_BY_SUFFIX = {
    ".moon": "binary",
    ".bin": "binary",
    ".custom": "binary",
    ".h": "c-header",
    ".c": "c-header",
    ".hpp": "c-header",
    ".cpp": "c-header",
    ".b64": "base64",
    ".base64": "base64",
    ".url": "link",
    ".c25519": "c25519",
}
_BY_NAME = {
    "planet": "binary",
    "moon.json": "moon-json",
    "planet.json": "moon-json",
    "mkworld.config.json": "mkworld",
    "mkworld.json": "mkworld",
    "config.json": "roots-json",
}


def _format_names(incomplete: str) -> list[str]:
    from orrery.worlds.formats import FORMATS

    return [known.name for known in FORMATS if known.name.startswith(incomplete)]


@app.command()
def show(
    file: _FileArgument,
    secret: Annotated[
        bool, typer.Option("--secret", help="Show the private signing key in the file too.")
    ] = False,
    as_json: _JsonOption = False,
) -> None:
    """Show what a World file says, and warn of what is wrong with it.

    Formats are told apart by content: planet and .moon files, moon.json, mkworld configurations,
    JSON of several forks, key files, C source, base64 and links.
    """
    from orrery.cli import output
    from orrery.cli.documents import now_ms, read_document
    from orrery.cli.world_view import describe, facts, title
    from orrery.errors import CustodyError

    source, document = read_document(file, loose=True)
    if secret and document.signing_key is None:
        raise CustodyError(f"{source.name} holds no private key to show")
    warnings = list(document.warnings(now_ms()))
    exposed = _exposure(source, document)
    if as_json:
        told = describe(source, document, secret=secret)
        told["warnings"] = exposed + output.warnings_as_json(warnings)
        output.print_json(told)
        return
    output.print_facts(title(document), facts(source, document, secret=secret))
    output.print_warnings(
        [each["sentence"] for each in exposed] + [found.sentence for found in warnings]
    )


@app.command()
def verify(
    file: _FileArgument,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="OLD",
            help="Ask what a node that holds OLD would do; none (or an empty file) for a node that "
            "holds nothing.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Public key to verify with: 128 hex digits, or a file that holds a signing key. "
            "Default: the key that the World names for its next revision.",
        ),
    ] = None,
    as_json: _JsonOption = False,
) -> None:
    """Verify a World: its signature and the proof of work of each root.

    With --against, ask instead whether a node that holds OLD would take FILE in its place, exactly
    as loosely as a node does. Exit status 0 is yes, 1 is no, and the sentence says why.
    """
    from orrery.cli import output
    from orrery.cli.documents import read_document, read_public_key
    from orrery.cli.files import check_one_standard_input
    from orrery.errors import UsageError

    check_one_standard_input(file, against, key)
    if against is not None and key is not None:
        raise UsageError("--against tells which key must have signed: leave out --key")
    source, document = read_document(file, loose=True)
    world = _signed(source, document)
    if against is not None:
        sentence = _check_against(world, source, against)
    else:
        sentence = _check_alone(world, source, None if key is None else read_public_key(key))
    if as_json:
        output.print_json({"file": source.name, "ok": True, "sentence": sentence})
    else:
        output.print_verdict(sentence)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="World file in any format.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="World file in any format.")],
    as_json: _JsonOption = False,
) -> None:
    """Tell the differences between two World files. Exit status 0: none, 1: some.

    A file that is not signed is compared by what it says; formats do not matter.
    """
    from orrery.cli import output
    from orrery.cli.documents import read_document
    from orrery.cli.files import check_one_standard_input
    from orrery.cli.world_view import comparable
    from orrery.worlds.diff import compare

    check_one_standard_input(old, new)
    (old_source, before), (new_source, after) = (
        read_document(argument, loose=True) for argument in (old, new)
    )
    found = compare(*comparable(before, after))
    words = found.in_words()
    kept = [f"{who.address:010x} at {endpoint}" for who, endpoint in found.endpoints_kept]
    if as_json:
        output.print_json(
            {
                "old": old_source.name,
                "new": new_source.name,
                "same": not words,
                "differences": list(words),
                "endpoints_kept": kept,
            }
        )
    elif words:
        facts: list[output.Fact] = [("differs", words)]
        if not found.id and not found.type:
            facts.append(("kept", kept or "no endpoint: who sleeps is stranded"))
        output.print_facts(f"{old_source.name} -> {new_source.name}", facts)
    else:
        output.print_verdict(f"{old_source.name} and {new_source.name} say the same World")
    if words:
        raise typer.Exit(1)


@app.command()
def convert(
    file: _FileArgument,
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="File to write; - is standard output.")
    ] = "-",
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="binary, moon-json, mkworld, roots-json, python-json, c25519, c-header, base64 or "
            "link. Default: by the name of OUT.",
            autocompletion=_format_names,
        ),
    ] = None,
    with_secrets: Annotated[
        bool,
        typer.Option("--with-secrets", help="Write the private signing key too, with mode 0600."),
    ] = False,
    timestamp: _TimestampOption = None,
    loose: _LooseOption = False,
    force: _ForceOption = False,
) -> None:
    """Write a World in another format.

    A moon.json with its signing key, or an mkworld configuration with its key files beside it, is
    signed on the way if the format asks for a signed World, as genmoon and mkworld do.
    """
    from orrery.cli.documents import (
        now_ms,
        parse_timestamp,
        read_document,
        trust_signing_key,
    )
    from orrery.cli.files import check_output, write_output
    from orrery.errors import UsageError
    from orrery.worlds import formats

    wanted = formats.by_name(to or _format_of(out))
    check_output(out, force=force)
    source, document = read_document(file, loose=loose)
    if wanted.name in _NEED_SIGNATURE and document.world is None and document.roots is not None:
        at_ms = now_ms() if timestamp is None else parse_timestamp(timestamp)
        key, next_public = _own_keys(source, document)
        signed = document.sign(key, timestamp_ms=at_ms, next_public=next_public)
        document = document.signed(signed)
        _warn_of_pitfalls(document, now_ms())
    elif timestamp is not None:
        raise UsageError("nothing is signed here: leave out --timestamp, or use orrery world sign")
    if with_secrets:
        trust_signing_key(source, document)
    data = formats.write(document, wanted.name, secrets=with_secrets)
    write_output(out, data, secret=with_secrets, force=force, is_text=wanted.is_text)


@app.command()
def sign(
    file: _FileArgument,
    out: Annotated[str, typer.Argument(metavar="OUT", help="File to write; - is standard output.")],
    *,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Key that signs: a .c25519 file or a moon.json with its secret. Default: the one "
            "that FILE holds or names.",
        ),
    ] = None,
    next_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Key for the revision after it: 128 hex digits, or a file that holds it. Default: "
            "the one that FILE names, else the one that signs.",
        ),
    ] = None,
    previous: Annotated[
        str | None,
        typer.Option(
            metavar="OLD", help="Sign only what a node that holds OLD takes; later than OLD."
        ),
    ] = None,
    timestamp: _TimestampOption = None,
    world_id: Annotated[
        str | None, typer.Option("--id", metavar="HEX", help="Id of the World, if FILE has none.")
    ] = None,
    world_type: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="planet or moon, if FILE does not say."),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="binary, python-json, c-header, base64 or link.",
            autocompletion=_format_names,
        ),
    ] = "binary",
    loose: _LooseOption = False,
    force: _ForceOption = False,
    as_json: _JsonOption = False,
) -> None:
    """Sign a World and write it.

    FILE may be anything that lists roots: a planet, a moon.json, an mkworld configuration. Nothing
    is written that nodes would refuse after OLD.
    """
    from dataclasses import replace

    from orrery.cli import output
    from orrery.cli.documents import (
        now_ms,
        parse_id,
        parse_timestamp,
        parse_type,
        read_document,
        read_public_key,
        read_signing_key,
    )
    from orrery.cli.files import STANDARD, check_one_standard_input, check_output, write_output
    from orrery.cli.world_view import describe
    from orrery.errors import UsageError
    from orrery.worlds import formats
    from orrery.worlds.acceptance import check_update

    check_one_standard_input(file, key, next_key, previous)
    wanted = formats.by_name(to)
    if wanted.name not in _NEED_SIGNATURE:
        raise UsageError(f"the format {to} has no place for a signature: use binary")
    if as_json and out == STANDARD:
        raise UsageError("standard output cannot take both the World and --json: name a file")
    check_output(out, force=force)
    source, document = read_document(file, loose=loose)
    if world_id is not None:
        document = replace(document, id=parse_id(world_id))
    if world_type is not None:
        document = replace(document, type=parse_type(world_type))
    document.draft()  # before anyone is asked for keys
    if key is None:
        signing_key, next_public = _own_keys(source, document)
    else:
        signing_key, next_public = read_signing_key(key), None
    if next_key is not None:
        next_public = read_public_key(next_key)
    old = None if previous is None else _held(previous)
    if timestamp is not None:
        at_ms = parse_timestamp(timestamp)
    else:
        at_ms = max(now_ms(), old.timestamp_ms + 1 if old else 0)
    world = document.sign(signing_key, timestamp_ms=at_ms, next_public=next_public)
    if old is not None:
        check_update(old, world)
    document = document.signed(world)
    _warn_of_pitfalls(document, now_ms(), old)
    write_output(out, formats.write(document, wanted.name), force=force, is_text=wanted.is_text)
    if as_json:
        output.print_json({**describe(source, document, secret=False), "file": out})
    elif out != STANDARD:
        output.say(
            f"{out}: {world.type.name.lower()} {world.id:016x}, timestamp {world.timestamp_ms}, "
            f"signed by {signing_key.fingerprint}"
        )


_NEED_SIGNATURE = frozenset({"binary", "python-json", "c-header", "base64", "link"})


def _signed(source: "Source", document: "Document") -> "World":
    from orrery.errors import VerifyError

    world = document.world
    if world is None:
        what = "a key and no World" if document.roots is None else "not signed yet"
        raise VerifyError(f"{source.name} is {what}, so no node takes it")
    return world


def _held(argument: str) -> "World | None":
    """What a node holds: the World in a file, or nothing."""
    from orrery.cli.documents import parse_document
    from orrery.cli.files import read_source
    from orrery.errors import UsageError
    from orrery.worlds.formats import MAX_FILE_BYTES

    if argument == "none":
        return None
    source = read_source(argument, MAX_FILE_BYTES)
    if not source.data:
        return None
    world = parse_document(source, loose=True).world
    if world is None:
        raise UsageError(f"{source.name} is not signed, so no node holds it: name what nodes hold")
    return world


def _check_against(world: "World", source: "Source", against: str) -> str:
    from orrery.worlds.acceptance import check_update

    old = _held(against)
    check_update(old, world)
    if old is None:
        holder = "that holds nothing would take it, whoever signed it"
    elif old.id == 0 or old.type == 0:
        holder = f"that holds {against} would take it: anything replaces a World of id or type 0"
    else:
        holder = f"that holds {against} would take it"
    return f"yes: {source.name} is an update, a node {holder}"


def _check_alone(world: "World", source: "Source", public_key: bytes | None) -> str:
    from orrery.errors import VerifyError
    from orrery.wire.signature import fingerprint

    wanted = world.updates_must_be_signed_by if public_key is None else public_key
    wrong = []
    try:
        world.verify(wanted)
    except VerifyError as error:
        hint = (
            "; if an earlier key signed it, give that with --key, or the revision before with "
            "--against"
        )
        wrong.append(f"{source.name}: {error}{hint if public_key is None else ''}")
    for root in world.roots:
        try:
            root.identity.validate()
        except VerifyError as error:
            wrong.append(f"{source.name}: {error}")
    if wrong:
        raise VerifyError("\n".join(wrong))
    count = len(world.roots)
    roots = f"{count} root{'s' * (count != 1)}"
    return (
        f"yes: {source.name} is signed by {fingerprint(wanted)}, and the proof of work of "
        f"its {roots} holds"
    )


def _own_keys(source: "Source", document: "Document") -> "tuple[SigningKey, bytes | None]":
    """The key that signs and the one that is named, by what a file holds or names itself."""
    from pathlib import Path

    from orrery.cli.documents import read_signing_key, trust_signing_key
    from orrery.errors import CustodyError

    if document.key_files is None or source.path is None:
        return trust_signing_key(source, document), None
    signing, named = document.key_files
    if any(Path(name).name != name or name in ("", "..") for name in (signing, named)):
        # A configuration of somebody else must not make us read files of its choice.
        raise CustodyError(
            f"{source.name} names key files outside of its directory: give them with --key and "
            "--next-key"
        )
    directory = source.path.parent
    key = read_signing_key(str(directory / signing))
    return key, read_signing_key(str(directory / named)).public


def _exposure(source: "Source", document: "Document") -> list[dict[str, str]]:
    if not (document.holds_secret and source.is_open_to_others):
        return []
    import shlex

    return [
        {
            "code": "exposed-key",
            "sentence": "the file holds a private key and other users can read it: run chmod 600 "
            f"{shlex.quote(source.name)}",
        }
    ]


def _warn_of_pitfalls(document: "Document", at_ms: int, previous: "World | None" = None) -> None:
    from orrery.cli import output
    from orrery.worlds.pitfalls import warnings

    found: list[Any] = list(document.notes)
    found += warnings(document.draft(), at_ms, previous=previous)
    for each in found:
        output.warn(each.sentence)


def _format_of(out: str) -> str:
    from pathlib import PurePath

    from orrery.errors import UsageError

    name = PurePath(out).name.lower()
    found = _BY_NAME.get(name) or _BY_SUFFIX.get(PurePath(name).suffix)
    if found is None:
        raise UsageError(
            "the name of the file does not tell the format to write: add --to, with one of "
            f"{', '.join(_format_names(''))}"
        )
    return found
