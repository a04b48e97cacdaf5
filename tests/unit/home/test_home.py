import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orrery.errors import (
    ConflictError,
    CustodyError,
    DecodeError,
    PlanError,
    UnreadableError,
    UsageError,
)
from orrery.home import Home, create, publish
from orrery.home.atomic import copies_of
from orrery.wire.world import World
from tests.unit.home.making import ELSEWHERE, ONE, TWO, make_home, secret_file, want
from tests.unit.store.making import NOW_MS, identity, key, world


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_home(tmp_path / "home").close()
    return tmp_path / "home"


def _modes(path: Path) -> dict[str, int]:
    return {
        str(found.relative_to(path)): stat.S_IMODE(found.stat().st_mode)
        for found in path.rglob("*")
    }


def test_a_home_has_the_files_that_it_should(path: Path) -> None:
    with Home.open(path) as home:
        (world,) = home.served_worlds()
        modes = _modes(path)
    folder = f"keys.d/{world.id:016x}"
    assert modes == {
        "identity.public": 0o644,
        "identity.secret": 0o600,
        "keys.d": 0o700,
        folder: 0o700,
        f"{folder}/current.c25519": 0o600,
        "lock": 0o600,
        "orrery.db": 0o600,
        "orrery.db-shm": 0o600,
        "orrery.db-wal": 0o600,
        "orrery.toml": 0o644,
        "planet": 0o644,
    }
    assert (path / "planet").read_bytes() == world.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_reader_changes_nothing_and_may_not(path: Path) -> None:
    (path / "planet").write_bytes(b"foreign")
    with Home.open(path) as home:
        assert home.repairs == ()
        assert not home.is_writer
        for change in (
            lambda: home.write_world(world(1)),
            lambda: home.save_settings(home.settings_path.read_text()),
            lambda: publish(home, "home", NOW_MS),
            home.recover,
        ):
            with pytest.raises(UsageError, match="open for reading only"):
                change()
        assert home.identity() == identity(0)
    assert (path / "planet").read_bytes() == b"foreign"


def test_a_closed_home_says_so(path: Path) -> None:
    home = Home.open(path)
    home.close()
    home.close()
    with pytest.raises(UsageError, match="is closed"):
        home.store.world_ids()


def test_only_one_writes_at_a_time(path: Path) -> None:
    with Home.open(path, writer=True) as first:
        with pytest.raises(ConflictError, match="another orrery is changing"):
            Home.open(path, writer=True, wait_s=0)
        with Home.open(path) as reader:
            assert reader.store.world_ids()
        first.release()
        with Home.open(path, writer=True, wait_s=0) as second:
            with pytest.raises(ConflictError):
                first.acquire(wait_s=0)
            assert second.is_writer
        first.acquire(wait_s=0)
        first.acquire(wait_s=0)


def test_the_lock_holds_between_processes_and_ends_with_them(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from orrery.home import Home\n"
        "home = Home.open(Path(sys.argv[1]), writer=True)\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(ConflictError):
            Home.open(path, writer=True, wait_s=0)
        process.kill()
    Home.open(path, writer=True, wait_s=0).close()


@pytest.mark.parametrize("content", [None, b"", b"torn", world(NOW_MS + 9, signer=key(5)).encode()])
def test_a_foreign_planet_file_is_replaced_and_kept(path: Path, content: bytes | None) -> None:
    planet = path / "planet"
    published = planet.read_bytes()
    planet.unlink() if content is None else planet.write_bytes(content)
    with Home.open(path, writer=True) as home:
        (sentence,) = home.repairs
        assert str(planet) in sentence
        copies = copies_of("planet", home.backups)
    assert planet.read_bytes() == published
    assert [copy.read_bytes() for copy in copies] == ([] if content is None else [content])
    with Home.open(path, writer=True) as home:
        assert home.repairs == ()


def test_the_mode_of_a_replaced_planet_is_kept(path: Path) -> None:
    (path / "planet").write_bytes(b"foreign")
    (path / "planet").chmod(0o640)
    Home.open(path, writer=True).close()
    assert stat.S_IMODE((path / "planet").stat().st_mode) == 0o640


def test_leftovers_of_interrupted_writes_go(path: Path) -> None:
    places = [path, path / "keys.d", next((path / "keys.d").iterdir())]
    for place in places:
        (place / ".orrery-file-0123456789ab.tmp").write_bytes(b"half")
    (path / "moons.d").mkdir()
    (path / "moons.d" / "0000000000000001.moon").write_bytes(b"somebody's")
    with Home.open(path, writer=True) as home:
        assert len(home.repairs) == len(places)
    assert not list(path.rglob(".orrery-*"))
    assert (path / "moons.d" / "0000000000000001.moon").read_bytes() == b"somebody's"


def test_what_is_no_home_is_refused(tmp_path: Path, path: Path) -> None:
    for empty in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UnreadableError, match="make one with `orrery init`"):
            Home.open(empty, writer=True)
    assert not (tmp_path / "lock").exists()
    for name in ("orrery.toml", "orrery.db"):
        (path / name).rename(path / "away")
        with pytest.raises(UnreadableError, match=f"{name} is missing; put it back"):
            Home.open(path)
        assert not (path / name).exists()
        (path / "away").rename(path / name)


def test_broken_settings_do_not_keep_a_home_from_opening(path: Path) -> None:
    (path / "orrery.toml").write_text("[[world")
    (path / "planet").unlink()
    with Home.open(path, writer=True) as home:
        assert len(home.repairs) == 1
        assert (path / "planet").exists()


def test_settings_with_mistakes_are_not_saved(path: Path) -> None:
    before = (path / "orrery.toml").read_bytes()
    with Home.open(path, writer=True) as home, pytest.raises(DecodeError) as refused:
        home.save_settings("nonsense")
    assert "orrery.toml, line 1" in str(refused.value)
    assert (path / "orrery.toml").read_bytes() == before


def test_a_half_made_home_says_what_to_do(tmp_path: Path, path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    (half / "init.unfinished").write_bytes(b"")
    with pytest.raises(PlanError, match="run it again to finish"):
        Home.open(half)
    (path / "init.unfinished").write_bytes(b"")
    with Home.open(path):
        assert (path / "init.unfinished").exists()
    with Home.open(path, writer=True) as home:
        assert home.repairs == ("finished an interrupted init",)
    assert not (path / "init.unfinished").exists()


def test_open_key_directories_keep_a_writer_out(path: Path) -> None:
    (path / "keys.d").chmod(0o755)
    with pytest.raises(CustodyError, match=f"run: chmod 700 {path / 'keys.d'}"):
        Home.open(path, writer=True)
    Home.open(path).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes in what is another user's")
def test_root_leaves_everything_to_the_owner_of_the_home(tmp_path: Path) -> None:
    path = tmp_path / "home"
    path.mkdir()
    os.chown(path, 1234, 2345)
    with make_home(path) as home:
        want(home, ONE, ELSEWHERE)
        publish(home, "home", NOW_MS + 1)
        owners = {(p.stat().st_uid, p.stat().st_gid) for p in (path, *path.rglob("*"))}
    assert owners == {(1234, 2345)}
    assert any(path.joinpath("backups").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_the_home_of_another_user_is_refused_with_a_sentence(mode: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "home"
        make_home(path).close()
        path.chmod(mode)
        os.seteuid(65_534)
        try:
            for writer in (True, False):
                with pytest.raises(UnreadableError, match=r"as the owner|may write there"):
                    Home.open(path, writer=writer)
            with pytest.raises((UnreadableError, ConflictError)):
                create(path, NOW_MS, [ONE], entropy=os.urandom)
        finally:
            os.seteuid(0)


def test_moons_have_their_own_files(tmp_path: Path) -> None:
    with make_home(tmp_path / "home", kind="moon") as home:
        (moon,) = home.served_worlds()
        assert moon.id == identity(0).address
        path = tmp_path / "home" / "moons.d" / f"{moon.id:016x}.moon"
        assert path.read_bytes() == moon.encode()
        assert not (tmp_path / "home" / "planet").exists()
        want(home, ONE, TWO, ELSEWHERE)
        newer = publish(home, "home", NOW_MS + 5).world
        assert World.decode(path.read_bytes()) == newer
        copies = copies_of(path.name, home.backups)
        assert [copy.read_bytes() for copy in copies] == [moon.encode()]


def test_an_identity_of_zerotier_one_is_used_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "zerotier-one"
    path.mkdir()
    secret = secret_file(tmp_path, 3).rename(path / "identity.secret")
    with make_home(path, identity_secret=None) as home:
        assert home.served_worlds()[0].roots[0].identity == identity(3)
    assert secret.read_text() == identity(3).to_string(secret=True)


def test_of_two_planets_in_a_store_the_one_in_the_settings_is_served(path: Path) -> None:
    with Home.open(path, writer=True) as home:
        (named,) = home.served_worlds()
        home.store.add_revision(world(NOW_MS, world_id=0xABC), NOW_MS)
        assert home.served_worlds() == (named,)
        home.settings_path.write_text("nonsense")
        assert [each.id for each in home.served_worlds()] == [0xABC]
