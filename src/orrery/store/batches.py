"""Writing many rows at once, and which of two times counts."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_

Values = dict[str, Any]
"""A row by the names of its columns."""


def execute_many(connection: Connection, statement: Any, rows: Iterable[Values]) -> None:
    """Execute a statement for each row, if there is any."""
    if batch := list(rows):
        connection.execute(statement, batch)


def is_later(new: Any, old: Any, now_ms: int | None) -> ColumnElement[bool]:
    """Whether a new time is to replace an old one: also one from before the clock was set back."""
    return new >= old if now_ms is None else or_(new >= old, old > now_ms)
