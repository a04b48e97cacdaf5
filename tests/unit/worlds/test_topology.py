from dataclasses import replace

import pytest

from orrery.errors import RefusalReason, UpdateRefused
from orrery.wire.address import Address
from orrery.wire.identity import Identity
from orrery.wire.world import UNSIGNED, WorldType
from orrery.worlds.topology import StateObject, StateWrite, Topology
from tests.unit.worlds.making import root, world

OWN = Identity(Address(0x1234567890), b"o" * 64)
MOON = WorldType.MOON


def address(number: int) -> Address:
    return root(number).identity.address


def started() -> Topology:
    topology = Topology(OWN)
    topology.start(world(10).encode(), None)
    return topology


def test_before_the_start_there_is_nobody() -> None:
    topology = Topology(OWN)
    assert topology.planet is None
    assert topology.upstreams == ()
    assert topology.start(None, None) == ()


def test_the_built_in_planet_comes_in_where_none_is_stored() -> None:
    topology = Topology(OWN)
    planet = world(10)
    assert topology.start(b"torn", planet) == (
        StateWrite(StateObject.PLANET, planet.id, planet.encode()),
    )
    assert topology.planet == planet


def test_a_refused_world_changes_nothing() -> None:
    topology = started()
    with pytest.raises(UpdateRefused):
        topology.add_world(world(11, signer="b", roots=[]))
    assert topology.planet == world(10)
    assert topology.upstreams == (address(1), address(2))


def test_a_moon_nobody_asked_for_is_refused() -> None:
    with pytest.raises(UpdateRefused) as caught:
        started().add_world(world(10, world_type=MOON))
    assert caught.value.reason is RefusalReason.NOT_AWAITED


def test_type_0_is_refused_even_by_a_node_without_a_planet() -> None:
    with pytest.raises(UpdateRefused) as caught:
        Topology(OWN).add_world(replace(world(1), type=WorldType.NULL, signature=UNSIGNED))
    assert caught.value.reason is RefusalReason.NULL_TYPE


def test_orbiting_from_a_seed_to_the_end() -> None:
    topology = started()
    moon = world(5, world_type=MOON, world_id=0xDEF, roots=[root(3, "198.51.100.3/1")])
    assert topology.orbit(moon.id, address(3)) == ()
    assert topology.orbit(moon.id, address(3)) == ()
    assert topology.awaited == ((moon.id, address(3)),)
    assert topology.moons_wanted == (moon.id,)
    assert topology.accepts_updates_from(address(3))
    assert not topology.accepts_updates_from(address(4))

    taken = topology.add_world(moon)
    assert taken == StateWrite(StateObject.MOON, moon.id, moon.encode())
    assert topology.moons == (moon,)
    assert not topology.moons_wanted
    assert [each.identity.address for each in topology.roots()] == list(map(address, (1, 2, 3)))

    assert topology.deorbit(moon.id) == (StateWrite(StateObject.MOON, moon.id, None),)
    assert topology.deorbit(moon.id) == ()
    assert not topology.accepts_updates_from(address(3))


def test_a_stored_moon_that_is_held_already_is_no_error() -> None:
    topology = started()
    stored = world(5, world_type=MOON).encode()
    assert topology.orbit(0xABC, None, stored) != ()
    assert topology.orbit(0xABC, address(9), stored) == ()
    assert topology.awaited == ()


def test_a_carried_dictionary_is_written_too() -> None:
    moon = world(5, world_type=MOON, dictionary=b"more")
    assert started().add_world(moon, always_accept_new=True).data == moon.encode()


def test_a_root_of_planet_and_moon_has_the_endpoints_of_both_once() -> None:
    topology = Topology(OWN)
    topology.start(world(1, roots=[root(1, "198.51.100.1/1", "198.51.100.1/2")]).encode(), None)
    moon = world(1, world_type=MOON, roots=[root(1, "198.51.100.1/2", "198.51.100.1/3")])
    topology.add_world(moon, always_accept_new=True)
    assert [endpoint.port for endpoint in topology.endpoints_of(address(1))] == [1, 2, 3]
    assert topology.endpoints_of(address(2)) == ()
    assert topology.upstreams == (address(1),)


def test_the_node_itself_is_no_upstream() -> None:
    own = replace(root(1), identity=OWN)
    topology = Topology(OWN)
    topology.start(world(1, roots=[own, root(2)]).encode(), None)
    assert topology.is_root
    assert topology.upstreams == (address(2),)
    assert [each.identity for each in topology.roots()] == [root(2).identity]


def test_somebody_with_our_address_and_another_key_is_one() -> None:
    impostor = replace(root(1), identity=Identity(OWN.address, b"i" * 64))
    topology = Topology(OWN)
    topology.start(world(1, roots=[impostor]).encode(), None)
    assert not topology.is_root
    assert topology.upstreams == (OWN.address,)


def test_each_moon_is_updated_for_itself() -> None:
    topology = started()
    for world_id in (1, 2):
        topology.add_world(world(5, world_type=MOON, world_id=world_id), always_accept_new=True)
    topology.add_world(world(6, world_type=MOON, world_id=2))
    assert [(moon.id, moon.timestamp_ms) for moon in topology.moons] == [(1, 5), (2, 6)]
