import pytest

from orrery.errors import DecodeError, VerifyError
from orrery.wire.signature import SigningKey, fingerprint, is_over, sign, verify
from tests.unit.worlds.making import key


def test_a_signature_verifies_and_only_for_what_it_was_made() -> None:
    signer = key("a")
    signature = signer.sign(b"message")
    verify(signer.public, b"message", signature)
    assert is_over(b"message", signature)
    assert not is_over(b"massage", signature)
    with pytest.raises(VerifyError, match="made for other bytes"):
        verify(signer.public, b"massage", signature)
    with pytest.raises(VerifyError, match=f"not made by the key {key('b').fingerprint}"):
        verify(key("b").public, b"message", signature)


@pytest.mark.parametrize("size", [0, 64, 95, 97])
def test_a_signature_of_another_length_is_none(size: int) -> None:
    with pytest.raises(VerifyError):
        verify(key("a").public, b"message", (key("a").sign(b"message") + b"\0")[:size])


def test_a_public_key_that_is_no_point_verifies_nothing() -> None:
    with pytest.raises(VerifyError):
        verify(b"\x02" * 64, b"message", key("a").sign(b"message"))


def test_the_halves_of_two_pairs_do_not_sign() -> None:
    with pytest.raises(VerifyError, match="does not belong to the public key"):
        sign(key("a").private, key("b").public, b"message")


def test_the_same_entropy_makes_the_same_key() -> None:
    assert SigningKey.generate(lambda size: b"k" * size) == key("k")
    key("k").validate()


def test_a_key_file_has_public_then_private() -> None:
    data = key("a").encode()
    assert len(data) == 128
    assert data == key("a").public + key("a").private
    assert SigningKey.decode(data) == key("a")


@pytest.mark.parametrize("data", [b"", bytes(127), bytes(129)])
def test_a_key_file_of_another_length_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match=f"128 bytes, this has {len(data)}"):
        SigningKey.decode(data)


@pytest.mark.parametrize("position", [0, 40, 70, 127])
def test_a_damaged_key_file_is_noticed(position: int) -> None:
    data = bytearray(key("a").encode())
    data[position] ^= 0x10
    with pytest.raises(DecodeError, match="damaged"):
        SigningKey.decode(bytes(data))


def test_the_private_key_is_not_shown() -> None:
    shown = repr(key("a")) + str(key("a")) + f"{key('a')}"
    assert repr(key("a").private) not in shown
    assert key("a").private.hex() not in shown


def test_fingerprints_are_short_and_differ() -> None:
    prints = {fingerprint(key(name).public) for name in "abcdef"}
    assert len(prints) == 6
    for text in prints:
        groups = text.split("-")
        assert [len(group) for group in groups] == [4] * 5
        assert set("".join(groups)) <= set("abcdefghijklmnopqrstuvwxyz234567")
