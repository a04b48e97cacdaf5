from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orrery.store import Adoption, AdoptionCount, Fork, ForkCount, ForkRecord, Holding, Store
from orrery.vl1.forks import mark_of
from orrery.wire.address import Address
from orrery.wire.world import World
from tests.unit.store.making import NOW_MS, WORLD_ID, key, sighting, world

ANNE = Address(0x1234567890)
BERT = Address(0xFE00000001)
ROOTS = (Address(0x8056C2E21C), Address(0x1))
DAY_MS = 86_400_000
RIVAL = world(20, signer=key(9))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "orrery.db") as opened:
        opened.add_revision(world(10), NOW_MS)
        opened.add_revision(world(20), NOW_MS)
        yield opened


def fork(at_ms: int, world: World | None = None, **changes: object) -> Fork:
    """Anne holds a fork, of which only the timestamp 15 is known unless it is given."""
    if world is None:
        made = Fork(ANNE, WORLD_ID, 15, at_ms)
    else:
        names = world.updates_must_be_signed_by
        made = Fork(ANNE, WORLD_ID, world.timestamp_ms, at_ms, mark_of(world), names, ROOTS)
    return replace(made, **changes)  # type: ignore[arg-type]


def forks_of(store: Store, address: Address = ANNE) -> tuple[ForkRecord, ...]:
    (node,) = store.nodes(address=address)
    return node.forks


def seen(store: Store, *addresses: Address) -> None:
    store.record([sighting(address, NOW_MS) for address in addresses or (ANNE,)])


def adopts(store: Store, timestamp_ms: int, at_ms: int, address: Address = ANNE) -> None:
    store.record((), [Adoption(address, WORLD_ID, timestamp_ms, at_ms, "hello")])


def test_a_fork_comes_out_as_it_went_in(store: Store) -> None:
    seen(store)
    store.record(forks=[fork(NOW_MS + 1)])
    assert forks_of(store) == (
        ForkRecord(ANNE, WORLD_ID, 15, b"", None, (), NOW_MS + 1, NOW_MS + 1),
    )
    store.record(forks=[fork(NOW_MS + 2, RIVAL)])
    names = RIVAL.updates_must_be_signed_by
    assert forks_of(store) == (
        ForkRecord(ANNE, WORLD_ID, 20, mark_of(RIVAL), names, ROOTS, NOW_MS + 2, NOW_MS + 2),
    )
    (node,) = store.nodes()
    assert node.holdings == (Holding(WORLD_ID, 20, NOW_MS + 2, "probe"),)


def test_a_timestamp_takes_nothing_back_of_what_was_seen(store: Store) -> None:
    seen(store)
    store.record(forks=[fork(NOW_MS + 1, timestamp_ms=20, mark=b"known")])
    store.record(forks=[fork(NOW_MS + 2, world(15, signer=key(9)))])
    store.record(forks=[fork(NOW_MS + 3)])
    (record,) = forks_of(store)
    assert record.mark == mark_of(world(15, signer=key(9)))
    assert (record.first_at_ms, record.last_at_ms) == (NOW_MS + 2, NOW_MS + 3)
    store.record(forks=[fork(NOW_MS + 4, timestamp_ms=16)])
    (record,) = forks_of(store)
    assert (record.timestamp_ms, record.mark, record.wanted_key, record.roots) == (
        16,
        b"",
        None,
        (),
    )
    assert record.first_at_ms == NOW_MS + 4


def test_it_is_known_since_its_timestamp_was(store: Store) -> None:
    seen(store)
    store.record(forks=[fork(NOW_MS + 1)])
    store.record(forks=[fork(NOW_MS + 2, world(15, signer=key(9)))])
    store.record(forks=[fork(NOW_MS + 3, world(15, signer=key(9)))])
    (record,) = forks_of(store)
    assert (record.first_at_ms, record.last_at_ms) == (NOW_MS + 1, NOW_MS + 3)
    store.record(forks=[fork(NOW_MS + 4, world(15, signer=key(8)))])
    (record,) = forks_of(store)
    assert record.first_at_ms == NOW_MS + 4


def test_what_was_learned_later_wins(store: Store) -> None:
    seen(store)
    store.record(forks=[fork(NOW_MS + 5, RIVAL)])
    store.record(forks=[fork(NOW_MS + 4)])
    assert forks_of(store)[0].timestamp_ms == 20
    # Unless the clock was set back since.
    store.record(forks=[fork(NOW_MS + 4)], now_ms=NOW_MS + 4)
    assert forks_of(store)[0].timestamp_ms == 15


def test_who_adopts_a_revision_holds_no_fork(store: Store) -> None:
    seen(store)
    store.record(forks=[fork(NOW_MS + 5, RIVAL)])
    adopts(store, 20, NOW_MS + 4)
    assert len(forks_of(store)) == 1, "this was known before"
    adopts(store, 20, NOW_MS + 5, BERT)
    assert len(forks_of(store)) == 1
    adopts(store, 20, NOW_MS + 5)
    assert forks_of(store) == ()


def test_who_holds_a_fork_has_not_adopted_the_revision_of_its_timestamp(store: Store) -> None:
    seen(store, ANNE, BERT)
    for timestamp_ms in (10, 20):
        adopts(store, timestamp_ms, NOW_MS)
        adopts(store, timestamp_ms, NOW_MS, BERT)
    store.record(forks=[fork(NOW_MS, RIVAL)])
    assert [each.address for each in store.adoptions(WORLD_ID, 20)] == [BERT]
    assert [each.address for each in store.adoptions(WORLD_ID, 10)] == [ANNE, BERT]
    assert store.adoption_counts() == (
        AdoptionCount(WORLD_ID, 20, 1),
        AdoptionCount(WORLD_ID, 20, 1, forked=True),
    )


def test_in_one_batch_and_millisecond_the_fork_came_last(store: Store) -> None:
    seen(store)
    adoption = Adoption(ANNE, WORLD_ID, 20, NOW_MS, "hello")
    store.record((), [adoption], [fork(NOW_MS, RIVAL)])
    assert len(forks_of(store)) == 1
    assert store.adoptions(WORLD_ID, 20) == ()


@pytest.mark.parametrize("is_seen", [True, False])
def test_what_becomes_a_revision_was_no_fork(store: Store, is_seen: bool) -> None:
    seen(store, ANNE, BERT)
    ours, rival = world(30), world(30, signer=key(9))
    found = fork(NOW_MS, ours) if is_seen else fork(NOW_MS, timestamp_ms=30)
    store.record(forks=[found, fork(NOW_MS, rival, address=BERT)])
    store.add_revision(ours, NOW_MS)
    assert forks_of(store) == ()
    assert len(forks_of(store, BERT)) == 1
    # A root that has not heard of the revision yet.
    store.record(forks=[fork(NOW_MS, timestamp_ms=30)])
    assert forks_of(store) == ()


def test_worlds_of_others_have_no_forks(store: Store) -> None:
    seen(store)
    store.record(forks=[fork(NOW_MS, world_id=7)])
    assert forks_of(store) == ()


def test_forks_are_counted(store: Store) -> None:
    crowd = [Address(0x1000000000 + number) for number in range(5)]
    seen(store, *crowd)
    store.record([sighting(crowd[4], NOW_MS + 500)])
    store.record(
        forks=[
            *(fork(NOW_MS + n, RIVAL, address=a) for n, a in enumerate(crowd[:3])),
            fork(NOW_MS, timestamp_ms=2**64 - 1, address=crowd[3]),
            fork(NOW_MS, address=crowd[4]),
        ]
    )
    names = RIVAL.updates_must_be_signed_by
    late = ForkCount(WORLD_ID, 2**64 - 1, b"", None, (), 1, NOW_MS)
    rival = ForkCount(WORLD_ID, 20, mark_of(RIVAL), names, ROOTS, 3, NOW_MS)
    early = ForkCount(WORLD_ID, 15, b"", None, (), 1, NOW_MS)
    assert store.fork_counts() == (late, rival, early)
    assert store.fork_counts(WORLD_ID, seen_since_ms=NOW_MS + 1) == (early,)
    assert store.fork_counts(7) == ()


def test_a_fork_is_forgotten_with_its_node(store: Store) -> None:
    seen(store, ANNE, BERT)
    store.record(forks=[fork(NOW_MS, RIVAL), fork(NOW_MS, RIVAL, address=BERT)])
    store.record([sighting(BERT, NOW_MS + 500 * DAY_MS)])
    store.retention(NOW_MS + 500 * DAY_MS, 90, 1_000)
    assert [(count.nodes, count.timestamp_ms) for count in store.fork_counts()] == [(1, 20)]
    seen(store, ANNE)
    assert forks_of(store) == ()
