"""Locking the signing keys of a World with a passphrase, and unlocking them."""

from collections.abc import Sequence

from orrery.custody import KeyFile
from orrery.errors import CustodyError
from orrery.home.home import Home
from orrery.home.publishing import user_name
from orrery.home.settings import WorldSettings


def lock_keys(
    home: Home, name: str, now_ms: int, *, actor: str | None = None
) -> tuple[KeyFile, ...]:
    """Lock every key of a World that is not locked yet; keys that are made later are locked too.

    Args:
        home: The home, open as a writer, with somebody who tells the passphrase.
        name: The World's name or id.
        now_ms: The clock.
        actor: Who does it, for the audit; the user of the process when left out.

    Returns:
        The keys that were locked now; none when all were.

    Raises:
        CustodyError: There is no key, no passphrase, or not the one that other keys are locked
            with; or as `KeyStore.keys`. Nothing was locked.
        UnreadableError: A file cannot be written. What was begun, the next writer ends.
    """
    world = _world_with_keys(home, name)
    locked = home.keys.lock(world.id)
    if locked:
        home.store.audit(now_ms, actor or user_name(), "lock keys", _words(world, locked))
    return locked


def unlock_keys(
    home: Home, name: str, now_ms: int, *, actor: str | None = None
) -> tuple[KeyFile, ...]:
    """Keep every key of a World without a passphrase from now on.

    Args:
        home: The home, open as a writer, with somebody who tells the passphrase.
        name: The World's name or id.
        now_ms: The clock.
        actor: Who does it, for the audit; the user of the process when left out.

    Returns:
        The keys that were unlocked; none when none was locked.

    Raises:
        CustodyError: There is no key, or the passphrase is wrong; or as `KeyStore.keys`. Nothing
            was unlocked.
        UnreadableError: A file cannot be written. What was begun, the next writer ends.
    """
    world = _world_with_keys(home, name)
    unlocked = home.keys.unlock(world.id)
    if unlocked:
        home.store.audit(now_ms, actor or user_name(), "unlock keys", _words(world, unlocked))
    return unlocked


def _world_with_keys(home: Home, name: str) -> WorldSettings:
    home.check_writer()
    world = home.settings().world(name)
    if not home.keys.keys(world.id):
        raise CustodyError(
            f"World {world.name!r} has no signing key yet; make one with "
            f"`orrery key new --world {world.name}`"
        )
    return world


def _words(world: WorldSettings, keys: Sequence[KeyFile]) -> str:
    names = ", ".join(key.fingerprint or key.path.name for key in keys)
    return f"World {world.id:016x}: {names}"
