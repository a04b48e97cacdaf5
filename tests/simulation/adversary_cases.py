"""Cases to plan for, made up at random: what is published, wanted, and known of nodes and roots."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orrery.rollout.fleet import Fleet, Node
from orrery.rollout.landscape import Landscape, PlaceState
from orrery.rollout.places import Place, Reach, places_of
from orrery.rollout.wish import Wish
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import MAX_ENDPOINTS, Root, WorldType
from orrery.worlds.chain import Chain
from tests.unit.worlds.making import key, root, world

if TYPE_CHECKING:
    from random import Random

MOON_BESIDE = 0xABD


class Case(NamedTuple):
    """What a planner is given."""

    chain: Chain
    wish: Wish
    fleet: Fleet
    landscape: Landscape


class Size(NamedTuple):
    """How large cases may be, and how often things stand in each other's way."""

    identities: int
    roots: int
    endpoints: int
    revisions: int
    sorts: int
    knots: float = 0.2


KNOTTY = Size(identities=3, roots=2, endpoints=2, revisions=3, sorts=3, knots=0.7)
TINY = Size(identities=3, roots=2, endpoints=2, revisions=2, sorts=2, knots=0.4)
SMALL = Size(identities=4, roots=2, endpoints=2, revisions=2, sorts=2)
MEDIUM = Size(identities=6, roots=4, endpoints=2, revisions=3, sorts=3)
LARGE = Size(identities=9, roots=4, endpoints=32, revisions=5, sorts=12)


def case_of(
    published: list[Root], wanted: list[Root], *, names: str | None = None, nodes: int = 2
) -> Case:
    """One revision that all nodes hold, and what is wanted in its place."""
    chain = Chain([world(10, roots=published)])
    wish = Wish(
        type=chain.type,
        id=chain.world_id,
        roots=tuple(wanted),
        key=None if names is None else key(names).public,
    )
    fleet = Fleet.of(
        (Node(Address(0x2000000000 + number), 10, 0) for number in range(nodes)),
        now_ms=0,
        horizon_ms=1,
    )
    return Case(chain, wish, fleet, Landscape())


def hard_cases() -> list[Case]:
    """What is seldom met by chance."""
    places = [f"198.51.100.{number}/9993" for number in range(1, 9)]
    ports = [f"198.51.100.1/{port}" for port in range(9993, 9993 + 2 * MAX_ENDPOINTS)]
    return [
        # Two roots change places.
        case_of([root(1, places[0]), root(2, places[1])], [root(1, places[1]), root(2, places[0])]),
        # All endpoints of a root that has as many as it can.
        case_of([root(1, *ports[:MAX_ENDPOINTS])], [root(1, *ports[MAX_ENDPOINTS:])]),
        # All roots of a World that has as many as it can, and the key.
        case_of(
            [root(number, places[number - 1]) for number in range(1, 5)],
            [root(number, places[number - 1]) for number in range(5, 9)],
            names="b",
        ),
        # New identities for all machines, each with many endpoints.
        case_of(
            [root(number, *_many_endpoints(number)) for number in range(1, 5)],
            [root(number + 4, *_many_endpoints(number)) for number in range(1, 5)],
        ),
        # An official root takes the place of another.
        case_of(
            [root(1, places[0]), root(2, places[1])], [root(3, places[0]), root(2, places[1])]
        )._replace(landscape=Landscape(official={root(3).identity.address: None})),
    ]


def _many_endpoints(host: int) -> list[str]:
    ports = range(9993, 9998)
    return [f"198.51.100.{host}/{port}" for port in ports] + [
        f"[2001:db8::{host}]:{port}" for port in ports
    ]


def make_case(random: Random, size: Size) -> Case:
    """A case; most of them can be planned."""
    pool = make_pool(random, size)
    keys = "abcde"
    contents = [choose_roots(random, pool, size.roots)]
    for _ in range(random.randrange(size.revisions)):
        contents.append(vary_roots(random, contents[-1], pool, size))
    wanted = vary_roots(random, contents[-1], pool, size)
    names = [random.choice("aab") for _ in contents]
    revisions = [
        world(
            (number + 1) * 10,
            signer=names[max(0, number - 1)],
            names=names[number],
            roots=roots,
            world_type=WorldType.PLANET,
        )
        for number, roots in enumerate(contents)
    ]
    chain = Chain(revisions)
    wish = Wish(
        type=WorldType.PLANET,
        id=chain.world_id,
        roots=wanted,
        key=key(random.choice(keys)).public if random.random() < 0.4 else None,
        spare_root=random.random() < 0.8,
    )
    return Case(chain, wish, _fleet(random, chain, size), _landscape(random, chain, wish, size))


def make_pool(random: Random, size: Size) -> list[Root]:
    """All roots that there may ever be."""
    return [_make_root(random, number, size) for number in range(1, size.identities + 1)]


def _make_root(random: Random, number: int, size: Size) -> Root:
    """A root with all endpoints that it may ever have."""
    made = root(number)
    # Now and then a root is where another one is: a new identity for the same machine.
    host = max(1, number - 1) if random.random() < size.knots else number
    endpoints = []
    for extra in range(random.randint(1, size.endpoints)):
        if random.random() < 0.25:
            endpoints.append(Endpoint.from_text(f"[2001:db8::{host:x}]:{9993 + extra}"))
        else:
            endpoints.append(Endpoint.from_text(f"198.51.100.{host}/{9993 + extra}"))
    return Root(made.identity, tuple(endpoints))


def choose_roots(random: Random, pool: list[Root], most: int) -> tuple[Root, ...]:
    """Some roots with some of their endpoints, no two at one endpoint."""
    chosen: list[Root] = []
    taken: set[Endpoint] = set()
    for each in random.sample(pool, random.randint(1, min(most, len(pool)))):
        endpoints = [
            endpoint
            for endpoint in each.endpoints
            if endpoint not in taken and random.random() < 0.75
        ]
        if endpoints:
            chosen.append(Root(each.identity, tuple(endpoints)))
            taken.update(endpoints)
    return tuple(chosen) or (Root(pool[0].identity, pool[0].endpoints[:1]),)


def vary_roots(
    random: Random, before: tuple[Root, ...], pool: list[Root], size: Size
) -> tuple[Root, ...]:
    """Other roots, or some of them the same."""
    fresh = choose_roots(random, pool, size.roots)
    dice = random.random()
    kept = [each for each in before if dice > 0.85 or random.random() < 0.5]
    if dice < 0.35:
        kept = []
    chosen: dict[Identity, Root] = {}
    taken: set[Endpoint] = set()
    for each in (*kept, *(fresh if dice < 0.85 else ())):
        if each.identity not in chosen and not taken.intersection(each.endpoints):
            chosen[each.identity] = each
            taken.update(each.endpoints)
    return tuple(chosen.values())[: size.roots] or fresh


def _fleet(random: Random, chain: Chain, size: Size) -> Fleet:
    times = [revision.timestamp_ms for revision in chain]
    nodes = [
        Node(
            Address(0x2000000000 + number),
            random.choice([times[-1], *times]),
            0,
            random.choice([Reach.BOTH] * 5 + [Reach.IPV4, Reach.IPV6]),
            (MOON_BESIDE,) if random.random() < 0.15 else (),
        )
        for number in range(random.randint(1, size.sorts))
    ]
    return Fleet.of(nodes, now_ms=0, horizon_ms=1)


def _landscape(random: Random, chain: Chain, wish: Wish, size: Size) -> Landscape:
    newest = places_of(chain.newest.roots)
    earlier = places_of(root for revision in chain for root in revision.roots)
    wanted = places_of(wish.roots)
    states: dict[Place, PlaceState] = {}
    for place in sorted(newest | earlier | wanted):
        dice = random.random()
        if place in newest:
            if dice < 0.08:
                states[place] = PlaceState.LATER if place in wanted else PlaceState.GONE
        elif dice < (0.75 if place in earlier else 0.1):
            states[place] = PlaceState.ALIVE
    alive = {place for place in newest if states.get(place) is None} | {
        place for place, state in states.items() if state is PlaceState.ALIVE
    }
    for place in sorted(alive - newest):
        # What runs cannot stand in the way of what runs.
        if any(other != place and other.endpoint == place.endpoint for other in alive):
            states.pop(place)
            alive.remove(place)
    times: list[int | None] = [revision.timestamp_ms for revision in chain]
    official: dict[Address, int | None] = {}
    if random.random() < 2 * size.knots:
        for address in sorted({place.identity.address for place in earlier | wanted}):
            if random.random() < 0.5:
                official[address] = random.choice([times[-1], times[-1], *times, None])
    in_turn = [
        (other, place)
        for place in sorted(wanted - alive)
        for other in sorted(alive - wanted)
        if other.identity == place.identity and random.random() < 2 * size.knots / size.endpoints
    ]
    beside = root(99, "203.0.113.99/9993", "[2001:db8::99]:9993")
    return Landscape(
        states=states,
        official=official,
        in_turn=tuple(in_turn),
        beside={MOON_BESIDE: (beside,)},
    )
