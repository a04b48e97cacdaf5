"""Each check: nothing in a sound home, and for each defect exactly its finding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orrery.custody import Owner
from orrery.doctor import Level, Snapshot
from orrery.doctor.snapshot import Backups, Disk, Entry, Listener, Secrecy
from orrery.home import BackupSettings, Home, publish, rotate_key
from orrery.home.planning import make_plan
from orrery.home.rolling import CONDUCTOR_LEASE, CohortView, MissingNode, begin
from orrery.home.unsettled import LostRevision, Mark, Outlook
from orrery.rollout.conditions import Adopted
from orrery.rollout.places import Place
from orrery.rollout.state import RolloutState
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import Root, World
from orrery.worlds.chain import Chain
from tests.unit.doctor.sound import (
    LATER_MS,
    NODES,
    findings,
    only,
    places,
    see_nodes,
    seen,
    sound_home,
    told,
)
from tests.unit.home.making import ELSEWHERE, ONE, entropy, want
from tests.unit.store.making import NOW_MS, key

DAY_MS = 86_400_000
HERE = Owner(1000, 1000)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with sound_home(tmp_path / "home") as made:
        see_nodes(made)
        yield made


@pytest.fixture
def sound(home: Home) -> Snapshot:
    return seen(home.path)


def test_nothing_is_wrong_with_a_sound_home(sound: Snapshot) -> None:
    assert findings(sound) == ()


# Files


def entry(name: str, mode: int, *, secret: bool = False, uid: int = 1000, gid: int = 1000) -> Entry:
    secrecy = Secrecy.SECRET if secret else Secrecy.PUBLIC
    return Entry(Path("home") / name, secrecy, mode, Owner(uid, gid))


@pytest.mark.parametrize(
    ("found", "code", "mend"),
    [
        (entry("identity.secret", 0o640, secret=True), "exposed-secret", "chmod 600 home/identity"),
        (entry("planet", 0o666), "writable-by-others", "chmod go-w home/planet"),
        (entry("planet", 0o664, gid=50), "writable-by-others", "chmod go-w home/planet"),
        (entry("orrery.toml", 0o644, uid=7), "foreign-owner", "chown 1000:1000 home/orrery.toml"),
    ],
)
def test_modes_and_owners(sound: Snapshot, found: Entry, code: str, mend: str) -> None:
    disk = Disk(owner=HERE, user=1000, entries=(found,))
    finding = only(replace(sound, disk=disk))
    assert (finding.code, finding.level) == (code, Level.PROBLEM)
    assert finding.mend[0].startswith(mend)
    assert str(found.path) in finding.sentence


@pytest.mark.parametrize(
    "found",
    [
        entry("identity.secret", 0o600, secret=True),
        entry("planet", 0o644),
        entry("planet", 0o664),  # a group of the user's own
    ],
)
def test_modes_that_are_right(sound: Snapshot, found: Entry) -> None:
    assert findings(replace(sound, disk=Disk(owner=HERE, user=1000, entries=(found,)))) == ()


def test_a_directory_of_secrets(sound: Snapshot) -> None:
    found = replace(entry("keys.d", 0o755, secret=True), is_directory=True)
    finding = only(replace(sound, disk=Disk(owner=HERE, user=1000, entries=(found,))))
    assert finding.mend == ("chmod 700 home/keys.d",)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"leftovers": (Path("home/.orrery-x.tmp"),)}, [("note", "leftovers")]),
        ({"leftovers": (Path("home/.orrery-x.tmp"),), "is_changing": True}, []),
        ({"abandoned": (Path("/tmp/.orrery-restore-x"),)}, [("warning", "abandoned-restore")]),
        ({"free_bytes": 1 << 20}, [("problem", "disk-full")]),
        ({"free_bytes": 1 << 30, "needed_bytes": 1 << 31}, [("problem", "disk-full")]),
        ({"damage": "a page is torn"}, [("problem", "database-damaged")]),
    ],
)
def test_the_disk(
    sound: Snapshot, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert told(replace(sound, disk=replace(sound.disk, **changes))) == expected


def test_of_a_home_that_cannot_be_opened_only_the_files_are_judged(sound: Snapshot) -> None:
    finding = only(
        Snapshot(path=sound.path, disk=sound.disk, time=sound.time, obstacle="it is gone: restore")
    )
    assert (finding.code, finding.sentence) == ("not-open", "it is gone: restore")
    (command,) = finding.mend
    assert command == f"orrery restore BACKUP --home {sound.path}-restored"


# Settings and identity


def test_every_mistake_of_the_settings_is_one_finding(home: Home, sound: Snapshot) -> None:
    text = home.settings_path.read_text()
    wrong = text.replace('kind = "planet"', 'kind = "comet"').replace("push = true", "push = 1")
    home.settings_path.write_text(wrong)
    found = findings(seen(home.path))
    assert [finding.code for finding in found] == ["settings", "settings"]
    line = wrong.splitlines().index('kind = "comet"') + 1
    assert found[0].mend == (f"${{EDITOR:-vi}} +{line} {home.settings_path}",)


def test_what_is_wanted_and_not_published(home: Home) -> None:
    want(home, ONE, ELSEWHERE)
    finding = only(seen(home.path))
    assert (finding.level, finding.code) == (Level.NOTE, "wanted")
    assert str(ELSEWHERE) in finding.sentence
    assert finding.mend == ("orrery apply --home HOME",)


def test_a_wish_that_is_not_safe(home: Home) -> None:
    text = home.settings_path.read_text()
    home.settings_path.write_text(text.replace("203.0.113.7:9993", "198.51.100.20:9993"))
    assert told(seen(home.path))[0][0] == "problem"


def test_a_world_without_a_revision(home: Home) -> None:
    text = home.settings_path.read_text()
    at = text.index("[[world]]")
    moon = text[at : text.index("[serve]")].replace('"home"', '"moon"').replace("planet", "moon")
    (planet,) = home.served_worlds()
    moon = moon.replace(f"{planet.id:016x}", "000000abcdef0001")
    home.settings_path.write_text(text.replace("[serve]", f"{moon}\n[serve]", 1))
    found = {finding.code: finding for finding in findings(seen(home.path))}
    assert found["unpublished"].mend == (
        "orrery key new --world moon --home HOME",
        "orrery publish moon --home HOME",
    )


def test_the_identity(home: Home, sound: Snapshot) -> None:
    missing = replace(sound, identity=None, identity_trouble="it is missing; put it back")
    finding = next(each for each in findings(missing) if each.code == "identity")
    assert finding.mend == (f"install -m 600 IDENTITY {home.path / 'identity.secret'}",)
    for text in (None, "1234567890:0:00"):
        finding = only(replace(sound, public_text=text))
        assert finding.code == "identity-public"
        assert finding.mend[0].startswith("orrery identity show --public ")


# Clock


def test_the_clock(sound: Snapshot) -> None:
    behind = replace(sound.time, noted_ms=LATER_MS + 2 * DAY_MS, remedy="timedatectl set-ntp true")
    finding = only(replace(sound, time=behind))
    assert (finding.level, finding.code) == (Level.PROBLEM, "clock-behind")
    assert "2d behind" in finding.sentence
    assert finding.mend == ("timedatectl set-ntp true",)
    loose = replace(sound.time, is_synchronized=False)
    assert told(replace(sound, time=loose)) == [("note", "clock-unsynchronized")]
    assert told(replace(sound, time=replace(sound.time, is_synchronized=None))) == []


# Keys


def with_keys(sound: Snapshot, **changes: Any) -> Snapshot:
    (world,) = sound.worlds
    return replace(sound, worlds=(replace(world, keys=replace(world.keys, **changes)),))


def test_a_key_that_is_not_the_one(sound: Snapshot) -> None:
    (world,) = sound.worlds
    (file,) = world.keys.files
    finding = only(with_keys(sound, files=(replace(file, public=key(9).public),)))
    assert (finding.level, finding.code) == (Level.PROBLEM, "key-missing")
    assert finding.mend[-1].endswith("/retired/found.c25519")
    finding = only(with_keys(sound, files=()))
    assert (finding.level, finding.code) == (Level.WARNING, "key-elsewhere")
    assert finding.mend[-1].startswith("install -m 600 KEYFILE ")
    finding = only(with_keys(sound, files=(replace(file, public=None, locked=True),)))
    assert (finding.level, finding.code) == (Level.NOTE, "key-unknown")


def test_a_key_that_cannot_be_read(sound: Snapshot) -> None:
    finding = only(with_keys(sound, files=(), trouble="it does not hold a signing key"))
    assert (finding.level, finding.code) == (Level.PROBLEM, "key-unreadable")
    # Where it is open to others, the command that mends that is enough.
    exposed = entry("keys.d/x", 0o644, secret=True)
    disk = replace(sound.disk, owner=HERE, entries=(exposed,))
    finding = only(replace(with_keys(sound, files=(), trouble="it is open"), disk=disk))
    assert finding.code == "exposed-secret"


def test_a_rotation_that_nobody_was_told_of(home: Home) -> None:
    rotate_key(home, "home", NOW_MS + 5_000, entropy("new"))
    assert ("note", "rotation-pending") in told(seen(home.path))


def test_locked_keys_without_what_unlocks_them(sound: Snapshot) -> None:
    (world,) = sound.worlds
    (file,) = world.keys.files
    locked = with_keys(sound, files=(replace(file, locked=True),))
    assert findings(locked) == ()
    finding = only(replace(locked, backups=replace(sound.backups, can_seal=False)))
    assert finding.code == "part-missing"
    assert finding.mend[0].endswith("-m pip install 'zt-orrery[lock]'")


# What is published


@pytest.mark.parametrize("found", [None, b"", b"another World"])
def test_a_world_file_that_is_not_what_is_published(sound: Snapshot, found: bytes | None) -> None:
    (world,) = sound.worlds
    finding = only(replace(sound, worlds=(replace(world, found=found),)))
    assert (finding.level, finding.code) == (Level.PROBLEM, "world-file")
    assert finding.mend == ("orrery doctor --mend --home HOME",)


def test_a_broken_chain(sound: Snapshot) -> None:
    found = findings(replace(sound, worlds=(), broken=("the chain of planet 1 is broken: x",)))
    assert [finding.code for finding in found] == ["chain-broken"]


def test_a_timestamp_ahead_of_the_clock(sound: Snapshot) -> None:
    (world,) = sound.worlds
    behind = replace(sound.time, now_ms=world.newest.timestamp_ms - 3 * DAY_MS, noted_ms=0)
    codes = told(replace(sound, time=behind))
    assert ("note", "timestamp-ahead") in codes


def test_pitfalls_of_what_is_published(tmp_path: Path) -> None:
    with sound_home(tmp_path / "home", (ONE, Endpoint.from_text("127.0.0.1:9993"))) as home:
        finding = only(seen(home.path))
    assert (finding.level, finding.code) == (Level.WARNING, "unusable-address")
    assert "127.0.0.1/9993" in finding.sentence


def test_a_place_that_is_nowhere(tmp_path: Path) -> None:
    with sound_home(tmp_path / "home") as home:
        sound = seen(home.path)
    (world,) = sound.worlds
    first, *others = world.newest.roots
    nowhere = Root(first.identity, (*first.endpoints, Endpoint(bytes(4), 9993)))
    newest = replace(world.newest, roots=(nowhere, *others))
    spoilt = replace(
        world, chain=Chain([newest]), led_to=newest, found=newest.encode(), name="home"
    )
    finding = only(replace(sound, worlds=(spoilt,)))
    assert (finding.level, finding.code) == (Level.WARNING, "zero-address")
    assert finding.mend == ("orrery publish --home HOME",)


# Roots


def silence(sound: Snapshot, *silent: Place, **changes: Any) -> Snapshot:
    answered = sound.network.asked - frozenset(silent)
    return replace(sound, network=replace(sound.network, answered=answered, **changes))


def test_a_home_that_is_not_served(sound: Snapshot) -> None:
    stopped = replace(silence(sound, *places(sound, own=True)), is_served=False)
    finding = only(stopped)
    assert (finding.level, finding.code) == (Level.PROBLEM, "not-served")
    assert finding.mend == ("orrery serve --home HOME",)
    assert "203.0.113.7/9993" in finding.sentence


def test_another_program_has_the_port(sound: Snapshot) -> None:
    listener = Listener(Endpoint(bytes(4), 9993), "zerotier-one", 77)
    taken = replace(sound, is_served=False, network=replace(sound.network, listeners=(listener,)))
    finding = only(taken)
    assert finding.code == "port-taken"
    assert "zerotier-one (process 77)" in finding.sentence
    assert finding.mend == (
        "systemctl disable --now zerotier-one",
        "orrery serve --home HOME",
    )
    other = replace(listener, program="named")
    finding = only(replace(taken, network=replace(taken.network, listeners=(other,))))
    assert finding.mend[0] == "kill 77"


def test_the_root_answers_though_its_home_is_not_served(sound: Snapshot) -> None:
    assert only(replace(sound, is_served=False)).code == "another-server"


def test_a_server_that_does_not_answer_at_an_address_of_this_machine(sound: Snapshot) -> None:
    own = places(sound, own=True)
    silent = silence(sound, *own, local=frozenset(place.endpoint.ip for place in own))
    finding = only(silent)
    assert (finding.level, finding.code) == (Level.PROBLEM, "no-answer")
    finding = only(replace(silent, network=replace(silent.network, firewall="ufw")))
    assert finding.mend == ("ufw allow 9993/udp",)
    finding = only(replace(silent, network=replace(silent.network, firewall="firewall-cmd")))
    assert finding.mend == (
        "firewall-cmd --permanent --add-port=9993/udp",
        "firewall-cmd --reload",
    )


def test_behind_a_router_silence_says_little(sound: Snapshot) -> None:
    silent = silence(sound, *places(sound, own=True))
    assert findings(silent) == (), "nodes are heard, so it is reached"
    unheard = replace(silent, network=replace(silent.network, heard_at_ms=0))
    assert told(unheard) == [("note", "not-seen-from-here")]


def test_a_server_at_other_ports_than_nodes_are_told(home: Home) -> None:
    text = home.settings_path.read_text()
    home.settings_path.write_text(text.replace("0.0.0.0:9993", "0.0.0.0:19993"))
    sound = seen(home.path)
    own = places(sound, own=True)
    local = silence(sound, *own, local=frozenset(place.endpoint.ip for place in own))
    finding = only(local)
    assert (finding.level, finding.code) == (Level.PROBLEM, "other-port")
    assert "0.0.0.0/19993" in finding.sentence
    mapped = silence(sound, *own, heard_at_ms=0)
    assert told(mapped) == [("warning", "other-port")]


def test_a_server_that_hands_out_something_else(sound: Snapshot) -> None:
    other = replace(
        sound.network, held_ms=5, listeners=(Listener(Endpoint(bytes(4), 9993), "orrery", 42),)
    )
    finding = only(replace(sound, network=other))
    assert (finding.code, finding.mend) == ("serves-other", ("kill -HUP 42",))
    unknown = replace(sound.network, held_ms=None)
    assert findings(replace(sound, network=unknown)) == ()


def test_nobody_has_said_hello(sound: Snapshot) -> None:
    quiet = replace(sound, network=replace(sound.network, heard_at_ms=0))
    finding = only(quiet)
    assert (finding.level, finding.code) == (Level.NOTE, "no-nodes")
    assert "UDP port 9993" in finding.sentence
    hours = replace(sound.network, heard_at_ms=LATER_MS - 3 * 3_600_000)
    assert "for 3h" in only(replace(sound, network=hours)).sentence


def test_another_root_is_down(sound: Snapshot) -> None:
    others = places(sound, own=False)
    found = findings(silence(sound, *others))
    assert [(each.level, each.code) for each in found] == [(Level.PROBLEM, "root-down")]
    assert found[0].mend == ("systemctl restart orrery",)


def test_another_root_answers_at_one_of_its_places_only(tmp_path: Path) -> None:
    with sound_home(tmp_path / "home") as home:
        want(home, Endpoint.from_text("198.51.100.20:9993"), ELSEWHERE, root="root-2")
        publish(home, "home", NOW_MS + 2_000)
        sound = seen(home.path)
    silent = next(place for place in sound.network.asked if place.endpoint == ELSEWHERE)
    assert told(silence(sound, silent)) == [("warning", "no-answer")]


def test_a_root_that_no_world_lists(tmp_path: Path) -> None:
    with sound_home(tmp_path / "home") as home:
        sound = seen(home.path)
    assert sound.settings is not None
    (world,) = sound.settings.worlds
    (first, second) = world.roots
    alone = world.model_copy(update={"roots": [second]})
    other = sound.worlds[0].newest.roots
    newest = replace(
        sound.worlds[0].newest, roots=tuple(r for r in other if r.identity != first.identity)
    )
    assert len(newest.roots) == 1
    settings = sound.settings.model_copy(update={"worlds": [alone]})
    published = replace(sound.worlds[0], planned=None, chain=type(sound.worlds[0].chain)([newest]))
    codes = told(replace(sound, settings=settings, worlds=(published,)))
    assert ("warning", "not-a-root") in codes


# Rollouts and restores


def begun(home: Home, *, conducted: bool, **values: Any) -> Snapshot:
    """A rollout that moved last half an hour ago, and stands as it is said."""
    want(home, ONE, ELSEWHERE)
    order = make_plan(home, "home", LATER_MS).order
    rollout = begin(home, "home", order, LATER_MS)
    home.store.update_rollout(replace(rollout, **values), LATER_MS - 1_800_000)
    if conducted:
        assert home.store.acquire_lease(CONDUCTOR_LEASE, "a test", LATER_MS, 60_000)
    return seen(home.path)


def test_a_rollout_that_nobody_carries_out(home: Home) -> None:
    sound = begun(home, conducted=False)
    finding = only(sound)
    assert (finding.level, finding.code) == (Level.PROBLEM, "rollout-alone")
    assert "since 30m; the log of the server that runs tells why" in finding.sentence
    stopped = replace(silence(sound, *places(sound, own=True)), is_served=False)
    finding = only(stopped)
    assert finding.code == "not-served", "which mends both"
    assert "the rollout that was begun stands still" in finding.sentence


def test_a_rollout_that_waits_for_somebody(home: Home) -> None:
    reason = "step 1 is published when this is so: answering: 6e133e061d at 198.51.100.9/443"
    finding = only(begun(home, conducted=True, state=RolloutState.WAITING, reason=reason))
    assert (finding.level, finding.code) == (Level.PROBLEM, "rollout-waits")
    assert reason in finding.sentence


def test_a_rollout_that_goes_on_needs_nobody(home: Home) -> None:
    assert findings(begun(home, conducted=True, state=RolloutState.RUNNING)) == ()


def given(home: Home, seen_ms: int) -> Snapshot:
    """A rollout whose step was published and given to everybody, and nodes that lack it."""
    waits = {"state": RolloutState.WAITING, "reason": "every node holds it", "cohort": 0}
    sound = begun(home, conducted=True, **waits)
    (world,) = sound.worlds
    assert world.rollout is not None
    missing = tuple(MissingNode(Address(node), 1, seen_ms) for node in NODES)
    cohort = CohortView(0, "100%", True, 4, 0, missing)
    view = replace(world.rollout, target_ms=LATER_MS, cohorts=(cohort,))
    return replace(sound, worlds=(replace(world, rollout=view),))


def test_a_rollout_that_waits_for_nodes(home: Home) -> None:
    sound = given(home, LATER_MS)
    assert findings(sound) == (), "they sleep, and that is no trouble"
    weeks = replace(sound.time, now_ms=LATER_MS + 14 * DAY_MS)
    long = replace(sound, time=weeks, backups=replace(sound.backups, by_hand_at_ms=weeks.now_ms))
    finding = next(each for each in findings(long) if each.code == "rollout-long")
    assert finding.level == Level.NOTE
    named = ",".join(f"{node:010x}" for node in NODES)
    assert finding.mend == (
        "orrery stop --home HOME",
        f"orrery apply --exempt {named} --home HOME",
    )


def test_a_rollout_that_waits_for_a_file(home: Home) -> None:
    sound = given(home, LATER_MS)
    (world,) = sound.worlds
    assert world.rollout is not None
    view = world.rollout
    (step,) = view.order.plan.steps
    official = replace(step, done=(Adopted(1, (Address(0x1234567890),)),))
    order = replace(view.order, plan=replace(view.order.plan, steps=(official,)))
    nobody = tuple(replace(cohort, missing=()) for cohort in view.cohorts)
    waiting = replace(world, rollout=replace(view, order=order, cohorts=nobody))
    finding = only(replace(sound, worlds=(waiting,)))
    assert (finding.level, finding.code) == (Level.PROBLEM, "rollout-installs")
    assert "1234567890" in finding.sentence
    assert finding.mend[0].startswith("orrery world export ")


def test_a_restored_home(sound: Snapshot) -> None:
    newest = sound.worlds[0].newest
    mark = Mark(LATER_MS - 3 * DAY_MS, LATER_MS - 2 * DAY_MS, {})
    waiting = replace(sound, mark=mark, outlooks=(Outlook(newest, (), awaited=4, heard=1),))
    finding = only(waiting)
    assert (finding.level, finding.code) == (Level.PROBLEM, "unsettled")
    assert "2d ago" in finding.sentence
    assert "1 of 4 nodes" in finding.sentence
    assert finding.mend == ("orrery restore --finish --home HOME",)
    lost = LostRevision(newest.timestamp_ms + 9, 2, (Address(NODES[0]),))
    finding = only(replace(waiting, outlooks=(Outlook(newest, (lost,), awaited=4, heard=2),)))
    assert "2 nodes hold revision" in finding.sentence
    assert finding.mend == ("orrery restore --finish --world WORLD-FILE --home HOME",)


# Backups


RECIPIENT = "age1r5fmxj0retn3nnssvemddhhdrkqc6mxlamd4k7rffkshwy74pu4ss5tzcy"
WANTED = BackupSettings(to=Path("backups"), recipients=[RECIPIENT], every="1d")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("backups", "expected"),
    [
        (Backups(), [("warning", "no-backup")]),
        (Backups(by_hand_at_ms=LATER_MS - DAY_MS), []),
        (Backups(by_hand_at_ms=LATER_MS - 100 * DAY_MS), [("warning", "backup-old")]),
        (Backups(wanted=WANTED), [("problem", "backup-late")]),
        (
            Backups(wanted=WANTED, newest=Path("a"), newest_at_ms=LATER_MS - 2 * DAY_MS),
            [("problem", "backup-late")],
        ),
        (Backups(wanted=WANTED, newest=Path("a"), newest_at_ms=LATER_MS - DAY_MS), []),
        (Backups(wanted=WANTED, by_hand_at_ms=LATER_MS - DAY_MS), []),
        (
            Backups(
                wanted=WANTED, newest=Path("a"), newest_at_ms=LATER_MS - DAY_MS, is_whole=False
            ),
            [("problem", "backup-damaged")],
        ),
        (Backups(wanted=WANTED, obstacle="no place"), [("problem", "backup-place")]),
        (Backups(wanted=WANTED, can_seal=False), [("problem", "part-missing")]),
        (
            Backups(
                wanted=WANTED, newest=Path("a"), newest_at_ms=LATER_MS - DAY_MS, same_disk=True
            ),
            [("note", "backup-same-disk")],
        ),
    ],
)
def test_backups(sound: Snapshot, backups: Backups, expected: list[tuple[str, str]]) -> None:
    assert told(replace(sound, backups=backups)) == expected


def test_a_key_that_is_in_no_backup(sound: Snapshot) -> None:
    rotated = with_keys(sound, rotated_at_ms=LATER_MS)
    assert told(rotated) == [("warning", "key-not-in-backup")]
    without = replace(rotated, backups=Backups())
    assert told(without) == [("warning", "no-backup")], "which says it already"


# Who is stranded, and what hangs on one thing


def test_nodes_with_a_world_of_somebody_else(home: Home) -> None:
    see_nodes(home, holds_ms=12345, at_ms=LATER_MS - 1)
    finding = only(seen(home.path))
    assert (finding.level, finding.code) == (Level.PROBLEM, "stranded")
    assert finding.sentence.startswith("4 nodes (1000000000, ")
    (planet,) = home.served_worlds()
    assert finding.mend == (f"orrery world export --world {planet.id:016x} planet.new --home HOME",)


def test_nodes_that_hang_on_one_root(home: Home) -> None:
    first = home.store.chain(planet(home).id).revisions[0]
    see_nodes(home, holds_ms=first.timestamp_ms, at_ms=LATER_MS - 1)
    sound = seen(home.path)
    finding = only(sound)
    assert (finding.level, finding.code) == (Level.NOTE, "depends-on-root")
    assert "without root 6e133e061d" in finding.sentence


def test_nodes_that_know_only_a_root_that_is_down(home: Home) -> None:
    want_only(home, "root-2")
    publish(home, "home", NOW_MS + 5_000)
    see_nodes(home, at_ms=LATER_MS - 1)
    sound = seen(home.path)
    down = silence(sound, *places(sound, own=False))
    codes = [code for _, code in told(down)]
    assert codes.count("stranded") == 1
    assert codes.count("root-down") == 1


def planet(home: Home) -> World:
    (world,) = home.served_worlds()
    return world


def want_only(home: Home, name: str) -> None:
    """Leave one root in the settings."""
    import tomlkit

    document = tomlkit.parse(home.settings_path.read_text())
    roots = document["world"][0]["root"]
    for number in reversed(range(len(roots))):
        if roots[number]["name"] != name:
            del roots[number]
    home.save_settings(tomlkit.dumps(document))


def test_one_root(tmp_path: Path) -> None:
    with sound_home(tmp_path / "home") as home:
        want_only(home, "root-1")
        publish(home, "home", NOW_MS + 5_000)
        finding = only(seen(home.path))
    assert (finding.level, finding.code) == (Level.NOTE, "one-root")
    assert "at one address, 203.0.113.7/9993" in finding.sentence


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ("203.0.113.7:9994", "one-machine"),
        ("203.0.113.200:9993", "one-network"),
    ],
)
def test_roots_that_share_a_fate(tmp_path: Path, second: str, code: str) -> None:
    with sound_home(tmp_path / "home") as home:
        want(home, Endpoint.from_text(second), root="root-2")
        publish(home, "home", NOW_MS + 5_000)
        finding = only(seen(home.path))
    assert (finding.level, finding.code) == (Level.NOTE, code)


def test_roots_with_one_family_of_addresses(tmp_path: Path) -> None:
    with sound_home(tmp_path / "home") as home:
        six = seen(home.path)
        own = Endpoint.from_text("[2001:db8::7]:9993")
        told_v6 = replace(six, network=replace(six.network, own_ipv6=own))
        finding = only(told_v6)
        assert (finding.level, finding.code) == (Level.NOTE, "no-ipv6")
        assert '"2001:db8::7/9993"' in finding.sentence
        want(home, own)
        want(home, Endpoint.from_text("[2001:db9::8]:9993"), root="root-2")
        publish(home, "home", NOW_MS + 5_000, strand_everyone=True)
        assert ("warning", "ipv6-only") in told(seen(home.path))
