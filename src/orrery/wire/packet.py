"""The VL1 packet: header, verbs, compression and fragments.

Layout of a packet (ZeroTierOne node/Packet.hpp); integers are big-endian:

    offset  size  field
    0       8     packet id, also the IV of the cipher
    8       5     destination address
    13      5     source address
    18      1     flags: bit 7 set for cipher 1, bit 6 fragmented, bits 5-3 cipher, bits 2-0 hops
    19      8     MAC
    27      1     bit 7 LZ4-compressed, bits 4-0 verb
    28      ...   payload

Layout of a fragment, which is told apart by the byte that no source address can have:

    offset  size  field
    0       8     packet id
    8       5     destination address
    13      1     0xff
    14      1     total number of fragments (high 4 bits), number of this one (low 4 bits)
    15      1     hops
    16      ...   data
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

import lz4.block

from orrery.errors import DecodeError
from orrery.wire.address import Address, format_address

HEADER_BYTES = 28
"""Everything before the payload; also the smallest packet there is."""
FRAGMENT_HEADER_BYTES = 16
DATAGRAM_BYTES = 1432
"""What a node sends in one datagram at most, before it fragments."""
MAX_FRAGMENTS = 7
MAX_PACKET_BYTES = MAX_FRAGMENTS * DATAGRAM_BYTES
"""The largest packet that a node can hold (ZT_PROTO_MAX_PACKET_LENGTH)."""
MAX_FRAGMENTED_BYTES = DATAGRAM_BYTES + (MAX_FRAGMENTS - 1) * (
    DATAGRAM_BYTES - FRAGMENT_HEADER_BYTES
)
"""The largest packet that seven datagrams carry: a little less than a node can hold."""
MAX_HOPS = 3
"""A relay drops a packet that has passed this many (ZT_RELAY_MAX_HOPS)."""

FLAGS_OFFSET = 18
VERB_OFFSET = 27
FRAGMENT_INDICATOR_OFFSET = 13
FRAGMENT_INDICATOR = 0xFF
FLAG_FRAGMENTED = 0x40
HOPS_MASK = 0x07
VERB_MASK = 0x1F
VERB_COMPRESSED = 0x80
_COMPRESSION_THRESHOLD_BYTES = 64

_HEADER = Struct(">8s5s5sB8sB")


class Verb(IntEnum):
    """What a packet asks or tells (ZeroTierOne node/Packet.hpp, enum Verb)."""

    NOP = 0x00
    HELLO = 0x01
    ERROR = 0x02
    OK = 0x03
    WHOIS = 0x04
    RENDEZVOUS = 0x05
    FRAME = 0x06
    EXT_FRAME = 0x07
    ECHO = 0x08
    MULTICAST_LIKE = 0x09
    NETWORK_CREDENTIALS = 0x0A
    NETWORK_CONFIG_REQUEST = 0x0B
    NETWORK_CONFIG = 0x0C
    MULTICAST_GATHER = 0x0D
    MULTICAST_FRAME = 0x0E
    PUSH_DIRECT_PATHS = 0x10
    ACK = 0x12
    QOS_MEASUREMENT = 0x13
    USER_MESSAGE = 0x14
    REMOTE_TRACE = 0x15
    PATH_NEGOTIATION_REQUEST = 0x16


class ErrorCode(IntEnum):
    """Why a request failed (ZeroTierOne node/Packet.hpp, enum ErrorCode)."""

    NONE = 0x00
    INVALID_REQUEST = 0x01
    BAD_PROTOCOL_VERSION = 0x02
    OBJECT_NOT_FOUND = 0x03
    IDENTITY_COLLISION = 0x04
    UNSUPPORTED_OPERATION = 0x05
    NEED_MEMBERSHIP_CERTIFICATE = 0x06
    NETWORK_ACCESS_DENIED = 0x07
    UNWANTED_MULTICAST = 0x08
    NETWORK_AUTHENTICATION_REQUIRED = 0x09


def header_destination(datagram: bytes) -> Address:
    """The destination that a packet or fragment names."""
    return Address(int.from_bytes(datagram[8:13], "big"))


def header_source(datagram: bytes) -> Address:
    """The source that a packet names; a fragment has none."""
    return Address(int.from_bytes(datagram[13:18], "big"))


class Packet(NamedTuple):
    """One packet in the clear, before it is armored or after it was dearmored.

    Attributes:
        id: 8 bytes; AES-GMAC-SIV replaces it on the wire, replies quote the replacement.
        destination: address of the node it is for.
        source: address of the node it is from.
        verb: a `Verb`, or a number of 5 bits that this version has no name for.
        payload: what follows the verb byte.
        hops: relays passed so far, 0 to 7.
        compressed: the payload is one LZ4 block.
    """

    id: bytes
    destination: Address
    source: Address
    verb: int
    payload: bytes
    hops: int = 0
    compressed: bool = False

    @classmethod
    def decode(cls, data: bytes) -> Packet:
        """Read a packet in the clear; cipher bits and MAC are not looked at.

        Raises:
            DecodeError: it is shorter than a header or longer than a node can hold.
        """
        if not HEADER_BYTES <= len(data) <= MAX_PACKET_BYTES:
            raise DecodeError(
                f"a packet has {HEADER_BYTES} to {MAX_PACKET_BYTES} bytes, and this has {len(data)}"
            )
        packet_id, destination, source, flags, _, verb = _HEADER.unpack_from(data)
        return cls(
            packet_id,
            Address(int.from_bytes(destination)),
            Address(int.from_bytes(source)),
            verb & VERB_MASK,
            data[HEADER_BYTES:],
            flags & HOPS_MASK,
            verb >= VERB_COMPRESSED,
        )

    def encode(self) -> bytes:
        """The packet in the clear with cipher bits and MAC zero, as `armor` takes it."""
        verb = self.verb | (VERB_COMPRESSED if self.compressed else 0)
        return encode_packet(
            self.id, self.destination, self.source, verb, self.payload, hops=self.hops
        )

    def compress(self) -> Packet:
        """The same packet with its payload compressed, where the official node would."""
        if self.compressed or len(self.payload) <= _COMPRESSION_THRESHOLD_BYTES:
            return self
        block = lz4.block.compress(self.payload, mode="fast", acceleration=1, store_size=False)
        if len(block) >= len(self.payload):
            return self
        return self._replace(payload=block, compressed=True)

    def uncompress(self) -> Packet:
        """The same packet with its payload in the clear.

        Raises:
            DecodeError: the LZ4 block is broken or expands beyond what a packet holds.
        """
        if not self.compressed:
            return self
        if not self.payload:
            return self._replace(payload=b"", compressed=False)
        try:
            payload = lz4.block.decompress(
                self.payload, uncompressed_size=MAX_PACKET_BYTES - HEADER_BYTES
            )
        except lz4.block.LZ4BlockError as error:
            raise DecodeError(
                f"the payload of a packet from {format_address(self.source)} is not an LZ4 block"
            ) from error
        if not payload:
            raise DecodeError(
                f"the payload of a packet from {format_address(self.source)} expands to nothing"
            )
        return self._replace(payload=payload, compressed=False)


def encode_packet(
    packet_id: bytes,
    destination: Address,
    source: Address,
    verb: int,
    payload: bytes,
    *,
    hops: int = 0,
) -> bytes:
    """`Packet(...).encode()` without the object; `verb` is the whole verb byte."""
    return (
        _HEADER.pack(
            packet_id,
            destination.to_bytes(5, "big"),
            source.to_bytes(5, "big"),
            hops,
            bytes(8),
            verb,
        )
        + payload
    )


def with_hop(datagram: bytes) -> bytes | None:
    """A packet or fragment with one hop more, or None when it has passed `MAX_HOPS`."""
    if datagram[FRAGMENT_INDICATOR_OFFSET] == FRAGMENT_INDICATOR:
        hops, offset = datagram[15], 15
    else:
        hops, offset = datagram[FLAGS_OFFSET] & HOPS_MASK, FLAGS_OFFSET
    if hops >= MAX_HOPS:
        return None
    relayed = bytearray(datagram)
    relayed[offset] += 1
    return bytes(relayed)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A later datagram of a packet that did not fit one; the first is the packet's own head."""

    packet_id: bytes
    destination: Address
    total: int
    number: int
    data: bytes
    hops: int = 0

    @classmethod
    def decode(cls, datagram: bytes) -> Fragment:
        """Read a fragment.

        Raises:
            DecodeError: it is too short, is not marked as one, or its numbers make no sense.
        """
        if len(datagram) <= FRAGMENT_HEADER_BYTES:
            raise DecodeError(
                f"a fragment has more than {FRAGMENT_HEADER_BYTES} bytes, and this one "
                f"{len(datagram)}"
            )
        if datagram[FRAGMENT_INDICATOR_OFFSET] != FRAGMENT_INDICATOR:
            raise DecodeError("this datagram is not marked as a fragment")
        total, number = datagram[14] >> 4, datagram[14] & 0x0F
        if not 2 <= total <= MAX_FRAGMENTS or not 1 <= number < total:
            raise DecodeError(
                f"fragment {number} of {total}: packets have 2 to {MAX_FRAGMENTS} fragments, "
                "numbered from 1"
            )
        return cls(
            packet_id=bytes(datagram[:8]),
            destination=header_destination(datagram),
            total=total,
            number=number,
            data=bytes(datagram[FRAGMENT_HEADER_BYTES:]),
            hops=datagram[15],
        )

    def encode(self) -> bytes:
        """The datagram to send."""
        return (
            self.packet_id
            + self.destination.to_bytes(5, "big")
            + bytes((FRAGMENT_INDICATOR, self.total << 4 | self.number, self.hops))
            + self.data
        )


def is_fragmented_size(size_bytes: int) -> bool:
    """Whether a packet of this size must be sent in more than one datagram."""
    return size_bytes > DATAGRAM_BYTES


def split(armored: bytes) -> list[bytes]:
    """The datagrams that carry an armored packet.

    A packet of more than one datagram must have `FLAG_FRAGMENTED` set before it is armored, as
    the MAC covers that bit.

    Raises:
        ValueError: the packet is larger than a node can hold, or its flag does not fit its size.
    """
    fragmented = bool(armored[FLAGS_OFFSET] & FLAG_FRAGMENTED)
    if fragmented != is_fragmented_size(len(armored)):
        raise ValueError("the fragmented flag must be set before a large packet is armored")
    if not fragmented:
        return [armored]
    step = DATAGRAM_BYTES - FRAGMENT_HEADER_BYTES
    rest = [armored[i : i + step] for i in range(DATAGRAM_BYTES, len(armored), step)]
    total = len(rest) + 1
    if total > MAX_FRAGMENTS:
        raise ValueError(f"a packet of {len(armored)} bytes does not fit {MAX_FRAGMENTS} datagrams")
    head = [armored[:DATAGRAM_BYTES]]
    destination = header_destination(armored)
    return head + [
        Fragment(armored[:8], destination, total, number, data).encode()
        for number, data in enumerate(rest, start=1)
    ]
