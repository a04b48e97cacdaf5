"""A root with several addresses, of both families, and leaves that use the one or the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orrery.wire.identity import Identity
from tests.interop.capture import Capture
from tests.interop.lab import eventually
from tests.interop.orreryroot import OrreryRoot, wall_ms
from tests.interop.realnode import RealNode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.conftest import Joining, Measured
    from tests.interop.lab import Lab

pytestmark = pytest.mark.interop

SECOND = "10.77.1.2"
IPV6 = "fd77::1"


def talk(capture: Capture, root: OrreryRoot, leaf: RealNode) -> set[tuple[str, str]]:
    """Between which addresses the root and a leaf have spoken, the root's first."""
    packets = capture.packets(root.identity, [Identity.from_string(leaf.identity)])
    return {(p.destination, p.source) for p in packets if p.sender == leaf.address} | {
        (p.source, p.destination) for p in packets if p.receiver == leaf.address
    }


@pytest.mark.parametrize("address", [SECOND, IPV6])
def test_a_leaf_is_answered_from_the_address_that_it_asked(
    lab: Lab, zerotier_one: Path, address: str
) -> None:
    host = lab.host("root")
    host.add_address(address)
    endpoint = f"{address}/9993"
    root = OrreryRoot(host, [endpoint])
    leaf_host = lab.host("leaf")
    if ":" in address:
        leaf_host.add_address("fd77::2")
    with Capture(host) as capture:
        root.serve()
        leaf = RealNode(leaf_host, zerotier_one, planet=root.planet).start()
        leaf.wait_path(root.address)
        root.wait_adopted(leaf.address, root.world)
        published = root.rotate()
        leaf.wait_planet(published.encoded)
        root.wait_adopted(leaf.address, published.world)
    used = talk(capture, root, leaf)
    assert {ours for ours, _ in used} == {endpoint}
    assert [path["address"] for path in leaf.peers()[root.address]["paths"]] == [endpoint]


def test_an_added_ipv6_endpoint_is_used_from_the_next_hello_on(
    lab: Lab, root: OrreryRoot, zerotier_one: Path
) -> None:
    """A restarted leaf says HELLO at once; a running one within 225 s."""
    root.host.add_address(IPV6)
    root.serve()
    leaf_host = lab.host("leaf")
    leaf_host.add_address("fd77::2")
    leaf = RealNode(leaf_host, zerotier_one, planet=root.planet).start()
    leaf.wait_path(root.address)
    root.wait_adopted(leaf.address, root.world)
    root.set_endpoints([f"{root.host.address}/9993", f"[{IPV6}]:9993"])
    published = root.publish()
    leaf.wait_planet(published.encoded)
    leaf.restart()
    eventually(
        lambda: f"{IPV6}/9993" in {path["address"] for path in leaf.peers()[root.address]["paths"]},
        within_s=20,
        what="the leaf has a path to the new endpoint",
    )


def test_leaves_go_over_to_an_added_endpoint_before_the_old_one_ends(
    root: OrreryRoot, joining: Joining, measured: Measured
) -> None:
    root.host.add_address(SECOND)
    root.serve()
    leaf = joining("leaf")
    root.wait_adopted(leaf.address, root.world)
    root.set_endpoints([f"{root.host.address}/9993", f"{SECOND}/9993"])
    published = root.publish()

    def paths() -> set[str]:
        return {path["address"] for path in leaf.peers()[root.address]["paths"]}

    both = {f"{root.host.address}/9993", f"{SECOND}/9993"}
    eventually(lambda: paths() == both, within_s=10, what="the leaf has a path to each endpoint")
    measured(
        "publish of one more address: a running leaf has a path to it",
        f"within {wall_ms() - published.timestamp_ms:.0f} ms",
    )
    root.host.remove_address(root.host.address)
    began_ms = wall_ms()

    def asked_there() -> bool:
        packets = capture.packets(root.identity, [Identity.from_string(leaf.identity)])
        return any(p.name == "WHOIS" and p.destination == f"{SECOND}/9993" for p in packets)

    with Capture(root.host) as capture:
        eventually(asked_there, within_s=60, what="the leaf asks the root at its new address")
    measured(
        "  the old address ends: the leaf asks at the new one",
        f"after {(wall_ms() - began_ms) / 1000:.1f} s",
    )
