"""Backups that `[backup]` asks for: at their times, and before anything is signed."""

from pathlib import Path

import pyrage
import pytest

from orrery.errors import CustodyError, DecodeError, UnreadableError
from orrery.home import BackupSettings, Home, Settings, publish
from orrery.home.archive import unpack
from orrery.home.backing_up import back_up, due_in_ms, made
from orrery.home.restoring import check, restore
from orrery.home.settling import settle
from orrery.server.backups import LOOK_S, Backups
from tests.crash.rolling import Process, SetClock, fleet_of, go_on, make_rolling
from tests.unit.home.making import ELSEWHERE, ONE, entropy, make_home, want
from tests.unit.home.test_settling import go_on_a_little
from tests.unit.store.making import NOW_MS

DAY_MS = 86_400_000


class Safe:
    """A directory for backups, and the private key that opens them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.private = pyrage.x25519.Identity.generate()

    def text(self, **more: object) -> str:
        """The table in orrery.toml."""
        lines = [f'to = "{self.path}"', f'recipients = ["{self.private.to_public()}"]']
        lines += [f"{key} = {value}" for key, value in more.items()]
        return "\n[backup]\n" + "\n".join(lines) + "\n"

    def wanted(self, **more: object) -> BackupSettings:
        values = {"to": self.path, "recipients": [str(self.private.to_public())]} | more
        return BackupSettings.model_validate(values)

    def open(self, path: Path) -> bytes:
        opened: bytes = pyrage.decrypt(path.read_bytes(), [self.private])
        return opened


@pytest.fixture
def safe(tmp_path: Path) -> Safe:
    return Safe(tmp_path / "safe")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home", entropy=entropy("backup"))


def test_so_many_are_kept_of_each_kind(home: Home, safe: Safe) -> None:
    wanted = safe.wanted(keep=3)
    signing = back_up(home, wanted, NOW_MS, "signing")
    paths = [back_up(home, wanted, NOW_MS + number, "scheduled") for number in range(5)]
    (safe.path / "mine.age").touch()
    root = home.identity().address
    assert made(safe.path, root, "scheduled") == paths[2:]
    assert made(safe.path, root, "signing") == [signing]
    assert sorted(safe.path.iterdir()) == sorted([signing, *paths[2:], safe.path / "mine.age"])
    assert safe.path.stat().st_mode & 0o777 == 0o700
    check(unpack(safe.open(paths[-1]), "it"), "it", NOW_MS)


def test_when_one_is_due(home: Home, safe: Safe) -> None:
    wanted = safe.wanted()
    assert due_in_ms(home, wanted, NOW_MS) == 0
    back_up(home, wanted, NOW_MS, "signing")
    assert due_in_ms(home, wanted, NOW_MS) == 0
    back_up(home, wanted, NOW_MS, "scheduled")
    assert due_in_ms(home, wanted, NOW_MS + 1) == DAY_MS - 1
    assert due_in_ms(home, wanted, NOW_MS + DAY_MS) == 0
    assert due_in_ms(home, wanted, NOW_MS - 1) == 0  # the clock was set back


def test_one_is_made_before_a_signature(home: Home, safe: Safe, tmp_path: Path) -> None:
    want(home, ONE, ELSEWHERE)
    home.save_settings(home.settings_path.read_text() + safe.text())
    published = publish(home, "home", NOW_MS + 5).world
    (path,) = made(safe.path, home.identity().address, "signing")
    restore(unpack(safe.open(path), "it"), "it", tmp_path / "there", NOW_MS + 6)
    with Home.open(tmp_path / "there", writer=True) as there:
        assert there.store.chain(published.id).newest.timestamp_ms < published.timestamp_ms
        settle(there, NOW_MS + 6, nothing_newer=True)
        # Its timestamp was given out before the backup was made, so that no clock repeats it.
        assert publish(there, "home", 0).world.timestamp_ms > published.timestamp_ms


def test_without_one_nothing_is_signed(home: Home, safe: Safe) -> None:
    want(home, ONE, ELSEWHERE)
    before = home.served_worlds()
    text = home.settings_path.read_text()
    home.save_settings(text + Safe(safe.path / "no" / "where").text())
    with pytest.raises(UnreadableError, match=r"nothing was signed: .* cannot be made") as caught:
        publish(home, "home", NOW_MS + 5)
    assert str(safe.path / "no") in str(caught.value)
    home.save_settings(text + safe.text())
    (home.path / "identity.secret").chmod(0o644)
    with pytest.raises(CustodyError, match=r"nothing was signed: .*chmod 600"):
        publish(home, "home", NOW_MS + 5)
    assert home.served_worlds() == before


def test_a_rollout_backs_up_before_each_step(tmp_path: Path, safe: Safe) -> None:
    clock = SetClock()
    make_rolling(tmp_path / "home")
    with Home.open(tmp_path / "home", writer=True) as home:
        home.save_settings(home.settings_path.read_text() + safe.text())
        fleet = fleet_of(home.served_worlds()[0])
        root = home.identity().address
    go_on(tmp_path / "home", clock, fleet)
    paths = made(safe.path, root, "signing")
    assert [
        unpack(safe.open(path), "it").worlds[0].newest_ms for path in paths
    ] == _all_but_the_newest(tmp_path / "home")


def _all_but_the_newest(path: Path) -> list[int]:
    with Home.open(path) as home:
        (world_id,) = home.store.world_ids()
        return [each.timestamp_ms for each in home.store.chain(world_id).revisions[:-1]]


def test_a_rollout_waits_for_its_backup(tmp_path: Path, safe: Safe) -> None:
    clock = SetClock()
    make_rolling(tmp_path / "home")
    with Home.open(tmp_path / "home", writer=True) as home:
        text = home.settings_path.read_text()
        home.save_settings(text + Safe(safe.path / "no" / "where").text())
        fleet = fleet_of(home.served_worlds()[0])
    process = Process(tmp_path / "home", clock)
    with pytest.raises(UnreadableError, match="nothing was signed"):
        go_on_a_little(process)
    process.end()
    assert len(_all_but_the_newest(tmp_path / "home")) == 0
    with Home.open(tmp_path / "home", writer=True) as home:
        home.save_settings(text + safe.text())
    clock.steady_ms += 11_000
    assert go_on(tmp_path / "home", clock, fleet).state == "done"


def test_a_server_makes_them_at_their_times(home: Home, safe: Safe) -> None:
    now_ms = NOW_MS
    home.close()

    def backups() -> list[Path]:
        return sorted(safe.path.glob("*.scheduled.age"))

    server = Backups(lambda: Home.open(home.path), lambda: now_ms)
    assert (server.look(), backups()) == (LOOK_S, [])
    with Home.open(home.path, writer=True) as opened:
        opened.save_settings(opened.settings_path.read_text() + safe.text(every='"2m"', keep=2))
    assert (server.look(), len(backups())) == (LOOK_S, 1)
    now_ms += 90_000
    assert (server.look(), len(backups())) == (30, 1)
    now_ms += 30_000
    assert (server.look(), len(backups())) == (LOOK_S, 2)
    now_ms += 120_000
    first = backups()[0]
    server.look()
    assert len(backups()) == 2
    assert first not in backups()
    safe.path.rename(safe.path.with_name("away"))
    safe.path.write_text("a file is in the way")
    now_ms += 120_000
    with pytest.raises(UnreadableError, match="safe"):
        server.look()
    safe.path.unlink()
    assert server.look() == LOOK_S


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('[backup]\nto = "x"\n', "[backup] has no 'recipients'"),
        ('[backup]\nrecipients = ["age1x"]\n', "[backup] has no 'to'"),
        ('[backup]\nto = ""\nrecipients = []\n', "a directory has a name"),
        ('[backup]\nto = "x"\nrecipients = []\n', "'recipients' is empty"),
        ('[backup]\nto = "x"\nrecipients = ["age1x"]\n', "is no recipient"),
        ('[backup]\nto = "x"\nrecipients = ["AGE-SECRET-KEY-1X"]\n', "this is a private age key"),
        ('[backup]\nto = "x"\nevery = "1s"\n', "too short"),
        ('[backup]\nto = "x"\nkeep = 0\n', "'keep' is at least 1"),
    ],
)
def test_mistakes_in_the_settings(home: Home, table: str, told: str) -> None:
    with pytest.raises(DecodeError) as caught:
        Settings.parse(home.settings_path.read_text() + table)
    assert told in str(caught.value)
