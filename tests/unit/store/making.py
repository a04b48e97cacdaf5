"""Worlds, keys and sightings for tests: fixed, so that a failure can be run again."""

import hashlib

from orrery.store import Sighting
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.signature import SigningKey
from orrery.wire.world import Root, World, WorldType
from tests.vectors.loading import load

WORLD_ID = 0x8056C2E21C000001
NOW_MS = 1_790_000_000_000


def key(number: int) -> SigningKey:
    """The same key for the same number."""
    return SigningKey.generate(lambda size: hashlib.shake_256(b"key %d" % number).digest(size))


def identity(number: int) -> Identity:
    """One of 30 recorded identities, with its private key."""
    return Identity.from_string(load("identities.json")["valid"][number]["secret"])


def world(
    timestamp_ms: int,
    *,
    signer: SigningKey | None = None,
    names: SigningKey | None = None,
    world_id: int = WORLD_ID,
    world_type: WorldType = WorldType.PLANET,
    port: int = 9993,
) -> World:
    """A signed World of one root."""
    signer = signer or key(1)
    endpoint = Endpoint.from_text(f"203.0.113.7:{port}")
    return World(
        type=world_type,
        id=world_id,
        timestamp_ms=timestamp_ms,
        updates_must_be_signed_by=(names or signer).public,
        roots=(Root(identity(0).public(), (endpoint,)),),
    ).sign(signer)


def sighting(address: int, seen_at_ms: int, **told: object) -> Sighting:
    """What a node told."""
    values: dict[str, object] = {
        "identity": address.to_bytes(5) + bytes(66),
        "path": "198.51.100.4/29994",
        "protocol": 13,
        "version": (1, 14, 1),
        "planet_id": WORLD_ID,
        "planet_timestamp_ms": 0,
        "moons": (),
    }
    return Sighting(address=Address(address), seen_at_ms=seen_at_ms, **(values | told))  # type: ignore[arg-type]
