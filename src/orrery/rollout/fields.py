"""Strict reading of what was written as JSON: each field once, none missing, none unknown."""

import re
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from orrery.errors import DecodeError
from orrery.wire.address import Address, format_address, parse_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import Root

T = TypeVar("T")
_HEX = re.compile("(?:[0-9a-f]{2})*")
_LARGEST_U64 = (1 << 64) - 1


class Fields:
    """The fields of an object, taken out one by one.

    As a context manager it refuses what was not taken.

    Args:
        data: the object.
        where: what it is called in sentences.

    Raises:
        DecodeError: it is no object.
    """

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            raise DecodeError(f"{where} is {_describe(data)} where an object is wanted")
        self._left = dict(data)
        self._where = where

    def take(self, name: str, read: Callable[[object], T]) -> T:
        """A field, as something reads it.

        Raises:
            DecodeError: it is missing, or is not what is wanted.
        """
        if name not in self._left:
            raise DecodeError(f"{self._where} has no {name!r}")
        try:
            return read(self._left.pop(name))
        except DecodeError as error:
            raise DecodeError(f"{name!r} of {self._where}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None and self._left:
            names = ", ".join(map(repr, self._left))
            raise DecodeError(f"{self._where} has what nothing is known of: {names}")


def read_number(data: object) -> int:
    """A number of 64 bits."""
    if type(data) is not int or not 0 <= data <= _LARGEST_U64:
        raise DecodeError(f"{_describe(data)} is not a number from 0 to 2^64 - 1")
    return data


def read_flag(data: object) -> bool:
    """True or false."""
    if not isinstance(data, bool):
        raise DecodeError(f"{_describe(data)} is neither true nor false")
    return data


def read_text(data: object) -> str:
    """A text."""
    if not isinstance(data, str):
        raise DecodeError(f"{_describe(data)} is no text")
    return data


def read_bytes(data: object) -> bytes:
    """Bytes in lower-case hex."""
    text = read_text(data)
    if not _HEX.fullmatch(text):
        raise DecodeError(f"{text[:40]!r} is not bytes in lower-case hex")
    return bytes.fromhex(text)


def read_sized(size_bytes: int) -> Callable[[object], bytes]:
    """Reads so many bytes in lower-case hex."""

    def read(data: object) -> bytes:
        found = read_bytes(data)
        if len(found) != size_bytes:
            raise DecodeError(f"{len(found)} bytes where {size_bytes} are wanted")
        return found

    return read


def read_world_id(data: object) -> int:
    """A World id as 16 lower-case hex digits."""
    return int.from_bytes(read_sized(8)(data))


def read_address(data: object) -> Address:
    """An address as 10 lower-case hex digits."""
    text = read_text(data)
    address = parse_address(text)
    if format_address(address) != text:
        raise DecodeError(f"{text!r} is not 10 lower-case hex digits")
    return address


def read_list(read: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """Reads a list of what something reads."""

    def read_all(data: object) -> tuple[T, ...]:
        if not isinstance(data, list):
            raise DecodeError(f"{_describe(data)} is no list")
        return tuple(map(read, data))

    return read_all


def write_root(root: Root) -> dict[str, object]:
    """A root: `{"identity": "8056c2e21c:0:…", "endpoints": ["192.0.2.1/9993", …]}`."""
    return {
        "identity": root.identity.public().to_string(),
        "endpoints": [str(endpoint) for endpoint in root.endpoints],
    }


def read_root(data: object) -> Root:
    """What `write_root` wrote."""
    with Fields(data, "a root") as fields:
        return Root(
            fields.take("identity", _read_identity), fields.take("endpoints", _read_endpoints)
        )


def _read_identity(data: object) -> Identity:
    text = read_text(data)
    identity = Identity.from_string(text)
    if identity.public().to_string() != text:
        raise DecodeError("an identity is written as address:0:public key, and nothing else here")
    return identity


def _read_endpoint(data: object) -> Endpoint:
    # As loose as a node: what is published may list endpoints that no person would write today.
    text = read_text(data)
    endpoint = Endpoint.parse_as_node(text)
    if str(endpoint) != text or not endpoint.port:
        raise DecodeError(f"{text!r} is not an endpoint as Orrery writes it: 192.0.2.1/9993")
    return endpoint


_read_endpoints = read_list(_read_endpoint)


def _describe(data: object) -> str:
    text = repr(data)
    return text if len(text) <= 40 else f"{text[:40]}…"
