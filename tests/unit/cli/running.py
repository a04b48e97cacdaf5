"""Runs commands as the process would, and catches what they write."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from orrery.cli.app import run


@dataclass(frozen=True)
class Result:
    """What became of a command."""

    status: int
    out_bytes: bytes
    err: str

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.out_bytes.decode()

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out_bytes)

    @property
    def error(self) -> Any:
        """Standard error as the JSON of an error."""
        return json.loads(self.err)["error"]


Orrery: TypeAlias = Callable[..., Result]


def runner(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Orrery:
    """A function that runs `orrery` with its arguments, and `stdin` for standard input."""

    def orrery(*arguments: str | Path, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        status = run([str(argument) for argument in arguments])
        out, err = capsysbinary.readouterr()
        return Result(status, out, err.decode())

    return orrery
