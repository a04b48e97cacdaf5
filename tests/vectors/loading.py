"""Reads the recorded test vectors; `data/PROVENANCE/README.md` says what every field means."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parent / "data"


@cache
def load(name: str) -> dict[str, Any]:
    """The content of one file, such as `worlds.json` or `transcripts/moon_orbit.json`.

    It is read once and shared: do not change what it returns.
    """
    content: dict[str, Any] = json.loads((DATA / name).read_text(encoding="utf-8"))
    return content


def cases(name: str, *lists: str) -> list[Any]:
    """The named lists of a file, joined, as pytest parameters with the cases' own names as ids."""
    return [pytest.param(case, id=case["name"]) for key in lists for case in load(name)[key]]
