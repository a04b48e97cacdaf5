"""A deploy as people and programs see it: how far each host is, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from orrery.cli import output
from orrery.cli.hosting import name_hosts
from orrery.fleet import Result, Step
from orrery.spans import format_age
from orrery.wire.address import format_address

if TYPE_CHECKING:
    from orrery.fleet import Outcome

_WORDS = {
    Result.DEPLOYED: ("deployed", "green"),
    Result.WOULD_DEPLOY: ("would deploy", "yellow"),
    Result.UP_TO_DATE: ("up to date", "green"),
    Result.PUT_BACK: ("put back", "red"),
    Result.UNREACHABLE: ("unreachable", "red"),
    Result.REFUSED: ("refused", "red"),
    Result.BUSY: ("busy", "yellow"),
    Result.FAILED: ("failed", "bold red"),
    Result.SKIPPED: ("skipped", "yellow"),
}
_DOES = {
    Step.CONNECT: "connecting",
    Step.LOOK: "looking at what is there",
    Step.WAIT: "waiting for its turn",
    Step.MEND: "ending a deploy that was cut off",
    Step.BACK_UP: "backing up what is there",
    Step.UPLOAD: "copying the World files",
    Step.INSTALL: "installing",
    Step.RESTART: "restarting zerotier-one",
    Step.CHECK: "waiting until it is back",
    Step.PUT_BACK: "putting back what was there",
}
_BEGUN = frozenset((Step.MEND, Step.INSTALL, Step.RESTART, Step.CHECK, Step.PUT_BACK))
"""From when on a host goes on by itself, whether anybody looks on or not."""
_UNTOLD = frozenset((Step.WAIT, Step.CONNECT, Step.LOOK, Step.DONE))
"""Nothing is done at these, so they are worth no line of a log; how it ended stands elsewhere."""
_LONG_MS = 3_000
"""After this long it is said for how long."""
_WIDEST_NAME = 24
_LEAST_ROOM = 30
"""Columns that a sentence needs beside the name and the result."""


class At(NamedTuple):
    """Where a host is."""

    step: Step
    words: str
    since_ms: int


class Course:
    """How far each host is while a deploy works; `note` is told of each step.

    Attributes:
        names: of the hosts, in order.

    Args:
        names: of the hosts, in order.
        now_ms: a steady clock.
        tell: called with each line for who reads lines, if somebody does.
    """

    def __init__(
        self,
        names: Sequence[str],
        now_ms: Callable[[], int],
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.names = tuple(names)
        self._now_ms = now_ms
        self._tell = tell
        self._at: dict[str, At] = {}

    def note(self, host: str, step: Step, words: str) -> None:
        """A host has come to a step."""
        before = self._at.get(host)
        if before is not None and before[:2] == (step, words):
            return
        since_ms = self._now_ms() if before is None or before.step is not step else before.since_ms
        self._at[host] = At(step, words, since_ms)
        if self._tell is not None and step not in _UNTOLD:
            self._tell(f"{host}: {_does(self._at[host])}")

    def lines(self, room: int) -> Iterator[Text]:
        """A line for each host, as long as there is room; then only for those at work.

        Args:
            room: how many lines may be used.
        """
        shown = self.names
        if len(shown) + 1 > room:
            shown = tuple(name for name in shown if self._is_working(name))[: max(room - 1, 1)]
        width = min(max(map(len, self.names), default=0), _WIDEST_NAME)
        for name in shown:
            line = Text(no_wrap=True, overflow="ellipsis")
            yield line.append(name.ljust(width + 2), "cyan").append_text(self._words(name))
        if len(self.names) > 1:
            done = sum(at.step is Step.DONE for at in self._at.values())
            yield Text(f"{done:,} of {len(self.names):,} hosts done", style="dim")

    def begun(self) -> tuple[str, ...]:
        """The hosts where something goes on without this process."""
        return tuple(name for name in self.names if self._is_at(name, _BEGUN))

    def untouched(self) -> tuple[str, ...]:
        """The hosts where nothing has been changed, and that are not done."""
        return tuple(
            name
            for name in self.names
            if not self._is_at(name, _BEGUN) and not self._is_at(name, {Step.DONE})
        )

    def _is_at(self, name: str, steps: Iterable[Step]) -> bool:
        at = self._at.get(name)
        return at is not None and at.step in steps

    def _is_working(self, name: str) -> bool:
        at = self._at.get(name)
        return at is not None and at.step is not Step.DONE

    def _words(self, name: str) -> Text:
        at = self._at.get(name)
        if at is None:
            return Text(_DOES[Step.WAIT], style="dim")
        if at.step is Step.DONE:
            return Text(at.words)
        age_ms = self._now_ms() - at.since_ms
        since = f", {format_age(age_ms)}" if age_ms >= _LONG_MS else ""
        return Text(f"{_does(at)}{since}", style="yellow")


def _does(at: At) -> str:
    """What is done at a step."""
    return f"{_DOES[at.step]}: {at.words}" if at.words else _DOES[at.step]


def interrupted_sentences(course: Course, again: str) -> Iterator[str]:
    """What Ctrl-C has left, and what to do.

    Args:
        course: of the hosts.
        again: the command that goes on.
    """
    begun, untouched = course.begun(), course.untouched()
    if begun:
        goes = "goes" if len(begun) == 1 else "go"
        yield (
            f"{name_hosts(begun)} {goes} on without this command, and will run with the new World "
            f"or with the one before: `{again}` tells how it ended, and does the rest"
        )
    if untouched:
        rest = "" if begun else f": `{again}` begins anew"
        yield f"nothing was changed on {name_hosts(untouched)}{rest}"


def outcome_lines(outcomes: Sequence[Outcome], width: int) -> Iterator[Text]:
    """What became of each host.

    Args:
        outcomes: of all hosts.
        width: columns that there are.
    """
    name_room = min(max((len(each.host) for each in outcomes), default=0), _WIDEST_NAME) + 2
    result_room = max((len(_WORDS[each.result][0]) for each in outcomes), default=0) + 2
    indent = name_room + result_room
    if width - indent < _LEAST_ROOM:
        indent = 2
    for each in outcomes:
        result, style = _WORDS[each.result]
        head = Text.assemble((each.host.ljust(name_room), "cyan"), (result, style))
        sentences = output.wrap(each.sentence, indent)
        if sentences and indent > 2 and head.cell_len < indent:
            head.pad_right(indent - head.cell_len)
            head.append(sentences.pop(0))
        yield head
        yield from (Text(" " * indent + line) for line in sentences)


def summary(outcomes: Sequence[Outcome]) -> Text:
    """`3 hosts: 1 deployed, 2 up to date`."""
    counted = Counter(each.result for each in outcomes)
    parts = [f"{counted[result]:,} {_WORDS[result][0]}" for result in _WORDS if counted[result]]
    hosts = f"{len(outcomes):,} host{'s' * (len(outcomes) != 1)}"
    style = "green" if all(each.is_good for each in outcomes) else "red"
    return Text(f"{hosts}: {', '.join(parts)}", style=style)


def describe_outcomes(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "host": each.host,
            "result": str(each.result),
            "sentence": each.sentence,
            "root": each.is_root,
            "node": None if each.node is None else format_address(each.node),
            "installed": list(each.installed),
            "restarted": each.restarted,
            "backup": None if each.backup is None else str(each.backup),
        }
        for each in outcomes
    ]
