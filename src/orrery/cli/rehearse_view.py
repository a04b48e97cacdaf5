"""What `orrery rehearse` shows: a table in 80 columns, curves, JSON, a picture, and the verdict."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import RenderableType
    from rich.text import Text

    from orrery.lab.rehearsal.outcome import CohortOutcome, Lost, Outcome
    from orrery.lab.rehearsal.script import Script

_MOST_LOST = 10
_MOST_TOLD = 40


def draw(path: Path, script: Script, outcome: Outcome) -> None:
    """Draw the adoption curves into a file.

    Raises:
        UsageError: there is nothing to draw.
        UnreadableError: it cannot be written.
    """
    from orrery.errors import UnreadableError, UsageError
    from orrery.lab.curve import draw_svg

    if not outcome.curves:
        raise UsageError("no step was published, so there is no curve to draw")
    picture = draw_svg(
        outcome.curves,
        title=f"Rehearsal: {len(outcome.steps)} steps, {outcome.nodes:,} nodes",
        subtitle=_fleet(script, outcome) + ("" if outcome.on_loopback else f"; {_network(script)}"),
        openings_ms=[
            cohort.opened_ms
            for step in outcome.steps
            for cohort in step.cohorts
            if cohort.opened_ms is not None and cohort.nodes
        ],
        outages=[
            (outage.begin_ms, outage.end_ms, f"{outage.name.split()[0]} down")
            for outage in outcome.outages
        ],
    )
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"{path} cannot be written: {error.strerror}") from error


def _fleet(script: Script, outcome: Outcome) -> str:
    if not outcome.on_loopback:
        return script.churn.describe()
    from orrery.lab.churn import Sessions
    from orrery.lab.rehearsal.loopback import SLEEP_S

    asleep = script.churn.offline if isinstance(script.churn, Sessions) else 0.0
    return f"{asleep * 100:.3g} % of the nodes asleep for the first {SLEEP_S:.0f} s"


def _network(script: Script) -> str:
    around = script.surroundings
    low_ms, high_ms = around.rtt_ms
    return (
        f"round trips {low_ms:g} to {high_ms:g} ms, {around.loss * 100:.3g} % lost each way, "
        f"{around.nat * 100:.3g} % behind NAT"
    )


# -- for programs ----------------------------------------------------------------------------------


def describe(script: Script, outcome: Outcome) -> dict[str, Any]:
    """All of it."""
    from orrery.lab.curve import TOLD_SHARES
    from orrery.wire.address import format_address

    names = [f"{share * 100:g}" for share in TOLD_SHARES]

    def lost(found: Sequence[Lost]) -> list[dict[str, Any]]:
        return [
            {"node": format_address(each.address), "holds_ms": each.holds_ms, "why": each.why}
            for each in found
        ]

    def cohort(found: CohortOutcome) -> dict[str, Any]:
        return {
            "cohort": found.name,
            "nodes": found.nodes,
            "opened_ms": found.opened_ms,
            "adopted_ms": {
                name: None if math.isinf(at_ms) or found.opened_ms is None else at_ms
                for name, at_ms in zip(names, found.adopted_ms, strict=True)
            },
            "passed_ms": found.passed_ms,
        }

    return {
        "passed": outcome.passed,
        "state": str(outcome.state),
        "reason": outcome.reason,
        "world": f"{script.chain.world_id:016x}",
        "loopback": outcome.on_loopback,
        "nodes": outcome.nodes,
        "counted": outcome.counted,
        "seed": script.seed,
        "fleet": script.churn.describe(),
        "loss": script.surroundings.loss,
        "nat": script.surroundings.nat,
        "rtt_ms": list(script.surroundings.rtt_ms),
        "faults": [str(fault) for fault in script.faults],
        "ended_ms": outcome.ended_ms,
        "virtual_ms": outcome.virtual_ms,
        "steps": [
            {
                "step": step.number,
                "changes": list(step.changes),
                "timestamp_ms": step.timestamp_ms or None,
                "published_ms": step.published_ms,
                "done_ms": step.done_ms,
                "cohorts": [cohort(each) for each in step.cohorts],
                "curve": {"times_ms": step.curve.times_ms, "shares": step.curve.shares},
            }
            for step in outcome.steps
        ],
        "stranded": lost(outcome.stranded),
        "behind": lost(outcome.behind),
        "forsaken": lost(outcome.forsaken),
        "failed": lost(outcome.failed),
        "roots": [
            {
                "address": format_address(root.address),
                "name": script.names.get(root.address),
                "worlds_answered": root.answers,
                "worlds_pushed": root.pushes,
                "worlds_bytes": root.handed_bytes,
            }
            for root in outcome.roots
        ],
        "course": [{"at_ms": each.at_ms, "what": each.what} for each in outcome.course],
        "played": {
            "packets": outcome.packets,
            "rounds": outcome.rounds,
            "rounds_left_out": outcome.left_out,
        },
    }


# -- for people ------------------------------------------------------------------------------------


def show(script: Script, outcome: Outcome) -> None:
    """Print the table, the curves, what happened, and the verdict."""
    from rich.console import Console

    from orrery.cli import output

    console = Console(highlight=False, markup=False)
    with console.capture() as captured:
        for part in _render(script, outcome):
            console.print(part)
    for line in captured.get().splitlines():
        print(line.rstrip())
    output.print_lines(_verdict(outcome))


def _render(script: Script, outcome: Outcome) -> Iterator[RenderableType]:
    from orrery.lab.curve_text import draw_text

    yield _facts(script, outcome)
    yield ""
    yield _cohorts(outcome)
    if outcome.curves:
        yield ""
        yield "share of the nodes that hold the revision of each step"
        yield from draw_text(outcome.curves)
    if outcome.roots:
        yield ""
        yield _roots(outcome)
    if outcome.course:
        yield ""
        yield _course(outcome)
    yield ""


def _facts(script: Script, outcome: Outcome) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from orrery.lab.curve import format_time
    from orrery.spans import format_span

    order = script.order
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan", no_wrap=True)
    facts.add_column()
    facts.add_row("fleet", _fleet(script, outcome))
    if not outcome.on_loopback:
        facts.add_row("network", _network(script))
    facts.add_row(
        "rollout",
        f"cohorts {', '.join(map(_short, order.cohorts))}; settle {format_span(order.settle_ms)}, "
        f"required {float(order.required):.4g}, horizon {format_span(order.horizon_ms)}".replace(
            "required 1,", "required 100%,"
        ),
    )
    if script.faults:
        facts.add_row("faults", ", ".join(map(str, script.faults)))
    played = (
        f"{format_time(outcome.virtual_ms)} of virtual time, {outcome.packets:,} packets; "
        f"{outcome.left_out:,} rounds of idle nodes were reckoned"
    )
    if outcome.on_loopback:
        played = f"{format_time(outcome.virtual_ms)}, by processes on this machine over UDP"
    facts.add_row("played", played)
    steps = len(outcome.steps)
    title = (
        f"rehearsal: {outcome.nodes:,} nodes, {steps} step{'s' * (steps != 1)}, seed {script.seed}"
    )
    return Group(Text(title, style="bold"), facts)


def _short(cohort: object) -> str:
    from orrery.rollout.cohorts import Named

    if isinstance(cohort, Named) and len(cohort.addresses) > 2:
        return f"{len(cohort.addresses)} named nodes"
    return str(cohort)


def _cohorts(outcome: Outcome) -> RenderableType:
    from rich.table import Table

    from orrery.lab.curve import TOLD_SHARES, format_time

    table = Table(box=None, pad_edge=False, header_style="cyan", padding=(0, 1))
    table.add_column("step")
    table.add_column("cohort", overflow="ellipsis", max_width=24, no_wrap=True)
    for heading in ("nodes", "opened", *(f"{share:.0%}" for share in TOLD_SHARES), "passed"):
        table.add_column(heading.replace("%", " %"), justify="right", no_wrap=True)
    for step in outcome.steps:
        for number, cohort in enumerate(step.cohorts):
            name = "" if number else str(step.number)
            if cohort.opened_ms is None:
                what: tuple[str, ...] = ("-", "", "", "", "")
            else:
                opened_ms = cohort.opened_ms
                times = [_after(at_ms, opened_ms) for at_ms in cohort.adopted_ms]
                passed = "-" if cohort.passed_ms is None else _after(cohort.passed_ms, opened_ms)
                if not cohort.nodes:
                    times = [""] * len(times)
                what = (format_time(opened_ms), *times, passed)
            table.add_row(name, cohort.name, f"{cohort.nodes:,}", *what)
    return table


def _after(at_ms: float, since_ms: float) -> str:
    from orrery.lab.curve import format_time

    if math.isinf(at_ms):
        return "never"
    if at_ms < since_ms:
        return "before"
    return f"+{format_time(at_ms - since_ms)}"


def _roots(outcome: Outcome) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="cyan", padding=(0, 2))
    table.add_column("root")
    for heading in ("Worlds pushed", "in answers", "bytes of them"):
        table.add_column(heading, justify="right")
    for root in outcome.roots:
        table.add_row(root.name, f"{root.pushes:,}", f"{root.answers:,}", f"{root.handed_bytes:,}")
    return table


def _course(outcome: Outcome) -> RenderableType:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="cyan", no_wrap=True)
    table.add_column()
    for happening in outcome.course[:_MOST_TOLD]:
        table.add_row(clock(happening.at_ms), happening.what)
    if len(outcome.course) > _MOST_TOLD:
        table.add_row("", f"and {len(outcome.course) - _MOST_TOLD} things more (--json)")
    return table


def clock(at_ms: float) -> str:
    """A time of the rehearsal: days, and the time of the day."""
    seconds = int(at_ms // 1000)
    days, seconds = divmod(seconds, 86_400)
    time = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{days}d {time}" if days else time


def _verdict(outcome: Outcome) -> Iterator[Text]:
    """Whether it may be carried out, and what speaks against it."""
    from rich.text import Text

    from orrery.cli import output
    from orrery.lab.curve import format_time
    from orrery.rollout.state import RolloutState

    for heading, found, style in (
        ("stranded", outcome.stranded, "red"),
        ("in touch, but left behind", outcome.behind, "red"),
        ("made to fail", outcome.failed, "yellow"),
        ("not waited for, and lost", outcome.forsaken, "yellow"),
    ):
        if found:
            yield Text(f"{_count(len(found), 'node')} {heading}", style=style)
            for line in _lost_lines(found):
                yield Text(line)
    if outcome.passed:
        sentence = (
            f"nobody is stranded: {_count(outcome.nodes, 'node')} hold what they are to, and the "
            f"rollout was done after {format_time(outcome.ended_ms)}"
        )
    elif outcome.state is RolloutState.DONE:
        sentence = "the rollout was done, and nodes were lost by it: do not carry this plan out"
    else:
        lost = len(outcome.stranded) + len(outcome.behind)
        who = f"{_count(lost, 'node')} lost" if lost else "nobody is stranded"
        sentence = (
            f"the rollout was not done, {who}: after {format_time(outcome.ended_ms)} it is "
            f"{outcome.state}: {outcome.reason}"
        )
    style = "green" if outcome.passed else "red"
    for line in output.wrap(sentence):
        yield Text(line, style=style)


def _lost_lines(found: Sequence[Lost]) -> Iterator[str]:
    """Who is lost, those together who are so for the same reason."""
    from orrery.cli import output
    from orrery.wire.address import format_address

    by_reason: dict[str, list[str]] = {}
    for each in found:
        by_reason.setdefault(each.why, []).append(format_address(each.address))
    for why, addresses in list(by_reason.items())[:_MOST_LOST]:
        named = ", ".join(addresses[:_MOST_LOST])
        if len(addresses) > _MOST_LOST:
            named += f" and {len(addresses) - _MOST_LOST} more"
        for number, line in enumerate(output.wrap(f"{named}: {why}", 4)):
            yield f"{'    ' if number else '  - '}{line}"
    if len(by_reason) > _MOST_LOST:
        yield f"  and others, for {len(by_reason) - _MOST_LOST} other reasons (--json)"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
