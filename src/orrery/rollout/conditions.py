"""What must be true before a plan goes on: data that whoever carries it out evaluates."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from orrery.errors import DecodeError
from orrery.rollout.fields import Fields, read_address, read_list, read_number, read_text
from orrery.rollout.places import (
    Place,
    name_places,
    places_of,
    read_places,
    roots_of,
    write_places,
)
from orrery.wire.address import Address, format_address


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known while a plan is carried out.

    Attributes:
        revisions: timestamps of what the plan starts from (step 0) and of each step published so
            far, then of revisions that followed them, as a rollback does.
        holders: how many counted nodes hold which timestamp. Nodes count as they did for the plan:
            seen inside the horizon now, and not exempt.
        installed: timestamps that roots hold, by their addresses.
        answering: places that answer.
        heard: at how many counted nodes were heard at which place since it was published.
    """

    revisions: Sequence[int]
    holders: Mapping[int, int]
    installed: Mapping[Address, int] = field(default_factory=dict)
    answering: Collection[Place] = ()
    heard: Mapping[Place, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Adopted:
    """Every counted node holds the revision of a step or a later one, and so do these roots.

    Attributes:
        step: number of the step, 0 for the revision that the plan starts from.
        roots: official roots, which are no nodes that are counted but must hold it as well.
    """

    kind: ClassVar[str] = "adopted"
    step: int
    roots: tuple[Address, ...] = ()

    def to_data(self) -> dict[str, object]:
        """The form that `orrery.rollout.plan` shows."""
        return {"kind": self.kind, "step": self.step, "roots": _write_addresses(self.roots)}

    def missing(self, evidence: Evidence) -> tuple[int, tuple[Address, ...]]:
        """How many nodes lack it, and which of the roots."""
        enough = frozenset(evidence.revisions[self.step :])
        # Who only waits for a moon holds nothing that could be old.
        nodes = sum(
            count for held, count in evidence.holders.items() if held and held not in enough
        )
        return nodes, tuple(
            address for address in self.roots if evidence.installed.get(address) not in enough
        )

    def is_met(self, evidence: Evidence) -> bool:
        """Whether it is true; never before the step is published."""
        return len(evidence.revisions) > self.step and self.missing(evidence) == (0, ())

    def __str__(self) -> str:
        what = f"the revision of step {self.step}" if self.step else "the newest revision"
        others = f", and so do roots {', '.join(map(format_address, self.roots))}"
        return f"every counted node holds {what}{others if self.roots else ''}"


@dataclass(frozen=True, slots=True)
class Installed:
    """Official roots hold the revision of a step, from their file: nobody can hand it to them."""

    kind: ClassVar[str] = "installed"
    step: int
    roots: tuple[Address, ...]

    def to_data(self) -> dict[str, object]:
        """The form that `orrery.rollout.plan` shows."""
        return {"kind": self.kind, "step": self.step, "roots": _write_addresses(self.roots)}

    def missing(self, evidence: Evidence) -> tuple[Address, ...]:
        """The roots that do not."""
        enough = frozenset(evidence.revisions[self.step :])
        return tuple(
            address for address in self.roots if evidence.installed.get(address) not in enough
        )

    def is_met(self, evidence: Evidence) -> bool:
        """Whether it is true."""
        return not self.missing(evidence)

    def __str__(self) -> str:
        what = f"the World file of step {self.step}" if self.step else "the newest World file"
        return f"{what} is installed on {', '.join(map(format_address, self.roots))}, and read"


@dataclass(frozen=True, slots=True)
class Answering:
    """These places answer."""

    kind: ClassVar[str] = "answering"
    places: tuple[Place, ...]

    def to_data(self) -> dict[str, object]:
        """The form that `orrery.rollout.plan` shows."""
        return {"kind": self.kind, "places": write_places(self.places)}

    def missing(self, evidence: Evidence) -> tuple[Place, ...]:
        """The places that do not."""
        return tuple(place for place in self.places if place not in evidence.answering)

    def is_met(self, evidence: Evidence) -> bool:
        """Whether it is true."""
        return not self.missing(evidence)

    def __str__(self) -> str:
        return f"answering: {name_places(self.places)}"


@dataclass(frozen=True, slots=True)
class Stopped:
    """These places do not answer any more, as they stand in the way of what starts next."""

    kind: ClassVar[str] = "stopped"
    places: tuple[Place, ...]

    def to_data(self) -> dict[str, object]:
        """The form that `orrery.rollout.plan` shows."""
        return {"kind": self.kind, "places": write_places(self.places)}

    def missing(self, evidence: Evidence) -> tuple[Place, ...]:
        """The places that still answer."""
        return tuple(place for place in self.places if place in evidence.answering)

    def is_met(self, evidence: Evidence) -> bool:
        """Whether it is true."""
        return not self.missing(evidence)

    def __str__(self) -> str:
        return f"stopped: {name_places(self.places)}"


@dataclass(frozen=True, slots=True)
class Heard:
    """Nodes were heard at each root that has places here, at one of them at least.

    It shows that a new root is not only alive but also within reach.
    """

    kind: ClassVar[str] = "heard"
    places: tuple[Place, ...]

    def to_data(self) -> dict[str, object]:
        """The form that `orrery.rollout.plan` shows."""
        return {"kind": self.kind, "places": write_places(self.places)}

    def missing(self, evidence: Evidence) -> tuple[Place, ...]:
        """The places of roots where nobody was heard."""
        return tuple(
            place
            for root in roots_of(self.places)
            if not any(evidence.heard.get(place) for place in places_of([root]))
            for place in sorted(places_of([root]))
        )

    def is_met(self, evidence: Evidence) -> bool:
        """Whether it is true."""
        return not self.missing(evidence)

    def __str__(self) -> str:
        return f"nodes were heard at {name_places(self.places)}"


Condition: TypeAlias = Adopted | Installed | Answering | Stopped | Heard


def read_condition(data: object) -> Condition:
    """Read what `to_data` of a condition wrote.

    Raises:
        DecodeError: it is something else.
    """
    with Fields(data, "a condition") as fields:
        kind = fields.take("kind", read_text)
        if kind == Adopted.kind:
            return Adopted(fields.take("step", read_number), fields.take("roots", _read_addresses))
        if kind == Installed.kind:
            return Installed(
                fields.take("step", read_number), fields.take("roots", _read_addresses)
            )
        for about_places in (Answering, Stopped, Heard):
            if kind == about_places.kind:
                return about_places(fields.take("places", read_places))
        raise DecodeError(f"there is no condition of the kind {kind!r}")


def _write_addresses(addresses: Iterable[Address]) -> list[str]:
    return [format_address(address) for address in addresses]


_read_addresses = read_list(read_address)
