"""What `docs/python.md` shows works as it stands."""

import re
from pathlib import Path

import pytest

from orrery.wire.world import World
from tests.unit.worlds.formats.samples import EARTH

_DOCUMENT = Path(__file__).parents[2] / "docs" / "python.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_every_block_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("planet").write_bytes(EARTH)
    names: dict[str, object] = {}
    blocks = _BLOCK.findall(_DOCUMENT.read_text(encoding="utf-8"))
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, str(_DOCUMENT), "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "planet 0000000008eac90a at 1644592324813"
    assert printed[1] == "cafe9efeb9 104.194.8.134/9993 2605:9880:200:1200:30:571:e34:51/9993"
    assert printed[-1] == "identical"
    assert World.decode(Path("planet.new").read_bytes()) == names["first"]
