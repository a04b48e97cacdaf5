"""Worlds that have an id of ours and are none of ours."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from orrery.wire.verbs import WorldHeld
from orrery.wire.world import World


class Fork(NamedTuple):
    """What is known of a World with an id of ours that a node holds and our chain does not.

    Attributes:
        world_id: the id.
        timestamp_ms: its timestamp, which may also be that of a revision of ours.
        wanted_key: the 64-byte public key that its update must be signed by; None as long as only
            the timestamp is known.
        mark: tells different Worlds of one timestamp apart; empty as long as only that is known.
    """

    world_id: int
    timestamp_ms: int
    wanted_key: bytes | None = None
    mark: bytes = b""

    @classmethod
    def of(cls, held: WorldHeld, world: World | None) -> Fork:
        """From what a node said that it holds, and the World itself where it was seen."""
        if world is None:
            return cls(*held)
        return cls(*held, world.updates_must_be_signed_by, mark_of(world))


def mark_of(world: World) -> bytes:
    """Tells Worlds with one id and timestamp apart: 8 bytes over signature and wanted key.

    Not over everything: what a stranger hands over as a World need not have a form that can be
    written again.
    """
    signed = world.signature + world.updates_must_be_signed_by
    return hashlib.blake2b(signed, digest_size=8).digest()
