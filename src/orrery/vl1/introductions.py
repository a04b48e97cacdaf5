"""Whom to introduce to whom, and over which paths."""

from __future__ import annotations

from collections import OrderedDict

from orrery.vl1.path import Path
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint, Scope
from orrery.wire.world import World

UNITE_INTERVAL_MS = 30_000
"""Two nodes are introduced once in this time (ZT_MIN_UNITE_INTERVAL)."""
MAX_PAIRS = 65_536
_SCOPES = tuple(Scope)


class Introductions:
    """When two nodes were introduced last, for so many pairs as are remembered."""

    def __init__(self) -> None:
        self._last_ms: OrderedDict[tuple[Address, Address], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last_ms)

    def is_due(self, one: Address, other: Address, now_ms: int) -> bool:
        """Whether to introduce these two now; then they are not due again for a while."""
        pair = (min(one, other), max(one, other))
        last_ms = self._last_ms.get(pair)
        if last_ms is not None and 0 <= now_ms - last_ms < UNITE_INTERVAL_MS:
            return False
        self._last_ms[pair] = now_ms
        self._last_ms.move_to_end(pair)
        if len(self._last_ms) > MAX_PAIRS:
            self._last_ms.popitem(last=False)
        return True


def meeting_point(here: list[Path], there: list[Path]) -> tuple[Path, Path] | None:
    """One path of each of two nodes over which they may reach each other.

    Of one IP family and scope; the narrowest scope first, as in the official root, then IPv6.
    """
    best: tuple[tuple[int, int], Path, Path] | None = None
    for mine in here:
        for theirs in there:
            if (
                mine.endpoint.family == theirs.endpoint.family
                and mine.endpoint.scope == theirs.endpoint.scope
            ):
                rank = (_SCOPES.index(mine.endpoint.scope), mine.endpoint.family)
                if best is None or rank > best[0]:
                    best = rank, mine, theirs
    return None if best is None else best[1:]


def gained_endpoints(address: Address, before: World, after: World) -> list[Endpoint]:
    """The endpoints that a root has in one revision and did not have in another."""
    known = set(endpoints_of(address, before))
    return [endpoint for endpoint in endpoints_of(address, after) if endpoint not in known]


def endpoints_of(address: Address, world: World) -> tuple[Endpoint, ...]:
    """The endpoints that a root has in a revision."""
    return next((r.endpoints for r in world.roots if r.identity.address == address), ())
