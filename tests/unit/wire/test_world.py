from dataclasses import replace

import pytest

from orrery.errors import DecodeError, UsageError, VerifyError
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import UNSIGNED, World, WorldType
from tests.unit.worlds.making import key, root, world

MANY = tuple(f"198.51.100.1/{port}" for port in range(1, 34))


def test_a_signed_world_verifies_under_its_signer_alone() -> None:
    signed = world(1, signer="a", names="b")
    signed.verify(key("a").public)
    with pytest.raises(VerifyError):
        signed.verify(key("b").public)
    assert not signed.is_self_signed
    assert world(1, signer="b", names="b").is_self_signed


def test_signing_leaves_the_original_alone() -> None:
    unsigned = replace(world(1), signature=UNSIGNED)
    signed = unsigned.sign(key("a"))
    assert unsigned.signature == UNSIGNED
    assert replace(signed, signature=UNSIGNED) == unsigned
    assert not unsigned.is_self_signed


def test_a_change_is_written_and_not_what_was_remembered() -> None:
    first = world(1)
    first.encode()
    assert World.decode(replace(first, timestamp_ms=2).encode()).timestamp_ms == 2


def test_a_moons_dictionary_survives_and_is_not_signed() -> None:
    moon = world(1, world_type=WorldType.MOON)
    carrying = replace(moon, dictionary=b"key=value")
    assert carrying.encode() == moon.encode()[:-2] + b"\x00\x09key=value"
    assert carrying.signed_bytes() == moon.signed_bytes()
    carrying.verify(key("a").public)
    assert World.decode(carrying.encode()) == carrying


def test_a_dictionary_that_is_cut_short_is_kept_as_far_as_it_goes() -> None:
    data = replace(world(1, world_type=WorldType.MOON), dictionary=b"key=value").encode()
    reader = Reader(data[:-4])
    cut = World.read(reader)
    assert reader.offset == len(data)
    assert cut.dictionary == b"key=v"
    assert World.decode(cut.encode()) == cut


def test_worlds_follow_each_other_in_one_reader() -> None:
    reader = Reader(world(1).encode() + world(2, world_type=WorldType.MOON).encode() + b"!")
    assert [World.read(reader).timestamp_ms for _ in range(2)] == [1, 2]
    assert reader.take(1) == b"!"


def test_a_root_never_brings_its_private_key_along() -> None:
    private = replace(root(1).identity, private_key=b"p" * 64)
    listed = world(1, roots=[replace(root(1), identity=private)])
    assert b"p" * 64 not in listed.encode()
    with_secret = listed.encode().replace(
        b"\x01" * 64 + b"\x00", b"\x01" * 64 + b"\x40" + b"p" * 64
    )
    read = World.decode(with_secret)
    assert read.roots[0].identity.private_key is None
    read.verify(key("a").public)


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"roots": tuple(root(number) for number in range(1, 6))}, "5 roots"),
        ({"roots": (root(1), root(2, *MANY))}, "root 2 of World .* has 33 endpoints"),
        ({"id": 1 << 64}, "64 bits"),
        ({"id": -1}, "64 bits"),
        ({"timestamp_ms": 1 << 64}, "64 bits"),
        ({"updates_must_be_signed_by": b"short"}, "key of 64 bytes"),
        ({"signature": b"short"}, "signature of 96"),
        ({"dictionary": b"planets have none"}, "planets none"),
        ({"type": WorldType.MOON, "dictionary": bytes(65536)}, "65536 bytes"),
    ],
)
def test_what_no_node_could_read_is_neither_written_nor_signed(
    change: dict[str, object], mistake: str
) -> None:
    impossible = replace(world(1), **change)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=mistake):
        impossible.encode()
    with pytest.raises(UsageError, match=mistake):
        impossible.sign(key("a"))


def test_the_limits_themselves_are_fine() -> None:
    full = world(1, roots=[root(number, *MANY[:32]) for number in range(1, 5)])
    assert World.decode(full.encode()) == full


def test_errors_name_the_root() -> None:
    data = world(1).encode()
    with pytest.raises(DecodeError, match="root 2 of the World: the data end early"):
        World.decode(data[:-1])


def test_a_file_of_something_else_is_no_world() -> None:
    with pytest.raises(DecodeError, match="this is no World: it begins with 123"):
        World.decode(b"{}")


def test_reserved_endpoints_become_nil() -> None:
    data = world(1, roots=[root(1, "198.51.100.1/9993")]).encode()
    read = World.decode(data[:-7] + b"\x01" + bytes(6))
    assert read.roots[0].endpoints == (Endpoint.NIL,)
    assert read.encode() == data[:-7] + b"\x00"
