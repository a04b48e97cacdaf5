"""The payloads of the verbs that a root or a leaf understands.

Each class states its layout; a decoder takes the payload (what follows the verb byte) and raises
DecodeError where the official node would drop the packet. Integers are big-endian. Bytes after
the last field are left alone, as the node does.

Source: ZeroTierOne node/Packet.hpp and node/IncomingPacket.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from orrery.errors import DecodeError
from orrery.wire.address import Address
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import PUBLIC_IDENTITY_BYTES, Identity
from orrery.wire.packet import HEADER_BYTES, MAX_FRAGMENTED_BYTES
from orrery.wire.world import World, WorldType

PROTOCOL_VERSION = 12
"""What Orrery speaks: that of ZeroTier One 1.14."""
MINIMUM_PROTOCOL_VERSION = 4
"""Nodes below are not answered."""

_HELLO_HEAD = Struct(">BBBHQ")
_PLANET = Struct(">QQ")
_MOON = Struct(">BQQ")
_OK_HEAD = Struct(">B8s")
_OK_HELLO_HEAD = Struct(">QBBBH")
_LARGEST_ENDPOINT_BYTES = 19


class Version(NamedTuple):
    """A software version as HELLO reports it."""

    major: int
    minor: int
    revision: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.revision}"


SOFTWARE_VERSION = Version(1, 14, 1)
"""What Orrery reports: the release whose behaviour it follows, as nodes act on this number."""


class WorldHeld(NamedTuple):
    """One World that a node says it holds; timestamp 0: it waits for this moon."""

    id: int
    timestamp_ms: int


class Hello(NamedTuple):
    """HELLO: who a node is and which Worlds it holds.

        offset  size  field
        0       1     protocol version
        1       1     major version
        2       1     minor version
        3       2     revision
        5       8     timestamp, the sender's clock in ms
        13      71    identity, public binary form
        84      1-19  physical destination, an endpoint
        ...     8     planet id
        ...     8     planet timestamp
        encrypted from here on:
        ...     2     number of moons
        ...     17    for each: type 127, id, timestamp

    Old senders stop after the identity, the endpoint or the planet.
    """

    protocol: int
    version: Version
    timestamp_ms: int
    identity: Identity
    physical_destination: Endpoint
    planet: WorldHeld
    moons: tuple[WorldHeld, ...] = ()

    @classmethod
    def decode(
        cls, payload: bytes, crypt: Callable[[bytes], bytes], known: Identity | None = None
    ) -> Hello:
        """Read a HELLO.

        Args:
            payload: of the packet after its MAC was checked.
            crypt: decrypts the tail (`SharedKeys.crypt_field` with the packet's id).
            known: an identity that is reused when the payload holds the same one.

        Raises:
            DecodeError: the data end early.
        """
        if len(payload) < _HELLO_HEAD.size:
            raise DecodeError("a HELLO ends before its identity")
        protocol, major, minor, revision, timestamp_ms = _HELLO_HEAD.unpack_from(payload)
        offset = _HELLO_HEAD.size
        end = offset + PUBLIC_IDENTITY_BYTES
        if known is not None and payload[offset:end] == known.to_bytes():
            identity, offset = known, end
        else:
            reader = Reader(payload, offset)
            identity = Identity.read(reader).public()
            offset = reader.offset
        physical = Endpoint.NIL
        size = len(payload)
        if offset < size:
            reader = Reader(payload, offset)
            physical = Endpoint.read(reader)
            offset = reader.offset
        planet = WorldHeld(0, 0)
        if offset + _PLANET.size <= size:
            planet = WorldHeld(*_PLANET.unpack_from(payload, offset))
            offset += _PLANET.size
        moons: tuple[WorldHeld, ...] = ()
        if offset < size:
            moons = _decode_moons(crypt(payload[offset:]))
        return cls(
            protocol,
            Version(major, minor, revision),
            timestamp_ms,
            identity,
            physical,
            planet,
            moons,
        )

    def encode(self, crypt: Callable[[bytes], bytes]) -> bytes:
        """The payload, its tail encrypted by `crypt`."""
        moons = b"".join(_MOON.pack(WorldType.MOON, *held) for held in self.moons)
        return b"".join(
            (
                _HELLO_HEAD.pack(self.protocol, *self.version, self.timestamp_ms),
                self.identity.to_bytes(),
                self.physical_destination.encode(),
                _PLANET.pack(*self.planet),
                crypt(len(self.moons).to_bytes(2, "big") + moons),
            )
        )

    @staticmethod
    def identity_of(payload: bytes) -> Identity:
        """Only the identity, before there is a key to check anything with.

        Raises:
            DecodeError: the data end early, or it is not a public identity.
        """
        return Identity.read(Reader(payload, _HELLO_HEAD.size)).public()


def _decode_moons(field: bytes) -> tuple[WorldHeld, ...]:
    if len(field) < 2:
        return ()
    count = int.from_bytes(field[:2], "big")
    if not count:
        return ()
    if 2 + count * _MOON.size > len(field):
        raise DecodeError(f"a HELLO announces {count} moons and ends before the last")
    moons: dict[int, WorldHeld] = {}
    for world_type, world_id, timestamp_ms in _MOON.iter_unpack(field[2 : 2 + count * _MOON.size]):
        if world_type == WorldType.MOON:
            moons.setdefault(world_id, WorldHeld(world_id, timestamp_ms))
    return tuple(moons.values())


class Ok(NamedTuple):
    """OK: the answer to a request.

    offset  size  field
    0       1     verb that is answered
    1       8     id of the packet that is answered
    9       ...   by verb
    """

    verb: int
    packet_id: bytes
    body: bytes

    @classmethod
    def decode(cls, payload: bytes) -> Ok:
        """Read an OK.

        Raises:
            DecodeError: the data end early.
        """
        if len(payload) < _OK_HEAD.size:
            raise DecodeError("an OK ends before the id of the packet that it answers")
        verb, packet_id = _OK_HEAD.unpack_from(payload)
        return cls(verb, packet_id, payload[_OK_HEAD.size :])

    def encode(self) -> bytes:
        """The payload."""
        return _OK_HEAD.pack(self.verb, self.packet_id) + self.body


OK_HELLO_WORLDS_BYTES = MAX_FRAGMENTED_BYTES - (
    HEADER_BYTES + _OK_HEAD.size + _OK_HELLO_HEAD.size + _LARGEST_ENDPOINT_BYTES + 2
)
"""Room for Worlds in an OK(HELLO) that travels in seven datagrams."""


@dataclass(frozen=True, slots=True)
class OkHello:
    """The body of OK(HELLO), which is how Worlds travel.

        offset  size  field
        0       8     timestamp of the HELLO
        8       1     protocol version
        9       1     major version
        10      1     minor version
        11      2     revision
        13      1-19  physical source of the HELLO, an endpoint
        ...     2     length of the Worlds
        ...     ...   Worlds, one after the other

    Attributes:
        worlds: those that could be read, in their order.
        broken: one after them could not, where a node stops.
    """

    timestamp_ms: int
    protocol: int
    version: Version
    physical_source: Endpoint
    worlds: tuple[World, ...] = ()
    broken: bool = False

    @classmethod
    def decode(cls, body: bytes) -> OkHello:
        """Read what follows the packet id.

        Raises:
            DecodeError: the data end before the Worlds.
        """
        if len(body) < _OK_HELLO_HEAD.size:
            raise DecodeError("an OK(HELLO) ends before its version")
        timestamp_ms, protocol, major, minor, revision = _OK_HELLO_HEAD.unpack_from(body)
        reader = Reader(body, _OK_HELLO_HEAD.size)
        physical = Endpoint.read(reader) if reader.remaining else Endpoint.NIL
        worlds: list[World] = []
        broken = False
        if reader.remaining >= 2:
            # The length only tells where a node stops to look for one more World: one that begins
            # before that may end behind it.
            end = reader.u16() + reader.offset
            try:
                while reader.offset < end:
                    worlds.append(World.read(reader))
            except DecodeError:
                broken = True
        return cls(
            timestamp_ms,
            protocol,
            Version(major, minor, revision),
            physical,
            tuple(worlds),
            broken,
        )

    def encode(self) -> bytes:
        """The body."""
        return encode_ok_hello(
            self.timestamp_ms,
            self.physical_source,
            [world.encode() for world in self.worlds],
            self.protocol,
            self.version,
        )


def encode_ok_hello(
    timestamp_ms: int,
    physical_source: Endpoint,
    worlds: Iterable[bytes],
    protocol: int = PROTOCOL_VERSION,
    version: Version = SOFTWARE_VERSION,
) -> bytes:
    """The body of an OK(HELLO) with Worlds that are encoded already.

    Raises:
        ValueError: the Worlds take more than `OK_HELLO_WORLDS_BYTES`.
    """
    joined = b"".join(worlds)
    if len(joined) > OK_HELLO_WORLDS_BYTES:
        raise ValueError(f"{len(joined)} bytes of Worlds do not fit a packet")
    return b"".join(
        (
            _OK_HELLO_HEAD.pack(timestamp_ms, protocol, *version),
            physical_source.encode(),
            len(joined).to_bytes(2, "big"),
            joined,
        )
    )


@dataclass(frozen=True, slots=True)
class Error:
    """ERROR: why a request failed.

    offset  size  field
    0       1     verb of the request
    1       8     its packet id
    9       1     code, an `ErrorCode`
    10      ...   by code
    """

    verb: int
    packet_id: bytes
    code: int
    data: bytes = b""

    @classmethod
    def decode(cls, payload: bytes) -> Error:
        """Read an ERROR.

        Raises:
            DecodeError: the data end early.
        """
        if len(payload) < 10:
            raise DecodeError("an ERROR ends before its code")
        return cls(payload[0], payload[1:9], payload[9], payload[10:])

    def encode(self) -> bytes:
        """The payload."""
        return bytes((self.verb,)) + self.packet_id + bytes((self.code,)) + self.data


def decode_addresses(payload: bytes) -> tuple[Address, ...]:
    """The addresses of a WHOIS, 5 bytes each; a cut one at the end is left out."""
    return tuple(
        Address(int.from_bytes(payload[i : i + 5], "big")) for i in range(0, len(payload) - 4, 5)
    )


def encode_addresses(addresses: Iterable[Address]) -> bytes:
    """The payload of a WHOIS."""
    return b"".join(address.to_bytes(5, "big") for address in addresses)


def decode_identities(body: bytes) -> tuple[Identity, ...]:
    """The public identities of an OK(WHOIS).

    Raises:
        DecodeError: one of them is broken.
    """
    reader = Reader(body)
    found = []
    while reader.remaining:
        found.append(Identity.read(reader).public())
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """RENDEZVOUS: a root introduces two nodes to each other.

    offset  size  field
    0       1     flags, unused
    1       5     address of the other node
    6       2     port
    8       1     length of the IP address: 4 or 16
    9       ...   IP address
    """

    address: Address
    endpoint: Endpoint

    @classmethod
    def decode(cls, payload: bytes) -> Rendezvous:
        """Read a RENDEZVOUS.

        Raises:
            DecodeError: the data end early, or the IP address has an odd length or port 0.
        """
        reader = Reader(payload)
        reader.u8()
        address = Address(reader.u40())
        port = reader.u16()
        length = reader.u8()
        if length not in {4, 16} or not port:
            raise DecodeError("a RENDEZVOUS names no usable IP address and port")
        return cls(address, Endpoint(reader.take(length), port))

    def encode(self) -> bytes:
        """The payload."""
        ip, port = self.endpoint.ip, self.endpoint.port
        return b"".join(
            (
                b"\0",
                self.address.to_bytes(5, "big"),
                port.to_bytes(2, "big"),
                bytes((len(ip),)),
                ip,
            )
        )


class MulticastGroup(NamedTuple):
    """What nodes of a network subscribe to: network id, MAC address (6 bytes), ADI."""

    network_id: int
    mac: bytes
    adi: int


_GROUP = Struct(">Q6sI")


def decode_multicast_like(payload: bytes) -> tuple[tuple[MulticastGroup, ...], bool]:
    """The groups of a MULTICAST_LIKE: network 8, MAC 6, ADI 4, repeated.

    Returns:
        The whole groups, and whether the payload ended in the middle of one. The node drops such
        a packet after it took the groups before.
    """
    whole = len(payload) - len(payload) % _GROUP.size
    groups = tuple(MulticastGroup(*fields) for fields in _GROUP.iter_unpack(payload[:whole]))
    return groups, whole != len(payload)


def encode_multicast_like(groups: Iterable[MulticastGroup]) -> bytes:
    """The payload of a MULTICAST_LIKE."""
    return b"".join(_GROUP.pack(*group) for group in groups)


@dataclass(frozen=True, slots=True)
class MulticastGather:
    """MULTICAST_GATHER: who else subscribes to a group?

    offset  size  field
    0       8     network id
    8       1     flags
    9       6     MAC address
    15      4     ADI
    19      4     how many addresses at most
    """

    group: MulticastGroup
    limit: int
    flags: int = 0

    @classmethod
    def decode(cls, payload: bytes) -> MulticastGather:
        """Read a MULTICAST_GATHER.

        Raises:
            DecodeError: the data end early.
        """
        reader = Reader(payload)
        network_id, flags = reader.u64(), reader.u8()
        return cls(MulticastGroup(network_id, reader.take(6), reader.u32()), reader.u32(), flags)

    def encode(self) -> bytes:
        """The payload."""
        network_id, mac, adi = self.group
        return b"".join(
            (
                network_id.to_bytes(8, "big"),
                bytes((self.flags,)),
                mac,
                adi.to_bytes(4, "big"),
                self.limit.to_bytes(4, "big"),
            )
        )


@dataclass(frozen=True, slots=True)
class OkMulticastGather:
    """The body of OK(MULTICAST_GATHER).

    offset  size  field
    0       8     network id
    8       6     MAC address
    14      4     ADI
    18      4     how many members are known
    22      2     how many follow
    24      5     for each: its address
    """

    group: MulticastGroup
    total: int
    members: tuple[Address, ...]

    @classmethod
    def decode(cls, body: bytes) -> OkMulticastGather:
        """Read what follows the packet id.

        Raises:
            DecodeError: the data end early.
        """
        reader = Reader(body)
        group = MulticastGroup(reader.u64(), reader.take(6), reader.u32())
        total, count = reader.u32(), reader.u16()
        return cls(group, total, decode_addresses(reader.take(5 * count)))

    def encode(self) -> bytes:
        """The body."""
        return b"".join(
            (
                _GROUP.pack(*self.group),
                self.total.to_bytes(4, "big"),
                len(self.members).to_bytes(2, "big"),
                encode_addresses(self.members),
            )
        )


@dataclass(frozen=True, slots=True)
class PushDirectPaths:
    """PUSH_DIRECT_PATHS: where else a node can be reached.

    offset  size  field
    0       2     number of paths
    for each:
    0       1     flags
    1       2     length of the extension, which follows and is skipped
    ...     1     type: 4 or 6
    ...     1     length of what follows: 6 or 18
    ...     4/16  IP address
    ...     2     port
    """

    endpoints: tuple[Endpoint, ...]

    @classmethod
    def decode(cls, payload: bytes) -> PushDirectPaths:
        """Read a PUSH_DIRECT_PATHS; paths of unknown types are left out.

        Raises:
            DecodeError: the data end early.
        """
        reader = Reader(payload)
        endpoints = []
        for _ in range(reader.u16()):
            reader.u8()
            reader.take(reader.u16())
            family = reader.u8()
            body = reader.take(reader.u8())
            if (family, len(body)) in {(4, 6), (6, 18)}:
                endpoints.append(Endpoint(body[:-2], int.from_bytes(body[-2:], "big")))
        return cls(tuple(endpoints))

    def encode(self) -> bytes:
        """The payload."""
        paths = [
            b"\0\0\0"
            + bytes((endpoint.family, len(endpoint.ip) + 2))
            + endpoint.ip
            + endpoint.port.to_bytes(2, "big")
            for endpoint in self.endpoints
        ]
        return len(paths).to_bytes(2, "big") + b"".join(paths)


@dataclass(frozen=True, slots=True)
class UserMessage:
    """USER_MESSAGE: type (8), data; for programs beside a node."""

    type_id: int
    data: bytes

    @classmethod
    def decode(cls, payload: bytes) -> UserMessage:
        """Read a USER_MESSAGE.

        Raises:
            DecodeError: the data end early.
        """
        reader = Reader(payload)
        return cls(reader.u64(), reader.take(reader.remaining))

    def encode(self) -> bytes:
        """The payload."""
        return self.type_id.to_bytes(8, "big") + self.data
