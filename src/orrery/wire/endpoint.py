"""Endpoints: an IP address with a UDP port.

Layout (ZeroTierOne node/InetAddress.hpp); integers are big-endian:

    offset  size  field
    0       1     4: IPv4, 6: IPv6, 0: nothing follows (nil)
    1       4|16  IP address
    5|17    2     port

Types 1 and 2 (6 more bytes) and 3 (a 2-byte length and so many bytes) are reserved: a node reads
them as nil, without a look whether their body is there.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, Literal, Self

from orrery.errors import DecodeError, UsageError
from orrery.wire.cursor import Reader, ends_early
from orrery.wire.strtoul import strtoul


class Scope(StrEnum):
    """How far an IP address reaches, in a node's eyes (InetAddress::ipScope)."""

    NONE = "none"
    MULTICAST = "multicast"
    LOOPBACK = "loopback"
    PSEUDOPRIVATE = "pseudoprivate"
    GLOBAL = "global"
    LINK_LOCAL = "link_local"
    PRIVATE = "private"


_NODE_TEXT_BYTES = 64
_HOW_TO_WRITE = "write 1.2.3.4/9993 or [2001:db8::1]:9993"
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?:[:/](.*))?", re.DOTALL)
# Whole first bytes which a node takes for private because nobody is seen to use them in public.
_PSEUDOPRIVATE_V4 = frozenset(
    (0x06, 0x0B, 0x15, 0x16, 0x19, 0x1A, 0x1C, 0x1D, 0x1E, 0x33, 0x37, 0x38)
)
_PRIVATE_V4 = tuple(
    (int(IPv4Address(network)), 32 - prefix)
    for network, prefix in (
        ("10.0.0.0", 8),
        ("100.64.0.0", 10),
        ("172.16.0.0", 12),
        ("192.168.0.0", 16),
        ("192.0.2.0", 24),
        ("198.18.0.0", 15),
        ("198.51.100.0", 24),
        ("203.0.113.0", 24),
    )
)


@total_ordering
@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP address and a port, or nil.

    Endpoints are ordered as a node orders them (on x86, where genmoon is run): nil, IPv4, IPv6;
    within a family by port and then by address, where the port and the IPv4 address count as
    little-endian numbers. So 9993 (0x2709) comes before 443 (0x01bb).

    Attributes:
        ip: 4 or 16 bytes, or none for nil.
        port: 0 to 65535.
    """

    ip: bytes
    port: int

    NIL: ClassVar["Endpoint"]

    @classmethod
    def from_text(cls, text: str, *, allow_any: bool = False) -> Self:
        """Read what a person wrote: `1.2.3.4/9993`, `1.2.3.4:9993`, or an IPv6 address with `/`.

        IPv6 stands in brackets before a `:`. Blanks around the text are fine.

        Args:
            text: what was written.
            allow_any: take 0.0.0.0 and :: too, which is where a server may listen, but not where
                one can be found.

        Raises:
            DecodeError: it is a name, has no port, or names no place that a node can reach.
        """
        written = text.strip()
        ip_text, port_text = _split(written)
        ip = _parse_ip(ip_text, written)
        if port_text is None:
            raise DecodeError(
                f"{written!r} has no port, which a node would take for port 0: {_HOW_TO_WRITE}"
            )
        if not _PORT.fullmatch(port_text) or int(port_text) > 0xFFFF:
            raise DecodeError(
                f"{port_text!r} in {written!r} is not a port: a port is a number from 1 to 65535"
            )
        endpoint = cls(ip, int(port_text))
        if endpoint.scope in (Scope.NONE, Scope.MULTICAST) and not (allow_any and not any(ip)):
            raise DecodeError(
                f"{written!r} is no place where a root can be found ({ip_text} belongs to no "
                "machine): write the address under which nodes reach it"
            )
        return endpoint

    @classmethod
    def parse_as_node(cls, text: str) -> Self:
        """Read text exactly as loosely as a node and genmoon do (InetAddress::fromString).

        A text with a colon is IPv6, else with a dot IPv4; one that does not parse is the zero
        address; the port is whatever number follows a slash, modulo 65536. Empty text is nil.

        Raises:
            DecodeError: neither colon nor dot, or 64 bytes and more. genmoon writes nil then.
        """
        raw = text.encode("utf-8", "replace").partition(b"\0")[0]
        if not raw:
            return cls(b"", 0)
        if len(raw) >= _NODE_TEXT_BYTES:
            raise DecodeError(
                f"an endpoint of {len(raw)} characters: a node reads at most {_NODE_TEXT_BYTES - 1}"
            )
        ip_text, _, port_text = raw.partition(b"/")
        port = strtoul(port_text, 10) & 0xFFFF
        if b":" in ip_text:
            return cls(_ipv6_bytes(ip_text.decode("ascii", "replace")) or bytes(16), port)
        if b"." in ip_text:
            return cls(_ipv4_bytes(ip_text.decode("ascii", "replace")) or bytes(4), port)
        raise DecodeError(f"{text!r} is not an endpoint: {_HOW_TO_WRITE}")

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the binary form as a node does; reserved types become nil.

        Raises:
            DecodeError: an unknown type, or the data end early.
        """
        data, offset = reader.data, reader.offset
        if offset >= len(data):
            raise ends_early(data, offset, 1)
        kind = data[offset]
        if kind == 4:
            end = offset + 7
        elif kind == 6:
            end = offset + 19
        else:
            reader.offset = offset + 1
            if kind in (1, 2):
                reader.skip(6)
            elif kind == 3:
                reader.skip(reader.u16())
            elif kind != 0:
                reader.offset = offset
                raise DecodeError(
                    f"endpoint of unknown type {kind} at offset {offset}: types 0 to 4 and 6 exist"
                )
            return cls(b"", 0)
        if end > len(data):
            raise ends_early(data, offset, end - offset)
        reader.offset = end
        return cls(data[offset + 1 : end - 2], data[end - 2] << 8 | data[end - 1])

    def encode(self) -> bytes:
        """The binary form: 1, 7 or 19 bytes.

        Raises:
            UsageError: made of an impossible address or port.
        """
        size = len(self.ip)
        if not size:
            return b"\x00"
        if size not in (4, 16) or not 0 <= self.port <= 0xFFFF:
            raise UsageError(
                f"an endpoint is made of 4 or 16 bytes and a port from 0 to 65535, "
                f"not of {size} bytes and port {self.port}"
            )
        return (b"\x04" if size == 4 else b"\x06") + self.ip + self.port.to_bytes(2)

    @property
    def family(self) -> Literal[0, 4, 6]:
        """4, 6, or 0 for nil."""
        size = len(self.ip)
        return 4 if size == 4 else 6 if size else 0

    @property
    def host(self) -> str:
        """The IP address alone, empty for nil."""
        family = self.family
        return _format_ipv6(self.ip) if family == 6 else ".".join(map(str, self.ip))

    @property
    def scope(self) -> Scope:
        """How far the address reaches, in a node's eyes."""
        family = self.family
        if family == 4:
            return _scope_v4(int.from_bytes(self.ip))
        return _scope_v6(self.ip) if family == 6 else Scope.NONE

    def __str__(self) -> str:
        return f"{self.host}/{self.port}" if self.ip else ""

    def __lt__(self, other: "Endpoint") -> bool:
        return self._sort_key() < other._sort_key()

    def _sort_key(self) -> tuple[int, int, bytes]:
        size = len(self.ip)
        if not size:
            return (0, 0, b"")
        port = (self.port & 0xFF) << 8 | self.port >> 8
        return (size, port, self.ip[::-1] if size == 4 else self.ip)


Endpoint.NIL = Endpoint(b"", 0)


def _split(written: str) -> tuple[str, str | None]:
    """The address and the port of a text, the port None where there is none."""
    bracketed = _BRACKETED.fullmatch(written)
    if bracketed:
        if _ipv6_bytes(bracketed[1]) is None:
            raise DecodeError(
                f"{bracketed[1]!r} in {written!r} is not an IPv6 address: {_HOW_TO_WRITE}"
            )
        return bracketed[1], bracketed[2]
    if "/" in written:
        ip_text, _, port_text = written.partition("/")
        return ip_text, port_text
    if written.count(":") == 1:
        ip_text, _, port_text = written.partition(":")
        return ip_text, port_text
    return written, None


def _parse_ip(ip_text: str, written: str) -> bytes:
    ip = _ipv4_bytes(ip_text) or _ipv6_bytes(ip_text)
    if ip is not None:
        return ip
    if not ip_text:
        raise DecodeError(f"{written!r} has no IP address: {_HOW_TO_WRITE}")
    if "%" in ip_text:
        raise DecodeError(
            f"{written!r} names an interface of this machine, which means nothing to a node: "
            "leave out the part from % on"
        )
    if ":" not in ip_text and re.search(r"[^\W\d_]", ip_text):
        raise DecodeError(
            f"{written!r} is a name, and Worlds know no names (a node would read 0.0.0.0): "
            "write the IP address that it stands for"
        )
    raise DecodeError(f"{ip_text!r} in {written!r} is not an IP address: {_HOW_TO_WRITE}")


def _ipv4_bytes(text: str) -> bytes | None:
    try:
        return IPv4Address(text).packed
    except ValueError:
        return None


def _ipv6_bytes(text: str) -> bytes | None:
    if "%" in text:
        return None
    try:
        return IPv6Address(text).packed
    except ValueError:
        return None


def _format_ipv6(ip: bytes) -> str:
    """As the C library's inet_ntop writes it, which a node uses."""
    address = IPv6Address(ip)
    words = [int.from_bytes(ip[i : i + 2]) for i in range(0, 16, 2)]
    if words[:5] == [0] * 5 and (words[5] == 0xFFFF or (words[5] == 0 and words[6] != 0)):
        return ("::ffff:" if words[5] else "::") + ".".join(map(str, ip[12:]))
    # Python 3.13 writes mapped addresses with dots; those are dealt with above.
    return str(address)


def _scope_v4(ip: int) -> Scope:
    first = ip >> 24
    if first in (0x00, 0xFF):
        return Scope.NONE
    if first in _PSEUDOPRIVATE_V4:
        return Scope.PSEUDOPRIVATE
    if first == 0x7F:
        return Scope.LOOPBACK
    if ip >> 16 == 0xA9FE:
        return Scope.LINK_LOCAL
    if any(ip >> bits == network >> bits for network, bits in _PRIVATE_V4):
        return Scope.PRIVATE
    if first >> 4 == 0xE:
        return Scope.MULTICAST
    return Scope.PSEUDOPRIVATE if first >> 4 == 0xF else Scope.GLOBAL


def _scope_v6(ip: bytes) -> Scope:
    if ip[0] == 0xFF:
        return Scope.MULTICAST
    if ip[0] == 0xFE and ip[1] & 0xC0 == 0x80:
        # The node asks for zeros from the third byte on: fe80::1, and fe90::1 too.
        return Scope.LOOPBACK if ip[2:] == bytes(13) + b"\x01" else Scope.LINK_LOCAL
    if ip[0] & 0xFE == 0xFC:
        return Scope.PRIVATE
    # The node looks at nine zero bytes and skips the tenth.
    if ip[:9] == bytes(9) and ip[10:13] == b"\xff\xff\x7f":
        return Scope.LOOPBACK
    if ip[:15] == bytes(15) and ip[15] < 2:
        return Scope.LOOPBACK if ip[15] else Scope.NONE
    return Scope.GLOBAL
