"""A root and a leaf that get everything: spoilt, forged, and spoilt before it was armored.

What is armored correctly under the key of a known node reaches the decoders behind the MAC; what
answers a question that the node did ask reaches those behind that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Generic, Protocol, TypeVar

from orrery.errors import VerifyError
from orrery.lab.chains import ChainMaker, root_of, table_of
from orrery.lab.identities import check_unproven
from orrery.lab.seeded import seeded_entropy
from orrery.vl1.events import Output, PacketDropped
from orrery.vl1.fragments import MAX_PACKETS
from orrery.vl1.leaf import MAX_PEERS, MAX_QUEUED, LeafNode
from orrery.vl1.limits import Allowance
from orrery.vl1.path import Path
from orrery.vl1.peer import MAX_PATHS
from orrery.vl1.root import RootLimits, RootNode
from orrery.vl1.root_peer import KnownNode
from orrery.vl1.sent import MAX_SENT
from orrery.vl1.strangers import StrangerLimits
from orrery.wire.address import Address
from orrery.wire.cipher import CipherSuite, packet_cipher
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import (
    DATAGRAM_BYTES,
    HEADER_BYTES,
    MAX_PACKET_BYTES,
    VERB_COMPRESSED,
    Fragment,
    Verb,
    encode_packet,
    header_destination,
    header_source,
)
from orrery.wire.verbs import (
    MulticastGather,
    MulticastGroup,
    Ok,
    OkHello,
    OkMulticastGather,
    PushDirectPaths,
    Rendezvous,
    UserMessage,
    WorldHeld,
    encode_addresses,
    encode_multicast_like,
)
from orrery.wire.world import World, WorldType
from tests.fuzz.mutation import Mutator
from tests.unit.vl1.playing import (
    MOON_ID,
    PLANET_ID,
    ROOT_ENDPOINT,
    START_MS,
    VERSION,
    Friend,
    endpoint_of,
    held,
    identity_of,
)

FRIENDS = 8
STRANGERS = 64
VERBS = (
    *Verb,
    0x11,
    0x1F,
    *(
        Verb.HELLO,
        Verb.OK,
        Verb.WHOIS,
        Verb.RENDEZVOUS,
        Verb.ECHO,
        Verb.MULTICAST_LIKE,
        Verb.MULTICAST_GATHER,
        Verb.PUSH_DIRECT_PATHS,
    )
    * 8,
)
"""All verbs, and those that nodes act on more often."""
QUESTIONS = 64
"""Ids of packets of the node that are remembered, to answer them."""
_GROUP = MulticastGroup(0x8056C2E21C000001, b"\xff" * 6, 0)
_UNKNOWN = Address(0x1234567890)
_ALL_SUITES = tuple(CipherSuite)


class _Fuzzed(Protocol):
    @property
    def address(self) -> Address: ...

    @property
    def identity(self) -> Identity: ...

    def receive(self, datagram: bytes, path: Path, now_ms: int) -> None: ...

    def tick(self, now_ms: int) -> None: ...

    def drain(self) -> Output: ...

    def proof_done(self, identity: Identity, proven: bool, now_ms: int) -> None: ...


NodeT = TypeVar("NodeT", bound=_Fuzzed)


class NodeFuzz(Generic[NodeT]):
    """One node, and what is done to it by chance; the same seed does the same.

    Args:
        seed: of everything.
    """

    def __init__(self, seed: int | str) -> None:
        self.random = Random(f"{type(self).__name__} {seed}")
        self.mutator = Mutator(self.random)
        self.now_ms = START_MS
        self.outcomes: Counter[str] = Counter()
        self.questions: list[tuple[Address, int, bytes]] = []
        self.node = self.make_node()
        ours = self.node.identity
        self.friends = [
            *self.named_friends(),
            *(
                Friend(number, ours, protocol=self.random.choice((4, 11, 12)))
                for number in range(FRIENDS)
            ),
        ]
        self.strangers = [Friend(f"stranger {number}", ours) for number in range(STRANGERS)]
        self.seen: list[bytes] = [self.friends[0].hello()]
        self.payloads = self.make_payloads()
        self.worlds = [world.encode() for world in self.make_worlds()]
        self._cases: list[tuple[Callable[[], bytes], int]] = [
            (self._armored_garbage, 40),
            (self._answer, 20),
            (self._spoilt_datagram, 12),
            (self._hello, 8),
            (self._stranger, 6),
            (self._for_others, 6),
            (self._fragment, 5),
            (self._noise, 3),
        ]
        self.introduce_friends()

    # -- what kinds of nodes do in their own way ---------------------------------------------

    def make_node(self) -> NodeT:
        raise NotImplementedError

    def named_friends(self) -> list[Friend]:
        raise NotImplementedError

    def introduce_friends(self) -> None:
        raise NotImplementedError

    def make_worlds(self) -> list[World]:
        raise NotImplementedError

    def now_and_then(self) -> None:
        """What its owner does."""
        raise NotImplementedError

    def check_bounds(self) -> None:
        """What it remembers is bounded."""
        raise NotImplementedError

    # -- cases -------------------------------------------------------------------------------

    def run(self, cases: int) -> None:
        """So many packets; whatever leaves the node but a drop is an AssertionError."""
        kinds = [kind for kind, _ in self._cases]
        weights = [weight for _, weight in self._cases]
        for number, make in enumerate(self.random.choices(kinds, weights, k=cases)):
            datagram = make()
            path = self._path()
            try:
                self.node.receive(datagram, path, self.now_ms)
                if number % 16 == 0:
                    self._pass_time()
                self._look_at_output(make.__name__, path)
            except Exception as error:
                raise AssertionError(f"{make.__name__} {datagram.hex()} from {path}") from error
            if len(self.seen) < 256:
                self.seen.append(datagram)
            else:
                self.seen[self.random.randrange(256)] = datagram
            if number % 1_000 == 999:
                self.check_bounds()
        self.check_bounds()

    def _pass_time(self) -> None:
        self.now_ms += self.random.choice((0, 1, 20, 200, 1_000, 5_000))
        chance = self.random.random()
        if chance < 0.002:
            self.now_ms += 400_000
        elif chance < 0.003:
            self.now_ms -= 100_000
        elif chance < 0.02:
            self.now_and_then()
        self.node.tick(self.now_ms)

    def _look_at_output(self, kind: str, path: Path) -> None:
        output = self.node.drain()
        for proof in output.proofs:
            try:
                check_unproven(proof.identity)
            except VerifyError:
                self.node.proof_done(proof.identity, False, self.now_ms)
            else:
                self.node.proof_done(proof.identity, True, self.now_ms)
            late = self.node.drain()
            output.datagrams.extend(late.datagrams)
            output.events.extend(late.events)
        for datagram, _ in output.datagrams:
            size = len(datagram)
            if size >= HEADER_BYTES and header_source(datagram) == self.node.address:
                assert size <= DATAGRAM_BYTES
                question = header_destination(datagram), packet_cipher(datagram), datagram[:8]
                self.questions.append(question)
            else:
                assert size <= MAX_PACKET_BYTES
        del self.questions[:-QUESTIONS]
        drops = [event.reason for event in output.events if isinstance(event, PacketDropped)]
        if not drops:
            self.outcomes[f"{kind}: taken"] += 1
        for reason in drops:
            self.outcomes[f"{kind}: {reason.name}"] += 1

    def _path(self) -> Path:
        if self.random.random() < 0.8:
            return self.random.choice(self.friends).path
        endpoint = endpoint_of(self.random.randrange(2_000))
        if self.random.random() < 0.2:
            endpoint = Endpoint(self.random.randbytes(16), self.random.randrange(65_536))
        return Path(endpoint, self.random.randrange(2))

    def _payload(self, verb: int) -> bytes:
        known = self.payloads.get(verb)
        if known is None:
            return self.mutator.noise()
        payload = self.random.choice(known)
        return self.mutator.mutate(payload, known) if self.random.random() < 0.8 else payload

    def _armor(self, friend: Friend, verb: int, payload: bytes) -> bytes:
        """One datagram, and the rest of its fragments right away."""
        suite = self.random.choice(_ALL_SUITES)
        hops = self.random.choice((0, 0, 0, 0, 1, 7))
        payload = payload[: 6 * DATAGRAM_BYTES]
        first, *rest = friend.fragments(verb, payload, suite=suite, hops=hops)
        for datagram in rest:
            if self.random.random() < 0.95:
                self.node.receive(datagram, friend.path, self.now_ms)
        return first

    def _armored_garbage(self) -> bytes:
        verb = self.random.choice(VERBS)
        payload = self._payload(verb)
        if self.random.random() < 0.05:
            verb |= VERB_COMPRESSED
        return self._armor(self.random.choice(self.friends), verb, payload)

    def _answer(self) -> bytes:
        """An OK to something that the node did ask, of its friend or of another."""
        if not self.questions:
            return self._noise()
        address, cipher, packet_id = self.random.choice(self.questions)
        friend = next(
            (friend for friend in self.friends if friend.address == address), self.friends[0]
        )
        verbs = (Verb.HELLO,) * 4 if cipher == 0 else (Verb.WHOIS, Verb.ECHO, Verb.HELLO)
        verb = self.random.choice((*verbs, Verb.MULTICAST_GATHER))
        body = self._body(verb, friend)
        return self._armor(friend, Verb.OK, Ok(verb, packet_id, body).encode())

    def _body(self, verb: int, friend: Friend) -> bytes:
        match verb:
            case Verb.HELLO:
                head = OkHello(self.now_ms, friend.protocol, VERSION, ROOT_ENDPOINT).encode()[:-2]
                count = self.random.choice((0, 1, 1, 2, 4))
                worlds = b"".join(self.random.choices(self.worlds, k=count))
                if self.random.random() < 0.5:
                    worlds = self.mutator.mutate(worlds, self.worlds)
                return head + len(worlds).to_bytes(2) + worlds
            case Verb.WHOIS:
                body = b"".join(
                    stranger.identity.public().to_bytes()
                    for stranger in self.random.sample(self.strangers, 3)
                )
                return self.mutator.mutate(body, [body]) if self.random.random() < 0.5 else body
            case Verb.MULTICAST_GATHER:
                return OkMulticastGather(_GROUP, 3, (friend.address,)).encode()
            case _:
                return self.mutator.noise(20)

    def _spoilt_datagram(self) -> bytes:
        return self.mutator.mutate(self.random.choice(self.seen), self.seen)

    def _hello(self) -> bytes:
        friend = self.random.choice(self.friends)
        planet = WorldHeld(
            self.random.choice((PLANET_ID, PLANET_ID, 0, 1)),
            START_MS - self.random.randrange(11_000_000),
        )
        moons = [
            WorldHeld(self.random.choice((MOON_ID, number)), self.random.choice((0, START_MS)))
            for number in range(self.random.choice((0, 0, 1, 3, 60)))
        ]
        return friend.hello(self.now_ms, planet, moons, hops=self.random.choice((0, 0, 1)))

    def _stranger(self) -> bytes:
        stranger = self.random.choice(self.strangers)
        identity = None
        if self.random.random() < 0.3:
            identity = self.random.choice(self.strangers).identity.public()
        datagram = stranger.hello(self.now_ms, identity=identity)
        if self.random.random() < 0.3:
            return self.mutator.mutate(datagram, self.seen)
        return datagram

    def _for_others(self) -> bytes:
        source = self.random.choice((*self.friends, *self.strangers))
        to = self.random.choice((*(friend.address for friend in self.friends), _UNKNOWN))
        datagram = encode_packet(
            self.random.randbytes(8),
            to,
            source.address,
            Verb.FRAME,
            self.mutator.noise(),
            hops=self.random.randrange(4),
        )
        return self.mutator.mutate(datagram, self.seen) if self.random.random() < 0.3 else datagram

    def _fragment(self) -> bytes:
        ids = [packet_id for _, _, packet_id in self.questions] + [
            datagram[:8] for datagram in self.seen
        ]
        fragment = Fragment(
            self.random.choice(ids).ljust(8, b"\0"),
            self.node.address,
            self.random.randrange(16),
            self.random.randrange(16),
            self.mutator.noise(1_000) or b"x",
            self.random.randrange(256),
        )
        return fragment.encode()

    def _noise(self) -> bytes:
        noise = self.mutator.noise(1_500)
        if self.random.random() < 0.5 and len(noise) > HEADER_BYTES:
            return noise[:8] + self.node.address.to_bytes(5) + noise[13:]
        return noise

    # -- what is spoilt ----------------------------------------------------------------------

    def make_payloads(self) -> dict[int, tuple[bytes, ...]]:
        """Good payloads by verb."""
        friend, other = self.friends[0], self.friends[1]
        endpoints = tuple(endpoint_of(number) for number in range(12))
        v6 = Endpoint.from_text("[2001:db8::5]:9993")
        clear = friend.hello(START_MS, WorldHeld(PLANET_ID, 1), [WorldHeld(MOON_ID, 0)])
        return {
            Verb.HELLO: (clear[HEADER_BYTES:], friend.hello()[HEADER_BYTES:]),
            Verb.OK: (Ok(Verb.HELLO, bytes(8), bytes(20)).encode(),),
            Verb.ERROR: (bytes((Verb.WHOIS,)) + bytes(9),),
            Verb.WHOIS: (
                encode_addresses([self.node.address]),
                encode_addresses([friend.address, other.address, _UNKNOWN] * 5),
            ),
            Verb.RENDEZVOUS: (
                Rendezvous(other.address, endpoints[0]).encode(),
                Rendezvous(other.address, v6).encode(),
            ),
            Verb.ECHO: (b"", bytes(100), bytes(3_000)),
            Verb.MULTICAST_LIKE: (encode_multicast_like([_GROUP, _GROUP._replace(adi=1)]),),
            Verb.MULTICAST_GATHER: (MulticastGather(_GROUP, 32).encode(),),
            Verb.PUSH_DIRECT_PATHS: (PushDirectPaths((*endpoints, v6)).encode(),),
            Verb.USER_MESSAGE: (UserMessage(1, b"data").encode(),),
            Verb.NETWORK_CONFIG_REQUEST: (bytes(10),),
        }


class RootFuzz(NodeFuzz[RootNode]):
    """A root of a planet with another root, and of a moon."""

    limits = RootLimits(
        strangers=StrangerLimits(site_proofs=Allowance(40, 12), waiting=16, sites=32),
        peers=32,
        paths=32,
        node_worlds=Allowance(20_000, 10_000),
    )

    def make_node(self) -> RootNode:
        entropy = seeded_entropy("fuzz")
        ours = root_of(identity_of("root"), ROOT_ENDPOINT)
        other = root_of(identity_of("other"), endpoint_of(0xFFFE))
        self.makers = [
            ChainMaker(WorldType.PLANET, PLANET_ID, [ours, other], entropy, START_MS - 10_000_000),
            ChainMaker(WorldType.MOON, MOON_ID, [ours], entropy, START_MS - 9_000_000),
        ]
        self.table = table_of(*self.makers)
        return RootNode(identity_of("root"), entropy, self.table, self.now_ms, limits=self.limits)

    def named_friends(self) -> list[Friend]:
        return [Friend("other", self.node.identity, path=Path(endpoint_of(0xFFFE)))]

    def introduce_friends(self) -> None:
        for friend in self.friends:
            self.node.learn(KnownNode(friend.identity.public()))

    def make_worlds(self) -> list[World]:
        return [
            *(world for maker in self.makers for world in maker.chain),
            self.makers[0].forge(),
        ]

    def now_and_then(self) -> None:
        if len(self.makers[0].chain) < 30:
            self.random.choice(self.makers).revise(rotate=self.random.random() < 0.5)
        self.table = table_of(*self.makers)
        self.node.publish(self.table, self.now_ms)
        self.introduce_friends()

    def check_bounds(self) -> None:
        root = self.node
        # Those above the limit are forgotten with the next housekeeping.
        assert root.peer_count <= self.limits.peers + STRANGERS + len(self.friends)
        assert len(root._recalled) <= self.limits.peers
        assert len(root._path_buckets) <= self.limits.paths
        assert len(root._strangers._sites) <= self.limits.strangers.sites
        assert len(root._strangers._waiting) == 0
        assert len(root._reassembler) <= MAX_PACKETS
        assert len(root._multicaster) <= 2_000 * root.peer_count
        assert len(root._upstreams) == 1
        for peer in root._peers.values():
            assert len(peer.held) <= len(self.makers)
            assert len(peer._paths) <= MAX_PATHS
            assert len(peer._awaited_ids) <= 64 * 8


class LeafFuzz(NodeFuzz[LeafNode]):
    """A leaf with two roots and a moon that it waits for."""

    def make_node(self) -> LeafNode:
        entropy = seeded_entropy("fuzz")
        roots = [
            root_of(identity_of(name), endpoint_of(0xFFF0 + number))
            for number, name in enumerate(("root", "other"))
        ]
        self.maker = ChainMaker(WorldType.PLANET, PLANET_ID, roots, entropy, START_MS - 10_000_000)
        self.moon = ChainMaker(WorldType.MOON, MOON_ID, roots[:1], entropy, START_MS)
        leaf = LeafNode.holding(identity_of("leaf"), entropy, self.maker.newest, (), self.now_ms)
        leaf.orbit(MOON_ID, identity_of("root").address, self.now_ms)
        return leaf

    def named_friends(self) -> list[Friend]:
        return [
            Friend(name, self.node.identity, path=Path(endpoint_of(0xFFF0 + number)))
            for number, name in enumerate(("root", "other"))
        ]

    def introduce_friends(self) -> None:
        for friend in self.friends:
            self.node.receive(friend.hello(self.now_ms), friend.path, self.now_ms)
        self._look_at_output("introduction", self.friends[0].path)

    def make_worlds(self) -> list[World]:
        for number in range(12):
            self.maker.revise(rotate=number % 2 == 0)
            self.moon.revise(rotate=number % 3 == 0)
        return [*self.maker.chain, *self.moon.chain, self.maker.forge()]

    def now_and_then(self) -> None:
        friend = self.random.choice((*self.friends, *self.strangers))
        self.node.send(friend.address, Verb.ECHO, self.mutator.noise(), self.now_ms)
        if self.random.random() < 0.1:
            self.node.deorbit(MOON_ID, self.now_ms)
            self.node.orbit(MOON_ID, self.friends[0].address, self.now_ms)

    def check_bounds(self) -> None:
        leaf = self.node
        assert len(leaf._peers) <= MAX_PEERS
        assert len(leaf._inbox or ()) <= MAX_QUEUED
        assert len(leaf._outbox or ()) <= MAX_QUEUED
        assert len(leaf._whois_ms) <= 64
        assert len(leaf._sent) <= MAX_SENT
        assert len(leaf._reassembler) <= MAX_PACKETS
        assert leaf.planet is not None
        assert held(leaf.planet).id == PLANET_ID
        assert len(leaf.moons) <= 1
        for peer in leaf._peers.values():
            assert len(peer._paths) <= MAX_PATHS
