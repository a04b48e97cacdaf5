"""`orrery key sign`: sign a plan file on a machine that has nothing but the key."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orrery.cli.homes import PassphraseFileOption, passphrase_provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.text import Text

    from orrery.custody import KeyStore
    from orrery.home.plan_file import PlanFile
    from orrery.wire.signature import SigningKey

_AHEAD_MS = 86_400_000


def sign(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What `orrery plan --out` wrote; - reads it.")
    ],
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key", metavar="FILE", help="A key file, locked or not; may be given again."
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="DIR", help="A directory of key files, or a keys.d."),
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option("--home", envvar="ORRERY_HOME", metavar="DIR", help="A home with its keys.d."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Where to write it. Default: FILE itself."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what --out names.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Sign a plan file where the key is.

    Shows what it changes, made of the very bytes to sign, asks, and signs. Needs key files and
    nothing else. Exit status 0: every step is signed; 1: some are not yet, or
    it was not agreed to; 4: no key of a step is here.
    """
    from orrery.cli import output
    from orrery.cli.files import check_one_standard_output, check_output
    from orrery.errors import UsageError

    target = file if out is None else out
    check_one_standard_output(target, as_json=as_json)
    source = context.get_parameter_source("home")
    if (key or keys is not None) and source is not None and source.name == "ENVIRONMENT":
        home = None  # it is there for other commands
    if out is not None:
        check_output(out, force=force)
    read = _read(file)
    proven = _is_proven(read, _publics(read.plan.id, key or [], keys, home))
    if not as_json and target != "-":
        output.print_lines(_lines(read, in_full=not proven))
    if not proven:
        output.warn(
            "who signed the revision that this plan starts from is not known here, so what it says "
            "of the present may be made up: compare all of what is to be signed, not the changes"
        )
    for sentence in _doubts(read):
        output.warn(sentence)
    if not read.unsigned:
        if as_json:
            output.print_json(_describe(read, target))
        else:
            output.print_verdict("every step is signed already")
        return
    found = _keys(read, key or [], keys, home, passphrase_provider(passphrase_file))
    count = len([1 for n in read.unsigned if read.plan.steps[n - 1].signed_by in found])
    if not yes and file != "-":
        what = f"sign {count} revision{'s' * (count > 1)}"
        if not sys.stdin.isatty():
            raise UsageError(f"there is nobody to ask whether to {what}: say --yes")
        if not typer.confirm(f"{what.capitalize()}?", err=True):
            output.say("nothing was signed")
            raise typer.Exit(1)
    signed = read.sign(found.values())
    _write(target, signed)
    if as_json:
        output.print_json(_describe(signed, target))
    elif signed.unsigned:
        output.say(
            f"signed {count} of {len(signed.revisions)} revisions into {target}; still to be "
            f"signed: {_missing(signed)}"
        )
    else:
        output.say(f"signed, in {target}: `orrery apply {target}` in the home carries it out")
    raise typer.Exit(1 if signed.unsigned else 0)


def _read(argument: str) -> PlanFile:
    from orrery.cli.files import read_source
    from orrery.errors import DecodeError
    from orrery.home.plan_file import MAX_PLAN_BYTES, PlanFile

    source = read_source(argument, MAX_PLAN_BYTES)
    try:
        found = PlanFile.from_json(source.data.decode())
    except UnicodeDecodeError:
        raise DecodeError(f"{source.name}: this is no plan file: it is no text") from None
    except DecodeError as error:
        raise DecodeError(f"{source.name}: {error}") from None
    found.verify_signatures()
    return found


def _write(target: str, signed: PlanFile) -> None:
    from orrery.cli.files import write_output

    write_output(target, signed.to_json().encode(), force=True)


# What it changes, in words


def _is_proven(read: PlanFile, known: set[bytes]) -> bool:
    """Whether the revision that the plan starts from is known to be a revision."""
    from orrery.errors import VerifyError

    for public in (read.start.updates_must_be_signed_by, *known):
        try:
            read.start.verify(public)
        except VerifyError:
            continue
        # That it names the key which is here makes it one of the chain that this key signs for.
        return True
    return False


def _lines(read: PlanFile, *, in_full: bool) -> Iterator[Text]:
    from itertools import pairwise

    from rich.text import Text

    from orrery.cli import output
    from orrery.cli.plan_view import change_lines, summary
    from orrery.wire.signature import fingerprint
    from orrery.worlds.wording import describe_timestamp, describe_world

    yield Text(
        f"{describe_world(read.start)}, called {read.world!r} where the plan was made", "bold"
    )
    yield output.labelled("from", f"revision {describe_timestamp(read.start.timestamp_ms)}", 9)
    for number, (before, world) in enumerate(pairwise((read.start, *read.revisions)), start=1):
        step = read.plan.steps[number - 1]
        yield Text()
        state = "" if number in read.unsigned else ", signed already"
        yield Text.assemble(
            (f"step {number}", "bold"), f"  {describe_timestamp(world.timestamp_ms)}"
        )
        yield output.labelled("  signer", f"{fingerprint(step.signed_by)}{state}", 11)
        yield from change_lines(() if in_full else before.roots, world.roots, {})
        if world.updates_must_be_signed_by != before.updates_must_be_signed_by:
            was, names = map(
                fingerprint, (before.updates_must_be_signed_by, world.updates_must_be_signed_by)
            )
            yield Text(f"  ~ next signer {was} → {names}", "yellow")
    yield Text()
    yield summary(read.plan, read.start)


def _doubts(read: PlanFile) -> Iterator[str]:
    """What somebody should think about before signing."""
    from orrery.cli.documents import now_ms
    from orrery.worlds.wording import describe_timestamp

    newest_ms = max((world.timestamp_ms for world in read.revisions), default=0)
    if newest_ms > now_ms() + _AHEAD_MS:
        yield (
            f"the timestamp {describe_timestamp(newest_ms)} is more than a day ahead of the clock "
            "here: nodes refuse every later update with a smaller one; check both clocks"
        )


# Keys


def _keys(
    read: PlanFile,
    files: list[Path],
    directory: Path | None,
    home: Path | None,
    provide: Callable[[str], str],
) -> dict[bytes, SigningKey]:
    """The keys that sign what is not signed yet, as far as they are here.

    Raises:
        UsageError: nothing says where keys are.
        CustodyError: none of them is here, or one cannot be read.
    """
    from orrery.errors import CustodyError, UsageError

    if not files and directory is None and home is None:
        raise UsageError("say where the key is: --key FILE, --keys DIR or --home DIR")
    wanted = {read.plan.steps[number - 1].signed_by for number in read.unsigned}
    found: dict[bytes, SigningKey] = {}
    for path in (*files, *_key_files(directory)):
        if path not in files and not wanted - found.keys():
            break
        pair = _load(path, provide)
        if pair.public in wanted:
            found[pair.public] = pair
    for store in _stores(read.plan.id, directory, home, provide):
        for public in wanted - found.keys():
            if any(one.public in (public, None) for one in store.keys(read.plan.id)):
                found[public] = store.signer_for(read.plan.id, public)
    if not found:
        raise CustodyError(f"no key that has to sign is here; wanted is {_missing(read)}")
    return found


def _publics(
    world_id: int, files: list[Path], directory: Path | None, home: Path | None
) -> set[bytes]:
    """The public keys that are known here without a passphrase."""
    from orrery.cli.documents import read_signing_key

    plain = [path for path in (*files, *_key_files(directory)) if path.suffix != ".age"]
    found = {read_signing_key(str(path)).public for path in plain}
    for store in _stores(world_id, directory, home, lambda _: ""):
        found.update(each.public for each in store.keys(world_id) if each.public is not None)
    return found


def _missing(read: PlanFile) -> str:
    from orrery.wire.signature import fingerprint

    by_key: dict[bytes, list[int]] = {}
    for number in read.unsigned:
        by_key.setdefault(read.plan.steps[number - 1].signed_by, []).append(number)
    return "; ".join(
        f"step {' and '.join(map(str, numbers))} by {fingerprint(public)}"
        for public, numbers in by_key.items()
    )


def _key_files(directory: Path | None) -> list[Path]:
    """The key files in a directory; those that need a passphrase come last."""
    from orrery.errors import UnreadableError

    if directory is None:
        return []
    if not directory.is_dir():
        raise UnreadableError(f"{directory} is no directory: name the one with the key files")
    return [*sorted(directory.glob("*.c25519")), *sorted(directory.glob("*.c25519.age"))]


def _stores(
    world_id: int, directory: Path | None, home: Path | None, provide: Callable[[str], str]
) -> Iterator[KeyStore]:
    """The directories of keys by World that were named."""
    from orrery.custody import KeyStore
    from orrery.errors import UnreadableError

    if home is not None and not (home / "keys.d").is_dir():
        raise UnreadableError(f"{home} has no keys.d: name a home, or the key with --key")
    for path in (directory, None if home is None else home / "keys.d"):
        if path is not None and (path / f"{world_id:016x}").is_dir():
            yield KeyStore(path, provide)


def _load(path: Path, provide: Callable[[str], str]) -> SigningKey:
    from orrery.cli.documents import read_signing_key
    from orrery.custody import age
    from orrery.custody.modes import read_private_file
    from orrery.worlds.formats import MAX_FILE_BYTES

    data = read_private_file(path, MAX_FILE_BYTES)
    if path.suffix == ".age" or data.startswith(b"age-encryption.org/"):
        return age.decrypt(data, provide(str(path)), path)
    return read_signing_key(str(path))


def _describe(read: PlanFile, target: str) -> dict[str, Any]:
    from itertools import pairwise

    from orrery.wire.signature import fingerprint
    from orrery.worlds.diff import compare

    return {
        "file": target,
        "world": f"{read.plan.id:016x}",
        "name": read.world,
        "start_ms": read.start.timestamp_ms,
        "signed": not read.unsigned,
        "revisions": [
            {
                "step": step.number,
                "timestamp_ms": world.timestamp_ms,
                "signer": fingerprint(step.signed_by),
                "next_signer": fingerprint(step.names),
                "signed": step.number not in read.unsigned,
                "changes": [
                    sentence
                    for sentence in compare(before, world).in_words()
                    if not sentence.startswith(("timestamp:", "the signature"))
                ],
            }
            for step, (before, world) in zip(
                read.plan.steps, pairwise((read.start, *read.revisions)), strict=True
            )
        ],
    }
