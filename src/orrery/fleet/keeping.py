"""Copies of what lay on hosts before they were changed, in `backups/hosts/HOST/DEPLOY/` here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from orrery.custody.durable import (
    TEMPORARY_PREFIX,
    Owner,
    make_directory,
    move,
    unreadable,
    write_file,
)
from orrery.errors import HostError
from orrery.fleet.host_view import is_told_file

_LONGEST_TOLD = 100
_MODE, _DIRECTORY_MODE = 0o600, 0o700
_NAME = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{6}")


def keep_files(
    folder: Path, deploy: str, files: Mapping[str, bytes], owner: Owner | None = None
) -> Path:
    """Keep the files of a host, all or none of them.

    Args:
        folder: Of the host's copies; made when missing.
        deploy: What the copy is called.
        files: Their names in the home of the host, "planet", "moons.d/….moon"; and contents.
        owner: Whose they are to be; the process's own when left out.

    Returns:
        The directory.

    Raises:
        HostError: A name is none of those: it was told by the host, and could lead anywhere here.
        UnreadableError: They cannot be written.
    """
    if strange := [name for name in files if not is_told_file(name)]:
        raise HostError(
            f"host {folder.name} tells of a file {strange[0][:_LONGEST_TOLD]!r}, which would not "
            "lie in the copy of its home: look at who answers there"
        )
    make_directory(folder.parent.parent, _DIRECTORY_MODE, owner)
    make_directory(folder.parent, _DIRECTORY_MODE, owner)
    make_directory(folder, _DIRECTORY_MODE, owner)
    unfinished = folder / f"{TEMPORARY_PREFIX}{deploy}"
    make_directory(unfinished, _DIRECTORY_MODE, owner)
    for name, data in files.items():
        path = unfinished / name
        make_directory(path.parent, _DIRECTORY_MODE, owner)
        write_file(path, data, _MODE, owner)
    kept = folder / deploy
    move(unfinished, kept)
    return kept


def drop_files(kept: Path) -> None:
    """Remove a copy that nothing was changed after.

    Raises:
        UnreadableError: It cannot be removed.
    """
    try:
        shutil.rmtree(kept, ignore_errors=False)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(kept, "removed", error) from error


def drop_surplus(folder: Path, keep: int) -> None:
    """Remove all but the newest copies of a host, and what interrupted ones left.

    Raises:
        UnreadableError: They cannot be removed.
    """
    try:
        found = sorted(path for path in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(folder, "read", error) from error
    copies = [path for path in found if _NAME.fullmatch(path.name)]
    left = [path for path in found if path.name.startswith(TEMPORARY_PREFIX)]
    for path in (*left, *copies[:-keep]):
        drop_files(path)
