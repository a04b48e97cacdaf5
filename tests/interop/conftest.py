"""Fixtures: the official binary, and networks to run it in; what is missing is said, loudly."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.lab import Lab, why_no_lab
from tests.interop.realnode import IdTool

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "ORRERY_ZEROTIER_ONE"


def _why_no_binary(named: str | None) -> str | None:
    if not named:
        return "it is not set"
    try:
        done = subprocess.run([named, "-v"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{named}: {error}"
    version = done.stdout.strip()
    return None if version.count(".") == 2 else f"{named} -v says {version!r}"


@pytest.fixture(scope="session")
def zerotier_one() -> Path:
    """The zerotier-one that the environment names."""
    named = os.environ.get(VARIABLE)
    if reason := _why_no_binary(named):
        pytest.skip(f"{VARIABLE} does not name a zerotier-one binary: {reason}")
    assert named is not None
    return Path(named).absolute()


@pytest.fixture(scope="session")
def lab_possible() -> None:
    """Skips what needs a lab where none can be made."""
    if reason := why_no_lab():
        pytest.skip(f"no network lab can be made here: {reason}")


@pytest.fixture
def lab(lab_possible: None, tmp_path: Path) -> Iterator[Lab]:
    """An empty network, which is gone with everything in it after the test."""
    with Lab(tmp_path) as lab:
        yield lab


@pytest.fixture(scope="session")
def idtool(zerotier_one: Path, tmp_path_factory: pytest.TempPathFactory) -> IdTool:
    """The idtool of the binary."""
    return IdTool(zerotier_one, tmp_path_factory.mktemp("idtool"))
