"""Endpoints with a name in place of an IP address, as only `orrery.toml` knows them.

A World holds IP addresses and nothing else. A name is kept in the settings, and what it stands for
is looked up each time a revision is made (`orrery.home.resolving`).
"""

import re
from dataclasses import dataclass
from typing import Self, TypeAlias

from orrery.errors import DecodeError
from orrery.wire.endpoint import Endpoint

_HOW_TO_WRITE = "write root.example.org:9993"
_LONGEST_NAME = 253
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LETTER = re.compile(r"[^\W\d_]")
_SHOWN = 80


@dataclass(frozen=True, slots=True, order=True)
class NamedEndpoint:
    """A name of the DNS and a port.

    Attributes:
        name: Of RFC 1123: lower case, with at least one dot, none at the end.
        port: 1 to 65535.
    """

    name: str
    port: int

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what a person wrote: `root.example.org:9993`; a `/` before the port is fine too.

        Raises:
            DecodeError: It has no port, or is no name that everybody understands alike.
        """
        written = text.strip()
        name, port = _split(written)
        if port is None:
            raise DecodeError(f"{_quoted(written)} has no port: {_HOW_TO_WRITE}")
        if not _PORT.fullmatch(port) or int(port) > 0xFFFF:
            raise DecodeError(
                f"{_quoted(port)} in {_quoted(written)} is not a port: a port is a number from 1 "
                "to 65535"
            )
        return cls(_checked_name(name, written), int(port))

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


WantedEndpoint: TypeAlias = Endpoint | NamedEndpoint
"""Where a root is to be found, as `orrery.toml` says it."""


def read_endpoint(text: str) -> WantedEndpoint:
    """Read an endpoint that a World is to have: an IP address or a name, with a port.

    Raises:
        DecodeError: It is neither; the sentence is about what it is most like.
    """
    if "://" in text:
        raise DecodeError(f"{_quoted(text.strip())} is a URL: {_HOW_TO_WRITE}, without the rest")
    if is_name(text):
        return NamedEndpoint.from_text(text)
    return Endpoint.from_text(text)


def read_listen(text: str) -> Endpoint:
    """Read where a server is to receive: an IP address of its machine, or 0.0.0.0 and :: for all.

    Raises:
        DecodeError: It is no such thing.
    """
    if is_name(text):
        raise DecodeError(
            f"{_quoted(text.strip())} is a name, and a server receives at IP addresses of its own "
            "machine: write 0.0.0.0:9993 for all of them"
        )
    return Endpoint.from_text(text, allow_any=True)


def is_name(text: str) -> bool:
    """Whether a person who wrote this meant a name, right or wrong, and not an IP address."""
    host, _ = _split(text.strip())
    return bool(_LETTER.search(host)) and not any(mark in host for mark in ":[]%")


def _split(written: str) -> tuple[str, str | None]:
    mark = "/" if "/" in written else ":"
    host, found, port = written.rpartition(mark)
    return (host, port) if found else (written, None)


def _checked_name(name: str, written: str) -> str:
    if not name.isascii():
        raise DecodeError(
            f"{_quoted(written)} has letters that the DNS does not know: {_in_ascii(name)}"
        )
    plain = name.lower().removesuffix(".")
    labels = plain.split(".")
    if len(plain) > _LONGEST_NAME:
        raise DecodeError(
            f"a name of {len(plain)} characters is too long: the DNS knows at most {_LONGEST_NAME}"
        )
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise DecodeError(
                f"{_quoted(label)} in {_quoted(written)} is no part of a name: between dots stand "
                "1 to 63 letters, digits and hyphens, with no hyphen at an end"
            )
    if len(labels) == 1:
        raise DecodeError(
            f"{_quoted(written)} is a name without a domain, which is another machine for everybody"
            f" who asks: write its whole name, such as {plain[:20]}.example.org, or its IP address"
        )
    if not _LETTER.match(labels[-1]):
        raise DecodeError(
            f"{_quoted(labels[-1])} in {_quoted(written)} is not the end of a name, which begins "
            f"with a letter: {_HOW_TO_WRITE}, or an IP address"
        )
    return plain


def _in_ascii(name: str) -> str:
    try:
        found = name.encode("idna").decode("ascii")
    except UnicodeError:
        return "write it as your registrar does, with xn--"
    return f"write {found}"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
