"""A root that its tool left on the official planet is given ours, and nobody else is."""

from dataclasses import replace

import pytest

from orrery.fleet.host_view import HostView, Running
from orrery.fleet.known import Known, KnownWorld
from orrery.fleet.wanting import Act, plan_for
from orrery.home.settings import HostSettings
from orrery.wire.address import Address
from orrery.wire.world import EARTH_ID, World, WorldType
from orrery.worlds.chain import Chain
from orrery.worlds.earth import EARTH
from tests.unit.worlds.making import key, root

OURS = root(1, "203.0.113.7/9994")
ROOT, NODE = OURS.identity.address, Address(0x2C3E8F527A)
FIXED_MS = 1_567_191_349_589


def first(world_id: int = EARTH_ID) -> World:
    """What docker-zerotier-planet makes: older than the official planet, often with its id."""
    signer = key("a")
    world = World(
        type=WorldType.PLANET,
        id=world_id,
        timestamp_ms=FIXED_MS,
        updates_must_be_signed_by=signer.public,
        roots=(OURS,),
    )
    return world.sign(signer)


def act_for(node: Address, held: World, ours: World) -> Act:
    known = Known((KnownWorld("planet", Chain([ours]), None, frozenset()),))
    running = Running(
        address=node,
        version="1.14.1",
        online=True,
        clock_ms=0,
        planet_id=held.id,
        planet_ms=held.timestamp_ms,
        moons={},
        peers=2,
    )
    view = HostView(name="root-1", where="here", node=node, planet=held, running=running)
    (standing,) = plan_for(known, HostSettings(name="root-1"), view).standings
    return standing.act


@pytest.mark.parametrize("world_id", [EARTH_ID, 0x1234], ids=["its id", "another id"])
def test_a_root_of_ours_is_given_its_own_planet(world_id: int) -> None:
    assert act_for(ROOT, EARTH, first(world_id)) is Act.INSTALL


def test_an_older_official_planet_is_no_other_one() -> None:
    older = replace(EARTH, timestamp_ms=EARTH.timestamp_ms - 1)
    assert act_for(ROOT, older, first()) is Act.INSTALL


@pytest.mark.parametrize("world_id", [EARTH_ID, 0x1234], ids=["its id", "another id"])
def test_a_node_on_the_official_planet_stays_there(world_id: int) -> None:
    assert act_for(NODE, EARTH, first(world_id)) is Act.REFUSED


def test_a_root_on_the_planet_of_others_stays_there() -> None:
    theirs = replace(first(0x5678), updates_must_be_signed_by=key("b").public)
    assert act_for(ROOT, theirs, first()) is Act.REFUSED
