"""Backups: whether what cannot be made again lies in a second place."""

from __future__ import annotations

from collections.abc import Iterator

from orrery.doctor.commands import Commands, install_part, quote
from orrery.doctor.finding import Finding, note, problem, warning
from orrery.doctor.snapshot import Snapshot
from orrery.spans import format_age, format_span

_SLACK_MS = 600_000
"""A server that was just told to make backups, or is making one, is not late."""
_STALE_MS = 90 * 86_400_000
"""A backup by hand older than this has forgotten most of the fleet."""


def check_backups(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """Whether there is a backup, and whether more come by themselves."""
    backups = snapshot.backups
    if snapshot.settings is None:
        return  # what they say of backups is not known
    if backups.wanted is not None:
        yield from _by_themselves(snapshot, backups.wanted.every_ms, commands)
    elif not backups.last_at_ms and snapshot.mark is None:
        # A home that was just restored has the backup that it was restored from.
        yield warning(
            "no-backup",
            f"no backup of this home is known: {_only_copy(snapshot)}; [backup] in orrery.toml "
            "makes them by themselves",
            commands.orrery("backup"),
        )
    elif 0 < backups.last_at_ms < snapshot.time.now_ms - _STALE_MS:
        age = format_age(snapshot.time.now_ms - backups.last_at_ms)
        yield warning(
            "backup-old",
            f"the last backup was made {age} ago ({backups.by_hand_place}), and does not know what "
            "was published and seen since; [backup] in orrery.toml makes them by themselves",
            commands.orrery("backup"),
        )
    rotated_ms = max((world.keys.rotated_at_ms for world in snapshot.worlds), default=0)
    if 0 < backups.last_at_ms < rotated_ms:
        yield warning(
            "key-not-in-backup",
            "a signing key was changed after the last backup: only one copy of it is known, in "
            f"{snapshot.path / 'keys.d'}",
            commands.orrery("backup"),
        )


def _by_themselves(snapshot: Snapshot, every_ms: int, commands: Commands) -> Iterator[Finding]:
    backups, now_ms = snapshot.backups, snapshot.time.now_ms
    if not backups.can_seal:
        yield problem(
            "part-missing",
            "[backup] in orrery.toml wants backups, and the part of Orrery that makes them is not "
            "installed, so nothing can be signed",
            install_part("lock"),
        )
    elif backups.obstacle:
        yield problem(
            "backup-place",
            f"{backups.obstacle}: no backup can be made, and so nothing is signed",
            *([] if backups.folder is None else [f"install -d -m 700 {quote(backups.folder)}"]),
        )
    elif backups.newest is not None and not backups.is_whole:
        yield problem(
            "backup-damaged",
            f"{backups.newest}, the newest backup, is no whole backup: it is empty or something "
            "else lies in its place",
            commands.orrery("backup"),
        )
    elif not backups.last_at_ms:
        yield problem(
            "backup-late",
            f"[backup] wants a backup every {format_span(every_ms)}, and there is none yet: "
            f"{_only_copy(snapshot)}",
            commands.orrery("backup"),
        )
    elif now_ms - backups.last_at_ms > every_ms + _SLACK_MS:
        yield problem(
            "backup-late",
            f"[backup] wants a backup every {format_span(every_ms)}, and the last one was made "
            f"{format_age(now_ms - backups.last_at_ms)} ago: `orrery serve` makes them while it "
            "runs, and logs what keeps it from it",
            commands.orrery("backup"),
        )
    if backups.same_disk and not backups.obstacle:
        yield note(
            "backup-same-disk",
            f"backups go to {backups.folder}, on the disk of the home: when that fails, both are "
            "lost; let 'to' be on another one, or another machine collect them",
            commands.edit(snapshot.settings_path),
        )


def _only_copy(snapshot: Snapshot) -> str:
    """What is lost with this disk."""
    has_keys = any(world.keys.files for world in snapshot.worlds)
    if has_keys:
        return (
            f"the only known copy of the signing key is in {snapshot.path / 'keys.d'}, and no "
            "node ever takes an update without it"
        )
    return "its identity and what it knows of nodes are lost with this disk"
