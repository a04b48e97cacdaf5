"""`orrery rehearse`: the sample, a home, table, JSON, picture, verdict and exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from orrery.home import Home
from tests.unit.cli.rolling import MOVED, NODES, THERE, newest, revisions, rolling_home, wish
from tests.unit.cli.running import Orrery
from tests.unit.home.making import ONE

SAMPLE = ("rehearse", "--sample", "--nodes", "40")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path / "home"))
    with rolling_home(tmp_path / "home") as made:
        yield made


def test_a_table_of_80_columns_with_curves_and_a_verdict(orrery: Orrery) -> None:
    result = orrery(*SAMPLE, "--fault", "root-down:old-1@10m+5m")
    assert result.status == 0, result.err
    assert result.err == ""
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.endswith(" ") for line in lines)
    assert lines[0] == "rehearsal: 40 nodes, 2 steps, seed 0"
    assert any(line.startswith("faults") and "root-down:old-1@10m+5m" in line for line in lines)
    assert any(line.startswith(" 100% ·") and "2" in line for line in lines)
    assert any("old-1" in line and "goes down" in line for line in lines)
    assert "nobody is stranded: 40 nodes hold what they are to" in result.out


def test_what_speaks_against_a_plan_and_the_exit_status(orrery: Orrery) -> None:
    down = ("--fault", "root-down:old-1@0", "--fault", "root-down:old-2@0")
    result = orrery(*SAMPLE, *down, "--offline", "0%", "--for", "1h")
    assert result.status == 1
    assert "40 nodes stranded" in result.out
    assert "and 30 more: holds revision" in " ".join(result.out.split())
    assert "the rollout was not done, 40 nodes lost" in result.out
    paused = orrery(*SAMPLE, "--fault", "bad-canary", "--offline", "0%", "--json")
    assert paused.status == 1
    assert paused.json["state"] == "paused"
    assert paused.json["failed"][0]["why"].startswith("fell silent")
    assert paused.json["stranded"] == []
    back = orrery(*SAMPLE, "--fault", "bad-canary", "--offline", "0%", "--roll-back", "--json")
    assert (back.status, back.json["state"]) == (1, "rolled-back")


def test_the_same_in_json_and_the_same_seed_the_same(orrery: Orrery) -> None:
    arguments = (*SAMPLE, "--offline", "10%", "--seed", "7", "--json")
    result = orrery(*arguments)
    told = result.json
    assert result.status == 0
    assert (told["passed"], told["state"], told["nodes"], told["seed"]) == (True, "done", 40, 7)
    assert [step["step"] for step in told["steps"]] == [1, 2]
    for step in told["steps"]:
        assert sum(cohort["nodes"] for cohort in step["cohorts"]) == 40
        assert step["curve"]["shares"][-1] == 1
        assert step["published_ms"] < step["done_ms"]
    assert {root["name"] for root in told["roots"]} == {"old-1", "old-2", "new-1", "new-2"}
    assert told["played"]["rounds_left_out"] > 100 * told["played"]["rounds"]
    assert orrery(*arguments).json == told
    assert orrery(*SAMPLE, "--offline", "10%", "--seed", "8", "--json").json != told


def test_the_picture_can_be_read_by_people_and_their_machines(
    orrery: Orrery, tmp_path: Path
) -> None:
    svg = tmp_path / "curve.svg"
    result = orrery(*SAMPLE, "--fault", "root-down:old-1@2m+1h", "--svg", svg)
    assert result.err == f"the adoption curve is drawn in {svg}\n"
    root = ElementTree.parse(svg).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    title, words = root.find(f"{space}title"), root.find(f"{space}desc")
    assert title is not None
    assert title.text == "Rehearsal: 2 steps, 40 nodes"
    assert words is not None
    assert words.text is not None
    assert "step 2 was adopted by 50% after" in words.text
    texts = [element.text for element in root.iter(f"{space}text")]
    assert "old-1 down" in texts
    assert "100%" in texts
    refused = orrery(*SAMPLE, "--svg", tmp_path / "no" / "curve.svg")
    assert refused.status == 3


def test_a_home_with_its_nodes(orrery: Orrery, home: Home) -> None:
    wish(home, ONE, MOVED, second=THERE)
    result = orrery("rehearse", "--json", "--nat", "0%")
    told = result.json
    assert result.status == 0, told["reason"]
    assert told["world"] == f"{newest(home).id:016x}"
    assert told["nodes"] == len(NODES)
    assert told["fleet"].startswith("5 nodes as sighted")
    assert {root["name"] for root in told["roots"]} == {"root-1", "root-2"}
    # Nothing was signed or published by it.
    assert len(revisions(home)) == 1
    many = orrery("rehearse", "--json", "--nodes", "25", "--offline", "0%").json
    assert (many["nodes"], many["passed"]) == (25, True)


def test_a_home_with_nothing_to_rehearse(orrery: Orrery, home: Home) -> None:
    nothing = orrery("rehearse")
    assert nothing.status == 1
    assert "nothing to rehearse" in nothing.err
    wish(home, MOVED)
    refused = orrery("rehearse", "--gone", str(ONE))
    assert refused.status == 1
    assert "this is not safe" in refused.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--fault", "fire@2h"), "is not a fault that can be rehearsed"),
        (("--fault", "root-down:nobody@1s"), "no root 'nobody' runs by then"),
        (("--fault", "bad-canary:9"), "has 2 steps"),
        (("--loss", "95%"), "may be lost"),
        (("--rtt", "9000"), "less than 4 s"),
        (("--for", "soon"), "not a span of time"),
        (("--nat", "half"), "--nat: 'half' is not a share"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    orrery: Orrery, options: tuple[str, ...], sentence: str
) -> None:
    result = orrery(*SAMPLE, *options)
    assert result.status == 2
    assert sentence in result.err


def test_without_numpy_it_says_what_to_install(
    orrery: Orrery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    result = orrery(*SAMPLE)
    assert result.status == 2
    assert "pip install 'zt-orrery[lab]'" in result.err
