"""Signing keys: whether what has to sign the next revision of a World is here."""

from __future__ import annotations

from collections.abc import Iterator

from orrery.doctor.commands import Commands, install_part, quote
from orrery.doctor.finding import Finding, note, problem, warning
from orrery.doctor.snapshot import Published, Snapshot
from orrery.wire.signature import fingerprint


def check_keys(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """The keys of every World."""
    for world in snapshot.worlds:
        yield from _of_a_world(world, snapshot, commands)
    if not snapshot.backups.can_seal and any(
        key.locked for world in snapshot.worlds for key in world.keys.files
    ):
        yield problem(
            "part-missing",
            "signing keys are locked, and the part of Orrery that unlocks them is not installed: "
            "nothing can be signed",
            install_part("lock"),
        )


def _of_a_world(world: Published, snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    keys = world.keys
    if keys.trouble:
        # Modes and owners are told with the command that mends them.
        if not snapshot.disk.has_exposed_secrets:
            place = keys.folder / "current.c25519"
            yield problem(
                "key-unreadable",
                f"the signing keys of {world.title} cannot be used: {keys.trouble}",
                f"install -m 600 KEYFILE {quote(place)}",
            )
        return
    named = world.newest.updates_must_be_signed_by
    publics = {key.public for key in keys.files}
    place = keys.folder / "current.c25519"
    wanted = fingerprint(named)
    if named not in publics and None in publics:
        yield note(
            "key-unknown",
            f"a locked key of {world.title} was put there by hand, and only its passphrase tells "
            f"whether it is {wanted}, which signs the next revision",
            commands.orrery(f"key unlock --world {world.newest.id:016x}"),
            commands.orrery(f"key lock --world {world.newest.id:016x}"),
        )
    elif named not in publics and keys.files:
        yield problem(
            "key-missing",
            f"no key in {keys.folder} is {wanted}, which the newest revision of {world.title} "
            "names: nodes take nothing else; look for it in backups and put it back",
            *_put_back(world),
        )
    elif named not in publics:
        yield warning(
            "key-elsewhere",
            f"the key {wanted}, which signs the next revision of {world.title}, is not here: all "
            "is well if it is kept elsewhere and `orrery key sign` runs there; else look for it",
            f"mkdir -p -m 700 {quote(keys.folder.parent)} {quote(keys.folder)}",
            f"install -m 600 KEYFILE {quote(place)}",
        )
    current = next((key for key in keys.files if key.slot == "current"), None)
    if (
        current is not None
        and named in publics
        and current.public not in (named, None)
        and not world.is_rolling
    ):
        yield note(
            "rotation-pending",
            f"the key of {world.title} was changed to {current.fingerprint}, and no revision "
            "names it yet",
            commands.orrery(f"apply{world.argument}"),
        )
    if any(key.slot == "next" for key in keys.files):
        yield note(
            "rotation-unfinished",
            f"a change of the key of {world.title} was interrupted before its end",
            commands.mend,
        )


def _put_back(world: Published) -> tuple[str, ...]:
    """Where a key goes that was found: among those of former days when a current one is there."""
    folder = world.keys.folder
    if any(key.slot == "current" for key in world.keys.files):
        retired = folder / "retired"
        return (
            f"mkdir -p -m 700 {quote(retired)}",
            f"install -m 600 KEYFILE {quote(retired / 'found.c25519')}",
        )
    return (f"install -m 600 KEYFILE {quote(folder / 'current.c25519')}",)
