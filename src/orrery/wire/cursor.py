"""Reading numbers and bytes one after another, with the bounds that a node checks."""

from orrery.errors import DecodeError


class Reader:
    """A place in a byte string, moving forward. Integers are big-endian.

    The offset may come to lie behind the end of the data: a node skips some fields without looking
    whether they are there (see `skip`), and says afterwards that it used more than it was given.
    """

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    @property
    def remaining(self) -> int:
        """Bytes from here to the end, never less than 0."""
        return max(0, len(self.data) - self.offset)

    def take(self, size_bytes: int) -> bytes:
        """The next bytes.

        Raises:
            DecodeError: the data end before.
        """
        start = self.offset
        end = start + size_bytes
        if end > len(self.data):
            raise ends_early(self.data, start, size_bytes)
        self.offset = end
        return self.data[start:end]

    def skip(self, size_bytes: int) -> None:
        """Move on without a check, past the end too."""
        self.offset += size_bytes

    def u8(self) -> int:
        """One byte."""
        start = self.offset
        if start >= len(self.data):
            raise ends_early(self.data, start, 1)
        self.offset = start + 1
        return self.data[start]

    def u16(self) -> int:
        """Two bytes."""
        return int.from_bytes(self.take(2))

    def u32(self) -> int:
        """Four bytes."""
        return int.from_bytes(self.take(4))

    def u40(self) -> int:
        """Five bytes, the size of an address."""
        return int.from_bytes(self.take(5))

    def u64(self) -> int:
        """Eight bytes."""
        return int.from_bytes(self.take(8))


def ends_early(data: bytes, offset: int, size_bytes: int) -> DecodeError:
    """The error for data that end before a field of this size at this offset."""
    return DecodeError(
        f"the data end early: {size_bytes} bytes belong at offset {offset}, but there are "
        f"{len(data)} in all; they were cut short, fetch them again"
    )
