"""What was found, judged: which World is in use, who signs it, who its roots are, what is missing.

A key belongs to a World when the World says so: when its signature verifies under that key, or when
it names that key for its next revision. Names of files count for nothing.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from orrery.errors import UpdateRefused
from orrery.home.adopting.belonging import is_signed_by, is_whole
from orrery.home.adopting.finding import Finding
from orrery.home.adopting.noticing import foreign_world, notice_files, notice_world, other_planet
from orrery.home.adopting.recognizing import (
    Draft,
    IdentityFile,
    KeyFile,
    Recognized,
    Standing,
    WorldFile,
    recognize,
)
from orrery.home.adopting.sources import Haul, gather
from orrery.wire.address import format_address
from orrery.wire.signature import fingerprint
from orrery.wire.world import Root, World, WorldType
from orrery.worlds.acceptance import check_update


class Ability(StrEnum):
    """What Orrery can do for a World with what was found."""

    EVERYTHING = "everything"
    """Sign the next revision, and so change all that a World can say."""
    PUBLISH = "publish"
    """Be a root of it and hand out the revision that exists."""
    WATCH = "watch"
    """Neither sign nor be a root."""


@dataclass(frozen=True, slots=True)
class RootFound:
    """A root of a World, and what was found of it.

    Attributes:
        root: as the World lists it.
        secrets: files with its private key.
        homes: folders of zerotier-one that are this root's.
        networks: how many networks a controller in such a folder has.
    """

    root: Root
    secrets: tuple[IdentityFile, ...]
    homes: tuple[str, ...]
    networks: int


@dataclass(frozen=True, slots=True)
class WorldFound:
    """A World that can be taken over.

    Attributes:
        file: the file with the revision in use.
        copies: other files with the same revision.
        others: files with other revisions of it.
        signer: a file with the key that signed it.
        next_signer: a file with the key that must sign the next revision.
        roots: its roots, in its order.
        drafts: descriptions of it.
        missing: what was looked for and not found, in sentences.
        ability: what can be done.
    """

    file: WorldFile
    copies: tuple[WorldFile, ...]
    others: tuple[WorldFile, ...]
    signer: KeyFile | None
    next_signer: KeyFile | None
    roots: tuple[RootFound, ...]
    drafts: tuple[Draft, ...]
    missing: tuple[str, ...]

    @property
    def world(self) -> World:
        """The revision in use."""
        return self.file.world

    @property
    def has_root_secret(self) -> bool:
        """Whether the private key of a root was found."""
        return any(root.secrets for root in self.roots)

    @property
    def ability(self) -> Ability:
        """What can be done for it."""
        if self.next_signer is not None:
            return Ability.EVERYTHING
        return Ability.PUBLISH if self.has_root_secret else Ability.WATCH


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found.

    Attributes:
        worlds: what can be taken over, a planet first.
        foreign: Worlds of others, which are left alone.
        surroundings: the planet of others on which these moons' nodes live.
        findings: what its owner should know.
        others: ids of Worlds that are here too, and were not asked for.
        recognized: the files by what they are.
    """

    worlds: tuple[WorldFound, ...]
    foreign: tuple[WorldFile, ...]
    surroundings: World | None
    findings: tuple[Finding, ...]
    others: tuple[int, ...]
    recognized: Recognized = field(repr=False)

    @property
    def why_nothing(self) -> str:
        """Why there is nothing to take over, for when `worlds` is empty."""
        official = [file for file in self.foreign if file.is_official]
        drafts = self.recognized.drafts
        if self.others:
            return "no World with the id of --world is here; here are " + ", ".join(
                f"{world_id:016x}" for world_id in self.others
            )
        if drafts:
            return (
                f"{drafts[0].source.place} describes a World, and the signed World itself is not "
                "here: name the planet or .moon file that nodes have, from one of them if need be; "
                "where no node has one yet, sign it with `orrery world sign`"
            )
        if official:
            return (
                f"{official[0].source.place} is the official planet, which only ZeroTier can "
                "change: name the planet or moon that is yours, or make one with `orrery init`"
            )
        # A broken identity is told as a finding; what is missing here is a World.
        broken = [
            each for each in self.recognized.damaged if not each.source.name.startswith("identity.")
        ]
        if broken:
            return broken[0].sentence
        if self.recognized.keys or self.recognized.locked:
            return (
                "there are signing keys here, and no World: name the planet or .moon file that "
                "nodes have, from one of them if need be"
            )
        return (
            "there is no World here: name the planet or .moon file that nodes have, or the folder "
            "with it"
        )


def investigate(
    paths: Sequence[Path], now_ms: int, *, world_ids: Iterable[int] | None = None
) -> Findings:
    """Read what lies at these paths and judge it.

    Args:
        paths: folders, zips and files; a World file that is named itself is taken for the one in
            use.
        now_ms: the clock.
        world_ids: take over these only.

    Raises:
        UnreadableError: a path is not there or cannot be read.
        DecodeError: a zip is damaged or too large.
    """
    haul = gather(paths)
    asked = shlex.join(("orrery", "adopt", *(str(path) for path in paths)))
    return judge(haul, recognize(haul), now_ms, world_ids=world_ids, asked=asked)


def judge(
    haul: Haul,
    found: Recognized,
    now_ms: int,
    *,
    world_ids: Iterable[int] | None = None,
    asked: str = "orrery adopt",
) -> Findings:
    """Judge what was read.

    Args:
        haul: what was read.
        found: what it is.
        now_ms: the clock.
        world_ids: take over these only.
        asked: the command that adopts this, to be continued in what mends something.
    """
    groups: dict[tuple[WorldType, int], list[WorldFile]] = {}
    for file in found.worlds:
        if not file.is_official:
            groups.setdefault((file.world.type, file.world.id), []).append(file)
    wanted = None if world_ids is None else set(world_ids)
    # What is not wanted has keys and roots too, which are nobody else's for that.
    looked_at = [_look_at(files, found, haul) for files in groups.values()]
    candidates = [each for each in looked_at if wanted is None or each.world.id in wanted]
    planets = [each for each in candidates if each.world.type is WorldType.PLANET]
    planets.sort(key=_likelihood, reverse=True)
    moons = [each for each in candidates if each.world.type is WorldType.MOON]
    moons.sort(key=lambda each: each.world.id)
    taken, surroundings = _choose(planets, moons, by_id=wanted is not None)
    if surroundings is None and taken and taken[0].world.type is WorldType.MOON:
        surroundings = _official_planet(found)
    left = [each for each in candidates if each not in taken]
    findings = list(
        notice_files(
            haul,
            found,
            [each.world for each in looked_at],
            [each.world for each in taken],
        )
    )
    for each in taken:
        findings += notice_world(
            each.file,
            [*each.copies, *each.others],
            each.drafts,
            now_ms,
            homes=[home for root in each.roots for home in root.homes],
            ports=list(_ports(each, found)),
            asked=asked,
        )
    for other in left:
        if other in planets and taken and taken[0] in planets:
            findings.append(other_planet(taken[0].file, other.file, asked))
        else:
            findings.append(foreign_world(other.file))
    official = [file for file in found.worlds if file.is_official]
    return Findings(
        worlds=tuple(taken),
        foreign=(*official, *(each.file for each in left)),
        surroundings=surroundings,
        findings=tuple(dict.fromkeys(findings)),
        others=tuple(sorted({each.world.id for each in looked_at if each not in candidates})),
        recognized=found,
    )


def _choose(
    planets: list[WorldFound], moons: list[WorldFound], *, by_id: bool
) -> tuple[list[WorldFound], World | None]:
    """What is taken over, and the planet of others that stays around it."""
    own = [moon for moon in moons if by_id or moon.file.source.named or not _is_of_others(moon)]
    if not planets:
        return own or moons, None
    if not by_id and own and _is_of_others(planets[0]) and not planets[0].file.source.named:
        return own, planets[0].world
    return [planets[0], *own], None


def _is_of_others(found: WorldFound) -> bool:
    return found.ability is Ability.WATCH


# One World


def _look_at(files: list[WorldFile], found: Recognized, haul: Haul) -> WorldFound:
    chosen = _in_use(files, found.keys)
    world = chosen.world
    signer = next((key for key in found.keys if is_signed_by(world, key.key.public)), None)
    following = next(
        (key for key in found.keys if key.key.public == world.updates_must_be_signed_by), None
    )
    roots = tuple(_root_found(root, found, haul) for root in world.roots)
    return WorldFound(
        file=chosen,
        copies=tuple(file for file in files if file is not chosen and file.world == world),
        others=tuple(file for file in files if file.world != world),
        signer=signer,
        next_signer=following,
        roots=roots,
        drafts=tuple(draft for draft in found.drafts if _describes(draft, world)),
        missing=tuple(_missing(world, signer, following, roots, found)),
    )


def _in_use(files: list[WorldFile], keys: list[KeyFile]) -> WorldFile:
    """The file with the revision that the fleet is on, or will be on by itself."""
    pool = [file for file in files if file.source.named]
    pool = pool or [file for file in files if file.standing is not Standing.KEPT_COPY] or files
    best = pool[0]
    for file in pool[1:]:
        best = _likelier(best, file, keys)
    return best


def _likelier(one: WorldFile, two: WorldFile, keys: list[KeyFile]) -> WorldFile:
    if one.world == two.world:
        return two if two.standing > one.standing else one
    for newer, older in ((one, two), (two, one)):
        try:
            check_update(older.world, newer.world)
        except UpdateRefused:
            continue
        return newer
    # A fork: no node goes from the one to the other, so that one counts that can be led on.
    publics = {key.key.public for key in keys}
    return max(
        one,
        two,
        key=lambda file: (
            is_whole(file.world),
            file.world.updates_must_be_signed_by in publics,
            file.standing,
            file.world.timestamp_ms,
        ),
    )


def _describes(draft: Draft, world: World) -> bool:
    document = draft.document
    if document.type not in (None, world.type):
        return False
    if document.id is not None:
        return document.id == world.id
    known = {root.identity for root in world.roots}
    return world.type is WorldType.PLANET and any(
        root.identity in known for root in document.roots or ()
    )


def _root_found(root: Root, found: Recognized, haul: Haul) -> RootFound:
    secrets = tuple(each for each in found.secrets if each.identity == root.identity)
    homes = {
        each.source.folder
        for each in (*secrets, *found.publics)
        if each.identity == root.identity and each.source.folder in found.homes
    }
    return RootFound(
        root,
        secrets,
        tuple(sorted(homes)),
        sum(haul.networks.get(home, 0) for home in homes),
    )


def _missing(
    world: World,
    signer: KeyFile | None,
    following: KeyFile | None,
    roots: Sequence[RootFound],
    found: Recognized,
) -> Iterator[str]:
    if following is None:
        named = fingerprint(world.updates_must_be_signed_by)
        hint = (
            f"; {found.locked[0].place} is locked and may be it: unlock it first, with "
            f"`age --decrypt {found.locked[0].place}`"
            if found.locked
            else ": look for current.c25519 where mkworld ran, for signingKey_SECRET in a "
            "moon.json, in backups, and in the container that made the planet"
        )
        yield f"the key {named}, which must sign the next revision{hint}"
    if signer is None and not is_signed_by(world, world.updates_must_be_signed_by):
        yield (
            "the key that signed it, so nothing here proves whose it is: compare the file with "
            "that of a node"
        )
    if not any(root.secrets for root in roots):
        names = ", ".join(format_address(root.root.identity.address) for root in roots)
        without = (
            "nodes do not listen to Orrery"
            if following is None
            else "Orrery joins as a root of its own"
        )
        yield (
            f"the identity.secret of a root ({names}): without it {without}"
            if names
            else "a root: this World lists none"
        )


def _ports(each: WorldFound, found: Recognized) -> Iterator[tuple[Root, str, int]]:
    """Where the roots listen whose folders say so."""
    for root in each.roots:
        for home in root.homes:
            if home in found.ports:
                yield root.root, home, found.ports[home]


# Several Worlds


def _likelihood(each: WorldFound) -> tuple[bool, bool, bool, int, int]:
    """How likely nodes hold this planet and no other one that is here."""
    return (
        each.file.source.named,
        is_whole(each.world),
        each.next_signer is not None,
        int(each.file.standing),
        each.world.timestamp_ms,
    )


def _official_planet(found: Recognized) -> World | None:
    planets = [
        file.world
        for file in found.worlds
        if file.is_official and file.world.type is WorldType.PLANET
    ]
    return max(planets, key=lambda world: world.timestamp_ms, default=None)
