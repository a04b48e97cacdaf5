"""Forks: which nodes hold a World with an id of ours that is none of ours."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    ScalarSelect,
    Table,
    bindparam,
    case,
    delete,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import insert

from orrery.store.batches import execute_many, is_later
from orrery.store.records import Adoption, Fork, ForkCount, ForkRecord
from orrery.store.tables import AdoptionRow, ForkRow, NodeRow
from orrery.vl1.forks import mark_of
from orrery.wire.address import Address, format_address
from orrery.wire.world import World

_FORKS: Table = ForkRow.metadata.tables[ForkRow.__tablename__]
_ADOPTIONS: Table = AdoptionRow.metadata.tables[AdoptionRow.__tablename__]


def record(
    connection: Connection,
    forks: Sequence[Fork],
    adoptions: Sequence[Adoption],
    published: set[tuple[int, int]],
    now_ms: int | None,
) -> None:
    """Write who holds which fork, and take back that it adopted the revision of that timestamp.

    Args:
        connection: A connection inside a write transaction.
        forks: What was seen.
        adoptions: What was learned at the same time; who adopted later holds the fork no more.
        published: World id and timestamp of our revisions. Where only a timestamp was seen, and it
            is one of these by now, there was no fork, but a root that did not know it yet.
        now_ms: The clock.
    """
    ours = {world_id for world_id, _ in published}
    adopted = {(each.address, each.world_id): each.at_ms for each in adoptions} if forks else {}
    found = [
        fork
        for fork in forks
        if fork.world_id in ours
        and (fork.mark or (fork.world_id, fork.timestamp_ms) not in published)
        and fork.at_ms >= adopted.get((fork.address, fork.world_id), fork.at_ms)
    ]
    statement = insert(ForkRow)
    new = statement.excluded
    # The same timestamp alone tells nothing new of a World that was seen.
    is_same = (new.timestamp_ms == ForkRow.timestamp_ms) & (
        (new.mark == b"") | (ForkRow.mark == b"") | (new.mark == ForkRow.mark)
    )
    is_known = is_same & (new.mark == b"")
    execute_many(
        connection,
        statement.on_conflict_do_update(
            index_elements=[ForkRow.address, ForkRow.world_id],
            set_={
                "timestamp_ms": new.timestamp_ms,
                "mark": case((is_known, ForkRow.mark), else_=new.mark),
                "wanted_key": case((is_known, ForkRow.wanted_key), else_=new.wanted_key),
                "roots": case((is_known, ForkRow.roots), else_=new.roots),
                "first_at_ms": case((is_same, ForkRow.first_at_ms), else_=new.first_at_ms),
                "last_at_ms": new.last_at_ms,
            },
            where=is_later(new.last_at_ms, ForkRow.last_at_ms, now_ms),
        ),
        [
            {
                "address": fork.address,
                "world_id": fork.world_id,
                "timestamp_ms": fork.timestamp_ms,
                "mark": fork.mark,
                "wanted_key": fork.wanted_key,
                "roots": " ".join(map(format_address, fork.roots)),
                "first_at_ms": fork.at_ms,
                "last_at_ms": fork.at_ms,
            }
            for fork in found
        ],
    )
    execute_many(
        connection,
        delete(_ADOPTIONS).where(
            _ADOPTIONS.c.world_id == bindparam("world"),
            _ADOPTIONS.c.timestamp_ms == bindparam("time"),
            _ADOPTIONS.c.address == bindparam("node"),
        ),
        [
            {"world": fork.world_id, "time": fork.timestamp_ms, "node": fork.address}
            for fork in found
        ],
    )


def forget_adopted(
    connection: Connection, adoptions: Sequence[Adoption], now_ms: int | None
) -> None:
    """Who holds a revision of ours holds no fork any more."""
    if connection.execute(select(ForkRow.address).limit(1)).first() is None:
        return
    execute_many(
        connection,
        delete(_FORKS).where(
            _FORKS.c.address == bindparam("node"),
            _FORKS.c.world_id == bindparam("world"),
            is_later(bindparam("until_ms"), _FORKS.c.last_at_ms, now_ms),
        ),
        [
            {"node": each.address, "world": each.world_id, "until_ms": each.at_ms}
            for each in adoptions
        ],
    )


def forget_world(connection: Connection, world: World) -> None:
    """A World that has become a revision of ours is no fork, wherever it was seen before."""
    connection.execute(
        delete(ForkRow).where(
            ForkRow.world_id == world.id,
            ForkRow.timestamp_ms == world.timestamp_ms,
            ForkRow.mark.in_([b"", mark_of(world)]),
        )
    )


def forget_nodes(connection: Connection, addresses: Sequence[int]) -> None:
    """Forget what these nodes hold."""
    connection.execute(delete(ForkRow).where(ForkRow.address.in_(addresses)))


def of_nodes(connection: Connection, chosen: ScalarSelect[Any]) -> dict[int, list[ForkRecord]]:
    """The forks that nodes hold, by node."""
    found: dict[int, list[ForkRecord]] = {}
    for row in connection.execute(
        select(_FORKS).where(ForkRow.address.in_(chosen)).order_by(ForkRow.world_id)
    ):
        found.setdefault(row.address, []).append(
            ForkRecord(
                row.address,
                row.world_id,
                row.timestamp_ms,
                row.mark,
                row.wanted_key,
                _addresses(row.roots),
                row.first_at_ms,
                row.last_at_ms,
            )
        )
    return found


def counts(
    connection: Connection, world_id: int | None, seen_since_ms: int
) -> tuple[ForkCount, ...]:
    """How many nodes hold which fork, by World, largest timestamp first."""
    statement = (
        select(
            ForkRow.world_id,
            ForkRow.timestamp_ms,
            ForkRow.mark,
            func.max(ForkRow.wanted_key).label("wanted_key"),
            func.max(ForkRow.roots).label("roots"),
            func.count().label("nodes"),
            func.min(ForkRow.first_at_ms).label("first_at_ms"),
        )
        .join(NodeRow, NodeRow.address == ForkRow.address)
        .where(NodeRow.last_seen_ms >= seen_since_ms)
        .group_by(ForkRow.world_id, ForkRow.timestamp_ms, ForkRow.mark)
    )
    if world_id is not None:
        statement = statement.where(ForkRow.world_id == world_id)
    found = [
        ForkCount(
            row.world_id,
            row.timestamp_ms,
            row.mark,
            row.wanted_key,
            _addresses(row.roots),
            row.nodes,
            row.first_at_ms,
        )
        for row in connection.execute(statement)
    ]
    return tuple(sorted(found, key=lambda each: (each.world_id, -each.timestamp_ms, each.mark)))


def _addresses(text: str) -> tuple[Address, ...]:
    return tuple(Address(int(each, 16)) for each in text.split())
