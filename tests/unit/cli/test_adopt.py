"""`orrery adopt` that makes a home, and what is typed wrong."""

import stat
from pathlib import Path

import pytest

from orrery.home import Home
from tests.unit.cli.running import Orrery
from tests.unit.cli.test_adopt_folders import check_no_secret, everything_in, words_of
from tests.unit.home.folders import (
    Maker,
    controller,
    docker_planet,
    mkworld_folder,
    node_home,
    put,
    ztnet_home,
)
from tests.unit.home.making import secret_file
from tests.unit.store.making import identity, key


@pytest.fixture(autouse=True)
def _no_home_of_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORRERY_HOME", raising=False)


def test_a_fleet_is_taken_over_and_what_is_next_can_be_copied(
    orrery: Orrery, tmp_path: Path
) -> None:
    docker_planet(tmp_path / "data", mode=0o644)
    before = everything_in(tmp_path / "data")
    result = orrery("adopt", "data", "--home", "my home")
    assert (result.status, result.err) == (0, "")
    assert everything_in(tmp_path / "data") == before
    said = words_of(result.out)
    assert "own root 6e133e061d, that of a root, from data/one/identity.secret" in said
    assert "Next: stop zerotier-one on root 6e133e061d and serve" in said
    assert "\n    orrery serve --home 'my home'\n" in result.out
    assert "\n    chmod 600 data/one/moon.json\n" in result.out
    check_no_secret(result.out)
    assert orrery("status", "--home", "my home").status == 0
    assert "\n    orrery plan planet --home 'my home'\n" in result.out
    assert orrery("plan", "planet", "--home", "my home").status == 0
    assert all(len(line) <= 80 for line in result.out.splitlines() if not line.startswith("    "))


def test_a_controller_is_joined_and_the_plan_says_how(orrery: Orrery, tmp_path: Path) -> None:
    controller(ztnet_home(tmp_path / "ztnet"), 2)
    secret = secret_file(tmp_path, 4)
    options = ("--join", "198.51.100.9:9993", "--identity", secret)
    result = orrery("adopt", "ztnet", "--home", "home", *options)
    assert result.status == 0
    assert "let nodes reach the own root at the endpoints of --join" in words_of(result.out)
    plan = words_of(orrery("plan", "--home", "home").out)
    assert f"+ root {identity(4).address:010x}" in plan
    assert "official 6e133e061d runs zerotier-one" in plan
    assert "install its file with the last cohort on 6e133e061d" in plan
    assert "1 to add, 0 to remove, in 1 step" in plan


def test_who_joins_later_is_told_what_to_write(orrery: Orrery, tmp_path: Path) -> None:
    mkworld_folder(tmp_path / "mkworld")
    result = orrery("adopt", "mkworld", "--home", "home", "--identity", secret_file(tmp_path, 4))
    assert result.status == 0
    start = result.out.index("    [[world.root]]")
    snippet = result.out[start : result.out.index("then\n", start)].replace("\n    ", "\n").strip()
    toml = tmp_path / "home" / "orrery.toml"
    joined = snippet.replace("IP:PORT", "198.51.100.9:9993")
    toml.write_text(toml.read_text().replace("\n[serve]\n", f"\n{joined}\n\n[serve]\n"))
    assert "1 to add" in orrery("plan", "--home", "home").out


def test_programs_are_told_what_was_made(orrery: Orrery, tmp_path: Path) -> None:
    docker_planet(tmp_path / "data")
    told = orrery("adopt", "data", "--home", "home", "--json").json
    assert told["home"] == str(tmp_path / "home")
    assert told["root"] == {
        "role": "in-place",
        "address": "6e133e061d",
        "found_in": "data/one/identity.secret",
    }
    assert [(world["type"], world["can"]) for world in told["worlds"]] == [
        ("planet", "everything"),
        ("moon", "everything"),
    ]
    assert told["worlds"][0]["file"] == "data/dist/planet"


def test_one_world_of_several_is_chosen(orrery: Orrery, tmp_path: Path) -> None:
    docker_planet(tmp_path / "data")
    moon = f"{identity(0).address:x}"
    result = orrery("adopt", "data", "--home", "home", "--world", moon)
    assert result.status == 0
    with Home.open(tmp_path / "home") as home:
        assert [world.id for world in home.served_worlds()] == [identity(0).address]
    result = orrery("adopt", "data", "--home", "other", "--world", "abc")
    assert (result.status, "there is nothing to adopt" in result.err) == (1, True)


def test_a_name_that_became_nowhere_is_mended(orrery: Orrery, tmp_path: Path) -> None:
    mkworld_folder(tmp_path / "mkworld", Maker(places=("root.example.org/9993",)))
    refused = orrery("adopt", "mkworld", "--home", "home")
    assert refused.status == 1
    assert "--endpoint 6e133e061d=IP:PORT" in refused.err
    assert not (tmp_path / "home").exists()
    mended = orrery(
        "adopt", "mkworld", "--home", "home", "--endpoint", "6e133e061d=203.0.113.7:9993"
    )
    assert mended.status == 0
    assert 'endpoints = ["203.0.113.7:9993"]' in (tmp_path / "home" / "orrery.toml").read_text()


def test_a_broken_identity_is_not_why_there_is_no_world(orrery: Orrery, tmp_path: Path) -> None:
    put(tmp_path / "data" / "identity.secret", "nonsense", 0o600)
    result = orrery("adopt", "data", "--dry-run")
    assert result.out.splitlines()[0] == "1 finding"
    assert "there is no World here" in result.err
    put(tmp_path / "data" / "planet", b"\1")
    assert "nothing to adopt: data/planet" in orrery("adopt", "data", "--dry-run").err


def test_a_home_that_is_there_is_left_alone(orrery: Orrery, tmp_path: Path) -> None:
    docker_planet(tmp_path / "data")
    assert orrery("adopt", "data", "--home", "home").status == 0
    before = everything_in(tmp_path / "home")
    result = orrery("adopt", "data", "--home", "home", "--json")
    assert (result.status, result.error["code"]) == (5, "conflict")
    assert everything_in(tmp_path / "home") == before


def test_the_key_that_was_missing_is_put_where_it_is_said(orrery: Orrery, tmp_path: Path) -> None:
    node_home(tmp_path / "root", planet=Maker().world())
    out = orrery("adopt", "root", "--home", "home").out
    assert "install -m 600 KEY home/keys.d/0000000008eac90a/current.c25519" in words_of(out)
    place = tmp_path / "home" / "keys.d" / "0000000008eac90a"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    put(place / "current.c25519", key(1).encode(), 0o600)
    assert orrery("key", "show", "--home", "home", "--world", "planet").status == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["data", "--home", "data/one/home"], 2, "nothing is written into what is adopted"),
        (["data"], 2, "nothing is written into what is adopted"),
        (["data", "--home", "home", "--endpoint", "203.0.113.7:9993"], 2, "of which root"),
        (["data", "--home", "home", "--endpoint", "6e133e061d=x"], 2, "--endpoint"),
        (["data", "--home", "home", "--endpoint", "1234567890=1.2.3.4:5"], 2, "is no root of"),
        (["data", "--home", "home", "--join", "1.2.3.4"], 2, "--join"),
        (["data", "--home", "home", "--world", "xyz"], 2, "is no id"),
        (["data", "--home", "home", "--identity", "missing"], 4, "is missing"),
        (["data", "missing", "--home", "home"], 3, "there is no such file"),
        (["data", "--home", "data/dist/planet"], 2, "nothing is written into"),
        (["data", "--home", "file"], 2, "is not a directory"),
        (["data", "--home", "home", "--world", "zz"], 2, "--world 'zz' is no id"),
        (["data", "--home", "home", "--world", "12"], 1, "here are 0000000008eac90a, 0000006e13"),
        ([], 2, "PATH"),
    ],
)
def test_what_is_typed_wrong_is_told(
    orrery: Orrery, tmp_path: Path, arguments: list[str], status: int, words: str
) -> None:
    docker_planet(tmp_path / "data")
    put(tmp_path / "file", b"x")
    result = orrery("adopt", *arguments)
    assert (result.status, result.out) == (status, "")
    assert words in result.err
    assert not (tmp_path / "home").exists()
    assert not (tmp_path / "orrery.toml").exists()
