"""A binary World in base64 (RFC 4648), as people send it and mobile apps take it by hand.

Both alphabets, line breaks and missing padding are taken; one line in the first alphabet is
written.
"""

import binascii
from base64 import b64decode, b64encode

from orrery.errors import DecodeError
from orrery.worlds.formats.binary import read_bytes, signed_world
from orrery.worlds.formats.content import Content
from orrery.worlds.formats.document import Document

NAME = "base64"
_TO_FIRST_ALPHABET = str.maketrans("-_", "+/", " \t\r\n\f\v")


def read(content: Content, *, loose: bool = False) -> Document:
    """Read the World.

    Args:
        content: the file.
        loose: changes nothing.

    Raises:
        DecodeError: it is no base64, or of something that is no World.
    """
    del loose
    return read_bytes(decode_base64(content.text or ""), NAME)


def write(document: Document, *, secrets: bool = False) -> bytes:
    """One line.

    Raises:
        UsageError: the document is no signed World.
    """
    del secrets
    return b64encode(signed_world(document).encode()) + b"\n"


def decode_base64(text: str) -> bytes:
    """The bytes that the text stands for.

    Raises:
        DecodeError: it is no base64.
    """
    letters = text.translate(_TO_FIRST_ALPHABET).rstrip("=")
    try:
        return b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError(
            "this is not base64 of a World: a part is missing or was changed, copy it again"
        ) from None
