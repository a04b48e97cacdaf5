"""From what a root reports to what the store keeps: gathered, and written in batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from orrery.errors import OrreryError
from orrery.server.clock import Clock
from orrery.server.logs import Trouble
from orrery.store import Adoption, Fork, Sighting, Store
from orrery.vl1.events import (
    AdoptionLearned,
    Event,
    ForkSeen,
    NodeSeen,
    PacketDropped,
    WorldServed,
)
from orrery.vl1.forks import mark_of
from orrery.vl1.limits import Allowance, TokenBucket
from orrery.vl1.path import Path
from orrery.wire.address import Address, format_address
from orrery.wire.signature import fingerprint

FLUSH_INTERVAL_S = 0.5
MAX_WAITING = 50_000
"""Sightings, adoptions and forks kept in memory while the disk is slow; beyond, new ones are lost.
"""
_FORK_LINES = Allowance(20, 1 / 30)
"""How often the log tells of a fork; the store knows them all."""
_NOBODY = Address(0)

log = structlog.get_logger("orrery.server")


class Recorder:
    """Gathers events; a task writes them to the store off the event loop.

    Args:
        store: where they go.
        clock: tells the wall time of an event.
        root: the root whose events they are.
        locate: tells at which endpoint of the root something came in.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        root: Address = _NOBODY,
        locate: Callable[[Path], object] = lambda _: "",
    ) -> None:
        self._store = store
        self._clock = clock
        self._root = root
        self._locate = locate
        self._began_ms = clock.now_ms()
        self._sightings: dict[tuple[Address, str], Sighting] = {}
        self._adoptions: list[Adoption] = []
        self._forks: dict[tuple[Address, int], Fork] = {}
        self._untold: dict[tuple[Address, int], ForkSeen] = {}
        self._fork_lines = TokenBucket(_FORK_LINES, clock.now_ms())
        self._trouble = Trouble("recording")
        self._ending = asyncio.Event()
        self.counts: Counter[str] = Counter()

    def take(self, events: Iterable[Event]) -> None:
        """Note what happened."""
        for event in events:
            match event:
                case PacketDropped():
                    self.counts[f"dropped: {event.reason}"] += 1
                case NodeSeen():
                    self._note_sighting(event)
                case AdoptionLearned():
                    self._note_adoption(event)
                case WorldServed():
                    self.counts["pushed" if event.pushed else "served"] += 1
                    self.counts["world bytes"] += event.size_bytes
                case ForkSeen():
                    self._note_fork(event)

    def _note_sighting(self, event: NodeSeen) -> None:
        here = self._locate(event.path)
        key = event.identity.address, "" if here is None else str(here)
        if len(self._sightings) >= MAX_WAITING and key not in self._sightings:
            self.counts["sightings lost"] += 1
            return
        self._sightings[key] = Sighting(
            address=key[0],
            identity=event.identity.to_bytes(),
            path=str(event.path),
            protocol=event.protocol,
            version=event.version,
            seen_at_ms=self._clock.wall_ms(event.at_ms),
            planet_id=event.planet.id,
            planet_timestamp_ms=event.planet.timestamp_ms,
            moons=event.moons,
            heard_by=self._root,
            heard_at=key[1],
        )

    def _note_adoption(self, event: AdoptionLearned) -> None:
        seen = self._untold.get((event.address, event.world_id))
        if seen is not None and seen.timestamp_ms == event.timestamp_ms:
            # A revision that another root of this store knew a moment before this one did.
            del self._untold[event.address, event.world_id]
        if len(self._adoptions) >= MAX_WAITING:
            self.counts["adoptions lost"] += 1
            return
        self._adoptions.append(
            Adoption(
                address=event.address,
                world_id=event.world_id,
                timestamp_ms=event.timestamp_ms,
                at_ms=self._clock.wall_ms(event.at_ms),
                how=event.how.value,
            )
        )

    def _note_fork(self, event: ForkSeen) -> None:
        self.counts["forks"] += 1
        key = event.address, event.world_id
        if len(self._forks) < MAX_WAITING or key in self._forks:
            self._forks[key] = _fork_of(event, self._clock.wall_ms(event.at_ms))
        else:
            self._lose_forks(1)
        if len(self._untold) < MAX_WAITING:
            self._untold[key] = event

    def _tell_forks(self) -> None:
        untold, self._untold = self._untold, {}
        for event in untold.values():
            if not self._fork_lines.take(1, event.at_ms):
                continue
            names = event.world and fingerprint(event.world.updates_must_be_signed_by)
            log.warning(
                "fork",
                node=format_address(event.address),
                world=f"{event.world_id:016x}",
                revision=event.timestamp_ms,
                wants_key=names or "unknown",
                meaning="the node holds a World with our id that is not of our chain",
            )

    async def run(self) -> None:
        """Write what has gathered, again and again; after `end` what is left, once."""
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), FLUSH_INTERVAL_S)
            await self.flush()
        await self.flush()  # what came while the last batch was written

    def end(self) -> None:
        """Let `run` come to its end."""
        self._ending.set()

    async def flush(self) -> None:
        """Write what has gathered; what a disk that fails does not take is tried again later."""
        self._tell_forks()
        if not self._sightings and not self._adoptions and not self._forks:
            return
        sightings, adoptions, forks = self._sightings, self._adoptions, self._forks
        self._sightings, self._adoptions, self._forks = {}, [], {}
        now_ms = self._clock.wall_ms(self._clock.now_ms())
        try:
            await asyncio.to_thread(
                self._store.record,
                tuple(sightings.values()),
                adoptions,
                tuple(forks.values()),
                now_ms=now_ms,
                watched_since_ms=self._clock.wall_ms(self._began_ms),
            )
        except OrreryError as error:
            self._take_back(sightings, adoptions)
            forks |= self._forks
            self._forks = dict(list(forks.items())[:MAX_WAITING])
            self._lose_forks(len(forks) - len(self._forks))
            self._trouble.begin(error)
        except Exception:
            # A bug: what cannot be written now never can be, and must not keep the rest waiting.
            self.counts["sightings lost"] += len(sightings)
            self.counts["adoptions lost"] += len(adoptions)
            self._lose_forks(len(forks))
            log.exception("bug", sightings=len(sightings), adoptions=len(adoptions))
        else:
            self._trouble.end()

    def _lose_forks(self, count: int) -> None:
        if count:
            self.counts["forks lost"] += count

    def _take_back(
        self, sightings: dict[tuple[Address, str], Sighting], adoptions: list[Adoption]
    ) -> None:
        """Keep what was not written, as far as there is room beside what came since."""
        newer, later = self._sightings, self._adoptions
        room = MAX_WAITING - len(newer)
        older = [(key, seen) for key, seen in sightings.items() if key not in newer]
        self.counts["sightings lost"] += max(0, len(older) - room)
        self._sightings = dict(older[: max(0, room)]) | newer
        self._adoptions = (adoptions + later)[:MAX_WAITING]
        self.counts["adoptions lost"] += max(0, len(adoptions) + len(later) - MAX_WAITING)


def _fork_of(event: ForkSeen, at_ms: int) -> Fork:
    known = Fork(event.address, event.world_id, event.timestamp_ms, at_ms)
    world = event.world
    if world is None:
        return known
    return replace(
        known,
        mark=mark_of(world),
        wanted_key=world.updates_must_be_signed_by,
        roots=tuple(root.identity.address for root in world.roots),
    )
