"""What commands that work on a home have in common: their options, and how it is opened."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orrery.home import Home, WorldSettings
    from orrery.home.rolling import SteeredWorld

HERE = Path()
HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="ORRERY_HOME",
        metavar="DIR",
        show_default="the current directory",
        help="Directory that holds the root's state.",
        readable=False,  # who may not enter it is told so by us, with what to do
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def world_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of Worlds for the shell to complete; what is wrong is told by the command itself."""
    from orrery.errors import OrreryError
    from orrery.home.settings import FILE_NAME, Settings

    try:
        settings = Settings.load(Path(ctx.params.get("home") or HERE) / FILE_NAME)
    except OrreryError:
        return []
    return [world.name for world in settings.worlds if world.name.startswith(incomplete)]


WorldArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="WORLD",
        help="Name or id; may be left out where there is one only.",
        autocompletion=world_names,
    ),
]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="File with the passphrase of a locked key. Default: ORRERY_PASSPHRASE, the systemd "
        "credential orrery-passphrase, or a prompt.",
    ),
]


def passphrase_provider(file: Path | None) -> Callable[[str], str]:
    """How a locked key is opened.

    The first of these that is there: the file, ORRERY_PASSPHRASE, the systemd credential
    `orrery-passphrase`, a person at the terminal.
    """

    def provide(what: str) -> str:
        from orrery.errors import CustodyError

        if (given := _given_passphrase(file)) is not None:
            return given
        if not sys.stdin.isatty():
            raise CustodyError(f"{what} is locked: {_HOW_TO_GIVE}")
        return str(typer.prompt(f"Passphrase of {what}", hide_input=True, err=True))

    return provide


def given_passphrase_provider(file: Path | None) -> Callable[[str], str]:
    """How a locked key is opened where nobody can be asked: as `passphrase_provider` otherwise."""

    def provide(what: str) -> str:
        from orrery.errors import CustodyError

        if (given := _given_passphrase(file)) is not None:
            return given
        raise CustodyError(
            f"{what} is locked, and this server was given no passphrase: run `orrery key unlock`, "
            "or start it again with --passphrase-file, ORRERY_PASSPHRASE or the systemd credential "
            f"{_CREDENTIAL}"
        )

    return provide


def new_passphrase_provider(file: Path | None, kind: str = "a key") -> Callable[[str], str]:
    """How a key, or what `kind` says, is locked: as `passphrase_provider`, but asked for twice."""

    def provide(what: str) -> str:
        from orrery.errors import CustodyError

        given = _given_passphrase(file)
        if given is None and not sys.stdin.isatty():
            raise CustodyError(f"{kind} cannot be locked without a passphrase: {_HOW_TO_GIVE}")
        if given is None:
            given = str(
                typer.prompt(
                    f"New passphrase of {what}", hide_input=True, confirmation_prompt=True, err=True
                )
            )
        if not given:
            raise CustodyError("an empty passphrase locks nothing: choose one of several words")
        return given

    return provide


_HOW_TO_GIVE = (
    "give --passphrase-file, ORRERY_PASSPHRASE or the systemd credential orrery-passphrase, or run "
    "this at a terminal"
)
_CREDENTIAL = "orrery-passphrase"


def _given_passphrase(file: Path | None) -> str | None:
    """What the file, the environment or systemd says, None where none of them does.

    A file that others can read is warned of and not refused: some container managers hand out
    secrets in no other way.
    """
    import stat

    from orrery.cli import output

    if file is not None:
        given, mode = _read_passphrase(file)
        if stat.S_ISREG(mode) and mode & 0o077:
            output.warn(
                f"{file} holds a passphrase and other users can read it: run chmod 600 "
                f"{shlex.quote(str(file))}"
            )
        return given
    if (given_there := os.environ.get("ORRERY_PASSPHRASE")) is not None:
        return given_there
    if directory := os.environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(directory) / _CREDENTIAL
        if credential.exists():  # systemd has seen to who can read it
            return _read_passphrase(credential)[0]
    return None


def _read_passphrase(file: Path) -> tuple[str, int]:
    """What stands in a file without the end of its line, and the file's mode."""
    from orrery.custody.durable import unreadable
    from orrery.errors import UnreadableError

    try:
        mode = file.stat().st_mode
        return file.read_text(encoding="utf-8").rstrip("\r\n"), mode
    except OSError as error:
        raise unreadable(file, "read", error) from None
    except UnicodeDecodeError:
        raise UnreadableError(f"{file} holds no text, and a passphrase is one") from None


def tell_repairs(home: Home) -> None:
    """Tell what opening the home has mended."""
    from orrery.cli import output

    for sentence in home.repairs:
        output.warn(sentence)


def choose_world(home: Home, name: str | None) -> WorldSettings:
    """The World that a command is about.

    Raises:
        UsageError: there is none of this name, or several and none is named.
    """
    return home.settings().choose(name)


def home_option(home: Path) -> str:
    """What to add to a command so that it is about this home too, empty where it is anyway."""
    return "" if home == HERE else f" --home {shlex.quote(str(home))}"


def world_option(home: Home, world: WorldSettings | SteeredWorld, path: Path) -> str:
    """What to add to a command so that it is about this World of this home too."""
    from orrery.errors import DecodeError

    try:
        several = len(home.settings().worlds) > 1
    except DecodeError:
        several = len(home.store.active_rollouts()) > 1
    named = f" {shlex.quote(world.name)}" if several else ""
    return f"{named}{home_option(path)}"


def show_search(tries: int) -> None:
    """Progress of the search for an identity, on one line."""
    print(f"\rtried {tries} keys, about 15 are needed ", end="", file=sys.stderr, flush=True)
