"""Link that adds a planet to the official mobile apps from 1.16.0 on.

    https://joinzt.com/addplanet?v=1&planet=<base64 of the binary World>

Base64 is escaped when written, because + stands for a blank in a link. When read, a blank is a +.
Source: https://docs.zerotier.com/roots/#mobile
"""

from base64 import b64encode
from urllib.parse import parse_qs, quote, urlsplit

from orrery.errors import DecodeError, UsageError
from orrery.wire.world import WorldType
from orrery.worlds.formats.base64_text import decode_base64
from orrery.worlds.formats.binary import read_bytes, signed_world
from orrery.worlds.formats.content import Content
from orrery.worlds.formats.document import Document

NAME = "link"
_HOST = "joinzt.com"
_PATH = "/addplanet"
_MOST_FIELDS = 16


def read(content: Content, *, loose: bool = False) -> Document:
    """Read the World in a link.

    Args:
        content: the file.
        loose: changes nothing.

    Raises:
        DecodeError: it is another link, of another version, or its World is damaged.
    """
    del loose
    text = content.text or ""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host = parts.hostname
        fields = parse_qs(parts.query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise DecodeError("this is not a link that anything can open: copy it again") from None
    if host != _HOST or parts.path.rstrip("/") != _PATH:
        raise DecodeError(
            f"this link does not add a planet: one that does begins with https://{_HOST}{_PATH}"
        )
    if fields.get("v", ["1"]) != ["1"]:
        raise DecodeError("this link is of a version that Orrery does not know: it reads v=1")
    planets = fields.get("planet", [])
    if len(planets) != 1 or not planets[0]:
        raise DecodeError("this link carries no planet: copy the whole of it again")
    return read_bytes(decode_base64(planets[0].replace(" ", "+")), NAME)


def write(document: Document, *, secrets: bool = False) -> bytes:
    """The link.

    Raises:
        UsageError: the document is no signed planet.
    """
    del secrets
    world = signed_world(document)
    if world.type is not WorldType.PLANET:
        raise UsageError("such a link carries a planet, and this is a moon: send its .moon file")
    planet = quote(b64encode(world.encode()), safe="")
    return f"https://{_HOST}{_PATH}?v=1&planet={planet}\n".encode("ascii")
