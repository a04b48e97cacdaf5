"""`orrery forecast`: options, table, JSON, picture, and a home as the pattern."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from orrery.cli.app import run
from orrery.store import Sighting
from orrery.wire.address import Address
from tests.unit.cli.rolling import MOVED, rolling_home, wish
from tests.unit.cli.running import Orrery
from tests.unit.home.making import ONE, make_home

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 1_790_000_000_000


def forecast(orrery: Orrery, *options: str | Path) -> Any:
    result = orrery("forecast", *options, "--json")
    assert result.status == 0, result.err
    return result.json


def test_a_table_of_80_columns(orrery: Orrery) -> None:
    result = orrery("forecast", "--nodes", "1000000", "--cohorts", "100%", "--roots", "4")
    assert result.status == 0
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "forecast: 1,000,000 nodes, 4 roots, 1 step"
    assert not any(line.endswith(" ") for line in lines)
    assert "a second at the busiest of 4 roots: in the mean, and the busiest one" in lines
    # What such a fleet asks for is more than a root can give, and more nodes than it remembers.
    assert "2 warnings" in lines
    assert "(--capacity)" in result.out
    assert "strangers" in result.out
    assert result.err == ""


def test_the_same_in_json(orrery: Orrery) -> None:
    told = forecast(orrery, "--nodes", "500", "--steps", "2", "--cohorts", "10%,100%")
    assert (told["nodes"], told["runs"], told["horizon_ms"]) == (500, 20, 30 * DAY_MS)
    assert [(turn["step"], turn["share"], turn["nodes"]) for turn in told["turns"]] == [
        ("step 1", 0.1, 50),
        ("step 1", 1.0, 450),
        ("step 2", 0.1, 50),
        ("step 2", 1.0, 450),
    ]
    for number in (*told["adopted_ms"].values(), told["done_ms"]):
        assert number["least"] <= number["median"] <= number["most"]
    assert list(told["adopted_ms"]) == ["50", "99", "100"]
    (root,) = told["roots"]
    assert (root["push_nodes_per_s"], root["push_bytes_per_s"]) == (1_000, 4_000_000)
    assert list(root["load"]) == ["HELLO", "WHOIS", "push", "probe", "all"]
    assert [curve["name"] for curve in told["curves"]] == ["step 1", "step 2"]
    assert told["curves"][1]["shares"][-1] == 1
    assert told["warnings"] == []


def test_options_say_what_is_computed(orrery: Orrery) -> None:
    still = ("--nodes", "300", "--offline", "0%", "--cohorts", "100%", "--runs", "1")
    quick = forecast(orrery, *still, "--loss", "0%", "--rtt", "50")
    assert quick["adopted_ms"]["100"]["median"] == 25
    assert quick["rtt_ms"] == [50, 50]
    silent = forecast(orrery, *still, "--no-push")
    assert silent["adopted_ms"]["100"]["median"] > 200_000
    assert silent["roots"][0]["push"] is False
    slow = forecast(orrery, *still, "--push-rate", "20,10", "--push-bytes", "5000")
    assert [root["push_nodes_per_s"] for root in slow["roots"]] == [20, 10]
    assert [root["push_bytes_per_s"] for root in slow["roots"]] == [5_000, 5_000]
    large = forecast(orrery, *still, "--world-size", "9000")
    assert large["roots"][0]["load"]["push"]["peak"]["packets_out"] >= 6 * 250
    patient = forecast(orrery, *still, "--settle", "1h", "--required", "99%", "--horizon", "7d")
    assert patient["settle_ms"] == HOUR_MS
    assert patient["horizon_ms"] == 7 * DAY_MS
    assert patient["turns"][0]["required"] == 0.99


def test_fleets_of_several_kinds(orrery: Orrery) -> None:
    few = ("--nodes", "200", "--cohorts", "100%", "--runs", "1")
    coming = forecast(orrery, *few, "--offline", "30%", "--session", "2h", "--always-on", "50%")
    assert coming["fleet"] == (
        "30 % offline, sessions of 2 h and absences of 3 h on average, 50 % always on"
    )
    office = forecast(
        orrery, *few, "--daily", "08:00-18:00", "--days-used", "71.4%", "--begin", "17:30"
    )
    assert office["fleet"] == "online 08:00 to 18:00 on 71.4 % of days; it is 17:30"
    assert office["adopted_ms"]["99"]["median"] > 12 * HOUR_MS


def test_roots_that_push_differently_have_a_table_each(orrery: Orrery) -> None:
    result = orrery("forecast", "--nodes", "50", "--runs", "1", "--push-rate", "20,10")
    assert "a second at root-1: in the mean, and the busiest one" in result.out
    assert "a second at root-2: in the mean, and the busiest one" in result.out
    assert "push      root-1 20 nodes/s, 4 MB/s; root-2 10 nodes/s, 4 MB/s" in result.out
    assert "computed  one future\n" in result.out


def test_the_same_seed_prints_the_same(orrery: Orrery) -> None:
    few = ("forecast", "--nodes", "100", "--runs", "2")
    assert orrery(*few).out == orrery(*few, "--seed", "0").out
    assert orrery(*few).out != orrery(*few, "--seed", "7").out


def test_a_picture(orrery: Orrery, tmp_path: Path) -> None:
    result = orrery("forecast", "--nodes", "100", "--runs", "1", "--svg", "curve.svg")
    assert result.err == "the adoption curve is drawn in curve.svg\n"
    told = [text.text for text in ElementTree.parse(tmp_path / "curve.svg").iter()]
    assert "Adoption of step 1 by 100 nodes" in told
    missing = orrery("forecast", "--nodes", "100", "--runs", "1", "--svg", "no/curve.svg")
    assert missing.status == 3
    assert missing.err == "orrery: no/curve.svg cannot be written: No such file or directory\n"


def test_nodes_that_sleep_longer_than_they_count_are_told_of(orrery: Orrery) -> None:
    told = forecast(
        orrery, "--nodes", "1000", "--offline", "40%", "--session", "9d", "--horizon", "1d"
    )
    assert told["unseen"]["median"] > 100
    assert "nodes were not seen within the horizon" in told["warnings"][0]


def test_more_packets_than_a_root_can_take(orrery: Orrery) -> None:
    told = forecast(orrery, "--nodes", "1000", "--runs", "1", "--capacity", "500")
    assert "in the busiest second" in told["warnings"][0]
    told = forecast(orrery, "--nodes", "1000", "--runs", "1", "--capacity", "100")
    assert "all the time" in told["warnings"][0]


# -- like a home -----------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """80 of 100 nodes are online, 10 were seen some hours ago, 10 some days ago."""
    path = tmp_path / "root"
    with make_home(path, [ONE]) as made:
        (world,) = made.served_worlds()
        held = world.id, world.timestamp_ms
        sightings = []
        for number in range(100):
            age_ms = 0 if number < 80 else (number - 79) * HOUR_MS * (1 if number < 90 else 12)
            address = Address(0x1000000000 + number)
            told = address, bytes(71), "198.51.100.4/9993", 12, (1, 14, 1)
            sightings += [
                Sighting(*told, at_ms, *held) for at_ms in (NOW_MS - 20 * DAY_MS, NOW_MS - age_ms)
            ]
        made.store.record(sightings)
        text = made.settings_path.read_text()
        for key, value in {
            "cohorts": '[["1000000000", "1000000001"], "20%", "100%"]',
            "settle": '"30m"',
            "horizon": '"14d"',
            "required": '"95%"',
            "push_rate": "50",
        }.items():
            text, found = re.subn(f"(?m)^{key} = .*$", f"{key} = {value}", text)
            assert found == 1
        made.save_settings(text)
    return path


def test_a_forecast_shaped_like_a_home(orrery: Orrery, home: Path) -> None:
    told = forecast(orrery, "--from-home", home)
    assert told["nodes"] == 100
    assert told["fleet"] == (
        "100 nodes as sighted: 80 % in the last 5 minutes, 81 % in the last hour, "
        "90 % in the last day, 94 % in the last week"
    )
    assert told["settle_ms"] == 30 * 60_000
    assert told["horizon_ms"] == 14 * DAY_MS
    assert [turn["nodes"] for turn in told["turns"]] == [2, 20, 78]
    assert {turn["required"] for turn in told["turns"]} == {0.95}
    (root,) = told["roots"]
    assert (root["name"], root["push_nodes_per_s"]) == ("root-1", 50)
    # The last absent ones return after about as long as they have been away.
    assert told["adopted_ms"]["50"]["median"] < 20 * DAY_MS
    assert DAY_MS / 2 < told["adopted_ms"]["100"]["median"] < 30 * DAY_MS


def test_options_overrule_the_home(orrery: Orrery, home: Path) -> None:
    told = forecast(
        orrery, "--from-home", home, "--world", "home", "--nodes", "1000", "--roots", "2",
        "--cohorts", "100%", "--settle", "1m", "--required", "100%", "--horizon", "10d",
        "--offline", "0%", "--no-push",
    )  # fmt: skip
    assert told["nodes"] == 1_000
    assert told["fleet"] == "always online"
    assert [turn["nodes"] for turn in told["turns"]] == [1_000]
    assert [root["name"] for root in told["roots"]] == ["root-1", "root-2"]
    assert not any(root["push"] for root in told["roots"])
    drawn = forecast(orrery, "--from-home", home, "--nodes", "1000", "--runs", "1")
    assert drawn["nodes"] == 1_000
    assert "as sighted" in drawn["fleet"]


def test_a_home_that_has_seen_nobody(orrery: Orrery, tmp_path: Path) -> None:
    make_home(tmp_path / "new", [ONE]).close()
    result = orrery("forecast", "--from-home", "new")
    assert result.status == 2
    assert "no node was seen" in result.err


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--offline", "20"), "--offline: '20' is not a share"),
        (("--loss", "101%"), "--loss: '101%' is not a share"),
        (("--loss", "95%"), "0% to 90% of the packets"),
        (("--cohorts", "10%"), "the last of them 100%"),
        (("--cohorts", "10%,5%,100%"), "growing shares"),
        (("--settle", "10"), "not a span of time"),
        (("--daily", "8-18"), "'8' is no time of the day"),
        (("--daily", "08:00"), "no hours of a day"),
        (("--daily", "08:00-18:00", "--offline", "3%"), "leave --offline out"),
        (("--offline", "60%", "--always-on", "50%"), "nobody who comes and goes"),
        (("--rtt", "fast"), "are no round trips"),
        (("--rtt", "9000"), "less than 5 s"),
        (("--push-rate", "fast"), "--push-rate: 'fast' is not a list of numbers"),
        (("--roots", "3", "--push-rate", "1,2"), "there are 3 roots"),
        (("--rotations", "2"), "give --steps 2"),
        (("--world-size", "20000"), "20000 bytes is none that a packet can carry"),
        (("--from-home", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    orrery: Orrery, options: tuple[str, ...], told: str
) -> None:
    result = orrery("forecast", *options)
    assert result.status in (2, 3)
    assert told in result.err
    assert result.err.startswith("orrery: ")
    assert result.out == ""


def test_without_the_part_that_computes(orrery: Orrery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    result = orrery("forecast")
    assert result.status == 2
    assert "pip install 'zt-orrery[lab]'" in result.err


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert run(["forecast", "--nodes", "100", "--runs", "2"]) == 0
    assert "computing" in capfd.readouterr().err


def test_the_steps_of_a_plan(
    orrery: Orrery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rolling_home(tmp_path / "home") as home:
        nothing = orrery("forecast", "--from-home", home.path, "--plan")
        assert nothing.status == 1
        assert "nothing to forecast" in nothing.err
        wish(home, MOVED)
        told = forecast(orrery, "--from-home", home.path, "--plan", "--nodes", "500")
        monkeypatch.setenv("ORRERY_HOME", str(home.path))
        assert forecast(orrery, "--plan", "--nodes", "500") == told
        doubled = orrery("forecast", "--plan", "--steps", "3")
    assert [curve["name"] for curve in told["curves"]] == ["step 1", "step 2"]
    assert told["curves"][-1]["shares"][-1] == 1
    assert [root["name"] for root in told["roots"]] == ["root-1"]
    assert doubled.status == 2
    assert "leave out --steps" in doubled.err
