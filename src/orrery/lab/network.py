"""A network of nodes in virtual time: delay, loss, duplicates, disorder, NAT, sleep.

Everything follows from a seed and from what the test does: no clock, no socket, no thread. Time
passes in `run_for` and `run_until` only, from one event to the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from heapq import heappop, heappush
from random import Random
from typing import Any, NamedTuple, Protocol

from orrery.errors import VerifyError
from orrery.vl1.events import Drop, Event, Output, PacketDropped
from orrery.vl1.path import ANY_SOCKET, Path
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity

START_MS = 1_700_000_000_000
"""What the virtual clock shows first."""
PROOF_MS = 5
"""What checking one proof of work takes; a host checks one after the other."""
_FIRST_PUBLIC_PORT = 20_000


class VirtualNode(Protocol):
    """What can live in the network: a root or a leaf."""

    @property
    def address(self) -> int:
        """Its ZeroTier address."""

    def receive(self, datagram: bytes, path: Path, now_ms: int) -> None:
        """Take one datagram."""

    def tick(self, now_ms: int) -> None:
        """Do what is due by time."""

    def next_tick_ms(self, now_ms: int) -> int:
        """When to call `tick` at the latest."""

    def drain(self) -> Output:
        """What it wants done."""

    def proof_done(self, identity: Identity, proven: bool, now_ms: int) -> None:
        """The result of a proof of work."""


class Link(NamedTuple):
    """How a host is connected. A packet passes the links of its sender and of its receiver.

    Attributes:
        latency_ms: shortest and longest delay.
        loss_out: share of what the host sends that is lost.
        loss_in: share of what is sent to it that is lost.
        duplicate: share of packets that arrive twice.
        reorder: share of packets that are held back for `reorder_ms`.
        reorder_ms: how long.
    """

    latency_ms: tuple[int, int] = (5, 15)
    loss_out: float = 0.0
    loss_in: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_ms: int = 100


class NatKind(Enum):
    """Whom a NAT lets in through a port that it opened.

    Both use one public port for whatever a host's socket sends, as most NATs do.
    """

    FULL_CONE = "anybody"
    PORT_RESTRICTED = "whom the host has sent to, by address and port"


class Nat:
    """A router with one public address in front of any number of hosts.

    Args:
        ip: its public address.
        kind: whom it lets in.
        timeout_ms: how long it remembers what a host has sent.
    """

    def __init__(
        self, ip: bytes, kind: NatKind = NatKind.PORT_RESTRICTED, timeout_ms: int = 30_000
    ) -> None:
        self.ip = ip
        self.kind = kind
        self.timeout_ms = timeout_ms
        self._next_port = _FIRST_PUBLIC_PORT
        self._port_of: dict[Endpoint, int] = {}
        self._inside: dict[int, Endpoint] = {}
        self._sent_ms: dict[int, int] = {}
        self._allowed_ms: dict[tuple[int, Endpoint], int] = {}

    def outward(self, inside: Endpoint, to: Endpoint, now_ms: int) -> Endpoint:
        """The public endpoint from which a host's packet leaves."""
        port = self._port_of.get(inside)
        if port is None or now_ms - self._sent_ms[port] > self.timeout_ms:
            if port is not None:
                del self._inside[port]
            port = self._next_port
            self._next_port += 1
            self._port_of[inside] = port
            self._inside[port] = inside
        self._sent_ms[port] = now_ms
        if self.kind is NatKind.PORT_RESTRICTED:
            self._allowed_ms[port, to] = now_ms
        return Endpoint(self.ip, port)

    def inward(self, source: Endpoint, port: int, now_ms: int) -> Endpoint | None:
        """The host's endpoint that a packet to a public port is for, if it is let in."""
        inside = self._inside.get(port)
        if inside is None or now_ms - self._sent_ms[port] > self.timeout_ms:
            return None
        if self.kind is NatKind.PORT_RESTRICTED:
            allowed_ms = self._allowed_ms.get((port, source))
            if allowed_ms is None or now_ms - allowed_ms > self.timeout_ms:
                return None
        return inside

    def public_endpoint(self, inside: Endpoint, now_ms: int) -> Endpoint | None:
        """Where a host's packets come from for the outside, None if its mapping is forgotten."""
        port = self._port_of.get(inside)
        if port is None or now_ms - self._sent_ms[port] > self.timeout_ms:
            return None
        return Endpoint(self.ip, port)

    def note_sent(self, inside: Endpoint, to: Endpoint | None, at_ms: int) -> None:
        """Note that a host with a mapping has sent something then, to an endpoint or anywhere."""
        port = self._port_of[inside]
        self._sent_ms[port] = max(self._sent_ms[port], at_ms)
        if to is not None and self.kind is NatKind.PORT_RESTRICTED:
            self._allowed_ms[port, to] = max(self._allowed_ms.get((port, to), 0), at_ms)

    def reboot(self) -> None:
        """Forget every mapping; hosts get other ports."""
        self._port_of.clear()
        self._inside.clear()
        self._sent_ms.clear()
        self._allowed_ms.clear()


@dataclass(slots=True)
class Traffic:
    """What an endpoint was sent and has sent, delivered or not."""

    bytes_to: int = 0
    bytes_from: int = 0
    packets_to: int = 0
    packets_from: int = 0


class Host:
    """A node with its sockets, as the network knows it.

    Attributes:
        node: who lives there; replace it by `FakeNetwork.replace` to restart it.
        endpoints: its sockets, numbered from 0.
        nat: the router in front of its sockets of one family, if there is one.
        link: how it is connected.
        is_up: whether anything gets in or out, and whether time passes for it.
        events: what the node reported, but for dropped packets.
        drops: how many packets it dropped, by reason.
        proofs: how many proofs of work were checked for it.
    """

    __slots__ = (
        "drops",
        "endpoints",
        "events",
        "is_up",
        "link",
        "nat",
        "node",
        "proof_free_ms",
        "proofs",
        "tick_ms",
    )

    def __init__(
        self, node: VirtualNode, endpoints: tuple[Endpoint, ...], nat: Nat | None, link: Link
    ) -> None:
        self.node = node
        self.endpoints = endpoints
        self.nat = nat
        self.link = link
        self.is_up = True
        self.events: list[Event] = []
        self.drops: Counter[Drop] = Counter()
        self.proofs = 0
        self.proof_free_ms = 0
        self.tick_ms = 0

    def nat_of(self, own: Endpoint) -> Nat | None:
        """The router that packets of one of its sockets pass."""
        nat = self.nat
        return nat if nat is not None and len(nat.ip) == len(own.ip) else None

    def events_of(self, kind: type[Any]) -> list[Any]:
        """What the node reported of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


class _Arrival(NamedTuple):
    host: Host
    datagram: bytes
    path: Path


class _Proven(NamedTuple):
    host: Host
    node: VirtualNode
    identity: Identity
    proven: bool


class FakeNetwork:
    """Hosts, and what is under way between them.

    Args:
        seed: of all chance.
        check_proof: raises VerifyError for an identity without proof; `Identity.validate`, or
            `lab.identities.check_unproven` for fleets.
        now_ms: what the clock shows first.

    Attributes:
        now_ms: what the clock shows.
        traffic: what each public endpoint has sent and was sent.
        watcher: called with every event of every node.
        tap: called with every packet, its source and its destination as the outside sees them.
    """

    def __init__(
        self,
        seed: int,
        check_proof: Callable[[Identity], None] = Identity.validate,
        now_ms: int = START_MS,
    ) -> None:
        self.now_ms = now_ms
        self.traffic: dict[Endpoint, Traffic] = {}
        self.watcher: Callable[[Host, Event], None] | None = None
        self.tap: Callable[[bytes, Endpoint, Endpoint], None] | None = None
        self._random = Random(seed)  # noqa: S311 - a simulation is to be repeatable
        self._check_proof = check_proof
        self._queue: list[tuple[int, int, _Arrival | _Proven | Host]] = []
        self._count = 0
        self._hosts: dict[Endpoint, Host] = {}
        self._gone: set[Endpoint] = set()
        self._nats: dict[bytes, Nat] = {}

    # -- who is there --------------------------------------------------------------------------

    def add(
        self,
        node: VirtualNode,
        *endpoints: Endpoint,
        nat: Nat | None = None,
        link: Link = Link(),  # noqa: B008 - immutable
    ) -> Host:
        """Connect a node, which begins at once."""
        host = Host(node, endpoints, nat, link)
        for endpoint in endpoints:
            if endpoint in self._hosts:
                raise ValueError(f"{endpoint} is taken")
            self._hosts[endpoint] = host
        if nat is not None:
            self._nats[nat.ip] = nat
        self._schedule_tick(host)
        return host

    def put_to_sleep(self, host: Host) -> None:
        """Stop a host: what is sent to it is lost, and its node does not notice time."""
        host.is_up = False

    def wake(self, host: Host) -> None:
        """Let a host go on."""
        host.is_up = True
        self._schedule_tick(host)

    def replace(self, host: Host, node: VirtualNode) -> None:
        """Restart a host: a new node behind the same sockets."""
        host.node = node
        host.is_up = True
        self._schedule_tick(host)

    def move(self, host: Host, *endpoints: Endpoint) -> None:
        """Give a host other sockets."""
        for endpoint in host.endpoints:
            del self._hosts[endpoint]
        for endpoint in endpoints:
            self._hosts[endpoint] = host
        host.endpoints = endpoints

    def take_away(self, endpoint: Endpoint) -> None:
        """Let a host lose one of its addresses: all from and to there is lost."""
        del self._hosts[endpoint]
        self._gone.add(endpoint)

    def open_place(self, host: Host, endpoint: Endpoint) -> None:
        """Give a host one more address, or back one that it has lost."""
        if endpoint in self._hosts:
            raise ValueError(f"{endpoint} is taken")
        self._hosts[endpoint] = host
        self._gone.discard(endpoint)
        if endpoint not in host.endpoints:
            host.endpoints = (*host.endpoints, endpoint)

    def host_at(self, endpoint: Endpoint) -> Host | None:
        """The host with this address, whether it is up or not."""
        return self._hosts.get(endpoint)

    def act(self, host: Host) -> None:
        """Send off what a node wants after it was called by the test."""
        self._drain(host)

    def inject(self, datagram: bytes, source: Endpoint, destination: Endpoint) -> None:
        """Send a packet from any source, forged ones too."""
        self._transmit(datagram, source, destination, Link(), None)

    # -- time ----------------------------------------------------------------------------------

    def run_for(self, duration_ms: int) -> None:
        """Let time pass."""
        self.run_until(lambda: False, duration_ms)

    def run_until(self, reached: Callable[[], bool], limit_ms: int) -> bool:
        """Let time pass until something is so; returns False when it was not in time."""
        end_ms = self.now_ms + limit_ms
        queue = self._queue
        while not reached():
            if not queue or queue[0][0] > end_ms:
                self.now_ms = end_ms
                return reached()
            at_ms, _, what = heappop(queue)
            self.now_ms = at_ms
            self._happen(what)
        return True

    def _happen(self, what: _Arrival | _Proven | Host) -> None:
        if isinstance(what, Host):
            if what.tick_ms != self.now_ms:
                return  # was rescheduled
            what.tick_ms = 0
            if what.is_up:
                self._tick(what)
        elif isinstance(what, _Proven):
            if what.host.is_up and what.host.node is what.node:
                what.node.proof_done(what.identity, what.proven, self.now_ms)
                self._drain(what.host)
        elif what.host.is_up:
            self._receive(what.host, what.datagram, what.path)

    def _tick(self, host: Host) -> None:
        host.node.tick(self.now_ms)
        self._drain(host)

    def _receive(self, host: Host, datagram: bytes, path: Path) -> None:
        host.node.receive(datagram, path, self.now_ms)
        self._drain(host)

    def _at(self, at_ms: int, what: _Arrival | _Proven | Host) -> None:
        self._count += 1
        heappush(self._queue, (at_ms, self._count, what))

    def _schedule_tick(self, host: Host) -> None:
        due_ms = max(host.node.next_tick_ms(self.now_ms), self.now_ms)
        if host.tick_ms < self.now_ms or due_ms < host.tick_ms:
            host.tick_ms = due_ms
            self._at(due_ms, host)

    def _drain(self, host: Host) -> None:
        datagrams, events, proofs = host.node.drain()
        for datagram, path in datagrams:
            for source in self._sockets(host, path):
                self._send(host, datagram, source, path.endpoint)
        for event in events:
            if isinstance(event, PacketDropped):
                host.drops[event.reason] += 1
            else:
                host.events.append(event)
            if self.watcher is not None:
                self.watcher(host, event)
        for proof in proofs:
            self._prove(host, proof.identity)
        self._schedule_tick(host)

    def _prove(self, host: Host, identity: Identity) -> None:
        host.proofs += 1
        host.proof_free_ms = max(host.proof_free_ms, self.now_ms) + PROOF_MS
        try:
            self._check_proof(identity)
        except VerifyError:
            proven = False
        else:
            proven = True
        self._at(host.proof_free_ms, _Proven(host, host.node, identity, proven))

    # -- packets -------------------------------------------------------------------------------

    def _send(self, host: Host, datagram: bytes, source: Endpoint, destination: Endpoint) -> None:
        nat = host.nat_of(source)
        if nat is not None:
            source = nat.outward(source, destination, self.now_ms)
        elif self._hosts.get(source) is not host:
            return  # an address that it has no more
        self._transmit(datagram, source, destination, host.link, host)

    def _transmit(
        self,
        datagram: bytes,
        source: Endpoint,
        destination: Endpoint,
        link: Link,
        sender: Host | None,
    ) -> None:
        if self.tap is not None:
            self.tap(datagram, source, destination)
        sent, got = self._traffic_of(source), self._traffic_of(destination)
        sent.bytes_from += len(datagram)
        sent.packets_from += 1
        got.bytes_to += len(datagram)
        got.packets_to += 1
        if source in self._gone:
            return
        place: Endpoint | None = destination
        if (nat := self._nats.get(destination.ip)) is not None:
            place = nat.inward(source, destination.port, self.now_ms)
        host = None if place is None else self._hosts.get(place)
        if host is None or place is None or (nat is None and host.nat_of(place) is not None):
            return  # nobody there, or an address behind a NAT
        chance = self._random.random
        if chance() < link.loss_out or chance() < host.link.loss_in:
            return
        arrival = _Arrival(host, datagram, Path(source, host.endpoints.index(place)))
        copies = 2 if chance() < max(link.duplicate, host.link.duplicate) else 1
        for _ in range(copies):
            delay_ms = self._random.randint(*link.latency_ms)
            if sender is not host:
                delay_ms += self._random.randint(*host.link.latency_ms)
            for way in (link, host.link):
                if way.reorder and chance() < way.reorder:
                    delay_ms += way.reorder_ms
            self._at(self.now_ms + delay_ms, arrival)

    def _traffic_of(self, endpoint: Endpoint) -> Traffic:
        traffic = self.traffic.get(endpoint)
        if traffic is None:
            traffic = self.traffic[endpoint] = Traffic()
        return traffic

    def _sockets(self, host: Host, path: Path) -> Iterable[Endpoint]:
        """The sockets a packet leaves from: the one named, or one of the family that can."""
        if path.socket != ANY_SOCKET:
            return (host.endpoints[path.socket],)
        family = path.endpoint.family
        return [own for own in host.endpoints if own.family == family and own not in self._gone][:1]
