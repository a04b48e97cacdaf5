"""No root is restarted while it is the only one that nodes could turn to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from orrery.errors import PlanError
from orrery.fleet.known import Known, KnownWorld, read_known
from orrery.home import Home
from orrery.rollout.places import Place, name_places, places_of
from orrery.server.witnesses import ask_roots
from orrery.wire.address import Address, format_address
from orrery.wire.verbs import WorldHeld
from orrery.wire.world import World
from orrery.worlds.wording import describe_world

_PATIENCE_S = 5.0
"""A root that does not answer in this time, asked twice a second, is taken for one that is gone."""
_BEAT_MS = 75_000
"""A server of this home says once a minute at least where it listens."""


@dataclass(frozen=True, slots=True)
class Reliance:
    """A revision in the hands of nodes that names a root, and to whom else they could turn.

    Attributes:
        world: The World.
        revision: Of it.
        number: Of the revision, from 1.
        others: The places of its other roots.
    """

    world: KnownWorld
    revision: World
    number: int
    others: frozenset[Place]


def reliances(known: Known, held: Collection[tuple[int, int]], node: Address) -> Iterator[Reliance]:
    """The revisions by which nodes rely on a root.

    Args:
        known: What the home knows.
        held: World id and timestamp of what nodes hold.
        node: The root.
    """
    for world in known.worlds:
        stage = world.stage
        led_to = {world.chain.newest.timestamp_ms}
        if stage is not None:
            led_to.add(stage.held_back_ms)
        for number, revision in enumerate(world.chain, start=1):
            key = (revision.id, revision.timestamp_ms)
            if key not in held and revision.timestamp_ms not in led_to:
                continue
            if any(root.identity.address == node for root in revision.roots):
                others = [root for root in revision.roots if root.identity.address != node]
                yield Reliance(world, revision, number, places_of(others))


def check_others_answer(
    relied_on: Collection[Reliance], answering: Collection[Place], node: Address
) -> None:
    """Refuse to restart a root where nodes would be left without one.

    Raises:
        PlanError: They would.
    """
    for each in relied_on:
        if each.others.isdisjoint(answering):
            asked = (
                f"none of {name_places(each.others)} answers now"
                if each.others
                else "it is the only one there"
            )
            raise PlanError(
                f"root {format_address(node)} is not restarted: nodes that hold revision "
                f"{each.number} of {describe_world(each.revision)} would have no "
                f"root meanwhile, {asked}; start another first, or say --restart-last-root"
            )


class LastRootGuard:
    """Asks the roots before one of them is restarted, and that one when it has been.

    Args:
        home: The home.
        clock_ms: The wall clock.
        may_restart_last: Whether the operator wants it all the same.
    """

    def __init__(self, home: Home, clock_ms: Callable[[], int], *, may_restart_last: bool) -> None:
        self._home = home
        self._clock_ms = clock_ms
        self._may_restart_last = may_restart_last

    async def check(self, node: Address, *, is_silent: bool = False) -> frozenset[Place]:
        """Refuse the restart of a root that is the last one.

        Args:
            node: The root.
            is_silent: Nothing answers on its own machine: it is down, and no root to anybody, or
                it only does not answer there.

        Returns:
            The places of this root that answer now.

        Raises:
            PlanError: It is the last one.
        """
        home, known = self._home, read_known(self._home)
        since_ms = self._clock_ms() - home.settings().rollout.horizon_ms
        held = {
            (count.world_id, count.timestamp_ms)
            for count in home.store.adoption_counts(None, since_ms)
            if count.nodes
        }
        relied_on = tuple(reliances(known, held, node))
        own = places_of(
            root
            for each in relied_on
            for root in each.revision.roots
            if root.identity.address == node
        )
        others = {place for each in relied_on for place in each.others}
        if not own:
            return frozenset()
        listening = self._listening(others)
        # Who says that it holds one of our revisions is taken for a node that follows a rollout.
        answers = await ask_roots((others - listening) | own, WorldHeld(0, 0), _PATIENCE_S)
        is_down = is_silent and own.isdisjoint(answers.places)
        if not self._may_restart_last and not is_down:
            check_others_answer(relied_on, answers.places | listening, node)
        return answers.places & own

    async def missing(self, places: frozenset[Place], patience_s: float) -> frozenset[Place]:
        """Which of the places that answered before a restart do not any more."""
        answers = await ask_roots(places, WorldHeld(0, 0), patience_s)
        return places - answers.places

    def _listening(self, places: Collection[Place]) -> frozenset[Place]:
        """Places of servers of this home on this machine, which may not be asked from inside."""
        if not self._home.is_served:
            return frozenset()
        now_ms = self._clock_ms()
        here = {
            (root.address, endpoint)
            for root in self._home.store.roots()
            if abs(now_ms - root.last_at_ms) < _BEAT_MS
            for endpoint in root.endpoints
        }
        return frozenset(
            place for place in places if (place.identity.address, str(place.endpoint)) in here
        )
