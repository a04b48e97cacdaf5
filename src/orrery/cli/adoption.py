"""Who holds what: the answer behind `orrery status` and `orrery nodes`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orrery.store import ForkCount, ForkRecord, NodeRecord, Store
from orrery.worlds.chain import Chain


@dataclass(frozen=True, slots=True)
class Level:
    """How many nodes hold one revision.

    Attributes:
        revision: its number in the chain from 1, None for a World that is not of the chain.
        timestamp_ms: of the World, 0 for a moon that is only waited for.
        nodes: how many nodes hold it.
        forks: what is known of the Worlds that these are, where they are none of the chain.
    """

    revision: int | None
    timestamp_ms: int
    nodes: int
    forks: tuple[ForkCount, ...] = ()


@dataclass(frozen=True, slots=True)
class Adoption:
    """What the nodes seen lately hold of one World."""

    chain: Chain
    levels: tuple[Level, ...]

    @property
    def nodes(self) -> int:
        """Nodes that hold any revision of this World."""
        return sum(level.nodes for level in self.levels)

    @property
    def adopted(self) -> int:
        """Nodes that hold the newest revision."""
        newest = len(self.chain)
        return sum(level.nodes for level in self.levels if level.revision == newest)


def revision_number(chain: Chain, timestamp_ms: int) -> int | None:
    """The number of a revision from 1, None for a timestamp that is not of the chain."""
    for number, world in enumerate(chain, start=1):
        if world.timestamp_ms == timestamp_ms:
            return number
    return None


def adoption_of(store: Store, world_id: int, seen_since_ms: int) -> Adoption:
    """Adoption of a World by the nodes seen since a time."""
    chain = store.chain(world_id)
    numbers = {world.timestamp_ms: number for number, world in enumerate(chain, start=1)}
    forks = [fork for fork in store.fork_counts(world_id, seen_since_ms) if fork.wanted_key]
    levels = []
    for count in store.adoption_counts(world_id, seen_since_ms):
        number = None if count.forked else numbers.get(count.timestamp_ms)
        known = tuple(fork for fork in forks if fork.timestamp_ms == count.timestamp_ms)
        levels.append(
            Level(number, count.timestamp_ms, count.nodes, known if number is None else ())
        )
    return Adoption(chain, tuple(levels))


@dataclass(frozen=True, slots=True)
class Held:
    """What one node holds of one World, put beside the chain.

    Attributes:
        world_id: of the World.
        timestamp_ms: of what the node holds, 0 for a moon that it waits for.
        revision: its number in the chain from 1, None for what is not of the chain.
        behind: how many revisions the node lacks, None likewise.
        known_at_ms: when it was last learned.
        how: how it was last learned, see `orrery.store.records.How`.
        fork: what is known of what it holds, if that is none of the chain and was seen.
    """

    world_id: int
    timestamp_ms: int
    revision: int | None
    behind: int | None
    known_at_ms: int
    how: str
    fork: ForkRecord | None = None


def held_by(node: NodeRecord, chains: Sequence[Chain]) -> Iterator[Held]:
    """The Worlds of ours that a node holds."""
    by_id = {chain.world_id: chain for chain in chains}
    forks = {(fork.world_id, fork.timestamp_ms): fork for fork in node.forks if fork.wanted_key}
    for holding in node.holdings:
        chain = by_id.get(holding.world_id)
        if chain is not None:
            fork = forks.get((holding.world_id, holding.timestamp_ms))
            number = None if fork else revision_number(chain, holding.timestamp_ms)
            yield Held(
                holding.world_id,
                holding.timestamp_ms,
                number,
                None if number is None else len(chain) - number,
                holding.at_ms,
                holding.how,
                fork,
            )
