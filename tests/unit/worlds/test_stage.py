from collections import Counter
from itertools import pairwise

import pytest

from orrery.errors import UsageError
from orrery.wire.address import Address
from orrery.worlds.stage import NOBODY, PLACES, Membership, place_of

WORLD_ID = 0x8056C2E21C000001
ANNE = Address(0x2C3E8F527A)
BERT = Address(0xDD87C5DC2D)
MANY = [Address(0x1000000000 + number) for number in range(20_000)]


def test_places_never_change() -> None:
    # Every root, now and in later versions, has to say the same.
    assert [place_of(WORLD_ID, address) for address in (ANNE, BERT, Address(1))] == [
        956361,
        249938,
        658663,
    ]


def test_places_are_spread_evenly_though_addresses_are_not() -> None:
    tenths = Counter(place_of(WORLD_ID, address) * 10 // PLACES for address in MANY)
    assert set(tenths) == set(range(10))
    assert all(abs(count - 2_000) < 200 for count in tenths.values())


def test_each_world_has_its_own_order() -> None:
    first = {address for address in MANY if place_of(WORLD_ID, address) < PLACES // 10}
    also = {address for address in first if place_of(WORLD_ID + 1, address) < PLACES // 10}
    assert abs(len(also) - len(first) / 10) < 60


def test_a_larger_share_contains_a_smaller_one() -> None:
    shares = [Membership(places) for places in (1, 10_000, 100_000, PLACES - 1, PLACES)]
    members = [{a for a in MANY if share.includes(WORLD_ID, a)} for share in shares]
    assert all(smaller <= larger for smaller, larger in pairwise(members))
    assert [round(len(each) / 200) for each in members[1:3]] == [1, 10]
    assert members[-1] == set(MANY)


def test_names_come_before_places() -> None:
    nearly_all = Membership(PLACES - 1, later=frozenset({ANNE}))
    assert not nearly_all.includes(WORLD_ID, ANNE)
    assert nearly_all.includes(WORLD_ID, BERT)
    one = Membership(named=frozenset({ANNE}))
    assert one.includes(WORLD_ID, ANNE)
    assert not one.includes(WORLD_ID, BERT)
    assert Membership(PLACES, later=frozenset({ANNE})).includes(WORLD_ID, ANNE), "everybody is all"
    assert not any(NOBODY.includes(WORLD_ID, address) for address in MANY)


def test_what_cannot_be() -> None:
    for share in (-1, PLACES + 1):
        with pytest.raises(UsageError, match="0 up to 1000000 places"):
            Membership(share)
    with pytest.raises(UsageError, match="node 2c3e8f527a cannot be both"):
        Membership(named=frozenset({ANNE, BERT}), later=frozenset({ANNE}))
