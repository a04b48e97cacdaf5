"""Which Worlds a node takes, against the verdicts and the state of ZeroTier One."""

from collections.abc import Iterable
from typing import Any

import pytest

from orrery.errors import UpdateRefused
from orrery.wire.address import Address
from orrery.wire.identity import Identity
from orrery.wire.world import World
from orrery.worlds.acceptance import check_update
from orrery.worlds.topology import StateObject, StateWrite, Topology
from tests.vectors.loading import cases, load


@pytest.mark.parametrize("case", cases("world_updates.json", "pairs"))
def test_verdict(case: dict[str, Any]) -> None:
    current = World.decode(bytes.fromhex(case["current"])) if case["current"] else None
    candidate = World.decode(bytes.fromhex(case["candidate"]))
    if case["should_replace"]:
        check_update(current, candidate)
    else:
        with pytest.raises(UpdateRefused) as refusal:
            check_update(current, candidate)
        assert refusal.value.reason


def state(topology: Topology, writes: Iterable[StateWrite]) -> dict[str, Any]:
    """The state of a node as the vectors tell it."""
    told = []
    for write in writes:
        entry: dict[str, Any] = {"object": write.object.value}
        entry["data"] = None if write.data is None else write.data.hex()
        if write.object is StateObject.MOON:
            entry["id"] = f"{write.world_id:016x}"
        told.append(entry)
    planet = topology.planet
    assert planet is not None
    return {
        "writes": told,
        "planet": {
            "type": planet.type.name.lower(),
            "id": f"{planet.id:016x}",
            "timestamp": planet.timestamp_ms,
        },
        "moons": [
            {"id": f"{moon.id:016x}", "timestamp": moon.timestamp_ms} for moon in topology.moons
        ],
        "moons_wanted": [f"{world_id:016x}" for world_id in topology.moons_wanted],
        "upstreams": [f"{address:010x}" for address in topology.upstreams],
        "am_upstream": topology.is_root,
    }


@pytest.mark.parametrize("case", cases("world_updates.json", "add_world"))
def test_topology(case: dict[str, Any]) -> None:
    def stored(text: str | None) -> bytes | None:
        return None if text is None else bytes.fromhex(text)

    earth = World.decode(bytes.fromhex(load("worlds.json")["earth"]["serialized"]))
    topology = Topology(Identity.from_string(case["own_identity"]))
    assert (
        state(topology, topology.start(stored(case["stored_planet"]), earth))
        == (case["after_start"])
    )
    for step in case["steps"]:
        writes: tuple[StateWrite, ...] = ()
        match step["op"]:
            case "accept_updates_from":
                address = Address(int(step["address"], 16))
                assert topology.accepts_updates_from(address) is step["result"]
                continue
            case "orbit":
                seed = None if step["seed"] is None else Address(int(step["seed"], 16))
                moon = stored(case["stored_moons"].get(step["id"]))
                writes = topology.orbit(int(step["id"], 16), seed, moon)
            case "deorbit":
                writes = topology.deorbit(int(step["id"], 16))
            case "add_world":
                world = World.decode(bytes.fromhex(step["world"]))
                always = step["always_accept_new"]
                if step["result"]:
                    writes = (topology.add_world(world, always_accept_new=always),)
                else:
                    with pytest.raises(UpdateRefused):
                        topology.add_world(world, always_accept_new=always)
            case other:
                pytest.fail(f"unknown step {other}")
        assert state(topology, writes) == step["state"]
