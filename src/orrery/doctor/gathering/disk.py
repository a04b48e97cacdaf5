"""What lies in a home: files with modes and owners, what was left behind, room."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from orrery.custody import Owner
from orrery.custody.durable import TEMPORARY_PREFIX
from orrery.doctor.snapshot import Disk, Entry, Secrecy
from orrery.errors import OrreryError
from orrery.home.home import DATABASE_NAME, UNFINISHED_NAME
from orrery.store.copying import check_whole

_SECRET = ("identity.secret", "keys.d")
_PUBLIC = (
    "orrery.toml",
    DATABASE_NAME,
    f"{DATABASE_NAME}-wal",
    f"{DATABASE_NAME}-shm",
    "identity.public",
    "planet",
    "moons.d",
    "backups",
    "restored.json",
    "lock",
)
_DAMAGE = re.compile(r"is damaged \((?:\*\*\* [^\n]* \*\*\*\s*)?(.*)\)", re.DOTALL)
"""What `check_whole` found, without what SQLite puts before it."""
_RESTORE_PREFIX = f"{TEMPORARY_PREFIX}restore-"
_UNUSED_S = 3_600
"""A directory that nobody has changed for so long belongs to no restore that goes on."""


def look_at_disk(home: Path) -> Disk:
    """Everything that is to be seen of the files of a home without reading them.

    Raises:
        UnreadableError: The home cannot be looked at.
    """
    owner = Owner.of(home)
    database = home / DATABASE_NAME
    try:
        size_bytes = database.stat().st_size
    except OSError:
        size_bytes = 0
    return Disk(
        owner=owner,
        user=os.geteuid(),
        entries=tuple(_entries(home)),
        leftovers=tuple(_leftovers(home)),
        abandoned=tuple(_abandoned(home, owner)),
        is_changing=is_locked(home / "lock"),
        free_bytes=shutil.disk_usage(home).free,
        needed_bytes=2 * size_bytes,
    )


def damage_of(home: Path) -> str:
    """What is damaged in the database, empty for nothing."""
    try:
        check_whole(home / DATABASE_NAME)
    except OrreryError as error:
        what = _DAMAGE.search(str(error))
        return what[1] if what else str(error)
    return ""


def may(path: Path, mode: int) -> bool:
    """Whether whoever runs this may use a file so (`os.R_OK`, …)."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def is_locked(path: Path) -> bool:
    """Whether a process holds a lock; a lock file that is not there is not made."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _entries(home: Path) -> Iterator[Entry]:
    yield from _entry(home, Secrecy.PUBLIC)
    for names, secrecy in ((_SECRET, Secrecy.SECRET), (_PUBLIC, Secrecy.PUBLIC)):
        for name in names:
            yield from _tree(home / name, secrecy)
    for path in sorted(home.glob("serve*.lock")):
        yield from _entry(path, Secrecy.PUBLIC)


def _tree(path: Path, secrecy: Secrecy) -> Iterator[Entry]:
    yield from _entry(path, secrecy)
    try:
        inside = sorted(path.iterdir()) if path.is_dir() else []
    except OSError:
        return  # whoever may not look into it is told by its mode or owner
    for each in inside:
        yield from _tree(each, secrecy)


def _entry(path: Path, secrecy: Secrecy) -> Iterator[Entry]:
    try:
        found = path.stat()
    except OSError:
        return  # not there, or out of sight
    yield Entry(
        path,
        secrecy,
        stat.S_IMODE(found.st_mode),
        Owner(found.st_uid, found.st_gid),
        is_directory=stat.S_ISDIR(found.st_mode),
    )


def _leftovers(home: Path) -> Iterator[Path]:
    for place in (".", "moons.d", "backups", "keys.d", "keys.d/*", "keys.d/*/retired"):
        yield from sorted(home.glob(f"{place}/{TEMPORARY_PREFIX}*.tmp"))
    if (home / UNFINISHED_NAME).exists() and (home / DATABASE_NAME).exists():
        yield home / UNFINISHED_NAME
    for locked in sorted(home.glob("keys.d/**/*.c25519.age")):
        if locked.with_suffix("").exists():
            yield locked


def _abandoned(home: Path, owner: Owner) -> Iterator[Path]:
    now_s = time.time()
    for place in dict.fromkeys((home, home.parent, Path(tempfile.gettempdir()))):
        try:
            found = sorted(place.glob(f"{_RESTORE_PREFIX}*"))
        except OSError:
            continue
        for path in found:
            try:
                about = path.stat()
            except OSError:
                continue
            mine = about.st_uid in (owner.uid, os.geteuid())
            if mine and stat.S_ISDIR(about.st_mode) and now_s - about.st_mtime > _UNUSED_S:
                yield path
