"""`orrery restore`: a home from a backup, the proof that there is one, and what comes after."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orrery.cli.homes import (
    HERE,
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    home_option,
    passphrase_provider,
    tell_repairs,
)

if TYPE_CHECKING:
    from orrery.cli.output import Fact
    from orrery.home import Home
    from orrery.home.archive import Archive
    from orrery.home.restoring import Restored
    from orrery.home.settling import Settled
    from orrery.wire.world import World

_MOST_BYTES = 8 << 30
_PATIENCE_S = 3
"""How long roots have to answer."""


def restore(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Backup to restore; - reads standard input."),
    ] = None,
    home: HomeOption = HERE,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Only prove that it restores: into a private directory that is removed again.",
        ),
    ] = False,
    finish: Annotated[
        bool,
        typer.Option(
            "--finish", help="Let a restored home sign again, once it is known what is out."
        ),
    ] = False,
    world: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORLD-FILE",
            help="Newest World file of a node or of another root; may be given several times.",
        ),
    ] = None,
    nothing_newer: Annotated[
        bool,
        typer.Option(
            "--nothing-newer", help="You know that nothing was published after the backup was made."
        ),
    ] = False,
    identity: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Private age keys, as age-keygen writes them, that open it."
        ),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a home of a backup, in a directory that is not there yet.

    It serves at once, and signs nothing before it is known what was published after the backup was
    made: `orrery restore --finish`.
    """
    from orrery.cli import output
    from orrery.errors import UsageError
    from orrery.home import restoring, wall_clock_ms

    if finish == (file is not None):
        raise UsageError("name the backup to restore, or say --finish in a home that was restored")
    if check and (finish or world or nothing_newer):
        raise UsageError(
            "--check leaves nothing behind: --finish, --world and --nothing-newer are "
            "for a home that is restored"
        )
    finishes = bool(world) or nothing_newer
    found = [_read_world(argument) for argument in world or ()]
    _end_cleanly()
    if file is None:
        settled = _finish(home, found, nothing_newer=nothing_newer)
        _tell_settled(home, settled, None, as_json=as_json)
        return
    archive = _open(file, identity, passphrase_file)
    name = "the backup on standard input" if file == "-" else file
    now_ms = wall_clock_ms()
    if check:
        restored = restoring.check(archive, name, now_ms)
    else:
        restored = restoring.restore(archive, name, home, now_ms)
    told = _as_json(archive, restored)
    if not as_json:
        title = f"{name} restores" if check else f"restored root {archive.root:010x} to {home}"
        output.print_facts(title, _facts(archive, restored, home, check, finishes))
    for note in restored.notes:
        output.warn(note)
    if not finishes:
        if as_json:
            output.print_json({"home": None if check else str(home), **told})
        return
    settled = _finish(home, found, nothing_newer=nothing_newer)
    _tell_settled(home, settled, told, as_json=as_json)


def _end_cleanly() -> None:
    """Let a request to end not leave opened keys in a temporary directory."""
    import signal
    import sys

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))


def _open(file: str, identity: Path | None, passphrase_file: Path | None) -> "Archive":
    from orrery.cli.files import read_source
    from orrery.custody.sealing import unseal
    from orrery.home.archive import unpack

    source = read_source(file, _MOST_BYTES)
    provider = passphrase_provider(passphrase_file)
    return unpack(unseal(source.data, source.name, provider, identity), source.name)


def _read_world(argument: str) -> "World":
    from orrery.cli.documents import read_document
    from orrery.errors import UsageError

    source, document = read_document(argument, loose=True)
    if document.world is None:
        raise UsageError(
            f"{source.name} is no signed World: name the planet or moon file of a node"
        )
    return document.world


def _finish(path: Path, found: "list[World]", *, nothing_newer: bool) -> "Settled":
    from orrery.home import Home, wall_clock_ms
    from orrery.home.settling import settle

    with Home.open(path) as reader:
        found = [*found, *_ask_roots(reader)]
    with Home.open(path, writer=True) as opened:
        tell_repairs(opened)
        return settle(opened, wall_clock_ms(), found, nothing_newer=nothing_newer)


def _ask_roots(home: "Home") -> "list[World]":
    """The newest planet that other roots of it hold, empty where none of them answers.

    Raises:
        PlanError: The home that was backed up is still served.
    """
    import asyncio

    from orrery.errors import PlanError
    from orrery.home.unsettled import read_mark
    from orrery.rollout.places import places_of
    from orrery.server.witnesses import ask_roots
    from orrery.wire.verbs import WorldHeld
    from orrery.wire.world import WorldType

    planet = next((each for each in home.served_worlds() if each.type is WorldType.PLANET), None)
    if planet is None or read_mark(home.path) is None:
        return []
    own = home.identity()
    asked = {
        place
        for place in places_of(planet.roots)
        if place.identity != own or not home.is_served  # else it is this home that answers
    }
    held = WorldHeld(planet.id, planet.timestamp_ms)
    answers = asyncio.run(ask_roots(asked, held, _PATIENCE_S))
    for root, endpoint in answers.places:
        if root == own:
            raise PlanError(
                f"root {own.address:010x} answers at {endpoint}, so the home that was backed up is "
                "still served: two homes of one root would contradict each other; stop that one "
                "for good first"
            )
    return [*answers.worlds, planet] if answers.places else []


def _as_json(archive: "Archive", restored: "Restored") -> dict[str, Any]:
    return {
        "made_at_ms": archive.made_at_ms,
        "made_by": archive.made_by,
        "root": f"{archive.root:010x}",
        "files": len(archive.files),
        "nodes": restored.nodes,
        "worlds": [
            {
                "id": f"{world.id:016x}",
                "type": world.type.name.lower(),
                "newest_ms": world.newest_ms,
                "revisions": world.revisions,
                "next_signer": world.next_key,
                "holds_next_signer": world.has_key,
            }
            for world in restored.worlds
        ],
        "rollouts": [each.number for each in restored.rollouts],
        "notes": list(restored.notes),
    }


def _facts(
    archive: "Archive", restored: "Restored", home: Path, check: bool, finishes: bool
) -> "list[Fact]":
    from orrery.cli import output

    keys = {True: "is in it", False: "is NOT in it", None: "needs its passphrase to tell"}
    facts: list[Fact] = [
        ("made", f"{output.iso_time(archive.made_at_ms)}, by orrery {archive.made_by}"),
    ]
    if check:
        facts.append(("root", f"{archive.root:010x}"))
    for world in restored.worlds:
        revisions = f"{world.revisions} revision{'s' * (world.revisions > 1)}"
        facts.append(
            (
                world.type.name.lower(),
                [
                    f"{world.id:016x}, {revisions}, the newest {world.newest_ms}",
                    f"key {world.next_key} {keys[world.has_key]}",
                ],
            )
        )
    files = f"{len(archive.files)} files, {restored.nodes} nodes known"
    facts.append(("holds", files))
    for rollout in () if finishes else restored.rollouts:
        held = "stands still until the restore is finished"
        facts.append((f"rollout {rollout.number}", rollout.state.value if check else held))
    if not check and not finishes:
        here = home_option(home)
        facts.append(
            (
                "next",
                [
                    f"orrery serve{here}: it serves what it has, and signs nothing yet",
                    f"orrery restore --finish{here}: once the nodes have told what they hold",
                ],
            )
        )
    return facts


def _tell_settled(
    home: Path, settled: "Settled", restored: dict[str, Any] | None, *, as_json: bool
) -> None:
    from orrery.cli import output

    if as_json:
        output.print_json(
            {
                "home": str(home),
                **(restored or {}),
                "finished": {
                    "worlds": [
                        {
                            "id": f"{world.id:016x}",
                            "added_ms": [each.timestamp_ms for each in world.added],
                            "newest_ms": world.newest.timestamp_ms,
                            "missing_key": world.missing_key,
                        }
                        for world in settled.worlds
                    ],
                    "rollouts": [
                        {"number": each.number, "state": each.state.value, "reason": each.reason}
                        for each in settled.rollouts
                    ],
                },
            }
        )
        return
    facts: list[Fact] = []
    for world in settled.worlds:
        lines = [
            f"added revision {each.timestamp_ms}, which the backup lacked" for each in world.added
        ]
        facts.append(
            (
                f"{world.newest.type.name.lower()}",
                [f"{world.id:016x}, newest revision {world.newest.timestamp_ms}", *lines],
            )
        )
    facts += [
        (f"rollout {rollout.number}", f"{rollout.state}: {rollout.reason}")
        for rollout in settled.rollouts
    ]
    facts.append(("next", f"orrery plan{home_option(home)}"))
    output.print_facts("the restore is finished: this home may sign again", facts)
    for world in settled.worlds:
        if world.missing_key is not None:
            output.warn(
                f"the key {world.missing_key}, which must sign the next revision of "
                f"{world.id:016x}, is not here: nobody can update the nodes that hold the newest "
                f"one without it; put it into keys.d/{world.id:016x} if there is a copy"
            )
