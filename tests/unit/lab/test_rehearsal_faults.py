from __future__ import annotations

import pytest

from orrery.errors import OrreryError
from orrery.lab.rehearsal.faults import Fault, FaultKind, parse_fault
from orrery.wire.endpoint import Endpoint

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("root-down@2h", Fault(kind=FaultKind.ROOT_DOWN, at_ms=2 * HOUR_MS)),
        (
            "root-down:vps@2h+30m",
            Fault(kind=FaultKind.ROOT_DOWN, at_ms=2 * HOUR_MS, for_ms=HOUR_MS // 2, root="vps"),
        ),
        (
            "place-down:203.0.113.7/9993@90s",
            Fault(
                kind=FaultKind.PLACE_DOWN,
                at_ms=90_000,
                place=Endpoint.from_text("203.0.113.7/9993"),
            ),
        ),
        (
            "unreachable:[2001:db8::7]:9993@1d+2d",
            Fault(
                kind=FaultKind.UNREACHABLE,
                at_ms=24 * HOUR_MS,
                for_ms=48 * HOUR_MS,
                place=Endpoint.from_text("[2001:db8::7]:9993"),
            ),
        ),
        (
            "nodes-down:30%@1h+1h",
            Fault(kind=FaultKind.NODES_DOWN, at_ms=HOUR_MS, for_ms=HOUR_MS, share=0.3),
        ),
        ("nat-reboot@1h", Fault(kind=FaultKind.NAT_REBOOT, at_ms=HOUR_MS)),
        ("loss:50%@0+1h", Fault(kind=FaultKind.LOSS, for_ms=HOUR_MS, share=0.5)),
        ("bad-canary", Fault(kind=FaultKind.BAD_CANARY)),
        ("bad-canary:2", Fault(kind=FaultKind.BAD_CANARY, step=2)),
    ],
)
def test_faults_are_read_and_written(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not a fault"),
        ("fire@2h", "or one of root-down, place-down"),
        ("root-down", "write root-down@2h"),
        ("root-down:vps", "write root-down:vps@2h"),
        ("root-down@soon", "not a span of time"),
        ("root-down@2h+x", "not a span of time"),
        ("place-down@2h", "which endpoint"),
        ("place-down:nowhere@2h", "nowhere"),
        ("loss@2h", "how much is lost"),
        ("loss:half@2h", "is not a share"),
        ("nodes-down:0%@2h", "is not a share"),
        ("nat-reboot@2h+1h", "happens at once"),
        ("bad-canary@2h", "it comes with a step"),
        ("bad-canary:first", "is a number from 1"),
        ("bad-canary:0", "is a number from 1"),
    ],
)
def test_what_is_no_fault_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(OrreryError, match=sentence.replace("+", r"\+")) as refused:
        parse_fault(text)
    assert refused.value.exit_status in {2, 3}
