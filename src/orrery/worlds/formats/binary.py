"""A World as nodes keep it: `planet`, `world.bin`, `planet.custom`, `<16 hex digits>.moon`.

The layout stands in `orrery.wire.world`.
"""

from orrery.errors import DecodeError, UsageError
from orrery.wire.cursor import Reader
from orrery.wire.world import World
from orrery.worlds.formats.content import Content
from orrery.worlds.formats.document import Document
from orrery.worlds.formats.notes import Note, NoteCode

NAME = "binary"


def read(content: Content, *, loose: bool = False) -> Document:
    """Read a World exactly as loosely as a node.

    Args:
        content: the file.
        loose: changes nothing, there is but one way to read bytes.

    Raises:
        DecodeError: a node could not read it.
    """
    del loose
    return read_bytes(content.data, NAME)


def read_bytes(data: bytes, name: str) -> Document:
    """Read a World from the bytes that a format wraps.

    Raises:
        DecodeError: a node could not read it.
    """
    reader = Reader(data)
    try:
        world = World.read(reader)
    except DecodeError as error:
        raise DecodeError(f"{error}; a node would throw the file away without a word") from None
    notes = []
    if reader.offset != len(data):
        behind = len(data) - reader.offset
        notes.append(
            Note(NoteCode.TRAILING_BYTES, f"{behind} bytes behind the World, which nodes pass over")
            if behind > 0
            else Note(NoteCode.CUT_SHORT, "the last bytes are missing, which nodes do not notice")
        )
    if world.encode() != data[: reader.offset]:
        notes.append(
            Note(
                NoteCode.MORE_THAN_SIGNED,
                "the file holds bytes that nodes drop and no signature covers (a private key of a "
                "root, or a reserved type of endpoint): they are left out here too",
            )
        )
    return Document.of_world(world, name, tuple(notes))


def write(document: Document, *, secrets: bool = False) -> bytes:
    """The bytes that nodes keep.

    Raises:
        UsageError: the document is no signed World, or one that nodes could not read.
    """
    del secrets
    return signed_world(document).encode()


def signed_world(document: Document) -> World:
    """The signed World that a format needs.

    Raises:
        UsageError: the document is none.
    """
    world = document.world
    if world is None:
        raise UsageError("the World is not signed yet: use `orrery world sign` with its key")
    return world
