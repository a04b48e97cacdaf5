"""Backups that were taken during a rollout and are cut, changed or foreign, at every place."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pyrage
import pytest

from orrery.custody.sealing import seal_to, unseal
from orrery.errors import CustodyError, DecodeError, OrreryError
from orrery.home import Home
from orrery.home.archive import Archive, PackedFile, unpack
from orrery.home.backing_up import take
from orrery.home.restoring import check, restore
from orrery.home.settling import settle
from orrery.wire.world import World
from tests.crash.rolling import SetClock, fleet_of, go_on, make_rolling, rollout_of
from tests.crash.stepping import machine
from tests.unit.home.making import ONE, entropy, make_home, secret_file
from tests.unit.store.making import NOW_MS

LATER_MS = NOW_MS + 600_000
_SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Of a home in the middle of a rollout."""
    path = tmp_path_factory.mktemp("rolling") / "home"
    make_rolling(path)
    clock = SetClock()
    fleet = fleet_of(World.decode((path / "planet").read_bytes()))
    with machine(40):  # the server is killed
        go_on(path, clock, fleet)
    with Home.open(path, writer=True) as home:
        assert not rollout_of(home).state.is_over
        return take(home, clock.now_ms()).archive


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Of somebody else's home."""
    place = tmp_path_factory.mktemp("foreign")
    secret = secret_file(place, 1)
    made = {"entropy": entropy("foreign"), "identity_secret": secret}
    with make_home(place / "home", (ONE,), **made) as home:
        return take(home, NOW_MS).archive


@cache
def _keys() -> tuple[str, str]:
    private = pyrage.x25519.Identity.generate()
    return str(private), str(private.to_public())


def _no_passphrase(_name: str) -> str:
    raise AssertionError("a passphrase is asked for")


def _changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]


def _places(size: int, stride: int) -> list[int]:
    """Places all over, and each one near both ends."""
    ends = {*range(300), *range(size - 40, size)}
    return sorted(ends | set(range(0, size, stride)))


@pytest.mark.parametrize("stride", [997, pytest.param(41, marks=_SLOW)])
@pytest.mark.parametrize("how", ["cut", "changed"])
def test_what_is_sealed_and_damaged_anywhere_opens_nowhere(
    archive: Archive, tmp_path: Path, how: str, stride: int
) -> None:
    private, public = _keys()
    file = tmp_path / "keys"
    file.write_text(private)
    file.chmod(0o600)
    sealed = seal_to(archive.pack(), [public])
    assert unpack(unseal(sealed, "it", _no_passphrase, file), "it") == archive
    for at in _places(len(sealed), stride):
        spoilt = sealed[:at] if how == "cut" else _changed(sealed, at)
        with pytest.raises((DecodeError, CustodyError)) as caught:
            unseal(spoilt, "it", _no_passphrase, file)
        assert str(caught.value).startswith("it ")
    for spoilt in (sealed + b"\0", sealed + sealed):
        with pytest.raises(DecodeError, match="cut short or changed"):
            unseal(spoilt, "it", _no_passphrase, file)


@pytest.mark.parametrize("stride", [1499, pytest.param(61, marks=_SLOW)])
def test_what_is_inside_is_whole_or_refused(archive: Archive, stride: int) -> None:
    """Should somebody unseal, change and seal it again without care for the hashes."""
    packed = archive.pack()
    content = [(file.path, file.data) for file in archive.files]
    taken = 0
    for at in _places(len(packed), stride):
        try:
            read = unpack(_changed(packed, at), "it")
        except DecodeError:
            continue
        # Owners and times in headers, padding, and what the manifest tells of the time.
        assert [(file.path, file.data) for file in read.files] == content
        taken += 1
    assert taken
    end = packed.rstrip(b"\0")
    for size in range(0, len(end), stride * 3):
        with pytest.raises(DecodeError, match="it is no backup of Orrery: "):
            unpack(packed[:size], "it")


def _with(archive: Archive, *files: PackedFile) -> Archive:
    """The archive with other contents for some files, and hashes that fit."""
    given = {file.path: file for file in files}
    kept = (given.pop(file.path, file) for file in archive.files)
    return replace(archive, files=(*kept, *given.values()))


def _file(archive: Archive, path: str) -> PackedFile:
    return next(file for file in archive.files if file.path == path)


@pytest.mark.parametrize("parts", range(8))
def test_a_database_that_is_cut_is_refused(archive: Archive, parts: int) -> None:
    database = _file(archive, "orrery.db")
    cut = replace(database, data=database.data[: len(database.data) * parts // 8 + parts])
    with pytest.raises(DecodeError, match=r"it does not restore: .*(orrery\.db|its database)"):
        check(_with(archive, cut), "it", LATER_MS)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("identity.secret", "its root is"),
        ("orrery.db", "its database holds other revisions than it should"),
    ],
)
def test_the_heart_of_another_home_is_refused(
    archive: Archive, foreign: Archive, tmp_path: Path, path: str, told: str
) -> None:
    for home, other in ((archive, foreign), (foreign, archive)):
        with pytest.raises(DecodeError, match=f"it does not restore: {told}"):
            restore(_with(home, _file(other, path)), "it", tmp_path / "there", LATER_MS)
        assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("path", ["planet", "identity.public"])
def test_what_follows_from_the_heart_is_written_anew(
    archive: Archive, foreign: Archive, tmp_path: Path, path: str
) -> None:
    restored = restore(_with(archive, _file(foreign, path)), "it", tmp_path / "there", LATER_MS)
    assert [note for note in restored.notes if path in note]
    assert (tmp_path / "there" / path).read_bytes() == _file(archive, path).data


def test_the_world_of_another_home_settles_nothing(
    archive: Archive, foreign: Archive, tmp_path: Path
) -> None:
    restore(archive, "it", tmp_path / "there", LATER_MS)
    planet = World.decode(_file(foreign, "planet").data)
    with Home.open(tmp_path / "there", writer=True) as home:
        before = home.store.chain(archive.worlds[0].id).revisions
        with pytest.raises(OrreryError, match="is none of this home"):
            settle(home, LATER_MS, [planet], nothing_newer=True)
        assert home.store.chain(archive.worlds[0].id).revisions == before
