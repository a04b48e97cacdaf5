"""The pitfalls of what people have: files that are open, keys of nobody, Worlds in no use."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from orrery.errors import UpdateRefused
from orrery.home.adopting.belonging import concerns, is_whole
from orrery.home.adopting.finding import Finding, FindingCode
from orrery.home.adopting.recognizing import (
    Draft,
    KeyFile,
    Recognized,
    Standing,
    WorldFile,
    is_download,
    is_download_name,
)
from orrery.home.adopting.sources import Haul, Source
from orrery.wire.address import format_address
from orrery.wire.signature import fingerprint
from orrery.wire.world import UNSIGNED, Root, World, WorldType
from orrery.worlds.acceptance import check_update
from orrery.worlds.formats.notes import NoteCode
from orrery.worlds.locality import is_near_and_far
from orrery.worlds.pitfalls import PitfallCode, warnings
from orrery.worlds.wording import describe_timestamp, describe_world

_TOLD_OTHERWISE = frozenset(
    (
        PitfallCode.UNSORTED_ROOTS,
        PitfallCode.UNSORTED_ENDPOINTS,
        PitfallCode.EARTH_ID,
        PitfallCode.SINGLE_ENDPOINT,
        PitfallCode.UNSIGNED,
    )
)
"""Pitfalls of no harm to what is in use already, and one that is told here with more."""
_BROKEN_ENDPOINT = frozenset(
    (PitfallCode.NIL_ENDPOINT, PitfallCode.ZERO_ADDRESS, PitfallCode.PORT_ZERO)
)


def notice_files(
    haul: Haul, found: Recognized, worlds: Sequence[World], used: Sequence[World]
) -> Iterator[Finding]:
    """What concerns files: unreadable, damaged, open to others, keys that fit nothing.

    Args:
        haul: what was read.
        found: what it is.
        worlds: every World that is somebody's own.
        used: those of them that are taken over.
    """
    for trouble in haul.troubles:
        told = trouble.place in trouble.sentence
        sentence = trouble.sentence if told else f"{trouble.place}: {trouble.sentence}"
        yield Finding(FindingCode.UNREADABLE, sentence)
    yield from (Finding(FindingCode.DAMAGED, each.sentence) for each in found.damaged)
    secrets = [key.source for key in found.keys] + [each.source for each in found.secrets]
    secrets += found.locked
    yield from _exposures(dict.fromkeys(secrets))
    if not worlds:
        return
    for each in found.keys:
        if not any(concerns(world, each.key.public) for world in worlds):
            yield _foreign_key(each, used or worlds)
    roots = {root.identity for world in worlds for root in world.roots}
    for other in found.secrets:
        if other.identity not in roots:
            yield Finding(
                FindingCode.FOREIGN_IDENTITY,
                f"{other.source.place} is the identity {format_address(other.identity.address)}, "
                "which is no root of a World found here: it is that of an ordinary node, or the "
                "root's own was lost and made anew",
            )


def notice_world(
    file: WorldFile,
    others: Sequence[WorldFile],
    drafts: Iterable[Draft],
    now_ms: int,
    *,
    homes: Sequence[str],
    ports: Iterable[tuple[Root, str, int]],
    asked: str,
) -> Iterator[Finding]:
    """What concerns a World: itself, where it lies, and what was meant to be in it.

    Args:
        file: the file with the revision in use.
        others: other files with a revision of it.
        drafts: descriptions of it.
        now_ms: the clock.
        homes: the folders of its roots.
        ports: roots, their folders, and at which port the node there listened.
        asked: the command that adopts this, to be continued.
    """
    world = file.world
    if world.signature == UNSIGNED:
        yield Finding(
            PitfallCode.UNSIGNED,
            f"{file.source.place} is not signed: only a node that held nothing took it",
        )
    elif not is_whole(world):
        yield Finding(
            FindingCode.ALTERED,
            f"{file.source.place} was altered after it was signed: only a node that held nothing "
            "took it, so name the file that other nodes have",
        )
    for note in file.document.notes:
        yield Finding(note.code, f"{file.source.place}: {note.sentence}")
    for pitfall in warnings(world, now_ms):
        private = pitfall.code is PitfallCode.PRIVATE_ADDRESS
        if pitfall.code not in _TOLD_OTHERWISE and not (private and is_near_and_far(world)):
            mend = _new_endpoints(world, asked) if pitfall.code in _BROKEN_ENDPOINT else ()
            yield Finding(pitfall.code, f"{file.source.place}: {pitfall.sentence}", mend)
    for other in _one_of_each(others):
        if other.world != world and other.standing is not Standing.KEPT_COPY:
            yield from _beside(file, other, asked)
    yield from _whether_served(file, others, homes)
    for draft in drafts:
        yield from _of_a_draft(draft, world, asked)
    for root, home, port in ports:
        yield from _of_a_port(root, home, port)


# Secrets


def _exposures(sources: Iterable[Source]) -> Iterator[Finding]:
    zips: dict[Path, list[Source]] = {}
    for source in sources:
        if source.archive is not None:
            zips.setdefault(source.archive, []).append(source)
        if source.path is None:
            continue
        quoted = shlex.quote(str(source.path))
        if is_download(source):
            yield Finding(
                FindingCode.SECRET_IN_DOWNLOADS,
                f"{source.place} is a secret where others fetch files: whoever has fetched it can "
                "sign, or be the root; move it away, and change the signing key with "
                "`orrery key rotate` after adopting",
                (f"mv {quoted} {shlex.quote(str(_above_downloads(source)))}",),
            )
        if source.open_to_others:
            yield Finding(
                FindingCode.EXPOSED_SECRET,
                f"{source.place} is a secret that other users of this machine can read",
                (f"chmod 600 {quoted}",),
            )
    for archive, inside in zips.items():
        names = ", ".join(dict.fromkeys(source.place.rsplit(":", 1)[-1] for source in inside))
        yield Finding(
            FindingCode.SECRET_IN_ZIP,
            f"{archive} holds secrets ({names}): whoever got this zip can sign, or be the root; "
            "keep it to yourself, and where others had it change the signing key with "
            "`orrery key rotate` after adopting",
            (f"chmod 600 {shlex.quote(str(archive))}",) if inside[0].open_to_others else (),
        )


def _above_downloads(source: Source) -> Path:
    """The folder that the download folder is in."""
    path = source.path or Path()
    for part in reversed(source.parts):
        path = path.parent
        if is_download_name(part):
            break
    return path


def _foreign_key(file: KeyFile, worlds: Sequence[World]) -> Finding:
    wanted = dict.fromkeys(fingerprint(world.updates_must_be_signed_by) for world in worlds)
    return Finding(
        FindingCode.FOREIGN_KEY,
        f"{file.source.place} is the key {file.key.fingerprint}, which neither signed a World "
        f"found here nor is named by one: nodes take only what {' or '.join(wanted)} signs, so "
        "look for that key; tools make a new one without a word where a file is missing",
    )


# Worlds


def _new_endpoints(world: World, asked: str) -> tuple[str, ...]:
    return tuple(
        f"{asked} --endpoint {format_address(root.identity.address)}=IP:PORT"
        for root in world.roots
        if any(not any(endpoint.ip) or not endpoint.port for endpoint in root.endpoints)
    )


def _one_of_each(files: Iterable[WorldFile]) -> list[WorldFile]:
    """One file of each revision, the one that counts most."""
    found: dict[bytes, WorldFile] = {}
    for file in files:
        key = file.world.encode()
        if key not in found or file.standing > found[key].standing:
            found[key] = file
    return list(found.values())


def _beside(used: WorldFile, other: WorldFile, asked: str) -> Iterator[Finding]:
    """What another revision beside the one in use means."""
    target = str(other.source.path) if other.source.path else None
    if not is_whole(other.world) and is_whole(used.world):
        yield Finding(
            FindingCode.ALTERED,
            f"{other.source.place} was altered after it was signed, and {used.source.place} was "
            "not: only a node that held nothing took the altered one",
            _copy(used, target),
        )
        return
    try:
        check_update(other.world, used.world)
    except UpdateRefused as refusal:
        yield Finding(
            FindingCode.FORK,
            f"{other.source.place} differs from {used.source.place}, which is taken for the one in "
            f"use, and no node goes from there to here: {refusal}. Nodes that hold it need a file "
            "by hand; if most do, name it itself",
            _naming(other, asked),
        )
        return
    date = describe_timestamp(other.world.timestamp_ms)
    if other.standing is Standing.HOME:
        yield Finding(
            FindingCode.ROOT_BEHIND,
            f"{other.source.place}, which the node of that folder hands out, is older than "
            f"{used.source.place}: its timestamp is {date}",
            _copy(used, target),
        )
    elif other.standing is Standing.DOWNLOAD:
        yield Finding(
            FindingCode.DOWNLOAD_BEHIND,
            f"{other.source.place} is older than {used.source.place}: its timestamp is {date}, and "
            "who fetches it needs a root to be led on",
            _copy(used, target),
        )


def _naming(file: WorldFile, asked: str) -> tuple[str, ...]:
    """The command that takes this file for the one in use."""
    return (f"{asked} {shlex.quote(str(file.source.path))}",) if file.source.path else ()


def _copy(file: WorldFile, target: str | None) -> tuple[str, ...]:
    if file.source.path is None or target is None:
        return ()
    return (f"cp {shlex.quote(str(file.source.path))} {shlex.quote(target)}",)


def other_planet(taken: WorldFile, other: WorldFile, asked: str) -> Finding:
    """What a second planet means, of which a node can have only one."""
    return Finding(
        FindingCode.OTHER_PLANET,
        f"{other.source.place} is {describe_world(other.world)} and not "
        f"{describe_world(taken.world)}, which is taken for the one in use: nodes that hold it "
        "take nothing that is published for the other; if most do, name it itself",
        _naming(other, asked),
    )


def foreign_world(file: WorldFile) -> Finding:
    """What is left alone, because it cannot be ours."""
    return Finding(
        FindingCode.FOREIGN_WORLD,
        f"{file.source.place} is {describe_world(file.world)} and is left alone: neither the key "
        "that must sign for it nor the secret of one of its roots is here, so it is somebody "
        "else's",
    )


def _whether_served(
    file: WorldFile, others: Sequence[WorldFile], homes: Sequence[str]
) -> Iterator[Finding]:
    if file.world.type is not WorldType.PLANET or any(
        each.standing is Standing.HOME for each in (file, *others)
    ):
        return
    place = file.source.place
    if homes:
        yield Finding(
            FindingCode.NOT_SERVED,
            f"{place} does not lie in {homes[0]} as `planet`, where that root reads it at its "
            "start: it hands nobody a newer one",
            _copy(file, f"{homes[0]}/planet") if ":" not in homes[0] else (),
        )
    elif file.standing is Standing.DOWNLOAD:
        yield Finding(
            FindingCode.NOT_SERVED,
            f"{place} lies only where nodes fetch it, and not where a root reads it at its start: "
            "see to it that the root has it too, or it hands nobody a newer one",
        )


def _of_a_draft(draft: Draft, world: World, asked: str) -> Iterator[Finding]:
    place, document = draft.source.place, draft.document
    for note in document.notes:
        mend = _new_endpoints(world, asked) if note.code is NoteCode.ENDPOINT_MISREAD else ()
        yield Finding(note.code, f"{place}: {note.sentence}", mend)
    wanted = {root.identity: set(root.endpoints) for root in document.roots or ()}
    if wanted != {root.identity: set(root.endpoints) for root in world.roots}:
        yield Finding(
            FindingCode.DRAFT_DIFFERS,
            f"{place} describes other roots or endpoints than {describe_world(world)} has, "
            "which is what nodes hold: put what you want into orrery.toml, not into that file",
        )


def _of_a_port(root: Root, home: str, port: int) -> Iterator[Finding]:
    listed = dict.fromkeys(endpoint.port for endpoint in root.endpoints if endpoint.port)
    if listed and port not in listed:
        yield Finding(
            FindingCode.PORT_DIFFERS,
            f"the node in {home} listened at port {port} when it was started last, and nodes look "
            f"for root {format_address(root.identity.address)} at port "
            f"{' and '.join(str(each) for each in listed)}: unless something maps the one to the "
            "other, they do not reach it",
        )
