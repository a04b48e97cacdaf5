"""What a node reports to whoever runs it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from orrery.vl1.path import Path
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import Version, WorldHeld
from orrery.wire.world import World


class Drop(StrEnum):
    """Why a datagram was thrown away."""

    TOO_SHORT = "shorter than any packet"
    RESERVED = "from or to a reserved address, or from a node to itself"
    MALFORMED = "malformed"
    UNKNOWN_SENDER = "from a node that has not said HELLO"
    WRONG_MAC = "MAC does not fit"
    OLD_PROTOCOL = "protocol too old"
    WRONG_ADDRESS = "address does not belong to the identity"
    NO_PROOF = "identity fails its proof of work"
    COLLISION = "address taken by another identity"
    RATE = "rate limit"
    TOO_MANY_HOPS = "too many hops"
    UNREACHABLE = "no path to the destination"
    UNWANTED = "nothing that this node acts on"
    UNEXPECTED = "answer to a question that was not asked"


class PacketDropped(NamedTuple):
    """A datagram was thrown away, or what is left of one in which something is wrong."""

    reason: Drop
    path: Path


class How(StrEnum):
    """How the root learned what a node holds."""

    HELLO = "hello"
    PROBE = "probe"


class NodeSeen(NamedTuple):
    """A node said HELLO: for the first time, with something new, or after a while."""

    at_ms: int
    identity: Identity
    path: Path
    protocol: int
    version: Version
    planet: WorldHeld
    moons: tuple[WorldHeld, ...]


class WorldServed(NamedTuple):
    """Worlds were handed to a node: in an answer, or by push."""

    at_ms: int
    address: Address
    links: int
    size_bytes: int
    pushed: bool


class AdoptionLearned(NamedTuple):
    """A node was found to hold a revision that it was not known to hold."""

    at_ms: int
    address: Address
    world_id: int
    timestamp_ms: int
    how: How


class ForkSeen(NamedTuple):
    """A node holds a World with one of our ids that is not of our chain.

    `world` is the World itself, None as long as the node only told its timestamp. It may have one
    that a revision of ours has too, and it may be a revision that this root has not heard of yet.
    """

    at_ms: int
    address: Address
    world_id: int
    timestamp_ms: int
    world: World | None = None


class WorldTaken(NamedTuple):
    """A leaf replaced its planet or a moon; `world` must be stored."""

    at_ms: int
    world: World
    source: Address


class WorldRefused(NamedTuple):
    """A leaf was handed a World that it did not take."""

    at_ms: int
    world: World
    source: Address
    reason: str


class UpstreamAnswered(NamedTuple):
    """A leaf has heard from one of its roots for the first time, or after a silence."""

    at_ms: int
    address: Address
    path: Path


class EchoAnswered(NamedTuple):
    """The answer to an ECHO that a leaf sent."""

    at_ms: int
    address: Address
    payload: bytes


class Introduced(NamedTuple):
    """A root introduced another node to a leaf by RENDEZVOUS."""

    at_ms: int
    address: Address
    path: Path


class FrameReceived(NamedTuple):
    """A packet for a network that a leaf has no use for itself arrived from another node."""

    at_ms: int
    address: Address
    verb: int
    payload: bytes
    hops: int


class PlaceAnswered(NamedTuple):
    """A root answered where an asker asked it, with what it holds beyond what the asker said."""

    at_ms: int
    root: Identity
    endpoint: Endpoint
    worlds: tuple[World, ...]


Event = (
    PacketDropped
    | NodeSeen
    | WorldServed
    | AdoptionLearned
    | ForkSeen
    | WorldTaken
    | WorldRefused
    | UpstreamAnswered
    | EchoAnswered
    | Introduced
    | FrameReceived
    | PlaceAnswered
)


class Proof(NamedTuple):
    """Work for elsewhere: 5 ms of one core to check a stranger's identity.

    Whoever runs the root calls `identity.validate()`, off the event loop, and tells the result to
    `RootNode.proof_done`.
    """

    identity: Identity


class Output(NamedTuple):
    """What a node wants done since it was asked last."""

    datagrams: list[tuple[bytes, Path]]
    events: list[Event]
    proofs: list[Proof]
