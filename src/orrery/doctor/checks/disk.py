"""Files of the home: who may read and change them, what was left behind, whether there is room."""

from __future__ import annotations

from collections.abc import Iterator

from orrery.doctor.commands import Commands, quote
from orrery.doctor.finding import Finding, note, problem, warning
from orrery.doctor.snapshot import OTHERS, Disk, Entry, Secrecy, Snapshot

_WRITE_BY_ALL = 0o002
_WRITE_BY_GROUP = 0o020
_LEAST_FREE_BYTES = 64 << 20
_MEBIBYTE = 1 << 20


def check_disk(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """Everything about the files of a home, whatever is in them."""
    if snapshot.obstacle:
        remedy = snapshot.remedy or restore_elsewhere(snapshot)
        yield problem("not-open", snapshot.obstacle, remedy)
    disk = snapshot.disk
    for entry in disk.entries:
        yield from _of_an_entry(entry, disk)
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


def _of_an_entry(entry: Entry, disk: Disk) -> Iterator[Finding]:
    what = "directory" if entry.is_directory else "file"
    if entry.owner.uid != disk.owner.uid:
        yield problem(
            "foreign-owner",
            f"{entry.path} belongs to user {entry.owner.uid}, and the home to user "
            f"{disk.owner.uid}, as whom the server runs: it cannot use that {what}",
            f"chown {disk.owner.uid}:{disk.owner.gid} {quote(entry.path)}",
        )
    if entry.secrecy is Secrecy.SECRET:
        if entry.mode & OTHERS:
            holds = "leads to private keys" if entry.is_directory else "holds a private key"
            yield problem(
                "exposed-secret",
                f"{entry.path} {holds} and is open to other users of this machine (mode "
                f"{entry.mode:04o}), so nothing uses it; if one of them may have read it, change "
                "the key too",
                f"chmod {700 if entry.is_directory else 600} {quote(entry.path)}",
            )
        return
    # The group of a user's own is no other user.
    is_own_group = entry.owner.gid == entry.owner.uid
    if entry.mode & (_WRITE_BY_ALL if is_own_group else _WRITE_BY_ALL | _WRITE_BY_GROUP):
        yield problem(
            "writable-by-others",
            f"other users of this machine may change {entry.path} (mode {entry.mode:04o}), and "
            "with it what nodes are told",
            f"chmod go-w {quote(entry.path)}",
        )


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
