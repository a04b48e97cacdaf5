"""A planet with two roots: Orrery, and an official zerotier-one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orrery.wire.identity import Identity
from tests.interop.capture import Capture
from tests.interop.lab import eventually
from tests.interop.orreryroot import written_ms
from tests.interop.realnode import Controller, RealNode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.conftest import Measured
    from tests.interop.lab import Host, Lab
    from tests.interop.orreryroot import OrreryRoot
    from tests.interop.realnode import IdTool

pytestmark = pytest.mark.interop


@pytest.fixture
def official(lab: Lab, root: OrreryRoot, zerotier_one: Path, idtool: IdTool) -> RealNode:
    """The second root; both serve."""
    host = lab.host("official")
    secret = idtool.generate()
    root.add_root("official", idtool.public(secret), [f"{host.address}/9993"])
    root.publish()
    root.serve()
    return RealNode(host, zerotier_one, planet=root.planet, identity=secret).start()


NOBODY = "02:00:00:00:00:01"


def hide(other: Host, host: Host) -> None:
    """Let nothing that a host sends reach another."""
    host.ip("neigh", "replace", other.address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent")


def test_roots_know_each_other_and_the_official_one_is_updated(
    root: OrreryRoot, official: RealNode, measured: Measured
) -> None:
    official.wait_path(root.address)
    # To ours, the other is a node like any; to the other, ours is a root.
    assert official.peers()[root.address]["role"] == "PLANET"
    root.wait_adopted(official.address, root.world)
    root.set_endpoints([f"{root.host.address}/9993", f"{root.host.address}/443"])
    published = root.publish()
    official.wait_planet(published.encoded)
    file_ms = written_ms(official.home / "planet") - published.timestamp_ms
    adopted = root.wait_adopted(official.address, published.world)
    measured(
        "an official second root: planet file replaced; adoption recorded",
        f"{file_ms:.0f} ms; {adopted.at_ms - published.timestamp_ms} ms",
    )


def test_leaves_that_know_different_roots_reach_each_other(
    lab: Lab, root: OrreryRoot, official: RealNode, zerotier_one: Path
) -> None:
    official.wait_path(root.address)
    leaves = []
    for name, hidden, seen in (
        ("leaf1", official.host, root.address),
        ("leaf2", root.host, official.address),
    ):
        host = lab.host(name, isolated=True)
        hide(hidden, host)
        leaf = RealNode(host, zerotier_one, planet=root.planet).start()
        leaf.wait_path(seen)
        leaves.append(leaf)
    leaf1, leaf2 = leaves
    controller = Controller(official)
    network = controller.create_network()
    with Capture(root.host) as capture:
        for leaf in leaves:
            leaf.join(network)
        leaf1.wait_network(network)
        address = leaf2.wait_network(network)
        eventually(lambda: leaf1.host.ping(address), within_s=40, what="leaf2 answers leaf1")
        nodes = [Identity.from_string(node.identity) for node in (leaf1, leaf2, official)]
        packets = capture.packets(root.identity, nodes)
    assert not leaf1.peers()[leaf2.address]["paths"]
    # What leaf1 says to leaf2, whom our root does not know, goes on to the other root, and back.
    hops = {(p.sender, p.source, p.destination) for p in packets if p.packet is None}
    ours, theirs = f"{root.host.address}/9993", f"{official.host.address}/9993"
    assert (leaf1.address, ours, theirs) in hops
    assert (leaf2.address, theirs, ours) in hops
    assert (leaf2.address, ours, f"{leaf1.host.address}/9993") in hops


def test_leaves_that_reach_only_the_official_root_meet_there(
    lab: Lab, root: OrreryRoot, official: RealNode, zerotier_one: Path
) -> None:
    leaves = []
    for name in ("leaf1", "leaf2"):
        host = lab.host(name, isolated=True)
        hide(root.host, host)
        leaf = RealNode(host, zerotier_one, planet=root.planet).start()
        leaf.wait_path(official.address)
        leaves.append(leaf)
    leaf1, leaf2 = leaves
    controller = Controller(official)
    network = controller.create_network()
    for leaf in leaves:
        leaf.join(network)
    leaf1.wait_network(network)
    address = leaf2.wait_network(network)
    eventually(lambda: leaf1.host.ping(address), within_s=40, what="leaf2 answers leaf1")
    assert leaf1.peers()[root.address]["paths"] == []
