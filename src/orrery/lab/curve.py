"""The adoption curve: which share of the nodes holds a revision, as data and as a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Times: TypeAlias = NDArray[np.float64]
Scale: TypeAlias = Literal["auto", "linear", "log"]
_Place: TypeAlias = Callable[[float], float]

TOLD_SHARES = (0.5, 0.99, 1.0)
"""What is told of a curve."""
_POINTS = 400
_LOG_FROM = 20.0
"""An axis is logarithmic when the last node takes so many times longer than half of them."""


@dataclass(frozen=True, slots=True)
class Curve:
    """How a share grows; it jumps at each time and stays until the next.

    Attributes:
        name: of what is adopted.
        times_ms: since the rollout began, growing.
        shares: of the nodes that count at that time, 0 up to 1.
    """

    name: str
    times_ms: tuple[float, ...]
    shares: tuple[float, ...]

    def reached_ms(self, share: float) -> float | None:
        """When a share was reached first, None if it was not."""
        for time_ms, reached in zip(self.times_ms, self.shares, strict=True):
            if reached >= share:
                return time_ms
        return None


def measure(
    name: str, adopted_ms: Times, lost_ms: Times | None = None, *, points: int = _POINTS
) -> Curve:
    """The curve of a fleet, in few points.

    Args:
        name: of what is adopted.
        adopted_ms: when each node adopted, infinite for never.
        lost_ms: when each node ceases to count if it has not adopted by then; it counts again
            from its adoption on. Left out: all count.
        points: at most about so many.
    """
    times, adopted, counted = _tally(adopted_ms, lost_ms)
    finite = int(np.searchsorted(times, np.inf))
    if not finite:
        return Curve(name, (0.0,), (0.0,))
    share = adopted[:finite] / np.maximum(counted[:finite], 1)
    spread = np.linspace(0, finite - 1, min(points, finite)).round().astype(np.intp)
    exact = [int(np.argmax(share >= told - 1e-9)) for told in TOLD_SHARES if share[-1] >= told]
    chosen = np.union1d(spread, np.array(exact, np.intp))
    shares = np.minimum(share[chosen], 1.0)
    return Curve(name, tuple(times[chosen].tolist()), tuple(shares.tolist()))


def first_time(
    adopted_ms: Times, lost_ms: Times | None, share: float, since_ms: float = 0.0
) -> float:
    """When a share of the nodes that count has adopted; infinite if it never has.

    Args:
        adopted_ms: as for `measure`.
        lost_ms: as for `measure`.
        share: above 0 and up to 1.
        since_ms: not before this time.
    """
    count = len(adopted_ms)
    if not count:
        return since_ms
    if lost_ms is None or not (lost_ms < adopted_ms).any():
        needed = max(1, math.ceil(share * count - 1e-9))
        return max(since_ms, float(np.partition(adopted_ms, needed - 1)[needed - 1]))
    if share >= 1:
        return max(since_ms, float(np.minimum(adopted_ms, lost_ms).max()))
    times, adopted, counted = _tally(adopted_ms, lost_ms)
    enough = adopted >= share * counted - 1e-9
    start = int(np.searchsorted(times, since_ms, side="right"))
    if start and enough[start - 1]:
        return since_ms
    found = start + int(np.argmax(enough[start:])) if enough[start:].any() else len(times)
    return float(times[found]) if found < len(times) else math.inf


def _tally(adopted_ms: Times, lost_ms: Times | None) -> tuple[Times, Times, Times]:
    """Every time at which something changes, and how many nodes have adopted and count then."""
    if lost_ms is None:
        lost_ms = np.full(len(adopted_ms), np.inf)
    lost = lost_ms < adopted_ms
    times = np.concatenate((adopted_ms, lost_ms[lost]))
    adopts = np.concatenate((np.ones(len(adopted_ms)), np.zeros(int(lost.sum()))))
    counts = np.concatenate((lost.astype(np.float64), np.full(int(lost.sum()), -1.0)))
    order = np.argsort(times, kind="stable")
    return times[order], adopts[order].cumsum(), len(adopted_ms) + counts[order].cumsum()


# -- the picture -----------------------------------------------------------------------------------

_WIDTH, _HEIGHT = 960, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 96, 56
_INK, _FAINT, _GRID, _ACCENT, _OTHER = "#1f2933", "#667380", "#e4e8ec", "#0b62c4", "#9dbfe6"
_NICE_MS: tuple[tuple[float, str], ...] = (
    (1, "1 ms"),
    (10, "10 ms"),
    (100, "0.1 s"),
    (1_000, "1 s"),
    (10_000, "10 s"),
    (60_000, "1 min"),
    (600_000, "10 min"),
    (3_600_000, "1 h"),
    (6 * 3_600_000, "6 h"),
    (86_400_000, "1 d"),
    (7 * 86_400_000, "1 week"),
    (30 * 86_400_000, "30 d"),
    (365 * 86_400_000, "1 year"),
)
_DOWN, _DOWN_INK = "#f2b8b5", "#8c1d18"
_LETTER, _LINE = 7.4, 18
"""How wide a letter is about, and how high a line."""
_UNITS_MS = ((86_400_000.0, "d"), (3_600_000.0, "h"), (60_000.0, "min"), (1_000.0, "s"))
_STEPS = (1, 2, 5, 10, 15, 20, 30, 50, 100, 200, 500)


def format_time(time_ms: float) -> str:
    """A time as people read it: two or three digits and a unit."""
    if math.isinf(time_ms):
        return "never"
    if time_ms < 999.5:
        return f"{time_ms:.0f} ms"
    for unit_ms, unit in _UNITS_MS:
        if time_ms >= unit_ms * (2 if unit != "s" else 1) or unit == "s":
            value = time_ms / unit_ms
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
    raise AssertionError("seconds come last")


def draw_svg(
    curves: Sequence[Curve],
    *,
    title: str,
    subtitle: str = "",
    openings_ms: Iterable[float] = (),
    outages: Iterable[tuple[float, float, str]] = (),
    scale: Scale = "auto",
) -> str:
    """A picture of curves; the last of them is the one that counts.

    Args:
        curves: at least one.
        title: stands above.
        subtitle: stands below the title.
        openings_ms: when a cohort's turn came, marked at the axis.
        outages: since when and until when something was down, and what, shaded.
        scale: of the time; by itself logarithmic where most is over long before the end.
    """
    last = curves[-1]
    begin_ms, end_ms, scale = scale_of(curves, scale)
    share_of_width = place_on(begin_ms, end_ms, scale)

    def across(time_ms: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share_of_width(time_ms)

    def down(share: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)

    parts = [_frame(title, subtitle, scale, _in_words(curves))]
    for down_ms, up_ms, what in outages:
        if down_ms < end_ms:
            parts.append(_shade(across(down_ms), across(min(up_ms, end_ms)), what))
    parts += [_horizontal(down(share), f"{share:.0%}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    parts += [_vertical(across(ms), label) for ms, label in ticks(begin_ms, end_ms, scale)]
    for opened_ms in openings_ms:
        if opened_ms <= end_ms:
            parts.append(_opening(across(opened_ms)))
    for curve in curves[:-1]:
        parts.append(_line(curve, across, down, main=False))
    parts.append(_line(last, across, down, main=True))
    parts.append(_marks(last, across, down))
    parts.append(_legend(curves))
    return "\n".join((*parts, "</svg>\n"))


def scale_of(curves: Sequence[Curve], scale: Scale) -> tuple[float, float, Scale]:
    """The begin, the end and the scale of the axis of time for some curves."""
    end_ms = max(max(curve.times_ms) for curve in curves) or 1.0
    half_ms = curves[-1].reached_ms(0.5)
    if scale == "auto":
        scale = "log" if half_ms is not None and half_ms * _LOG_FROM < end_ms else "linear"
    begin_ms = 0.0
    if scale == "log":
        first_ms = min(min(curve.times_ms) for curve in curves)
        begin_ms = max((ms for ms, _ in _NICE_MS if ms < max(first_ms, 1.5)), default=1.0)
    return begin_ms, end_ms, scale


def place_on(begin_ms: float, end_ms: float, scale: Scale) -> Callable[[float], float]:
    """Where a time stands on that axis, from 0 to 1."""

    def place(time_ms: float) -> float:
        if scale == "linear":
            return time_ms / end_ms
        if time_ms <= begin_ms:
            return 0.0
        return math.log(time_ms / begin_ms) / math.log(end_ms / begin_ms)

    return place


def ticks(begin_ms: float, end_ms: float, scale: Scale) -> list[tuple[float, str]]:
    """What is written at the axis, and where."""
    if scale == "log":
        return [(ms, label) for ms, label in _NICE_MS if begin_ms <= ms <= end_ms]
    unit_ms, unit = next((u for u in _UNITS_MS if end_ms >= 2 * u[0]), (1.0, "ms"))
    spans = [step * unit_ms for step in _STEPS if end_ms / (step * unit_ms) <= 8]
    step_ms = spans[0] if spans else end_ms / 8
    return [
        (number * step_ms, f"{number * step_ms / unit_ms:g} {unit}" if number else "0")
        for number in range(int(end_ms / step_ms) + 1)
    ]


def _frame(title: str, subtitle: str, scale: Scale, words: str) -> str:
    axis = "time since the rollout began" + (", logarithmic" if scale == "log" else "")
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" \
width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{escape(title, quote=True)}" \
aria-describedby="curves" \
font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="13" fill="{_FAINT}">
<title>{escape(title)}</title>
<desc id="curves">{escape(words)}</desc>
<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>
<text x="{_LEFT}" y="30" font-size="18" font-weight="600" fill="{_INK}">{escape(title)}</text>
<text x="{_LEFT}" y="50">{escape(subtitle)}</text>
<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">{axis}</text>"""


def _in_words(curves: Sequence[Curve]) -> str:
    """What the picture shows, for who cannot see it."""
    told = []
    for curve in curves:
        reached = [
            f"{share:.0%} after {format_time(time_ms)}"
            for share in TOLD_SHARES
            if (time_ms := curve.reached_ms(share)) is not None
        ]
        told.append(f"{curve.name} was adopted by {', '.join(reached) or 'less than half'}.")
    return " ".join(told)


def _shade(x: float, end_x: float, what: str) -> str:
    """A time in which something was down."""
    height = _HEIGHT - _TOP - _BOTTOM
    return (
        f'<rect x="{x:.1f}" y="{_TOP}" width="{max(end_x - x, 1.5):.1f}" height="{height}" '
        f'fill="{_DOWN}" opacity="0.35"><title>{escape(what)}</title></rect>'
        f'<text x="{x + 4:.1f}" y="{_HEIGHT - _BOTTOM - 24}" font-size="11" fill="{_DOWN_INK}">'
        f"{escape(what)}</text>"
    )


def _horizontal(y: float, label: str) -> str:
    return (
        f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    )


def _vertical(x: float, label: str) -> str:
    bottom = _HEIGHT - _BOTTOM
    return (
        f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="{_GRID}"/>'
        f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(label)}</text>'
    )


def _opening(x: float) -> str:
    bottom = _HEIGHT - _BOTTOM
    return f'<path d="M{x:.1f} {bottom}l-4 -8h8z" fill="{_FAINT}"/>'


def _line(curve: Curve, across: _Place, down: _Place, *, main: bool) -> str:
    path = [f"M{_LEFT} {down(0.0):.1f}"]
    for time_ms, share in zip(curve.times_ms, curve.shares, strict=True):
        path.append(f"H{across(time_ms):.1f}V{down(share):.1f}")
    path.append(f"H{_WIDTH - _RIGHT}")
    colour, width = (_ACCENT, 2.6) if main else (_OTHER, 1.6)
    return (
        f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="{width}" '
        'stroke-linejoin="round"/>'
    )


def _marks(curve: Curve, across: _Place, down: _Place) -> str:
    """Dots where 50, 99 and 100 % are reached; their labels keep clear of each other."""
    parts = []
    taken: list[tuple[float, float, float]] = []
    for share in TOLD_SHARES:
        time_ms = curve.reached_ms(share)
        if time_ms is None:
            continue
        label = f"{share:.0%} after {format_time(time_ms)}"
        x, y = across(time_ms), down(share)
        width = _LETTER * len(label)
        left = min(x + 10, _WIDTH - _RIGHT - width)
        # A label that has to go to the left of its dot stays clear of the curve.
        label_y = y + 22 if left >= x else y + 22 + 2 * _LINE
        while any(
            left < end and begin < left + width and abs(label_y - other_y) < _LINE
            for begin, end, other_y in taken
        ):
            label_y += _LINE
        taken.append((left, left + width, label_y))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{_ACCENT}" stroke="#ffffff" '
            'stroke-width="1.5"/>'
            f'<text x="{left:.1f}" y="{label_y:.1f}" fill="{_INK}" '
            f'stroke="#ffffff" stroke-width="4" paint-order="stroke">{label}</text>'
        )
    return "\n".join(parts)


def _legend(curves: Sequence[Curve]) -> str:
    named = [(curves[-1].name, _ACCENT)]
    if len(curves) == 2:
        named.insert(0, (curves[0].name, _OTHER))
    elif len(curves) > 2:
        named.insert(0, (f"{curves[0].name} to {curves[-2].name}", _OTHER))
    parts = []
    x = float(_LEFT)
    for name, colour in named:
        parts.append(
            f'<path d="M{x:.0f} 74h22" stroke="{colour}" stroke-width="3"/>'
            f'<text x="{x + 30:.0f}" y="78">{escape(name)}</text>'
        )
        x += 56 + _LETTER * len(name)
    parts.append(
        f'<path d="M{x + 6:.0f} 78l-4 -8h8z" fill="{_FAINT}"/>'
        f'<text x="{x + 18:.0f}" y="78">a cohort\'s turn</text>'
    )
    return "\n".join(parts)
