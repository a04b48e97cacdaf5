"""Fixtures: servers to connect to, in a home directory of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleet.bed import Bed
from tests.fleet.sshd import Credentials, Sshd, why_no_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def sshd_possible() -> None:
    """Skips what needs an sshd where none can run."""
    if reason := why_no_sshd():
        pytest.skip(reason)


@pytest.fixture
def ssh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory without any settings of ssh, and no agent."""
    home = tmp_path / "user"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture
def credentials(ssh_home: Path, sshd_possible: None) -> Credentials:
    """Keys for both sides."""
    return Credentials.make(ssh_home / "keys")


@pytest.fixture
def sshd(tmp_path: Path, ssh_home: Path, credentials: Credentials) -> Iterator[Sshd]:
    """An sshd that lets us in."""
    with Sshd(tmp_path, credentials, {"HOME": str(ssh_home)}) as sshd:
        yield sshd


@pytest.fixture
def bed(tmp_path: Path, credentials: Credentials) -> Iterator[Bed]:
    """A bed without hosts yet; nothing of it is left after the test."""
    directory = tmp_path / "hosts"
    directory.mkdir()
    bed = Bed(directory, credentials)
    yield bed
    bed.end()
