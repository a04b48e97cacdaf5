"""A home for what was found: its first revision is the World that nodes hold, byte for byte.

Made in the order of `orrery.home.creating`, so that every half can be continued: a note that the
home is unfinished, the identity, the settings, the keys, the revisions, and last the note goes.
Nothing is written into what was adopted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orrery.custody import read_identity_secret, write_identity
from orrery.custody.durable import make_directory, remove, unreadable, write_file
from orrery.custody.identity_file import SECRET_NAME
from orrery.errors import ConflictError, PlanError, UsageError
from orrery.home.acquaintances import keep_acquaintances
from orrery.home.adopting.judging import Findings, WorldFound
from orrery.home.adopting.recognizing import IdentityFile
from orrery.home.adopting.wanting import adopted_text
from orrery.home.home import (
    ADOPTING_NAME,
    DATABASE_NAME,
    PLANET_NAME,
    UNFINISHED_NAME,
    Clock,
    Home,
    called,
    wall_clock_ms,
)
from orrery.home.named_endpoint import WantedEndpoint
from orrery.home.publishing import user_name
from orrery.home.settings import FILE_NAME
from orrery.store import AuditEntry
from orrery.wire.address import Address, format_address
from orrery.wire.identity import Identity
from orrery.wire.signature import fingerprint
from orrery.wire.world import World
from orrery.worlds.earth import EARTH
from orrery.worlds.wording import describe_world

_NOTE = b"orrery adopt has not come to its end here; run it again.\n"


class Role(StrEnum):
    """What the home's own root is to the World that is adopted."""

    IN_PLACE = "in-place"
    """It has the identity of a root, and takes the place of the zerotier-one there."""
    BESIDE = "beside"
    """It has an identity of its own, and joins as one more root."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who the home's own root is to be.

    Attributes:
        role: in the place of a root, or beside them.
        identity: None where a new one is to be made.
        found: the file it was found in.
        why: in words.
    """

    role: Role
    identity: Identity | None
    found: IdentityFile | None
    why: str


def choose_identity(
    findings: Findings, *, given: Identity | None = None, beside: bool | None = None
) -> Choice:
    """Who the home's own root is to be.

    A root whose secret was found is taken over, except where its zerotier-one is a network
    controller too: that one has to keep running, with the same identity.

    Args:
        findings: what was found.
        given: an identity that the user names.
        beside: join as a new root, or take the place of one; None to go by what was found.

    Raises:
        PlanError: a root's place is to be taken, and no root's secret was found.
    """
    roots = [root for world in findings.worlds for root in world.roots]
    if given is not None:
        listed = any(root.root.identity == given for root in roots)
        return Choice(
            Role.IN_PLACE if listed else Role.BESIDE,
            given,
            None,
            "the identity that was named" + (", a root of the World" if listed else ""),
        )
    found = [(root, root.secrets[0]) for root in roots if root.secrets]
    if beside is False and not found:
        raise PlanError(
            "no secret of a root was found, so Orrery can take no root's place: name the folder "
            "with its identity.secret, or leave out --in-place"
        )
    if not found:
        return Choice(Role.BESIDE, None, None, "a new one: no secret of a root was found")
    free = [(root, secret) for root, secret in found if not root.networks]
    if beside is None and not free:
        networks = found[0][0].networks
        name = format_address(found[0][1].identity.address)
        return Choice(
            Role.BESIDE,
            None,
            None,
            f"a new one: zerotier-one on root {name} is the controller of {networks} "
            f"network{'s' * (networks != 1)} too, and keeps running",
        )
    if beside:
        return Choice(Role.BESIDE, None, None, "a new one, as you said")
    root, secret = (free or found)[0]
    why = f"that of a root, from {secret.source.place}"
    if root.networks:
        why += ", whose network controller ends with its zerotier-one"
    return Choice(Role.IN_PLACE, secret.identity, secret, why)


def check_apart(paths: Sequence[Path], home: Path) -> None:
    """Refuse a home that is in what is adopted, or around it: nothing may be written there.

    Raises:
        UsageError: it is.
    """
    own = home.resolve()
    for path in paths:
        other = path.resolve()
        if own == other or other in own.parents or own in other.parents:
            raise UsageError(
                f"--home {home} and {path} are in one another, and nothing is written into what is "
                "adopted: name a directory elsewhere"
            )


def check_adoptable(findings: Findings) -> None:
    """Refuse to adopt where there is nothing, or what is a home of Orrery already.

    Raises:
        PlanError: there is no World of one's own.
        UsageError: it is a home.
    """
    for folder in sorted(findings.recognized.orrery_homes):
        raise UsageError(
            f"{folder} is a home of Orrery already: use it with --home {folder}, there is nothing "
            "to adopt"
        )
    if not findings.worlds:
        raise PlanError(f"there is nothing to adopt: {findings.why_nothing}")


def check_wish(
    findings: Findings,
    choice: Choice,
    *,
    endpoints: Mapping[Address, Sequence[WantedEndpoint]] | None = None,
    join: Sequence[WantedEndpoint] = (),
) -> None:
    """Refuse what orrery.toml could not say, before anything is made.

    Raises:
        PlanError: it could not.
        UsageError: an endpoint is given for what is no root.
        VerifyError: the identity does not hold.
    """
    worlds = [each.world for each in findings.worlds]
    roots = {root.identity.address for world in worlds for root in world.roots}
    for address in endpoints or ():
        if address not in roots:
            raise UsageError(
                f"{format_address(address)} is no root of what is adopted: there are "
                + ", ".join(sorted(format_address(each) for each in roots))
            )
    if choice.identity is not None:
        choice.identity.validate()
    # A new identity is made later, and joins as any other would that is no root here.
    own = choice.identity or EARTH.roots[0].identity
    adopted_text(worlds, own, endpoints=endpoints, join=join)


def adopt(
    findings: Findings,
    path: Path,
    now_ms: int,
    choice: Choice,
    *,
    entropy: Callable[[int], bytes],
    endpoints: Mapping[Address, Sequence[WantedEndpoint]] | None = None,
    join: Sequence[WantedEndpoint] = (),
    progress: Callable[[int], None] | None = None,
    clock: Clock = wall_clock_ms,
    wait_s: float = 10,
) -> Home:
    """Make the home, or go on making one that was interrupted.

    Args:
        findings: what was found.
        path: the directory of the home.
        now_ms: the clock.
        choice: who its own root is to be.
        entropy: gives so many random bytes, `os.urandom`.
        endpoints: where roots are, in place of what the Worlds say.
        join: where nodes will reach the own root, which then joins the first World.
        progress: called while an identity is made, with the number of tries so far.
        clock: tells the time, for the names of backups.
        wait_s: how long to wait for another writer.

    Returns:
        The home, open as a writer.

    Raises:
        ConflictError: there is a home already, or a planet or identity of somebody else's.
        PlanError: nothing is to be adopted, or a World says what no setting can.
        UsageError: the path is no directory.
        CustodyError: a key file there is another one, or open to others.
        VerifyError: the identity does not hold.
        UnreadableError: something cannot be written.
    """
    check_adoptable(findings)
    check_wish(findings, choice, endpoints=endpoints, join=join)
    worlds = [each.world for each in findings.worlds]
    try:
        is_other = path.exists() and not path.is_dir()
    except OSError as error:
        raise unreadable(path, "opened", error) from error
    if is_other:
        raise UsageError(f"{path} is not a directory; name one that is, or that is not there yet")
    make_directory(path, 0o700)
    home = Home(path, clock=clock)
    home.acquire(wait_s)
    try:
        begun = _check_free(path)
        identity = _identity(path, choice, entropy, progress, begun=begun)
        text = adopted_text(worlds, identity, endpoints=endpoints, join=join)
        _check_planet(path, worlds, findings.surroundings, begun=begun)
        write_file(path / ADOPTING_NAME, _NOTE, 0o600, home.owner)
        write_identity(path, identity, home.owner)
        home.save_settings(text)
        home.keys.recover()
        for found in findings.worlds:
            _keep_keys(home, found)
        home.open_store()
        for found in findings.worlds:
            _add_revision(home, found, now_ms)
        if findings.surroundings is not None:
            write_file(path / PLANET_NAME, findings.surroundings.encode(), 0o644, home.owner)
        _keep_acquaintances(home, choice, now_ms)
        home.recover()  # writes the World files
        remove(path / ADOPTING_NAME)
    except BaseException:
        home.close()
        raise
    return home


def _check_free(path: Path) -> bool:
    """Refuse a directory with a home; tell whether adopting was begun here."""
    if (path / ADOPTING_NAME).exists():
        return True
    if (path / UNFINISHED_NAME).exists():
        raise ConflictError(
            f"`orrery init` was interrupted in {called(path)}: run it again, or name another "
            "directory"
        )
    for name in (FILE_NAME, DATABASE_NAME):
        if (path / name).exists():
            raise ConflictError(
                f"{called(path)} has a home already ({name} is there); name another directory"
            )
    return False


def _check_planet(
    path: Path, worlds: Sequence[World], surroundings: World | None, *, begun: bool
) -> None:
    """Leave alone what others have put where a World file of the home will be."""
    planet = path / PLANET_NAME
    if begun or not planet.exists():
        return
    try:
        found = planet.read_bytes()
    except OSError as error:
        raise unreadable(planet, "read", error) from error
    expected = [*worlds, *([surroundings] if surroundings is not None else [])]
    if found not in [world.encode() for world in expected]:
        raise ConflictError(
            f"{planet} is there already and is not what is adopted; name another directory, or "
            "move that file away"
        )


def _identity(
    path: Path,
    choice: Choice,
    entropy: Callable[[int], bytes],
    progress: Callable[[int], None] | None,
    *,
    begun: bool,
) -> Identity:
    own = path / SECRET_NAME
    if not own.exists():
        return choice.identity or Identity.generate(entropy=entropy, progress=progress)
    identity: Identity = read_identity_secret(own)
    if identity != choice.identity and not (begun and choice.identity is None):
        raise ConflictError(
            f"{own} holds the identity {format_address(identity.address)} already, and the home is "
            "to have another: name another directory, or use that one with --identity"
        )
    return identity


def _keep_keys(home: Home, found: WorldFound) -> None:
    """Take the keys over: the one that must sign next, and the one that signed, if it is another.

    Without a key the place for it is made, so that it can be put there.
    """
    world_id = found.world.id
    home.keys.make_place(world_id)
    if found.next_signer is not None:
        home.keys.put(world_id, found.next_signer.key, "current")
    if found.signer is not None:
        home.keys.put(world_id, found.signer.key, "retired")


def _keep_acquaintances(home: Home, choice: Choice, now_ms: int) -> None:
    """Who takes a root's place goes on with those that it knew."""
    if choice.role is Role.IN_PLACE and choice.found is not None:
        secret = choice.found.source.path
        if secret is not None:
            keep_acquaintances(home, secret.parent, now_ms)


def _add_revision(home: Home, found: WorldFound, now_ms: int) -> None:
    world = found.world
    newest = home.store.newest(world.id)
    if newest is not None and newest.world == world:
        return
    if newest is not None:
        raise ConflictError(
            f"an interrupted `orrery adopt` has put another revision of {describe_world(world)} "
            f"into {called(home.path)}: remove that directory and run it again"
        )
    signer = found.signer.key.fingerprint if found.signer is not None else "a key not found"
    home.store.add_revision(
        world,
        now_ms,
        "adopted",
        after_ms=0,
        audit=AuditEntry(
            now_ms,
            user_name(),
            "adopt",
            f"World {world.id:016x} revision {world.timestamp_ms} from {found.file.source.place}, "
            f"signed by {signer}, names {fingerprint(world.updates_must_be_signed_by)}",
        ),
    )
