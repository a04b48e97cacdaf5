from collections.abc import Sequence
from dataclasses import replace

import pytest

from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import EARTH_ID, UNSIGNED, Root, World, WorldType
from orrery.worlds.pitfalls import MKWORLD_TIMESTAMP_MS, Pitfall, PitfallCode, warnings
from tests.unit.worlds.making import root, world
from tests.vectors.loading import load

NOW_MS = 1_700_000_000_000
REAL = [Identity.from_string(case["public"]) for case in load("identities.json")["valid"][:6]]
REAL.sort()
ROOTS = tuple(
    Root(identity, (Endpoint.from_text(f"9.9.9.{number}/9993"),))
    for number, identity in enumerate(REAL[:3], 1)
)
GOOD = world(NOW_MS, roots=ROOTS)


def codes(found: Sequence[Pitfall]) -> list[str]:
    return [pitfall.code.value for pitfall in found]


def with_endpoints(*places: str) -> World:
    endpoints = tuple(map(Endpoint.parse_as_node, places))
    return replace(GOOD, roots=(replace(ROOTS[0], endpoints=endpoints), *ROOTS[1:]))


def test_a_good_world_has_none() -> None:
    assert warnings(GOOD, NOW_MS) == []
    assert warnings(GOOD, NOW_MS, previous=GOOD) == []


def test_the_official_planet_is_only_unsorted() -> None:
    earth = World.decode(bytes.fromhex(load("worlds.json")["earth"]["serialized"]))
    assert codes(warnings(earth, NOW_MS)) == ["unsorted-roots"]


def test_what_mkworld_makes() -> None:
    made = next(case for case in load("worlds.json")["mkworld"] if case["name"] == "first-run")
    found = codes(warnings(World.decode(bytes.fromhex(made["world_bin"])), NOW_MS))
    assert "fixed-timestamp" in found
    assert "earth-id" in found


@pytest.mark.parametrize(
    ("bad", "code", "words"),
    [
        (replace(GOOD, type=WorldType.NULL), "null-type", "neither planet nor moon"),
        (replace(GOOD, id=0), "id-zero", "signed or not"),
        (replace(GOOD, id=EARTH_ID), "earth-id", "149604618"),
        (
            replace(GOOD, type=WorldType.MOON, id=1 << 40),
            "moon-id-too-long",
            "0000010000000000",
        ),
        (
            replace(GOOD, timestamp_ms=MKWORLD_TIMESTAMP_MS),
            "fixed-timestamp",
            "1567191349589",
        ),
        (replace(GOOD, timestamp_ms=0), "timestamp-zero", "no time"),
        (replace(GOOD, timestamp_ms=NOW_MS + 60_001), "future-timestamp", "2023-11-14 22:14:20"),
        (replace(GOOD, timestamp_ms=2**64 - 1), "last-timestamp", "never"),
        (replace(GOOD, signature=UNSIGNED), "unsigned", "not signed"),
        (replace(GOOD, type=WorldType.MOON, dictionary=b"abc"), "dictionary", "3 bytes"),
        (replace(GOOD, roots=()), "no-roots", "nobody"),
        (replace(GOOD, roots=ROOTS[::-1]), "unsorted-roots", "genmoon"),
        (with_endpoints("9.9.9.1/443", "9.9.9.1/9993"), "unsorted-endpoints", "genmoon"),
        (with_endpoints("9.9.9.1/9993", "9.9.9.1/9993"), "duplicate-endpoint", "2 times"),
        (with_endpoints(), "no-endpoints", "another root relays"),
        (with_endpoints("", "9.9.9.1/9993"), "nil-endpoint", "empty endpoint"),
        (with_endpoints("9.9.9.1"), "port-zero", "port 0"),
        (with_endpoints("root.example/9993"), "zero-address", "0.0.0.0/9993"),
        (with_endpoints("::/9993"), "zero-address", "::/9993"),
        (with_endpoints("127.0.0.1/9993"), "unusable-address", "loopback"),
        (with_endpoints("fe80::2/9993"), "unusable-address", "link-local"),
        (with_endpoints("2001:470::2/9993"), "unusable-address", "Hurricane"),
        (with_endpoints("192.168.1.2/9993"), "private-address", "same site"),
        (with_endpoints("9.9.9.2/9993"), "shared-endpoint", "only one can answer"),
        (replace(GOOD, roots=ROOTS[:1]), "single-endpoint", "9.9.9.1/9993"),
    ],
)
def test_each_pitfall_alone(bad: World, code: str, words: str) -> None:
    (pitfall,) = warnings(bad, NOW_MS)
    assert pitfall.code.value == code
    assert words in pitfall.sentence


def test_names_for_addresses_as_most_tools_write_them() -> None:
    found = codes(warnings(with_endpoints("1.2.3.4:9993"), NOW_MS))
    assert found == ["port-zero", "zero-address"]


def test_a_clock_that_differs_a_little_is_no_future() -> None:
    assert warnings(replace(GOOD, timestamp_ms=NOW_MS + 60_000), NOW_MS) == []


def test_more_than_a_node_can_read_is_told_though_it_cannot_be_written() -> None:
    crowd = tuple(
        Root(identity, (Endpoint(bytes([9, 9, 9, number]), 9993),))
        for number, identity in enumerate(REAL)
    )
    assert codes(warnings(replace(GOOD, roots=crowd), NOW_MS)) == ["too-many-roots"]
    places = tuple(sorted(Endpoint(bytes([9, 9, 9, 1]), port) for port in range(1, 34)))
    crowded = replace(GOOD, roots=(replace(ROOTS[0], endpoints=places), *ROOTS[1:]))
    assert codes(warnings(crowded, NOW_MS)) == ["too-many-endpoints"]


def test_a_root_listed_twice() -> None:
    twice = replace(GOOD, roots=(ROOTS[0], ROOTS[0], ROOTS[1]))
    assert codes(warnings(twice, NOW_MS)) == ["duplicate-root"]


def test_an_identity_that_fails_its_proof() -> None:
    made_up = replace(GOOD, roots=(root(1, "9.9.9.9/9993"), ROOTS[1]))
    found = [p for p in warnings(made_up, NOW_MS) if p.code is PitfallCode.FAILED_PROOF]
    assert ["1000000001" in pitfall.sentence for pitfall in found] == [True]
    assert "failed-proof" not in codes(warnings(made_up, NOW_MS, check_proof=False))


def test_one_address_with_two_keys() -> None:
    impostor = Root(
        replace(REAL[0], public_key=b"\xff" * 64), (Endpoint.from_text("9.9.9.9/9993"),)
    )
    found = codes(warnings(replace(GOOD, roots=(ROOTS[0], impostor)), NOW_MS, check_proof=False))
    assert "same-address" in found
    assert "duplicate-root" not in found


def test_the_way_from_the_revision_before() -> None:
    moved = with_endpoints("9.9.9.7/9993")
    elsewhere = replace(
        GOOD,
        roots=tuple(
            replace(each, endpoints=(Endpoint.from_text(f"9.9.8.{number}/9993"),))
            for number, each in enumerate(ROOTS, 1)
        ),
    )
    two = replace(GOOD, roots=ROOTS[:2])
    assert codes(warnings(moved, NOW_MS, previous=two)) == ["one-endpoint-in-common"]
    assert codes(warnings(elsewhere, NOW_MS, previous=GOOD)) == ["no-endpoint-in-common"]
    # One of one is not fewer than before; what was nowhere cannot be left behind.
    single = replace(GOOD, roots=ROOTS[:1])
    assert codes(warnings(GOOD, NOW_MS, previous=single)) == []
    assert codes(warnings(GOOD, NOW_MS, previous=replace(GOOD, roots=()))) == []
