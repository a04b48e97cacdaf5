"""What holds for every Identity, Endpoint and World, and for every run of bytes."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orrery.errors import DecodeError, VerifyError
from orrery.wire.address import Address, format_address, is_reserved, parse_address
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint, Scope
from orrery.wire.identity import Identity
from orrery.wire.signature import SigningKey, verify
from orrery.wire.world import Root, World, WorldType
from orrery.worlds.diff import compare
from orrery.worlds.ordering import sort_roots
from orrery.worlds.pitfalls import warnings

u64 = st.integers(0, 2**64 - 1)
addresses = st.integers(0, 2**40 - 1).map(Address)
endpoints = st.one_of(
    st.just(Endpoint.NIL),
    st.builds(Endpoint, st.binary(min_size=4, max_size=4), st.integers(0, 0xFFFF)),
    st.builds(Endpoint, st.binary(min_size=16, max_size=16), st.integers(0, 0xFFFF)),
)
keys = st.binary(min_size=64, max_size=64)
identities = st.builds(Identity, addresses, keys)
roots = st.builds(Root, identities, st.lists(endpoints, max_size=32).map(tuple))
seeds = st.integers(0, 2**32).map(Random)
signing_keys = seeds.map(lambda random: SigningKey.generate(random.randbytes))
planets = st.builds(
    World,
    type=st.sampled_from([WorldType.NULL, WorldType.PLANET]),
    id=u64,
    timestamp_ms=u64,
    updates_must_be_signed_by=keys,
    roots=st.lists(roots, max_size=4).map(tuple),
    signature=st.binary(min_size=96, max_size=96),
)
moons = st.builds(
    lambda world, dictionary: replace(world, type=WorldType.MOON, dictionary=dictionary),
    planets,
    st.binary(max_size=300),
)
worlds = st.one_of(planets, moons)


@given(worlds, st.binary(max_size=50))
def test_a_world_is_read_as_it_was_written(world: World, behind: bytes) -> None:
    data = world.encode()
    reader = Reader(b"before" + data + behind, 6)
    assert World.read(reader) == world
    assert reader.offset == 6 + len(data)
    assert compare(world, World.decode(data)).is_empty


@given(worlds)
def test_signed_bytes_are_the_fields_between_the_marks(world: World) -> None:
    data = replace(world, dictionary=b"").encode()
    assert world.signed_bytes() == b"\x7f" * 8 + data[:81] + data[177:] + b"\xf7" * 8


@given(worlds, signing_keys, signing_keys)
def test_a_signature_holds_for_its_key_alone(
    world: World, signer: SigningKey, other: SigningKey
) -> None:
    signed = world.sign(signer)
    signed.verify(signer.public)
    if signer != other:
        with pytest.raises(VerifyError):
            signed.verify(other.public)


@given(worlds, st.data())
def test_any_changed_byte_is_noticed_or_outside_of_the_signature(
    world: World, data: st.DataObject
) -> None:
    signer = SigningKey.generate(Random(1).randbytes)
    signed = world.sign(signer)
    whole = bytearray(signed.encode())
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    try:
        changed = World.decode(bytes(whole))
    except DecodeError:
        return
    if changed.signed_bytes() == signed.signed_bytes() and changed.signature == signed.signature:
        changed.verify(signer.public)
    else:
        with pytest.raises(VerifyError):
            changed.verify(signer.public)


@given(endpoints, st.binary(max_size=5))
def test_an_endpoint_is_read_as_it_was_written(endpoint: Endpoint, behind: bytes) -> None:
    data = endpoint.encode()
    reader = Reader(data + behind)
    assert Endpoint.read(reader) == endpoint
    assert reader.offset == len(data)
    assert Endpoint.parse_as_node(str(endpoint)) == endpoint
    if endpoint.port and endpoint.scope not in (Scope.NONE, Scope.MULTICAST):
        assert Endpoint.from_text(str(endpoint)) == endpoint


@given(st.lists(roots, max_size=6))
def test_sorting_is_stable_in_itself_and_loses_nothing(listed: list[Root]) -> None:
    ordered = sort_roots(listed)
    assert sort_roots(ordered) == ordered
    assert sort_roots(reversed(ordered)) == ordered or len(
        {root.identity for root in listed}
    ) < len(listed)
    assert sorted(root.identity for root in ordered) == sorted(root.identity for root in listed)


@given(identities, st.one_of(st.none(), keys))
def test_an_identity_is_read_as_it_was_written(public: Identity, private_key: bytes | None) -> None:
    identity = replace(public, private_key=private_key)
    has_secret = private_key is not None
    read = Identity.from_bytes(identity.to_bytes(secret=has_secret))
    assert (read, read.private_key) == (identity, private_key)
    if is_reserved(identity.address):
        with pytest.raises(DecodeError):
            Identity.parse_as_node(str(identity))
        return
    assert Identity.from_string(str(identity)) == identity
    loose = Identity.parse_as_node(identity.to_string(secret=has_secret))
    assert (loose, loose.private_key) == (identity, private_key)


@given(seeds)
def test_a_true_pair_is_read_strictly(random: Random) -> None:
    key = SigningKey.generate(random.randbytes)
    identity = Identity(Address(1), key.public, key.private)
    read = Identity.from_string(identity.to_string(secret=True))
    assert read.private_key == key.private
    assert SigningKey.decode(key.encode()) == key


@given(addresses)
def test_addresses(address: Address) -> None:
    if is_reserved(address):
        with pytest.raises(DecodeError):
            parse_address(format_address(address))
    else:
        assert parse_address(format_address(address)) == address


@given(seeds, seeds)
def test_both_agree_on_one_key(one: Random, two: Random) -> None:
    a, b = (
        Identity(Address(1), key.public, key.private)
        for key in (SigningKey.generate(one.randbytes), SigningKey.generate(two.randbytes))
    )
    assert a.agree(b.public()) == b.agree(a.public())
    assert len(a.agree(b)) == 48


@given(keys, st.binary(max_size=20), st.binary(max_size=100))
def test_only_the_right_signature_verifies(key: bytes, message: bytes, signature: bytes) -> None:
    with pytest.raises(VerifyError):
        verify(key, message, signature)


DECODERS: list[Callable[[bytes], object]] = [
    World.decode,
    Identity.from_bytes,
    lambda data: Endpoint.read(Reader(data)),
    SigningKey.decode,
]
PARSERS: list[Callable[[str], object]] = [
    Identity.from_string,
    Identity.parse_as_node,
    Endpoint.from_text,
    partial(Endpoint.from_text, allow_any=True),
    Endpoint.parse_as_node,
    parse_address,
]


@given(st.sampled_from(DECODERS), st.binary(max_size=700))
def test_bytes_raise_decode_errors_only(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        decode(data)
    except DecodeError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is fine


@given(st.sampled_from(PARSERS), st.text(max_size=80))
def test_text_raises_decode_errors_only(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except DecodeError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is fine


text_like = st.text("0123456789abcdefxABCF:./[]% \n-+g\0", max_size=40)


@given(st.sampled_from(PARSERS), st.lists(text_like, max_size=4).map(":".join))
@example(Endpoint.from_text, "[]:1")
@example(Endpoint.parse_as_node, "\udc80:/1")
@example(Endpoint.parse_as_node, "\ud800.")
@example(Identity.parse_as_node, "1:0:\ud800")
@example(Identity.parse_as_node, "1:0:" + "\u0661" * 64)
def test_text_that_is_nearly_right_raises_decode_errors_only(
    parse: Callable[[str], object], text: str
) -> None:
    try:
        parse(text)
    except DecodeError as error:
        assert str(error)  # noqa: PT017 - either outcome is fine


@given(worlds, st.data())
def test_mutated_worlds_decode_to_a_fix_point(world: World, data: st.DataObject) -> None:
    whole = bytearray(world.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        read = World.decode(bytes(whole[: len(whole) - cut // 4]))
    except DecodeError:
        return
    assert World.decode(read.encode()) == read
    assert warnings(read, 0, check_proof=False) == warnings(
        World.decode(read.encode()), 0, check_proof=False
    )
