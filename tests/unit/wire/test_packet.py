from dataclasses import replace
from random import Random

import pytest

from orrery.errors import DecodeError
from orrery.wire.address import Address
from orrery.wire.cipher import CipherSuite, SharedKeys
from orrery.wire.packet import (
    DATAGRAM_BYTES,
    FLAG_FRAGMENTED,
    FLAGS_OFFSET,
    FRAGMENT_HEADER_BYTES,
    FRAGMENT_INDICATOR,
    HEADER_BYTES,
    MAX_FRAGMENTED_BYTES,
    MAX_FRAGMENTS,
    MAX_PACKET_BYTES,
    Fragment,
    Packet,
    Verb,
    encode_packet,
    header_destination,
    header_source,
    is_fragmented_size,
    split,
    with_hop,
)

HERE, THERE = Address(0x1122334455), Address(0x66778899AA)


def packet(payload: bytes = b"payload", **fields: object) -> Packet:
    made = Packet(bytes(range(8)), HERE, THERE, Verb.ECHO, payload)
    return made._replace(**fields)  # type: ignore[arg-type]


def test_the_header_stands_where_it_belongs() -> None:
    data = packet(hops=5).encode()
    assert data[:8] == bytes(range(8))
    assert data[8:13].hex() == "1122334455"
    assert data[13:18].hex() == "66778899aa"
    assert data[18] == 5
    assert data[19:27] == bytes(8)
    assert data[27] == Verb.ECHO
    assert data[28:] == b"payload"
    assert header_destination(data) == HERE
    assert header_source(data) == THERE
    assert encode_packet(data[:8], HERE, THERE, Verb.ECHO, b"payload", hops=5) == data


@pytest.mark.parametrize("size", [0, HEADER_BYTES - 1, MAX_PACKET_BYTES + 1])
def test_a_packet_of_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(DecodeError, match=f"this has {size}"):
        Packet.decode(bytes(size))


@pytest.mark.parametrize("size", [HEADER_BYTES, MAX_PACKET_BYTES])
def test_the_smallest_and_the_largest_packet_are_read(size: int) -> None:
    assert len(Packet.decode(bytes(size)).payload) == size - HEADER_BYTES


def test_a_verb_without_a_name_is_kept() -> None:
    assert Packet.decode(packet(verb=0x1F).encode()).verb == 0x1F
    assert not Packet.decode(packet(verb=0x1F).encode()).compressed


# -- compression ----------------------------------------------------------------------------


def test_compression_comes_back() -> None:
    small = packet(b"orrery " * 100).compress()
    assert small.compressed
    assert len(small.payload) < 100
    again = Packet.decode(small.encode())
    assert again == small
    assert again.uncompress() == packet(b"orrery " * 100)
    assert again.uncompress().uncompress() == packet(b"orrery " * 100)


@pytest.mark.parametrize(
    "payload", [bytes(64), Random(1).randbytes(500)], ids=["short", "does-not-shrink"]
)
def test_what_gains_nothing_is_not_compressed(payload: bytes) -> None:
    assert packet(payload).compress() == packet(payload)


def test_what_is_compressed_is_not_compressed_again() -> None:
    once = packet(bytes(1000)).compress()
    assert once.compress() is once


def test_a_bomb_does_not_go_off() -> None:
    bomb = packet(bytes(MAX_PACKET_BYTES)).compress()
    assert len(bomb.payload) < 100
    with pytest.raises(DecodeError, match="66778899aa"):
        bomb.uncompress()
    fits = packet(bytes(MAX_PACKET_BYTES - HEADER_BYTES)).compress()
    assert len(fits.uncompress().payload) == MAX_PACKET_BYTES - HEADER_BYTES


@pytest.mark.parametrize("block", [b"\xff", b"\x10", b"\x0fA", b"\x00"])
def test_a_broken_block_is_refused(block: bytes) -> None:
    with pytest.raises(DecodeError, match="66778899aa"):
        packet(block, compressed=True).uncompress()


# -- hops -----------------------------------------------------------------------------------


def test_hops_are_counted_up_to_three() -> None:
    datagram = packet().encode()
    for hops in (1, 2, 3):
        relayed = with_hop(datagram)
        assert relayed is not None
        assert relayed[FLAGS_OFFSET] == hops
        assert relayed[:FLAGS_OFFSET] == datagram[:FLAGS_OFFSET]
        assert relayed[FLAGS_OFFSET + 1 :] == datagram[FLAGS_OFFSET + 1 :]
        datagram = relayed
    assert with_hop(datagram) is None


def test_a_hop_leaves_the_other_flags() -> None:
    datagram = bytearray(packet().encode())
    datagram[FLAGS_OFFSET] = 0xD8
    relayed = with_hop(bytes(datagram))
    assert relayed is not None
    assert relayed[FLAGS_OFFSET] == 0xD9


def test_the_hops_of_a_fragment_stand_elsewhere() -> None:
    fragment = Fragment(bytes(8), HERE, 2, 1, b"data", hops=2)
    relayed = with_hop(fragment.encode())
    assert relayed is not None
    assert Fragment.decode(relayed) == replace(fragment, hops=3)
    assert with_hop(relayed) is None
    assert with_hop(replace(fragment, hops=200).encode()) is None


# -- fragments ------------------------------------------------------------------------------


def armored(size: int, *, flag: bool) -> bytes:
    data = bytearray(packet(Random(size).randbytes(size - HEADER_BYTES)).encode())
    data[FLAGS_OFFSET] |= FLAG_FRAGMENTED * flag
    return SharedKeys(bytes(48)).armor(bytes(data), CipherSuite.POLY1305_SALSA2012)


@pytest.mark.parametrize(
    ("size", "datagrams"),
    [
        (HEADER_BYTES, 1),
        (DATAGRAM_BYTES, 1),
        (DATAGRAM_BYTES + 1, 2),
        (2 * DATAGRAM_BYTES - FRAGMENT_HEADER_BYTES, 2),
        (2 * DATAGRAM_BYTES - FRAGMENT_HEADER_BYTES + 1, 3),
        (MAX_FRAGMENTED_BYTES, MAX_FRAGMENTS),
    ],
)
def test_a_packet_is_split_into_datagrams_that_fit(size: int, datagrams: int) -> None:
    whole = armored(size, flag=is_fragmented_size(size))
    parts = split(whole)
    assert len(parts) == datagrams
    assert all(len(part) <= DATAGRAM_BYTES for part in parts)
    rest = [Fragment.decode(part) for part in parts[1:]]
    assert [(part.total, part.number) for part in rest] == [
        (datagrams, number) for number in range(1, datagrams)
    ]
    assert {part.packet_id for part in rest} <= {whole[:8]}
    assert {part.destination for part in rest} <= {HERE}
    assert parts[0] + b"".join(part.data for part in rest) == whole


def test_a_packet_of_more_than_seven_datagrams_is_not_sent() -> None:
    with pytest.raises(ValueError, match="does not fit 7 datagrams"):
        split(armored(MAX_FRAGMENTED_BYTES + 1, flag=True))


@pytest.mark.parametrize(("size", "flag"), [(DATAGRAM_BYTES, True), (DATAGRAM_BYTES + 1, False)])
def test_the_flag_must_fit_the_size(size: int, flag: bool) -> None:
    with pytest.raises(ValueError, match="fragmented flag"):
        split(armored(size, flag=flag))


@pytest.mark.parametrize(
    ("datagram", "mistake"),
    [
        (bytes(FRAGMENT_HEADER_BYTES), "more than 16 bytes"),
        (bytes(FRAGMENT_HEADER_BYTES + 1), "not marked"),
        (bytes(13) + bytes((FRAGMENT_INDICATOR, 0x11, 0)) + b"x", "fragment 1 of 1"),
        (bytes(13) + bytes((FRAGMENT_INDICATOR, 0x20, 0)) + b"x", "fragment 0 of 2"),
        (bytes(13) + bytes((FRAGMENT_INDICATOR, 0x22, 0)) + b"x", "fragment 2 of 2"),
        (bytes(13) + bytes((FRAGMENT_INDICATOR, 0x81, 0)) + b"x", "fragment 1 of 8"),
    ],
)
def test_a_datagram_that_is_no_fragment_is_refused(datagram: bytes, mistake: str) -> None:
    with pytest.raises(DecodeError, match=mistake):
        Fragment.decode(datagram)
