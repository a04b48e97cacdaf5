"""One thing that the owner of what is adopted should know."""

from dataclasses import dataclass
from enum import StrEnum


class FindingCode(StrEnum):
    """The kinds of findings that only adopting makes; others are those of notes and pitfalls."""

    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    EXPOSED_SECRET = "exposed-secret"  # noqa: S105 - a word, no secret
    SECRET_IN_DOWNLOADS = "secret-in-downloads"  # noqa: S105 - likewise
    SECRET_IN_ZIP = "secret-in-zip"  # noqa: S105 - likewise
    FOREIGN_KEY = "foreign-key"
    FOREIGN_IDENTITY = "foreign-identity"
    FOREIGN_WORLD = "foreign-world"
    ALTERED = "altered"
    FORK = "fork"
    OTHER_PLANET = "other-planet"
    NOT_SERVED = "not-served"
    DOWNLOAD_BEHIND = "download-behind"
    ROOT_BEHIND = "root-behind"
    DRAFT_DIFFERS = "draft-differs"
    PORT_DIFFERS = "port-differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was noticed, and how it is mended.

    Attributes:
        code: a stable word for programs.
        sentence: what it leads to, for people.
        mend: commands that mend it, in their order.
    """

    code: str
    sentence: str
    mend: tuple[str, ...] = ()
