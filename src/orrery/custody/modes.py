"""Who may read a secret: its owner alone, or it is not used.

Refused with the command that mends it, rather than mended in silence: whoever could read the
file so far may have done so, and its owner should know.
"""

import os
import shlex
import stat
from pathlib import Path

from orrery.custody.durable import unreadable
from orrery.errors import CustodyError

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_OTHERS = 0o077


def read_private_file(path: Path, most_bytes: int) -> bytes:
    """The bytes of a secret file.

    Its owner must be the user who runs this, or, for root, the owner of the directory it is in.

    Args:
        path: The file.
        most_bytes: How long it can be at most.

    Raises:
        CustodyError: It is missing, somebody else's, or readable by others.
        UnreadableError: It cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise CustodyError(
            f"{path} is missing; check the path, or put it back from a backup"
        ) from None
    except OSError as error:
        raise unreadable(path, "read", error) from error
    try:
        # Asked of the open file: the one that is checked is the one that is read.
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CustodyError(f"{path} is not a file; put the key file in its place")
        _check(path, found, FILE_MODE)
        data = b""
        while len(data) <= most_bytes and (part := os.read(descriptor, most_bytes + 1 - len(data))):
            data += part
    except OSError as error:
        raise unreadable(path, "read", error) from error
    finally:
        os.close(descriptor)
    if len(data) > most_bytes:
        raise CustodyError(f"{path} is too long for a key file; put the right file in its place")
    return data


def check_private_directory(path: Path) -> None:
    """Refuse a directory of secrets that others may list or change.

    Raises:
        CustodyError: It is somebody else's, or open to others.
        UnreadableError: It cannot be looked at.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(path, "looked at", error) from error
    _check(path, found, DIRECTORY_MODE)


def _check(path: Path, found: os.stat_result, wanted: int) -> None:
    mode = stat.S_IMODE(found.st_mode)
    user = os.geteuid()
    owners = {user}
    if user == 0:
        owners.add(path.parent.stat().st_uid)
    if found.st_uid not in owners:
        raise CustodyError(
            f"{path} belongs to user {found.st_uid} and not to user {user}, who runs this; "
            f"run: chown {user} {shlex.quote(str(path))}"
        )
    if mode & _OTHERS:
        raise CustodyError(
            f"{path} is open to other users (mode {mode:04o}); "
            f"run: chmod {wanted:o} {shlex.quote(str(path))}"
        )
