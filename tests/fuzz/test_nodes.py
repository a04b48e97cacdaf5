"""Nodes and spoilt packets: nothing leaves them but a drop, and what they remember is bounded."""

from __future__ import annotations

import tracemalloc

import pytest

from orrery.vl1.events import Drop
from tests.fuzz.nodes import LeafFuzz, RootFuzz

CASES = 60_000


@pytest.mark.parametrize("kind", [RootFuzz, LeafFuzz])
def test_a_node_outlives_spoilt_packets(kind: type[RootFuzz] | type[LeafFuzz]) -> None:
    fuzz = kind("quick")
    fuzz.run(CASES)
    counted = {outcome.rpartition(": ")[2] for outcome in fuzz.outcomes}
    assert "taken" in counted
    reached = {Drop[name] for name in counted - {"taken"}}
    assert {Drop.MALFORMED, Drop.WRONG_MAC, Drop.RESERVED, Drop.UNEXPECTED, Drop.RATE} <= reached
    assert fuzz.outcomes["_answer: taken"] > CASES / 100, "answers must come behind the MAC"


@pytest.mark.parametrize("kind", [RootFuzz, LeafFuzz])
def test_memory_does_not_grow_with_packets(kind: type[RootFuzz] | type[LeafFuzz]) -> None:
    fuzz = kind("memory")
    fuzz.run(8_000)
    tracemalloc.start()
    try:
        fuzz.run(4_000)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        fuzz.run(8_000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2_000_000
    assert peak - before < 4_000_000
