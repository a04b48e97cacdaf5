import json
from dataclasses import replace
from typing import Any

import pytest

from orrery.errors import DecodeError
from orrery.rollout.conditions import Adopted, Answering, Condition, Heard, Installed, Stopped
from orrery.rollout.fleet import Group, Standing, Stranded, Why
from orrery.rollout.places import Place, Reach, places_of
from orrery.rollout.plan import Plan, Step
from orrery.wire.address import Address
from orrery.wire.world import Root, WorldType
from tests.unit.worlds.making import key, root

ROOTS = (root(1, "198.51.100.1/9993", "2001:db8::1/9993"), root(2, "198.51.100.2/9993"))
OFFICIAL = ROOTS[1].identity.address
NODES = (Address(0x2C3E8F527A), Address(0xDD87C5DC2D))


def places(*roots: Root) -> tuple[Place, ...]:
    return tuple(sorted(places_of(roots)))


FLEET = (
    Group(Standing(10), NODES),
    Group(Standing(20, Reach.IPV6, (0xABD,)), (Address(1), Address(2))),
)
EXEMPT = (Group(Standing(5, Reach.IPV4), (Address(3),)),)
CONDITIONS: tuple[Condition, ...] = (
    Adopted(0),
    Adopted(1, (OFFICIAL,)),
    Installed(1, (OFFICIAL,)),
    Answering(places(*ROOTS)),
    Stopped(places(ROOTS[0])),
    Heard(places(ROOTS[1])),
)
PLAN = Plan(
    type=WorldType.MOON,
    id=0xABC,
    dictionary=b"\0",
    start_ms=20,
    start_signature=bytes(96),
    steps=(
        Step(
            number=1,
            roots=ROOTS,
            signed_by=key("a").public,
            names=key("b").public,
            changes=("root 1 is added",),
            before=(Adopted(0), Answering(places(*ROOTS))),
            done=CONDITIONS,
            keep=places(*ROOTS),
            old=places(ROOTS[1]),
            release=places(ROOTS[1]),
            last=(OFFICIAL,),
            install_first=(OFFICIAL,),
            install_last=(OFFICIAL,),
            forced=(Stranded(FLEET[1], Why.SILENT),),
        ),
        Step(
            number=2,
            roots=ROOTS[:1],
            signed_by=key("b").public,
            names=key("b").public,
            changes=("root 2 is removed",),
        ),
    ),
    finish=(Stopped(places(ROOTS[1])),),
    fleet=FLEET,
    exempt=EXEMPT,
    unseen=7,
    stranded=(Stranded(EXEMPT[0], Why.FOREIGN),),
    spare_root=False,
)


def changed(*path: str | int, to: object) -> Any:
    """The data of the plan, with one thing changed."""
    data: Any = json.loads(json.dumps(PLAN.to_data()))
    where = data
    for part in path[:-1]:
        where = where[part]
    where[path[-1]] = to
    return data


def test_a_plan_comes_back_from_json_as_it_was() -> None:
    text = json.dumps(PLAN.to_data())
    assert Plan.from_data(json.loads(text)) == PLAN
    assert json.dumps(Plan.from_data(json.loads(text)).to_data()) == text


def test_a_plan_with_nothing_to_do_too() -> None:
    plan = replace(PLAN, steps=(), finish=(), fleet=(), exempt=(), stranded=(), dictionary=b"")
    assert Plan.from_data(json.loads(json.dumps(plan.to_data()))) == plan


def test_what_a_published_world_lists_is_taken_though_nobody_would_write_it() -> None:
    odd = root(3)
    data = changed(
        "steps",
        0,
        "roots",
        to=[
            {"identity": str(odd.identity), "endpoints": ["0.0.0.0/9993"]},
        ],
    )
    assert str(Plan.from_data(data).steps[0].roots[0].endpoints[0]) == "0.0.0.0/9993"


IDENTITY = str(ROOTS[0].identity)


@pytest.mark.parametrize(
    ("path", "to", "says"),
    [
        (("surprise",), 1, "'surprise'"),
        (("steps", 0, "surprise"), 1, "'surprise'"),
        (("steps", 0, "done", 0, "surprise"), 1, "'surprise'"),
        (("steps",), {}, "is no list"),
        (("steps", 0), [], "where an object is wanted"),
        (("type",), "null", "neither planet nor moon"),
        (("type",), "planet", "which only moons have"),
        (("world_id",), "abc", "in lower-case hex"),
        (("world_id",), "abcd", "2 bytes where 8 are wanted"),
        (("world_id",), 2748, "is no text"),
        (("unseen",), -1, "is not a number"),
        (("unseen",), True, "is not a number"),
        (("unseen",), 1 << 64, "is not a number"),
        (("unseen",), 1.0, "is not a number"),
        (("spare_root",), 1, "neither true nor false"),
        (("start", "signature"), "00", "1 bytes where 96 are wanted"),
        (("steps", 0, "number"), 2, "step 2 of a plan stands where 1 belongs"),
        (("steps", 1, "signed_by"), key("a").public.hex(), "signed by another key"),
        (("steps", 0, "names"), key("b").public.hex().upper(), "in lower-case hex"),
        (("steps", 0, "roots"), [], "1 to 4 roots"),
        (("steps", 0, "roots", 0, "endpoints"), [], "1 to 32 endpoints"),
        (("steps", 0, "roots", 0, "endpoints"), ["192.0.2.1:9993"], "not an endpoint"),
        (("steps", 0, "roots", 0, "endpoints"), ["192.0.2.1/0"], "not an endpoint"),
        (("steps", 0, "roots", 0, "endpoints"), ["root.example/9993"], "not an endpoint"),
        (("steps", 0, "roots", 0, "identity"), f" {IDENTITY}", "address:0:public key"),
        (("steps", 0, "last"), ["2C3E8F527A"], "10 lower-case hex digits"),
        (("steps", 0, "last"), ["2c3e8f527"], "not an address"),
        (("steps", 0, "done", 0, "kind"), "hoped", "no condition of the kind 'hoped'"),
        (("steps", 0, "done", 0, "step"), 2, "speaks of step 2 before its time"),
        (("finish",), [{"kind": "adopted", "step": 3, "roots": []}], "step 3 before its time"),
        (("steps", 0, "forced", 0, "group"), 2, "no group 2"),
        (("steps", 0, "forced", 0, "why"), "bored", "no reason 'bored'"),
        (("stranded", 0, "group"), 1, "no group 1"),
        (("fleet", 0, "reach"), [], "the reach of nodes"),
        (("fleet", 0, "reach"), ["ipv6", "ipv4"], "the reach of nodes"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(path: tuple[str | int, ...], to: object, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        Plan.from_data(changed(*path, to=to))


@pytest.mark.parametrize("data", [None, [], "", 1])
def test_what_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(DecodeError, match=r"a plan is .* where an object is wanted"):
        Plan.from_data(data)


def test_no_field_may_be_missing() -> None:
    def paths(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
        found = []
        items = data.items() if isinstance(data, dict) else enumerate(data)
        for name, value in items:
            if isinstance(data, dict):
                found.append((*path, name))
            if isinstance(value, dict | list):
                found += paths(value, (*path, name))
        return found

    for *path, name in paths(PLAN.to_data()):
        data: Any = json.loads(json.dumps(PLAN.to_data()))
        where = data
        for part in path:
            where = where[part]
        del where[name]
        with pytest.raises(DecodeError, match=f"has no '{name}'"):
            Plan.from_data(data)
