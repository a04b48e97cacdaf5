"""Orders: a plan with how it is to be carried out, as `apply` hands it over and the store keeps it.

The JSON form; `from_json` takes nothing else, and nothing more or less:

    {
      "plan": PLAN,                           as `orrery.rollout.plan` shows it
      "cohorts": ["1%", ["2c3e8f527a"], "100%"],
      "settle_ms": 10000,
      "horizon_ms": 2592000000,
      "required": "99/100",                   a fraction above 0 and up to 1
      "signed": ["…", null]                   for each step, a signed World in hex or null
    }
"""

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

from orrery.errors import DecodeError, UsageError, VerifyError
from orrery.rollout.cohorts import Cohort, Cohorts, parse_cohort
from orrery.rollout.fields import Fields, read_bytes, read_list, read_number, read_text
from orrery.rollout.plan import Plan, Step
from orrery.wire.world import World
from orrery.worlds.acceptance import check_update


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A plan to be carried out.

    Attributes:
        plan: the steps, and which nodes are not waited for (`exempt`).
        cohorts: who is given each revision before others; the last one is everybody.
        settle_ms: how long a cohort is watched once it has the revision.
        horizon_ms: a node counts when it was seen in this span.
        required: the share of the counted nodes of a cohort that must have the revision before
            the next cohort's turn. The conditions of a step want all of them in any case.
        signed: for each step the signed World, encoded, None for a step that this home signs
            itself; empty when it signs all.
    """

    plan: Plan
    cohorts: tuple[Cohort, ...]
    settle_ms: int
    horizon_ms: int
    required: Fraction = Fraction(1)
    signed: tuple[bytes | None, ...] = ()

    def __post_init__(self) -> None:
        Cohorts(self.cohorts)
        if not 0 < self.required <= 1:
            raise UsageError(f"the required share is above 0 and at most 1, not {self.required}")
        if self.signed and len(self.signed) != len(self.plan.steps):
            raise UsageError(
                f"{len(self.signed)} signed Worlds for the {len(self.plan.steps)} steps of a plan: "
                "give one for each step, or None for those to be signed here"
            )

    def signed_step(self, number: int) -> bytes | None:
        """What was signed elsewhere for a step, counted from 1; None for what is signed here."""
        return self.signed[number - 1] if self.signed else None

    def check_signed(self, start: World) -> None:
        """Check every World that was signed elsewhere, as the nodes will and against the plan.

        Args:
            start: the revision that the plan starts from.

        Raises:
            VerifyError: one is not what the plan says.
            UpdateRefused: a node would refuse one.
            DecodeError: one is no World.
        """
        before = start
        for step, encoded in zip(self.plan.steps, self.signed, strict=False):
            if encoded is None:
                # What is signed here comes between them, with a timestamp that nobody knows yet.
                before = self.plan.world(step, before.timestamp_ms)
            else:
                before = self.check_step(step, encoded, before)

    def check_step(self, step: Step, encoded: bytes, before: World) -> World:
        """Check that a signed World is that of a step and nothing beside it, and would be taken.

        Args:
            step: the step.
            encoded: the signed World.
            before: what nodes hold that are handed it.

        Returns:
            The signed World.

        Raises:
            VerifyError, UpdateRefused, DecodeError: as `check_signed`.
        """
        world = World.decode(encoded)
        planned = replace(self.plan.world(step, world.timestamp_ms), signature=world.signature)
        if planned.encode() != encoded:
            raise VerifyError(
                f"what was signed for step {step.number} is not what the plan says: make the plan "
                "file anew and sign that"
            )
        check_update(before, world)
        return world

    def to_json(self) -> str:
        """The form above, always the same text for the same content."""
        return json.dumps(
            {
                "plan": self.plan.to_data(),
                "cohorts": Cohorts(self.cohorts).entries(),
                "settle_ms": self.settle_ms,
                "horizon_ms": self.horizon_ms,
                "required": str(self.required),
                "signed": [None if each is None else each.hex() for each in self.signed],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read that form.

        Raises:
            DecodeError: it is something else, or no order could say so.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise DecodeError(f"an order is no JSON: {error}") from None
        with Fields(data, "an order") as fields:
            plan = fields.take("plan", Plan.from_data)
            values: dict[str, Any] = {
                "cohorts": fields.take("cohorts", _read_cohorts),
                "settle_ms": fields.take("settle_ms", read_number),
                "horizon_ms": fields.take("horizon_ms", read_number),
                "required": fields.take("required", _read_fraction),
                "signed": fields.take("signed", read_list(_read_signed)),
            }
        try:
            return cls(plan=plan, **values)
        except UsageError as error:
            raise DecodeError(f"an order makes no sense: {error}") from None


def _read_cohorts(data: object) -> tuple[Cohort, ...]:
    if not isinstance(data, list):
        raise DecodeError("the cohorts are no list")
    return tuple(map(parse_cohort, data))


def _read_fraction(data: object) -> Fraction:
    text = read_text(data)
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError):
        found = None
    if found is None or str(found) != text:
        raise DecodeError(f"{text[:40]!r} is no fraction such as 99/100")
    return found


def _read_signed(data: object) -> bytes | None:
    return None if data is None else read_bytes(data)
