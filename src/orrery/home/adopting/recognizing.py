"""What the files are: Worlds, signing keys, identities, and what describes a World unsigned."""

import re
from dataclasses import dataclass, field
from enum import IntEnum

from orrery.errors import DecodeError
from orrery.home.adopting.sources import Haul, Source
from orrery.wire.identity import Identity
from orrery.wire.signature import SigningKey
from orrery.wire.world import World, WorldType
from orrery.worlds import formats
from orrery.worlds.earth import EARTH
from orrery.worlds.formats import Document
from orrery.worlds.formats.notes import NoteCode

_IDENTITY = re.compile(rb"\s*[0-9a-fA-F]{10}:0:[0-9a-fA-F]{128}(:[0-9a-fA-F]{128})?\s*")
_PORT = re.compile(rb"\s*([0-9]{1,5})\s*")
_LOCKED_KEY = b"age-encryption.org/"
_DOWNLOADS = re.compile(r"(?:legacy-)?dist|httpfs|downloads?|public|www|html")
_KEPT_COPY = re.compile(r"backups?|.*[_-]backups?|.*\.(?:bak|old|orig)(?:\..*)?", re.IGNORECASE)
_OF_A_NODE = frozenset(("identity.secret", "identity.public", "authtoken.secret"))
_HALF_A_WORLD = {NoteCode.CUT_SHORT, NoteCode.TRAILING_BYTES}


class Standing(IntEnum):
    """What a World file is to the nodes; the larger, the likelier it is the one in use."""

    KEPT_COPY = 0
    """A backup of what was replaced."""
    WORKSHOP = 1
    """Where it was made."""
    DOWNLOAD = 2
    """Where nodes fetch it from."""
    HOME = 3
    """What a root or node reads at its start."""


@dataclass(frozen=True, slots=True)
class WorldFile:
    """A signed World in a file."""

    source: Source
    world: World
    standing: Standing
    document: Document

    @property
    def is_official(self) -> bool:
        """Whether it is a planet of ZeroTier's own, which nobody else can sign."""
        return self.world.updates_must_be_signed_by == EARTH.updates_must_be_signed_by


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private signing key in a file."""

    source: Source
    key: SigningKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class IdentityFile:
    """An identity in a file, with its private key or without."""

    source: Source
    identity: Identity


@dataclass(frozen=True, slots=True)
class Draft:
    """A description of a World that is not signed."""

    source: Source
    document: Document


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file that is not what its name says."""

    source: Source
    sentence: str


@dataclass(slots=True)
class Recognized:
    """All files by what they are.

    Attributes:
        worlds: signed Worlds.
        keys: private signing keys.
        locked: signing keys that nobody can read without a passphrase.
        secrets: identities with their private keys.
        publics: identities without.
        drafts: descriptions of Worlds.
        damaged: files that are not what their names say.
        homes: folders of nodes.
        ports: where the node of a folder listens, as far as a file says.
        orrery_homes: folders that are homes of Orrery already.
    """

    worlds: list[WorldFile] = field(default_factory=list)
    keys: list[KeyFile] = field(default_factory=list)
    locked: list[Source] = field(default_factory=list)
    secrets: list[IdentityFile] = field(default_factory=list)
    publics: list[IdentityFile] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)
    homes: set[str] = field(default_factory=set)
    ports: dict[str, int] = field(default_factory=dict)
    orrery_homes: set[str] = field(default_factory=set)


def recognize(haul: Haul) -> Recognized:
    """Sort what was read by what it is; the content decides, and names where it does not."""
    found = Recognized()
    found.homes = {
        source.folder for source in haul.sources if not source.named and source.name in _OF_A_NODE
    }
    found.homes.update(haul.networks)
    for source in haul.sources:
        if source.name == "orrery.toml" and not source.archive:
            found.orrery_homes.add(source.folder)
        _recognize(source, found)
    return found


def _recognize(source: Source, found: Recognized) -> None:
    if source.name == "zerotier-one.port":
        port = _PORT.fullmatch(source.data)
        if port is not None and 0 < int(port[1]) <= 0xFFFF:
            found.ports[source.folder] = int(port[1])
        return
    if source.data.startswith(_LOCKED_KEY):
        found.locked.append(source)
    elif _IDENTITY.fullmatch(source.data) or source.name in ("identity.secret", "identity.public"):
        _recognize_identity(source, found)
    else:
        _recognize_document(source, found)


def _recognize_identity(source: Source, found: Recognized) -> None:
    try:
        identity = Identity.from_string(source.data.decode("ascii"))
    except (DecodeError, UnicodeDecodeError):
        # Without the reason: it may quote what stands in the file.
        sentence = "holds no whole identity: put it back from a backup"
        found.damaged.append(Damaged(source, f"{source.place} {sentence}"))
        return
    if identity.private_key is not None:
        found.secrets.append(IdentityFile(source, identity))
    elif source.name == "identity.secret":
        sentence = "holds an identity without its private key: put it back from a backup"
        found.damaged.append(Damaged(source, f"{source.place} {sentence}"))
    else:
        found.publics.append(IdentityFile(source, identity))


def _recognize_document(source: Source, found: Recognized) -> None:
    vouched = source.named or source.has_telling_name
    try:
        document = formats.read(source.data, loose=True)
    except DecodeError as error:
        if vouched:
            lines = "; ".join(str(error).splitlines())
            found.damaged.append(Damaged(source, f"{source.place}: {lines}"))
        return
    if document.signing_key is not None:
        found.keys.append(KeyFile(source, document.signing_key))
    world = document.world
    if world is None:
        if document.roots:
            found.drafts.append(Draft(source, document))
        return
    if not vouched and not _is_a_whole_world(document, world):
        return
    if world.type is WorldType.NULL or world.id == 0:
        sentence = "a World without a type or an id, which nodes let anything replace"
        found.damaged.append(Damaged(source, f"{source.place} holds {sentence}"))
        return
    found.worlds.append(WorldFile(source, world, _standing(source, found.homes), document))


def _is_a_whole_world(document: Document, world: World) -> bool:
    """Whether it is one beyond doubt: other files of nodes begin with a 1, too."""
    return bool(world.roots) and not any(note.code in _HALF_A_WORLD for note in document.notes)


def _standing(source: Source, homes: set[str]) -> Standing:
    # What was named itself is not a copy of something else, whatever it is called.
    if any(_KEPT_COPY.fullmatch(part) for part in source.parts[1:]):
        return Standing.KEPT_COPY
    if source.parts[-2:-1] == ("moons.d",):
        return Standing.HOME
    if is_download(source):
        return Standing.DOWNLOAD
    if source.name == "planet" and source.folder in homes:
        return Standing.HOME
    return Standing.WORKSHOP


def is_download(source: Source) -> bool:
    """Whether it lies where others fetch files."""
    return any(is_download_name(part) for part in source.parts[:-1])


def is_download_name(part: str) -> bool:
    """Whether a folder of this name is one where others fetch files."""
    return _DOWNLOADS.fullmatch(part) is not None
