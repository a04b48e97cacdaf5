"""What a host should hold, and what is to be done for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orrery.fleet.host_view import HostFile, HostView, Running
from orrery.fleet.known import Known, KnownWorld
from orrery.fleet.wanting import Act, HostPlan, plan_for, seed_of
from orrery.home.settings import HostSettings
from orrery.wire.address import Address
from orrery.wire.world import World, WorldType
from orrery.worlds.chain import Chain
from orrery.worlds.earth import EARTH
from orrery.worlds.stage import NOBODY, Membership, Stage
from tests.unit.worlds.making import key, root

ROOT = root(1, "203.0.113.7/9993")
OTHER = root(2, "203.0.113.8/9993")
NODE = Address(0x2C3E8F527A)
PLANET_ID, MOON_ID, LONG_MOON_ID = 0xED1E7D19F7000001, ROOT.identity.address, 0xFF00000000000001


def revision(time: int, *, signer: str = "a", names: str = "", **more: Any) -> World:
    return World(
        type=more.get("type", WorldType.PLANET),
        id=more.get("id", PLANET_ID),
        timestamp_ms=time,
        updates_must_be_signed_by=key(names or signer).public,
        roots=more.get("roots", (ROOT, OTHER)),
    ).sign(key(signer))


FIRST, SECOND, THIRD = (revision(time) for time in (1000, 2000, 3000))
PLANET = KnownWorld("home", Chain([FIRST, SECOND, THIRD]), None, frozenset())
MOON = revision(500, type=WorldType.MOON, id=MOON_ID)
NEXT_MOON = revision(600, type=WorldType.MOON, id=MOON_ID)


def running(planet: World | None, **more: Any) -> Running:
    return Running(
        address=more.pop("address", NODE),
        version="1.14.1",
        online=True,
        clock_ms=0,
        planet_id=0 if planet is None else planet.id,
        planet_ms=0 if planet is None else planet.timestamp_ms,
        moons=more.pop("moons", {}),
        peers=1,
    )


def view(file: World | None, runs: World | None, node: Address = NODE, **more: Any) -> HostView:
    moons = more.pop("running_moons", {})
    return HostView(
        name="host",
        where="here",
        node=node,
        planet=file,
        running=None if runs is None else running(runs, address=node, moons=moons),
        **more,
    )


def plan(seen: HostView, *worlds: KnownWorld, may_replace: bool = False, **host: Any) -> HostPlan:
    settings = HostSettings.model_validate({"name": "host", **host})
    return plan_for(Known(worlds or (PLANET,)), settings, seen, replace=may_replace)


def act(seen: HostView, *worlds: KnownWorld, **more: Any) -> Act:
    return plan(seen, *worlds, **more).standings[0].act


@pytest.mark.parametrize(
    ("file", "runs", "expected"),
    [
        (THIRD, THIRD, Act.NOTHING),
        (FIRST, THIRD, Act.REPAIR),
        (None, THIRD, Act.REPAIR),
        (THIRD, FIRST, Act.RESTART),
        (THIRD, None, Act.RESTART),
        (SECOND, SECOND, Act.INSTALL),
        (FIRST, None, Act.INSTALL),
        (None, None, Act.INSTALL),
        (revision(900), revision(900), Act.INSTALL),  # before our chain, and led to it
        (EARTH, EARTH, Act.REFUSED),
        (None, EARTH, Act.REFUSED),
        (revision(900, signer="b"), None, Act.REFUSED),
        (revision(3000, signer="b"), revision(3000, signer="b"), Act.REFUSED),
        (revision(4000), None, Act.REFUSED),
        (SECOND, revision(4000), Act.REFUSED),
    ],
)
def test_what_is_done_for_a_planet(file: World | None, runs: World | None, expected: Act) -> None:
    assert act(view(file, runs)) is expected


@pytest.mark.parametrize(
    ("file", "runs"),
    [
        (EARTH, EARTH),
        (None, EARTH),
        (revision(900, signer="b"), None),
        (revision(3000, signer="b"), revision(3000, signer="b")),
        (revision(4000, signer="b"), revision(4000, signer="b")),
    ],
)
def test_what_is_none_of_ours_is_replaced_when_it_is_said(
    file: World | None, runs: World | None
) -> None:
    assert act(view(file, runs), may_replace=True) is Act.INSTALL


@pytest.mark.parametrize("runs", [None, revision(4000)])
def test_what_is_newer_than_ours_is_never_replaced(runs: World | None) -> None:
    (standing,) = plan(view(revision(4000), runs), may_replace=True).standings
    assert standing.act is Act.REFUSED
    assert "this home is behind" in standing.sentence


def staged(opened: Membership, first: frozenset[Address] = frozenset()) -> KnownWorld:
    return replace(PLANET, stage=Stage(2000, opened), first=first)


def test_a_node_gets_what_its_cohort_may_have() -> None:
    seen = view(FIRST, FIRST)
    assert plan(seen, staged(NOBODY)).standings[0].world == SECOND
    assert plan(seen, staged(Membership(named=frozenset({NODE})))).standings[0].world == THIRD


def test_a_root_comes_last_but_where_it_has_to_come_first() -> None:
    address = ROOT.identity.address
    seen = view(FIRST, FIRST, address)
    named = Membership(named=frozenset({address}))
    assert plan(seen, staged(named)).standings[0].world == SECOND
    assert plan(seen, staged(NOBODY, frozenset({address}))).standings[0].world == THIRD


def test_a_node_that_is_ahead_of_its_cohort_is_not_taken_back() -> None:
    assert act(view(THIRD, THIRD), staged(NOBODY)) is Act.NOTHING
    (standing,) = plan(view(SECOND, THIRD), staged(NOBODY)).standings
    assert (standing.act, standing.world) == (Act.REPAIR, THIRD)


def test_a_file_that_is_ahead_of_a_roots_turn_is_taken_back_before_it_is_read() -> None:
    (standing,) = plan(view(THIRD, SECOND, ROOT.identity.address), staged(NOBODY)).standings
    assert (standing.act, standing.world) == (Act.REPAIR, SECOND)


def moon(*revisions: World) -> KnownWorld:
    return KnownWorld("moon", Chain(revisions or [MOON]), None, frozenset())


def test_a_moon_is_taken_from_its_file_without_a_restart() -> None:
    seen = view(THIRD, THIRD)
    assert [each.name for each in plan(seen, PLANET, moon()).standings] == ["home"]
    made = plan(seen, PLANET, moon(), worlds=["home", "moon"])
    assert [each.act for each in made.standings] == [Act.NOTHING, Act.ORBIT]
    assert not made.restarts


def test_a_newer_moon_takes_a_restart() -> None:
    seen = view(THIRD, THIRD, moons={MOON_ID: MOON}, running_moons={MOON_ID: 500})
    assert plan(seen, moon(MOON, NEXT_MOON)).standings[0].act is Act.INSTALL


def test_a_moon_comes_as_a_file_where_there_is_a_restart_anyway_or_its_id_is_too_long() -> None:
    made = plan(view(FIRST, FIRST), PLANET, moon(), worlds=["home", "moon"])
    assert [each.act for each in made.standings] == [Act.INSTALL, Act.INSTALL]
    long = moon(revision(500, type=WorldType.MOON, id=LONG_MOON_ID))
    assert act(view(THIRD, THIRD), long, worlds=["moon"]) is Act.INSTALL


def test_a_root_of_a_moon_has_it_unasked() -> None:
    made = plan(view(THIRD, THIRD, ROOT.identity.address), PLANET, moon())
    assert [each.name for each in made.standings] == ["home", "moon"]


def test_the_seed_is_another_root_where_there_is_one() -> None:
    assert seed_of(MOON, ROOT.identity.address) == OTHER.identity.address
    alone = revision(500, type=WorldType.MOON, id=MOON_ID, roots=(ROOT,))
    assert seed_of(alone, ROOT.identity.address) == ROOT.identity.address


LINK = HostFile(name="planet", mode=0o777, uid=0, gid=0, is_plain=False)


@pytest.mark.parametrize(
    ("changes", "host", "words"),
    [
        ({"error": "it is gone"}, {}, "it is gone"),
        ({"node": None}, {}, "zerotier-one never ran there"),
        ({}, {"node": "1111111111"}, "orrery.toml says 1111111111"),
        ({"files": {"orrery.toml": replace(LINK, is_plain=True)}}, {}, "home of an Orrery root"),
        ({"is_writable": False}, {}, "this user may not write to"),
        ({"files": {"planet": LINK}}, {}, "is a symbolic link"),
        ({"running": None, "running_error": "authtoken.secret not found"}, {}, "sudo = true"),
        ({"running": None, "running_error": "zerotier-cli is missing"}, {}, "no zerotier-cli"),
        ({"disk_total_bytes": 1 << 30, "disk_free_bytes": 1000}, {}, "no room for a backup"),
    ],
)
def test_where_nothing_may_be_done_at_all(
    changes: dict[str, Any], host: dict[str, Any], words: str
) -> None:
    made = plan(replace(view(FIRST, FIRST), **changes), **host)
    assert words in made.refusal
    assert made.objection == made.refusal
    assert not made.is_done
    assert not made.standings
