"""From a failure to a sentence on standard error and an exit status: the one place for it."""

import contextlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import typer

from orrery.errors import OrreryError, ResolveError, UnreadableError, UpdateRefused

_INTERRUPTED = 130
_BROKEN_PIPE = 141
"""What a shell sees of a command that a closed pipe has ended."""
_USAGE = 2
_BUG = 70


def report(error: BaseException, *, as_json: bool) -> int:
    """Tell the user of a failure.

    Args:
        error: what a command raised.
        as_json: write `{"error": {"code", "message", "exit_status"}}` instead of a sentence.

    Returns:
        The exit status.
    """
    if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
        _discard_output()  # nobody reads any more
        return _BROKEN_PIPE
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _INTERRUPTED
    if os.environ.get("ORRERY_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, OrreryError):
        return _tell(error.code, str(error), error.exit_status, as_json, **_details(error))
    if isinstance(error, OSError):
        if error.filename is None:
            _discard_output()
        what = error.filename or "standard output"
        sentence = f"{what} cannot be read or written: {error.strerror or error}"
        return _tell(UnreadableError.code, sentence, UnreadableError.exit_status, as_json)
    # typer raises its own usage errors, of classes that move between its versions.
    format_message = getattr(error, "format_message", None)
    if format_message is not None:
        return _tell_usage(error, format_message(), as_json=as_json)
    return _tell("bug", _bug(error), _BUG, as_json)


def _discard_output() -> None:
    """Let what is left in the buffer not fail again at exit."""
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _details(error: OrreryError) -> dict[str, Any]:
    if isinstance(error, UpdateRefused | ResolveError):
        return {"reason": str(error.reason)}
    return {}


def _tell(code: str, message: str, status: int, as_json: bool, **details: Any) -> int:
    if as_json:
        told = {"code": code, "message": message, "exit_status": status, **details}
        print(json.dumps({"error": told}, indent=2), file=sys.stderr)
    else:
        for line in message.splitlines():
            print(f"orrery: {line}", file=sys.stderr)
    return status


def _tell_usage(error: BaseException, message: str, *, as_json: bool) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message, file=sys.stderr)
        return _USAGE
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "orrery"
    sentence = " ".join(message.split()).rstrip(".")
    see = f"see `{command} --help`"
    told = f"{sentence} ({see})" if sentence.endswith(("?", ")")) else f"{sentence}: {see}"
    return _tell("usage", told, _USAGE, as_json)


def _bug(error: BaseException) -> str:
    """Where and what, but not the message: it may have been made of somebody's key."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "orrery" in Path(frame.filename).parts] or frames
    where = f" in {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""
    return (
        f"this is a bug in Orrery ({type(error).__name__}{where}): run the command again with "
        "ORRERY_DEBUG=1 and report what it prints, without any key in it"
    )
