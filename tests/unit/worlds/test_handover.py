import pytest

from orrery.errors import UsageError
from orrery.wire.address import Address
from orrery.wire.world import World, WorldType
from orrery.worlds.chain import Chain
from orrery.worlds.handover import HandoverTable
from orrery.worlds.stage import NOBODY, PLACES, Membership, Stage
from tests.unit.worlds.making import key, root, rotation, world

MOON = WorldType.MOON
ROOM = 10_000
PLANET_ID = 0xABC
MOON_ID = 0xDEF
ANNE = Address(0x2C3E8F527A)
BERT = Address(0xDD87C5DC2D)
ANNE_ONLY = Membership(named=frozenset({ANNE}))


def planet() -> Chain:
    return Chain(rotation("aabbbcd"))


def times(links: tuple[bytes, ...]) -> list[int]:
    return [World.decode(link).timestamp_ms for link in links]


@pytest.mark.parametrize(
    "time", [0, 1, 9, 10, 11, 20, 25, 30, 35, 40, 55, 60, 69, 70, 71, 2**64 - 1]
)
def test_the_table_says_what_the_chain_says(time: int) -> None:
    expected = tuple(link.encode() for link in planet().links_from(time))
    assert HandoverTable([planet()], ROOM).lookup(PLANET_ID, time, ANNE) == expected


def test_planet_and_moon_side_by_side() -> None:
    moon = Chain([world(7, world_type=MOON, world_id=MOON_ID)])
    table = HandoverTable([planet(), moon], ROOM)
    assert table.world_ids == (PLANET_ID, MOON_ID)
    assert times(table.lookup(MOON_ID, 0, ANNE)) == [7]
    assert table.lookup(MOON_ID, 7, ANNE) == ()
    assert table.newest(MOON_ID) == moon.newest
    assert table.newest(PLANET_ID) == planet().newest
    assert table.revision_at(PLANET_ID, 20) == planet().revisions[1]
    assert table.revision_at(PLANET_ID, 21) is None


def test_a_world_that_is_not_ours_gets_nothing() -> None:
    table = HandoverTable([planet()], ROOM)
    assert table.lookup(MOON_ID, 0, ANNE) == ()
    assert table.newest(MOON_ID) is None
    assert table.revision_at(MOON_ID, 10) is None
    assert HandoverTable([], ROOM).lookup(PLANET_ID, 0, ANNE) == ()


def test_links_that_do_not_fit_are_left_out_at_the_end() -> None:
    size = len(planet().newest.encode())
    for room, expected in [
        (size - 1, []),
        (size, [30]),
        (2 * size, [30, 60]),
        (3 * size - 1, [30, 60]),
        (3 * size, [30, 60, 70]),
    ]:
        table = HandoverTable([planet()], room)
        assert times(table.lookup(PLANET_ID, 10, ANNE)) == expected
        assert times(table.lookup(PLANET_ID, 5, ANNE)) == expected


def test_equal_answers_are_kept_once() -> None:
    table = HandoverTable([planet()], ROOM)
    assert table.lookup(PLANET_ID, 10, ANNE) is table.lookup(PLANET_ID, 20, ANNE)


def test_neighbouring_timestamps() -> None:
    table = HandoverTable([Chain([world(5), world(6, names="b"), world(7, signer="b")])], ROOM)
    assert [times(table.lookup(PLANET_ID, time, ANNE)) for time in range(4, 8)] == [
        [6, 7],
        [6, 7],
        [7],
        [],
    ]


def test_a_moon_that_begins_at_1() -> None:
    chain = Chain([world(1, world_type=MOON), world(2, world_type=MOON)])
    table = HandoverTable([chain], ROOM)
    assert [times(table.lookup(PLANET_ID, time, ANNE)) for time in range(3)] == [[2], [2], []]


def test_one_root_serves_one_chain_of_a_world() -> None:
    with pytest.raises(UsageError, match="two chains for World 0000000000000abc"):
        HandoverTable([planet(), planet()], ROOM)


# -- stages ---------------------------------------------------------------------------------------


def staged(held_back_ms: int, opened: Membership = ANNE_ONLY) -> HandoverTable:
    """Of the revisions 10 to 70, signed by the keys a a a b b b c."""
    return HandoverTable([planet()], ROOM, {PLANET_ID: Stage(held_back_ms, opened)})


@pytest.mark.parametrize(
    "time", [0, 1, 9, 10, 11, 20, 25, 30, 35, 40, 55, 60, 69, 70, 71, 2**64 - 1]
)
@pytest.mark.parametrize("held_back_ms", [10, 30, 40, 60, 70])
def test_who_is_in_is_led_along_the_whole_chain_who_is_not_as_if_it_ended_there(
    time: int, held_back_ms: int
) -> None:
    table = staged(held_back_ms)
    until = Chain([each for each in planet() if each.timestamp_ms <= held_back_ms])
    assert table.lookup(PLANET_ID, time, ANNE) == tuple(
        link.encode() for link in planet().links_from(time)
    )
    assert table.lookup(PLANET_ID, time, BERT) == tuple(
        link.encode() for link in until.links_from(time)
    )


def test_where_a_node_is_led() -> None:
    table = staged(30)
    assert table.newest_for(PLANET_ID, ANNE) == planet().newest
    assert table.newest_for(PLANET_ID, BERT) == planet().revision_at(30)
    assert table.newest_for(MOON_ID, ANNE) is None
    assert [each.timestamp_ms for each in table.targets(PLANET_ID)] == [30, 70]
    assert [each.timestamp_ms for each in staged(70).targets(PLANET_ID)] == [70]
    assert [each.timestamp_ms for each in HandoverTable([planet()], ROOM).targets(PLANET_ID)] == [
        70
    ]
    assert table.targets(MOON_ID) == ()


def test_who_is_beyond_is_handed_nothing() -> None:
    assert [staged(30).lookup(PLANET_ID, time, BERT) for time in (30, 31, 40, 60, 70, 71)] == [
        ()
    ] * 6


@pytest.mark.parametrize("opened", [NOBODY, ANNE_ONLY, Membership(PLACES - 1)])
def test_roots_wait_for_the_last(opened: Membership) -> None:
    # One that is a root of a moon here is asked for the planet as well.
    moon = Chain(
        [
            world(7, world_type=MOON, world_id=MOON_ID, roots=[root(8)]),
            world(8, world_type=MOON, world_id=MOON_ID, roots=[root(9)]),
        ]
    )
    addresses = [root(number).identity.address for number in (1, 2, 8, 9)]
    named = Membership(opened.share, opened.named.union(addresses))
    table = HandoverTable([planet(), moon], ROOM, {PLANET_ID: Stage(30, named)})
    for address in addresses:
        assert table.newest_for(PLANET_ID, address) == planet().revision_at(30)
        assert times(table.lookup(PLANET_ID, 10, address)) == [30]
    everybody = HandoverTable([planet(), moon], ROOM, {PLANET_ID: Stage(30, Membership(PLACES))})
    for address in addresses:
        assert everybody.newest_for(PLANET_ID, address) == planet().newest


def test_a_stage_of_one_world_holds_up_no_other() -> None:
    moon = Chain(rotation("ab", world_type=MOON))
    other = Chain([world(time, world_id=MOON_ID) for time in (10, 20)])
    table = HandoverTable([moon, other], ROOM, {PLANET_ID: Stage(10, NOBODY)})
    assert times(table.lookup(PLANET_ID, 0, BERT)) == [10]
    assert times(table.lookup(MOON_ID, 10, BERT)) == [20]


def test_stages_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="World 0000000000000abc has no revision 35"):
        staged(35)
    with pytest.raises(UsageError, match="stage of World 0000000000000def, which has no chain"):
        HandoverTable([planet()], ROOM, {MOON_ID: Stage(10, NOBODY)})


def test_tables_that_say_the_same() -> None:
    table = staged(30)
    assert table.says_the_same_as(staged(30))
    for other in (
        staged(40),
        staged(30, NOBODY),
        HandoverTable([planet()], ROOM),
        HandoverTable([planet()], ROOM - 1, {PLANET_ID: Stage(30, ANNE_ONLY)}),
        HandoverTable([Chain(rotation("aabbbc"))], ROOM, {PLANET_ID: Stage(30, ANNE_ONLY)}),
        HandoverTable([], ROOM),
    ):
        assert not table.says_the_same_as(other)
    assert staged(30, Membership(PLACES)).says_the_same_as(HandoverTable([planet()], ROOM))


# -- forks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "wanted", "anne", "bert"),
    [
        (5, "a", [30, 60, 70], [30, 40]),
        (20, "a", [30, 60, 70], [30, 40]),
        (29, "a", [30, 60, 70], [30, 40]),
        (30, "a", [], []),
        (30, "b", [60, 70], [40]),
        (45, "b", [60, 70], []),
        (65, "c", [70], []),
        (70, "c", [], []),
        (70, "d", [], []),
        (5, "z", [], []),
    ],
)
def test_who_holds_a_fork_is_handed_what_it_takes_and_nothing_else(
    time: int, wanted: str, anne: list[int], bert: list[int]
) -> None:
    table = staged(40)
    wanted_key = key(wanted).public
    assert times(table.lookup_fork(PLANET_ID, time, wanted_key, ANNE)) == anne
    assert times(table.lookup_fork(PLANET_ID, time, wanted_key, BERT)) == bert
    assert table.lookup_fork(MOON_ID, time, wanted_key, ANNE) == ()


def test_a_fork_from_before_a_chain_whose_first_signer_it_knows() -> None:
    # The chain was taken over late: who signed its oldest revision is found out by trying.
    table = HandoverTable([Chain(planet().revisions[3:])], ROOM)
    assert times(table.lookup_fork(PLANET_ID, 5, key("b").public, ANNE)) == [60, 70]
    chain = Chain([world(10, signer="x", names="a"), world(20, signer="a", names="b")])
    late = HandoverTable([chain], ROOM)
    assert times(late.lookup_fork(PLANET_ID, 5, key("x").public, ANNE)) == [10, 20]
    assert late.lookup_fork(PLANET_ID, 10, key("x").public, ANNE) == ()
    assert late.lookup_fork(PLANET_ID, 5, key("y").public, ANNE) == ()


def test_links_for_a_fork_fit_too() -> None:
    size = len(planet().newest.encode())
    table = HandoverTable([planet()], 2 * size)
    assert times(table.lookup_fork(PLANET_ID, 5, key("a").public, ANNE)) == [30, 60]
