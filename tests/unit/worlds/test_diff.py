from dataclasses import replace

import pytest

from orrery.wire.world import UNSIGNED, World, WorldType
from orrery.worlds.diff import compare, endpoints_in_common
from tests.unit.worlds.making import key, root, world

ROOTS = (root(1, "198.51.100.1/9993", "198.51.100.1/443"), root(2, "198.51.100.2/9993"))
OLD = world(1567191349589, roots=ROOTS)


def test_the_same_world_has_no_differences() -> None:
    diff = compare(OLD, World.decode(OLD.encode()))
    assert diff.is_empty
    assert diff.in_words() == ()


def test_a_next_revision_in_full() -> None:
    new = world(
        1700000000000,
        names="b",
        roots=[root(1, "198.51.100.1/9993", "203.0.113.1/9993"), root(3, "198.51.100.3/9993")],
    )
    diff = compare(OLD, new)
    assert diff.timestamp_ms == (1567191349589, 1700000000000)
    assert diff.updates_key == (key("a").public, key("b").public)
    assert [each.identity for each in diff.roots_added] == [root(3).identity]
    assert [each.identity for each in diff.roots_removed] == [root(2).identity]
    (changed,) = diff.roots_changed
    assert list(map(str, changed.endpoints_added)) == ["203.0.113.1/9993"]
    assert list(map(str, changed.endpoints_removed)) == ["198.51.100.1/443"]
    assert diff.in_words() == (
        "timestamp: 1567191349589 (2019-08-30 18:55:49 UTC) becomes "
        "1700000000000 (2023-11-14 22:13:20 UTC)",
        f"key for the next revision: {key('a').fingerprint} becomes {key('b').fingerprint}",
        "root 1000000003 added at 198.51.100.3/9993",
        "root 1000000002 removed at 198.51.100.2/9993",
        "root 1000000001: 203.0.113.1/9993 added",
        "root 1000000001: 198.51.100.1/443 removed",
    )


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (replace(OLD, id=7), "id: 0000000000000abc becomes 0000000000000007"),
        (replace(OLD, type=WorldType.MOON), "type: planet becomes moon"),
        (replace(OLD, timestamp_ms=0), "becomes 0"),
        (replace(OLD, timestamp_ms=2**64 - 1), "becomes 18446744073709551615"),
        (replace(OLD, dictionary=b"xy"), "dictionary: 0 bytes become 2 other bytes"),
        (replace(OLD, signature=UNSIGNED), "the signature alone"),
        (replace(OLD, roots=ROOTS[::-1]), "in another order"),
        (replace(OLD, roots=(*ROOTS, ROOTS[1])), "not as often"),
        (
            replace(OLD, roots=(replace(ROOTS[0], endpoints=ROOTS[0].endpoints[::-1]), ROOTS[1])),
            "in another order",
        ),
        (replace(OLD, roots=(*ROOTS, root(3))), "root 1000000003 added without endpoints"),
    ],
)
def test_each_difference_alone(new: World, words: str) -> None:
    (sentence,) = compare(OLD, new).in_words()
    assert words in sentence


def test_the_same_address_with_another_key_is_another_root() -> None:
    rekeyed = replace(ROOTS[1], identity=replace(ROOTS[1].identity, public_key=b"k" * 64))
    diff = compare(OLD, replace(OLD, roots=(ROOTS[0], rekeyed)))
    assert diff.roots_removed == (ROOTS[1],)
    assert diff.roots_added == (rekeyed,)
    assert not diff.is_rearranged


def test_common_ground_is_the_same_root_at_the_same_endpoint() -> None:
    new = world(2, roots=[root(1, "198.51.100.1/443"), root(3, "198.51.100.2/9993")])
    assert [(who.address, str(where)) for who, where in endpoints_in_common(OLD, new)] == [
        (0x1000000001, "198.51.100.1/443")
    ]
    assert compare(OLD, new).endpoints_kept == endpoints_in_common(OLD, new)
    assert endpoints_in_common(OLD, world(2, roots=[])) == ()
