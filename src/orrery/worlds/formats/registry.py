"""The formats that exist, and which of them a file is in.

A file is known by its content alone: names are copied, renamed and typed wrong.
"""

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Protocol, cast

from orrery.errors import CustodyError, DecodeError, UsageError
from orrery.wire.signature import PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, derive_public_key
from orrery.worlds.formats.content import Content
from orrery.worlds.formats.document import Document

_WORLD_TYPES = (0, 1, 127)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]{40,}={0,2}")
_IDENTITY = re.compile(r"[0-9a-fA-F]{10}:0:[0-9a-fA-F]")


@dataclass(frozen=True, slots=True)
class Format:
    """A format in the wild.

    Attributes:
        name: what it is called on the command line.
        module: where it is read and written, imported when it is needed.
        title: what it is, for people.
        is_text: whether it may go to a terminal.
        may_hold_secret: whether it has a place for a private key.
    """

    name: str
    module: str
    title: str
    is_text: bool = True
    may_hold_secret: bool = False


FORMATS: Final = (
    Format("binary", "binary", "planet, world.bin or *.moon, as nodes keep it", is_text=False),
    Format("moon-json", "moon_json", "moon.json of zerotier-idtool", may_hold_secret=True),
    Format("mkworld", "mkworld", "mkworld.config.json of ztmkworld and ztnet"),
    Format("roots-json", "roots_json", "config.json of the C++ forks of mkworld"),
    Format("python-json", "python_json", "JSON of the Python mkworld"),
    Format(
        "c25519",
        "c25519",
        "signing key of mkworld, such as current.c25519",
        is_text=False,
        may_hold_secret=True,
    ),
    Format("c-header", "c_header", "C source with ZT_DEFAULT_WORLD"),
    Format("base64", "base64_text", "base64 of a binary World"),
    Format("link", "join_link", "link that adds a planet to official mobile apps"),
)
_BY_NAME = {known.name: known for known in FORMATS}


class _Module(Protocol):
    def read(self, content: Content, *, loose: bool) -> Document: ...

    def write(self, document: Document, *, secrets: bool) -> bytes: ...


def by_name(name: str) -> Format:
    """The format of this name.

    Raises:
        UsageError: there is none.
    """
    found = _BY_NAME.get(name)
    if found is None:
        raise UsageError(f"{name!r} is no format: it is one of {', '.join(_BY_NAME)}")
    return found


def detect(content: Content) -> Format:
    """The format of a file, by a look at its content.

    Raises:
        DecodeError: none that is known, with a guess what it is instead.
    """
    data, text = content.data, content.text
    if len(data) == PUBLIC_KEY_BYTES + PRIVATE_KEY_BYTES and (
        derive_public_key(data[PUBLIC_KEY_BYTES:]) == data[:PUBLIC_KEY_BYTES]
        or (text is None and data[0] not in _WORLD_TYPES)
    ):
        return _BY_NAME["c25519"]
    if text is None:
        if data[0] in _WORLD_TYPES:
            return _BY_NAME["binary"]
        raise DecodeError(
            "the file is in no format that Orrery knows: a binary World begins with byte 1 "
            f"(planet) or 127 (moon), this with {data[0]}"
        )
    if content.looks_like_json:
        return _detect_json(content.json)
    if text.startswith(("http://", "https://", "joinzt.com/")):
        return _BY_NAME["link"]
    if "{" in text and re.search(r"\b(char|uint8_t)\s", text):
        return _BY_NAME["c-header"]
    if _BASE64.fullmatch(text):
        return _BY_NAME["base64"]
    raise DecodeError(_guess(text))


def read(data: bytes, *, loose: bool = False) -> Document:
    """Read a file in any format.

    Args:
        data: what it holds.
        loose: take mistakes in a text for what the format's own tool would make of them, and say
            so among the notes, instead of refusing them.

    Raises:
        DecodeError: it is in no known format, or has mistakes: a line for each, with its position.
    """
    content = Content(data)
    return _module(detect(content)).read(content, loose=loose)


def write(document: Document, name: str, *, secrets: bool = False) -> bytes:
    """Write a document in a format.

    Args:
        document: what to write.
        name: of the format.
        secrets: with the private signing key.

    Raises:
        UsageError: the format cannot say what the document says, or needs more than it does.
        CustodyError: a private key is asked for and not there.
    """
    found = by_name(name)
    if secrets and not found.may_hold_secret:
        raise UsageError(f"the format {name} has no place for a private key: leave it out")
    if secrets and document.signing_key is None:
        raise CustodyError("a private key was asked for, and the file holds none")
    return _module(found).write(document, secrets=secrets)


def _module(known: Format) -> _Module:
    return cast("_Module", import_module(f"orrery.worlds.formats.{known.module}"))


def _detect_json(value: object) -> Format:
    if isinstance(value, list):
        # A bare list of roots, which one generator of planets reads.
        return _BY_NAME["roots-json"]
    keys = value.keys() if isinstance(value, dict) else set()
    if "rootNodes" in keys or {"plID", "plBirth"} & keys:
        return _BY_NAME["mkworld"]
    if {"worldType", "objtype", "signingKey", "updatesMustBeSignedBy"} & keys:
        return _BY_NAME["moon-json"]
    if {"public_key", "signature"} & keys:
        return _BY_NAME["python-json"]
    if "roots" in keys:
        return _BY_NAME["roots-json"]
    raise DecodeError(
        "this JSON says nothing about a World: it has none of the keys roots, rootNodes, "
        "worldType and signingKey"
    )


def _guess(text: str) -> str:
    if _IDENTITY.match(text):
        return (
            "this is an identity and not a World: use `orrery identity show`, or put it into "
            "the roots of a moon.json"
        )
    if text[:1] == "<":
        return "this is a web page and not a World: the download needs a login, or is gone"
    if not text:
        return "the file holds nothing but blanks: copy it again"
    return "the file is in no format that Orrery knows: see `orrery world convert --help`"
