"""What a node writes down of another one, in `peers.d/ADDRESS.peer`.

    offset  size  field
    0       1     version of this form, 2
    1       71    public identity
    72      2     protocol
    74      2     major version of its software
    76      2     minor version
    78      2     revision
    80      2     number of endpoints
    82      …     endpoints, each 1 byte (nil), 7 (IPv4) or 19 (IPv6)

Source: ZeroTierOne node/Peer.hpp. It is written when a node stops, of all that it knows then, and
of each one as it falls silent.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from orrery.errors import DecodeError
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import Version

FORM = 2
MOST_ENDPOINTS = 64
"""Paths that a node keeps of another one (ZT_MAX_PEER_NETWORK_PATHS)."""
MAX_CACHED_PEER_BYTES = 82 + MOST_ENDPOINTS * 19


class CachedPeer(NamedTuple):
    """A node that another one has known.

    Attributes:
        identity: its public identity, which nothing in the file proves.
        protocol: what it spoke, 0 if it never said HELLO.
        version: of its software.
        endpoints: where it was heard; those of unknown types are left out.
    """

    identity: Identity
    protocol: int
    version: Version
    endpoints: tuple[Endpoint, ...]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a file; what is behind the last endpoint is left alone, as by a node.

        Raises:
            DecodeError: another form, too many endpoints, or the data end early.
        """
        return cls.read(Reader(data))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read one of several that follow each other.

        Raises:
            DecodeError: as `decode`.
        """
        at = reader.offset
        form = reader.u8()
        if form != FORM:
            raise DecodeError(f"a peer of form {form} at offset {at}: {FORM} is the one there is")
        identity = Identity.read(reader).public()
        protocol, major, minor, revision = (reader.u16() for _ in range(4))
        count = reader.u16()
        if count > MOST_ENDPOINTS:
            raise DecodeError(
                f"a peer with {count} endpoints at offset {at}: a node keeps {MOST_ENDPOINTS}"
            )
        endpoints = [Endpoint.read(reader) for _ in range(count)]
        if reader.offset > len(reader.data):
            raise DecodeError(f"the peer at offset {at} ends in the middle of an endpoint")
        known = tuple(endpoint for endpoint in endpoints if endpoint.ip)
        return cls(identity, protocol, Version(major, minor, revision), known)

    def encode(self) -> bytes:
        """The bytes of the file."""
        numbers = (self.protocol, *self.version, len(self.endpoints))
        return b"".join(
            (
                bytes((FORM,)),
                self.identity.to_bytes(),
                *(number.to_bytes(2) for number in numbers),
                *(endpoint.encode() for endpoint in self.endpoints),
            )
        )
