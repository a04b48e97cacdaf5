"""One thing that the owner of a home should know."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters.

    PROBLEM: something does not work, or will not when it is needed; it needs doing, and the exit
    status says so. WARNING: all works, and one mishap more would cost what does not come back.
    NOTE: worth knowing, and often as it is meant.
    """

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for what matters most."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was noticed, and how it is mended.

    Attributes:
        code: A stable word for programs.
        level: How much it matters.
        sentence: What is wrong, where, and what it leads to.
        mend: Commands that mend it, in their order.
    """

    code: str
    level: Level
    sentence: str
    mend: tuple[str, ...] = ()


def problem(code: str, sentence: str, *mend: str) -> Finding:
    """A finding that needs doing."""
    return Finding(code, Level.PROBLEM, sentence, mend)


def warning(code: str, sentence: str, *mend: str) -> Finding:
    """A finding that may cost much one day."""
    return Finding(code, Level.WARNING, sentence, mend)


def note(code: str, sentence: str, *mend: str) -> Finding:
    """A finding that is worth knowing."""
    return Finding(code, Level.NOTE, sentence, mend)
