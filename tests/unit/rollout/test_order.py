import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from orrery.errors import DecodeError, UpdateRefused, UsageError, VerifyError
from orrery.rollout.cohorts import EVERYBODY, Named, Share
from orrery.rollout.order import Order
from orrery.rollout.progress import Progress
from orrery.wire.address import Address
from tests.unit.rollout.ordering import order_of, plan_of, step_of
from tests.unit.store.making import NOW_MS, key, world

START = world(NOW_MS)
OTHER = world(NOW_MS, port=443).roots
BOTH = (*OTHER, *START.roots)
PLAN = plan_of(
    START,
    step_of(1, BOTH[:1], key(1).public, names=key(2).public),
    step_of(2, START.roots, key(2).public),
)
FIRST = PLAN.world(PLAN.steps[0], NOW_MS + 1).sign(key(1))
SECOND = PLAN.world(PLAN.steps[1], NOW_MS + 2).sign(key(2))
ORDER = order_of(
    PLAN,
    (Named(frozenset({Address(0x2C3E8F527A)})), Share(10_000), EVERYBODY),
    required=Fraction(99, 100),
    signed=(FIRST.encode(), None),
)


def test_an_order_is_read_as_it_was_written() -> None:
    assert Order.from_json(ORDER.to_json()) == ORDER
    bare = order_of(PLAN)
    assert Order.from_json(bare.to_json()) == bare
    assert (bare.signed_step(1), ORDER.signed_step(1)) == (None, FIRST.encode())


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("required", "1.5", "is no fraction such as 99/100"),
        ("required", "3/2", "the required share is above 0 and at most 1, not 3/2"),
        ("required", "2/4", "is no fraction"),
        ("required", "1/0", "is no fraction"),
        ("required", 1, "is no text"),
        ("cohorts", "1%", "the cohorts are no list"),
        ("cohorts", ["1%"], "end the cohorts with"),
        ("cohorts", [7, "100%"], "a cohort is a percentage"),
        ("settle_ms", -1, "is not a number"),
        ("signed", ["zz"], "is not bytes"),
        ("signed", [None], "1 signed Worlds for the 2 steps"),
        ("plan", {}, "has no"),
        ("more", 1, "has what nothing is known of: 'more'"),
    ],
)
def test_what_is_no_order_is_refused(name: str, value: object, sentence: str) -> None:
    data: dict[str, Any] = json.loads(ORDER.to_json())
    data[name] = value
    with pytest.raises(DecodeError, match=sentence):
        Order.from_json(json.dumps(data))


def test_an_order_that_is_no_json_is_refused() -> None:
    with pytest.raises(DecodeError, match="an order is no JSON"):
        Order.from_json("{")


def test_a_share_of_nothing_is_no_order() -> None:
    with pytest.raises(UsageError, match="the required share is above 0"):
        order_of(PLAN, required=Fraction(0))


def test_what_was_signed_elsewhere_is_judged_as_by_a_node() -> None:
    ORDER.check_signed(START)
    replace(ORDER, signed=(FIRST.encode(), SECOND.encode())).check_signed(START)
    replace(ORDER, signed=(None, SECOND.encode())).check_signed(START)
    replace(ORDER, signed=()).check_signed(START)


@pytest.mark.parametrize(
    ("signed", "error", "sentence"),
    [
        ((FIRST.sign(key(3)).encode(), None), UpdateRefused, "is not, nor by the key"),
        ((None, SECOND.sign(key(1)).encode()), UpdateRefused, "is not, nor by the key"),
        ((SECOND.encode(), None), VerifyError, "what was signed for step 1 is not what the plan"),
        ((FIRST.encode() + b"\0", None), VerifyError, "what was signed for step 1"),
        ((b"\1", None), DecodeError, "end"),
        (
            (
                FIRST.encode(),
                PLAN.world(PLAN.steps[1], FIRST.timestamp_ms).sign(key(2)).encode(),
            ),
            UpdateRefused,
            "with the same timestamp",
        ),
    ],
)
def test_what_a_node_would_refuse_is_refused(
    signed: tuple[bytes | None, ...], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        replace(ORDER, signed=signed).check_signed(START)


def test_progress_is_read_as_it_was_written() -> None:
    progress = Progress(revisions=(1, 2), signing_ms=3, rolling_back=True, back_ms=4)
    assert Progress.from_json(progress.to_json()) == progress
    assert (progress.has_published(0), progress.has_published(1)) == (True, False)
    assert (progress.newest_ms, replace(progress, back_ms=0).newest_ms) == (4, 2)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"revisions": []}', "1"])
def test_what_is_no_progress_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        Progress.from_json(text)
    data = json.loads(Progress(revisions=(1,)).to_json()) | {"revisions": []}
    with pytest.raises(DecodeError, match="starts from no revision"):
        Progress.from_json(json.dumps(data))
