"""The store: one SQLite database, what Orrery asks of it, and nothing of SQL outside.

Any number of threads and processes may use one database at once. Every method is one transaction
of its own. Errors of the database come out as `UnreadableError` or `ConflictError`.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, insert, select

from orrery.rollout.state import Served
from orrery.store import engine as engines
from orrery.store import forks as fork_rows
from orrery.store import movements as movement_rows
from orrery.store import nodes, reach, revisions, rollouts, schema
from orrery.store.movements import Movements, Standing
from orrery.store.presence import NodePresence, presence
from orrery.store.records import (
    Adoption,
    AdoptionCount,
    AdoptionRecord,
    AuditEntry,
    Fork,
    ForkCount,
    Lease,
    LeaseRecord,
    NodeRecord,
    Revision,
    Rollout,
    RootRecord,
    Serving,
    Sighting,
    SightingRecord,
)
from orrery.store.tables import AuditRow
from orrery.wire.address import Address
from orrery.wire.world import World
from orrery.worlds.chain import Chain

_DAY_MS = 86_400_000
_LARGEST_BATCH = 10_000
_FORGET_CHUNK = 5_000


class Store:
    """An open database. Use `Store.open`, and close it or use it as a context manager."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._engine = engine
        self._watch_lock = threading.Lock()
        self._watcher: Connection | None = None
        self._watched: tuple[int, int, int] | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a database, creating it or bringing it to this version's tables where needed.

        The file is made private to its owner (mode 0600); it never holds a secret.

        Raises:
            UnreadableError: It cannot be opened, is no database of Orrery, or a newer one's.
            ConflictError: Another program has kept it locked for half a minute.
        """
        engines.create_file(path)
        store = cls(path, engines.connect(path))
        try:
            with store._reading() as connection:
                current = schema.is_current(connection)
            if not current:
                with store._writing() as connection:
                    schema.migrate(connection, str(path))
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close every connection. Closing twice does nothing."""
        with self._watch_lock:
            if self._watcher is not None:
                self._watcher.close()
                self._watcher = None
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with engines.reading(self._engine, self.path) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with engines.writing(self._engine, self.path) as connection:
            yield connection

    # Revisions

    def allocate_timestamp(self, world_id: int, now_ms: int) -> int:
        """Give out a timestamp for a World that is about to be signed.

        It is the clock's, or one more than the last one where the clock does not go beyond that,
        and is on disk as given out before this returns: no later call returns it again, whatever
        becomes of the caller.

        Args:
            world_id: The World.
            now_ms: The clock, in milliseconds since 1970; it may step in any direction.

        Raises:
            PlanError: The chain already has the largest timestamp there is.
        """
        with self._writing() as connection:
            return revisions.give_timestamp(connection, world_id, now_ms)

    def add_revision(
        self,
        world: World,
        now_ms: int,
        note: str = "",
        *,
        after_ms: int | None = None,
        audit: AuditEntry | None = None,
    ) -> Revision:
        """Append a signed World to its chain, and what is to be audited about it, or neither.

        Args:
            world: The signed World.
            now_ms: The clock.
            note: What to remember about it.
            after_ms: The timestamp of the revision that the caller knows to be the newest one, 0
                for none; left out when the caller makes no such claim.
            audit: An audit entry to write in the same transaction.

        Raises:
            ConflictError: Another writer extended the chain beyond `after_ms`.
            UpdateRefused: A node that holds the newest revision would refuse this one.
        """
        with self._writing() as connection:
            revision = revisions.add(connection, world, now_ms, note, after_ms)
            fork_rows.forget_world(connection, world)
            if audit is not None:
                _write_audit(connection, audit)
        return revision

    def newest(self, world_id: int) -> Revision | None:
        """The newest revision of a World, None when there is none."""
        with self._reading() as connection:
            return revisions.newest(connection, world_id)

    def revisions(self, world_id: int) -> tuple[Revision, ...]:
        """All revisions of a World, oldest first."""
        with self._reading() as connection:
            return revisions.all_of(connection, world_id)

    def chain(self, world_id: int) -> Chain:
        """The chain of a World.

        Raises:
            UpdateRefused: The database holds revisions that do not follow from one another; it
                was changed by something else than Orrery.
        """
        return Chain(tuple(revision.world for revision in self.revisions(world_id)))

    def world_ids(self) -> tuple[int, ...]:
        """The Worlds that have a revision, in the order in which they got their first."""
        with self._reading() as connection:
            return revisions.world_ids(connection)

    def data_version(self) -> int:
        """A number that changes with what roots serve, by this process or another.

        That is when a revision is added, and when a rollout holds nodes back otherwise than before.
        Made to be asked many times a second: while nobody writes to the database this reads a few
        bytes of shared memory and no table.
        """
        return self._watch()[1]

    def rollout_version(self) -> int:
        """A number that changes with any rollout; as cheap to ask as `data_version`."""
        return self._watch()[2]

    def _watch(self) -> tuple[int, int, int]:
        with self._watch_lock, engines.sentences(self.path):
            # PRAGMA data_version speaks of changes by other connections: so always one asks that
            # changes nothing itself.
            if self._watcher is None:
                self._watcher = self._engine.connect()
            connection = self._watcher
            with connection.begin():
                written = int(connection.exec_driver_sql("PRAGMA data_version").scalar() or 0)
                if self._watched is None or self._watched[0] != written:
                    self._watched = (written, *_versions(connection))
            return self._watched

    def serving(self) -> Serving:
        """What roots with this store serve, all of one moment.

        Raises:
            UpdateRefused: As `chain`.
            DecodeError: What a rollout lets them serve was written by something else than Orrery.
        """
        with self._reading() as connection:
            version, _ = _versions(connection)
            chains = [
                revisions.all_of(connection, world_id)
                for world_id in revisions.world_ids(connection)
            ]
            served = rollouts.served(connection)
        made = tuple(Chain(revision.world for revision in each) for each in chains)
        return Serving(version, made, served)

    def served(self) -> dict[int, Served]:
        """What roots serve of the Worlds whose newest revision is not for everybody, by id.

        Raises:
            DecodeError: It was written by something else than Orrery.
        """
        with self._reading() as connection:
            return rollouts.served(connection)

    # Rollouts

    def create_rollout(
        self,
        world_id: int,
        plan: str,
        now_ms: int,
        *,
        intents: str = "",
        served: Served | None = None,
        audit: AuditEntry | None = None,
    ) -> Rollout:
        """Begin a rollout: version 1, planned, step 0, no cohort open.

        Args:
            world_id: The World.
            plan: What is to be done, as JSON.
            now_ms: The clock.
            intents: How far it is, as JSON.
            served: What roots serve from now on; left out, what the last rollout of this World
                held back stays held back.
            audit: An audit entry to write in the same transaction.

        Raises:
            ConflictError: Another rollout of this World is not over.
            UsageError: `served` is of another World, or holds back to no revision.
        """
        with self._writing() as connection:
            rollout = rollouts.create(connection, world_id, (plan, intents), now_ms, served)
            if audit is not None:
                _write_audit(connection, audit)
        return rollout

    def update_rollout(
        self,
        changed: Rollout,
        now_ms: int,
        *,
        lease: Lease | None = None,
        audit: AuditEntry | None = None,
    ) -> Rollout:
        """Store what became of a rollout.

        Args:
            changed: The rollout as it was read, with changes: `replace(rollout, step=2)`. Its
                `version` says what it was read as.
            now_ms: The clock.
            lease: Change nothing unless this lease is still the caller's.
            audit: An audit entry to write in the same transaction.

        Returns:
            The rollout as it is stored now, with its new version.

        Raises:
            ConflictError: Somebody else changed it since, or has taken the lease.
            UsageError: It is over and is to go on, its plan is another, or it is to serve what
                cannot be served.
        """
        with self._writing() as connection:
            rollout = rollouts.change(connection, changed, now_ms, lease)
            if audit is not None:
                _write_audit(connection, audit)
        return rollout

    def publish_step(
        self,
        world: World,
        changed: Rollout,
        now_ms: int,
        note: str,
        *,
        lease: Lease | None = None,
        audit: AuditEntry | None = None,
    ) -> Rollout:
        """Add a revision and store what became of its rollout thereby, or neither.

        Args:
            world: The signed World.
            changed: As `update_rollout`.
            now_ms: The clock.
            note: What to remember about the revision.
            lease: As `update_rollout`.
            audit: As `update_rollout`.

        Returns:
            The rollout as it is stored now.

        Raises:
            ConflictError, UsageError: As `update_rollout`.
            UpdateRefused: A node that holds the newest revision would refuse this one.
        """
        with self._writing() as connection:
            revisions.add(connection, world, now_ms, note, None)
            fork_rows.forget_world(connection, world)
            rollout = rollouts.change(connection, changed, now_ms, lease)
            if audit is not None:
                _write_audit(connection, audit)
        return rollout

    def active_rollouts(self) -> tuple[Rollout, ...]:
        """All rollouts that are not over, in the order in which they began."""
        with self._reading() as connection:
            return rollouts.all_active(connection)

    def active_rollout(self, world_id: int) -> Rollout | None:
        """The rollout of a World that is not over, None when there is none."""
        with self._reading() as connection:
            return rollouts.active(connection, world_id)

    def rollout(self, number: int) -> Rollout | None:
        """A rollout by its number, None when there is none."""
        with self._reading() as connection:
            return rollouts.one(connection, number)

    def rollouts(self, limit: int = 100, *, world_id: int | None = None) -> tuple[Rollout, ...]:
        """The last rollouts, last first; of one World, or of all."""
        with self._reading() as connection:
            return rollouts.listing(connection, world_id, limit)

    # Leases

    def acquire_lease(self, name: str, holder: str, now_ms: int, ttl_ms: int) -> Lease | None:
        """Take a lease, unless somebody else has it.

        Args:
            name: What it allows, such as "conductor".
            holder: Who takes it, another word for each process that ever does.
            now_ms: The clock.
            ttl_ms: How long it runs unless it is renewed.

        Returns:
            The lease with its token, None when somebody else has it.
        """
        with self._writing() as connection:
            return rollouts.acquire_lease(connection, name, holder, now_ms, ttl_ms)

    def renew_lease(self, lease: Lease, now_ms: int, ttl_ms: int) -> bool:
        """Keep a lease for longer.

        Returns:
            Whether it is still the caller's; one that ran out stays so until somebody takes it.
        """
        with self._writing() as connection:
            return rollouts.renew_lease(connection, lease, now_ms, ttl_ms)

    def release_lease(self, lease: Lease) -> None:
        """Let go of a lease. One that somebody else has by now is left to them."""
        with self._writing() as connection:
            rollouts.release_lease(connection, lease)

    def lease(self, name: str) -> LeaseRecord | None:
        """Who has a lease, or had it last; None if nobody ever had."""
        with self._reading() as connection:
            return rollouts.lease_of(connection, name)

    # Nodes

    def record(
        self,
        sightings: Sequence[Sighting] = (),
        adoptions: Sequence[Adoption] = (),
        forks: Sequence[Fork] = (),
        *,
        now_ms: int | None = None,
        watched_since_ms: int = 0,
    ) -> None:
        """Write what was seen; one transaction per batch.

        A batch of more than 10,000 is written as several, so that no other writer waits long.
        Order and repetition do not matter: what was seen later wins, and of what was seen in one
        millisecond a fork.

        Args:
            sightings: What nodes told.
            adoptions: What is known that they hold.
            forks: What is known that they hold and is none of ours.
            now_ms: The clock. What is stored with a later time was written before the clock was
                set back, and wins no more. Left out, no such claim is made.
            watched_since_ms: Since when a root would have seen them: nobody fell silent before.
        """
        size = max(len(sightings), len(adoptions), len(forks))
        for start in range(0, size, _LARGEST_BATCH):
            part = slice(start, start + _LARGEST_BATCH)
            with self._writing() as connection:
                nodes.record(
                    connection,
                    sightings[part],
                    adoptions[part],
                    forks[part],
                    now_ms=now_ms,
                    watched_since_ms=watched_since_ms,
                )

    def nodes(
        self,
        *,
        address: Address | None = None,
        holds: tuple[int, int] | None = None,
        seen_since_ms: int = 0,
        limit: int = 1_000,
        offset: int = 0,
    ) -> tuple[NodeRecord, ...]:
        """Nodes with what they hold, last seen first.

        Args:
            address: Only this node.
            holds: Only nodes that hold the World with this id and timestamp.
            seen_since_ms: Only nodes seen at this time or later.
            limit: At most this many.
            offset: Leave out this many first.
        """
        with self._reading() as connection:
            return nodes.listing(
                connection,
                address=address,
                holds=holds,
                seen_since_ms=seen_since_ms,
                limit=limit,
                offset=offset,
            )

    def count_nodes(
        self,
        *,
        address: Address | None = None,
        holds: tuple[int, int] | None = None,
        seen_since_ms: int = 0,
    ) -> int:
        """How many nodes `nodes` would list without its limit."""
        with self._reading() as connection:
            return nodes.count(
                connection, address=address, holds=holds, seen_since_ms=seen_since_ms
            )

    def history(self, address: Address, limit: int = 100) -> tuple[SightingRecord, ...]:
        """What a node told and when, last first."""
        with self._reading() as connection:
            return nodes.history(connection, address, limit)

    def presence(self, seen_since_ms: int = 0) -> tuple[NodePresence, ...]:
        """How much each node was there that was seen at this time or later."""
        with self._reading() as connection:
            return presence(connection, seen_since_ms)

    def standings(self, world_id: int, seen_since_ms: int = 0) -> list[Standing]:
        """What every node holds of a World that was heard from at this time or later."""
        return self.movements(world_id, seen_since_ms=seen_since_ms, heard_since_ms=1 << 62)[1]

    def movements(
        self,
        world_id: int,
        after: int = -1,
        *,
        seen_since_ms: int = 0,
        heard_since_ms: int = 0,
    ) -> Movements:
        """Who holds what of a World and who was heard where: all, or what is new.

        Args:
            world_id: The World.
            after: `Movements.change` of the last time, -1 for all.
            seen_since_ms: Leave out nodes that were not seen since.
            heard_since_ms: Leave out what was not heard since.
        """
        with self._reading() as connection:
            return movement_rows.read(connection, world_id, after, seen_since_ms, heard_since_ms)

    def holders(self, world_id: int) -> list[reach.Holder]:
        """Who holds a World or waits for it, and since when that was last known."""
        with self._reading() as connection:
            return reach.holders(connection, world_id)

    def heard_by_ipv6(self, seen_since_ms: int) -> dict[Address, bool]:
        """The nodes heard by IPv6 at this time or later, and whether by IPv4 as well."""
        with self._reading() as connection:
            return reach.heard_by_ipv6(connection, seen_since_ms)

    def fork_holders(self, world_id: int) -> frozenset[Address]:
        """The nodes that are known to hold a World with this id which is none of ours."""
        with self._reading() as connection:
            return reach.fork_holders(connection, world_id)

    # Roots

    def note_root(self, address: Address, endpoints: Sequence[str], now_ms: int) -> None:
        """Say that a root works with this store, and where it listens, as "ip/port"."""
        with self._writing() as connection:
            movement_rows.note_root(connection, address, endpoints, now_ms)

    def roots(self) -> tuple[RootRecord, ...]:
        """The roots that ever worked with this store."""
        with self._reading() as connection:
            return movement_rows.roots(connection)

    def adoption_counts(
        self, world_id: int | None = None, seen_since_ms: int = 0
    ) -> tuple[AdoptionCount, ...]:
        """How many nodes hold which timestamp of our Worlds, largest timestamp first.

        Args:
            world_id: Only this World.
            seen_since_ms: Count only nodes seen at this time or later.
        """
        with self._reading() as connection:
            return nodes.adoption_counts(connection, world_id, seen_since_ms)

    def fork_counts(
        self, world_id: int | None = None, seen_since_ms: int = 0
    ) -> tuple[ForkCount, ...]:
        """The forks that nodes hold, and how many hold each, largest timestamp first.

        Args:
            world_id: Only this World.
            seen_since_ms: Count only nodes seen at this time or later.
        """
        with self._reading() as connection:
            return fork_rows.counts(connection, world_id, seen_since_ms)

    def adoptions(self, world_id: int, timestamp_ms: int) -> tuple[AdoptionRecord, ...]:
        """Who adopted a revision and when, earliest first."""
        with self._reading() as connection:
            return nodes.adoptions_of(connection, world_id, timestamp_ms)

    def takers(
        self, world_id: int, timestamp_ms: int, since_ms: int, limit: int = 100
    ) -> list[Address]:
        """Who adopted a revision since then, the last ones first."""
        with self._reading() as connection:
            return nodes.takers_of(connection, (world_id, timestamp_ms), since_ms, limit)

    def retention(
        self,
        now_ms: int,
        keep_days: int,
        max_rows: int,
        *,
        keep_nodes_days: int = 400,
        max_nodes: int = 1_000_000,
    ) -> int:
        """Forget what is too old or too much, in small transactions; revisions and audit stay.

        Args:
            now_ms: The clock.
            keep_days: Days that the history of sightings is kept.
            max_rows: Rows of that history that are kept at most.
            keep_nodes_days: Days that a node which is not seen any more is remembered; long,
                because a node that was asleep for months still wants to be led forward.
            max_nodes: Nodes that are remembered at most.

        Returns:
            How many rows and nodes were forgotten.
        """
        forgotten = 0
        for forget, before_ms, most in (
            (nodes.forget_sightings, now_ms - keep_days * _DAY_MS, max_rows),
            (nodes.forget_nodes, now_ms - keep_nodes_days * _DAY_MS, max_nodes),
        ):
            deleted = _FORGET_CHUNK
            while deleted == _FORGET_CHUNK:
                with self._writing() as connection:
                    deleted = forget(connection, before_ms, most, _FORGET_CHUNK)
                forgotten += deleted
        return forgotten

    # Audit

    def audit(self, at_ms: int, actor: str, action: str, detail: str = "") -> None:
        """Remember who did what. Never put a secret into it."""
        with self._writing() as connection:
            _write_audit(connection, AuditEntry(at_ms, actor, action, detail))

    def audit_entries(self, limit: int = 100) -> tuple[AuditEntry, ...]:
        """The last audit entries, last first."""
        with self._reading() as connection:
            rows = connection.execute(
                select(AuditRow.__table__).order_by(AuditRow.number.desc()).limit(limit)
            )
            return tuple(AuditEntry(r.at_ms, r.actor, r.action, r.detail) for r in rows)


def _versions(connection: Connection) -> tuple[int, int]:
    """What `data_version` and `rollout_version` say."""
    served, changes = rollouts.counts(connection)
    return revisions.last_number(connection) + served, changes


def _write_audit(connection: Connection, entry: AuditEntry) -> None:
    connection.execute(
        insert(AuditRow).values(
            at_ms=entry.at_ms, actor=entry.actor, action=entry.action, detail=entry.detail
        )
    )
