"""What is noticed while a file is read, and what its own tool does without a word."""

from dataclasses import dataclass
from enum import StrEnum


class NoteCode(StrEnum):
    """The kinds of notes."""

    TRAILING_BYTES = "trailing-bytes"
    CUT_SHORT = "cut-short"
    MORE_THAN_SIGNED = "more-than-signed"
    SECRET_IN_ROOT = "secret-in-root"  # noqa: S105 - a word, no secret
    ENDPOINT_MISREAD = "endpoint-misread"
    KEY_MISMATCH = "key-mismatch"
    NO_NEXT_KEY = "no-next-key"
    STAMPS_FIXED_TIME = "stamps-fixed-time"
    DRAWS_RANDOM_ID = "draws-random-id"


OF_ITS_TOOL = frozenset(
    {NoteCode.NO_NEXT_KEY, NoteCode.STAMPS_FIXED_TIME, NoteCode.DRAWS_RANDOM_ID}
)
"""What the tool of a file does when it signs; it does not concern who signs without it."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know about a file, beside the pitfalls of the World in it.

    Attributes:
        code: a stable word for programs.
        sentence: what it leads to and how to mend it, for people.
    """

    code: NoteCode
    sentence: str
