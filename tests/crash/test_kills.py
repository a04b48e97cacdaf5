"""Processes killed with SIGKILL at random moments of init, publish, rotation and serving."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_every_home_opens_after_a_kill_and_no_timestamp_repeats(tmp_path: Path, kills: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.killing", tmp_path, str(kills), "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert found["kills"] == kills == found["opened"] + found["half_made"]
    assert found["opened"] > kills / 3
    assert found["revisions"] > kills / 2
    assert found["repeated"] == 0
