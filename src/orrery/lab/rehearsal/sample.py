"""A rehearsal without a home: two roots become two others, and the key another one."""

from __future__ import annotations

from fractions import Fraction

from orrery.errors import PlanError
from orrery.lab.chains import ChainMaker, root_of
from orrery.lab.churn import Churn, Sessions
from orrery.lab.identities import make_unproven_identity
from orrery.lab.network import START_MS
from orrery.lab.rehearsal.script import DAY_MS, Actor, Script
from orrery.lab.seeded import seeded_entropy
from orrery.rollout.cohorts import Share
from orrery.rollout.fleet import Fleet, Node
from orrery.rollout.landscape import Landscape
from orrery.rollout.order import Order
from orrery.rollout.places import Reach
from orrery.rollout.plan import Plan
from orrery.rollout.planner import plan
from orrery.rollout.wish import Wish
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.signature import SigningKey
from orrery.wire.world import Root, WorldType
from orrery.worlds.ordering import sort_roots

WORLD_ID = 0x0ABE_5C1E_0000_0001
_OLD = ("192.0.2.1/9993", "192.0.2.2/9993")
_NEW = ("198.51.100.1/9993", "198.51.100.2/9993")


def make_sample(
    nodes: int,
    *,
    churn: Churn | None = None,
    cohorts: tuple[str, ...] = ("1%", "10%", "100%"),
    settle_ms: int = 10_000,
    horizon_ms: int = 30 * DAY_MS,
    seed: int = 0,
) -> Script:
    """The rehearsal; `dataclasses.replace` changes the rest of it.

    Args:
        nodes: how many.
        churn: how they come and go.
        cohorts: as in `orrery.toml`.
        settle_ms: how long a cohort is watched.
        horizon_ms: who was seen in it counts.
        seed: of all chance.
    """
    entropy = seeded_entropy(f"sample {seed}")
    old, new = (
        [
            root_of(make_unproven_identity(f"{seed} root at {text}"), Endpoint.from_text(text))
            for text in places
        ]
        for places in (_OLD, _NEW)
    )
    maker = ChainMaker(WorldType.PLANET, WORLD_ID, sort_roots(old), entropy, START_MS - DAY_MS)
    actors = tuple(
        Actor(
            make_unproven_identity(f"{seed} node {number}").address,
            {WORLD_ID: maker.newest.timestamp_ms},
            Reach.IPV4,
        )
        for number in range(nodes)
    )
    wish = Wish(
        type=WorldType.PLANET,
        id=WORLD_ID,
        roots=sort_roots(new),
        key=SigningKey.generate(entropy).public,
    )
    found = plan(maker.chain, wish, fleet_of(actors, horizon_ms), Landscape())
    if not isinstance(found, Plan):
        raise PlanError("; ".join(found.sentences))
    order = Order(
        plan=found,
        cohorts=tuple(map(Share.from_text, cohorts)),
        settle_ms=settle_ms,
        horizon_ms=horizon_ms,
        required=Fraction(1),
    )
    return Script(
        order=order,
        chain=maker.chain,
        actors=actors,
        churn=churn or Sessions(offline=0.1),
        names=_names(old, "old") | _names(new, "new"),
        seed=seed,
    )


def fleet_of(actors: tuple[Actor, ...], horizon_ms: int) -> Fleet:
    """The nodes of the sample for the planner, all of them seen just now."""
    return Fleet.of(
        [Node(actor.address, actor.held[WORLD_ID], 0, actor.reach) for actor in actors],
        now_ms=0,
        horizon_ms=horizon_ms,
    )


def _names(roots: list[Root], name: str) -> dict[Address, str]:
    return {root.identity.address: f"{name}-{n}" for n, root in enumerate(roots, 1)}
