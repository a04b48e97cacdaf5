from random import Random

from orrery.vl1.fragments import MAX_AGE_MS, MAX_PACKETS, Reassembler
from orrery.wire.address import Address
from orrery.wire.packet import FLAG_FRAGMENTED, FLAGS_OFFSET, Fragment, split

HERE = Address(0x1122334455)


def parts(size: int, packet_id: bytes = b"packetid") -> tuple[bytes, list[bytes], list[Fragment]]:
    """A packet, its datagrams, and all but the first of these read."""
    packet = bytearray(packet_id + HERE.to_bytes(5) + bytes(size - 13))
    packet[28:] = Random(size).randbytes(size - 28)
    packet[FLAGS_OFFSET] |= FLAG_FRAGMENTED
    datagrams = split(bytes(packet))
    return bytes(packet), datagrams, [Fragment.decode(datagram) for datagram in datagrams[1:]]


def test_the_head_may_come_first_or_last() -> None:
    packet, datagrams, (one, two) = parts(4_000)
    first = Reassembler()
    assert first.add_head(datagrams[0], 0) is None
    assert first.add(one, 0) is None
    assert first.add(two, 0) == packet
    last = Reassembler()
    assert last.add(two, 0) is None
    assert last.add(one, 0) is None
    assert last.add_head(datagrams[0], 0) == packet
    assert len(first) == len(last) == 0


def test_a_duplicate_is_no_other_part() -> None:
    packet, datagrams, (one, two) = parts(4_000)
    joining = Reassembler()
    for _ in range(3):
        assert joining.add_head(datagrams[0], 0) is None
        assert joining.add(one, 0) is None
    assert joining.add(two, 0) == packet


def test_the_first_of_two_that_claim_one_place_counts() -> None:
    packet, datagrams, (one, two) = parts(4_000)
    joining = Reassembler()
    joining.add(one, 0)
    joining.add(Fragment(one.packet_id, HERE, one.total, one.number, b"other"), 0)
    joining.add_head(datagrams[0], 0)
    joining.add_head(b"packetid" + bytes(100), 0)
    assert joining.add(two, 0) == packet


def test_a_fragment_with_another_total_is_not_taken() -> None:
    packet, datagrams, (one, two) = parts(4_000)
    joining = Reassembler()
    joining.add(one, 0)
    assert joining.add(Fragment(one.packet_id, HERE, 2, 1, b"other"), 0) is None
    assert joining.add_head(datagrams[0], 0) is None
    assert joining.add(two, 0) == packet


def test_packets_are_told_apart_by_their_ids() -> None:
    packet, datagrams, (one,) = parts(2_000)
    other, other_datagrams, (other_one,) = parts(2_500, b"otherone")
    joining = Reassembler()
    joining.add_head(datagrams[0], 0)
    joining.add_head(other_datagrams[0], 0)
    assert len(joining) == 2
    assert joining.add(other_one, 0) == other
    assert joining.add(one, 0) == packet


def test_parts_that_are_too_far_apart_are_not_joined() -> None:
    packet, datagrams, (one,) = parts(2_000)
    joining = Reassembler()
    joining.add_head(datagrams[0], 0)
    assert joining.add(one, MAX_AGE_MS + 1) is None
    assert joining.add_head(datagrams[0], MAX_AGE_MS + 1) == packet
    joining.add_head(datagrams[0], 0)
    assert joining.add(one, MAX_AGE_MS) == packet


def test_memory_is_bounded_and_the_oldest_gives_way() -> None:
    joining = Reassembler()
    packets = [parts(2_000, number.to_bytes(8)) for number in range(10 * MAX_PACKETS)]
    for number, (_, datagrams, _) in enumerate(packets):
        joining.add_head(datagrams[0], 0)
        assert len(joining) == min(number + 1, MAX_PACKETS)
    newest = packets[-MAX_PACKETS:]
    for packet, _, (one,) in newest:
        assert joining.add(one, 0) == packet
    assert len(joining) == 0
    _, _, (one,) = packets[0]
    assert joining.add(one, 0) is None
