"""`init`: a home with an identity, a signing key, settings and a first revision.

What is made is made in an order in which every half can be continued: a note that the home is
unfinished, the identity, the settings (with the World's id, so that a second run has the same one),
the key, the revision; and last the note goes. Running it again after an interruption continues.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from orrery.custody import PassphraseProvider, read_identity_secret, write_identity
from orrery.custody.age import check_can_lock
from orrery.custody.durable import make_directory, unreadable, write_file
from orrery.custody.identity_file import SECRET_NAME
from orrery.errors import ConflictError, DecodeError, OrreryError, UsageError
from orrery.home.document import new_text
from orrery.home.home import (
    ADOPTING_NAME,
    DATABASE_NAME,
    UNFINISHED_NAME,
    Clock,
    Home,
    called,
    wall_clock_ms,
)
from orrery.home.named_endpoint import WantedEndpoint
from orrery.home.publishing import propose, publish
from orrery.home.resolving import Resolver
from orrery.home.settings import FILE_NAME, Settings, check_name
from orrery.store import Store
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import EARTH_ID, World, WorldType
from orrery.worlds.earth import EARTH


def create(
    path: Path,
    now_ms: int,
    endpoints: Sequence[WantedEndpoint],
    *,
    entropy: Callable[[int], bytes],
    kind: Literal["planet", "moon"] = "planet",
    name: str | None = None,
    root_name: str = "root-1",
    world_id: int | None = None,
    identity_secret: Path | None = None,
    lock_key: bool = False,
    passphrase: PassphraseProvider | None = None,
    listen: Sequence[Endpoint] = (),
    resolver: Resolver | None = None,
    progress: Callable[[int], None] | None = None,
    clock: Clock = wall_clock_ms,
    wait_s: float = 10,
) -> Home:
    """Make a home, or go on making one that was interrupted.

    The directory may be there already, and may be that of a zerotier-one: its identity.secret is
    then used. A planet file in it is replaced by a planet only when it is the one built into every
    client; a moon leaves it as it is (`Home.surroundings`).

    Args:
        path: The directory.
        now_ms: The clock.
        endpoints: Where nodes will reach this root.
        entropy: Gives so many random bytes, `os.urandom`.
        kind: What to make.
        name: How the commands call the World; the kind when left out.
        root_name: What the settings call this root.
        world_id: The World's id. Left out, a planet gets a random one and a moon the root's
            address, as clients expect it.
        identity_secret: An identity.secret to use for the root; a new one is made when left out
            and there is none in the directory.
        lock_key: Whether to lock the signing key with a passphrase.
        passphrase: Called when the signing key is locked or used locked.
        listen: Where the server will receive; on every interface, at the ports of the endpoints,
            when left out.
        resolver: Tells what names among the endpoints stand for; the DNS when left out.
        progress: Called while an identity is made, with the number of tries so far.
        clock: Tells the time, for the names of backups.
        wait_s: How long to wait for another writer.

    Returns:
        The home, open as a writer.

    Raises:
        ConflictError: There is a home already, another identity, or a planet of somebody else's.
        UsageError: No endpoint is given, or something that is no endpoint of a root.
        CustodyError: An identity.secret is damaged or open to others.
        VerifyError: An identity that is to be used does not hold.
        ResolveError: A name stands for nothing that a World can hold. What was made so far waits
            for the next run.
        UnreadableError: Something cannot be read or written.
    """
    if not endpoints:
        raise UsageError("a root needs an endpoint: say under which address nodes reach it")
    for each in (root_name, kind if name is None else name):
        check_name(each)
    given = None if identity_secret is None else read_identity_secret(identity_secret)
    if given is not None:
        given.validate()
    try:
        is_other = path.exists() and not path.is_dir()
    except OSError as error:
        raise unreadable(path, "opened", error) from error
    if is_other:
        raise UsageError(f"{path} is not a directory; name one that is, or that is not there yet")
    if lock_key:
        check_can_lock()
    ask = _asking_once(passphrase)
    make_directory(path, 0o700)
    home = Home(path, passphrase=ask, clock=clock)
    home.acquire(wait_s)
    try:
        _check_no_home(path)
        if kind == "planet":
            _check_no_foreign_planet(path)
        if (path / UNFINISHED_NAME).exists() and _has_revision(path):
            return _finish(home, kind, endpoints, given)
        # First all that can be refused, then what takes time, then what changes the disk.
        identity = _identity(path, given, entropy, progress)
        if world_id is None:
            world_id = (
                identity.address if kind == "moon" else _begun_id(path) or _random_id(entropy)
            )
        places = tuple(dict.fromkeys(endpoints))
        text = new_text(
            name=name if name is not None else kind,
            kind=kind,
            world_id=world_id,
            root_name=root_name,
            identity=identity,
            endpoints=places,
            listen=listen or _everywhere(place.port for place in places),
        )
        if lock_key and ask is not None and not home.keys.world_ids():
            ask("the new signing key")
        write_file(
            path / UNFINISHED_NAME,
            b"orrery init has not come to its end here; run it again.\n",
            0o600,
            home.owner,
        )
        write_identity(path, identity, home.owner)
        home.save_settings(text)
        home.keys.recover()
        if not home.keys.keys(world_id):
            home.keys.new_key(world_id, entropy, locked=lock_key)
        home.open_store()
        wanted = f"{world_id:016x}"
        proposal = propose(home, wanted, resolver)
        publish(home, wanted, now_ms, proposal=proposal, note="first revision")
        home.recover()  # takes the note away, and what an interrupted run left behind
    except BaseException:
        home.close()
        raise
    return home


def _everywhere(ports: Iterable[int]) -> list[Endpoint]:
    """Every address of the machine, of both families, at each of these ports."""
    return [
        Endpoint(any_address, port)
        for port in dict.fromkeys(ports)
        for any_address in (bytes(4), bytes(16))
    ]


def _asking_once(passphrase: PassphraseProvider | None) -> PassphraseProvider | None:
    """A person who has just thought of a passphrase is not asked for it again to sign with it."""
    answers: list[str] = []

    def ask(what: str) -> str:
        if not answers and passphrase is not None:
            answers.append(passphrase(what))
        return answers[0]

    return None if passphrase is None else ask


def _check_no_home(path: Path) -> None:
    if (path / ADOPTING_NAME).exists():
        raise ConflictError(
            f"`orrery adopt` was interrupted in {called(path)}: run it again, or name another "
            "directory"
        )
    if (path / UNFINISHED_NAME).exists():
        return
    for name in (FILE_NAME, DATABASE_NAME):
        if (path / name).exists():
            raise ConflictError(
                f"{called(path)} has a home already ({name} is there); name another, or change "
                f"{FILE_NAME} and publish"
            )


def _check_no_foreign_planet(path: Path) -> None:
    """Leave a planet alone that somebody made: nodes that hold it would be lost."""
    planet = path / "planet"
    if (path / UNFINISHED_NAME).exists():
        return
    try:
        found = World.decode(planet.read_bytes())
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(planet, "read", error) from error
    except DecodeError:
        return  # torn or foreign; kept in backups, and a node would not use it either
    # Not by its id: mkworld gives that of Earth to every planet.
    if found.updates_must_be_signed_by != EARTH.updates_must_be_signed_by:
        raise ConflictError(
            f"{planet} is the planet {found.id:016x}, and nodes that hold it would not follow a "
            "new one; name another directory, or move that file away if no node uses it"
        )


def _has_revision(path: Path) -> bool:
    if not (path / DATABASE_NAME).exists():
        return False
    with Store.open(path / DATABASE_NAME) as store:
        return bool(store.world_ids())


def _finish(
    home: Home, kind: str, endpoints: Sequence[WantedEndpoint], given: Identity | None
) -> Home:
    """End an init that was interrupted after its revision was published."""
    home.open_store()
    home.repairs = home.recover()
    (world,) = home.served_worlds()
    asked = (
        WorldType.PLANET if kind == "planet" else WorldType.MOON,
        given or home.identity(),
        set(endpoints),
    )
    begun = home.settings().world(f"{world.id:016x}").roots[0]
    if asked != (world.type, world.roots[0].identity, set(begun.endpoints)):
        raise ConflictError(
            f"{called(home.path)} was finished as an interrupted init had begun it, which is not "
            f"what was asked for now; look at {FILE_NAME}, change it and publish, or remove the "
            "directory"
        )
    return home


def _identity(
    path: Path,
    given: Identity | None,
    entropy: Callable[[int], bytes],
    progress: Callable[[int], None] | None,
) -> Identity:
    own = path / SECRET_NAME
    if not own.exists():
        return given or Identity.generate(entropy=entropy, progress=progress)
    identity: Identity = read_identity_secret(own)
    if given is not None and given != identity:
        raise ConflictError(
            f"{own} holds another identity, {identity.address:010x}, than the one that is given, "
            f"{given.address:010x}; move it away, or leave out the one that is given"
        )
    identity.validate()
    return identity


def _begun_id(path: Path) -> int | None:
    """The planet id that an interrupted init had chosen."""
    with contextlib.suppress(OrreryError):
        for world in Settings.load(path / FILE_NAME).worlds:
            if world.kind == "planet":
                return world.id
    return None


def _random_id(entropy: Callable[[int], bytes]) -> int:
    while True:
        world_id = int.from_bytes(entropy(8))
        if world_id not in (0, EARTH_ID):
            return world_id
