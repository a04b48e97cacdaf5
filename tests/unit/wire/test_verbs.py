from collections.abc import Callable
from dataclasses import replace

import pytest

from orrery.errors import DecodeError
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import HEADER_BYTES, MAX_FRAGMENTED_BYTES, Verb
from orrery.wire.verbs import (
    OK_HELLO_WORLDS_BYTES,
    SOFTWARE_VERSION,
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
    encode_ok_hello,
)
from orrery.wire.world import World, WorldType
from tests.unit.worlds.making import world

V4 = Endpoint.from_text("198.51.100.1/9993")
V6 = Endpoint.from_text("[2001:db8::1]:443")
IDENTITY = Identity(Address(0x1122334455), bytes(range(64)))
OTHER = Identity(Address(0x66778899AA), bytes(64))
GROUP = MulticastGroup(0x8056C2E21C000001, bytes(range(6)), 0xC0A80001)


def flip(field: bytes) -> bytes:
    """Stands for the encryption of a HELLO's tail."""
    return bytes(byte ^ 0xFF for byte in field)


def hello(*moons: WorldHeld, physical: Endpoint = V4) -> Hello:
    return Hello(
        12, Version(1, 14, 1), 1_700_000_000_000, IDENTITY, physical, WorldHeld(7, 8), moons
    )


# -- HELLO ----------------------------------------------------------------------------------


@pytest.mark.parametrize("physical", [V4, V6, Endpoint.NIL])
@pytest.mark.parametrize("moons", [(), (WorldHeld(1, 2),), (WorldHeld(1, 2), WorldHeld(3, 0))])
def test_hello_comes_back(physical: Endpoint, moons: tuple[WorldHeld, ...]) -> None:
    made = hello(*moons, physical=physical)
    assert Hello.decode(made.encode(flip), flip) == made
    assert Hello.identity_of(made.encode(flip)) == IDENTITY


def test_the_layout_of_hello() -> None:
    payload = hello(WorldHeld(3, 4)).encode(flip)
    assert payload[:5] == bytes((12, 1, 14, 0, 1))
    assert payload[5:13] == (1_700_000_000_000).to_bytes(8)
    assert payload[13:84] == IDENTITY.to_bytes()
    assert payload[84:91] == V4.encode()
    assert payload[91:107] == (7).to_bytes(8) + (8).to_bytes(8)
    assert flip(payload[107:]) == b"\0\1\x7f" + (3).to_bytes(8) + (4).to_bytes(8)


def test_a_hello_may_end_after_a_field_as_old_nodes_let_it() -> None:
    payload = hello(WorldHeld(1, 2)).encode(flip)
    bare = hello()._replace(physical_destination=Endpoint.NIL, planet=WorldHeld(0, 0))
    assert Hello.decode(payload[:84], flip) == bare
    assert Hello.decode(payload[:91], flip) == bare._replace(physical_destination=V4)
    assert Hello.decode(payload[:107], flip) == hello()


@pytest.mark.parametrize("size", [*range(84), *range(85, 91)])
def test_a_hello_that_ends_within_a_field_is_refused(size: int) -> None:
    with pytest.raises(DecodeError):
        Hello.decode(hello().encode(flip)[:size], flip)


def test_a_hello_with_a_part_of_a_planet_holds_none() -> None:
    cut = hello().encode(flip)[:99]
    assert Hello.decode(cut, lambda _field: b"").planet == WorldHeld(0, 0)


def test_moons_that_are_announced_must_be_there() -> None:
    payload = hello(WorldHeld(1, 2), WorldHeld(3, 4)).encode(flip)
    with pytest.raises(DecodeError, match="announces 2 moons"):
        Hello.decode(payload[:-1], flip)


def test_of_a_moon_that_is_listed_twice_the_first_entry_counts() -> None:
    made = hello(WorldHeld(1, 2), WorldHeld(1, 9), WorldHeld(5, 6))
    assert Hello.decode(made.encode(flip), flip).moons == (WorldHeld(1, 2), WorldHeld(5, 6))


def test_a_world_of_another_type_is_no_moon() -> None:
    payload = bytearray(hello(WorldHeld(1, 2), WorldHeld(3, 4)).encode(lambda field: field))
    assert payload[109] == WorldType.MOON
    payload[109] = WorldType.PLANET
    assert Hello.decode(bytes(payload), lambda field: field).moons == (WorldHeld(3, 4),)


def test_what_follows_the_moons_is_left_alone() -> None:
    made = hello(WorldHeld(1, 2))
    longer = made.encode(lambda field: field) + b"more"
    assert Hello.decode(longer, lambda field: field) == made


def test_an_identity_that_is_known_is_used_again() -> None:
    payload = hello().encode(flip)
    known = Identity(IDENTITY.address, IDENTITY.public_key)
    assert Hello.decode(payload, flip, known=known).identity is known
    assert Hello.decode(payload, flip, known=OTHER).identity == IDENTITY


def test_a_private_key_in_a_hello_is_dropped() -> None:
    secret = Identity(IDENTITY.address, IDENTITY.public_key, bytes(64))
    payload = hello().encode(flip)
    leaking = payload[:13] + secret.to_bytes(secret=True) + payload[84:]
    assert Hello.decode(leaking, flip).identity.private_key is None
    assert Hello.identity_of(leaking).private_key is None
    assert Hello.decode(leaking, flip) == hello()


# -- OK -------------------------------------------------------------------------------------


def test_the_layout_of_ok() -> None:
    ok = Ok(Verb.ECHO, b"12345678", b"body")
    assert ok.encode() == b"\x0812345678body"
    assert Ok.decode(ok.encode()) == ok
    assert Ok.decode(ok.encode()[:9]) == ok._replace(body=b"")
    with pytest.raises(DecodeError, match="before the id"):
        Ok.decode(ok.encode()[:8])


def answer(*worlds: World, physical: Endpoint = V4) -> OkHello:
    return OkHello(123, 11, Version(1, 2, 3), physical, worlds)


def test_the_layout_of_ok_hello() -> None:
    body = answer(world(1)).encode()
    assert body[:13] == (123).to_bytes(8) + bytes((11, 1, 2, 0, 3))
    assert body[13:20] == V4.encode()
    assert body[20:22] == len(world(1).encode()).to_bytes(2)
    assert body[22:] == world(1).encode()


@pytest.mark.parametrize("physical", [V4, V6, Endpoint.NIL])
@pytest.mark.parametrize("count", range(4))
def test_ok_hello_comes_back(physical: Endpoint, count: int) -> None:
    made = answer(*[world(number + 1) for number in range(count)], physical=physical)
    assert OkHello.decode(made.encode()) == made


def test_an_ok_hello_may_end_after_its_version_or_endpoint() -> None:
    body = answer(world(1)).encode()
    assert OkHello.decode(body[:13]) == answer(physical=Endpoint.NIL)
    assert OkHello.decode(body[:20]) == answer()
    assert OkHello.decode(body[:21]) == answer()


@pytest.mark.parametrize("size", [*range(13), *range(14, 20)])
def test_an_ok_hello_that_ends_before_its_worlds_is_refused(size: int) -> None:
    with pytest.raises(DecodeError):
        OkHello.decode(answer(world(1)).encode()[:size])


def test_worlds_before_a_broken_one_are_kept() -> None:
    whole = answer(world(1), world(2)).encode()
    cut = OkHello.decode(whole[:-1])
    assert cut.broken
    assert cut.worlds == (world(1),)
    mangled = bytearray(whole)
    mangled[22 + len(world(1).encode())] = 99
    assert OkHello.decode(bytes(mangled)) == replace(answer(world(1)), broken=True)


def test_the_length_only_tells_where_a_node_stops_to_look() -> None:
    body = bytearray(answer(world(1), world(2)).encode())
    body[20:22] = (1).to_bytes(2)
    assert OkHello.decode(bytes(body)).worlds == (world(1),)
    body[20:22] = (len(world(1).encode()) + 1).to_bytes(2)
    assert OkHello.decode(bytes(body)).worlds == (world(1), world(2))
    body[20:22] = bytes(2)
    assert OkHello.decode(bytes(body)).worlds == ()


def test_the_room_for_worlds_fits_seven_datagrams_and_no_more() -> None:
    body = encode_ok_hello(0, V6, [bytes(OK_HELLO_WORLDS_BYTES)])
    assert HEADER_BYTES + len(Ok(Verb.HELLO, bytes(8), body).encode()) == MAX_FRAGMENTED_BYTES
    with pytest.raises(ValueError, match="do not fit a packet"):
        encode_ok_hello(0, V6, [bytes(OK_HELLO_WORLDS_BYTES), b"x"])


# -- the rest -------------------------------------------------------------------------------


def test_error() -> None:
    error = Error(Verb.WHOIS, b"12345678", 3, b"data")
    assert error.encode() == b"\x0412345678\x03data"
    assert Error.decode(error.encode()) == error
    with pytest.raises(DecodeError, match="before its code"):
        Error.decode(error.encode()[:9])


def test_a_cut_address_of_a_whois_is_left_out() -> None:
    payload = encode_addresses([IDENTITY.address, OTHER.address])
    assert payload.hex() == "112233445566778899aa"
    assert decode_addresses(payload) == (IDENTITY.address, OTHER.address)
    assert decode_addresses(payload[:9]) == (IDENTITY.address,)
    assert decode_addresses(payload[:4]) == ()
    assert decode_addresses(b"") == ()


def test_identities_of_an_answer() -> None:
    body = IDENTITY.to_bytes() + OTHER.to_bytes()
    assert decode_identities(body) == (IDENTITY, OTHER)
    assert decode_identities(b"") == ()
    with pytest.raises(DecodeError, match="end early"):
        decode_identities(body[:-1])


@pytest.mark.parametrize("endpoint", [V4, V6])
def test_rendezvous(endpoint: Endpoint) -> None:
    introduction = Rendezvous(OTHER.address, endpoint)
    payload = introduction.encode()
    assert payload[:9] == (
        b"\0" + OTHER.address.to_bytes(5) + endpoint.port.to_bytes(2) + bytes((len(endpoint.ip),))
    )
    assert payload[9:] == endpoint.ip
    assert Rendezvous.decode(payload) == introduction
    assert Rendezvous.decode(payload + b"more") == introduction


@pytest.mark.parametrize(
    "payload",
    [
        Rendezvous(OTHER.address, V4).encode()[:-1],
        Rendezvous(OTHER.address, Endpoint(V4.ip, 0)).encode(),
        Rendezvous(OTHER.address, Endpoint(b"12345", 1)).encode(),
        b"",
    ],
)
def test_a_rendezvous_that_leads_nowhere_is_refused(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        Rendezvous.decode(payload)


def test_groups_before_a_cut_one_are_taken() -> None:
    other = GROUP._replace(adi=0)
    payload = encode_multicast_like([GROUP, other])
    assert len(payload) == 36
    assert decode_multicast_like(payload) == ((GROUP, other), False)
    assert decode_multicast_like(payload[:-1]) == ((GROUP,), True)
    assert decode_multicast_like(b"") == ((), False)


def push_of(*paths: tuple[int, bytes], extension: bytes = b"") -> bytes:
    return len(paths).to_bytes(2) + b"".join(
        b"\0" + len(extension).to_bytes(2) + extension + bytes((family, len(body))) + body
        for family, body in paths
    )


def test_paths_of_unknown_types_are_left_out() -> None:
    v4 = V4.ip + V4.port.to_bytes(2)
    v6 = V6.ip + V6.port.to_bytes(2)
    payload = push_of((4, v4), (5, b"what?"), (4, v6), (6, v4), (6, v6), extension=b"ext")
    assert PushDirectPaths.decode(payload) == PushDirectPaths((V4, V6))
    made = PushDirectPaths((V4, V6))
    assert made.encode() == push_of((4, v4), (6, v6))
    assert PushDirectPaths.decode(made.encode()) == made


DECODERS: list[tuple[Callable[[bytes], object], bytes]] = [
    (Rendezvous.decode, Rendezvous(OTHER.address, V6).encode()),
    (MulticastGather.decode, MulticastGather(GROUP, 32).encode()),
    (OkMulticastGather.decode, OkMulticastGather(GROUP, 9, (OTHER.address,) * 3).encode()),
    (PushDirectPaths.decode, PushDirectPaths((V4, V6)).encode()),
    (UserMessage.decode, UserMessage(2**63, b"").encode()),
]


@pytest.mark.parametrize(("decode", "payload"), DECODERS)
def test_every_cut_is_noticed(decode: Callable[[bytes], object], payload: bytes) -> None:
    decode(payload)
    for size in range(len(payload)):
        with pytest.raises(DecodeError):
            decode(payload[:size])


def test_multicast_gather() -> None:
    ask = MulticastGather(GROUP, 32, flags=1)
    assert len(ask.encode()) == 23
    assert MulticastGather.decode(ask.encode()) == ask
    found = OkMulticastGather(GROUP, 1000, (IDENTITY.address, OTHER.address))
    assert len(found.encode()) == 34
    assert OkMulticastGather.decode(found.encode()) == found


def test_user_message() -> None:
    message = UserMessage(2**63, b"data")
    assert UserMessage.decode(message.encode()) == message


def test_what_orrery_says_it_is() -> None:
    assert str(SOFTWARE_VERSION) == "1.14.1"
