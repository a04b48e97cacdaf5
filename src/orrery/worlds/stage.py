"""Who is given a revision before all others are: plain data for the handover table.

Each node has a *place* among a million, from its address and the World id alone: the same on every
root, in every process and after every restart, and another one in each World, so that the same
nodes are not always the first. A share of 1 % is the places below 10,000; a larger share contains
every smaller one.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from orrery.errors import UsageError
from orrery.wire.address import Address, pack_address

PLACES = 1_000_000
"""How many places there are; a share is a number of them."""


def place_of(world_id: int, address: Address) -> int:
    """The place of a node in the order in which it is given revisions of a World.

    The first 8 bytes of BLAKE2b (RFC 7693) over World id (8 bytes) and address (5 bytes), as a
    fraction of 2^64, times the number of places.

    Returns:
        0 up to `PLACES` - 1.
    """
    named = world_id.to_bytes(8) + pack_address(address)
    return int.from_bytes(blake2b(named, digest_size=8).digest()) * PLACES >> 64


@dataclass(frozen=True, slots=True)
class Membership:
    """The nodes that a stage is open for.

    Attributes:
        share: so many of the `PLACES`; all of them is everybody, whatever else is said.
        named: nodes that are in it wherever their place is.
        later: nodes that are not in it wherever their place is: their turn is still to come.
    """

    share: int = 0
    named: frozenset[Address] = frozenset()
    later: frozenset[Address] = frozenset()

    def __post_init__(self) -> None:
        if not 0 <= self.share <= PLACES:
            raise UsageError(f"a share is 0 up to {PLACES} places, not {self.share}")
        if both := self.named & self.later:
            raise UsageError(
                f"node {min(both):010x} cannot be both among the first and among the later ones; "
                "name it once"
            )

    @property
    def is_everybody(self) -> bool:
        """Whether nobody is left out."""
        return self.share == PLACES

    def includes(self, world_id: int, address: Address) -> bool:
        """Whether a node is in it."""
        if self.share == PLACES or address in self.named:
            return True
        return address not in self.later and place_of(world_id, address) < self.share


NOBODY = Membership()


class Stage(NamedTuple):
    """How far nodes are led while a revision is not for everybody yet.

    Attributes:
        held_back_ms: timestamp of the revision that nodes outside `opened` are led to.
        opened: who is led to the newest revision.
    """

    held_back_ms: int
    opened: Membership
