"""Plans as lines: pure, so that every kind of step can be looked at."""

from dataclasses import replace

import pytest

from orrery.cli.plan_view import (
    REASONS,
    change_lines,
    describe_refusal,
    plan_lines,
    refusal_lines,
    stranded_words,
    summary,
)
from orrery.rollout.conditions import Adopted, Answering, Installed, Stopped
from orrery.rollout.fleet import Group, Standing, Stranded, Why
from orrery.rollout.places import Place, places_of
from orrery.rollout.plan import Plan, Reason, Refusal, Step
from orrery.wire.address import Address
from orrery.wire.world import Root, World, WorldType
from tests.unit.worlds.making import key, root

DAY_MS = 86_400_000
OLD, NEW, KEPT = (
    root(1, "198.51.100.1/9993"),
    root(2, "198.51.100.2/9993"),
    root(3, "2001:db8::3/1"),
)
MOVED = root(1, "198.51.100.1/9993", "198.51.100.1/443")
START = World(
    type=WorldType.PLANET,
    id=0xABC,
    timestamp_ms=1_790_000_000_000,
    updates_must_be_signed_by=key("a").public,
    roots=(OLD, KEPT),
).sign(key("a"))
MANY = Group(Standing(START.timestamp_ms), tuple(Address(0x1000000000 + n) for n in range(40)))
BEHIND = Group(Standing(START.timestamp_ms - 1), (Address(0x2C3E8F527A),))
NAMES = {OLD.identity.public(): "one", NEW.identity.public(): "two"}


def places(*roots: Root) -> tuple[Place, ...]:
    return tuple(sorted(places_of(roots)))


STEP = Step(
    number=1,
    roots=(NEW, KEPT),
    signed_by=key("a").public,
    names=key("b").public,
    changes=("as the lines say",),
    before=(Adopted(0), Answering(places(NEW))),
    done=(Installed(1, (NEW.identity.address,)), Adopted(1)),
    keep=places(NEW, OLD),
    old=places(OLD),
    release=places(OLD),
    install_first=(NEW.identity.address,),
    install_last=(KEPT.identity.address,),
    forced=(Stranded(MANY, Why.SILENT), Stranded(BEHIND, Why.NO_LINK)),
)
PLAN = Plan(
    type=WorldType.PLANET,
    id=START.id,
    dictionary=b"",
    start_ms=START.timestamp_ms,
    start_signature=START.signature,
    steps=(STEP,),
    finish=(Stopped(places(OLD)),),
    fleet=(MANY, BEHIND),
    unseen=1_234,
)


def lines(plan: Plan) -> list[str]:
    return [
        line.plain for line in plan_lines(plan, START, NAMES, horizon_ms=30 * DAY_MS, revision=7)
    ]


def test_a_step_says_what_changes_and_what_must_stay() -> None:
    old, new, kept = (f"{each.identity.address:010x}" for each in (OLD, NEW, KEPT))
    shown = lines(PLAN)
    assert shown[:4] == [
        "from     revision 7, 2026-09-21T14:13:20.000Z",
        "nodes    41 counted, seen in the last 30d",
        "         1,234 not seen for longer, and not waited for",
        "         1 of the counted do not hold the newest revision yet",
    ]
    for line in (
        "  first    every counted node holds the newest revision",
        f"           answering: {new} at 198.51.100.2/9993",
        f"  - root {old} one",
        "    - 198.51.100.1/9993",
        f"  + root {new} two",
        "    + 198.51.100.2/9993",
        f"  ~ next signer {key('a').fingerprint} → {key('b').fingerprint}",
        f"  wait     until the World file of step 1 is installed on {new}, and read",
        "           until every counted node holds the revision of step 1",
        f"           of these not listed any more: {old} at 198.51.100.1/9993",
        f"  install  its file at once on {new}",
        f"           its file with the last cohort on {kept}",
        f"  may stop then: {old} at 198.51.100.1/9993",
        f"last     stopped: {old} at 198.51.100.1/9993",
    ):
        assert line in shown, line
    assert not any(kept in line and line.startswith(("  +", "  -", "  ~")) for line in shown)
    forced = " ".join(line.strip() for line in shown if "strand" in line or "100000" in line)
    assert "40 nodes, which know no place that would run: 1000000000" in forced
    assert "and 28 more (--json names all)" in " ".join(line.strip() for line in shown)
    assert shown[-1] == "plan: 1 to add, 1 to remove, 1 new key, in 1 step"
    assert all(len(line) <= 80 for line in shown)


def test_an_endpoint_comes_and_goes_with_its_mark() -> None:
    shown = [line.plain for line in change_lines((OLD,), (MOVED,), {})]
    assert shown == [
        f"  ~ root {OLD.identity.address:010x}",
        "      198.51.100.1/9993",
        "    + 198.51.100.1/443",
    ]
    back = [line.plain for line in change_lines((MOVED,), (OLD,), {})]
    assert back[2] == "    - 198.51.100.1/443"
    styles = {str(span.style) for line in change_lines((OLD,), (NEW,), {}) for span in line.spans}
    assert styles == {"red", "green"}
    assert list(change_lines((OLD,), (OLD,), {})) == []


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (replace(PLAN, steps=(), finish=()), "nothing to do: the newest revision says what"),
        (replace(PLAN, steps=()), "nothing to publish: only what stands above is left to do"),
    ],
)
def test_plans_without_steps_say_so(plan: Plan, said: str) -> None:
    assert summary(plan, START).plain.startswith(said)


def test_who_is_exempt_is_named() -> None:
    plan = replace(
        PLAN, fleet=(), exempt=(MANY, BEHIND), stranded=(Stranded(BEHIND, Why.FOREIGN),), steps=()
    )
    shown = " ".join(line.strip() for line in lines(plan))
    assert "41 exempt: 1000000000, 1000000001" in shown
    assert "1 of the exempt are stranded whatever is done" in shown


def test_one_node_is_spoken_of_as_one() -> None:
    assert stranded_words(Stranded(BEHIND, Why.SILENT)) == (
        "1 node, which knows no place that would run: 2c3e8f527a"
    )
    assert "1 node, which holds a World" in stranded_words(Stranded(BEHIND, Why.FOREIGN))


def test_a_refusal_says_why_and_what_is_left() -> None:
    nearest = replace(PLAN, exempt=(BEHIND,), fleet=(MANY,), steps=(replace(STEP, forced=()),))
    refusal = Refusal(
        reason=Reason.STRANDED,
        sentences=("one node is lost " * 8,),
        stranded=(Stranded(BEHIND, Why.SILENT),),
        remedies=("call it",),
        nearest=nearest,
        nearest_is="without that node",
    )
    shown = [line.plain for line in refusal_lines(refusal, START, NAMES, 30 * DAY_MS)]
    assert shown[0] == "not safe: nodes are stranded already (stranded)"
    assert shown[1].startswith("- one node is lost")
    assert shown[2].startswith("  ")
    assert "- call it" in shown
    assert "the nearest that is safe: without that node" in shown
    assert shown[-1] == "the nodes are left out with --exempt 2c3e8f527a"
    assert all(len(line) <= 80 for line in shown)
    told = describe_refusal(refusal)
    assert (told["reason"], told["nearest_is"]) == ("stranded", "without that node")
    assert told["stranded"] == [
        {"why": "silent", "holds_ms": START.timestamp_ms - 1, "nodes": ["2c3e8f527a"]}
    ]


def test_every_reason_has_words() -> None:
    assert REASONS.keys() == set(Reason)
