"""A root and its leaves in a virtual network, as the tests of this folder need them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from orrery.lab.chains import ChainMaker, root_of, table_of
from orrery.lab.identities import check_unproven, make_unproven_identity
from orrery.lab.network import START_MS, FakeNetwork, Host, Link, Nat
from orrery.lab.seeded import seeded_entropy
from orrery.vl1.events import WorldTaken
from orrery.vl1.leaf import LeafNode
from orrery.vl1.push import PushSettings
from orrery.vl1.root import RootLimits, RootNode
from orrery.vl1.root_peer import KnownNode
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import WorldType

if TYPE_CHECKING:
    from orrery.wire.identity import Identity
    from orrery.wire.world import World

PLANET_ID = 0x1234567890ABCDEF
ROOT_ENDPOINT = Endpoint.from_text("20.0.0.1/9993")
SECOND_ENDPOINT = Endpoint.from_text("20.0.1.1/9993")


def endpoint_of(number: int) -> Endpoint:
    """A public endpoint, each in its own /24."""
    return Endpoint(bytes((30, number >> 8 & 0xFF, number & 0xFF, 9)), 9993)


class Scene:
    """One root of one planet, and any number of leaves."""

    def __init__(
        self,
        *,
        seed: int = 1,
        push: PushSettings = PushSettings(),  # noqa: B008 - immutable
        limits: RootLimits = RootLimits(),  # noqa: B008
        root_link: Link = Link(),  # noqa: B008
    ) -> None:
        self.network = FakeNetwork(seed, check_unproven)
        self.entropy = seeded_entropy(seed)
        self.push = push
        self.limits = limits
        self.root_identity = make_unproven_identity("root")
        self.maker = ChainMaker(
            WorldType.PLANET,
            PLANET_ID,
            [root_of(self.root_identity, ROOT_ENDPOINT)],
            self.entropy,
            START_MS - 1_000_000,
        )
        self.root = self.new_root()
        self.root_host = self.network.add(self.root, ROOT_ENDPOINT, link=root_link)
        self.leaves: list[Host] = []

    def new_root(self, *moons: ChainMaker) -> RootNode:
        """The root as it starts, with what is published so far."""
        return RootNode(
            self.root_identity,
            self.entropy,
            table_of(self.maker, *moons),
            self.network.now_ms,
            push=self.push,
            limits=self.limits,
        )

    def add_leaves(self, count: int, link: Link = Link()) -> list[Host]:  # noqa: B008
        """Leaves that the root knows, online after some seconds."""
        added = []
        for _ in range(count):
            number = len(self.leaves)
            identity = make_unproven_identity(number)
            self.root.learn(KnownNode(identity.public()))
            added.append(self.add_leaf(identity, endpoint_of(number), link=link))
        return added

    def add_leaf(
        self,
        identity: Identity,
        endpoint: Endpoint,
        *,
        nat: Nat | None = None,
        link: Link = Link(),  # noqa: B008
        planet: World | None = None,
    ) -> Host:
        """One leaf, which holds the newest planet unless told otherwise."""
        leaf = LeafNode.holding(
            identity, self.entropy, planet or self.maker.newest, (), self.network.now_ms
        )
        host = self.network.add(leaf, endpoint, nat=nat, link=link)
        self.leaves.append(host)
        return host

    def publish(self, *moons: ChainMaker) -> int:
        """Serve and push what the makers have signed; returns when."""
        self.root.publish(table_of(self.maker, *moons), self.network.now_ms)
        self.network.act(self.root_host)
        return self.network.now_ms

    @cached_property
    def holders(self) -> dict[int, set[int]]:
        """Leaves that took a planet, by its timestamp, from the first look at this on."""
        holders: dict[int, set[int]] = {}

        def note(host: Host, event: object) -> None:
            if isinstance(event, WorldTaken) and event.world.type is WorldType.PLANET:
                holders.setdefault(event.world.timestamp_ms, set()).add(host.node.address)

        self.network.watcher = note
        return holders

    def all_hold(self, world: World) -> bool:
        """Whether every leaf has this revision."""
        return all(leaf_of(host).planet == world for host in self.leaves)


def leaf_of(host: Host) -> LeafNode:
    """The leaf that lives there."""
    assert isinstance(host.node, LeafNode)
    return host.node


def taken_ms(host: Host) -> list[int]:
    """When a leaf took a World."""
    return [event.at_ms for event in host.events_of(WorldTaken)]
