"""`orrery init`."""

import stat
from pathlib import Path

import pytest

from orrery.home import Home
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import EARTH_ID, World, WorldType
from orrery.worlds.earth import EARTH
from tests.unit.cli.running import Orrery, Result
from tests.unit.home.making import secret_file
from tests.unit.store.making import identity, world


@pytest.fixture
def init(orrery: Orrery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Orrery:
    """Makes a home in `home` with an identity that need not be searched for."""
    for name in ("ORRERY_HOME", "ORRERY_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    secret = secret_file(tmp_path)

    def run(*arguments: str, endpoint: str = "203.0.113.7:9993", home: str = "home") -> Result:
        return orrery(
            "init", "--home", home, "--endpoint", endpoint, "--identity", secret, *arguments
        )

    return run


def test_a_home_is_made_and_told(init: Orrery, tmp_path: Path) -> None:
    result = init("--endpoint", "[2001:db8::7]:9993")
    assert (result.status, result.err) == (0, "")
    home = tmp_path / "home"
    planet = World.decode((home / "planet").read_bytes())
    assert planet.type is WorldType.PLANET
    assert planet.is_self_signed
    (root,) = planet.roots
    assert root.identity == identity(0).public()
    assert set(root.endpoints) == {
        Endpoint.from_text("203.0.113.7/9993"),
        Endpoint.from_text("2001:db8::7/9993"),
    }
    told = dict(line.split("  ", 1) for line in result.out.splitlines()[1:])
    assert result.out.startswith(f"planet {planet.id:016x}\n")
    assert told["root"].strip() == f"{root.identity.address:010x}"
    assert told["next"].strip() == "orrery serve --home home"
    assert "home/keys.d" in told["keep a copy"]
    for name, mode in (("identity.secret", 0o600), ("keys.d", 0o700), ("planet", 0o644)):
        assert stat.S_IMODE((home / name).stat().st_mode) == mode
    assert all(len(line) <= 80 for line in result.out.splitlines())


def test_programs_are_told_the_same(init: Orrery, tmp_path: Path) -> None:
    told = init("--id", "0xAB", "--name", "mine", "--json").json
    planet = World.decode((tmp_path / "home" / "planet").read_bytes())
    assert told["home"] == str(tmp_path / "home")
    assert told["listen"] == ["0.0.0.0/9993", "::/9993"]
    assert told["root"] == f"{identity(0).address:010x}"
    assert told["world"]["type"] == "planet"
    assert told["world"]["id"] == "00000000000000ab"
    assert told["world"]["timestamp_ms"] == planet.timestamp_ms
    assert told["world"]["file"] == "home/planet"
    assert 'name = "mine"' in (tmp_path / "home" / "orrery.toml").read_text()


def test_the_next_command_can_be_copied(init: Orrery) -> None:
    assert "orrery serve --home 'my home'\n" in init(home="my home").out


def test_nodes_orbit_a_moon_by_its_id_or_where_that_is_too_long_by_its_file(
    init: Orrery, tmp_path: Path
) -> None:
    address = f"{identity(0).address:010x}"
    assert f"zerotier-cli orbit {address} {address}\n" in init("--moon", home="one").out
    assert (tmp_path / "one" / "moons.d" / f"000000{address}.moon").exists()
    told = init("--moon", "--id", "123456789abcdef0", home="two").out
    assert "orbit" not in told
    assert "two/moons.d/123456789abcdef0.moon, in moons.d of their home" in told


def test_a_home_is_not_made_twice(init: Orrery, tmp_path: Path) -> None:
    assert init().status == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = init()
    assert (again.status, again.out) == (5, "")
    assert "has a home already" in again.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "written", ["zz", "1_0", "-5", "+5", " ", "0", "0" * 17, "1234567890abcdef0"]
)
def test_an_id_that_is_none_is_refused_before_anything_is_made(
    init: Orrery, tmp_path: Path, written: str
) -> None:
    result = init(f"--id={written}")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("orrery: --id ")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("1.2.3.4", "has no port"),
        ("1.2.3.4:0", "is not a port"),
        ("1.2.3.4:65536", "is not a port"),
        ("0.0.0.0:9993", "is no place where a root can be found"),
        ("224.0.0.1:9993", "is no place where a root can be found"),
        ("300.1.1.1:9993", "is not an IP address"),
        ("fe80::1%eth0/9993", "names an interface of this machine"),
        ("", "no IP address"),
    ],
)
def test_an_endpoint_that_is_none_is_refused_before_anything_is_made(
    init: Orrery, tmp_path: Path, endpoint: str, said: str
) -> None:
    result = init(endpoint=endpoint)
    assert (result.status, result.out) == (2, "")
    assert said in result.err
    assert not (tmp_path / "home").exists()


def test_without_an_endpoint_nothing_is_made(orrery: Orrery, tmp_path: Path) -> None:
    result = orrery("init", "--home", "home")
    assert (result.status, "--endpoint" in result.err) == (2, True)
    assert not (tmp_path / "home").exists()


def test_an_identity_that_others_can_read_is_not_used(orrery: Orrery, tmp_path: Path) -> None:
    secret = secret_file(tmp_path)
    secret.chmod(0o644)
    result = orrery(
        "init", "--home", "home", "--endpoint", "1.2.3.4:1", "--identity", secret, "--json"
    )
    assert (result.status, result.error["code"]) == (4, "key")
    assert f"run: chmod 600 {secret}" in result.error["message"]
    assert identity(0).to_string(secret=True)[-128:] not in result.err


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("127.0.0.1:9993", "unusable-address"),
        ("10.1.2.3:9993", "private-address"),
        ("84.17.53.155:9993", None),
        ("203.0.113.7:9993", None),
    ],
)
def test_an_endpoint_that_few_nodes_reach_is_warned_of(
    init: Orrery, endpoint: str, code: str | None
) -> None:
    result = init(endpoint=endpoint)
    assert result.status == 0
    assert result.err.count("warning: ") == (code is not None)
    again = init(endpoint=endpoint, home="again")
    assert ("warning: " in again.err) == (code is not None)
    told = init("--json", endpoint=endpoint, home="json").json["warnings"]
    assert [warning["code"] for warning in told] == ([] if code is None else [code])


def test_beside_a_public_address_a_private_one_is_meant(init: Orrery) -> None:
    assert init("--endpoint", "10.1.2.3:9993", endpoint="84.17.53.155:9993").err == ""


def test_the_server_receives_where_nodes_ask(init: Orrery, tmp_path: Path) -> None:
    init("--endpoint", "[2001:db8::7]:443", endpoint="203.0.113.7:29993")
    with Home.open(tmp_path / "home") as home:
        told = [str(each) for each in home.settings().serve.listen]
    assert told == ["0.0.0.0/29993", "::/29993", "0.0.0.0/443", "::/443"]
    behind_a_router = init("--listen", "192.168.1.5:9993", endpoint="203.0.113.7:29993", home="two")
    assert behind_a_router.status == 0
    with Home.open(tmp_path / "two") as home:
        assert [str(each) for each in home.settings().serve.listen] == ["192.168.1.5/9993"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", ""),
        ("--name", "two\nlines"),
        ("--root-name", " blank"),
        ("--name", "x" * 65),
        ("--listen", "0.0.0.0"),
        ("--identity", "nowhere.secret"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    init: Orrery, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    result = init(*arguments)
    assert result.status in (2, 3, 4)
    assert "orrery.toml" not in result.err  # there is none
    assert not (tmp_path / "home").exists()


def test_an_endpoint_said_twice_is_listed_once(init: Orrery, tmp_path: Path) -> None:
    assert init("--endpoint", "203.0.113.7/9993").status == 0
    planet = World.decode((tmp_path / "home" / "planet").read_bytes())
    assert len(planet.roots[0].endpoints) == 1


def test_a_lock_without_a_passphrase_makes_nothing(
    init: Orrery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyrage")
    assert "give --passphrase-file" in init("--lock").err
    monkeypatch.setenv("ORRERY_PASSPHRASE", "")
    result = init("--lock")
    assert (result.status, "an empty passphrase locks nothing" in result.err) == (4, True)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["lock"]
    monkeypatch.setenv("ORRERY_PASSPHRASE", "correct horse")
    assert init("--lock").status == 0
    assert list((tmp_path / "home").glob("keys.d/*/current.c25519.age"))


def test_a_planet_of_mkworld_is_not_taken_for_the_official_one(
    init: Orrery, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    mine = world(5, world_id=EARTH_ID).encode()
    (tmp_path / "home" / "planet").write_bytes(mine)
    result = init()
    assert (result.status, "is the planet 0000000008eac90a" in result.err) == (5, True)
    assert (tmp_path / "home" / "planet").read_bytes() == mine


def test_the_home_of_a_zerotier_one_becomes_a_home(init: Orrery, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    secret = identity(0).to_string(secret=True)
    (home / "identity.secret").write_text(secret)
    (home / "identity.secret").chmod(0o600)
    (home / "planet").write_bytes(EARTH.encode())
    assert init().status == 0
    assert (home / "identity.secret").read_text() == secret
    (kept,) = (home / "backups").iterdir()
    assert kept.read_bytes() == EARTH.encode()
    with Home.open(home) as opened:
        (served,) = opened.served_worlds()
        assert served.roots[0].identity == identity(0).public()
