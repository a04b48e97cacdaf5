"""Connections and transactions: SQLite as Orrery wants it, its errors as sentences.

Every connection waits for a lock instead of failing at once, holds foreign keys to be true and
makes a commit wait for the disk. A write transaction takes the write lock at its beginning
(BEGIN IMMEDIATE), so that what it reads is still true when it writes.
"""

import errno
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from orrery.errors import ConflictError, OrreryError, ServiceError, UnreadableError

_BUSY_TIMEOUT_MS = 30_000
_RETRY_S = 0.01
_BY_EFFECTIVE_IDS = os.access in os.supports_effective_ids
_WRITES = "orrery_writes"


def create_file(path: Path) -> None:
    """See to it that the database file exists and is its owner's alone.

    The file is never opened here: to close it again would take away every lock that SQLite holds on
    it in this process (POSIX), and the next process that ends would take the database for unused
    and remove the log that this one goes on to write to.

    SQLite gives the files beside it (`-wal`, `-shm`) the mode and owner of the database.

    Raises:
        UnreadableError: The file can be neither created nor opened.
    """
    try:
        with suppress(FileExistsError):
            os.mknod(path, stat.S_IFREG | 0o600)
        found = path.stat()
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=_BY_EFFECTIVE_IDS):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UnreadableError(
            f"{path} cannot be opened ({error.strerror}); check that its directory exists and "
            "that you may write there"
        ) from error
    try:
        if found.st_mode & 0o177:
            path.chmod(0o600)
        home = path.parent.stat()
        # Only root can be somebody else than the home's owner here: what it creates is for them.
        if os.geteuid() == 0 and found.st_size == 0 and found.st_uid != home.st_uid:
            os.chown(path, home.st_uid, home.st_gid)
    except OSError as error:
        raise UnreadableError(
            f"{path} cannot be made private ({error.strerror}); run the command as its owner"
        ) from error


def connect(path: Path) -> Engine:
    """An engine on the database file."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, _record: object) -> None:
    # The sqlite3 module would begin transactions when it thinks fit; _on_begin does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    _use_log(cursor)
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _use_log(cursor: sqlite3.Cursor) -> None:
    """Let the database write a log ahead (WAL); who finds others doing so waits for them.

    SQLite fails at once here, whatever the busy timeout says.
    """
    end_s = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
            if not is_busy or time.monotonic() > end_s:
                raise
            time.sleep(_RETRY_S)


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine, path: Path) -> Iterator[Connection]:
    """A transaction that sees one state of the database and changes nothing."""
    with sentences(path), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine, path: Path) -> Iterator[Connection]:
    """A transaction that holds the write lock; committed, and on disk, when left without error."""
    with (
        sentences(path),
        engine.connect().execution_options(**{_WRITES: True}) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Let the database's errors come out as Orrery's."""
    try:
        yield
    except DBAPIError as error:
        raise explain(error.orig, path) from error


_DISK_ERRORS = frozenset(
    (
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_IOERR,
    )
)
_ROOM_BYTES = 64 << 10
"""What SQLite needs beside a database to open it."""


def _is_disk_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _ROOM_BYTES
    except OSError:
        return False


def explain(error: BaseException | None, path: Path) -> OrreryError:
    """The sentence for an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return ConflictError(
            f"{path} has been locked by another program for {_BUSY_TIMEOUT_MS // 1000} s; "
            "wait until that program is done, then try again"
        )
    # Without room for the index beside it, a database cannot even be read.
    if code == sqlite3.SQLITE_FULL or (code in _DISK_ERRORS and _is_disk_full(path)):
        return UnreadableError(
            f"{path} cannot grow, the disk is full; free some space and try again: "
            "what the failed command wrote was undone"
        )
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return UnreadableError(
            f"{path} is not a whole SQLite database ({error}); put a backup of the home in place"
        )
    if code in _DISK_ERRORS:
        return UnreadableError(
            f"{path} cannot be read or written ({error}); check the disk and that the file is yours"
        )
    return ServiceError(f"{path}: a statement failed in a way that is a fault of Orrery: {error}")
