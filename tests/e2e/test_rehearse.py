"""`orrery rehearse --loopback`: roots and nodes as processes, over UDP."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_plan_on_loopback_with_sleepers_and_a_root_that_is_killed() -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "orrery", "rehearse", "--sample", "--loopback", "--json"),
            *("--nodes", "8", "--offline", "25%", "--fault", "root-down:old-1@15s+5s"),
        ],
        capture_output=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    told = json.loads(ended.stdout)
    assert (told["passed"], told["state"], told["loopback"]) == (True, "done", True)
    assert told["nodes"] == 8
    assert told["stranded"] == []
    assert [step["curve"]["shares"][-1] for step in told["steps"]] == [1.0, 1.0]
    what = [happening["what"] for happening in told["course"]]
    assert "old-1 is killed" in what
    assert "old-1 is started again" in what
    assert sum("stops at" in each for each in what) == 2


def test_what_only_virtual_time_can_play_is_refused() -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "orrery", "rehearse", "--sample", "--loopback"),
            *("--fault", "nat-reboot@1s"),
        ],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert b"virtual time only" in ended.stderr
