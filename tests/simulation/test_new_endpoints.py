"""A root gains an endpoint and gives the old one up: leaves go over and lose little time."""

from __future__ import annotations

import pytest

from orrery.lab.chains import root_of, table_of
from orrery.lab.identities import make_unproven_identity
from orrery.lab.network import Host, Nat
from orrery.vl1.events import Introduced, NodeSeen
from orrery.vl1.limits import Allowance
from orrery.vl1.push import PushSettings
from orrery.vl1.root import RootNode
from orrery.vl1.root_peer import KnownNode
from orrery.wire.endpoint import Endpoint
from tests.simulation.scene import ROOT_ENDPOINT, SECOND_ENDPOINT, Scene, leaf_of

IPV6 = Endpoint.from_text("[2001:db8::1]:9993")
THIRD_ENDPOINT = Endpoint.from_text("20.0.2.1/9993")


def scene_with_both(*, rotations: int = 0) -> Scene:
    """Leaves that have just taken a revision with one more endpoint of the root."""
    scene = Scene()
    scene.network.move(scene.root_host, ROOT_ENDPOINT, SECOND_ENDPOINT)
    scene.add_leaves(20)
    scene.network.run_for(10_000)
    for _ in range(rotations):
        scene.maker.revise(rotate=True)
    scene.maker.revise([root_of(scene.root_identity, ROOT_ENDPOINT, SECOND_ENDPOINT, IPV6)])
    scene.publish()
    # Some are probed before they have taken it, and again with their next question.
    scene.network.run_for(12_000)
    assert scene.all_hold(scene.maker.newest)
    return scene


@pytest.mark.parametrize("rotations", [0, 2])
def test_leaves_are_brought_to_a_new_endpoint_as_they_take_it(rotations: int) -> None:
    scene = scene_with_both(rotations=rotations)
    for host in scene.leaves:
        (introduced,) = host.events_of(Introduced)
        assert introduced.address == scene.root_identity.address
        assert introduced.path.endpoint == SECOND_ENDPOINT


def test_a_revision_without_a_new_endpoint_brings_nobody_anywhere() -> None:
    scene = scene_with_both()
    scene.maker.revise(rotate=True)
    scene.publish()
    scene.network.run_for(1_000)
    assert scene.all_hold(scene.maker.newest)
    assert all(len(host.events_of(Introduced)) == 1 for host in scene.leaves)


def test_leaves_are_brought_to_new_endpoints_of_the_other_roots_that_they_know() -> None:
    scene = Scene()
    own, other = root_of(scene.root_identity, ROOT_ENDPOINT), make_unproven_identity("other root")
    scene.add_leaves(5)
    scene.network.run_for(10_000)
    scene.maker.revise([own, root_of(other, SECOND_ENDPOINT)])
    scene.publish()
    scene.network.run_for(12_000)
    assert scene.all_hold(scene.maker.newest)
    # A root that is new to them they call by themselves.
    assert not any(host.events_of(Introduced) for host in scene.leaves)
    scene.maker.revise([own, root_of(other, SECOND_ENDPOINT, THIRD_ENDPOINT, IPV6)])
    scene.publish()
    scene.network.run_for(12_000)
    for host in scene.leaves:
        (introduced,) = host.events_of(Introduced)
        assert (introduced.address, introduced.path.endpoint) == (other.address, THIRD_ENDPOINT)


def test_when_the_old_endpoint_ends_leaves_use_the_new_one_before_long() -> None:
    scene = scene_with_both()
    scene.network.take_away(ROOT_ENDPOINT)
    scene.network.run_for(25_000)
    for host in scene.leaves:
        path = leaf_of(host).path_to(scene.root_identity.address, scene.network.now_ms)
        assert path is not None
        assert path.endpoint == SECOND_ENDPOINT
    revision = scene.maker.revise([root_of(scene.root_identity, SECOND_ENDPOINT)])
    scene.publish()
    scene.network.run_for(1_000)
    assert scene.all_hold(revision)


def test_leaves_that_are_asked_come_to_what_is_listed_though_the_old_endpoint_still_answers() -> (
    None
):
    scene = Scene()
    scene.network.move(scene.root_host, ROOT_ENDPOINT, SECOND_ENDPOINT)
    scene.add_leaves(10)
    for number in range(10):
        # What such a NAT has opened to the other endpoint is closed before long.
        identity = make_unproven_identity(f"behind NAT {number}")
        scene.root.learn(KnownNode(identity.public()))
        inside = Endpoint(bytes((10, 0, number, 1)), 9993)
        scene.add_leaf(identity, inside, nat=Nat(bytes((50, 0, number, 1))))
    scene.network.run_for(10_000)
    for places in ((ROOT_ENDPOINT, SECOND_ENDPOINT), (SECOND_ENDPOINT,)):
        scene.maker.revise([root_of(scene.root_identity, *places)])
        scene.publish()
        # HELLO to both endpoints: the one that answers last is kept to.
        scene.network.run_for(260_000 if len(places) > 1 else 20_000)
        assert scene.all_hold(scene.maker.newest)
    scene.root_host.events.clear()
    for _ in range(3):
        scene.root.ask([leaf_of(host).address for host in scene.leaves], scene.network.now_ms)
        scene.network.act(scene.root_host)
        scene.network.run_for(2_000)
    listed = scene.root_host.endpoints.index(SECOND_ENDPOINT)
    heard = {
        event.identity.address
        for event in scene.root_host.events_of(NodeSeen)
        if event.path.socket == listed
    }
    assert heard == {leaf_of(host).address for host in scene.leaves}


def test_leaves_that_are_asked_are_reported_wherever_they_are_heard() -> None:
    scene = scene_with_both()
    addresses = [leaf_of(host).address for host in scene.leaves]
    scene.root_host.events.clear()
    for _ in range(2):
        scene.root.ask(addresses, scene.network.now_ms)
        scene.network.act(scene.root_host)
        scene.network.run_for(2_000)
    reported = [
        (event.identity.address, scene.root_host.endpoints[event.path.socket])
        for event in scene.root_host.events_of(NodeSeen)
    ]
    places = (ROOT_ENDPOINT, SECOND_ENDPOINT)
    assert set(reported) == {(address, place) for address in addresses for place in places}
    # At each place once for each time that it was asked, not with every packet.
    assert len(reported) <= 2 * len(set(reported))


def test_two_roots_do_not_ask_each_other_for_ever() -> None:
    scene = Scene()
    other = make_unproven_identity("other root")
    scene.maker.revise([*scene.maker.newest.roots, root_of(other, SECOND_ENDPOINT)])
    scene.publish()
    root = RootNode(other, scene.entropy, table_of(scene.maker), scene.network.now_ms)
    host = scene.network.add(root, SECOND_ENDPOINT)
    scene.network.run_for(90_000)
    scene.maker.revise()
    before = scene.network.traffic[SECOND_ENDPOINT].packets_from
    for each in (scene.root_host, host):
        assert isinstance(each.node, RootNode)
        each.node.publish(table_of(scene.maker), scene.network.now_ms)
        scene.network.act(each)
    scene.network.run_for(60_000)
    assert scene.network.traffic[SECOND_ENDPOINT].packets_from - before < 20


def moved_scene(
    *,
    leaves: int = 4,
    push: PushSettings = PushSettings(),  # noqa: B008 - immutable
) -> tuple[Scene, Host]:
    """Leaves that hold a revision with both places of another root, which is at the first."""
    scene = Scene(push=push)
    other = make_unproven_identity("other root")
    own = root_of(scene.root_identity, ROOT_ENDPOINT)
    scene.maker.revise([own, root_of(other, SECOND_ENDPOINT, THIRD_ENDPOINT)])
    scene.publish()
    root = RootNode(other, scene.entropy, table_of(scene.maker), scene.network.now_ms)
    host = scene.network.add(root, SECOND_ENDPOINT)
    scene.add_leaves(leaves)
    scene.network.run_for(90_000)
    return scene, host


def test_nodes_are_brought_to_another_root_that_has_moved_and_forgotten_them() -> None:
    scene, host = moved_scene()
    assert isinstance(host.node, RootNode)
    other = host.node.identity
    assert not any(leaf.events_of(Introduced) for leaf in scene.leaves)
    # It starts anew at its other place, and knows no path to anybody.
    host.node = RootNode(other, scene.entropy, table_of(scene.maker), scene.network.now_ms)
    for leaf in scene.leaves:
        host.node.learn(KnownNode(leaf_of(leaf).identity.public()))
    scene.network.move(host, THIRD_ENDPOINT)
    scene.network.run_for(400_000)
    for leaf in scene.leaves:
        # Again and again, as nobody knows when a leaf gives up the old place; and not for ever.
        introduced = [(each.address, each.path.endpoint) for each in leaf.events_of(Introduced)]
        assert introduced == [(other.address, THIRD_ENDPOINT)] * 17
        path = leaf_of(leaf).path_to(other.address, scene.network.now_ms)
        assert path is not None
        assert path.endpoint == THIRD_ENDPOINT


def test_nobody_is_brought_to_a_place_that_its_revision_does_not_list() -> None:
    scene, host = moved_scene()
    scene.maker.revise([root_of(scene.root_identity, ROOT_ENDPOINT)])
    scene.publish()
    scene.network.run_for(12_000)
    assert scene.all_hold(scene.maker.newest)
    scene.network.move(host, THIRD_ENDPOINT)
    scene.network.run_for(70_000)
    assert not any(leaf.events_of(Introduced) for leaf in scene.leaves)


def test_all_are_brought_there_however_long_that_takes() -> None:
    slow = PushSettings(nodes=Allowance(1, 1))
    scene, host = moved_scene(leaves=30, push=slow)
    scene.network.move(host, THIRD_ENDPOINT)
    scene.network.run_for(100_000)
    # At one a second a turn takes longer than it takes until the next one is due.
    introduced = [len(leaf.events_of(Introduced)) for leaf in scene.leaves]
    assert 1 <= min(introduced) <= max(introduced) <= min(introduced) + 1
