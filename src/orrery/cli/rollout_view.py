"""A rollout as people and programs see it: pure functions from a view to lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from orrery.cli import output
from orrery.cli.estimate import BURST_MS, time_left_ms
from orrery.rollout.places import name_places
from orrery.rollout.state import RolloutState
from orrery.spans import format_age
from orrery.wire.address import format_address

if TYPE_CHECKING:
    from orrery.cli.installing import Duties
    from orrery.home.rolling import CohortView, MissingNode, RolloutView
    from orrery.worlds.chain import Chain

_LABEL = 13
_BAR = 30
_NAME = 12
_MOST_MISSING = 10
_STYLES = {
    RolloutState.DONE: "green",
    RolloutState.PAUSED: "bold red",
    RolloutState.STOPPED: "red",
    RolloutState.ROLLED_BACK: "red",
}
_MINUTE_MS = 60_000


def rollout_lines(
    view: RolloutView, chain: Chain, now_ms: int, *, alone: str, duties: Duties | None = None
) -> Iterator[Text]:
    """Where a rollout stands, how far each cohort is, and who is missing.

    Args:
        view: the rollout.
        chain: of the World.
        now_ms: the time.
        alone: what to say when nobody carries it out, empty for nothing.
        duties: what is to be installed.
    """
    rollout = view.rollout
    state = (str(rollout.state), _STYLES.get(rollout.state, "yellow"))
    step = f"step {rollout.step + 1} of {len(view.order.plan.steps)}, "
    if rollout.state is RolloutState.DONE:
        step = f"{len(view.order.plan.steps)} steps, " if len(view.order.plan.steps) > 1 else ""
    back = "being taken back, " if view.progress.rolling_back and not rollout.state.is_over else ""
    yield output.labelled("rollout", Text.assemble(step, back, state), _LABEL)
    yield from _wrapped("", rollout.reason)
    if rollout.state.is_over:
        return
    if not view.is_conducted and alone:
        yield from _wrapped("", alone, style="red")
    if view.target_ms:
        for cohort in view.cohorts:
            yield output.labelled(_short(cohort.name), _bar(cohort), _LABEL)
        left = time_left_words(view, now_ms)
        if left:
            yield from _wrapped("time left", left)
        yield from _missing_lines(view, chain, now_ms)
    # What people have to see to while the step is carried out.
    for number, sentence in enumerate(duties.sentences() if duties is not None else ()):
        yield from _wrapped("" if number else "install", sentence)
    old = view.order.plan.steps[rollout.step].old
    if view.target_ms and old:
        yield from _wrapped("keep up", f"{name_places(old)}, which nodes behind still need")


def time_left_words(view: RolloutView, now_ms: int) -> str:
    """`about 3 min`, or why that is not known; empty where it is no question."""
    if view.rollout.state is RolloutState.PAUSED or view.rollout.state.is_over:
        return ""
    left_ms = time_left_ms(view, now_ms)
    if left_ms is not None:
        return f"about {describe_span(left_ms)}"
    lately = now_ms - view.progress.opened_ms < 2 * BURST_MS
    if lately or not any(cohort.is_open and cohort.missing for cohort in view.cohorts):
        return ""
    return "not known: no node followed lately"


def describe_span(span_ms: int) -> str:
    """A span that is estimated, in two figures at most: `40 s`, `3 min`, `2.5 h`, `4 d`."""
    seconds = span_ms / 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            count = seconds / size
            return (
                f"{count:.1f} {unit}" if count < 9.95 and unit != "min" else f"{count:.0f} {unit}"
            )
    return f"{max(round(seconds), 1)} s"


def progress_sentence(view: RolloutView) -> str:
    """Where a rollout stands, in one line for a log."""
    rollout = view.rollout
    said = f"step {rollout.step + 1} of {len(view.order.plan.steps)}, {rollout.state}"
    if rollout.reason:
        said = f"{rollout.state}: {rollout.reason}"
    opened = [cohort for cohort in view.cohorts if cohort.is_open]
    if view.target_ms and opened and not rollout.state.is_over:
        counted = sum(cohort.counted for cohort in opened)
        adopted = sum(cohort.adopted for cohort in opened)
        said += f" ({adopted:,} of {counted:,} nodes)"
    return said


def describe_view(view: RolloutView, now_ms: int, duties: Duties | None = None) -> dict[str, Any]:
    """A rollout for programs."""
    rollout = view.rollout
    left_ms = None if rollout.state.is_over else time_left_ms(view, now_ms)
    return {
        "number": rollout.number,
        "state": str(rollout.state),
        "is_over": rollout.state.is_over,
        "reason": rollout.reason,
        "step": rollout.step + 1,
        "steps": len(view.order.plan.steps),
        "cohort": rollout.cohort + 1,
        "rolling_back": view.progress.rolling_back,
        "timestamp_ms": view.target_ms or None,
        "conducted": view.is_conducted,
        "begun_ms": rollout.created_at_ms,
        "changed_ms": rollout.changed_at_ms,
        "ended_ms": rollout.ended_at_ms,
        "time_left_ms": left_ms,
        "install": [] if duties is None else duties.describe(),
        "cohorts": [
            {
                "name": cohort.name,
                "open": cohort.is_open,
                "counted": cohort.counted,
                "adopted": cohort.adopted,
                "missing": [
                    {
                        "address": format_address(node.address),
                        "holds_ms": node.holds_ms,
                        "last_seen_ms": node.seen_ms,
                        "last_seen": output.iso_time(node.seen_ms),
                    }
                    for node in cohort.missing
                ],
            }
            for cohort in view.cohorts
        ],
    }


def _wrapped(label: str, text: str, style: str = "") -> Iterator[Text]:
    for number, line in enumerate(output.wrap(text, _LABEL)):
        yield output.labelled("" if number else label, Text(line, style=style), _LABEL)


def _short(name: str) -> str:
    """The name of a cohort where there is little room: `3 nodes` for a list of them."""
    if len(name) < _NAME:
        return name
    return f"{name.count(',') + 1} nodes"


def _bar(cohort: CohortView) -> Text:
    if not cohort.counted:
        return Text("no node counts", style="dim")
    share = cohort.adopted / cohort.counted
    full, empty = "█░" if (sys.stdout.encoding or "").lower().startswith("utf") else "#."
    bar = (full * int(share * _BAR)).ljust(_BAR, empty)
    style = "green" if share == 1 else "yellow" if cohort.is_open else "dim"
    return Text.assemble(
        (bar, style),
        f" {cohort.adopted:,} of {cohort.counted:,}",
        "" if cohort.is_open else ", not its turn yet",
    )


def _missing_lines(view: RolloutView, chain: Chain, now_ms: int) -> Iterator[Text]:
    missing = sorted(
        (node for cohort in view.cohorts if cohort.is_open for node in cohort.missing),
        key=lambda node: (node.seen_ms, node.address),
    )
    for number, node in enumerate(missing[:_MOST_MISSING]):
        yield output.labelled(
            "" if number else "missing", _missing_words(node, chain, now_ms), _LABEL
        )
    if len(missing) > _MOST_MISSING:
        more = f"and {len(missing) - _MOST_MISSING:,} more: orrery nodes --behind"
        yield output.labelled("", more, _LABEL)


def _missing_words(node: MissingNode, chain: Chain, now_ms: int) -> str:
    held: Sequence[int] = [world.timestamp_ms for world in chain]
    what = (
        f"revision {held.index(node.holds_ms) + 1}"
        if node.holds_ms in held
        else "another World"
        if node.holds_ms
        else "none yet"
    )
    age = format_age(now_ms - node.seen_ms)
    return f"{format_address(node.address)}  holds {what}, last seen {age} ago"
