"""An orrery.toml with mistakes: told with file, line and a sentence, and nothing is lost."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orrery.home import Home
from tests.unit.cli.running import Orrery
from tests.unit.home.making import make_home
from tests.unit.store.making import identity

COMMANDS = (
    ("publish",),
    ("publish", "--dry-run"),
    ("plan",),
    ("plan", "--json"),
    ("apply", "--yes", "--detach"),
    ("status",),
    ("status", "--json"),
    ("serve",),
)
SECRET = identity(0).to_string(secret=True)
ROOT = '\n[[world.root]]\nname = "{name}"\nidentity = "{identity}"\nendpoints = ["203.0.113.9:1"]\n'


def _replaced(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit


def _without(key: str) -> Callable[[str], str]:
    return lambda text: "\n".join(
        line for line in text.split("\n") if not line.startswith(f"{key} =")
    )


def _endpoints(*endpoints: str) -> Callable[[str], str]:
    return lambda text: "\n".join(
        f"endpoints = {list(endpoints)}" if line.startswith("endpoints =") else line
        for line in text.split("\n")
    )


def _before_serving(more: str) -> Callable[[str], str]:
    return _replaced("\n[serve]", f"{more}\n[serve]")


def _at(number: int, name: str) -> str:
    return ROOT.format(name=name, identity=identity(number).public())


# What is done to the file, the beginning of the line that is named, and what is said of it.
MISTAKES: dict[str, tuple[Callable[[str], str], str, str]] = {
    "no quotes": (_replaced('"planet"', "planet"), "kind", "this is not TOML (invalid value"),
    "key twice": (_replaced("[serve]", "[serve]\npush = true"), "push = true", "not TOML"),
    "bracket open": (_replaced("[serve]", "[serve"), "[serve", "this is not TOML (expected"),
    "unknown key": (_replaced("push =", "psuh ="), "psuh", "did you mean 'push'?"),
    "unknown table": (_replaced("[rollout]", "[rolout]"), "[rolout]", "did you mean 'rollout'?"),
    "key of another table": (
        _replaced("[serve]", '[serve]\nsettle = "1m"'),
        "settle",
        "'settle' is no key of [serve]: it belongs below [rollout]",
    ),
    "no id": (_without("id"), "[[world]]", "[[world]] has no 'id': write id = "),
    "no identity": (_without("identity"), "[[world.root]]", "has no 'identity'"),
    "no root": (
        _replaced("[[world.root]]", "[[world.roots]]"),
        "[[world.roots]]",
        "did you mean 'root'?",
    ),
    "unknown kind": (_replaced('"planet"', '"star"'), "kind", '\'kind\' is "planet" or "moon"'),
    "long id": (_replaced('id = "', 'id = "0123456789'), "id", "an id is 1 to 16 hex digits"),
    "zero id": (lambda text: _without("id")(text).replace("kind", 'id = "0"\nkind'), "id", "id 0"),
    "number as text": (_replaced("push_rate = 1000", 'push_rate = "1"'), "push_rate", "whole num"),
    "number too large": (_replaced("1_000_000", "10_000_000_000"), "retention_rows", "at most"),
    "switch as text": (_replaced("push = true", 'push = "yes"'), "push =", "true or false"),
    "private key": (
        _replaced(str(identity(0).public()), SECRET),
        "identity",
        "this identity has its private key with it",
    ),
    "other identity": (
        _replaced(str(identity(0).public()), str(identity(0).public())[:-1]),
        "identity",
        "has 127 hex digits, not 128",
    ),
    "identity twice": (
        _before_serving(_at(0, "two")),
        "identity",
        "root 'root-1' has this identity too",
    ),
    "root twice": (_before_serving(_at(1, "root-1")), 'name = "root-1"', "two roots are called"),
    "five roots": (
        _before_serving("".join(_at(number, f"r{number}") for number in range(1, 5))),
        "[[world.root]]",
        "5 roots are too many: at most 4",
    ),
    "no endpoint": (_endpoints(), "endpoints", "'endpoints' is empty"),
    "33 endpoints": (
        _endpoints(*(f"203.0.113.7:{port}" for port in range(1, 34))),
        "endpoints",
        "33 endpoints are too many: at most 32",
    ),
    "endpoint twice": (_endpoints("1.2.3.4:5", "1.2.3.4/5"), "endpoints", "1.2.3.4/5 already"),
    "no port": (_endpoints("203.0.113.7"), "endpoints", "'203.0.113.7' has no port"),
    "port 0": (_endpoints("203.0.113.7:0"), "endpoints", "a port is a number from 1 to 65535"),
    "no address": (_endpoints("203.0.113.700:1"), "endpoints", "is not an IP address"),
    "nowhere": (_endpoints("0.0.0.0:9993"), "endpoints", "no place where a root can be found"),
    "URL": (_endpoints("https://root.example.org"), "endpoints", "is a URL"),
    "short name": (_endpoints("localhost:9993"), "endpoints", "is a name without a domain"),
    "no name": (_endpoints("a_b.example.org:1"), "endpoints", "'a_b' in"),
    "second planet": (
        _before_serving('\n[[world]]\nname = "b"\nkind = "planet"\nid = "1"\n' + _at(1, "two")),
        "kind",
        "'home' is a planet already, and nodes have only one",
    ),
    "World twice": (
        _before_serving('\n[[world]]\nname = "home"\nkind = "moon"\nid = "1"\n' + _at(1, "two")),
        'name = "home"',
        "two Worlds are called 'home'",
    ),
    "name to listen at": (
        _replaced('"0.0.0.0:9993"', '"root.example.org:1"'),
        "listen",
        "is a name, and a server receives at IP addresses",
    ),
    "span without unit": (_replaced('"10s"', '"10"'), "settle", "write 90s, 10m, 36h or 7d"),
    "span as number": (_replaced('"10s"', "600"), "settle", "has a unit and stands in quotes"),
    "short horizon": (_replaced('"30d"', '"30s"'), "horizon", "30s is too short: write 10m to"),
    "share without sign": (_replaced('"10%"', '"10"'), "cohorts", 'write "10%"'),
    "shrinking shares": (_replaced('"1%"', '"20%"'), "cohorts", "10% comes after 20%"),
    "not everybody": (_replaced(', "100%"]', "]"), "cohorts", 'let the list end with "100%"'),
    "no node": (_replaced('"1%"', '["8056c2"]'), "cohorts", "'8056c2' is not an address"),
    "node without list": (_replaced('"1%"', '"2c3e8f527a"'), "cohorts", 'write ["2c3e8f527a"]'),
    "nothing required": (_replaced('"100%"\n', '"0%"\n'), "required", "it is more than 0%"),
    "unknown change": (
        _replaced("without_asking = []", 'without_asking = ["add-rot"]'),
        "without_asking",
        "'add-rot' is no kind of change; did you mean 'add-root'?",
    ),
    "unknown software": (
        _replaced('software = "orrery"', 'software = "zerotier"'),
        "software",
        '\'software\' is "orrery" or "zerotier-one"',
    ),
    "settling for longer than a node counts": (
        lambda text: text.replace('"10s"', '"20d"').replace('"30d"', '"7d"'),
        "settle",
        "longer than a node counts that is not seen",
    ),
    "root among the nodes": (
        _replaced('"1%"', f'["{identity(0).address:010x}"]'),
        "cohorts",
        "is a root, and hands what it gets to every node",
    ),
    "node twice": (
        _replaced('"1%"', '["2c3e8f527a"], ["2c3e8f527a"]'),
        "cohorts",
        "node 2c3e8f527a is in a cohort before: name it once",
    ),
    "DNS server by name": (
        _replaced("servers = []", 'servers = ["dns.example.org"]'),
        "servers",
        "this server is what looks names up",
    ),
    "nothing": (lambda _: "", "", "the file has no 'world'"),
    "too deep": (lambda text: f"{text}x = {'[' * 3000}\n", "x =", "brackets stand in brackets"),
}


def _files(path: Path) -> dict[str, bytes]:
    """All that must not change: every file but the locks and SQLite's own."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and not file.name.endswith(("lock", "-wal", "-shm", ".db"))
    }


def _revisions(path: Path) -> list[int]:
    with Home.open(path) as home:
        return [each.timestamp_ms for each in home.store.chain(home.store.world_ids()[0])]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_home(tmp_path / "home").close()
    return tmp_path / "home"


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told_by_every_command_and_changes_nothing(
    orrery: Orrery, home: Path, what: str
) -> None:
    edit, begins, said = MISTAKES[what]
    settings = home / "orrery.toml"
    good = settings.read_text()
    bad = edit(good)
    settings.write_text(bad)
    before, revisions = _files(home), _revisions(home)
    lines = [
        number for number, line in enumerate(bad.split("\n"), start=1) if line.startswith(begins)
    ]
    for command in COMMANDS:
        result = orrery(*command, "--home", home)
        assert result.status == 3, command
        message = result.error["message"] if "--json" in command else result.err
        (told,) = [line for line in message.splitlines() if said in line]
        where = told.removeprefix("orrery: ").removeprefix(f"{settings}, line ")
        assert int(where.partition(": ")[0]) in lines
        assert SECRET.rpartition(":")[2] not in result.err + result.out
        if command[0] == "status":  # the truth about what is published is shown all the same
            assert result.json["worlds"] if "--json" in command else "revision" in result.out
    assert _files(home) == before
    assert _revisions(home) == revisions
    settings.write_text(good.replace("203.0.113.7:9993", "203.0.113.7:9994"))
    assert orrery("publish", "--home", home).status == 0
    assert len(_revisions(home)) == 2


def test_there_are_twenty_kinds_and_more() -> None:
    assert len(MISTAKES) >= 40


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[[world]]\nname = "h\xfcgel"\n', "line 2: this is not UTF-8 text"),
        (b"[[world]]\n\x00", "line 2: this is not TOML"),
    ],
)
def test_bytes_that_are_no_text_are_told_too(
    orrery: Orrery, home: Path, content: bytes, said: str
) -> None:
    (home / "orrery.toml").write_bytes(content)
    for command in COMMANDS:
        result = orrery(*command, "--home", home)
        assert (result.status, said in result.err) == (3, True)


def test_every_mistake_is_told_at_once(orrery: Orrery, home: Path) -> None:
    settings = home / "orrery.toml"
    text = settings.read_text()
    for what in (
        "unknown kind",
        "no port",
        "unknown key",
        "span without unit",
        "share without sign",
    ):
        text = MISTAKES[what][0](text)
    settings.write_text(text)
    result = orrery("publish", "--home", home)
    assert result.status == 3
    told = [line.removeprefix(f"orrery: {settings}, line ") for line in result.err.splitlines()]
    numbers = [int(line.partition(":")[0]) for line in told]
    assert len(numbers) == 5
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_process_ends_with_the_same(home: Path, command: tuple[str, ...]) -> None:
    settings = home / "orrery.toml"
    settings.write_text(settings.read_text().replace('settle = "10s"', 'settle = "ten"'))
    ended = subprocess.run(
        [sys.executable, "-m", "orrery", *command, "--home", home],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "ORRERY_DEBUG"},
    )
    assert ended.returncode == 3
    assert "'ten' is not a span of time: write 90s, 10m, 36h or 7d" in ended.stderr
    assert "Traceback" not in ended.stderr
