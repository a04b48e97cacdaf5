"""A root that greets those whom it knew before its start."""

from __future__ import annotations

from orrery.lab.chains import root_of
from orrery.vl1.events import AdoptionLearned, Drop, How, NodeSeen
from orrery.vl1.path import ANY_SOCKET, Path
from orrery.vl1.root import RootLimits
from orrery.vl1.root_peer import KnownNode
from orrery.wire.identity import Identity
from orrery.wire.packet import Verb
from orrery.wire.verbs import Version, WorldHeld
from tests.unit.vl1.playing import (
    MOON_ID,
    VERSION,
    Friend,
    Play,
    Reply,
    endpoint_of,
    held,
    identity_of,
    make_moon,
    make_planet,
)

OLD = Version(1, 10, 6)


def known(friend: Friend, *worlds: WorldHeld) -> KnownNode:
    """What somebody knew of a friend."""
    return KnownNode(friend.identity.public(), 12, OLD, worlds)


def greet(play: Play, friend: Friend, *more: Path, node: KnownNode | None = None) -> Reply:
    """Greet a friend where it is, and elsewhere."""
    places = [path.endpoint for path in (friend.path, *more)]
    assert play.root.greet(node or known(friend), places, play.now_ms)
    return Reply(play.root.drain())


def test_who_answers_is_seen_with_what_it_holds() -> None:
    play = Play(make_planet(), make_moon())
    old = play.maker.newest
    newest = play.maker.revise(rotate=True)
    play.publish()
    friend = play.friend()
    greeted = greet(play, friend)
    assert greeted.events == []
    sent = greeted.one(friend, Verb.HELLO)
    assert sent.to == Path(friend.path.endpoint, ANY_SOCKET)
    hello = friend.read_hello(sent.packet)
    assert (hello.planet, hello.moons) == (WorldHeld(old.id, 0), (WorldHeld(MOON_ID, 0),))
    answered = play.give(friend.ok_hello(sent.packet, old), friend.path)
    (seen,) = answered.of(NodeSeen)
    assert (seen.identity, seen.path, seen.planet) == (friend.identity, friend.path, held(old))
    assert (seen.protocol, seen.version) == (friend.protocol, VERSION)
    (learned,) = answered.of(AdoptionLearned)
    assert (learned.timestamp_ms, learned.how) == (old.timestamp_ms, How.PROBE)
    # With the first question that it asks, as nodes do every 5 s, it is handed what it lacks.
    asked = play.give(friend.packet(Verb.WHOIS, play.root.address.to_bytes(5)), friend.path)
    oks = [sent for sent in asked.to(friend) if sent.packet.verb == Verb.OK]
    assert [ok.worlds for ok in oks if ok.ok.verb == Verb.HELLO] == [(newest,)]


def test_who_does_not_answer_was_not_seen() -> None:
    play = Play()
    friend, other = play.friend(), play.friend()
    greet(play, friend)
    assert play.wait(300_000).of(NodeSeen) == []
    play.meet(other)
    relayed = play.give(
        other.packet(Verb.ECHO).replace(play.root.address.to_bytes(5), friend.address.to_bytes(5)),
        other.path,
    )
    assert relayed.drops == [Drop.UNREACHABLE]


def test_somebody_else_at_the_place_is_not_taken_for_it() -> None:
    play = Play()
    friend, stranger = play.friend(), play.friend()
    question = greet(play, friend).one(friend, Verb.HELLO).packet
    forged = play.give(stranger.ok_hello(question), friend.path)
    assert forged.of(NodeSeen) == []
    # Nor is an answer taken twice.
    answer = friend.ok_hello(question, play.maker.newest)
    assert len(play.give(answer, friend.path).of(NodeSeen)) == 1
    assert play.give(answer, Path(endpoint_of(77))).drops == [Drop.UNEXPECTED]


def test_who_has_come_by_itself_is_left_alone() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    assert not play.root.greet(known(friend), [friend.path.endpoint], play.now_ms)
    assert Reply(play.root.drain()).datagrams == []


def test_who_comes_from_elsewhere_before_it_answers_is_seen_there() -> None:
    play = Play()
    friend = play.friend()
    greeted = greet(play, friend)
    elsewhere = Friend(1, play.identity, path=Path(endpoint_of(300)))
    assert elsewhere.identity == friend.identity
    seen = play.meet(elsewhere).of(NodeSeen)
    assert {each.path for each in seen} == {elsewhere.path}
    late = friend.ok_hello(greeted.one(friend, Verb.HELLO).packet)
    assert len(play.give(late, friend.path).of(NodeSeen)) <= 1


def test_what_is_stored_of_a_node_goes_before_what_others_said() -> None:
    play = Play()
    friend = play.friend()
    planet = held(play.maker.newest)
    play.root.learn(KnownNode(friend.identity.public(), 12, VERSION, (planet,), planet=planet))
    question = greet(play, friend).one(friend, Verb.HELLO).packet
    (seen,) = play.give(friend.ok_hello(question), friend.path).of(NodeSeen)
    assert seen.planet == planet


def test_an_identity_that_is_not_the_one_that_is_known_is_not_greeted() -> None:
    play = Play()
    friend = play.friend()
    play.root.learn(KnownNode(friend.identity.public()))
    taken = Identity(friend.address, identity_of("another").public_key)
    assert not play.root.greet(KnownNode(taken), [friend.path.endpoint], play.now_ms)


def test_neither_the_root_itself_nor_other_roots_are_greeted() -> None:
    upstream = identity_of("upstream")
    play = Play(make_planet(roots=[root_of(upstream, endpoint_of(9))]))
    for identity in (upstream, identity_of("root")):
        node = KnownNode(identity.public())
        assert not play.root.greet(node, [endpoint_of(5)], play.now_ms)


def test_those_who_never_answered_are_forgotten_first() -> None:
    play = Play(limits=RootLimits(peers=2))
    one, other, silent = play.friend(), play.friend(), play.friend()
    greet(play, silent)
    play.meet(one)
    play.meet(other)
    play.wait(20_000)
    assert play.root.peer_count == 2
    assert play.give(one.packet(Verb.ECHO), one.path).drops == []


def test_each_place_is_greeted() -> None:
    play = Play()
    friend = play.friend()
    elsewhere = Path(endpoint_of(300))
    greeted = greet(play, friend, elsewhere)
    assert [sent.to.endpoint for sent in greeted.to(friend)] == [
        friend.path.endpoint,
        elsewhere.endpoint,
    ]
    assert max(sent.size for sent in greeted.to(friend)) < 250
