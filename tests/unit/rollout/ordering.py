"""Orders for tests: plans written down by hand, with the conditions that planners give them."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from orrery.rollout.cohorts import EVERYBODY, Cohort, Share
from orrery.rollout.conditions import Adopted, Condition
from orrery.rollout.fleet import Group
from orrery.rollout.order import Order
from orrery.rollout.plan import Plan, Step
from orrery.wire.world import Root, World

COHORTS = (Share(100_000), Share(500_000), EVERYBODY)


def step_of(number: int, roots: Iterable[Root], signed_by: bytes, **values: Any) -> Step:
    """A step that is done when every counted node has it."""
    defaults: dict[str, Any] = {
        "names": signed_by,
        "changes": (f"step {number}",),
        "done": (Adopted(number),),
    }
    return Step(number=number, roots=tuple(roots), signed_by=signed_by, **(defaults | values))


def plan_of(
    start: World,
    *steps: Step,
    finish: tuple[Condition, ...] = (),
    exempt: tuple[Group, ...] = (),
) -> Plan:
    """A plan from this revision."""
    return Plan(
        type=start.type,
        id=start.id,
        dictionary=start.dictionary,
        start_ms=start.timestamp_ms,
        start_signature=start.signature,
        steps=steps,
        finish=finish,
        exempt=exempt,
    )


def order_of(plan: Plan, cohorts: tuple[Cohort, ...] = COHORTS, **values: Any) -> Order:
    """To be carried out in ten seconds a cohort."""
    defaults: dict[str, Any] = {
        "settle_ms": 10_000,
        "horizon_ms": 30 * 86_400_000,
        "required": Fraction(1),
    }
    return Order(plan=plan, cohorts=cohorts, **(defaults | values))
