"""Arguments that say more than a word: a mistake in one is a mistake of usage."""

from collections.abc import Callable
from typing import TypeVar

from orrery.errors import DecodeError, UsageError

ReadT = TypeVar("ReadT")


def read_argument(name: str, text: str, read: Callable[[str], ReadT]) -> ReadT:
    """What an argument means.

    Args:
        name: of the argument, `--listen`, for who made a mistake.
        text: as it was typed.
        read: reads it, and raises a `DecodeError` for what it does not take.

    Raises:
        UsageError: it means nothing.
    """
    try:
        return read(text)
    except DecodeError as error:
        raise UsageError(f"{name}: {error}") from None
