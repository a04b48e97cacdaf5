"""Whether a World's roots are for one site only."""

from orrery.wire.endpoint import Endpoint, Scope
from orrery.wire.world import World

_EXAMPLES = frozenset((b"\xc0\x00\x02", b"\xc6\x33\x64", b"\xcb\x00\x71"))
"""Networks of RFC 5737: whoever tries out an example needs no word about them."""


def is_near_and_far(world: World) -> bool:
    """Whether every root has an endpoint that nodes everywhere reach, or none at all.

    Beside a public address a private one is meant: it is the short way of who is near.
    """
    return not any(
        root.endpoints and all(_is_private(endpoint) for endpoint in root.endpoints)
        for root in world.roots
    )


def _is_private(endpoint: Endpoint) -> bool:
    return endpoint.scope is Scope.PRIVATE and endpoint.ip[:3] not in _EXAMPLES
