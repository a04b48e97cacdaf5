"""The root against recorded sessions of a real one: the same answers, packet by packet.

Packets are compared in the clear: to whom, under which cipher, verb, hops and payload. The HELLOs
of our root have other ids than the recorded ones, so an OK that quotes a recorded id is made to
quote ours. What differs on purpose stands in `DIFFERENT`, with the reason.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from orrery.errors import VerifyError
from orrery.lab.seeded import seeded_entropy
from orrery.vl1.fragments import Reassembler
from orrery.vl1.path import Path
from orrery.vl1.root import RootNode
from orrery.wire.address import format_address
from orrery.wire.cipher import CipherSuite, SharedKeys, packet_cipher
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import (
    FLAG_FRAGMENTED,
    FLAGS_OFFSET,
    FRAGMENT_INDICATOR,
    FRAGMENT_INDICATOR_OFFSET,
    HEADER_BYTES,
    Fragment,
    Packet,
    Verb,
    header_destination,
    header_source,
)
from orrery.wire.verbs import (
    OK_HELLO_WORLDS_BYTES,
    Error,
    Hello,
    Ok,
    OkHello,
    OkMulticastGather,
    WorldHeld,
)
from orrery.wire.world import World
from orrery.worlds.chain import Chain
from orrery.worlds.handover import HandoverTable
from tests.vectors.loading import load

EPOCH_MS = 1_700_000_000_000
"""What the real node's clock showed at t = 0."""

SESSIONS = {
    session["name"]: session
    for session in load("node_sessions.json")["sessions"]
    if session["name"].startswith("root-")
}

DIFFERENT = {
    "second-unknown-identity-from-the-same-ip-after-100-ms": (
        "a site of many nodes is let in at once, where the real root takes one in 2 s"
    ),
    "the-same-after-15-s": "it is known here by now, as one of protocol 12",
    "same-address-as-a-known-peer-other-key": (
        "the real root armors its ERROR with the AES keys of the node that has the address, so "
        "that the one it is for cannot read it"
    ),
    "planet-and-three-moons-do-not-fit": (
        "what fits the packet is handed over, where the real root does not answer at all"
    ),
}


class Sent(NamedTuple):
    """A packet in the clear, or one that was relayed as it is on the wire."""

    to: str
    suite: int
    hops: int
    verb: int
    payload: bytes


class Replay:
    """Our root in the place of the real one."""

    def __init__(self, session: dict[str, Any]) -> None:
        self.identity = Identity.from_string(session["node_secret"])
        self.peers = {
            peer["name"]: Identity.from_string(peer["secret"]) for peer in session["peers"]
        }
        self.keys = {
            peer["name"]: SharedKeys(bytes.fromhex(peer["shared_key"])) for peer in session["peers"]
        }
        worlds = [session["stored_planet"], *session["stored_moons"].values()]
        chains = [Chain([World.decode(bytes.fromhex(world))]) for world in worlds]
        self.root = RootNode(
            self.identity,
            seeded_entropy(session["name"]),
            HandoverTable(chains, OK_HELLO_WORLDS_BYTES),
            EPOCH_MS,
        )
        self.hello_ids: dict[bytes, bytes] = {}
        """Of the recorded root's HELLOs, the ids that ours had in their places."""

    def play(self, step: dict[str, Any]) -> tuple[list[Sent], list[Sent]]:
        """One step; returns what the real root sent, and what ours did."""
        now_ms = EPOCH_MS + step["t"]
        if step["in"] is None:
            self.root.tick(now_ms)
        else:
            path = Path(Endpoint.from_text(step["in"]["from"]))
            self.root.receive(self._quoting_ours(step["in"]), path, now_ms)
        output = self.root.drain()
        for proof in output.proofs:
            try:
                proof.identity.validate()
            except VerifyError:
                self.root.proof_done(proof.identity, False, now_ms)
            else:
                self.root.proof_done(proof.identity, True, now_ms)
            output.datagrams.extend(self.root.drain().datagrams)
        recorded = [
            self._in_the_clear(out["to"], bytes.fromhex(out["wire"]), out.get("peer"))
            for out in step["out"]
        ]
        ours = self._joined([(str(path), datagram) for datagram, path in output.datagrams])
        sender = None if step["in"] is None else step["in"]["peer"]
        sent = [self._in_the_clear(to, datagram, sender) for to, datagram in ours]
        self._note_hellos(step["out"], ours)
        return sorted(recorded), sorted(sent)

    def _quoting_ours(self, given: dict[str, Any]) -> bytes:
        wire = bytes.fromhex(given["wire"])
        plaintext = bytes.fromhex(given["plaintext"])
        suite = given["suite"]
        if suite < 0 or Packet.decode(plaintext).verb != Verb.OK:
            return wire
        packet = Packet.decode(plaintext)
        ok = Ok.decode(packet.payload)
        if ok.packet_id not in self.hello_ids:
            return wire
        answer = (
            plaintext[:HEADER_BYTES] + Ok(ok.verb, self.hello_ids[ok.packet_id], ok.body).encode()
        )
        return self.keys[given["peer"]].armor(answer, CipherSuite(suite))

    def _joined(self, sent: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Our packets, where the real root sends one large datagram instead of fragments."""
        reassembler = Reassembler()
        packets = []
        own_ids = set()
        for to, datagram in sent:
            whole: bytes | None = datagram
            if datagram[FRAGMENT_INDICATOR_OFFSET] == FRAGMENT_INDICATOR:
                if datagram[:8] in own_ids:
                    whole = reassembler.add(Fragment.decode(datagram), 0)
            elif header_source(datagram) == self.root.address and (
                datagram[FLAGS_OFFSET] & FLAG_FRAGMENTED
            ):
                own_ids.add(datagram[:8])
                whole = reassembler.add_head(datagram, 0)
            if whole is not None:
                packets.append((to, whole))
        assert not len(reassembler), "a packet of ours is not whole"
        return packets

    def _in_the_clear(self, to: str, datagram: bytes, peer: str | None) -> Sent:
        if (
            datagram[FRAGMENT_INDICATOR_OFFSET] == FRAGMENT_INDICATOR
            or header_source(datagram) != self.root.address
        ):
            return Sent(to, -1, -1, -1, datagram)
        names = [
            name
            for name, identity in self.peers.items()
            if identity.address == header_destination(datagram) and (name == peer or peer is None)
        ] or [
            name
            for name, identity in self.peers.items()
            if identity.address == header_destination(datagram)
        ]
        keys = self.keys[names[0]]
        packet = Packet.decode(keys.dearmor(datagram)).uncompress()
        payload = packet.payload
        if packet.verb == Verb.HELLO:
            hello = Hello.decode(payload, lambda field: keys.crypt_field(field, packet.id))
            payload = hello.encode(lambda field: field)
        elif packet.verb == Verb.OK and payload[0] == Verb.MULTICAST_GATHER:
            # Both begin at a random member.
            ok = Ok.decode(payload)
            found = OkMulticastGather.decode(ok.body)
            found = OkMulticastGather(found.group, found.total, tuple(sorted(found.members)))
            payload = Ok(ok.verb, ok.packet_id, found.encode()).encode()
        return Sent(to, packet_cipher(datagram), packet.hops, packet.verb, payload)

    def _note_hellos(self, recorded: list[dict[str, Any]], ours: list[tuple[str, bytes]]) -> None:
        theirs = {
            (out["destination"], out["to"]): bytes.fromhex(out["wire"])[:8]
            for out in recorded
            if out.get("verb") == Verb.HELLO
        }
        for to, datagram in ours:
            if header_source(datagram) == self.root.address and packet_cipher(datagram) == 0:
                pair = format_address(header_destination(datagram)), to
                self.hello_ids[theirs.get(pair, datagram[:8])] = datagram[:8]


def play_until(session_name: str, label: str) -> tuple[Replay, list[Sent], list[Sent]]:
    """Everything up to and with a step; what the real root sent in it, and what ours did."""
    session = SESSIONS[session_name]
    replay = Replay(session)
    for step in session["steps"]:
        recorded, ours = replay.play(step)
        if step["label"] == label:
            return replay, recorded, ours
    raise AssertionError(f"{session_name} has no step {label}")


@pytest.mark.parametrize("name", SESSIONS)
def test_root_answers_as_the_real_one_did(name: str) -> None:
    replay = Replay(SESSIONS[name])
    for step in SESSIONS[name]["steps"]:
        recorded, ours = replay.play(step)
        if step["label"] in DIFFERENT:
            assert ours != recorded, f"{step['label']} is as recorded, where DIFFERENT denies it"
        else:
            assert ours == recorded, f"step {step['label']!r} at t = {step['t']}"


def test_every_difference_is_of_a_recorded_step() -> None:
    labels = {step["label"] for session in SESSIONS.values() for step in session["steps"]}
    assert set(DIFFERENT) <= labels


def test_a_second_stranger_of_a_site_is_answered_at_once() -> None:
    label = "second-unknown-identity-from-the-same-ip-after-100-ms"
    _, recorded, ours = play_until("root-hello", label)
    assert recorded == []
    assert [packet.verb for packet in ours] == [Verb.HELLO, Verb.OK]
    _, recorded_later, ours_later = play_until("root-hello", "the-same-after-15-s")
    assert [packet.verb for packet in recorded_later] == [Verb.HELLO, Verb.OK]
    assert [packet.payload for packet in ours_later[1:]] == [recorded_later[1].payload]
    assert [packet.verb for packet in ours_later] == [Verb.HELLO, Verb.OK]


def test_a_colliding_node_can_read_why_it_is_refused() -> None:
    replay, recorded, ours = play_until("root-hello", "same-address-as-a-known-peer-other-key")
    assert [packet.payload for packet in ours] == [packet.payload for packet in recorded]
    assert [packet.suite for packet in recorded] == [CipherSuite.AES_GMAC_SIV]
    assert [packet.suite for packet in ours] == [CipherSuite.POLY1305_SALSA2012]
    assert Error.decode(ours[0].payload).code == 4
    step = next(
        step
        for step in SESSIONS["root-hello"]["steps"]
        if step["label"] == "same-address-as-a-known-peer-other-key"
    )
    with pytest.raises(VerifyError):
        replay.keys["collision"].dearmor(bytes.fromhex(step["out"][0]["wire"]))


def test_worlds_that_fit_are_handed_over_where_not_all_do() -> None:
    _, recorded, ours = play_until("root-large-worlds", "planet-and-three-moons-do-not-fit")
    assert recorded == []
    hello, ok = ours
    assert (hello.verb, ok.verb) == (Verb.HELLO, Verb.OK)
    handed = OkHello.decode(Ok.decode(ok.payload).body).worlds
    stored = SESSIONS["root-large-worlds"]["stored_planet"]
    assert handed[0] == World.decode(bytes.fromhex(stored))
    assert len(handed) == 3
    held = Hello.decode(hello.payload, lambda field: field)
    assert WorldHeld(handed[1].id, handed[1].timestamp_ms) in held.moons
