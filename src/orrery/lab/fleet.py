"""Many leaves in one process, over real UDP sockets.

Leaves share sockets: a datagram names the ZeroTier address that it is for, so thousands may live
behind one port. What keeps them alive is one heap of the times at which each has something to do.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush

from orrery.server.clock import Clock
from orrery.vl1.events import Event, PacketDropped
from orrery.vl1.leaf import LeafNode
from orrery.vl1.path import Path
from orrery.wire.endpoint import Endpoint
from orrery.wire.packet import FRAGMENT_HEADER_BYTES

Report = Callable[[int, Event, float], None]
"""Told the number of a leaf, what it reports, and the wall clock then, in milliseconds."""

_BATCH = 128
_DATAGRAM_BYTES = 65_535
_BUFFER_BYTES = 4 << 20
_SO_RCVBUFFORCE = 33


class _Member:
    """One leaf of a fleet."""

    __slots__ = ("asleep", "leaf", "number", "socket", "tick_ms")

    def __init__(self, number: int, leaf: LeafNode, bound: socket.socket) -> None:
        self.number = number
        self.leaf = leaf
        self.socket = bound
        self.asleep = True
        self.tick_ms = 0


class Fleet:
    """Leaves that live in the running event loop, from `start` to `close`.

    Args:
        leaves: numbered from 0 in this order.
        sockets: they are dealt out among these; see `bind_sockets`.
        clock: the one that the leaves were made by.
        report: told of everything but dropped packets, which are counted.
    """

    def __init__(
        self,
        leaves: Iterable[LeafNode],
        sockets: Sequence[socket.socket],
        clock: Clock,
        report: Report,
    ) -> None:
        self._clock = clock
        self._report = report
        self._sockets = tuple(sockets)
        self._members = [
            _Member(number, leaf, sockets[number % len(sockets)])
            for number, leaf in enumerate(leaves)
        ]
        self._by_address = {m.leaf.address.to_bytes(5): m for m in self._members}
        self._paths: dict[tuple[str, int], Path] = {}
        self._targets: dict[Endpoint, tuple[str, int]] = {}
        self._blocked: set[Endpoint] = set()
        self._heap: list[tuple[int, int, _Member]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._members)

    def start(self, spread_ms: int = 0) -> None:
        """Let the leaves begin, one after another over this time."""
        self._loop = asyncio.get_running_loop()
        for bound in self._sockets:
            self._loop.add_reader(bound.fileno(), self._receive, bound)
        now_ms = self._clock.now_ms()
        for member in self._members:
            member.asleep = False
            self._plan(member, now_ms + spread_ms * member.number // len(self._members))
        self._set_timer(now_ms)

    def close(self) -> None:
        """Stop all and close the sockets."""
        if self._timer is not None:
            self._timer.cancel()
        for bound in self._sockets:
            self._loop.remove_reader(bound.fileno())
            bound.close()

    def put_to_sleep(self, numbers: Iterable[int]) -> None:
        """Stop these leaves as a closed lid does: packets pass them by, and they do not know."""
        for number in numbers:
            self._members[number].asleep = True

    def wake(self, numbers: Iterable[int]) -> None:
        """Let these leaves go on; what is overdue they do at once."""
        now_ms = self._clock.now_ms()
        for number in numbers:
            member = self._members[number]
            member.asleep = False
            self._plan(member, now_ms)
        self._set_timer(now_ms)

    def block(self, endpoints: Iterable[Endpoint]) -> None:
        """Let nothing through to these endpoints or from them, as a firewall does."""
        self._blocked.update(endpoints)

    def unblock(self, endpoints: Iterable[Endpoint]) -> None:
        """Let packets through again."""
        self._blocked.difference_update(endpoints)

    def call(self, number: int, act: Callable[[LeafNode, int], object]) -> None:
        """Do something with a leaf at the time it is now, and send what comes of it."""
        now_ms = self._clock.now_ms()
        member = self._members[number]
        act(member.leaf, now_ms)
        self._settle(member, now_ms)
        self._set_timer(now_ms)

    def leaf(self, number: int) -> LeafNode:
        """A leaf, to look at."""
        return self._members[number].leaf

    # -- time ----------------------------------------------------------------------------------

    def _plan(self, member: _Member, due_ms: int) -> None:
        member.tick_ms = due_ms
        heappush(self._heap, (due_ms, member.number, member))

    def _tick(self) -> None:
        self._timer = None
        now_ms = self._clock.now_ms()
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            due_ms, _, member = heappop(heap)
            if due_ms != member.tick_ms:
                continue  # was planned anew
            member.tick_ms = 0
            if not member.asleep:
                member.leaf.tick(now_ms)
                self._settle(member, now_ms)
        self._set_timer(now_ms)

    def _set_timer(self, now_ms: int) -> None:
        if not self._heap:
            return
        due_ms = self._heap[0][0]
        if self._timer is not None:
            if self._timer_ms <= due_ms:
                return
            self._timer.cancel()
        self._timer_ms = due_ms
        self._timer = self._loop.call_later(max(0, due_ms - now_ms) / 1000, self._tick)

    # -- datagrams -----------------------------------------------------------------------------

    def _receive(self, bound: socket.socket) -> None:
        now_ms = self._clock.now_ms()
        for _ in range(_BATCH):
            try:
                datagram, source = bound.recvfrom(_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno == errno.ECONNREFUSED:  # the root is away, says ICMP
                    continue
                raise
            self.counts["packets in"] += 1
            if len(datagram) <= FRAGMENT_HEADER_BYTES:
                continue
            member = self._by_address.get(datagram[8:13])
            if member is None or member.asleep:
                continue
            path = self._paths.get(source)
            if path is None:
                ip = socket.inet_pton(bound.family, source[0])
                path = self._paths[source] = Path(Endpoint(ip, source[1]))
            if path.endpoint in self._blocked:
                self.counts["packets blocked"] += 1
                continue
            member.leaf.receive(datagram, path, now_ms)
            self._settle(member, now_ms)
        self._set_timer(now_ms)

    def _settle(self, member: _Member, now_ms: int) -> None:
        """Send and report what a leaf has come up with, and plan its next tick."""
        leaf = member.leaf
        datagrams, events, _ = leaf.drain()
        for datagram, path in datagrams:
            self._send(member.socket, datagram, path.endpoint)
        for event in events:
            if isinstance(event, PacketDropped):
                self.counts[f"dropped: {event.reason}"] += 1
            else:
                self._report(member.number, event, time.time_ns() / 1_000_000)
        due_ms = leaf.next_tick_ms(now_ms)
        if not member.tick_ms or due_ms < member.tick_ms:
            self._plan(member, due_ms)

    def _send(self, bound: socket.socket, datagram: bytes, endpoint: Endpoint) -> None:
        if endpoint in self._blocked:
            self.counts["packets blocked"] += 1
            return
        target = self._targets.get(endpoint)
        if target is None:
            target = self._targets[endpoint] = (endpoint.host, endpoint.port)
        try:
            bound.sendto(datagram, target)
            self.counts["packets out"] += 1
        except OSError:
            self.counts["packets not sent"] += 1


def bind_sockets(ips: Sequence[str], count: int) -> list[socket.socket]:
    """UDP sockets on these addresses of this machine, in turn, on ports that are free."""
    bound: list[socket.socket] = []
    try:
        for number in range(count):
            ip = ips[number % len(ips)]
            one = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
            bound.append(one)
            one.setblocking(False)
            try:
                one.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            except OSError:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            one.bind((ip, 0))
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound
