"""Rollouts and leases: what is being carried out, and by whom."""

from sqlalchemy import Connection, Row, Table, func, insert, select, update

from orrery.errors import ConflictError, UsageError
from orrery.rollout.state import RolloutState, Served
from orrery.store.records import Lease, LeaseRecord, Rollout
from orrery.store.tables import LeaseRow, RevisionRow, RolloutRow

ROLLOUTS: Table = RolloutRow.metadata.tables[RolloutRow.__tablename__]
_LEASES: Table = LeaseRow.metadata.tables[LeaseRow.__tablename__]


# Rollouts


def create(
    connection: Connection,
    world_id: int,
    texts: tuple[str, str],
    now_ms: int,
    served: Served | None,
) -> Rollout:
    """Begin a rollout inside the caller's write transaction; `texts` are its plan and intents.

    Raises:
        ConflictError: another one of this World has not ended.
        UsageError: `served` is of another World, or holds back to no revision.
    """
    going_on = active(connection, world_id)
    if going_on is not None:
        raise ConflictError(
            f"World {world_id:016x} has a rollout already, which is {going_on.state}; let it come "
            "to its end or roll it back first"
        )
    _check_served(connection, world_id, served)
    before = _last_of(connection, world_id)
    if served is None and before is not None:
        served = before.served  # nothing is opened to everybody because a rollout takes over
    result = connection.execute(
        insert(RolloutRow).values(
            world_id=world_id,
            version=1,
            state=RolloutState.PLANNED.value,
            step=0,
            cohort=-1,
            reason="",
            plan=texts[0],
            intents=texts[1],
            served=_written(served),
            served_version=int(served != (None if before is None else before.served)),
            created_at_ms=now_ms,
            changed_at_ms=now_ms,
            ended_at_ms=None,
        )
    )
    key = result.inserted_primary_key
    return _existing(connection, int(key[0]) if key else 0)


def change(connection: Connection, changed: Rollout, now_ms: int, lease: Lease | None) -> Rollout:
    """Store what became of a rollout inside the caller's write transaction.

    Raises:
        ConflictError: somebody else changed it since, or has taken the lease.
        UsageError: it is over and is to go on, its plan or World is another, or it is to serve
            what cannot be served.
    """
    if lease is not None:
        check_lease(connection, lease)
    stored = _existing(connection, changed.number)
    if stored.version != changed.version:
        raise ConflictError(
            f"rollout {changed.number} was changed by somebody else meanwhile, and is "
            f"{stored.state} now; look at it again"
        )
    if (changed.world_id, changed.plan) != (stored.world_id, stored.plan):
        raise UsageError(
            f"the plan and the World of rollout {changed.number} cannot change; begin another one"
        )
    if stored.state.is_over and not changed.state.is_over:
        raise UsageError(f"rollout {changed.number} is {stored.state}; begin another one")
    if changed.state.is_over and changed.state is not RolloutState.STOPPED and changed.served:
        raise UsageError(
            f"rollout {changed.number} cannot be {changed.state} while a revision is held back "
            "from some nodes; serve it to all of them, or stop"
        )
    _check_served(connection, changed.world_id, changed.served)
    ended_at_ms = stored.ended_at_ms
    if changed.state.is_over and ended_at_ms is None:
        ended_at_ms = now_ms
    connection.execute(
        update(RolloutRow)
        .where(RolloutRow.number == changed.number)
        .values(
            version=RolloutRow.version + 1,
            state=changed.state.value,
            step=changed.step,
            cohort=changed.cohort,
            reason=changed.reason,
            intents=changed.intents,
            served=_written(changed.served),
            served_version=RolloutRow.served_version + (changed.served != stored.served),
            changed_at_ms=now_ms,
            ended_at_ms=ended_at_ms,
        )
    )
    return _existing(connection, changed.number)


def active(connection: Connection, world_id: int) -> Rollout | None:
    """The rollout of a World that has not ended."""
    row = connection.execute(
        select(ROLLOUTS).where(RolloutRow.world_id == world_id, RolloutRow.ended_at_ms.is_(None))
    ).first()
    return None if row is None else _rollout(row)


def all_active(connection: Connection) -> tuple[Rollout, ...]:
    """The rollouts that have not ended."""
    rows = connection.execute(
        select(ROLLOUTS).where(RolloutRow.ended_at_ms.is_(None)).order_by(RolloutRow.number)
    )
    return tuple(_rollout(row) for row in rows)


def listing(connection: Connection, world_id: int | None, limit: int) -> tuple[Rollout, ...]:
    """Rollouts, the last one first."""
    statement = select(ROLLOUTS).order_by(RolloutRow.number.desc()).limit(limit)
    if world_id is not None:
        statement = statement.where(RolloutRow.world_id == world_id)
    return tuple(_rollout(row) for row in connection.execute(statement))


def one(connection: Connection, number: int) -> Rollout | None:
    """A rollout by its number."""
    row = connection.execute(select(ROLLOUTS).where(RolloutRow.number == number)).first()
    return None if row is None else _rollout(row)


def served(connection: Connection) -> dict[int, Served]:
    """What the last rollout of each World lets roots serve, where it does not serve all."""
    last = select(func.max(RolloutRow.number)).group_by(RolloutRow.world_id)
    rows = connection.execute(
        select(RolloutRow.world_id, RolloutRow.served).where(
            RolloutRow.number.in_(last.scalar_subquery()), RolloutRow.served != ""
        )
    )
    return {world_id: Served.from_json(text) for world_id, text in rows}


def counts(connection: Connection) -> tuple[int, int]:
    """How often anything was changed about what is served, and about rollouts at all."""
    row = connection.execute(
        select(
            func.coalesce(func.sum(RolloutRow.served_version), 0),
            func.coalesce(func.sum(RolloutRow.version), 0),
        )
    ).one()
    return int(row[0]), int(row[1])


def _last_of(connection: Connection, world_id: int) -> Rollout | None:
    return next(iter(listing(connection, world_id, 1)), None)


def _existing(connection: Connection, number: int) -> Rollout:
    found = one(connection, number)
    if found is None:
        raise UsageError(f"there is no rollout {number}")
    return found


def _check_served(connection: Connection, world_id: int, served: Served | None) -> None:
    if served is None:
        return
    if served.world_id != world_id:
        raise UsageError(
            f"a rollout of World {world_id:016x} cannot hold back World {served.world_id:016x}"
        )
    revision = select(RevisionRow.number).where(
        RevisionRow.world_id == world_id, RevisionRow.timestamp_ms == served.held_back_ms
    )
    if connection.execute(revision).first() is None:
        raise UsageError(
            f"World {world_id:016x} has no revision {served.held_back_ms} to hold nodes back at"
        )


def _written(served: Served | None) -> str:
    return "" if served is None else served.to_json()


def _rollout(row: Row[tuple[object, ...]]) -> Rollout:
    return Rollout(
        number=row.number,
        world_id=row.world_id,
        version=row.version,
        state=RolloutState(row.state),
        step=row.step,
        cohort=row.cohort,
        reason=row.reason,
        plan=row.plan,
        intents=row.intents,
        served=Served.from_json(row.served) if row.served else None,
        created_at_ms=row.created_at_ms,
        changed_at_ms=row.changed_at_ms,
        ended_at_ms=row.ended_at_ms,
    )


# Leases


def acquire_lease(
    connection: Connection, name: str, holder: str, now_ms: int, ttl_ms: int
) -> Lease | None:
    """Take a lease that nobody has, or that its holder has not renewed in time.

    One that runs for longer than it was ever given was given before the clock was set back, and
    is free as well: its holder may still be there, and will find out by its token.
    """
    found = lease_of(connection, name)
    if found is None:
        connection.execute(
            insert(LeaseRow).values(
                name=name, holder=holder, token=1, until_ms=now_ms + ttl_ms, ttl_ms=ttl_ms
            )
        )
        return Lease(name, 1)
    given_ms = connection.execute(select(LeaseRow.ttl_ms).where(LeaseRow.name == name)).scalar_one()
    if 0 < found.until_ms - now_ms <= given_ms and found.holder not in {"", holder}:
        return None
    connection.execute(
        update(LeaseRow)
        .where(LeaseRow.name == name)
        .values(holder=holder, token=LeaseRow.token + 1, until_ms=now_ms + ttl_ms, ttl_ms=ttl_ms)
    )
    return Lease(name, found.token + 1)


def renew_lease(connection: Connection, lease: Lease, now_ms: int, ttl_ms: int) -> bool:
    """Keep a lease for longer, unless somebody else has taken it."""
    result = connection.execute(
        update(LeaseRow)
        .where(LeaseRow.name == lease.name, LeaseRow.token == lease.token, LeaseRow.holder != "")
        .values(until_ms=now_ms + ttl_ms, ttl_ms=ttl_ms)
    )
    return result.rowcount == 1


def release_lease(connection: Connection, lease: Lease) -> None:
    """Let go of a lease; one that somebody else has by now is left to them."""
    connection.execute(
        update(LeaseRow)
        .where(LeaseRow.name == lease.name, LeaseRow.token == lease.token)
        .values(holder="", until_ms=0)
    )


def check_lease(connection: Connection, lease: Lease) -> None:
    """Refuse a change by who has lost its lease.

    Raises:
        ConflictError: somebody else has taken it, or it was let go.
    """
    found = connection.execute(select(_LEASES).where(LeaseRow.name == lease.name)).first()
    if found is None or found.token != lease.token or not found.holder:
        taken_by = found.holder if found is not None and found.holder else "nobody"
        raise ConflictError(
            f"this process no longer has the lease {lease.name!r}, {taken_by} has it now; nothing "
            "was changed"
        )


def lease_of(connection: Connection, name: str) -> LeaseRecord | None:
    """Who has a lease; None if it was never taken. A holder of "" means that it was let go."""
    row = connection.execute(select(_LEASES).where(LeaseRow.name == name)).first()
    return None if row is None else LeaseRecord(row.name, row.holder, row.token, row.until_ms)
