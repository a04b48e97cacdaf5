"""`orrery serve` killed with SIGKILL at random moments, while nodes ask it and others publish."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_no_kill_of_the_server_loses_what_a_node_was_handed(tmp_path: Path, kills: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.killing_serve", tmp_path, str(kills), "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert found["kills"] == kills
    assert found["revisions"] > kills / 2
    assert found["repeated"] == 0
    assert found["taken"] > kills / 4
    assert found["adopted"] == found["nodes"]
