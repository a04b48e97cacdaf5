"""Taking a home, packing it, restoring it, and what is refused."""

import io
import json
import os
import stat
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from orrery.custody import KeyStore
from orrery.errors import (
    ConflictError,
    CustodyError,
    DecodeError,
    UnreadableError,
    UsageError,
)
from orrery.home import Home, publish, rotate_key
from orrery.home.archive import Archive, PackedFile, unpack
from orrery.home.backing_up import file_name, take
from orrery.home.restoring import check, restore
from orrery.home.unsettled import MARK_NAME, read_mark
from orrery.store.copying import check_whole, snapshot
from tests.unit.home.making import ELSEWHERE, ONE, entropy, make_home, want
from tests.unit.store.making import NOW_MS, sighting

LATER_MS = NOW_MS + 60_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = make_home(tmp_path / "home", entropy=entropy("backup"))
    want(made, ONE, ELSEWHERE)
    rotate_key(made, "home", NOW_MS, entropy("second"))
    publish(made, "home", NOW_MS + 1)
    return made


@pytest.fixture
def archive(home: Home) -> Archive:
    return take(home, LATER_MS).archive


def repacked(archive: Archive, change: dict[str, bytes | None]) -> Archive:
    """The same archive with other contents, or without some files, and hashes that fit."""
    return replace(
        archive,
        files=tuple(
            replace(file, data=data)
            for file in archive.files
            if (data := change.get(file.path, file.data)) is not None
        ),
    )


def tree(path: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with mode and bytes, but for the database and what is not backed up."""
    return {
        file.relative_to(path).as_posix(): (stat.S_IMODE(file.stat().st_mode), file.read_bytes())
        for file in path.rglob("*")
        if file.is_file() and not file.name.startswith(("orrery.db", "lock", "serve", MARK_NAME))
    }


def test_everything_comes_back_with_its_mode(home: Home, archive: Archive, tmp_path: Path) -> None:
    chain = home.store.chain(home.store.world_ids()[0])
    home.close()
    data = archive.pack()
    assert unpack(data, "it") == archive
    there = tmp_path / "elsewhere" / "home"
    restored = restore(unpack(data, "it"), "it", there, LATER_MS + 5)
    assert tree(there) == tree(home.path)
    assert {"keys.d", "backups", "moons.d"} & {each.name for each in there.iterdir()} == {
        "keys.d",
        "backups",
    }
    for folder in (there, there / "keys.d", *(there / "keys.d").glob("*/"), there / "backups"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("orrery.db", "identity.secret", MARK_NAME):
        assert stat.S_IMODE((there / name).stat().st_mode) == 0o600
    with Home.open(there, writer=True) as opened:
        assert opened.repairs == ()
        assert opened.store.chain(chain.world_id).revisions == chain.revisions
        assert opened.identity().address == archive.root
    (world,) = restored.worlds
    assert (world.newest_ms, world.revisions, world.has_key) == (NOW_MS + 1, 2, True)
    mark = read_mark(there)
    assert mark is not None
    assert (mark.made_at_ms, mark.restored_at_ms) == (LATER_MS, LATER_MS + 5)


def test_a_check_restores_and_leaves_nothing(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    assert check(archive, "it", LATER_MS).worlds[0].revisions == 2
    assert list(place.iterdir()) == []
    with pytest.raises(DecodeError, match=r"it does not restore: keys\.d"):
        check(_with_wrong_key(archive), "it", LATER_MS)
    assert list(place.iterdir()) == []


def _with_wrong_key(archive: Archive) -> Archive:
    (name,) = (each.path for each in archive.files if each.path.endswith("/current.c25519"))
    return repacked(archive, {name: bytes(128)})


def test_what_is_no_part_of_a_home_is_named_and_left_out(home: Home) -> None:
    (home.path / "notes.txt").write_text("mine")
    (home.path / ".orrery-x.tmp").write_text("left behind")
    (home.path / "backups" / file_name(home.identity().address, NOW_MS)).write_bytes(b"a backup")
    (home.path / "serve.lock").touch()
    (home.path / "moons.d").mkdir()
    (home.path / "moons.d" / "link").symlink_to("/etc/passwd")
    taken = take(home, NOW_MS)
    assert taken.left_out == ("notes.txt", "moons.d/link")
    names = {file.path for file in taken.archive.files}
    assert "identity.secret" in names
    assert not names & {"lock", "serve.lock", "orrery.db-wal"}
    assert not any(name.endswith(".age") for name in names)


def test_a_secret_that_is_open_to_others_is_not_backed_up(home: Home) -> None:
    (home.path / "identity.secret").chmod(0o644)
    with pytest.raises(CustodyError, match="chmod 600"):
        take(home, NOW_MS)
    home.close()
    with (
        Home.open(home.path) as reader,
        pytest.raises(UsageError, match="open for reading only"),
    ):
        take(reader, NOW_MS)


def test_the_database_is_copied_whole_while_others_write(home: Home, tmp_path: Path) -> None:
    stop = threading.Event()
    begun = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            home.store.record([sighting(0x1000000000 + number, NOW_MS)])
            number += 1
            begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(30)
        copies = [snapshot(home.path / "orrery.db") for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    for number, copy in enumerate(copies):
        path = tmp_path / f"{number}.db"
        path.write_bytes(copy)
        check_whole(path)
    assert home.store.count_nodes() >= 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"orrery.db": None}, "no orrery.db"),
        ({"orrery.toml": None}, "no orrery.toml"),
        ({"orrery.db": b"SQLite format 3\0" + bytes(4096)}, "orrery.db"),
        ({"orrery.db": b"nonsense" * 100}, "orrery.db is not a whole SQLite database"),
        ({"identity.secret": None}, "identity.secret is missing"),
        ({"identity.secret": b"nonsense"}, "identity.secret holds no whole identity"),
    ],
)
def test_what_does_not_restore_is_refused_and_nothing_is_there(
    archive: Archive, tmp_path: Path, change: dict[str, bytes | None], told: str
) -> None:
    with pytest.raises(DecodeError, match="it does not restore") as caught:
        restore(repacked(archive, change), "it", tmp_path / "there", LATER_MS)
    assert told in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert not any(path.name != "home" and path.is_dir() for path in tmp_path.iterdir())


def test_a_database_of_another_time_is_refused(
    home: Home, archive: Archive, tmp_path: Path
) -> None:
    want(home, ONE)
    publish(home, "home", LATER_MS)
    later = snapshot(home.path / "orrery.db")
    with pytest.raises(DecodeError, match="holds other revisions than it should"):
        restore(repacked(archive, {"orrery.db": later}), "it", tmp_path / "there", LATER_MS)


def test_an_empty_directory_is_taken_and_nothing_else(archive: Archive, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir(mode=0o750)
    restore(archive, "it", there, LATER_MS)
    assert stat.S_IMODE(there.stat().st_mode) == 0o750
    assert not list(there.glob(".orrery-*"))
    Home.open(there).close()
    with pytest.raises(ConflictError, match="has a home already"):
        restore(archive, "it", there, LATER_MS)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    with pytest.raises(ConflictError, match="is not empty"):
        restore(archive, "it", other, LATER_MS)
    with pytest.raises(ConflictError, match="is no directory"):
        restore(archive, "it", other / "file", LATER_MS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_restores_for_the_owner_of_the_directory(archive: Archive, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    os.chown(there, 12345, 12346)
    restore(archive, "it", there, LATER_MS)
    found = {(path.stat().st_uid, path.stat().st_gid) for path in there.rglob("*")}
    assert found == {(12345, 12346)}


def test_locked_keys_stay_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orrery.home import lock_keys
    from tests.unit.custody.locks import quick_lock

    quick_lock(monkeypatch)
    with make_home(tmp_path / "home", passphrase=lambda _: "secret") as made:
        lock_keys(made, "home", NOW_MS)
        archive = take(made, NOW_MS).archive
    restored = restore(archive, "it", tmp_path / "there", NOW_MS)
    assert restored.worlds[0].has_key
    (key,) = KeyStore(tmp_path / "there" / "keys.d").keys(restored.worlds[0].id)
    assert key.locked


# What is no backup


def _tar(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(data), kind
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


def _manifest(archive: Archive) -> dict[str, object]:
    with tarfile.open(fileobj=io.BytesIO(archive.pack())) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        return dict(json.loads(file.read()))


def test_other_tars_are_no_backups(archive: Archive) -> None:
    manifest = _manifest(archive)
    files = [(file.path, file.data) for file in archive.files]
    first = ("manifest.json", json.dumps(manifest).encode())
    for data in (
        b"",
        b"nonsense" * 200,
        _tar(),
        _tar(("other", b"")),
        _tar(("manifest.json", b"{}")),
        _tar(("manifest.json", b"[]")),
        _tar(("manifest.json", b"\xff")),
        _tar(first),
        _tar(first, *files[1:]),
        _tar(first, *files, files[0]),
        _tar(first, *files, ("more", b"")),
        _tar(first, (files[0][0], b"other"), *files[1:]),
        archive.pack()[:5_000],
    ):
        with pytest.raises(DecodeError, match="it is no backup of Orrery: "):
            unpack(data, "it")
    assert unpack(_tar(first, *files), "it").files[0].data == files[0][1]


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"path": "../x", "mode": "0600", "size_bytes": 0, "sha256": "0" * 64}]},
        {"files": [{"path": "/x", "mode": "0600", "size_bytes": 0, "sha256": "0" * 64}]},
        {"files": [{"path": "keys.d/../../x", "mode": "0600", "size_bytes": 0, "sha256": ""}]},
        {"files": [{"path": "planet", "mode": "4755", "size_bytes": 0, "sha256": "0" * 64}]},
        {"files": 1},
        {"worlds": [{"id": "x", "type": "planet", "newest_ms": 1}]},
        {"worlds": [{"id": "0" * 16, "type": "planet", "newest_ms": -1}]},
        {"made_at_ms": "1"},
        {"root": "x"},
        {"made_by": 1},
        {"more": 1},
        {"format": 0},
    ],
)
def test_a_manifest_that_says_nonsense(archive: Archive, change: dict[str, object]) -> None:
    text = json.dumps(_manifest(archive) | change).encode()
    with pytest.raises(DecodeError, match="it is no backup of Orrery: "):
        unpack(_tar(("manifest.json", text)), "it")


def test_no_path_leads_out_of_the_home(archive: Archive) -> None:
    outside = replace(archive, files=(PackedFile("keys.d/0123456789abcdef/../../x", 0o600, b""),))
    with pytest.raises(DecodeError, match="no file of a home"):
        unpack(outside.pack(), "it")


def test_one_of_a_newer_version(archive: Archive) -> None:
    text = json.dumps(_manifest(archive) | {"format": 2, "made_by": "9.0"}).encode()
    with pytest.raises(UnreadableError, match=r"made by a newer Orrery \(9.0\)"):
        unpack(_tar(("manifest.json", text)), "it")
