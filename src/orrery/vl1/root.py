"""A root: answers HELLO, hands over Worlds, introduces and relays."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from heapq import nsmallest
from typing import NamedTuple

from orrery.errors import DecodeError, UpdateRefused
from orrery.vl1.events import (
    Drop,
    How,
    NodeSeen,
    WorldServed,
)
from orrery.vl1.handing import Handing
from orrery.vl1.introductions import (
    Introductions,
    Moves,
    endpoints_of,
    gained_endpoints,
    meeting_point,
)
from orrery.vl1.limits import Allowance, BucketTable, TokenBucket
from orrery.vl1.multicast import Multicaster
from orrery.vl1.node import Entropy, Node, endpoint_for_protocol
from orrery.vl1.path import ANY_SOCKET, Path
from orrery.vl1.peer import Peer
from orrery.vl1.push import PushQueue, PushSettings
from orrery.vl1.root_peer import ECHO_INTERVAL_MS, KnownNode, RootPeer
from orrery.vl1.strangers import StrangerGate, StrangerLimits
from orrery.wire.address import Address, is_reserved
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import PUBLIC_IDENTITY_BYTES, Identity
from orrery.wire.packet import (
    DATAGRAM_BYTES,
    HEADER_BYTES,
    ErrorCode,
    Packet,
    Verb,
    with_hop,
)
from orrery.wire.verbs import (
    MINIMUM_PROTOCOL_VERSION,
    Error,
    Hello,
    MulticastGather,
    Ok,
    OkHello,
    Rendezvous,
    Version,
    WorldHeld,
    decode_addresses,
    decode_identities,
    decode_multicast_like,
    encode_addresses,
    encode_ok_hello,
)
from orrery.wire.world import World, WorldType
from orrery.worlds.acceptance import check_update
from orrery.worlds.handover import HandoverTable

ECHO_PROTOCOL = 5
"""Nodes from this protocol on answer ECHO."""
CONFIRMATION_BYTES = 150
"""What a HELLO to an unconfirmed path counts for."""
UPSTREAM_HELLO_MS = 60_000
UPSTREAM_RETRY_MS = 5_000
HOUSEKEEPING_MS = 10_000
ASKING_VERSION = Version(1, 12, 0)
"""Nodes from this version on ask each of their roots something every 5 s."""
SILENCE_MS = 6_000
"""Such a node which was not heard for so long does not reach us any more."""
MOST_SHOWN = 4
"""A node is brought to so many endpoints at once: of ours when asked, of each other root's."""
_WHOIS_ANSWER_BYTES = DATAGRAM_BYTES - HEADER_BYTES


class RootLimits(NamedTuple):
    """What a root spends on others at most.

    Attributes:
        strangers: see `StrangerLimits`.
        peers: nodes remembered; beyond, those not heard from for longest are forgotten.
        node_worlds: bytes of Worlds for one node.
        path_worlds: bytes beyond three times the request for all paths of one IP address (IPv6:
            /64) that are not confirmed, and of Worlds at all. Whoever forges a source address
            gains this much traffic against its victim.
        whois: questions passed on to other roots; and as many about senders that are unknown here.
        report_ms: a node without news is reported as seen this often.
    """

    strangers: StrangerLimits = StrangerLimits()
    peers: int = 120_000
    node_worlds: Allowance = Allowance(64_000, 2_000)
    path_worlds: Allowance = Allowance(12_000, 100)
    paths: int = 16_384
    whois: Allowance = Allowance(50, 10)
    report_ms: int = 60_000


_PUSH_DEFAULTS = PushSettings()
_LIMIT_DEFAULTS = RootLimits()


class _Upstream:
    """Another root of our Worlds, and when to say HELLO to it."""

    __slots__ = ("due_ms", "endpoints")

    def __init__(self, endpoints: tuple[Endpoint, ...]) -> None:
        self.endpoints = endpoints
        self.due_ms = 0


class RootNode(Node[RootPeer]):
    """A root without I/O.

    Args:
        identity: the root's own, with its secret.
        entropy: source of packet ids.
        table: which Worlds a node is answered with.
        now_ms: the time of its start.
        push: see `PushSettings`.
        limits: see `RootLimits`.
        surroundings: a planet of others on which the nodes live that want the moons of this root.
            Its roots are greeted, so that nodes find this one through them, and they update it,
            as they do for every node. Without a meaning where the table has a planet.
    """

    def __init__(
        self,
        identity: Identity,
        entropy: Entropy,
        table: HandoverTable,
        now_ms: int,
        *,
        push: PushSettings = _PUSH_DEFAULTS,
        limits: RootLimits = _LIMIT_DEFAULTS,
        surroundings: World | None = None,
    ) -> None:
        super().__init__(identity, entropy)
        self._limits = limits
        self._push_settings = push
        self._peers: dict[Address, RootPeer] = {}
        self._recalled: OrderedDict[Address, KnownNode] = OrderedDict()
        self._strangers = StrangerGate(limits.strangers, now_ms)
        self._path_buckets = BucketTable(limits.path_worlds, limits.paths)
        self._asked_bucket = TokenBucket(limits.whois, now_ms)
        self._unknown_bucket = TokenBucket(limits.whois, now_ms)
        self._multicaster = Multicaster()
        self._introductions = Introductions()
        self._queue = PushQueue(push, now_ms)
        self._showing = PushQueue(push, now_ms)
        self._moves = Moves()
        self._upstreams: dict[Address, _Upstream] = {}
        self._surroundings = surroundings
        self._housekeeping_ms = now_ms + HOUSEKEEPING_MS
        self._handing = Handing(table, self._note)
        self._set_table(table)

    # -- what its owner tells it ---------------------------------------------------------------

    def publish(self, table: HandoverTable, now_ms: int) -> int:
        """Serve a new table from now on, and push to the nodes seen lately that it has news for.

        Those are the nodes that get another answer than before, and those whose turn had not come.
        Who was handed the same before is left to its backoff; unless the table says nothing new at
        all: then it is pushed to everybody who is behind.

        Returns:
            How many nodes it is pushed to; those whose turn has not come are the `push_backlog`.
        """
        before = self._handing.table
        again = table.says_the_same_as(before)
        self._set_table(table)
        since_ms = now_ms - self._push_settings.horizon_ms
        behind = []
        for peer in self._peers.values():
            anew = again
            if peer.forks is not None:
                anew = self._handing.judge_forks_again(peer, now_ms) or again
            if not self._handing.is_behind(peer):
                continue
            if (
                anew
                or not peer.attempts
                or self._handing.answers(table, peer) != self._handing.answers(before, peer)
            ):
                peer.attempts = 0
                peer.push_due_ms = 0
                if peer.last_receive_ms >= since_ms:
                    behind.append(peer)
        if not self._push_settings.enabled:
            return 0
        behind.sort(key=lambda peer: peer.last_receive_ms, reverse=True)
        self._queue.fill(peer.address for peer in behind)
        self.tick(now_ms)
        return len(behind)

    def learn(self, node: KnownNode) -> None:
        """Remember a node from an earlier run; its key is agreed when it is first heard from.

        Of more than `RootLimits.peers` the first are forgotten.
        """
        if node.identity.address not in self._peers:
            self._recalled[node.identity.address] = node
        if len(self._recalled) > self._limits.peers:
            self._recalled.popitem(last=False)

    def greet(self, node: KnownNode, endpoints: Iterable[Endpoint], now_ms: int) -> bool:
        """Say HELLO to a node where it was heard before, and ask what it holds.

        By itself it says its next HELLO when that is due. It is reported as seen when it answers.
        One that has come already is left alone, and so are the other roots.

        Returns:
            Whether it is greeted.
        """
        address = node.identity.address
        if address == self.address or address in self._upstreams:
            return False
        peer = self._peer(address)
        if peer is None:
            self._admit(node.identity, self.identity.agree(node.identity), now_ms)
            peer = self._peers[address]
        if peer.identity != node.identity or peer.best_path(now_ms) is not None:
            return False
        peer.asked = set()
        planet = WorldHeld(self._planet.id, 0)
        moons = tuple(WorldHeld(moon.id, 0) for moon in self._moons)
        for endpoint in endpoints:
            self._send_hello(peer, Path(endpoint, ANY_SOCKET), now_ms, planet, moons)
        return True

    def ask(self, addresses: Iterable[Address], now_ms: int) -> int:
        """Ask nodes now what they hold, and report those who answer as seen.

        They are also brought to our endpoints in the revision that they hold: by itself a node
        keeps to an endpoint that we had before for as long as we answer there, and so nobody would
        know whether it reaches us at the others.

        Returns:
            How many of them there is a way to.
        """
        asked = 0
        for address in addresses:
            peer = self._peers.get(address)
            path = None if peer is None else peer.best_path(now_ms)
            if peer is not None and path is not None:
                peer.asked = set()
                self._probe(peer, path, now_ms)
                self._show_listed_endpoints(peer, path)
                asked += 1
        return asked

    def tick(self, now_ms: int) -> None:
        """Do what is due by time: pushes, HELLO to the other roots, forgetting."""
        for address in self._queue.take(now_ms):
            peer = self._peers.get(address)
            if peer is not None and self._may_push(peer, now_ms):
                self._push(peer, now_ms)
        self._show_moves(now_ms)
        for address, upstream in self._upstreams.items():
            if _is_due(upstream.due_ms, now_ms, UPSTREAM_HELLO_MS):
                self._greet(address, upstream, now_ms)
        if _is_due(self._housekeeping_ms, now_ms, HOUSEKEEPING_MS):
            self._housekeeping_ms = now_ms + HOUSEKEEPING_MS
            self._multicaster.expire(now_ms)
            self._forget()
            self._call_silent(now_ms)

    def next_tick_ms(self, now_ms: int) -> int:
        """When `tick` has something to do at the latest."""
        due_ms = min(self._housekeeping_ms, now_ms + HOUSEKEEPING_MS)
        for queue in (self._queue, self._showing):
            if queue:
                due_ms = min(due_ms, now_ms + queue.wait_ms(now_ms))
        if self._moves and not self._showing:
            due_ms = min(due_ms, self._moves.due_ms)
        for upstream in self._upstreams.values():
            due_ms = min(due_ms, upstream.due_ms)
        return due_ms

    @property
    def surroundings(self) -> World | None:
        """The planet around this root, as its roots have updated it."""
        return self._surroundings

    @property
    def peer_count(self) -> int:
        """Nodes in memory."""
        return len(self._peers)

    @property
    def push_backlog(self) -> int:
        """Nodes whose turn in the push that runs has not come."""
        return len(self._queue)

    # -- peers ---------------------------------------------------------------------------------

    def _peer(self, address: Address) -> RootPeer | None:
        peer = self._peers.get(address)
        if peer is None and (node := self._recalled.pop(address, None)) is not None:
            peer = RootPeer(node.identity, self.identity.agree(node.identity))
            peer.set_version(node.protocol, node.version)
            peer.held.update(node.held)
            peer.planet = node.planet
            peer.last_receive_ms = node.seen_ms
            for fork in node.forks:
                if peer.held.get(fork.world_id) == fork.timestamp_ms:
                    self._handing.set_fork(peer, fork)
            self._peers[address] = peer
        return peer

    def _gate(self, now_ms: int) -> StrangerGate:
        return self._strangers

    def _admit(self, identity: Identity, agreement: bytes, now_ms: int) -> None:
        self._peers[identity.address] = RootPeer(identity, agreement)

    def _forget(self) -> None:
        excess = len(self._peers) - self._limits.peers
        if excess > 0:
            others = (p for p in self._peers.values() if p.address not in self._upstreams)
            for peer in nsmallest(excess, others, key=lambda peer: peer.last_receive_ms):
                del self._peers[peer.address]

    # -- HELLO ---------------------------------------------------------------------------------

    def _on_hello(self, packet: Packet, peer: RootPeer, path: Path, now_ms: int) -> None:
        hello = Hello.decode(packet.payload, self._crypt(peer, packet.id), peer.identity)
        if hello.protocol < MINIMUM_PROTOCOL_VERSION:
            self._drop(Drop.OLD_PROTOCOL, path)
            return
        if hello.identity.address != peer.address:
            self._drop(Drop.WRONG_ADDRESS, path)
            return
        direct = packet.hops == 0
        confirmed = direct and peer.knows(path)
        worlds = self._worlds_for(peer, hello)
        size = sum(map(len, worlds))
        if size and not self._may_hand_over(peer, size, path, confirmed, now_ms):
            worlds, size = [], 0
        body = encode_ok_hello(
            hello.timestamp_ms, endpoint_for_protocol(path.endpoint, hello.protocol), worlds
        )
        self._send(peer, Verb.OK, Ok(Verb.HELLO, packet.id, body).encode(), path)
        # A HELLO that somebody recorded and sends again is answered, as every node does, but tells
        # nothing. A node whose clock was set back is asked, which nobody can record.
        fresh = hello.timestamp_ms >= peer.hello_ms
        if fresh:
            peer.set_version(hello.protocol, hello.version)
            peer.hello_ms = hello.timestamp_ms
            peer.clock_offset_ms = hello.timestamp_ms - now_ms
            peer.question_id = packet.id
            for held in (hello.planet, *hello.moons) if not peer.is_asker else ():
                self._note_held(peer, held, How.HELLO, now_ms)
        if worlds:
            self._events.append(WorldServed(now_ms, peer.address, len(worlds), size, pushed=False))
            self._note_attempt(peer, now_ms)
        self._received(packet, peer, path, now_ms)
        # Who holds a fork may have got another World in its place by hand. A root that says it has
        # the oldest revision asks what we hold: to ask back would have both ask for ever.
        is_probe = peer.address in self._upstreams and not hello.planet.timestamp_ms
        if confirmed and not is_probe and (worlds or not fresh or peer.forks):
            self._probe(peer, path, now_ms)
        if fresh and not peer.is_asker:
            self._report(peer, hello, path, now_ms)

    def _report(self, peer: RootPeer, hello: Hello, path: Path, now_ms: int) -> None:
        """Report a HELLO that tells something new."""
        seen = NodeSeen(
            now_ms,
            peer.identity,
            path,
            hello.protocol,
            hello.version,
            hello.planet,
            # A packet has room for hundreds of others, and this one is remembered.
            tuple(moon for moon in hello.moons if self._handing.table.newest(moon.id) is not None),
        )
        if peer.seen is None or seen[1:] != peer.seen[1:]:
            peer.seen = seen
            self._events.append(seen)

    def _report_again(self, peer: RootPeer, path: Path, now_ms: int) -> None:
        """Report now and then that a node is there, with what it holds by now."""
        seen = peer.seen
        if seen is None and peer.asked is not None and peer.protocol:
            # We were started since its last HELLO, and its next may be minutes away.
            seen = self._known_of(peer, path, now_ms)
        if seen is None:
            return
        if not peer.knows(path):
            path = seen.path
        if peer.asked is not None and path not in peer.asked:
            # Each path once: where it is heard is to be known, and it may answer at several places.
            peer.asked.add(path)
        elif 0 <= now_ms - seen.at_ms < self._limits.report_ms:
            return
        else:
            peer.asked = None
        peer.seen = seen._replace(
            at_ms=now_ms,
            path=path,
            planet=_held_now(peer, seen.planet),
            moons=tuple(_held_now(peer, moon) for moon in seen.moons),
        )
        self._events.append(peer.seen)

    def _known_of(self, peer: RootPeer, path: Path, now_ms: int) -> NodeSeen:
        """What an earlier run knew of a node that has said no HELLO to this one."""
        return NodeSeen(
            now_ms,
            peer.identity,
            path,
            peer.protocol,
            peer.version,
            peer.planet,
            tuple(moon for moon in self._moons if moon.id in peer.held),
        )

    # -- Worlds --------------------------------------------------------------------------------

    def _set_table(self, table: HandoverTable) -> None:
        self._handing.table = table
        newest = [world for id_ in table.world_ids if (world := table.newest(id_)) is not None]
        self._planet = next(
            (WorldHeld(w.id, w.timestamp_ms) for w in newest if w.type is WorldType.PLANET),
            WorldHeld(0, 0),
        )
        self._moons = tuple(
            WorldHeld(w.id, w.timestamp_ms) for w in newest if w.type is WorldType.MOON
        )
        self._lives_on = self._planet
        around = None if self._planet.id else self._surroundings
        if around is not None:
            self._lives_on = WorldHeld(around.id, around.timestamp_ms)
            newest.insert(0, around)
        # Nodes that are held back keep to the roots of the revision where they are.
        held_back = [world for id_ in table.world_ids for world in table.targets(id_)[:-1]]
        others: dict[Address, tuple[Identity, dict[Endpoint, None]]] = {}
        for world in (*newest, *held_back):
            for root in world.roots:
                if root.identity.address != self.address:
                    _, places = others.setdefault(root.identity.address, (root.identity, {}))
                    places.update(dict.fromkeys(root.endpoints))
        for address in self._upstreams.keys() - others.keys():
            del self._upstreams[address]
        for address, (identity, places) in others.items():
            known = self._upstreams.get(address)
            if known is None or known.endpoints != tuple(places):
                self._upstreams[address] = _Upstream(tuple(places))
            if self._peer(address) is None:
                self._admit(identity, self.identity.agree(identity), 0)

    def _follow(self, world: World) -> None:
        """Take an update of the planet around us, as any node does."""
        if self._surroundings is None or self._planet.id:
            return
        try:
            check_update(self._surroundings, world)
        except UpdateRefused:
            return
        self._surroundings = world
        self._set_table(self._handing.table)
        for upstream in self._upstreams.values():
            upstream.due_ms = 0  # they want to know what we hold

    def _worlds_for(self, peer: RootPeer, hello: Hello) -> list[bytes]:
        """What this HELLO is answered with, as far as a packet has room."""
        if not hello.moons:
            if hello.planet == self._planet or not hello.planet.id:
                return []
            return self._handing.links(peer, [hello.planet])
        return self._handing.links(peer, [hello.planet, *hello.moons])

    def _note_held(
        self, peer: RootPeer, held: WorldHeld, how: How, now_ms: int, world: World | None = None
    ) -> None:
        before_ms = peer.held.get(held.id, 0)
        self._handing.note_held(peer, held, how, now_ms, world)
        if peer.held.get(held.id, 0) != before_ms:
            self._show_gained_endpoints(peer, held, before_ms, now_ms)

    def _may_hand_over(
        self, peer: RootPeer, size_bytes: int, path: Path, confirmed: bool, now_ms: int
    ) -> bool:
        """Whether the allowances of the node, and of an unconfirmed path, cover so many bytes."""
        if peer.worlds_bucket is None:
            peer.worlds_bucket = TokenBucket(self._limits.node_worlds, now_ms)
        if not confirmed and not self._may_send_unasked(size_bytes, path, now_ms):
            return False
        return peer.worlds_bucket.take(size_bytes, now_ms)

    def _may_send_unasked(self, size_bytes: int, path: Path, now_ms: int) -> bool:
        ip = path.endpoint.ip
        key = ip if len(ip) == 4 else ip[:8]
        return self._path_buckets.bucket(key, now_ms).take(size_bytes, now_ms)

    def _note_attempt(self, peer: RootPeer, now_ms: int) -> None:
        peer.attempts += 1
        peer.push_due_ms = now_ms + self._push_settings.retry_ms(peer.attempts)

    def _push(self, peer: RootPeer, now_ms: int) -> None:
        """Hand a node what it lacks, as the answer to its last question, and ask what it holds."""
        path = peer.best_path(now_ms)
        if path is None or peer.question_id is None:
            return
        worlds = self._handing.links(peer, peer.held.items())
        size = sum(map(len, worlds))
        if not worlds or not self._may_hand_over(peer, size, path, True, now_ms):
            return
        # The node takes the time since the echoed timestamp for the latency of this path.
        timestamp_ms = (now_ms + (peer.clock_offset_ms or 0)) % 2**64
        body = encode_ok_hello(
            timestamp_ms, endpoint_for_protocol(path.endpoint, peer.protocol), worlds
        )
        self._send(peer, Verb.OK, Ok(Verb.HELLO, peer.question_id, body).encode(), path)
        self._queue.sent(size, now_ms)
        self._note_attempt(peer, now_ms)
        self._events.append(WorldServed(now_ms, peer.address, len(worlds), size, pushed=True))
        self._probe(peer, path, now_ms)

    def _push_again(self, peer: RootPeer, now_ms: int) -> None:
        """With a packet of a node that has not confirmed: push again, with backoff."""
        if (
            self._push_settings.enabled
            and self._may_push(peer, now_ms)
            and self._handing.is_behind(peer)
        ):
            self._push(peer, now_ms)

    def _may_push(self, peer: RootPeer, now_ms: int) -> bool:
        return _is_due(peer.push_due_ms, now_ms, self._push_settings.last_retry_ms)

    def _probe(self, peer: RootPeer, path: Path, now_ms: int) -> None:
        """Ask a node what it holds: its OK carries every World that we say we have older."""
        planet = WorldHeld(self._planet.id, 0)
        moons = tuple(
            WorldHeld(moon.id, 0) for moon in self._moons if peer.held.get(moon.id) is not None
        )
        self._send_hello(peer, path, now_ms, planet, moons)

    # -- everything under a known key ------------------------------------------------------------

    def _on_unknown_sender(self, datagram: bytes, source: Address, path: Path, now_ms: int) -> None:
        self._ask_upstream(source, self._unknown_bucket, now_ms)
        self._drop(Drop.UNKNOWN_SENDER, path)

    def _on_authentic(self, packet: Packet, peer: RootPeer, path: Path, now_ms: int) -> None:
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
            case Verb.MULTICAST_LIKE:
                self._on_multicast_like(packet, peer, path, now_ms)
            case Verb.MULTICAST_GATHER:
                self._on_multicast_gather(packet, peer, path, now_ms)
            case Verb.NETWORK_CONFIG_REQUEST:
                self._on_network_config_request(packet, peer, path)
            case _:
                self._drop(Drop.UNWANTED, path)
        self._received(packet, peer, path, now_ms)
        self._push_again(peer, now_ms)

    def _received(self, packet: Packet, peer: RootPeer, path: Path, now_ms: int) -> None:
        """After any packet whose MAC fits: confirm a path that is new."""
        if packet.hops:
            peer.last_receive_ms = now_ms
        elif not peer.heard(path, now_ms) and peer.may_confirm(path, now_ms):
            # A HELLO may be several times the packet, whose source may be forged.
            if (
                packet.verb == Verb.HELLO
                or peer.protocol < ECHO_PROTOCOL
                or self._may_send_unasked(CONFIRMATION_BYTES, path, now_ms)
            ):
                self._send_hello(peer, path, now_ms, self._planet, self._moons)
            else:
                peer.expect_answer(self._send(peer, Verb.ECHO, b"", path))
        self._report_again(peer, path, now_ms)

    def _on_ok(self, packet: Packet, peer: RootPeer, path: Path, now_ms: int) -> None:
        ok = Ok.decode(packet.payload)
        if not peer.take_answer(ok.packet_id):
            if ok.verb == Verb.HELLO and peer.address in self._upstreams:
                # Another root may push too; a World needs no more proof than its signature.
                for world in OkHello.decode(ok.body).worlds:
                    self._follow(world)
            else:
                self._drop(Drop.UNEXPECTED, path)
            return
        if ok.verb == Verb.HELLO:
            answer = OkHello.decode(ok.body)
            if answer.protocol < MINIMUM_PROTOCOL_VERSION:
                self._drop(Drop.OLD_PROTOCOL, path)
                return
            peer.set_version(answer.protocol, answer.version)
            for world in answer.worlds:
                held = WorldHeld(world.id, world.timestamp_ms)
                self._note_held(peer, held, How.PROBE, now_ms, world)
                if world.type is WorldType.PLANET and not peer.planet.id:
                    peer.planet = held
                if peer.address in self._upstreams:
                    self._follow(world)
        elif ok.verb == Verb.WHOIS and peer.address in self._upstreams:
            for identity in decode_identities(ok.body):
                if not is_reserved(identity.address) and self._peer(identity.address) is None:
                    self.learn(KnownNode(identity))
        if packet.hops == 0:
            known = peer.knows(path)
            peer.confirm(path, now_ms)
            if peer.asked is not None:
                self._report_again(peer, path, now_ms)
            if not known:
                self._on_path_confirmed(peer, path, now_ms)
                return
        else:
            peer.last_receive_ms = now_ms
        self._push_again(peer, now_ms)

    def _on_path_confirmed(self, peer: RootPeer, path: Path, now_ms: int) -> None:
        """Hand over what an unconfirmed path was not given, or ask whether it arrived."""
        upstream = self._upstreams.get(peer.address)
        if upstream is not None and peer.path_count > 1 and path.endpoint in upstream.endpoints:
            self._moves.add(peer.address, path.endpoint, now_ms)
            self._show_moves(now_ms)
        behind = self._handing.is_behind(peer)
        if behind and self._may_push(peer, now_ms):
            self._push(peer, now_ms)
        elif behind or peer.forks:
            self._probe(peer, path, now_ms)

    def _on_whois(self, packet: Packet, peer: RootPeer, path: Path, now_ms: int) -> None:
        peer.question_id = packet.id
        answer = Ok(Verb.WHOIS, packet.id, b"").encode()
        empty = len(answer)
        for address in decode_addresses(packet.payload):
            identity = self._identity_of(address)
            if identity is None:
                self._ask_upstream(address, self._asked_bucket, now_ms)
            elif len(answer) + PUBLIC_IDENTITY_BYTES <= _WHOIS_ANSWER_BYTES:
                answer += identity.to_bytes()
        if len(answer) > empty and self._may_answer(len(answer), packet, peer, path, now_ms):
            self._send(peer, Verb.OK, answer, path)

    def _identity_of(self, address: Address) -> Identity | None:
        if address == self.address:
            return self._public
        if (peer := self._peers.get(address)) is not None:
            return peer.identity
        if (node := self._recalled.get(address)) is not None:
            return node.identity
        return None

    def _may_answer(
        self, size_bytes: int, packet: Packet, peer: Peer, path: Path, now_ms: int
    ) -> bool:
        """Whether an answer is small for its question, goes to a confirmed path, or is covered."""
        question = HEADER_BYTES + len(packet.payload)
        if HEADER_BYTES + size_bytes <= 3 * question or peer.knows(path):
            return True
        if self._may_send_unasked(size_bytes, path, now_ms):
            return True
        self._drop(Drop.RATE, path)
        return False

    def _on_echo(self, packet: Packet, peer: RootPeer, path: Path, now_ms: int) -> None:
        if 0 <= now_ms - peer.echoed_ms < ECHO_INTERVAL_MS:
            self._drop(Drop.RATE, path)
            return
        peer.echoed_ms = now_ms
        answer = Ok(Verb.ECHO, packet.id, packet.payload).encode()
        if self._may_answer(len(answer), packet, peer, path, now_ms):
            self._send(peer, Verb.OK, answer, path)

    def _on_multicast_like(self, packet: Packet, peer: RootPeer, path: Path, now_ms: int) -> None:
        groups, cut = decode_multicast_like(packet.payload)
        for group in groups:
            if not self._multicaster.like(group, peer.address, now_ms):
                self._drop(Drop.RATE, path)
                break
        if cut:
            raise DecodeError("A MULTICAST_LIKE ends in the middle of a group.")

    def _on_multicast_gather(self, packet: Packet, peer: RootPeer, path: Path, now_ms: int) -> None:
        ask = MulticastGather.decode(packet.payload)
        start = int.from_bytes(self._random_bytes(4), "big")
        found = self._multicaster.gather(ask.group, peer.address, ask.limit, start, now_ms)
        if found is not None:
            answer = Ok(Verb.MULTICAST_GATHER, packet.id, found.encode()).encode()
            if self._may_answer(len(answer), packet, peer, path, now_ms):
                self._send(peer, Verb.OK, answer, path)

    def _on_network_config_request(self, packet: Packet, peer: RootPeer, path: Path) -> None:
        error = Error(packet.verb, packet.id, ErrorCode.UNSUPPORTED_OPERATION, packet.payload[:8])
        self._send(peer, Verb.ERROR, error.encode(), path)

    # -- relay ---------------------------------------------------------------------------------

    def _relay(
        self, datagram: bytes, source: Address | None, destination: Address, path: Path, now_ms: int
    ) -> None:
        relayed = with_hop(datagram)
        if relayed is None:
            self._drop(Drop.TOO_MANY_HOPS, path)
            return
        target = self._peers.get(destination)
        way = None if target is None else target.best_path(now_ms)
        if way is not None:
            self._datagrams.append((relayed, way))
            if source is not None and target is not None:
                self._introduce(source, target, now_ms)
            return
        way = self._upstream_path(source, now_ms)
        if way is None or way == path:
            self._drop(Drop.UNREACHABLE, path)
        else:
            self._datagrams.append((relayed, way))

    def _introduce(self, source: Address, target: RootPeer, now_ms: int) -> None:
        """Tell two nodes of each other's paths: same family, widest scope, IPv6 first."""
        other = self._peers.get(source)
        if other is None:
            return
        if not self._introductions.is_due(source, target.address, now_ms):
            return
        meeting = meeting_point(target.paths(now_ms), other.paths(now_ms))
        if meeting is None:
            return
        here, there = meeting
        introductions = [
            (target, Rendezvous(other.address, there.endpoint), here),
            (other, Rendezvous(target.address, here.endpoint), there),
        ]
        if self._random_bytes(1)[0] & 1:
            introductions.reverse()
        for peer, rendezvous, way in introductions:
            self._send(peer, Verb.RENDEZVOUS, rendezvous.encode(), way)

    # -- new endpoints of roots ------------------------------------------------------------------

    def _show_gained_endpoints(
        self, peer: RootPeer, held: WorldHeld, before_ms: int, now_ms: int
    ) -> None:
        """Bring a node to endpoints that roots have gained in a revision which it has just taken.

        By itself it tries another endpoint of a root only when it has given up the one it uses,
        which takes it minutes. Introduced there to the root that it knows, it has both at once. An
        official root shows nobody its own; one of ours elsewhere may have no path to this node.
        """
        before = self._handing.table.revision_at(held.id, before_ms)
        after = self._handing.table.revision_at(held.id, held.timestamp_ms)
        path = peer.best_path(now_ms)
        if before is None or after is None or path is None:
            return
        self._show(peer, path, self.address, gained_endpoints(self.address, before, after))
        for root in after.roots:
            other = root.identity.address
            # A root that is new to it, a node calls everywhere.
            if other not in (self.address, peer.address) and endpoints_of(other, before):
                gained = gained_endpoints(other, before, after)
                self._show(peer, path, other, gained[:MOST_SHOWN])

    def _show_moves(self, now_ms: int) -> None:
        """Bring nodes to where other roots were found, at the pace of pushes.

        A root that starts elsewhere may know no path to those who live by it, and so calls nobody.
        """
        if not self._showing and self._moves.begin(now_ms):
            self._showing.fill(self._peers_to_show())
        for address in self._showing.take(now_ms):
            peer = self._peers.get(address)
            path = None if peer is None else peer.best_path(now_ms)
            if peer is None or path is None:
                continue
            held = [self._handing.table.revision_at(*each) for each in peer.held.items()]
            for root, endpoint in self._moves:
                if root != address and any(
                    world is not None and endpoint in endpoints_of(root, world) for world in held
                ):
                    self._show(peer, path, root, [endpoint])

    def _peers_to_show(self) -> Iterable[Address]:
        return self._peers

    def _show_listed_endpoints(self, peer: RootPeer, path: Path) -> None:
        """Bring a node to some of the endpoints that we have in what it holds."""
        for held in peer.held.items():
            world = self._handing.table.revision_at(*held)
            if world is not None:
                listed = endpoints_of(self.address, world)
                start = self._random_bytes(1)[0] % max(1, len(listed))
                shown = (*listed[start:], *listed[:start])[:MOST_SHOWN]
                self._show(peer, path, self.address, shown)

    def _show(
        self, peer: RootPeer, path: Path, root: Address, endpoints: Iterable[Endpoint]
    ) -> None:
        """Introduce a node to a root, ourselves mostly, at other endpoints."""
        for endpoint in endpoints:
            if endpoint.family == path.endpoint.family:
                self._send(peer, Verb.RENDEZVOUS, Rendezvous(root, endpoint).encode(), path)

    def _call_silent(self, now_ms: int) -> None:
        """Call nodes that have fallen silent on their other paths.

        A node keeps to the path on which it heard us last, for minutes after that died, unless it
        hears us on another one.
        """
        for peer in self._peers.values():
            if (
                peer.path_count > 1
                and peer.version >= ASKING_VERSION
                and SILENCE_MS <= now_ms - peer.last_receive_ms < SILENCE_MS + HOUSEKEEPING_MS
            ):
                for path in peer.paths(now_ms)[1:]:
                    peer.expect_answer(self._send(peer, Verb.ECHO, b"", path))

    # -- other roots -----------------------------------------------------------------------------

    def _greet(self, address: Address, upstream: _Upstream, now_ms: int) -> None:
        """HELLO to another root of our Worlds: at its path, or at every endpoint without one."""
        peer = self._peer(address)
        if peer is None:
            return
        path = peer.best_path(now_ms)
        if path is not None:
            upstream.due_ms = now_ms + UPSTREAM_HELLO_MS
            self._send_hello(peer, path, now_ms, self._lives_on, self._moons)
            return
        upstream.due_ms = now_ms + UPSTREAM_RETRY_MS
        for endpoint in upstream.endpoints:
            if endpoint.ip and endpoint.port:
                way = Path(endpoint, ANY_SOCKET)
                self._send_hello(peer, way, now_ms, self._lives_on, self._moons)

    def _upstream_path(self, not_to: Address | None, now_ms: int) -> Path | None:
        for address in self._upstreams:
            peer = self._peers.get(address)
            if peer is not None and address != not_to:
                path = peer.best_path(now_ms)
                if path is not None:
                    return path
        return None

    def _ask_upstream(self, address: Address, ration: TokenBucket, now_ms: int) -> None:
        """Ask another root who this is; its answer serves the next one who asks us."""
        if not self._upstreams or is_reserved(address):
            return
        for upstream in self._upstreams:
            peer = self._peers.get(upstream)
            path = None if peer is None else peer.best_path(now_ms)
            if peer is not None and path is not None:
                if ration.take(1, now_ms):
                    packet_id = self._send(peer, Verb.WHOIS, encode_addresses([address]), path)
                    peer.expect_answer(packet_id)
                return


def _is_due(due_ms: int, now_ms: int, longest_ms: int) -> bool:
    """Whether it is time; a wait longer than any that is set means that the clock was set back."""
    return not 0 < due_ms - now_ms <= longest_ms


def _held_now(peer: RootPeer, reported: WorldHeld) -> WorldHeld:
    return WorldHeld(reported.id, peer.held.get(reported.id, reported.timestamp_ms))
