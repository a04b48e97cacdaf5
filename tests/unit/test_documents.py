"""What the documents say of each other, of the decisions and of the dependencies."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_DOCUMENTS = sorted([*_ROOT.glob("*.md"), *_ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"\]\(([^)#:\s]+)\)")
_FILE = re.compile(r"`((?:docs|tests|benchmarks|src)/[\w./-]+)`")
_PROJECT = re.compile(r"[\w-]+")


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda path: str(path.relative_to(_ROOT)))
def test_what_a_document_points_to_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    wanted = [document.parent / target for target in _LINK.findall(text)]
    wanted += [_ROOT / name for name in _FILE.findall(text)]
    assert [str(path.relative_to(_ROOT)) for path in wanted if not path.exists()] == []


def test_decisions_are_numbered_without_a_gap_as_their_titles_are() -> None:
    files = sorted((_ROOT / "docs" / "adr").glob("*.md"))
    for number, file in enumerate(files, 1):
        assert file.name.startswith(f"{number:04}-")
        assert file.read_text(encoding="utf-8").startswith(f"# {number}. ")


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = list(chain.from_iterable(groups))
    text = (_ROOT / "docs" / "dependencies.md").read_text().lower()
    names = {_name(entry).removeprefix("pytest-") for entry in wanted}
    assert sorted(name for name in names if name not in text) == []
    pinned = {_name(line).lower() for line in (_ROOT / "constraints.txt").read_text().splitlines()}
    assert sorted({_name(entry).lower() for entry in wanted} - pinned) == []


def test_both_languages_show_the_same_commands_and_link_to_the_same_documents() -> None:
    english, chinese = (
        (_ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
    )
    for pattern in (
        r"`(orrery [^`]+)`",
        r"\]\((docs/[^)]*)\)",
        r"`(make [\w-]+)`",
        r"^\$ .*?(?=  #|$)",
    ):
        found = [
            sorted(set(re.findall(pattern, text, re.MULTILINE))) for text in (english, chinese)
        ]
        assert found[0] == found[1] != []
    assert english.count("\n## ") == chinese.count("\n## ")
    blocks = [
        [
            re.sub(r"  #.*", "", line)
            for block in re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[1:]
            for line in block.splitlines()
        ]
        for text in (english, chinese)
    ]
    assert blocks[0] == blocks[1] != []


def _name(entry: str) -> str:
    found = _PROJECT.match(entry)
    assert found is not None
    return found.group()
