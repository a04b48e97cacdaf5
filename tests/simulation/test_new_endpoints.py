"""A root gains an endpoint and gives the old one up: leaves go over and lose little time."""

from __future__ import annotations

import pytest

from orrery.lab.chains import root_of
from orrery.vl1.events import Introduced
from orrery.wire.endpoint import Endpoint
from tests.simulation.scene import ROOT_ENDPOINT, SECOND_ENDPOINT, Scene, leaf_of

IPV6 = Endpoint.from_text("[2001:db8::1]:9993")


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
