"""What commands that work on a home have in common: their options, and how it is opened."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orrery.home import Home, WorldSettings

HERE = Path()
HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="ORRERY_HOME",
        metavar="DIR",
        show_default="the current directory",
        help="Directory that holds the root's state.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
WorldArgument = Annotated[
    str | None,
    typer.Argument(metavar="[WORLD]", help="Name or id; may be left out where there is one only."),
]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Where the passphrase of a locked key stands; else ORRERY_PASSPHRASE, or a prompt.",
    ),
]


def passphrase_provider(file: Path | None) -> Callable[[str], str]:
    """How a locked key is opened: from a file, from the environment, or by asking a person."""

    def provide(what: str) -> str:
        from orrery.errors import CustodyError, UnreadableError

        if file is not None:
            try:
                return file.read_text().rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise UnreadableError(
                    f"the passphrase file {file} cannot be read: {error}"
                ) from None
        if (given := os.environ.get("ORRERY_PASSPHRASE")) is not None:
            return given
        if not sys.stdin.isatty():
            raise CustodyError(
                f"{what} is locked: give --passphrase-file or ORRERY_PASSPHRASE, or run this at a"
                " terminal"
            )
        return str(typer.prompt(f"Passphrase of {what}", hide_input=True, err=True))

    return provide


def new_passphrase_provider(file: Path | None) -> Callable[[str], str]:
    """As `passphrase_provider`, but a person is asked twice."""
    provide = passphrase_provider(file)

    def provide_twice(what: str) -> str:
        if file is None and "ORRERY_PASSPHRASE" not in os.environ and sys.stdin.isatty():
            return str(
                typer.prompt(
                    f"New passphrase of {what}", hide_input=True, confirmation_prompt=True, err=True
                )
            )
        return provide(what)

    return provide_twice


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
    from orrery.errors import UsageError

    settings = home.settings()
    if name is not None:
        return settings.world(name)
    if len(settings.worlds) > 1:
        names = ", ".join(world.name for world in settings.worlds)
        raise UsageError(f"say which World: {home.settings_path} has {names}")
    return settings.worlds[0]


def show_search(tries: int) -> None:
    """Progress of the search for an identity, on one line."""
    print(f"\rtried {tries} keys, about 15 are needed ", end="", file=sys.stderr, flush=True)
