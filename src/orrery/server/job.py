"""A rollout that is being carried out, with what is known of it: read once, then what is new."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from orrery.home.carrying import position_of
from orrery.home.rolling import cohorts_of, uncounted_of
from orrery.rollout.conditions import (
    Adopted,
    Answering,
    Condition,
    Evidence,
    Heard,
    Installed,
    Stopped,
)
from orrery.rollout.conductor import Facts, target_of
from orrery.rollout.health import Habit
from orrery.rollout.order import Order
from orrery.rollout.places import Place, places_of
from orrery.rollout.tally import LONG_CALL_BACK_MS, MOST_ASKED, Report, Tally, Target, places_at
from orrery.store import Hearing, Rollout, Standing, Store
from orrery.vl1.peer import PATH_EXPIRATION_MS
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import WorldHeld
from orrery.worlds.chain import Chain

FORGET_MS = 60_000
"""How often nodes are looked through that are beyond the horizon by now."""
WAKE_MS = 10_000
"""How often nodes are asked that do not have what they were given, as long as there is a way."""
CLOCK_STEP_MS = 2_000
"""A wall clock that moved this much against the steady one was set."""


class Job:
    """One rollout. Not for two threads at once.

    Args:
        rollout: as it is stored.
        store: where all of it is read.

    Raises:
        DecodeError: its plan was not written by this version of Orrery.

    Attributes:
        rollout: as it was stored last; whoever changes it says so here.
        order: what is carried out.
        cohorts: of it.
        places: all that its revisions list.
    """

    def __init__(self, rollout: Rollout, store: Store) -> None:
        self.rollout = rollout
        self._store = store
        self.order = Order.from_json(rollout.plan)
        self._chain_version = store.data_version()
        self._chain = store.chain(rollout.world_id)
        at = position_of(rollout)
        start = self._chain.until(at.progress.revisions[0]).newest
        self.cohorts = cohorts_of(self.order, start)
        steps = self.order.plan.steps
        self.places = places_of((*start.roots, *(root for step in steps for root in step.roots)))
        self._uncounted = uncounted_of(self.order, self.cohorts, store.roots())
        self._tally: Tally | None = None
        self._change = -1
        self._forgotten_ms = 0
        self._woken_ms = 0
        self._clock_offset_ms: int | None = None

    def forget(self) -> None:
        """Read everything anew next time: others may have looked meanwhile, or nobody."""
        self._tally = None

    def note_clock(self, offset_ms: int) -> None:
        """Note by how much the wall clock is before the steady one: spans across a step are none.

        Args:
            offset_ms: the difference.
        """
        last_ms = self._clock_offset_ms
        if last_ms is None or abs(offset_ms - last_ms) > CLOCK_STEP_MS:
            self.forget()
            self._clock_offset_ms = offset_ms

    def look(self, roots: Collection[Address], now_ms: int) -> Facts:
        """What is known now.

        Args:
            roots: those that tell in the store whom they hear.
            now_ms: the wall clock.
        """
        chain = self._read_chain()
        at = position_of(self.rollout)
        target = _as_far_as_told(target_of(self.order, at, chain.revisions), roots)
        tally = self._tally
        if tally is None or tally.target != target:
            tally = self._tally = self._load(target, now_ms)
        else:
            self._read_news(tally)
        if not 0 <= now_ms - self._forgotten_ms < FORGET_MS:
            self._forgotten_ms = now_ms
            tally.forget(now_ms - self.order.horizon_ms)
        progress = at.progress
        revisions = progress.revisions
        if progress.back_ms:
            revisions = (*revisions, progress.back_ms)
        return Facts(
            now_ms=now_ms,
            newest_ms=chain.newest.timestamp_ms,
            evidence=Evidence(
                revisions=revisions,
                holders=tally.holders,
                installed=tally.installed,
                heard=tally.heard,
            ),
            cohorts=tally.cohorts,
            health=tally.health(now_ms),
            lagging=tally.lagging(at.cohort, progress.opened_ms),
        )

    def nodes_to_ask(self, now_ms: int) -> list[Address]:
        """Nodes of which it is to be known whether they are there.

        Those that took the revision lately, and now and then those that were given it and do not
        have it.
        """
        tally = self._tally
        if tally is not None:
            asked = tally.to_ask()
            if not 0 <= now_ms - self._woken_ms < WAKE_MS:
                self._woken_ms = now_ms
                asked += tally.to_wake(now_ms - PATH_EXPIRATION_MS)
            return asked
        # Another process counts: what this one knows is who took it, not whether they are well.
        target = target_of(self.order, position_of(self.rollout), self._read_chain().revisions)
        if not target.timestamp_ms:
            return []
        since_ms = now_ms - target.settle_ms - LONG_CALL_BACK_MS
        return self._store.takers(self.rollout.world_id, target.timestamp_ms, since_ms, MOST_ASKED)

    def places_to_ask(self) -> dict[Place, WorldHeld]:
        """The places that conditions are about, each with what to say that we hold."""
        wanted = dict.fromkeys(self.places_in(Answering, Stopped, Heard), WorldHeld(0, 0))
        official = {
            address
            for condition in self._conditions()
            if isinstance(condition, Adopted | Installed)
            for address in condition.roots
        }
        # Whatever an official root holds is newer than this, so that it tells.
        oldest = WorldHeld(self.rollout.world_id, 1)
        for place in self.places:
            if place.identity.address in official:
                wanted[place] = oldest
        return wanted

    def places_in(self, *kinds: type[Answering | Stopped | Heard]) -> frozenset[Place]:
        """The places that conditions of these kinds are about, in the step that is carried out."""
        return frozenset(
            place
            for condition in self._conditions()
            if isinstance(condition, kinds)
            for place in condition.places
        )

    def _conditions(self) -> Iterable[Condition]:
        step = self.order.plan.steps[self.rollout.step]
        yield from step.before
        yield from step.done
        if step.number == len(self.order.plan.steps):
            yield from self.order.plan.finish

    def _read_chain(self) -> Chain:
        version = self._store.data_version()
        if version != self._chain_version:
            self._chain = self._store.chain(self.rollout.world_id)
            self._chain_version = version
        return self._chain

    def _load(self, target: Target, now_ms: int) -> Tally:
        world_id = self.rollout.world_id
        tally = Tally(world_id, self.cohorts, self._uncounted, target, now_ms)
        taken = self._store.adoptions(world_id, target.timestamp_ms) if target.timestamp_ms else ()
        heard_since_ms = self.rollout.created_at_ms
        self._change, standings, hearings = self._store.movements(
            world_id,
            seen_since_ms=now_ms - self.order.horizon_ms,
            heard_since_ms=heard_since_ms,
        )
        tally.load(map(_report, standings), {each.address: each.first_at_ms for each in taken})
        self._note_hearings(tally, hearings)
        return tally

    def _read_news(self, tally: Tally) -> None:
        self._change, standings, hearings = self._store.movements(
            self.rollout.world_id, self._change
        )
        for standing in standings:
            tally.note(_report(standing))
        self._note_hearings(tally, hearings)

    def _note_hearings(self, tally: Tally, hearings: Iterable[Hearing]) -> None:
        known: dict[tuple[Address, str], frozenset[Place]] = {}
        for address, root, here, at_ms in hearings:
            places = known.get((root, here))
            if places is None:
                places = known[root, here] = self._places_at(root, here)
            if places:
                tally.note_heard(address, places, at_ms)

    def _places_at(self, root: Address, here: str) -> frozenset[Place]:
        of_root = [place for place in self.places if place.identity.address == root]
        return places_at(of_root, Endpoint.parse_as_node(here)) if here else frozenset(of_root)


def _report(standing: Standing) -> Report:
    address, timestamp_ms, seen_ms, absences, present_ms = standing
    return Report(address, timestamp_ms, seen_ms, Habit(absences, present_ms))


def _as_far_as_told(target: Target, roots: Collection[Address]) -> Target:
    """Without the places of roots that do not tell in the store whom they hear."""
    return replace(
        target,
        listed=frozenset(each for each in target.listed if each.identity.address in roots),
        new=frozenset(each for each in target.new if each.identity.address in roots),
    )
