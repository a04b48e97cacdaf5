"""How much nodes were there: one line for each, for models of a fleet."""

from typing import NamedTuple

from sqlalchemy import Connection, func, select

from orrery.store.tables import NodeRow, SightingRow


class NodePresence(NamedTuple):
    """How much a node was there.

    Attributes:
        last_seen_ms: When it was seen last.
        since_ms: When its history begins, as far as that is kept.
        reports: How often it was reported as seen since then.
    """

    last_seen_ms: int
    since_ms: int
    reports: int


def presence(connection: Connection, seen_since_ms: int) -> tuple[NodePresence, ...]:
    """The presence of every node seen at this time or later, in the order of addresses."""
    told = (
        select(
            SightingRow.address,
            func.min(SightingRow.first_at_ms).label("since_ms"),
            func.sum(SightingRow.times).label("reports"),
        )
        .group_by(SightingRow.address)
        .subquery()
    )
    rows = connection.execute(
        select(
            NodeRow.last_seen_ms,
            func.coalesce(told.c.since_ms, NodeRow.last_seen_ms),
            func.coalesce(told.c.reports, 0),
        )
        .outerjoin(told, told.c.address == NodeRow.address)
        .where(NodeRow.last_seen_ms >= seen_since_ms)
        .order_by(NodeRow.address)
    )
    return tuple(NodePresence(*row) for row in rows)
