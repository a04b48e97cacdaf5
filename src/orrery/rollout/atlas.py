"""Sets of places as bits of a number: what a search through plans computes with.

A set of places is a `Bits`, in which bit i stands for the place number i. A set of roots is one
too: each root is the bit of the first of its places.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from orrery.rollout.landscape import Landscape, PlaceState
from orrery.rollout.places import Place, Reach, places_of
from orrery.wire.identity import Identity
from orrery.wire.world import Root, World
from orrery.worlds.chain import Chain

Bits: TypeAlias = int


class Atlas:
    """The places that a plan has to do with, each with a number.

    Args:
        chain: what is published.
        wanted: the roots that are wished for.
        landscape: what is known of the roots.

    Attributes:
        places: by number, in ascending order.
        alive: places that answer now.
        later: places that can be started.
        orrery: places of roots that hand out every link of the chain.
    """

    __slots__ = (
        "_conflicts",
        "_contents",
        "_in_conflict",
        "_numbers",
        "_owners",
        "_reaches",
        "alive",
        "later",
        "orrery",
        "places",
    )

    def __init__(self, chain: Chain, wanted: Iterable[Root], landscape: Landscape) -> None:
        newest, goal = places_of(chain.newest.roots), places_of(wanted)
        beside = places_of(root for roots in landscape.beside.values() for root in roots)
        published = places_of(root for revision in chain for root in revision.roots)

        def state_of(place: Place) -> PlaceState:
            if (told := landscape.states.get(place)) is not None:
                return told
            if place in newest or place in beside:
                return PlaceState.ALIVE
            return PlaceState.LATER if place in goal else PlaceState.GONE

        every = published | goal | beside | landscape.states.keys()
        self.places: Sequence[Place] = tuple(sorted(every))
        self._numbers = {place: number for number, place in enumerate(self.places)}
        self._contents: dict[int, Bits] = {}
        self._owners = self._sort_by_root()
        states = [(place, state_of(place)) for place in self.places]
        self.alive = self.bits(place for place, state in states if state is PlaceState.ALIVE)
        self.later = self.bits(place for place, state in states if state is PlaceState.LATER)
        self.orrery = self.bits(
            place for place in self.places if place.identity.address not in landscape.official
        )
        self._reaches = {
            reach: self.bits(place for place in self.places if reach.covers(place.endpoint))
            for reach in (Reach.IPV4, Reach.IPV6, Reach.BOTH)
        }
        self._conflicts = self._find_conflicts(landscape.in_turn)
        self._in_conflict = sum(1 << number for number in self._conflicts)

    def bits(self, places: Iterable[Place]) -> Bits:
        """The set of these places; those that are not here are left out."""
        bits = 0
        for place in places:
            number = self._numbers.get(place)
            if number is not None:
                bits |= 1 << number
        return bits

    def content_of(self, revision: World) -> Bits:
        """The places that a revision of the chain names."""
        content = self._contents.get(revision.timestamp_ms)
        if content is None:
            content = self._contents[revision.timestamp_ms] = self.bits_of(revision.roots)
        return content

    def bits_of(self, roots: Iterable[Root]) -> Bits:
        """The places that roots name."""
        return self.bits(places_of(roots))

    def list(self, bits: Bits) -> tuple[Place, ...]:
        """The places of a set, in ascending order."""
        return tuple(self.places[number] for number in _iter_numbers(bits))

    def roots(self, bits: Bits) -> Bits:
        """The set of roots that have one of these places at least."""
        found = 0
        for owner, owned in self._owners:
            if owned & bits:
                found |= owner
        return found

    def of_root(self, bits: Bits) -> Bits:
        """All places of the roots that have one of these."""
        found = 0
        for _, owned in self._owners:
            if owned & bits:
                found |= owned
        return found

    def split_by_root(self, bits: Bits) -> Iterator[Bits]:
        """The places of a set, those of each root together."""
        for _, owned in self._owners:
            if owned & bits:
                yield owned & bits

    def within(self, reach: Reach) -> Bits:
        """The places that a node can get to by its families of addresses."""
        return self._reaches[reach]

    def conflicts(self, bits: Bits) -> Bits:
        """The places that cannot run while one of these does."""
        found = 0
        for number in _iter_numbers(bits & self._in_conflict):
            found |= self._conflicts[number]
        return found

    def _sort_by_root(self) -> tuple[tuple[Bits, Bits], ...]:
        owned: dict[Identity, Bits] = {}
        for number, place in enumerate(self.places):
            owned[place.identity] = owned.get(place.identity, 0) | 1 << number
        return tuple((bits & -bits, bits) for bits in owned.values())

    def _find_conflicts(self, in_turn: Iterable[tuple[Place, Place]]) -> dict[int, Bits]:
        conflicts: dict[int, Bits] = {}
        at: dict[object, Bits] = {}
        for number, place in enumerate(self.places):
            at[place.endpoint] = at.get(place.endpoint, 0) | 1 << number
        for number, place in enumerate(self.places):
            if others := at[place.endpoint] & ~(1 << number):
                conflicts[number] = others
        for pair in in_turn:
            first, second = (self._numbers.get(place) for place in pair)
            if first is not None and second is not None:
                conflicts[first] = conflicts.get(first, 0) | 1 << second
                conflicts[second] = conflicts.get(second, 0) | 1 << first
        return conflicts


def iter_single(bits: Bits) -> Iterator[Bits]:
    """The members of a set, each as a set of its own."""
    for number in _iter_numbers(bits):
        yield 1 << number


def _iter_numbers(bits: Bits) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
