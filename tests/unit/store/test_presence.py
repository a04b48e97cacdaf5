"""How much nodes were there."""

from pathlib import Path

import pytest

from orrery.store import Store
from orrery.store.presence import NodePresence
from tests.unit.store.making import NOW_MS, sighting

ONE, TWO, THREE = 0x1000000001, 0x1000000002, 0x1000000003


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "orrery.db")


def test_reports_of_all_that_a_node_told_are_added_up(store: Store) -> None:
    for minute in range(10):
        at_ms = NOW_MS + minute * 60_000
        store.record([sighting(ONE, at_ms), sighting(TWO, at_ms, path=f"198.51.100.4/{minute}")])
    assert store.presence() == (
        NodePresence(NOW_MS + 540_000, NOW_MS, 10),
        NodePresence(NOW_MS + 540_000, NOW_MS, 10),
    )


def test_only_nodes_seen_since_a_time_are_told(store: Store) -> None:
    store.record([sighting(ONE, NOW_MS), sighting(TWO, NOW_MS + 1)])
    assert store.presence(NOW_MS + 1) == (NodePresence(NOW_MS + 1, NOW_MS + 1, 1),)


def test_a_node_whose_history_is_forgotten_was_seen_once(store: Store) -> None:
    store.record([sighting(ONE, NOW_MS), sighting(THREE, NOW_MS)])
    store.retention(NOW_MS, keep_days=1, max_rows=0)
    assert store.presence() == (NodePresence(NOW_MS, NOW_MS, 0),) * 2
