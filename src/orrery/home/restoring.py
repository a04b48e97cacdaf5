"""Restoring a backup: into a directory that is made for it, checked there, and then put in place.

Nothing has the name of the home before all of it was checked: hashes, the database, identity, keys,
the chain of every World, and that a writer who opens it finds nothing to mend. `check` does the
same in a private directory that it removes again.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from orrery.custody import write_identity
from orrery.custody.durable import (
    TEMPORARY_PREFIX,
    Owner,
    make_directory,
    move,
    remove,
    sync_directory,
    unreadable,
    write_file,
)
from orrery.custody.identity_file import PUBLIC_NAME
from orrery.custody.modes import DIRECTORY_MODE, FILE_MODE
from orrery.errors import ConflictError, DecodeError, OrreryError, VerifyError
from orrery.home.archive import Archive
from orrery.home.home import DATABASE_NAME, Home
from orrery.home.publishing import user_name
from orrery.home.settings import FILE_NAME
from orrery.home.unsettled import MARK_NAME, HeldRollout, Mark
from orrery.rollout.state import RolloutState
from orrery.store.copying import check_whole
from orrery.wire.signature import fingerprint
from orrery.wire.world import WorldType

_HELD_REASON = (
    "this home was restored from a backup: it goes on when `orrery restore --finish` was run"
)
_PUBLIC_DIRECTORY_MODE = 0o755
_PUBLIC_DIRECTORIES = frozenset(("moons.d",))


@dataclass(frozen=True, slots=True)
class RestoredWorld:
    """A World of a backup.

    Attributes:
        id: Its id.
        type: Planet or moon.
        newest_ms: The timestamp of its newest revision.
        revisions: How many it has.
        next_key: Fingerprint of the key that has to sign the next one.
        has_key: Whether that key is in the backup; None where only a passphrase can tell.
    """

    id: int
    type: WorldType
    newest_ms: int
    revisions: int
    next_key: str
    has_key: bool | None


@dataclass(frozen=True, slots=True)
class Restored:
    """What a backup holds, all of it checked.

    Attributes:
        worlds: Those that have a revision.
        nodes: How many nodes it knows.
        given_ms: The timestamp given out last, by World id.
        rollouts: Those that were going on, and stand still now.
        notes: What is not as it should be, and was so in the home too.
    """

    worlds: tuple[RestoredWorld, ...]
    nodes: int
    given_ms: Mapping[int, int]
    rollouts: tuple[HeldRollout, ...]
    notes: tuple[str, ...]


def check(archive: Archive, name: str, now_ms: int) -> Restored:
    """Prove that a backup restores; nothing is left of it.

    Raises:
        DecodeError: It does not.
        UnreadableError: The directory for it cannot be made or written.
    """
    with _private_directory(Path(tempfile.gettempdir())) as place:
        _unpack(archive, place, None)
        return _check(archive, name, place, now_ms)


def restore(archive: Archive, name: str, path: Path, now_ms: int) -> Restored:
    """Make a home of a backup. It signs nothing until `orrery.home.settling` has been through.

    A directory that is there is taken if it is empty, with its owner and mode; what root puts into
    it is that owner's. Any other is refused.

    Args:
        archive: The backup.
        name: What to call it in an error.
        path: Where the home is to be.
        now_ms: The clock.

    Raises:
        ConflictError: Something is there.
        DecodeError: The backup does not restore; nothing is there.
        UnreadableError: Something cannot be written.
    """
    is_there = _check_is_free(path)
    if not is_there and not path.parent.is_dir():
        make_directory(path.parent, _PUBLIC_DIRECTORY_MODE)
    owner = Owner.of(path if is_there else path.parent) if os.geteuid() == 0 and is_there else None
    with _private_directory(path if is_there else path.parent) as place:
        if owner is not None:
            os.chown(place, owner.uid, owner.gid)
        _unpack(archive, place, owner)
        restored = _check(archive, name, place, now_ms)
        for leftover in (*place.glob(f"{DATABASE_NAME}-*"), *place.glob("*lock")):
            remove(leftover)
        mark = Mark(archive.made_at_ms, now_ms, restored.given_ms, restored.rollouts)
        write_file(place / MARK_NAME, mark.to_json().encode(), FILE_MODE, owner)
        if is_there:  # which may be a mount point, and those are not renamed
            _move_into(place, path)
        else:
            _check_is_free(path)
            move(place, path)
    return restored


def _check_is_free(path: Path) -> bool:
    """Refuse a place where something is; returns whether an empty directory is there."""
    try:
        if not os.path.lexists(path):
            return False
        if path.is_dir() and not any(path.iterdir()):
            return True
    except OSError as error:
        raise unreadable(path, "opened", error) from error
    is_home = (path / FILE_NAME).exists() or (path / DATABASE_NAME).exists()
    if is_home:
        what = "has a home already, and a backup replaces none"
    else:
        what = "is not empty" if path.is_dir() else "is no directory"
    raise ConflictError(f"{path} {what}: name a directory that is not there yet")


@contextmanager
def _private_directory(parent: Path) -> Iterator[Path]:
    """A directory for its owner alone, which is gone in the end unless it was moved away."""
    try:
        made = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}restore-", dir=parent))
    except OSError as error:
        raise unreadable(parent, "written", error) from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _move_into(place: Path, path: Path) -> None:
    # The two without which nothing is a home come last, the note that it is unsettled first.
    last = (DATABASE_NAME, FILE_NAME)
    names = sorted(
        (each.name for each in place.iterdir()),
        key=lambda name: (name in last, name != MARK_NAME, name),
    )
    for name in names:
        move(place / name, path / name)


def _unpack(archive: Archive, place: Path, owner: Owner | None) -> None:
    for file in archive.files:
        path = place / file.path
        for parent in reversed(path.relative_to(place).parents[:-1]):
            public = parent.name in _PUBLIC_DIRECTORIES
            mode = _PUBLIC_DIRECTORY_MODE if public else DIRECTORY_MODE
            make_directory(place / parent, mode, owner)
        is_public = file.path in (FILE_NAME, PUBLIC_NAME, "planet") or file.path.startswith(
            tuple(f"{name}/" for name in _PUBLIC_DIRECTORIES)
        )
        write_file(path, file.data, file.mode if is_public else FILE_MODE, owner)
    try:
        sync_directory(place)
    except OSError as error:
        raise unreadable(place, "written", error) from error


def _check(archive: Archive, name: str, place: Path, now_ms: int) -> Restored:
    """Open what was unpacked as a writer does, and look at all of it."""
    try:
        for needed in (FILE_NAME, DATABASE_NAME):
            if not (place / needed).exists():
                raise DecodeError(f"there is no {needed} in it")
        check_whole(place / DATABASE_NAME)
        with Home.open(place, writer=True, clock=lambda: now_ms) as home:
            return _check_home(archive, home, now_ms)
    except OrreryError as error:
        told = str(error).replace(f"{place}{os.sep}", "").replace(str(place), "it")
        raise DecodeError(f"{name} does not restore: {told}") from error


def _check_home(archive: Archive, home: Home, now_ms: int) -> Restored:
    root = home.identity()
    root.validate()
    if root.address != archive.root:
        raise VerifyError(f"its root is {root.address:010x}, and should be {archive.root:010x}")
    notes = [
        f"mended when it was opened: {each.replace(str(home.path) + os.sep, '')}"
        for each in home.repairs
    ]
    worlds = tuple(_check_world(home, world_id) for world_id in home.store.world_ids())
    wanted = [(world.id, world.type, world.newest_ms) for world in archive.worlds]
    if [(world.id, world.type, world.newest_ms) for world in worlds] != wanted:
        raise VerifyError("its database holds other revisions than it should")
    public = home.path / PUBLIC_NAME
    if public.exists() and public.read_bytes().strip() != str(root.public()).encode():
        write_identity(home.path, root, home.owner)
        notes.append(f"{PUBLIC_NAME} was that of another root, and is written anew")
    try:
        home.settings()
    except OrreryError as error:
        notes.append(str(error).replace(str(home.path) + os.sep, ""))
    return Restored(
        worlds=worlds,
        nodes=home.store.count_nodes(),
        # The one that this gives out is the one after; it is never used.
        given_ms={world.id: home.store.allocate_timestamp(world.id, 0) for world in worlds},
        rollouts=_hold_rollouts(home, now_ms),
        notes=tuple(notes),
    )


def _check_world(home: Home, world_id: int) -> RestoredWorld:
    chain = home.store.chain(world_id)
    public = chain.newest.updates_must_be_signed_by
    keys = home.keys.keys(world_id)
    has_key: bool | None = any(key.public == public for key in keys)
    if not has_key and any(key.public is None for key in keys):
        has_key = None
    return RestoredWorld(
        id=world_id,
        type=chain.type,
        newest_ms=chain.newest.timestamp_ms,
        revisions=len(chain.revisions),
        next_key=fingerprint(public),
        has_key=has_key,
    )


def _hold_rollouts(home: Home, now_ms: int) -> tuple[HeldRollout, ...]:
    """Let rollouts stand still until it is known what was published after the backup."""
    held = []
    for rollout in home.store.active_rollouts():
        held.append(HeldRollout(rollout.number, rollout.state, rollout.reason))
        home.store.update_rollout(
            replace(rollout, state=RolloutState.PAUSED, reason=_HELD_REASON), now_ms
        )
    home.store.audit(now_ms, user_name(), "restore", f"root {home.identity().address:010x}")
    return tuple(held)
