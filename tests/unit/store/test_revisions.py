import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.errors import ConflictError, PlanError, RefusalReason, UpdateRefused, UsageError
from orrery.store import AuditEntry, Store
from orrery.wire.world import WorldType
from tests.unit.store.making import NOW_MS, WORLD_ID, key, world

OTHER_ID = 7


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "orrery.db") as opened:
        yield opened


def test_timestamp_is_the_clock_while_the_clock_moves_on(store: Store) -> None:
    assert [store.allocate_timestamp(WORLD_ID, now) for now in (1000, 1001, 5000)] == [
        1000,
        1001,
        5000,
    ]


def test_timestamp_moves_on_when_the_clock_stands_or_steps_back(store: Store) -> None:
    clock = (NOW_MS, NOW_MS, NOW_MS - 86_400_000, 0, NOW_MS + 2, NOW_MS + 3, NOW_MS + 4)
    given_out = [store.allocate_timestamp(WORLD_ID, now) for now in clock]
    assert given_out == [NOW_MS + step for step in range(7)]


def test_timestamp_returns_to_the_clock_after_a_step_forward(store: Store) -> None:
    ahead = NOW_MS + 1000
    assert store.allocate_timestamp(WORLD_ID, ahead) == ahead
    assert store.allocate_timestamp(WORLD_ID, NOW_MS) == ahead + 1
    assert store.allocate_timestamp(WORLD_ID, ahead + 500) == ahead + 500


def test_timestamps_of_other_worlds_are_their_own(store: Store) -> None:
    assert store.allocate_timestamp(WORLD_ID, NOW_MS) == NOW_MS
    assert store.allocate_timestamp(OTHER_ID, NOW_MS) == NOW_MS


def test_timestamp_is_never_zero(store: Store) -> None:
    assert store.allocate_timestamp(WORLD_ID, 0) == 1


def test_timestamp_stays_given_out_when_the_store_is_opened_again(tmp_path: Path) -> None:
    for expected in range(NOW_MS, NOW_MS + 3):
        with Store.open(tmp_path / "orrery.db") as store:
            assert store.allocate_timestamp(WORLD_ID, NOW_MS) == expected


def test_timestamp_goes_beyond_a_world_made_elsewhere(store: Store) -> None:
    store.add_revision(world(NOW_MS + 10), NOW_MS)
    assert store.allocate_timestamp(WORLD_ID, NOW_MS) == NOW_MS + 11


@pytest.mark.parametrize("last", [2**63 - 1, 2**63, 2**64 - 2])
def test_timestamps_beyond_the_sign_are_kept_in_order(store: Store, last: int) -> None:
    store.add_revision(world(last), NOW_MS)
    assert [revision.world.timestamp_ms for revision in store.revisions(WORLD_ID)] == [last]
    assert store.allocate_timestamp(WORLD_ID, NOW_MS) == last + 1


def test_no_timestamp_follows_the_largest(store: Store) -> None:
    store.add_revision(world(2**64 - 1), NOW_MS)
    with pytest.raises(PlanError, match="start a new World"):
        store.allocate_timestamp(WORLD_ID, NOW_MS)


@settings(max_examples=25, deadline=None)
@given(clock=st.lists(st.integers(0, 2**42), min_size=2, max_size=12))
def test_timestamps_increase_whatever_the_clock_does(
    tmp_path_factory: pytest.TempPathFactory, clock: list[int]
) -> None:
    with Store.open(tmp_path_factory.mktemp("clock") / "orrery.db") as store:
        given_out = [store.allocate_timestamp(WORLD_ID, now) for now in clock]
    assert given_out == sorted(set(given_out))
    assert all(out >= now for out, now in zip(given_out, clock, strict=True))


_ALLOCATE = """
import sys
from pathlib import Path
from orrery.store import Store

with Store.open(Path(sys.argv[1])) as store:
    print("open", flush=True)
    sys.stdin.readline()
    for step in range(100):
        print(store.allocate_timestamp(7, 1000 + step // 10), flush=True)
"""


def test_two_processes_never_get_the_same_timestamp(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _ALLOCATE, tmp_path / "orrery.db"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    each = [[int(line) for line in process.communicate()[0].split()] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    for given_out in each:
        assert given_out == sorted(given_out)
    both = each[0] + each[1]
    assert len(both) == len(set(both)) == 200


def test_revisions_make_a_chain(store: Store) -> None:
    worlds = [
        world(NOW_MS, signer=key(1), names=key(1)),
        world(NOW_MS + 1, signer=key(1), names=key(2)),
        world(NOW_MS + 2, signer=key(2), names=key(3)),
    ]
    added = [store.add_revision(each, NOW_MS, "note") for each in worlds]
    assert [revision.number for revision in added] == [1, 2, 3]
    assert store.newest(WORLD_ID) == added[2]
    assert store.revisions(WORLD_ID) == tuple(added)
    assert store.chain(WORLD_ID).revisions == tuple(worlds)
    assert added[1].encoded == worlds[1].encode()


def test_chain_of_an_unknown_world_is_refused(store: Store) -> None:
    assert store.newest(WORLD_ID) is None
    assert store.revisions(WORLD_ID) == ()
    with pytest.raises(UsageError):
        store.chain(WORLD_ID)


def test_world_ids_come_in_order_of_their_first_revision(store: Store) -> None:
    store.add_revision(world(1, world_id=2**64 - 1), NOW_MS)
    store.add_revision(world(1, world_id=OTHER_ID, world_type=WorldType.MOON), NOW_MS)
    store.add_revision(world(2, world_id=2**64 - 1), NOW_MS)
    assert store.world_ids() == (2**64 - 1, OTHER_ID)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (world(NOW_MS), RefusalReason.IDENTICAL),
        (world(NOW_MS, port=443), RefusalReason.SAME_TIMESTAMP),
        (world(NOW_MS - 1), RefusalReason.OLDER),
        (world(NOW_MS + 1, signer=key(2)), RefusalReason.WRONG_SIGNATURE),
        (world(NOW_MS + 1, world_type=WorldType.MOON), RefusalReason.OTHER_TYPE),
    ],
)
def test_what_breaks_the_chain_is_refused(
    store: Store, candidate: object, reason: RefusalReason
) -> None:
    first = store.add_revision(world(NOW_MS), NOW_MS)
    with pytest.raises(UpdateRefused) as refused:
        store.add_revision(candidate, NOW_MS)  # type: ignore[arg-type]
    assert refused.value.reason is reason
    assert store.revisions(WORLD_ID) == (first,)


@pytest.mark.parametrize(
    "candidate",
    [world(1, world_type=WorldType.NULL), world(1, world_id=0)],
    ids=["type 0", "id 0"],
)
def test_what_anything_would_replace_is_no_revision(store: Store, candidate: object) -> None:
    with pytest.raises(UsageError):
        store.add_revision(candidate, NOW_MS)  # type: ignore[arg-type]
    assert store.world_ids() == ()


def test_a_chain_extended_by_somebody_else_is_a_conflict(tmp_path: Path) -> None:
    with Store.open(tmp_path / "db") as one, Store.open(tmp_path / "db") as other:
        one.add_revision(world(NOW_MS), NOW_MS, after_ms=0)
        other.add_revision(world(NOW_MS + 1, port=1), NOW_MS, after_ms=NOW_MS)
        with pytest.raises(ConflictError, match="another writer"):
            one.add_revision(world(NOW_MS + 2, port=2), NOW_MS, after_ms=NOW_MS)
        with pytest.raises(ConflictError, match="another writer"):
            one.add_revision(world(NOW_MS + 2, port=2), NOW_MS, after_ms=0)
        assert len(one.revisions(WORLD_ID)) == 2


def test_audit_of_a_refused_revision_is_not_written(store: Store) -> None:
    entry = AuditEntry(NOW_MS, "alice", "publish", "one")
    store.add_revision(world(NOW_MS), NOW_MS, audit=entry)
    with pytest.raises(UpdateRefused):
        store.add_revision(
            world(NOW_MS), NOW_MS, audit=AuditEntry(NOW_MS, "alice", "publish", "two")
        )
    assert store.audit_entries() == (entry,)


def test_audit_lists_the_last_entries_first(store: Store) -> None:
    for step in range(5):
        store.audit(NOW_MS + step, "alice", "look", str(step))
    assert [entry.detail for entry in store.audit_entries(2)] == ["4", "3"]


def test_data_version_changes_with_revisions_and_nothing_else(tmp_path: Path) -> None:
    with Store.open(tmp_path / "db") as serving, Store.open(tmp_path / "db") as publishing:
        before = serving.data_version()
        publishing.audit(NOW_MS, "alice", "look")
        publishing.allocate_timestamp(WORLD_ID, NOW_MS)
        assert serving.data_version() == before
        publishing.add_revision(world(NOW_MS), NOW_MS)
        after = serving.data_version()
        assert after != before
        assert serving.data_version() == after
        serving.add_revision(world(NOW_MS + 1), NOW_MS)
        assert serving.data_version() not in (before, after)
