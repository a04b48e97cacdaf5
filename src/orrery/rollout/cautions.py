"""What a safe plan does not spare nodes, or cannot know: said, and no reason to refuse it."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from orrery.rollout.fleet import Standing
from orrery.rollout.places import Place, Reach, name_places, places_of
from orrery.rollout.plan import Plan
from orrery.wire.address import Address
from orrery.wire.world import World, WorldType

_Host = tuple[Address, bytes]
"""A root at an IP address, whatever the port."""


class Caution(StrEnum):
    """What is said, for programs.

    OFFLINE_FOR_A_WHILE: when places stop, nodes that lived by them are offline until they look
    elsewhere by themselves. NOBODY_SEEN: no node was heard from, so nobody is kept from harm.
    """

    OFFLINE_FOR_A_WHILE = "offline-for-a-while"
    NOBODY_SEEN = "nobody-seen"


@dataclass(frozen=True, slots=True)
class Warned:
    """One thing that is said of a plan.

    Attributes:
        caution: for programs.
        step: the step that it is about, 0 for the whole plan.
        nodes: how many counted nodes it is about.
        sentence: for people.
    """

    caution: Caution
    step: int
    nodes: int
    sentence: str


def cautions(plan: Plan, start: World, official: Collection[Address]) -> tuple[Warned, ...]:
    """What is to be said of a plan before it is carried out.

    Args:
        plan: the plan.
        start: the revision that it starts from.
        official: roots that run zerotier-one.
    """
    return (*_nobody_seen(plan, start), *_offline_for_a_while(plan, start, official))


def _nobody_seen(plan: Plan, start: World) -> Iterator[Warned]:
    before = places_of(start.roots)
    key = start.updates_must_be_signed_by
    takes_away = any(before - places_of(step.roots) or step.names != key for step in plan.steps)
    if takes_away and not plan.fleet and not plan.exempt:
        yield Warned(
            Caution.NOBODY_SEEN,
            0,
            0,
            "no node was heard from yet, and a plan keeps only those from harm that were: wait "
            "until `orrery nodes` lists yours, each of which says hello within 4 minutes once it "
            "is awake",
        )


def _offline_for_a_while(
    plan: Plan, start: World, official: Collection[Address]
) -> Iterator[Warned]:
    """Who loses the one place that it uses, and will not have come to another before.

    A node comes at once to a root that it did not know, and an Orrery root shows it further
    addresses of its own. It takes no notice of another port of an address as long as the one that
    it uses answers; and nobody shows it an official root's where that is the only one.
    """
    if plan.type is not WorldType.PLANET:
        return
    standings = [(group.standing, len(group.addresses)) for group in plan.fleet]
    before = used = places_of(start.roots)
    for step in plan.steps:
        listed = places_of(step.roots)
        dropped, kept = used - listed, used & listed
        torn = _hosts(dropped)
        safe = frozenset(place for place in kept if _host(place) not in torn)
        new = listed - before
        for reach, nodes in _by_reach(standings):
            left = _within(dropped, reach)
            if left and not _within(safe, reach) and (there := _within(listed, reach)):
                yield _warned(step.number, left, there, nodes)
        known, hosts = {place.identity for place in before}, _hosts(used)
        used = (
            listed
            if dropped and not safe
            else kept
            | {
                place
                for place in new
                if place.identity not in known
                or (place.identity.address not in official and _host(place) not in hosts)
            }
        )
        before = listed


def _warned(step: int, left: Iterable[Place], there: Iterable[Place], nodes: int) -> Warned:
    who = "nodes that live by it" if not nodes else f"{nodes:,} node{'s' * (nodes > 1)}"
    old, new = name_places(left), name_places(there)
    return Warned(
        Caution.OFFLINE_FOR_A_WHILE,
        step,
        nodes,
        f"when {old} stops after step {step}, {who} may be offline for up to 8 minutes, until they "
        f"look at {new} by themselves: they take no notice of it while the old one answers; a "
        "second root spares them that",
    )


def _by_reach(standings: Iterable[tuple[Standing, int]]) -> list[tuple[Reach, int]]:
    found: dict[Reach, int] = {}
    for standing, nodes in standings:
        found[standing.reach] = found.get(standing.reach, 0) + nodes
    return sorted(found.items()) or [(Reach.BOTH, 0)]


def _within(places: Iterable[Place], reach: Reach) -> tuple[Place, ...]:
    return tuple(sorted(place for place in places if reach.covers(place.endpoint)))


def _hosts(places: Iterable[Place]) -> frozenset[_Host]:
    return frozenset(map(_host, places))


def _host(place: Place) -> _Host:
    return place.identity.address, place.endpoint.ip
