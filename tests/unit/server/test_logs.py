import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from orrery.server.logs import LEVELS, Trouble, configure_logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


def _log() -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger("test")
    return logger


def test_a_pipe_gets_an_object_a_line_with_what_matters_first() -> None:
    stream = io.StringIO()
    configure_logs("info", stream)
    _log().info("served", node="ä", path=Path("x"))
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert list(fields) == ["timestamp", "level", "event", "node", "path"]
    assert fields["timestamp"].endswith("Z")
    assert (fields["level"], fields["event"], fields["node"]) == ("info", "served", "ä")


def test_a_terminal_gets_text_and_colour_unless_it_wants_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = []
    for wanted in (True, False):
        monkeypatch.delenv("NO_COLOR", raising=False)
        if not wanted:
            monkeypatch.setenv("NO_COLOR", "1")
        stream = _Terminal()
        configure_logs("info", stream)
        _log().warning("served", node="89e92ceee5")
        shown.append(stream.getvalue())
    assert all("served" in text and "89e92ceee5" in text for text in shown)
    assert "\x1b" in shown[0]
    assert "\x1b" not in shown[1]


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_leaves_out_those_below_it(level: str) -> None:
    stream = io.StringIO()
    configure_logs(level, stream)
    for each in LEVELS:
        getattr(_log(), each)("said")
    told = [json.loads(line)["level"] for line in stream.getvalue().splitlines()]
    assert told == list(LEVELS[LEVELS.index(level) :])


def test_a_trace_is_part_of_its_line() -> None:
    stream = io.StringIO()
    configure_logs("info", stream)
    _log().error("bug", exc_info=ValueError("x"))
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: x" in json.loads(line)["exception"]


def test_a_line_that_cannot_be_written_stops_nobody() -> None:
    configure_logs("info", _Full())
    _log().info("served")
    closed = io.StringIO()
    configure_logs("info", closed)
    closed.close()
    _log().info("served")


def test_lines_of_several_threads_are_whole() -> None:
    """A stream gets each line in one piece, with its end."""
    pieces: list[str] = []
    stream = io.StringIO()
    stream.write = pieces.append  # type: ignore[method-assign, assignment]
    configure_logs("info", stream)
    threads = [threading.Thread(target=_log().info, args=("served",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pieces) == len(threads)
    assert {json.loads(piece)["event"] for piece in pieces} == {"served"}
    assert all(piece.endswith("\n") for piece in pieces)


def test_trouble_is_told_once_and_so_is_its_end() -> None:
    with structlog.testing.capture_logs() as told:
        trouble = Trouble("recording")
        trouble.end()
        for _ in range(3):
            trouble.begin(OSError("the disk is full"))
        for _ in range(2):
            trouble.end()
        trouble.begin(OSError("again"))
    assert [(entry["log_level"], entry["event"]) for entry in told] == [
        ("error", "recording fails"),
        ("info", "recording works again"),
        ("error", "recording fails"),
    ]
    assert told[0]["error"] == "the disk is full"
