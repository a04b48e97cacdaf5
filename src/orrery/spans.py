"""Spans of time as people write and read them: `90s`, `10m`, `36h`, `7d`."""

import re

from orrery.errors import UsageError

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhd])")


def parse_span_ms(text: str) -> int:
    """A span such as `10m`, in milliseconds.

    Raises:
        UsageError: It is none.
    """
    found = _SPAN.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{text[:40]!r} is not a span of time: write 90s, 10m, 36h or 7d")
    return int(found[1]) * _UNITS_MS[found[2]]


def format_span(span_ms: int) -> str:
    """A span as `parse_span_ms` reads it, in the largest unit that it is a whole number of.

    Args:
        span_ms: Milliseconds; a part of a second is left out.
    """
    for unit in ("d", "h", "m"):
        if span_ms >= _UNITS_MS[unit] and span_ms % _UNITS_MS[unit] == 0:
            return f"{span_ms // _UNITS_MS[unit]}{unit}"
    return f"{span_ms // 1000}s"


def format_age(age_ms: int) -> str:
    """How long ago, in the largest unit that has at least two of it, or in seconds."""
    age_ms = max(age_ms, 0)
    for unit in ("d", "h", "m"):
        if age_ms >= 2 * _UNITS_MS[unit]:
            return f"{age_ms // _UNITS_MS[unit]}{unit}"
    return f"{age_ms // 1000}s"
