"""C source with a World as an array, which clients are compiled with.

    #define ZT_DEFAULT_WORLD_LENGTH 570
    static const unsigned char ZT_DEFAULT_WORLD[ZT_DEFAULT_WORLD_LENGTH] = {0x01,0x00,…};

A whole Topology.cpp is read as well as what `xxd -i` prints. Written is what mkworld prints, on
two lines, because build scripts replace these two.
"""

import re
from collections.abc import Iterator

from orrery.errors import DecodeError
from orrery.worlds.formats.binary import read_bytes, signed_world
from orrery.worlds.formats.content import MAX_FILE_BYTES, Content
from orrery.worlds.formats.document import Document

NAME = "c-header"
_ARRAY = "ZT_DEFAULT_WORLD"
# Every repetition is bounded: the text may have been made to keep a pattern busy.
_START = re.compile(r"\b(\w{1,64})[ \t]{0,8}\[([^\[\]{};]{0,80})\]\s{0,8}=\s{0,8}\{")
_DEFINED_LENGTH = re.compile(
    r"#[ \t]{0,8}define[ \t]{1,8}ZT_DEFAULT_WORLD_LENGTH[ \t]{1,8}(\d{1,9})"
)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|//[^\n]*", re.DOTALL)
_NUMBER = re.compile(r"0[xX]([0-9a-fA-F]{1,4})|(0|[1-9][0-9]{0,3})")


def read(content: Content, *, loose: bool = False) -> Document:
    """Read the World in the source: the array of mkworld's name, else the first.

    Args:
        content: the file.
        loose: changes nothing.

    Raises:
        DecodeError: there is no such array, or it is damaged.
    """
    del loose
    text = _COMMENT.sub(" ", content.text or "")
    arrays = dict(reversed(list(_arrays(text))))
    if not arrays:
        raise DecodeError(
            f"this source has no array of bytes: the one that is looked for is "
            f"unsigned char {_ARRAY}[] = {{0x01,…}}"
        )
    name = _ARRAY if _ARRAY in arrays else list(arrays)[-1]
    length_text, body = arrays[name]
    data = _bytes(name, body)
    said = _DEFINED_LENGTH.search(text) if name == _ARRAY else None
    length = said[1] if said else length_text.strip()
    if length.isdigit() and int(length) != len(data):
        raise DecodeError(
            f"the array {name} is said to have {length} bytes and lists {len(data)}: a part is "
            "missing, copy it again"
        )
    return read_bytes(data, NAME)


def write(document: Document, *, secrets: bool = False) -> bytes:
    """Both lines.

    Raises:
        UsageError: the document is no signed World.
    """
    del secrets
    data = signed_world(document).encode()
    listed = ",".join(f"0x{byte:02x}" for byte in data)
    return (
        f"#define {_ARRAY}_LENGTH {len(data)}\n"
        f"static const unsigned char {_ARRAY}[{_ARRAY}_LENGTH] = {{{listed}}};\n"
    ).encode("ascii")


def _arrays(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    position = 0
    while start := _START.search(text, position):
        end = text.find("}", start.end())
        if end < 0:
            raise DecodeError(f"the array {start[1]} has no end: a part is missing, copy it again")
        yield start[1], (start[2], text[start.end() : end])
        position = end  # from there, so that each part of the text is looked at once


def _bytes(name: str, body: str) -> bytes:
    found = bytearray()
    items = [item.strip() for item in body.split(",", MAX_FILE_BYTES)]
    if items[-1] == "":
        items.pop()
    for position, item in enumerate(items, 1):
        number = _NUMBER.fullmatch(item)
        value = -1
        if number is not None:
            value = int(number[1], 16) if number[1] else int(number[2])
        if not 0 <= value <= 0xFF:
            raise DecodeError(
                f"item {position} of the array {name} is {item[:20]!r} and not a byte from 0x00 "
                "to 0xff"
            )
        found.append(value)
    if not found:
        raise DecodeError(f"the array {name} is empty: this client was built without a planet")
    return bytes(found)
