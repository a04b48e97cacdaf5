"""Captured traffic of real services: every packet opens and reads, our root serves their leaves.

The leaves' packets are given to our root in the place of the real one. Answers to HELLOs that it
sent are made to quote the ids of its own.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from orrery.lab.seeded import seeded_entropy
from orrery.vl1.events import AdoptionLearned, ForkSeen, NodeSeen, WorldServed
from orrery.vl1.path import Path
from orrery.vl1.root import RootNode
from orrery.wire.address import format_address
from orrery.wire.cipher import CipherSuite, SharedKeys, packet_cipher
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import (
    HEADER_BYTES,
    Packet,
    Verb,
    header_destination,
    header_source,
    with_hop,
)
from orrery.wire.verbs import (
    OK_HELLO_WORLDS_BYTES,
    Hello,
    Ok,
    OkHello,
    decode_addresses,
    decode_identities,
)
from orrery.wire.world import World
from orrery.worlds.acceptance import check_update
from orrery.worlds.chain import Chain
from orrery.worlds.handover import HandoverTable
from tests.vectors.loading import load

NAMES = ["planet_update", "planet_rotation", "moon_orbit"]
EPOCH_MS = 1_795_415_660_000
"""About what the services' clocks showed at t = 0."""


class Transcript:
    """A capture with the keys of its nodes."""

    def __init__(self, name: str) -> None:
        self.record = load(f"transcripts/{name}.json")
        self.identities: dict[str, Identity] = {
            node["name"]: Identity.from_string(node["secret"]) for node in self.record["nodes"]
        }
        self.worlds = {
            world["tag"]: World.decode(bytes.fromhex(world["hex"]))
            for world in self.record["worlds"]
        }
        self.packets = [packet for packet in self.record["packets"] if packet.get("kind") != "junk"]
        self._keys: dict[frozenset[str], SharedKeys] = {}

    def keys(self, one: str, other: str) -> SharedKeys:
        """What two nodes share."""
        pair = frozenset((one, other))
        if pair not in self._keys:
            agreement = self.identities[one].agree(self.identities[other].public())
            self._keys[pair] = SharedKeys(agreement)
        return self._keys[pair]

    def open(self, packet: dict[str, Any]) -> Packet:
        """A recorded packet in the clear."""
        keys = self.keys(packet["from"], packet["to"])
        return Packet.decode(keys.dearmor(bytes.fromhex(packet["hex"]))).uncompress()


def held(world: World) -> dict[str, Any]:
    return {
        "type": world.type.name.lower(),
        "id": f"{world.id:016x}",
        "timestamp": world.timestamp_ms,
    }


@pytest.mark.parametrize("name", NAMES)
def test_packets_open_and_read(name: str) -> None:
    transcript = Transcript(name)
    known = {world.encode() for world in transcript.worlds.values()}
    hellos, answers, handed = 0, 0, 0
    for recorded in transcript.packets:
        datagram = bytes.fromhex(recorded["hex"])
        assert datagram[:8].hex() == recorded["packet_id"]
        assert recorded["mac_ok"]
        assert packet_cipher(datagram) == recorded["cipher"]
        packet = transcript.open(recorded)
        assert (packet.verb, packet.hops) == (recorded["verb"], recorded["hops"])
        assert packet.source == transcript.identities[recorded["from"]].address
        assert packet.destination == transcript.identities[recorded["to"]].address
        if "plaintext" in recorded:
            assert packet.payload == bytes.fromhex(recorded["plaintext"])[HEADER_BYTES:]
        if packet.verb == Verb.HELLO:
            hellos += 1
            hello = read_hello(transcript, recorded, packet)
            assert f"{hello.planet.id:016x}" == recorded["planet_id"]
            assert hello.planet.timestamp_ms == recorded["planet_timestamp"]
            assert [
                {"type": 127, "id": f"{moon.id:016x}", "timestamp": moon.timestamp_ms}
                for moon in hello.moons
            ] == recorded["moons"]
        elif packet.verb == Verb.OK:
            ok = Ok.decode(packet.payload)
            assert ok.verb == recorded["in_re_verb"]
            if ok.verb == Verb.HELLO:
                answers += 1
                answer = OkHello.decode(ok.body)
                assert not answer.broken
                assert [held(world) for world in answer.worlds] == recorded["worlds"]
                assert sum(len(w.encode()) for w in answer.worlds) == recorded["world_bytes"]
                assert answer.encode() == ok.body
                assert {world.encode() for world in answer.worlds} <= known
                handed += len(answer.worlds)
            elif ok.verb == Verb.WHOIS:
                identities = [identity.public() for identity in transcript.identities.values()]
                assert set(decode_identities(ok.body)) <= set(identities)
    assert hellos >= 20
    assert answers >= 20
    assert handed >= 3


def read_hello(transcript: Transcript, recorded: dict[str, Any], packet: Packet) -> Hello:
    keys = transcript.keys(recorded["from"], recorded["to"])

    def crypt(field: bytes) -> bytes:
        return keys.crypt_field(field, packet.id)

    hello = Hello.decode(packet.payload, crypt)
    assert hello.identity == transcript.identities[recorded["from"]]
    assert hello.encode(crypt) == packet.payload
    return hello


class ServedByOurs:
    """Our root, given what the leaves of a transcript sent to theirs."""

    def __init__(self, transcript: Transcript, first: list[Chain]) -> None:
        self.transcript = transcript
        self.root = RootNode(
            transcript.identities["root"],
            seeded_entropy(1),
            HandoverTable(first, OK_HELLO_WORLDS_BYTES),
            EPOCH_MS,
        )
        self.now_ms = EPOCH_MS
        self.sockets: list[str] = transcript.record["nodes"][0]["endpoints"]
        self.hellos: dict[tuple[str, Path], bytes] = {}
        self.events: list[object] = []
        self.proofs = 0

    def publish(self, chains: list[Chain], at_s: float) -> None:
        self.root.publish(
            HandoverTable(chains, OK_HELLO_WORLDS_BYTES), EPOCH_MS + round(at_s * 1000)
        )
        self._drain()

    def receive(self, recorded: dict[str, Any]) -> list[tuple[bytes, Path]]:
        """Give it a packet that was sent to the real root; returns what it sends."""
        self.now_ms = EPOCH_MS + round(recorded["t"] * 1000)
        path = Path(Endpoint.from_text(recorded["src"]), self.sockets.index(recorded["dst"]))
        datagram = bytes.fromhex(recorded["hex"])
        if recorded["verb"] == Verb.OK and recorded["to"] == "root":
            datagram = self._quoting_ours(recorded, path) or datagram
        self.root.receive(datagram, path, self.now_ms)
        return self._drain()

    def _quoting_ours(self, recorded: dict[str, Any], path: Path) -> bytes | None:
        own_id = self.hellos.pop((recorded["from"], path), None)
        if own_id is None:
            return None
        opened = self.transcript.open(recorded)
        ok = Ok.decode(opened.payload)
        keys = self.transcript.keys(recorded["from"], "root")
        plaintext = Packet(
            opened.id,
            opened.destination,
            opened.source,
            Verb.OK,
            Ok(ok.verb, own_id, ok.body).encode(),
        ).encode()
        return keys.armor(plaintext, CipherSuite.AES_GMAC_SIV)

    def _drain(self) -> list[tuple[bytes, Path]]:
        output = self.root.drain()
        for proof in output.proofs:
            self.proofs += 1
            proof.identity.validate()
            self.root.proof_done(proof.identity, True, self.now_ms)
            late = self.root.drain()
            output.datagrams.extend(late.datagrams)
            output.events.extend(late.events)
        self.events.extend(output.events)
        for datagram, path in output.datagrams:
            if header_source(datagram) == self.root.address and packet_cipher(datagram) == 0:
                self.hellos[self._name_of(datagram), path] = datagram[:8]
        return output.datagrams

    def _name_of(self, datagram: bytes) -> str:
        names = {identity.address: name for name, identity in self.transcript.identities.items()}
        return names[header_destination(datagram)]

    def answers(
        self, recorded: dict[str, Any], sent: list[tuple[bytes, Path]]
    ) -> list[tuple[Ok, Path]]:
        """The OKs among the packets sent that quote a recorded packet."""
        found = []
        for datagram, path in sent:
            if header_source(datagram) == self.root.address:
                keys = self.transcript.keys(self._name_of(datagram), "root")
                packet = Packet.decode(keys.dearmor(datagram))
                if packet.verb == Verb.OK:
                    ok = Ok.decode(packet.payload)
                    if ok.packet_id.hex() == recorded["packet_id"]:
                        found.append((ok, path))
        return found


def serve(name: str, first: list[Chain], later: dict[str, list[Chain]]) -> tuple[ServedByOurs, int]:
    """Let our root serve a transcript's leaves, and check each of its answers.

    Args:
        name: of the transcript.
        first: what it serves.
        later: what it serves from the event of a name on.

    Returns:
        The root as it is then, and how many requests it has answered.
    """
    transcript = Transcript(name)
    served = ServedByOurs(transcript, first)
    publications = [
        (event["t"], later[event["target"]])
        for event in transcript.record["events"]
        if event.get("target") in later
    ]
    assert len(publications) == len(later)
    answered = 0
    for recorded in transcript.packets:
        while publications and publications[0][0] <= recorded["t"]:
            at_s, chains = publications.pop(0)
            served.publish(chains, at_s)
        if recorded["to"] != "root":
            continue
        sent = served.receive(recorded)
        if recorded["verb"] in (Verb.HELLO, Verb.WHOIS):
            (ok, path), *pushed = served.answers(recorded, sent)
            assert str(path) == recorded["src"]
            assert ok.verb == recorded["verb"]
            assert not pushed or recorded["verb"] == Verb.WHOIS
            check_answer(transcript, recorded, ok, served.root)
            answered += 1
    return served, answered


def check_answer(transcript: Transcript, recorded: dict[str, Any], ok: Ok, root: RootNode) -> None:
    request = transcript.open(recorded)
    if ok.verb == Verb.WHOIS:
        asked = decode_addresses(request.payload)
        assert [identity.address for identity in decode_identities(ok.body)] == list(asked)
        return
    hello = read_hello(transcript, recorded, request)
    answer = OkHello.decode(ok.body)
    assert answer.timestamp_ms == hello.timestamp_ms
    assert str(answer.physical_source) == recorded["src"]
    if answer.worlds:
        revisions = {world.timestamp_ms: world for world in transcript.worlds.values()}
        start = revisions[hello.planet.timestamp_ms]
        for current, candidate in pairwise((start, *answer.worlds)):
            check_update(current, candidate)


def test_leaves_of_the_update_are_served() -> None:
    worlds = Transcript("planet_update").worlds
    v1, v2 = worlds["v1"], worlds["v2"]
    served, answered = serve("planet_update", [Chain([v1])], {"root serves v2": [Chain([v1, v2])]})
    assert answered > 30
    assert served.proofs == 2
    leaves = {served.transcript.identities[name].address for name in ("l1", "l2")}
    learned = [event for event in served.events if isinstance(event, AdoptionLearned)]
    assert {(event.address, event.timestamp_ms) for event in learned} == {
        (leaf, world.timestamp_ms) for leaf in leaves for world in (v1, v2)
    }
    assert not [event for event in served.events if isinstance(event, ForkSeen)]
    assert {
        event.identity.address for event in served.events if isinstance(event, NodeSeen)
    } == leaves


def test_a_leaf_that_missed_a_link_is_handed_the_whole_chain() -> None:
    worlds = Transcript("planet_rotation").worlds
    v1, v2, v3 = worlds["v1"], worlds["v2"], worlds["v3"]
    served, answered = serve(
        "planet_rotation",
        [Chain([v1])],
        {
            "root serves v2": [Chain([v1, v2])],
            "root serves v3": [Chain([v1, v2, v3])],
        },
    )
    assert answered > 15
    l2 = served.transcript.identities["l2"].address
    links = {
        event.links
        for event in served.events
        if isinstance(event, WorldServed) and event.address == l2
    }
    assert links == {2, 1}


def test_a_moon_of_others_is_met_through_us() -> None:
    """The root of `moon_orbit` does not hold the moon: it relays, and introduces."""
    transcript = Transcript("moon_orbit")
    served = ServedByOurs(transcript, [Chain([transcript.worlds["planet"]])])
    relayed = 0
    for recorded in transcript.packets:
        if recorded["dst"] not in served.sockets:
            continue
        sent = served.receive(recorded)
        if recorded["to"] != "root":
            relayed += 1
            expected = with_hop(bytes.fromhex(recorded["hex"]))
            twin = next(
                other
                for other in transcript.packets
                if other["packet_id"] == recorded["packet_id"] and other["hops"] == 1
            )
            assert expected == bytes.fromhex(twin["hex"])
            assert (expected, twin["dst"]) in [(datagram, str(path)) for datagram, path in sent]
            if relayed == 1:
                introduced = [
                    format_address(header_destination(datagram))
                    for datagram, _ in sent
                    if header_source(datagram) == served.root.address
                ]
                assert sorted(introduced) == sorted(
                    format_address(transcript.identities[name].address) for name in ("l1", "m")
                )
    assert relayed == 2
