"""What is wrong, or soon will be, with a World that nodes take without a word."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orrery.errors import VerifyError
from orrery.wire.address import format_address
from orrery.wire.endpoint import Endpoint, Scope
from orrery.wire.signature import fingerprint
from orrery.wire.world import (
    EARTH_ID,
    MAX_ENDPOINTS,
    MAX_ROOTS,
    UNSIGNED,
    Root,
    World,
    WorldType,
)
from orrery.worlds.diff import endpoints_in_common
from orrery.worlds.ordering import sort_endpoints
from orrery.worlds.wording import describe_timestamp

MKWORLD_TIMESTAMP_MS = 1567191349589
"""What mkworld and most of its forks stamp on everything (ZeroTierOne attic/world/mkworld.cpp)."""
FUTURE_TOLERANCE_MS = 60_000
"""How far a timestamp may be ahead before it is called a future one: clocks differ."""
_EARTH_KEY = "iwpv-vi6s-x4vr-4c6c-gc2t"
"""Fingerprint of the key that the official planet names."""
_LARGEST_U64 = 2**64 - 1
_HURRICANE_PREFIX = bytes.fromhex("20010470")


class PitfallCode(StrEnum):
    """The kinds of pitfalls."""

    NULL_TYPE = "null-type"
    ID_ZERO = "id-zero"
    EARTH_ID = "earth-id"
    MOON_ID_TOO_LONG = "moon-id-too-long"
    FIXED_TIMESTAMP = "fixed-timestamp"
    TIMESTAMP_ZERO = "timestamp-zero"
    FUTURE_TIMESTAMP = "future-timestamp"
    LAST_TIMESTAMP = "last-timestamp"
    UNSIGNED = "unsigned"
    DICTIONARY = "dictionary"
    NO_ROOTS = "no-roots"
    TOO_MANY_ROOTS = "too-many-roots"
    TOO_MANY_ENDPOINTS = "too-many-endpoints"
    UNSORTED_ROOTS = "unsorted-roots"
    DUPLICATE_ROOT = "duplicate-root"
    SAME_ADDRESS = "same-address"
    FAILED_PROOF = "failed-proof"
    NO_ENDPOINTS = "no-endpoints"
    UNSORTED_ENDPOINTS = "unsorted-endpoints"
    DUPLICATE_ENDPOINT = "duplicate-endpoint"
    SHARED_ENDPOINT = "shared-endpoint"
    NIL_ENDPOINT = "nil-endpoint"
    ZERO_ADDRESS = "zero-address"
    PORT_ZERO = "port-zero"
    UNUSABLE_ADDRESS = "unusable-address"
    PRIVATE_ADDRESS = "private-address"
    SINGLE_ENDPOINT = "single-endpoint"
    NO_ENDPOINT_IN_COMMON = "no-endpoint-in-common"
    ONE_ENDPOINT_IN_COMMON = "one-endpoint-in-common"


@dataclass(frozen=True, slots=True)
class Pitfall:
    """One thing to know about a World.

    Attributes:
        code: a stable word for programs.
        sentence: what it leads to and how to mend it, for people.
    """

    code: PitfallCode
    sentence: str


def warnings(
    world: World, now_ms: int, *, check_proof: bool = True, previous: World | None = None
) -> list[Pitfall]:
    """Everything about a World that its owner should know.

    It need not be one that could be written: what is read from a JSON file may have too many roots.

    Args:
        world: any.
        now_ms: the time, milliseconds since 1970.
        check_proof: evaluate the proof of work of each root, some milliseconds each.
        previous: the revision that nodes hold now, if there is one.
    """
    found = [*_of_itself(world), *_of_its_time(world, now_ms), *_of_its_roots(world)]
    for root in world.roots:
        found.extend(_of_a_root(root, check_proof=check_proof))
    found.extend(_of_its_endpoints(world))
    if previous is not None:
        found.extend(_of_the_change(previous, world))
    return found


def _of_itself(world: World) -> Iterator[Pitfall]:
    if world.type == WorldType.NULL:
        yield Pitfall(
            PitfallCode.NULL_TYPE,
            "it is neither planet nor moon, and nodes refuse it: set its type",
        )
    if world.id == 0:
        yield Pitfall(
            PitfallCode.ID_ZERO,
            "its id is 0, and nodes let anything replace a World with that id, signed or not: give "
            "it another",
        )
    if (
        world.type == WorldType.PLANET
        and world.id == EARTH_ID
        and fingerprint(world.updates_must_be_signed_by) != _EARTH_KEY
    ):
        yield Pitfall(
            PitfallCode.EARTH_ID,
            f"its id {EARTH_ID} is that of the official planet and of everything that mkworld "
            "makes, so it cannot be told from others by its id: keep it if nodes hold this planet "
            "already (they would refuse another), or else choose a random one",
        )
    if world.type == WorldType.MOON and world.id >> 40:
        yield Pitfall(
            PitfallCode.MOON_ID_TOO_LONG,
            f"its id {world.id:016x} has more than 10 digits, and nodes orbit such a moon only "
            "from a file in moons.d: use the address of its first root as its id",
        )
    if world.signature == UNSIGNED:
        yield Pitfall(
            PitfallCode.UNSIGNED,
            "it is not signed: a node that holds nothing takes it, every other one refuses it",
        )
    if world.dictionary:
        yield Pitfall(
            PitfallCode.DICTIONARY,
            f"it carries {len(world.dictionary)} bytes behind its roots, which no signature covers "
            "and which nodes drop",
        )


def _of_its_time(world: World, now_ms: int) -> Iterator[Pitfall]:
    if world.timestamp_ms == MKWORLD_TIMESTAMP_MS:
        yield Pitfall(
            PitfallCode.FIXED_TIMESTAMP,
            f"its timestamp is {MKWORLD_TIMESTAMP_MS}, which mkworld stamps on everything: nodes "
            "refuse the next World that has the same, so stamp that one with the time",
        )
    elif world.timestamp_ms == 0:
        yield Pitfall(
            PitfallCode.TIMESTAMP_ZERO,
            "its timestamp is 0, which is no time and what a node reports for a moon that it does "
            "not have: stamp it with the time",
        )
    elif world.timestamp_ms == _LARGEST_U64:
        yield Pitfall(
            PitfallCode.LAST_TIMESTAMP,
            f"its timestamp {_LARGEST_U64} is the largest there is: nodes that take it can never "
            "take another",
        )
    elif world.timestamp_ms > now_ms + FUTURE_TOLERANCE_MS:
        yield Pitfall(
            PitfallCode.FUTURE_TIMESTAMP,
            f"its timestamp {describe_timestamp(world.timestamp_ms)} is in the future: nodes that "
            "take it refuse every update with an honest time until then",
        )


def _of_its_roots(world: World) -> Iterator[Pitfall]:
    if not world.roots:
        yield Pitfall(
            PitfallCode.NO_ROOTS,
            "it has no roots: nodes take it and then know nobody to ask for a better one",
        )
    if len(world.roots) > MAX_ROOTS:
        yield Pitfall(
            PitfallCode.TOO_MANY_ROOTS,
            f"it has {len(world.roots)} roots: nodes throw away a World with more than "
            f"{MAX_ROOTS} without a word and use the official planet, so leave some out",
        )
    identities = [root.identity for root in world.roots]
    if identities != sorted(identities):
        yield Pitfall(
            PitfallCode.UNSORTED_ROOTS,
            "its roots are not in genmoon's order (by address): nodes do not mind, but genmoon "
            "would write other bytes from the same roots",
        )
    for identity, times in Counter(identities).items():
        if times > 1:
            yield Pitfall(
                PitfallCode.DUPLICATE_ROOT,
                f"root {format_address(identity.address)} is listed {times} times and takes the "
                "place of another: list it once with all its endpoints",
            )
    for address, times in Counter(identity.address for identity in set(identities)).items():
        if times > 1:
            yield Pitfall(
                PitfallCode.SAME_ADDRESS,
                f"{times} roots with different keys have the address {format_address(address)}: "
                "nodes know only one of them, so at most one is real",
            )


def _of_a_root(root: Root, *, check_proof: bool) -> Iterator[Pitfall]:
    name = f"root {format_address(root.identity.address)}"
    if check_proof:
        try:
            root.identity.validate()
        except VerifyError as error:
            yield Pitfall(PitfallCode.FAILED_PROOF, str(error))
    if not root.endpoints:
        yield Pitfall(
            PitfallCode.NO_ENDPOINTS,
            f"{name} has no endpoint: nodes reach it only when another root relays to it",
        )
    if len(root.endpoints) > MAX_ENDPOINTS:
        yield Pitfall(
            PitfallCode.TOO_MANY_ENDPOINTS,
            f"{name} has {len(root.endpoints)} endpoints: nodes throw away a World with more than "
            f"{MAX_ENDPOINTS} without a word, so leave some out",
        )
    if sort_endpoints(root.endpoints) != root.endpoints:
        yield Pitfall(
            PitfallCode.UNSORTED_ENDPOINTS,
            f"the endpoints of {name} are not in genmoon's order: nodes do not mind, but genmoon "
            "would write other bytes from the same endpoints",
        )
    for endpoint, times in Counter(root.endpoints).items():
        if times > 1:
            yield Pitfall(
                PitfallCode.DUPLICATE_ENDPOINT,
                f"{name} lists {str(endpoint) or 'the nil endpoint'} {times} times: once is enough",
            )
        yield from _of_an_endpoint(name, endpoint)


def _of_an_endpoint(name: str, endpoint: Endpoint) -> Iterator[Pitfall]:
    where = f"{name} at {endpoint}"
    if not endpoint.family:
        yield Pitfall(
            PitfallCode.NIL_ENDPOINT,
            f"{name} has an empty endpoint, which genmoon makes of a text that is no address: "
            "write its IP address and port",
        )
        return
    if endpoint.port == 0:
        yield Pitfall(
            PitfallCode.PORT_ZERO,
            f"{where} has port 0, which tools make of a missing port: write the port, 9993 mostly",
        )
    if not any(endpoint.ip):
        yield Pitfall(
            PitfallCode.ZERO_ADDRESS,
            f"{where} is nowhere, which tools make of a name or of ip:port: write the IP address, "
            "as 1.2.3.4/9993",
        )
    elif endpoint.scope in (Scope.NONE, Scope.MULTICAST, Scope.LOOPBACK, Scope.LINK_LOCAL):
        yield Pitfall(
            PitfallCode.UNUSABLE_ADDRESS,
            f"{where} is of scope {endpoint.scope.replace('_', '-')}, where nodes keep no path: "
            "write the address under which nodes reach it",
        )
    elif endpoint.family == 6 and endpoint.ip.startswith(_HURRICANE_PREFIX):
        yield Pitfall(
            PitfallCode.UNUSABLE_ADDRESS,
            f"{where} is in 2001:470::/32 (tunnels of Hurricane Electric), where nodes refuse to "
            "keep a path: use another address",
        )
    elif endpoint.scope == Scope.PRIVATE:
        yield Pitfall(
            PitfallCode.PRIVATE_ADDRESS,
            f"{where} is a private address: only nodes of the same site reach it there",
        )


def _of_its_endpoints(world: World) -> Iterator[Pitfall]:
    owners: dict[Endpoint, set[str]] = {}
    for root in world.roots:
        for endpoint in root.endpoints:
            if endpoint.port and any(endpoint.ip):
                owners.setdefault(endpoint, set()).add(format_address(root.identity.address))
    for endpoint, names in owners.items():
        if len(names) > 1:
            yield Pitfall(
                PitfallCode.SHARED_ENDPOINT,
                f"roots {' and '.join(sorted(names))} are both at {endpoint}, where only one can "
                "answer: give each its own port",
            )
    if len(owners) == 1:
        yield Pitfall(
            PitfallCode.SINGLE_ENDPOINT,
            f"{next(iter(owners))} is the only place where nodes find a root: before it changes, "
            "publish a revision that names the next place too",
        )


def _of_the_change(previous: World, world: World) -> Iterator[Pitfall]:
    common = endpoints_in_common(previous, world)
    if not common and previous.roots:
        yield Pitfall(
            PitfallCode.NO_ENDPOINT_IN_COMMON,
            "it has no root at the same endpoint as the revision before: a node that sleeps "
            "through the change finds nobody, so change in two steps",
        )
    elif len(common) == 1 and len(endpoints_in_common(previous, previous)) > 1:
        identity, endpoint = common[0]
        yield Pitfall(
            PitfallCode.ONE_ENDPOINT_IN_COMMON,
            f"root {format_address(identity.address)} at {endpoint} is all that it has in common "
            "with the revision before: keep it running until every node has followed",
        )
