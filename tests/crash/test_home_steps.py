"""A home, with the machine stopping before every single step of what changes it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orrery.errors import OrreryError, UnreadableError
from orrery.home import Home, SettingsEditor, publish, rotate_key
from orrery.store import Store
from orrery.wire.world import World, WorldType
from tests.crash.stepping import disk_full, machine
from tests.unit.home.making import ELSEWHERE, ONE, TWO, entropy, make_home, secret_file, want
from tests.unit.store.making import NOW_MS, identity

LATER_MS = NOW_MS + 1000


def check_whole(path: Path) -> list[int]:
    """Open a home as its next writer does, and check all that must hold.

    Returns:
        The timestamps of its revisions.
    """
    with Home.open(path, writer=True, clock=lambda: LATER_MS) as home:
        assert not list(path.rglob(".orrery-*"))
        assert not (path / "init.unfinished").exists()
        home.settings()
        home.identity()
        timestamps = []
        for world in home.served_worlds():
            chain = home.store.chain(world.id)  # checks every link
            timestamps += [each.timestamp_ms for each in chain]
            assert timestamps == sorted(set(timestamps))
            assert World.decode(home.world_path(world).read_bytes()) == world
            assert home.world_path(world).read_bytes() == world.encode()
            home.keys.signer_for(world.id, world.updates_must_be_signed_by)
            given_out = home.store.allocate_timestamp(world.id, 0)
            assert given_out > timestamps[-1]
    with Home.open(path, writer=True, clock=lambda: LATER_MS) as home:
        assert home.repairs == ()
    return timestamps


def _go_on(path: Path) -> None:
    """What interrupted, the next command succeeds."""
    with Home.open(path, writer=True, clock=lambda: LATER_MS) as home:
        known = len(home.store.revisions(home.store.world_ids()[0]))
        want(home, ONE, ELSEWHERE.__class__(ELSEWHERE.ip, 1 + known))
        publish(home, "home", LATER_MS)
        rotate = home.keys.current_public(home.store.world_ids()[0])
        newest = home.served_worlds()[0]
        assert newest.updates_must_be_signed_by == rotate
    check_whole(path)


def _move(home: Home) -> None:
    want(home, ONE, ELSEWHERE)
    publish(home, "home", LATER_MS)


def _rotate(home: Home) -> None:
    rotate_key(home, "home", LATER_MS, entropy("rotated"))
    publish(home, "home", LATER_MS)


def _rotate_again(home: Home) -> None:
    rotate_key(home, "home", LATER_MS, entropy("second"))
    publish(home, "home", LATER_MS)
    rotate_key(home, "home", LATER_MS, entropy("third"))
    publish(home, "home", LATER_MS)


def _add_root(home: Home) -> None:
    editor = SettingsEditor(home.settings_path.read_text())
    editor.add_root("home", "root-2", identity(1), [ELSEWHERE])
    home.save_settings(editor.text())
    publish(home, "home", LATER_MS)


_SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("change", "kind", "loses"),
    [
        (_move, "planet", False),
        (_move, "planet", True),
        (_move, "moon", True),
        (_rotate, "planet", True),
        pytest.param(_rotate, "planet", False, marks=_SLOW),
        pytest.param(_rotate, "moon", True, marks=_SLOW),
        pytest.param(_rotate_again, "planet", False, marks=_SLOW),
        pytest.param(_rotate_again, "planet", True, marks=_SLOW),
        pytest.param(_add_root, "planet", False, marks=_SLOW),
        pytest.param(_add_root, "planet", True, marks=_SLOW),
    ],
)
def test_a_change_stopped_anywhere_leaves_a_home_that_goes_on(
    tmp_path: Path, change: Callable[[Home], None], kind: str, loses: bool
) -> None:
    make_home(tmp_path / "template", kind=kind).close()
    stop, ended = 0, False
    while not ended:
        path = tmp_path / str(stop)
        shutil.copytree(tmp_path / "template", path)
        with machine(stop, loses=loses) as running:  # noqa: SIM117
            with Home.open(path, writer=True, clock=lambda: LATER_MS) as home:
                change(home)
        ended = not running.stopped
        check_whole(path)
        _go_on(path)
        shutil.rmtree(path)
        stop += 1
    assert running.steps.count("commit") >= 3
    assert stop > 25


@pytest.mark.parametrize(
    ("kind", "identity_secret", "loses"),
    [
        ("planet", False, True),
        ("moon", True, True),
        pytest.param("planet", True, False, marks=_SLOW),
        pytest.param("moon", False, False, marks=_SLOW),
    ],
)
def test_an_init_stopped_anywhere_is_finished_by_another(
    tmp_path: Path, kind: str, identity_secret: bool, loses: bool
) -> None:
    def init(path: Path, seed: str) -> None:
        # With one seed, the search for an identity is the same short one each time.
        given = secret_file(path.parent) if identity_secret else None
        make_home(path, entropy=entropy(seed), kind=kind, identity_secret=given).close()

    stop, ended = 0, False
    while not ended:
        path = tmp_path / str(stop) / "home"
        path.parent.mkdir()
        with machine(stop, loses=loses) as running:
            init(path, "init")
        ended = not running.stopped
        if not _is_finished(path):
            with pytest.raises(OrreryError, match="`orrery init`"):
                Home.open(path)
            init(path, "again")
        check_whole(path)
        _go_on(path)
        stop += 1
    assert running.steps.count("commit") >= 3
    assert stop > 40


def _is_finished(path: Path) -> bool:
    """Whether an init went so far that what it made is a home."""
    if not (path / "orrery.db").exists():
        return False
    with Store.open(path / "orrery.db") as store:
        return store.world_ids() != ()


def test_recovery_stopped_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    template = tmp_path / "template"
    with make_home(template) as home:
        world_id = home.store.world_ids()[0]
    folder = template / "keys.d" / f"{world_id:016x}"
    (template / "planet").write_bytes(b"foreign")
    (template / ".orrery-planet-0123456789ab.tmp").write_bytes(b"half")
    (folder / "current.c25519").rename(folder / "next.c25519")
    (template / "init.unfinished").write_bytes(b"")
    stop, ended = 0, False
    while not ended:
        path = tmp_path / str(stop)
        shutil.copytree(template, path)
        with machine(stop, loses=True) as running:
            Home.open(path, writer=True).close()
        ended = not running.stopped
        check_whole(path)
        assert [copy.read_bytes() for copy in (path / "backups").iterdir()] == [b"foreign"]
        stop += 1
    assert stop > 10


@pytest.mark.parametrize("change", [_move, _rotate])
def test_a_disk_that_is_full_at_any_step_leaves_a_home_that_goes_on(
    tmp_path: Path, change: Callable[[Home], None]
) -> None:
    make_home(tmp_path / "template").close()
    step, ended = 0, False
    while not ended:
        path = tmp_path / str(step)
        shutil.copytree(tmp_path / "template", path)
        before = (path / "planet").read_bytes()
        with Home.open(path, writer=True, clock=lambda: LATER_MS) as home:
            failed = _fails_with_a_sentence(home, change, step)
            newest = home.served_worlds()[0]
        assert (path / "planet").read_bytes() in (before, newest.encode())
        check_whole(path)
        _go_on(path)
        ended = not failed
        step += 1
    assert step > 20


def _fails_with_a_sentence(home: Home, change: Callable[[Home], None], step: int) -> bool:
    with machine(step, fault=disk_full) as running:
        try:
            change(home)
        except UnreadableError as error:
            assert "the disk is full" in str(error)  # noqa: PT017 - the last step does not fail
            return True
        except OSError:
            # Before a commit, where only the test can fail: SQLite has its own writing.
            assert len(running.steps) == step
            return True
    return False


def test_types_of_worlds_are_those_asked_for(tmp_path: Path) -> None:
    with make_home(tmp_path / "a") as planet, make_home(tmp_path / "b", kind="moon") as moon:
        assert planet.served_worlds()[0].type is WorldType.PLANET
        assert moon.served_worlds()[0].type is WorldType.MOON
        assert TWO in moon.served_worlds()[0].roots[0].endpoints
