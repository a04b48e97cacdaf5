"""`orrery peers` and `orrery moon` with real connections to hosts, and a model of zerotier-one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orrery.errors import UsageError
from orrery.fleet import ask_hosts, leave, orbit
from orrery.home import Home
from orrery.wire.address import format_address
from orrery.wire.world import World, WorldType
from tests.unit.cli.running import Orrery, runner
from tests.unit.home.making import ONE, make_home
from tests.unit.store.making import identity, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.bed import Bed, FakeHost

PLANET = world(1_000)


@pytest.fixture
def orrery(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Orrery:
    monkeypatch.chdir(tmp_path)
    return runner(capsysbinary, monkeypatch)


@pytest.fixture
def moon(tmp_path: Path) -> World:
    """The moon of a home that lies at `home`."""
    with make_home(tmp_path / "home", [ONE], kind="moon") as home:
        (moon,) = home.served_worlds()
    return moon


@pytest.fixture
def host(bed: Bed, moon: World, tmp_path: Path) -> Iterator[FakeHost]:
    """A host of that home."""
    host = bed.host("nas", planet=PLANET)
    with Home.open(tmp_path / "home", writer=True) as home:
        told = f'\n[deploy]\ntimeout = "10s"\n{host.toml()}'
        home.save_settings(home.settings_path.read_text() + told)
    yield host
    host.check_settled(PLANET)


def test_the_roots_that_a_node_knows(host: FakeHost, orrery: Orrery) -> None:
    root = format_address(PLANET.roots[0].identity.address)
    shown = orrery("peers", "--home", "home")
    assert shown.status == 0
    head, titles, line = shown.out.splitlines()
    assert (head, titles.split()[0]) == ("nas", "node")
    assert line.split()[:2] == [root, "planet"]
    (told,) = orrery("peers", "nas", "--roots", "--home", "home", "--json").json
    assert (told["host"], told["error"]) == ("nas", None)
    assert [(peer["node"], peer["role"]) for peer in told["peers"]] == [(root, "planet")]


def test_a_moon_is_orbited_and_left(host: FakeHost, moon: World, orrery: Orrery) -> None:
    host.order(hands={moon.id: moon})
    done = orrery("moon", "orbit", "home", "--home", "home")
    assert (done.status, done.out) == (0, "nas  holds revision 1 of moon 'home'\n"), done.err
    assert host.state().moons == {moon.id: moon.timestamp_ms}
    again = orrery("moon", "orbit", f"{moon.id:010x}", "nas", "--home", "home", "--json")
    assert again.json == {
        "moon": f"{moon.id:016x}",
        "hosts": [{"host": "nas", "good": True, "error": None, "timestamp_ms": moon.timestamp_ms}],
    }
    assert host.state().starts == 1
    assert orrery("moon", "leave", "home", "--home", "home").out == "nas  has left moon 'home'\n"
    assert host.state().moons == {}
    assert orrery("moon", "leave", "home", "--home", "home").out == (
        "nas  did not hold moon 'home', and does not ask for it any more\n"
    )


async def test_a_moon_whose_roots_are_silent_is_waited_for(
    host: FakeHost, moon: World, tmp_path: Path
) -> None:
    seeds = [root.identity.address for root in moon.roots]
    with Home.open(tmp_path / "home") as home:
        (waits,) = await ask_hosts(home, None, lambda api: orbit(api, moon.id, seeds, 0))
        assert (waits.answer, waits.error) == (None, "")
        assert host.state().moons == {moon.id: 0}
        host.order(hands={moon.id: moon})
        (held,) = await ask_hosts(home, None, lambda api: orbit(api, moon.id, seeds, 10))
        assert held.answer is not None
        assert held.answer.timestamp_ms == moon.timestamp_ms
        await ask_hosts(home, None, lambda api: leave(api, moon.id))


async def test_a_node_asks_no_root_that_it_is_itself(
    host: FakeHost, moon: World, tmp_path: Path
) -> None:
    with Home.open(tmp_path / "home") as home, pytest.raises(UsageError, match="the only root"):
        await ask_hosts(home, None, lambda api: orbit(api, moon.id, [host.address], 0))
    assert host.state().moons == {}


def test_a_moon_of_others_needs_a_seed(host: FakeHost, orrery: Orrery) -> None:
    other = identity(2).address
    result = orrery("moon", "orbit", "1234567890", "--home", "home")
    assert result.status == 2
    assert "name one of its roots with --seed" in result.err
    theirs = world(500, world_type=WorldType.MOON, world_id=0x1234567890)
    host.order(hands={theirs.id: theirs})
    done = orrery("moon", "orbit", "1234567890", "--seed", format_address(other), "--home", "home")
    assert done.out == "nas  holds revision 500 of moon 0000001234567890\n", done.err
    orrery("moon", "leave", "1234567890", "--home", "home")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("moon", "orbit", "nothing", "nas"), "there is no World 'nothing'"),
        (("moon", "orbit", "home", "no-such-host"), "no-such-host"),
        (("moon", "orbit", "home", "--seed", "xyz"), "--seed: "),
        (("moon", "leave", "0123456789abcdef"), "more than 10 digits"),
        (("peers", "no-such-host"), "no-such-host"),
    ],
)
def test_what_makes_no_sense(
    host: FakeHost, orrery: Orrery, arguments: tuple[str, ...], told: str
) -> None:
    result = orrery(*arguments, "--home", "home")
    assert (result.status, result.out) == (2, "")
    assert told in result.err
    assert len(result.err.splitlines()) == 1


def test_a_host_that_cannot_be_asked(host: FakeHost, orrery: Orrery) -> None:
    host.line.cut(down=True)
    for words in (("peers",), ("moon", "orbit", "home"), ("moon", "leave", "home")):
        result = orrery(*words, "--home", "home")
        assert result.status == 1
        assert "cannot be reached" in " ".join(result.out.split())
