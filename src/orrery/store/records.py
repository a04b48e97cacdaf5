"""What goes into the store and comes out of it: plain values, no database objects.

Times are milliseconds since 1970, as a World's timestamp is by custom. A node's own statements
(protocol, version, World timestamps) are what it said, not what is true.
"""

from dataclasses import dataclass
from typing import Literal

from orrery.wire.address import Address
from orrery.wire.world import World

How = Literal["hello", "probe", "answer"]
"""How it was learned what a node holds: it said so in a HELLO, it answered our probe with the
World itself, or it said so in the HELLO or answer that followed a World handed to it."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One signed World of a chain, as stored.

    Attributes:
        number: Position among all revisions of this store, counted from 1 and never reused.
        world: The signed World.
        encoded: Its bytes exactly as they were signed, stored and are served.
        added_at_ms: When it was stored.
        note: What the person who published it said about it.
    """

    number: int
    world: World
    encoded: bytes
    added_at_ms: int
    note: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one HELLO of a node told.

    Attributes:
        address: The node.
        identity: Its identity in public binary form (71 bytes).
        path: Where the packet came from, as "ip/port".
        protocol: Its protocol version.
        version: Its software version: major, minor, revision.
        seen_at_ms: When the packet arrived.
        planet_id: The planet that it reports, 0 when it reports none.
        planet_timestamp_ms: That planet's timestamp.
        moons: The moons that it reports: (id, timestamp), 0 for a moon wanted but not held.
    """

    address: Address
    identity: bytes
    path: str
    protocol: int
    version: tuple[int, int, int]
    seen_at_ms: int
    planet_id: int
    planet_timestamp_ms: int
    moons: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Adoption:
    """Knowledge that a node holds the World with this id and timestamp."""

    address: Address
    world_id: int
    timestamp_ms: int
    at_ms: int
    how: How


@dataclass(frozen=True, slots=True)
class Holding:
    """The last that is known about which timestamp of a World a node holds."""

    world_id: int
    timestamp_ms: int
    at_ms: int
    how: How


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node as last seen."""

    address: Address
    identity: bytes
    path: str
    protocol: int
    version: tuple[int, int, int]
    first_seen_ms: int
    last_seen_ms: int
    planet_id: int
    planet_timestamp_ms: int
    holdings: tuple[Holding, ...]


@dataclass(frozen=True, slots=True)
class SightingRecord:
    """One line of a node's history: what it told, from when to when, how often."""

    address: Address
    path: str
    protocol: int
    version: tuple[int, int, int]
    planet_id: int
    planet_timestamp_ms: int
    moons: tuple[tuple[int, int], ...]
    first_at_ms: int
    last_at_ms: int
    times: int


@dataclass(frozen=True, slots=True)
class AdoptionCount:
    """How many nodes hold one timestamp of a World, whether or not it is a revision of ours."""

    world_id: int
    timestamp_ms: int
    nodes: int


@dataclass(frozen=True, slots=True)
class AdoptionRecord:
    """When it was first and last known that a node holds a revision, and how it was first known."""

    address: Address
    world_id: int
    timestamp_ms: int
    first_at_ms: int
    last_at_ms: int
    how: How


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, when."""

    at_ms: int
    actor: str
    action: str
    detail: str
