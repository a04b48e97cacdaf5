from dataclasses import replace
from pathlib import Path

import pytest

from orrery.errors import ConflictError, UpdateRefused
from orrery.rollout.state import RolloutState
from orrery.store import Adoption, Hearing, RootRecord, Standing, Store
from orrery.wire.address import Address
from tests.unit.store.making import NOW_MS, WORLD_ID, key, sighting, world

ONE, TWO = Address(0x1000000001), Address(0x1000000002)
ROOT = Address(0x2000000001)
HERE, THERE = "127.0.0.1/9993", "127.0.0.2/9993"
MINUTE_MS = 60_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "orrery.db")
    made.add_revision(world(NOW_MS), NOW_MS)
    return made


def see(store: Store, address: int, at_ms: int, **told: object) -> None:
    values = {"planet_timestamp_ms": NOW_MS, "heard_by": ROOT, "heard_at": HERE} | told
    store.record([sighting(address, at_ms, **values)], now_ms=at_ms)


def test_what_is_new_is_read_once(store: Store) -> None:
    see(store, ONE, NOW_MS)
    see(store, TWO, NOW_MS + 1)
    change, standings, hearings = store.movements(WORLD_ID)
    assert standings == [
        Standing(ONE, NOW_MS, NOW_MS, 0, 0),
        Standing(TWO, NOW_MS, NOW_MS + 1, 0, 0),
    ]
    assert hearings == [Hearing(ONE, ROOT, HERE, NOW_MS), Hearing(TWO, ROOT, HERE, NOW_MS + 1)]
    assert store.movements(WORLD_ID, change) == (change, [], [])
    see(store, TWO, NOW_MS + 500, heard_at=THERE)
    store.record([], [Adoption(ONE, WORLD_ID, NOW_MS, NOW_MS + 600, "probe")])
    after, standings, hearings = store.movements(WORLD_ID, change)
    assert after > change
    assert {each.address: each.seen_ms for each in standings} == {
        ONE: NOW_MS + 600,
        TWO: NOW_MS + 500,
    }
    assert hearings == [Hearing(TWO, ROOT, THERE, NOW_MS + 500)]


def test_a_clock_that_is_set_back_hides_nothing(store: Store) -> None:
    see(store, ONE, NOW_MS)
    change, _, _ = store.movements(WORLD_ID)
    see(store, ONE, NOW_MS - 3_600_000)
    _, (standing,), (hearing,) = store.movements(WORLD_ID, change)
    assert standing.seen_ms == hearing.last_at_ms == NOW_MS - 3_600_000


def test_old_news_are_left_out(store: Store) -> None:
    see(store, ONE, NOW_MS)
    see(store, TWO, NOW_MS + 10)
    found = store.movements(WORLD_ID, seen_since_ms=NOW_MS + 1, heard_since_ms=NOW_MS + 11)
    assert [each.address for each in found.standings] == [TWO]
    assert found.hearings == []
    assert [each.address for each in store.standings(WORLD_ID)] == [ONE, TWO]


def test_one_batch_may_tell_of_two_places(store: Store) -> None:
    seen = [
        sighting(ONE, NOW_MS + n, heard_by=ROOT, heard_at=place)
        for n, place in ((2, HERE), (1, THERE), (0, HERE))
    ]
    store.record(seen)
    assert sorted(store.movements(WORLD_ID).hearings) == [
        Hearing(ONE, ROOT, HERE, NOW_MS + 2),
        Hearing(ONE, ROOT, THERE, NOW_MS + 1),
    ]


def test_how_nodes_come_and_go_is_counted(store: Store) -> None:
    for minute in (0, 1, 2, 10, 11):
        see(store, ONE, NOW_MS + minute * MINUTE_MS)
    (standing,) = store.standings(WORLD_ID)
    assert (standing.absences, standing.present_ms) == (1, 3 * MINUTE_MS)
    # While no root was there to see it, nobody fell silent.
    late_ms = NOW_MS + 60 * MINUTE_MS
    seen = [sighting(ONE, late_ms, planet_timestamp_ms=NOW_MS)]
    store.record(seen, now_ms=late_ms, watched_since_ms=late_ms - 1)
    (standing,) = store.standings(WORLD_ID)
    assert (standing.absences, standing.present_ms) == (1, 3 * MINUTE_MS)


def test_what_is_forgotten_of_a_node_is_where_it_was_heard(store: Store) -> None:
    see(store, ONE, NOW_MS)
    store.retention(NOW_MS + 2 * 86_400_000, 1, 10, keep_nodes_days=1)
    assert store.movements(WORLD_ID)[1:] == ([], [])


def test_roots_say_that_they_are_there(store: Store) -> None:
    assert store.roots() == ()
    store.note_root(ROOT, (HERE,), NOW_MS)
    store.note_root(ROOT, (HERE, THERE), NOW_MS + 1)
    assert store.roots() == (RootRecord(ROOT, (HERE, THERE), NOW_MS + 1),)


def test_a_step_is_published_with_what_became_of_its_rollout(store: Store) -> None:
    rollout = store.create_rollout(WORLD_ID, "{}", NOW_MS)
    (active,) = store.active_rollouts()
    assert active == rollout
    step = world(NOW_MS + 1, port=443)
    after = store.publish_step(step, rollout, NOW_MS + 1, "step 1")
    assert after.version == rollout.version + 1
    found = store.newest(WORLD_ID)
    assert found is not None
    assert (found.world, found.note) == (step, "step 1")


def test_a_step_is_published_with_its_rollout_or_not_at_all(store: Store) -> None:
    rollout = store.create_rollout(WORLD_ID, "{}", NOW_MS)
    lease = store.acquire_lease("conductor", "one", NOW_MS, 1_000)
    assert lease is not None
    store.acquire_lease("conductor", "two", NOW_MS + 1_000, 1_000)
    step = world(NOW_MS + 1, port=443)
    with pytest.raises(ConflictError, match="no longer has the lease"):
        store.publish_step(step, rollout, NOW_MS + 1, "", lease=lease)
    stopped = store.update_rollout(replace(rollout, state=RolloutState.STOPPED), NOW_MS)
    with pytest.raises(ConflictError, match="was changed by somebody else"):
        store.publish_step(step, rollout, NOW_MS + 1, "")
    with pytest.raises(UpdateRefused):
        store.publish_step(step.sign(key(5)), stopped, NOW_MS + 1, "")
    newest = store.newest(WORLD_ID)
    assert newest is not None
    assert newest.world == world(NOW_MS)
    assert store.rollout(rollout.number) == stopped
