"""The files that may say something about a World, out of folders and zips, each within bounds.

A folder is read down to `MOST_DEPTH` and left as it is. A zip is never unpacked: its entries are
read one by one into memory, and their names serve as labels only, so that no name leads anywhere.
What does not fit the bounds is told and not read.
"""

import contextlib
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Final

from orrery.custody.durable import unreadable
from orrery.errors import DecodeError, UnreadableError
from orrery.worlds.formats import MAX_FILE_BYTES

MOST_DEPTH: Final = 8
MOST_ENTRIES: Final = 20_000
"""Names that are looked at, of all paths together."""
MOST_FILES: Final = 2_000
"""Files that are read."""
MOST_BYTES: Final = 64 << 20
MOST_ZIP_BYTES: Final = 16 << 20
_MOST_ZIP_DIRECTORY_BYTES = 1 << 20
_UNNAMED_BYTES = 64 << 10
"""A file whose name says nothing is read when it is no longer: no World or key comes near."""

_TELLING = re.compile(
    r"planet|planet\.custom|world\.bin|.*\.moon|.*\.c25519|(?:moon|planet)\.json|"
    r"mkworld(?:\.config)?\.json|identity\.(?:secret|public)"
)
_PASSED_OVER = frozenset(
    ("peers.d", "networks.d", "iddb.d", "node_modules", ".git", "metrics.d", "trace")
)
"""Folders in which nodes keep what they have learned, and others with many files and no World."""
_CONTROLLER = "controller.d"
_NETWORK = re.compile(r"[0-9a-f]{16}\.json")
_ZIP_MARK = b"PK\x03\x04"
_ZIP_END_MARK = b"PK\x05\x06"
_ZIP_END = struct.Struct("<4s4H2LH")
_ZIP_TAIL_BYTES = _ZIP_END.size + 0xFFFF
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ENCRYPTED = 0x1
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read.

    Attributes:
        place: what to call it in a sentence.
        folder: what to call the folder it is in.
        parts: the names that lead to it from what was named, that one's own first.
        data: its bytes; they may be secret and stand in no representation.
        path: where it lies; None in a zip.
        archive: the zip it is in.
        named: whether it was named itself, and not found in a folder.
        open_to_others: whether other users of this machine can read it.
    """

    place: str
    folder: str
    parts: tuple[str, ...]
    data: bytes = field(repr=False)
    path: Path | None = None
    archive: Path | None = None
    named: bool = False
    open_to_others: bool = False

    @property
    def name(self) -> str:
        """Its own name."""
        return self.parts[-1]

    @property
    def has_telling_name(self) -> bool:
        """Whether its name promises a World, a key or an identity."""
        return is_telling(self.name)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that could not be read.

    Attributes:
        place: what it is.
        sentence: why, and what to do.
    """

    place: str
    sentence: str


@dataclass(slots=True)
class Haul:
    """All that was read.

    Attributes:
        sources: the files.
        troubles: what was there and could not be read.
        networks: in which folders a controller keeps networks, and how many.
    """

    sources: list[Source] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    networks: dict[str, int] = field(default_factory=dict)
    _entries: int = 0
    _bytes: int = 0

    def is_full(self, place: str) -> bool:
        """Whether nothing more is to be read, which is told once."""
        if self._entries > MOST_ENTRIES or len(self.sources) >= MOST_FILES:
            sentence = "more files than any of these folders has: name the folder with the World"
        elif self._bytes > MOST_BYTES:
            sentence = f"more than {MOST_BYTES >> 20} MiB: name the folder with the World"
        else:
            return False
        if not any(trouble.sentence == sentence for trouble in self.troubles):
            self.troubles.append(Trouble(place, sentence))
        return True

    def count(self) -> None:
        """Note a name that was looked at."""
        self._entries += 1

    def add(self, source: Source) -> None:
        """Note a file that was read."""
        self.sources.append(source)
        self._bytes += len(source.data)

    def refuse(self, place: str, sentence: str) -> None:
        """Note what could not be read."""
        self.troubles.append(Trouble(place, sentence))

    def note_network(self, folder: str) -> None:
        """Note a network of the controller in this folder."""
        self.networks[folder] = self.networks.get(folder, 0) + 1


def gather(paths: Sequence[Path]) -> Haul:
    """Read what lies at these paths.

    Args:
        paths: folders, zips and files.

    Raises:
        UnreadableError: one of them is not there or cannot be read.
        DecodeError: a zip is damaged or too large.
    """
    haul = Haul()
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except OSError as error:
            raise unreadable(path, "read", error) from error
        except ValueError:  # a NUL in the path
            raise UnreadableError(f"{str(path)!r} is no path: check it") from None
        own_name = path.name or path.resolve().name
        if is_folder:
            for found in _walk(path, (own_name,), haul, 0):
                _take(found, haul)
        else:
            _take_named(path, haul)
    haul.sources = _once_each(haul.sources)
    return haul


def _once_each(sources: Sequence[Source]) -> list[Source]:
    """Each file once: where it was found in a folder and was named too, as a named one there."""
    named = {_position(source) for source in sources if source.named}
    found = {_position(source) for source in sources if not source.named}
    kept: dict[tuple[str, str], Source] = {}
    for source in sources:
        position = _position(source)
        if source.named and position in found:
            continue
        if position not in kept:
            kept[position] = replace(source, named=position in named)
    return list(kept.values())


def _position(source: Source) -> tuple[str, str]:
    """Where a file is, however it was come by; links are places of their own."""
    path = source.path or source.archive or Path()
    return os.path.abspath(path), "" if source.path else source.place  # noqa: PTH100


def is_telling(name: str) -> bool:
    """Whether a name promises a World, a key or an identity."""
    return _TELLING.fullmatch(name) is not None


def label(text: str) -> str:
    """A name of a file as it may go to a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


# Folders


def _walk(
    folder: Path, parts: tuple[str, ...], haul: Haul, depth: int
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    try:
        with os.scandir(folder) as entries:
            found = []
            for entry in entries:
                haul.count()
                if haul.is_full(label(str(folder))):
                    break
                found.append(entry)
    except OSError as error:
        if depth == 0:
            raise unreadable(folder, "read", error) from error
        haul.refuse(label(str(folder)), f"{unreadable(folder, 'read', error)}")
        return
    for entry in sorted(found, key=lambda entry: entry.name):
        inside = (*parts, entry.name)
        path = folder / entry.name
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
        except OSError:
            continue
        if not is_folder:
            if not _is_of_controller(inside, haul, label(str(folder.parent.parent))):
                yield path, inside
        elif entry.name in _PASSED_OVER or (_CONTROLLER in parts and entry.name != "network"):
            continue  # the members of networks are many, too
        elif depth >= MOST_DEPTH:
            haul.refuse(label(str(path)), f"deeper than {MOST_DEPTH} folders: name it itself")
        else:
            yield from _walk(path, inside, haul, depth + 1)


def _is_of_controller(parts: Sequence[str], haul: Haul, home: str) -> bool:
    """Whether this is state of a network controller; its networks are counted."""
    if _CONTROLLER not in parts[:-1]:
        return False
    if parts[-2] == "network" and _NETWORK.fullmatch(parts[-1]):
        haul.note_network(home)
    return True


def _take(found: tuple[Path, tuple[str, ...]], haul: Haul) -> None:
    path, parts = found
    if haul.is_full(label(str(path.parent))):
        return
    most = MAX_FILE_BYTES if is_telling(parts[-1]) else _UNNAMED_BYTES
    try:
        read = _read_bounded(path, most)
    except OSError as error:
        if is_telling(parts[-1]):
            haul.refuse(label(str(path)), f"{unreadable(path, 'read', error)}")
        return
    if read is None:
        return
    data, mode = read
    place = label(str(path))
    if data.startswith(_ZIP_MARK):
        haul.refuse(place, f"{place} is a zip: name it itself to read it")
        return
    if len(data) > most:
        if is_telling(parts[-1]):
            haul.refuse(place, f"{place} is too long for what its name says")
        return
    haul.add(
        Source(
            place=place,
            folder=label(str(path.parent)),
            parts=parts,
            data=data,
            path=path,
            open_to_others=bool(mode & _OTHERS),
        )
    )


def _take_named(path: Path, haul: Haul) -> None:
    try:
        read = _read_bounded(path, MOST_ZIP_BYTES)
    except OSError as error:
        raise unreadable(path, "read", error) from error
    if read is None:
        raise UnreadableError(f"{path} is neither a file nor a folder: name one")
    data, mode = read
    place = label(str(path))
    if data.startswith((_ZIP_MARK, _ZIP_END_MARK)):
        _take_zip(path, data, haul, open_to_others=bool(mode & _OTHERS))
        return
    if len(data) > MAX_FILE_BYTES:
        raise DecodeError(
            f"{place} has more than {MAX_FILE_BYTES} bytes, and no World has: is it the right file?"
        )
    haul.add(
        Source(
            place=place,
            folder=label(str(path.parent)),
            parts=(path.name,),
            data=data,
            path=path,
            named=True,
            open_to_others=bool(mode & _OTHERS),
        )
    )


def _read_bounded(path: Path, most_bytes: int) -> tuple[bytes, int] | None:
    """The beginning of a regular file, one byte more than may be, and its mode."""
    # Without waiting: somebody may have put a pipe there.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return None
        parts = []
        rest = most_bytes + 1
        while rest and (part := os.read(descriptor, min(rest, 1 << 20))):
            parts.append(part)
            rest -= len(part)
        return b"".join(parts), stat.S_IMODE(found.st_mode)
    finally:
        os.close(descriptor)


# Zips


def _take_zip(path: Path, data: bytes, haul: Haul, *, open_to_others: bool) -> None:
    place = label(str(path))
    if len(data) > MOST_ZIP_BYTES:
        raise DecodeError(
            f"{place} has more than {MOST_ZIP_BYTES >> 20} MiB: unpack it, and name the folder in "
            "it that has the World"
        )
    _check_zip_directory(data, place)
    try:
        archive = zipfile.ZipFile(BytesIO(data))
    except _ZIP_FAULTS:
        raise _damaged_zip(place) from None
    with archive:
        for info in archive.infolist():
            haul.count()
            if haul.is_full(place):
                break
            _take_entry(archive, info, path, haul, open_to_others=open_to_others)


def _damaged_zip(place: str) -> DecodeError:
    return DecodeError(f"{place} is a damaged zip: copy it again, or unpack it and name the folder")


def _check_zip_directory(data: bytes, place: str) -> None:
    """Refuse a zip whose list of names would be long before one of them can be looked at."""
    at = data.rfind(_ZIP_END_MARK, max(0, len(data) - _ZIP_TAIL_BYTES))
    if at < 0 or len(data) - at < _ZIP_END.size:
        raise _damaged_zip(place)
    directory_bytes = _ZIP_END.unpack_from(data, at)[5]
    zip64 = b"PK\x06\x07" in data[max(0, at - 20) : at]
    if zip64 or directory_bytes > _MOST_ZIP_DIRECTORY_BYTES:
        raise DecodeError(
            f"{place} has more files than any of these folders: unpack it, and name the folder in "
            "it that has the World"
        )


def _take_entry(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    path: Path,
    haul: Haul,
    *,
    open_to_others: bool,
) -> None:
    place = f"{label(str(path))}:{label(info.filename)}"
    inside = PurePosixPath(info.filename.replace("\\", "/"))
    names = inside.parts
    if info.is_dir() or not names:
        return
    if inside.is_absolute() or ".." in names or ":" in names[0]:
        haul.refuse(place, f"{place} names a place outside of the zip, so it is not read")
        return
    folder = f"{label(str(path))}:{label(str(inside.parent))}"
    parts = (path.stem, *names)
    home = f"{label(str(path))}:{label(str(inside.parent.parent.parent))}"
    if _PASSED_OVER & set(names[:-1]) or _is_of_controller(parts, haul, home):
        return
    telling = is_telling(names[-1])
    most = MAX_FILE_BYTES if telling else _UNNAMED_BYTES
    data: bytes | None = None
    if info.flag_bits & _ZIP_ENCRYPTED:
        sentence = "is encrypted: unpack the zip with its password, and name the folder"
    elif info.compress_type not in _ZIP_METHODS:
        sentence = "is packed in a way that is not read here: unpack the zip, and name the folder"
    else:
        sentence = "is damaged in the zip: copy the zip again"
        with contextlib.suppress(*_ZIP_FAULTS), archive.open(info) as file:
            # What the zip says of its size is not believed.
            data = file.read(most + 1)
    if data is not None and len(data) > most:
        data, sentence = None, "is too long for what its name says"
    if data is None:
        if telling:
            haul.refuse(place, f"{place} {sentence}")
        return
    haul.add(
        Source(
            place=place,
            folder=folder,
            parts=parts,
            data=data,
            archive=path,
            open_to_others=open_to_others,
        )
    )
