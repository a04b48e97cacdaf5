"""What is published of each World, what is wanted of it, and who can sign the next revision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orrery.doctor.commands import quote_name
from orrery.doctor.snapshot import Keys, Published
from orrery.errors import CustodyError, OrreryError, ResolveError
from orrery.home import Home, Settings
from orrery.home.planning import Planned, make_plan
from orrery.home.rolling import RolloutView, view
from orrery.store import AuditEntry
from orrery.wire.world import World

_ROTATED = "rotate key"


def look_at_worlds(
    home: Home, settings: Settings | None, audit: tuple[AuditEntry, ...]
) -> tuple[tuple[Published, ...], tuple[str, ...]]:
    """Every World with a revision, and a sentence for each whose chain does not hold.

    Args:
        home: The home.
        settings: What `orrery.toml` says, None where it has mistakes.
        audit: Who did what.
    """
    found: list[Published] = []
    broken: list[str] = []
    for world in home.served_worlds():
        try:
            found.append(_look(home, world, settings, audit))
        except _BrokenError as error:
            broken.append(str(error))
    return tuple(found), tuple(broken)


class _BrokenError(Exception):
    """A chain that does not hold."""


def _look(
    home: Home, newest: World, settings: Settings | None, audit: tuple[AuditEntry, ...]
) -> Published:
    try:
        chain = home.store.chain(newest.id)
        led_to = home.led_to(newest)
    except OrreryError as error:
        what = newest.type.name.lower()
        raise _BrokenError(f"the chain of {what} {newest.id:016x} is broken: {error}") from error
    name = _name(newest.id, settings)
    several = settings is None or len(settings.worlds) > 1
    file = home.world_path(led_to)
    wanted = _plan(home, name, settings)
    return Published(
        name=name,
        argument=f" {quote_name(name)}" if several else "",
        chain=chain,
        led_to=led_to,
        file=file,
        found=_read(file),
        keys=_keys(home, newest.id, audit),
        planned=wanted.planned,
        refusal=wanted.refusal,
        unresolved=wanted.unresolved,
        rollout=_rollout(home, newest.id),
    )


def _name(world_id: int, settings: Settings | None) -> str:
    worlds = () if settings is None else settings.worlds
    return next((world.name for world in worlds if world.id == world_id), f"{world_id:016x}")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def _keys(home: Home, world_id: int, audit: tuple[AuditEntry, ...]) -> Keys:
    folder = home.keys.directory / f"{world_id:016x}"
    rotated_at_ms = max(
        (
            entry.at_ms
            for entry in audit
            if entry.action == _ROTATED and f"{world_id:016x}" in entry.detail
        ),
        default=0,
    )
    try:
        return Keys(folder=folder, files=home.keys.keys(world_id), rotated_at_ms=rotated_at_ms)
    except OrreryError as error:
        return Keys(folder=folder, trouble=str(error), rotated_at_ms=rotated_at_ms)


@dataclass(frozen=True, slots=True)
class _Wanted:
    planned: Planned | None = None
    refusal: str = ""
    unresolved: bool = False


def _plan(home: Home, name: str, settings: Settings | None) -> _Wanted:
    if settings is None or name not in {world.name for world in settings.worlds}:
        return _Wanted()
    try:
        return _Wanted(make_plan(home, name, home.clock()))
    except CustodyError:
        return _Wanted()  # what is wrong with keys is told by itself
    except OrreryError as error:
        return _Wanted(refusal=str(error), unresolved=isinstance(error, ResolveError))


def _rollout(home: Home, world_id: int) -> RolloutView | None:
    try:
        return view(home, world_id, home.clock())
    except OrreryError:
        return None  # another version of Orrery wrote it: the server's log tells
