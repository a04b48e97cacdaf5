"""What `docs/adopting.md` shows is what the commands print."""

import re
import shlex
from pathlib import Path

import pytest

from orrery.worlds.pitfalls import MKWORLD_TIMESTAMP_MS
from tests.unit.cli.running import Orrery
from tests.unit.home.folders import (
    Maker,
    controller,
    docker_planet,
    mkworld_folder,
    node_home,
    put,
    ztnet_home,
)
from tests.unit.store.making import identity, key

_DOCUMENT = Path(__file__).parents[3] / "docs" / "adopting.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def prepare(directory: Path) -> None:
    """Make the folders of the document."""
    data = docker_planet(directory / "data", mode=0o644)
    node_home(data / "one", planet=None)
    controller(ztnet_home(directory / "ztnet"), 2)
    put(directory / "new-root.secret", identity(4).to_string(secret=True), 0o600)
    node_home(directory / "lost", planet=Maker().world())
    put(directory / "lost" / "current.c25519", key(2).encode(), 0o600)
    named = Maker(places=("root.example.org/9993",), timestamp_ms=MKWORLD_TIMESTAMP_MS)
    mkworld_folder(directory / "mkworld", named)


def shown(orrery: Orrery, block: str) -> str:
    """A block of the document as it should be: each command with what it prints."""
    lines = []
    for line in block.splitlines():
        if line.startswith("$ "):
            program, *arguments = shlex.split(line[2:])
            assert program == "orrery"
            result = orrery(*arguments)
            assert result.status in (0, 1)
            lines += [line, *result.out.splitlines(), *result.err.splitlines()]
    return "\n".join(lines) + "\n"


def test_every_example_is_real(
    orrery: Orrery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORRERY_HOME", raising=False)
    prepare(tmp_path)
    blocks = _BLOCK.findall(_DOCUMENT.read_text())
    assert len(blocks) >= 4
    for block in blocks:
        assert shown(orrery, block) == block


def test_every_finding_is_listed() -> None:
    from orrery.home.adopting import FindingCode

    text = _DOCUMENT.read_text()
    for code in FindingCode:
        assert f"`{code}`" in text
