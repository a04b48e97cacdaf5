"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest

from tests.unit.cli.running import Orrery, runner
from tests.unit.worlds.formats.samples import EARTH, FIRST_RUN, idtool


@pytest.fixture
def orrery(
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Orrery:
    """Runs `orrery` in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORRERY_DEBUG", raising=False)
    return runner(capsysbinary, monkeypatch)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a planet, a moon.json, a key and an identity."""
    case = idtool("one-v4")
    (tmp_path / "planet").write_bytes(EARTH)
    (tmp_path / "moon.json").write_text(case["initmoon_output"])
    (tmp_path / "one.moon").write_bytes(bytes.fromhex(case["moon"]))
    (tmp_path / "current.c25519").write_bytes(bytes.fromhex(FIRST_RUN["current_c25519"]))
    (tmp_path / "identity.public").write_text(case["first_identity"])
    for name in ("moon.json", "current.c25519"):
        (tmp_path / name).chmod(0o600)
    return tmp_path
