"""The tables, as SQLAlchemy sees them. `migrations` creates them; a test holds the two together.

    revisions   one row per signed World; never changed, never deleted
    timestamps  one row per timestamp ever given out, used or not; unique, so none repeats
    nodes       one row per node: its identity and what its last HELLO told
    sightings   one row per thing a node told; told again, only the row's last time moves
    holdings    one row per node and World: the timestamp last known to be held
    hearings    one row per node, root and endpoint of that root where it was heard
    roots       one row per root that works with this database, and where it listens
    adoptions   one row per node and revision: when it was first and last known to be held
    forks       one row per node and World, where what it holds is none of ours
    rollouts    one row per rollout; of those of one World, one at most that has not ended
    leases      who does what only one process may do at a time; rows stay when they are let go
    audit       who did what

World ids are 16 and addresses 10 lower-case hex digits, so that a person with an SQL prompt finds
what ZeroTier prints. Timestamps have 64 bits without a sign on the wire while SQL integers have a
sign: `Unsigned64` keeps those below 2**63 as they are and stores the others, which only a broken
or hostile World has, as the negative number with the same bits. Therefore no query may compare
timestamps of Worlds for order; order within a chain is that of `revisions.number`.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Dialect,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_SIGN = 1 << 63
_SPAN = 1 << 64


class Unsigned64(TypeDecorator[int]):
    """An unsigned 64-bit number in a signed column, by its bits."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """Fold numbers from 2**63 up into the negative ones."""
        return value - _SPAN if value is not None and value >= _SIGN else value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        """Unfold the negative ones."""
        return None if value is None else int(value) % _SPAN


class HexNumber(TypeDecorator[int]):
    """A number as a fixed count of lower-case hex digits."""

    impl = String
    cache_ok = True

    def __init__(self, digits: int) -> None:
        super().__init__(digits)
        self.digits = digits
        self._form = f"%0{digits}x"

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """Write the digits."""
        return None if value is None else self._form % value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        """Read the digits."""
        return None if value is None else int(value, 16)


def _world_id() -> HexNumber:
    return HexNumber(16)


def _address() -> HexNumber:
    return HexNumber(10)


class Base(DeclarativeBase):
    """All tables; the constraint names are fixed so that later migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class RevisionRow(Base):
    """A signed World."""

    __tablename__ = "revisions"
    __table_args__ = (
        UniqueConstraint("world_id", "timestamp_ms"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    world_id: Mapped[int] = mapped_column(_world_id())
    timestamp_ms: Mapped[int] = mapped_column(Unsigned64())
    world: Mapped[bytes] = mapped_column(LargeBinary())
    added_at_ms: Mapped[int] = mapped_column(BigInteger())
    note: Mapped[str] = mapped_column(Text())


class TimestampRow(Base):
    """A timestamp that was given out."""

    __tablename__ = "timestamps"
    __table_args__ = (
        UniqueConstraint("world_id", "timestamp_ms"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    world_id: Mapped[int] = mapped_column(_world_id())
    timestamp_ms: Mapped[int] = mapped_column(Unsigned64())
    given_at_ms: Mapped[int] = mapped_column(BigInteger())


class NodeRow(Base):
    """A node as last seen.

    `present_ms` is how long it was heard from, all in all, and `absences` how often it fell silent.
    """

    __tablename__ = "nodes"
    __table_args__ = ({"sqlite_with_rowid": False},)

    address: Mapped[int] = mapped_column(_address(), primary_key=True)
    identity: Mapped[bytes] = mapped_column(LargeBinary())
    path: Mapped[str] = mapped_column(Text())
    protocol: Mapped[int] = mapped_column(SmallInteger())
    version_major: Mapped[int] = mapped_column(SmallInteger())
    version_minor: Mapped[int] = mapped_column(SmallInteger())
    version_revision: Mapped[int]
    planet_id: Mapped[int] = mapped_column(_world_id())
    planet_timestamp_ms: Mapped[int] = mapped_column(Unsigned64())
    first_seen_ms: Mapped[int] = mapped_column(BigInteger())
    last_seen_ms: Mapped[int] = mapped_column(BigInteger())
    absences: Mapped[int] = mapped_column(BigInteger(), server_default="0")
    present_ms: Mapped[int] = mapped_column(BigInteger(), server_default="0")


class SightingRow(Base):
    """Something that a node told; `told` is a digest of all of it but the times."""

    __tablename__ = "sightings"
    __table_args__ = ({"sqlite_with_rowid": False},)

    address: Mapped[int] = mapped_column(_address(), primary_key=True)
    told: Mapped[bytes] = mapped_column(LargeBinary(), primary_key=True)
    path: Mapped[str] = mapped_column(Text())
    protocol: Mapped[int] = mapped_column(SmallInteger())
    version_major: Mapped[int] = mapped_column(SmallInteger())
    version_minor: Mapped[int] = mapped_column(SmallInteger())
    version_revision: Mapped[int]
    planet_id: Mapped[int] = mapped_column(_world_id())
    planet_timestamp_ms: Mapped[int] = mapped_column(Unsigned64())
    moons: Mapped[str] = mapped_column(Text())
    first_at_ms: Mapped[int] = mapped_column(BigInteger())
    last_at_ms: Mapped[int] = mapped_column(BigInteger())
    times: Mapped[int] = mapped_column(BigInteger())


class HoldingRow(Base):
    """What a node was last known to hold of one World.

    `change` grows with every batch that is written, here and in `HearingRow`: whoever follows the
    fleet reads what is beyond the largest number that it has read.
    """

    __tablename__ = "holdings"
    __table_args__ = (Index("ix_holdings_change", "change"), {"sqlite_with_rowid": False})

    address: Mapped[int] = mapped_column(_address(), primary_key=True)
    world_id: Mapped[int] = mapped_column(_world_id(), primary_key=True)
    timestamp_ms: Mapped[int] = mapped_column(Unsigned64())
    at_ms: Mapped[int] = mapped_column(BigInteger())
    how: Mapped[str] = mapped_column(String(8))
    change: Mapped[int] = mapped_column(BigInteger(), server_default="0")


class HearingRow(Base):
    """When a root heard a node last at one of the endpoints where it listens."""

    __tablename__ = "hearings"
    __table_args__ = (Index("ix_hearings_change", "change"), {"sqlite_with_rowid": False})

    address: Mapped[int] = mapped_column(_address(), primary_key=True)
    root: Mapped[int] = mapped_column(_address(), primary_key=True)
    endpoint: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_at_ms: Mapped[int] = mapped_column(BigInteger())
    change: Mapped[int] = mapped_column(BigInteger())


class RootRow(Base):
    """A root that works with this database; `endpoints` is a JSON list of where it listens."""

    __tablename__ = "roots"
    __table_args__ = ({"sqlite_with_rowid": False},)

    address: Mapped[int] = mapped_column(_address(), primary_key=True)
    endpoints: Mapped[str] = mapped_column(Text())
    last_at_ms: Mapped[int] = mapped_column(BigInteger())


class AdoptionRow(Base):
    """That a node holds, or held, a revision."""

    __tablename__ = "adoptions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["world_id", "timestamp_ms"], ["revisions.world_id", "revisions.timestamp_ms"]
        ),
        {"sqlite_with_rowid": False},
    )

    world_id: Mapped[int] = mapped_column(_world_id(), primary_key=True)
    timestamp_ms: Mapped[int] = mapped_column(Unsigned64(), primary_key=True)
    address: Mapped[int] = mapped_column(_address(), primary_key=True)
    first_at_ms: Mapped[int] = mapped_column(BigInteger())
    last_at_ms: Mapped[int] = mapped_column(BigInteger())
    how: Mapped[str] = mapped_column(String(8))


class ForkRow(Base):
    """That a node holds a World with an id of ours which is none of ours.

    `mark` tells Worlds of one timestamp apart, and is empty as long as only the timestamp is known;
    `roots` are the addresses of its roots, with blanks between them.
    """

    __tablename__ = "forks"
    __table_args__ = ({"sqlite_with_rowid": False},)

    address: Mapped[int] = mapped_column(_address(), primary_key=True)
    world_id: Mapped[int] = mapped_column(_world_id(), primary_key=True)
    timestamp_ms: Mapped[int] = mapped_column(Unsigned64())
    mark: Mapped[bytes] = mapped_column(LargeBinary())
    wanted_key: Mapped[bytes | None] = mapped_column(LargeBinary())
    roots: Mapped[str] = mapped_column(Text())
    first_at_ms: Mapped[int] = mapped_column(BigInteger())
    last_at_ms: Mapped[int] = mapped_column(BigInteger())


class RolloutRow(Base):
    """A rollout.

    `plan`, `intents` and `served` are JSON, the last one empty where nothing is held back;
    `version` counts all changes, `served_version` those of `served`.
    """

    __tablename__ = "rollouts"
    __table_args__ = (
        Index(
            "uq_rollouts_active",
            "world_id",
            unique=True,
            sqlite_where=text("ended_at_ms IS NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    world_id: Mapped[int] = mapped_column(_world_id())
    version: Mapped[int] = mapped_column(BigInteger())
    state: Mapped[str] = mapped_column(String(16))
    step: Mapped[int]
    cohort: Mapped[int]
    reason: Mapped[str] = mapped_column(Text())
    plan: Mapped[str] = mapped_column(Text())
    intents: Mapped[str] = mapped_column(Text())
    served: Mapped[str] = mapped_column(Text())
    served_version: Mapped[int] = mapped_column(BigInteger())
    created_at_ms: Mapped[int] = mapped_column(BigInteger())
    changed_at_ms: Mapped[int] = mapped_column(BigInteger())
    ended_at_ms: Mapped[int | None] = mapped_column(BigInteger())


class LeaseRow(Base):
    """A lease; `token` grows each time that somebody takes it."""

    __tablename__ = "leases"
    __table_args__ = ({"sqlite_with_rowid": False},)

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(Text())
    token: Mapped[int] = mapped_column(BigInteger())
    until_ms: Mapped[int] = mapped_column(BigInteger())
    ttl_ms: Mapped[int] = mapped_column(BigInteger())


class AuditRow(Base):
    """Who did what."""

    __tablename__ = "audit"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger())
    actor: Mapped[str] = mapped_column(Text())
    action: Mapped[str] = mapped_column(Text())
    detail: Mapped[str] = mapped_column(Text())
