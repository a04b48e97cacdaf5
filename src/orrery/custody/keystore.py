"""Signing keys: which one signs the next revision, which one is named in it, and those before.

    keys.d/<World id>/previous.c25519      what the newest World names, while a rotation is pending
    keys.d/<World id>/current.c25519       what the next World will name
    keys.d/<World id>/next.c25519          only while `new_key` runs
    keys.d/<World id>/retired/             all keys before, by fingerprint; none is ever destroyed
    keys.d/<World id>/locked.json          public keys of locked files, by the files' SHA-256

A file has the 128 bytes of mkworld's format, or, with `.age` at the end of its name, the same
locked with a passphrase. Files have mode 0600, directories 0700, or nothing here works.

Every change is a row of steps each of which is whole or not there, in an order that tells `recover`
from the names alone how far it got: a rotation is decided once `next` is in place and is then
carried to its end; a lock is decided once the locked file is in place.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from orrery.custody import age
from orrery.custody.durable import (
    Owner,
    make_directory,
    move,
    remove,
    remove_leftovers,
    unreadable,
    write_file,
)
from orrery.custody.modes import (
    DIRECTORY_MODE,
    FILE_MODE,
    check_private_directory,
    read_private_file,
)
from orrery.errors import CustodyError, DecodeError
from orrery.wire.signature import PUBLIC_KEY_BYTES, SigningKey, fingerprint

PassphraseProvider: TypeAlias = Callable[[str], str]
"""Asked for the passphrase of what its argument names; returns it or raises CustodyError."""

Slot = Literal["current", "previous", "next", "retired"]

_PLAIN = ".c25519"
_LOCKED = ".c25519.age"
_SUFFIXES = (_PLAIN, _LOCKED)
_INDEX = "locked.json"
_RETIRED = "retired"
_LONGEST_BYTES = 4_096
_WORLD_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A signing key as it lies on the disk, without its secret.

    Attributes:
        slot: Its place in the order of keys.
        path: Its file.
        locked: Whether a passphrase is needed to use it.
        public: The 64 bytes of its public key; None for a locked file that was put here by hand.
    """

    slot: Slot
    path: Path
    locked: bool
    public: bytes | None

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the public key."""
        return None if self.public is None else fingerprint(self.public)


class KeyStore:
    """The signing keys of a home.

    Attributes:
        directory: `keys.d`; made when the first key is.
    """

    def __init__(
        self,
        directory: Path,
        passphrase: PassphraseProvider | None = None,
        owner: Owner | None = None,
    ) -> None:
        """See the class.

        Args:
            directory: `keys.d`.
            passphrase: Called when a locked key is to be used, or a key to be locked.
            owner: Whose new files are to be; the process's own when left out.
        """
        self.directory = directory
        self._passphrase = passphrase
        self._owner = owner

    def world_ids(self) -> tuple[int, ...]:
        """The Worlds that keys are kept for.

        Raises:
            CustodyError: The directory is open to others.
        """
        if not self.directory.exists():
            return ()
        check_private_directory(self.directory)
        return tuple(
            sorted(
                int(path.name, 16)
                for path in _list(self.directory)
                if _WORLD_ID.fullmatch(path.name) and path.is_dir()
            )
        )

    def keys(self, world_id: int) -> tuple[KeyFile, ...]:
        """The keys of a World: next, current, previous and retired ones, as far as they are there.

        Raises:
            CustodyError: A file or directory is open to others, or a file is damaged.
            UnreadableError: It cannot be read.
        """
        if not self.directory.exists():
            return ()
        check_private_directory(self.directory)
        folder = self._folder(world_id)
        if not folder.exists():
            return ()
        check_private_directory(folder)
        index = _read_index(folder)
        return tuple(self._describe(slot, path, index) for slot, path in _key_paths(folder))

    def current(self, world_id: int) -> KeyFile:
        """The key that the next revision will name.

        Raises:
            CustodyError: There is none, or as `keys`.
        """
        for key in self.keys(world_id):
            if key.slot in ("current", "next"):
                return key
        raise CustodyError(
            f"{self._folder(world_id) / f'current{_PLAIN}'} is missing; put it back from a backup, "
            "without it no further revision can be signed"
        )

    def current_public(self, world_id: int) -> bytes:
        """The public half of `current`; needs the passphrase only for a file put there by hand.

        Raises:
            CustodyError: As `current`, or the passphrase is wrong.
        """
        key = self.current(world_id)
        return key.public if key.public is not None else self._load(key.path).public

    def signer_for(self, world_id: int, updates_key: bytes) -> SigningKey:
        """The key that a revision must be signed by.

        Args:
            world_id: The World.
            updates_key: The public key that the World before names (64 bytes).

        Raises:
            CustodyError: It is not here, is locked and no passphrase opens it, or as `keys`.
        """
        found = self.keys(world_id)
        for key in found:
            if key.public == updates_key:
                return self._load(key.path, updates_key)
        for key in found:
            if key.public is None and (loaded := self._load(key.path)).public == updates_key:
                return loaded
        have = ", ".join(f"{key.path.name} {key.fingerprint or '(locked)'}" for key in found)
        raise CustodyError(
            f"no key in {self._folder(world_id)} can sign for World {world_id:016x}: the newest "
            f"revision names the key {fingerprint(updates_key)}, and here is "
            f"{have or 'no key at all'}; put the right key file back from a backup"
        )

    def new_key(
        self, world_id: int, entropy: Callable[[int], bytes], *, locked: bool | None = None
    ) -> KeyFile:
        """Make a key and let it be `current`; what was current becomes `previous`.

        A `previous` that was there goes into `retired`. To be called under the home's lock, and
        only when the newest World names `current`: otherwise a key that was never published would
        take the place of the one that has to sign.

        Args:
            world_id: The World.
            entropy: Gives so many random bytes, `os.urandom`.
            locked: Whether to lock it; as the current one is when left out.

        Returns:
            The new current key.

        Raises:
            CustodyError: As `keys`, or it shall be locked and cannot be.
            UnreadableError: It cannot be written.
        """
        folder = self._folder(world_id)
        make_directory(self.directory, DIRECTORY_MODE, self._owner)
        make_directory(folder, DIRECTORY_MODE, self._owner)
        self._recover_world(folder)
        if locked is None:
            before = _find(folder, "current")
            locked = before is not None and before.name.endswith(_LOCKED)
        key = SigningKey.generate(entropy)
        if locked:
            self._write_locked(folder / f"next{_LOCKED}", folder, key)
        else:
            write_file(folder / f"next{_PLAIN}", key.encode(), FILE_MODE, self._owner)
        self._finish_rotation(folder)
        return self.current(world_id)

    def make_place(self, world_id: int) -> Path:
        """Make the directory for the keys of a World, where there is none.

        Returns:
            The directory.

        Raises:
            UnreadableError: It cannot be made.
        """
        folder = self._folder(world_id)
        make_directory(self.directory, DIRECTORY_MODE, self._owner)
        make_directory(folder, DIRECTORY_MODE, self._owner)
        return folder

    def put(self, world_id: int, key: SigningKey, slot: Literal["current", "retired"]) -> None:
        """Keep a key that was made elsewhere; one that is kept already is left as it is.

        To be called under the home's lock.

        Args:
            world_id: The World.
            key: The key.
            slot: `current` for the one that the newest World names, `retired` for one before it.

        Raises:
            CustodyError: There is another current key, or as `keys`.
            UnreadableError: It cannot be written.
        """
        folder = self.make_place(world_id)
        for kept in self.keys(world_id):
            if kept.public == key.public and slot in (kept.slot, "retired"):
                return
            if kept.slot == slot == "current":
                raise CustodyError(
                    f"{kept.path} is another key than {key.fingerprint}, which belongs there; move "
                    "it away if no World needs it"
                )
        path = folder / f"current{_PLAIN}"
        if slot == "retired":
            make_directory(folder / _RETIRED, DIRECTORY_MODE, self._owner)
            path = folder / _RETIRED / f"{key.fingerprint}{_PLAIN}"
        write_file(path, key.encode(), FILE_MODE, self._owner)

    def lock(self, world_id: int) -> tuple[KeyFile, ...]:
        """Lock every key of a World that is not locked yet, with one passphrase.

        Keys that are locked already must open with it too: one passphrase is all that `unlock`, or
        a lock that was interrupted and is done again, can ask for.

        Returns:
            The keys that were locked now.

        Raises:
            CustodyError: No passphrase is given, or another one than for the keys that are locked
                already, or as `keys`. Nothing was locked.
            UnreadableError: A file cannot be written or removed.
        """
        folder = self._folder(world_id)
        found = self.keys(world_id)
        plain = [key for key in found if not key.locked]
        if not plain:
            return ()
        passphrase = self._ask(f"every key of World {world_id:016x}")
        for key in found:
            if key.locked:
                self._check_opens(key, passphrase)
        for key in plain:
            locked = key.path.with_name(f"{key.path.name}.age")
            self._write_locked(locked, folder, self._load(key.path), passphrase)
            remove(key.path)
        paths = {key.path.with_name(f"{key.path.name}.age") for key in plain}
        return tuple(key for key in self.keys(world_id) if key.path in paths)

    def unlock(self, world_id: int) -> tuple[KeyFile, ...]:
        """Keep every key of a World without a passphrase from now on.

        Returns:
            The keys that were unlocked.

        Raises:
            CustodyError: The passphrase is wrong, or as `keys`. Nothing was unlocked.
            UnreadableError: A file cannot be written or removed.
        """
        locked = [key for key in self.keys(world_id) if key.locked]
        passphrase = self._ask(f"every key of World {world_id:016x}") if locked else ""
        # All are opened before the first is written: a wrong passphrase changes nothing.
        loaded = [(key, self._load(key.path, key.public, passphrase)) for key in locked]
        for key, secret in loaded:
            # While both files are there, a crash makes `recover` look whether they hold one key.
            data = read_private_file(key.path, _LONGEST_BYTES)
            self._note_public(self._folder(world_id), data, secret.public)
            write_file(key.path.with_suffix(""), secret.encode(), FILE_MODE, self._owner)
            remove(key.path)
        paths = {key.path.with_suffix("") for key in locked}
        return tuple(key for key in self.keys(world_id) if key.path in paths)

    def _check_opens(self, key: KeyFile, passphrase: str) -> None:
        try:
            self._load(key.path, key.public, passphrase)
        except CustodyError:
            pass  # raised anew outside: nothing of the passphrase may travel with an error
        else:
            return
        raise CustodyError(
            f"{key.path} is locked already, and does not open with this passphrase: give the one "
            "that it was locked with, so that one opens all keys of this World"
        )

    def recover(self) -> tuple[str, ...]:
        """Bring to an end what was interrupted; to be called under the home's lock.

        Returns:
            What was done, in sentences.

        Raises:
            CustodyError: Two files claim the same place and differ, or as `keys`.
            UnreadableError: A file cannot be renamed or removed.
        """
        done = [
            f"removed {self.directory / name}, left by an interrupted write"
            for name in remove_leftovers(self.directory)
        ]
        for world_id in self.world_ids():
            done += self._recover_world(self._folder(world_id))
        return tuple(done)

    def _recover_world(self, folder: Path) -> list[str]:
        check_private_directory(folder)
        done = [
            f"removed {place / name}, left by an interrupted write"
            for place in (folder, folder / _RETIRED)
            for name in remove_leftovers(place)
        ]
        for locked in (*folder.glob(f"*{_LOCKED}"), *folder.glob(f"{_RETIRED}/*{_LOCKED}")):
            plain = locked.with_suffix("")
            if plain.exists():
                self._finish_lock(plain, locked, folder)
                done.append(f"finished locking {locked}")
        if _find(folder, "next") is not None:
            self._finish_rotation(folder)
            done.append(f"finished the key rotation in {folder}")
        return done

    def _finish_lock(self, plain: Path, locked: Path, folder: Path) -> None:
        public = self._load(plain).public
        known = _read_index(folder).get(_digest(read_private_file(locked, _LONGEST_BYTES)))
        if known != public:
            raise CustodyError(
                f"{plain} and {locked} both claim one place, and it is not known that they hold "
                "the same key; move the wrong one away"
            )
        remove(plain)

    def _finish_rotation(self, folder: Path) -> None:
        following = _find(folder, "next")
        if following is None:
            return
        current = _find(folder, "current")
        if current is not None:
            previous = _find(folder, "previous")
            if previous is not None:
                self._retire(previous, folder)
            move(current, _in_slot(current, "previous"))
        move(following, _in_slot(following, "current"))

    def _retire(self, path: Path, folder: Path) -> None:
        retired = folder / _RETIRED
        make_directory(retired, DIRECTORY_MODE, self._owner)
        data = read_private_file(path, _LONGEST_BYTES)
        public = self._describe("previous", path, _read_index(folder)).public
        name = fingerprint(public) if public is not None else f"unknown-{_digest(data)[:16]}"
        move(path, retired / f"{name}{_suffix(path)}")

    def _folder(self, world_id: int) -> Path:
        return self.directory / f"{world_id:016x}"

    def _describe(self, slot: Slot, path: Path, index: dict[str, bytes]) -> KeyFile:
        data = read_private_file(path, _LONGEST_BYTES)
        locked = path.name.endswith(_LOCKED)
        public = index.get(_digest(data)) if locked else _decode(data, path).public
        return KeyFile(slot, path, locked, public)

    def _load(
        self, path: Path, public: bytes | None = None, passphrase: str | None = None
    ) -> SigningKey:
        data = read_private_file(path, _LONGEST_BYTES)
        if not path.name.endswith(_LOCKED):
            return _decode(data, path)
        key = age.decrypt(data, self._ask(str(path)) if passphrase is None else passphrase, path)
        if public is not None and key.public != public:
            raise CustodyError(
                f"{path.parent / _INDEX} says that {path.name} holds the key "
                f"{fingerprint(public)}, and it holds {key.fingerprint}; remove {_INDEX}"
            )
        return key

    def _write_locked(
        self, path: Path, folder: Path, key: SigningKey, passphrase: str | None = None
    ) -> None:
        if passphrase is None:
            passphrase = self._ask("the new signing key")
        data = age.encrypt(key, passphrase)
        # The public key first: an entry without its file is harmless, the reverse asks for the
        # passphrase where none should be needed.
        self._note_public(folder, data, key.public)
        write_file(path, data, FILE_MODE, self._owner)

    def _note_public(self, folder: Path, data: bytes, public: bytes) -> None:
        """Remember the public key of a locked file with these bytes."""
        index = _read_index(folder)
        if index.get(_digest(data)) != public:
            index[_digest(data)] = public
            text = json.dumps({name: key.hex() for name, key in index.items()}, indent=1)
            write_file(folder / _INDEX, text.encode("ascii"), FILE_MODE, self._owner)

    def _ask(self, what: str) -> str:
        if self._passphrase is None:
            raise CustodyError(
                f"{what} needs a passphrase, and there is nobody to ask; run the command in a "
                "terminal or give it the passphrase"
            )
        return self._passphrase(what)


def _decode(data: bytes, path: Path) -> SigningKey:
    try:
        return SigningKey.decode(data)
    except DecodeError:
        pass  # raised anew outside: nothing of the file's content may travel with an error
    raise CustodyError(
        f"{path} does not hold a signing key (128 bytes, a public key and the private key that "
        "belongs to it); put it back from a backup"
    )


def _key_paths(folder: Path) -> Iterator[tuple[Slot, Path]]:
    slots: tuple[Slot, ...] = ("next", "current", "previous")
    for slot in slots:
        path = _find(folder, slot)
        if path is not None:
            yield slot, path
    retired = folder / _RETIRED
    if retired.exists():
        check_private_directory(retired)
        for path in sorted(_list(retired)):
            if path.name.endswith(_SUFFIXES) and not path.name.startswith("."):
                yield "retired", path


def _find(folder: Path, slot: Slot) -> Path | None:
    """The file of a slot; the one without a passphrase while both are there."""
    for suffix in _SUFFIXES:
        path = folder / f"{slot}{suffix}"
        if path.exists():
            return path
    return None


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise unreadable(folder, "read", error) from error


def _suffix(path: Path) -> str:
    return _LOCKED if path.name.endswith(_LOCKED) else _PLAIN


def _in_slot(path: Path, slot: Slot) -> Path:
    return path.with_name(f"{slot}{_suffix(path)}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_index(folder: Path) -> dict[str, bytes]:
    """Public keys of locked files; none where the index says nonsense: it can be done without."""
    path = folder / _INDEX
    if not path.exists():
        return {}
    try:
        entries = json.loads(read_private_file(path, 1 << 20))
        found = {str(name): bytes.fromhex(public) for name, public in entries.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
    return {name: public for name, public in found.items() if len(public) == PUBLIC_KEY_BYTES}
