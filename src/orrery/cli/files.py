"""Files that commands read and write; `-` is standard input or output."""

import contextlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from orrery.custody.durable import unreadable, write_file
from orrery.errors import ConflictError, DecodeError, UnreadableError, UsageError
from orrery.wire.identity import Identity
from orrery.worlds import formats
from orrery.worlds.formats import MAX_FILE_BYTES

STANDARD = "-"
SECRET_MODE = 0o600
PUBLIC_MODE = 0o644
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Source:
    """What was read.

    Attributes:
        name: what to call it in a sentence.
        data: its bytes.
        path: where it lies; None for standard input.
        is_open_to_others: whether other users of the machine can read it.
    """

    name: str
    data: bytes
    path: Path | None
    is_open_to_others: bool = False


def read_source(argument: str, most_bytes: int) -> Source:
    """Read a file, or standard input for `-`.

    Args:
        argument: what the user wrote.
        most_bytes: how much is read at most; one byte more is, so that too much can be noticed.

    Raises:
        UnreadableError: it cannot be read.
    """
    if argument == STANDARD:
        data = sys.stdin.buffer.read(most_bytes + 1)
        return Source("standard input", data, None)
    path = Path(argument)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(most_bytes + 1)
    except IsADirectoryError:
        raise UnreadableError(f"{path} is a directory: name the file in it") from None
    except FileNotFoundError:
        raise UnreadableError(f"{path} is not there: check the path") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError):  # a NUL in the path
            raise UnreadableError(f"{argument!r} is no path: check it") from None
        raise unreadable(path, "read", error) from error
    exposed = stat.S_ISREG(mode) and bool(mode & _OTHERS)
    return Source(str(path), data, path, exposed)


def check_one_standard_input(*arguments: str | None) -> None:
    """Refuse to read standard input twice.

    Raises:
        UsageError: more than one argument is `-`.
    """
    if arguments.count(STANDARD) > 1:
        raise UsageError("standard input (-) can be read once only: name a file for the other")


def check_one_standard_output(argument: str, *, as_json: bool) -> None:
    """Refuse to write a file and JSON to standard output.

    Raises:
        UsageError: both would go there.
    """
    if argument == STANDARD and as_json:
        raise UsageError("standard output (-) has room for one: leave out --json, or name a file")


def check_output(argument: str, *, force: bool | None) -> None:
    """Refuse a place where nothing may be written, before any work is done for it.

    Args:
        argument: what the user wrote.
        force: whether another file may be replaced; None where no option of the command says so.

    Raises:
        ConflictError: there is a file already, and no force.
        UnreadableError: it is a directory, or a device or pipe, which a file would take the place
            of.
    """
    if argument == STANDARD:
        return
    path = Path(argument)
    if path.is_dir():
        raise UnreadableError(f"{path} is a directory: name the file to write in it")
    if path.exists() and not path.is_file():
        raise UnreadableError(
            f"{path} is no regular file, and is not replaced by one: name another, or write to "
            "standard output with -"
        )
    if not force and os.path.lexists(path):
        raise _taken(path, force)


def write_output(
    argument: str,
    data: bytes,
    *,
    secret: bool = False,
    force: bool | None = None,
    is_text: bool = True,
) -> None:
    """Write a file whole or not at all, or to standard output for `-`.

    Args:
        argument: what the user wrote.
        data: its bytes.
        secret: readable by its owner alone.
        force: in place of another file, whose permissions stay unless this is a secret; None
            where no option of the command says so.
        is_text: whether it may go to a terminal.

    Raises:
        UsageError: bytes for a terminal.
        ConflictError: there is a file already, and no force; or it holds the only copy, for all
            we know, of a private key.
        UnreadableError: it cannot be written.
    """
    if argument == STANDARD:
        if not is_text and sys.stdout.isatty():
            raise UsageError(
                "these are bytes and no text for a terminal: name a file, or use a pipe"
            )
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    check_output(argument, force=force)
    path = Path(argument)
    mode = SECRET_MODE if secret else PUBLIC_MODE
    if not force:
        _write_new(path, data, mode, force)
        return
    target = path.resolve()  # a link stays one, and what it points to is replaced
    if target.exists():
        _check_no_key_is_lost(path, data)
        if not secret:
            mode = stat.S_IMODE(target.stat().st_mode)
    write_file(target, data, mode)


def _write_new(path: Path, data: bytes, mode: int, force: bool | None) -> None:
    """Write a file where none is, even if another process tries the same at this moment."""
    if not path.parent.is_dir():
        raise UnreadableError(
            f"{path} cannot be written: {path.parent} is no directory that is there"
        )
    whole = path.with_name(f".orrery-{path.name}-{os.urandom(6).hex()}")
    try:
        write_file(whole, data, mode)
        os.link(whole, path)
    except FileExistsError:
        raise _taken(path, force) from None
    except UnreadableError as error:
        # The user knows the file by the name that it should have got.
        raise UnreadableError(str(error).replace(str(whole), str(path))) from None
    except OSError:
        write_file(path, data, mode)  # a file system without hard links
    finally:
        whole.unlink(missing_ok=True)


def _taken(path: Path, force: bool | None) -> ConflictError:
    otherwise = "" if force is None else ", or add --force"
    return ConflictError(f"{path} is there already: name another file{otherwise}")


def _check_no_key_is_lost(path: Path, data: bytes) -> None:
    """Refuse to replace a file with a private key by one without it: it does not come back."""
    held = read_source(str(path), MAX_FILE_BYTES).data
    private = None
    try:
        key = formats.read(held, loose=True).signing_key
        private = None if key is None else key.private
    except DecodeError:
        # Not a World or a key: perhaps an identity.
        with contextlib.suppress(DecodeError):
            private = Identity.from_string(held.decode("ascii", "replace")).private_key
    if private is not None and private not in data and private.hex().encode() not in data:
        raise ConflictError(
            f"{path} holds a private key, which would be lost, and --force does not do that: name "
            "another file, or move that one away"
        )
