import pytest

from orrery.errors import DecodeError
from orrery.wire.cursor import Reader
from orrery.wire.strtoul import strtoul


def test_numbers_are_big_endian_and_move_on() -> None:
    reader = Reader(bytes(range(1, 22)), 1)
    assert reader.u8() == 2
    assert reader.u16() == 0x0304
    assert reader.u32() == 0x05060708
    assert reader.u40() == 0x090A0B0C0D
    assert reader.u64() == 0x0E0F101112131415
    assert reader.offset == 21
    assert reader.remaining == 0


@pytest.mark.parametrize("method", ["u8", "u16", "u32", "u40", "u64"])
def test_a_number_that_is_not_there_is_refused_and_nothing_moves(method: str) -> None:
    reader = Reader(b"\x01", 1)
    with pytest.raises(DecodeError, match=r"end early: \d bytes belong at offset 1"):
        getattr(reader, method)()
    assert reader.offset == 1


def test_skip_may_leave_the_data() -> None:
    reader = Reader(b"abc")
    reader.skip(10)
    assert (reader.offset, reader.remaining) == (10, 0)
    with pytest.raises(DecodeError):
        reader.take(1)


def test_take_at_the_end_gives_nothing() -> None:
    assert Reader(b"abc", 3).take(0) == b""


@pytest.mark.parametrize(
    ("text", "base", "number"),
    [
        (b"", 10, 0),
        (b"x", 10, 0),
        (b" \t\n9993 tail", 10, 9993),
        (b"+7", 10, 7),
        (b"-1", 10, 2**64 - 1),
        (b"- 1", 10, 0),
        (b"0x1f", 10, 0),
        (b"0x1f", 16, 0x1F),
        (b"0xg", 16, 0),
        (b"-0x2", 16, 2**64 - 2),
        (b"18446744073709551616", 10, 2**64 - 1),
        (b"-18446744073709551616", 10, 2**64 - 1),
        (b"ffffffffffffffff", 16, 2**64 - 1),
    ],
)
def test_strtoul(text: bytes, base: int, number: int) -> None:
    assert strtoul(text, base) == number
