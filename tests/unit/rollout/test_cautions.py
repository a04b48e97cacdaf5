"""What is said of a plan that is safe: who is offline for a while, and that nobody was seen."""

from dataclasses import replace

import pytest

from orrery.rollout.cautions import Caution, Warned, cautions
from orrery.rollout.fleet import Fleet, Group, Node, Standing
from orrery.rollout.landscape import Landscape
from orrery.rollout.places import Reach
from orrery.rollout.plan import Plan
from orrery.rollout.planner import plan
from orrery.rollout.wish import Wish
from orrery.wire.address import Address
from orrery.wire.world import Root, World, WorldType
from orrery.worlds.chain import Chain
from tests.unit.worlds.making import key, root

START_MS = 1_790_000_000_000
ANNE, BERT = Address(0x2C3E8F527A), Address(0xDD87C5DC2D)
HERE, PORT, THERE = "198.51.100.1/9993", "198.51.100.1/443", "203.0.113.9/9993"
HERE6, PORT6 = "2001:db8::1/9993", "2001:db8::1/443"


def first(*roots: Root, world_type: WorldType = WorldType.PLANET) -> World:
    signer = key("a")
    world = World(
        type=world_type,
        id=0xABC,
        timestamp_ms=START_MS,
        updates_must_be_signed_by=signer.public,
        roots=roots,
    )
    return world.sign(signer)


def said_of(
    before: World,
    *wanted: Root,
    nodes: tuple[Node, ...] = (Node(ANNE, START_MS, START_MS, Reach.IPV4),),
    official: tuple[Root, ...] = (),
    new_key: bytes | None = None,
) -> tuple[Warned, ...]:
    held = {each.identity.address: before.timestamp_ms for each in official}
    found = plan(
        Chain([before]),
        Wish(type=before.type, id=before.id, roots=wanted, key=new_key, spare_root=True),
        Fleet.of(nodes, now_ms=START_MS, horizon_ms=1000),
        Landscape(official=held),
    )
    assert isinstance(found, Plan), found
    return cautions(found, before, held)


def test_who_lives_by_a_port_that_stops_is_offline_until_it_looks_elsewhere() -> None:
    (warned,) = said_of(first(root(1, HERE)), root(1, PORT))
    assert (warned.caution, warned.step, warned.nodes) == (Caution.OFFLINE_FOR_A_WHILE, 2, 1)
    address = f"{root(1, HERE).identity.address:010x}"
    assert warned.sentence == (
        f"when {address} at {HERE} stops after step 2, 1 node may be offline for up to 8 minutes, "
        f"until they look at {address} at {PORT} by themselves: they take no notice of it while "
        "the old one answers; a second root spares them that"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([root(1, HERE)], [root(1, THERE)], id="another address"),
        pytest.param([root(1, HERE)], [root(1, PORT, THERE)], id="another address as well"),
        pytest.param([root(1, HERE)], [root(1, HERE, PORT)], id="nothing stops"),
        pytest.param(
            [root(1, HERE), root(2, THERE)], [root(1, PORT), root(2, THERE)], id="a second root"
        ),
        pytest.param([root(1, HERE)], [root(2, PORT)], id="another root at that port"),
    ],
)
def test_nobody_is_offline(before: list[Root], after: list[Root]) -> None:
    assert said_of(first(*before), *after) == ()


def test_a_second_port_that_was_listed_all_along_may_not_be_in_use() -> None:
    (warned,) = said_of(first(root(1, HERE, PORT)), root(1, PORT))
    assert warned.step == 1


def test_nobody_shows_nodes_the_new_address_of_an_only_official_root() -> None:
    before = root(1, HERE)
    (warned,) = said_of(first(before), root(1, THERE), official=(before,))
    assert warned.caution is Caution.OFFLINE_FOR_A_WHILE


def test_it_is_said_of_those_whom_the_other_family_does_not_help() -> None:
    nodes = (
        Node(ANNE, START_MS, START_MS, Reach.IPV4),
        Node(BERT, START_MS, START_MS, Reach.BOTH),
    )
    (warned,) = said_of(first(root(1, HERE, HERE6)), root(1, PORT, HERE6), nodes=nodes)
    assert (warned.nodes, warned.step) == (1, 2)
    both = said_of(first(root(1, HERE, HERE6)), root(1, PORT, PORT6), nodes=nodes)
    assert [each.nodes for each in both] == [1, 1]


def test_the_roots_of_a_moon_keep_nobody_online() -> None:
    moon = first(root(1, HERE), world_type=WorldType.MOON)
    assert said_of(moon, root(1, PORT)) == ()


def test_a_plan_that_takes_something_away_says_that_nobody_was_seen() -> None:
    before = first(root(1, HERE), root(2, THERE))
    (warned,) = said_of(before, root(2, THERE), nodes=())
    assert (warned.caution, warned.step) == (Caution.NOBODY_SEEN, 0)
    assert "until `orrery nodes` lists yours" in warned.sentence
    (of_the_key,) = said_of(before, *before.roots, nodes=(), new_key=key("b").public)
    assert of_the_key.caution is Caution.NOBODY_SEEN
    assert said_of(before, *before.roots, root(3, PORT), nodes=()) == ()
    assert said_of(before, root(2, THERE)) == ()


def test_who_is_exempt_was_seen() -> None:
    before = first(root(1, HERE), root(2, THERE))
    found = plan(
        Chain([before]),
        Wish(type=before.type, id=before.id, roots=(root(2, THERE),), key=None, spare_root=True),
        Fleet(),
        Landscape(),
    )
    assert isinstance(found, Plan)
    exempt = replace(found, exempt=(Group(Standing(START_MS), (ANNE,)),))
    assert cautions(exempt, before, ()) == ()
