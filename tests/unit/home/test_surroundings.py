"""The planet of others where the nodes of a moon's home live."""

from pathlib import Path

import pytest

from orrery.errors import DecodeError
from orrery.home import Home
from orrery.home.atomic import copies_of
from orrery.worlds.earth import EARTH
from tests.unit.home.making import make_home
from tests.unit.store.making import world


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_home(tmp_path / "home", kind="moon").close()
    return tmp_path / "home"


def test_earth_is_what_clients_hold() -> None:
    EARTH.verify(EARTH.updates_must_be_signed_by)
    for root in EARTH.roots:
        root.identity.validate()


def test_without_a_file_it_is_the_official_planet(path: Path) -> None:
    with Home.open(path) as home:
        assert home.surroundings() == EARTH


def test_a_planet_file_says_which_it_is(path: Path) -> None:
    (path / "planet").write_bytes(world(1).encode())
    with Home.open(path) as home:
        assert home.surroundings() == world(1)


def test_a_home_with_a_planet_of_its_own_lives_on_that(tmp_path: Path) -> None:
    make_home(tmp_path / "home").close()
    with Home.open(tmp_path / "home") as home:
        assert home.surroundings() is None


def test_an_update_replaces_the_file_and_keeps_the_one_before(path: Path) -> None:
    (path / "planet").write_bytes(world(1).encode())
    with Home.open(path) as home:
        home.keep_surroundings(world(2))
        assert not home.is_writer
        assert home.surroundings() == world(2)
        (copy,) = copies_of("planet", home.backups)
    assert copy.read_bytes() == world(1).encode()
    # A writer that opens the home has nothing to mend about it.
    with Home.open(path, writer=True) as home:
        assert home.repairs == ()


@pytest.mark.parametrize("content", [b"", b"no World", EARTH.encode()[:-1]])
def test_a_file_that_is_no_planet_is_told(path: Path, content: bytes) -> None:
    (path / "planet").write_bytes(content)
    with Home.open(path) as home, pytest.raises(DecodeError, match="planet: "):
        home.surroundings()


def test_a_moon_in_its_place_is_told(path: Path) -> None:
    (moon,) = (path / "moons.d").iterdir()
    (path / "planet").write_bytes(moon.read_bytes())
    with Home.open(path) as home, pytest.raises(DecodeError, match="holds a moon"):
        home.surroundings()


def test_a_moon_is_made_beside_a_planet_of_others(tmp_path: Path) -> None:
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    (path / "planet").write_bytes(world(1).encode())
    with make_home(path, kind="moon") as home:
        assert home.surroundings() == world(1)
    assert (path / "planet").read_bytes() == world(1).encode()
