"""Files that are there whole or not at all, whenever the power fails.

A file is written beside its place, forced to disk, renamed over its place, and the directory is
forced to disk too: before the rename there is the old file, after it the new one, never a part of
one. What a crash leaves behind is a file whose name begins with `TEMPORARY_PREFIX`; it was never
in use, and whoever holds the lock over its directory removes it with `remove_leftovers`.

A failure here is an `UnreadableError` and leaves what was there as it was.
"""

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from orrery.errors import UnreadableError

TEMPORARY_PREFIX = ".orrery-"
_TEMPORARY_SUFFIX = ".tmp"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a file is to be."""

    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The owner of something that exists.

        Raises:
            UnreadableError: It does not, or cannot be looked at.
        """
        try:
            found = path.stat()
        except OSError as error:
            raise unreadable(path, "looked at", error) from error
        return cls(found.st_uid, found.st_gid)


def write_file(path: Path, data: bytes, mode: int, owner: Owner | None = None) -> None:
    """Put a file in place whole, in place of any other.

    Args:
        path: Its place; the directory exists.
        data: Its bytes.
        mode: Its permissions, whatever the umask.
        owner: Its owner; the process's own when left out.

    Raises:
        UnreadableError: It cannot be written; what was there is untouched.
    """
    temporary = path.with_name(
        f"{TEMPORARY_PREFIX}{path.name}-{os.urandom(6).hex()}{_TEMPORARY_SUFFIX}"
    )
    try:
        try:
            _write_new(temporary, data, mode, owner)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise unreadable(path, "written", error) from error


def _write_new(path: Path, data: bytes, mode: int, owner: Owner | None) -> None:
    # Created private: a reader who opens it before fchmod keeps what he opened.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if owner is not None and owner != Owner(os.geteuid(), os.getegid()):
            os.fchown(descriptor, owner.uid, owner.gid)
        os.fchmod(descriptor, mode)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move(source: Path, target: Path) -> None:
    """Rename a file, in place of any other, and force both directories to disk.

    Raises:
        UnreadableError: It cannot be renamed.
    """
    try:
        source.replace(target)
        sync_directory(target.parent)
        if source.parent != target.parent:
            sync_directory(source.parent)
    except OSError as error:
        raise unreadable(source, f"renamed to {target.name}", error) from error


def remove(path: Path) -> None:
    """Remove a file if it is there, and force its directory to disk.

    Raises:
        UnreadableError: It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise unreadable(path, "removed", error) from error


def make_directory(path: Path, mode: int, owner: Owner | None = None) -> None:
    """Make a directory with its parents if it is missing; one that is there stays as it is.

    Raises:
        UnreadableError: It cannot be made, or something else has its name.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_directory(path.parent, 0o755)
    try:
        # Another process may make it at the same moment: it makes the same one.
        path.mkdir(mode=mode, exist_ok=True)
        if owner is not None and owner != Owner(os.geteuid(), os.getegid()):
            os.chown(path, owner.uid, owner.gid)
        path.chmod(mode)
        sync_directory(path.parent)
    except OSError as error:
        raise unreadable(path, "made", error) from error


def sync_directory(path: Path) -> None:
    """Force the names in a directory to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems have no fsync for directories; there is no other way.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(directory: Path) -> tuple[str, ...]:
    """Remove what interrupted writes left in a directory.

    To be called only under the lock that the writers of this directory take.

    Returns:
        The names of the files that were removed.

    Raises:
        UnreadableError: The directory cannot be read, or a file in it not be removed.
    """
    try:
        found = sorted(
            path
            for path in directory.iterdir()
            if path.name.startswith(TEMPORARY_PREFIX) and path.name.endswith(_TEMPORARY_SUFFIX)
        )
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise unreadable(directory, "read", error) from error
    for path in found:
        remove(path)
    return tuple(path.name for path in found)


def unreadable(path: Path, doing: str, error: OSError) -> UnreadableError:
    """The sentence for a failed operation on a file.

    Args:
        path: The file.
        doing: What could not be done with it, as a participle.
        error: Why.
    """
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        help_ = "the disk is full or your quota used up; free some space and try again"
    elif error.errno in {errno.EACCES, errno.EPERM}:
        help_ = "you may not do that; run the command as the owner of the directory"
    elif error.errno == errno.EROFS:
        help_ = "the file system is mounted read-only; mount it writable"
    elif error.errno == errno.ENOENT:
        help_ = "there is no such file or directory; check the path"
    else:
        help_ = f"{error.strerror or error}; check the path and the disk"
    return UnreadableError(f"{path} cannot be {doing}: {help_}")
