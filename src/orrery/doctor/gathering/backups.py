"""Which backups of a home there are."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from orrery.custody.sealing import is_sealed
from orrery.doctor.gathering.disk import may
from orrery.doctor.snapshot import Backups
from orrery.errors import OrreryError
from orrery.home import Home
from orrery.home.backing_up import made_at_ms, place_of
from orrery.home.settings import Settings
from orrery.store import AuditEntry
from orrery.wire.address import Address

BACKED_UP = "backup"
"""What the audit says of a backup that somebody made."""
_HEAD_BYTES = 64


def look_at_backups(
    home: Home,
    settings: Settings | None,
    root: Address | None,
    audit: tuple[AuditEntry, ...],
) -> Backups:
    """What is known of the backups of a home.

    Args:
        home: The home; its database need not be open.
        settings: What `orrery.toml` says.
        root: The own root, whose backups they are.
        audit: Who did what.
    """
    can_seal = find_spec("pyrage") is not None
    last = next((entry for entry in audit if entry.action == BACKED_UP), None)
    by_hand_at_ms = 0 if last is None else last.at_ms
    by_hand_place = "" if last is None else last.detail
    wanted = None if settings is None else settings.backup
    if wanted is None:
        return Backups(by_hand_at_ms=by_hand_at_ms, by_hand_place=by_hand_place, can_seal=can_seal)
    folder = place_of(home, wanted)
    newest, newest_at_ms = _newest(folder, root)
    return Backups(
        wanted=wanted,
        folder=folder,
        obstacle=_obstacle(folder),
        newest=newest,
        newest_at_ms=newest_at_ms,
        is_whole=newest is None or _is_whole(newest),
        same_disk=_is_same_disk(folder, home.path),
        by_hand_at_ms=by_hand_at_ms,
        by_hand_place=by_hand_place,
        can_seal=can_seal,
    )


def _newest(folder: Path, root: Address | None) -> tuple[Path | None, int]:
    """The last backup of a root, whoever made it, and when that was."""
    try:
        found = [
            (at_ms, path)
            for path in folder.iterdir()
            if (at_ms := made_at_ms(path.name, root)) is not None
        ]
    except OSError:
        return None, 0
    at_ms, path = max(found, default=(0, None))
    return path, at_ms


def _obstacle(folder: Path) -> str:
    """Why no backup can be written there."""
    if folder.is_dir():
        if not may(folder, os.W_OK | os.X_OK):
            return f"{folder} cannot be written to"
        return ""
    if folder.exists():
        return f"{folder} is no directory"
    if not folder.parent.is_dir():
        return f"{folder} cannot be made, because {folder.parent} is no directory that is there"
    if not may(folder.parent, os.W_OK | os.X_OK):
        return f"{folder} cannot be made: {folder.parent} cannot be written to"
    return ""


def _is_whole(path: Path) -> bool:
    """Whether a backup looks like one: what is in it, only its key can tell."""
    try:
        with path.open("rb") as file:
            return is_sealed(file.read(_HEAD_BYTES))
    except OSError:
        return False


def _is_same_disk(folder: Path, home: Path) -> bool:
    place = folder if folder.exists() else folder.parent
    try:
        return place.stat().st_dev == home.stat().st_dev
    except (OSError, OrreryError):
        return False
