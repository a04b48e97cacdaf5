"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything. Types are plain here: a migration must not change with the code."""
    op.create_table(
        "revisions",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("world_id", sa.String(16), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("world", sa.LargeBinary(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_revisions"),
        sa.UniqueConstraint("world_id", "timestamp_ms", name="uq_revisions_world_id_timestamp_ms"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "timestamps",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("world_id", sa.String(16), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("given_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_timestamps"),
        sa.UniqueConstraint("world_id", "timestamp_ms", name="uq_timestamps_world_id_timestamp_ms"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "nodes",
        sa.Column("address", sa.String(10), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("protocol", sa.SmallInteger(), nullable=False),
        sa.Column("version_major", sa.SmallInteger(), nullable=False),
        sa.Column("version_minor", sa.SmallInteger(), nullable=False),
        sa.Column("version_revision", sa.Integer(), nullable=False),
        sa.Column("planet_id", sa.String(16), nullable=False),
        sa.Column("planet_timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_nodes"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sightings",
        sa.Column("address", sa.String(10), nullable=False),
        sa.Column("told", sa.LargeBinary(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("protocol", sa.SmallInteger(), nullable=False),
        sa.Column("version_major", sa.SmallInteger(), nullable=False),
        sa.Column("version_minor", sa.SmallInteger(), nullable=False),
        sa.Column("version_revision", sa.Integer(), nullable=False),
        sa.Column("planet_id", sa.String(16), nullable=False),
        sa.Column("planet_timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("moons", sa.Text(), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address", "told", name="pk_sightings"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "holdings",
        sa.Column("address", sa.String(10), nullable=False),
        sa.Column("world_id", sa.String(16), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("how", sa.String(8), nullable=False),
        sa.PrimaryKeyConstraint("address", "world_id", name="pk_holdings"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "adoptions",
        sa.Column("world_id", sa.String(16), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(10), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("how", sa.String(8), nullable=False),
        sa.PrimaryKeyConstraint("world_id", "timestamp_ms", "address", name="pk_adoptions"),
        sa.ForeignKeyConstraint(
            ["world_id", "timestamp_ms"],
            ["revisions.world_id", "revisions.timestamp_ms"],
            name="fk_adoptions_revisions",
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
        sqlite_autoincrement=True,
    )
