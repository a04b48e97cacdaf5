"""The nodes of a rehearsal: where they are, when they are there, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from orrery.lab.lapse import LapsedLeaf, LapsedNetwork
from orrery.lab.network import Host, Link, Nat, NatKind
from orrery.lab.rehearsal.cast import Cast
from orrery.lab.rehearsal.script import Actor, Script
from orrery.lab.rehearsal.sleeping import Night
from orrery.rollout.health import Habit
from orrery.rollout.places import Reach
from orrery.vl1.node import Entropy
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from orrery.worlds.chain import Chain
from orrery.worlds.topology import Topology

_PROVIDER_NODES = 4
_FULL_CONES = 0.2


class Member:
    """A node in the play.

    Attributes:
        number: from 0.
        actor: who it is.
        habit: how much it was there before.
        link: how it is connected.
        host: where it lives, None until it wakes first.
        nat: what is in front of it.
        asleep: whether it is.
        failed: why it is not heard from again, as was to be rehearsed.
        taken: when it took which revision.
    """

    __slots__ = ("actor", "asleep", "failed", "habit", "host", "link", "nat", "number", "taken")

    def __init__(self, number: int, actor: Actor, habit: Habit, link: Link) -> None:
        self.number = number
        self.actor = actor
        self.habit = habit
        self.link = link
        self.host: Host | None = None
        self.nat: Nat | None = None
        self.asleep = True
        self.failed = ""
        self.taken: dict[int, int] = {}


class Nodes:
    """All of them.

    Args:
        script: what is rehearsed.
        network: where they live.
        cast: stands in for them.
        chains: of the World that is rolled out, then of those beside it; of stand-ins.
        night: when they are there.
        random: of all chance.
        entropy: for their packets.

    Attributes:
        members: by number.
    """

    def __init__(
        self,
        script: Script,
        network: LapsedNetwork,
        cast: Cast,
        *,
        chains: Sequence[Chain],
        night: Night,
        random: Random,
        entropy: Entropy,
    ) -> None:
        self._script = script
        self._network = network
        self._cast = cast
        self._chains = chains
        self._random = random
        self._entropy = entropy
        self.members = [
            Member(number, actor, habit, self._draw_link())
            for number, (actor, habit) in enumerate(zip(script.actors, night.habits, strict=True))
        ]
        self._by_address = {member.actor.address: member for member in self.members}
        self._settle_behind_nats()

    def __getitem__(self, address: Address) -> Member:
        """The node with an address."""
        return self._by_address[address]

    def _draw_link(self) -> Link:
        low_ms, high_ms = self._script.surroundings.rtt_ms
        one_way_ms = round(self._random.uniform(low_ms, high_ms) / 2)
        loss = self._script.surroundings.loss
        return Link((one_way_ms, one_way_ms + 3), loss_out=loss, loss_in=loss)

    def _settle_behind_nats(self) -> None:
        """Put nodes behind NATs, up to a few behind one."""
        nat, room = None, 0
        for member in self.members:
            if (
                not member.actor.reach & Reach.IPV4
                or self._random.random() >= self._script.surroundings.nat
            ):
                continue
            if nat is None or not room:
                number = member.number
                kind = (
                    NatKind.FULL_CONE
                    if self._random.random() < _FULL_CONES
                    else NatKind.PORT_RESTRICTED
                )
                nat = Nat(bytes((40, number >> 8 & 0xFF, number & 0xFF, 9)), kind)
                room = self._random.randint(1, _PROVIDER_NODES)
            member.nat = nat
            room -= 1

    def wake(self, member: Member) -> None:
        """Let one go on, or begin."""
        member.asleep = False
        if member.failed:
            return
        if member.host is None:
            member.host = self._add(member)
        elif not member.host.is_up:
            self._network.wake(member.host)

    def sleep(self, member: Member) -> bool:
        """Put one to sleep; says whether roots heard it until now."""
        member.asleep = True
        if member.host is None or not member.host.is_up:
            return False
        was_heard = self._network.heard_at(member.host) is not None
        self._network.put_to_sleep(member.host)
        return was_heard

    def _add(self, member: Member) -> Host:
        identity = self._cast.identity(member.actor.address)
        topology = Topology(identity)
        for world in self._worlds_of(member.actor):
            topology.add_world(world, always_accept_new=True)
        leaf = LapsedLeaf(identity, self._entropy, topology, self._network.now_ms)
        high, low = member.number >> 8 & 0xFF, member.number & 0xFF
        endpoints = []
        if member.actor.reach & Reach.IPV4:
            net = 30 if member.nat is None else 10
            endpoints.append(Endpoint(bytes((net, high, low, 9)), 9993))
        if member.actor.reach & Reach.IPV6:
            prefix = bytes.fromhex("2a00dead00000000")
            endpoints.append(Endpoint(prefix + bytes((0, 0, 0, 0, 0, high, low, 9)), 9993))
        return self._network.add(leaf, *endpoints, nat=member.nat, link=member.link)

    def _worlds_of(self, actor: Actor) -> Iterator[World]:
        """What a node holds at the begin; what is no revision was signed by somebody else."""
        for chain in self._chains:
            held_ms = actor.held.get(chain.world_id)
            if held_ms:
                yield chain.revision_at(held_ms) or self._cast.foreign(chain, held_ms)

    def holds_ms(self, member: Member) -> int:
        """What a node holds now, by its own account."""
        if member.host is None or not isinstance(member.host.node, LapsedLeaf):
            return member.actor.held[self._chains[0].world_id]
        return dict(member.host.node.held).get(self._chains[0].world_id, 0)

    def is_in_touch(self, member: Member) -> bool:
        """Whether it hears of a root."""
        host = member.host
        if host is None or not isinstance(host.node, LapsedLeaf):
            return False
        if self._network.is_steady(host):
            return self._network.heard_at(host) is not None
        return host.node.is_online(self._network.now_ms)

    def nats(self) -> list[Nat]:
        """The routers in front of them."""
        found = {member.nat.ip: member.nat for member in self.members if member.nat is not None}
        return [nat for _, nat in sorted(found.items())]

    def lose(self, extra: float) -> None:
        """Let so many of the packets be lost beside those that are anyway."""
        loss = 1 - (1 - self._script.surroundings.loss) * (1 - extra)
        for member in self.members:
            member.link = member.link._replace(loss_out=loss, loss_in=loss)
            if member.host is not None:
                member.host.link = member.link
