from collections.abc import Iterator
from pathlib import Path

import pytest

from orrery.store import Adoption, AdoptionCount, Holding, Store
from orrery.wire.address import Address
from orrery.wire.world import WorldType
from tests.unit.store.making import NOW_MS, WORLD_ID, sighting, world

ANNE = Address(0x1234567890)
BERT = Address(0xFE00000001)
MOON_ID = 0xB9CE1F7FA4
DAY_MS = 86_400_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "orrery.db") as opened:
        opened.add_revision(world(10), NOW_MS)
        opened.add_revision(world(20), NOW_MS)
        opened.add_revision(world(5, world_id=MOON_ID, world_type=WorldType.MOON), NOW_MS)
        yield opened


def test_a_sighting_comes_out_as_it_went_in(store: Store) -> None:
    seen = sighting(ANNE, NOW_MS, planet_timestamp_ms=10, moons=((MOON_ID, 5),))
    store.record([seen])
    (node,) = store.nodes()
    assert (node.address, node.identity, node.path) == (ANNE, seen.identity, seen.path)
    assert (node.protocol, node.version) == (13, (1, 14, 1))
    assert (node.planet_id, node.planet_timestamp_ms) == (WORLD_ID, 10)
    assert (node.first_seen_ms, node.last_seen_ms) == (NOW_MS, NOW_MS)
    assert node.holdings == (
        Holding(MOON_ID, 5, NOW_MS, "hello"),
        Holding(WORLD_ID, 10, NOW_MS, "hello"),
    )
    (line,) = store.history(ANNE)
    assert line.moons == ((MOON_ID, 5),)
    assert line.times == 1


@pytest.mark.parametrize("apart", [True, False], ids=["two batches", "one batch"])
@pytest.mark.parametrize("backwards", [True, False])
def test_what_was_seen_later_wins(store: Store, apart: bool, backwards: bool) -> None:
    seen = [
        sighting(ANNE, NOW_MS, path="198.51.100.1/1", planet_timestamp_ms=10),
        sighting(ANNE, NOW_MS + 5, path="198.51.100.2/2", planet_timestamp_ms=20),
    ]
    if backwards:
        seen.reverse()
    for batch in [[each] for each in seen] if apart else [seen]:
        store.record(batch)
    (node,) = store.nodes()
    assert (node.path, node.last_seen_ms) == ("198.51.100.2/2", NOW_MS + 5)
    assert node.holdings == (Holding(WORLD_ID, 20, NOW_MS + 5, "hello"),)
    if not (apart and backwards):  # a late batch does not look back at what was first
        assert node.first_seen_ms == NOW_MS


def test_history_grows_only_with_what_is_different(store: Store) -> None:
    store.record([sighting(ANNE, NOW_MS + step) for step in range(3)])
    store.record([sighting(ANNE, NOW_MS + 3), sighting(ANNE, NOW_MS + 4, path="192.0.2.1/1")])
    store.record([sighting(ANNE, NOW_MS + 5)])
    lines = store.history(ANNE)
    assert [(line.path, line.times) for line in lines] == [
        ("198.51.100.4/29994", 5),
        ("192.0.2.1/1", 1),
    ]
    assert (lines[0].first_at_ms, lines[0].last_at_ms) == (NOW_MS, NOW_MS + 5)
    assert len(store.history(ANNE, limit=1)) == 1


def test_worlds_of_others_are_no_holdings(store: Store) -> None:
    store.record([sighting(ANNE, NOW_MS, planet_id=149604618, moons=((0xABC, 7),))])
    (node,) = store.nodes()
    assert node.planet_id == 149604618
    assert node.holdings == ()
    assert store.history(ANNE)[0].moons == ()


def test_numbers_of_64_bits_are_kept(store: Store) -> None:
    store.record([sighting(ANNE, NOW_MS, planet_timestamp_ms=2**64 - 1)])
    assert store.nodes()[0].planet_timestamp_ms == 2**64 - 1
    assert store.adoption_counts() == (AdoptionCount(WORLD_ID, 2**64 - 1, 1),)


def test_a_node_whose_answer_came_was_there(store: Store) -> None:
    store.record([sighting(ANNE, NOW_MS), sighting(BERT, NOW_MS)])
    store.record((), [Adoption(ANNE, WORLD_ID, 20, NOW_MS + 3, "probe")])
    store.record((), [Adoption(ANNE, WORLD_ID, 20, NOW_MS + 1, "probe")])
    assert {n.address: n.last_seen_ms - NOW_MS for n in store.nodes()} == {ANNE: 3, BERT: 0}


def test_roots_that_share_the_database_are_not_counted_as_nodes(store: Store) -> None:
    store.record([sighting(each, NOW_MS, planet_timestamp_ms=20) for each in (ANNE, BERT)])
    assert store.count_nodes() == 2
    store.note_root(BERT, ["198.51.100.1/9993"], NOW_MS)
    assert store.count_nodes() == 1
    assert store.adoption_counts(WORLD_ID) == (AdoptionCount(WORLD_ID, 20, 1),)
    assert [node.address for node in store.nodes()] == [ANNE, BERT]


def test_a_root_that_asks_what_is_held_holds_nothing(store: Store) -> None:
    store.record([sighting(ANNE, NOW_MS, planet_timestamp_ms=20)])
    store.record([sighting(ANNE, NOW_MS + 1, planet_timestamp_ms=0)])
    assert store.nodes()[0].holdings == (Holding(WORLD_ID, 20, NOW_MS, "hello"),)


def test_adoptions_keep_the_first_time_and_how(store: Store) -> None:
    store.record(
        [sighting(ANNE, NOW_MS), sighting(BERT, NOW_MS)],
        [
            Adoption(ANNE, WORLD_ID, 20, NOW_MS + 3, "probe"),
            Adoption(BERT, WORLD_ID, 20, NOW_MS + 2, "answer"),
        ],
    )
    store.record((), [Adoption(ANNE, WORLD_ID, 20, NOW_MS + 9, "hello")])
    found = store.adoptions(WORLD_ID, 20)
    assert [(a.address, a.first_at_ms, a.last_at_ms, a.how) for a in found] == [
        (BERT, NOW_MS + 2, NOW_MS + 2, "answer"),
        (ANNE, NOW_MS + 3, NOW_MS + 9, "probe"),
    ]
    assert store.nodes(address=ANNE)[0].holdings == (Holding(WORLD_ID, 20, NOW_MS + 9, "hello"),)


def test_only_a_revision_is_adopted(store: Store) -> None:
    store.record(
        [sighting(ANNE, NOW_MS)],
        [
            Adoption(ANNE, WORLD_ID, 15, NOW_MS + 1, "probe"),
            Adoption(ANNE, 99, 15, NOW_MS + 1, "probe"),
        ],
    )
    assert store.adoptions(WORLD_ID, 15) == ()
    assert store.adoption_counts() == (AdoptionCount(WORLD_ID, 15, 1),)


def test_counts_by_timestamp_with_the_newest_first(store: Store) -> None:
    for number in range(10):
        at_ms = NOW_MS + number
        time = 20 if number < 3 else 10
        store.record([sighting(ANNE + number, at_ms, planet_timestamp_ms=time)])
    store.record((), [Adoption(Address(ANNE + 9), WORLD_ID, 20, NOW_MS + 99, "probe")])
    assert store.adoption_counts(WORLD_ID) == (
        AdoptionCount(WORLD_ID, 20, 4),
        AdoptionCount(WORLD_ID, 10, 6),
    )
    assert store.adoption_counts(WORLD_ID, seen_since_ms=NOW_MS + 2) == (
        AdoptionCount(WORLD_ID, 20, 2),
        AdoptionCount(WORLD_ID, 10, 6),
    )
    assert store.adoption_counts(MOON_ID) == ()


def test_nodes_are_listed_by_what_is_asked(store: Store) -> None:
    store.record(
        [sighting(ANNE + n, NOW_MS + n, planet_timestamp_ms=10 + 10 * (n % 2)) for n in range(6)]
    )
    assert [node.last_seen_ms - NOW_MS for node in store.nodes()] == [5, 4, 3, 2, 1, 0]
    assert [n.last_seen_ms - NOW_MS for n in store.nodes(limit=2, offset=1)] == [4, 3]
    assert [n.last_seen_ms - NOW_MS for n in store.nodes(holds=(WORLD_ID, 20))] == [5, 3, 1]
    assert store.count_nodes() == 6
    assert store.count_nodes(holds=(WORLD_ID, 10), seen_since_ms=NOW_MS + 2) == 2
    assert store.count_nodes(address=ANNE) == 1
    assert store.nodes(address=Address(1)) == ()


def test_a_large_batch_is_written_in_parts(store: Store) -> None:
    store.record([sighting(ANNE + n, NOW_MS + n) for n in range(10_001)])
    assert store.count_nodes() == 10_001


def test_retention_forgets_the_oldest_history(store: Store) -> None:
    for number in range(10):
        at_ms = NOW_MS + number * DAY_MS
        store.record([sighting(ANNE, at_ms, path=f"192.0.2.1/{number + 1}")])
    now_ms = NOW_MS + 10 * DAY_MS
    assert store.retention(now_ms, keep_days=7, max_rows=100) == 3
    assert store.retention(now_ms, keep_days=7, max_rows=2) == 5
    assert [line.path for line in store.history(ANNE)] == ["192.0.2.1/10", "192.0.2.1/9"]
    assert store.retention(now_ms, keep_days=7, max_rows=2) == 0


def test_retention_works_in_parts(store: Store) -> None:
    store.record([sighting(ANNE + n, NOW_MS + n) for n in range(6_000)])
    assert store.retention(NOW_MS + 60 * DAY_MS, keep_days=30, max_rows=100) == 6_000
    assert store.count_nodes() == 6_000
    assert store.retention(NOW_MS, keep_days=30, max_rows=100, max_nodes=500) == 5_500
    assert store.count_nodes() == 500
    assert store.nodes()[0].last_seen_ms == NOW_MS + 5_999


def test_retention_forgets_a_node_with_all_that_hangs_on_it(store: Store) -> None:
    store.record(
        [sighting(ANNE, NOW_MS), sighting(BERT, NOW_MS + 2 * DAY_MS)],
        [
            Adoption(ANNE, WORLD_ID, 20, NOW_MS, "hello"),
            Adoption(BERT, WORLD_ID, 20, NOW_MS, "hello"),
        ],
    )
    store.retention(NOW_MS + 3 * DAY_MS, keep_days=30, max_rows=100, keep_nodes_days=2)
    assert [node.address for node in store.nodes()] == [BERT]
    assert store.history(ANNE) == ()
    assert [a.address for a in store.adoptions(WORLD_ID, 20)] == [BERT]
    assert len(store.revisions(WORLD_ID)) == 2
