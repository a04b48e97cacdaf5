"""What goes to people: aligned facts in 80 columns, colour on terminals only, JSON for programs."""

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.text import Text

_WIDTH = 80
_WIDEST = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_WITH_A_DATE_MS = 253_402_300_799_999
_COMMAND = re.compile(r"`[^`]+`")
_NO_BREAK = "\0"

Fact = tuple[str, str | Text | Sequence[str]]
"""A label, and one or several lines behind it. A `Text` is one line and not wrapped."""


def print_json(value: object) -> None:
    """Print a value for programs."""
    print(json.dumps(value, indent=2))


def facts_lines(title: str, facts: Iterable[Fact], *, style: str = "bold") -> list[Text]:
    """A title and labels with their values below, wrapped to the terminal."""
    listed = list(facts)
    indent = max((len(label) for label, _ in listed), default=0) + 2
    shown = [Text(title, style=style)]
    for label, value in listed:
        lines: list[str | Text] = [value] if isinstance(value, Text) else []
        if not isinstance(value, Text):
            lines += [
                line
                for text in ([value] if isinstance(value, str) else value)
                for line in wrap(text, indent) or [""]
            ]
        for number, line in enumerate(lines or [""]):
            shown.append(labelled("" if number else label, line, indent))
    return shown


def labelled(label: str, line: str | Text, indent: int) -> Text:
    """A line behind its label, or behind as much room where the label is empty."""
    return Text.assemble((label.ljust(indent), "cyan"), line)


def wrap(text: str, indent: int = 0) -> list[str]:
    """Break a text into lines that fit beside an indent.

    Words stay whole, and so do commands in backticks: whoever copies one has all of it.
    """
    kept = _COMMAND.sub(lambda found: found[0].replace(" ", _NO_BREAK), text)
    lines = textwrap.wrap(kept, width() - indent, break_on_hyphens=False, break_long_words=False)
    return [line.replace(_NO_BREAK, " ") for line in lines]


def print_lines(lines: Iterable[Text]) -> None:
    """Print lines that are ready."""
    console = _console()
    for line in lines:
        console.print(line)


def print_facts(title: str, facts: Iterable[Fact], *, style: str = "bold") -> None:
    """Print a title and labels with their values below, wrapped to the terminal."""
    print_lines(facts_lines(title, facts, style=style))


def print_warnings(sentences: Sequence[str]) -> None:
    """Print what the user should know about what stands above."""
    if not sentences:
        return
    console = _console()
    console.print(Text(f"{len(sentences)} warning{'s' * (len(sentences) > 1)}", style="yellow"))
    for sentence in sentences:
        console.print("- " + "\n  ".join(wrap(sentence, 2)))


def print_verdict(sentence: str) -> None:
    """Print that something is as it should be."""
    for line in wrap(sentence):
        _console().print(Text(line, style="green"))


def warn(sentence: str) -> None:
    """Tell on standard error what the user should know and did not ask for."""
    _console(stderr=True).print(Text(f"warning: {sentence}", style="yellow"))


def say(sentence: str) -> None:
    """Tell on standard error what was done."""
    _console(stderr=True).print(sentence)


def iso_time(timestamp_ms: int | None) -> str | None:
    """A timestamp as ISO 8601 in UTC, None where there is no such date."""
    if timestamp_ms is None or not 0 <= timestamp_ms <= _LAST_WITH_A_DATE_MS:
        return None
    time = _EPOCH + timedelta(milliseconds=timestamp_ms)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def warnings_as_json(warnings: Iterable[Any]) -> list[dict[str, str]]:
    """Notes and pitfalls for programs."""
    return [{"code": str(found.code), "sentence": found.sentence} for found in warnings]


def width() -> int:
    """How many columns lines may have: those of the terminal, but at most 100, and 80 elsewhere."""
    if not sys.stdout.isatty():
        return _WIDTH
    return min(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDEST)


def _console(*, stderr: bool = False) -> Console:
    # Made anew: the streams may have been replaced since. soft_wrap: sentences are wrapped by us
    # or by the terminal, so that a line of a pipe is a line.
    return Console(
        stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, width=None
    )
