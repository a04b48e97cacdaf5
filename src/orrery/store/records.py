"""What goes into the store and comes out of it: plain values, no database objects.

Times are milliseconds since 1970, as a World's timestamp is by custom. A node's own statements
(protocol, version, World timestamps) are what it said, not what is true.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from orrery.rollout.state import RolloutState, Served
from orrery.wire.address import Address
from orrery.wire.world import World
from orrery.worlds.chain import Chain

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
        heard_by: The root that heard it, 0 where that is not told.
        heard_at: Where that root received it, as "ip/port".
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
    heard_by: Address = Address(0)  # noqa: RUF009 - a number
    heard_at: str = ""


@dataclass(frozen=True, slots=True)
class Adoption:
    """Knowledge that a node holds the World with this id and timestamp."""

    address: Address
    world_id: int
    timestamp_ms: int
    at_ms: int
    how: How


@dataclass(frozen=True, slots=True)
class Fork:
    """Knowledge that a node holds a World with an id of ours which is none of ours.

    Attributes:
        address: The node.
        world_id: The id.
        timestamp_ms: Its timestamp, which may also be that of a revision of ours.
        at_ms: When this was learned.
        mark: Tells Worlds of one timestamp apart; empty as long as only that is known.
        wanted_key: The public key that its update must be signed by, None as long as unknown.
        roots: The addresses of its roots.
    """

    address: Address
    world_id: int
    timestamp_ms: int
    at_ms: int
    mark: bytes = b""
    wanted_key: bytes | None = None
    roots: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class ForkRecord:
    """A fork that a node holds, as `Fork`; since when it is known, and until when it was."""

    address: Address
    world_id: int
    timestamp_ms: int
    mark: bytes
    wanted_key: bytes | None
    roots: tuple[Address, ...]
    first_at_ms: int
    last_at_ms: int


@dataclass(frozen=True, slots=True)
class ForkCount:
    """How many nodes hold one fork, and since when one of them is known to."""

    world_id: int
    timestamp_ms: int
    mark: bytes
    wanted_key: bytes | None
    roots: tuple[Address, ...]
    nodes: int
    first_at_ms: int


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
    forks: tuple[ForkRecord, ...] = ()


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
    """How many nodes hold one timestamp of a World, whether or not it is a revision of ours.

    Attributes:
        world_id: The World.
        timestamp_ms: The timestamp.
        nodes: How many.
        forked: Whether what they hold is known to be other than the revision with this timestamp.
    """

    world_id: int
    timestamp_ms: int
    nodes: int
    forked: bool = False


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


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout as stored. `dataclasses.replace` makes what `Store.update_rollout` is given.

    Attributes:
        number: Counted from 1 and never reused.
        world_id: The World that it is about.
        version: How often it was stored; an update must know the last one.
        state: Where it stands.
        step: The step of the plan that is being carried out, from 0.
        cohort: The cohort of that step that is open last, from 0; -1 for none.
        reason: Why it waits or is over, in a sentence.
        plan: What is to be done, as JSON; it never changes.
        intents: What is about to be done or was, as JSON.
        served: What roots serve because of it, None where they serve the newest to everybody. It
            holds as long as there is no later rollout of the World, even when this one is over.
        created_at_ms: When it was stored first.
        changed_at_ms: And last.
        ended_at_ms: When it was over, None while it is not.
    """

    number: int
    world_id: int
    version: int
    state: RolloutState
    step: int
    cohort: int
    reason: str
    plan: str
    intents: str
    served: Served | None
    created_at_ms: int
    changed_at_ms: int
    ended_at_ms: int | None


class Lease(NamedTuple):
    """The right to do what one process may do at a time.

    Attributes:
        name: To do what.
        token: Larger each time that somebody takes the lease. A change that names it is refused
            once somebody else has.
    """

    name: str
    token: int


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Who has a lease, and until when unless it is renewed."""

    name: str
    holder: str
    token: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class RootRecord:
    """A root that works with this store.

    Attributes:
        address: The root.
        endpoints: Where it listens, as "ip/port".
        last_at_ms: When it said so last.
    """

    address: Address
    endpoints: tuple[str, ...]
    last_at_ms: int


@dataclass(frozen=True, slots=True)
class Serving:
    """What roots with this store serve, all of one moment.

    Attributes:
        version: The `Store.data_version` of that moment.
        chains: Of every World that has a revision.
        served: Of the Worlds whose newest revision is not for everybody, by id.
    """

    version: int
    chains: tuple[Chain, ...]
    served: dict[int, Served]
