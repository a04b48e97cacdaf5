"""What `plan` and `apply` have in common: what a person tells of roots, and the answer."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.text import Text

    from orrery.cli.hosting import HostNames
    from orrery.home.planning import Planned, Told
    from orrery.wire.address import Address
    from orrery.wire.identity import Identity

_MOST_BYTES = 16 << 20

GoneOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gone",
        metavar="PLACE",
        help="An endpoint where no root answers any more, or a root with all of its places.",
    ),
]
InTurnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--in-turn",
        metavar="OLD=NEW",
        help="NEW can start only when OLD has stopped, as two addresses of one machine may have "
        "to; endpoints or roots.",
    ),
]
OfficialOption = Annotated[
    list[str] | None,
    typer.Option(
        "--official",
        metavar="ROOT",
        help="A root that is leaving, and so is not in orrery.toml, runs zerotier-one.",
    ),
]
ExemptOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exempt",
        metavar="NODE",
        help="Do not wait for this node, though it may be stranded; several with commas, or @FILE.",
    ),
]
SpareOption = Annotated[
    bool,
    typer.Option(
        "--spare/--no-spare",
        help="Whether any one root may be down meanwhile. Default: it may.",
    ),
]
NextKeyOption = Annotated[
    str | None,
    typer.Option(
        "--next-key",
        metavar="KEY",
        help="The key that the last revision names, where it is not in the home: 128 hex digits, "
        "or a file.",
    ),
]


def told_by(
    gone: Sequence[str] | None,
    in_turn: Sequence[str] | None,
    official: Sequence[str] | None,
    exempt: Sequence[str] | None,
    next_key: str | None,
    *,
    spare: bool,
) -> Told:
    """What the options say.

    Raises:
        UsageError: a pair of places is none.
        DecodeError: an address or a key is none.
    """
    from orrery.cli.documents import read_public_key
    from orrery.home.planning import Told

    return Told(
        gone=tuple(gone or ()),
        in_turn=tuple(map(_pair, in_turn or ())),
        official=tuple(official or ()),
        exempt=tuple(sorted(set(_nodes(exempt or ())))),
        next_key=None if next_key is None else read_public_key(next_key),
        spare_root=spare,
    )


def _nodes(texts: Sequence[str]) -> Iterator[Address]:
    """Addresses of nodes: one, several with commas, or a file of them behind `@`."""
    from orrery.cli.arguments import read_argument
    from orrery.cli.files import read_source
    from orrery.wire.address import parse_address

    for text in texts:
        listed = text
        if text.startswith("@"):
            listed = read_source(text[1:], _MOST_BYTES).data.decode("utf-8", "replace")
        for node in listed.replace(",", " ").split():
            yield read_argument("--exempt", node, parse_address)


def _pair(text: str) -> tuple[str, str]:
    from orrery.errors import UsageError

    before, mark, after = text.partition("=")
    if not mark or not before.strip() or not after.strip():
        raise UsageError(
            f"--in-turn {text!r} is no pair: write OLD=NEW, such as 192.0.2.1:9993=192.0.2.2:9993"
        )
    return before.strip(), after.strip()


def names_of(planned: Planned) -> dict[Identity, str]:
    """How `orrery.toml` calls the roots."""
    return {each.root.identity.public(): each.name for each in planned.roots}


def planned_lines(
    planned: Planned,
    path: Path,
    hosts: HostNames | None = None,
    *,
    by_itself: bool = True,
) -> Iterator[Text]:
    """The answer to a wish, for people.

    Args:
        planned: the answer.
        path: how the home was named.
        hosts: which node is which host; as orrery.toml says where it is left out.
        by_itself: whether `apply` deploys them.
    """
    from rich.text import Text

    from orrery.cli.plan_view import Managed, plan_lines, refusal_lines
    from orrery.rollout.plan import Refusal

    known = _known_hosts(planned) if hosts is None else hosts
    managed = Managed(known, path, by_itself=by_itself)
    world, newest = planned.world, planned.chain.newest
    horizon_ms = planned.settings.rollout.horizon_ms
    names = names_of(planned)
    yield Text(f"plan of {world.kind} {world.id:016x}, {world.name!r}", style="bold")
    yield from _resolved_lines(planned)
    yield from _official_lines(planned)
    yield from _retired_lines(planned)
    if isinstance(planned.answer, Refusal):
        yield from refusal_lines(planned.answer, newest, names, horizon_ms, managed)
    else:
        yield from plan_lines(
            planned.answer,
            newest,
            names,
            horizon_ms=horizon_ms,
            revision=len(planned.chain),
            managed=managed,
        )
        yield from _caution_lines(planned)


def _known_hosts(planned: Planned) -> HostNames:
    from orrery.cli.hosting import hosts_of_nodes

    return hosts_of_nodes(planned.settings, planned.world.name, by_name=True)


def _resolved_lines(planned: Planned) -> Iterator[Text]:
    from orrery.cli import output

    facts = [
        ("names", f"{found.endpoint} → {', '.join(map(str, found.addresses))}")
        for root in planned.roots
        for found in root.resolutions
    ]
    for _, value in facts:
        for number, line in enumerate(output.wrap(str(value), 9)):
            yield output.labelled("" if number else "names", line, 9)


def _official_lines(planned: Planned) -> Iterator[Text]:
    from orrery.cli import output
    from orrery.wire.address import format_address
    from orrery.worlds.earth import EARTH

    held = [world.timestamp_ms for world in planned.chain]
    for number, (address, holds_ms) in enumerate(sorted(planned.landscape.official.items())):
        what = "it is not known which revision it holds"
        if holds_ms in held:
            what = f"it holds revision {held.index(holds_ms) + 1}"
        elif holds_ms == EARTH.timestamp_ms and planned.world.id == EARTH.id:
            what = "it holds the official planet"
        elif holds_ms:
            what = "it holds another World"
        line = f"{format_address(address)} runs zerotier-one, {what}"
        yield output.labelled("" if number else "official", line, 9)


def _retired_lines(planned: Planned) -> Iterator[Text]:
    from orrery.cli import output
    from orrery.wire.address import format_address

    names = ", ".join(map(format_address, planned.retired))
    if names:
        said = f"{names} was an official root, and fell silent: it is exempt, as no node is it now"
        for number, line in enumerate(output.wrap(said, 9)):
            yield output.labelled("" if number else "retired", line, 9)


def _caution_lines(planned: Planned) -> Iterator[Text]:
    from rich.text import Text

    from orrery.cli import output

    for warned in planned.cautions:
        for number, line in enumerate(output.wrap(warned.sentence, 9)):
            yield Text.assemble(("" if number else "caution").ljust(9), line, style="yellow")


def describe_planned(planned: Planned, hosts: HostNames | None = None) -> dict[str, Any]:
    """The answer to a wish, for programs; `hosts` as for `planned_lines`."""
    from orrery.cli.plan_view import describe_refusal
    from orrery.home.planning import kinds_of_change
    from orrery.rollout.plan import Refusal
    from orrery.wire.address import format_address

    answer = planned.answer
    refused = isinstance(answer, Refusal)
    known = _known_hosts(planned) if hosts is None else hosts
    return {
        "world": f"{planned.world.id:016x}",
        "name": planned.world.name,
        "revision": len(planned.chain),
        "timestamp_ms": planned.chain.newest.timestamp_ms,
        "names": {
            str(found.endpoint): [str(address) for address in found.addresses]
            for root in planned.roots
            for found in root.resolutions
        },
        "official": {
            format_address(address): holds_ms
            for address, holds_ms in sorted(planned.landscape.official.items())
        },
        "retired": list(map(format_address, planned.retired)),
        "cautions": [
            {
                "caution": str(warned.caution),
                "step": warned.step,
                "nodes": warned.nodes,
                "sentence": warned.sentence,
            }
            for warned in planned.cautions
        ],
        "hosts": {format_address(node): name for node, name in sorted(known.items())},
        "safe": not refused,
        "kinds": []
        if isinstance(answer, Refusal)
        else sorted(kinds_of_change(planned.chain.newest, answer)),
        "plan": None if isinstance(answer, Refusal) else answer.to_data(),
        "refusal": describe_refusal(answer) if isinstance(answer, Refusal) else None,
    }
