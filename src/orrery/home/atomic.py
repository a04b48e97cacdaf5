"""Replacing a file of the home: whole or not at all, with owner and mode, the old one kept."""

import hashlib
import re
import stat
from datetime import UTC, datetime
from pathlib import Path

from orrery.custody.durable import Owner, make_directory, remove, unreadable, write_file

BACKUPS_KEPT = 100
_HASH_DIGITS = 12
_LAST_DATE_MS = 253_402_300_799_999  # the end of the year 9999


def replace_file(
    path: Path,
    data: bytes,
    *,
    backups: Path,
    now_ms: int,
    new_mode: int = 0o644,
    new_owner: Owner | None = None,
) -> None:
    """Put a file in the place of the one that is there, and keep that one in `backups`.

    The order is: the old file is safe in `backups`, then the new one takes its place. So at every
    moment one whole file has the name, and no content that ever had it is lost.

    Args:
        path: Its place.
        data: What is to be there. When it is there already, nothing is done.
        backups: The directory for files that were replaced; made when missing.
        now_ms: The clock, for the name of what is kept.
        new_mode: Permissions where there was no file; else those of the old one are kept.
        new_owner: Owner where there was no file; else that of the old one is kept.

    Raises:
        UnreadableError: Something cannot be read or written; the old file is whole in its place.
    """
    try:
        before = path.read_bytes()
        found = path.stat()
    except FileNotFoundError:
        write_file(path, data, new_mode, new_owner)
        return
    except OSError as error:
        raise unreadable(path, "read", error) from error
    if before == data:
        return
    keep_copy(path.name, before, backups=backups, now_ms=now_ms, owner=new_owner)
    write_file(path, data, stat.S_IMODE(found.st_mode), Owner(found.st_uid, found.st_gid))
    drop_old_copies(path.name, backups)


def keep_copy(
    name: str, data: bytes, *, backups: Path, now_ms: int, owner: Owner | None = None
) -> Path:
    """Keep the content of a file, named with time and hash.

    Returns:
        The copy; the last one, where that has the same content.

    Raises:
        UnreadableError: It cannot be written.
    """
    make_directory(backups, 0o700, owner)
    digest = hashlib.sha256(data).hexdigest()[:_HASH_DIGITS]
    if (copies := copies_of(name, backups)) and copies[-1].name.endswith(f".{digest}"):
        return copies[-1]
    copy = backups / f"{name}.{_stamp(now_ms)}.{digest}"
    write_file(copy, data, 0o600, owner)
    return copy


def copies_of(name: str, backups: Path) -> list[Path]:
    """What is kept of a file, oldest first.

    Raises:
        UnreadableError: The directory cannot be read.
    """
    form = re.compile(re.escape(name) + r"\.\d{8}T\d{9}Z\.[0-9a-f]{12}")
    try:
        return sorted(path for path in backups.iterdir() if form.fullmatch(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(backups, "read", error) from error


def drop_old_copies(name: str, backups: Path) -> None:
    """Keep the newest copies of a file and remove the others.

    Raises:
        UnreadableError: One cannot be removed.
    """
    for copy in copies_of(name, backups)[:-BACKUPS_KEPT]:
        remove(copy)


def _stamp(now_ms: int) -> str:
    seconds, milliseconds = divmod(max(0, min(now_ms, _LAST_DATE_MS)), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}{milliseconds:03d}Z"
