"""What became of a deploy on a host, and how it is told meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orrery.wire.address import Address


class Result(StrEnum):
    """How a deploy on a host ended.

    UP_TO_DATE: it holds all that it should. WOULD_DEPLOY: of a dry run. DEPLOYED: it holds it now.
    PUT_BACK: it did not do with the new files, and the old ones run again. UNREACHABLE. REFUSED: by
    us, before anything was changed. BUSY: somebody else deploys there. FAILED: none of these; the
    sentence says how the host stands. SKIPPED: not tried, because one before it failed.
    """

    UP_TO_DATE = "up-to-date"
    WOULD_DEPLOY = "would-deploy"
    DEPLOYED = "deployed"
    PUT_BACK = "put-back"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    BUSY = "busy"
    FAILED = "failed"
    SKIPPED = "skipped"


class Step(StrEnum):
    """What is being done for a host; WAIT is for its turn, MEND ends what was cut off."""

    WAIT = "wait"
    CONNECT = "connect"
    LOOK = "look"
    MEND = "mend"
    BACK_UP = "back-up"
    UPLOAD = "upload"
    INSTALL = "install"
    RESTART = "restart"
    CHECK = "check"
    PUT_BACK = "put-back"
    DONE = "done"


Progress = Callable[[str, Step, str], None]
"""Told of a host, what is done for it now, and words on it; `Step.DONE` comes last for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a deploy on a host.

    Attributes:
        host: Its name.
        result: How it ended.
        sentence: The same for people.
        is_root: Whether the node is a root.
        node: Its address, where it is known.
        installed: Names of the Worlds of which files were written.
        restarted: Whether the service was restarted.
        backup: Where the files that were there are kept here.
    """

    host: str
    result: Result
    sentence: str
    is_root: bool = False
    node: Address | None = None
    installed: tuple[str, ...] = ()
    restarted: bool = False
    backup: Path | None = None

    @property
    def is_good(self) -> bool:
        """Whether the host holds what it should, or would after a dry run."""
        return self.result in (Result.UP_TO_DATE, Result.DEPLOYED, Result.WOULD_DEPLOY)
