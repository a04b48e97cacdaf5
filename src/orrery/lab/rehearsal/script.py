"""What is rehearsed: the plan, the fleet, and what is to go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orrery.errors import UsageError
from orrery.lab.churn import Churn
from orrery.lab.rehearsal.faults import Fault, FaultKind
from orrery.rollout.landscape import Landscape
from orrery.rollout.order import Order
from orrery.rollout.places import Reach
from orrery.wire.address import Address, format_address
from orrery.wire.world import WorldType
from orrery.worlds.chain import Chain

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
MOST_NODES = 20_000


@dataclass(frozen=True, slots=True)
class Actor:
    """A node that takes part.

    Attributes:
        address: of the node.
        held: the Worlds that it holds: timestamps by id.
        reach: by which families of IP addresses it reaches others.
    """

    address: Address
    held: Mapping[int, int]
    reach: Reach = Reach.IPV4


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What lies between nodes and roots.

    Attributes:
        rtt_ms: the shortest and the longest round trip; each node has its own.
        loss: share of packets that are lost, each way.
        nat: share of the nodes that are behind a NAT.
    """

    rtt_ms: tuple[float, float] = (20.0, 120.0)
    loss: float = 0.01
    nat: float = 0.4

    def __post_init__(self) -> None:
        if not 0 <= self.loss <= 0.9 or not 0 <= self.nat <= 1:
            raise UsageError("0% to 90% of the packets may be lost, and 0% to 100% be behind a NAT")
        if not 0 <= self.rtt_ms[0] <= self.rtt_ms[1] < 4_000:
            raise UsageError("a round trip takes less than 4 s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A rehearsal that can be run.

    Attributes:
        order: what is to be carried out.
        chain: what is published of that World.
        beside: other Worlds that the same roots serve.
        landscape: what the plan was made for.
        actors: the nodes.
        names: what people call the roots.
        churn: how nodes come and go.
        surroundings: what lies between nodes and roots.
        faults: what goes wrong.
        operator_ms: how long somebody takes to do what the plan asks for by hand, such as starting
            a root, once it does.
        for_ms: how long it goes on; None: until the rollout is over.
        limit_ms: how long it goes on at most.
        roll_back: whether a rollout that pauses by itself is rolled back.
        seed: of all chance.
        lapse: whether idle rounds of leaves are reckoned in place of being played.
    """

    order: Order
    chain: Chain
    actors: tuple[Actor, ...]
    churn: Churn
    beside: tuple[Chain, ...] = ()
    landscape: Landscape = field(default_factory=Landscape)
    names: Mapping[Address, str] = field(default_factory=dict)
    surroundings: Surroundings = field(default_factory=Surroundings)
    faults: tuple[Fault, ...] = ()
    operator_ms: int = MINUTE_MS
    for_ms: int | None = None
    limit_ms: int = 30 * DAY_MS
    roll_back: bool = False
    seed: int = 0
    lapse: bool = True

    def __post_init__(self) -> None:
        if not 1 <= len(self.actors) <= MOST_NODES:
            raise UsageError(
                f"a rehearsal has 1 to {MOST_NODES:,} nodes, not {len(self.actors):,}: "
                "`orrery forecast` reckons with more"
            )
        if not self.order.plan.steps:
            raise UsageError("this plan has no step: there is nothing to rehearse")
        if official := sorted(self.landscape.official):
            raise UsageError(
                f"root {', '.join(map(format_address, official))} runs zerotier-one, and what that "
                "does as a root is not played here: rehearse the plan without it"
            )
        if self.chain.type is WorldType.MOON and any(
            not actor.held.get(self.chain.world_id) for actor in self.actors
        ):
            raise UsageError("nodes that only wait for a moon take no part in a rehearsal")
        for fault in self.faults:
            if fault.kind is FaultKind.BAD_CANARY and fault.step > len(self.order.plan.steps):
                raise UsageError(
                    f"{fault}: this plan has {len(self.order.plan.steps)} steps, name one of them"
                )

    def name_of(self, address: Address) -> str:
        """What people call a root."""
        name = self.names.get(address)
        return format_address(address) if name is None else f"{name} ({format_address(address)})"
