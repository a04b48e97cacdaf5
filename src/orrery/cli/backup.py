"""`orrery backup`: a home in one sealed file."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import (
    HERE,
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    new_passphrase_provider,
    tell_repairs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orrery.home import Home


def backup(
    home: HomeOption = HERE,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Where to write it; - is standard output. Default: as [backup] in orrery.toml, or "
            "the current directory.",
        ),
    ] = None,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            metavar="age1…",
            help="Seal it to an age public key; may be given several times. Default: those of "
            "[backup], or a passphrase.",
        ),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back a home up into one file, keys included.

    A server may work with it meanwhile. The file is encrypted (age), with a passphrase or to public
    keys. `orrery restore --check` proves that it restores.
    """
    from orrery.cli import output
    from orrery.cli.files import (
        STANDARD,
        check_one_standard_output,
        check_output,
        write_output,
    )
    from orrery.custody.sealing import check_can_seal, check_recipient
    from orrery.errors import UsageError
    from orrery.home import Home, wall_clock_ms
    from orrery.home.backing_up import file_name, take
    from orrery.home.publishing import user_name

    if recipient and passphrase_file is not None:
        raise UsageError("seal it with a passphrase or to recipients: leave one of the two out")
    if out is not None:
        check_one_standard_output(out, as_json=as_json)
    check_can_seal()
    for each in recipient or ():
        check_recipient(each)
    with Home.open(home) as reader:
        folder, recipients = _defaults(reader, recipient, passphrase_file)
        root = reader.identity().address
    now_ms = wall_clock_ms()
    place = str(folder) if out is None else out
    if place != STANDARD:
        if Path(place).is_dir():
            place = str(Path(place) / file_name(root, now_ms))
        check_output(place, force=None)
    # Asked before the home is locked: people take their time.
    passphrase = None
    if not recipients:
        passphrase = new_passphrase_provider(passphrase_file, "a backup")("the backup")
    with Home.open(home, writer=True) as opened:
        tell_repairs(opened)
        taken = take(opened, now_ms)
    write_output(
        place, _seal(taken.archive.pack(), recipients, passphrase), secret=True, is_text=False
    )
    # What was never written is not remembered; `orrery doctor` goes by it.
    with Home.open(home) as reader:
        told = "standard output" if place == STANDARD else str(Path(place).absolute())
        reader.store.audit(now_ms, user_name(), "backup", told)
    for name in taken.left_out:
        output.warn(f"{name} is no part of a home, and not in the backup")
    if place == STANDARD:
        return
    size_bytes = Path(place).stat().st_size
    if as_json:
        output.print_json(
            {
                "file": place,
                "size_bytes": size_bytes,
                "made_at_ms": now_ms,
                "root": f"{root:010x}",
                "recipients": list(recipients),
                "worlds": [
                    {
                        "id": f"{world.id:016x}",
                        "type": world.type.name.lower(),
                        "newest_ms": world.newest_ms,
                    }
                    for world in taken.archive.worlds
                ],
                "left_out": list(taken.left_out),
            }
        )
        return
    sealed = f"to {len(recipients)} age key{'s' * (len(recipients) > 1)}"
    output.print_facts(
        f"backup of root {root:010x}",
        [
            ("file", f"{place}, mode 0600"),
            ("size", f"{size_bytes:,} bytes, {len(taken.archive.files)} files, keys included"),
            ("sealed", sealed if recipients else "with the passphrase: keep it somewhere else"),
            *(
                (world.type.name.lower(), f"{world.id:016x}, newest revision {world.newest_ms}")
                for world in taken.archive.worlds
            ),
            (
                "check it",
                f"orrery restore --check {shlex.quote(place)}"
                + (" --identity KEYS" if recipients else ""),
            ),
        ],
    )


def _defaults(
    home: "Home", recipients: "Sequence[str] | None", passphrase_file: Path | None
) -> "tuple[Path, Sequence[str]]":
    """Where backups go and to whom they are sealed, where the command line does not say."""
    from orrery.errors import DecodeError
    from orrery.home.backing_up import place_of

    try:
        wanted = home.settings().backup
    except DecodeError:
        wanted = None  # settings with mistakes are backed up as they are
    folder = Path() if wanted is None else place_of(home, wanted)
    if recipients or wanted is None or passphrase_file is not None:
        return folder, recipients or ()
    return folder, wanted.recipients


def _seal(data: bytes, recipients: "Sequence[str]", passphrase: str | None) -> bytes:
    from orrery.custody.sealing import seal_to, seal_with_passphrase

    if passphrase is not None:
        return seal_with_passphrase(data, passphrase)
    return seal_to(data, recipients)
