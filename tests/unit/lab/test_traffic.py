"""What exchanges take on the wire, held against real packets."""

from __future__ import annotations

import pytest

from orrery.lab.network import Link
from orrery.lab.traffic import (
    IP_UDP_BYTES,
    Cost,
    fits,
    hello_exchange,
    probe_exchange,
    push_exchange,
    whois_exchange,
)
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES
from tests.simulation.scene import ROOT_ENDPOINT, Scene


class Tap:
    """The sizes of what passes, by direction."""

    def __init__(self, scene: Scene) -> None:
        self.into: list[int] = []
        self.out: list[int] = []
        scene.network.tap = self._note

    def _note(self, datagram: bytes, source: Endpoint, destination: Endpoint) -> None:
        size_bytes = len(datagram) + IP_UDP_BYTES
        (self.out if source == ROOT_ENDPOINT else self.into).append(size_bytes)


@pytest.fixture
def scene() -> Scene:
    return Scene(root_link=Link((10, 10)))


def test_a_leaf_that_is_new_says_hello_and_then_asks(scene: Scene) -> None:
    tap = Tap(scene)
    scene.add_leaves(1, Link((10, 10)))
    scene.network.run_for(4_000)
    assert hello_exchange().into == Cost(1, tap.into[0])
    assert hello_exchange().out == Cost(1, tap.out[0])
    tap.into.clear()
    tap.out.clear()
    scene.network.run_for(5_000)
    assert [whois_exchange().into] == [Cost(1, size_bytes) for size_bytes in tap.into]
    assert [whois_exchange().out] == [Cost(1, size_bytes) for size_bytes in tap.out]


def test_a_push_and_its_probe(scene: Scene) -> None:
    scene.add_leaves(1, Link((10, 10)))
    scene.network.run_for(22_000)
    tap = Tap(scene)
    world_bytes = len(scene.maker.revise().encode())
    scene.publish()
    scene.network.run_for(100)
    push, probe = push_exchange(world_bytes), probe_exchange(world_bytes)
    assert tap.out == [push.out.size_bytes, probe.out.size_bytes]
    assert tap.into == [probe.into.size_bytes]
    assert (push.out.datagrams, probe.out.datagrams, probe.into.datagrams) == (1, 1, 1)


def test_large_worlds_go_in_fragments() -> None:
    assert push_exchange(1_300).out.datagrams == 1
    assert push_exchange(1_400).out.datagrams == 2
    assert push_exchange(OK_HELLO_WORLDS_BYTES).out.datagrams == 7
    assert fits(100_000) == OK_HELLO_WORLDS_BYTES
    assert push_exchange(100_000) == push_exchange(OK_HELLO_WORLDS_BYTES)
