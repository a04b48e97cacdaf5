from collections.abc import Iterator
from pathlib import Path

import pytest

from orrery.errors import (
    ConflictError,
    CustodyError,
    DecodeError,
    PlanError,
    UnreadableError,
    UsageError,
    VerifyError,
)
from orrery.home import Home, SettingsEditor, propose, publish, rotate_key
from orrery.wire.identity import Identity
from orrery.wire.world import Root, World
from orrery.worlds.acceptance import check_update
from tests.crash.stepping import disk_full, machine
from tests.unit.home.making import ELSEWHERE, ONE, TWO, entropy, make_home, want
from tests.unit.store.making import NOW_MS, identity, key


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "home") as made:
        yield made


def _newest(home: Home) -> World:
    (world,) = home.served_worlds()
    assert World.decode((home.path / "planet").read_bytes()) == world
    return world


def test_a_revision_is_what_the_settings_say(home: Home) -> None:
    first = _newest(home)
    want(home, ELSEWHERE, TWO, ONE)
    revision = publish(home, "home", NOW_MS + 1000, note="moving", actor="alice")
    world = _newest(home)
    assert revision.world == world
    assert revision.note == "moving"
    assert world.timestamp_ms == NOW_MS + 1000
    assert world.roots == (Root(identity(0), (ONE, ELSEWHERE, TWO)),)  # as genmoon sorts
    check_update(first, world)
    entry = home.store.audit_entries()[0]
    assert (entry.actor, entry.action, entry.at_ms) == ("alice", "publish", NOW_MS + 1000)
    assert f"{world.id:016x}" in entry.detail


def test_a_clock_that_steps_back_does_not_matter(home: Home) -> None:
    want(home, ONE, ELSEWHERE)
    assert publish(home, "home", NOW_MS - 10**9).world.timestamp_ms == NOW_MS + 1
    want(home, ONE)
    assert publish(home, "home", 0).world.timestamp_ms == NOW_MS + 2


def test_nothing_new_is_not_published(home: Home) -> None:
    with pytest.raises(PlanError, match="nothing to publish"):
        publish(home, "home", NOW_MS + 1)
    want(home, TWO, ONE)  # the order is no difference
    with pytest.raises(PlanError, match="nothing to publish"):
        publish(home, "home", NOW_MS + 1)
    assert len(home.store.revisions(_newest(home).id)) == 1


def test_what_strands_everyone_is_published_only_when_said(home: Home) -> None:
    want(home, ELSEWHERE)
    assert propose(home, "home").strands_everyone
    with pytest.raises(PlanError, match="say --strand-everyone"):
        publish(home, "home", NOW_MS + 1)
    revision = publish(home, "home", NOW_MS + 1, strand_everyone=True)
    assert revision.world.roots[0].endpoints == (ELSEWHERE,)
    assert "strands everyone" in home.store.audit_entries()[0].detail


def test_an_endpoint_that_goes_to_another_root_is_not_kept(home: Home) -> None:
    editor = SettingsEditor(home.settings_path.read_text())
    editor.add_root("home", "other", identity(1), [ELSEWHERE])
    editor.remove_root("home", "root-1")
    home.save_settings(editor.text().replace("198.51.100.9:443", "203.0.113.7:9993"))
    with pytest.raises(PlanError, match="stranded"):
        publish(home, "home", NOW_MS + 1)


def test_a_second_root_is_sorted_by_address(home: Home) -> None:
    editor = SettingsEditor(home.settings_path.read_text())
    for number in (1, 2, 3):
        endpoints = [ELSEWHERE.__class__(ELSEWHERE.ip, number)]
        editor.add_root("home", f"root-{number + 1}", identity(number), endpoints)
    home.save_settings(editor.text())
    roots = publish(home, "home", NOW_MS + 1).world.roots
    addresses = [root.identity.address for root in roots]
    assert addresses == sorted(addresses)
    assert set(addresses) == {identity(number).address for number in range(4)}
    assert all(root.identity.private_key is None for root in roots)


def test_an_identity_without_its_proof_of_work_is_refused(home: Home) -> None:
    made_up = Identity(identity(1).address, key(1).public)
    editor = SettingsEditor(home.settings_path.read_text())
    editor.add_root("home", "root-2", made_up, [ELSEWHERE])
    home.save_settings(editor.text())
    with pytest.raises(VerifyError):
        publish(home, "home", NOW_MS + 1)
    assert len(home.store.revisions(_newest(home).id)) == 1


def test_a_key_rotation_is_published_by_the_key_before(home: Home) -> None:
    first = _newest(home)
    made = rotate_key(home, "home", NOW_MS + 1, entropy("second"), actor="alice")
    assert propose(home, "home").rotates_key
    with pytest.raises(ConflictError, match="let one name it first, with `orrery apply`"):
        rotate_key(home, "home", NOW_MS + 1, entropy("third"))
    second = publish(home, "home", NOW_MS + 2).world
    assert second.updates_must_be_signed_by == made.public
    second.verify(first.updates_must_be_signed_by)
    assert second.roots == first.roots
    rotate_key(home, "home", NOW_MS + 3, entropy("third"))
    third = publish(home, "home", NOW_MS + 4).world
    third.verify(second.updates_must_be_signed_by)
    with pytest.raises(VerifyError):
        third.verify(first.updates_must_be_signed_by)
    assert len(home.store.chain(first.id)) == 3
    actions = [entry.action for entry in home.store.audit_entries()]
    assert actions == ["publish", "rotate key", "publish", "rotate key", "publish"]


def test_without_the_key_nothing_is_published(home: Home) -> None:
    first = _newest(home)
    folder = home.path / "keys.d" / f"{first.id:016x}"
    rotate_key(home, "home", NOW_MS + 1, entropy("second"))
    (folder / "previous.c25519").unlink()
    with pytest.raises(CustodyError, match="put the right key file back"):
        publish(home, "home", NOW_MS + 2)
    assert _newest(home) == first


def test_an_open_key_publishes_nothing(home: Home) -> None:
    key_file = home.path / "keys.d" / f"{_newest(home).id:016x}" / "current.c25519"
    key_file.chmod(0o644)
    want(home, ONE)
    with pytest.raises(CustodyError, match="run: chmod 600"):
        publish(home, "home", NOW_MS + 1)


def test_another_id_is_another_planet(home: Home) -> None:
    world = _newest(home)
    text = home.settings_path.read_text().replace(f"{world.id:016x}", "00000000000000aa")
    home.save_settings(text)
    with pytest.raises(PlanError, match="put the id back"):
        publish(home, "home", NOW_MS + 1, strand_everyone=True)


def test_a_planet_does_not_become_a_moon(home: Home) -> None:
    home.save_settings(home.settings_path.read_text().replace('"planet"', '"moon"'))
    with pytest.raises(PlanError, match="give the moon another id"):
        publish(home, "home", NOW_MS + 1, strand_everyone=True)


def test_a_second_world_gets_its_own_chain(home: Home) -> None:
    moon_id = identity(0).address
    moon = (
        f'\n[[world]]\nname = "moon"\nkind = "moon"\nid = "{moon_id:010x}"\n[[world.root]]\n'
        f'name = "one"\nidentity = "{identity(0).public()}"\nendpoints = ["203.0.113.7:9993"]\n'
    )
    home.save_settings(home.settings_path.read_text() + moon)
    with pytest.raises(CustodyError, match="make one with `orrery key new --world moon`"):
        publish(home, "moon", NOW_MS + 1)
    rotate_key(home, "moon", NOW_MS + 1, entropy("moon"))
    with pytest.raises(PlanError, match="no revision yet"):
        rotate_key(home, "moon", NOW_MS + 1, entropy("moon"))
    revision = publish(home, "moon", NOW_MS + 1)
    assert {world.id for world in home.served_worlds()} == {moon_id, home.settings().worlds[0].id}
    path = home.path / "moons.d" / f"{moon_id:016x}.moon"
    assert path.read_bytes() == revision.encoded


def test_settings_with_mistakes_publish_nothing(home: Home) -> None:
    home.settings_path.write_text(home.settings_path.read_text().replace(":9993", ":0"))
    with pytest.raises(DecodeError, match="line"):
        publish(home, "home", NOW_MS + 1)


def test_an_unknown_world_is_said(home: Home) -> None:
    with pytest.raises(UsageError, match="did you mean 'home'"):
        publish(home, "hoem", NOW_MS + 1)


def test_a_writer_that_was_faster_is_a_conflict(home: Home) -> None:
    """The store holds the chain together even against who goes around the lock."""
    want(home, ONE)
    with Home.open(home.path) as other:
        other.acquire = lambda wait_s=10: None  # type: ignore[method-assign]
        other._lock = home._lock
        allocate = home.store.allocate_timestamp

        def meanwhile(world_id: int, now_ms: int) -> int:
            home.store.allocate_timestamp = allocate  # type: ignore[method-assign]
            publish(other, "home", now_ms)
            return allocate(world_id, now_ms)

        home.store.allocate_timestamp = meanwhile  # type: ignore[method-assign]
        with pytest.raises(ConflictError, match="another writer"):
            publish(home, "home", NOW_MS + 1)
        other._lock = None
    assert len(home.store.revisions(_newest(home).id)) == 2


def test_a_full_disk_after_the_revision_says_that_it_is_published(home: Home) -> None:
    want(home, ONE)
    with machine() as counting:
        publish(home, "home", NOW_MS + 1)
    want(home, ONE, TWO)
    after_store = len(counting.steps) - 1 - counting.steps[::-1].index("commit") + 1
    with (
        machine(after_store, fault=disk_full),
        pytest.raises(UnreadableError, match="is published, but not yet written to its file"),
    ):
        publish(home, "home", NOW_MS + 2)
    home.recover()
    assert _newest(home).timestamp_ms == NOW_MS + 2


def test_a_chain_is_not_begun_anew_where_its_database_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "home"
    make_home(path).close()
    before = (path / "planet").read_bytes()
    (path / "orrery.db").write_bytes(b"")
    with Home.open(path, writer=True) as home:
        with pytest.raises(ConflictError, match=r"orrery\.db knows none: put the database back"):
            publish(home, "home", NOW_MS + 1)
        assert (path / "planet").read_bytes() == before
        # A file that says nothing of this World is no reason to refuse.
        (path / "planet").write_bytes(b"torn")
        assert publish(home, "home", NOW_MS + 1).number == 1
