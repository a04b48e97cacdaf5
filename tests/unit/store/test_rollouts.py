import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orrery.errors import ConflictError, DecodeError, UsageError
from orrery.rollout.state import RolloutState, Served
from orrery.store import AuditEntry, Lease, LeaseRecord, Rollout, Store
from orrery.wire.address import Address
from orrery.wire.world import WorldType
from orrery.worlds.stage import NOBODY, PLACES, Membership
from tests.unit.store.making import NOW_MS, WORLD_ID, world

MOON_ID = 0xB9CE1F7FA4
PLAN = json.dumps({"steps": []})
FEW = Served(WORLD_ID, 10, Membership(10_000, frozenset({Address(0x2C3E8F527A)})))
MORE = Served(WORLD_ID, 10, Membership(100_000))
CONDUCTOR = "conductor"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "orrery.db") as opened:
        opened.add_revision(world(10), NOW_MS)
        opened.add_revision(world(20), NOW_MS)
        opened.add_revision(world(5, world_id=MOON_ID, world_type=WorldType.MOON), NOW_MS)
        yield opened


def other(store: Store) -> Store:
    """The same database as another process sees it."""
    return Store.open(store.path)


# -- rollouts ---------------------------------------------------------------------------------


def test_a_rollout_begins(store: Store) -> None:
    rollout = store.create_rollout(WORLD_ID, PLAN, NOW_MS, served=FEW)
    assert rollout == Rollout(
        number=1,
        world_id=WORLD_ID,
        version=1,
        state=RolloutState.PLANNED,
        step=0,
        cohort=-1,
        reason="",
        plan=PLAN,
        intents="",
        served=FEW,
        created_at_ms=NOW_MS,
        changed_at_ms=NOW_MS,
        ended_at_ms=None,
    )
    assert store.active_rollout(WORLD_ID) == rollout
    assert store.active_rollout(MOON_ID) is None
    assert store.rollout(1) == rollout
    assert store.rollout(2) is None
    assert store.rollouts() == (rollout,)


def test_what_became_of_it_is_stored(store: Store) -> None:
    first = store.create_rollout(WORLD_ID, PLAN, NOW_MS)
    wanted = replace(
        first,
        state=RolloutState.PAUSED,
        step=2,
        cohort=1,
        reason="3 nodes are gone",
        intents='["sign"]',
        served=FEW,
    )
    with other(store) as elsewhere:
        second = elsewhere.update_rollout(
            wanted, NOW_MS + 5, audit=AuditEntry(NOW_MS + 5, "conductor", "pause", "1")
        )
    assert second == replace(wanted, version=2, changed_at_ms=NOW_MS + 5)
    assert store.active_rollout(WORLD_ID) == second
    assert [entry.action for entry in store.audit_entries()] == ["pause"]


def test_who_does_not_know_the_last_version_changes_nothing(store: Store) -> None:
    first = store.create_rollout(WORLD_ID, PLAN, NOW_MS)
    second = store.update_rollout(replace(first, state=RolloutState.RUNNING), NOW_MS + 1)
    with pytest.raises(ConflictError, match="changed by somebody else meanwhile, and is running"):
        store.update_rollout(
            replace(first, state=RolloutState.STOPPED),
            NOW_MS + 2,
            audit=AuditEntry(NOW_MS, "alice", "stop", ""),
        )
    assert store.active_rollout(WORLD_ID) == second
    assert store.audit_entries() == ()


def test_one_rollout_of_a_world_at_a_time(store: Store) -> None:
    first = store.create_rollout(WORLD_ID, PLAN, NOW_MS)
    moon = store.create_rollout(MOON_ID, PLAN, NOW_MS)
    with pytest.raises(ConflictError, match="has a rollout already, which is planned"):
        store.create_rollout(WORLD_ID, PLAN, NOW_MS)
    done = store.update_rollout(replace(first, state=RolloutState.DONE), NOW_MS + 7)
    assert done.ended_at_ms == NOW_MS + 7
    assert store.active_rollout(WORLD_ID) is None
    second = store.create_rollout(WORLD_ID, PLAN, NOW_MS + 8)
    assert [each.number for each in store.rollouts()] == [3, 2, 1]
    assert store.rollouts(2) == (second, moon)
    assert store.rollouts(world_id=WORLD_ID) == (second, done)


def test_the_database_itself_keeps_a_second_one_out(store: Store) -> None:
    store.create_rollout(WORLD_ID, PLAN, NOW_MS)
    connection = sqlite3.connect(store.path)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(
            "INSERT INTO rollouts SELECT 9, world_id, version, state, step, cohort, reason, plan, "
            "intents, served, served_version, created_at_ms, changed_at_ms, NULL FROM rollouts"
        )
    connection.close()


@pytest.mark.parametrize("state", [state for state in RolloutState if state.is_over])
def test_what_is_over_does_not_go_on(store: Store, state: RolloutState) -> None:
    first = store.create_rollout(WORLD_ID, PLAN, NOW_MS)
    over = store.update_rollout(replace(first, state=state), NOW_MS + 1)
    with pytest.raises(UsageError, match=f"rollout 1 is {state}; begin another"):
        store.update_rollout(replace(over, state=RolloutState.RUNNING), NOW_MS + 2)
    told = store.update_rollout(replace(over, reason="by hand"), NOW_MS + 3)
    assert (told.reason, told.ended_at_ms) == ("by hand", NOW_MS + 1)


def test_what_cannot_change(store: Store) -> None:
    first = store.create_rollout(WORLD_ID, PLAN, NOW_MS)
    for changed in (replace(first, plan="{}"), replace(first, world_id=MOON_ID)):
        with pytest.raises(UsageError, match="cannot change"):
            store.update_rollout(changed, NOW_MS)
    with pytest.raises(UsageError, match="there is no rollout 7"):
        store.update_rollout(replace(first, number=7), NOW_MS)


# -- what is served -----------------------------------------------------------------------------


def test_nodes_are_held_back_at_a_revision_of_the_world(store: Store) -> None:
    with pytest.raises(UsageError, match="has no revision 15 to hold nodes back at"):
        store.create_rollout(WORLD_ID, PLAN, NOW_MS, served=replace(FEW, held_back_ms=15))
    with pytest.raises(UsageError, match="cannot hold back World"):
        store.create_rollout(MOON_ID, PLAN, NOW_MS, served=FEW)
    rollout = store.create_rollout(WORLD_ID, PLAN, NOW_MS)
    with pytest.raises(UsageError, match="has no revision 15"):
        store.update_rollout(replace(rollout, served=replace(FEW, held_back_ms=15)), NOW_MS)
    assert store.rollouts() == (rollout,)


@pytest.mark.parametrize("state", [RolloutState.DONE, RolloutState.ROLLED_BACK])
def test_a_rollout_that_came_to_its_end_holds_nobody_back(
    store: Store, state: RolloutState
) -> None:
    rollout = store.create_rollout(WORLD_ID, PLAN, NOW_MS, served=FEW)
    with pytest.raises(UsageError, match=f"cannot be {state} while a revision is held back"):
        store.update_rollout(replace(rollout, state=state), NOW_MS)
    store.update_rollout(replace(rollout, state=state, served=None), NOW_MS)
    assert store.serving().served == {}


def test_what_a_stopped_rollout_holds_back_is_opened_by_nothing_but_a_word(store: Store) -> None:
    rollout = store.create_rollout(WORLD_ID, PLAN, NOW_MS, served=FEW)
    stopped = store.update_rollout(replace(rollout, state=RolloutState.STOPPED), NOW_MS)
    assert store.serving().served == {WORLD_ID: FEW}
    second = store.create_rollout(WORLD_ID, PLAN, NOW_MS)
    assert second.served == FEW
    version = store.data_version()
    # The one before has no say any more.
    store.update_rollout(replace(stopped, served=None), NOW_MS)
    assert store.serving().served == {WORLD_ID: FEW}
    store.update_rollout(replace(second, served=None), NOW_MS)
    assert store.serving().served == {}
    assert store.data_version() > version


def test_serving_is_all_of_one_moment(store: Store) -> None:
    store.create_rollout(WORLD_ID, PLAN, NOW_MS, served=FEW)
    serving = store.serving()
    assert serving.version == store.data_version()
    assert [chain.world_id for chain in serving.chains] == [WORLD_ID, MOON_ID]
    assert serving.chains[0].newest == world(20)
    assert serving.served == {WORLD_ID: FEW}


def test_what_somebody_wrote_by_hand_is_refused_with_a_sentence(store: Store) -> None:
    store.create_rollout(WORLD_ID, PLAN, NOW_MS, served=FEW)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE rollouts SET served = '{}'")
    connection.close()
    with pytest.raises(DecodeError, match="no version of Orrery wrote this"):
        store.serving()


def test_data_version_follows_what_is_served_and_nothing_else(store: Store) -> None:
    with other(store) as serving:
        seen = [serving.data_version()]
        changes = [serving.rollout_version()]

        def look() -> tuple[bool, bool]:
            seen.append(serving.data_version())
            changes.append(serving.rollout_version())
            return seen[-1] > seen[-2], changes[-1] > changes[-2]

        rollout = store.create_rollout(WORLD_ID, PLAN, NOW_MS)
        assert look() == (False, True)
        lease = store.acquire_lease(CONDUCTOR, "here", NOW_MS, 10_000)
        assert look() == (False, False)
        changed: list[tuple[dict[str, Any], bool]] = [
            ({"state": RolloutState.RUNNING}, False),
            ({"served": FEW}, True),
            ({"step": 1, "intents": "[]"}, False),
            ({"served": replace(FEW)}, False),
            ({"served": MORE}, True),
            ({"served": replace(MORE, held_back_ms=20)}, True),
            ({"served": replace(MORE, held_back_ms=20, opened=Membership(PLACES))}, True),
            ({"served": replace(FEW, opened=NOBODY)}, True),
            ({"served": None, "state": RolloutState.DONE}, True),
        ]
        for change, expected in changed:
            rollout = store.update_rollout(replace(rollout, **change), NOW_MS, lease=lease)
            assert look() == (expected, True), change
        second = store.create_rollout(WORLD_ID, PLAN, NOW_MS, served=FEW)
        assert look() == (True, True)
        stopped = store.update_rollout(replace(second, state=RolloutState.STOPPED), NOW_MS)
        assert look() == (False, True)
        store.create_rollout(WORLD_ID, PLAN, NOW_MS)
        assert look() == (False, True), "it goes on where the one before stopped"
        assert stopped.served == FEW
        store.add_revision(world(30), NOW_MS)
        assert look() == (True, False)


# -- leases ---------------------------------------------------------------------------------------


def acquire(store: Store, holder: str, now_ms: int = NOW_MS, ttl_ms: int = 10_000) -> Lease | None:
    return store.acquire_lease(CONDUCTOR, holder, now_ms, ttl_ms)


def test_a_lease_is_one_process_s(store: Store) -> None:
    assert store.lease(CONDUCTOR) is None
    assert acquire(store, "anne") == Lease(CONDUCTOR, 1)
    with other(store) as elsewhere:
        assert acquire(elsewhere, "bert", NOW_MS + 9_999) is None
        assert elsewhere.acquire_lease("another", "bert", NOW_MS, 10_000) == Lease("another", 1)
    assert store.lease(CONDUCTOR) == LeaseRecord(CONDUCTOR, "anne", 1, NOW_MS + 10_000)


def test_a_lease_that_ran_out_is_anybody_s(store: Store) -> None:
    anne = acquire(store, "anne")
    assert anne is not None
    assert acquire(store, "bert", NOW_MS + 10_000) == Lease(CONDUCTOR, 2)
    assert not store.renew_lease(anne, NOW_MS + 10_001, 10_000)
    assert store.lease(CONDUCTOR) == LeaseRecord(CONDUCTOR, "bert", 2, NOW_MS + 20_000)


def test_a_lease_is_kept_by_renewing_it(store: Store) -> None:
    anne = acquire(store, "anne")
    assert anne is not None
    assert store.renew_lease(anne, NOW_MS + 9_000, 10_000)
    assert acquire(store, "bert", NOW_MS + 18_999) is None
    # Nobody came: who was late goes on.
    assert store.renew_lease(anne, NOW_MS + 50_000, 10_000)
    assert acquire(store, "bert", NOW_MS + 59_999) is None


def test_a_lease_is_let_go(store: Store) -> None:
    anne = acquire(store, "anne")
    assert anne is not None
    store.release_lease(anne)
    assert not store.renew_lease(anne, NOW_MS, 10_000)
    bert = acquire(store, "bert")
    assert bert == Lease(CONDUCTOR, 2)
    store.release_lease(anne)
    assert acquire(store, "carl") is None, "who lost it lets go of nothing"


def test_who_comes_back_with_its_name_has_a_new_token(store: Store) -> None:
    anne = acquire(store, "anne")
    again = acquire(store, "anne")
    assert (anne, again) == (Lease(CONDUCTOR, 1), Lease(CONDUCTOR, 2))
    assert anne is not None
    assert not store.renew_lease(anne, NOW_MS, 10_000)


def test_a_clock_that_was_set_back_keeps_no_lease_alive(store: Store) -> None:
    assert acquire(store, "anne", NOW_MS + 3_600_000)
    assert acquire(store, "bert", NOW_MS) == Lease(CONDUCTOR, 2)


def test_who_lost_the_lease_changes_nothing(store: Store) -> None:
    rollout = store.create_rollout(WORLD_ID, PLAN, NOW_MS)
    anne = acquire(store, "anne")
    bert = acquire(store, "bert", NOW_MS + 10_000)
    assert anne is not None
    assert bert is not None
    wanted = replace(rollout, state=RolloutState.RUNNING)
    with pytest.raises(ConflictError, match=r"no longer has the lease 'conductor', bert has it"):
        store.update_rollout(wanted, NOW_MS, lease=anne)
    assert store.active_rollout(WORLD_ID) == rollout
    assert store.update_rollout(wanted, NOW_MS, lease=bert).version == 2
    store.release_lease(bert)
    with pytest.raises(ConflictError, match="nobody has it now"):
        store.update_rollout(replace(wanted, version=2), NOW_MS, lease=bert)
    with pytest.raises(ConflictError, match="nobody has it now"):
        store.update_rollout(replace(wanted, version=2), NOW_MS, lease=Lease("other", 1))


# -- two processes --------------------------------------------------------------------------------

_CONTEND = """
import sys
from dataclasses import replace
from pathlib import Path
from orrery.errors import ConflictError
from orrery.store import Store
name = sys.argv[2]
with Store.open(Path(sys.argv[1])) as store:
    print("open", flush=True)
    sys.stdin.readline()
    won = conflicts = 0
    tokens = []
    while won < 25:
        rollout = store.active_rollout(7)
        try:
            store.update_rollout(replace(rollout, step=rollout.step + 1), 1)
            won += 1
        except ConflictError:
            conflicts += 1
        lease = store.acquire_lease("conductor", name, won, 1_000_000)
        if lease is not None:
            tokens.append(lease.token)
            store.release_lease(lease)
    print(*tokens)
"""


def test_two_processes_lose_no_change_and_share_no_lease(tmp_path: Path) -> None:
    with Store.open(tmp_path / "orrery.db") as store:
        store.create_rollout(7, PLAN, NOW_MS)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", _CONTEND, store.path, name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in ("anne", "bert")
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        rollout = store.active_rollout(7)
        assert rollout is not None
        assert (rollout.step, rollout.version) == (50, 51)
        tokens = [int(token) for text in said for token in text.split()]
        assert sorted(tokens) == list(range(1, len(tokens) + 1))
