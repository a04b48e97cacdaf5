"""Who holds what of one World: one short row for each node, for those who carry a rollout out."""

from typing import NamedTuple

from sqlalchemy import Connection, select

from orrery.store.tables import HoldingRow
from orrery.wire.address import Address


class Standing(NamedTuple):
    """What a node was last known to hold of a World.

    Attributes:
        address: The node.
        timestamp_ms: The revision; 0 for a moon that it only waits for.
        seen_ms: When it was last known to hold it, which is when it was heard from last.
    """

    address: Address
    timestamp_ms: int
    seen_ms: int


def standings(connection: Connection, world_id: int, seen_since_ms: int) -> list[Standing]:
    """Every node heard from at this time or later, in no order."""
    rows = connection.execute(
        select(HoldingRow.address, HoldingRow.timestamp_ms, HoldingRow.at_ms).where(
            HoldingRow.world_id == world_id, HoldingRow.at_ms >= seen_since_ms
        )
    )
    return [Standing(Address(address), *rest) for address, *rest in rows]
