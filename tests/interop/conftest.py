"""Fixtures: the official binary, and networks to run it in; what is missing is said, loudly."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orrery
from tests.interop.lab import Lab, why_no_lab
from tests.interop.orreryroot import OrreryRoot
from tests.interop.realnode import IdTool, RealNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Measured = Callable[[str, str], None]

VARIABLE = "ORRERY_ZEROTIER_ONE"
MEASURED = "measured"


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


@pytest.fixture
def root(lab: Lab, zerotier_one: Path) -> OrreryRoot:
    """A planet with one root, which is Orrery; it does not serve yet."""
    return OrreryRoot(lab.host("root"))


class Joining:
    """Starts real nodes which have the planet of a root, and waits until each has reached it."""

    def __init__(self, lab: Lab, root: OrreryRoot, binary: Path) -> None:
        self._lab = lab
        self._root = root
        self._binary = binary

    def __call__(self, name: str, *, isolated: bool = False) -> RealNode:
        """A node in a host of this name."""
        host = self._lab.host(name, isolated=isolated)
        node = RealNode(host, self._binary, planet=self._root.planet).start()
        node.wait_path(self._root.address)
        return node


@pytest.fixture
def joining(lab: Lab, root: OrreryRoot, zerotier_one: Path) -> Joining:
    """Starts nodes which reach the root."""
    return Joining(lab, root, zerotier_one)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Takes what was measured, and how much it was, for the table at the end of the run."""
    return lambda what, how_much: record_property(MEASURED, (what, how_much))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured, and with which versions."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    rows = [
        value for report in reports for name, value in report.user_properties if name == MEASURED
    ]
    if not rows:
        return
    width = max(len(what) for what, _ in rows)
    terminalreporter.section("measured with real nodes")
    terminalreporter.line(_versions())
    for what, how_much in rows:
        terminalreporter.line(f"{what.ljust(width)}  {how_much}")


def _versions() -> str:
    binary = os.environ[VARIABLE]
    real = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True).stdout.strip()
    return (
        f"orrery {orrery.__version__}, zerotier-one {real}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()} {platform.machine()}"
    )
