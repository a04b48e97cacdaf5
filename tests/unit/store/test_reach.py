"""By which families nodes were heard, and who holds a World with our id that is none of ours."""

from pathlib import Path

import pytest

from orrery.store import Fork, Store
from orrery.vl1.forks import mark_of
from orrery.wire.address import Address
from tests.unit.store.making import NOW_MS, WORLD_ID, key, sighting, world

ONE, TWO, THREE, FOUR = (Address(0x1000000000 + number) for number in range(1, 5))
BY_IPV6 = "2001:db8::4/29994"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "orrery.db")


def test_all_paths_of_a_node_since_a_time_count(store: Store) -> None:
    store.record(
        [
            sighting(ONE, NOW_MS - 10, path=BY_IPV6),
            sighting(ONE, NOW_MS),
            sighting(TWO, NOW_MS),
            sighting(THREE, NOW_MS, path=BY_IPV6),
            sighting(FOUR, NOW_MS - 20),
            sighting(FOUR, NOW_MS, path=BY_IPV6),
        ]
    )
    assert store.heard_by_ipv6(0) == {ONE: True, THREE: False, FOUR: True}
    assert store.heard_by_ipv6(NOW_MS - 10) == {ONE: True, THREE: False, FOUR: False}
    assert store.heard_by_ipv6(NOW_MS) == {THREE: False, FOUR: False}
    store.retention(NOW_MS, keep_days=1, max_rows=0)
    assert store.heard_by_ipv6(0) == {THREE: False, FOUR: False}


def test_who_holds_a_fork_is_known_when_its_bytes_were_seen(store: Store) -> None:
    store.add_revision(world(10), NOW_MS)
    store.record([sighting(ONE, NOW_MS), sighting(TWO, NOW_MS)])
    rival = world(10, signer=key(9))
    store.record(
        forks=[
            Fork(ONE, WORLD_ID, 10, NOW_MS, mark_of(rival), rival.updates_must_be_signed_by),
            Fork(TWO, WORLD_ID, 7, NOW_MS),
        ]
    )
    assert store.fork_holders(WORLD_ID) == {ONE}
    assert store.fork_holders(WORLD_ID + 1) == frozenset()
