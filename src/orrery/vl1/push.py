"""Whom to hand a revision now, and how fast."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from orrery.vl1.limits import Allowance, TokenBucket
from orrery.wire.address import Address


class PushSettings(NamedTuple):
    """How a root pushes.

    Attributes:
        enabled: whether revisions are pushed at all; else nodes get them in answer to a HELLO.
        nodes: how many nodes are pushed to, at once and per second.
        bytes: how many bytes of pushes are sent, at once and per second.
        horizon_ms: nodes that were heard from in this time are pushed to when a revision is
            published; the others get it with the first packet that they send again.
        first_retry_ms: a node that has not confirmed is pushed to again with its next packet
            after this time, then after twice as long, and so on.
        last_retry_ms: the longest such wait.
    """

    enabled: bool = True
    nodes: Allowance = Allowance(500, 5_000)
    bytes: Allowance = Allowance(500_000, 4_000_000)
    horizon_ms: int = 600_000
    first_retry_ms: int = 1_000
    last_retry_ms: int = 60_000

    def retry_ms(self, attempts: int) -> int:
        """How long to wait for confirmation after so many attempts."""
        return min(self.last_retry_ms, self.first_retry_ms << min(attempts - 1, 20))


class PushQueue:
    """Nodes to push to, handed out at a pace."""

    def __init__(self, settings: PushSettings, now_ms: int) -> None:
        self._nodes = TokenBucket(settings.nodes, now_ms)
        self._bytes = TokenBucket(settings.bytes, now_ms)
        self._queue: deque[Address] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def fill(self, addresses: Iterable[Address]) -> None:
        """Start over with these nodes, in this order."""
        self._queue = deque(addresses)

    def take(self, now_ms: int) -> Iterator[Address]:
        """The nodes whose turn it is."""
        while self._queue and self.wait_ms(now_ms) == 0:
            self._nodes.charge(1, now_ms)
            yield self._queue.popleft()

    def sent(self, size_bytes: int, now_ms: int) -> None:
        """Note what a push took from the link."""
        self._bytes.charge(size_bytes, now_ms)

    def wait_ms(self, now_ms: int) -> int:
        """How long until the next node's turn."""
        return max(self._nodes.wait_ms(1, now_ms), self._bytes.wait_ms(1, now_ms))
