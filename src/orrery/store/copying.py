"""A copy of a database that is in use, and whether a copy is whole."""

import sqlite3
from contextlib import closing
from pathlib import Path

from orrery.errors import UnreadableError
from orrery.store.engine import explain

_BUSY_TIMEOUT_S = 30


def snapshot(path: Path) -> bytes:
    """The file of a database as it would be if it were closed at this moment.

    Other processes go on reading and writing meanwhile; what they commit is in it whole or not.
    It is made in memory, because what lies on a disk may be left behind there.

    Raises:
        UnreadableError: The database cannot be read.
        ConflictError: Another program has kept it locked for half a minute.
    """
    # SQLite keeps its locks for as long as any connection of this process needs them, so that this
    # one takes none from the store's.
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)) as source,
            closing(sqlite3.connect(":memory:")) as copy,
        ):
            source.backup(copy)
            return copy.serialize()
    except sqlite3.Error as error:
        raise explain(error, path) from error


def check_whole(path: Path) -> None:
    """Refuse a database in which something is damaged.

    Raises:
        UnreadableError: It is, or it cannot be read.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            strays = connection.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.Error as error:
        raise explain(error, path) from error
    if found != "ok" or strays is not None:
        what = found if found != "ok" else f"a row of {strays[0]} belongs to nothing"
        raise UnreadableError(f"{path} is damaged ({what}); use another backup")
