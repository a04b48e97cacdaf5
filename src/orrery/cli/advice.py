"""What to tell the owner of a World that is being made, of all the pitfalls that there are."""

from __future__ import annotations

from orrery.wire.world import World
from orrery.worlds.locality import is_near_and_far
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


def advice(world: World, now_ms: int, before: World | None = None) -> list[Pitfall]:
    """Pitfalls that a person who makes or changes a World may not have thought of.

    Args:
        world: what is to be published, or was.
        now_ms: the clock.
        before: the revision before, if there is one.
    """
    found = warnings(world, now_ms, check_proof=False, previous=before)
    told = _TOLD if is_near_and_far(world) else _TOLD | {PitfallCode.PRIVATE_ADDRESS}
    return [pitfall for pitfall in found if pitfall.code in told]
