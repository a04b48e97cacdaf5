"""What a root remembers of a node."""

from __future__ import annotations

from typing import NamedTuple

from orrery.vl1.events import NodeSeen
from orrery.vl1.forks import Fork
from orrery.vl1.limits import TokenBucket
from orrery.vl1.path import Path
from orrery.vl1.peer import Peer
from orrery.wire.identity import Identity
from orrery.wire.verbs import Version, WorldHeld

ECHO_INTERVAL_MS = 166
"""A node is answered one ECHO in this time."""


class KnownNode(NamedTuple):
    """A node that the root has met before: its identity need not be proven again.

    Attributes:
        identity: its public identity.
        protocol: what it spoke last.
        version: of its software.
        held: the Worlds that it was known to hold.
        seen_ms: when it was heard from last.
        forks: those of `held` that were found to be none of ours.
        planet: what its last HELLO reported, which may be another one than ours.
    """

    identity: Identity
    protocol: int = 0
    version: Version = Version(0, 0, 0)
    held: tuple[WorldHeld, ...] = ()
    seen_ms: int = 0
    forks: tuple[Fork, ...] = ()
    planet: WorldHeld = WorldHeld(0, 0)


class RootPeer(Peer):
    """What a root remembers of a node beyond its paths."""

    __slots__ = (
        "asked",
        "attempts",
        "clock_offset_ms",
        "echoed_ms",
        "forks",
        "held",
        "hello_ms",
        "planet",
        "push_due_ms",
        "question_id",
        "seen",
        "worlds_bucket",
    )

    def __init__(self, identity: Identity, agreement: bytes) -> None:
        super().__init__(identity, agreement)
        self.question_id: bytes | None = None
        self.clock_offset_ms: int | None = None
        self.hello_ms = 0
        self.planet = WorldHeld(0, 0)
        self.held: dict[int, int] = {}
        self.forks: dict[int, KnownFork] | None = None
        self.asked: set[Path] | None = None
        self.attempts = 0
        self.push_due_ms = 0
        self.echoed_ms = -ECHO_INTERVAL_MS
        self.seen: NodeSeen | None = None
        self.worlds_bucket: TokenBucket | None = None

    def start_over(self, now_ms: int) -> None:
        """What it lacks from now on was not handed to it yet."""
        self.attempts = 0
        self.push_due_ms = now_ms

    def fork_at(self, world_id: int, timestamp_ms: int) -> KnownFork | None:
        """What is known of the World that it holds if that is a fork."""
        known = self.forks and self.forks.get(world_id)
        return known if known and known.fork.timestamp_ms == timestamp_ms else None

    def forget_fork(self, world_id: int) -> bool:
        """It holds no fork of this World; returns whether it was thought to."""
        if self.forks is None or self.forks.pop(world_id, None) is None:
            return False
        self.forks = self.forks or None
        return True


class KnownFork(NamedTuple):
    """A fork, and what leads its holder on: None as long as that is anybody's guess."""

    fork: Fork
    links: tuple[bytes, ...] | None
