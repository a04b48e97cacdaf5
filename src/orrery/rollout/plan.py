"""Plans: the steps from what is published to what is wanted, as data.

What is stored of a plan, and handed from one machine to another, is this JSON; `from_data` takes
nothing else, and nothing more or less:

    {
      "type": "planet",                       or "moon"
      "world_id": "8056c2e21c000001",
      "dictionary": "",                       hex, of a moon
      "start": {"timestamp_ms": 1790000000000, "signature": "…"},
      "steps": [
        {
          "number": 1,
          "roots": [ROOT, …],                 as the World lists them
          "signed_by": "…", "names": "…",     public keys, 64 bytes in hex
          "changes": ["…"],
          "before": [CONDITION, …], "done": [CONDITION, …],
          "keep": [ROOT, …], "old": [ROOT, …], "release": [ROOT, …],
          "last": ["8056c2e21c"], "install_first": [], "install_last": [],
          "forced": [{"group": 0, "why": "silent"}]       positions in "fleet"
        }
      ],
      "finish": [CONDITION, …],
      "fleet": [GROUP, …], "exempt": [GROUP, …],
      "unseen": 3,
      "stranded": [{"group": 0, "why": "silent"}],        positions in "exempt"
      "spare_root": true
    }

    ROOT       {"identity": "8056c2e21c:0:…", "endpoints": ["192.0.2.1/9993"]}; a set of places is
               the roots that have them, in ascending order
    CONDITION  {"kind": "adopted" or "installed", "step": 0, "roots": ["8056c2e21c"]} or
               {"kind": "answering", "stopped" or "heard", "places": [ROOT, …]}
    GROUP      {"holds_ms": 1790000000000, "reach": ["ipv4", "ipv6"],
                "beside": ["ed1e7d19f7000001"], "nodes": ["2c3e8f527a", …]}
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from orrery.errors import DecodeError
from orrery.rollout.conditions import Adopted, Condition, Installed, read_condition
from orrery.rollout.fields import (
    Fields,
    read_address,
    read_bytes,
    read_flag,
    read_list,
    read_number,
    read_root,
    read_sized,
    read_text,
    read_world_id,
    write_root,
)
from orrery.rollout.fleet import Group, Stranded, Why, count_nodes
from orrery.rollout.places import Place, read_places, write_places
from orrery.wire.address import Address, format_address
from orrery.wire.signature import PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, Root, World, WorldType


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One revision to publish, and what belongs to it.

    The conditions are met in their order: a place is stopped only when those before it are true.

    Attributes:
        number: from 1.
        roots: what the revision lists.
        signed_by: the public key whose private half signs it.
        names: the public key that it names for the next one.
        changes: what it changes, in words.
        before: what must be true before it is published, after all of the step before is.
        done: what must be true before anything that follows.
        keep: places that must run from its publication until it is done.
        old: those of them that it does not list: nodes that have not taken it are found there.
        release: places that may stop when it is done; the plan needs them no more.
        last: official roots, which belong to the last cohort: they hand what they hold to everyone.
        install_first: official roots that need its file by hand as soon as it is published.
        install_last: official roots that need it by hand with the last cohort.
        forced: who would be stranded if it were published now and what it releases were stopped:
            groups of the `fleet` of the plan, each with the reason.
    """

    number: int
    roots: tuple[Root, ...]
    signed_by: bytes
    names: bytes
    changes: tuple[str, ...]
    before: tuple[Condition, ...] = ()
    done: tuple[Condition, ...] = ()
    keep: tuple[Place, ...] = ()
    old: tuple[Place, ...] = ()
    release: tuple[Place, ...] = ()
    last: tuple[Address, ...] = ()
    install_first: tuple[Address, ...] = ()
    install_last: tuple[Address, ...] = ()
    forced: tuple[Stranded, ...] = ()

    def to_data(self, fleet: Sequence[Group]) -> dict[str, object]:
        """The form above; the fleet is that of the plan."""
        return {
            "number": self.number,
            "roots": [write_root(root) for root in self.roots],
            "signed_by": self.signed_by.hex(),
            "names": self.names.hex(),
            "changes": list(self.changes),
            "before": [condition.to_data() for condition in self.before],
            "done": [condition.to_data() for condition in self.done],
            "keep": write_places(self.keep),
            "old": write_places(self.old),
            "release": write_places(self.release),
            "last": [format_address(address) for address in self.last],
            "install_first": [format_address(address) for address in self.install_first],
            "install_last": [format_address(address) for address in self.install_last],
            "forced": _write_stranded(self.forced, fleet),
        }

    @classmethod
    def from_data(cls, data: object, fleet: Sequence[Group]) -> Self:
        """Read that form.

        Raises:
            DecodeError: it is something else.
        """
        addresses = read_list(read_address)
        conditions = read_list(read_condition)
        with Fields(data, "a step") as fields:
            return cls(
                number=fields.take("number", read_number),
                roots=fields.take("roots", _read_roots),
                signed_by=fields.take("signed_by", read_sized(PUBLIC_KEY_BYTES)),
                names=fields.take("names", read_sized(PUBLIC_KEY_BYTES)),
                changes=fields.take("changes", read_list(read_text)),
                before=fields.take("before", conditions),
                done=fields.take("done", conditions),
                keep=fields.take("keep", read_places),
                old=fields.take("old", read_places),
                release=fields.take("release", read_places),
                last=fields.take("last", addresses),
                install_first=fields.take("install_first", addresses),
                install_last=fields.take("install_last", addresses),
                forced=fields.take("forced", _read_stranded(fleet)),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The safe sequence of revisions from what is published to what is wanted.

    Attributes:
        type: planet or moon.
        id: of the World.
        dictionary: of a moon, kept as it is.
        start_ms: timestamp of the revision that it starts from.
        start_signature: that revision's signature, by which it is known again.
        steps: none when nothing is to be published.
        finish: what is to be done when the last step is done, in this order.
        fleet: the counted nodes that it was made for.
        exempt: nodes that it does not wait for, because the operator named them.
        unseen: how many nodes were not seen inside the horizon.
        stranded: nodes that no running root can lead even now, all of them exempt.
        spare_root: whether any one root may be down at any time, where there are two or more.
    """

    type: WorldType
    id: int
    dictionary: bytes
    start_ms: int
    start_signature: bytes
    steps: tuple[Step, ...]
    finish: tuple[Condition, ...] = ()
    fleet: tuple[Group, ...] = ()
    exempt: tuple[Group, ...] = ()
    unseen: int = 0
    stranded: tuple[Stranded, ...] = ()
    spare_root: bool = True

    @property
    def counted(self) -> int:
        """How many nodes it was made for."""
        return count_nodes(self.fleet)

    def world(self, step: Step, timestamp_ms: int) -> World:
        """The unsigned World that a step publishes."""
        return World(
            type=self.type,
            id=self.id,
            timestamp_ms=timestamp_ms,
            updates_must_be_signed_by=step.names,
            roots=step.roots,
            dictionary=self.dictionary,
        )

    def to_data(self) -> dict[str, object]:
        """The form above, ready for JSON."""
        return {
            "type": self.type.name.lower(),
            "world_id": f"{self.id:016x}",
            "dictionary": self.dictionary.hex(),
            "start": {"timestamp_ms": self.start_ms, "signature": self.start_signature.hex()},
            "steps": [step.to_data(self.fleet) for step in self.steps],
            "finish": [condition.to_data() for condition in self.finish],
            "fleet": [group.to_data() for group in self.fleet],
            "exempt": [group.to_data() for group in self.exempt],
            "unseen": self.unseen,
            "stranded": _write_stranded(self.stranded, self.exempt),
            "spare_root": self.spare_root,
        }

    @classmethod
    def from_data(cls, data: object) -> Self:
        """Read that form.

        Raises:
            DecodeError: it is something else, or no plan could say so.
        """
        groups = read_list(Group.from_data)
        with Fields(data, "a plan") as fields:
            fleet, exempt = fields.take("fleet", groups), fields.take("exempt", groups)
            start_ms, start_signature = fields.take("start", _read_start)
            plan = cls(
                type=fields.take("type", _read_type),
                id=fields.take("world_id", read_world_id),
                dictionary=fields.take("dictionary", read_bytes),
                start_ms=start_ms,
                start_signature=start_signature,
                steps=fields.take("steps", read_list(lambda each: Step.from_data(each, fleet))),
                finish=fields.take("finish", read_list(read_condition)),
                fleet=fleet,
                exempt=exempt,
                unseen=fields.take("unseen", read_number),
                stranded=fields.take("stranded", _read_stranded(exempt)),
                spare_root=fields.take("spare_root", read_flag),
            )
        plan._check()
        return plan

    def _check(self) -> None:
        """Check what the form alone does not say."""
        if self.dictionary and self.type is not WorldType.MOON:
            raise DecodeError("a plan for a planet has a dictionary, which only moons have")
        names = self.steps[0].signed_by if self.steps else b""
        for number, step in enumerate(self.steps, start=1):
            if step.number != number:
                raise DecodeError(f"step {step.number} of a plan stands where {number} belongs")
            if step.signed_by != names:
                raise DecodeError(
                    f"step {number} of a plan is signed by another key than the one named before it"
                )
            names = step.names
            _check_steps((*step.before, *step.done), number)
        _check_steps(self.finish, len(self.steps))


class Reason(StrEnum):
    """Why a wish is refused.

    MISTAKE: no plan could mend it. CONTRADICTION: what is said of places cannot be true.
    NO_KEY: nobody can sign. GONE: a place that is wanted is gone. STRANDED: nodes are stranded
    already. OUT_OF_REACH: nodes could reach no root of the wish. NO_SPARE: while it is carried out,
    one root alone would carry the network. NO_WAY: whatever is done first strands somebody.
    """

    MISTAKE = "mistake"
    CONTRADICTION = "contradiction"
    NO_KEY = "no-key"
    GONE = "gone"
    STRANDED = "stranded"
    OUT_OF_REACH = "out-of-reach"
    NO_SPARE = "no-spare"
    NO_WAY = "no-way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a wish is not safe, and what is.

    Attributes:
        reason: for programs.
        sentences: for people, one for each thing that is wrong.
        stranded: the nodes that it is about.
        remedies: what can still be done, in words, best first.
        nearest: the nearest wish that is safe, as a plan; None if there is none.
        nearest_is: what is given up for it, in words; empty without one.
    """

    reason: Reason
    sentences: tuple[str, ...]
    stranded: tuple[Stranded, ...] = ()
    remedies: tuple[str, ...] = ()
    nearest: Plan | None = None
    nearest_is: str = ""


def _check_steps(conditions: Sequence[Condition], last: int) -> None:
    for condition in conditions:
        if isinstance(condition, Adopted | Installed) and condition.step > last:
            raise DecodeError(
                f"a condition of a plan speaks of step {condition.step} before its time"
            )


def _read_type(data: object) -> WorldType:
    for world_type in (WorldType.PLANET, WorldType.MOON):
        if data == world_type.name.lower():
            return world_type
    raise DecodeError(f"{data!r} is neither planet nor moon")


def _read_start(data: object) -> tuple[int, bytes]:
    with Fields(data, "the start of a plan") as fields:
        return (
            fields.take("timestamp_ms", read_number),
            fields.take("signature", read_sized(SIGNATURE_BYTES)),
        )


def _read_roots(data: object) -> tuple[Root, ...]:
    roots = read_list(read_root)(data)
    if not 1 <= len(roots) <= MAX_ROOTS:
        raise DecodeError(f"a World has 1 to {MAX_ROOTS} roots and this one {len(roots)}")
    if any(not 1 <= len(root.endpoints) <= MAX_ENDPOINTS for root in roots):
        raise DecodeError(f"a root of a World has 1 to {MAX_ENDPOINTS} endpoints")
    return roots


def _write_stranded(
    stranded: Sequence[Stranded], groups: Sequence[Group]
) -> list[dict[str, object]]:
    return [{"group": groups.index(group), "why": why.value} for group, why in stranded]


def _read_stranded(groups: Sequence[Group]) -> Callable[[object], tuple[Stranded, ...]]:
    def read_one(data: object) -> Stranded:
        with Fields(data, "who is stranded") as fields:
            number, why = fields.take("group", read_number), fields.take("why", read_text)
        if number >= len(groups) or why not in set(Why):
            raise DecodeError(f"there is no group {number} here, or no reason {why!r}")
        return Stranded(groups[number], Why(why))

    return read_list(read_one)
