"""What to tell the owner of a World that is being made, of all the pitfalls that there are."""

from __future__ import annotations

from orrery.wire.endpoint import Endpoint, Scope
from orrery.wire.world import World
from orrery.worlds.pitfalls import Pitfall, PitfallCode, warnings

_TOLD = frozenset(
    (
        PitfallCode.EARTH_ID,
        PitfallCode.FUTURE_TIMESTAMP,
        PitfallCode.UNUSABLE_ADDRESS,
        PitfallCode.SHARED_ENDPOINT,
        PitfallCode.NO_ENDPOINT_IN_COMMON,
        PitfallCode.ONE_ENDPOINT_IN_COMMON,
    )
)
"""Not what can only be meant (a single endpoint), nor what a home does not let happen."""

_EXAMPLES = frozenset((b"\xc0\x00\x02", b"\xc6\x33\x64", b"\xcb\x00\x71"))
"""Networks of RFC 5737: whoever tries out an example needs no word about them."""


def advice(world: World, now_ms: int, before: World | None = None) -> list[Pitfall]:
    """Pitfalls that a person who makes or changes a World may not have thought of.

    Args:
        world: what is to be published, or was.
        now_ms: the clock.
        before: the revision before, if there is one.
    """
    found = warnings(world, now_ms, check_proof=False, previous=before)
    private = any(
        root.endpoints and all(_is_private(endpoint) for endpoint in root.endpoints)
        for root in world.roots
    )
    # Beside a public address a private one is meant: it is the short way of who is near.
    told = _TOLD | {PitfallCode.PRIVATE_ADDRESS} if private else _TOLD
    return [pitfall for pitfall in found if pitfall.code in told]


def _is_private(endpoint: Endpoint) -> bool:
    return endpoint.scope is Scope.PRIVATE and endpoint.ip[:3] not in _EXAMPLES
