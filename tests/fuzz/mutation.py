"""Ways to spoil bytes, most of them small: what is spoilt a little is read to its inner parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

_INTERESTING = {
    1: (0, 1, 2, 3, 4, 5, 6, 7, 31, 32, 33, 64, 126, 127, 128, 129, 254, 255),
    2: (0, 1, 255, 256, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF),
    4: (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF),
    8: (0, 1, 2**63 - 1, 2**63, 2**64 - 1),
}


class Mutator:
    """Spoils bytes by chance; the same seed spoils in the same way."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._ways: list[Callable[[bytearray, Sequence[bytes]], None]] = [
            self._flip_bits,
            self._flip_bits,
            self._set_bytes,
            self._set_number,
            self._set_number,
            self._tamper_with_a_length,
            self._cut,
            self._cut,
            self._append,
            self._insert,
            self._delete,
            self._repeat,
            self._splice,
            self._overwrite_from_another,
        ]

    def mutate(self, data: bytes, others: Sequence[bytes]) -> bytes:
        """Some bytes, spoilt in one to four ways; `others` lend their parts."""
        spoilt = bytearray(data)
        for _ in range(self.random.choice((1, 1, 1, 2, 3, 4))):
            self.random.choice(self._ways)(spoilt, others)
        return bytes(spoilt)

    def noise(self, longest: int = 200) -> bytes:
        """Bytes out of nowhere."""
        return self.random.randbytes(self.random.randint(0, longest))

    def _place(self, data: bytearray) -> int:
        """Near an end more often than in the middle: that is where the fields are."""
        if not data:
            return 0
        if self.random.random() < 0.3:
            return min(len(data) - 1, self.random.randrange(40))
        return self.random.randrange(len(data))

    def _flip_bits(self, data: bytearray, _others: Sequence[bytes]) -> None:
        for _ in range(self.random.choice((1, 1, 1, 2, 8))):
            if data:
                data[self._place(data)] ^= 1 << self.random.randrange(8)

    def _set_bytes(self, data: bytearray, _others: Sequence[bytes]) -> None:
        start = self._place(data)
        count = self.random.choice((1, 1, 2, 4, 16))
        value = self.random.choice((b"\0", b"\xff", self.random.randbytes(1)))
        data[start : start + count] = value * len(data[start : start + count])

    def _set_number(self, data: bytearray, _others: Sequence[bytes]) -> None:
        size = self.random.choice((1, 1, 2, 2, 4, 8))
        if len(data) >= size:
            start = min(self._place(data), len(data) - size)
            data[start : start + size] = self.random.choice(_INTERESTING[size]).to_bytes(size)

    def _tamper_with_a_length(self, data: bytearray, _others: Sequence[bytes]) -> None:
        """A number of one or two bytes becomes one that has to do with what follows."""
        size = self.random.choice((1, 2))
        if len(data) < size:
            return
        start = min(self._place(data), len(data) - size)
        now = int.from_bytes(data[start : start + size])
        behind = len(data) - start - size
        wanted = self.random.choice((now - 1, now + 1, now * 2, behind - 1, behind, behind + 1))
        data[start : start + size] = (wanted % 256**size).to_bytes(size)

    def _cut(self, data: bytearray, _others: Sequence[bytes]) -> None:
        size = self.random.choice((self.random.randint(0, len(data)), max(0, len(data) - 1)))
        del data[size:]

    def _append(self, data: bytearray, _others: Sequence[bytes]) -> None:
        data += self.noise(20)

    def _insert(self, data: bytearray, _others: Sequence[bytes]) -> None:
        start = self._place(data)
        data[start:start] = self.noise(20)

    def _delete(self, data: bytearray, _others: Sequence[bytes]) -> None:
        start = self._place(data)
        del data[start : start + self.random.choice((1, 1, 2, 8, 71))]

    def _repeat(self, data: bytearray, _others: Sequence[bytes]) -> None:
        start = self._place(data)
        part = bytes(data[start : start + self.random.choice((1, 8, 17, 71, 200))])
        data[start:start] = part * self.random.choice((1, 2, 5))

    def _splice(self, data: bytearray, others: Sequence[bytes]) -> None:
        other = self.random.choice(others)
        del data[self._place(data) :]
        data += other[self.random.randint(0, len(other)) :]

    def _overwrite_from_another(self, data: bytearray, others: Sequence[bytes]) -> None:
        other = self.random.choice(others)
        start, take = self._place(data), self.random.randint(0, len(other))
        part = other[take : take + self.random.choice((1, 5, 8, 19, 71))]
        data[start : start + len(part)] = part
