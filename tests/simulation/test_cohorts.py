"""How revisions reach the leaves cohort by cohort, and nobody before it is its turn."""

from __future__ import annotations

from random import Random

import pytest

from orrery.lab.chains import ChainMaker, root_of, table_of
from orrery.lab.identities import make_unproven_identity
from orrery.lab.network import Host, Link
from orrery.lab.seeded import seeded_entropy
from orrery.rollout.cohorts import Cohorts
from orrery.vl1.events import AdoptionLearned, ForkSeen, WorldRefused, WorldServed, WorldTaken
from orrery.vl1.root_peer import KnownNode
from orrery.wire.address import Address, format_address
from orrery.wire.world import World, WorldType
from orrery.worlds.stage import PLACES, Membership, Stage
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
SEVERAL_HELLOS_MS = 600_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def serve(scene: Scene, held_back: World, opened: Membership) -> int:
    """Hold all others back; returns when."""
    stages = {PLANET_ID: Stage(held_back.timestamp_ms, opened)}
    scene.root.publish(table_of(scene.maker, stages=stages), scene.network.now_ms)
    scene.network.act(scene.root_host)
    return scene.network.now_ms


def address_of(host: Host) -> Address:
    return leaf_of(host).address


def named(*hosts: Host) -> Membership:
    return Membership(named=frozenset(map(address_of, hosts)))


def holds(host: Host) -> int:
    planet = leaf_of(host).planet
    assert planet is not None
    return planet.timestamp_ms


def test_each_cohort_has_it_one_way_after_it_was_opened_and_nobody_else() -> None:
    scene = Scene(root_link=FIXED)
    hosts = scene.add_leaves(60, FIXED)
    canary = hosts[17]
    cohorts = Cohorts.parse([[format_address(address_of(canary))], "10%", "40%", "100%"])
    cohort_of = {host: cohorts.cohort_of(PLANET_ID, address_of(host)) for host in hosts}
    assert set(cohort_of.values()) == {0, 1, 2, 3}
    scene.network.run_for(10_000)
    before = scene.maker.newest
    serve(scene, before, cohorts.opened(-1))
    newest = scene.maker.revise(rotate=True)
    serve(scene, before, cohorts.opened(-1))
    scene.network.run_for(SEVERAL_HELLOS_MS)
    assert not any(taken_ms(host) for host in hosts)
    for stage in range(len(cohorts)):
        scene.root_host.events.clear()
        opened_ms = serve(scene, before, cohorts.opened(stage))
        scene.network.run_for(ROUND_TRIP_MS)
        its_nodes = {host for host, cohort in cohort_of.items() if cohort == stage}
        for host in hosts:
            if cohort_of[host] == stage:
                assert taken_ms(host) == [opened_ms + ONE_WAY_MS]
            elif cohort_of[host] > stage:
                assert taken_ms(host) == []
        pushed = scene.root_host.events_of(WorldServed)
        assert {event.address for event in pushed} == {address_of(host) for host in its_nodes}
        assert len(pushed) == len(its_nodes)
        learned = scene.root_host.events_of(AdoptionLearned)
        assert {event.address for event in learned} == {address_of(host) for host in its_nodes}
        scene.network.run_for(SEVERAL_HELLOS_MS)
        assert {host for host in hosts if taken_ms(host)} == {
            host for host, cohort in cohort_of.items() if cohort <= stage
        }
    assert scene.all_hold(newest)


@pytest.mark.parametrize("seed", range(3))
def test_on_a_bad_network_with_sleepers_nobody_is_too_early_and_all_arrive(seed: int) -> None:
    scene = Scene(seed=seed, root_link=Link(loss_in=0.05, loss_out=0.05))
    bad = Link((5, 300), loss_out=0.1, loss_in=0.1, duplicate=0.1, reorder=0.2, reorder_ms=500)
    hosts = scene.add_leaves(60, bad)
    scene.network.run_for(30_000)
    cohorts = Cohorts.parse(["5%", "30%", "100%"])
    random = Random(seed)
    asleep: set[Host] = set()
    allowed = {address_of(host): scene.maker.newest.timestamp_ms for host in hosts}
    too_early: list[Address] = []

    def watch(host: Host, event: object) -> None:
        if isinstance(event, WorldTaken):
            limit_ms = allowed[leaf_of(host).address]
            if event.world.timestamp_ms > limit_ms:
                too_early.append(leaf_of(host).address)

    scene.network.watcher = watch
    for step in range(4):
        before = scene.maker.newest
        newest = scene.maker.revise(rotate=step % 2 == 0)
        for stage in range(-1, len(cohorts)):
            for host in hosts:
                if cohorts.opened(stage).includes(PLANET_ID, address_of(host)):
                    allowed[address_of(host)] = newest.timestamp_ms
            serve(scene, before, cohorts.opened(stage))
            for host in random.sample(hosts, 10):
                if host in asleep:
                    asleep.remove(host)
                    scene.network.wake(host)
                else:
                    asleep.add(host)
                    scene.network.put_to_sleep(host)
            scene.network.run_for(random.choice([50, 5_000, 400_000]))
    for host in asleep:
        scene.network.wake(host)
    assert scene.network.run_until(lambda: scene.all_hold(scene.maker.newest), 900_000)
    assert too_early == []


def test_leaves_asleep_through_two_rotations_and_cohorts_arrive_where_they_are_led() -> None:
    scene = Scene(root_link=FIXED)
    hosts = scene.add_leaves(20, FIXED)
    first = scene.maker.newest
    scene.network.run_for(10_000)
    for host in hosts:
        scene.network.put_to_sleep(host)
    inside, outside = hosts[:10], hosts[10:]
    for _ in range(2):
        before = scene.maker.newest
        scene.maker.revise(rotate=True)
        for opened in (named(), named(*inside), Membership(PLACES)):
            serve(scene, before, opened)
            scene.network.run_for(HOUR_MS)
    held_back = scene.maker.newest
    newest = scene.maker.revise()
    serve(scene, held_back, named(*inside))
    scene.network.run_for(60_000)

    woken_ms = scene.network.now_ms
    for host in hosts:
        scene.network.wake(host)
    scene.network.run_for(ROUND_TRIP_MS)
    for host, target in [(h, newest) for h in inside] + [(h, held_back) for h in outside]:
        assert leaf_of(host).planet == target
        assert {at_ms - woken_ms for at_ms in taken_ms(host)} == {ROUND_TRIP_MS}
        # Link by link: no more than leads there, none of them refused.
        assert len(taken_ms(host)) == len(scene.maker.chain.until(target.timestamp_ms)) - 1
        assert host.events_of(WorldRefused) == []
    serve(scene, held_back, Membership(PLACES))
    scene.network.run_for(ONE_WAY_MS)
    assert scene.all_hold(newest)
    assert first.timestamp_ms < held_back.timestamp_ms < newest.timestamp_ms


def test_a_bad_canary_is_taken_back_and_the_others_never_saw_it() -> None:
    scene = Scene(root_link=FIXED)
    hosts = scene.add_leaves(30, FIXED)
    canaries = hosts[:3]
    scene.network.run_for(10_000)
    good = scene.maker.newest
    bad = scene.maker.revise([root_of(scene.root_identity, SECOND_ENDPOINT)])
    serve(scene, good, named(*canaries))
    scene.network.run_for(60_000)
    assert {holds(host) for host in canaries} == {bad.timestamp_ms}
    mended = scene.maker.revise(good.roots)
    serve(scene, good, named(*canaries))
    scene.network.run_for(300_000)
    assert {holds(host) for host in canaries} == {mended.timestamp_ms}
    assert {holds(host) for host in hosts[3:]} == {good.timestamp_ms}
    scene.publish()
    scene.network.run_for(ONE_WAY_MS)
    assert scene.all_hold(mended)
    assert all(len(taken_ms(host)) == 1 for host in hosts[3:])


def test_a_canary_that_is_in_no_longer_keeps_what_it_has() -> None:
    scene = Scene(root_link=FIXED)
    hosts = scene.add_leaves(4, FIXED)
    scene.network.run_for(10_000)
    before = scene.maker.newest
    newest = scene.maker.revise()
    serve(scene, before, named(hosts[0]))
    scene.network.run_for(ROUND_TRIP_MS)
    serve(scene, before, named())
    scene.root_host.events.clear()
    scene.network.run_for(HOUR_MS)
    assert [holds(host) for host in hosts] == [newest.timestamp_ms] + [before.timestamp_ms] * 3
    assert scene.root_host.events_of(WorldServed) == []


def test_a_restarted_root_goes_on_at_its_stage() -> None:
    scene = Scene(root_link=FIXED)
    hosts = scene.add_leaves(10, FIXED)
    scene.network.run_for(10_000)
    before = scene.maker.newest
    newest = scene.maker.revise()
    stages = {PLANET_ID: Stage(before.timestamp_ms, named(hosts[4]))}
    scene.network.put_to_sleep(scene.root_host)
    scene.network.run_for(300_000)
    scene.root = scene.new_root()
    scene.root.publish(table_of(scene.maker, stages=stages), scene.network.now_ms)
    for host in hosts:
        scene.root.learn(KnownNode(leaf_of(host).identity.public(), 12))
    scene.network.replace(scene.root_host, scene.root)
    scene.network.run_for(HOUR_MS)
    assert [host for host in hosts if holds(host) == newest.timestamp_ms] == [hosts[4]]


# -- a root of another make ------------------------------------------------------------------------


def scene_with_official_root() -> tuple[Scene, Host]:
    """A leaf that is listed as a root hands its World to whoever says HELLO, as every node does."""
    scene = Scene(root_link=FIXED)
    official = make_unproven_identity("official root")
    scene.maker.revise([*scene.maker.newest.roots, root_of(official, SECOND_ENDPOINT)])
    scene.publish()
    scene.root.learn(KnownNode(official.public()))
    host = scene.add_leaf(official, SECOND_ENDPOINT, link=FIXED)
    scene.leaves.remove(host)
    return scene, host


def test_an_official_root_gets_it_last_and_so_lets_nobody_have_it_early() -> None:
    scene, official = scene_with_official_root()
    hosts = scene.add_leaves(10, FIXED)
    scene.network.run_for(60_000)
    before = scene.maker.newest
    newest = scene.maker.revise()
    inside, outside = hosts[:5], hosts[5:]
    serve(scene, before, named(official, *inside))
    # It is known to the root, and says HELLO to it.
    assert address_of(official) in {event.address for event in official_adoptions(scene)}
    scene.network.run_for(2 * HOUR_MS)
    assert {holds(host) for host in inside} == {newest.timestamp_ms}
    assert {holds(host) for host in [official, *outside]} == {before.timestamp_ms}
    serve(scene, before, Membership(PLACES))
    scene.network.run_for(ONE_WAY_MS)
    assert holds(official) == newest.timestamp_ms
    assert scene.all_hold(newest)


def official_adoptions(scene: Scene) -> list[AdoptionLearned]:
    return scene.root_host.events_of(AdoptionLearned)


def test_an_official_root_that_had_it_early_would_hand_it_to_everybody() -> None:
    """What the test above would miss if nobody asked that root."""
    scene, official = scene_with_official_root()
    hosts = scene.add_leaves(10, FIXED)
    scene.network.run_for(60_000)
    before = scene.maker.newest
    newest = scene.maker.revise()
    leaf_of(official)._topology.add_world(newest)
    serve(scene, before, named())
    scene.network.run_for(2 * HOUR_MS)
    assert {holds(host) for host in hosts} == {newest.timestamp_ms}


# -- forks -----------------------------------------------------------------------------------------


def rival(scene: Scene, timestamp_ms: int) -> World:
    """A planet with our id and roots, made by somebody else."""
    maker = ChainMaker(
        WorldType.PLANET,
        PLANET_ID,
        scene.maker.newest.roots,
        seeded_entropy("rival"),
        timestamp_ms,
    )
    return maker.newest


@pytest.mark.parametrize("offset_ms", [-500, 0, 500, DAY_MS])
def test_forks_are_told_of_once_and_cost_next_to_nothing(offset_ms: int) -> None:
    scene = Scene(root_link=FIXED)
    honest = scene.add_leaves(2, FIXED)
    fork = rival(scene, scene.maker.newest.timestamp_ms + offset_ms)
    forked = []
    for number in range(2):
        identity = make_unproven_identity(f"forked {number}")
        scene.root.learn(KnownNode(identity.public()))
        forked.append(scene.add_leaf(identity, endpoint_of(500 + number), link=FIXED, planet=fork))
    scene.network.run_for(10_000)
    for _ in range(3):
        newest = scene.maker.revise(rotate=True)
        scene.publish()
        scene.network.run_for(ROUND_TRIP_MS)
        assert {holds(host) for host in honest} == {newest.timestamp_ms}
    scene.network.run_for(2 * HOUR_MS)
    refused = [len(host.events_of(WorldRefused)) for host in forked]
    # Until its bytes were seen; at the timestamp of a revision all looks well before that.
    assert max(refused) <= 2
    assert {leaf_of(host).planet for host in forked} == {fork}
    seen = [event for event in scene.root_host.events_of(ForkSeen) if event.world == fork]
    assert sorted(event.address for event in seen) == sorted(map(address_of, forked))
    assert len(scene.root_host.events_of(ForkSeen)) <= 2 * len(forked)
    scene.root_host.events.clear()
    scene.network.run_for(2 * HOUR_MS)
    assert scene.root_host.events_of(WorldServed) == []
    assert scene.root_host.events_of(ForkSeen) == []


def test_a_fork_of_our_own_key_is_led_back_to_the_chain() -> None:
    """Somebody signed with a copy of the key; our next revision is larger, and signed by it too."""
    scene = Scene(root_link=FIXED)
    fork = scene.maker.forge()
    identity = make_unproven_identity("forked")
    scene.root.learn(KnownNode(identity.public()))
    host = scene.add_leaf(identity, endpoint_of(7), link=FIXED, planet=fork)
    scene.network.run_for(10_000)
    newest = scene.maker.revise(rotate=True)
    scene.publish()
    scene.network.run_for(ONE_WAY_MS)
    assert leaf_of(host).planet == newest
    assert host.events_of(WorldRefused) == []


def test_a_fork_that_is_mended_by_hand_is_found_and_led_on() -> None:
    scene = Scene(root_link=FIXED)
    first = scene.maker.newest
    fork = rival(scene, first.timestamp_ms)
    identity = make_unproven_identity("forked")
    scene.root.learn(KnownNode(identity.public()))
    host = scene.add_leaf(identity, endpoint_of(7), link=FIXED, planet=fork)
    scene.network.run_for(10_000)
    newest = scene.maker.revise()
    scene.publish()
    scene.network.run_for(HOUR_MS)
    assert leaf_of(host).planet == fork
    # The file is replaced, and the node started again, where its path is known and where it is not.
    for away_ms in (1_000, HOUR_MS):
        scene.network.put_to_sleep(host)
        scene.network.run_for(away_ms)
        mended = type(leaf_of(host)).holding(
            identity, scene.entropy, first, (), scene.network.now_ms
        )
        scene.network.replace(host, mended)
        scene.network.run_for(5_000)
        assert leaf_of(host).planet == newest
