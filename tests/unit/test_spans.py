import pytest

from orrery.errors import UsageError
from orrery.spans import format_age, format_span, parse_span_ms

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS


@pytest.mark.parametrize(
    ("text", "span_ms"),
    [
        ("1s", 1_000),
        ("90s", 90_000),
        (" 10m ", 10 * _MINUTE_MS),
        ("36h", 36 * _HOUR_MS),
        ("999999d", 999_999 * _DAY_MS),
    ],
)
def test_spans_are_read(text: str, span_ms: int) -> None:
    assert parse_span_ms(text) == span_ms


@pytest.mark.parametrize(
    "text",
    ["", "10", "m", "0s", "-1m", "01h", "1.5h", "10M", "10 m", "1h30m", "10min", "1000000d", "٣m"],
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a span of time: write 90s, 10m, 36h or 7d"):
        parse_span_ms(text)


def test_a_long_text_is_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        parse_span_ms("x" * 10_000)
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize("text", ["1s", "59s", "90s", "1m", "10m", "61m", "36h", "1d", "30d"])
def test_spans_are_written_as_they_are_read(text: str) -> None:
    assert format_span(parse_span_ms(text)) == text


@pytest.mark.parametrize(
    ("span_ms", "text"), [(60_000, "1m"), (3_600_000, "1h"), (86_400_000 * 2, "2d"), (999, "0s")]
)
def test_spans_are_written_in_their_largest_unit(span_ms: int, text: str) -> None:
    assert format_span(span_ms) == text


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [(-5, "0s"), (1_999, "1s"), (119_999, "119s"), (120_000, "2m"), (_DAY_MS, "24h")],
)
def test_ages_are_rough(age_ms: int, text: str) -> None:
    assert format_age(age_ms) == text
