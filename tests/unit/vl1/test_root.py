"""The root: what it throws away and why, how strangers get in, which paths it uses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orrery.vl1.events import Drop, NodeSeen, PacketDropped
from orrery.vl1.limits import Allowance
from orrery.vl1.path import Path
from orrery.vl1.peer import PATH_ALIVE_MS, PATH_EXPIRATION_MS
from orrery.vl1.root import RootLimits
from orrery.vl1.root_peer import ECHO_INTERVAL_MS, KnownNode
from orrery.vl1.strangers import StrangerLimits
from orrery.wire.address import Address
from orrery.wire.cipher import CipherSuite
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import (
    HEADER_BYTES,
    MAX_PACKET_BYTES,
    VERB_COMPRESSED,
    Packet,
    Verb,
    encode_packet,
)
from orrery.wire.verbs import Error, Hello, MulticastGroup, Ok, WorldHeld, encode_multicast_like
from orrery.wire.verbs import encode_addresses as whois
from tests.unit.vl1.playing import (
    MOON_ID,
    Friend,
    Play,
    Sent,
    endpoint_of,
    held,
    make_moon,
    make_planet,
)

# -- what is thrown away ---------------------------------------------------------------------


def raw(
    play: Play, friend: Friend, destination: int | None = None, source: int | None = None
) -> bytes:
    """A packet that nobody armored."""
    to = play.root.address if destination is None else Address(destination)
    return encode_packet(
        bytes(8), to, friend.address if source is None else Address(source), Verb.ECHO, b""
    )


def tampered(datagram: bytes, offset: int = -1) -> bytes:
    changed = bytearray(datagram)
    changed[offset] ^= 1
    return bytes(changed)


def old_hello(friend: Friend, suite: CipherSuite) -> bytes:
    friend.protocol = 3
    return friend.hello(suite=suite)


def hello_of_another(friend: Friend, suite: CipherSuite) -> bytes:
    return friend.hello(suite=suite, identity=Friend("another", friend.ours).identity.public())


def cut_moons(friend: Friend) -> bytes:
    packet_id = b"abcdefgh"
    whole = Hello.decode(b"\x0c" + bytes(12) + friend.identity.public().to_bytes(), bytes)
    whole = whole._replace(moons=(WorldHeld(1, 2), WorldHeld(3, 4)))
    payload = whole.encode(lambda field: friend.keys.crypt_field(field, packet_id))[:-1]
    return friend.packet(Verb.HELLO, payload, suite=CipherSuite.POLY1305_NONE, packet_id=packet_id)


DROPS_OF_KNOWN: list[tuple[str, Drop, Callable[[Play, Friend], bytes]]] = [
    ("empty", Drop.TOO_SHORT, lambda p, f: b""),
    ("16 bytes", Drop.TOO_SHORT, lambda p, f: bytes(16)),
    ("27 bytes", Drop.TOO_SHORT, lambda p, f: raw(p, f)[:27]),
    ("from ours", Drop.RESERVED, lambda p, f: raw(p, f, source=p.root.address)),
    ("from ours to others", Drop.RESERVED, lambda p, f: raw(p, f, 0x1234567890, p.root.address)),
    ("from itself to itself", Drop.RESERVED, lambda p, f: raw(p, f, f.address)),
    ("from zero", Drop.RESERVED, lambda p, f: raw(p, f, source=0)),
    ("too large", Drop.MALFORMED, lambda p, f: raw(p, f) + bytes(MAX_PACKET_BYTES)),
    (
        "HELLO without payload",
        Drop.MALFORMED,
        lambda p, f: f.packet(Verb.HELLO, suite=CipherSuite.POLY1305_NONE),
    ),
    (
        "HELLO without identity",
        Drop.MALFORMED,
        lambda p, f: f.packet(Verb.HELLO, b"\x0c", suite=CipherSuite.POLY1305_NONE),
    ),
    ("HELLO with cut moons", Drop.MALFORMED, lambda p, f: cut_moons(f)),
    (
        "HELLO encrypted without payload",
        Drop.MALFORMED,
        lambda p, f: f.packet(Verb.HELLO),
    ),
    ("broken LZ4", Drop.MALFORMED, lambda p, f: f.packet(Verb.ECHO | VERB_COMPRESSED, b"\xff")),
    ("cut OK", Drop.MALFORMED, lambda p, f: f.packet(Verb.OK, bytes(8))),
    ("cut group", Drop.MALFORMED, lambda p, f: f.packet(Verb.MULTICAST_LIKE, bytes(17))),
    ("cut gather", Drop.MALFORMED, lambda p, f: f.packet(Verb.MULTICAST_GATHER, bytes(22))),
    ("wrong MAC", Drop.WRONG_MAC, lambda p, f: tampered(f.packet(Verb.ECHO, b"x"))),
    ("wrong MAC in HELLO", Drop.WRONG_MAC, lambda p, f: tampered(f.hello(), 20)),
    (
        "cipher 2",
        Drop.WRONG_MAC,
        lambda p, f: tampered(tampered(raw(p, f)), 18)[:18] + b"\x10" + bytes(9),
    ),
    ("unarmored", Drop.WRONG_MAC, raw),
    ("old HELLO", Drop.OLD_PROTOCOL, lambda p, f: old_hello(f, CipherSuite.POLY1305_NONE)),
    (
        "old encrypted HELLO",
        Drop.OLD_PROTOCOL,
        lambda p, f: old_hello(f, CipherSuite.POLY1305_SALSA2012),
    ),
    (
        "identity of another",
        Drop.WRONG_ADDRESS,
        lambda p, f: hello_of_another(f, CipherSuite.POLY1305_NONE),
    ),
    (
        "identity of another, encrypted",
        Drop.WRONG_ADDRESS,
        lambda p, f: hello_of_another(f, CipherSuite.POLY1305_SALSA2012),
    ),
    ("unasked OK", Drop.UNEXPECTED, lambda p, f: f.packet(Verb.OK, Ok(1, bytes(8), b"").encode())),
    ("NOP", Drop.UNWANTED, lambda p, f: f.packet(Verb.NOP)),
    ("frame for a root", Drop.UNWANTED, lambda p, f: f.packet(Verb.FRAME, bytes(20))),
    ("ERROR", Drop.UNWANTED, lambda p, f: f.packet(Verb.ERROR, bytes(10))),
    ("verb 31", Drop.UNWANTED, lambda p, f: f.packet(0x1F)),
    ("for nobody", Drop.UNREACHABLE, lambda p, f: raw(p, f, 0x1234567890)),
    ("for a reserved address", Drop.UNREACHABLE, lambda p, f: raw(p, f, 0xFF00000001)),
    (
        "too many hops",
        Drop.TOO_MANY_HOPS,
        lambda p, f: raw(p, f, 0x1234567890)[:18] + b"\x03" + bytes(9),
    ),
    (
        "fragment with too many hops",
        Drop.TOO_MANY_HOPS,
        lambda p, f: bytes(8) + b"12345\xff\x21\x03" + bytes(9),
    ),
    (
        "fragment 2 of 2",
        Drop.MALFORMED,
        lambda p, f: bytes(8) + p.root.address.to_bytes(5) + b"\xff\x22\x00" + bytes(9),
    ),
]


@pytest.mark.parametrize(
    ("reason", "make"),
    [pytest.param(reason, make, id=name) for name, reason, make in DROPS_OF_KNOWN],
)
def test_a_known_node_is_dropped(reason: Drop, make: Callable[[Play, Friend], bytes]) -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    reply = play.give(make(play, friend), friend.path)
    assert reply.events == [PacketDropped(reason, friend.path)]
    assert reply.datagrams == []


def test_every_reason_is_tested() -> None:
    elsewhere = {Drop.UNKNOWN_SENDER, Drop.NO_PROOF, Drop.COLLISION, Drop.RATE}
    assert {reason for _, reason, _ in DROPS_OF_KNOWN} | elsewhere == set(Drop)


def test_an_echo_too_soon_after_another_is_dropped() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    assert (
        play.give(friend.packet(Verb.ECHO, b"1"), friend.path).one(friend, Verb.OK).ok.body == b"1"
    )
    play.now_ms += ECHO_INTERVAL_MS - 1
    assert play.give(friend.packet(Verb.ECHO, b"2"), friend.path).drops == [Drop.RATE]
    play.now_ms += 1
    assert (
        play.give(friend.packet(Verb.ECHO, b"3"), friend.path).one(friend, Verb.OK).ok.body == b"3"
    )


def test_a_node_with_too_many_groups_is_told_by_a_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orrery.vl1.multicast.MAX_GROUPS_OF_A_NODE", 2)
    play = Play()
    friend = play.friend()
    play.meet(friend)
    groups = [MulticastGroup(1, bytes(6), adi) for adi in range(5)]
    datagram = friend.packet(Verb.MULTICAST_LIKE, encode_multicast_like(groups))
    assert play.give(datagram, friend.path).drops == [Drop.RATE]


def test_a_dropped_packet_has_no_effect() -> None:
    """After everything of the list, the root is as it was."""
    play = Play()
    friend, other = play.friend(), play.friend()
    play.meet(friend)
    for _, _, make in DROPS_OF_KNOWN:
        friend.protocol = 12
        play.give(make(play, friend), other.path)
    friend.protocol = 12
    assert play.root.peer_count == 1
    reply = play.give(friend.packet(Verb.WHOIS, whois([friend.address])), friend.path)
    assert reply.verbs(friend) == [Verb.OK]
    assert reply.drops == []


# -- strangers --------------------------------------------------------------------------------


@pytest.fixture
def agreements(monkeypatch: pytest.MonkeyPatch) -> list[Identity]:
    """With whom keys were agreed."""
    agreed = []
    real = Identity.agree

    def counting(self: Identity, other: Identity) -> bytes:
        agreed.append(other)
        return real(self, other)

    monkeypatch.setattr(Identity, "agree", counting)
    return agreed


def test_a_stranger_is_agreed_with_once_and_proven_once(agreements: list[Identity]) -> None:
    play = Play()
    stranger = play.friend("stranger")
    agreements.clear()
    reply = play.give(stranger.hello(), stranger.path)
    assert agreements == [stranger.identity]
    assert [proof.identity for proof in reply.proofs] == [stranger.identity]
    assert reply.verbs(stranger) == [Verb.OK, Verb.HELLO]
    assert [event.identity for event in reply.of(NodeSeen)] == [stranger.identity]
    assert play.root.peer_count == 1

    again = play.give(stranger.hello(), stranger.path)
    assert (len(agreements), again.proofs) == (1, [])
    assert again.verbs(stranger) == [Verb.OK]


def test_the_address_is_checked_before_a_key_is_agreed(agreements: list[Identity]) -> None:
    play = Play()
    stranger, other = play.friend("stranger"), play.friend("other")
    agreements.clear()
    reply = play.give(stranger.hello(identity=other.identity.public()), stranger.path)
    assert reply.drops == [Drop.WRONG_ADDRESS]
    assert (agreements, reply.proofs) == ([], [])


def test_the_mac_is_checked_before_the_rations_of_proofs(agreements: list[Identity]) -> None:
    limits = RootLimits(strangers=StrangerLimits(site_proofs=Allowance(1, 0.001)))
    play = Play(limits=limits)
    stranger = play.friend("stranger")
    agreements.clear()
    for _ in range(10):
        reply = play.give(tampered(stranger.hello(), 20), stranger.path)
        assert (reply.drops, reply.proofs) == ([Drop.WRONG_MAC], [])
    assert len(agreements) == 10
    assert play.give(stranger.hello(), stranger.path).verbs(stranger) == [Verb.OK, Verb.HELLO]


def test_rations_are_kept_before_proofs(agreements: list[Identity]) -> None:
    limits = RootLimits(strangers=StrangerLimits(site_proofs=Allowance(2, 1)))
    play = Play(limits=limits)
    site = [
        play.friend(f"stranger {n}", path=Path(Endpoint(b"\x1e\1\1\1", n))) for n in range(1, 6)
    ]
    elsewhere = play.friend("elsewhere", path=Path(endpoint_of(0x0909)))
    agreements.clear()
    replies = [play.give(stranger.hello(), stranger.path) for stranger in site]
    assert [len(reply.proofs) for reply in replies] == [1, 1, 0, 0, 0]
    assert [reply.drops for reply in replies] == [[], [], [Drop.RATE], [Drop.RATE], [Drop.RATE]]
    assert len(agreements) == 5
    assert play.give(elsewhere.hello(), elsewhere.path).proofs
    play.now_ms += 1_001
    assert play.give(site[2].hello(), site[2].path).verbs(site[2]) == [Verb.OK, Verb.HELLO]


def test_agreements_are_rationed_too(agreements: list[Identity]) -> None:
    play = Play(limits=RootLimits(strangers=StrangerLimits(agreements=Allowance(3, 10))))
    stranger = play.friend("stranger")
    agreements.clear()
    replies = [play.give(tampered(stranger.hello(), 20), stranger.path) for _ in range(5)]
    assert [reply.drops for reply in replies] == [[Drop.WRONG_MAC]] * 3 + [[Drop.RATE]] * 2
    assert len(agreements) == 3


def test_an_identity_without_proof_is_not_let_in() -> None:
    play = Play()
    stranger = play.friend("stranger")
    reply = play.give(stranger.hello(), stranger.path, proven=False)
    assert reply.drops == [Drop.NO_PROOF]
    assert reply.datagrams == []
    assert play.root.peer_count == 0
    assert play.give(stranger.packet(Verb.ECHO), stranger.path).drops == [Drop.UNKNOWN_SENDER]


def test_a_site_that_sends_identities_without_proof_waits() -> None:
    play = Play()
    refused = 0
    for number in range(100):
        stranger = play.friend(f"stranger {number}", path=Path(Endpoint(b"\x1e\1\1\1", 9993)))
        refused += bool(play.give(stranger.hello(), stranger.path, proven=False).proofs)
    assert refused == 2


def test_a_stranger_who_waits_for_its_proof_is_not_proven_twice() -> None:
    play = Play()
    stranger = play.friend("stranger")
    first = play.give(stranger.hello(), stranger.path, check=False)
    second = play.give(stranger.hello(), stranger.path, check=False)
    assert (len(first.proofs), first.drops) == (1, [])
    assert (second.proofs, second.drops) == ([], [Drop.RATE])
    play.root.proof_done(stranger.identity.public(), True, play.now_ms)
    play.root.proof_done(stranger.identity.public(), True, play.now_ms)
    sent = [path for _, path in play.root.drain().datagrams]
    assert sent == [stranger.path] * 2


def test_the_result_of_a_proof_that_nobody_waits_for_changes_nothing() -> None:
    play = Play()
    play.root.proof_done(play.friend().identity.public(), True, play.now_ms)
    assert play.root.peer_count == 0
    assert play.root.drain().events == []


def test_a_stranger_who_says_anything_but_hello_is_not_answered() -> None:
    play = Play()
    stranger = play.friend("stranger")
    for datagram in (
        stranger.packet(Verb.ECHO),
        stranger.packet(Verb.WHOIS, whois([play.root.address])),
        stranger.hello(suite=CipherSuite.POLY1305_SALSA2012),
    ):
        reply = play.give(datagram, stranger.path)
        assert (reply.drops, reply.datagrams) == ([Drop.UNKNOWN_SENDER], [])


def test_another_identity_with_a_known_address_is_told_so() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    double = play.friend("double")
    double.identity = Identity(
        friend.address, double.identity.public_key, double.identity.private_key
    )
    double.address = friend.address
    reply = play.give(double.hello(), double.path)
    assert reply.drops == [Drop.COLLISION]
    error = Error.decode(reply.one(double, Verb.ERROR).packet.payload)
    assert (error.verb, error.code) == (Verb.HELLO, 4)
    assert reply.proofs == []
    assert play.give(tampered(double.hello(), 20), double.path).drops == [Drop.WRONG_MAC]
    assert play.give(friend.hello(), friend.path).verbs(friend) == [Verb.OK]


# -- nodes that are remembered ------------------------------------------------------------------


def test_a_node_of_an_earlier_run_needs_no_proof(agreements: list[Identity]) -> None:
    play = Play()
    friend = play.friend()
    agreements.clear()
    play.root.learn(KnownNode(friend.identity.public()))
    assert agreements == []
    reply = play.give(friend.packet(Verb.WHOIS, whois([play.root.address])), friend.path)
    assert reply.proofs == []
    assert Verb.OK in reply.verbs(friend)
    assert agreements == [friend.identity]


def test_a_node_of_an_earlier_run_is_told_of_before_it_is_heard() -> None:
    play = Play()
    friend, asker = play.friend(), play.friend()
    play.root.learn(KnownNode(friend.identity.public()))
    play.meet(asker)
    reply = play.give(asker.packet(Verb.WHOIS, whois([friend.address])), asker.path)
    assert reply.one(asker, Verb.OK).ok.body == friend.identity.public().to_bytes()


def test_a_node_is_reported_with_news_or_after_a_while() -> None:
    play = Play(make_planet(), make_moon())
    friend = play.friend()
    assert len(play.meet(friend).of(NodeSeen)) == 1
    newest = held(play.maker.newest)
    reported = []
    for _ in range(40):
        play.now_ms += 5_000
        reply = play.give(friend.hello(play.now_ms, newest), friend.path)
        reported += [event.at_ms - play.now_ms for event in reply.of(NodeSeen)]
    assert reported == [0] * 3
    moved = Path(endpoint_of(0x7777))
    (event,) = play.give(friend.hello(play.now_ms, newest), moved).of(NodeSeen)
    assert event.path == moved
    moons = (WorldHeld(MOON_ID, 6),)
    (event,) = play.give(friend.hello(play.now_ms, newest, moons), moved).of(NodeSeen)
    assert event.moons == moons


# -- paths ------------------------------------------------------------------------------------


def reaches(play: Play, friend: Friend) -> Path | None:
    """Where the root sends what is for a friend."""
    somebody = play.friend("somebody")
    datagram = encode_packet(bytes(8), friend.address, somebody.address, Verb.FRAME, b"")
    reply = play.give(datagram, somebody.path)
    return next((path for _, path in reply.datagrams), None)


def test_a_path_is_used_once_its_node_has_answered_there() -> None:
    play = Play()
    friend = play.friend()
    reply = play.meet(friend, confirm=False)
    question = reply.one(friend, Verb.HELLO)
    assert question.to == friend.path
    assert reaches(play, friend) is None
    play.give(friend.ok_hello(question.packet), friend.path)
    assert reaches(play, friend) == friend.path


def test_the_hello_that_confirms_a_path_tells_the_newest_worlds() -> None:
    play = Play()
    friend = play.friend()
    question = friend.read_hello(play.meet(friend, confirm=False).one(friend, Verb.HELLO).packet)
    assert question.identity == play.identity
    assert question.planet == held(play.maker.newest)
    assert question.physical_destination == friend.path.endpoint


def test_a_new_path_of_a_known_node_is_confirmed() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    moved = Path(endpoint_of(0x7777))
    question = play.give(friend.packet(Verb.NOP), moved).one(friend, Verb.HELLO)
    assert question.to == moved
    assert reaches(play, friend) == friend.path
    play.now_ms += 10
    play.give(friend.ok_hello(question.packet), moved)
    assert reaches(play, friend) == moved


def test_a_path_that_had_its_share_is_asked_by_a_small_packet() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    victim = Path(endpoint_of(0x7777))
    asked = []
    for _ in range(400):
        play.now_ms += 1_001
        asked.append(play.give(friend.packet(Verb.NOP), victim).to(friend)[-1])
    assert asked[0].packet.verb == Verb.HELLO
    later = [packet for packet in asked[300:] if packet.packet.verb == Verb.ECHO]
    assert later
    assert {packet.size for packet in later} == {HEADER_BYTES}
    play.give(friend.ok(later[-1].packet), victim)
    assert reaches(play, friend) == victim


def test_an_old_node_is_asked_by_hello() -> None:
    play = Play()
    friend = play.friend(protocol=4)
    play.meet(friend)
    assert play.give(friend.packet(Verb.NOP), Path(endpoint_of(0x7777))).verbs(friend) == [
        Verb.HELLO
    ]


def test_a_path_is_asked_about_once_a_second() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend, confirm=False)
    asked = []
    for _ in range(40):
        play.now_ms += 100
        asked.append(len(play.give(friend.packet(Verb.NOP), friend.path).to(friend)))
    assert asked == ([0] * 9 + [1]) * 4


def test_an_answer_counts_once_and_from_where_it_came() -> None:
    play = Play()
    friend = play.friend()
    question = play.meet(friend, confirm=False).one(friend, Verb.HELLO).packet
    answer = friend.ok_hello(question)
    assert play.give(answer, friend.path).drops == []
    elsewhere = Path(endpoint_of(0x7777))
    reply = play.give(answer, elsewhere)
    assert (reply.drops, reply.datagrams) == ([Drop.UNEXPECTED], [])
    assert reaches(play, friend) == friend.path


def test_an_answer_that_was_relayed_confirms_nothing() -> None:
    play = Play()
    friend = play.friend()
    question = play.meet(friend, confirm=False).one(friend, Verb.HELLO).packet
    play.give(friend.ok(question, bytes(13), hops=1), Path(endpoint_of(0x7777)))
    assert reaches(play, friend) is None


def test_a_relayed_packet_is_answered_the_way_it_came_and_makes_no_path() -> None:
    play = Play()
    friend = play.friend()
    play.root.learn(KnownNode(friend.identity.public()))
    relay = Path(endpoint_of(0x7777))
    reply = play.give(friend.hello(hops=1), relay)
    assert [(sent.packet.verb, sent.to) for sent in reply.to(friend)] == [(Verb.OK, relay)]
    assert reaches(play, friend) is None


def test_a_node_that_moves_to_another_address_is_followed() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    for number in range(20):
        friend.path = Path(endpoint_of(0x2000 + number))
        play.now_ms += 1_000
        play.meet(friend)
        assert reaches(play, friend) == friend.path


def test_another_port_is_taken_when_the_first_is_dead() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    first = friend.path
    friend.path = Path(Endpoint(first.endpoint.ip, 1))
    play.now_ms += PATH_ALIVE_MS - 1
    assert play.give(friend.hello(play.now_ms), friend.path).verbs(friend) == [Verb.OK]
    play.now_ms += 1
    play.meet(friend)
    assert reaches(play, friend) == friend.path


def test_a_path_without_a_packet_for_long_is_forgotten() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    play.now_ms += PATH_EXPIRATION_MS - 1
    assert reaches(play, friend) == friend.path
    play.now_ms += 1
    assert reaches(play, friend) is None


def test_two_nodes_behind_one_port_are_told_apart() -> None:
    play = Play()
    shared = Path(endpoint_of(0x0101))
    one, two = play.friend(path=shared), play.friend(path=shared, protocol=11)
    play.meet(one)
    play.meet(two)
    assert reaches(play, one) == reaches(play, two) == shared
    for friend in (one, two):
        reply = play.give(friend.packet(Verb.WHOIS, whois([play.root.address])), shared)
        (sent,) = reply.to(friend)
        assert sent.to == shared
        assert sent.ok.body == play.identity.public().to_bytes()
    frame = encode_packet(bytes(8), two.address, one.address, Verb.FRAME, b"hello, neighbour")
    reply = play.give(frame, shared)
    assert [path for _, path in reply.datagrams] == [shared] * 3
    assert Verb.RENDEZVOUS in reply.verbs(one)
    assert Verb.RENDEZVOUS in reply.verbs(two)
    moved = Path(endpoint_of(0x0202))
    two.path = moved
    play.now_ms += 1
    play.meet(two)
    assert (reaches(play, one), reaches(play, two)) == (shared, moved)


# -- questions -----------------------------------------------------------------------------------


def met(play: Play, protocol: int = 12) -> Friend:
    friend = play.friend(protocol=protocol)
    play.meet(friend)
    return friend


def answer_to(play: Play, friend: Friend, datagram: bytes) -> Sent:
    return play.give(datagram, friend.path).one(friend, Verb.OK)


def test_the_cipher_follows_the_protocol() -> None:
    play = Play()
    old, new = met(play, protocol=11), met(play, protocol=12)
    for friend, cipher in ((old, 0x88), (new, 0x18)):
        reply = play.give(friend.packet(Verb.ECHO), friend.path)
        assert [datagram[18] for datagram, _ in reply.datagrams] == [cipher]


def test_the_port_is_hidden_from_the_oldest() -> None:
    play = Play()
    old = play.friend(protocol=4)
    body = play.meet(old, confirm=False).one(old, Verb.OK).ok.body
    assert body[13:20] == Endpoint(old.path.endpoint.ip, 0).encode()


def test_whois_tells_of_as_many_as_a_datagram_holds() -> None:
    play = Play()
    friends = [met(play) for _ in range(30)]
    asker = friends[0]
    asked = [friend.address for friend in friends]
    sent = answer_to(play, asker, asker.packet(Verb.WHOIS, whois(asked)))
    identities = b"".join(friend.identity.public().to_bytes() for friend in friends)
    assert sent.size <= 1_432
    assert identities.startswith(sent.ok.body)
    assert len(sent.ok.body) == 19 * 71


def test_a_large_echo_comes_back_in_fragments() -> None:
    play = Play()
    friend = met(play)
    body = bytes(range(256)) * 20
    datagrams = friend.fragments(Verb.ECHO, body)
    assert len(datagrams) == 4
    replies = [play.give(datagram, friend.path) for datagram in datagrams]
    assert [len(reply.datagrams) for reply in replies] == [0, 0, 0, 4]
    assert all(len(datagram) <= 1_432 for datagram, _ in replies[-1].datagrams)
    assert replies[-1].one(friend, Verb.OK).ok.body == body


def test_a_compressed_question_is_understood() -> None:
    play = Play()
    friend = met(play)
    packet = Packet(bytes(8), play.root.address, friend.address, Verb.ECHO, bytes(500)).compress()
    datagram = friend.packet(Verb.ECHO | VERB_COMPRESSED, packet.payload)
    assert answer_to(play, friend, datagram).ok.body == bytes(500)


# -- a clock that is set back ------------------------------------------------------------------


def test_a_clock_that_is_set_back_holds_up_nobody() -> None:
    play = Play()
    friend, other = met(play), met(play)
    assert answer_to(play, friend, friend.packet(Verb.ECHO))
    frame = encode_packet(bytes(8), other.address, friend.address, Verb.FRAME, b"")
    assert len(play.give(frame, friend.path).datagrams) == 3
    play.now_ms -= 3_600_000
    assert answer_to(play, friend, friend.hello(play.now_ms))
    assert answer_to(play, friend, friend.packet(Verb.ECHO))
    assert answer_to(play, friend, friend.packet(Verb.WHOIS, whois([other.address])))
    assert len(play.give(frame, friend.path).datagrams) == 3, "they are introduced again"
    assert reaches(play, other) == other.path
    stranger = play.friend("stranger")
    assert play.meet(stranger).proofs
    assert play.root.next_tick_ms(play.now_ms) <= play.now_ms + 10_000
    moved = Path(endpoint_of(0x7777))
    friend.path = moved
    play.meet(friend)
    play.now_ms += 1
    play.give(friend.packet(Verb.NOP), moved)
    assert reaches(play, friend) == moved
