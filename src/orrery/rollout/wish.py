"""What is wanted of a World, and which wishes make no sense whatever is published."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from orrery.rollout.landscape import Landscape
from orrery.rollout.places import places_of
from orrery.wire.address import format_address
from orrery.wire.signature import PUBLIC_KEY_BYTES
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, Root, World, WorldType
from orrery.worlds.wording import describe_type, describe_world


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A World as it is wanted.

    Attributes:
        type: planet or moon.
        id: of the World.
        roots: with identities and endpoints.
        key: the public key that the last revision is to name; None for the one that is named.
        spare_root: whether any one root may be down at any time, where there are two or more.
    """

    type: WorldType
    id: int
    roots: tuple[Root, ...]
    key: bytes | None = None
    spare_root: bool = True


def mistakes(wish: Wish, newest: World, landscape: Landscape) -> Iterator[str]:
    """Sentences on what no plan could mend.

    Args:
        wish: what is wanted.
        newest: the newest revision.
        landscape: what is known of the roots.
    """
    if wish.type is not newest.type:
        yield (
            f"a node that holds {describe_world(newest)} takes no {describe_type(wish.type)} in "
            "its place: give the other World an id of its own"
        )
    if wish.id != newest.id:
        yield (
            f"World {newest.id:016x} cannot become World {wish.id:016x}, nodes change to another "
            "id by a new file only: put the id back"
        )
    if wish.key is not None and len(wish.key) != PUBLIC_KEY_BYTES:
        yield f"a public key has {PUBLIC_KEY_BYTES} bytes, this one has {len(wish.key)}"
    yield from _limits(wish.roots)
    yield from _names(wish.roots, newest.roots)
    yield from _places(wish.roots, landscape)


def _limits(roots: tuple[Root, ...]) -> Iterator[str]:
    if not 1 <= len(roots) <= MAX_ROOTS:
        yield (
            f"a World has 1 to {MAX_ROOTS} roots and this wish {len(roots)}: nodes throw away "
            "one with more, and find nobody with none"
        )
    for root in roots:
        if not 1 <= len(root.endpoints) <= MAX_ENDPOINTS:
            yield (
                f"root {format_address(root.identity.address)} has {len(root.endpoints)} "
                f"endpoints: 1 to {MAX_ENDPOINTS} are possible"
            )


def _names(roots: tuple[Root, ...], published: tuple[Root, ...]) -> Iterator[str]:
    addresses = Counter(root.identity.address for root in roots)
    keys = {root.identity.address: root.identity.public_key for root in published}
    for address, times in addresses.items():
        if times > 1:
            yield f"root {format_address(address)} is listed {times} times: list it once"
    for root in roots:
        address = root.identity.address
        if keys.get(address, root.identity.public_key) != root.identity.public_key:
            yield (
                f"root {format_address(address)} has another key than in the newest revision, and "
                "nodes know one key for an address: make an identity with another address"
            )


def _places(roots: tuple[Root, ...], landscape: Landscape) -> Iterator[str]:
    wanted = places_of(roots)
    if len(wanted) != sum(len(root.endpoints) for root in roots):
        yield "an endpoint is listed twice, or is nil or has port 0: list each place once"
    endpoints = Counter(place.endpoint for place in wanted)
    for endpoint, times in endpoints.items():
        if times > 1:
            yield f"{times} roots are to be at {endpoint}: one place, one root"
    for first, second in landscape.in_turn:
        if first in wanted and second in wanted:
            yield f"{first} and {second} cannot both be had, as one stops before the other starts"
