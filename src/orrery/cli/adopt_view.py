"""What `orrery adopt` has found, for people and for programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from orrery.cli.homes import home_option
from orrery.cli.output import Fact, iso_time, print_facts, print_lines, wrap
from orrery.home import Home
from orrery.home.adopting import (
    Ability,
    Choice,
    Findings,
    Role,
    RootFound,
    WorldFound,
    world_names,
)
from orrery.home.adopting.belonging import is_signed_by
from orrery.wire.address import format_address
from orrery.wire.signature import fingerprint
from orrery.worlds.wording import describe_world

_INDENT = 2


def show_worlds(findings: Findings) -> None:
    """Tell of each World what was found of it."""
    for number, found in enumerate(findings.worlds):
        if number:
            print()
        print_facts(describe_world(found.world), _facts(found))


def show_findings(findings: Findings) -> None:
    """Tell what the owner should know, each with the commands that mend it."""
    if not findings.findings:
        return
    count = len(findings.findings)
    lines = [Text(f"{count} finding{'s' * (count != 1)}", style="yellow")]
    for finding in findings.findings:
        sentence = wrap(finding.sentence, _INDENT)
        lines += [
            Text(("  " if number else "- ") + line) for number, line in enumerate(sentence or [""])
        ]
        # A command is copied: it stays in one line.
        lines += [Text(f"    {command}", style="bold") for command in finding.mend]
    if findings.worlds:
        print()
    print_lines(lines)


def show_home(findings: Findings, choice: Choice, made: Home, home: Path, *, joins: bool) -> None:
    """Tell of the home that was made, and what comes next, in lines that can be copied."""
    identity = made.identity()
    print()
    print_facts(
        f"home {home}",
        [
            ("own root", f"{format_address(identity.address)}, {choice.why}"),
            ("worlds", list(world_names([found.world for found in findings.worlds]))),
            ("settings", str(made.settings_path)),
            *_keys(findings, made),
        ],
    )
    print()
    print_lines(_next(findings, choice, made, home, joins=joins))


def describe(findings: Findings, choice: Choice | None, made: Home | None) -> dict[str, Any]:
    """All of it for programs; never a secret."""
    return {
        "home": None if made is None else str(made.path.resolve()),
        "root": None
        if choice is None
        else {
            "role": str(choice.role),
            "address": _address(choice, made),
            "found_in": None if choice.found is None else choice.found.source.place,
        },
        "worlds": [_world(found) for found in findings.worlds],
        "left_alone": [
            {"file": file.source.place, "world": describe_world(file.world)}
            for file in findings.foreign
        ],
        "findings": [
            {"code": str(each.code), "sentence": each.sentence, "mend": list(each.mend)}
            for each in findings.findings
        ],
    }


# One World


def _facts(found: WorldFound) -> Iterator[Fact]:
    world = found.world
    date = iso_time(world.timestamp_ms)
    yield "in use", found.file.source.place
    if found.copies:
        yield "same as", [file.source.place for file in found.copies]
    yield "time", str(world.timestamp_ms) if date is None else f"{date} ({world.timestamp_ms})"
    yield "signed by", _signer(found)
    yield "next signer", _next_signer(found)
    for root in found.roots:
        yield f"root {format_address(root.root.identity.address)}", list(_root(root))
    if found.missing:
        yield "missing", list(found.missing)
    yield "Orrery can", ability_in_words(found)


def _signer(found: WorldFound) -> str:
    world = found.world
    if found.signer is not None:
        return f"{found.signer.key.fingerprint}, in {found.signer.source.place}"
    if is_signed_by(world, world.updates_must_be_signed_by):
        return f"{fingerprint(world.updates_must_be_signed_by)}, which it names itself"
    return "a key that is not here"


def _next_signer(found: WorldFound) -> str:
    name = fingerprint(found.world.updates_must_be_signed_by)
    if found.next_signer is None:
        return f"{name}, which is not here"
    return f"{name}, in {found.next_signer.source.place}"


def _root(root: RootFound) -> Iterator[str]:
    yield ", ".join(str(each) or "an empty endpoint" for each in root.root.endpoints) or (
        "no endpoint"
    )
    if root.secrets:
        yield f"secret in {root.secrets[0].source.place}"
    if root.networks:
        yield f"controller of {root.networks} network{'s' * (root.networks != 1)}"


def ability_in_words(found: WorldFound) -> str:
    """What Orrery can do for a World from what was found."""
    kind = found.world.type.name.lower()
    match found.ability:
        case Ability.EVERYTHING if found.has_root_secret:
            return f"everything: sign revisions of this {kind}, and be a root that hands them out"
        case Ability.EVERYTHING:
            return (
                f"everything: sign revisions of this {kind}; as no secret of a root is here, the "
                "first one has to be put on a root as a file"
            )
        case Ability.PUBLISH:
            return (
                "only publish what exists: be a root and hand out this revision; nodes take no "
                "other one without the missing key"
            )
        case _:
            return "only watch: neither sign a revision nor be a root that nodes listen to"


def _world(found: WorldFound) -> dict[str, Any]:
    world = found.world
    return {
        "type": world.type.name.lower(),
        "id": f"{world.id:016x}",
        "timestamp_ms": world.timestamp_ms,
        "time": iso_time(world.timestamp_ms),
        "file": found.file.source.place,
        "copies": [file.source.place for file in found.copies],
        "others": [
            {"file": file.source.place, "timestamp_ms": file.world.timestamp_ms}
            for file in found.others
        ],
        "signed_by": None
        if found.signer is None
        else {
            "fingerprint": found.signer.key.fingerprint,
            "file": found.signer.source.place,
        },
        "next_signer": {
            "fingerprint": fingerprint(world.updates_must_be_signed_by),
            "file": None if found.next_signer is None else found.next_signer.source.place,
        },
        "roots": [
            {
                "address": format_address(root.root.identity.address),
                "endpoints": [str(each) for each in root.root.endpoints],
                "secret": root.secrets[0].source.place if root.secrets else None,
                "homes": list(root.homes),
                "networks": root.networks,
            }
            for root in found.roots
        ],
        "missing": list(found.missing),
        "can": str(found.ability),
    }


# The home


def _address(choice: Choice, made: Home | None) -> str | None:
    identity = choice.identity if made is None else made.identity()
    return None if identity is None else format_address(identity.address)


def _keys(findings: Findings, made: Home) -> Iterator[Fact]:
    if any(found.next_signer is not None for found in findings.worlds):
        yield "keep a copy", f"{made.path / 'keys.d'}: without it no node takes an update"
    for found in findings.worlds:
        if found.next_signer is None:
            place = made.path / "keys.d" / f"{found.world.id:016x}" / "current.c25519"
            yield "key, if found", f"install -m 600 KEY {shlex.quote(str(place))}"


def _next(
    findings: Findings, choice: Choice, made: Home, home: Path, *, joins: bool
) -> Iterator[Text]:
    option = home_option(home)
    can_sign = findings.worlds[0].ability is Ability.EVERYTHING
    names = world_names([found.world for found in findings.worlds])
    which = f" {names[0]}" if len(names) > 1 else ""
    address = format_address(made.identity().address)
    commands = [f"orrery serve{option}"]
    if choice.role is Role.IN_PLACE:
        # What is planned counts the nodes that were seen, and that is none yet.
        yield from _sentence(
            f"Next: stop zerotier-one on root {address} and serve; change nothing before your "
            "nodes are listed, each of which says hello within 4 minutes once it is awake"
        )
        commands.append(f"orrery nodes{option}")
    elif not can_sign:
        yield from _sentence("Next: find the missing key or secret; until then")
        commands = [f"orrery status{option}"]
    elif joins:
        yield from _sentence("Next: let nodes reach the own root at the endpoints of --join, then")
    else:
        yield from _sentence(
            f"Next: let {address} join as a root, by adding this to the roots of {names[0]!r} in "
            f"{made.settings_path}"
        )
        for line in (
            "[[world.root]]",
            'name = "orrery"',
            f'identity = "{made.identity().public()}"',
            'endpoints = ["IP:PORT"]',
        ):
            yield Text(f"    {line}")
        yield Text("then")
    if can_sign:
        commands += [f"orrery plan{which}{option}", f"orrery apply{which}{option}"]
    for command in commands:
        yield Text(f"    {command}", style="bold")
    if choice.role is Role.BESIDE and can_sign and joins:
        # Nodes do not know the own root before: until then a plan counts nobody.
        yield from _sentence(
            "Change nothing more before your nodes are listed by `orrery nodes`: from the roots "
            "that they know, each is given the new planet within 4 minutes once it is awake"
        )


def _sentence(text: str) -> list[Text]:
    return [Text(line) for line in wrap(text)]
