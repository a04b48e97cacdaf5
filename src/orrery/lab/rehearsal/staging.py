"""From what a home plans and has seen to a rehearsal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain as chain_together
from itertools import count, cycle, islice

from orrery.errors import PlanError
from orrery.home import Home
from orrery.home.planning import Planned
from orrery.lab.churn import Churn
from orrery.lab.identities import make_unproven_identity
from orrery.lab.rehearsal.script import Actor, Script
from orrery.rollout.cohorts import Named
from orrery.rollout.fleet import Group, count_nodes
from orrery.rollout.places import Reach
from orrery.rollout.plan import Plan
from orrery.wire.address import Address
from orrery.worlds.chain import Chain

USUAL_NODES = 2_000
"""A larger fleet is played by so many unless more are asked for."""


def stage(home: Home, planned: Planned, churn: Churn, nodes: int | None) -> Script:
    """Make a rehearsal of what a home plans; `dataclasses.replace` changes the rest of it.

    Args:
        home: the home.
        planned: what it plans.
        churn: how the nodes come and go.
        nodes: how many take part; None for those that were seen, or `USUAL_NODES` of them.

    Raises:
        PlanError: there is no plan, or nothing in it to be rehearsed.
        UsageError: it cannot be rehearsed.
    """
    order = planned.order
    if not order.plan.steps:
        raise PlanError("nothing to rehearse: the newest revision says what orrery.toml says")
    beside = tuple(
        home.store.chain(world_id)
        for world_id in home.store.world_ids()
        if world_id != planned.chain.world_id
    )
    names = {root.root.identity.address: root.name for root in planned.roots}
    for published in planned.settings.worlds:
        for root in published.roots:
            names.setdefault(root.identity.address, root.name)
    return Script(
        order=order,
        chain=planned.chain,
        beside=beside,
        landscape=planned.landscape,
        actors=cast_actors(order.plan, planned.chain, beside, order_names(order.cohorts), nodes),
        names=names,
        churn=churn,
    )


def order_names(cohorts: Iterable[object]) -> frozenset[Address]:
    """The nodes that cohorts name."""
    return frozenset(
        address for cohort in cohorts if isinstance(cohort, Named) for address in cohort.addresses
    )


def cast_actors(
    plan: Plan,
    chain: Chain,
    beside: Iterable[Chain],
    named: frozenset[Address],
    nodes: int | None,
) -> tuple[Actor, ...]:
    """The nodes of a plan, or so many like them.

    Fewer are chosen from all groups alike, and those that somebody names first; more are the same
    nodes and others that stand where these do.

    Args:
        plan: made for the fleet.
        chain: of its World.
        beside: other Worlds that nodes may hold.
        named: nodes that take part in any case.
        nodes: how many.
    """
    newest = {each.world_id: each.newest.timestamp_ms for each in beside}
    groups = [group for group in (*plan.fleet, *plan.exempt) if group.standing.holds_ms]
    seen = count_nodes(groups)
    if nodes is None:
        nodes = min(seen, USUAL_NODES) or USUAL_NODES
    if not groups:
        held = {chain.world_id: chain.newest.timestamp_ms}
        # As the planner has it: nodes that nobody has seen reach others by both families.
        invented = islice(_invented(), nodes)
        return tuple(Actor(address, held, Reach.BOTH) for address in invented)
    actors: list[Actor] = []
    for group, share in zip(groups, _divide(nodes, groups, named), strict=True):
        standing = group.standing
        held = {chain.world_id: standing.holds_ms}
        held.update((each, newest[each]) for each in standing.beside if each in newest)
        known = sorted(group.addresses, key=lambda address: address not in named)
        others = _invented(f"like {standing}")
        playing = islice(chain_together(known, others), share)
        actors += [Actor(address, held, standing.reach) for address in playing]
    return tuple(actors)


def _divide(nodes: int, groups: list[Group], named: frozenset[Address]) -> list[int]:
    """How many of each group take part: one at least, and all that are named."""
    total = count_nodes(groups)
    least = [max(1, sum(each in named for each in group.addresses)) for group in groups]
    shares = [
        max(low, nodes * len(group.addresses) // total)
        for low, group in zip(least, groups, strict=True)
    ]
    spare: Counter[int] = Counter()
    for number in cycle(sorted(range(len(groups)), key=lambda n: -len(groups[n].addresses))):
        if sum(shares) >= nodes or spare[number] > nodes:
            break
        shares[number] += 1
        spare[number] += 1
    return shares


def _invented(what: str = "anybody") -> Iterator[Address]:
    for number in count():
        yield make_unproven_identity(f"rehearsal {what} {number}").address
