"""The clock: timestamps go by it, and nodes take only what is newer."""

from __future__ import annotations

from collections.abc import Iterator

from orrery.doctor.commands import Commands
from orrery.doctor.finding import Finding, note, problem
from orrery.doctor.snapshot import Snapshot
from orrery.spans import format_age

_TOLERANCE_MS = 60_000


def check_time(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """Whether the clock was set back, and whether something keeps it right."""
    del commands
    time = snapshot.time
    mend = [time.remedy] if time.remedy else []
    behind_ms = time.noted_ms - time.now_ms
    if behind_ms > _TOLERANCE_MS:
        yield problem(
            "clock-behind",
            f"the clock is {format_age(behind_ms)} behind what it was when this home was used "
            "last: rollouts wait until it is set right, and nodes that are seen now count as old",
            *mend,
        )
    elif time.is_synchronized is False:
        yield note(
            "clock-unsynchronized",
            "nothing keeps the clock of this machine right: a revision that is made while it is "
            "ahead is newer than those that follow",
            *mend,
        )
