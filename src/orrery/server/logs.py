"""Structured logs: one JSON object a line, or plain text for a person at a terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from typing import TextIO

import structlog

LEVELS = ("debug", "info", "warning", "error")


def configure_logs(level: str = "info", stream: TextIO | None = None) -> None:
    """Send all log lines to `stream`, those of `level` and above.

    Args:
        level: One of `LEVELS`, or `critical`, at which nothing is logged.
        stream: Where they go; standard error when left out.
    """
    target = sys.stderr if stream is None else stream
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)
        if target.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _put_first,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=lambda *_: _LineLogger(target),
        cache_logger_on_first_use=False,
    )


class Trouble:
    """Tells of something that fails again and again once, and of its end.

    Args:
        what: What fails, as the log calls it.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lasts = False

    def begin(self, error: BaseException) -> None:
        """It failed."""
        if not self._lasts:
            _log.error(f"{self._what} fails", error=str(error))
        self._lasts = True

    def end(self) -> None:
        """It worked."""
        if self._lasts:
            _log.info(f"{self._what} works again")
        self._lasts = False


class _LineLogger:
    """Writes lines; one that cannot be written is lost, which is no reason not to serve."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        # Whole lines from every thread: the stream itself would mix them.
        with _writing_a_line, contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    debug = info = warning = error = critical = exception = msg


def _put_first(
    _logger: object, _method: str, fields: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """For who reads the JSON: when, how bad and what, before the details."""
    first = {name: fields.pop(name) for name in ("timestamp", "level", "event")}
    return {**first, **fields}


_log = structlog.get_logger("orrery.server")
_writing_a_line = threading.Lock()
