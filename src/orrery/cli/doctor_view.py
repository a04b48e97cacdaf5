"""What `orrery doctor` has found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from orrery.cli.output import wrap
from orrery.doctor import Finding, Level

_INDENT = 2
_TITLES = {
    Level.PROBLEM: ("problem", "problems", "bold red"),
    Level.WARNING: ("warning", "warnings", "yellow"),
    Level.NOTE: ("thing to know", "things to know", "cyan"),
}


def lines(findings: Sequence[Finding]) -> Iterator[Text]:
    """Findings by how much they matter, each with its commands, and a verdict.

    Args:
        findings: What matters most first.
    """
    for level, (one, many, style) in _TITLES.items():
        found = [finding for finding in findings if finding.level is level]
        if not found:
            continue
        yield Text(f"{len(found)} {one if len(found) == 1 else many}", style=style)
        for finding in found:
            yield from _finding_lines(finding)
        yield Text()
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    if not problems:
        yield Text("nothing needs doing", style="green")
    else:
        yield Text(f"{problems} problem{'s' * (problems > 1)} to be mended", style="red")


def _finding_lines(finding: Finding) -> Iterator[Text]:
    for number, line in enumerate(wrap(finding.sentence, _INDENT) or [""]):
        yield Text(("  " if number else "- ") + line)
    # A command is copied: it stays in one line.
    for command in finding.mend:
        yield Text(f"    {command}", style="bold")


def describe(home: Path, findings: Sequence[Finding]) -> dict[str, Any]:
    """All of it for programs."""
    return {
        "home": str(home.resolve()),
        "needs_doing": any(finding.level is Level.PROBLEM for finding in findings),
        "findings": [
            {
                "code": finding.code,
                "level": str(finding.level),
                "sentence": finding.sentence,
                "mend": list(finding.mend),
            }
            for finding in findings
        ],
    }
