"""A leaf: finds its roots, keeps to them, takes what they hand over, talks through them.

What it sends, and when, is what ZeroTier One 1.14 sends (ZeroTierOne node/Node.cpp, node/Peer.cpp,
node/Switch.cpp, node/IncomingPacket.cpp), but for networks, which it does not join.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Self

from orrery.errors import UpdateRefused
from orrery.vl1.events import (
    Drop,
    EchoAnswered,
    FrameReceived,
    Introduced,
    UpstreamAnswered,
    WorldRefused,
    WorldTaken,
)
from orrery.vl1.leaf_peer import FULL_HELLO_MS, HEARTBEAT_MS, LeafPeer, stalest
from orrery.vl1.limits import Allowance
from orrery.vl1.node import Entropy, Node, endpoint_for_protocol
from orrery.vl1.path import ANY_SOCKET, Path
from orrery.vl1.sent import SentIds
from orrery.vl1.strangers import StrangerGate, StrangerLimits
from orrery.wire.address import Address, is_reserved
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import Packet, Verb
from orrery.wire.verbs import (
    MINIMUM_PROTOCOL_VERSION,
    OK_HELLO_WORLDS_BYTES,
    Hello,
    Ok,
    OkHello,
    PushDirectPaths,
    Rendezvous,
    WorldHeld,
    decode_addresses,
    decode_identities,
    encode_addresses,
    encode_ok_hello,
)
from orrery.wire.world import World
from orrery.worlds.topology import StateWrite, Topology

CHECK_INTERVAL_MS = 5_000
"""How often a leaf looks whom to contact (ZT_PING_CHECK_INTERVAL)."""
UPSTREAM_HELLO_MS = 16 * HEARTBEAT_MS
"""A root with a path gets a HELLO at the first check after this time."""
SEED_HELLO_MS = 2 * HEARTBEAT_MS
"""So does the seed of a moon, which is no root yet."""
WHOIS_INTERVAL_MS = 500
"""Nobody is asked for more often (ZT_WHOIS_RETRY_DELAY)."""
QUEUE_TIMEOUT_MS = 5_000
"""How long a packet waits for an identity or a path (ZT_TRANSMIT_QUEUE_TIMEOUT)."""
MAX_QUEUED = 32
"""Packets that wait for an identity or a path, each way (ZT_TX_QUEUE_SIZE)."""
MAX_PEERS = 1_024
"""Nodes remembered beside the roots; the one not heard from for longest gives way."""
ECHO_INTERVAL_MS = 166
SILENCE_MS = 30_000
"""A root that is heard from after so long has answered anew."""
_WHOIS_LIMIT_MS = 1_000
_MAX_WHOIS = 64
_ECHO_PROTOCOL = 5
_MAX_PUSHED_PATHS = 8
_PUSH_CUTOFF_MS = 30_000
_MAX_PUSHES = 8
_TRAFFIC = frozenset(
    (
        Verb.FRAME,
        Verb.EXT_FRAME,
        Verb.NETWORK_CREDENTIALS,
        Verb.NETWORK_CONFIG_REQUEST,
        Verb.NETWORK_CONFIG,
        Verb.MULTICAST_FRAME,
        Verb.USER_MESSAGE,
    )
)
"""What is not for the node itself but for what runs on it."""
_STRANGER_LIMITS = StrangerLimits(
    agreements=Allowance(20, 20),
    proofs=Allowance(4, 2),
    site_proofs=Allowance(4, 1),
    failure_cost=4,
    waiting=8,
    sites=64,
)


class _Outgoing(NamedTuple):
    """A packet that waits for the identity of whom it is for, or for a way there."""

    address: Address
    verb: Verb
    payload: bytes
    at_ms: int


class _Incoming(NamedTuple):
    """A packet that cannot be checked until its sender's identity is known."""

    source: Address
    datagram: bytes
    path: Path
    at_ms: int


class LeafNode(Node[LeafPeer]):
    """A leaf without I/O.

    It reports every World that it takes (`WorldTaken`), which its owner stores; to restart it,
    make it from what was stored.

    Args:
        identity: the leaf's own, with its secret.
        entropy: source of packet ids, called for each; a fleet shares one.
        topology: the Worlds that it starts with, of the same identity; the leaf owns it from now.
        now_ms: the time of its start.
    """

    __slots__ = (
        "_checked_ms",
        "_inbox",
        "_moons_held",
        "_outbox",
        "_peers",
        "_planet_held",
        "_retry_ms",
        "_sent",
        "_strangers",
        "_topology",
        "_whois_ms",
    )

    def __init__(
        self, identity: Identity, entropy: Entropy, topology: Topology, now_ms: int
    ) -> None:
        super().__init__(identity, entropy)
        self._topology = topology
        self._peers: dict[Address, LeafPeer] = {}
        self._sent = SentIds()
        self._strangers: StrangerGate | None = None
        self._outbox: deque[_Outgoing] | None = None
        self._inbox: deque[_Incoming] | None = None
        self._whois_ms: dict[Address, int] = {}
        self._checked_ms = now_ms - CHECK_INTERVAL_MS
        self._retry_ms = now_ms
        self._on_worlds_changed(now_ms)

    @classmethod
    def holding(
        cls,
        identity: Identity,
        entropy: Entropy,
        planet: World,
        moons: Iterable[World],
        now_ms: int,
    ) -> Self:
        """A leaf that starts with these Worlds, unverified, as from its own files."""
        topology = Topology(identity)
        topology.add_world(planet)
        for moon in moons:
            topology.add_world(moon, always_accept_new=True)
        return cls(identity, entropy, topology, now_ms)

    # -- what its owner tells it and asks ------------------------------------------------------

    @property
    def planet(self) -> World | None:
        """The planet that it holds."""
        return self._topology.planet

    @property
    def moons(self) -> tuple[World, ...]:
        """The moons that it holds."""
        return self._topology.moons

    @property
    def upstreams(self) -> tuple[Address, ...]:
        """The roots of its Worlds."""
        return self._topology.upstreams

    def path_to(self, address: Address, now_ms: int) -> Path | None:
        """The direct path to a node, if there is one."""
        peer = self._peers.get(address)
        return None if peer is None else peer.best_path(now_ms)

    def is_online(self, now_ms: int) -> bool:
        """Whether one of its roots was heard from lately."""
        return any(
            peer.upstream_ms is not None and now_ms - peer.upstream_ms < SILENCE_MS
            for address in self._topology.upstreams
            if (peer := self._peers.get(address)) is not None
        )

    def orbit(
        self, world_id: int, seed: Address | None, now_ms: int, stored: bytes | None = None
    ) -> tuple[StateWrite, ...]:
        """Want a moon, to be asked of a seed or taken from its stored file.

        Returns:
            What is to be written to disk.
        """
        writes = self._topology.orbit(world_id, seed, stored)
        self._on_worlds_changed(now_ms)
        return writes

    def deorbit(self, world_id: int, now_ms: int) -> tuple[StateWrite, ...]:
        """Want a moon no more.

        Returns:
            What is to be written to disk.
        """
        writes = self._topology.deorbit(world_id)
        self._on_worlds_changed(now_ms)
        return writes

    def send(self, address: Address, verb: Verb, payload: bytes, now_ms: int) -> None:
        """Send to another node: over a direct path, else through a root.

        While its identity is not known or no root is reachable, the packet waits for up to
        `QUEUE_TIMEOUT_MS`; of `MAX_QUEUED` that wait the oldest gives way.
        """
        if self._try_send(address, verb, payload, now_ms):
            return
        if self._outbox is None:
            self._outbox = deque(maxlen=MAX_QUEUED)
            self._retry_ms = now_ms + WHOIS_INTERVAL_MS
        self._outbox.append(_Outgoing(address, verb, payload, now_ms))
        if address not in self._peers:
            self._whois(address, now_ms)

    # -- time ----------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """Do what is due by time: HELLO, WHOIS, what waits, forgetting."""
        if not 0 <= now_ms - self._checked_ms < CHECK_INTERVAL_MS:
            self._checked_ms = now_ms
            self._check(now_ms)
        if (self._outbox or self._inbox) and now_ms >= self._retry_ms:
            self._retry_ms = now_ms + WHOIS_INTERVAL_MS
            self._retry(now_ms)

    def next_tick_ms(self, now_ms: int) -> int:
        """When `tick` has something to do at the latest."""
        due_ms = self._checked_ms + CHECK_INTERVAL_MS
        if self._outbox or self._inbox:
            due_ms = min(due_ms, self._retry_ms)
        return max(due_ms, now_ms)

    def _check(self, now_ms: int) -> None:
        """Contact the roots and seeds that it is time for, and ask for the identities of the rest.

        The WHOIS for a root's own address looks idle; it is what a node does, and keeps the path
        open.
        """
        ask = []
        seeds = {seed for _, seed in self._topology.awaited}
        contacts = sorted(seeds.union(self._topology.upstreams))
        for address in contacts:
            peer = self._peers.get(address)
            if peer is None or not self._contact(peer, now_ms):
                ask.append(address)
        for peer in list(self._peers.values()):
            if peer.address in contacts:
                continue
            if peer.is_gone(now_ms):
                del self._peers[peer.address]
            elif peer.is_active(now_ms):
                self._keep_alive(peer, now_ms)
        for address in ask:
            self._whois(address, now_ms)

    def _contact(self, peer: LeafPeer, now_ms: int) -> bool:
        """Say HELLO to a root or seed, over its paths and to where it should be, if it is time."""
        if peer.address not in self._topology.upstreams:
            pause_ms = SEED_HELLO_MS
        else:
            pause_ms = UPSTREAM_HELLO_MS if peer.has_paths else 0
        if peer.hello_ms is not None and 0 <= now_ms - peer.hello_ms <= pause_ms:
            return False
        families = self._keep_alive(peer, now_ms)
        endpoints = self._topology.endpoints_of(peer.address)
        contacted = bool(families)
        for family in (4, 6):
            place = None if family in families else self._any_of(endpoints, family)
            if place is not None:
                self._say_hello(peer, Path(place, ANY_SOCKET), now_ms)
                contacted = True
        if not contacted and (relay := self._best_upstream(now_ms)) is not None:
            way = relay.last_path()
            if way is not None:
                self._say_hello(peer, way, now_ms)
        return True

    def _keep_alive(self, peer: LeafPeer, now_ms: int) -> set[int]:
        """HELLO or ECHO on every path that has not expired, as is due.

        Returns:
            The IP families of the paths that something was sent to.
        """
        hello = peer.hello_ms is None or not 0 <= now_ms - peer.hello_ms < FULL_HELLO_MS
        if hello:
            peer.hello_ms = now_ms
        elif now_ms - peer.sent_ms < HEARTBEAT_MS:
            return set()
        peer.forget_expired(now_ms)
        families: set[int] = set()
        for path in peer.paths(now_ms):
            if hello:
                self._say_hello(peer, path, now_ms)
            else:
                self._try_path(peer, path, now_ms)
            families.add(path.endpoint.family)
        return families

    def _any_of(self, endpoints: tuple[Endpoint, ...], family: int) -> Endpoint | None:
        places = [endpoint for endpoint in endpoints if endpoint.family == family]
        if len(places) < 2:
            return places[0] if places else None
        return places[self._random_bytes(1)[0] % len(places)]

    def _retry(self, now_ms: int) -> None:
        """Send what waits, ask again for who is unknown, give up on what has waited long."""
        outbox, self._outbox = self._outbox or (), None
        inbox, self._inbox = self._inbox or (), None
        for waiting in outbox:
            if now_ms - waiting.at_ms <= QUEUE_TIMEOUT_MS and not self._try_send(
                waiting.address, waiting.verb, waiting.payload, now_ms
            ):
                if self._outbox is None:
                    self._outbox = deque(maxlen=MAX_QUEUED)
                self._outbox.append(waiting)
                if waiting.address not in self._peers:
                    self._whois(waiting.address, now_ms)
        for held in inbox:
            if held.source in self._peers:
                self.receive(held.datagram, held.path, now_ms)
            elif now_ms - held.at_ms <= QUEUE_TIMEOUT_MS:
                if self._inbox is None:
                    self._inbox = deque(maxlen=MAX_QUEUED)
                self._inbox.append(held)
                self._whois(held.source, now_ms)
            else:
                self._drop(Drop.UNKNOWN_SENDER, held.path)

    # -- out -----------------------------------------------------------------------------------

    def _random_bytes(self, size: int) -> bytes:
        return self._entropy(size)

    def _say_hello(self, peer: LeafPeer, path: Path, now_ms: int) -> None:
        peer.sent_ms = now_ms
        self._sent.add(self._send_hello(peer, path, now_ms, self._planet_held, self._moons_held))

    def _ask(self, peer: LeafPeer, verb: Verb, payload: bytes, path: Path, now_ms: int) -> None:
        """Send a packet that may be answered."""
        peer.sent_ms = now_ms
        self._sent.add(self._send(peer, verb, payload, path))

    def _try_path(self, peer: LeafPeer, path: Path, now_ms: int) -> None:
        """See whether a node answers there: by ECHO, or HELLO where that is not known to work."""
        if peer.protocol >= _ECHO_PROTOCOL:
            self._ask(peer, Verb.ECHO, b"", path, now_ms)
        else:
            self._say_hello(peer, path, now_ms)

    def _try_send(self, address: Address, verb: Verb, payload: bytes, now_ms: int) -> bool:
        peer = self._peers.get(address)
        if peer is None:
            return False
        path = peer.best_path(now_ms)
        if path is None:
            relay = self._best_upstream(now_ms)
            path = None if relay is None else relay.best_path(now_ms)
        if path is None:
            path = peer.last_path()
        if path is None:
            return False
        self._ask(peer, verb, payload, path, now_ms)
        return True

    def _best_upstream(self, now_ms: int) -> LeafPeer | None:
        """The root to ask and to relay through; of equally good ones the last by address."""
        best: LeafPeer | None = None
        best_quality = float("inf")
        for address in self._topology.upstreams:
            peer = self._peers.get(address)
            if peer is not None:
                quality = peer.relay_quality(now_ms)
                if quality <= best_quality:
                    best, best_quality = peer, quality
        return best

    def _whois(self, address: Address, now_ms: int) -> None:
        """Ask the best root who somebody is."""
        if address == self.address or is_reserved(address):
            return
        asked = self._whois_ms
        if address in asked and 0 <= now_ms - asked[address] < WHOIS_INTERVAL_MS:
            return
        if len(asked) >= _MAX_WHOIS:
            self._whois_ms = asked = {
                other: at_ms
                for other, at_ms in asked.items()
                if 0 <= now_ms - at_ms < _WHOIS_LIMIT_MS
            }
            if len(asked) >= _MAX_WHOIS:
                return
        upstream = self._best_upstream(now_ms)
        path = None if upstream is None else upstream.best_path(now_ms) or upstream.last_path()
        if upstream is not None and path is not None:
            asked[address] = now_ms
            self._ask(upstream, Verb.WHOIS, encode_addresses([address]), path, now_ms)

    # -- others --------------------------------------------------------------------------------

    def _peer(self, address: Address) -> LeafPeer | None:
        return self._peers.get(address)

    def _learn(self, identity: Identity, agreement: bytes, now_ms: int) -> LeafPeer:
        """Remember a node, unless another with its address is known."""
        peer = self._peers.get(identity.address)
        if peer is None:
            peer = LeafPeer(identity, agreement, now_ms)
            self._peers[identity.address] = peer
            if len(self._peers) > MAX_PEERS:
                kept = (identity.address, *self._topology.upstreams)
                others = [other for other in self._peers.values() if other.address not in kept]
                del self._peers[stalest(others).address]
        return peer

    def _gate(self, now_ms: int) -> StrangerGate:
        if self._strangers is None:
            self._strangers = StrangerGate(_STRANGER_LIMITS, now_ms)
        return self._strangers

    def _admit(self, identity: Identity, agreement: bytes, now_ms: int) -> None:
        self._learn(identity, agreement, now_ms)

    def _on_worlds_changed(self, now_ms: int) -> None:
        """Know the roots of the Worlds held now, and what to say in HELLO from now on."""
        planet = self._topology.planet
        self._planet_held = (
            WorldHeld(0, 0) if planet is None else WorldHeld(planet.id, planet.timestamp_ms)
        )
        held = [WorldHeld(moon.id, moon.timestamp_ms) for moon in self._topology.moons]
        awaited = dict.fromkeys(world_id for world_id, _ in self._topology.awaited)
        self._moons_held = (*held, *(WorldHeld(world_id, 0) for world_id in awaited))
        for root in self._topology.roots():
            if root.identity.address not in self._peers:
                self._learn(root.identity, self.identity.agree(root.identity), now_ms)

    def _may_use(self, address: Address, endpoint: Endpoint) -> bool:
        """Whether to learn a path: a root is only where its Worlds say, if they say."""
        if address not in self._topology.upstreams:
            return True
        for root in self._topology.roots():
            if root.identity.address == address and (
                not root.endpoints or any(place.ip == endpoint.ip for place in root.endpoints)
            ):
                return True
        return False

    def _relay(
        self, datagram: bytes, source: Address | None, destination: Address, path: Path, now_ms: int
    ) -> None:
        self._drop(Drop.UNWANTED, path)

    def _on_unknown_sender(self, datagram: bytes, source: Address, path: Path, now_ms: int) -> None:
        """Keep the packet, and ask a root who that is."""
        if self._inbox is None:
            self._inbox = deque(maxlen=MAX_QUEUED)
            self._retry_ms = now_ms + WHOIS_INTERVAL_MS
        if len(self._inbox) == MAX_QUEUED:
            self._drop(Drop.UNKNOWN_SENDER, self._inbox[0].path)
        self._inbox.append(_Incoming(source, datagram, path, now_ms))
        self._whois(source, now_ms)

    # -- HELLO ---------------------------------------------------------------------------------

    def _on_hello(self, packet: Packet, peer: LeafPeer, path: Path, now_ms: int) -> None:
        """Answer, with our Worlds where the other says that it holds older ones."""
        hello = Hello.decode(packet.payload, self._crypt(peer, packet.id), peer.identity)
        if hello.protocol < MINIMUM_PROTOCOL_VERSION:
            self._drop(Drop.OLD_PROTOCOL, path)
            return
        if hello.identity.address != peer.address:
            self._drop(Drop.WRONG_ADDRESS, path)
            return
        body = encode_ok_hello(
            hello.timestamp_ms,
            endpoint_for_protocol(path.endpoint, hello.protocol),
            self._newer_than(hello),
        )
        self._answer(packet, peer, path, body, now_ms)
        peer.set_version(hello.protocol, hello.version)
        self._received(packet, peer, path, now_ms)

    def _newer_than(self, hello: Hello) -> list[bytes]:
        theirs = dict(hello.moons)
        ours = [
            moon
            for moon in self._topology.moons
            if moon.timestamp_ms > theirs.get(moon.id, moon.timestamp_ms)
        ]
        planet = self._topology.planet
        if (
            planet is not None
            and hello.planet.id == planet.id != 0
            and planet.timestamp_ms > hello.planet.timestamp_ms
        ):
            ours.insert(0, planet)
        worlds = []
        room = OK_HELLO_WORLDS_BYTES
        for world in ours:
            encoded = world.encode()
            room -= len(encoded)
            if room < 0:
                break
            worlds.append(encoded)
        return worlds

    # -- everything under a known key ----------------------------------------------------------

    def _on_authentic(self, packet: Packet, peer: LeafPeer, path: Path, now_ms: int) -> None:
        match packet.verb:
            case Verb.HELLO:
                self._on_hello(packet, peer, path, now_ms)
                return
            case Verb.OK:
                self._on_ok(packet, peer, path, now_ms)
                return
            case Verb.WHOIS:
                self._on_whois(packet, peer, path, now_ms)
            case Verb.ECHO:
                self._on_echo(packet, peer, path, now_ms)
            case Verb.RENDEZVOUS:
                self._on_rendezvous(packet, peer, path, now_ms)
            case Verb.PUSH_DIRECT_PATHS:
                self._on_push_direct_paths(packet, peer, path, now_ms)
            case verb if verb in _TRAFFIC:
                peer.frame_ms = now_ms
                self._events.append(
                    FrameReceived(now_ms, peer.address, verb, packet.payload, packet.hops)
                )
        self._received(packet, peer, path, now_ms)

    def _received(self, packet: Packet, peer: LeafPeer, path: Path, now_ms: int) -> None:
        """After any packet whose MAC fits: note the path, learn it from an OK, else confirm it."""
        if packet.hops:
            peer.last_receive_ms = now_ms
        elif not peer.heard(path, now_ms) and self._may_use(peer.address, path.endpoint):
            if packet.verb == Verb.OK:
                peer.confirm(path, now_ms)
            elif peer.may_confirm(path, now_ms):
                self._say_hello(peer, path, now_ms)
        if peer.address in self._topology.upstreams:
            before_ms, peer.upstream_ms = peer.upstream_ms, now_ms
            if before_ms is None or now_ms - before_ms >= SILENCE_MS:
                self._events.append(UpstreamAnswered(now_ms, peer.address, path))

    def _answer(self, packet: Packet, peer: LeafPeer, path: Path, body: bytes, now_ms: int) -> None:
        peer.sent_ms = now_ms
        self._send(peer, Verb.OK, Ok(packet.verb, packet.id, body).encode(), path)

    def _on_ok(self, packet: Packet, peer: LeafPeer, path: Path, now_ms: int) -> None:
        """Take an answer to anything that was sent lately, to whomever, as a node does."""
        ok = Ok.decode(packet.payload)
        if ok.packet_id not in self._sent:
            self._drop(Drop.UNEXPECTED, path)
            return
        if ok.verb == Verb.HELLO:
            answer = OkHello.decode(ok.body)
            if answer.protocol < MINIMUM_PROTOCOL_VERSION:
                self._drop(Drop.OLD_PROTOCOL, path)
                return
            if not self._take(answer, peer.address, now_ms):
                self._drop(Drop.MALFORMED, path)
                return
            if not packet.hops:
                peer.latency_ms = max(0, now_ms - answer.timestamp_ms)
            peer.set_version(answer.protocol, answer.version)
        elif ok.verb == Verb.WHOIS and peer.address in self._topology.upstreams:
            self._on_identities(decode_identities(ok.body), now_ms)
        elif ok.verb == Verb.ECHO and ok.body:
            self._events.append(EchoAnswered(now_ms, peer.address, ok.body))
        self._received(packet, peer, path, now_ms)

    def _take(self, answer: OkHello, source: Address, now_ms: int) -> bool:
        """Take Worlds one after the other, if they come from somebody who may hand them over.

        Returns:
            Whether all could be read; those before a broken one are taken.
        """
        if not self._topology.accepts_updates_from(source):
            return True
        changed = False
        for world in answer.worlds:
            try:
                self._topology.add_world(world)
            except UpdateRefused as refused:
                self._events.append(WorldRefused(now_ms, world, source, str(refused)))
            else:
                changed = True
                self._events.append(WorldTaken(now_ms, world, source))
        if changed:
            self._on_worlds_changed(now_ms)
        return not answer.broken

    def _on_identities(self, identities: tuple[Identity, ...], now_ms: int) -> None:
        """Believe a root who others are."""
        for identity in identities:
            address = identity.address
            if address == self.address or is_reserved(address):
                continue
            self._whois_ms.pop(address, None)
            if address not in self._peers:
                self._learn(identity, self.identity.agree(identity), now_ms)
        if self._outbox or self._inbox:
            self._retry(now_ms)

    def _on_whois(self, packet: Packet, peer: LeafPeer, path: Path, now_ms: int) -> None:
        known = b""
        for address in decode_addresses(packet.payload):
            if address == self.address:
                known += self._public.to_bytes()
            elif (other := self._peers.get(address)) is not None:
                known += other.identity.to_bytes()
        if known:
            self._answer(packet, peer, path, known, now_ms)

    def _on_echo(self, packet: Packet, peer: LeafPeer, path: Path, now_ms: int) -> None:
        if peer.echoed_ms is not None and 0 <= now_ms - peer.echoed_ms < ECHO_INTERVAL_MS:
            self._drop(Drop.RATE, path)
            return
        peer.echoed_ms = now_ms
        self._answer(packet, peer, path, packet.payload, now_ms)

    def _on_rendezvous(self, packet: Packet, peer: LeafPeer, path: Path, now_ms: int) -> None:
        """Go and see whether the other node is where a root says."""
        if peer.address not in self._topology.upstreams:
            self._drop(Drop.UNWANTED, path)
            return
        introduction = Rendezvous.decode(packet.payload)
        other = self._peers.get(introduction.address)
        place = Path(introduction.endpoint, path.socket)
        if other is None or not self._may_use(other.address, place.endpoint):
            self._drop(Drop.UNWANTED, path)
            return
        self._events.append(Introduced(now_ms, other.address, place))
        self._try_path(other, place, now_ms)

    def _on_push_direct_paths(
        self, packet: Packet, peer: LeafPeer, path: Path, now_ms: int
    ) -> None:
        """Try some of the paths that a node says it has, unless it says so all the time."""
        lately = 0 <= now_ms - peer.pushed_ms <= _PUSH_CUTOFF_MS
        peer.pushes = peer.pushes + 1 if lately else 0
        peer.pushed_ms = now_ms
        if peer.pushes >= _MAX_PUSHES:
            self._drop(Drop.RATE, path)
            return
        told = PushDirectPaths.decode(packet.payload)
        for endpoint in told.endpoints[:_MAX_PUSHED_PATHS]:
            place = Path(endpoint, path.socket)
            if not peer.knows(place) and self._may_use(peer.address, endpoint):
                self._try_path(peer, place, now_ms)
