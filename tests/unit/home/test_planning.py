"""What the planner is asked, made of a home: who has to follow, and what is known of the roots."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orrery.errors import CustodyError, PlanError, UsageError
from orrery.home import Home, SettingsEditor, publish, rotate_key
from orrery.home.planning import Told, kinds_of_change, make_plan
from orrery.home.rolling import begin, stop
from orrery.home.settings import ChangeKind
from orrery.rollout.cautions import Caution
from orrery.rollout.fleet import Group, Standing
from orrery.rollout.landscape import PlaceState
from orrery.rollout.places import Place, Reach
from orrery.rollout.plan import Plan, Refusal
from orrery.store import Fork
from orrery.vl1.forks import mark_of
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from tests.unit.home.making import ELSEWHERE, ONE, TWO, entropy, make_home, want
from tests.unit.store.making import NOW_MS, identity, key, sighting, world

ANNE, BERT, CLEO, DORA = (Address(0x1000000000 + number) for number in range(4))
OTHER = Endpoint.from_text("198.51.100.20:9993")
DAY_MS = 86_400_000
BY_IPV6 = "2001:db8::4/29994"
MOON = """
[[world]]
name = "moon"
kind = "moon"
id = "abcdef"

[[world.root]]
name = "one"
identity = "{}"
endpoints = ["203.0.113.7:9993"]
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "home") as made:
        yield made


def planet(home: Home) -> World:
    return next(world for world in home.served_worlds() if world.type.name == "PLANET")


def see(home: Home, node: Address, at_ms: int = NOW_MS, **told: object) -> None:
    values = {"planet_id": planet(home).id, "planet_timestamp_ms": planet(home).timestamp_ms}
    home.store.record([sighting(node, at_ms, **(values | told))])


def plan_of(home: Home, **told: object) -> Plan:
    answer = make_plan(home, "home", NOW_MS, Told(**told)).answer  # type: ignore[arg-type]
    assert isinstance(answer, Plan)
    return answer


def add_root(home: Home, software: str = "orrery", *endpoints: Endpoint) -> None:
    editor = SettingsEditor(home.settings_path.read_text())
    editor.add_root("home", "root-2", identity(1), endpoints or [OTHER])
    named = '\nname = "root-2"'
    text = editor.text().replace(named, f'{named}\nsoftware = "{software}"', 1)
    home.save_settings(text)


def test_nodes_are_sorted_by_what_they_hold_and_how_they_were_heard(home: Home) -> None:
    held_ms = planet(home).timestamp_ms
    see(home, ANNE)
    see(home, BERT, path=BY_IPV6)
    see(home, CLEO, path=BY_IPV6)
    see(home, CLEO, NOW_MS + 1)
    see(home, DORA, NOW_MS - 31 * DAY_MS)
    planned = make_plan(home, "home", NOW_MS)
    assert planned.fleet.counted == (
        Group(Standing(held_ms, Reach.IPV4), (ANNE,)),
        Group(Standing(held_ms, Reach.IPV6), (BERT,)),
        Group(Standing(held_ms, Reach.BOTH), (CLEO,)),
    )
    assert [group.addresses for group in planned.fleet.unseen] == [(DORA,)]
    assert planned.last_seen_ms[CLEO] == NOW_MS + 1


def test_roots_and_who_holds_nothing_of_it_are_no_nodes(home: Home) -> None:
    add_root(home)
    see(home, identity(0).address)
    see(home, identity(1).address)
    see(home, ANNE, planet_id=0x1234, planet_timestamp_ms=1)
    assert make_plan(home, "home", NOW_MS).fleet.counted == ()


def test_a_root_that_retired_is_no_node(home: Home) -> None:
    see(home, ANNE)
    see(home, BERT)
    home.store.note_root(BERT, (str(OTHER),), NOW_MS - 20 * DAY_MS)
    ((_, nodes),) = make_plan(home, "home", NOW_MS).fleet.counted
    assert nodes == (ANNE,)


def test_a_fork_is_none_of_the_chain_though_its_timestamp_is_one_of_it(home: Home) -> None:
    see(home, ANNE)
    newest = planet(home)
    rival = world(newest.timestamp_ms, signer=key(9), world_id=newest.id)
    names = rival.updates_must_be_signed_by
    home.store.record(
        forks=[Fork(ANNE, newest.id, newest.timestamp_ms, NOW_MS, mark_of(rival), names)]
    )
    want(home, ONE)
    planned = make_plan(home, "home", NOW_MS)
    assert planned.fleet.counted[0].standing.holds_ms == newest.timestamp_ms + 1
    assert isinstance(planned.answer, Refusal)
    assert plan_of(home, exempt=(ANNE,)).stranded[0].group.addresses == (ANNE,)


def test_moons_of_the_home_lead_nodes_too(home: Home) -> None:
    text = home.settings_path.read_text()
    home.save_settings(text.replace("\n[serve]", f"{MOON.format(identity(0).public())}\n[serve]"))
    rotate_key(home, "moon", NOW_MS, entropy("moon"))
    moon = publish(home, "moon", NOW_MS).world
    see(home, ANNE, moons=((moon.id, moon.timestamp_ms),))
    see(home, BERT, moons=((moon.id, 0),))
    planned = make_plan(home, "home", NOW_MS)
    assert planned.landscape.beside == {moon.id: moon.roots}
    assert {group.standing.beside: group.addresses for group in planned.fleet.counted} == {
        (): (BERT,),
        (moon.id,): (ANNE,),
    }
    waiting = make_plan(home, "moon", NOW_MS).fleet.counted
    assert {group.standing.holds_ms for group in waiting} == {0, moon.timestamp_ms}


def test_a_key_that_was_rotated_is_to_be_named(home: Home) -> None:
    assert make_plan(home, "home", NOW_MS).wish.key is None
    made = rotate_key(home, "home", NOW_MS, entropy("new"))
    planned = make_plan(home, "home", NOW_MS)
    assert planned.wish.key == made.public
    assert isinstance(planned.answer, Plan)
    assert kinds_of_change(planned.chain.newest, planned.answer) == {ChangeKind.ROTATE_KEY}
    elsewhere = make_plan(home, "home", NOW_MS, Told(next_key=key(5).public))
    assert elsewhere.wish.key == key(5).public


def test_without_keys_the_one_that_is_named_stays(home: Home) -> None:
    for path in home.keys.directory.rglob("*.c25519"):
        path.unlink()
    assert make_plan(home, "home", NOW_MS).wish.key is None


def test_a_key_that_others_can_read_is_refused(home: Home) -> None:
    (path,) = home.keys.directory.rglob("*.c25519")
    path.chmod(0o644)
    with pytest.raises(CustodyError, match="chmod 600"):
        make_plan(home, "home", NOW_MS)


def test_kinds_of_change_are_told_apart(home: Home) -> None:
    see(home, ANNE)
    want(home, ONE, TWO, ELSEWHERE)
    newest = planet(home)
    assert kinds_of_change(newest, plan_of(home)) == {ChangeKind.ADD_ENDPOINT}
    want(home, ONE)
    assert kinds_of_change(newest, plan_of(home)) == {ChangeKind.REMOVE_ENDPOINT}
    want(home, ONE, ELSEWHERE)
    add_root(home)
    assert kinds_of_change(newest, plan_of(home)) == {
        ChangeKind.ADD_ENDPOINT,
        ChangeKind.REMOVE_ENDPOINT,
        ChangeKind.ADD_ROOT,
    }
    steps = plan_of(home).steps
    gone = replace(plan_of(home), steps=(replace(steps[0], roots=steps[-1].roots[:1]),))
    assert ChangeKind.REMOVE_ROOT in kinds_of_change(replace(newest, roots=steps[-1].roots), gone)


def test_what_is_told_of_places_is_understood(home: Home) -> None:
    add_root(home)
    own, other = identity(0).public(), identity(1).public()
    one, two, there = Place(own, ONE), Place(own, TWO), Place(other, OTHER)

    def told(**values: object) -> object:
        return make_plan(home, "home", NOW_MS, Told(**values)).landscape  # type: ignore[arg-type]

    assert told(gone=("203.0.113.7:9993",)).states == {one: PlaceState.GONE}  # type: ignore[attr-defined]
    for name in ("root-1", f"{own.address:010X}"):
        assert told(gone=(name,)).states == dict.fromkeys((one, two), PlaceState.GONE)  # type: ignore[attr-defined]
    assert told(in_turn=((str(ONE), "root-2"),)).in_turn == ((one, there),)  # type: ignore[attr-defined]
    assert told(official=("root-2",)).official == {other.address: None}  # type: ignore[attr-defined]
    for wrong in ({"gone": ("203.0.113.8:1",)}, {"official": ("nobody",)}):
        with pytest.raises(UsageError, match=r"there (are|is)"):
            told(**wrong)


def test_official_roots_are_known_by_their_setting_and_hold_what_they_told(home: Home) -> None:
    add_root(home, "zerotier-one")
    official = identity(1).address
    assert make_plan(home, "home", NOW_MS).landscape.official == {official: None}
    see(home, official)
    held = {official: planet(home).timestamp_ms}
    assert make_plan(home, "home", NOW_MS).landscape.official == held


def test_a_leaving_root_that_tells_what_nodes_tell_is_official(home: Home) -> None:
    add_root(home)
    publish(home, "home", NOW_MS)
    editor = SettingsEditor(home.settings_path.read_text())
    editor.remove_root("home", "root-2")
    home.save_settings(editor.text())
    leaving = identity(1).address
    assert make_plan(home, "home", NOW_MS).landscape.official == {}
    see(home, leaving)
    assert make_plan(home, "home", NOW_MS).landscape.official.keys() == {leaving}
    home.store.note_root(leaving, [str(OTHER)], NOW_MS)
    assert make_plan(home, "home", NOW_MS).landscape.official == {}
    with pytest.raises(UsageError, match="works with this home, so it runs Orrery"):
        make_plan(home, "home", NOW_MS, Told(official=(f"{leaving:010x}",)))


@pytest.fixture
def retired(home: Home) -> Address:
    """An official root that is a root no more."""
    add_root(home, "zerotier-one")
    publish(home, "home", NOW_MS)
    editor = SettingsEditor(home.settings_path.read_text())
    editor.remove_root("home", "root-2")
    home.save_settings(editor.text())
    publish(home, "home", NOW_MS)
    return identity(1).address


@pytest.mark.parametrize(
    ("seen_ms", "now_ms", "counts"),
    [
        pytest.param(0, 0, True, id="it still runs"),
        pytest.param(0, 2 * 60_000, True, id="it was seen lately"),
        pytest.param(0, 4 * 60_000, False, id="it fell silent"),
        pytest.param(23 * 3_600_000, 3 * DAY_MS, False, id="switched off the day after"),
        pytest.param(25 * 3_600_000, 3 * DAY_MS, True, id="it went on as a node"),
        pytest.param(DAY_MS * 20, DAY_MS * 20, True, id="it came back"),
    ],
)
def test_an_official_root_that_retired_counts_as_long_as_it_runs(
    home: Home, retired: Address, seen_ms: int, now_ms: int, counts: bool
) -> None:
    see(home, ANNE, NOW_MS + now_ms)
    see(home, retired, NOW_MS + seen_ms)
    want(home, ONE)
    planned = make_plan(home, "home", NOW_MS + now_ms)
    assert planned.retired == (() if counts else (retired,))
    nodes = {address for group in planned.fleet.counted for address in group.addresses}
    assert nodes == ({ANNE, retired} if counts else {ANNE})
    assert isinstance(planned.answer, Plan)
    exempt = {address for group in planned.answer.exempt for address in group.addresses}
    assert exempt == (set() if counts else {retired})


def test_a_root_that_is_wanted_again_is_not_retired(home: Home, retired: Address) -> None:
    see(home, retired)
    add_root(home, "zerotier-one")
    assert make_plan(home, "home", NOW_MS + DAY_MS).retired == ()


def test_a_root_retires_when_the_rollout_that_lets_it_go_is_over(home: Home) -> None:
    add_root(home, "zerotier-one")
    publish(home, "home", NOW_MS)
    editor = SettingsEditor(home.settings_path.read_text())
    editor.remove_root("home", "root-2")
    home.save_settings(editor.text())
    order = make_plan(home, "home", NOW_MS).order
    rollout = begin(home, "home", order, NOW_MS)
    publish_beside(home)
    official = identity(1).address
    see(home, official, NOW_MS + 5 * DAY_MS)
    stop(home, "home", NOW_MS + 5 * DAY_MS)
    ended = home.store.rollout(rollout.number)
    assert ended is not None
    assert ended.ended_at_ms == NOW_MS + 5 * DAY_MS
    assert make_plan(home, "home", NOW_MS + 6 * DAY_MS).retired == (official,)


def publish_beside(home: Home) -> None:
    """Store what a rollout would have published: without the second root."""
    newest = planet(home)
    only = replace(
        newest,
        timestamp_ms=newest.timestamp_ms + 1,
        roots=tuple(root for root in newest.roots if root.identity == home.identity().public()),
    )
    signer = home.keys.signer_for(newest.id, newest.updates_must_be_signed_by)
    home.store.add_revision(only.sign(signer), NOW_MS, "beside", after_ms=newest.timestamp_ms)


def test_what_is_said_of_a_plan_belongs_to_it(home: Home) -> None:
    want(home, ELSEWHERE)
    (warned,) = make_plan(home, "home", NOW_MS).cautions
    assert warned.caution is Caution.NOBODY_SEEN
    see(home, ANNE)
    assert make_plan(home, "home", NOW_MS).cautions == ()
    assert make_plan(home, "home", NOW_MS, Told(gone=("root-1",))).cautions == ()


def test_a_refused_plan_gives_no_order(home: Home) -> None:
    see(home, ANNE)
    want(home, ELSEWHERE)
    planned = make_plan(home, "home", NOW_MS, Told(gone=("root-1",)))
    with pytest.raises(PlanError, match="this is not safe"):
        assert planned.order
