"""Movements: who holds what and was heard where, all of it or what is new since one looked last.

Every batch that is written has a number, larger than that of every batch before, which its rows of
`holdings` and `hearings` bear. So whoever follows the fleet reads each row once after each change,
by an index, however many nodes there are and whatever the clock does.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from orrery.store.batches import Values, execute_many, is_later
from orrery.store.records import RootRecord, Sighting
from orrery.store.tables import HearingRow, HoldingRow, NodeRow, RootRow
from orrery.wire.address import Address


class Standing(NamedTuple):
    """What a node was last known to hold of a World.

    Attributes:
        address: The node.
        timestamp_ms: The revision; 0 for a moon that it only waits for.
        seen_ms: When it was last known to hold it, which is when it was heard from last.
        absences: How often the node fell silent so far.
        present_ms: How long it was heard from, all in all.
    """

    address: Address
    timestamp_ms: int
    seen_ms: int
    absences: int
    present_ms: int


class Hearing(NamedTuple):
    """When a root heard a node last at an endpoint where it listens, as "ip/port"."""

    address: Address
    root: Address
    endpoint: str
    last_at_ms: int


class Movements(NamedTuple):
    """What is new.

    Attributes:
        change: Give this back to read what is new after this.
        standings: Of one World.
        hearings: Of all nodes.
    """

    change: int
    standings: list[Standing]
    hearings: list[Hearing]


def next_change(connection: Connection) -> int:
    """The number of the batch that is about to be written."""
    return _last_change(connection) + 1


def _last_change(connection: Connection) -> int:
    held = select(func.coalesce(func.max(HoldingRow.change), 0)).scalar_subquery()
    heard = select(func.coalesce(func.max(HearingRow.change), 0)).scalar_subquery()
    return int(connection.execute(select(func.max(held, heard))).scalar_one())


def read(
    connection: Connection, world_id: int, after: int, seen_since_ms: int, heard_since_ms: int
) -> Movements:
    """What was written after a change; all of it after -1.

    Args:
        connection: A connection inside a transaction.
        world_id: The World whose holders are wanted.
        after: The number of the change.
        seen_since_ms: Leave out who was not seen since.
        heard_since_ms: Leave out what was not heard since.
    """
    held = connection.execute(
        select(
            HoldingRow.address,
            HoldingRow.timestamp_ms,
            HoldingRow.at_ms,
            func.coalesce(NodeRow.absences, 0),
            func.coalesce(NodeRow.present_ms, 0),
        )
        .outerjoin(NodeRow, NodeRow.address == HoldingRow.address)
        .where(
            HoldingRow.change > after,
            HoldingRow.world_id == world_id,
            HoldingRow.at_ms >= seen_since_ms,
        )
    )
    heard = connection.execute(
        select(
            HearingRow.address, HearingRow.root, HearingRow.endpoint, HearingRow.last_at_ms
        ).where(HearingRow.change > after, HearingRow.last_at_ms >= heard_since_ms)
    )
    return Movements(
        _last_change(connection),
        [Standing(Address(address), *rest) for address, *rest in held],
        [
            Hearing(Address(address), Address(root), endpoint, at_ms)
            for address, root, endpoint, at_ms in heard
        ],
    )


def record_hearings(
    connection: Connection, sightings: Sequence[Sighting], change: int, now_ms: int | None
) -> None:
    """Write which root heard whom, inside the caller's write transaction."""
    rows: dict[tuple[Address, Address, str], Values] = {}
    for seen in sightings:
        key = seen.address, seen.heard_by, seen.heard_at
        before = rows.get(key)
        if seen.heard_by and (before is None or before["last_at_ms"] < seen.seen_at_ms):
            rows[key] = {
                "address": seen.address,
                "root": seen.heard_by,
                "endpoint": seen.heard_at,
                "last_at_ms": seen.seen_at_ms,
                "change": change,
            }
    statement = insert(HearingRow)
    new = statement.excluded
    execute_many(
        connection,
        statement.on_conflict_do_update(
            index_elements=[HearingRow.address, HearingRow.root, HearingRow.endpoint],
            set_={"last_at_ms": new.last_at_ms, "change": new.change},
            where=is_later(new.last_at_ms, HearingRow.last_at_ms, now_ms),
        ),
        rows.values(),
    )


def forget_nodes(connection: Connection, addresses: Sequence[int]) -> None:
    """Forget where these were heard."""
    connection.execute(delete(HearingRow).where(HearingRow.address.in_(addresses)))


def note_root(
    connection: Connection, address: Address, endpoints: Sequence[str], now_ms: int
) -> None:
    """Write that a root works with this database."""
    statement = insert(RootRow).values(
        address=address, endpoints=json.dumps(list(endpoints)), last_at_ms=now_ms
    )
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[RootRow.address],
            set_={"endpoints": new.endpoints, "last_at_ms": new.last_at_ms},
        )
    )


def roots(connection: Connection) -> tuple[RootRecord, ...]:
    """The roots that ever worked with this database."""
    rows = connection.execute(select(RootRow.__table__).order_by(RootRow.address))
    return tuple(
        RootRecord(row.address, tuple(json.loads(row.endpoints)), row.last_at_ms) for row in rows
    )
