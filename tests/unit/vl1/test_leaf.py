"""What a leaf does beyond the recorded sessions."""

from __future__ import annotations

import pytest

from orrery.lab.chains import ChainMaker, root_of
from orrery.lab.identities import make_unproven_identity
from orrery.lab.network import START_MS
from orrery.lab.seeded import seeded_entropy
from orrery.vl1.events import (
    Drop,
    EchoAnswered,
    Event,
    FrameReceived,
    Introduced,
    PacketDropped,
    UpstreamAnswered,
    WorldRefused,
    WorldTaken,
)
from orrery.vl1.leaf import (
    CHECK_INTERVAL_MS,
    MAX_PEERS,
    MAX_QUEUED,
    QUEUE_TIMEOUT_MS,
    UPSTREAM_HELLO_MS,
    WHOIS_INTERVAL_MS,
    LeafNode,
)
from orrery.vl1.leaf_peer import ACTIVITY_MS
from orrery.vl1.node import Node
from orrery.vl1.path import ANY_SOCKET, Path
from orrery.vl1.peer import PATH_EXPIRATION_MS, Peer
from orrery.vl1.sent import MAX_SENT, SentIds
from orrery.wire.address import Address
from orrery.wire.cipher import CipherSuite, SharedKeys
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import (
    FLAG_FRAGMENTED,
    FLAGS_OFFSET,
    ErrorCode,
    Packet,
    Verb,
    encode_packet,
    is_fragmented_size,
    split,
)
from orrery.wire.verbs import (
    PROTOCOL_VERSION,
    SOFTWARE_VERSION,
    Error,
    Hello,
    Ok,
    OkHello,
    PushDirectPaths,
    Rendezvous,
    WorldHeld,
    encode_addresses,
    encode_ok_hello,
)
from orrery.wire.world import World, WorldType
from orrery.worlds.topology import StateObject, Topology

ROOT_IP4 = Endpoint.from_text("20.0.0.1/9993")
ROOT_IP6 = Endpoint.from_text("[2001:db8::1]:9993")
ELSEWHERE = Path(Endpoint.from_text("66.6.6.6/6666"))
PLANET_ID = 0x1234567890ABCDEF
NO_WORLD = WorldHeld(0, 0)


class Remote:
    """A node that a test speaks for."""

    def __init__(self, name: str, leaf: Identity) -> None:
        self.identity = make_unproven_identity(name)
        self.leaf = leaf
        self.keys = SharedKeys(self.identity.agree(leaf))
        self.entropy = seeded_entropy(name)

    @property
    def address(self) -> Address:
        return self.identity.address

    def say(
        self,
        verb: int,
        payload: bytes,
        suite: CipherSuite = CipherSuite.POLY1305_SALSA2012,
        hops: int = 0,
    ) -> bytes:
        """A packet for the leaf, in one datagram however large."""
        packet = encode_packet(
            self.entropy(8), self.leaf.address, self.address, verb, payload, hops=hops
        )
        return self.keys.armor(packet, suite)

    def hello(self, planet: WorldHeld = NO_WORLD, *moons: WorldHeld) -> bytes:
        packet_id = self.entropy(8)
        hello = Hello(
            PROTOCOL_VERSION, SOFTWARE_VERSION, 1, self.identity, Endpoint.NIL, planet, moons
        )
        payload = hello.encode(lambda field: self.keys.crypt_field(field, packet_id))
        packet = encode_packet(packet_id, self.leaf.address, self.address, Verb.HELLO, payload)
        return self.keys.armor(packet, CipherSuite.POLY1305_NONE)

    def ok_hello(self, packet_id: bytes, *worlds: World, timestamp_ms: int = START_MS) -> bytes:
        body = encode_ok_hello(timestamp_ms, ROOT_IP4, [world.encode() for world in worlds])
        return self.say(Verb.OK, Ok(Verb.HELLO, packet_id, body).encode())

    def read(self, datagram: bytes) -> Packet:
        """What the leaf said to it."""
        return Packet.decode(self.keys.dearmor(datagram))


class Stage:
    """A leaf, its root, and the time."""

    def __init__(self, *endpoints: Endpoint, leaf: str = "leaf") -> None:
        self.now_ms = START_MS
        self.identity = make_unproven_identity(leaf)
        self.root = Remote("root", self.identity)
        self.maker = ChainMaker(
            WorldType.PLANET,
            PLANET_ID,
            [root_of(self.root.identity, *(endpoints or (ROOT_IP4,)))],
            seeded_entropy("keys"),
            START_MS,
        )
        self.leaf = LeafNode.holding(
            self.identity, seeded_entropy(leaf), self.maker.newest, (), self.now_ms
        )
        self.path = Path(ROOT_IP4)
        self.events: list[Event] = []

    def hear(self, datagram: bytes, path: Path | None = None) -> list[tuple[bytes, Path]]:
        self.leaf.receive(datagram, path or self.path, self.now_ms)
        return self.settle()

    def wait(self, duration_ms: int) -> list[tuple[bytes, Path]]:
        """Let time pass, with every tick on time; returns all that was sent."""
        end_ms = self.now_ms + duration_ms
        sent: list[tuple[bytes, Path]] = []
        while (due_ms := self.leaf.next_tick_ms(self.now_ms)) <= end_ms:
            self.now_ms = due_ms
            self.leaf.tick(self.now_ms)
            sent += self.settle()
        self.now_ms = end_ms
        return sent

    def settle(self) -> list[tuple[bytes, Path]]:
        datagrams, events, proofs = self.leaf.drain()
        self.events += events
        for proof in proofs:
            self.leaf.proof_done(proof.identity, True, self.now_ms)
            datagrams += self.settle()
        return datagrams

    def come_online(self) -> bytes:
        """The first exchange; returns the id of the HELLO."""
        ((hello, _),) = self.wait(0)
        assert self.hear(self.root.ok_hello(hello[:8], timestamp_ms=self.now_ms)) == []
        return hello[:8]

    def meet(self, name: str, path: Path) -> Remote:
        """Another node says HELLO and is believed."""
        other = Remote(name, self.identity)
        sent = self.hear(other.hello(), path)
        confirm = other.read(sent[-1][0])
        assert confirm.verb == Verb.HELLO
        self.hear(other.ok_hello(confirm.id), path)
        return other

    def events_of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def drops(self) -> list[Drop]:
        return [event.reason for event in self.events if isinstance(event, PacketDropped)]


def verbs(remote: Remote, sent: list[tuple[bytes, Path]]) -> list[int]:
    return [remote.read(datagram).verb for datagram, _ in sent]


# -- contact -----------------------------------------------------------------------------------


def test_without_a_path_hello_every_5_s_to_one_endpoint_of_each_family() -> None:
    other = Endpoint.from_text("20.0.0.2/9993")
    stage = Stage(ROOT_IP4, other, ROOT_IP6)
    seen: set[Endpoint] = set()
    for _ in range(20):
        sent = stage.wait(CHECK_INTERVAL_MS)
        assert verbs(stage.root, sent) == [Verb.HELLO] * len(sent)
        assert [path.endpoint.family for _, path in sent[-2:]] == [4, 6]
        assert all(path.socket == ANY_SOCKET for _, path in sent)
        seen |= {path.endpoint for _, path in sent}
    assert seen == {ROOT_IP4, other, ROOT_IP6}


def test_with_a_path_whois_every_5_s_and_hello_every_225() -> None:
    stage = Stage()
    stage.come_online()
    hellos, asked = [], 0
    for second in range(5, 905, 5):
        sent = stage.wait(CHECK_INTERVAL_MS)
        ((datagram, _),) = sent
        packet = stage.root.read(datagram)
        if packet.verb == Verb.HELLO:
            hellos.append(second)
            stage.hear(stage.root.ok_hello(packet.id))
        else:
            assert packet.verb == Verb.WHOIS
            assert packet.payload == encode_addresses([stage.root.address])
            asked += 1
            stage.hear(
                stage.root.say(
                    Verb.OK, Ok(Verb.WHOIS, packet.id, stage.root.identity.to_bytes()).encode()
                )
            )
    assert hellos == [225, 450, 675, 900]
    assert asked == 180 - 4
    assert -(-UPSTREAM_HELLO_MS // 5_000) == 225_000 // 5_000


def test_a_root_that_stays_silent_is_searched_for_again_after_two_hellos() -> None:
    stage = Stage()
    stage.come_online()
    hellos = [
        second
        for second in range(5, 505, 5)
        if verbs(stage.root, stage.wait(CHECK_INTERVAL_MS))[0] == Verb.HELLO
    ]
    assert hellos[:2] == [225, 450]
    assert hellos[2:] == list(range(455, 505, 5))
    assert not stage.leaf.is_online(stage.now_ms)


def test_online_is_reported_at_first_and_after_a_silence() -> None:
    stage = Stage()
    assert not stage.leaf.is_online(stage.now_ms)
    hello_id = stage.come_online()
    assert stage.leaf.is_online(stage.now_ms)
    stage.hear(stage.root.ok_hello(hello_id))
    stage.wait(60_000)
    stage.hear(stage.root.ok_hello(hello_id))
    answered = stage.events_of(UpstreamAnswered)
    assert answered == [
        UpstreamAnswered(START_MS, stage.root.address, stage.path),
        UpstreamAnswered(START_MS + 60_000, stage.root.address, stage.path),
    ]


def test_a_node_that_becomes_a_root_answers_anew() -> None:
    stage = Stage()
    path = Path(Endpoint.from_text("20.0.5.1/9993"))
    seed, moon = stage.meet("seed", path), a_moon(stage)[1]
    assert stage.events_of(UpstreamAnswered) == []
    stage.leaf.orbit(moon.newest.id, None, stage.now_ms, moon.newest.encode())
    stage.hear(seed.say(Verb.ECHO, b""), path)
    assert stage.events_of(UpstreamAnswered) == [UpstreamAnswered(stage.now_ms, seed.address, path)]


def test_a_clock_set_back_holds_nothing_up() -> None:
    stage = Stage()
    stage.come_online()
    stage.now_ms -= 3_600_000
    stage.leaf.tick(stage.now_ms)
    assert stage.settle() != []


# -- Worlds ------------------------------------------------------------------------------------


def test_a_push_that_quotes_any_question_is_taken_link_by_link() -> None:
    stage = Stage()
    stage.come_online()
    ((whois, _),) = stage.wait(CHECK_INTERVAL_MS)
    first = stage.maker.revise(rotate=True)
    second = stage.maker.revise(rotate=True)
    third = stage.maker.revise()
    stage.hear(stage.root.ok_hello(whois[:8], first, second, third))
    assert stage.events_of(WorldTaken) == [
        WorldTaken(stage.now_ms, world, stage.root.address) for world in (first, second, third)
    ]
    assert stage.leaf.planet == third


def test_a_missed_link_is_refused_with_the_reason() -> None:
    stage = Stage()
    hello_id = stage.come_online()
    stage.maker.revise(rotate=True)
    third = stage.maker.revise()
    stage.hear(stage.root.ok_hello(hello_id, third))
    (refused,) = stage.events_of(WorldRefused)
    assert isinstance(refused, WorldRefused)
    assert (refused.world, refused.source) == (third, stage.root.address)
    assert "wants an update signed by the key" in refused.reason


def test_worlds_before_a_broken_one_are_taken() -> None:
    stage = Stage()
    hello_id = stage.come_online()
    first = stage.maker.revise()
    cut = stage.maker.revise().encode()[:100]
    body = encode_ok_hello(START_MS, ROOT_IP4, [first.encode(), cut])
    stage.hear(stage.root.say(Verb.OK, Ok(Verb.HELLO, hello_id, body).encode()))
    assert stage.leaf.planet == first
    assert stage.drops() == [Drop.MALFORMED]


def test_nothing_is_taken_for_a_question_that_was_not_asked() -> None:
    stage = Stage()
    stage.come_online()
    stage.hear(stage.root.ok_hello(b"\1\2\3\4\5\6\7\x08", stage.maker.revise()))
    assert stage.events_of(WorldTaken) == []
    assert stage.drops() == [Drop.UNEXPECTED]


def test_nothing_is_taken_from_a_node_that_is_no_root() -> None:
    stage = Stage()
    stage.come_online()
    path = Path(Endpoint.from_text("30.0.0.1/1"))
    other = stage.meet("other", path)
    ((whois, _),) = stage.wait(CHECK_INTERVAL_MS)
    stage.hear(other.ok_hello(whois[:8], stage.maker.revise()), path)
    assert stage.events_of(WorldTaken) == stage.events_of(WorldRefused) == []


def test_worlds_are_taken_from_wherever_the_root_sends_them() -> None:
    stage = Stage()
    hello_id = stage.come_online()
    moved = Endpoint.from_text("20.9.9.9/9993")
    revision = stage.maker.revise([root_of(stage.root.identity, moved)])
    stage.now_ms += 1
    sent = stage.hear(stage.root.ok_hello(hello_id, revision), Path(moved))
    assert stage.leaf.planet == revision
    assert sent == []
    # The path is learned with the answer, as the World that came in it allows it.
    sent = stage.wait(CHECK_INTERVAL_MS)
    assert [path.endpoint for _, path in sent] == [moved]


def test_a_root_has_no_path_where_no_world_puts_it() -> None:
    stage = Stage()
    hello_id = stage.come_online()
    stage.wait(PATH_EXPIRATION_MS)
    stage.hear(stage.root.ok_hello(hello_id), ELSEWHERE)
    assert stage.leaf.path_to(stage.root.address, stage.now_ms) is None


def test_a_probe_is_answered_with_what_is_held() -> None:
    stage = Stage()
    stage.come_online()
    sent = stage.hear(stage.root.hello(WorldHeld(PLANET_ID, 0)))
    answer = stage.root.read(sent[0][0])
    ok = Ok.decode(answer.payload)
    assert ok.verb == Verb.HELLO
    assert OkHello.decode(ok.body).worlds == (stage.maker.newest,)


@pytest.mark.parametrize(
    "held",
    [WorldHeld(0, 0), WorldHeld(PLANET_ID, START_MS), WorldHeld(PLANET_ID + 1, 0)],
    ids=["none", "the same", "another planet"],
)
def test_hello_of_who_needs_nothing_is_answered_with_nothing(held: WorldHeld) -> None:
    stage = Stage()
    stage.come_online()
    sent = stage.hear(stage.root.hello(held))
    assert OkHello.decode(Ok.decode(stage.root.read(sent[0][0]).payload).body).worlds == ()


# -- moons -------------------------------------------------------------------------------------


def a_moon(stage: Stage) -> tuple[Remote, ChainMaker]:
    seed = Remote("seed", stage.identity)
    endpoint = Endpoint.from_text("20.0.5.1/9993")
    maker = ChainMaker(
        WorldType.MOON, seed.address, [root_of(seed.identity, endpoint)], seeded_entropy(1), 1_000
    )
    return seed, maker


def test_hello_names_the_moon_that_is_waited_for() -> None:
    stage = Stage()
    seed, moon = a_moon(stage)
    assert stage.leaf.orbit(moon.newest.id, seed.address, stage.now_ms) == ()
    ((hello, _),) = stage.wait(0)
    packet = stage.root.read(hello)
    said = Hello.decode(packet.payload, lambda field: stage.root.keys.crypt_field(field, packet.id))
    assert said.moons == (WorldHeld(moon.newest.id, 0),)
    stage.hear(stage.root.ok_hello(hello[:8], moon.newest))
    assert stage.leaf.moons == (moon.newest,)
    assert stage.leaf.upstreams == tuple(sorted((stage.root.address, seed.address)))


def test_a_stored_moon_is_held_at_once_and_let_go() -> None:
    stage = Stage()
    _, moon = a_moon(stage)
    stage.leaf.orbit(moon.newest.id, None, stage.now_ms, moon.newest.encode())
    assert stage.leaf.moons == (moon.newest,)
    (write,) = stage.leaf.deorbit(moon.newest.id, stage.now_ms)
    assert (write.object, write.world_id, write.data) == (StateObject.MOON, moon.newest.id, None)
    assert not stage.leaf.moons
    assert stage.leaf.upstreams == (stage.root.address,)


def test_a_probe_is_answered_with_moons() -> None:
    stage = Stage()
    _, moon = a_moon(stage)
    stage.leaf.orbit(moon.newest.id, None, stage.now_ms, moon.newest.encode())
    stage.hear(stage.root.hello())
    sent = stage.hear(stage.root.hello(WorldHeld(PLANET_ID, 0), WorldHeld(moon.newest.id, 0)))
    answer = OkHello.decode(Ok.decode(stage.root.read(sent[0][0]).payload).body)
    assert answer.worlds == (stage.maker.newest, moon.newest)


# -- other nodes -------------------------------------------------------------------------------


def test_a_stranger_is_answered_after_its_proof() -> None:
    stage = Stage()
    other = Remote("stranger", stage.identity)
    stage.leaf.receive(other.hello(), ELSEWHERE, stage.now_ms)
    output = stage.leaf.drain()
    assert output.datagrams == []
    ((identity,),) = output.proofs
    assert identity == other.identity
    stage.leaf.proof_done(identity, True, stage.now_ms)
    assert verbs(other, stage.leaf.drain().datagrams) == [Verb.OK, Verb.HELLO]


def test_a_stranger_without_proof_is_not() -> None:
    stage = Stage()
    other = Remote("stranger", stage.identity)
    stage.leaf.receive(other.hello(), ELSEWHERE, stage.now_ms)
    stage.leaf.drain()
    stage.leaf.proof_done(other.identity, False, stage.now_ms)
    stage.settle()
    assert stage.drops() == [Drop.NO_PROOF]
    stage.leaf.proof_done(other.identity, True, stage.now_ms)
    assert stage.settle() == []


def test_who_claims_a_known_address_is_told_of_the_collision() -> None:
    stage = Stage()
    path = Path(Endpoint.from_text("30.0.0.1/1"))
    known = stage.meet("known", path)
    impostor = Remote("impostor", stage.identity)
    impostor.identity = Identity(
        known.address, impostor.identity.public_key, impostor.identity.private_key
    )
    sent = stage.hear(impostor.hello(), ELSEWHERE)
    error = Error.decode(impostor.read(sent[0][0]).payload)
    assert (error.verb, error.code) == (Verb.HELLO, ErrorCode.IDENTITY_COLLISION)
    assert stage.drops() == [Drop.COLLISION]


def test_a_packet_from_an_unknown_node_waits_until_a_root_says_who_it_is() -> None:
    stage = Stage()
    stage.come_online()
    other = Remote("other", stage.identity)
    sent = stage.hear(other.say(Verb.FRAME, b"hello", hops=1))
    whois = stage.root.read(sent[0][0])
    assert (whois.verb, whois.payload) == (Verb.WHOIS, encode_addresses([other.address]))
    assert stage.events_of(FrameReceived) == []
    answer = Ok(Verb.WHOIS, whois.id, other.identity.to_bytes()).encode()
    stage.hear(stage.root.say(Verb.OK, answer))
    assert stage.events_of(FrameReceived) == [
        FrameReceived(stage.now_ms, other.address, Verb.FRAME, b"hello", 1)
    ]


def test_packets_from_unknown_nodes_are_bounded_and_given_up() -> None:
    stage = Stage()
    stage.come_online()
    asked = 0
    for number in range(200):
        asked += len(stage.hear(Remote(f"unknown {number}", stage.identity).say(Verb.FRAME, b"")))
    assert asked <= 64
    assert stage.drops() == [Drop.UNKNOWN_SENDER] * (200 - MAX_QUEUED)
    stage.wait(QUEUE_TIMEOUT_MS + 2 * WHOIS_INTERVAL_MS)
    assert stage.drops() == [Drop.UNKNOWN_SENDER] * 200


def test_only_a_root_is_believed_who_others_are() -> None:
    stage = Stage()
    stage.come_online()
    path = Path(Endpoint.from_text("30.0.0.1/1"))
    liar = stage.meet("liar", path)
    other = Remote("other", stage.identity)
    ((whois, _),) = stage.wait(CHECK_INTERVAL_MS)
    answer = Ok(Verb.WHOIS, whois[:8], other.identity.to_bytes()).encode()
    stage.hear(liar.say(Verb.OK, answer), path)
    stage.leaf.send(other.address, Verb.FRAME, b"", stage.now_ms)
    assert verbs(stage.root, stage.settle()) == [Verb.WHOIS]


def test_what_is_sent_to_an_unknown_node_waits_and_is_relayed() -> None:
    stage = Stage()
    stage.come_online()
    other = Remote("other", stage.identity)
    for number in range(MAX_QUEUED + 3):
        stage.leaf.send(other.address, Verb.FRAME, bytes((number,)), stage.now_ms)
    ((whois, _),) = stage.settle()
    answer = Ok(Verb.WHOIS, whois[:8], other.identity.to_bytes()).encode()
    sent = stage.hear(stage.root.say(Verb.OK, answer))
    assert {path for _, path in sent} == {stage.path}
    assert [other.read(datagram).payload for datagram, _ in sent] == [
        bytes((number,)) for number in range(3, MAX_QUEUED + 3)
    ]


def test_what_waits_too_long_is_given_up() -> None:
    stage = Stage()
    stage.come_online()
    other = Remote("other", stage.identity)
    stage.leaf.send(other.address, Verb.FRAME, b"late", stage.now_ms)
    stage.settle()
    asked = verbs(stage.root, stage.wait(QUEUE_TIMEOUT_MS + 2 * WHOIS_INTERVAL_MS))
    assert 5 <= asked.count(Verb.WHOIS) <= 12
    assert stage.leaf.next_tick_ms(stage.now_ms) - stage.now_ms > WHOIS_INTERVAL_MS
    ((whois, _),) = stage.wait(CHECK_INTERVAL_MS)
    answer = Ok(Verb.WHOIS, whois[:8], other.identity.to_bytes()).encode()
    assert stage.hear(stage.root.say(Verb.OK, answer)) == []


def test_a_direct_path_is_used_and_kept_open() -> None:
    stage = Stage()
    stage.come_online()
    path = Path(Endpoint.from_text("30.0.0.1/1"))
    other = stage.meet("other", path)
    stage.hear(other.say(Verb.FRAME, b"traffic"), path)
    stage.leaf.send(other.address, Verb.FRAME, b"back", stage.now_ms)
    ((datagram, way),) = stage.settle()
    assert (way, other.read(datagram).payload) == (path, b"back")
    sent = [other.read(datagram).verb for datagram, way in stage.wait(30_000) if way == path]
    assert sent == [Verb.HELLO, Verb.ECHO]


def test_who_is_silent_is_forgotten() -> None:
    stage = Stage()
    stage.come_online()
    path = Path(Endpoint.from_text("30.0.0.1/1"))
    other = stage.meet("other", path)
    stage.wait(ACTIVITY_MS + CHECK_INTERVAL_MS)
    stage.leaf.send(other.address, Verb.FRAME, b"", stage.now_ms)
    assert other.address not in stage.leaf._peers
    assert stage.root.address in stage.leaf._peers


def test_memory_of_others_is_bounded() -> None:
    stage = Stage()
    stage.come_online()
    agreement = bytes(48)
    for number in range(MAX_PEERS + 50):
        identity = Identity(Address(0x1000 + number), bytes(64))
        stage.leaf._learn(identity, agreement, stage.now_ms + number)
    assert len(stage.leaf._peers) == MAX_PEERS
    assert stage.root.address in stage.leaf._peers
    assert Address(0x1000) not in stage.leaf._peers


def test_introduction_by_a_root() -> None:
    stage = Stage()
    stage.come_online()
    path = Path(Endpoint.from_text("30.0.0.1/1"))
    other = stage.meet("other", path)
    place = Endpoint.from_text("30.0.0.2/7777")
    introduction = Rendezvous(other.address, place).encode()
    sent = stage.hear(stage.root.say(Verb.RENDEZVOUS, introduction))
    assert [(other.read(d).verb, p.endpoint) for d, p in sent] == [(Verb.ECHO, place)]
    assert stage.events_of(Introduced) == [Introduced(stage.now_ms, other.address, Path(place))]


def test_introduction_by_anybody_else_is_ignored() -> None:
    stage = Stage()
    stage.come_online()
    path = Path(Endpoint.from_text("30.0.0.1/1"))
    other = stage.meet("other", path)
    introduction = Rendezvous(other.address, Endpoint.from_text("9.9.9.9/9")).encode()
    assert stage.hear(other.say(Verb.RENDEZVOUS, introduction), path) == []
    assert stage.drops() == [Drop.UNWANTED]


def test_pushed_paths_are_tried_but_not_all_and_not_always() -> None:
    stage = Stage()
    stage.come_online()
    path = Path(Endpoint.from_text("30.0.0.1/1"))
    other = stage.meet("other", path)
    places = tuple(Endpoint(bytes((31, 0, 0, number)), 1) for number in range(20))
    payload = PushDirectPaths(places).encode()
    tried = [len(stage.hear(other.say(Verb.PUSH_DIRECT_PATHS, payload), path)) for _ in range(10)]
    assert tried == [8] * 8 + [0] * 2


def test_echo_both_ways() -> None:
    stage = Stage()
    stage.come_online()
    ((datagram, _),) = stage.hear(stage.root.say(Verb.ECHO, b"ping"))
    answer = Ok.decode(stage.root.read(datagram).payload)
    assert (answer.verb, answer.body) == (Verb.ECHO, b"ping")
    assert stage.hear(stage.root.say(Verb.ECHO, b"too soon")) == []
    stage.leaf.send(stage.root.address, Verb.ECHO, b"and you?", stage.now_ms)
    ((datagram, _),) = stage.settle()
    body = Ok(Verb.ECHO, datagram[:8], b"and you?").encode()
    stage.hear(stage.root.say(Verb.OK, body))
    assert stage.events_of(EchoAnswered) == [
        EchoAnswered(stage.now_ms, stage.root.address, b"and you?")
    ]


def test_whois_of_itself_and_of_strangers() -> None:
    stage = Stage()
    stage.come_online()
    payload = encode_addresses([stage.identity.address, Address(0x1234)])
    ((datagram, _),) = stage.hear(stage.root.say(Verb.WHOIS, payload))
    answer = Ok.decode(stage.root.read(datagram).payload)
    assert answer.body == stage.identity.public().to_bytes()
    assert stage.hear(stage.root.say(Verb.WHOIS, encode_addresses([Address(0x1234)]))) == []


def test_a_leaf_relays_nothing() -> None:
    stage = Stage()
    packet = encode_packet(bytes(8), Address(0x77), Address(0x78), Verb.FRAME, bytes(20))
    assert stage.hear(packet) == []
    assert stage.drops() == [Drop.UNWANTED]


def test_an_answer_in_fragments_is_put_together_in_any_order() -> None:
    stage = Stage(*(Endpoint(bytes((20, 0, 1, n)), 9993) for n in range(32)))
    ((hello, _),) = stage.wait(0)
    worlds = [stage.maker.revise(rotate=True) for _ in range(6)]
    body = encode_ok_hello(START_MS, ROOT_IP4, [world.encode() for world in worlds])
    packet = encode_packet(
        bytes(range(8)),
        stage.identity.address,
        stage.root.address,
        Verb.OK,
        Ok(Verb.HELLO, hello[:8], body).encode(),
    )
    assert is_fragmented_size(len(packet))
    flagged = bytearray(packet)
    flagged[FLAGS_OFFSET] |= FLAG_FRAGMENTED
    armored = stage.root.keys.armor(bytes(flagged), CipherSuite.POLY1305_SALSA2012)
    for datagram in reversed(split(armored)):
        assert stage.leaf.planet != worlds[-1]
        stage.hear(datagram, Path(Endpoint(bytes((20, 0, 1, 0)), 9993)))
    assert stage.leaf.planet == worlds[-1]


# -- parts -------------------------------------------------------------------------------------


def test_sent_ids_are_compared_by_their_upper_half_and_bounded() -> None:
    sent = SentIds()
    assert bytes(8) not in sent
    for number in range(MAX_SENT + 10):
        sent.add(number.to_bytes(4) + b"low ")
    assert len(sent) == MAX_SENT
    assert (MAX_SENT).to_bytes(4) + b"else" in sent
    assert (10).to_bytes(4) + b"else" in sent
    assert (9).to_bytes(4) + b"else" not in sent


def test_half_an_id_across_two_neighbours_does_not_count() -> None:
    sent = SentIds()
    sent.add(b"ABCDxxxx")
    sent.add(b"EFGHxxxx")
    assert b"CDEFxxxx" not in sent
    assert b"DEFGxxxx" not in sent
    assert b"EFGHyyyy" in sent


def test_a_leaf_has_no_dictionary() -> None:
    stage = Stage()
    assert not hasattr(stage.leaf, "__dict__")
    assert issubclass(LeafNode, Node)
    assert not hasattr(Peer(stage.identity.public(), bytes(48)), "__dict__")


def test_a_leaf_without_a_planet_waits_for_nobody() -> None:
    identity = make_unproven_identity("lonely")
    leaf = LeafNode(identity, seeded_entropy(0), Topology(identity), START_MS)
    leaf.tick(START_MS)
    assert leaf.drain().datagrams == []
    assert leaf.planet is None
