"""`orrery status`: roots, chain and adoption of every World of a home."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orrery.cli.homes import HERE, HomeOption, JsonOption
from orrery.cli.watching import WatchOption

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.text import Text

    from orrery.cli.adoption import Adoption, Level
    from orrery.home import Home
    from orrery.wire.world import Root

_BAR = 30
_INDENT = 13
"""Columns before the values: the longest label is `next signer`."""
SeenOption = Annotated[
    str, typer.Option("--seen", metavar="SPAN", help="Count nodes seen in the last 10m, 36h, 7d …")
]


def status(
    home: HomeOption = HERE,
    seen: SeenOption = "1h",
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show Worlds, server, adoption and rollout.

    Of a rollout: the step, how far each cohort is, about how long it will take, and which nodes
    are missing since when.
    """
    from orrery.cli import output, watching
    from orrery.home import Home
    from orrery.spans import parse_span_ms

    span_ms = parse_span_ms(seen)
    with Home.open(home) as opened:
        if as_json and watch:
            watching.watch_json(lambda: _describe(opened, span_ms, home))
        elif as_json:
            output.print_json(_describe(opened, span_ms, home))
        elif watch:
            watching.watch(lambda: _lines(opened, span_ms, seen, home))
        else:
            output.print_lines(_lines(opened, span_ms, seen, home))
        # What is published does not depend on orrery.toml, what is next does: its mistakes last.
        opened.settings()


def _adoptions(home: Home, span_ms: int) -> list[Adoption]:
    from orrery.cli.adoption import adoption_of

    since_ms = home.clock() - span_ms
    return [adoption_of(home.store, world.id, since_ms) for world in home.served_worlds()]


def _describe(home: Home, span_ms: int, path: Path) -> dict[str, Any]:
    from orrery.cli.output import iso_time
    from orrery.wire.signature import fingerprint

    worlds = []
    for adoption in _adoptions(home, span_ms):
        newest = adoption.chain.newest
        worlds.append(
            {
                "type": newest.type.name.lower(),
                "id": f"{newest.id:016x}",
                "revisions": len(adoption.chain),
                "timestamp_ms": newest.timestamp_ms,
                "time": iso_time(newest.timestamp_ms),
                "next_signer": fingerprint(newest.updates_must_be_signed_by),
                "roots": [
                    {
                        "address": f"{root.identity.address:010x}",
                        "endpoints": [str(endpoint) for endpoint in root.endpoints],
                    }
                    for root in newest.roots
                ],
                "nodes": adoption.nodes,
                "adopted": adoption.adopted,
                "levels": [
                    {
                        "revision": level.revision,
                        "timestamp_ms": level.timestamp_ms,
                        "nodes": level.nodes,
                        "forks": [
                            {
                                "next_signer": fingerprint(fork.wanted_key or b""),
                                "roots": [f"{address:010x}" for address in fork.roots],
                                "nodes": fork.nodes,
                                "first_seen_ms": fork.first_at_ms,
                            }
                            for fork in level.forks
                        ],
                    }
                    for level in adoption.levels
                ],
                "rollout": _describe_rollout(home, newest.id, path),
            }
        )
    return {
        "home": str(home.path.resolve()),
        "serving": home.is_served,
        "restored": _describe_restored(home),
        "nodes": home.store.count_nodes(seen_since_ms=home.clock() - span_ms),
        "worlds": worlds,
    }


def _describe_rollout(home: Home, world_id: int, path: Path) -> dict[str, Any] | None:
    from orrery.cli.installing import duties_of
    from orrery.cli.rollout_view import describe_view
    from orrery.home.rolling import view

    now_ms = home.clock()
    found = view(home, world_id, now_ms)
    return None if found is None else describe_view(found, now_ms, duties_of(home, found, path))


def _rollout_lines(home: Home, adoption: Adoption, span_ms: int, path: Path) -> Iterator[Text]:
    """The rollout that goes on, or the last one if it was lately or has left something undone."""
    from orrery.cli.following import alone_sentence
    from orrery.cli.installing import duties_of
    from orrery.cli.rollout_view import rollout_lines
    from orrery.home.rolling import view
    from orrery.rollout.state import RolloutState

    now_ms = home.clock()
    last = home.store.rollouts(1, world_id=adoption.chain.world_id)
    if not last or (
        last[0].state in (RolloutState.DONE, RolloutState.ROLLED_BACK)
        and now_ms - (last[0].ended_at_ms or 0) > span_ms
    ):
        return
    found = view(home, adoption.chain.world_id, now_ms)
    if found is not None:
        alone = alone_sentence(home, path, found.rollout.changed_at_ms)
        duties = duties_of(home, found, path)
        yield from rollout_lines(found, adoption.chain, now_ms, alone=alone, duties=duties)


def _lines(home: Home, span_ms: int, seen: str, path: Path) -> list[Text]:
    from rich.text import Text

    from orrery.cli.homes import home_option

    here = home_option(path)
    state = ("running", "green")
    if not home.is_served:
        state = (f"not running: orrery serve{here}", "yellow")
    lines = [Text.assemble("server  ", state), *_restored_lines(home, path)]
    adoptions = _adoptions(home, span_ms)
    if not adoptions:
        lines.append(Text(f"no World is published yet: orrery publish{here}"))
    seen_in_all = home.store.count_nodes(seen_since_ms=home.clock() - span_ms)
    for adoption in adoptions:
        lines += [Text(), *_world_lines(adoption, seen, seen_in_all)]
        lines += _rollout_lines(home, adoption, span_ms, path)
    return lines


def _restored_lines(home: Home, path: Path) -> Iterator[Text]:
    """That the home signs nothing yet, where it was restored and that is not finished."""
    from rich.text import Text

    from orrery.cli import output
    from orrery.cli.homes import home_option
    from orrery.home.unsettled import read_mark

    mark = read_mark(home.path)
    if mark is None:
        return
    yield Text(f"restored from a backup of {output.iso_time(mark.made_at_ms)}, and signs nothing")
    yield Text(f"before: orrery restore --finish{home_option(path)}", style="yellow")


def _describe_restored(home: Home) -> dict[str, Any] | None:
    from orrery.home.unsettled import read_mark

    mark = read_mark(home.path)
    if mark is None:
        return None
    return {"made_at_ms": mark.made_at_ms, "restored_at_ms": mark.restored_at_ms}


def _world_lines(adoption: Adoption, seen: str, seen_in_all: int) -> list[Text]:
    from orrery.cli import output
    from orrery.wire.signature import fingerprint
    from orrery.wire.world import WorldType

    newest = adoption.chain.newest
    facts: list[output.Fact] = [
        ("revision", f"{len(adoption.chain)}, {output.iso_time(newest.timestamp_ms)}"),
        ("next signer", fingerprint(newest.updates_must_be_signed_by)),
        ("roots", [line for root in newest.roots for line in _root_lines(root)]),
    ]
    if adoption.nodes:
        facts.append(("adopted", _bar(adoption, seen)))
    else:
        facts.append(("nodes", "none holds it" if seen_in_all else f"none seen in the last {seen}"))
    facts += [("", line) for level in adoption.levels for line in _level_lines(level)]
    if newest.type is WorldType.PLANET and (others := seen_in_all - adoption.nodes) > 0:
        facts.append(("", f"{_count(others, 'holds', 'hold')} another planet"))
    return output.facts_lines(f"{newest.type.name.lower()} {newest.id:016x}", facts)


def _root_lines(root: Root) -> list[str]:
    """The address, and behind it the endpoints, in as many lines as they need."""
    from orrery.cli import output

    address = f"{root.identity.address:010x}  "
    endpoints = ", ".join(str(endpoint) for endpoint in root.endpoints)
    lines = output.wrap(endpoints, _INDENT + len(address)) or ["no endpoint"]
    return [(" " * len(address) if number else address) + each for number, each in enumerate(lines)]


def _bar(adoption: Adoption, seen: str) -> Text:
    from rich.text import Text

    share = adoption.adopted / adoption.nodes
    full, empty = "█░" if (sys.stdout.encoding or "").lower().startswith("utf") else "#."
    bar = (full * int(share * _BAR)).ljust(_BAR, empty)
    told = f" {adoption.adopted} of {adoption.nodes} nodes seen in the last {seen}"
    return Text.assemble((bar, "green" if share == 1 else "yellow"), told)


def _level_lines(level: Level) -> list[str]:
    """How many hold it; of forks also who signs their next revision."""
    from orrery.wire.signature import fingerprint

    keys = {fingerprint(fork.wanted_key or b"") for fork in level.forks}
    return [_name_level(level), *(f"  next signer of that: {key}" for key in sorted(keys))]


def _name_level(level: Level) -> str:
    who = _count(level.nodes, "holds", "hold")
    if level.revision is not None:
        return f"{who} revision {level.revision}"
    if level.timestamp_ms:
        return f"{who} {level.timestamp_ms}, which is not of this chain"
    return f"{_count(level.nodes, 'waits', 'wait')} for it"


def _count(nodes: int, does: str, do: str) -> str:
    return f"1 node {does}" if nodes == 1 else f"{nodes} nodes {do}"
