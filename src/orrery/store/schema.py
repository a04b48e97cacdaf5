"""Brings a database to the tables of this version of Orrery, or refuses it.

Alembic does the work and is imported only when there is any: most openings find the database as
it should be, and the import costs more than everything else that a short command does.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from orrery.errors import UnreadableError

NEWEST_MIGRATION = "0003"
"""The last module in `migrations/versions`; a test holds it to that."""


def is_current(connection: Connection) -> bool:
    """Whether the database needs no migration."""
    return _migration_of(connection) == NEWEST_MIGRATION


def migrate(connection: Connection, name: str) -> None:
    """Run the missing migrations inside the caller's write transaction.

    Args:
        connection: A connection inside a transaction that holds the database's write lock.
        name: What to call the database in an error.

    Raises:
        UnreadableError: The database was written by a newer Orrery, or is somebody else's.
    """
    found = _migration_of(connection)
    if found == NEWEST_MIGRATION:
        return  # another process migrated it while this one waited for the lock
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise UnreadableError(
            f"{name} was written by a newer Orrery (its tables are of migration {found}, this "
            f"version knows up to {NEWEST_MIGRATION}); update Orrery to open it"
        )
    if found is None and inspect(connection).get_table_names():
        raise UnreadableError(
            f"{name} is a database, but not one of Orrery's; move it away or name another home"
        )
    command.upgrade(config, "head")


def _migration_of(connection: Connection) -> str | None:
    """The migration that the database is at, None for an empty or foreign one."""
    table = connection.execute(
        text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'")
    ).first()
    if table is None:
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
