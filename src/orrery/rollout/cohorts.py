"""Cohorts: in which order the nodes are given a revision.

    cohorts = ["1%", "10%", ["2c3e8f527a", "dd87c5dc2d"], "100%"]

A share counts from the first place on (see `orrery.worlds.stage`), so each contains the ones before
it and the last, 100 %, is everybody. A node that is named belongs to the cohort which names it,
wherever its place is: names at the beginning make canaries of nodes that one knows, names further
back spare those that one would rather not lose. The roots of a World belong to the last cohort
whatever is said: what a root of another make holds, it hands to every node.

*Stage* k of a rollout is the cohorts 0 up to k together.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from orrery.errors import DecodeError, UsageError
from orrery.wire.address import Address, format_address, is_reserved, parse_address
from orrery.worlds.stage import NOBODY, PLACES, Membership, place_of

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%")
_PLACES_PER_PERCENT = PLACES // 100


@dataclass(frozen=True, slots=True)
class Share:
    """The nodes whose place is among the first so many of a million.

    Attributes:
        places: how many; 10,000 is 1 %.
    """

    places: int

    def __post_init__(self) -> None:
        if not 0 < self.places <= PLACES:
            raise UsageError(f"a share is more than 0 % and at most 100 %, not {self}")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read "1%" or "0.5%".

        Raises:
            DecodeError: it is something else, nothing, or more than all.
        """
        found = _PERCENT.fullmatch(text.strip())
        if found is None:
            raise DecodeError(
                f"{text!r} is not a share of the nodes: write a percentage such as "
                '"1%" or "0.5%", with up to four decimals'
            )
        places = int(Decimal(found[1]) * _PLACES_PER_PERCENT)
        if not 0 < places <= PLACES:
            raise DecodeError(f"{text!r} is not a share: it is more than 0% and at most 100%")
        return cls(places)

    def __str__(self) -> str:
        percent = Decimal(self.places) / _PLACES_PER_PERCENT
        return f"{percent.normalize():f}%"


EVERYBODY = Share(PLACES)


@dataclass(frozen=True, slots=True)
class Named:
    """Nodes by their addresses."""

    addresses: frozenset[Address]

    def __post_init__(self) -> None:
        if not self.addresses:
            raise UsageError("a cohort of named nodes names one at least")
        for address in self.addresses:
            if not 0 < address < 1 << 40 or is_reserved(address):
                raise UsageError(f"{address:#x} is no address that a node can have")

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Self:
        """Read addresses.

        Raises:
            DecodeError: there is none, one is no address, or one is there twice.
        """
        addresses: set[Address] = set()
        for text in texts:
            address = parse_address(text)
            if address in addresses:
                raise DecodeError(f"{format_address(address)} is named twice; name it once")
            addresses.add(address)
        if not addresses:
            raise DecodeError("a list of nodes is empty; name one at least, or leave the list out")
        return cls(frozenset(addresses))

    def __str__(self) -> str:
        return ", ".join(map(format_address, sorted(self.addresses)))


Cohort = Share | Named


class Cohorts:
    """The cohorts of a rollout, in order.

    Args:
        cohorts: shares that grow, the last one of all nodes, and named nodes anywhere before it.
        roots: nodes that belong to the last cohort in any case.

    Raises:
        UsageError: a share is not larger than the one before, the last is not everybody, or a
            node is named twice or though it is a root.
    """

    __slots__ = ("_cohort_of_named", "_cohorts", "_roots")

    def __init__(self, cohorts: Iterable[Cohort], roots: Iterable[Address] = ()) -> None:
        self._cohorts = tuple(cohorts)
        self._roots = frozenset(roots)
        self._cohort_of_named: dict[Address, int] = {}
        if not self._cohorts or self._cohorts[-1] != EVERYBODY:
            raise UsageError('the last cohort is everybody: end the cohorts with "100%"')
        before: Share | None = None
        for number, cohort in enumerate(self._cohorts):
            if isinstance(cohort, Named):
                self._name(cohort, number)
                continue
            if before is not None and cohort.places <= before.places:
                raise UsageError(
                    f"a cohort of {cohort} after one of {before} adds no node: let the shares grow"
                )
            before = cohort

    def _name(self, cohort: Named, number: int) -> None:
        for address in sorted(cohort.addresses):
            if address in self._cohort_of_named:
                raise UsageError(
                    f"node {format_address(address)} is named in two cohorts; name it in one"
                )
            if address in self._roots:
                raise UsageError(
                    f"{format_address(address)} is a root, and would hand what it gets to every "
                    "node: leave it out of the named ones, it comes with the last cohort"
                )
            self._cohort_of_named[address] = number

    @classmethod
    def parse(cls, entries: Sequence[object], roots: Iterable[Address] = ()) -> Self:
        """Read what `orrery.toml` says: percentages, and lists of addresses.

        Raises:
            DecodeError: an entry is neither.
            UsageError: as the constructor.
        """
        return cls([parse_cohort(entry) for entry in entries], roots)

    def entries(self) -> list[str | list[str]]:
        """The cohorts as `parse` reads them."""
        return [
            str(cohort)
            if isinstance(cohort, Share)
            else [format_address(address) for address in sorted(cohort.addresses)]
            for cohort in self._cohorts
        ]

    @property
    def roots(self) -> frozenset[Address]:
        """The nodes that belong to the last cohort in any case."""
        return self._roots

    def opened(self, stage: int) -> Membership:
        """Who is given a revision at a stage, for the handover table.

        Args:
            stage: the number of the cohort that is open last, from 0; -1 for none.

        Raises:
            UsageError: there is no such cohort.
        """
        if not -1 <= stage < len(self._cohorts):
            raise UsageError(
                f"stage {stage} of {len(self._cohorts)} cohorts: they count from 0, and -1 is none"
            )
        if stage == -1:
            return NOBODY
        open_ones = self._cohorts[: stage + 1]
        share = max((each.places for each in open_ones if isinstance(each, Share)), default=0)
        if share == PLACES:
            return Membership(PLACES)
        numbers = self._cohort_of_named.items()
        named = frozenset(address for address, number in numbers if number <= stage)
        later = self._roots.union(address for address, number in numbers if number > stage)
        return Membership(share, named, later)

    def cohort_of(self, world_id: int, address: Address) -> int:
        """The number of the cohort with which a node is given a revision, from 0."""
        if address in self._roots:
            return len(self._cohorts) - 1
        named = self._cohort_of_named.get(address)
        if named is not None:
            return named
        place = place_of(world_id, address)
        return next(
            number
            for number, cohort in enumerate(self._cohorts)
            if isinstance(cohort, Share) and place < cohort.places
        )

    def __len__(self) -> int:
        return len(self._cohorts)

    def __iter__(self) -> Iterator[Cohort]:
        return iter(self._cohorts)

    def __getitem__(self, number: int) -> Cohort:
        return self._cohorts[number]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Cohorts)
            and self._cohorts == other._cohorts
            and self._roots == other._roots
        )

    def __hash__(self) -> int:
        return hash((self._cohorts, self._roots))

    def __repr__(self) -> str:
        return f"Cohorts({self.entries()})"


def parse_cohort(entry: object) -> Cohort:
    """Read one cohort: a percentage, or a list of addresses.

    Raises:
        DecodeError: it is neither.
    """
    if isinstance(entry, str):
        return Share.from_text(entry)
    if isinstance(entry, (list, tuple)) and all(isinstance(each, str) for each in entry):
        return Named.from_texts(entry)
    raise DecodeError(
        f'a cohort is a percentage such as "10%", or a list of nodes such as ["2c3e8f527a"], not '
        f"{entry!r}"
    )
