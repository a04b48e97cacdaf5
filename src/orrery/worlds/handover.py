"""The table of what to hand to whom: computed here, only looked up by those who serve."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping

from orrery.errors import UsageError
from orrery.wire.address import Address
from orrery.wire.world import World
from orrery.worlds.chain import Chain
from orrery.worlds.stage import NOBODY, Membership, Stage

_Answer = tuple[bytes, ...]


class HandoverTable:
    """For each World id and timestamp that a node may report: the Worlds to answer with.

    Without a stage every node is led to the newest revision. With one, nodes that it is not open
    for are led to the revision where it holds them, and who is beyond that is handed nothing. The
    roots of all Worlds here are held back until the stage is open for everybody: a root of another
    make hands what it holds to every node that asks it.

    Immutable; a new revision makes a new table, and so does a stage that opens further.

    Args:
        chains: at most one per World id.
        room_bytes: what the Worlds of one answer may take together. Links that do not fit are
            left out at the end: the node is further then, and asks again from there.
        stages: by World id; a World without one is for everybody.

    Raises:
        UsageError: two chains of the same World; a stage of a World or at a revision that is not
            here.
    """

    __slots__ = ("_agreed", "_chains", "_open", "_room_bytes", "_roots", "_stages")

    def __init__(
        self,
        chains: Iterable[Chain],
        room_bytes: int,
        stages: Mapping[int, Stage] | None = None,
    ) -> None:
        self._chains: dict[int, Chain] = {}
        for chain in chains:
            if chain.world_id in self._chains:
                raise UsageError(
                    f"two chains for World {chain.world_id:016x}: one root serves one of them"
                )
            self._chains[chain.world_id] = chain
        self._room_bytes = room_bytes
        self._roots = frozenset(
            root.identity.address
            for chain in self._chains.values()
            for world in chain
            for root in world.roots
        )
        # Many timestamps share few answers: keep each answer once.
        shared: dict[_Answer, _Answer] = {}
        self._open = {
            world_id: _Way(chain, room_bytes, shared) for world_id, chain in self._chains.items()
        }
        self._stages: dict[int, tuple[Membership, _Way]] = {}
        for world_id, (held_back_ms, opened) in (stages or {}).items():
            if world_id not in self._chains:
                raise UsageError(f"a stage of World {world_id:016x}, which has no chain here")
            led_to = self._chains[world_id].until(held_back_ms)
            if not opened.is_everybody:
                self._stages[world_id] = opened, _Way(led_to, room_bytes, shared)
        self._agreed = dict(self._iter_agreed())

    def _iter_agreed(self) -> Iterator[tuple[tuple[int, int], _Answer]]:
        """What is answered whoever asks."""
        for world_id, way in self._open.items():
            _, other = self._stages.get(world_id, (NOBODY, way))
            for timestamp_ms, answer in way.known.items():
                if answer == other.answer(timestamp_ms):
                    yield (world_id, timestamp_ms), answer

    @property
    def world_ids(self) -> tuple[int, ...]:
        """Ids of all Worlds in the table."""
        return tuple(self._chains)

    def newest(self, world_id: int) -> World | None:
        """The newest revision of a World, None for one that is not here."""
        chain = self._chains.get(world_id)
        return None if chain is None else chain.newest

    def newest_for(self, world_id: int, address: Address) -> World | None:
        """The revision that a node is led to, None for a World that is not here."""
        if world_id not in self._chains:
            return None
        return self._way_of(world_id, address).chain.newest

    def targets(self, world_id: int) -> tuple[World, ...]:
        """The revisions that nodes are led to: the newest, and before it the one held back to."""
        chain = self._chains.get(world_id)
        if chain is None:
            return ()
        _, way = self._stages.get(world_id, (NOBODY, None))
        if way is None or way.chain.newest == chain.newest:
            return (chain.newest,)
        return (way.chain.newest, chain.newest)

    def revision_at(self, world_id: int, timestamp_ms: int) -> World | None:
        """The revision of a World with this timestamp, None if there is none here."""
        chain = self._chains.get(world_id)
        return None if chain is None else chain.revision_at(timestamp_ms)

    def lookup(self, world_id: int, timestamp_ms: int, address: Address) -> tuple[bytes, ...]:
        """The encoded Worlds to hand over, in this order; none if there is nothing to tell.

        Args:
            world_id: what the node reported.
            timestamp_ms: what the node reported; 0 for a moon that it waits for.
            address: of the node.
        """
        agreed = self._agreed.get((world_id, timestamp_ms))
        if agreed is not None:
            return agreed
        if world_id not in self._chains:
            return ()
        return self._way_of(world_id, address).answer(timestamp_ms)

    def lookup_fork(
        self, world_id: int, timestamp_ms: int, wanted_key: bytes, address: Address
    ) -> tuple[bytes, ...]:
        """As `lookup`, for a node that holds a World which is none of the chain's.

        Args:
            world_id: of the World that it holds.
            timestamp_ms: of that World.
            wanted_key: the public key that it wants its update to be signed by.
            address: of the node.
        """
        if world_id not in self._chains:
            return ()
        chain = self._way_of(world_id, address).chain
        return _as_many_as_fit(chain.iter_links_for(timestamp_ms, wanted_key), self._room_bytes)

    def says_the_same_as(self, other: "HandoverTable") -> bool:
        """Whether both answer whatever may be looked up alike."""
        return (
            self._room_bytes == other._room_bytes
            and self._essence() == other._essence()
            and self._chains.keys() == other._chains.keys()
            and all(
                chain.revisions == other._chains[world_id].revisions
                for world_id, chain in self._chains.items()
            )
        )

    def _essence(self) -> dict[int, Stage]:
        return {
            world_id: Stage(way.chain.newest.timestamp_ms, opened)
            for world_id, (opened, way) in self._stages.items()
        }

    def _way_of(self, world_id: int, address: Address) -> "_Way":
        staged = self._stages.get(world_id)
        if staged is not None:
            opened, way = staged
            if address in self._roots or not opened.includes(world_id, address):
                return way
        return self._open[world_id]


class _Way:
    """Where one chain leads from each timestamp."""

    __slots__ = ("_times", "_unknown", "chain", "known")

    def __init__(self, chain: Chain, room_bytes: int, shared: dict[_Answer, _Answer]) -> None:
        def answer(timestamp_ms: int) -> _Answer:
            links = _as_many_as_fit(chain.iter_links_from(timestamp_ms), room_bytes)
            return shared.setdefault(links, links)

        self.chain = chain
        self._times = [world.timestamp_ms for world in chain]
        self.known = {time: answer(time) for time in (0, *self._times)}
        # What an unknown timestamp just before each revision is answered with.
        self._unknown = [answer(time - 1) for time in self._times]

    def answer(self, timestamp_ms: int) -> _Answer:
        known = self.known.get(timestamp_ms)
        if known is not None:
            return known
        newer = bisect_right(self._times, timestamp_ms)
        return self._unknown[newer] if newer < len(self._times) else ()


def _as_many_as_fit(worlds: Iterable[World], room_bytes: int) -> _Answer:
    links = []
    for world in worlds:
        link = world.encode()
        room_bytes -= len(link)
        if room_bytes < 0:
            break
        links.append(link)
    return tuple(links)
