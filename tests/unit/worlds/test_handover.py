import pytest

from orrery.errors import UsageError
from orrery.wire.world import World, WorldType
from orrery.worlds.chain import Chain
from orrery.worlds.handover import HandoverTable
from tests.unit.worlds.making import rotation, world

MOON = WorldType.MOON
ROOM = 10_000
PLANET_ID = 0xABC
MOON_ID = 0xDEF


def planet() -> Chain:
    return Chain(rotation("aabbbcd"))


def times(links: tuple[bytes, ...]) -> list[int]:
    return [World.decode(link).timestamp_ms for link in links]


@pytest.mark.parametrize(
    "time", [0, 1, 9, 10, 11, 20, 25, 30, 35, 40, 55, 60, 69, 70, 71, 2**64 - 1]
)
def test_the_table_says_what_the_chain_says(time: int) -> None:
    expected = tuple(link.encode() for link in planet().links_from(time))
    assert HandoverTable([planet()], ROOM).lookup(PLANET_ID, time) == expected


def test_planet_and_moon_side_by_side() -> None:
    moon = Chain([world(7, world_type=MOON, world_id=MOON_ID)])
    table = HandoverTable([planet(), moon], ROOM)
    assert table.world_ids == (PLANET_ID, MOON_ID)
    assert times(table.lookup(MOON_ID, 0)) == [7]
    assert table.lookup(MOON_ID, 7) == ()
    assert table.newest(MOON_ID) == moon.newest
    assert table.newest(PLANET_ID) == planet().newest
    assert table.revision_at(PLANET_ID, 20) == planet().revisions[1]
    assert table.revision_at(PLANET_ID, 21) is None


def test_a_world_that_is_not_ours_gets_nothing() -> None:
    table = HandoverTable([planet()], ROOM)
    assert table.lookup(MOON_ID, 0) == ()
    assert table.newest(MOON_ID) is None
    assert table.revision_at(MOON_ID, 10) is None
    assert HandoverTable([], ROOM).lookup(PLANET_ID, 0) == ()


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
        assert times(table.lookup(PLANET_ID, 10)) == expected
        assert times(table.lookup(PLANET_ID, 5)) == expected


def test_equal_answers_are_kept_once() -> None:
    table = HandoverTable([planet()], ROOM)
    assert table.lookup(PLANET_ID, 10) is table.lookup(PLANET_ID, 20)


def test_neighbouring_timestamps() -> None:
    table = HandoverTable([Chain([world(5), world(6, names="b"), world(7, signer="b")])], ROOM)
    assert [times(table.lookup(PLANET_ID, time)) for time in range(4, 8)] == [
        [6, 7],
        [6, 7],
        [7],
        [],
    ]


def test_a_moon_that_begins_at_1() -> None:
    chain = Chain([world(1, world_type=MOON), world(2, world_type=MOON)])
    table = HandoverTable([chain], ROOM)
    assert [times(table.lookup(PLANET_ID, time)) for time in range(3)] == [[2], [2], []]


def test_one_root_serves_one_chain_of_a_world() -> None:
    with pytest.raises(UsageError, match="two chains for World 0000000000000abc"):
        HandoverTable([planet(), planet()], ROOM)
