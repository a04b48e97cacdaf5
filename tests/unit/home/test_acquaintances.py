"""Those whom a zerotier-one knew: what is taken over of its `peers.d`, and what is not."""

import os
from pathlib import Path

import pytest

from orrery.home import acquaintances as known
from orrery.home.acquaintances import MOST_AGE_MS, MOST_PLACES, acquaintances, keep_acquaintances
from orrery.home.backing_up import take
from orrery.wire.cached_peer import CachedPeer
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import Version
from tests.unit.home.folders import docker_planet, put, zipped, ztnet_home
from tests.unit.home.making import make_home
from tests.unit.home.test_adopting import take_over
from tests.unit.store.making import NOW_MS, identity

PLACE = Endpoint.from_text("198.51.100.4/29994")


def peer(number: int, *places: Endpoint) -> CachedPeer:
    """Somebody who was there."""
    return CachedPeer(identity(number).public(), 13, Version(1, 14, 1), places or (PLACE,))


def write(folder: Path, met: CachedPeer, age_ms: int = 0) -> Path:
    """The file of somebody in a zerotier-one's home."""
    path = put(folder / "peers.d" / f"{met.identity.address:010x}.peer", met.encode())
    os.utime(path, ((NOW_MS - age_ms) / 1000,) * 2)
    return path


def told(home: Path, now_ms: int = NOW_MS) -> list[CachedPeer]:
    """Everybody."""
    return list(acquaintances(home, now_ms))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The home of a zerotier-one that knew two."""
    write(tmp_path / "one", peer(1), 5_000)
    write(tmp_path / "one", peer(2), 4_000)
    return tmp_path / "one"


@pytest.fixture
def taken(tmp_path: Path, other: Path) -> Path:
    """A home that has taken its place."""
    with make_home(tmp_path / "home") as home:
        assert keep_acquaintances(home, other, NOW_MS) == 2
    return tmp_path / "home"


def test_they_are_known_heard_last_first(taken: Path) -> None:
    assert told(taken) == [peer(2), peer(1)]


def test_without_the_other_home_what_was_taken_is_known(taken: Path, other: Path) -> None:
    for path in sorted(other.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert told(taken) == [peer(2), peer(1)]


def test_what_a_zerotier_one_writes_as_it_is_stopped_is_known_too(taken: Path, other: Path) -> None:
    elsewhere = Endpoint.from_text("[2001:db8::4]:9993")
    write(other, peer(1, elsewhere))
    write(other, peer(3), 1_000)
    assert told(taken) == [peer(1, elsewhere), peer(3), peer(2)]


def test_a_home_that_took_nobodys_place_knows_nobody(tmp_path: Path) -> None:
    make_home(tmp_path / "home").close()
    assert told(tmp_path / "home") == []


def test_old_ones_are_forgotten(taken: Path, other: Path) -> None:
    write(other, peer(3), MOST_AGE_MS)
    assert peer(3) not in told(taken)
    os.utime(taken / "peers.d" / "known", (NOW_MS / 1000,) * 2)
    assert told(taken, NOW_MS + MOST_AGE_MS) == []


def test_hostile_files_do_nothing(taken: Path, other: Path) -> None:
    folder = other / "peers.d"
    good = peer(3).encode()
    address = f"{identity(3).address:010x}.peer"
    (folder / address).write_bytes(good[:40])
    (folder / f"{identity(4).address:010x}.peer").write_bytes(good)  # somebody else's name
    (folder / f"{identity(5).address:010x}.peer").symlink_to("/etc/passwd")
    os.mkfifo(folder / f"{identity(6).address:010x}.peer")
    (folder / f"{identity(7).address:010x}.peer").mkdir()
    (folder / f"{identity(8).address:010x}.peer").write_bytes(bytes(1 << 20))
    (folder / "x").write_bytes(good)
    genuine = identity(9)
    forged = Identity(genuine.address, identity(10).public_key)
    write(other, CachedPeer(forged, 13, Version(1, 14, 1), (PLACE,)))
    assert told(taken) == [peer(2), peer(1)]


@pytest.mark.parametrize(
    "text", ["127.0.0.1/53", "224.0.0.1/9993", "[::1]:9993", "[fe80::1]:9993", "169.254.1.1/9993"]
)
def test_nobody_is_greeted_where_nobody_else_can_be(taken: Path, other: Path, text: str) -> None:
    nowhere = Endpoint.parse_as_node(text.replace("[", "").replace("]:", "/"))
    assert nowhere.ip
    write(other, peer(3, nowhere))
    write(other, peer(4, nowhere, PLACE, Endpoint(PLACE.ip, 0), PLACE))
    assert told(taken)[:2] != []
    assert {met.identity.address: met.endpoints for met in told(taken)} == {
        identity(number).address: (PLACE,) for number in (1, 2, 4)
    }


def test_nobody_has_too_many_places(taken: Path, other: Path) -> None:
    places = [Endpoint(PLACE.ip, port) for port in range(1, 50)]
    write(other, peer(3, *places))
    assert peer(3, *places[:MOST_PLACES]) in told(taken)


def test_there_are_not_too_many(taken: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST_PEERS", 2)
    write(other, peer(3))
    assert told(taken) == [peer(3), peer(2)]
    monkeypatch.setattr(known, "MOST_ENTRIES", 0)
    assert told(taken) == [peer(2), peer(1)]


@pytest.mark.parametrize("content", [b"", b"/nowhere", b"\0", b"x" * 9000, b"\xff\xfe"])
def test_a_note_that_leads_nowhere(taken: Path, content: bytes) -> None:
    (taken / "peers.d" / "from").write_bytes(content)
    assert told(taken) == [peer(2), peer(1)]


def test_what_was_taken_and_is_damaged_ends_where_it_is(taken: Path, other: Path) -> None:
    (taken / "peers.d" / "from").unlink()
    file = taken / "peers.d" / "known"
    file.write_bytes(file.read_bytes()[:-1])
    assert told(taken) == [peer(2)]


# At `orrery adopt`


def test_who_takes_the_place_of_a_root_knows_whom_it_knew(tmp_path: Path) -> None:
    folder = docker_planet(tmp_path / "docker")
    write(folder / "one", peer(1))
    with take_over([folder], tmp_path / "home") as home:
        assert told(home.path) == [peer(1)]
        assert home.store.nodes() == ()  # nobody counts who was not heard
        assert home.store.count_nodes() == 0
        assert take(home, NOW_MS).left_out == ()
    place = tmp_path / "home" / "peers.d"
    assert place.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}


def test_who_joins_beside_knows_nobody(tmp_path: Path) -> None:
    folder = ztnet_home(tmp_path / "ztnet")
    write(folder, peer(1))
    joined = Endpoint.from_text("192.0.2.1/9993")
    with take_over([folder], tmp_path / "home", beside=True, join=[joined], given=None) as home:
        assert not (home.path / "peers.d").exists()
        assert told(home.path) == []


def test_of_a_zip_nobody_is_known(tmp_path: Path) -> None:
    folder = docker_planet(tmp_path / "docker")
    write(folder / "one", peer(1))
    with take_over([zipped(folder, tmp_path / "docker.zip")], tmp_path / "home") as home:
        assert told(home.path) == []
