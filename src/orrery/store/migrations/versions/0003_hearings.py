"""Which root heard a node where, how nodes come and go, which roots there are, and what is news."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables and columns; what is known of nodes begins anew with nothing."""
    for column in ("absences", "present_ms"):
        op.add_column(
            "nodes", sa.Column(column, sa.BigInteger(), nullable=False, server_default="0")
        )
    op.add_column(
        "holdings", sa.Column("change", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.create_index("ix_holdings_change", "holdings", ["change"])
    op.create_table(
        "hearings",
        sa.Column("address", sa.String(10), nullable=False),
        sa.Column("root", sa.String(10), nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address", "root", "endpoint", name="pk_hearings"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_hearings_change", "hearings", ["change"])
    op.create_table(
        "roots",
        sa.Column("address", sa.String(10), nullable=False),
        sa.Column("endpoints", sa.Text(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_roots"),
        sqlite_with_rowid=False,
    )
