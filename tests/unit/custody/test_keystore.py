import json
import logging
import os
import stat
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from orrery.custody import KeyStore
from orrery.errors import CustodyError, OrreryError, UnreadableError
from orrery.wire.signature import SigningKey, fingerprint
from tests.crash.stepping import disk_full, machine
from tests.unit.custody.locks import quick_lock
from tests.unit.store.making import key

WORLD_ID = 0x8056C2E21C000001
FOLDER = "8056c2e21c000001"
PASSPHRASE = "correct horse battery"


def _ask(_what: str) -> str:
    return PASSPHRASE


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keys.d"


@pytest.fixture
def store(directory: Path) -> KeyStore:
    return KeyStore(directory, _ask)


@pytest.fixture(name="quick_lock")
def _quick_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_lock(monkeypatch)


def _entropy(number: int) -> Callable[[int], bytes]:
    secret = key(number).private
    return lambda size: secret[:size]


def _slots(store: KeyStore) -> dict[str, list[bytes | None]]:
    found: dict[str, list[bytes | None]] = {}
    for each in store.keys(WORLD_ID):
        found.setdefault(each.slot, []).append(each.public)
    return found


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_key_is_current_and_private(store: KeyStore, directory: Path) -> None:
    before = os.umask(0)
    try:
        made = store.new_key(WORLD_ID, _entropy(1))
    finally:
        os.umask(before)
    path = directory / FOLDER / "current.c25519"
    assert (made.slot, made.path, made.locked, made.public) == (
        "current",
        path,
        False,
        key(1).public,
    )
    assert path.read_bytes() == key(1).public + key(1).private
    assert [_mode(p) for p in (path, path.parent, directory)] == [0o600, 0o700, 0o700]
    assert store.world_ids() == (WORLD_ID,)
    assert store.current_public(WORLD_ID) == key(1).public


def test_rotation_keeps_every_key(store: KeyStore, directory: Path) -> None:
    for number in range(1, 5):
        store.new_key(WORLD_ID, _entropy(number))
    found = _slots(store)
    assert found["current"] == [key(4).public]
    assert found["previous"] == [key(3).public]
    assert sorted(map(str, found["retired"])) == sorted([str(key(1).public), str(key(2).public)])
    assert (directory / FOLDER / "retired" / f"{key(1).fingerprint}.c25519").exists()
    assert _mode(directory / FOLDER / "retired") == 0o700
    for number in range(1, 5):
        assert store.signer_for(WORLD_ID, key(number).public) == key(number)


def test_a_missing_signer_is_named_with_what_is_there(store: KeyStore) -> None:
    store.new_key(WORLD_ID, _entropy(1))
    store.new_key(WORLD_ID, _entropy(2))
    with pytest.raises(CustodyError) as refused:
        store.signer_for(WORLD_ID, key(3).public)
    text = str(refused.value)
    for number in (1, 2, 3):
        assert fingerprint(key(number).public) in text


def test_without_any_key_it_is_said_what_is_missing(store: KeyStore) -> None:
    assert store.keys(WORLD_ID) == ()
    assert store.world_ids() == ()
    with pytest.raises(CustodyError, match="no key at all"):
        store.signer_for(WORLD_ID, key(1).public)
    with pytest.raises(CustodyError, match=r"current\.c25519 is missing"):
        store.current(WORLD_ID)


def test_keys_of_worlds_are_apart(store: KeyStore) -> None:
    store.new_key(WORLD_ID, _entropy(1))
    store.new_key(7, _entropy(2))
    with pytest.raises(CustodyError):
        store.signer_for(7, key(1).public)
    assert store.world_ids() == (7, WORLD_ID)


def test_an_open_file_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "my keys")
    path = store.new_key(WORLD_ID, _entropy(1)).path
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(CustodyError) as refused:
            store.signer_for(WORLD_ID, key(1).public)
        assert str(refused.value).endswith(f"(mode {mode:04o}); run: chmod 600 '{path}'")
    path.chmod(0o600)
    assert store.signer_for(WORLD_ID, key(1).public) == key(1)


@pytest.mark.parametrize("which", [".", FOLDER])
def test_an_open_directory_is_refused_with_the_command_that_mends_it(
    store: KeyStore, directory: Path, which: str
) -> None:
    store.new_key(WORLD_ID, _entropy(1))
    path = directory / which
    path.chmod(0o755)
    with pytest.raises(CustodyError) as refused:
        store.current(WORLD_ID)
    assert str(refused.value).endswith(f"(mode 0755); run: chmod 700 {path}")


def test_a_key_of_another_user_is_refused_with_the_command_that_mends_it(
    store: KeyStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.new_key(WORLD_ID, _entropy(1))
    owner = directory.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 4242)
    with pytest.raises(CustodyError) as refused:
        store.current(WORLD_ID)
    assert str(refused.value).endswith(f"run: chown {owner + 4242} {directory}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads what is another user's")
def test_root_uses_the_keys_of_the_owner_of_the_home(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1234)
    store = KeyStore(tmp_path / "keys.d")
    path = store.new_key(WORLD_ID, _entropy(1)).path
    for each in (path, path.parent, path.parent.parent):
        os.chown(each, 1234, 1234)
    assert store.current_public(WORLD_ID) == key(1).public
    os.chown(path, 77, 77)
    with pytest.raises(CustodyError, match="belongs to user 77"):
        store.current_public(WORLD_ID)


@pytest.mark.parametrize(
    "content",
    [b"", bytes(128), key(1).encode()[:-1], key(1).public + key(2).private, bytes(5000)],
    ids=["empty", "zeros", "short", "not a pair", "long"],
)
def test_a_damaged_key_is_refused(store: KeyStore, content: bytes) -> None:
    store.new_key(WORLD_ID, _entropy(1)).path.write_bytes(content)
    with pytest.raises(CustodyError, match=r"current\.c25519"):
        store.signer_for(WORLD_ID, key(1).public)


def test_secrets_stand_in_no_text(store: KeyStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = store.new_key(WORLD_ID, _entropy(1))
    texts = [repr(made), str(made), repr(store), repr(store.signer_for(WORLD_ID, key(1).public))]
    for content in (key(1).public + key(2).private, key(2).private, key(2).private.hex().encode()):
        made.path.write_bytes(content)
        with pytest.raises(OrreryError) as refused:
            store.signer_for(WORLD_ID, key(1).public)
        texts += traceback.format_exception(refused.value)
        texts.append(repr(refused.value.__context__))
    texts.append(caplog.text)
    for secret in (key(1).private, key(2).private):
        for half in (secret[:32], secret[32:]):
            for text in texts:
                assert half.hex() not in text
                assert repr(half)[2:-1] not in text


def test_a_lock_of_age_opens_with_its_passphrase_alone(directory: Path) -> None:
    pytest.importorskip("pyrage")
    store = KeyStore(directory, _ask)
    store.new_key(WORLD_ID, _entropy(1))
    store.lock(WORLD_ID)
    path = directory / FOLDER / "current.c25519.age"
    assert path.read_bytes().startswith(b"age-encryption.org/v1\n-> scrypt ")
    assert store.signer_for(WORLD_ID, key(1).public) == key(1)
    with pytest.raises(CustodyError, match="the passphrase is wrong"):
        KeyStore(directory, lambda _what: "guess").signer_for(WORLD_ID, key(1).public)


@pytest.mark.usefixtures("quick_lock")
class TestLocked:
    def test_locking_and_unlocking_keeps_the_keys(self, store: KeyStore, directory: Path) -> None:
        for number in (1, 2, 3):
            store.new_key(WORLD_ID, _entropy(number))
        before = _slots(store)
        store.lock(WORLD_ID)
        assert all(each.locked for each in store.keys(WORLD_ID))
        assert _slots(store) == before
        assert list(directory.rglob("*.c25519")) == []
        assert {_mode(path) for path in directory.rglob("*.*") if path.is_file()} == {0o600}
        assert store.signer_for(WORLD_ID, key(2).public) == key(2)
        store.unlock(WORLD_ID)
        assert _slots(store) == before
        assert list(directory.rglob("*.age")) == []

    def test_a_locked_key_is_known_without_its_passphrase(
        self, store: KeyStore, directory: Path
    ) -> None:
        store.new_key(WORLD_ID, _entropy(1), locked=True)
        silent = KeyStore(directory)
        assert silent.current_public(WORLD_ID) == key(1).public
        with pytest.raises(CustodyError, match="needs a passphrase"):
            silent.signer_for(WORLD_ID, key(1).public)

    def test_a_rotation_of_a_locked_key_makes_a_locked_key(self, store: KeyStore) -> None:
        store.new_key(WORLD_ID, _entropy(1), locked=True)
        store.new_key(WORLD_ID, _entropy(2))
        store.new_key(WORLD_ID, _entropy(3))
        assert [each.locked for each in store.keys(WORLD_ID)] == [True, True, True]
        assert _slots(store) == {
            "current": [key(3).public],
            "previous": [key(2).public],
            "retired": [key(1).public],
        }

    def test_a_locked_file_put_there_by_hand_is_opened_to_be_known(
        self, store: KeyStore, directory: Path
    ) -> None:
        store.new_key(WORLD_ID, _entropy(1), locked=True)
        (directory / FOLDER / "locked.json").unlink()
        assert store.current(WORLD_ID).fingerprint is None
        assert store.current_public(WORLD_ID) == key(1).public
        assert store.signer_for(WORLD_ID, key(1).public) == key(1)
        with pytest.raises(CustodyError, match=r"current\.c25519\.age \(locked\)"):
            store.signer_for(WORLD_ID, key(2).public)

    @pytest.mark.parametrize("content", ["nonsense", "[]", '{"a": 1}', '{"a": "00"}'])
    def test_an_index_of_nonsense_says_nothing(
        self, store: KeyStore, directory: Path, content: str
    ) -> None:
        store.new_key(WORLD_ID, _entropy(1), locked=True)
        (directory / FOLDER / "locked.json").write_text(content)
        assert store.current(WORLD_ID).public is None

    def test_an_index_that_lies_is_noticed(self, store: KeyStore, directory: Path) -> None:
        store.new_key(WORLD_ID, _entropy(1), locked=True)
        index = directory / FOLDER / "locked.json"
        entries = dict.fromkeys(json.loads(index.read_text()), key(2).public.hex())
        index.write_text(json.dumps(entries))
        with pytest.raises(CustodyError, match=r"remove locked\.json"):
            store.signer_for(WORLD_ID, key(2).public)

    def test_a_wrong_passphrase_changes_nothing(self, store: KeyStore, directory: Path) -> None:
        store.new_key(WORLD_ID, _entropy(1))
        store.lock(WORLD_ID)
        with pytest.raises(CustodyError, match="the passphrase is wrong"):
            KeyStore(directory, lambda _what: "guess").unlock(WORLD_ID)
        assert [each.locked for each in store.keys(WORLD_ID)] == [True]

    def test_one_passphrase_opens_all_keys(self, store: KeyStore, directory: Path) -> None:
        store.new_key(WORLD_ID, _entropy(1), locked=True)
        store.new_key(WORLD_ID, _entropy(2), locked=False)
        with pytest.raises(CustodyError, match=r"previous\.c25519\.age is locked already"):
            KeyStore(directory, lambda _what: "another one").lock(WORLD_ID)
        assert [each.locked for each in store.keys(WORLD_ID)] == [False, True]
        assert [each.public for each in store.lock(WORLD_ID)] == [key(2).public]
        assert store.lock(WORLD_ID) == ()
        assert [each.slot for each in store.unlock(WORLD_ID)] == ["current", "previous"]
        assert store.unlock(WORLD_ID) == ()

    def test_an_interrupted_lock_goes_on_with_its_passphrase_alone(self, tmp_path: Path) -> None:
        stop, ended = 0, False
        while not ended:
            store = KeyStore(tmp_path / str(stop), _ask)
            for number in (1, 2, 3):
                store.new_key(WORLD_ID, _entropy(number))
            with machine(stop) as running:
                store.lock(WORLD_ID)
            ended = not running.stopped
            store.recover()
            locked = [each.locked for each in store.keys(WORLD_ID)]
            if any(locked) and not all(locked):
                with pytest.raises(CustodyError, match="is locked already"):
                    KeyStore(store.directory, lambda _what: "another one").lock(WORLD_ID)
                assert [each.locked for each in store.keys(WORLD_ID)] == locked
            store.lock(WORLD_ID)
            assert all(each.locked for each in store.keys(WORLD_ID))
            store.unlock(WORLD_ID)
            assert _slots(store) == {
                "current": [key(3).public],
                "previous": [key(2).public],
                "retired": [key(1).public],
            }
            stop += 1
        assert stop > 10

    def test_an_empty_passphrase_is_refused(self, directory: Path) -> None:
        store = KeyStore(directory, lambda _what: "")
        store.new_key(WORLD_ID, _entropy(1))
        with pytest.raises(CustodyError, match="empty passphrase"):
            store.lock(WORLD_ID)
        assert [each.locked for each in store.keys(WORLD_ID)] == [False]

    def test_a_plain_file_beside_a_locked_one_of_another_key_stays(
        self, store: KeyStore, directory: Path
    ) -> None:
        store.new_key(WORLD_ID, _entropy(1), locked=True)
        other = directory / FOLDER / "current.c25519"
        other.write_bytes(key(2).encode())
        other.chmod(0o600)
        with pytest.raises(CustodyError, match="both claim one place"):
            store.recover()
        assert other.exists()


def test_a_lock_that_is_not_installed_is_said(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.new_key(WORLD_ID, _entropy(1))
    monkeypatch.setitem(__import__("sys").modules, "pyrage", None)
    with pytest.raises(CustodyError, match="pip install"):
        store.lock(WORLD_ID)


def _rotate(store: KeyStore) -> None:
    store.new_key(WORLD_ID, _entropy(4))


def _lock(store: KeyStore) -> None:
    store.lock(WORLD_ID)


def _unlock(store: KeyStore) -> None:
    store.unlock(WORLD_ID)


@pytest.mark.parametrize("loses", [False, True], ids=["keeps", "loses"])
@pytest.mark.parametrize("locked", [False, True], ids=["plain", "locked"])
@pytest.mark.parametrize("keys", range(4))
@pytest.mark.parametrize("change", [_rotate, _lock, _unlock])
@pytest.mark.usefixtures("quick_lock")
def test_no_key_is_lost_wherever_the_machine_stops(
    tmp_path: Path,
    change: Callable[[KeyStore], None],
    keys: int,
    locked: bool,
    loses: bool,
) -> None:
    stop, ended = 0, False
    while not ended:
        store = KeyStore(tmp_path / str(stop), _ask)
        for number in range(1, keys + 1):
            store.new_key(WORLD_ID, _entropy(number), locked=locked)
        with machine(stop, loses=loses) as running:
            change(store)
        ended = not running.stopped
        store.recover()
        _check_whole(store, keys, new=change is _rotate, done=ended)
        # And it goes on from there.
        store.new_key(WORLD_ID, _entropy(9))
        assert store.current_public(WORLD_ID) == key(9).public
        stop += 1
    assert stop > 1 or keys == 0 or (change is _lock) == locked


def _check_whole(store: KeyStore, keys: int, *, new: bool, done: bool) -> None:
    found = list(store.keys(WORLD_ID))
    publics = [each.public for each in found]
    assert len(publics) == len(set(publics))
    for number in range(1, keys + 1):
        assert store.signer_for(WORLD_ID, key(number).public) == key(number)
    has_new = key(4).public in publics
    assert len(found) == keys + has_new
    if done and new:
        assert has_new
    order = [*range(1, keys + 1)] + ([4] if has_new else [])
    slots = {each.slot: each.public for each in found if each.slot != "retired"}
    expected = dict(
        zip(("current", "previous"), [key(n).public for n in order[::-1]], strict=False)
    )
    assert slots == expected
    assert not list(store.directory.rglob(".*"))


@pytest.mark.usefixtures("quick_lock")
def test_a_full_disk_loses_no_key(tmp_path: Path) -> None:
    for step in range(_steps_of_a_rotation(tmp_path)):
        store = KeyStore(tmp_path / str(step), _ask)
        for number in (1, 2, 3):
            store.new_key(WORLD_ID, _entropy(number))
        with (
            machine(step, fault=disk_full),
            pytest.raises(UnreadableError, match="the disk is full"),
        ):
            _rotate(store)
        store.recover()
        _check_whole(store, 3, new=True, done=False)


def _steps_of_a_rotation(tmp_path: Path) -> int:
    store = KeyStore(tmp_path / "counted")
    for number in (1, 2, 3):
        store.new_key(WORLD_ID, _entropy(number))
    with machine() as running:
        _rotate(store)
    return len(running.steps)


def test_private_keys_have_no_equal_in_the_name_of_a_file(store: KeyStore) -> None:
    for number in (1, 2, 3):
        store.new_key(WORLD_ID, _entropy(number))
    names = " ".join(str(path) for path in store.directory.rglob("*"))
    for number in (1, 2, 3):
        assert key(number).private.hex()[:16] not in names


def test_signing_key_decodes_what_mkworld_writes() -> None:
    assert SigningKey.decode(key(1).encode()) == key(1)
