"""Which packets a node has sent lately, to tell answers from inventions."""

from __future__ import annotations

MAX_SENT = 8_192
"""Ids that a node remembers, with no time limit (ZeroTierOne node/Node.hpp, expectReplyTo)."""
_HALF_BYTES = 4


class SentIds:
    """The upper halves of the ids of packets that were sent, the last `MAX_SENT` of them.

    Only these 32 bits count for a node, so only they are kept, in one string of bytes: a fleet of
    thousands of leaves has as many of these.
    """

    __slots__ = ("_halves", "_next")

    def __init__(self) -> None:
        self._halves = bytearray()
        self._next = 0

    def add(self, packet_id: bytes) -> None:
        """Note a packet; the oldest gives way."""
        start = self._next
        self._halves[start : start + _HALF_BYTES] = packet_id[:_HALF_BYTES]
        self._next = (start + _HALF_BYTES) % (MAX_SENT * _HALF_BYTES)

    def __contains__(self, packet_id: bytes) -> bool:
        half = packet_id[:_HALF_BYTES]
        at = self._halves.find(half)
        while at > 0 and at % _HALF_BYTES:
            at = self._halves.find(half, at + 1)
        return at >= 0

    def __len__(self) -> int:
        return len(self._halves) // _HALF_BYTES
