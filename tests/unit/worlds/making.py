"""Worlds, roots and keys made up for tests; none of them is good for anything else."""

from collections.abc import Sequence
from functools import cache

from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.signature import SigningKey
from orrery.wire.world import Root, World, WorldType


@cache
def key(name: str) -> SigningKey:
    """A signing key, always the same for a name of one letter or more."""
    return SigningKey.generate(lambda size: (name.encode() * size)[:size])


def root(number: int, *endpoints: str) -> Root:
    """A root whose identity has not proved any work."""
    public_key = bytes([number]) * 64
    return Root(
        Identity(Address(0x1000000000 + number), public_key),
        tuple(map(Endpoint.from_text, endpoints)),
    )


def world(
    timestamp_ms: int,
    *,
    signer: str = "a",
    names: str = "a",
    roots: Sequence[Root] = (root(1, "198.51.100.1/9993"), root(2, "198.51.100.2/9993")),
    world_type: WorldType = WorldType.PLANET,
    world_id: int = 0xABC,
    dictionary: bytes = b"",
) -> World:
    """A World signed by one key, naming another for its next revision."""
    return World(
        type=world_type,
        id=world_id,
        timestamp_ms=timestamp_ms,
        updates_must_be_signed_by=key(names).public,
        roots=tuple(roots),
        dictionary=dictionary,
    ).sign(key(signer))


def rotation(keys: str, *, world_type: WorldType = WorldType.PLANET) -> list[World]:
    """A chain of Worlds with timestamps 10, 20, …, each naming the next letter.

    The first is signed by the key that it names, each other by what the one before named.
    """
    return [
        world(
            10 * (index + 1),
            signer=keys[max(0, index - 1)],
            names=names,
            world_type=world_type,
        )
        for index, names in enumerate(keys)
    ]
