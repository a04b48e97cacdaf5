"""`docs/doctor.md` lists what the doctor finds, and nothing else."""

import re
from pathlib import Path

import orrery.doctor.checks

_DOCUMENT = Path(__file__).parents[3] / "docs" / "doctor.md"
_FOUND = re.compile(r'\b(?:problem|warning|note)\(\s*"([a-z0-9-]+)"')
_CHOSEN = re.compile(r'"([a-z-]+)" if world\.unresolved else "([a-z-]+)"')
_ROW = re.compile(r"^\| (`.*?) \|", re.MULTILINE)


def test_every_code_is_explained() -> None:
    (folder,) = orrery.doctor.checks.__path__
    source = "\n".join(path.read_text() for path in Path(folder).glob("*.py"))
    codes = {*_FOUND.findall(source), *(code for pair in _CHOSEN.findall(source) for code in pair)}
    text = _DOCUMENT.read_text().partition("## Findings")[2]
    listed = {code for row in _ROW.findall(text) for code in re.findall(r"`([a-z0-9-]+)`", row)}
    of_others = {"unusable-address", "shared-endpoint", "host-mode"}
    assert codes >= {"stranded", "unresolved", "no-plan"}
    assert listed - codes == of_others
    assert codes - listed == set()
