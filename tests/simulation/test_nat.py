"""Leaves behind NATs: relay, introduction, direct paths, lost mappings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orrery.lab.identities import make_unproven_identity
from orrery.lab.network import Nat, NatKind
from orrery.vl1.events import EchoAnswered, FrameReceived, Introduced
from orrery.vl1.root_peer import KnownNode
from orrery.wire.endpoint import Endpoint
from orrery.wire.packet import Verb
from tests.simulation.scene import Scene, leaf_of

if TYPE_CHECKING:
    from orrery.lab.network import Host

INSIDE = Endpoint.from_text("192.168.1.10/9993")
INSIDE_TOO = Endpoint.from_text("192.168.2.20/9993")


def behind_nat(scene: Scene, kind: NatKind) -> tuple[Host, Host]:
    """Two leaves, each behind a NAT of its own."""
    hosts = []
    for number, inside in enumerate((INSIDE, INSIDE_TOO)):
        identity = make_unproven_identity(f"behind nat {number}")
        scene.root.learn(KnownNode(identity.public()))
        nat = Nat(bytes((70, number, 1, 1)), kind)
        hosts.append(scene.add_leaf(identity, inside, nat=nat))
    scene.network.run_for(10_000)
    return hosts[0], hosts[1]


def talk(scene: Scene, sender: Host, receiver: Host, seconds: int) -> None:
    """One frame a second."""
    for _ in range(seconds):
        frame = b"network!" + b"\x08\x00" + bytes(60)
        leaf_of(sender).send(leaf_of(receiver).address, Verb.FRAME, frame, scene.network.now_ms)
        scene.network.act(sender)
        scene.network.run_for(1_000)


def test_frames_are_relayed_from_the_first_on() -> None:
    scene = Scene()
    here, there = behind_nat(scene, NatKind.PORT_RESTRICTED)
    talk(scene, here, there, 3)
    frames = there.events_of(FrameReceived)
    assert len(frames) == 3
    assert {(frame.address, frame.verb) for frame in frames} == {(here.node.address, Verb.FRAME)}
    assert frames[0].hops == 1


@pytest.mark.parametrize("kind", NatKind)
def test_two_leaves_behind_nat_find_a_direct_path(kind: NatKind) -> None:
    scene = Scene()
    here, there = behind_nat(scene, kind)
    # The receiver does not know the sender when it is first introduced, as with real nodes; the
    # root introduces them again after 30 s.
    for _ in range(40):
        talk(scene, here, there, 1)
        talk(scene, there, here, 1)
    assert here.events_of(Introduced) + there.events_of(Introduced)
    assert there.events_of(FrameReceived)[-1].hops == 0
    assert here.events_of(FrameReceived)[-1].hops == 0
    assert len(there.events_of(FrameReceived)) == len(here.events_of(FrameReceived)) == 40
    now_ms = scene.network.now_ms
    for one, other in ((here, there), (there, here)):
        path = leaf_of(one).path_to(leaf_of(other).address, now_ms)
        assert path is not None
        assert other.nat is not None
        assert path.endpoint.ip == other.nat.ip


def test_a_direct_path_stays_open_while_the_root_is_away() -> None:
    scene = Scene()
    here, there = behind_nat(scene, NatKind.PORT_RESTRICTED)
    for _ in range(40):
        talk(scene, here, there, 1)
        talk(scene, there, here, 1)
    scene.network.put_to_sleep(scene.root_host)
    # Nothing is said for minutes but what keeps the path open.
    scene.network.run_for(200_000)
    before = len(there.events_of(FrameReceived))
    talk(scene, here, there, 2)
    assert len(there.events_of(FrameReceived)) == before + 2


def test_echo_through_the_root() -> None:
    scene = Scene()
    here, there = behind_nat(scene, NatKind.PORT_RESTRICTED)
    leaf_of(here).send(leaf_of(there).address, Verb.ECHO, b"are you there?", scene.network.now_ms)
    scene.network.act(here)
    scene.network.run_for(1_000)
    (answer,) = here.events_of(EchoAnswered)
    assert (answer.address, answer.payload) == (there.node.address, b"are you there?")


def test_pushes_arrive_after_a_router_reboot() -> None:
    scene = Scene()
    here, there = behind_nat(scene, NatKind.PORT_RESTRICTED)
    for host in (here, there):
        assert host.nat is not None
        host.nat.reboot()
    # A root keeps to the old port until that path is dead, as real nodes do: 19 s.
    scene.network.run_for(26_000)
    revision = scene.maker.revise()
    scene.publish()
    scene.network.run_for(200)
    assert scene.all_hold(revision)
