"""Nodes: what they told, what they hold, and how long that is remembered.

A busy root hears the same from the same nodes all day. So a sighting is a row per *different*
thing that a node told (path, version, Worlds); told again, only the row's last time moves. The
history then grows with what happens, not with the traffic.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from orrery.store import forks as fork_rows
from orrery.store import movements, revisions
from orrery.store.batches import Values, execute_many, is_later
from orrery.store.records import (
    Adoption,
    AdoptionCount,
    AdoptionRecord,
    Fork,
    Holding,
    How,
    NodeRecord,
    Sighting,
    SightingRecord,
)
from orrery.store.tables import (
    AdoptionRow,
    ForkRow,
    HoldingRow,
    NodeRow,
    RevisionRow,
    RootRow,
    SightingRow,
)
from orrery.wire.address import Address

NODES: Table = NodeRow.metadata.tables[NodeRow.__tablename__]
ABSENCE_MS = 180_000
"""A node that was not reported for so long fell silent: a root reports it once a minute."""
_IS_NO_ROOT = NodeRow.address.not_in(select(RootRow.address))
_NAMES_PER_STATEMENT = 500  # SQLite once allowed 999 variables in a statement


def record(
    connection: Connection,
    sightings: Sequence[Sighting],
    adoptions: Sequence[Adoption],
    forks: Sequence[Fork],
    *,
    now_ms: int | None,
    watched_since_ms: int,
) -> None:
    """Write a batch inside the caller's write transaction.

    A planet of others that a HELLO reports is kept with the sighting, but is no holding: a stranger
    may report any id. Moons of others are not kept. Likewise only a revision can be adopted; a
    timestamp of ours that no revision has is a holding, and where somebody saw it so, a fork.
    """
    ours = set(revisions.world_ids(connection))
    change = movements.next_change(connection)
    _record_nodes(connection, sightings, now_ms, watched_since_ms)
    _record_answers(connection, adoptions, now_ms, watched_since_ms)
    _record_sightings(connection, sightings, ours)
    movements.record_hearings(connection, sightings, change, now_ms)
    held = [*adoptions, *map(_held, forks)]
    _record_holdings(connection, sightings, held, (ours, change), now_ms)
    if adoptions or forks:
        published = _published(connection)
        _record_adoptions(connection, adoptions, published)
        fork_rows.forget_adopted(connection, adoptions, now_ms)
        fork_rows.record(connection, forks, adoptions, published, now_ms)


def _record_nodes(
    connection: Connection,
    sightings: Sequence[Sighting],
    now_ms: int | None,
    watched_since_ms: int,
) -> None:
    last: dict[Address, Values] = {}
    for sighting in sightings:
        before = last.get(sighting.address)
        if before is not None and before["last_seen_ms"] > sighting.seen_at_ms:
            before["first_seen_ms"] = min(before["first_seen_ms"], sighting.seen_at_ms)
            continue
        first_seen_ms = sighting.seen_at_ms
        if before is not None:
            first_seen_ms = min(first_seen_ms, before["first_seen_ms"])
        major, minor, revision = sighting.version
        last[sighting.address] = {
            "address": sighting.address,
            "identity": sighting.identity,
            "path": sighting.path,
            "protocol": sighting.protocol,
            "version_major": major,
            "version_minor": minor,
            "version_revision": revision,
            "planet_id": sighting.planet_id,
            "planet_timestamp_ms": sighting.planet_timestamp_ms,
            "first_seen_ms": first_seen_ms,
            "last_seen_ms": sighting.seen_at_ms,
        }
    statement = insert(NodeRow)
    new = statement.excluded
    changed: dict[str, ColumnElement[Any]] = {
        name: new[name]
        for name in (
            "identity",
            "path",
            "protocol",
            "version_major",
            "version_minor",
            "version_revision",
            "planet_id",
            "planet_timestamp_ms",
            "last_seen_ms",
        )
    }
    changed |= _habit(new.last_seen_ms, watched_since_ms)
    execute_many(
        connection,
        statement.on_conflict_do_update(
            index_elements=[NodeRow.address],
            set_=changed,
            where=is_later(new.last_seen_ms, NodeRow.last_seen_ms, now_ms),
        ),
        last.values(),
    )


def _record_answers(
    connection: Connection,
    adoptions: Sequence[Adoption],
    now_ms: int | None,
    watched_since_ms: int,
) -> None:
    """A node of which it was learned what it holds was there."""
    last: dict[Address, int] = {}
    for adoption in adoptions:
        last[adoption.address] = max(adoption.at_ms, last.get(adoption.address, 0))
    seen_ms = bindparam("seen_ms", type_=BigInteger)
    statement = (
        update(NODES)
        .where(
            NODES.c.address == bindparam("node"), is_later(seen_ms, NODES.c.last_seen_ms, now_ms)
        )
        .values(last_seen_ms=seen_ms, **_habit(seen_ms, watched_since_ms))
    )
    rows = ({"node": address, "seen_ms": at_ms} for address, at_ms in last.items())
    execute_many(connection, statement, rows)


def _habit(seen_ms: ColumnElement[int], watched_since_ms: int) -> dict[str, ColumnElement[Any]]:
    """What being seen at a time adds to how much a node is there."""
    away_ms = seen_ms - NodeRow.last_seen_ms
    was_there = away_ms.between(0, ABSENCE_MS)
    fell_silent = and_(away_ms > ABSENCE_MS, NodeRow.last_seen_ms >= watched_since_ms)
    return {
        "present_ms": NodeRow.present_ms + case((was_there, away_ms), else_=0),
        "absences": NodeRow.absences + case((fell_silent, 1), else_=0),
    }


def _record_sightings(
    connection: Connection, sightings: Sequence[Sighting], ours: set[int]
) -> None:
    rows: dict[tuple[Address, bytes], Values] = {}
    for sighting in sightings:
        moons = [moon for moon in sighting.moons if moon[0] in ours]
        moons_text = json.dumps([[f"{id_:016x}", time] for id_, time in moons]) if moons else ""
        told = _digest(sighting, moons_text)
        row = rows.get((sighting.address, told))
        if row is not None:
            row["first_at_ms"] = min(row["first_at_ms"], sighting.seen_at_ms)
            row["last_at_ms"] = max(row["last_at_ms"], sighting.seen_at_ms)
            row["times"] += 1
            continue
        major, minor, revision = sighting.version
        rows[sighting.address, told] = {
            "address": sighting.address,
            "told": told,
            "path": sighting.path,
            "protocol": sighting.protocol,
            "version_major": major,
            "version_minor": minor,
            "version_revision": revision,
            "planet_id": sighting.planet_id,
            "planet_timestamp_ms": sighting.planet_timestamp_ms,
            "moons": moons_text,
            "first_at_ms": sighting.seen_at_ms,
            "last_at_ms": sighting.seen_at_ms,
            "times": 1,
        }
    statement = insert(SightingRow)
    new = statement.excluded
    execute_many(
        connection,
        statement.on_conflict_do_update(
            index_elements=[SightingRow.address, SightingRow.told],
            set_={
                "last_at_ms": func.max(new.last_at_ms, SightingRow.last_at_ms),
                "times": SightingRow.times + new.times,
            },
        ),
        rows.values(),
    )


def _digest(sighting: Sighting, moons: str) -> bytes:
    """What makes two sightings of a node the same: everything but the time."""
    text = (
        f"{sighting.path} {sighting.protocol} {sighting.version} {sighting.planet_id} "
        f"{sighting.planet_timestamp_ms} {moons}"
    )
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _record_holdings(
    connection: Connection,
    sightings: Sequence[Sighting],
    adoptions: Sequence[Adoption],
    known: tuple[set[int], int],
    now_ms: int | None,
) -> None:
    """Write what is held; `known` is the Worlds that are ours, and the number of this change."""
    ours, change = known
    rows: dict[tuple[Address, int], Values] = {}

    def hold(address: Address, world_id: int, timestamp_ms: int, at_ms: int, how: How) -> None:
        before = rows.get((address, world_id))
        if world_id in ours and (before is None or before["at_ms"] <= at_ms):
            rows[address, world_id] = {
                "address": address,
                "world_id": world_id,
                "timestamp_ms": timestamp_ms,
                "at_ms": at_ms,
                "how": how,
                "change": change,
            }

    for seen in sightings:
        if seen.planet_timestamp_ms:  # a root that asks what we hold says that it holds nothing
            hold(seen.address, seen.planet_id, seen.planet_timestamp_ms, seen.seen_at_ms, "hello")
        for moon_id, timestamp_ms in seen.moons:
            hold(seen.address, moon_id, timestamp_ms, seen.seen_at_ms, "hello")
    # Adoptions last: one that was learned in the same millisecond came after the HELLO.
    for adoption in adoptions:
        hold(
            adoption.address,
            adoption.world_id,
            adoption.timestamp_ms,
            adoption.at_ms,
            adoption.how,
        )
    statement = insert(HoldingRow)
    new = statement.excluded
    execute_many(
        connection,
        statement.on_conflict_do_update(
            index_elements=[HoldingRow.address, HoldingRow.world_id],
            set_={name: new[name] for name in ("timestamp_ms", "at_ms", "how", "change")},
            where=is_later(new.at_ms, HoldingRow.at_ms, now_ms),
        ),
        rows.values(),
    )


def _held(fork: Fork) -> Adoption:
    """A fork is held as a revision would be, though not adopted."""
    how: How = "probe" if fork.mark else "hello"
    return Adoption(fork.address, fork.world_id, fork.timestamp_ms, fork.at_ms, how)


def _published(connection: Connection) -> set[tuple[int, int]]:
    revision = select(RevisionRow.world_id, RevisionRow.timestamp_ms)
    return {(row.world_id, row.timestamp_ms) for row in connection.execute(revision)}


def _record_adoptions(
    connection: Connection, adoptions: Sequence[Adoption], published: set[tuple[int, int]]
) -> None:
    rows: dict[tuple[int, int, Address], Values] = {}
    for adoption in sorted(adoptions, key=lambda adoption: adoption.at_ms):
        if (adoption.world_id, adoption.timestamp_ms) not in published:
            continue
        row = rows.setdefault(
            (adoption.world_id, adoption.timestamp_ms, adoption.address),
            {
                "world_id": adoption.world_id,
                "timestamp_ms": adoption.timestamp_ms,
                "address": adoption.address,
                "first_at_ms": adoption.at_ms,
                "last_at_ms": adoption.at_ms,
                "how": adoption.how,
            },
        )
        row["last_at_ms"] = adoption.at_ms
    statement = insert(AdoptionRow)
    execute_many(
        connection,
        statement.on_conflict_do_update(
            index_elements=[
                AdoptionRow.world_id,
                AdoptionRow.timestamp_ms,
                AdoptionRow.address,
            ],
            set_={"last_at_ms": func.max(statement.excluded.last_at_ms, AdoptionRow.last_at_ms)},
        ),
        rows.values(),
    )


def listing(
    connection: Connection,
    *,
    address: Address | None,
    holds: tuple[int, int] | None,
    seen_since_ms: int,
    limit: int,
    offset: int,
) -> tuple[NodeRecord, ...]:
    """Nodes, last seen first, with what they hold."""
    chosen = (
        _matching(select(NodeRow.address), address, holds, seen_since_ms)
        .order_by(NodeRow.last_seen_ms.desc(), NodeRow.address)
        .limit(limit)
        .offset(offset)
    )
    holdings: dict[int, list[Holding]] = {}
    for row in connection.execute(
        select(HoldingRow.__table__)
        .where(HoldingRow.address.in_(chosen.scalar_subquery()))
        .order_by(HoldingRow.world_id)
    ):
        holdings.setdefault(row.address, []).append(
            Holding(row.world_id, row.timestamp_ms, row.at_ms, row.how)
        )
    forks = fork_rows.of_nodes(connection, chosen.scalar_subquery())
    rows = connection.execute(
        select(NodeRow.__table__)
        .where(NodeRow.address.in_(chosen.scalar_subquery()))
        .order_by(NodeRow.last_seen_ms.desc(), NodeRow.address)
    )
    return tuple(
        NodeRecord(
            address=row.address,
            identity=row.identity,
            path=row.path,
            protocol=row.protocol,
            version=(row.version_major, row.version_minor, row.version_revision),
            first_seen_ms=row.first_seen_ms,
            last_seen_ms=row.last_seen_ms,
            planet_id=row.planet_id,
            planet_timestamp_ms=row.planet_timestamp_ms,
            holdings=tuple(holdings.get(row.address, ())),
            forks=tuple(forks.get(row.address, ())),
        )
        for row in rows
    )


def count(
    connection: Connection,
    *,
    address: Address | None,
    holds: tuple[int, int] | None,
    seen_since_ms: int,
) -> int:
    """How many nodes `listing` would list without its limit, but for roots with this database."""
    statement = _matching(select(func.count()), address, holds, seen_since_ms).where(_IS_NO_ROOT)
    return connection.execute(statement.select_from(NodeRow)).scalar() or 0


def _matching(
    statement: Select[Any],
    address: Address | None,
    holds: tuple[int, int] | None,
    seen_since_ms: int,
) -> Select[Any]:
    statement = statement.where(NodeRow.last_seen_ms >= seen_since_ms)
    if address is not None:
        statement = statement.where(NodeRow.address == address)
    if holds is not None:
        world_id, timestamp_ms = holds
        statement = statement.where(
            NodeRow.address.in_(
                select(HoldingRow.address).where(
                    HoldingRow.world_id == world_id, HoldingRow.timestamp_ms == timestamp_ms
                )
            )
        )
    return statement


def history(connection: Connection, address: Address, limit: int) -> tuple[SightingRecord, ...]:
    """What a node told, last first."""
    rows = connection.execute(
        select(SightingRow.__table__)
        .where(SightingRow.address == address)
        .order_by(SightingRow.last_at_ms.desc(), SightingRow.told)
        .limit(limit)
    )
    return tuple(
        SightingRecord(
            address=row.address,
            path=row.path,
            protocol=row.protocol,
            version=(row.version_major, row.version_minor, row.version_revision),
            planet_id=row.planet_id,
            planet_timestamp_ms=row.planet_timestamp_ms,
            moons=tuple((int(id_, 16), time) for id_, time in json.loads(row.moons or "[]")),
            first_at_ms=row.first_at_ms,
            last_at_ms=row.last_at_ms,
            times=row.times,
        )
        for row in rows
    )


def adoption_counts(
    connection: Connection, world_id: int | None, seen_since_ms: int
) -> tuple[AdoptionCount, ...]:
    """How many nodes hold which timestamp, by World, largest timestamp first.

    Roots that work with this database are no nodes of the fleet, though they hear of each other.
    """
    forked = and_(
        ForkRow.address == HoldingRow.address,
        ForkRow.world_id == HoldingRow.world_id,
        ForkRow.timestamp_ms == HoldingRow.timestamp_ms,
        ForkRow.mark != b"",
    )
    is_forked = ForkRow.address.is_not(None)
    statement = (
        select(HoldingRow.world_id, HoldingRow.timestamp_ms, is_forked, func.count())
        .join(NodeRow, NodeRow.address == HoldingRow.address)
        .outerjoin(ForkRow, forked)
        .where(NodeRow.last_seen_ms >= seen_since_ms, _IS_NO_ROOT)
        .group_by(HoldingRow.world_id, HoldingRow.timestamp_ms, is_forked)
    )
    if world_id is not None:
        statement = statement.where(HoldingRow.world_id == world_id)
    counts = [
        AdoptionCount(id_, time, nodes, bool(fork))
        for id_, time, fork, nodes in connection.execute(statement)
    ]
    return tuple(sorted(counts, key=lambda each: (each.world_id, -each.timestamp_ms, each.forked)))


def adoptions_of(
    connection: Connection, world_id: int, timestamp_ms: int
) -> tuple[AdoptionRecord, ...]:
    """Who adopted a revision, earliest first."""
    rows = connection.execute(
        select(AdoptionRow.__table__)
        .where(AdoptionRow.world_id == world_id, AdoptionRow.timestamp_ms == timestamp_ms)
        .order_by(AdoptionRow.first_at_ms, AdoptionRow.address)
    )
    return tuple(
        AdoptionRecord(
            row.address,
            row.world_id,
            row.timestamp_ms,
            row.first_at_ms,
            row.last_at_ms,
            row.how,
        )
        for row in rows
    )


def takers_of(
    connection: Connection, held: tuple[int, int], since_ms: int, limit: int
) -> list[Address]:
    """Who adopted a revision since, the last ones first."""
    world_id, timestamp_ms = held
    rows = connection.execute(
        select(AdoptionRow.address)
        .where(
            AdoptionRow.world_id == world_id,
            AdoptionRow.timestamp_ms == timestamp_ms,
            AdoptionRow.first_at_ms >= since_ms,
        )
        .order_by(AdoptionRow.first_at_ms.desc())
        .limit(limit)
    )
    return [Address(address) for (address,) in rows]


def forget_sightings(connection: Connection, before_ms: int, most_rows: int, chunk: int) -> int:
    """Delete up to `chunk` rows of history: those that are too old, then those that are too many.

    Returns:
        How many rows were deleted; less than `chunk` when nothing is left to delete.
    """
    key = tuple_(SightingRow.address, SightingRow.told)
    chosen = select(SightingRow.address, SightingRow.told)
    old = chosen.where(SightingRow.last_at_ms < before_ms).limit(chunk)
    deleted = connection.execute(delete(SightingRow).where(key.in_(old))).rowcount
    rows = connection.execute(select(func.count()).select_from(SightingRow)).scalar() or 0
    excess = min(rows - most_rows, chunk - deleted)
    if excess > 0:
        oldest = chosen.order_by(SightingRow.last_at_ms).limit(excess)
        deleted += connection.execute(delete(SightingRow).where(key.in_(oldest))).rowcount
    return deleted


def forget_nodes(connection: Connection, before_ms: int, most_rows: int, chunk: int) -> int:
    """Delete up to `chunk` nodes with all that hangs on them, as `forget_sightings` does."""
    gone = list(
        connection.execute(
            select(NodeRow.address).where(NodeRow.last_seen_ms < before_ms).limit(chunk)
        ).scalars()
    )
    rows = connection.execute(select(func.count()).select_from(NodeRow)).scalar() or 0
    excess = min(rows - len(gone) - most_rows, chunk - len(gone))
    if excess > 0:
        gone += connection.execute(
            select(NodeRow.address)
            .where(NodeRow.last_seen_ms >= before_ms)
            .order_by(NodeRow.last_seen_ms)
            .limit(excess)
        ).scalars()
    for start in range(0, len(gone), _NAMES_PER_STATEMENT):
        some = gone[start : start + _NAMES_PER_STATEMENT]
        connection.execute(delete(SightingRow).where(SightingRow.address.in_(some)))
        connection.execute(delete(HoldingRow).where(HoldingRow.address.in_(some)))
        connection.execute(delete(AdoptionRow).where(AdoptionRow.address.in_(some)))
        movements.forget_nodes(connection, some)
        fork_rows.forget_nodes(connection, some)
        connection.execute(delete(NodeRow).where(NodeRow.address.in_(some)))
    return len(gone)
