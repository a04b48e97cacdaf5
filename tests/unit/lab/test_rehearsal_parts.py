"""The parts of a rehearsal: stand-ins, nodes, sleep, curves in letters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orrery.lab.chains import ChainMaker, root_of
from orrery.lab.churn import HOUR_MS, Daily, Sessions
from orrery.lab.curve import Curve
from orrery.lab.curve_text import draw_text
from orrery.lab.identities import make_unproven_identity
from orrery.lab.network import START_MS
from orrery.lab.rehearsal.cast import Cast
from orrery.lab.rehearsal.sample import WORLD_ID, make_sample
from orrery.lab.rehearsal.script import DAY_MS
from orrery.lab.rehearsal.sleeping import plan_nights
from orrery.lab.rehearsal.staging import cast_actors
from orrery.lab.seeded import seeded_entropy
from orrery.rollout.conditions import Answering
from orrery.rollout.fleet import Group, Standing
from orrery.rollout.places import Reach
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import WorldType
from orrery.worlds.acceptance import check_update

PLACES = [Endpoint.from_text(f"192.0.2.{n}/9993") for n in range(1, 4)]


def chain_with_rotations() -> ChainMaker:
    roots = [root_of(make_unproven_identity(str(place)), place) for place in PLACES]
    maker = ChainMaker(WorldType.MOON, 7, roots[:1], seeded_entropy(1), START_MS)
    maker.revise(roots[:2], rotate=True)
    maker.revise(roots, rotate=True)
    maker.revise(roots[1:])
    return maker


# -- stand-ins -------------------------------------------------------------------------------------


def test_stand_ins_are_the_same_but_for_every_key() -> None:
    chain = chain_with_rotations().chain
    cast = Cast(1)
    played = cast.chain(chain)
    assert len(played) == len(chain)
    for real, ours in zip(chain, played, strict=True):
        assert (ours.type, ours.id, ours.timestamp_ms) == (real.type, real.id, real.timestamp_ms)
        assert len(ours.encode()) == len(real.encode())
        assert ours.updates_must_be_signed_by != real.updates_must_be_signed_by
        for one, other in zip(real.roots, ours.roots, strict=True):
            assert one.identity.address == other.identity.address
            assert one.identity.public_key != other.identity.public_key
            assert one.endpoints == other.endpoints
    # The same key where it was the same: who missed what is led as on the real chain.
    keys = [world.updates_must_be_signed_by for world in chain]
    assert [keys.index(key) for key in keys] == [
        [each.updates_must_be_signed_by for each in played].index(world.updates_must_be_signed_by)
        for world in played
    ]
    assert cast.chain(chain).revisions == played.revisions
    assert Cast(2).chain(chain).revisions != played.revisions


def test_the_plan_of_stand_ins_can_be_carried_out_on_their_chain() -> None:
    script = make_sample(5)
    cast = Cast(1)
    chain = cast.chain(script.chain)
    plan = cast.plan(script.order.plan, chain)
    assert plan.start_signature == chain.newest.signature
    for number, step in enumerate(plan.steps):
        world = plan.world(step, chain.newest.timestamp_ms + 1)
        assert step.signed_by == chain.newest.updates_must_be_signed_by
        chain = chain.extend(cast.sign(world, step.signed_by))
        real = script.order.plan.steps[number]
        assert [root.endpoints for root in step.roots] == [root.endpoints for root in real.roots]
    places = [
        place
        for step in plan.steps
        for condition in step.before
        if isinstance(condition, Answering)
        for place in condition.places
    ]
    assert places
    assert {place.identity for place in places} <= {
        root.identity for step in plan.steps for root in step.roots
    }


def test_what_somebody_else_signed_leads_nowhere() -> None:
    chain = chain_with_rotations().chain
    cast = Cast(1)
    foreign = cast.foreign(chain, chain.newest.timestamp_ms - 5)
    assert foreign.id == chain.world_id
    with pytest.raises(Exception, match="sign"):
        check_update(foreign, cast.chain(chain).newest)


# -- nodes -----------------------------------------------------------------------------------------


def test_actors_are_the_nodes_or_like_them() -> None:
    script = make_sample(10)
    plan, chain = script.order.plan, script.chain
    held_ms = chain.newest.timestamp_ms
    rare = tuple(Address(0x2000000000 + n) for n in range(3))
    plan = replace(
        plan,
        fleet=(*plan.fleet, Group(Standing(held_ms - 9, Reach.IPV6, (5,)), rare)),
        exempt=(Group(Standing(held_ms), (Address(0x3000000000),)),),
    )
    everybody = cast_actors(plan, chain, (), frozenset(), None)
    assert len(everybody) == 14
    assert {actor.address for actor in everybody} >= {*rare, 0x3000000000}
    some = cast_actors(plan, chain, (), frozenset({rare[2]}), 6)
    assert len(some) == 6
    # All groups are there, and who is named.
    assert {actor.reach for actor in some} == {Reach.IPV4, Reach.IPV6, Reach.BOTH}
    assert rare[2] in {actor.address for actor in some}
    many = cast_actors(plan, chain, (), frozenset(), 1_000)
    assert len({actor.address for actor in many}) == 1_000
    assert {actor.address for actor in everybody} <= {actor.address for actor in many}
    of_rare = [actor for actor in many if actor.reach == Reach.IPV6]
    assert 150 < len(of_rare) < 280
    assert all(dict(actor.held) == {WORLD_ID: held_ms - 9} for actor in of_rare)
    nobody = replace(plan, fleet=(), exempt=())
    assert len(cast_actors(nobody, chain, (), frozenset(), 7)) == 7


@pytest.mark.parametrize("churn", [Sessions(0.25, HOUR_MS), Daily(used=0.8)])
def test_each_node_wakes_and_sleeps_in_turn(churn: Sessions | Daily) -> None:
    night = plan_nights(churn, 200, 7 * DAY_MS, 30 * DAY_MS, 1)
    assert night.turns == sorted(night.turns)
    assert all(0 < turn.at_ms <= 7 * DAY_MS for turn in night.turns)
    awake = [asleep_ms is None for asleep_ms in night.asleep]
    for turn in night.turns:
        assert awake[turn.node] is not turn.wakes
        awake[turn.node] = turn.wakes
    for asleep_ms, habit in zip(night.asleep, night.habits, strict=True):
        assert asleep_ms is None or 0 <= asleep_ms <= 30 * DAY_MS
        assert 0 <= habit.present_ms <= 7 * DAY_MS
        assert habit.absences >= 1
    assert night == plan_nights(churn, 200, 7 * DAY_MS, 30 * DAY_MS, 1)


def test_who_is_always_there_never_sleeps() -> None:
    night = plan_nights(Sessions(0.0), 5, DAY_MS, DAY_MS, 1)
    assert night.turns == []
    assert night.asleep == [None] * 5
    assert {habit.absences for habit in night.habits} == {0}


# -- the curve in letters --------------------------------------------------------------------------


def test_a_curve_in_letters() -> None:
    first = Curve("one", (1_000.0, 2_000.0), (0.5, 1.0))
    second = Curve("two", (6_000.0, 8_000.0), (0.25, 0.75))
    assert draw_text([first, second], width=47, height=5, scale="linear") == [
        " 100% ··········111111111111111111111111111111",
        "                1                            2",
        "  50% ·····11111·····························2",
        "           1                       2222222222",
        "   0% ········································",
        "      0    1 s  2 s  3 s  4 s      6 s  7 s",
    ]


def test_pictures_in_letters_fit_their_width() -> None:
    curves = [
        Curve(f"step {n}", (n * 3_600_000.0, n * 7_200_000.0), (0.9, 1.0)) for n in range(1, 40)
    ]
    for width in (40, 78, 120):
        lines = draw_text(curves, width=width)
        assert max(map(len, lines)) <= width
        assert len(lines) == 12
        assert not any(line.endswith(" ") for line in lines)
    assert "z" in "".join(draw_text(curves))
    nothing = draw_text([Curve("none", (0.0,), (0.0,))])
    assert nothing[0].startswith(" 100% ")
