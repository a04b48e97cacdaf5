"""Revisions and timestamps: what is published, and what may be published next.

A timestamp is given out in a transaction of its own, before anything is signed with it, and
stays given out whether or not a revision follows: two Worlds with one timestamp and different
content would both be final for whoever took the one or the other.
"""

from sqlalchemy import Connection, Row, Table, func, insert, select

from orrery.errors import ConflictError, PlanError, UsageError
from orrery.store.records import Revision
from orrery.store.tables import RevisionRow, TimestampRow
from orrery.wire.world import World, WorldType
from orrery.worlds.acceptance import check_update

_LAST_TIMESTAMP_MS = (1 << 64) - 1


def give_timestamp(connection: Connection, world_id: int, now_ms: int) -> int:
    """Give out the next timestamp: the clock's, or one more than the last one where that is later.

    Args:
        connection: A connection inside a write transaction.
        world_id: The World that the timestamp is for.
        now_ms: The clock.

    Raises:
        PlanError: The last timestamp is the largest there is.
    """
    last_ms = max(_last_given_ms(connection, world_id), _last_used_ms(connection, world_id))
    if last_ms >= _LAST_TIMESTAMP_MS:
        raise PlanError(
            f"World {world_id:016x} already has the largest timestamp there is, so that no node "
            "would take another revision; start a new World with another id"
        )
    timestamp_ms = max(now_ms, last_ms + 1)
    connection.execute(
        insert(TimestampRow).values(
            world_id=world_id, timestamp_ms=timestamp_ms, given_at_ms=now_ms
        )
    )
    return timestamp_ms


def add(
    connection: Connection, world: World, now_ms: int, note: str, after_ms: int | None
) -> Revision:
    """Append a revision to its chain, if a node that holds the newest one would take it.

    Args:
        connection: A connection inside a write transaction.
        world: The signed World.
        now_ms: The clock.
        note: What to remember about it.
        after_ms: The timestamp of the revision that the caller knows to be the newest, 0 for
            none, None when the caller makes no such claim.

    Raises:
        ConflictError: Another writer extended the chain meanwhile.
        UpdateRefused: A node that holds the newest revision would refuse the World.
        UsageError: It is one that nodes let anything replace.
    """
    before = newest(connection, world.id)
    before_ms = before.world.timestamp_ms if before is not None else 0
    if after_ms is not None and after_ms != before_ms:
        raise ConflictError(
            f"World {world.id:016x} was extended by another writer to timestamp {before_ms} while "
            f"a revision after {after_ms} was being made; look at what it says now and publish "
            "again"
        )
    if world.id == 0 or world.type not in (WorldType.PLANET, WorldType.MOON):
        raise UsageError(
            "a revision needs to be a planet or a moon with an id other than 0: a node that holds "
            "anything else lets any World replace it"
        )
    check_update(before.world if before is not None else None, world)
    encoded = world.encode()
    if not _is_given(connection, world.id, world.timestamp_ms):
        # A World made elsewhere, taken over: its timestamp is as used up as our own.
        connection.execute(
            insert(TimestampRow).values(
                world_id=world.id, timestamp_ms=world.timestamp_ms, given_at_ms=now_ms
            )
        )
    result = connection.execute(
        insert(RevisionRow).values(
            world_id=world.id,
            timestamp_ms=world.timestamp_ms,
            world=encoded,
            added_at_ms=now_ms,
            note=note,
        )
    )
    key = result.inserted_primary_key
    return Revision(int(key[0]) if key else 0, world, encoded, now_ms, note)


def newest(connection: Connection, world_id: int) -> Revision | None:
    """The last revision of a World."""
    row = connection.execute(
        select(TABLE)
        .where(RevisionRow.world_id == world_id)
        .order_by(RevisionRow.number.desc())
        .limit(1)
    ).first()
    return None if row is None else _revision(row)


def all_of(connection: Connection, world_id: int) -> tuple[Revision, ...]:
    """All revisions of a World, oldest first."""
    rows = connection.execute(
        select(TABLE).where(RevisionRow.world_id == world_id).order_by(RevisionRow.number)
    )
    return tuple(_revision(row) for row in rows)


def world_ids(connection: Connection) -> tuple[int, ...]:
    """The Worlds that have a revision, in the order of their first one."""
    first = func.min(RevisionRow.number)
    return tuple(
        connection.execute(
            select(RevisionRow.world_id).group_by(RevisionRow.world_id).order_by(first)
        ).scalars()
    )


def last_number(connection: Connection) -> int:
    """The number of the last revision of all, 0 when there is none."""
    return connection.execute(select(func.max(RevisionRow.number))).scalar() or 0


TABLE: Table = RevisionRow.metadata.tables[RevisionRow.__tablename__]


def _revision(row: Row[tuple[object, ...]]) -> Revision:
    encoded: bytes = row.world
    return Revision(row.number, World.decode(encoded), encoded, row.added_at_ms, row.note)


def _last_given_ms(connection: Connection, world_id: int) -> int:
    # By number, not by max(): timestamps from 2**63 up are negative numbers in the database.
    found = connection.execute(
        select(TimestampRow.timestamp_ms)
        .where(TimestampRow.world_id == world_id)
        .order_by(TimestampRow.number.desc())
        .limit(1)
    ).scalar()
    return found or 0


def _last_used_ms(connection: Connection, world_id: int) -> int:
    found = connection.execute(
        select(RevisionRow.timestamp_ms)
        .where(RevisionRow.world_id == world_id)
        .order_by(RevisionRow.number.desc())
        .limit(1)
    ).scalar()
    return found or 0


def _is_given(connection: Connection, world_id: int, timestamp_ms: int) -> bool:
    return (
        connection.execute(
            select(TimestampRow.number).where(
                TimestampRow.world_id == world_id, TimestampRow.timestamp_ms == timestamp_ms
            )
        ).first()
        is not None
    )
