"""What strangers and forgers get out of a root, and what they cost it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orrery.lab.identities import make_unproven_identity
from orrery.lab.network import PROOF_MS, Nat, NatKind
from orrery.vl1.events import Drop, NodeSeen
from orrery.vl1.leaf import LeafNode
from orrery.vl1.path import Path
from orrery.vl1.root_peer import KnownNode
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.packet import Verb
from tests.simulation.scene import ROOT_ENDPOINT, Scene, endpoint_of, leaf_of

if TYPE_CHECKING:
    from orrery.wire.identity import Identity
    from orrery.wire.world import World

VICTIM = Endpoint.from_text("40.1.2.3/5555")


def hello_of(scene: Scene, identity: Identity, planet: World | None = None) -> bytes:
    """The HELLO that a node says at its start."""
    leaf = LeafNode.holding(
        identity, scene.entropy, planet or scene.maker.newest, (), scene.network.now_ms
    )
    leaf.tick(scene.network.now_ms)
    ((hello, _),) = leaf.drain().datagrams
    return hello


def seen_addresses(scene: Scene) -> set[Address]:
    return {event.identity.address for event in scene.root_host.events_of(NodeSeen)}


def test_a_site_of_500_strangers_behind_one_address_is_in_within_a_minute() -> None:
    scene = Scene()
    nat = Nat(bytes((50, 1, 1, 1)), NatKind.PORT_RESTRICTED)
    for number in range(500):
        inside = Endpoint(bytes((192, 168, number >> 8, number & 0xFF)), 9993)
        scene.add_leaf(make_unproven_identity(number), inside, nat=nat)
    everybody = {host.node.address for host in scene.leaves}
    assert scene.network.run_until(lambda: seen_addresses(scene) == everybody, 60_000)
    revision = scene.maker.revise()
    scene.network.run_for(1_000)
    scene.publish()
    scene.network.run_for(1_000)
    assert scene.all_hold(revision)


def bad_identity(number: int) -> Identity:
    """A key with an address that does not follow from it: it has no proof."""
    good = make_unproven_identity(f"bad {number}")
    return replace(good, address=Address(good.address ^ 1))


@pytest.mark.parametrize("sites", [1, 500])
def test_a_flood_of_bad_identities_stays_within_the_budget_of_proofs(sites: int) -> None:
    scene = Scene()
    budget = scene.limits.strangers.proofs
    hellos = [hello_of(scene, bad_identity(number)) for number in range(500)]
    seconds = 30
    for step in range(seconds * 100):
        source = Endpoint(bytes((60, step % sites >> 8, step % sites & 0xFF, 1)), 1000 + step)
        scene.network.inject(hellos[step % len(hellos)], source, ROOT_ENDPOINT)
        scene.network.run_for(10)
    proofs = scene.root_host.proofs
    assert 0 < proofs <= budget.burst + budget.per_second * seconds
    assert proofs * PROOF_MS <= 0.25 * seconds * 1_000
    if sites == 1:
        # A site that sends nothing but lies gets next to no more of them looked at.
        assert proofs <= scene.limits.strangers.site_proofs.burst + 12
    assert not seen_addresses(scene)


def test_an_honest_stranger_gets_in_during_a_flood_from_elsewhere() -> None:
    scene = Scene()
    hellos = [hello_of(scene, bad_identity(number)) for number in range(200)]
    honest = make_unproven_identity("honest")
    flooding_ms = 0
    scene.add_leaf(honest, endpoint_of(1))
    while honest.address not in seen_addresses(scene) and flooding_ms < 30_000:
        source = Endpoint(bytes((60, 1, 1, 1)), 1 + flooding_ms)
        scene.network.inject(hellos[flooding_ms // 10 % len(hellos)], source, ROOT_ENDPOINT)
        scene.network.run_for(10)
        flooding_ms += 10
    assert flooding_ms < 1_000


def test_an_impostor_with_a_known_address_is_told_so_and_changes_nothing() -> None:
    scene = Scene()
    (host,) = scene.add_leaves(1)
    scene.network.run_for(10_000)
    impostor = replace(make_unproven_identity("impostor"), address=leaf_of(host).address)
    source = endpoint_of(99)
    scene.network.inject(hello_of(scene, impostor), source, ROOT_ENDPOINT)
    scene.network.run_for(1_000)
    assert scene.root_host.drops[Drop.COLLISION] == 1
    assert scene.network.traffic[source].packets_to == 1
    revision = scene.maker.revise()
    scene.publish()
    scene.network.run_for(100)
    assert scene.all_hold(revision)


@pytest.mark.parametrize("nodes", [1, 400], ids=["one node", "many nodes"])
def test_a_forged_source_gains_nothing(nodes: int) -> None:
    """Bytes sent towards a victim per byte that somebody sends in its name.

    The forger owns nodes that the root knows, which all report an old revision.
    """
    scene = Scene()
    old = scene.maker.newest
    forgers = [make_unproven_identity(f"forger {number}") for number in range(nodes)]
    for forger in forgers:
        scene.root.learn(KnownNode(forger.public()))
    for _ in range(3):
        scene.maker.revise(rotate=True)
    scene.publish()
    hellos = [hello_of(scene, forger, old) for forger in forgers]
    sent_bytes = 0
    seconds = 60
    for step in range(seconds * 40):
        hello = hellos[step % nodes]
        sent_bytes += len(hello)
        scene.network.inject(hello, VICTIM, ROOT_ENDPOINT)
        scene.network.run_for(25)
    victim = scene.network.traffic[VICTIM]
    allowance = scene.limits.path_worlds
    worlds_bytes = allowance.burst + allowance.per_second * seconds
    assert victim.bytes_to <= 2 * sent_bytes + worlds_bytes
    assert victim.bytes_to / sent_bytes < 1.6


def packets_of(scene: Scene, identity: Identity, verb: Verb, payload: bytes) -> list[bytes]:
    """Packets that a node which has been online sends to its root."""
    leaf = LeafNode.holding(identity, scene.entropy, scene.maker.newest, (), scene.network.now_ms)
    scene.root.learn(KnownNode(identity.public(), 12))
    root = Path(ROOT_ENDPOINT)
    leaf._peers[scene.root_identity.address].confirm(root, scene.network.now_ms)
    for _ in range(30):
        leaf.send(scene.root_identity.address, verb, payload, scene.network.now_ms)
    return [datagram for datagram, _ in leaf.drain().datagrams]


@pytest.mark.parametrize(
    ("verb", "payload"),
    [
        (Verb.NOP, b""),
        (Verb.ECHO, b""),
        (Verb.WHOIS, make_unproven_identity("root").address.to_bytes(5)),
        (Verb.WHOIS, make_unproven_identity("root").address.to_bytes(5) * 10),
        (Verb.NETWORK_CONFIG_REQUEST, bytes(8)),
    ],
    ids=["nop", "echo", "whois", "whois of ten", "network config request"],
)
def test_small_packets_from_a_forged_source_gain_nothing(verb: Verb, payload: bytes) -> None:
    scene = Scene()
    sent_bytes = 0
    packets: list[bytes] = []
    for number in range(50):
        forger = make_unproven_identity(f"forger {number}")
        packets += packets_of(scene, forger, verb, payload)
    for step, packet in enumerate(packets):
        sent_bytes += len(packet)
        victim = Endpoint(VICTIM.ip, 1000 + step % 2)
        scene.network.inject(packet, victim, ROOT_ENDPOINT)
        scene.network.run_for(20)
    got_bytes = sum(
        traffic.bytes_to
        for endpoint, traffic in scene.network.traffic.items()
        if endpoint.ip == VICTIM.ip
    )
    assert got_bytes <= 4 * sent_bytes + scene.limits.path_worlds.burst
    assert got_bytes / sent_bytes < 3


def test_a_forged_source_draws_no_pushes() -> None:
    scene = Scene()
    old = scene.maker.newest
    forger = make_unproven_identity("forger")
    scene.root.learn(KnownNode(forger.public()))
    scene.network.inject(hello_of(scene, forger, old), VICTIM, ROOT_ENDPOINT)
    scene.network.run_for(1_000)
    before_bytes = scene.network.traffic[VICTIM].bytes_to
    for _ in range(20):
        scene.maker.revise()
        scene.publish()
        scene.network.run_for(10_000)
    assert scene.network.traffic[VICTIM].bytes_to == before_bytes


def test_a_replayed_hello_from_elsewhere_moves_no_path() -> None:
    scene = Scene()
    captured: list[bytes] = []
    scene.network.tap = lambda datagram, source, _: (
        captured.append(datagram) if source == endpoint_of(0) else None
    )
    scene.add_leaves(1)
    scene.network.run_for(10_000)
    scene.network.tap = None
    for _ in range(20):
        for datagram in captured:
            scene.network.inject(datagram, VICTIM, ROOT_ENDPOINT)
        scene.network.run_for(500)
    before_bytes = scene.network.traffic[VICTIM].bytes_to
    revision = scene.maker.revise()
    scene.publish()
    scene.network.run_for(100)
    assert scene.all_hold(revision)
    assert scene.network.traffic[VICTIM].bytes_to == before_bytes


def test_garbage_is_dropped_and_the_root_goes_on() -> None:
    scene = Scene()
    random = scene.entropy
    own = scene.root_identity.address.to_bytes(5)
    for size in range(1, 300):
        scene.network.inject(random(size), VICTIM, ROOT_ENDPOINT)
        scene.network.inject(random(8) + own + random(size), VICTIM, ROOT_ENDPOINT)
    scene.network.run_for(1_000)
    # About a fourth looks like a part of a larger packet, and waits for the rest.
    assert sum(scene.root_host.drops.values()) > 400
    assert scene.network.traffic[VICTIM].bytes_to == 0
    scene.add_leaves(1)
    scene.network.run_for(100)
    assert len(seen_addresses(scene)) == 1
