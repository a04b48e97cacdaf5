import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from orrery.errors import ConflictError, OrreryError, UnreadableError
from orrery.store import Standing, Store, engine, schema
from orrery.store import migrations as migrations_package
from orrery.store.tables import Base
from orrery.wire.address import Address
from tests.unit.store.making import NOW_MS, WORLD_ID, sighting, world


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Store.open(tmp_path / "orrery.db") as store:
            store.audit(NOW_MS, "alice", "look")
            assert {p.name: _mode(p) for p in tmp_path.iterdir()} == {
                "orrery.db": 0o600,
                "orrery.db-wal": 0o600,
                "orrery.db-shm": 0o600,
            }
    finally:
        os.umask(before)


def test_a_database_that_others_may_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "orrery.db"
    Store.open(path).close()
    path.chmod(0o644)
    Store.open(path).close()
    assert _mode(path) == 0o600


@pytest.mark.parametrize(("free_bytes", "said"), [(4_096, "the disk is full"), (1 << 30, "I/O")])
def test_a_disk_without_room_for_the_index_is_said_to_be_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, said: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_bytes))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert said in str(engine.explain(error, tmp_path / "orrery.db"))


def test_every_connection_is_set_up_for_safety(tmp_path: Path) -> None:
    with Store.open(tmp_path / "orrery.db") as store, store._reading() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_migrations_make_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    with Store.open(tmp_path / "orrery.db") as store, store._reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert schema.is_current(connection)


def test_the_newest_migration_is_the_one_named() -> None:
    scripts = ScriptDirectory(str(Path(migrations_package.__file__).parent))
    assert scripts.get_heads() == [schema.NEWEST_MIGRATION]


@pytest.mark.parametrize("migration", ["0001", "0002"])
def test_a_database_of_an_older_orrery_keeps_what_it_knows(tmp_path: Path, migration: str) -> None:
    path = tmp_path / "orrery.db"
    config = Config()
    config.set_main_option("script_location", str(Path(migrations_package.__file__).parent))
    writer = engine.connect(path)
    with engine.writing(writer, path) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, migration)
        revision = world(NOW_MS)
        connection.exec_driver_sql(
            "INSERT INTO revisions VALUES (7, ?, ?, ?, 5, 'old')",
            (f"{WORLD_ID:016x}", NOW_MS, revision.encode()),
        )
        connection.exec_driver_sql("INSERT INTO audit VALUES (3, 5, 'alice', 'look', '')")
        connection.exec_driver_sql(
            "INSERT INTO nodes VALUES ('1000000001', x'00', '', 12, 1, 14, 1, ?, ?, ?, ?)",
            (f"{WORLD_ID:016x}", NOW_MS, NOW_MS, NOW_MS),
        )
        connection.exec_driver_sql(
            "INSERT INTO holdings VALUES ('1000000001', ?, ?, ?, 'hello')",
            (f"{WORLD_ID:016x}", NOW_MS, NOW_MS),
        )
    writer.dispose()
    with Store.open(path) as store:
        assert [(each.number, each.world) for each in store.revisions(WORLD_ID)] == [(7, revision)]
        assert [entry.actor for entry in store.audit_entries()] == ["alice"]
        assert store.rollouts() == ()
        assert store.fork_counts() == ()
        assert store.data_version() == 7
        change, standings, hearings = store.movements(WORLD_ID)
        assert standings == [Standing(Address(0x1000000001), NOW_MS, NOW_MS, 0, 0)]
        assert hearings == []
        store.record([sighting(0x1000000001, NOW_MS + 5, planet_timestamp_ms=NOW_MS)])
        _, (standing,), _ = store.movements(WORLD_ID, change)
        assert (standing.seen_ms, standing.present_ms) == (NOW_MS + 5, 5)


def test_a_database_of_a_newer_orrery_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "orrery.db"
    Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(UnreadableError, match=r"written by a newer Orrery .* update Orrery"):
        Store.open(path)


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "orrery.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    with pytest.raises(UnreadableError, match="not one of Orrery's"):
        Store.open(path)
    with sqlite3.connect(path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    assert tables == [("customers",)]


@pytest.mark.parametrize("content", [b"not a database " * 100, b"SQLite format 3\0" + b"\1" * 5000])
def test_a_damaged_database_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "orrery.db"
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match=r"orrery\.db is not a whole SQLite database"):
        Store.open(path)


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="check that its directory exists"):
        Store.open(tmp_path / "nowhere" / "orrery.db")


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    with Store.open(tmp_path / "orrery.db") as store:
        store.add_revision(world(1), NOW_MS)
        with store._writing() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(UnreadableError, match="the disk is full"):
            store.add_revision(world(2), NOW_MS, "n" * 100_000)
        assert len(store.revisions(WORLD_ID)) == 1


def test_a_locked_database_is_a_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_BUSY_TIMEOUT_MS", 1)
    with Store.open(tmp_path / "orrery.db") as store:
        other = sqlite3.connect(tmp_path / "orrery.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConflictError, match="locked by another program"):
            store.audit(NOW_MS, "alice", "look")
        assert store.audit_entries() == ()
        other.execute("ROLLBACK")
        other.close()
        store.audit(NOW_MS, "alice", "look")


def test_many_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(6)
    failed: list[OrreryError] = []

    def open_and_write() -> None:
        together.wait()
        try:
            with Store.open(tmp_path / "orrery.db") as store:
                store.allocate_timestamp(WORLD_ID, NOW_MS)
        except OrreryError as error:
            failed.append(error)

    threads = [threading.Thread(target=open_and_write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with Store.open(tmp_path / "orrery.db") as store:
        assert store.allocate_timestamp(WORLD_ID, NOW_MS) == NOW_MS + 6


def test_a_second_store_in_one_process_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    """Else another process that ends removes the log, and what is written to it is lost."""
    path = tmp_path / "orrery.db"
    with Store.open(path) as first:
        before = first.rollout_version(), first.data_version()
        with Store.open(path):
            subprocess.run(
                [sys.executable, "-c", _OPEN_AND_CLOSE, str(path)], check=True, timeout=60
            )
            assert (tmp_path / "orrery.db-wal").exists()
            first.audit(NOW_MS, "alice", "look")
        assert (first.rollout_version(), first.data_version()) == before
    with Store.open(path) as again:
        assert [entry.actor for entry in again.audit_entries()] == ["alice", "somebody else"]


_OPEN_AND_CLOSE = """
import sys
from pathlib import Path
from orrery.store import Store
with Store.open(Path(sys.argv[1])) as store:
    store.audit(1, "somebody else", "look")
"""


def test_closing_twice_does_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "orrery.db")
    store.data_version()
    store.close()
    store.close()
