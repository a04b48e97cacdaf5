"""Publishing: from what `orrery.toml` wants to the next revision of a chain.

The order of steps is what keeps a home whole: first everything that can be refused is, then a
timestamp is given out and is used up, then a backup is made where one is wanted, then the World is
signed and judged as a node will judge it, then it is stored, which is the moment when it is
published, and last its file is written. Dying before the store has it leaves a timestamp unused;
dying after leaves a file behind the store, which the next writer mends.
"""

import getpass
from collections.abc import Callable
from dataclasses import dataclass, replace

from orrery.custody import KeyFile
from orrery.custody.durable import unreadable
from orrery.errors import (
    ConflictError,
    CustodyError,
    DecodeError,
    NothingNewError,
    PlanError,
    UnreadableError,
    VerifyError,
)
from orrery.home.backing_up import back_up_before_signing
from orrery.home.home import DATABASE_NAME, Home
from orrery.home.resolving import ResolvedRoot, Resolver, resolve
from orrery.home.settings import WorldSettings
from orrery.home.unsettled import check_settled
from orrery.store import AuditEntry, Revision
from orrery.wire.signature import fingerprint
from orrery.wire.world import UNSIGNED, Root, World, WorldType
from orrery.worlds.acceptance import check_update
from orrery.worlds.earth import EARTH
from orrery.worlds.ordering import sort_roots


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be published now, unsigned.

    Attributes:
        world: The World, with the timestamp of the revision before.
        newest: The revision before, None for the first.
        rotates_key: Whether it names another key than the revision before.
        strands_everyone: Whether no root keeps an endpoint, so that a node which holds the
            revision before finds nobody who could hand it this one.
        roots: The roots as `orrery.toml` names them, with what their names stood for.
    """

    world: World
    newest: Revision | None
    rotates_key: bool
    strands_everyone: bool
    roots: tuple[ResolvedRoot, ...]


def propose(home: Home, name: str, resolver: Resolver | None = None) -> Proposal:
    """What `publish` would publish for a World.

    Args:
        home: The home.
        name: The World's name or id.
        resolver: Tells what names stand for; the DNS when left out.

    Raises:
        ResolveError: A name stands for nothing that a World can hold.
        NothingNewError: Nothing would change.
        PlanError: The World would be another one for every node.
        ConflictError: A World file shows that the database has lost its revisions.
        VerifyError: A new root's identity does not hold.
        CustodyError: The key to be named is missing, locked and unknown, or open to others.
        DecodeError: `orrery.toml` has mistakes.
    """
    settings = home.settings()
    wanted = settings.world(name)
    newest = home.store.newest(wanted.id)
    before = newest.world if newest is not None else None
    if before is None:
        _check_no_other_planet(home, wanted)
    elif before.type is not wanted.type:
        raise PlanError(
            f"World {wanted.id:016x} is published as a {before.type.name.lower()}, and nodes take "
            f"no {wanted.kind} in its place; give the {wanted.kind} another id"
        )
    resolved = resolve(settings, wanted, resolver, published=before)
    roots = sort_roots(each.root for each in resolved)
    _check_new_identities(roots, before)
    if before is None and not home.keys.keys(wanted.id):
        raise CustodyError(
            f"World {wanted.name!r} has no signing key yet; make one with "
            f"`orrery key new --world {wanted.name}`"
        )
    key = home.keys.current_public(wanted.id)
    world = World(
        type=wanted.type,
        id=wanted.id,
        timestamp_ms=before.timestamp_ms if before is not None else 0,
        updates_must_be_signed_by=key,
        roots=roots,
        dictionary=before.dictionary if before is not None else b"",
    )
    if before is None:
        _check_not_forgotten(home, world)
    if before is not None and world == replace(
        before, signature=UNSIGNED, roots=sort_roots(before.roots)
    ):
        raise NothingNewError(
            f"there is nothing to publish: {home.settings_path.name} says of {wanted.name!r} what "
            "its newest revision says; change it first"
        )
    return Proposal(
        world,
        newest,
        rotates_key=before is not None and before.updates_must_be_signed_by != key,
        strands_everyone=before is not None and not _places(before.roots) & _places(roots),
        roots=resolved,
    )


def publish(
    home: Home,
    name: str,
    now_ms: int,
    *,
    proposal: Proposal | None = None,
    strand_everyone: bool = False,
    note: str = "",
    actor: str | None = None,
) -> Revision:
    """Sign what `orrery.toml` says of a World as its next revision, store it and write its file.

    Args:
        home: The home, open as a writer.
        name: The World's name or id.
        now_ms: The clock; the timestamp is this, or more where the chain is already there.
        proposal: What `propose` said, to publish that and nothing that `orrery.toml` or the DNS
            says since; asked for when left out.
        strand_everyone: Publish although no root keeps an endpoint.
        note: What to remember about this revision.
        actor: Who does it, for the audit; the user of the process when left out.

    Raises:
        PlanError: Nothing would change, every node would be stranded, or the home was restored and
            it is not known what was published since.
        ResolveError: A name stands for nothing that a World can hold.
        CustodyError: The key that must sign is missing, locked or open to others.
        ConflictError: A rollout of this World goes on, or another writer was faster.
        UpdateRefused: A node would not take the revision.
        VerifyError: A new root's identity does not hold.
        DecodeError: `orrery.toml` has mistakes.
        UnreadableError: Something cannot be written; nothing is signed without the backup that
            `[backup]` asks for. When it is the World file, the revision is
            published all the same, and the next writer writes the file.
    """
    home.check_writer()
    check_settled(home)
    check_no_rollout(home, home.settings().world(name))
    if proposal is None:
        proposal = propose(home, name)
    newest = proposal.newest
    world = proposal.world
    if proposal.strands_everyone and not strand_everyone:
        raise PlanError(
            f"every node would be stranded: no root of {name!r} keeps an endpoint of the last "
            "revision, so no node could be told of the new ones; keep one endpoint until every "
            "node has this revision, or say --strand-everyone"
        )
    signing_key = (
        world.updates_must_be_signed_by
        if newest is None
        else newest.world.updates_must_be_signed_by
    )
    signer = home.keys.signer_for(world.id, signing_key)
    timestamp_ms = home.store.allocate_timestamp(world.id, now_ms)
    back_up_before_signing(home, now_ms)
    signed = replace(world, timestamp_ms=timestamp_ms).sign(signer)
    check_as_a_node(newest.world if newest is not None else None, signed, signer.public)
    revision = home.store.add_revision(
        signed,
        now_ms,
        note,
        after_ms=newest.world.timestamp_ms if newest is not None else 0,
        audit=AuditEntry(
            now_ms,
            actor if actor is not None else user_name(),
            "publish",
            f"World {signed.id:016x} revision {timestamp_ms}, signed by {signer.fingerprint}, "
            f"names {fingerprint(signed.updates_must_be_signed_by)}"
            + (", strands everyone" if proposal.strands_everyone else ""),
        ),
    )
    _give_to_everybody(home, world.id, now_ms, actor)
    try:
        home.write_world(home.led_to(signed))
    except UnreadableError as error:
        raise UnreadableError(
            f"revision {timestamp_ms} of {name!r} is published, but not yet written to its file: "
            f"{error}; the next command that changes the home writes it"
        ) from error
    return revision


def release(home: Home, name: str, now_ms: int, *, actor: str | None = None) -> bool:
    """Give the newest revision to everybody, where a rollout that was stopped holds some back.

    Args:
        home: The home, open as a writer.
        name: The World's name or id.
        now_ms: The clock.
        actor: Who does it, for the audit; the user of the process when left out.

    Returns:
        Whether anybody was held back.

    Raises:
        ConflictError: A rollout of this World goes on.
        UnreadableError: The World file cannot be written; the next writer writes it.
    """
    home.check_writer()
    world = home.settings().world(name)
    check_no_rollout(home, world)
    released = _give_to_everybody(home, world.id, now_ms, actor)
    home.write_worlds()
    return released


def _give_to_everybody(home: Home, world_id: int, now_ms: int, actor: str | None) -> bool:
    last = next(iter(home.store.rollouts(1, world_id=world_id)), None)
    if last is None or last.served is None:
        return False
    home.store.update_rollout(
        replace(last, served=None),
        now_ms,
        audit=AuditEntry(
            now_ms,
            actor if actor is not None else user_name(),
            "release",
            f"World {world_id:016x}, nodes held back at {last.served.held_back_ms}",
        ),
    )
    return True


def check_no_rollout(home: Home, world: WorldSettings) -> None:
    """Refuse what would come between the steps of a rollout.

    Raises:
        ConflictError: One of this World goes on.
    """
    rollout = home.store.active_rollout(world.id)
    if rollout is not None:
        raise ConflictError(
            f"a rollout of {world.name!r} goes on and is {rollout.state}: wait until it is done, "
            "which `orrery status` tells, or take it back with `orrery rollback`"
        )


def rotate_key(
    home: Home,
    name: str,
    now_ms: int,
    entropy: Callable[[int], bytes],
    *,
    locked: bool | None = None,
    actor: str | None = None,
) -> KeyFile:
    """Make the key that the next revision will name; the last one stays to sign that revision.

    For a World that has neither revision nor key, this makes its first key.

    Args:
        home: The home, open as a writer.
        name: The World's name or id.
        now_ms: The clock.
        entropy: Gives so many random bytes, `os.urandom`.
        locked: Whether to lock the new key with a passphrase; as the last one when left out.
        actor: Who does it, for the audit.

    Raises:
        ConflictError: The last rotation is not published yet: with another one, the key that has
            to sign would be two places back.
        PlanError: The World has a key already, and no revision that names it.
        CustodyError: As `KeyStore.new_key`.
    """
    home.check_writer()
    world = home.settings().world(name)
    newest = home.store.newest(world.id)
    named = None if newest is None else newest.world.updates_must_be_signed_by
    if newest is None and home.keys.keys(world.id):
        raise PlanError(
            f"World {world.name!r} has no revision yet, so its key need not change; publish it "
            "first"
        )
    if named is not None and (current := home.keys.current_public(world.id)) != named:
        raise ConflictError(
            f"the key of {world.name!r} was changed to {fingerprint(current)} already, and no "
            f"revision says so yet (the newest names {fingerprint(named)}): let one name it "
            "first, with `orrery apply`"
        )
    key = home.keys.new_key(world.id, entropy, locked=locked)
    home.store.audit(
        now_ms,
        actor if actor is not None else user_name(),
        "rotate key",
        f"World {world.id:016x} will name {key.fingerprint}",
    )
    return key


def _check_no_other_planet(home: Home, wanted: WorldSettings) -> None:
    if wanted.type is not WorldType.PLANET:
        return
    for world in home.served_worlds():
        if world.type is WorldType.PLANET:
            raise PlanError(
                f"this home has published the planet {world.id:016x}, and "
                f"{home.settings_path.name} now says {wanted.id:016x}: no node would take a planet "
                "of another id; put the id back, or make a new home for a new planet"
            )


def _check_not_forgotten(home: Home, world: World) -> None:
    """Refuse a first revision of a World of which nodes may hold later ones."""
    path = home.world_path(world)
    try:
        found = World.decode(path.read_bytes())
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(path, "read", error) from error
    except DecodeError:
        return
    official = found.updates_must_be_signed_by == EARTH.updates_must_be_signed_by
    if found.id == world.id and not official:
        raise ConflictError(
            f"{path} is a revision of World {world.id:016x}, and {DATABASE_NAME} knows none: put "
            "the database back from a backup, or move that file away if no node holds this World"
        )


def _check_new_identities(roots: tuple[Root, ...], before: World | None) -> None:
    known = {root.identity for root in before.roots} if before is not None else set()
    for root in roots:
        if root.identity not in known:
            root.identity.validate()


def _places(roots: tuple[Root, ...]) -> set[tuple[object, object]]:
    """Where a node can find whom: the endpoints of each identity."""
    return {(root.identity, endpoint) for root in roots for endpoint in root.endpoints}


def check_as_a_node(before: World | None, signed: World, public_key: bytes) -> None:
    """Judge the bytes as a node will, from what it holds and from nothing else."""
    received = World.decode(signed.encode())
    received.verify(public_key)
    check_update(before, received)
    if received != signed:
        raise VerifyError(
            f"World {signed.id:016x} does not read as it was written; this is a fault of Orrery, "
            "nothing was published"
        )


def user_name() -> str:
    """Who runs this process, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
