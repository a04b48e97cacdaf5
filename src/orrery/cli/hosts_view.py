"""Hosts as people and programs see them: pure functions from what was found there to lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from orrery.cli import output
from orrery.cli.versions import SoftwareVersion, read_version
from orrery.errors import DecodeError
from orrery.fleet import Act
from orrery.fleet.local_shell import LocalShell
from orrery.spans import format_age
from orrery.wire.address import format_address
from orrery.wire.world import WorldType

if TYPE_CHECKING:
    from orrery.fleet import HostPlan, HostView, Problem, Standing
    from orrery.wire.address import Address

_LONGEST_NAME = 12
"""Of a World at the head of a column."""
_CLOCK_MS = 2_000
"""A clock that is off by less is not to be told from one that is right: it is read in seconds."""
_STYLES = {
    Act.NOTHING: "green",
    Act.INSTALL: "yellow",
    Act.RESTART: "yellow",
    Act.REPAIR: "yellow",
    Act.ORBIT: "yellow",
    Act.REFUSED: "red",
}
_PROBLEM_STYLES = {"service": "red"}
_GAP = 2


class Looked(NamedTuple):
    """A host that was looked at.

    Attributes:
        view: what was found.
        plan: how it stands with each World that it is to have; None where it was not reached.
    """

    view: HostView
    plan: HostPlan | None


class Newer(NamedTuple):
    """The newest version of ZeroTier One in use.

    Attributes:
        version: as nodes report it.
        nodes: how many of them run it.
    """

    version: SoftwareVersion
    nodes: int


def newest_in_use(
    seen: Mapping[Address, SoftwareVersion], views: Iterable[HostView]
) -> Newer | None:
    """The newest version that a node or a host runs, None where nobody tells one.

    Args:
        seen: what nodes reported in HELLO.
        views: of hosts; what they say themselves is newer than what they once reported.
    """
    running = dict(seen)
    for view in views:
        version = version_of(view)
        if version is not None and view.running is not None:
            running[view.running.address] = version
    counted = Counter(version for version in running.values() if any(version))
    newest = max(counted, default=None)
    return None if newest is None else Newer(newest, counted[newest])


def version_of(view: HostView) -> SoftwareVersion | None:
    """The version of ZeroTier One that runs on a host, None where that is not known."""
    if view.running is None:
        return None
    try:
        return read_version(view.running.version)
    except DecodeError:
        return None


def host_lines(
    looked: Sequence[Looked], newest: Newer | None, width: int, now_ms: int
) -> Iterator[Text]:
    """A line for each host, and below it what is not as it should be.

    Args:
        looked: the hosts.
        newest: the newest version in use.
        width: columns that there are: where they are few, the table has fewer.
        now_ms: the clock.
    """
    names = list(
        dict.fromkeys(standing.name for each in looked for standing in _standings(each.plan))
    )
    rows = [_head(names), *(_row(each, names) for each in looked)]
    columns = _fitting(rows, width)
    widths = [max(row[column].cell_len for row in rows) for column in columns]
    for number, row in enumerate(rows):
        line = Text()
        for column, room in zip(columns, widths, strict=True):
            line.append_text(row[column])
            line.pad_right(room + _GAP - row[column].cell_len)
        line.rstrip()
        yield line
        if number:
            each = looked[number - 1]
            for sentence, style in _troubles(each, newest, now_ms):
                for position, part in enumerate(output.wrap(sentence, 4)):
                    yield Text(f"  {'  ' if position else '- '}{part}", style=style)


def describe_looked(looked: Looked, newest: Newer | None) -> dict[str, Any]:
    """A host for programs."""
    view, plan = looked
    running, unfinished = view.running, view.unfinished
    return {
        "host": view.name,
        "where": view.where,
        "reached": view.is_reached,
        "error": view.error or None,
        "looked_at_ms": view.looked_at_ms or None,
        "node": None if view.node is None else format_address(view.node),
        "home": view.home or None,
        "root": plan is not None and plan.is_root,
        "running": running is not None,
        "running_error": view.running_error or None,
        "online": running is not None and running.online,
        "version": None if running is None else running.version,
        "newer": None
        if newest is None or not _is_outdated(view, newest)
        else {"version": ".".join(map(str, newest.version)), "nodes": newest.nodes},
        "peers": None if running is None else running.peers,
        "disk_free_bytes": view.disk_free_bytes if view.is_reached else None,
        "disk_total_bytes": view.disk_total_bytes if view.is_reached else None,
        "clock_skew_ms": view.clock_skew_ms if view.is_reached else None,
        "worlds": [_describe_standing(each) for each in _standings(plan)],
        "refusal": None if plan is None or not plan.refusal else plan.refusal,
        "unfinished": None
        if unfinished is None
        else {
            "id": unfinished.id,
            "state": unfinished.state,
            "by": unfinished.by,
            "since_ms": unfinished.since_ms,
            "alive": unfinished.is_alive,
        },
        "problems": [
            {"code": each.code, "sentence": each.sentence, "mend": each.mend or None}
            for each in view.problems
        ],
    }


def _describe_standing(standing: Standing) -> dict[str, Any]:
    return {
        "name": standing.name,
        "id": f"{standing.world.id:016x}",
        "type": standing.world.type.name.lower(),
        "revision": standing.number,
        "wanted": standing.target,
        "revisions": standing.of,
        "wanted_ms": standing.world.timestamp_ms,
        "newest_ms": standing.newest.timestamp_ms,
        "file_ms": None if standing.file is None else standing.file.timestamp_ms,
        "running_ms": standing.running_ms,
        "root": standing.is_root,
        "act": str(standing.act),
        "sentence": standing.sentence,
    }


def is_left(looked: Looked) -> bool:
    """Whether a deploy has something to do on a host."""
    view, plan = looked
    if plan is None or plan.refusal:
        return False
    acts = {each.act for each in plan.standings}
    is_cut_off = view.unfinished is not None and not view.unfinished.is_alive
    return is_cut_off or bool(acts - {Act.NOTHING, Act.REFUSED})


def describe_size(size_bytes: int) -> str:
    """`5.1 GB`: three figures at most."""
    for size, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB")):
        if size_bytes >= size:
            count = size_bytes / size
            return f"{count:.1f} {unit}" if count < 99.95 else f"{count:.0f} {unit}"
    return f"{size_bytes // 1000} kB"


# The table: the columns that may be left out stand in `_DISPENSABLE`, the first ones first.

_HOST, _NODE, _ROLE, _WORLDS, _STATE, _VERSION, _DISK, _CLOCK = range(8)


def _head(names: Sequence[str]) -> list[Text]:
    titles = ("host", "node", "", *(_shortened(name) for name in names), "", "version")
    return [Text(title, style="cyan") for title in (*titles, "free", "clock")]


def _row(looked: Looked, names: Sequence[str]) -> list[Text]:
    view, plan = looked
    standing = {each.name: each for each in _standings(plan)}
    return [
        Text(view.name),
        Text("-" if view.node is None else format_address(view.node)),
        Text("root" if plan is not None and plan.is_root else "node" if view.is_reached else ""),
        *(_held(standing.get(name), view) for name in names),
        _state(view),
        Text("-" if view.running is None else view.running.version),
        Text(describe_size(view.disk_free_bytes) if view.is_reached else "-"),
        _clock(view),
    ]


def _fitting(rows: Sequence[Sequence[Text]], width: int) -> list[int]:
    """The columns that there is room for, from the left: what is wrong stands below as well."""
    count = len(rows[0])
    worlds = count - 7
    widths = [max(row[column].cell_len for row in rows) for column in range(count)]
    needed = {column: width + _GAP for column, width in enumerate(widths) if width}
    columns = list(needed)
    state = 3 + worlds
    for column in (state + 3, state + 2, 1, 2, state + 1):
        if sum(needed[each] for each in columns) - _GAP <= width:
            break
        if column in needed:
            columns.remove(column)
    return columns


def _held(standing: Standing | None, view: HostView) -> Text:
    """Which revision of how many, in one word: `2/3`, or what else is there."""
    if standing is None:
        return Text("-", style="dim")
    style = _STYLES[standing.act]
    if standing.number is not None:
        return Text(f"{standing.number}/{standing.of}", style=style)
    world, running = standing.world, view.running
    if running is not None and running.moons.get(world.id) == 0:
        return Text("waits", style=style)
    has_planet = running is not None and world.type is WorldType.PLANET
    if has_planet or standing.running_ms is not None or standing.file is not None:
        return Text("other", style=style)
    return Text("none", style=style)


def _state(view: HostView) -> Text:
    if not view.is_reached:
        return Text("unreachable", style="red")
    if view.running is None:
        return Text("not running", style="red")
    return Text("online", style="green") if view.running.online else Text("offline", style="red")


def _clock(view: HostView) -> Text:
    if not view.is_reached:
        return Text("-")
    skew_ms = view.clock_skew_ms
    if abs(skew_ms) < _CLOCK_MS:
        return Text("right")
    return Text(f"{'+' if skew_ms > 0 else '-'}{format_age(abs(skew_ms))}", style="yellow")


def _troubles(looked: Looked, newest: Newer | None, now_ms: int) -> Iterator[tuple[str, str]]:
    """What is not as it should be, each as a sentence and its style."""
    view, plan = looked
    if not view.is_reached:
        yield view.error, "red"
        return
    if plan is not None and plan.refusal:
        yield plan.refusal, "red"
    for standing in _standings(plan):
        if standing.act is not Act.NOTHING:
            yield f"{standing.name}: {_standing_words(standing)}", _STYLES[standing.act]
    unfinished = view.unfinished
    if unfinished is not None and unfinished.is_alive:
        age = format_age(now_ms - unfinished.since_ms)
        yield f"{unfinished.by} has been deploying there for {age} ({unfinished.state})", "yellow"
    for problem in view.problems:
        if plan is None or problem.sentence != plan.refusal:
            yield _problem_words(problem, view), _PROBLEM_STYLES.get(problem.code, "yellow")
    if newest is not None and _is_outdated(view, newest) and view.running is not None:
        run = "1 node runs" if newest.nodes == 1 else f"{newest.nodes:,} nodes run"
        version = ".".join(map(str, newest.version))
        yield f"it runs zerotier-one {view.running.version}, and {run} {version}", "yellow"


def _standing_words(standing: Standing) -> str:
    """What is not so yet; what a deploy would do about it is for the deploy to say."""
    number, target = standing.number, standing.target
    held = "none of its revisions" if number is None else f"revision {number}"
    match standing.act:
        case Act.REFUSED | Act.NOTHING:
            return standing.sentence
        case Act.REPAIR:
            return f"the service holds revision {target}, and the file does not"
        case Act.RESTART:
            return f"revision {target} is in the file, and the service holds {held}"
        case Act.INSTALL | Act.ORBIT:
            return f"it holds {held}, and is to hold revision {target}"


def _problem_words(problem: Problem, view: HostView) -> str:
    """What is wrong, and the command that mends it: most of them are for the host."""
    if problem.code == "cut-off":
        return f"{problem.sentence}: the next deploy ends it"
    if not problem.mend:
        return problem.sentence
    there = "" if view.where == LocalShell.where else "there, "
    return f"{problem.sentence}: {there}run {problem.mend}"


def _is_outdated(view: HostView, newest: Newer) -> bool:
    version = version_of(view)
    return version is not None and version < newest.version


def _standings(plan: HostPlan | None) -> tuple[Standing, ...]:
    return () if plan is None else plan.standings


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
