"""Who holds what, by which families of addresses nodes were heard, who holds a fork: for plans."""

from typing import NamedTuple

from sqlalchemy import Connection, func, select, union_all

from orrery.store.tables import ForkRow, HoldingRow, NodeRow, SightingRow
from orrery.wire.address import Address


class Holder(NamedTuple):
    """What a node was last known to hold of a World, 0 for a moon that it waits for, and when."""

    address: Address
    holds_ms: int
    seen_ms: int


def holders(connection: Connection, world_id: int) -> list[Holder]:
    """Everybody who holds a World or waits for it, in no order: nothing else, as they are many."""
    rows = connection.execute(
        select(HoldingRow.address, HoldingRow.timestamp_ms, HoldingRow.at_ms).where(
            HoldingRow.world_id == world_id
        )
    )
    return [Holder(Address(address), holds_ms, seen_ms) for address, holds_ms, seen_ms in rows]


def heard_by_ipv6(connection: Connection, seen_since_ms: int) -> dict[Address, bool]:
    """The nodes that were heard by IPv6, each with whether it was by IPv4 as well."""
    heard = union_all(
        select(NodeRow.address, NodeRow.path).where(NodeRow.last_seen_ms >= seen_since_ms),
        select(SightingRow.address, SightingRow.path).where(
            SightingRow.last_at_ms >= seen_since_ms
        ),
    ).subquery()
    by_ipv6 = func.instr(heard.c.path, ":") > 0
    rows = connection.execute(
        select(heard.c.address, func.min(by_ipv6))
        .group_by(heard.c.address)
        .having(func.max(by_ipv6) == 1)
    )
    return {Address(address): not only for address, only in rows}


def fork_holders(connection: Connection, world_id: int) -> frozenset[Address]:
    """The nodes that are known to hold another World with this id than a revision of ours."""
    rows = connection.execute(
        select(ForkRow.address).where(ForkRow.world_id == world_id, ForkRow.wanted_key.is_not(None))
    )
    return frozenset(Address(address) for (address,) in rows)
