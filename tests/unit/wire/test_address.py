import pytest

from orrery.errors import DecodeError
from orrery.wire.address import Address, format_address, is_reserved, pack_address, parse_address


@pytest.mark.parametrize("text", ["6e133e061d", "6E133E061D", " 6e133e061d\n"])
def test_ten_digits_are_an_address(text: str) -> None:
    address = parse_address(text)
    assert address == 0x6E133E061D
    assert format_address(address) == "6e133e061d"
    assert pack_address(address) == bytes.fromhex("6e133e061d")


def test_small_addresses_keep_their_zeros() -> None:
    assert format_address(parse_address("000000000a")) == "000000000a"


@pytest.mark.parametrize(
    "text", ["", "6e133e061", "6e133e061d0", "0x6e133e06", "6e133x061d", "٣" * 10]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DecodeError, match="write its 10 hex digits, such as"):
        parse_address(text)


def test_a_long_text_is_not_repeated_for_it_may_be_a_secret() -> None:
    with pytest.raises(DecodeError, match="a text of 128 characters") as refusal:
        parse_address("5ec7e7" + "0" * 122)
    assert "5ec7e7" not in str(refusal.value)


@pytest.mark.parametrize("text", ["0000000000", "ff00000000", "ffffffffff"])
def test_reserved_addresses_are_refused(text: str) -> None:
    assert is_reserved(Address(int(text, 16)))
    with pytest.raises(DecodeError, match="reserved"):
        parse_address(text)


def test_only_a_first_byte_of_ff_is_reserved() -> None:
    assert not is_reserved(Address(0xFEFFFFFFFF))
    assert not is_reserved(Address(0x00000000FF))
