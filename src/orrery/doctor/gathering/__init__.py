"""Reading all that there is to know of a home and its surroundings; nothing is changed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from orrery.custody.durable import unreadable
from orrery.custody.identity_file import PUBLIC_NAME
from orrery.doctor.commands import quote
from orrery.doctor.gathering.backups import look_at_backups
from orrery.doctor.gathering.clock import is_synchronized, remedy
from orrery.doctor.gathering.disk import damage_of, is_locked, look_at_disk, may
from orrery.doctor.gathering.hosts import look_at_hosts
from orrery.doctor.gathering.network import look_at_network
from orrery.doctor.gathering.worlds import look_at_worlds
from orrery.doctor.snapshot import Hosts, Snapshot, Time
from orrery.errors import DecodeError, OrreryError
from orrery.home import Home, Settings, wall_clock_ms
from orrery.home.atomic import copies_of
from orrery.home.home import (
    ADOPTING_NAME,
    DATABASE_NAME,
    SERVE_LOCK_NAME,
    UNFINISHED_NAME,
    Clock,
    check_is_home,
)
from orrery.home.settings import FILE_NAME
from orrery.home.unsettled import outlook, read_mark
from orrery.store import AuditEntry
from orrery.wire.identity import Identity

_AUDIT_ROWS = 10_000
_LATELY_MS = 600_000
"""A root that works with a database says so more often."""
_PARTS = (FILE_NAME, DATABASE_NAME, UNFINISHED_NAME, ADOPTING_NAME)


def gather(path: Path, *, clock: Clock = wall_clock_ms, hosts: bool = True) -> Snapshot:
    """All that there is to know of a home.

    It takes seconds where a root or a host does not answer.

    Args:
        path: The home, as it was named.
        clock: Tells the time.
        hosts: Whether to look at the hosts of `orrery.toml`.

    Raises:
        UnreadableError: There is no home, or it is out of sight for whoever runs this.
    """
    try:
        is_home = path.is_dir() and any((path / name).exists() for name in _PARTS)
    except OSError as error:
        raise unreadable(path, "opened", error) from error
    if not is_home:
        check_is_home(path)
    home = Home(path, clock=clock)
    try:
        check_is_home(path)
        home.open_store()
        found = _look(home, hosts=hosts)
    except OrreryError as error:
        return _obstructed(home, str(error))
    finally:
        home.close()
    return found


def _look(home: Home, *, hosts: bool) -> Snapshot:
    path, now_ms = home.path, home.clock()
    settings, mistakes = _settings(home)
    identity, trouble = _identity(home)
    audit = home.store.audit_entries(_AUDIT_ROWS)
    worlds, broken = look_at_worlds(home, settings, audit)
    is_served = is_locked(path / SERVE_LOCK_NAME)
    mark = read_mark(path)
    newest = [world.newest for world in worlds]
    return Snapshot(
        path=path,
        # After the database was opened, which makes it private.
        disk=replace(look_at_disk(path), damage=damage_of(path)),
        time=Time(
            now_ms=now_ms,
            noted_ms=_noted_ms(home, audit),
            is_synchronized=is_synchronized(),
            remedy=remedy(),
        ),
        settings_path=home.settings_path,
        settings=settings,
        mistakes=mistakes,
        identity=identity,
        identity_trouble=trouble,
        public_text=_public_text(path),
        is_served=is_served,
        sharing=frozenset(
            root.address for root in home.store.roots() if now_ms - root.last_at_ms < _LATELY_MS
        ),
        mark=mark,
        outlooks=() if mark is None else tuple(outlook(home, mark, world) for world in newest),
        worlds=worlds,
        broken=broken,
        unpublished=_unpublished(home, settings),
        backups=look_at_backups(
            home, settings, None if identity is None else identity.address, audit
        ),
        network=look_at_network(
            home,
            newest,
            identity,
            () if settings is None else settings.serve.listen,
            is_served=is_served,
        ),
        hosts=look_at_hosts(home, settings) if hosts else Hosts(),
    )


def _obstructed(home: Home, obstacle: str) -> Snapshot:
    """What is known of a home that cannot be opened."""
    settings, _ = _settings(home)
    identity, _ = _identity(home)
    return Snapshot(
        path=home.path,
        disk=look_at_disk(home.path),
        time=Time(now_ms=home.clock()),
        obstacle=obstacle,
        remedy=_remedy(home, settings),
        backups=look_at_backups(home, settings, None if identity is None else identity.address, ()),
    )


def _remedy(home: Home, settings: Settings | None) -> str:
    """A command that lets the home be opened, empty where only a backup helps."""
    path = home.path
    option = f" --home {quote(path)}"
    parts = [path / name for name in _PARTS if (path / name).exists()]
    if not all(may(part, os.R_OK | os.W_OK) for part in parts):
        return f"sudo -u '#{path.stat().st_uid}' orrery doctor{option}"
    if (path / ADOPTING_NAME).exists():
        return f"orrery adopt PATH{option}"
    if (path / UNFINISHED_NAME).exists():
        if settings is None:
            return f"orrery init{option} --endpoint IP:PORT"
        (world, *_) = settings.worlds
        endpoints = " ".join(f"--endpoint {each}" for each in world.roots[0].endpoints)
        return f"orrery init{option} {endpoints}{' --moon' if world.kind == 'moon' else ''}"
    if not home.settings_path.exists() and (copies := copies_of(FILE_NAME, home.backups)):
        return f"cp {quote(copies[-1])} {quote(home.settings_path)}"
    return ""


def _unpublished(home: Home, settings: Settings | None) -> dict[str, bool]:
    published = home.store.world_ids()
    wanted = [] if settings is None else settings.worlds
    return {world.name: _has_key(home, world.id) for world in wanted if world.id not in published}


def _has_key(home: Home, world_id: int) -> bool:
    try:
        return bool(home.keys.keys(world_id))
    except OrreryError:
        return True  # what is wrong with it is told by its mode


def _settings(home: Home) -> tuple[Settings | None, tuple[str, ...]]:
    try:
        return home.settings(), ()
    except DecodeError as error:
        return None, tuple(str(error).splitlines())
    except OrreryError as error:
        return None, (str(error),)


def _identity(home: Home) -> tuple[Identity | None, str]:
    """The home's own; where its secret may not be used, what `identity.public` says it is."""
    try:
        return home.identity(), ""
    except OrreryError as error:
        trouble = str(error)
    try:
        return Identity.from_string(_public_text(home.path) or ""), trouble
    except OrreryError:
        return None, trouble


def _public_text(path: Path) -> str | None:
    try:
        return (path / PUBLIC_NAME).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None


def _noted_ms(home: Home, audit: tuple[AuditEntry, ...]) -> int:
    """The latest time that is written in the database."""
    return max(
        *(entry.at_ms for entry in audit[:1]),
        *(node.last_seen_ms for node in home.store.nodes(limit=1)),
        *(root.last_at_ms for root in home.store.roots()),
        0,
        0,
    )
