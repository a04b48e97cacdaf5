"""The curve of turns, held against the root's own queue."""

from __future__ import annotations

import numpy as np
import pytest

from orrery.lab.turns import WHOIS_MS, Turns
from orrery.vl1.limits import Allowance
from orrery.vl1.push import PushQueue, PushSettings
from orrery.wire.address import Address

SIZE_BYTES = 500


def served_ms(push: PushSettings, asking: int, others: int) -> list[int]:
    """When each rank is served, by the queue or by its WHOIS, millisecond by millisecond."""
    total = asking + others
    queue = PushQueue(push, 0)
    queue.fill(Address(rank) for rank in range(total))
    asks_ms = [round(WHOIS_MS * (1 - rank / asking)) for rank in range(asking)]
    served: dict[int, int] = {}
    by_ask: dict[int, list[int]] = {}
    for rank, at_ms in enumerate(asks_ms):
        by_ask.setdefault(at_ms, []).append(rank)
    now_ms = 0
    while len(served) < total:
        for rank in by_ask.get(now_ms, []):
            if rank not in served:
                served[rank] = now_ms
                queue.sent(SIZE_BYTES, now_ms)
        for rank in queue.take(now_ms):
            if rank not in served:
                served[rank] = now_ms
                queue.sent(SIZE_BYTES, now_ms)
        now_ms += 1
    return [served[rank] for rank in range(total)]


@pytest.mark.parametrize(
    ("nodes_per_s", "bytes_per_s", "asking", "others"),
    [
        (1_000, 4_000_000, 500, 100),
        (100, 4_000_000, 1_000, 0),
        (100, 4_000_000, 300, 300),
        (1_000, 50_000, 1_000, 0),
        (1_000, 50_000, 500, 500),
        (20, 4_000_000, 2_000, 50),
        (1_000, 4_000_000, 0, 3_000),
    ],
)
def test_turns_come_as_in_the_queue(
    nodes_per_s: int, bytes_per_s: int, asking: int, others: int
) -> None:
    push = PushSettings(
        nodes=Allowance(nodes_per_s, nodes_per_s), bytes=Allowance(bytes_per_s, bytes_per_s)
    )
    expected = np.array(served_ms(push, asking, others), np.float64)
    ranks = np.arange(asking + others, dtype=np.float64)
    found = Turns(push, asking, others, SIZE_BYTES).at(ranks)
    if asking:
        asks_ms = WHOIS_MS * (1 - ranks[:asking] / asking)
        found[:asking] = np.minimum(found[:asking], asks_ms)
    differs = np.abs(found - expected) > np.maximum(60, 0.03 * expected)
    assert differs.sum() <= 1  # the one at the edge of a burst may be on either side of it


def test_what_fits_the_allowances_goes_out_at_once() -> None:
    assert (Turns(PushSettings(), 400, 100, SIZE_BYTES).at(np.arange(500.0)) == 0).all()


def test_nobody_has_no_turn() -> None:
    assert len(Turns(PushSettings(), 0, 0, SIZE_BYTES).at(np.zeros(0))) == 0
