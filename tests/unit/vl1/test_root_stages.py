"""The root while a revision is for some nodes only."""

from __future__ import annotations

from orrery.lab.chains import root_of, table_of
from orrery.vl1.events import AdoptionLearned, WorldServed
from orrery.vl1.limits import Allowance
from orrery.vl1.push import PushSettings
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.packet import Verb
from orrery.wire.verbs import WorldHeld, encode_addresses
from orrery.wire.world import World
from orrery.worlds.stage import PLACES, Membership, Stage
from tests.unit.vl1.playing import (
    MOON_ID,
    Friend,
    Play,
    Reply,
    held,
    identity_of,
    make_moon,
    make_planet,
)

OTHER_ENDPOINT = Endpoint.from_text("203.0.113.2/9993")


def only(*friends: Friend) -> Membership:
    return Membership(named=frozenset(friend.address for friend in friends))


def serve(play: Play, held_back: World, opened: Membership, *, now_ms: int | None = None) -> Reply:
    """Hold everybody back but who is named."""
    stages = {held_back.id: Stage(held_back.timestamp_ms, opened)}
    play.root.publish(table_of(*play.makers, stages=stages), play.now_ms)
    return Reply(play.root.drain())


def pushed_to(reply: Reply) -> set[Address]:
    return {event.address for event in reply.of(WorldServed)}


def greeted(reply: Reply, friend: Friend) -> list[Endpoint]:
    return [sent.to.endpoint for sent in reply.to(friend) if sent.packet.verb == Verb.HELLO]


def confirmed(play: Play, friend: Friend, reply: Reply, world: World) -> Reply:
    question = reply.one(friend, Verb.HELLO).packet
    return play.give(friend.ok_hello(question, world, now_ms=play.now_ms), friend.path)


def test_a_hello_is_answered_by_who_asks() -> None:
    play = Play()
    canary, other = play.friend(), play.friend()
    first = play.maker.newest
    second = play.maker.revise(rotate=True)
    third = play.maker.revise()
    serve(play, second, only(canary))
    assert play.meet(canary, held(first)).one(canary, Verb.OK).worlds == (second, third)
    assert play.meet(other, held(first)).one(other, Verb.OK).worlds == (second,)
    play.now_ms += 5_000
    again = play.give(other.hello(play.now_ms, held(second)), other.path)
    assert again.one(other, Verb.OK).worlds == ()


def test_a_stage_is_pushed_to_whom_it_is_open_for() -> None:
    play = Play()
    friends = [play.friend() for _ in range(6)]
    for friend in friends:
        play.meet(friend)
    before = play.maker.newest
    newest = play.maker.revise()
    reply = serve(play, before, only(friends[2]))
    assert pushed_to(reply) == {friends[2].address}
    assert reply.one(friends[2], Verb.OK).worlds == (newest,)
    for friend in friends[:2] + friends[3:]:
        assert reply.to(friend) == []


def test_a_further_cohort_is_pushed_to_it_and_to_nobody_else() -> None:
    play = Play()
    adopted, silent, next_ones, others = (
        [play.friend() for _ in range(count)] for count in (2, 2, 3, 4)
    )
    for friend in adopted + silent + next_ones + others:
        play.meet(friend)
    before = play.maker.newest
    newest = play.maker.revise()
    reply = serve(play, before, only(*adopted, *silent))
    for friend in adopted:
        assert confirmed(play, friend, reply, newest).of(AdoptionLearned)
    play.now_ms += 10
    reply = serve(play, before, only(*adopted, *silent, *next_ones))
    assert pushed_to(reply) == {friend.address for friend in next_ones}
    # Those who were handed it before are asked again in their own time.
    assert play.give(silent[0].packet(Verb.NOP), silent[0].path).of(WorldServed) == []
    play.now_ms += 1_000
    assert play.give(silent[0].packet(Verb.NOP), silent[0].path).of(WorldServed)
    reply = serve(play, before, Membership(PLACES))
    assert pushed_to(reply) == {friend.address for friend in others}


def test_who_waits_for_its_turn_keeps_it_when_a_cohort_opens() -> None:
    play = Play(push=PushSettings(nodes=Allowance(1, 10)))
    first, second = [play.friend() for _ in range(4)], [play.friend() for _ in range(3)]
    for friend in first + second:
        play.meet(friend)
    before = play.maker.newest
    play.maker.revise()
    served = pushed_to(serve(play, before, only(*first)))
    assert (len(served), play.root.push_backlog) == (1, 3)
    served |= pushed_to(serve(play, before, only(*first, *second)))
    assert play.root.push_backlog == 6
    pushes = 1
    while play.root.push_backlog:
        events = play.wait(max(1, play.root.next_tick_ms(play.now_ms) - play.now_ms))
        pushes += len(events.of(WorldServed))
        served |= pushed_to(events)
    assert served == {friend.address for friend in first + second}
    assert pushes == 7


def test_another_revision_for_the_same_cohort_is_pushed_to_it_at_once() -> None:
    play = Play()
    canary, other = play.friend(), play.friend()
    play.meet(canary)
    play.meet(other)
    before = play.maker.newest
    play.maker.revise()
    serve(play, before, only(canary))
    newest = play.maker.revise()
    reply = serve(play, before, only(canary))
    assert reply.one(canary, Verb.OK).worlds == (newest,)
    assert reply.to(other) == []


def test_a_cohort_that_closes_is_left_where_it_is() -> None:
    play = Play()
    canary = play.friend()
    play.meet(canary)
    before = play.maker.newest
    newest = play.maker.revise()
    confirmed(play, canary, serve(play, before, only(canary)), newest)
    reply = serve(play, before, only())
    assert reply.to(canary) == []
    play.now_ms += 60_000
    again = play.give(canary.hello(play.now_ms, held(newest)), canary.path)
    assert again.one(canary, Verb.OK).worlds == ()


def test_rolling_back_reaches_the_canaries_only() -> None:
    play = Play()
    canary, other = play.friend(), play.friend()
    play.meet(canary)
    play.meet(other)
    good = play.maker.newest
    bad = play.maker.revise([root_of(identity_of("root"), OTHER_ENDPOINT)])
    confirmed(play, canary, serve(play, good, only(canary)), bad)
    mended = play.maker.revise(good.roots)
    reply = serve(play, good, only(canary))
    assert reply.one(canary, Verb.OK).worlds == (mended,)
    assert reply.to(other) == []
    reply = play.publish()
    assert reply.one(other, Verb.OK).worlds == (mended,)


def test_another_root_is_in_the_last_cohort_whatever_is_said() -> None:
    """Were it one of another make, it would hand what it gets to every node that asks it."""
    play = Play(make_planet(roots=[root_of(identity_of("second"), OTHER_ENDPOINT)]))
    root = play.friend("second")
    before = play.maker.newest
    newest = play.maker.revise()
    reply = serve(play, before, Membership(PLACES - 1, frozenset({root.address})))
    for sent in reply.to(root):
        play.give(root.ok_hello(sent.packet), root.path)
    play.now_ms += 1_000
    asked = play.give(root.hello(play.now_ms, held(before)), root.path)
    assert asked.one(root, Verb.OK).worlds == ()
    play.now_ms += 5_000
    asks = root.packet(Verb.WHOIS, encode_addresses([root.ours.address]))
    assert not play.give(asks, root.path).of(WorldServed)
    reply = serve(play, before, Membership(PLACES))
    assert reply.one(root, Verb.OK).worlds == (newest,)


def test_a_root_says_what_it_has_to_everybody_alike() -> None:
    """A node hands over what is newer than what we say: nobody should without a fork."""
    play = Play()
    canary, other = play.friend(), play.friend()
    before = play.maker.newest
    newest = play.maker.revise()
    serve(play, before, only(canary))
    for friend, planet in ((canary, newest), (other, before)):
        reply = play.meet(friend, held(planet), confirm=False)
        assert friend.read_hello(reply.one(friend, Verb.HELLO).packet).planet == held(newest)


def test_the_roots_of_both_revisions_are_greeted_everywhere() -> None:
    """Nodes that are held back may be reachable through a root that is on its way out only."""
    moved = Endpoint.from_text("203.0.113.3/9993")
    leaving = root_of(identity_of("leaving"), OTHER_ENDPOINT)
    moving = root_of(identity_of("moving"), OTHER_ENDPOINT)
    play = Play(make_planet(roots=[leaving, moving]))
    ours = play.maker.newest.roots[0]
    before = play.maker.newest
    play.maker.revise([ours, root_of(identity_of("moving"), moved)])
    play.now_ms += 60_000
    reply = serve(play, before, Membership())
    assert greeted(reply, play.friend("leaving")) == [OTHER_ENDPOINT]
    assert greeted(reply, play.friend("moving")) == [moved, OTHER_ENDPOINT]
    play.now_ms += 60_000
    reply = serve(play, before, Membership(PLACES))
    assert greeted(reply, play.friend("leaving")) == []
    assert greeted(reply, play.friend("moving")) == [moved]


def test_a_stage_of_the_planet_holds_up_no_moon() -> None:
    planet, moon = make_planet(), make_moon()
    play = Play(planet, moon)
    friend = play.friend()
    play.meet(friend, moons=[held(moon.newest)])
    before = planet.newest
    planet.revise()
    newest = moon.revise()
    reply = serve(play, before, only())
    assert reply.one(friend, Verb.OK).worlds == (newest,)


def test_who_waits_for_a_moon_gets_the_revision_where_it_is_led() -> None:
    planet, moon = make_planet(), make_moon()
    play = Play(planet, moon)
    canary, other = play.friend(), play.friend()
    before = moon.newest
    newest = moon.revise()
    serve(play, before, only(canary))
    for friend, expected in ((canary, newest), (other, before)):
        reply = play.meet(friend, moons=[WorldHeld(MOON_ID, 0)])
        assert reply.one(friend, Verb.OK).worlds == (expected,)


def test_the_end_of_a_stage_is_pushed_to_all_others() -> None:
    play = Play()
    canary, other = play.friend(), play.friend()
    play.meet(canary)
    play.meet(other)
    before = play.maker.newest
    newest = play.maker.revise()
    confirmed(play, canary, serve(play, before, only(canary)), newest)
    assert pushed_to(play.publish()) == {other.address}
