"""The leaf against recorded sessions of a real one: the same packets, byte for byte.

The leaf is given the packet ids that the real node drew, so every datagram must be the same.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from orrery.vl1.events import WorldTaken
from orrery.vl1.leaf import LeafNode
from orrery.vl1.path import Path
from orrery.wire.address import format_address
from orrery.wire.cipher import CipherSuite, kbkdf
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import World, WorldType
from orrery.worlds.topology import Topology
from tests.vectors.loading import load

EPOCH_MS = 1_700_000_000_000
"""What the real node's clock showed at t = 0."""
MOON_TO_ORBIT = 0xB9CE1F7FA4


LEAF_SESSIONS = [
    pytest.param(session, id=session["name"])
    for session in load("node_sessions.json")["sessions"]
    if session["name"].startswith("leaf-")
]


class _Replay:
    """A leaf in the place of the real one."""

    def __init__(self, session: dict[str, Any]) -> None:
        self.identity = Identity.from_string(session["node_secret"])
        self.agreements = {
            peer["name"]: bytes.fromhex(peer["shared_key"]) for peer in session["peers"]
        }
        topology = Topology(self.identity)
        topology.start(bytes.fromhex(session["stored_planet"]), None)
        assert not session["stored_moons"]
        self.ids: deque[bytes] = deque()
        first_ms = EPOCH_MS + session["steps"][0]["t"]
        self.leaf = LeafNode(self.identity, self._entropy, topology, first_ms)

    def _entropy(self, size: int) -> bytes:
        assert size == 8, "a leaf of this session draws nothing but packet ids"
        return self.ids.popleft()

    def play(self, step: dict[str, Any]) -> None:
        now_ms = EPOCH_MS + step["t"]
        self.ids.extend(self._drawn_id(out) for out in step["out"])
        if step["label"] == "after orbit":
            assert self.leaf.orbit(MOON_TO_ORBIT, MOON_TO_ORBIT, now_ms) == ()  # type: ignore[arg-type]
        if step["in"] is None:
            self.leaf.tick(now_ms)
        else:
            path = Path(Endpoint.from_text(step["in"]["from"]))
            self.leaf.receive(bytes.fromhex(step["in"]["wire"]), path, now_ms)
        output = self.leaf.drain()
        for proof in output.proofs:
            proof.identity.validate()
            self.leaf.proof_done(proof.identity, True, now_ms)
            late = self.leaf.drain()
            output.datagrams.extend(late.datagrams)
            output.events.extend(late.events)

        sent = [(str(path), datagram.hex()) for datagram, path in output.datagrams]
        assert sent == [(out["to"], out["wire"]) for out in step["out"]]
        assert not self.ids
        taken = [
            {
                "object": "planet" if event.world.type is WorldType.PLANET else "moon",
                "data": event.world.encode().hex(),
            }
            for event in output.events
            if isinstance(event, WorldTaken)
        ]
        assert taken == [
            {"object": write["object"], "data": write["data"]} for write in step["writes"]
        ]
        assert self._state() == {
            key: step[key] for key in ("planet_id", "planet_timestamp", "moons", "upstreams")
        }

    def _state(self) -> dict[str, Any]:
        planet = self.leaf.planet
        assert planet is not None
        return {
            "planet_id": f"{planet.id:016x}",
            "planet_timestamp": planet.timestamp_ms,
            "moons": [
                {"id": f"{moon.id:016x}", "timestamp": moon.timestamp_ms}
                for moon in self.leaf.moons
            ],
            "upstreams": [format_address(address) for address in self.leaf.upstreams],
        }

    def _drawn_id(self, out: dict[str, Any]) -> bytes:
        """The id that the real node drew: under AES-GMAC-SIV it is encrypted on the wire."""
        wire = bytes.fromhex(out["wire"])
        if out["cipher"] != CipherSuite.AES_GMAC_SIV:
            return wire[:8]
        key = kbkdf(self.agreements[out["peer"]], b"1")
        block = Cipher(algorithms.AES(key), modes.ECB()).decryptor()
        return block.update(wire[:8] + wire[19:27])[:8]


@pytest.mark.parametrize("session", LEAF_SESSIONS)
def test_leaf_does_what_the_real_one_did(session: dict[str, Any]) -> None:
    replay = _Replay(session)
    for step in session["steps"]:
        try:
            replay.play(step)
        except AssertionError as error:
            raise AssertionError(f"step {step['label']!r} at t = {step['t']}") from error


def test_restart_from_what_was_taken() -> None:
    session = next(s for s in load("node_sessions.json")["sessions"] if s["name"] == "leaf-moon")
    replay = _Replay(session)
    for step in session["steps"]:
        replay.play(step)
    planet = replay.leaf.planet
    assert planet is not None
    stored = [World.decode(world.encode()) for world in (planet, *replay.leaf.moons)]
    again = LeafNode.holding(replay.identity, bytes, stored[0], stored[1:], EPOCH_MS)
    assert again.planet == planet
    assert again.moons == replay.leaf.moons
    assert again.upstreams == replay.leaf.upstreams
