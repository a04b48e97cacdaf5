"""Files of the home: who may read and change them, what was left behind, whether there is room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orrery.doctor.commands import Commands, quote
from orrery.doctor.finding import Finding, note, problem, warning
from orrery.doctor.snapshot import OTHERS, Disk, Entry, Secrecy, Snapshot

_WRITE_BY_ALL = 0o002
_WRITE_BY_GROUP = 0o020
_LEAST_FREE_BYTES = 64 << 20
_MEBIBYTE = 1 << 20
_SHOWN = 4


def check_disk(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """Everything about the files of a home, whatever is in them."""
    if snapshot.obstacle:
        remedy = snapshot.remedy or restore_elsewhere(snapshot)
        yield problem("not-open", snapshot.obstacle, remedy)
    disk = snapshot.disk
    yield from _entries(disk)
    if disk.damage:
        yield problem(
            "database-damaged",
            f"the database is damaged ({disk.damage}), so what it says of revisions and nodes may "
            "be wrong: restore a backup into another directory and go on there",
            restore_elsewhere(snapshot),
        )
    if disk.leftovers and not disk.is_changing:
        names = ", ".join(path.name for path in disk.leftovers[:3])
        yield note(
            "leftovers",
            f"an interrupted command left {len(disk.leftovers)} "
            f"file{'s' * (len(disk.leftovers) > 1)} behind ({names}), which nothing uses",
            commands.mend,
        )
    for place in disk.abandoned:
        yield warning(
            "abandoned-restore",
            f"{place} was left by an `orrery restore` that was interrupted, and has the private "
            "keys of that home in it",
            f"rm -r {quote(place)}",
        )
    yield from _room(snapshot)


def restore_elsewhere(snapshot: Snapshot) -> str:
    """Make another home of the last backup; BACKUP where none is known."""
    backups = snapshot.backups
    file = "BACKUP" if backups.newest is None else quote(backups.newest)
    home = snapshot.path.resolve()
    return f"orrery restore {file} --home {quote(home.with_name(f'{home.name}-restored'))}"


def _entries(disk: Disk) -> Iterator[Finding]:
    """One finding for each kind of mistake, with a command for each place."""
    owner = disk.owner
    foreign = [entry for entry in disk.entries if entry.owner.uid != owner.uid]
    if foreign:
        yield problem(
            "foreign-owner",
            f"{_places(foreign)} {_belong(foreign)} to another user than the home, as whose owner "
            f"(user {owner.uid}) the server runs: it cannot use what it needs",
            *(f"chown {owner.uid}:{owner.gid} {quote(entry.path)}" for entry in foreign),
        )
    exposed = [
        entry for entry in disk.entries if entry.secrecy is Secrecy.SECRET and entry.mode & OTHERS
    ]
    if exposed:
        yield problem(
            "exposed-secret",
            "private keys are open to other users of this machine, so nothing uses them: "
            f"{_places(exposed)}; if somebody may have read one, change it too",
            *(
                f"chmod {700 if entry.is_directory else 600} {quote(entry.path)}"
                for entry in exposed
            ),
        )
    writable = [entry for entry in disk.entries if _is_writable_by_others(entry)]
    if writable:
        yield problem(
            "writable-by-others",
            f"other users of this machine may change {_places(writable)}, and with that what nodes "
            "are told",
            *(f"chmod go-w {quote(entry.path)}" for entry in writable),
        )


def _is_writable_by_others(entry: Entry) -> bool:
    if entry.secrecy is Secrecy.SECRET:
        return False  # which says less than that others can read it
    # The group of a user's own is no other user.
    is_own_group = entry.owner.gid == entry.owner.uid
    others = _WRITE_BY_ALL if is_own_group else _WRITE_BY_ALL | _WRITE_BY_GROUP
    return bool(entry.mode & others)


def _places(entries: Sequence[Entry]) -> str:
    shown = ", ".join(f"{entry.path} (mode {entry.mode:04o})" for entry in entries[:_SHOWN])
    return shown + (f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else "")


def _belong(entries: Sequence[Entry]) -> str:
    return "belongs" if len(entries) == 1 else "belong"


def _room(snapshot: Snapshot) -> Iterator[Finding]:
    disk = snapshot.disk
    if disk.free_bytes < max(_LEAST_FREE_BYTES, disk.needed_bytes):
        yield problem(
            "disk-full",
            f"the disk of the home has {disk.free_bytes // _MEBIBYTE} MiB left: nodes are served "
            "all the same, and soon nothing can be published or recorded any more; remove what is "
            "not needed, or give it more room",
            f"du -xh {quote(snapshot.path)} | sort -h | tail -n 20",
        )
