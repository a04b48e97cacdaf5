"""`orrery status` and `orrery nodes`."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from orrery.home import Home, publish
from orrery.store import Adoption, Fork
from orrery.wire.address import Address
from orrery.wire.signature import fingerprint
from orrery.wire.world import World
from tests.unit.cli.running import Orrery
from tests.unit.home.making import ONE, make_home, want
from tests.unit.store.making import key, sighting

ANNE, BERT, CLEO, DORA, EMIL = (Address(0x1000000000 + number) for number in range(5))
MOON_ID = 0xABCDEF


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home with two revisions, and five nodes: each holds something else."""
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path / "home"))
    now_ms = time.time_ns() // 1_000_000
    with make_home(tmp_path / "home") as made:
        want(made, ONE)
        publish(made, "home", now_ms)
        first, second = (revision.world for revision in made.store.revisions(planet(made).id))
        ours = {"planet_id": second.id}
        made.store.record(
            [
                sighting(ANNE, now_ms - 5_000, planet_timestamp_ms=first.timestamp_ms, **ours),
                sighting(BERT, now_ms - 65_000, planet_timestamp_ms=first.timestamp_ms, **ours),
                sighting(CLEO, now_ms - 4_000, planet_timestamp_ms=first.timestamp_ms + 1, **ours),
                sighting(DORA, now_ms - 3_000, planet_id=0x1234, planet_timestamp_ms=1),
                sighting(EMIL, now_ms - 9_000_000, planet_timestamp_ms=0, planet_id=0),
            ],
            [Adoption(ANNE, second.id, second.timestamp_ms, now_ms - 4_500, "probe")],
        )
        made.release()
        yield made


def planet(home: Home) -> World:
    return World.decode((home.path / "planet").read_bytes())


def rows(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}


def test_every_node_is_listed_with_what_it_holds(orrery: Orrery, home: Home) -> None:
    result = orrery("nodes")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[0].split() == ["node", "planet", "seen", "version", "path"]
    listed = rows(result.out)
    assert {name: cells[0] for name, cells in listed.items()} == {
        f"{ANNE:010x}": "2/2",
        f"{BERT:010x}": "1/2",
        f"{CLEO:010x}": "fork",
        f"{DORA:010x}": "other",
        f"{EMIL:010x}": "-",
    }
    assert next(iter(listed)) == f"{DORA:010x}", "the last seen comes first"
    assert listed[f"{BERT:010x}"][2:] == ["1.14.1", "198.51.100.4/29994"]
    assert listed[f"{EMIL:010x}"][1] == "2h"
    assert all(len(line) <= 80 for line in result.out.splitlines())


def test_programs_are_told_the_same(orrery: Orrery, home: Home) -> None:
    newest = planet(home)
    told = {node["address"]: node for node in orrery("nodes", "--json").json}
    assert len(told) == 5
    anne = told[f"{ANNE:010x}"]
    assert (anne["version"], anne["path"]) == ("1.14.1", "198.51.100.4/29994")
    (held,) = anne["worlds"]
    assert held["id"] == f"{newest.id:016x}"
    assert (held["timestamp_ms"], held["revision"], held["behind"]) == (newest.timestamp_ms, 2, 0)
    assert held["how"] == "probe"
    (held,) = told[f"{CLEO:010x}"]["worlds"]
    assert (held["revision"], held["behind"]) == (None, None)
    assert told[f"{DORA:010x}"]["worlds"] == []
    assert told[f"{DORA:010x}"]["planet_id"] == "0000000000001234"


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        (("--seen", "10s"), [DORA, CLEO, ANNE]),
        (("--seen", "10m"), [DORA, CLEO, ANNE, BERT]),
        (("--behind",), [DORA, CLEO, BERT, EMIL]),
        (("--behind", "--seen", "10m"), [DORA, CLEO, BERT]),
        (("--behind", "--limit", "1"), [DORA]),
        (("--limit", "2"), [DORA, CLEO]),
        (("--address", f"{BERT:010x}"), [BERT]),
        (("--address", "1234567890"), []),
    ],
)
def test_nodes_may_be_chosen(
    orrery: Orrery, home: Home, arguments: tuple[str, ...], listed: list[Address]
) -> None:
    told = orrery("nodes", "--json", *arguments).json
    assert [node["address"] for node in told] == [f"{address:010x}" for address in listed]


@pytest.mark.parametrize("command", ["status", "nodes"])
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--seen", "5"), 2),
        (("--seen", ""), 2),
        (("--seen", "-1h"), 2),
        (("--home", "nowhere"), 3),
        (("--nonsense",), 2),
    ],
)
def test_a_wrong_request_is_told(
    orrery: Orrery, home: Home, command: str, arguments: tuple[str, ...], status: int
) -> None:
    result = orrery(command, *arguments)
    assert (result.status, result.out) == (status, "")
    assert result.err.startswith("orrery: ")
    assert orrery(command, *arguments, "--json").error["exit_status"] == status


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--limit", "0"), 2),
        (("--limit", "many"), 2),
        (("--address", "zz"), 2),
        (("--address", "0000000000"), 2),
    ],
)
def test_wrong_choices_of_nodes_are_told(
    orrery: Orrery, home: Home, arguments: tuple[str, ...], status: int
) -> None:
    result = orrery("nodes", *arguments)
    assert (result.status, result.out) == (status, "")


def test_what_is_to_be_started_is_told_with_the_home(orrery: Orrery, home: Home) -> None:
    result = orrery("status", "--home", home.path.absolute())
    assert result.out.startswith(f"server  not running: orrery serve --home {home.path.absolute()}")
    for arguments in (("--outdated",), ("--outdated", "--below", "9.0.0")):
        result = orrery("nodes", *arguments, "--address", "1234567890")
        assert (result.status, result.out) == (0, "no such node has been seen\n"), result.err


def test_adoption_is_told(orrery: Orrery, home: Home) -> None:
    result = orrery("status")
    assert result.status == 0
    assert result.out.startswith(f"server  not running: orrery serve --home {home.path}\n\nplanet ")
    assert " 1 of 3 nodes seen in the last 1h\n" in result.out
    for line in ("1 node holds revision 2", "1 node holds revision 1", "not of this chain"):
        assert line in result.out
    assert "1 node holds another planet" in result.out
    assert all(len(line) <= 80 for line in result.out.replace(str(home.path), "home").splitlines())


def test_programs_are_told_of_adoption(orrery: Orrery, home: Home) -> None:
    told = orrery("status", "--json", "--seen", "10s").json
    assert (told["serving"], told["nodes"]) == (False, 3)
    (world,) = told["worlds"]
    newest = planet(home)
    assert (world["type"], world["id"]) == ("planet", f"{newest.id:016x}")
    assert (world["revisions"], world["timestamp_ms"]) == (2, newest.timestamp_ms)
    assert (world["nodes"], world["adopted"]) == (2, 1)
    assert world["roots"][0]["endpoints"] == [str(ONE)]


def test_a_server_that_runs_is_told(orrery: Orrery, home: Home) -> None:
    with FileLock(home.path / "serve.lock"):
        assert orrery("status").out.startswith("server  running\n")
        assert orrery("status", "--json").json["serving"] is True
    assert orrery("status", "--json").json["serving"] is False


@pytest.mark.parametrize("command", ["status", "nodes"])
def test_it_is_shown_again_each_second_until_ctrl_c(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) % 2 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    once = orrery(command)
    again = orrery(command, "--watch")
    assert again.status == 0
    assert again.out.count(once.out.splitlines()[-1].split()[0]) >= 2
    lines = orrery(command, "--watch", "--json").out.splitlines()
    assert len(lines) == 2
    assert all(json.loads(line) for line in lines)
    assert waits == [1.0] * 4


def forked(home: Home) -> str:
    """Anne's answer shows that what she holds has the timestamp of the newest, and no more.

    Returns:
        The fingerprint of the key that her World names.
    """
    newest = planet(home)
    names = key(9).public
    roots = (BERT, CLEO)
    now_ms = time.time_ns() // 1_000_000
    home.store.record(
        forks=[Fork(ANNE, newest.id, newest.timestamp_ms, now_ms, b"other", names, roots)]
    )
    return fingerprint(names)


def test_a_fork_is_no_revision_though_its_timestamp_is_one_s(orrery: Orrery, home: Home) -> None:
    names = forked(home)
    assert rows(orrery("nodes").out)[f"{ANNE:010x}"][0] == "fork"
    assert f"{ANNE:010x}" in rows(orrery("nodes", "--behind").out)
    out = orrery("status").out
    assert " 0 of 3 nodes seen in the last 1h\n" in out
    assert f"{planet(home).timestamp_ms}, which is not of this chain\n" in out
    assert f"  next signer of that: {names}\n" in out
    assert all(len(line) <= 80 for line in out.replace(str(home.path), "home").splitlines())


def test_programs_are_told_what_is_known_of_a_fork(orrery: Orrery, home: Home) -> None:
    names = forked(home)
    told = {node["address"]: node for node in orrery("nodes", "--json").json}
    (held,) = told[f"{ANNE:010x}"]["worlds"]
    roots = [f"{BERT:010x}", f"{CLEO:010x}"]
    assert (held["revision"], held["behind"]) == (None, None)
    assert (held["fork"]["next_signer"], held["fork"]["roots"]) == (names, roots)
    assert told[f"{BERT:010x}"]["worlds"][0]["fork"] is None
    (world,) = orrery("status", "--json").json["worlds"]
    assert world["adopted"] == 0
    (level,) = [level for level in world["levels"] if level["forks"]]
    assert (level["revision"], level["nodes"]) == (None, 1)
    (fork,) = level["forks"]
    assert (fork["next_signer"], fork["roots"], fork["nodes"]) == (names, roots, 1)


@pytest.fixture
def versions(home: Home) -> Home:
    """The same home, with nodes of three versions and one that told none."""
    now_ms = time.time_ns() // 1_000_000
    told = {ANNE: (1, 10, 2), BERT: (1, 12, 2), CLEO: (1, 10, 2), DORA: (1, 14, 1), EMIL: (0, 0, 0)}
    for number, (address, version) in enumerate(told.items()):
        home.store.record([sighting(address, now_ms - 1_000 * number, version=version)])
    return home


def test_who_runs_old_software_is_listed_by_versions(orrery: Orrery, versions: Home) -> None:
    result = orrery("nodes", "--outdated")
    assert (result.status, result.err) == (0, "")
    told = result.out.splitlines()
    assert [line for line in told if line[0] != " "] == ["1.10.2  2 nodes", "1.12.2  1 node"]
    assert [line.split()[0] for line in told if line[0] == " "] == [
        f"{node:010x}" for node in (ANNE, CLEO, BERT)
    ]
    assert "seen 2s ago" in told[2]


@pytest.mark.parametrize(
    ("below", "expected"),
    [("1.12.2", ["1.10.2"]), ("1.12", ["1.10.2"]), ("2.0.0", ["1.10.2", "1.12.2", "1.14.1"])],
)
def test_what_is_old_can_be_said(
    orrery: Orrery, versions: Home, below: str, expected: list[str]
) -> None:
    groups = orrery("nodes", "--outdated", "--below", below, "--json").json
    assert [group["version"] for group in groups] == expected
    assert groups[0]["count"] == 2
    assert groups[0]["nodes"][1]["address"] == f"{CLEO:010x}"
    assert groups[0]["last_seen_ms"] == groups[0]["nodes"][0]["last_seen_ms"]


def test_where_all_are_current_it_is_said(orrery: Orrery, home: Home) -> None:
    assert orrery("nodes", "--outdated").out == "no node reports an older version than another\n"
    older = orrery("nodes", "--outdated", "--below", "1.14.1").out
    assert older == "no node reports an older version than 1.14.1\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--outdated", "--below", "new"), "--below: 'new' is no version of ZeroTier One"),
        (("--below", "1.14.0"), "--below says what is --outdated: give both"),
    ],
)
def test_a_wrong_version_is_told(
    orrery: Orrery, home: Home, arguments: tuple[str, ...], sentence: str
) -> None:
    result = orrery("nodes", *arguments)
    assert (result.status, result.out) == (2, "")
    assert sentence in result.err
