"""Token buckets: how much of something a stranger may have."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple


class Allowance(NamedTuple):
    """How much at once, and how much per second."""

    burst: float
    per_second: float


class TokenBucket:
    """One allowance, used up by `take` and refilled by time."""

    __slots__ = ("_allowance", "_at_ms", "_level")

    def __init__(self, allowance: Allowance, now_ms: int) -> None:
        self._allowance = allowance
        self._level = allowance.burst
        self._at_ms = now_ms

    def _refill(self, now_ms: int) -> None:
        elapsed_ms = now_ms - self._at_ms
        self._at_ms = now_ms
        if elapsed_ms > 0:  # a clock that was set back refills nothing
            burst, per_second = self._allowance
            self._level = min(burst, self._level + elapsed_ms * per_second / 1000)

    def take(self, amount: float, now_ms: int) -> bool:
        """Use up `amount`, or nothing and say False when there is less."""
        self._refill(now_ms)
        if self._level < amount:
            return False
        self._level -= amount
        return True

    def charge(self, amount: float, now_ms: int) -> None:
        """Use up `amount` even where it leaves a debt, of one burst at most."""
        self._refill(now_ms)
        self._level = max(self._level - amount, -self._allowance.burst)

    def wait_ms(self, amount: float, now_ms: int) -> int:
        """How long until `take(amount)` succeeds."""
        self._refill(now_ms)
        missing = min(amount, self._allowance.burst) - self._level
        if missing <= 0:
            return 0
        return int(missing * 1000 / self._allowance.per_second) + 1


class BucketTable:
    """A bucket for each key, of the keys used last."""

    def __init__(self, allowance: Allowance, max_keys: int) -> None:
        self._allowance = allowance
        self._max_keys = max_keys
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, key: Hashable, now_ms: int) -> TokenBucket:
        """The bucket of `key`; a full table forgets the one that was used longest ago."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._allowance, now_ms)
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket
