"""Plans against an adversary, who chooses what happens when (see `adversary.py`)."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

import pytest

from orrery.rollout.fleet import Fleet
from orrery.rollout.plan import Plan, Reason, Refusal
from orrery.rollout.planner import plan
from tests.simulation.adversary import (
    Facts,
    Game,
    Stranding,
    check_arrival,
    explore,
    script_of,
    wander,
)
from tests.simulation.adversary_cases import (
    KNOTTY,
    LARGE,
    MEDIUM,
    SMALL,
    TINY,
    Case,
    Size,
    hard_cases,
    make_case,
)
from tests.simulation.adversary_mutants import MUTANTS, Mutant, plant
from tests.simulation.adversary_shortest import find_script

if TYPE_CHECKING:
    from tests.simulation.adversary_mutants import Planner

MANY = 10_000
"""Of how many random plans none may strand a node (the slow test)."""


def game_of(case: Case, found: Plan) -> Game:
    """The game for a plan: the one for the wish, or the nearest of a refusal."""
    wanted = found.steps[-1].roots if found.steps else case.chain.newest.roots
    wish = replace(case.wish, roots=wanted, spare_root=found.spare_root)
    facts = Facts.of(case.chain, wish, Fleet(found.fleet), case.landscape)
    return Game(facts, script_of(facts, found))


def plan_or_nearest(case: Case) -> Plan | None:
    answer = plan(*case)
    return answer.nearest if isinstance(answer, Refusal) else answer


@pytest.mark.parametrize(
    ("size", "count"), [(TINY, 150), (SMALL, 150), (KNOTTY, 250), (MEDIUM, 150)]
)
def test_whatever_happens_nobody_is_stranded(size: Size, count: int) -> None:
    planned = 0
    for seed in range(count):
        case = make_case(Random(seed), size)
        found = plan_or_nearest(case)
        if found is not None:
            planned += 1
            game = game_of(case, found)
            check_arrival(game)
            explore(game)
    assert planned > 0.9 * count


def test_large_fleets_are_not_stranded_whatever_way_things_go() -> None:
    for seed in range(60):
        random = Random(seed)
        case = make_case(random, LARGE)
        found = plan_or_nearest(case)
        assert found is not None
        game = game_of(case, found)
        check_arrival(game)
        wander(game, random)


@pytest.mark.parametrize("case", hard_cases())
def test_what_is_seldom_met_by_chance(case: Case) -> None:
    found = plan_or_nearest(case)
    assert found is not None
    game = game_of(case, found)
    check_arrival(game)
    explore(game)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_plans_strand_nobody() -> None:
    carried_out = states = 0
    lengths = [0, 0, 0, 0]
    for seed in range(1_000_000, 2_000_000):
        random = Random(seed)
        size = random.choice([TINY, SMALL, KNOTTY, MEDIUM, MEDIUM, LARGE])
        case = make_case(random, size)
        found = plan_or_nearest(case)
        if found is None or not found.steps:
            continue
        assert Plan.from_data(json.loads(json.dumps(found.to_data()))) == found
        game = game_of(case, found)
        check_arrival(game)
        states += wander(game, random) if size is LARGE else explore(game)
        carried_out += 1
        lengths[len(found.steps)] += 1
        if carried_out == MANY:
            break
    assert carried_out == MANY
    print(f"{carried_out:,} plans, {states:,} states, by steps: {lengths[1:]}")


# Fewest steps


def check_shortest(case: Case) -> int | None:
    """Check that no shorter way is safe; how many steps there are."""
    answer = plan(*case)
    if isinstance(answer, Plan):
        steps = len(answer.steps)
    elif answer.reason in (Reason.NO_SPARE, Reason.NO_WAY):
        steps = 3
    else:
        return None
    facts = Facts.of(*case)
    for fewer in range(steps):
        found = find_script(facts, fewer)
        assert found is None, f"{fewer} steps are enough: {found}"
    return steps


@pytest.mark.parametrize(("size", "count"), [(TINY, 300), (KNOTTY, 500)])
def test_no_shorter_plan_is_safe(size: Size, count: int) -> None:
    lengths = {check_shortest(make_case(Random(seed), size)) for seed in range(count)}
    assert lengths >= {None, 0, 1, 2}


@pytest.mark.parametrize("case", hard_cases()[:1])
def test_no_plan_at_all_is_safe_where_none_was_found(case: Case) -> None:
    assert isinstance(plan(*case), Refusal)
    assert check_shortest(case) == 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_shorter_plan_is_safe_in_ten_thousand_cases() -> None:
    wider = Size(identities=4, roots=2, endpoints=3, revisions=2, sorts=2, knots=0.5)
    longer = Size(identities=4, roots=3, endpoints=2, revisions=2, sorts=2, knots=0.9)
    for seed in range(10_000):
        random = Random(seed)
        check_shortest(make_case(random, random.choice([TINY, KNOTTY, KNOTTY, wider, longer])))


# Mutants


def catches(planner: Planner, case: Case) -> bool:
    """Whether the adversary beats what a planner makes of a case."""
    found = planner(*case)
    if not isinstance(found, Plan):
        return False
    try:
        game = game_of(case, found)
        check_arrival(Game(Facts.of(*case), game.script))
        explore(game)
    except Stranding:
        return True
    return False


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planner_with_a_mistake_is_caught(mutant: Mutant) -> None:
    planner = plant(mutant)
    by_chance = (
        make_case(Random(seed), size) for seed in range(300) for size in (MEDIUM, KNOTTY, TINY)
    )
    caught = next((case for case in chain(hard_cases(), by_chance) if catches(planner, case)), None)
    assert caught is not None
    assert not catches(plan, caught)
