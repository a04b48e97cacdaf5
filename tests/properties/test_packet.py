"""What holds for every packet, whatever is in it, and for every way to take it apart."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import DecodeError, VerifyError
from orrery.vl1.fragments import Reassembler
from orrery.wire.address import Address
from orrery.wire.cipher import CipherSuite, SharedKeys, packet_cipher
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import (
    FLAG_FRAGMENTED,
    FLAGS_OFFSET,
    HEADER_BYTES,
    MAX_FRAGMENTED_BYTES,
    VERB_OFFSET,
    Fragment,
    Packet,
    is_fragmented_size,
    split,
    with_hop,
)
from orrery.wire.verbs import (
    Error,
    Hello,
    MulticastGather,
    MulticastGroup,
    Ok,
    OkHello,
    OkMulticastGather,
    PushDirectPaths,
    Rendezvous,
    UserMessage,
    Version,
    WorldHeld,
    decode_addresses,
    decode_identities,
    decode_multicast_like,
    encode_addresses,
    encode_multicast_like,
)

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
ids = st.binary(min_size=8, max_size=8)
addresses = st.integers(1, 0xFEFFFFFFFF).map(Address)
payloads = st.one_of(
    st.binary(max_size=300),
    st.integers(0, MAX_FRAGMENTED_BYTES - HEADER_BYTES).map(bytes),
    st.tuples(st.binary(max_size=40), st.integers(1, 100)).map(lambda parts: parts[0] * parts[1]),
)
packets = st.builds(
    Packet,
    id=ids,
    destination=addresses,
    source=addresses,
    verb=st.integers(0, 0x1F),
    payload=payloads,
    hops=st.integers(0, 7),
    compressed=st.just(False),
)
agreements = st.binary(min_size=48, max_size=48)
suites = st.sampled_from(CipherSuite)
versions = st.builds(Version, u8, u8, u16)
identities = st.builds(Identity, addresses, st.binary(min_size=64, max_size=64))
usable_endpoints = st.builds(
    Endpoint,
    st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)),
    st.integers(1, 0xFFFF),
)
endpoints = st.one_of(usable_endpoints, st.just(Endpoint.NIL))
helds = st.builds(WorldHeld, u64, u64)
groups = st.builds(MulticastGroup, u64, st.binary(min_size=6, max_size=6), u32)
hellos = st.builds(
    Hello,
    protocol=u8,
    version=versions,
    timestamp_ms=u64,
    identity=identities,
    physical_destination=endpoints,
    planet=helds,
    moons=st.lists(helds, max_size=8, unique_by=lambda held: held.id).map(tuple),
)


@given(packets)
def test_a_packet_comes_back(packet: Packet) -> None:
    assert Packet.decode(packet.encode()) == packet
    assert packet.compress().uncompress() == packet
    assert len(packet.compress().payload) <= len(packet.payload)


@given(packets, agreements, suites)
def test_a_packet_opens_under_its_key_after_any_number_of_hops(
    packet: Packet, agreement: bytes, suite: CipherSuite
) -> None:
    keys = SharedKeys(agreement)
    datagram: bytes | None = keys.armor(packet.encode(), suite)
    while datagram is not None:
        assert packet_cipher(datagram) == suite
        opened = Packet.decode(SharedKeys(agreement).dearmor(datagram))
        assert opened._replace(id=packet.id, hops=packet.hops) == packet
        datagram = with_hop(datagram)


@given(packets, agreements, suites, st.integers(0, 2**20), st.integers(0, 7))
def test_a_packet_with_another_bit_does_not_open(
    packet: Packet, agreement: bytes, suite: CipherSuite, place: int, bit: int
) -> None:
    keys = SharedKeys(agreement)
    datagram = bytearray(keys.armor(packet.encode(), suite))
    place %= len(datagram)
    if place == FLAGS_OFFSET:
        bit = 3 + bit % 5  # the others are the hops
    datagram[place] ^= 1 << bit
    try:
        keys.dearmor(bytes(datagram))
    except VerifyError:
        return
    raise AssertionError("a changed packet was opened")


@given(packets, agreements, suites, st.randoms(use_true_random=False))
def test_the_parts_of_a_packet_are_joined_in_any_order(
    packet: Packet, agreement: bytes, suite: CipherSuite, random: Random
) -> None:
    keys = SharedKeys(agreement)
    plain = bytearray(packet.encode())
    plain[FLAGS_OFFSET] |= FLAG_FRAGMENTED * is_fragmented_size(len(plain))
    datagrams = split(keys.armor(bytes(plain), suite))
    if len(datagrams) == 1:
        return
    head = datagrams[0]
    random.shuffle(datagrams)
    joining = Reassembler()
    joined = [
        joining.add_head(part, 0) if part is head else joining.add(Fragment.decode(part), 0)
        for part in datagrams
    ]
    assert joined[:-1] == [None] * (len(datagrams) - 1)
    assert joined[-1] is not None
    assert keys.dearmor(joined[-1])[VERB_OFFSET:] == plain[VERB_OFFSET:]


@given(st.binary(max_size=100))
def test_a_datagram_is_a_fragment_that_comes_back_or_none(datagram: bytes) -> None:
    try:
        fragment = Fragment.decode(datagram)
    except DecodeError:
        return
    assert fragment.encode() == datagram


@given(hellos, agreements, ids)
def test_hello_comes_back(hello: Hello, agreement: bytes, packet_id: bytes) -> None:
    def crypt(field: bytes) -> bytes:
        return SharedKeys(agreement).crypt_field(field, packet_id)

    payload = hello.encode(crypt)
    assert Hello.decode(payload, crypt) == hello
    assert Hello.decode(payload, crypt, known=hello.identity) == hello
    assert Hello.identity_of(payload) == hello.identity


@given(u64, u8, versions, endpoints)
def test_ok_hello_comes_back(
    timestamp_ms: int, protocol: int, version: Version, endpoint: Endpoint
) -> None:
    answer = OkHello(timestamp_ms, protocol, version, endpoint)
    assert OkHello.decode(answer.encode()) == answer


@given(u8, ids, u8, st.binary(max_size=50))
def test_ok_and_error_come_back(verb: int, packet_id: bytes, code: int, rest: bytes) -> None:
    ok, error = Ok(verb, packet_id, rest), Error(verb, packet_id, code, rest)
    assert Ok.decode(ok.encode()) == ok
    assert Error.decode(error.encode()) == error


@given(addresses, usable_endpoints, st.lists(usable_endpoints, max_size=10))
def test_where_others_are_comes_back(
    address: Address, endpoint: Endpoint, paths: list[Endpoint]
) -> None:
    rendezvous, pushed = Rendezvous(address, endpoint), PushDirectPaths(tuple(paths))
    assert Rendezvous.decode(rendezvous.encode()) == rendezvous
    assert PushDirectPaths.decode(pushed.encode()) == pushed


@given(st.lists(groups, min_size=1, max_size=10), u32, u8, st.lists(addresses, max_size=30))
def test_multicast_comes_back(
    liked: list[MulticastGroup], number: int, flags: int, members: list[Address]
) -> None:
    ask = MulticastGather(liked[0], number, flags)
    assert MulticastGather.decode(ask.encode()) == ask
    answer = OkMulticastGather(liked[0], number, tuple(members))
    assert OkMulticastGather.decode(answer.encode()) == answer
    assert decode_multicast_like(encode_multicast_like(liked)) == (tuple(liked), False)


@given(st.lists(addresses, max_size=30), st.lists(identities, max_size=5))
def test_whois_comes_back(asked: list[Address], found: list[Identity]) -> None:
    assert decode_addresses(encode_addresses(asked)) == tuple(asked)
    assert decode_identities(b"".join(i.to_bytes() for i in found)) == tuple(found)


@given(u64, st.binary(max_size=50))
def test_a_user_message_comes_back(type_id: int, data: bytes) -> None:
    message = UserMessage(type_id, data)
    assert UserMessage.decode(message.encode()) == message
