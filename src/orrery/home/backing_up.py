"""Backups: a home in one sealed file, taken while a server works with it.

The home's lock is held meanwhile, so that keys, revisions and World files belong together; the
database is copied as it is at one moment, and what servers record goes on being recorded.

A backup that `[backup]` asks for is made before every signature, after its timestamp was given out
and stored: whoever restores it knows every key that was ever named and every timestamp that was
ever used.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from orrery import __version__
from orrery.custody.durable import TEMPORARY_PREFIX, make_directory, remove, unreadable, write_file
from orrery.custody.identity_file import SECRET_NAME
from orrery.custody.modes import FILE_MODE, read_private_file
from orrery.custody.sealing import seal_to
from orrery.errors import CustodyError, OrreryError, UnreadableError
from orrery.home.archive import Archive, PackedFile, PackedWorld, is_part_of_home
from orrery.home.home import DATABASE_NAME, UNFINISHED_NAME, Home
from orrery.home.settings import BackupSettings
from orrery.home.unsettled import MARK_NAME
from orrery.store.copying import snapshot
from orrery.wire.address import Address, format_address

Kind = Literal["scheduled", "signing", "deploying"]
"""Why a backup was made by itself: its time had come, or something was about to be signed, or to be
put onto other hosts."""

_FOLDERS = ("moons.d", "keys.d", "backups")
_SECRET_BYTES = 1 << 20
_NAME = re.compile(r"orrery-([0-9a-f]{10})-(\d{8}T\d{9}Z)(\.(scheduled|signing|deploying))?\.age")
_TECHNICAL = re.compile(
    rf"lock|deploy\.lock|serve(\.[0-9a-f]{{10}})?\.lock|{re.escape(DATABASE_NAME)}(-wal|-shm|-journal)?"
    rf"|{re.escape(UNFINISHED_NAME)}|{re.escape(MARK_NAME)}"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """A home as it was backed up.

    Attributes:
        archive: All of it.
        left_out: Files in its directory that are no part of a home.
    """

    archive: Archive
    left_out: tuple[str, ...]


def take(home: Home, now_ms: int) -> Taken:
    """Take a home as it is now.

    Args:
        home: The home, open as a writer.
        now_ms: The clock.

    Raises:
        CustodyError: A key or the identity is missing, damaged or open to others.
        UnreadableError: Something cannot be read.
    """
    home.check_writer()
    root = home.identity().address
    files: list[PackedFile] = []
    left_out: list[str] = []
    for path in _files_of(home.path):
        name = path.relative_to(home.path).as_posix()
        if is_part_of_home(name) and name != DATABASE_NAME and not _NAME.fullmatch(path.name):
            files.append(_read(path, name))
        elif not _TECHNICAL.fullmatch(name) and not _is_ours(path):
            left_out.append(name)
    files.append(PackedFile(DATABASE_NAME, FILE_MODE, snapshot(home.path / DATABASE_NAME)))
    newest = [home.store.newest(world_id) for world_id in home.store.world_ids()]
    archive = Archive(
        made_by=__version__,
        made_at_ms=now_ms,
        root=root,
        worlds=tuple(
            PackedWorld(each.world.id, each.world.type, each.world.timestamp_ms)
            for each in newest
            if each is not None
        ),
        files=tuple(files),
    )
    return Taken(archive, tuple(left_out))


def _files_of(home: Path) -> list[Path]:
    try:
        found = sorted(path for path in home.iterdir() if not path.is_dir())
        for name in _FOLDERS:
            found += sorted(path for path in (home / name).rglob("*") if not path.is_dir())
    except OSError as error:
        raise unreadable(home, "read", error) from error
    return found


def _is_ours(path: Path) -> bool:
    return path.name.startswith(TEMPORARY_PREFIX) or _NAME.fullmatch(path.name) is not None


def _read(path: Path, name: str) -> PackedFile:
    if name == SECRET_NAME or name.startswith("keys.d/"):
        return PackedFile(name, FILE_MODE, read_private_file(path, _SECRET_BYTES))
    try:
        return PackedFile(name, path.stat().st_mode & 0o755, path.read_bytes())
    except OSError as error:
        raise unreadable(path, "read", error) from error


def file_name(root: Address, made_at_ms: int, kind: Kind | None = None) -> str:
    """What the file of a backup is called.

    Args:
        root: The home's own root.
        made_at_ms: When it is made.
        kind: Why, where it is made by itself.
    """
    return f"orrery-{format_address(root)}-{_stamp(made_at_ms)}{f'.{kind}' if kind else ''}.age"


def _stamp(time_ms: int) -> str:
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}{milliseconds:03d}Z"


def _time_ms(stamp: str) -> int:
    time = datetime.strptime(f"{stamp[:15]}+0000", "%Y%m%dT%H%M%S%z")
    return int(time.timestamp()) * 1000 + int(stamp[15:18])


# By themselves


def back_up(home: Home, wanted: BackupSettings, now_ms: int, kind: Kind) -> Path:
    """Make a backup as `[backup]` says, and remove those of its kind that are too many.

    Args:
        home: The home, open as a writer.
        wanted: What `[backup]` says.
        now_ms: The clock.
        kind: Why.

    Returns:
        Its file.

    Raises:
        CustodyError: As `take`; or a recipient is none.
        UnreadableError: Something cannot be read or written.
    """
    folder = place_of(home, wanted)
    if not folder.parent.is_dir():
        raise UnreadableError(
            f"{folder} cannot be made: {folder.parent} is no directory that is there; make it, or "
            "change 'to' in [backup]"
        )
    make_directory(folder, 0o700, home.owner)
    archive = take(home, now_ms).archive
    path = folder / file_name(archive.root, now_ms, kind)
    write_file(path, seal_to(archive.pack(), wanted.recipients), FILE_MODE, home.owner)
    for old in made(folder, archive.root, kind)[: -wanted.keep]:
        if old != path:
            remove(old)
    return path


def place_of(home: Home, wanted: BackupSettings) -> Path:
    """The directory of backups; one without a slash in front lies in the home."""
    return home.path / wanted.to


def made(folder: Path, root: Address, kind: Kind) -> list[Path]:
    """The backups of a root that were made by themselves, oldest first.

    Raises:
        UnreadableError: The directory cannot be read.
    """
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if (found := _NAME.fullmatch(path.name))
            and (found[1], found[4]) == (format_address(root), kind)
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, "read", error) from error


def made_at_ms(name: str, root: Address | None) -> int | None:
    """When the backup with this file name was made, by whomever; None for another file.

    Args:
        name: Of the file, without its directory.
        root: Whose backup it must be; anybody's where that is not known.
    """
    found = _NAME.fullmatch(name)
    if found is None or (root is not None and found[1] != format_address(root)):
        return None
    return _time_ms(found[2])


def due_in_ms(home: Home, wanted: BackupSettings, now_ms: int) -> int:
    """How long until the next scheduled backup is to be made; 0 when that is now.

    Raises:
        CustodyError: The identity is missing or open to others.
        UnreadableError: The directory of backups cannot be read.
    """
    files = made(place_of(home, wanted), home.identity().address, "scheduled")
    found = None if not files else _NAME.fullmatch(files[-1].name)
    if found is None:
        return 0
    age_ms = now_ms - _time_ms(found[2])
    # One from the future was made before the clock was set back.
    return wanted.every_ms - age_ms if 0 <= age_ms < wanted.every_ms else 0


def back_up_before_signing(home: Home, now_ms: int) -> Path | None:
    """Make a backup where `[backup]` is set; to be called when the timestamp is given out.

    Returns:
        Its file, None where none is wanted.

    Raises:
        CustodyError, UnreadableError: It cannot be made, and nothing may be signed.
        DecodeError: `orrery.toml` has mistakes.
    """
    wanted = home.settings().backup
    if wanted is None:
        return None
    try:
        return back_up(home, wanted, now_ms, "signing")
    except OrreryError as error:
        kind = CustodyError if isinstance(error, CustodyError) else UnreadableError
        raise kind(
            f"nothing was signed: the backup before it, which [backup] asks for, cannot be made: "
            f"{error}"
        ) from error
