"""What came of a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass

from orrery.lab.curve import Curve
from orrery.rollout.state import RolloutState
from orrery.wire.address import Address


@dataclass(frozen=True, slots=True)
class CohortOutcome:
    """What came of one cohort in one step. Times are milliseconds since the begin.

    Attributes:
        name: as the order says it.
        nodes: how many counted nodes it adds to those before it.
        opened_ms: when it was opened, None if it never was.
        adopted_ms: when 50, 99 and 100 % of its nodes had the revision; infinite for never.
        passed_ms: when the next was opened, or the step was done; None if that never came.
    """

    name: str
    nodes: int
    opened_ms: float | None
    adopted_ms: tuple[float, ...]
    passed_ms: float | None


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What came of a step.

    Attributes:
        number: from 1.
        changes: what it changes, in words.
        timestamp_ms: of its revision, 0 if it was not published.
        published_ms: when it was, None if it was not.
        done_ms: when it was done, None if it was not.
        cohorts: in order.
        curve: of adoption.
    """

    number: int
    changes: tuple[str, ...]
    timestamp_ms: int
    published_ms: float | None
    done_ms: float | None
    cohorts: tuple[CohortOutcome, ...]
    curve: Curve


@dataclass(frozen=True, slots=True)
class Lost:
    """A node that is not where it should be.

    Attributes:
        address: of the node.
        holds_ms: the revision that it holds.
        why: in a sentence.
    """

    address: Address
    holds_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class RootOutcome:
    """What a root had to do.

    Attributes:
        address: of the root.
        name: what people call it.
        answers: Worlds handed over in answer to HELLO.
        pushes: and by push.
        handed_bytes: of all of these.
    """

    address: Address
    name: str
    answers: int
    pushes: int
    handed_bytes: int


@dataclass(frozen=True, slots=True)
class Outage:
    """A root was down.

    Attributes:
        name: what people call it.
        begin_ms: since when.
        end_ms: until when, infinite where it stayed down.
    """

    name: str
    begin_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that is told of the course of a rehearsal.

    Attributes:
        at_ms: when, since the begin.
        what: in words.
    """

    at_ms: int
    what: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a rehearsal. Times are milliseconds since the begin.

    Attributes:
        nodes: how many there were.
        counted: how many of them counted at the begin.
        state: in which the rollout ended.
        reason: why, in a sentence.
        ended_ms: when the rollout was over, or paused, or the time was up.
        virtual_ms: how long it went on.
        steps: of the plan.
        stranded: nodes that no running root can lead any more.
        forsaken: likewise, of those that the plan does not wait for.
        failed: nodes that a fault made fall silent for good.
        behind: nodes in touch with a root that do not hold what they are led to.
        roots: each that ran.
        outages: of roots.
        course: what happened, in order.
        packets: how many were sent.
        rounds: how many rounds of leaves were played with packets.
        left_out: how many were reckoned, as nothing hung on them.
        on_loopback: whether it was played by processes, in real time; then of roots, packets and
            rounds nothing is known.
    """

    nodes: int
    counted: int
    state: RolloutState
    reason: str
    ended_ms: int
    virtual_ms: int
    steps: tuple[StepOutcome, ...]
    stranded: tuple[Lost, ...]
    forsaken: tuple[Lost, ...]
    failed: tuple[Lost, ...]
    behind: tuple[Lost, ...]
    roots: tuple[RootOutcome, ...]
    outages: tuple[Outage, ...]
    course: tuple[Happening, ...]
    packets: int
    rounds: int
    left_out: int
    on_loopback: bool = False

    @property
    def passed(self) -> bool:
        """Whether the plan was carried out, and nobody was lost."""
        return self.state is RolloutState.DONE and not (self.stranded or self.behind)

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Of the steps that were published."""
        return tuple(step.curve for step in self.steps if step.published_ms is not None)
