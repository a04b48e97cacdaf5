"""The table of what to hand to whom: computed here, only looked up by those who serve."""

from bisect import bisect_right
from collections.abc import Iterable

from orrery.errors import UsageError
from orrery.wire.world import World
from orrery.worlds.chain import Chain


class HandoverTable:
    """For each World id and timestamp that a node may report: the Worlds to answer with.

    Immutable; a new revision makes a new table.

    Args:
        chains: at most one per World id.
        room_bytes: what the Worlds of one answer may take together. Links that do not fit are
            left out at the end: the node is further then, and asks again from there.

    Raises:
        UsageError: two chains of the same World.
    """

    __slots__ = ("_chains", "_known", "_times", "_unknown")

    def __init__(self, chains: Iterable[Chain], room_bytes: int) -> None:
        self._chains: dict[int, Chain] = {}
        self._known: dict[tuple[int, int], tuple[bytes, ...]] = {}
        self._times: dict[int, list[int]] = {}
        self._unknown: dict[int, list[tuple[bytes, ...]]] = {}
        # Many timestamps share few answers: keep each answer once.
        shared: dict[tuple[bytes, ...], tuple[bytes, ...]] = {}

        def answer(chain: Chain, timestamp_ms: int) -> tuple[bytes, ...]:
            links = _as_many_as_fit(chain, timestamp_ms, room_bytes)
            return shared.setdefault(links, links)

        for chain in chains:
            if chain.world_id in self._chains:
                raise UsageError(
                    f"two chains for World {chain.world_id:016x}: one root serves one of them"
                )
            self._chains[chain.world_id] = chain
            times = [world.timestamp_ms for world in chain]
            self._times[chain.world_id] = times
            self._known[chain.world_id, 0] = answer(chain, 0)
            for time in times:
                self._known[chain.world_id, time] = answer(chain, time)
            # What an unknown timestamp just before each revision is answered with.
            self._unknown[chain.world_id] = [answer(chain, time - 1) for time in times]

    @property
    def world_ids(self) -> tuple[int, ...]:
        """Ids of all Worlds in the table."""
        return tuple(self._chains)

    def newest(self, world_id: int) -> World | None:
        """The newest revision of a World, None for one that is not here."""
        chain = self._chains.get(world_id)
        return None if chain is None else chain.newest

    def revision_at(self, world_id: int, timestamp_ms: int) -> World | None:
        """The revision of a World with this timestamp, None if there is none here."""
        chain = self._chains.get(world_id)
        return None if chain is None else chain.revision_at(timestamp_ms)

    def lookup(self, world_id: int, timestamp_ms: int) -> tuple[bytes, ...]:
        """The encoded Worlds to hand over, in this order; none if there is nothing to tell.

        Args:
            world_id: what the node reported.
            timestamp_ms: what the node reported; 0 for a moon that it waits for.
        """
        known = self._known.get((world_id, timestamp_ms))
        if known is not None:
            return known
        times = self._times.get(world_id)
        if times is None:
            return ()
        newer = bisect_right(times, timestamp_ms)
        return self._unknown[world_id][newer] if newer < len(times) else ()


def _as_many_as_fit(chain: Chain, timestamp_ms: int, room_bytes: int) -> tuple[bytes, ...]:
    links = []
    for world in chain.iter_links_from(timestamp_ms):
        link = world.encode()
        room_bytes -= len(link)
        if room_bytes < 0:
            break
        links.append(link)
    return tuple(links)
