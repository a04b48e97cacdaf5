from collections.abc import Callable
from pathlib import Path

import pytest

from orrery.errors import ConflictError, CustodyError, UsageError, VerifyError
from orrery.home import Home, create
from orrery.wire.identity import Identity
from orrery.wire.world import EARTH_ID
from tests.unit.home.making import ELSEWHERE, ONE, TWO, entropy, make_home, secret_file
from tests.unit.store.making import NOW_MS, identity, key, world
from tests.vectors.loading import load


def test_the_first_revision_is_signed_by_the_key_that_it_names(tmp_path: Path) -> None:
    with make_home(tmp_path / "home") as home:
        (world,) = home.served_worlds()
        assert world.is_self_signed
        assert world.timestamp_ms == NOW_MS
        assert world.roots[0].identity == identity(0)
        assert world.roots[0].endpoints == (ONE, TWO)
        assert world.id not in (0, EARTH_ID)
        assert home.is_writer
    assert not (tmp_path / "home" / "init.unfinished").exists()


def test_a_new_identity_is_made_where_there_is_none(tmp_path: Path) -> None:
    tries: list[int] = []
    with make_home(tmp_path / "home", identity_secret=None, progress=tries.append) as home:
        home.identity().validate()
        assert home.served_worlds()[0].roots[0].identity == home.identity()
    assert tries == list(range(1, len(tries) + 1))


def test_ids_of_planets_are_random(tmp_path: Path) -> None:
    ids = set()
    for number in range(3):
        with make_home(tmp_path / str(number)) as home:
            ids.add(home.served_worlds()[0].id)
    assert len(ids) == 3


@pytest.mark.parametrize("unusable", [0, EARTH_ID])
def test_a_random_id_is_one_that_can_be_used(tmp_path: Path, unusable: int) -> None:
    drawn = [unusable.to_bytes(8), (77).to_bytes(8)]

    def draw(size: int) -> bytes:
        return drawn.pop(0) if size == 8 else entropy()(size)

    with make_home(tmp_path / "home", entropy=draw) as home:
        assert home.served_worlds()[0].id == 77


def test_an_id_may_be_given(tmp_path: Path) -> None:
    with make_home(tmp_path / "home", world_id=0xABC) as home:
        assert home.store.world_ids() == (0xABC,)


def test_a_key_may_be_locked_from_the_beginning(tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return "correct horse"

    with make_home(tmp_path / "home", lock_key=True, passphrase=ask) as home:
        (found,) = home.keys.keys(home.store.world_ids()[0])
        assert found.locked
        assert found.path.name == "current.c25519.age"
    assert len(asked) == 1


def test_a_home_is_never_overwritten(tmp_path: Path) -> None:
    make_home(tmp_path / "home").close()
    before = {p: p.read_bytes() for p in (tmp_path / "home").rglob("*") if p.is_file()}
    with pytest.raises(ConflictError, match="has a home already"):
        make_home(tmp_path / "home", endpoints=[ELSEWHERE])
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize("name", ["orrery.toml", "orrery.db"])
def test_a_part_of_a_home_is_not_overwritten_either(tmp_path: Path, name: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / name).write_text("mine")
    with pytest.raises(ConflictError, match=f"{name} is there"):
        make_home(tmp_path / "home")
    assert (tmp_path / "home" / name).read_text() == "mine"


def test_a_home_that_somebody_is_making_is_a_conflict(tmp_path: Path) -> None:
    with make_home(tmp_path / "home"), pytest.raises(ConflictError, match="another orrery"):
        make_home(tmp_path / "home", wait_s=0)


def test_a_file_is_no_place_for_a_home(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(UsageError, match="is not a directory"):
        make_home(tmp_path / "home")


def test_a_root_needs_an_endpoint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs an endpoint"):
        make_home(tmp_path / "home", endpoints=[])
    assert not (tmp_path / "home").exists()


def test_the_planet_of_every_client_is_replaced_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "home"
    path.mkdir()
    earth = bytes.fromhex(load("worlds.json")["earth"]["serialized"])
    (path / "planet").write_bytes(earth)
    with make_home(path) as home:
        assert (path / "planet").read_bytes() == home.served_worlds()[0].encode()
        assert [copy.read_bytes() for copy in home.backups.iterdir()] == [earth]


def test_a_planet_that_somebody_made_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "home"
    path.mkdir()
    (path / "planet").write_bytes(world(5).encode())
    with pytest.raises(ConflictError, match="is the planet 8056c2e21c000001"):
        make_home(path)
    assert (path / "planet").read_bytes() == world(5).encode()
    assert [p.name for p in path.iterdir() if p.name != "lock"] == ["planet"]


def test_another_identity_in_its_place_is_a_conflict(tmp_path: Path) -> None:
    path = tmp_path / "home"
    path.mkdir()
    secret_file(tmp_path, 1).rename(path / "identity.secret")
    with pytest.raises(ConflictError, match="holds another identity"):
        make_home(path)
    assert (path / "identity.secret").read_text() == identity(1).to_string(secret=True)


def test_an_open_identity_is_refused(tmp_path: Path) -> None:
    secret = secret_file(tmp_path)
    secret.chmod(0o644)
    with pytest.raises(CustodyError, match=f"run: chmod 600 {secret}"):
        make_home(tmp_path / "home", identity_secret=secret)


def test_an_identity_without_its_proof_of_work_is_refused(tmp_path: Path) -> None:
    secret = secret_file(tmp_path)
    made_up = Identity(identity(0).address, key(1).public, key(1).private)
    secret.write_text(made_up.to_string(secret=True))
    with pytest.raises(VerifyError):
        create(tmp_path / "home", NOW_MS, [ONE], entropy=entropy(), identity_secret=secret)


class _StopError(Exception):
    pass


def _stop_when(called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_args: object, **_kwargs: object) -> None:
        raise _StopError

    monkeypatch.setattr(f"orrery.home.creating.{called}", stop)


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    def interrupt(called: str) -> Path:
        with monkeypatch.context() as patch:
            _stop_when(called, patch)
            with pytest.raises(_StopError):
                make_home(tmp_path / "home")
        return tmp_path / "home"

    return interrupt


def test_a_second_run_goes_on_with_the_same_id_and_key(
    interrupted: Callable[[str], Path],
) -> None:
    path = interrupted("publish")
    (folder,) = (path / "keys.d").iterdir()
    begun = (folder / "current.c25519").read_bytes()
    with make_home(path, entropy=entropy("other"), endpoints=[ELSEWHERE]) as home:
        assert home.store.world_ids() == (int(folder.name, 16),)
        assert home.served_worlds()[0].roots[0].endpoints == (ELSEWHERE,)
        assert (folder / "current.c25519").read_bytes() == begun


def test_a_second_run_may_ask_for_something_else_while_nothing_is_published(
    interrupted: Callable[[str], Path],
) -> None:
    path = interrupted("publish")
    with make_home(path, kind="moon") as home:
        assert home.store.world_ids() == (identity(0).address,)
        assert home.settings().worlds[0].kind == "moon"


def test_an_init_that_had_published_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Home, "recover", lambda _home: _raise())
        with pytest.raises(_StopError):
            make_home(tmp_path / "home")
    (tmp_path / "home" / "planet").unlink()
    with pytest.raises(ConflictError, match="not what was asked for now"):
        make_home(tmp_path / "home", endpoints=[ELSEWHERE])
    (tmp_path / "home" / "init.unfinished").write_bytes(b"")
    with make_home(tmp_path / "home") as home:
        assert (tmp_path / "home" / "planet").read_bytes() == home.served_worlds()[0].encode()
        assert len(home.store.revisions(home.store.world_ids()[0])) == 1
    assert not (tmp_path / "home" / "init.unfinished").exists()


def _raise() -> tuple[str, ...]:
    raise _StopError
