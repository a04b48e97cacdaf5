"""What is published: chains that hold, World files that say the same, Worlds without pitfalls."""

from __future__ import annotations

from collections.abc import Iterator

from orrery.doctor.checks.disk import restore_elsewhere
from orrery.doctor.commands import Commands
from orrery.doctor.finding import Finding, Level, note, problem
from orrery.doctor.snapshot import Published, Snapshot
from orrery.rollout.plan import Refusal
from orrery.spans import format_age
from orrery.worlds.locality import is_near_and_far
from orrery.worlds.pitfalls import FUTURE_TOLERANCE_MS, PitfallCode, warnings

_LAST = 2**64 - 1
"""The largest timestamp there is, of which a pitfall tells."""

_LEVELS = {
    PitfallCode.NULL_TYPE: Level.PROBLEM,
    PitfallCode.ID_ZERO: Level.PROBLEM,
    PitfallCode.LAST_TIMESTAMP: Level.PROBLEM,
    PitfallCode.NO_ROOTS: Level.PROBLEM,
    PitfallCode.TOO_MANY_ROOTS: Level.PROBLEM,
    PitfallCode.TOO_MANY_ENDPOINTS: Level.PROBLEM,
    PitfallCode.FAILED_PROOF: Level.PROBLEM,
    PitfallCode.SAME_ADDRESS: Level.PROBLEM,
    PitfallCode.DUPLICATE_ROOT: Level.WARNING,
    PitfallCode.NO_ENDPOINTS: Level.WARNING,
    PitfallCode.NIL_ENDPOINT: Level.WARNING,
    PitfallCode.ZERO_ADDRESS: Level.WARNING,
    PitfallCode.PORT_ZERO: Level.WARNING,
    PitfallCode.UNUSABLE_ADDRESS: Level.WARNING,
    PitfallCode.SHARED_ENDPOINT: Level.WARNING,
    PitfallCode.PRIVATE_ADDRESS: Level.NOTE,
}
"""Not what has no consequence in a home: an order, a fixed timestamp that the next one has not, a
single endpoint, of which the check of single points tells more. Nor an id: nodes take no other."""


_NOWHERE = frozenset((PitfallCode.NIL_ENDPOINT, PitfallCode.ZERO_ADDRESS, PitfallCode.PORT_ZERO))


def check_chains(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """What is published, and what lies in the files."""
    for sentence in snapshot.broken:
        yield problem(
            "chain-broken",
            f"{sentence}: nodes that hold an older revision are stuck there; restore a backup into "
            "another directory and go on there",
            restore_elsewhere(snapshot),
        )
    for world in snapshot.worlds:
        yield from _file(world, commands)
        yield from _time(world, snapshot)
        yield from _pitfalls(world, snapshot, commands)


def _file(world: Published, commands: Commands) -> Iterator[Finding]:
    if world.found == world.led_to.encode():
        return
    wrong = "is missing" if world.found is None else "holds another World than it should"
    yield problem(
        "world-file",
        f"{world.file} {wrong}, and it is what nodes and other roots are given: revision "
        f"{world.led_to.timestamp_ms} belongs there",
        commands.mend,
    )


def _time(world: Published, snapshot: Snapshot) -> Iterator[Finding]:
    ahead_ms = world.newest.timestamp_ms - snapshot.time.now_ms
    if ahead_ms > FUTURE_TOLERANCE_MS and world.newest.timestamp_ms < _LAST:
        yield note(
            "timestamp-ahead",
            f"the newest revision of {world.title} has a timestamp {format_age(ahead_ms)} ahead of "
            "the clock: Orrery counts on from it, so keep to Orrery; tools that stamp the time "
            "make Worlds that every node refuses until then",
        )


def _pitfalls(world: Published, snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    near_and_far = is_near_and_far(world.newest)
    answer = None if world.planned is None else world.planned.answer
    for pitfall in warnings(world.newest, snapshot.time.now_ms):
        level = _LEVELS.get(pitfall.code)
        if level is None or (pitfall.code is PitfallCode.PRIVATE_ADDRESS and near_and_far):
            continue
        mend: tuple[str, ...] = (
            commands.edit(snapshot.settings_path),
            commands.orrery(f"apply{world.argument}"),
        )
        if pitfall.code in _NOWHERE and not isinstance(answer, Refusal):
            # orrery.toml cannot say such a thing, and no plan has a step for it.
            does = "publish" if answer is None or not answer.steps else "apply"
            mend = (commands.orrery(f"{does}{world.argument}"),)
        yield Finding(str(pitfall.code), level, f"{world.title}: {pitfall.sentence}", mend)
