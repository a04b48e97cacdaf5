"""What a home knows of its Worlds, and which revision a node may have now."""

from __future__ import annotations

from dataclasses import dataclass

from orrery.home import Home
from orrery.rollout.order import Order
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState
from orrery.wire.address import Address
from orrery.wire.world import World
from orrery.worlds.chain import Chain
from orrery.worlds.stage import Stage


@dataclass(frozen=True, slots=True)
class KnownWorld:
    """What a home knows of a World.

    Attributes:
        name: In `orrery.toml`, or its id.
        chain: Its revisions.
        stage: How far nodes are led to the newest; None for everybody.
        first: Official roots that need the newest before others have it.
    """

    name: str
    chain: Chain
    stage: Stage | None
    first: frozenset[Address]

    def is_root(self, node: Address) -> bool:
        """Whether a node is, or was, a root of it."""
        return any(
            root.identity.address == node for revision in self.chain for root in revision.roots
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What a home knows, all of one moment.

    Attributes:
        worlds: Those that it publishes: one planet at most, and moons.
    """

    worlds: tuple[KnownWorld, ...]

    def wanted(self, world: KnownWorld, node: Address) -> World:
        """The revision that a node may have now."""
        stage = world.stage
        if stage is None or stage.opened.is_everybody or node in world.first:
            return world.chain.newest
        # What a root holds it hands to everybody, so its turn is with everybody's.
        waits = any(each.is_root(node) for each in self.worlds)
        if not waits and stage.opened.includes(world.chain.world_id, node):
            return world.chain.newest
        return world.chain.until(stage.held_back_ms).newest


def read_known(home: Home) -> Known:
    """Read what a home knows.

    Raises:
        DecodeError: `orrery.toml` or a rollout cannot be read.
    """
    names = {world.id: world.name for world in home.settings().worlds}
    served_ids = {world.id for world in home.served_worlds()}
    serving = home.store.serving()
    worlds = []
    for chain in serving.chains:
        if chain.world_id in served_ids:
            held = serving.served.get(chain.world_id)
            worlds.append(
                KnownWorld(
                    names.get(chain.world_id, f"{chain.world_id:016x}"),
                    chain,
                    None if held is None else held.stage,
                    frozenset() if held is None else _first_of(home, chain),
                )
            )
    return Known(tuple(worlds))


def _first_of(home: Home, chain: Chain) -> frozenset[Address]:
    """Who needs the newest revision by hand before any node has it."""
    rollout = home.store.active_rollout(chain.world_id)
    if rollout is None or rollout.state is RolloutState.PAUSED:
        return frozenset()
    progress = Progress.from_json(rollout.intents)
    is_newest = progress.newest_ms == chain.newest.timestamp_ms
    if progress.rolling_back or not progress.has_published(rollout.step) or not is_newest:
        return frozenset()
    return frozenset(Order.from_json(rollout.plan).plan.steps[rollout.step].install_first)
