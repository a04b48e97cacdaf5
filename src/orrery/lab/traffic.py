"""What the exchanges of a leaf and a root take on the wire, from the codecs themselves."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import PUBLIC_IDENTITY_BYTES, Identity
from orrery.wire.packet import (
    FLAG_FRAGMENTED,
    FLAGS_OFFSET,
    HEADER_BYTES,
    Verb,
    is_fragmented_size,
    split,
)
from orrery.wire.verbs import (
    OK_HELLO_WORLDS_BYTES,
    PROTOCOL_VERSION,
    SOFTWARE_VERSION,
    Hello,
    Ok,
    WorldHeld,
    encode_addresses,
    encode_ok_hello,
)

IP_UDP_BYTES = 28
"""What IPv4 and UDP put in front of each datagram."""
_PLACE = Endpoint(bytes(4), 9993)
_PACKET_ID = bytes(8)


class Cost(NamedTuple):
    """What something takes on the wire, the headers of IPv4 and UDP included."""

    datagrams: int
    size_bytes: int


class Exchange(NamedTuple):
    """A packet to a root and one from it, whichever comes first."""

    into: Cost
    out: Cost


NOTHING = Cost(0, 0)


@lru_cache
def hello_exchange(worlds_bytes: int = 0) -> Exchange:
    """A leaf's HELLO, and its answer with so many bytes of Worlds."""
    return Exchange(_cost(_hello()), _cost(_ok_hello(worlds_bytes)))


@lru_cache
def whois_exchange() -> Exchange:
    """A leaf's question for the identity of a root, and the answer."""
    answer = Ok(Verb.WHOIS, _PACKET_ID, bytes(PUBLIC_IDENTITY_BYTES)).encode()
    return Exchange(_cost(len(encode_addresses([Address(1)]))), _cost(len(answer)))


@lru_cache
def push_exchange(worlds_bytes: int) -> Exchange:
    """Worlds that are pushed; no answer."""
    return Exchange(NOTHING, _cost(_ok_hello(worlds_bytes)))


@lru_cache
def probe_exchange(world_bytes: int) -> Exchange:
    """A root's HELLO, and the answer with the World that the leaf holds."""
    return Exchange(_cost(_ok_hello(world_bytes)), _cost(_hello()))


def fits(worlds_bytes: int) -> int:
    """As many bytes of Worlds as go into one packet."""
    return min(worlds_bytes, OK_HELLO_WORLDS_BYTES)


def _hello() -> int:
    identity = Identity(Address(1), bytes(64), None)
    hello = Hello(PROTOCOL_VERSION, SOFTWARE_VERSION, 0, identity, _PLACE, WorldHeld(1, 1))
    return len(hello.encode(lambda field: field))


def _ok_hello(worlds_bytes: int) -> int:
    body = encode_ok_hello(0, _PLACE, [bytes(fits(worlds_bytes))])
    return len(Ok(Verb.HELLO, _PACKET_ID, body).encode())


def _cost(payload_bytes: int) -> Cost:
    packet = bytearray(HEADER_BYTES + payload_bytes)
    if is_fragmented_size(len(packet)):
        packet[FLAGS_OFFSET] = FLAG_FRAGMENTED
    datagrams = split(bytes(packet))
    return Cost(len(datagrams), sum(map(len, datagrams)) + IP_UDP_BYTES * len(datagrams))
