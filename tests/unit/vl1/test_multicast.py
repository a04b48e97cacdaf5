import pytest

from orrery.vl1 import multicast
from orrery.vl1.multicast import (
    EXPIRATION_MS,
    MAX_GROUPS_OF_A_NODE,
    MAX_MEMBERS_IN_ANSWER,
    Multicaster,
)
from orrery.wire.address import Address
from orrery.wire.verbs import MulticastGroup

GROUP = MulticastGroup(1, b"\xff" * 6, 0)
OTHER_GROUP = MulticastGroup(1, b"\xff" * 6, 1)


def members(*numbers: int) -> tuple[Address, ...]:
    return tuple(Address(0x1000000000 + number) for number in numbers)


def with_members(count: int, group: MulticastGroup = GROUP, now_ms: int = 0) -> Multicaster:
    caster = Multicaster()
    for member in members(*range(count)):
        assert caster.like(group, member, now_ms)
    return caster


def gather(
    caster: Multicaster, asker: int = 99, limit: int = 10, start: int = 0, now_ms: int = 0
) -> tuple[Address, ...]:
    found = caster.gather(GROUP, members(asker)[0], limit, start, now_ms)
    if found is None:
        return ()
    assert found.group == GROUP
    return found.members


def test_members_are_told_to_who_asks() -> None:
    caster = with_members(3)
    assert gather(caster) == members(0, 1, 2)
    assert gather(caster, asker=1) == members(0, 2)


def test_the_total_counts_all() -> None:
    found = with_members(3).gather(GROUP, members(1)[0], 1, 0, 0)
    assert found is not None
    assert (found.total, len(found.members)) == (3, 1)


def test_members_begin_anywhere_in_the_circle() -> None:
    caster = with_members(4)
    assert gather(caster, start=2) == members(2, 3, 0, 1)
    assert gather(caster, start=4) == members(0, 1, 2, 3)
    assert gather(caster, start=2**32 - 1) == members(3, 0, 1, 2)
    assert gather(caster, limit=2, start=3) == members(3, 0)


def test_nobody_to_tell_of_gives_no_answer() -> None:
    nobody = Multicaster()
    assert nobody.gather(GROUP, members(0)[0], 10, 0, 0) is None
    assert with_members(1).gather(GROUP, members(0)[0], 10, 0, 0) is None
    assert with_members(3).gather(GROUP, members(9)[0], 0, 0, 0) is None
    assert with_members(3, OTHER_GROUP).gather(GROUP, members(9)[0], 10, 0, 0) is None


def test_an_answer_fits_a_datagram() -> None:
    caster = with_members(1_000)
    found = caster.gather(GROUP, members(5)[0], 2**32 - 1, 17, 0)
    assert found is not None
    assert len(found.members) == MAX_MEMBERS_IN_ANSWER
    assert len(found.encode()) < 1_400


def test_a_subscription_expires_unless_it_is_renewed() -> None:
    caster = with_members(3)
    caster.like(GROUP, members(0)[0], 300_000)
    assert gather(caster, now_ms=EXPIRATION_MS - 1) == members(1, 2, 0)
    assert gather(caster, now_ms=EXPIRATION_MS) == members(0)
    assert len(caster) == 1
    assert gather(caster, now_ms=EXPIRATION_MS + 300_000) == ()
    assert len(caster) == 0


def test_expired_subscriptions_are_forgotten_without_a_question() -> None:
    caster = with_members(3)
    caster.like(OTHER_GROUP, members(0)[0], 1)
    caster.expire(EXPIRATION_MS)
    assert len(caster) == 1
    caster.expire(EXPIRATION_MS + 1)
    assert len(caster) == 0


def test_renewing_takes_no_more_room() -> None:
    caster = with_members(3)
    for now_ms in range(100):
        assert caster.like(GROUP, members(1)[0], now_ms)
    assert len(caster) == 3


def test_a_node_has_so_many_groups_at_most() -> None:
    caster = Multicaster()
    member, other = members(0, 1)
    taken = [
        caster.like(MulticastGroup(1, bytes(6), adi), member, 0)
        for adi in range(MAX_GROUPS_OF_A_NODE + 5)
    ]
    assert taken == [True] * MAX_GROUPS_OF_A_NODE + [False] * 5
    assert caster.like(MulticastGroup(1, bytes(6), 0), member, 1), "it may renew what it has"
    assert caster.like(MulticastGroup(1, bytes(6), 0), other, 1)
    caster.expire(EXPIRATION_MS)
    assert caster.like(MulticastGroup(2, bytes(6), 0), member, EXPIRATION_MS)


def test_a_root_has_so_many_subscriptions_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multicast, "MAX_SUBSCRIPTIONS", 10)
    caster = with_members(10)
    assert not caster.like(GROUP, members(10)[0], 0)
    assert caster.like(GROUP, members(9)[0], 0)
    caster.expire(EXPIRATION_MS)
    assert caster.like(GROUP, members(10)[0], EXPIRATION_MS)
