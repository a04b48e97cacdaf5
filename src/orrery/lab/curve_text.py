"""The adoption curve in letters, for terminals."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from orrery.lab.curve import Curve, Scale, place_on, scale_of, ticks

_MARGIN = 6
_ROWS = (1.0, 0.5, 0.0)
MARKS = "123456789abcdefghijklmnopqrstuvwxyz"
"""How the curves are marked, one after another; what comes after the last is marked like it."""


def draw_text(
    curves: Sequence[Curve], *, width: int = 78, height: int = 11, scale: Scale = "auto"
) -> list[str]:
    """A picture of curves, lines of at most a width.

    Args:
        curves: at least one; where they meet, the later one is seen.
        width: letters of a line.
        height: lines between 0 and 100 %, both included.
        scale: of the time, as for `draw_svg`.
    """
    columns = width - _MARGIN - 1
    begin_ms, end_ms, chosen = scale_of(curves, scale)
    grid = [[" "] * columns for _ in range(height)]
    for row in {round((1 - share) * (height - 1)) for share in _ROWS}:
        grid[row] = ["·"] * columns
    across = place_on(begin_ms, end_ms, chosen)
    for number, curve in enumerate(curves):
        mark = MARKS[min(number, len(MARKS) - 1)]
        places = [across(time_ms) * (columns - 1) for time_ms in curve.times_ms]
        before = height - 1
        for column in range(columns):
            reached = bisect_right(places, column + 0.5)
            share = curve.shares[reached - 1] if reached else 0.0
            row = round((1 - share) * (height - 1))
            for between in range(min(row, before) + 1, max(row, before)):
                grid[between][column] = mark
            if reached:
                grid[row][column] = mark
            before = row
    lines = []
    for row, cells in enumerate(grid):
        share = 1 - row / (height - 1)
        named = any(round((1 - each) * (height - 1)) == row for each in _ROWS)
        label = f"{share:.0%}".rjust(_MARGIN - 1) if named else " " * (_MARGIN - 1)
        lines.append(f"{label} {''.join(cells)}".rstrip())
    axis = [" "] * (width + 8)
    free = 0
    for time_ms, label in ticks(begin_ms, end_ms, chosen):
        at = _MARGIN + round(across(time_ms) * (columns - 1))
        if at >= free and at + len(label) <= width:
            axis[at : at + len(label)] = label
            free = at + len(label) + 2
    return [*lines, "".join(axis).rstrip()]
