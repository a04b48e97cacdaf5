"""Planning for a large fleet: from what was seen of each node to the steps.

    python benchmarks/planner.py [--nodes 100000] [--revisions 50]

The nodes hold any revision of a chain whose key was changed again and again, reach by IPv4, IPv6 or
both, and some hold a moon too. Each case is planned several times; the best time counts. The time
for a plan contains sorting the nodes into groups.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from orrery.lab.identities import make_unproven_identity
from orrery.rollout.fleet import Fleet, Node
from orrery.rollout.landscape import Landscape, PlaceState
from orrery.rollout.places import Reach, places_of
from orrery.rollout.plan import Plan, Refusal
from orrery.rollout.planner import plan
from orrery.rollout.wish import Wish
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.signature import SigningKey
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, Root, World, WorldType
from orrery.worlds.chain import Chain

WORLD_ID = 0x1234
MOON_ID = 0x5678
HORIZON_MS = 30 * 86_400_000
NOW_MS = 1_790_000_000_000
TIMES = 5
T = TypeVar("T")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--nodes", type=int, default=100_000)
    options.add_argument("--revisions", type=int, default=50)
    chosen = options.parse_args()
    old = [make_root(number) for number in range(MAX_ROOTS)]
    new = [make_root(number) for number in range(10, 10 + MAX_ROOTS)]
    chain, key = make_chain(old, chosen.revisions)
    nodes = list(make_nodes(chain, chosen.nodes))
    print(f"{len(nodes):,} nodes, {len(chain)} revisions, {len(new[0].endpoints)} endpoints a root")
    everything = Wish(type=WorldType.PLANET, id=WORLD_ID, roots=tuple(new), key=key.public)
    one_more = Wish(type=WorldType.PLANET, id=WORLD_ID, roots=(*old[1:], new[0]))
    gone = dict.fromkeys(places_of(old), PlaceState.GONE)
    measure("all four roots replaced, and the key", chain, everything, nodes, Landscape())
    measure("one root replaced", chain, one_more, nodes, Landscape())
    measure("refused: all roots are gone", chain, everything, nodes, Landscape(states=gone))


def measure(name: str, chain: Chain, wish: Wish, nodes: list[Node], landscape: Landscape) -> None:
    def work() -> Plan | Refusal:
        fleet = Fleet.of(nodes, now_ms=NOW_MS, horizon_ms=HORIZON_MS)
        return plan(chain, wish, fleet, landscape)

    took_s, answer = best(work)
    result = answer if isinstance(answer, Plan) else answer.nearest
    assert result is not None
    groups = len(result.fleet) + len(result.exempt)
    what = f"{len(result.steps)} steps" if answer is result else "refused, with the nearest plan"
    print(f"{name:38} {took_s * 1000:7.0f} ms   {what}, {groups} groups of nodes")
    wrote_s, text = best(lambda: json.dumps(result.to_data()))
    read_s, again = best(lambda: Plan.from_data(json.loads(text)))
    assert again == result
    size = f"{len(text) / 1e6:.1f} MB"
    print(
        f"{'':38} {wrote_s * 1000:7.0f} ms   written as JSON, {size}; read {read_s * 1000:.0f} ms"
    )


def best(work: Callable[[], T]) -> tuple[float, T]:
    took = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        answer = work()
        took.append(time.perf_counter() - begun)
    return min(took), answer


def make_root(number: int) -> Root:
    """A root with as many endpoints as it can have, of both families."""
    half = MAX_ENDPOINTS // 2
    endpoints = [Endpoint(bytes((20, 0, number, 1 + extra)), 9993) for extra in range(half)]
    endpoints += [
        Endpoint(bytes((0x20, 1)) + bytes((number, extra)) + bytes(11) + b"\1", 9993)
        for extra in range(half)
    ]
    return Root(make_unproven_identity(f"root {number}").public(), tuple(endpoints))


def make_chain(roots: list[Root], count: int) -> tuple[Chain, SigningKey]:
    """A chain of so many revisions with always the same roots, and another key."""
    source = random.Random(1)
    keys = [SigningKey.generate(source.randbytes) for _ in range(count // 10 + 2)]
    worlds, signer = [], keys[0]
    for number in range(count):
        names = keys[number // 10]
        unsigned = World(
            type=WorldType.PLANET,
            id=WORLD_ID,
            timestamp_ms=NOW_MS - (count - number) * 86_400_000,
            updates_must_be_signed_by=names.public,
            roots=tuple(roots),
        )
        worlds.append(unsigned.sign(signer))
        signer = names
    return Chain(worlds), keys[-1]


def make_nodes(chain: Chain, count: int) -> Iterator[Node]:
    """Nodes of all kinds; a tenth was not seen for long."""
    source = random.Random(2)
    times = [revision.timestamp_ms for revision in chain]
    for number in range(count):
        yield Node(
            Address(0x1000000000 + number),
            source.choice([times[-1], source.choice(times)]),
            NOW_MS - source.randrange(HORIZON_MS * 11 // 10),
            source.choice([Reach.BOTH, Reach.IPV4, Reach.IPV6]),
            (MOON_ID,) if source.random() < 0.1 else (),
        )


if __name__ == "__main__":
    main()
