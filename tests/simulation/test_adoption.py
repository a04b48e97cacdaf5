"""How revisions reach the leaves."""

from __future__ import annotations

import pytest

from orrery.lab.chains import ChainMaker, root_of, table_of
from orrery.lab.identities import make_unproven_identity
from orrery.lab.network import Link
from orrery.vl1.events import AdoptionLearned, ForkSeen, How, NodeSeen, WorldServed, WorldTaken
from orrery.vl1.leaf import LeafNode
from orrery.vl1.push import PushSettings
from orrery.vl1.root import RootNode
from orrery.vl1.root_peer import KnownNode
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import WorldHeld
from orrery.wire.world import WorldType
from tests.simulation.scene import (
    PLANET_ID,
    SECOND_ENDPOINT,
    Scene,
    endpoint_of,
    leaf_of,
    taken_ms,
)

FIXED = Link(latency_ms=(10, 10))
ONE_WAY_MS = 20
"""Through two such links."""
ROUND_TRIP_MS = 40


def test_online_leaves_have_a_push_after_one_way_and_confirm_it_after_the_other() -> None:
    scene = Scene(root_link=FIXED)
    hosts = scene.add_leaves(100, FIXED)
    scene.network.run_for(10_000)
    scene.root_host.events.clear()
    revision = scene.maker.revise()
    published_ms = scene.publish()
    scene.network.run_for(ROUND_TRIP_MS)

    assert [taken_ms(host) for host in hosts] == [[published_ms + ONE_WAY_MS]] * 100
    learned = scene.root_host.events_of(AdoptionLearned)
    assert {event.address for event in learned} == {host.node.address for host in hosts}
    assert {event.at_ms for event in learned} == {published_ms + ROUND_TRIP_MS}
    assert {event.how for event in learned} == {How.PROBE}
    assert {event.timestamp_ms for event in learned} == {revision.timestamp_ms}


def test_nothing_more_is_pushed_once_it_is_confirmed() -> None:
    scene = Scene(root_link=FIXED)
    scene.add_leaves(20, FIXED)
    scene.network.run_for(10_000)
    scene.maker.revise()
    scene.publish()
    scene.network.run_for(600_000)
    assert len(scene.root_host.events_of(WorldServed)) == 20


def test_leaves_asleep_through_two_key_rotations_are_led_there_in_one_round_trip() -> None:
    scene = Scene(root_link=FIXED)
    hosts = scene.add_leaves(10, FIXED)
    scene.network.run_for(10_000)
    for host in hosts:
        scene.network.put_to_sleep(host)
    for _ in range(2):
        scene.maker.revise(rotate=True)
        scene.publish()
        scene.network.run_for(3_600_000)
    last = scene.maker.revise()
    scene.publish()
    scene.network.run_for(60_000)

    woken_ms = scene.network.now_ms
    for host in hosts:
        scene.network.wake(host)
    scene.network.run_for(ROUND_TRIP_MS)
    assert scene.all_hold(last)
    for host in hosts:
        assert {at_ms - woken_ms for at_ms in taken_ms(host)} == {ROUND_TRIP_MS}
        assert len(taken_ms(host)) == 3


def test_answers_lost() -> None:
    scene = Scene(root_link=Link(loss_out=0.3))
    scene.add_leaves(100)
    scene.network.run_for(30_000)
    revision = scene.maker.revise()
    scene.publish()
    assert scene.network.run_until(lambda: scene.all_hold(revision), 60_000)

    # With push retried on each leaf's next packets, the root also knows in the end.
    def all_known() -> bool:
        learned = scene.root_host.events_of(AdoptionLearned)
        return {e.address for e in learned if e.timestamp_ms == revision.timestamp_ms} == {
            host.node.address for host in scene.leaves
        }

    assert scene.network.run_until(all_known, 600_000)


def test_a_bad_network_both_ways() -> None:
    bad = Link((5, 300), loss_out=0.1, loss_in=0.1, duplicate=0.1, reorder=0.2, reorder_ms=500)
    scene = Scene(seed=7)
    scene.add_leaves(100, bad)
    scene.network.run_for(30_000)
    for _ in range(3):
        scene.maker.revise(rotate=True)
    scene.publish()
    assert scene.network.run_until(lambda: scene.all_hold(scene.maker.newest), 120_000)


def test_a_restarted_root_leads_the_nodes_it_remembers_within_seconds() -> None:
    scene = Scene()
    hosts = scene.add_leaves(50)
    held = WorldHeld(PLANET_ID, scene.maker.newest.timestamp_ms)
    scene.network.run_for(60_000)
    scene.network.put_to_sleep(scene.root_host)
    scene.network.run_for(20_000)
    revision = scene.maker.revise(rotate=True)
    root = scene.new_root()
    for host in hosts:
        identity = leaf_of(host).identity.public()
        root.learn(KnownNode(identity, 12, held=(held,), seen_ms=scene.network.now_ms - 20_000))
    scene.network.replace(scene.root_host, root)
    # Each leaf asks for its root every 5 s, and that is enough.
    assert scene.network.run_until(lambda: scene.all_hold(revision), 5_200)


def test_leaves_find_back_to_a_root_that_was_away_and_forgot_them() -> None:
    scene = Scene()
    scene.add_leaves(20)
    scene.network.run_for(60_000)
    scene.network.put_to_sleep(scene.root_host)
    scene.network.run_for(500_000)
    revision = scene.maker.revise()
    scene.network.replace(scene.root_host, scene.new_root())
    # They have dropped its path, and say HELLO every 5 s.
    assert scene.network.run_until(lambda: scene.all_hold(revision), 11_000)


def test_two_thousand_leaves() -> None:
    scene = Scene()
    scene.add_leaves(2_000)
    scene.network.run_for(7_000)
    revision = scene.maker.revise()
    published_ms = scene.publish()
    assert scene.network.run_until(lambda: scene.all_hold(revision), 3_000)
    took_ms = sorted(taken_ms(host)[0] - published_ms for host in scene.leaves)
    paced_ms = (2_000 - scene.push.nodes.burst) * 1_000 / scene.push.nodes.per_second
    assert took_ms[-1] <= paced_ms + 100


def test_without_push_a_leaf_adopts_with_its_next_hello() -> None:
    scene = Scene(push=PushSettings(enabled=False))
    hosts = scene.add_leaves(50)
    scene.network.run_for(20_000)
    revision = scene.maker.revise()
    published_ms = scene.publish()
    scene.network.run_for(100_000)
    assert not scene.all_hold(scene.maker.newest)
    assert scene.network.run_until(lambda: scene.all_hold(revision), 125_300)
    assert all(taken_ms(host)[0] - published_ms > 100_000 for host in hosts)


def test_a_probe_tells_of_a_fork() -> None:
    scene = Scene()
    fork = scene.maker.forge()
    identity = make_unproven_identity("forked")
    scene.root.learn(KnownNode(identity.public()))
    scene.add_leaf(identity, endpoint_of(1), planet=fork)
    scene.network.run_for(10_000)
    assert {
        (event.address, event.timestamp_ms) for event in scene.root_host.events_of(ForkSeen)
    } == {(identity.address, fork.timestamp_ms)}


def test_a_fork_with_the_timestamp_of_a_revision_shows_when_it_is_probed() -> None:
    scene = Scene()
    scene.add_leaves(1)
    other = ChainMaker(
        WorldType.PLANET,
        PLANET_ID,
        scene.maker.newest.roots,
        scene.entropy,
        scene.maker.newest.timestamp_ms,
    )
    identity = make_unproven_identity("other planet")
    scene.root.learn(KnownNode(identity.public()))
    host = scene.add_leaf(identity, endpoint_of(7), planet=other.newest)
    scene.network.run_for(10_000)
    scene.maker.revise()
    scene.publish()
    scene.network.run_for(1_000)
    assert {event.address for event in scene.root_host.events_of(ForkSeen)} == {identity.address}
    assert leaf_of(host).planet == other.newest


def test_a_second_root_is_contacted_at_the_next_check() -> None:
    scene = Scene()
    hosts = scene.add_leaves(10)
    second_identity = make_unproven_identity("second root")
    scene.network.run_for(10_000)
    scene.maker.revise([*scene.maker.newest.roots, root_of(second_identity, SECOND_ENDPOINT)])
    second = RootNode(second_identity, scene.entropy, table_of(scene.maker), scene.network.now_ms)
    for host in hosts:
        second.learn(KnownNode(leaf_of(host).identity.public()))
    second_host = scene.network.add(second, SECOND_ENDPOINT)
    scene.publish()
    scene.network.run_for(5_100)
    seen = {event.identity.address for event in second_host.events_of(NodeSeen)}
    assert seen >= {host.node.address for host in hosts}
    now_ms = scene.network.now_ms
    assert all(leaf_of(host).path_to(second_identity.address, now_ms) is not None for host in hosts)


def test_a_root_pushes_its_new_address_from_there() -> None:
    scene = Scene()
    hosts = scene.add_leaves(10)
    scene.network.run_for(10_000)
    # The old address is gone from one moment to the next; the root has the old one's memory.
    scene.network.move(scene.root_host, SECOND_ENDPOINT)
    revision = scene.maker.revise([root_of(scene.root_identity, SECOND_ENDPOINT)])
    scene.publish()
    scene.network.run_for(100)
    assert scene.all_hold(revision)
    # Their traffic follows at the latest when they give up the old path.
    scene.network.run_for(245_000)
    for host in hosts:
        path = leaf_of(host).path_to(scene.root_identity.address, scene.network.now_ms)
        assert path is not None
        assert path.endpoint == SECOND_ENDPOINT


@pytest.mark.parametrize("nodes", [1, 30])
def test_a_moon_is_orbited_and_updated_by_push(nodes: int) -> None:
    scene = Scene()
    moon_identity = make_unproven_identity("moon root")
    moon_endpoint = Endpoint.from_text("20.0.2.1/9993")
    moon = ChainMaker(
        WorldType.MOON,
        moon_identity.address,
        [root_of(moon_identity, moon_endpoint)],
        scene.entropy,
        scene.network.now_ms,
    )
    moon_root = RootNode(
        moon_identity, scene.entropy, table_of(scene.maker, moon), scene.network.now_ms
    )
    moon_host = scene.network.add(moon_root, moon_endpoint)
    scene.root.learn(KnownNode(moon_identity.public()))
    hosts = scene.add_leaves(nodes)
    for host in hosts:
        moon_root.learn(KnownNode(leaf_of(host).identity.public()))
    scene.network.run_for(10_000)
    for host in hosts:
        leaf_of(host).orbit(moon_identity.address, moon_identity.address, scene.network.now_ms)
    scene.network.run_for(16_000)
    assert all(leaf_of(host).moons == (moon.newest,) for host in hosts)

    revision = moon.revise(rotate=True)
    moon_root.publish(table_of(scene.maker, moon), scene.network.now_ms)
    scene.network.act(moon_host)
    scene.network.run_for(100)
    assert all(leaf_of(host).moons == (revision,) for host in hosts)
    taken = [event for host in hosts for event in host.events_of(WorldTaken)]
    assert {event.source for event in taken} == {moon_identity.address}


def test_a_leaf_that_restarts_goes_on_from_what_it_stored() -> None:
    scene = Scene()
    (host,) = scene.add_leaves(1)
    scene.network.run_for(10_000)
    scene.maker.revise(rotate=True)
    scene.publish()
    scene.network.run_for(1_000)
    stored = host.events_of(WorldTaken)[-1].world
    scene.network.put_to_sleep(host)
    last = scene.maker.revise()
    scene.publish()
    again = LeafNode.holding(
        leaf_of(host).identity, scene.entropy, stored, (), scene.network.now_ms
    )
    scene.network.replace(host, again)
    scene.network.run_for(100)
    assert again.planet == last
