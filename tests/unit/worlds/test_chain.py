from dataclasses import replace

import pytest

from orrery.errors import RefusalReason, UpdateRefused, UsageError
from orrery.wire.world import World, WorldType
from orrery.worlds import chain as chain_module
from orrery.worlds.acceptance import check_update
from orrery.worlds.chain import Chain
from tests.unit.worlds.making import root, rotation, world

MOON = WorldType.MOON


def times(worlds: tuple[World, ...]) -> list[int]:
    return [each.timestamp_ms for each in worlds]


def test_without_rotation_one_link_leads_to_the_newest() -> None:
    chain = Chain(rotation("aaaa"))
    assert times(chain.links_from(10)) == [40]
    assert times(chain.links_from(30)) == [40]


def test_the_newest_and_what_is_newer_get_nothing() -> None:
    chain = Chain(rotation("ab"))
    assert chain.links_from(20) == chain.links_from(21) == chain.links_from(2**64 - 1) == ()


def test_a_sleeper_is_led_through_each_rotation() -> None:
    # The letters are the keys that each revision names; the next is signed by it.
    chain = Chain(rotation("aabbbcd"))
    assert times(chain.links_from(10)) == [30, 60, 70]
    assert times(chain.links_from(20)) == [30, 60, 70]
    assert times(chain.links_from(30)) == [60, 70]
    assert times(chain.links_from(60)) == [70]


def test_a_key_that_comes_back_is_a_short_cut() -> None:
    chain = Chain(rotation("abcaa"))
    # 50 is signed by a again, which a node at 10 still wants.
    assert times(chain.links_from(10)) == [50]
    assert times(chain.links_from(20)) == [30, 40, 50]


def test_an_unknown_older_timestamp_gets_the_last_of_each_signer() -> None:
    chain = Chain(rotation("aabbbcd"))
    assert times(chain.links_from(5)) == [30, 60, 70]
    assert times(chain.links_from(35)) == [60, 70]
    assert times(chain.links_from(65)) == [70]
    assert times(chain.links_from(0)) == [30, 60, 70]


def test_an_oldest_revision_by_an_unknown_signer_is_offered_as_well() -> None:
    first, *rest = rotation("abb")
    foreign = world(10, signer="x", names="a")
    assert times(Chain([first, *rest]).links_from(5)) == [20, 30]
    assert times(Chain([foreign, *rest]).links_from(5)) == [10, 20, 30]
    # Once it is passed, it is not.
    assert times(Chain([foreign, *rest]).links_from(15)) == [20, 30]


def test_a_node_that_waits_for_a_moon_gets_the_newest() -> None:
    chain = Chain(rotation("abc", world_type=MOON))
    assert times(chain.links_from(0)) == [30]


def test_a_node_that_waits_with_a_seed_of_former_days_is_led_from_there() -> None:
    roots = [[root(1)], [root(1), root(2)], [root(2)], [root(3)], [root(3)]]
    keys = "aabbc"
    chain = Chain(
        world(10 * index, signer=signer, names=names, roots=listed, world_type=MOON)
        for index, signer, names, listed in zip(range(1, 6), "a" + keys, keys, roots, strict=False)
    )
    # Root 1 is last named at 20 and root 2 at 30; b signed 40 and 50.
    assert times(chain.links_from(0)) == [50, 20, 30, 50]


def test_extending_gives_a_new_chain_and_leaves_the_old() -> None:
    worlds = rotation("abcd")
    short = Chain(worlds[:2])
    longer = short.extend(worlds[2]).extend(worlds[3])
    assert (len(short), len(longer)) == (2, 4)
    assert short.newest == worlds[1]
    assert longer.newest == worlds[3]
    assert list(longer) == list(longer.revisions) == worlds
    for time in (0, 10, 15, 20, 30, 40):
        assert longer.links_from(time) == Chain(worlds).links_from(time)


def test_extending_verifies_the_new_link_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = rotation("abcdef")
    chain = Chain(worlds[:5])
    checked: list[World] = []

    def note(current: World | None, candidate: World) -> None:
        checked.append(candidate)
        check_update(current, candidate)

    monkeypatch.setattr(chain_module, "check_update", note)
    chain.extend(worlds[5]).links_from(10)
    assert checked == [worlds[5]]


def test_what_breaks_the_chain_is_refused() -> None:
    chain = Chain(rotation("ab"))
    with pytest.raises(UpdateRefused) as caught:
        chain.extend(world(30, signer="a"))
    assert caught.value.reason is RefusalReason.WRONG_SIGNATURE
    with pytest.raises(UpdateRefused):
        Chain([world(10), world(10)])


@pytest.mark.parametrize(
    "worlds",
    [[], [world(1, world_id=0)], [replace(world(1), type=WorldType.NULL)]],
)
def test_some_worlds_make_no_chain(worlds: list[World]) -> None:
    with pytest.raises(UsageError):
        Chain(worlds)


def test_what_a_chain_tells_of_itself() -> None:
    chain = Chain(rotation("ab", world_type=MOON))
    assert chain.type is MOON
    assert chain.world_id == 0xABC
    assert chain.revision_at(20) == chain.newest
    assert chain.revision_at(15) is None


def test_only_the_signing_half_of_a_key_counts() -> None:
    first, second, third = rotation("aaa")
    other_half = replace(
        first, updates_must_be_signed_by=b"?" * 32 + first.updates_must_be_signed_by[32:]
    )
    assert times(Chain([other_half, second, third]).links_from(10)) == [30]
