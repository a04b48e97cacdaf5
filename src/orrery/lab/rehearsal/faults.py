"""What goes wrong in a rehearsal: read from what people write, such as `root-down@2h+30m`.

    root-down[:ROOT]@AT[+FOR]          a root stops; which one is chance unless it is named
    place-down:ENDPOINT@AT[+FOR]       nothing arrives any more at one endpoint of a root
    unreachable:ENDPOINT@AT[+FOR]      nodes cannot reach an endpoint, roots can: a firewall
    nodes-down[:SHARE]@AT[+FOR]        a share of the nodes is away at once; all unless it is said
    nat-reboot[:SHARE]@AT              routers forget their mappings; all unless it is said
    loss:SHARE@AT[+FOR]                so many packets more are lost
    bad-canary[:STEP]                  whoever takes the revision of a step, 1 unless it is said,
                                       is not heard from again

AT and FOR are spans such as 2h; without FOR it stays so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from orrery.errors import OrreryError, UsageError
from orrery.rollout.cohorts import Share
from orrery.spans import format_span, parse_span_ms
from orrery.wire.endpoint import Endpoint
from orrery.worlds.stage import PLACES


class FaultKind(StrEnum):
    """What goes wrong."""

    ROOT_DOWN = "root-down"
    PLACE_DOWN = "place-down"
    UNREACHABLE = "unreachable"
    NODES_DOWN = "nodes-down"
    NAT_REBOOT = "nat-reboot"
    LOSS = "loss"
    BAD_CANARY = "bad-canary"


_FAULT = re.compile(r"(?P<kind>[a-z-]+)(?::(?P<what>[^@]+))?(?:@(?P<at>\w+)(?:\+(?P<for>\w+))?)?")
_AT_ONCE = frozenset((FaultKind.NAT_REBOOT,))
_NEEDS = {
    FaultKind.PLACE_DOWN: "which endpoint: place-down:203.0.113.7/9993@2h",
    FaultKind.UNREACHABLE: "which endpoint: unreachable:203.0.113.7/9993@2h",
    FaultKind.LOSS: "how much is lost: loss:50%@2h+1h",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        kind: what.
        at_ms: when, since the rehearsal began.
        for_ms: for how long, None for the rest of it.
        root: name or address of the root, empty for any.
        place: the endpoint, None for none.
        share: of the nodes or the packets.
        step: of the plan, from 1.
    """

    kind: FaultKind
    at_ms: int = 0
    for_ms: int | None = None
    root: str = ""
    place: Endpoint | None = None
    share: float = 1.0
    step: int = 1

    def __str__(self) -> str:
        if self.kind is FaultKind.BAD_CANARY:
            return f"bad-canary:{self.step}"
        what = self.root or (str(self.place) if self.place is not None else "")
        if self.share != 1:
            what = f"{self.share * 100:g}%"
        text = f"{self.kind}{f':{what}' if what else ''}@{self._at}"
        return text if self.for_ms is None else f"{text}+{format_span(self.for_ms)}"

    @property
    def _at(self) -> str:
        return format_span(self.at_ms) if self.at_ms else "0"


def parse_fault(text: str) -> Fault:
    """Read one fault.

    Raises:
        UsageError: it is none; the sentence says how one is written.
    """
    found = _FAULT.fullmatch(text.strip())
    if found is None or found["kind"] not in set(FaultKind):
        raise UsageError(
            f"{text[:60]!r} is not a fault that can be rehearsed: write root-down@2h, "
            f"root-down:NAME@2h+30m, or one of {', '.join(FaultKind)}"
        )
    kind = FaultKind(found["kind"])
    what = found["what"]
    if kind is FaultKind.BAD_CANARY:
        if found["at"]:
            raise UsageError(f"{text!r}: it comes with a step: write bad-canary or bad-canary:2")
        return Fault(kind=kind, step=_step(text, what) if what else 1)
    if not found["at"]:
        raise UsageError(f"{text!r} does not say when: write {kind}{_said(what)}@2h")
    if what is None and kind in _NEEDS:
        raise UsageError(f"{text!r} does not say {_NEEDS[kind]}")
    at_ms = 0 if found["at"] == "0" else parse_span_ms(found["at"])
    for_ms = None if found["for"] is None else parse_span_ms(found["for"])
    if for_ms is not None and kind in _AT_ONCE:
        raise UsageError(f"{text!r}: this happens at once, leave out +{found['for']}")
    if kind is FaultKind.ROOT_DOWN:
        return Fault(kind=kind, at_ms=at_ms, for_ms=for_ms, root=what or "")
    if kind in {FaultKind.PLACE_DOWN, FaultKind.UNREACHABLE}:
        return Fault(kind=kind, at_ms=at_ms, for_ms=for_ms, place=Endpoint.from_text(what))
    return Fault(kind=kind, at_ms=at_ms, for_ms=for_ms, share=_share(text, what))


def _said(what: str | None) -> str:
    return "" if what is None else f":{what}"


def _share(text: str, what: str | None) -> float:
    if what is None:
        return 1.0
    try:
        return Share.from_text(what).places / PLACES
    except OrreryError as error:
        raise UsageError(f"{text!r}: {error}") from None


def _step(text: str, what: str) -> int:
    if not (what.isascii() and what.isdigit() and 0 < int(what) < 1_000):
        raise UsageError(f"{text!r}: a step is a number from 1: bad-canary:2")
    return int(what)
