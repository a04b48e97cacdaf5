"""Whom to introduce to whom, and over which paths."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from orrery.vl1.path import Path
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint, Scope
from orrery.wire.world import World

UNITE_INTERVAL_MS = 30_000
"""Two nodes are introduced once in this time (ZT_MIN_UNITE_INTERVAL)."""
MAX_PAIRS = 65_536
SHOW_AGAIN_MS = 15_000
"""How often nodes are told where another root was found: a path is good that was heard from in the
last 19 s."""
SHOW_FOR_MS = 250_000
"""For how long: by then nodes have forgotten a path that died."""
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


class Moves:
    """Where other roots were found that were not there before, for as long as nodes are told.

    A node calls a root there only when told, goes over while it hears it there and the old path is
    silent, and back when both are: the latency of the new one is unknown to it.

    Attributes:
        due_ms: when nodes are told again, where there is a move.
    """

    def __init__(self) -> None:
        self.due_ms = 0
        self._since_ms: dict[tuple[Address, Endpoint], int] = {}

    def __len__(self) -> int:
        return len(self._since_ms)

    def __iter__(self) -> Iterator[tuple[Address, Endpoint]]:
        return iter(self._since_ms)

    def add(self, root: Address, endpoint: Endpoint, now_ms: int) -> None:
        """A root was found at an endpoint; nodes are told at once."""
        self._since_ms[root, endpoint] = now_ms
        self.due_ms = now_ms

    def begin(self, now_ms: int) -> bool:
        """Whether to tell nodes now; then it is due again later, and old moves are forgotten."""
        if not self._since_ms or 0 < self.due_ms - now_ms <= SHOW_AGAIN_MS:
            return False
        for move, since_ms in tuple(self._since_ms.items()):
            if not 0 <= now_ms - since_ms < SHOW_FOR_MS:
                del self._since_ms[move]
        self.due_ms = now_ms + SHOW_AGAIN_MS
        return bool(self._since_ms)


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
