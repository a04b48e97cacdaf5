"""The root: which Worlds it hands to whom, how much, how it pushes, and what it believes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from orrery.lab.chains import ChainMaker, root_of
from orrery.vl1.events import AdoptionLearned, Drop, ForkSeen, How, NodeSeen, WorldServed
from orrery.vl1.limits import Allowance
from orrery.vl1.path import Path
from orrery.vl1.push import PushSettings
from orrery.vl1.root import RootLimits
from orrery.vl1.root_peer import KnownNode
from orrery.wire.cipher import CipherSuite, packet_cipher
from orrery.wire.endpoint import Endpoint
from orrery.wire.packet import Verb
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES, OkHello, WorldHeld, encode_addresses
from orrery.wire.world import World
from orrery.worlds.acceptance import check_update
from tests.unit.vl1.playing import (
    MOON_ID,
    PLANET_ID,
    ROOT_ENDPOINT,
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

NO_PUSH = PushSettings(enabled=False)
LARGE = tuple(Endpoint(bytes((0x20, number)) + bytes(14), 9993) for number in range(1, 33))


def grown(maker: ChainMaker, revisions: int, *, rotate: bool = False) -> list[World]:
    """All revisions of a chain after so many more."""
    for _ in range(revisions):
        maker.revise(rotate=rotate)
    return list(maker.chain)


def large_planet() -> ChainMaker:
    """Three revisions of it fit an answer, a fourth does not."""
    others = [root_of(identity_of(f"other root {n}").public(), *LARGE) for n in range(3)]
    maker = make_planet(*LARGE, roots=others)
    assert 3 < OK_HELLO_WORLDS_BYTES / len(maker.newest.encode()) < 4
    return maker


def walk(start: World, links: Iterable[World]) -> World:
    """Where a node that holds `start` is after it took these."""
    for link in links:
        check_update(start, link)
        start = link
    return start


def whois(friend: Friend) -> bytes:
    return friend.packet(Verb.WHOIS, encode_addresses([friend.ours.address]))


def confirm(play: Play, friend: Friend, reply: Reply, world: World, *, index: int = 0) -> Reply:
    """The friend answers a HELLO of ours with a World that it holds."""
    questions = [sent.packet for sent in reply.to(friend) if sent.packet.verb == Verb.HELLO]
    return play.give(friend.ok_hello(questions[index], world, now_ms=play.now_ms), friend.path)


def oks(reply: Reply, friend: Friend) -> list[tuple[World, ...]]:
    """The Worlds in each OK(HELLO)."""
    return [
        sent.worlds
        for sent in reply.to(friend)
        if sent.packet.verb == Verb.OK and sent.ok.verb == Verb.HELLO
    ]


# -- which ------------------------------------------------------------------------------------


def test_a_node_that_slept_through_rotations_is_there_in_one_answer() -> None:
    play = Play()
    revisions = grown(play.maker, 5, rotate=True)
    play.publish()
    friend = play.friend()
    reply = play.meet(friend, held(revisions[0]))
    links = reply.one(friend, Verb.OK).worlds
    assert links == tuple(revisions[1:])
    assert walk(revisions[0], links) == play.maker.newest
    (served,) = reply.of(WorldServed)
    assert (served.links, served.pushed) == (5, False)
    assert served.size_bytes == sum(len(world.encode()) for world in links)


def test_revisions_that_one_key_signed_are_skipped() -> None:
    play = Play()
    first = play.maker.newest
    grown(play.maker, 5)
    newest = play.maker.revise(rotate=True)
    play.publish()
    friend = play.friend()
    assert play.meet(friend, held(first)).one(friend, Verb.OK).worlds == (newest,)


def test_links_without_room_come_as_soon_as_the_node_is_further() -> None:
    play = Play(large_planet())
    revisions = grown(play.maker, 7, rotate=True)
    play.publish()
    friend = play.friend()
    play.meet(friend)
    position, round_trips = revisions[0], 0
    reply = play.give(friend.hello(play.now_ms, held(position)), friend.path)
    while position != revisions[-1]:
        (links,) = oks(reply, friend)
        assert len(links) == 3 or links[-1] == revisions[-1]
        position = walk(position, links)
        round_trips += 1
        play.now_ms += 20
        reply = confirm(play, friend, reply, position)
    assert round_trips == 3
    assert reply.to(friend) == []


def test_without_push_the_rest_comes_with_the_next_hello() -> None:
    play = Play(large_planet(), push=NO_PUSH)
    revisions = grown(play.maker, 5, rotate=True)
    play.publish()
    friend = play.friend()
    play.meet(friend)
    first = play.give(friend.hello(play.now_ms, held(revisions[0])), friend.path)
    assert oks(first, friend) == [tuple(revisions[1:4])]
    assert confirm(play, friend, first, revisions[3]).to(friend) == []
    second = play.give(friend.hello(play.now_ms, held(revisions[3])), friend.path)
    assert oks(second, friend) == [tuple(revisions[4:])]


def test_moons_are_handed_to_those_who_list_them() -> None:
    play = Play(make_planet(), make_moon())
    planet, moon = play.makers[0].newest, play.makers[1].newest
    new_moon = play.makers[1].revise()
    play.publish()
    for moons, expected in [
        ([], ()),
        ([held(moon)], (new_moon,)),
        ([WorldHeld(MOON_ID, 0)], (new_moon,)),
        ([held(new_moon)], ()),
        ([WorldHeld(MOON_ID + 1, 0)], ()),
        ([WorldHeld(MOON_ID + 1, 5), held(moon)], (new_moon,)),
    ]:
        friend = play.friend()
        assert play.meet(friend, held(planet), moons).one(friend, Verb.OK).worlds == expected


def test_a_planet_of_others_or_a_newer_one_is_left_alone() -> None:
    play = Play()
    for planet in (WorldHeld(0, 0), WorldHeld(PLANET_ID + 1, 0), WorldHeld(PLANET_ID, 2**63)):
        friend = play.friend()
        assert play.meet(friend, planet).one(friend, Verb.OK).worlds == ()


def test_a_moon_that_has_no_room_beside_the_planet_comes_later() -> None:
    play = Play(large_planet(), make_moon())
    revisions = grown(play.makers[0], 3, rotate=True)
    moon = play.makers[1].newest
    play.publish()
    friend = play.friend()
    play.meet(friend)
    first = play.give(
        friend.hello(play.now_ms, held(revisions[0]), [WorldHeld(MOON_ID, 0)]), friend.path
    )
    (worlds,) = oks(first, friend)
    assert worlds in ((*revisions[1:], moon), tuple(revisions[1:]))
    size = sum(len(world.encode()) for world in worlds)
    assert size <= OK_HELLO_WORLDS_BYTES


# -- how much ---------------------------------------------------------------------------------


def test_a_forged_source_gains_no_more_than_the_allowance() -> None:
    """Nodes that exist say HELLO in the name of a victim, from all of its ports, for a minute."""
    play = Play(large_planet())
    first = play.maker.newest
    grown(play.maker, 3, rotate=True)
    play.publish()
    attackers = [play.friend() for _ in range(20)]
    for attacker in attackers:
        play.meet(attacker)
    victim = endpoint_of(0x6666).ip
    sent = received = 0
    for second in range(60):
        for number, attacker in enumerate(attackers):
            path = Path(Endpoint(victim, 1 + number + 100 * second))
            for datagram in (
                attacker.hello(play.now_ms, held(first)),
                attacker.packet(Verb.NOP),
                attacker.packet(Verb.ECHO, bytes(100)),
                attacker.packet(Verb.WHOIS, encode_addresses([a.address for a in attackers])),
            ):
                sent += len(datagram)
                received += play.give(datagram, path).bytes_to(path)
        play.now_ms += 1_000
    burst, per_second = RootLimits().path_worlds
    assert received <= 3 * sent + burst + 60 * per_second
    assert received < 4 * sent


def test_many_addresses_are_rationed_each_and_ipv6_by_64() -> None:
    play = Play(large_planet())
    first = play.maker.newest
    grown(play.maker, 3, rotate=True)
    play.publish()
    answers = []
    for text in ("30.1.1.1/1", "30.1.1.1/2", "30.1.1.2/1", "2001:db8::1/1", "2001:db8::2/1"):
        friend = play.friend(path=Path(Endpoint.from_text(text)))
        reply = play.meet(friend, held(first), confirm=False)
        answers.append(len(reply.one(friend, Verb.OK).worlds))
    assert answers == [3, 0, 3, 3, 0]


def test_a_node_without_allowance_gets_its_worlds_once_it_has_answered() -> None:
    play = Play(large_planet())
    first = play.maker.newest
    revisions = grown(play.maker, 3, rotate=True)
    play.publish()
    site = endpoint_of(0x6666).ip
    greedy = play.friend(path=Path(Endpoint(site, 1)))
    assert len(play.meet(greedy, held(first), confirm=False).one(greedy, Verb.OK).worlds) == 3
    friend = play.friend(path=Path(Endpoint(site, 2)))
    reply = play.meet(friend, held(first), confirm=False)
    assert reply.one(friend, Verb.OK).worlds == ()
    question = reply.one(friend, Verb.HELLO).packet
    pushed = play.give(friend.ok_hello(question), friend.path)
    assert oks(pushed, friend) == [tuple(revisions[1:])]
    assert [event.pushed for event in pushed.of(WorldServed)] == [True]


def test_without_push_too_an_answered_path_gets_what_it_was_not_given() -> None:
    play = Play(push=NO_PUSH, limits=RootLimits(path_worlds=Allowance(0, 0.001)))
    first = play.maker.newest
    newest = play.maker.revise()
    play.publish()
    friend = play.friend()
    reply = play.meet(friend, held(first), confirm=False)
    assert reply.one(friend, Verb.OK).worlds == ()
    question = reply.one(friend, Verb.HELLO).packet
    assert oks(play.give(friend.ok_hello(question), friend.path), friend) == [(newest,)]


def test_a_node_that_always_asks_is_rationed() -> None:
    limits = RootLimits(node_worlds=Allowance(2_000, 100))
    play = Play(limits=limits)
    first = play.maker.newest
    play.maker.revise()
    play.publish()
    friend = play.friend()
    play.meet(friend)
    size = 0
    for _ in range(100):
        play.now_ms += 100
        reply = play.give(friend.hello(play.now_ms, held(first)), friend.path)
        assert Verb.OK in reply.verbs(friend), "it is answered in any case"
        size += sum(event.size_bytes for event in reply.of(WorldServed))
    assert 2_000 <= size <= 2_000 + 10 * 100


def test_a_relayed_hello_is_rationed_by_the_relay() -> None:
    play = Play(limits=RootLimits(path_worlds=Allowance(600, 0.001)))
    first = play.maker.newest
    newest = play.maker.revise()
    play.publish()
    relay = Path(endpoint_of(0x7777))
    answers = []
    for _ in range(4):
        friend = play.friend()
        play.root.learn(KnownNode(friend.identity.public()))
        reply = play.give(friend.hello(play.now_ms, held(first), hops=1), relay)
        answers.append(reply.one(friend, Verb.OK).worlds)
    assert 600 // len(newest.encode()) == 2
    assert answers == [(newest,), (newest,), (), ()]


# -- push ---------------------------------------------------------------------------------------


def test_a_revision_is_pushed_to_those_behind_the_last_seen_first() -> None:
    play = Play()
    friends = [play.friend() for _ in range(5)]
    stranger_to_it = play.friend()
    for friend in friends:
        play.meet(friend)
        play.now_ms += 10
    play.meet(stranger_to_it, WorldHeld(PLANET_ID + 1, 7))
    play.give(whois(friends[1]), friends[1].path)
    newest = play.maker.revise()
    reply = play.publish()
    order = [event.address for event in reply.of(WorldServed)]
    assert order == [friends[n].address for n in (1, 4, 3, 2, 0)]
    for friend in friends:
        assert reply.verbs(friend) == [Verb.OK, Verb.HELLO]
        assert reply.one(friend, Verb.OK).worlds == (newest,)
    assert reply.to(stranger_to_it) == []
    assert play.publish().of(WorldServed) != [], "a table that is set again is pushed again"


def test_a_push_answers_the_last_question_of_the_node_and_tells_its_own_clock() -> None:
    play = Play()
    friend = play.friend()
    clock_ahead_ms = 123_456
    asked = friend.hello(play.now_ms + clock_ahead_ms, held(play.maker.newest))
    question = play.give(asked, friend.path).one(friend, Verb.HELLO).packet
    play.give(friend.ok_hello(question), friend.path)
    play.now_ms += 5_000
    play.maker.revise()
    pushed = play.publish().one(friend, Verb.OK)
    assert pushed.ok.packet_id == asked[:8]
    assert OkHello.decode(pushed.ok.body).timestamp_ms == play.now_ms + clock_ahead_ms
    asked = whois(friend)
    play.give(asked, friend.path)
    play.maker.revise()
    assert play.publish().one(friend, Verb.OK).ok.packet_id == asked[:8]


@pytest.mark.parametrize("clock_ms", [0, 1, 2**64 - 1])
def test_a_node_with_an_impossible_clock_is_pushed_to(clock_ms: int) -> None:
    play = Play()
    friend = play.friend()
    asked = friend.hello(clock_ms, held(play.maker.newest))
    question = play.give(asked, friend.path).one(friend, Verb.HELLO).packet
    play.give(friend.ok_hello(question), friend.path)
    play.now_ms += 5_000
    play.maker.revise()
    pushed = play.publish().one(friend, Verb.OK)
    assert OkHello.decode(pushed.ok.body).timestamp_ms == (clock_ms + 5_000) % 2**64


def test_a_push_is_followed_by_the_question_what_the_node_holds() -> None:
    play = Play(make_planet(), make_moon())
    friend = play.friend()
    play.meet(friend, moons=[held(play.makers[1].newest)])
    play.maker.revise()
    probe = friend.read_hello(play.publish().one(friend, Verb.HELLO).packet)
    assert probe.planet == WorldHeld(PLANET_ID, 0)
    assert probe.moons == (WorldHeld(MOON_ID, 0),)


def test_pushes_are_paced() -> None:
    settings = PushSettings(nodes=Allowance(4, 20))
    play = Play(push=settings)
    friends = [play.friend() for _ in range(10)]
    for friend in friends:
        play.meet(friend)
    play.maker.revise()
    reply = play.publish()
    pushed_at = [0] * len(reply.of(WorldServed))
    started_ms = play.now_ms
    while play.root.push_backlog:
        reply = play.wait(max(1, play.root.next_tick_ms(play.now_ms) - play.now_ms))
        pushed_at += [play.now_ms - started_ms] * len(reply.of(WorldServed))
    assert pushed_at[:4] == [0] * 4
    assert len(pushed_at) == 10
    assert 300 <= pushed_at[-1] <= 310


def test_nodes_that_are_gone_are_pushed_to_when_they_are_back() -> None:
    play = Play()
    friend, gone = play.friend(), play.friend()
    play.meet(gone)
    play.now_ms += PushSettings().horizon_ms + 1
    play.meet(friend)
    newest = play.maker.revise()
    reply = play.publish()
    assert (reply.verbs(friend), reply.verbs(gone)) == ([Verb.OK, Verb.HELLO], [])
    moved = Path(endpoint_of(0x7777))
    back = play.give(whois(gone), moved)
    assert not back.of(WorldServed), "it is elsewhere, as it seems: it is asked first"
    question = back.one(gone, Verb.HELLO).packet
    assert oks(play.give(gone.ok_hello(question), moved), gone) == [(newest,)]


def test_a_node_that_slept_where_it_is_is_pushed_to_with_its_first_packet() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    play.now_ms += 3_600_000
    newest = play.maker.revise()
    assert play.publish().of(WorldServed) == []
    assert oks(play.give(whois(friend), friend.path), friend) == [(newest,)]


def test_a_node_with_a_path_is_pushed_to_with_whatever_it_sends() -> None:
    for verb, payload in [
        (Verb.WHOIS, b""),
        (Verb.ECHO, b""),
        (Verb.MULTICAST_LIKE, b""),
        (Verb.NOP, b""),
        (Verb.NETWORK_CONFIG_REQUEST, bytes(10)),
    ]:
        play = Play()
        friend = play.friend()
        play.meet(friend)
        newest = play.maker.revise()
        play.publish()
        play.now_ms += 999
        early = play.give(friend.packet(verb, payload), friend.path)
        assert not early.of(WorldServed)
        play.now_ms += 200
        later = play.give(friend.packet(verb, payload), friend.path)
        assert oks(later, friend) == [(newest,)]


def test_pushes_are_repeated_with_longer_and_longer_waits() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    play.maker.revise()
    assert play.publish().of(WorldServed)
    started_ms = play.now_ms
    pushed_at = []
    for _ in range(2_000):
        play.now_ms += 100
        if play.give(friend.packet(Verb.NOP), friend.path).of(WorldServed):
            pushed_at.append(play.now_ms - started_ms)
    waits = [later - earlier for earlier, later in zip([0, *pushed_at], pushed_at, strict=False)]
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]


def test_another_revision_starts_the_waits_anew() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    play.maker.revise()
    play.publish()
    for _ in range(100):
        play.now_ms += 500
        play.give(friend.packet(Verb.NOP), friend.path)
    newest = play.maker.revise()
    assert oks(play.publish(), friend) == [(newest,)]
    play.now_ms += 1_000
    again = play.give(friend.packet(Verb.NOP), friend.path)
    assert oks(again, friend) == [(newest,)]


def test_nothing_is_pushed_after_the_node_has_confirmed() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    newest = play.maker.revise()
    reply = play.publish()
    assert confirm(play, friend, reply, newest).to(friend) == []
    for _ in range(100):
        play.now_ms += 5_000
        assert not play.give(whois(friend), friend.path).of(WorldServed)


def test_a_node_that_refuses_is_not_pushed_to_for_ever_at_once() -> None:
    """It answers each probe with what it held before."""
    play = Play()
    friend = play.friend()
    play.meet(friend)
    old = play.maker.newest
    play.maker.revise()
    reply = play.publish()
    pushed = 1
    for _ in range(100):
        play.now_ms += 100
        if reply.to(friend):
            reply = confirm(play, friend, reply, old)
        if not reply.to(friend):
            reply = play.give(friend.packet(Verb.NOP), friend.path)
        pushed += len(reply.of(WorldServed))
    assert pushed == 4


def test_push_may_be_turned_off() -> None:
    play = Play(push=NO_PUSH)
    friend = play.friend()
    play.meet(friend)
    first = play.maker.newest
    newest = play.maker.revise()
    assert play.publish().datagrams == []
    assert play.root.push_backlog == 0
    play.now_ms += 60_000
    assert play.give(whois(friend), friend.path).verbs(friend) == [Verb.OK]
    reply = play.give(friend.hello(play.now_ms, held(first)), friend.path)
    assert oks(reply, friend) == [(newest,)]
    assert [event.pushed for event in reply.of(WorldServed)] == [False]


def test_a_clock_that_is_set_back_does_not_hold_up_a_push() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    newest = play.maker.revise()
    play.publish()
    play.now_ms -= 3_600_000
    assert oks(play.give(friend.packet(Verb.NOP), friend.path), friend) == [(newest,)]
    play.maker.revise()
    assert play.publish().of(WorldServed)


def test_a_node_of_an_earlier_run_is_pushed_to_once_it_has_asked_something() -> None:
    play = Play()
    first = play.maker.newest
    newest = play.maker.revise()
    play.publish()
    friend = play.friend()
    play.root.learn(KnownNode(friend.identity.public(), 12, held=(held(first),)))
    reply = play.give(whois(friend), friend.path)
    assert not reply.of(WorldServed)
    question = reply.one(friend, Verb.HELLO).packet
    assert oks(play.give(friend.ok_hello(question), friend.path), friend) == [(newest,)]


def test_a_node_of_an_earlier_run_that_is_asked_is_reported_before_its_next_hello() -> None:
    moon = make_moon()
    play = Play(make_planet(), moon)
    first = play.maker.newest
    newest = play.maker.revise()
    play.publish()
    friend = play.friend()
    worlds = held(first), held(moon.newest)
    public = friend.identity.public()
    play.root.learn(KnownNode(public, 12, VERSION, worlds, planet=held(first)))
    question = play.give(whois(friend), friend.path).one(friend, Verb.HELLO).packet
    unasked = play.give(friend.ok_hello(question, newest), friend.path)
    assert unasked.of(NodeSeen) == []
    assert play.root.ask([friend.address], play.now_ms) == 1
    question = Reply(play.root.drain()).one(friend, Verb.HELLO).packet
    (seen,) = play.give(friend.ok_hello(question), friend.path).of(NodeSeen)
    assert seen == NodeSeen(
        play.now_ms,
        friend.identity.public(),
        friend.path,
        12,
        VERSION,
        held(newest),
        (held(moon.newest),),
    )


def test_a_node_with_another_planet_that_is_asked_is_reported_with_it_and_its_moon() -> None:
    play = Play(make_planet(), make_moon())
    moon = play.makers[1].newest
    friend = play.friend()
    other = WorldHeld(0x8EAC90A, 5)
    public = friend.identity.public()
    play.root.learn(KnownNode(public, 12, VERSION, (held(moon),), planet=other))
    question = play.give(whois(friend), friend.path).one(friend, Verb.HELLO).packet
    play.give(friend.ok_hello(question), friend.path)
    play.root.ask([friend.address], play.now_ms)
    question = Reply(play.root.drain()).one(friend, Verb.HELLO).packet
    (seen,) = play.give(friend.ok_hello(question), friend.path).of(NodeSeen)
    assert (seen.planet, seen.moons) == (other, (held(moon),))


# -- what is believed ---------------------------------------------------------------------------


def test_adoption_is_learned_from_hello_and_not_twice() -> None:
    play = Play()
    friend = play.friend()
    first = play.maker.newest
    (learned,) = play.meet(friend).of(AdoptionLearned)
    assert learned == AdoptionLearned(
        play.now_ms, friend.address, first.id, first.timestamp_ms, How.HELLO
    )
    play.now_ms += 5_000
    again = play.give(friend.hello(play.now_ms, held(first)), friend.path)
    assert again.of(AdoptionLearned) == []


def test_what_was_handed_over_is_not_adopted_before_the_node_says_so() -> None:
    play = Play()
    friend = play.friend()
    play.meet(friend)
    newest = play.maker.revise()
    reply = play.publish()
    assert reply.of(WorldServed)
    assert reply.of(AdoptionLearned) == []
    assert play.give(whois(friend), friend.path).of(AdoptionLearned) == []
    play.now_ms += 3
    (learned,) = confirm(play, friend, reply, newest).of(AdoptionLearned)
    assert learned == AdoptionLearned(
        play.now_ms, friend.address, newest.id, newest.timestamp_ms, How.PROBE
    )


def test_an_answer_that_was_not_asked_for_proves_nothing() -> None:
    play = Play()
    friend = play.friend()
    reply = play.meet(friend, confirm=False)
    newest = play.maker.revise()
    play.publish()
    question = reply.one(friend, Verb.HELLO).packet
    answer = friend.ok_hello(question, newest)
    assert play.give(answer, friend.path).of(AdoptionLearned)
    assert play.give(answer, friend.path).drops == [Drop.UNEXPECTED]


def test_a_moon_that_is_waited_for_is_not_adopted() -> None:
    play = Play(make_planet(), make_moon())
    friend = play.friend()
    learned = play.meet(friend, moons=[WorldHeld(MOON_ID, 0)]).of(AdoptionLearned)
    assert [event.world_id for event in learned] == [PLANET_ID]


def test_a_recorded_hello_tells_nothing() -> None:
    play = Play()
    friend = play.friend()
    first = play.maker.newest
    recorded = friend.hello(play.now_ms, held(first))
    play.give(recorded, friend.path)
    newest = play.maker.revise()
    play.publish()
    play.now_ms += 1_000
    play.give(friend.hello(play.now_ms, held(newest)), friend.path)
    replayed = play.give(recorded, Path(endpoint_of(0x6666)))
    assert not replayed.of(AdoptionLearned)
    assert not replayed.of(ForkSeen)
    assert not play.give(whois(friend), friend.path).of(WorldServed)


def test_a_recorded_hello_does_not_change_the_cipher() -> None:
    play = Play()
    friend = play.friend(protocol=12)
    recorded = friend.hello(play.now_ms)
    play.give(recorded, friend.path)
    friend.protocol = 11
    play.now_ms += 1_000
    play.give(friend.hello(play.now_ms), friend.path)
    play.give(recorded, Path(endpoint_of(0x6666)))
    reply = play.give(whois(friend), friend.path)
    assert packet_cipher(reply.datagrams[0][0]) == CipherSuite.POLY1305_SALSA2012


def test_a_world_before_a_broken_one_counts() -> None:
    play = Play()
    friend = play.friend()
    question = play.meet(friend, confirm=False).one(friend, Verb.HELLO).packet
    newest = play.maker.revise()
    play.publish()
    body = OkHello(0, 12, VERSION, ROOT_ENDPOINT, (newest, newest)).encode()[:-1]
    learned = play.give(friend.ok(question, body), friend.path).of(AdoptionLearned)
    assert [event.timestamp_ms for event in learned] == [newest.timestamp_ms]


def test_an_answer_of_an_old_protocol_proves_nothing() -> None:
    play = Play()
    friend = play.friend()
    question = play.meet(friend, confirm=False).one(friend, Verb.HELLO).packet
    newest = play.maker.revise()
    play.publish()
    friend.protocol = 3
    reply = play.give(friend.ok_hello(question, newest), friend.path)
    assert reply.drops == [Drop.OLD_PROTOCOL]
    assert not reply.of(AdoptionLearned)


def test_a_revision_that_is_not_of_the_chain_is_a_fork() -> None:
    play = Play()
    friend = play.friend()
    forged = play.maker.forge()
    reply = play.meet(friend, held(forged))
    assert [(event.world_id, event.timestamp_ms) for event in reply.of(ForkSeen)] == [held(forged)]
    assert reply.of(AdoptionLearned) == []


def test_a_fork_with_a_timestamp_of_ours_shows_by_its_bytes() -> None:
    play = Play()
    rival = make_planet(Endpoint.from_text("203.0.113.99/9993"), seed="rival")
    assert held(rival.newest) == held(play.maker.newest)
    friend = play.friend()
    reply = play.meet(friend, confirm=False)
    answered = confirm(play, friend, reply, rival.newest)
    assert [event.address for event in answered.of(ForkSeen)] == [friend.address]


def test_worlds_of_others_are_not_remembered() -> None:
    play = Play(make_planet(), make_moon())
    friend = play.friend()
    moons = [WorldHeld(number, number) for number in range(1, 70)]
    reply = play.meet(friend, moons=[*moons, WorldHeld(MOON_ID, 0)])
    assert [event.world_id for event in reply.of(AdoptionLearned)] == [PLANET_ID]
    assert reply.of(ForkSeen) == []
    assert [seen.moons for seen in reply.of(NodeSeen)] == [(WorldHeld(MOON_ID, 0),)]
