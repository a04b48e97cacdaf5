"""What the shell completes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.home.making import make_home


def complete(line: str, **environment: str) -> list[str]:
    """What bash is told for a line whose last word is to be completed."""
    words = line.split(" ")
    ended = subprocess.run(
        [sys.executable, "-m", "orrery"],
        env={
            **os.environ,
            "_ORRERY_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_home(tmp_path / "home", name="attic").close()
    return tmp_path / "home"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_knows_commands_and_formats() -> None:
    assert complete("orrery wo") == ["world"]
    assert {"init", "serve", "publish", "status", "nodes"} <= set(complete("orrery "))
    assert complete("orrery world convert planet --to c") == ["c25519", "c-header"]
    assert complete("orrery serve --log-level w") == ["warning"]
    assert "--watch" in complete("orrery status --")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_knows_the_worlds_of_a_home(home: Path) -> None:
    assert complete(f"orrery publish --home {home} a") == ["attic"]
    assert complete("orrery publish ", ORRERY_HOME=str(home)) == ["attic"]
    assert complete("orrery key new --world ", ORRERY_HOME=str(home)) == ["attic"]
    assert complete("orrery publish z", ORRERY_HOME=str(home)) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_knows_the_hosts_of_a_home(home: Path) -> None:
    with (home / "orrery.toml").open("a") as settings:
        for name in ("nas", "root-2", "router"):
            settings.write(f'\n[[host]]\nname = "{name}"\nssh = "root@{name}"\n')
    assert complete(f"orrery deploy --home {home} ro") == ["root-2", "router"]
    assert complete("orrery hosts ", ORRERY_HOME=str(home)) == ["nas", "root-2", "router"]
    assert complete("orrery deploy root-2 ro", ORRERY_HOME=str(home)) == ["router"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_says_nothing_of_what_is_wrong(home: Path) -> None:
    (home / "orrery.toml").write_text("[[world")
    assert complete("orrery publish ", ORRERY_HOME=str(home)) == []
    assert complete("orrery publish ", ORRERY_HOME=str(home / "nowhere")) == []
