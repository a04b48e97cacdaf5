"""A root that serves a moon only, on a planet of others."""

from __future__ import annotations

from orrery.lab.chains import ChainMaker, root_of, table_of
from orrery.lab.identities import make_unproven_identity
from orrery.lab.network import Host
from orrery.vl1.events import AdoptionLearned
from orrery.vl1.root import UPSTREAM_HELLO_MS, RootNode
from orrery.vl1.root_peer import KnownNode
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import WorldType
from tests.simulation.scene import ROOT_ENDPOINT, SECOND_ENDPOINT, Scene, leaf_of

MOON_ENDPOINT = Endpoint.from_text("20.0.2.1/9993")


class MoonScene(Scene):
    """The planet of `Scene`, and on it a root which serves a moon."""

    def __init__(self, *, surrounded: bool = True) -> None:
        super().__init__()
        self.moon_identity = make_unproven_identity("moon root")
        self.moon = ChainMaker(
            WorldType.MOON,
            self.moon_identity.address,
            [root_of(self.moon_identity, MOON_ENDPOINT)],
            self.entropy,
            self.network.now_ms,
        )
        self.moon_root = RootNode(
            self.moon_identity,
            self.entropy,
            table_of(self.moon),
            self.network.now_ms,
            surroundings=self.maker.newest if surrounded else None,
        )
        self.moon_host = self.network.add(self.moon_root, MOON_ENDPOINT)
        self.root.learn(KnownNode(self.moon_identity.public()))

    def orbiting(self) -> Host:
        (host,) = self.add_leaves(1)
        self.moon_root.learn(KnownNode(leaf_of(host).identity.public()))
        self.network.run_for(10_000)
        seed = self.moon_identity.address
        leaf_of(host).orbit(seed, seed, self.network.now_ms)
        self.network.run_for(16_000)
        return host


def test_nodes_find_it_through_the_roots_of_the_planet() -> None:
    scene = MoonScene()
    assert leaf_of(scene.orbiting()).moons == (scene.moon.newest,)


def test_without_a_planet_around_it_nobody_finds_it() -> None:
    scene = MoonScene(surrounded=False)
    assert leaf_of(scene.orbiting()).moons == ()


def test_it_follows_the_planet_when_that_moves() -> None:
    scene = MoonScene()
    scene.network.run_for(1_000)
    both = root_of(scene.root_identity, ROOT_ENDPOINT, SECOND_ENDPOINT)
    scene.maker.revise([both], rotate=True)
    newest = scene.maker.revise([root_of(scene.root_identity, SECOND_ENDPOINT)], rotate=True)
    scene.publish()
    scene.network.run_for(UPSTREAM_HELLO_MS + 1_000)
    assert scene.moon_root.surroundings == newest
    # It is found at the new place too.
    scene.network.move(scene.root_host, SECOND_ENDPOINT)
    scene.network.run_for(300_000)
    assert leaf_of(scene.orbiting()).moons == (scene.moon.newest,)


def test_it_takes_what_is_pushed_and_says_so() -> None:
    scene = MoonScene()
    scene.network.run_for(1_000)
    revision = scene.maker.revise(rotate=True)
    scene.publish()
    scene.network.run_for(1_000)
    assert scene.moon_root.surroundings == revision
    learned = scene.root_host.events_of(AdoptionLearned)
    assert (scene.moon_identity.address, revision.timestamp_ms) in {
        (event.address, event.timestamp_ms) for event in learned
    }
