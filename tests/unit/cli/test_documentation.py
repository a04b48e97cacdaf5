"""What `docs/commands.md` shows is what the commands print."""

import re
import shlex
from pathlib import Path

import pytest

from tests.unit.cli.rolling import now_ms
from tests.unit.cli.running import Orrery
from tests.unit.custody.locks import quick_lock
from tests.unit.home.making import ELSEWHERE, ONE, entropy, make_home, want
from tests.unit.store.making import sighting
from tests.unit.worlds.formats.samples import encoded, moon_json, root_json

_DOCUMENT = Path(__file__).parents[3] / "docs" / "commands.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NODES = (0x2C3E8F527A, 0x4004F7B375, 0x7945F661A7)


def prepare(directory: Path) -> None:
    """Make of the usual files a moon that warns of nothing; add one with mistakes, and a home."""
    good = moon_json(roots=[root_json("2001:db8::5/9993", "2001:db8::6/9993")])
    (directory / "moon.json").write_bytes(encoded(good))
    mistaken = moon_json(roots=[root_json("root.example.com/9993", "1.2.3.4")])
    (directory / "bad.json").write_bytes(encoded(mistaken))
    (directory / "bad.json").chmod(0o600)
    for name, text in (("passphrase", "correct horse"), ("wrong", "correct hrose")):
        (directory / name).write_text(text)
        (directory / name).chmod(0o600)
    make_home(directory / "root", entropy=entropy("document")).close()
    with make_home(directory / "moving", (ONE,), entropy=entropy("moving")) as home:
        (planet,) = home.served_worlds()
        holds = {"planet_id": planet.id, "planet_timestamp_ms": planet.timestamp_ms}
        home.store.record([sighting(node, now_ms(), **holds) for node in NODES])
        want(home, ELSEWHERE)


def shown(orrery: Orrery, block: str) -> str:
    """A block of the document as it should be: each command with what it prints."""
    lines = []
    for line in block.splitlines():
        if line.startswith("$ "):
            program, *arguments = shlex.split(line[2:])
            assert program == "orrery"
            result = orrery(*arguments)
            assert result.status in (0, 1, 3, 4)
            lines += [line, *result.out.splitlines(), *result.err.splitlines()]
    return "\n".join(lines) + "\n"


def test_every_example_is_real(
    orrery: Orrery, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_lock(monkeypatch)
    prepare(files)
    blocks = _BLOCK.findall(_DOCUMENT.read_text())
    assert len(blocks) >= 10
    for block in blocks:
        assert shown(orrery, block) == block
