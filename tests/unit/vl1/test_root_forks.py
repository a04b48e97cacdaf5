"""The root and nodes that hold a World with an id of ours which is none of ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orrery.lab.chains import ChainMaker, root_of, table_of
from orrery.lab.seeded import seeded_entropy
from orrery.vl1.events import AdoptionLearned, ForkSeen, How, WorldServed
from orrery.vl1.forks import Fork, mark_of
from orrery.vl1.push import PushSettings
from orrery.vl1.root_peer import KnownNode
from orrery.wire.endpoint import Endpoint
from orrery.wire.packet import Verb
from orrery.wire.signature import SigningKey
from orrery.wire.verbs import WorldHeld
from orrery.wire.world import World, WorldType
from orrery.worlds.stage import NOBODY, Stage
from tests.unit.vl1.playing import (
    MOON_ID,
    PLANET_ID,
    Friend,
    Play,
    Reply,
    held,
    identity_of,
    make_moon,
    make_planet,
)

HOUR_MS = 3_600_000


def rival(timestamp_ms: int, seed: str = "rival") -> World:
    """A planet with our id, of somebody else's key."""
    roots = [root_of(identity_of("root"), Endpoint.from_text("203.0.113.99/9993"))]
    return ChainMaker(WorldType.PLANET, PLANET_ID, roots, seeded_entropy(seed), timestamp_ms).newest


def answers_probes(play: Play, friend: Friend, reply: Reply, world: World) -> Reply:
    """The friend answers every HELLO that asks for it with what it holds, and so on."""
    whole = Reply.__new__(Reply)
    whole.datagrams, whole.events, whole.proofs = reply.datagrams, reply.events, reply.proofs
    while True:
        questions = [
            sent.packet
            for sent in reply.to(friend)
            if sent.packet.verb == Verb.HELLO
            and friend.read_hello(sent.packet).planet.timestamp_ms < world.timestamp_ms
        ]
        if not questions:
            return whole
        for question in questions:
            reply = play.give(friend.ok_hello(question, world, now_ms=play.now_ms), friend.path)
            whole.datagrams = whole.datagrams + reply.datagrams
            whole.events = whole.events + reply.events


def lives_for(play: Play, friend: Friend, world: World, duration_ms: int) -> Reply:
    """The friend says HELLO each minute and NOP each second, and keeps to its World."""
    whole = Reply.__new__(Reply)
    whole.datagrams, whole.events, whole.proofs = [], [], []
    for second in range(duration_ms // 1_000):
        play.now_ms += 1_000
        said = friend.packet(Verb.NOP)
        if second % 60 == 0:
            said = friend.hello(play.now_ms, held(world))
        reply = answers_probes(play, friend, play.give(said, friend.path), world)
        whole.datagrams = whole.datagrams + reply.datagrams
        whole.events = whole.events + reply.events
    return whole


def forks(reply: Reply) -> list[tuple[int, World | None]]:
    return [(event.timestamp_ms, event.world) for event in reply.of(ForkSeen)]


@pytest.mark.parametrize("pushes", [True, False])
def test_a_fork_of_another_key_is_tried_once_and_then_left_alone(pushes: bool) -> None:
    play = Play(push=PushSettings(enabled=pushes))
    fork = rival(play.maker.newest.timestamp_ms - 500)
    friend = play.friend()
    reply = play.meet(friend, held(fork), confirm=False)
    assert forks(reply) == [(fork.timestamp_ms, None)]
    assert reply.one(friend, Verb.OK).worlds == (play.maker.newest,), "its key may be an old one"
    question = reply.one(friend, Verb.HELLO).packet
    reply = play.give(friend.ok_hello(question), friend.path)
    assert forks(answers_probes(play, friend, reply, fork)) == [(fork.timestamp_ms, fork)]
    later = lives_for(play, friend, fork, HOUR_MS)
    assert later.of(WorldServed) == []
    assert later.of(ForkSeen) == []
    assert later.of(AdoptionLearned) == []


def test_a_fork_with_a_timestamp_of_ours_is_not_handed_what_it_refuses() -> None:
    play = Play()
    fork = rival(play.maker.newest.timestamp_ms)
    friend = play.friend()
    assert play.meet(friend, held(fork)).of(AdoptionLearned), "it looks like ours so far"
    play.maker.revise()
    reply = answers_probes(play, friend, play.publish(), fork)
    assert len(reply.of(WorldServed)) == 1
    assert forks(reply) == [(fork.timestamp_ms, fork)]
    later = lives_for(play, friend, fork, HOUR_MS)
    assert later.of(WorldServed) == []
    assert later.of(ForkSeen) == []
    # A later revision says nothing new to it, and the root knows that.
    play.maker.revise(rotate=True)
    assert play.publish().to(friend) == []


def test_a_fork_that_takes_our_key_is_led_on_by_what_it_takes() -> None:
    """Its timestamp is ours, where the key was changed; it names the key before."""
    play = Play()
    first = play.maker.newest
    rotated = play.maker.revise(rotate=True)
    play.publish()
    key = SigningKey.generate(seeded_entropy("planet"))
    assert first.updates_must_be_signed_by == key.public
    fork = replace(first, timestamp_ms=first.timestamp_ms + 1).sign(key)
    friend = play.friend()
    reply = play.meet(friend, held(fork))
    assert reply.one(friend, Verb.OK).worlds == (rotated,)

    second = play.maker.revise(rotate=True)
    play.publish()
    twin = replace(rotated, updates_must_be_signed_by=key.public).sign(key)
    other = play.friend()
    assert play.meet(other, held(twin)).one(other, Verb.OK).worlds == (second,)
    reply = answers_probes(play, other, lives_for(play, other, twin, 2_000), twin)
    assert (twin.timestamp_ms, twin) in forks(reply)
    assert lives_for(play, other, twin, HOUR_MS).of(WorldServed) == []
    # Nothing newer is signed by that key. It is now, as happens when a key is taken back.
    back = replace(
        second, timestamp_ms=second.timestamp_ms + 1, updates_must_be_signed_by=key.public
    ).sign(play.maker._key)
    last = replace(back, timestamp_ms=back.timestamp_ms + 1).sign(key)
    play.maker.chain = play.maker.chain.extend(back).extend(last)
    assert play.publish().one(other, Verb.OK).worlds == (last,)


def test_a_fork_is_handed_the_right_links_as_soon_as_its_key_is_known() -> None:
    """Keys that take turns: what leads on from our revision is not what leads on from its twin."""
    play = Play()
    first = play.maker.newest
    friend = play.friend()
    one = SigningKey.generate(seeded_entropy("planet"))
    other = SigningKey.generate(seeded_entropy("other key"))
    worlds = []
    for number, (signer, names) in enumerate(
        [(one, other), (other, one), (one, other), (other, other)], start=1
    ):
        world = replace(
            first,
            timestamp_ms=first.timestamp_ms + number,
            updates_must_be_signed_by=names.public,
        ).sign(signer)
        play.maker.chain = play.maker.chain.extend(world)
        worlds.append(world)
    twin = replace(worlds[0], updates_must_be_signed_by=one.public).sign(one)
    play.meet(friend, held(twin))
    reply = answers_probes(play, friend, play.publish(), twin)
    handed = [sent.worlds for sent in reply.to(friend) if sent.packet.verb == Verb.OK]
    assert handed == [(worlds[3],), (worlds[2], worlds[3])]


def test_a_node_ahead_of_our_chain_is_left_alone() -> None:
    play = Play()
    ahead = play.maker.forge()
    friend = play.friend()
    reply = play.meet(friend, held(ahead), confirm=False)
    question = reply.one(friend, Verb.HELLO).packet
    reply = play.give(friend.ok_hello(question, ahead), friend.path)
    assert forks(reply) == [(ahead.timestamp_ms, ahead)]
    later = lives_for(play, friend, ahead, HOUR_MS)
    assert later.of(WorldServed) == []
    assert later.of(ForkSeen) == []
    probes = [sent for sent in later.to(friend) if sent.packet.verb == Verb.HELLO]
    assert len(probes) <= 60, "asked with its HELLOs only"


@pytest.mark.parametrize("seen", [True, False])
def test_what_was_ahead_is_adopted_once_we_have_it_too(seen: bool) -> None:
    play = Play()
    friend = play.friend()
    newest = play.maker.revise()
    reply = play.meet(friend, held(newest), confirm=not seen)
    if seen:
        question = reply.one(friend, Verb.HELLO).packet
        reply = play.give(friend.ok_hello(question, newest), friend.path)
    assert reply.of(ForkSeen)
    assert reply.of(AdoptionLearned) == []
    (learned,) = play.publish().of(AdoptionLearned)
    assert learned == AdoptionLearned(
        play.now_ms, friend.address, *held(newest), How.PROBE if seen else How.HELLO
    )
    play.maker.revise()
    assert play.publish().of(WorldServed)


def test_a_fork_that_was_replaced_by_hand_is_led_on() -> None:
    play = Play()
    first = play.maker.newest
    fork = rival(first.timestamp_ms)
    friend = play.friend()
    play.meet(friend, held(fork))
    newest = play.maker.revise()
    assert forks(answers_probes(play, friend, play.publish(), fork))
    play.now_ms += 100
    # Its HELLO says what it said before: only its answer tells that this is another World.
    reply = play.give(friend.hello(play.now_ms, held(first)), friend.path)
    assert reply.one(friend, Verb.OK).worlds == ()
    question = reply.one(friend, Verb.HELLO).packet
    reply = play.give(friend.ok_hello(question, first, now_ms=play.now_ms), friend.path)
    assert [event.how for event in reply.of(AdoptionLearned)] == [How.PROBE]
    assert reply.one(friend, Verb.OK).worlds == (newest,)


def test_another_fork_in_its_place_is_seen() -> None:
    play = Play()
    fork, other = (rival(play.maker.newest.timestamp_ms, seed) for seed in ("rival", "other"))
    friend = play.friend()
    play.meet(friend, held(fork))
    play.maker.revise()
    answers_probes(play, friend, play.publish(), fork)
    play.now_ms += 60_000
    reply = play.give(friend.hello(play.now_ms, held(other)), friend.path)
    assert forks(answers_probes(play, friend, reply, other)) == [(other.timestamp_ms, other)]


def test_a_fork_of_an_earlier_run_is_known_at_once_and_asked_again() -> None:
    play = Play()
    first = play.maker.newest
    newest = play.maker.revise()
    play.publish()
    fork = rival(first.timestamp_ms)
    known = Fork.of(held(fork), fork)
    assert known == Fork(*held(fork), fork.updates_must_be_signed_by, mark_of(fork))
    friend = play.friend()
    public = friend.identity.public()
    play.root.learn(KnownNode(public, 12, held=(held(fork),), forks=(known,)))
    reply = play.meet(friend, held(fork), confirm=False)
    assert reply.one(friend, Verb.OK).worlds == ()
    assert reply.of(ForkSeen) == []
    assert reply.of(AdoptionLearned) == []
    question = reply.one(friend, Verb.HELLO).packet
    probe = play.give(friend.ok_hello(question), friend.path).one(friend, Verb.HELLO).packet
    mended = play.give(friend.ok_hello(probe, first), friend.path)
    assert mended.one(friend, Verb.OK).worlds == (newest,)


def test_a_fork_of_an_earlier_run_that_is_gone_counts_no_more() -> None:
    play = Play()
    fork = rival(play.maker.newest.timestamp_ms - 500)
    friend = play.friend()
    public = friend.identity.public()
    known = Fork.of(held(fork), fork)
    play.root.learn(KnownNode(public, 12, held=(held(play.maker.newest),), forks=(known,)))
    newest = play.maker.revise()
    play.publish()
    reply = play.meet(friend, held(fork), confirm=False)
    assert reply.one(friend, Verb.OK).worlds == (newest,)
    assert forks(reply) == [(fork.timestamp_ms, None)]


def test_a_fork_is_led_as_far_as_its_cohort() -> None:
    play = Play()
    first = play.maker.newest
    key = SigningKey.generate(seeded_entropy("planet"))
    second = play.maker.revise(rotate=True)
    play.maker.revise()
    stages = {PLANET_ID: Stage(second.timestamp_ms, NOBODY)}
    play.root.publish(table_of(play.maker, stages=stages), play.now_ms)
    fork = replace(first, roots=()).sign(key)
    friend = play.friend()
    reply = play.meet(friend, held(fork))
    reply = answers_probes(play, friend, lives_for(play, friend, fork, 2_000), fork)
    assert (fork.timestamp_ms, fork) in forks(reply)
    handed = [
        sent.worlds
        for sent in lives_for(play, friend, fork, HOUR_MS).to(friend)
        if sent.packet.verb == Verb.OK and sent.ok.verb == Verb.HELLO and sent.worlds
    ]
    assert handed
    assert set(handed) == {(second,)}
    play.now_ms += 60_000
    reply = play.publish()
    assert reply.one(friend, Verb.OK).worlds == tuple(
        play.maker.chain.links_from(first.timestamp_ms)
    )


def test_a_moon_with_the_id_of_our_planet_is_no_fork_of_it() -> None:
    play = Play()
    friend = play.friend()
    moon = replace(rival(play.maker.newest.timestamp_ms + 5), type=WorldType.MOON)
    question = play.meet(friend, confirm=False).one(friend, Verb.HELLO).packet
    reply = play.give(friend.ok_hello(question, moon), friend.path)
    assert reply.of(ForkSeen) == []


def test_a_world_that_could_not_be_written_again_is_told_apart_all_the_same() -> None:
    moon = make_moon()
    play = Play(make_planet(), moon)
    odd = replace(moon.newest, timestamp_ms=moon.newest.timestamp_ms + 9)
    object.__setattr__(odd, "_encoded", odd.encode()[:-2] + (60_000).to_bytes(2))
    assert World.decode(odd.encode()).id == MOON_ID
    friend = play.friend()
    reply = play.meet(friend, moons=[WorldHeld(MOON_ID, 0)], confirm=False)
    question = reply.one(friend, Verb.HELLO).packet
    reply = play.give(friend.ok_hello(question, odd), friend.path)
    assert [event.timestamp_ms for event in reply.of(ForkSeen)] == [odd.timestamp_ms]


def test_a_moon_that_is_no_longer_held_is_no_fork() -> None:
    moon = make_moon()
    play = Play(make_planet(), moon)
    fork = replace(moon.newest, timestamp_ms=moon.newest.timestamp_ms - 5)
    friend = play.friend()
    reply = play.meet(friend, moons=[held(fork)])
    assert forks(reply) == [(fork.timestamp_ms, None)]
    play.now_ms += 60_000
    again = friend.hello(play.now_ms, held(play.maker.newest), [WorldHeld(MOON_ID, 0)])
    reply = play.give(again, friend.path)
    assert reply.one(friend, Verb.OK).worlds == (moon.newest,)
    assert reply.of(ForkSeen) == []
