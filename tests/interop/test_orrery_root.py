"""`orrery serve` as the root of real nodes: they find, meet and reach each other through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orrery.wire.address import format_address
from orrery.wire.identity import Identity
from orrery.wire.verbs import decode_identities
from tests.interop.capture import Capture
from tests.interop.lab import eventually
from tests.interop.orreryroot import wall_ms
from tests.interop.realnode import Controller, RealNode

if TYPE_CHECKING:
    from tests.interop.capture import Seen
    from tests.interop.conftest import Joining, Measured
    from tests.interop.orreryroot import OrreryRoot

pytestmark = pytest.mark.interop


def identities(*nodes: RealNode) -> list[Identity]:
    return [Identity.from_string(node.identity) for node in nodes]


@pytest.mark.parametrize("relayed", [False, True], ids=["directly", "through the root"])
def test_two_leaves_of_a_network_ping_each_other(
    root: OrreryRoot, joining: Joining, measured: Measured, relayed: bool
) -> None:
    with Capture(root.host) as capture:
        root.serve()
        control = joining("controller")
        controller = Controller(control)
        leaf1 = joining("leaf1", isolated=relayed)
        leaf2 = joining("leaf2", isolated=relayed)
        network = controller.create_network()
        leaf1.join(network)
        leaf2.join(network)
        leaf1.wait_network(network)
        address = leaf2.wait_network(network)
        assert controller.members(network) == {leaf1.address, leaf2.address}
        eventually(lambda: leaf1.host.ping(address), within_s=30, what="leaf2 answers leaf1")
        if relayed:
            assert leaf1.peers()[leaf2.address]["paths"] == []
            assert leaf2.peers()[leaf1.address]["paths"] == []
        else:
            leaf1.wait_path(leaf2.address)
        pings = [ping for _ in range(20) if (ping := leaf1.host.ping(address)) is not None]
        assert len(pings) == 20
        leaf1.wait_online()
        leaf2.wait_online()
        assert leaf1.peers()[root.address]["role"] == "PLANET"
        packets = capture.packets(root.identity, identities(control, leaf1, leaf2))

    def answers(name: str, *nodes: RealNode) -> list[Seen]:
        receivers = {node.address for node in nodes}
        return [p for p in packets if p.name == name and p.receiver in receivers]

    # WHOIS: the root told the leaves who the others are.
    told = {
        format_address(identity.address)
        for answer in answers("OK(WHOIS)", leaf1, leaf2)
        for identity in decode_identities(answer.ok.body)
    }
    assert told == {root.address, leaf1.address, leaf2.address, control.address}
    # Multicast: the root told who listens for the question for leaf2's MAC.
    assert answers("OK(MULTICAST_GATHER)", leaf1)
    # Relay: what the leaves said to each other, at first or always, passed through the root.
    passed = {
        p.destination for p in packets if (p.sender, p.receiver) == (leaf1.address, leaf2.address)
    }
    assert passed == {f"{root.host.address}/9993", f"{leaf2.host.address}/9993"}
    # RENDEZVOUS: both were introduced, each with the address of the other.
    for here, there in ((leaf1, leaf2), (leaf2, leaf1)):
        introduced = {
            (format_address(p.rendezvous.address), str(p.rendezvous.endpoint))
            for p in answers("RENDEZVOUS", here)
        }
        assert (there.address, f"{there.host.address}/9993") in introduced
    way = "relayed by our root" if relayed else "direct"
    measured(f"ping in a virtual network, {way}, median of 20", _ms(sorted(pings)[10] * 1000))


def test_leaves_go_on_over_a_restart_and_are_known_at_once(
    root: OrreryRoot, joining: Joining, measured: Measured
) -> None:
    root.serve()
    leaves = [joining("leaf1"), joining("leaf2")]
    for leaf in leaves:
        root.wait_adopted(leaf.address, root.world)
    assert root.stop(within_s=5) == 0
    known = identities(*leaves)
    with Capture(root.host) as capture:
        root.serve()
        root.daemon.wait_line(r'"nodes": 2', within_s=1)

        def answered() -> bool:
            seen = capture.packets(root.identity, known)
            return {leaf.address for leaf in leaves} == {
                p.receiver for p in seen if p.name == "OK(WHOIS)"
            }

        eventually(answered, within_s=20, what="the question of each leaf is answered")
        seen = capture.packets(root.identity, known)
    for leaf in leaves:
        # It was greeted, and what the root answered it first was a question: none had to say HELLO.
        said = [p for p in seen if leaf.address in (p.sender, p.receiver)]
        first = next(at for at, packet in enumerate(said) if packet.name == "OK(WHOIS)")
        from_leaf = [p for p in said[:first] if p.sender == leaf.address]
        assert {p.name for p in from_leaf} == {"WHOIS", "OK(HELLO)"}
        question = next(p for p in reversed(from_leaf) if p.name == "WHOIS")
        took_ms = said[first].at_ms - question.at_ms
        measured(
            "after a restart of serve, from a leaf's first question to our answer", _ms(took_ms)
        )
        leaf.daemon.check_running()
    began_ms = wall_ms()
    assert root.stop(within_s=5) == 0
    measured("serve from SIGTERM to exit status 0", _ms(wall_ms() - began_ms))


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms"
