"""Joining the fragments of packets, for strangers too, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict

from orrery.wire.packet import Fragment

MAX_PACKETS = 64
"""Packets in the making at once; the oldest gives way. A node keeps 32."""
MAX_AGE_MS = 5_000


class _Partial:
    __slots__ = ("data", "head", "since_ms", "total")

    def __init__(self, now_ms: int) -> None:
        self.since_ms = now_ms
        self.head: bytes | None = None
        self.total = 0
        self.data: dict[int, bytes] = {}

    def joined(self) -> bytes | None:
        if self.head is None or not self.total or len(self.data) < self.total - 1:
            return None
        return self.head + b"".join(self.data[number] for number in range(1, self.total))


class Reassembler:
    """Packets that are not whole yet, by their id.

    Memory is bounded by `MAX_PACKETS` times seven datagrams. Nothing here is authenticated: the
    MAC of the joined packet is what tells whether its parts belong together.
    """

    def __init__(self) -> None:
        self._partials: OrderedDict[bytes, _Partial] = OrderedDict()

    def __len__(self) -> int:
        return len(self._partials)

    def add_head(self, datagram: bytes, now_ms: int) -> bytes | None:
        """Take the first datagram of a packet; returns the packet once it is whole."""
        partial = self._partial(datagram[:8], now_ms)
        if partial.head is None:
            partial.head = datagram
        return self._finish(datagram[:8], partial)

    def add(self, fragment: Fragment, now_ms: int) -> bytes | None:
        """Take a later datagram of a packet; returns the packet once it is whole."""
        partial = self._partial(fragment.packet_id, now_ms)
        if partial.total in {0, fragment.total}:
            partial.total = fragment.total
            partial.data.setdefault(fragment.number, fragment.data)
        return self._finish(fragment.packet_id, partial)

    def _partial(self, packet_id: bytes, now_ms: int) -> _Partial:
        partial = self._partials.get(packet_id)
        if partial is None or now_ms - partial.since_ms > MAX_AGE_MS:
            partial = self._partials[packet_id] = _Partial(now_ms)
            self._partials.move_to_end(packet_id)
            if len(self._partials) > MAX_PACKETS:
                self._partials.popitem(last=False)
        return partial

    def _finish(self, packet_id: bytes, partial: _Partial) -> bytes | None:
        packet = partial.joined()
        if packet is not None:
            del self._partials[packet_id]
        return packet
