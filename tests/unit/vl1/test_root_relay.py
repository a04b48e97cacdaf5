"""The root: relaying, introducing, other roots, and the bounds of what it remembers."""

from __future__ import annotations

from collections import Counter

import pytest

from orrery.lab.chains import root_of
from orrery.vl1.events import Drop
from orrery.vl1.fragments import MAX_PACKETS
from orrery.vl1.introductions import UNITE_INTERVAL_MS
from orrery.vl1.limits import Allowance
from orrery.vl1.path import ANY_SOCKET, Path
from orrery.vl1.root import UPSTREAM_HELLO_MS, UPSTREAM_RETRY_MS, RootLimits
from orrery.vl1.root_peer import KnownNode
from orrery.vl1.strangers import StrangerLimits
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.packet import Fragment, Verb, encode_packet, with_hop
from orrery.wire.verbs import (
    MulticastGather,
    MulticastGroup,
    OkMulticastGather,
    Rendezvous,
    WorldHeld,
    encode_addresses,
    encode_multicast_like,
)
from tests.unit.vl1.playing import (
    PLANET_ID,
    START_MS,
    Friend,
    Play,
    Reply,
    endpoint_of,
    held,
    identity_of,
    make_moon,
    make_planet,
)

UNKNOWN = Address(0x1234567890)
OTHER_ENDPOINT = Endpoint.from_text("203.0.113.2/9993")
OTHER_ENDPOINT_V6 = Endpoint.from_text("[2001:db8::2]:9993")


def frame(source: Friend, destination: Friend | Address, *, hops: int = 0, size: int = 50) -> bytes:
    """A packet from a friend to another, which the root cannot read."""
    to = destination.address if isinstance(destination, Friend) else destination
    return encode_packet(bytes(8), to, source.address, Verb.FRAME, bytes(size), hops=hops)


def two(play: Play) -> tuple[Friend, Friend]:
    one, other = play.friend(), play.friend()
    play.meet(one)
    play.meet(other)
    return one, other


def add_path(play: Play, friend: Friend, text: str, socket: int = 0) -> Path:
    """Another confirmed path of a friend."""
    path = Path(Endpoint.from_text(text), socket)
    question = play.give(friend.packet(Verb.NOP), path).one(friend, Verb.HELLO).packet
    play.give(friend.ok_hello(question), path)
    return path


# -- relay ------------------------------------------------------------------------------------


def test_a_packet_for_another_node_goes_there_with_one_hop_more() -> None:
    play = Play()
    one, other = two(play)
    for hops in range(3):
        datagram = frame(one, other, hops=hops)
        reply = play.give(datagram, one.path)
        assert reply.datagrams[0] == (with_hop(datagram), other.path)
    assert play.give(frame(one, other, hops=3), one.path).drops == [Drop.TOO_MANY_HOPS]


def test_a_fragment_is_relayed_too_and_introduces_nobody() -> None:
    play = Play()
    one, other = two(play)
    datagram = Fragment(bytes(8), other.address, 2, 1, bytes(100)).encode()
    reply = play.give(datagram, one.path)
    assert reply.datagrams == [(with_hop(datagram), other.path)]


def test_a_strangers_packet_is_relayed_and_introduces_nobody() -> None:
    play = Play()
    _, other = two(play)
    stranger = play.friend("stranger")
    datagram = frame(stranger, other)
    assert play.give(datagram, stranger.path).datagrams == [(with_hop(datagram), other.path)]


def test_hello_of_a_stranger_to_another_node_is_relayed_and_not_read() -> None:
    play = Play()
    _, other = two(play)
    stranger = Friend("stranger", other.identity)
    datagram = stranger.hello(play.now_ms)
    reply = play.give(datagram, stranger.path)
    assert reply.proofs == []
    assert [path for _, path in reply.datagrams] == [other.path]


# -- introductions ----------------------------------------------------------------------------


def introductions(reply: Reply, friend: Friend) -> list[tuple[Path, Rendezvous]]:
    return [
        (sent.to, Rendezvous.decode(sent.packet.payload))
        for sent in reply.to(friend)
        if sent.packet.verb == Verb.RENDEZVOUS
    ]


def test_both_sides_are_told_of_each_other() -> None:
    play = Play()
    one, other = two(play)
    reply = play.give(frame(one, other), one.path)
    assert introductions(reply, one) == [(one.path, Rendezvous(other.address, other.path.endpoint))]
    assert introductions(reply, other) == [(other.path, Rendezvous(one.address, one.path.endpoint))]


def test_they_are_told_at_most_every_30_seconds_in_either_direction() -> None:
    play = Play()
    one, other = two(play)
    told = []
    for second in range(70):
        sender, receiver = (one, other) if second % 2 else (other, one)
        reply = play.give(frame(sender, receiver), sender.path)
        if introductions(reply, one):
            told.append(second)
        play.now_ms += 1_000
    assert told == [0, UNITE_INTERVAL_MS // 1_000, 2 * UNITE_INTERVAL_MS // 1_000]


def test_either_side_may_be_told_first() -> None:
    play = Play()
    first: Counter[Address] = Counter()
    one, other = two(play)
    for _ in range(40):
        play.now_ms += UNITE_INTERVAL_MS
        for friend in (one, other):
            play.give(friend.packet(Verb.NOP), friend.path)
        datagrams = play.give(frame(one, other), one.path).datagrams
        first[Address(int.from_bytes(datagrams[1][0][8:13]))] += 1
    assert set(first) == {one.address, other.address}


@pytest.mark.parametrize(
    ("ones", "others", "expected"),
    [
        # One family, one scope.
        (["30.0.0.1/1"], ["30.0.0.2/2"], ("30.0.0.1/1", "30.0.0.2/2")),
        # Nothing in common.
        (["30.0.0.1/1"], ["2001:db8::2/2"], None),
        (["30.0.0.1/1"], ["10.0.0.2/2"], None),
        (["192.168.0.1/1"], ["127.0.0.1/2"], None),
        # IPv6 is better than IPv4 of the same scope.
        (
            ["30.0.0.1/1", "2001:db8::1/1"],
            ["2001:db8::2/2", "30.0.0.2/2"],
            ("2001:db8::1/1", "2001:db8::2/2"),
        ),
        # Nodes of one site meet there.
        (
            ["30.0.0.1/1", "192.168.0.1/1"],
            ["30.0.0.1/2", "192.168.0.2/2"],
            ("192.168.0.1/1", "192.168.0.2/2"),
        ),
        (
            ["2001:db8::1/1", "192.168.0.1/1"],
            ["2001:db8::2/2", "192.168.0.2/2"],
            ("192.168.0.1/1", "192.168.0.2/2"),
        ),
        # What only one has does not matter.
        (["30.0.0.1/1", "2001:db8::1/1"], ["30.0.0.2/2"], ("30.0.0.1/1", "30.0.0.2/2")),
    ],
)
def test_the_meeting_point_has_one_family_and_scope(
    ones: list[str], others: list[str], expected: tuple[str, str] | None
) -> None:
    play = Play()
    one = play.friend(path=Path(Endpoint.from_text(ones[0])))
    other = play.friend(path=Path(Endpoint.from_text(others[0])))
    for friend, places in ((one, ones), (other, others)):
        play.meet(friend)
        for place in places[1:]:
            add_path(play, friend, place)
    reply = play.give(frame(one, other), one.path)
    told = [(str(to), str(r.endpoint)) for to, r in introductions(reply, one)]
    told_other = [(str(to), str(r.endpoint)) for to, r in introductions(reply, other)]
    if expected is None:
        assert told == told_other == []
        assert len(reply.datagrams) == 1
    else:
        assert told == [expected]
        assert told_other == [expected[::-1]]


def test_only_paths_that_live_are_told() -> None:
    play = Play()
    one, other = two(play)
    play.now_ms += 300_000
    play.give(other.packet(Verb.NOP), other.path)
    reply = play.give(frame(one, other), one.path)
    assert reply.datagrams == [(with_hop(frame(one, other)), other.path)]


# -- other roots ------------------------------------------------------------------------------


class Upstream(Play):
    """A root whose planet names another one too."""

    def __init__(self, *endpoints: Endpoint, limits: RootLimits = RootLimits()) -> None:  # noqa: B008
        others = endpoints or (OTHER_ENDPOINT, OTHER_ENDPOINT_V6)
        maker = make_planet(roots=[root_of(identity_of("other"), *others)])
        super().__init__(maker, limits=limits)
        self.other = self.friend("other", path=Path(others[0], 3))

    def connect(self) -> None:
        """The other root answers."""
        question = self.wait(0).to(self.other)[0].packet
        self.give(self.other.ok_hello(question), self.other.path)


def test_another_root_is_greeted_at_all_its_endpoints_until_it_answers() -> None:
    play = Upstream()
    for _ in range(3):
        reply = play.wait(0)
        assert [sent.to for sent in reply.to(play.other)] == [
            Path(OTHER_ENDPOINT, ANY_SOCKET),
            Path(OTHER_ENDPOINT_V6, ANY_SOCKET),
        ]
        hello = play.other.read_hello(reply.to(play.other)[0].packet)
        assert hello.planet == held(play.maker.newest)
        assert play.wait(UPSTREAM_RETRY_MS - 1).datagrams == []
        play.now_ms += 1
    play.connect()
    asked = []
    for second in range(150):
        reply = play.wait(1_000)
        for sent in reply.to(play.other):
            asked.append(second)
            assert sent.to == play.other.path
            play.give(play.other.ok_hello(sent.packet, now_ms=play.now_ms), play.other.path)
    assert len(asked) == 150_000 // UPSTREAM_HELLO_MS + 1
    assert play.root.next_tick_ms(play.now_ms) > play.now_ms


def test_each_of_32_endpoints_may_be_the_one_that_answers() -> None:
    endpoints = [Endpoint(bytes((0x20, 1, number)) + bytes(13), 9993) for number in range(32)]
    for index in (0, 15, 31):
        play = Upstream(*endpoints)
        question = play.wait(0).to(play.other)[index].packet
        way = Path(endpoints[index])
        assert play.give(play.other.ok_hello(question), way).drops == []
        friend = play.friend()
        play.meet(friend)
        relayed = play.give(frame(friend, UNKNOWN), friend.path)
        assert [path for _, path in relayed.datagrams] == [way]


def test_what_is_for_an_unknown_node_goes_to_another_root() -> None:
    play = Upstream()
    friend = play.friend()
    play.meet(friend)
    assert play.give(frame(friend, UNKNOWN), friend.path).drops == [Drop.UNREACHABLE]
    play.connect()
    datagram = frame(friend, UNKNOWN)
    assert play.give(datagram, friend.path).datagrams == [(with_hop(datagram), play.other.path)]


def test_what_comes_from_another_root_does_not_go_back_there() -> None:
    play = Upstream()
    play.connect()
    somebody = play.friend()
    for sender in (somebody, play.other):
        reply = play.give(frame(sender, UNKNOWN), play.other.path)
        assert reply.drops == [Drop.UNREACHABLE]
    assert play.give(frame(play.other, UNKNOWN), somebody.path).drops == [Drop.UNREACHABLE]


def test_a_node_without_a_living_path_is_reached_through_another_root() -> None:
    play = Upstream()
    one, other = two(play)
    play.now_ms += 300_000
    play.connect()
    reply = play.give(frame(one, other), one.path)
    assert reply.datagrams == [(with_hop(frame(one, other)), play.other.path)]


def test_a_question_about_an_unknown_node_is_passed_on_and_its_answer_kept() -> None:
    play = Upstream()
    play.connect()
    asker, wanted = play.friend(), play.friend("wanted")
    play.meet(asker)
    ask = asker.packet(Verb.WHOIS, encode_addresses([wanted.address]))
    reply = play.give(ask, asker.path)
    assert reply.to(asker) == []
    question = reply.one(play.other, Verb.WHOIS)
    assert question.to == play.other.path
    assert question.packet.payload == encode_addresses([wanted.address])
    answer = play.other.ok(question.packet, wanted.identity.public().to_bytes())
    assert play.give(answer, play.other.path).drops == []
    again = play.give(ask, asker.path)
    assert again.to(play.other) == []
    assert again.one(asker, Verb.OK).ok.body == wanted.identity.public().to_bytes()
    wanted.path = Path(endpoint_of(0x7777))
    assert play.give(wanted.packet(Verb.ECHO), wanted.path).one(wanted, Verb.OK)


def test_a_node_that_another_root_may_know_is_asked_about() -> None:
    play = Upstream()
    play.connect()
    stranger = play.friend("stranger")
    reply = play.give(stranger.packet(Verb.ECHO), stranger.path)
    assert reply.drops == [Drop.UNKNOWN_SENDER]
    question = reply.one(play.other, Verb.WHOIS).packet
    play.give(play.other.ok(question, stranger.identity.public().to_bytes()), play.other.path)
    assert play.give(stranger.packet(Verb.ECHO), stranger.path).one(stranger, Verb.OK)


def test_only_another_root_is_believed_who_somebody_is() -> None:
    play = Upstream()
    play.connect()
    friend, wanted = play.friend(), play.friend("wanted")
    question = play.meet(friend, confirm=False).one(friend, Verb.HELLO).packet
    answer = friend.ok(question, wanted.identity.public().to_bytes(), verb=Verb.WHOIS)
    assert play.give(answer, friend.path).drops == []
    assert play.give(wanted.packet(Verb.ECHO), wanted.path).drops == [Drop.UNKNOWN_SENDER]


def test_questions_that_are_passed_on_are_rationed_apart_from_unknown_senders() -> None:
    play = Upstream(limits=RootLimits(whois=Allowance(3, 1)))
    play.connect()
    asker = play.friend()
    play.meet(asker)
    passed_on = 0
    for number in range(20):
        stranger = play.friend(f"stranger {number}")
        reply = play.give(stranger.packet(Verb.ECHO), stranger.path)
        passed_on += len(reply.to(play.other))
    assert passed_on == 3
    asked = [Address(UNKNOWN + number) for number in range(10)]
    reply = play.give(asker.packet(Verb.WHOIS, encode_addresses(asked)), asker.path)
    assert len(reply.to(play.other)) == 3
    play.now_ms += 1_000
    assert (
        len(play.give(asker.packet(Verb.WHOIS, encode_addresses(asked)), asker.path).to(play.other))
        == 1
    )


def test_many_questions_may_be_under_way_at_once() -> None:
    play = Upstream()
    play.connect()
    asker = play.friend()
    play.meet(asker)
    wanted = [play.friend(f"wanted {number}") for number in range(20)]
    ask = asker.packet(Verb.WHOIS, encode_addresses([friend.address for friend in wanted]))
    for friend, question in zip(wanted, play.give(ask, asker.path).to(play.other), strict=True):
        answer = play.other.ok(question.packet, friend.identity.public().to_bytes())
        assert play.give(answer, play.other.path).drops == []
    assert len(play.give(ask, asker.path).one(asker, Verb.OK).ok.body) == 19 * 71


def test_a_reserved_address_is_not_asked_for() -> None:
    play = Upstream()
    play.connect()
    asker = play.friend()
    play.meet(asker)
    ask = asker.packet(Verb.WHOIS, encode_addresses([Address(0), Address(0xFF00000001)]))
    assert play.give(ask, asker.path).datagrams == []


def test_roots_follow_what_is_published() -> None:
    play = Upstream()
    third = play.friend("third", path=Path(endpoint_of(0x0303)))
    play.wait(0)
    ours = root_of(identity_of("root"), Endpoint.from_text("203.0.113.1/9993"))
    play.maker.revise([ours, root_of(third.identity, third.path.endpoint)])
    play.publish()
    reply = play.wait(UPSTREAM_HELLO_MS)
    assert reply.to(play.other) == []
    assert [sent.to for sent in reply.to(third)] == [Path(third.path.endpoint, ANY_SOCKET)]


def test_a_root_that_moves_is_greeted_where_it_is_now() -> None:
    play = Upstream()
    play.wait(0)
    ours = root_of(identity_of("root"), Endpoint.from_text("203.0.113.1/9993"))
    moved = endpoint_of(0x0404)
    play.maker.revise([ours, root_of(play.other.identity, moved)])
    published = play.publish()
    assert [sent.to for sent in published.to(play.other)] == [Path(moved, ANY_SOCKET)]


def test_roots_of_moons_are_other_roots_too() -> None:
    seed = root_of(identity_of("seed"), OTHER_ENDPOINT)
    play = Play(make_planet(), make_moon([seed]))
    friend = play.friend("seed")
    assert [sent.to for sent in play.wait(0).to(friend)] == [Path(OTHER_ENDPOINT, ANY_SOCKET)]


def test_an_endpoint_that_leads_nowhere_is_not_greeted() -> None:
    play = Upstream(Endpoint.NIL, Endpoint(bytes(4), 0), OTHER_ENDPOINT)
    assert [str(sent.to) for sent in play.wait(0).to(play.other)] == [str(OTHER_ENDPOINT)]


# -- subscriptions ----------------------------------------------------------------------------


def test_members_of_a_group_are_found() -> None:
    play = Play()
    one, other = two(play)
    group = MulticastGroup(1, b"\xff" * 6, 0)
    like = encode_multicast_like([group])
    for friend in (one, other):
        assert play.give(friend.packet(Verb.MULTICAST_LIKE, like), friend.path).datagrams == []
    ask = one.packet(Verb.MULTICAST_GATHER, MulticastGather(group, 10).encode())
    body = play.give(ask, one.path).one(one, Verb.OK).ok.body
    assert OkMulticastGather.decode(body) == OkMulticastGather(group, 2, (other.address,))
    play.wait(600_000)
    assert play.give(ask, one.path).datagrams == []


def test_groups_before_a_cut_one_are_taken() -> None:
    play = Play()
    one, other = two(play)
    group = MulticastGroup(1, b"\xff" * 6, 0)
    like = other.packet(Verb.MULTICAST_LIKE, encode_multicast_like([group]) + b"cut")
    assert play.give(like, other.path).drops == [Drop.MALFORMED]
    ask = one.packet(Verb.MULTICAST_GATHER, MulticastGather(group, 10).encode())
    assert play.give(ask, one.path).one(one, Verb.OK)


# -- bounds -----------------------------------------------------------------------------------


def test_the_nodes_not_heard_from_for_longest_are_forgotten() -> None:
    play = Play(limits=RootLimits(peers=10))
    friends = [play.friend() for _ in range(25)]
    for friend in friends:
        play.meet(friend)
        play.now_ms += 1
    play.give(friends[0].packet(Verb.NOP), friends[0].path)
    play.wait(10_000)
    assert play.root.peer_count == 10
    kept = [
        number
        for number, friend in enumerate(friends)
        if play.give(friend.packet(Verb.ECHO), friend.path).drops != [Drop.UNKNOWN_SENDER]
    ]
    assert kept == [0, *range(16, 25)]


def test_another_root_is_never_forgotten() -> None:
    play = Upstream(limits=RootLimits(peers=3))
    for _ in range(10):
        play.meet(play.friend())
    play.wait(10_000)
    assert play.root.peer_count == 3
    assert play.wait(UPSTREAM_RETRY_MS).to(play.other)


def test_nodes_of_earlier_runs_are_bounded_too() -> None:
    play = Play(limits=RootLimits(peers=5))
    friends = [play.friend() for _ in range(12)]
    for friend in friends:
        play.root.learn(KnownNode(friend.identity.public()))
    known = [
        number
        for number, friend in enumerate(friends)
        if play.give(friend.packet(Verb.ECHO), friend.path).drops != [Drop.UNKNOWN_SENDER]
    ]
    assert known == list(range(7, 12))


def test_every_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever nodes and strangers do, by the thousand."""
    monkeypatch.setattr("orrery.vl1.introductions.MAX_PAIRS", 20)
    limits = RootLimits(
        strangers=StrangerLimits(
            agreements=Allowance(10_000, 10_000),
            proofs=Allowance(10_000, 10_000),
            waiting=15,
            sites=10,
        ),
        peers=30,
        paths=10,
    )
    play = Upstream(limits=limits)
    play.connect()
    root = play.root
    friends = [play.friend(path=Path(endpoint_of(number))) for number in range(60)]
    for friend in friends:
        play.meet(friend, WorldHeld(PLANET_ID, 1), [WorldHeld(n, n) for n in range(50)])
    for number in range(300):
        one, other = friends[number % 60], friends[number * 7 % 60]
        place = Path(endpoint_of(1_000 + number))
        play.give(one.hello(START_MS + number, WorldHeld(PLANET_ID, 1)), place)
        play.give(frame(one, other), one.path)
        play.give(frame(one, Address(UNKNOWN + number)), one.path)
        play.give(Fragment(number.to_bytes(8), root.address, 3, 1, b"x").encode(), place)
        stranger = Friend(f"stranger {number}", play.identity)
        play.give(stranger.hello(), place, check=False)
        play.wait(1)
    play.wait(10_000)
    assert root.peer_count == 30
    assert len(root._recalled) <= 30
    assert len(root._path_buckets) == 10
    assert len(root._introductions) == 20
    assert len(root._reassembler) == MAX_PACKETS
    assert len(root._strangers._waiting) == 15
    assert len(root._strangers._sites) == 10
    assert len(root._multicaster) == 0
    assert len(root._upstreams) == 1
    assert all(len(peer.held) <= 1 for peer in root._peers.values())
    assert all(len(peer._awaited_ids) <= 64 * 8 for peer in root._peers.values())
    assert all(len(peer._paths) <= 8 for peer in root._peers.values())
