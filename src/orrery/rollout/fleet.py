"""The fleet as a planner needs it: who holds what, sorted into few groups."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

from orrery.errors import DecodeError
from orrery.rollout.fields import Fields, read_address, read_list, read_number, read_world_id
from orrery.rollout.places import Reach
from orrery.wire.address import Address, format_address

_FAMILIES = {"ipv4": Reach.IPV4, "ipv6": Reach.IPV6}


class Node(NamedTuple):
    """What was last known of a node.

    Attributes:
        address: the node.
        holds_ms: timestamp of the revision that it holds; 0 for a moon that it only waits for.
        seen_ms: when a root heard from it last.
        reach: by which families of IP addresses roots heard from it.
        beside: ids of other Worlds that it holds.
    """

    address: Address
    holds_ms: int
    seen_ms: int
    reach: Reach = Reach.BOTH
    beside: tuple[int, ...] = ()


class Standing(NamedTuple):
    """What nodes have in common that a plan treats alike; fields as those of `Node`."""

    holds_ms: int
    reach: Reach = Reach.BOTH
    beside: tuple[int, ...] = ()


class Group(NamedTuple):
    """Nodes of one standing.

    Attributes:
        standing: what they have in common.
        addresses: who they are, in ascending order.
    """

    standing: Standing
    addresses: tuple[Address, ...]

    def to_data(self) -> dict[str, object]:
        """The form that `orrery.rollout.plan` shows."""
        holds_ms, reach, beside = self.standing
        return {
            "holds_ms": holds_ms,
            "reach": [family for family, flag in _FAMILIES.items() if flag in reach],
            "beside": [f"{world_id:016x}" for world_id in beside],
            "nodes": [format_address(address) for address in self.addresses],
        }

    @classmethod
    def from_data(cls, data: object) -> Self:
        """Read that form.

        Raises:
            DecodeError: it is something else.
        """
        with Fields(data, "a group of nodes") as fields:
            return cls(
                Standing(
                    fields.take("holds_ms", read_number),
                    fields.take("reach", _read_reach),
                    fields.take("beside", read_list(read_world_id)),
                ),
                fields.take("nodes", read_list(read_address)),
            )


class Why(StrEnum):
    """Why nodes are stranded.

    FOREIGN: they hold a revision that the chain does not know. SILENT: no place that they know
    runs. NO_LINK: only official roots are left to them, which do not have the link that they need.
    """

    FOREIGN = "foreign"
    SILENT = "silent"
    NO_LINK = "no-link"


class Stranded(NamedTuple):
    """Nodes that are stranded.

    Attributes:
        group: the nodes.
        why: the reason.
    """

    group: Group
    why: Why


@dataclass(frozen=True, slots=True)
class Fleet:
    """All nodes, as far as they were ever seen.

    Attributes:
        counted: those that a plan must not strand.
        exempt: those that the operator named as not to be waited for.
        unseen: those last seen before the horizon.
    """

    counted: tuple[Group, ...] = ()
    exempt: tuple[Group, ...] = ()
    unseen: tuple[Group, ...] = ()

    @classmethod
    def of(
        cls,
        nodes: Iterable[Node],
        *,
        now_ms: int,
        horizon_ms: int,
        exempt: Iterable[Address] = (),
    ) -> Self:
        """Sort nodes into groups.

        Args:
            nodes: each node once.
            now_ms: the time.
            horizon_ms: a node counts when it was seen so long ago at most.
            exempt: nodes that do not count although they were seen.
        """
        since_ms = now_ms - horizon_ms
        named = frozenset(exempt)
        counted: dict[Standing, list[Address]] = {}
        exempted: dict[Standing, list[Address]] = {}
        unseen: dict[Standing, list[Address]] = {}
        for address, holds_ms, seen_ms, reach, beside in nodes:
            if address in named:
                chosen = exempted
            elif seen_ms < since_ms:
                chosen = unseen
            else:
                chosen = counted
            chosen.setdefault(Standing(holds_ms, reach, beside), []).append(address)
        return cls(_groups(counted), _groups(exempted), _groups(unseen))

    def exempting(self, addresses: Iterable[Address]) -> Self:
        """The same fleet where these nodes do not count either."""
        named = frozenset(addresses)
        kept: dict[Standing, list[Address]] = {}
        freed = {group.standing: list(group.addresses) for group in self.exempt}
        for standing, found in self.counted:
            for address in found:
                chosen = freed if address in named else kept
                chosen.setdefault(standing, []).append(address)
        return type(self)(_groups(kept), _groups(freed), self.unseen)


def count_nodes(groups: Sequence[Group]) -> int:
    """How many nodes these groups have."""
    return sum(len(group.addresses) for group in groups)


def _groups(found: dict[Standing, list[Address]]) -> tuple[Group, ...]:
    return tuple(
        Group(standing, tuple(sorted(addresses))) for standing, addresses in sorted(found.items())
    )


def _read_reach(data: object) -> Reach:
    for reach in (Reach.IPV4, Reach.IPV6, Reach.BOTH):
        if data == [family for family, flag in _FAMILIES.items() if flag in reach]:
            return reach
    raise DecodeError(f'the reach of nodes is ["ipv4"], ["ipv6"] or both, not {data!r}')
