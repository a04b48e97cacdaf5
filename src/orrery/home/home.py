"""The home: the directory that holds all of a root's state, with ZeroTier's own file names.

    orrery.toml          what is wanted; written by people
    orrery.db            what was published and seen (`orrery.store`)
    identity.secret      the root's identity, as zerotier-one keeps it; identity.public beside it
    planet               the newest revision of the planet, or the one before as long as a rollout
                         holds that back from some nodes; in a home without a planet, that of
                         others where nodes live that orbit its moons
    moons.d/ID.moon      likewise of each moon, the id in 16 hex digits
    keys.d/ID/           signing keys (`orrery.custody`)
    backups/             files that were replaced, by time and hash
    restored.json        only while it is not known what was published after the backup that this
                         home was restored from (`orrery.home.unsettled`)
    lock                 held by the one process that changes any of this
    serve.lock           held by the one server of the home's own root
    serve.ROOT.lock      held by the one server of another root that shares this home
    deploy.lock          held by the one deploy to hosts from this home

The store is the truth about what is published; `planet` and the moon files follow it. A process
that died between the two, or a program that wrote over a World file, is found and mended by the
next writer that opens the home.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from orrery.custody import KeyStore, Owner, PassphraseProvider, read_identity_secret
from orrery.custody.durable import make_directory, remove, remove_leftovers, unreadable
from orrery.custody.identity_file import SECRET_NAME
from orrery.errors import (
    ConflictError,
    DecodeError,
    OrreryError,
    PlanError,
    UnreadableError,
    UsageError,
)
from orrery.home import settings as settings_file
from orrery.home.atomic import keep_copy, replace_file
from orrery.home.settings import Settings
from orrery.store import Store
from orrery.wire.address import Address, format_address
from orrery.wire.identity import Identity
from orrery.wire.world import World, WorldType
from orrery.worlds.earth import EARTH

DATABASE_NAME = "orrery.db"
PLANET_NAME = "planet"
UNFINISHED_NAME = "init.unfinished"
"""Lies in a home whose `init` has not come to its end."""
ADOPTING_NAME = "adopt.unfinished"
"""Lies in a home whose `adopt` has not come to its end."""
SERVE_LOCK_NAME = "serve.lock"
"""Locked by the server of a home."""
DEPLOY_LOCK_NAME = "deploy.lock"
"""Locked by a deploy to hosts."""
_SERVE_WAIT_S = 1
"""Longer than another process takes to look whether a server is there."""

Clock = Callable[[], int]


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Home:
    """An open home. Use `Home.open`, and close it or use it as a context manager.

    Attributes:
        path: The directory.
        keys: Its signing keys.
        repairs: What opening found to mend and mended, in sentences.
    """

    def __init__(
        self,
        path: Path,
        *,
        passphrase: PassphraseProvider | None = None,
        clock: Clock = wall_clock_ms,
    ) -> None:
        """For `Home.open` and `orrery.home.creating`; this alone opens nothing."""
        self.path = path
        self.clock = clock
        self.owner = Owner.of(path) if os.geteuid() == 0 else None
        self.keys = KeyStore(path / "keys.d", passphrase, self.owner)
        self.repairs: tuple[str, ...] = ()
        self._store: Store | None = None
        self._lock: FileLock | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        writer: bool = False,
        passphrase: PassphraseProvider | None = None,
        clock: Clock = wall_clock_ms,
        wait_s: float = 10,
    ) -> Self:
        """Open a home.

        Any number of processes may have it open; only one at a time as a writer. What a reader
        records in the store (sightings, adoptions) needs no lock.

        Args:
            path: The directory.
            writer: Whether files, keys or revisions are to be changed. A writer first mends what
                an interrupted one left behind.
            passphrase: Called when a locked signing key is needed.
            clock: Tells the time, for the names of backups.
            wait_s: How long to wait for another writer.

        Raises:
            UnreadableError: There is no home, or it cannot be read.
            ConflictError: Another writer has it for longer than `wait_s`.
            PlanError: Its `init` was interrupted before there was anything to open.
            CustodyError: A key file is open to others.
        """
        check_is_home(path)
        home = cls(path, passphrase=passphrase, clock=clock)
        try:
            if writer:
                home.acquire(wait_s)
                check_is_home(path)
            home.open_store()
            if (path / UNFINISHED_NAME).exists() and not home.store.world_ids():
                raise PlanError(
                    f"{called(path)} is half made: `orrery init` was interrupted there; run it "
                    "again to finish"
                )
            if writer:
                home.repairs = home.recover()
        except BaseException:
            home.close()
            raise
        return home

    def close(self) -> None:
        """Let go of the database and the lock. Closing twice does nothing."""
        if self._store is not None:
            self._store.close()
            self._store = None
        self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_writer(self) -> bool:
        """Whether this process holds the lock."""
        return self._lock is not None

    def acquire(self, wait_s: float = 10) -> None:
        """Become the writer.

        Raises:
            ConflictError: Another process is, for longer than `wait_s`.
            UnreadableError: The lock file cannot be made or opened.
        """
        if self._lock is None:
            self._lock = self._take_lock(
                "lock",
                wait_s,
                f"another orrery is changing {called(self.path)}; wait until it is done, then try "
                "again",
            )

    def start_serving(self, root: Address | None = None) -> FileLock:
        """Become the one server of this home for a root, until the lock returned is released.

        Args:
            root: The root, where it is not that of the home's own identity.

        Raises:
            ConflictError: Another server has it.
            UnreadableError: The lock file cannot be made or opened.
        """
        name = SERVE_LOCK_NAME if root is None else f"serve.{format_address(root)}.lock"
        which = "" if root is None else f" for root {format_address(root)}"
        return self._take_lock(
            name,
            _SERVE_WAIT_S,
            f"another `orrery serve` has {called(self.path)}{which}; stop that one first",
        )

    def start_deploying(self) -> FileLock:
        """Become the one deploy to hosts from this home, until the lock returned is released.

        Raises:
            ConflictError: Another deploy goes on.
            UnreadableError: The lock file cannot be made or opened.
        """
        return self._take_lock(
            DEPLOY_LOCK_NAME,
            _SERVE_WAIT_S,
            f"another `orrery deploy` from {called(self.path)} goes on; let it come to its end",
        )

    @property
    def is_served(self) -> bool:
        """Whether a server has this home now."""
        return any(map(_is_locked, self.path.glob("serve*.lock")))

    def _take_lock(self, name: str, wait_s: float, conflict: str) -> FileLock:
        path = self.path / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if self.owner is not None:
                    os.fchown(descriptor, self.owner.uid, self.owner.gid)
            finally:
                os.close(descriptor)
            lock = FileLock(path, timeout=wait_s, thread_local=False)
            lock.acquire()
        except Timeout:
            raise ConflictError(conflict) from None
        except OSError as error:
            raise unreadable(path, "locked", error) from error
        return lock

    def release(self) -> None:
        """Be a reader from now on, so that others may write."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def check_writer(self) -> None:
        """Refuse a change by a process that does not hold the lock.

        Raises:
            UsageError: This one does not.
        """
        if not self.is_writer:
            raise UsageError(
                f"{called(self.path)} is open for reading only; open it as a writer to change it"
            )

    # What it holds

    @property
    def store(self) -> Store:
        """The database.

        Raises:
            UsageError: The home is closed.
        """
        if self._store is None:
            raise UsageError(f"the home {self.path} is closed; open it again")
        return self._store

    def open_store(self) -> None:
        """Open the database, creating it when it is missing; `open` and `create` do this."""
        self._store = Store.open(self.path / DATABASE_NAME)

    @property
    def settings_path(self) -> Path:
        """`orrery.toml`."""
        return self.path / settings_file.FILE_NAME

    @property
    def backups(self) -> Path:
        """Where replaced files are kept."""
        return self.path / "backups"

    def settings(self) -> Settings:
        """What `orrery.toml` says now.

        Raises:
            DecodeError: It has mistakes; each is told with its line.
            UnreadableError: It cannot be read.
        """
        return Settings.load(self.settings_path)

    def save_settings(self, text: str) -> None:
        """Replace `orrery.toml`.

        Raises:
            DecodeError: The text has mistakes; nothing was changed.
            UnreadableError: It cannot be written; nothing was changed.
        """
        self.check_writer()
        Settings.parse(text, str(self.settings_path))
        self._replace(self.settings_path, text.encode())

    def identity(self) -> Identity:
        """The root's identity with its private key.

        Raises:
            CustodyError: The file is missing, damaged or open to others.
        """
        return read_identity_secret(self.path / SECRET_NAME)

    def world_path(self, world: World) -> Path:
        """Where a World of this type and id lies."""
        if world.type is WorldType.MOON:
            return self.path / "moons.d" / f"{world.id:016x}.moon"
        return self.path / PLANET_NAME

    def surroundings(self) -> World | None:
        """The planet of others where the nodes of a home without a planet of its own live.

        Nodes find the seed of a moon through the roots of their planet, so those must know it.
        This is the planet whose file lies in the home, or, without one, that of every client.

        Raises:
            DecodeError: The file holds no planet.
            UnreadableError: It cannot be read.
        """
        if any(world.type is WorldType.PLANET for world in self.served_worlds()):
            return None
        path = self.path / PLANET_NAME
        try:
            world = World.decode(path.read_bytes())
        except FileNotFoundError:
            return EARTH
        except OSError as error:
            raise unreadable(path, "read", error) from error
        except DecodeError as error:
            raise DecodeError(f"{path}: {error}") from error
        if world.type is not WorldType.PLANET:
            raise DecodeError(
                f"{path} holds a moon; put there the planet file of the nodes that are to orbit "
                "the moons of this home, or remove it when they have the official planet"
            )
        return world

    def keep_surroundings(self, planet: World) -> None:
        """Put the planet of others, as its roots have updated it, into its file.

        Raises:
            ConflictError: Another process changes this home for long.
            UnreadableError: It cannot be written.
        """
        self.acquire()
        try:
            self._replace(self.path / PLANET_NAME, planet.encode())
        finally:
            self.release()

    def write_world(self, world: World) -> None:
        """Put a World into its file, the one before into `backups`.

        Raises:
            UnreadableError: It cannot be written; the file is whole as it was.
        """
        self.check_writer()
        path = self.world_path(world)
        if world.type is WorldType.MOON:
            make_directory(path.parent, 0o755, self.owner)
        self._replace(path, world.encode())

    def _replace(self, path: Path, data: bytes) -> None:
        replace_file(path, data, backups=self.backups, now_ms=self.clock(), new_owner=self.owner)

    # Mending

    def recover(self) -> tuple[str, ...]:
        """Mend what an interrupted writer, or a stranger to this home, left behind.

        Returns:
            What was done, in sentences.

        Raises:
            UnreadableError: Something cannot be read or written.
            CustodyError: As `KeyStore.recover`.
        """
        self.check_writer()
        done = [
            f"removed {place / name}, left by an interrupted write"
            for place in (self.path, self.path / "moons.d", self.backups)
            for name in remove_leftovers(place)
        ]
        done += self.keys.recover()
        for world in self.served_worlds():
            if (sentence := self._recover_world(self.led_to(world))) is not None:
                done.append(sentence)
        unfinished = self.path / UNFINISHED_NAME
        if unfinished.exists() and self.store.world_ids():
            remove(unfinished)
            done.append("finished an interrupted init")
        return tuple(done)

    def served_worlds(self) -> tuple[World, ...]:
        """The newest revision of every World that has one; of planets only one.

        That is the one that `orrery.toml` names, or, when it names none, the one published last.
        """
        newest = [
            revision
            for world_id in self.store.world_ids()
            if (revision := self.store.newest(world_id)) is not None
        ]
        planets = [each for each in newest if each.world.type is WorldType.PLANET]
        if len(planets) > 1:
            try:
                named = {world.id for world in self.settings().worlds}
            except OrreryError:
                named = set()  # told to whoever asks for the settings
            wanted = max(planets, key=lambda each: (each.world.id in named, each.number))
            newest = [each for each in newest if each not in planets or each is wanted]
        return tuple(each.world for each in newest)

    def led_to(self, newest: World) -> World:
        """The revision that every node is led to, which is what the World's file holds.

        That is the newest, unless a rollout holds it back from some: a root of another make that
        reads the file would hand it to everybody.
        """
        served = self.store.served().get(newest.id)
        if served is None or served.opened.is_everybody:
            return newest
        return self.store.chain(newest.id).until(served.held_back_ms).newest

    def write_worlds(self) -> None:
        """Bring the World files to the revisions that every node is led to.

        Raises:
            UnreadableError: One cannot be written; the next writer that opens the home does it.
        """
        for world in self.served_worlds():
            self.write_world(self.led_to(world))

    def _recover_world(self, world: World) -> str | None:
        path = self.world_path(world)
        try:
            found = path.read_bytes()
        except FileNotFoundError:
            self.write_world(world)
            return f"wrote {path}, which was missing"
        except OSError as error:
            raise unreadable(path, "read", error) from error
        if found == world.encode():
            return None
        copy = keep_copy(
            path.name, found, backups=self.backups, now_ms=self.clock(), owner=self.owner
        )
        self.write_world(world)
        return f"replaced {path}, which held another World than it should; it is kept as {copy}"


def _is_locked(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def called(path: Path) -> str:
    """What a sentence calls a home: nobody thinks of a directory as `.`."""
    return "this directory" if path == Path() else str(path)


def check_is_home(path: Path) -> None:
    """Refuse a directory that is no home, and one that lost a part it cannot do without.

    Raises:
        UnreadableError: It is.
        PlanError: Its `init` was interrupted early, or its `adopt` at any time.
    """
    try:
        found = path.is_dir()
        unfinished = (path / UNFINISHED_NAME).exists()
        adopting = (path / ADOPTING_NAME).exists()
        missing = [
            name for name in (settings_file.FILE_NAME, DATABASE_NAME) if not (path / name).exists()
        ]
    except OSError as error:  # another user's home, most likely
        raise unreadable(path, "opened", error) from error
    if not found:
        raise UnreadableError(f"there is no home at {path}: make one with `orrery init`")
    if adopting:
        raise PlanError(
            f"{called(path)} is half made: `orrery adopt` was interrupted there; run it again to "
            "finish"
        )
    if unfinished and missing:
        raise PlanError(
            f"{called(path)} is half made: `orrery init` was interrupted there; run it again to "
            "finish"
        )
    if len(missing) == 2:
        raise UnreadableError(
            f"{called(path)} is no home of Orrery: make one with `orrery init`, or name yours with "
            "--home"
        )
    if missing:
        raise UnreadableError(
            f"{path / missing[0]} is missing; put it back from a backup of the home"
        )
