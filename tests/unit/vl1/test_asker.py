"""Asking roots at their endpoints, against the real root in the fake network."""

import pytest

from orrery.lab.chains import root_of
from orrery.lab.identities import make_unproven_identity
from orrery.vl1.asker import Asker
from orrery.vl1.events import AdoptionLearned, Drop, ForkSeen, NodeSeen, PlaceAnswered
from orrery.vl1.path import Path
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import WorldHeld
from tests.simulation.scene import PLANET_ID, ROOT_ENDPOINT, SECOND_ENDPOINT, Scene

ASKER_ENDPOINT = Endpoint.from_text("40.0.0.1/5000")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def asker_in(scene: Scene) -> tuple[Asker, object]:
    asker = Asker(make_unproven_identity("asker"), scene.entropy)
    return asker, scene.network.add(_Alive(asker), ASKER_ENDPOINT)  # type: ignore[arg-type]


class _Alive:
    """An asker as the network wants its nodes: with time, of which it has no need."""

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.address = asker.address

    def tick(self, now_ms: int) -> None:
        """Nothing is due."""

    def next_tick_ms(self, now_ms: int) -> int:
        return now_ms + 1_000_000

    def __getattr__(self, name: str) -> object:
        return getattr(self.asker, name)


def ask(scene: Scene, endpoint: Endpoint, held: WorldHeld | None = None) -> list[PlaceAnswered]:
    asker, host = asker_in(scene)
    root = scene.root_identity.public()
    if held is None:
        asker.ask(root, endpoint, scene.network.now_ms)
    else:
        asker.ask(root, endpoint, scene.network.now_ms, held)
    scene.network.act(host)  # type: ignore[arg-type]
    scene.network.run_for(1_000)
    return host.events_of(PlaceAnswered)  # type: ignore[attr-defined, no-any-return]


def test_a_root_answers_where_it_is(scene: Scene) -> None:
    (answer,) = ask(scene, ROOT_ENDPOINT)
    assert (answer.root, answer.endpoint) == (scene.root_identity.public(), ROOT_ENDPOINT)
    assert answer.worlds == ()


def test_nobody_answers_elsewhere(scene: Scene) -> None:
    assert ask(scene, SECOND_ENDPOINT) == []


def test_a_root_that_is_told_of_an_old_world_sends_its_own(scene: Scene) -> None:
    newest = scene.maker.revise([root_of(scene.root_identity, ROOT_ENDPOINT)])
    scene.publish()
    (answer,) = ask(scene, ROOT_ENDPOINT, WorldHeld(PLANET_ID, 1))
    assert answer.worlds == (newest,)


def test_another_root_at_the_endpoint_is_no_answer(scene: Scene) -> None:
    asker, host = asker_in(scene)
    other = make_unproven_identity("another root").public()
    asker.ask(other, ROOT_ENDPOINT, scene.network.now_ms)
    scene.network.act(host)  # type: ignore[arg-type]
    scene.network.run_for(1_000)
    assert host.events_of(PlaceAnswered) == []  # type: ignore[attr-defined]


def test_an_answer_from_elsewhere_is_none(scene: Scene) -> None:
    asker, _ = asker_in(scene)
    asker.ask(scene.root_identity.public(), ROOT_ENDPOINT, scene.network.now_ms)
    ((datagram, _),) = asker.drain().datagrams
    scene.root.receive(datagram, Path(ASKER_ENDPOINT), scene.network.now_ms)
    for proof in scene.root.drain().proofs:
        scene.root.proof_done(proof.identity, True, scene.network.now_ms)
    for answer, _ in scene.root.drain().datagrams:
        asker.receive(answer, Path(SECOND_ENDPOINT), scene.network.now_ms)
    output = asker.drain()
    assert output.datagrams == []
    assert not any(isinstance(event, PlaceAnswered) for event in output.events)
    reasons = {event.reason for event in output.events}  # type: ignore[union-attr]
    assert reasons <= {Drop.UNEXPECTED, Drop.UNWANTED}


@pytest.mark.parametrize("is_newest", [True, False])
def test_a_root_remembers_no_asker_as_a_node(scene: Scene, is_newest: bool) -> None:
    newest = scene.maker.revise([root_of(scene.root_identity, ROOT_ENDPOINT)])
    scene.publish()
    timestamp_ms = newest.timestamp_ms if is_newest else 1
    (answer,) = ask(scene, ROOT_ENDPOINT, WorldHeld(PLANET_ID, timestamp_ms))
    assert answer.worlds == (() if is_newest else (newest,))
    for kind in (NodeSeen, AdoptionLearned, ForkSeen):
        assert scene.root_host.events_of(kind) == []


def test_what_was_not_asked_for_is_dropped(scene: Scene) -> None:
    """A root that knows the asker may say what it likes: it is never answered."""
    asker, host = asker_in(scene)
    root = scene.root_identity.public()
    asker.ask(root, ROOT_ENDPOINT, scene.network.now_ms)
    scene.network.act(host)  # type: ignore[arg-type]
    scene.network.run_for(5_000)
    (leaf,) = scene.add_leaves(1)
    scene.network.run_for(20_000)
    assert host.events_of(PlaceAnswered)  # type: ignore[attr-defined]
    assert leaf.is_up
    sent = scene.network.traffic[ASKER_ENDPOINT]
    assert sent.packets_from == 1


def test_a_root_reports_nodes_that_are_asked(scene: Scene) -> None:
    near, away = scene.add_leaves(2)
    scene.network.run_for(10_000)
    scene.network.put_to_sleep(away)
    scene.network.run_for(1_000)
    scene.root_host.events.clear()
    addresses = [host.node.address for host in (near, away)]
    stranger = make_unproven_identity("stranger").address
    assert scene.root.ask([*addresses, stranger], scene.network.now_ms) == 2  # type: ignore[list-item]
    scene.network.act(scene.root_host)
    scene.network.run_for(1_000)
    (seen,) = scene.root_host.events_of(NodeSeen)
    assert seen.identity.address == near.node.address
    assert scene.root_host.events_of(AdoptionLearned) == []
    # Once is enough: it is not reported with every packet from now on.
    scene.root_host.events.clear()
    scene.network.run_for(20_000)
    assert scene.root_host.events_of(NodeSeen) == []
