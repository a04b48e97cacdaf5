"""Places: a root at one of its endpoints. It is what a node knows, and where it looks."""

from collections.abc import Iterable
from enum import IntFlag
from typing import NamedTuple

from orrery.rollout.fields import read_list, read_root, write_root
from orrery.wire.address import format_address
from orrery.wire.endpoint import Endpoint, Scope
from orrery.wire.identity import Identity
from orrery.wire.world import Root
from orrery.worlds.ordering import sort_roots

_NOWHERE = (Scope.NONE, Scope.MULTICAST)


class Reach(IntFlag):
    """By which families of IP addresses a node is known to reach others."""

    IPV4 = 1
    IPV6 = 2
    BOTH = 3

    def covers(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint is of such a family."""
        return bool(self & (Reach.IPV4 if endpoint.family == 4 else Reach.IPV6))


class Place(NamedTuple):
    """A root at one of its endpoints.

    Attributes:
        identity: of the root; another identity at the same endpoint is another place.
        endpoint: where it receives.
    """

    identity: Identity
    endpoint: Endpoint

    def __str__(self) -> str:
        return f"{format_address(self.identity.address)} at {self.endpoint}"


def places_of(roots: Iterable[Root]) -> frozenset[Place]:
    """The places that a list of roots names; nil, 0.0.0.0 and port 0 lead nowhere and are none."""
    return frozenset(
        Place(root.identity.public(), endpoint)
        for root in roots
        for endpoint in root.endpoints
        if endpoint.port and endpoint.scope not in _NOWHERE
    )


def roots_of(places: Iterable[Place]) -> tuple[Root, ...]:
    """The roots that have these places, as a World lists them."""
    endpoints: dict[Identity, list[Endpoint]] = {}
    for identity, endpoint in places:
        endpoints.setdefault(identity, []).append(endpoint)
    return sort_roots(Root(identity, tuple(found)) for identity, found in endpoints.items())


def write_places(places: Iterable[Place]) -> list[dict[str, object]]:
    """Places as the roots that have them, see `write_root`."""
    return [write_root(root) for root in roots_of(places)]


def read_places(data: object) -> tuple[Place, ...]:
    """What `write_places` wrote, in ascending order.

    Raises:
        DecodeError: it is something else.
    """
    return tuple(sorted(places_of(read_list(read_root)(data))))


def name_places(places: Iterable[Place]) -> str:
    """Places in words, those of a root together: `8056c2e21c at 192.0.2.1/9993 and …`."""
    return ", ".join(
        f"{format_address(root.identity.address)} at {' and '.join(map(str, root.endpoints))}"
        for root in roots_of(places)
    )
