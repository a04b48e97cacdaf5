"""What is inside a backup: a plain tar with a manifest before all, and every file of a home.

    manifest.json
        {
          "format": 1,                      of this manifest
          "made_by": "0.4.0",               version of Orrery
          "made_at_ms": 1790000000000,      by the clock of the machine that it was made on
          "root": "8056c2e21c",             address of the home's own root
          "worlds": [                       those that have a revision
            {"id": "8056c2e21c000001", "type": "planet", "newest_ms": 1790000000000}
          ],
          "files": [                        in the order in which they follow
            {"path": "orrery.toml", "mode": "0644", "size_bytes": 1500, "sha256": "…"}
          ]
        }
    orrery.toml, orrery.db, identity.secret, keys.d/…

Nothing else may be in it, and nothing may be missing: what is unpacked is what was packed.
"""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orrery.errors import DecodeError, OrreryError, UnreadableError
from orrery.wire.address import Address, format_address, parse_address
from orrery.wire.world import WorldType

FORMAT = 1
MANIFEST_NAME = "manifest.json"
_MANIFEST_BYTES = 16 << 20
_ID = re.compile(r"[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODE = re.compile(r"0[0-7]{3}")
_PATH = re.compile(
    r"orrery\.toml|orrery\.db|identity\.(secret|public)|planet|moons\.d/[0-9a-f]{16}\.moon"
    r"|keys\.d/[0-9a-f]{16}/(retired/)?[^/.][^/\0]*|backups/[^/.][^/\0]*"
    r"|backups/hosts/[^/.][^/\0]*/[^/.][^/\0]*/(moons\.d/)?[^/.][^/\0]*"
)


def is_part_of_home(path: str) -> bool:
    """Whether a file at this path in a home goes into a backup."""
    return _PATH.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file of a home.

    Attributes:
        path: In the home, with slashes.
        mode: Its permissions.
        data: Its bytes.
    """

    path: str
    mode: int
    data: bytes


@dataclass(frozen=True, slots=True)
class PackedWorld:
    """A World that has a revision, and the timestamp of its newest."""

    id: int
    type: WorldType
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Archive:
    """A home at one moment.

    Attributes:
        made_by: The version of Orrery that made this.
        made_at_ms: When, by the clock of the machine that it was made on.
        root: The home's own root.
        worlds: Those that have a revision.
        files: All files.
    """

    made_by: str
    made_at_ms: int
    root: Address
    worlds: tuple[PackedWorld, ...]
    files: tuple[PackedFile, ...]

    def pack(self) -> bytes:
        """The tar."""
        manifest = {
            "format": FORMAT,
            "made_by": self.made_by,
            "made_at_ms": self.made_at_ms,
            "root": format_address(self.root),
            "worlds": [
                {
                    "id": f"{world.id:016x}",
                    "type": world.type.name.lower(),
                    "newest_ms": world.newest_ms,
                }
                for world in self.worlds
            ],
            "files": [
                {
                    "path": file.path,
                    "mode": f"{file.mode:04o}",
                    "size_bytes": len(file.data),
                    "sha256": hashlib.sha256(file.data).hexdigest(),
                }
                for file in self.files
            ],
        }
        text = json.dumps(manifest, indent=1).encode()
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            for file in (PackedFile(MANIFEST_NAME, 0o600, text), *self.files):
                member = tarfile.TarInfo(file.path)
                member.mode, member.size = file.mode, len(file.data)
                member.mtime = self.made_at_ms // 1000
                tar.addfile(member, io.BytesIO(file.data))
        return made.getvalue()


def unpack(data: bytes, name: str) -> Archive:
    """Read a tar that `Archive.pack` has made.

    Args:
        data: The tar.
        name: What to call it in an error.

    Raises:
        DecodeError: It is something else, or not whole.
        UnreadableError: A newer Orrery has made it.
    """
    try:
        return _unpack(data, name)
    except tarfile.TarError as error:
        raise _foreign(name, f"it opens, and what is in it is no whole tar ({error})") from None


def _unpack(data: bytes, name: str) -> Archive:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        members = tar.getmembers()
        if not members or members[0].name != MANIFEST_NAME or not members[0].isreg():
            raise _foreign(name, f"it does not begin with {MANIFEST_NAME}")
        if members[0].size > _MANIFEST_BYTES:
            raise _foreign(name, f"its {MANIFEST_NAME} is too long")
        told = _manifest(_content(tar, members[0]), name)
        listed = {file["path"]: file for file in told["files"]}
        names = [member.name for member in members[1:]]
        if names != [file["path"] for file in told["files"]] or len(listed) != len(names):
            raise _foreign(name, f"its files are other ones than {MANIFEST_NAME} says")
        files = []
        for member in members[1:]:
            if not member.isreg():
                raise _foreign(name, f"{member.name} in it is no file")
            content = _content(tar, member)
            wanted = listed[member.name]
            digest = hashlib.sha256(content).hexdigest()
            if (len(content), digest) != (wanted["size_bytes"], wanted["sha256"]):
                raise _foreign(name, f"{member.name} in it is not what {MANIFEST_NAME} says")
            files.append(PackedFile(member.name, int(wanted["mode"], 8), content))
    return Archive(
        made_by=told["made_by"],
        made_at_ms=told["made_at_ms"],
        root=told["root"],
        worlds=told["worlds"],
        files=tuple(files),
    )


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return b"" if file is None else file.read()


def _manifest(text: bytes, name: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
        number = told.pop("format")
        if type(number) is int and number > FORMAT:
            raise UnreadableError(
                f"{name} was made by a newer Orrery ({str(told.get('made_by'))[:40]}); update this "
                "one to restore it"
            )
        if number != FORMAT:
            raise ValueError("of no known format")
        read = {
            "made_by": _text(told.pop("made_by")),
            "made_at_ms": _number(told.pop("made_at_ms")),
            "root": parse_address(_text(told.pop("root"))),
            "worlds": tuple(_world(world) for world in _list(told.pop("worlds"))),
            "files": [_file(file) for file in _list(told.pop("files"))],
        }
        if told:
            raise ValueError(f"unknown keys {', '.join(map(str, told))}")
    except UnreadableError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OrreryError) as error:
        raise _foreign(name, f"its {MANIFEST_NAME} cannot be read ({error})") from None
    return read


def _world(told: Mapping[str, Any]) -> PackedWorld:
    if not _ID.fullmatch(told["id"]) or told["type"] not in ("planet", "moon"):
        raise ValueError("a World is no World")
    kind = WorldType.PLANET if told["type"] == "planet" else WorldType.MOON
    return PackedWorld(int(told["id"], 16), kind, _number(told["newest_ms"]))


def _file(told: Mapping[str, Any]) -> Mapping[str, Any]:
    if not is_part_of_home(told["path"]):
        raise ValueError(f"{told['path']!r:.80} is no file of a home")
    if not _MODE.fullmatch(told["mode"]) or not _SHA256.fullmatch(told["sha256"]):
        raise ValueError(f"{told['path']!r:.80} has no mode or hash")
    _number(told["size_bytes"])
    return told


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.40} is no list")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise ValueError(f"{value!r:.40} is no number")
    return value


def _foreign(name: str, why: str) -> DecodeError:
    return DecodeError(f"{name} is no backup of Orrery: {why}")
