from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import DecodeError, UsageError
from orrery.rollout.cohorts import EVERYBODY, Cohorts, Named, Share, parse_cohort
from orrery.wire.address import Address
from orrery.worlds.stage import NOBODY, PLACES, place_of

WORLD_ID = 0x8056C2E21C000001
ANNE = Address(0x2C3E8F527A)
BERT = Address(0xDD87C5DC2D)
ROOT = Address(0x8056C2E21C)
MANY = [Address(0x1000000000 + number) for number in range(5_000)]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("1%", 10_000),
        (" 10 % ", 100_000),
        ("0.5%", 5_000),
        ("0.0001%", 1),
        ("33.3333%", 333_333),
        ("100%", PLACES),
        ("100.0%", PLACES),
        ("007%", 70_000),
    ],
)
def test_shares(text: str, places: int) -> None:
    assert parse_cohort(text) == Share(places)
    assert Share.from_text(str(Share(places))) == Share(places)


def test_shares_are_written_short() -> None:
    assert [str(Share(places)) for places in (1, 5_000, 10_000, 100_000, 125_000, PLACES)] == [
        "0.0001%",
        "0.5%",
        "1%",
        "10%",
        "12.5%",
        "100%",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " % ",
        "1",
        "0%",
        "0.0%",
        "100.0001%",
        "101%",
        "-1%",
        "1e1%",
        "1,5%",
        ".5%",
        "1.%",
        "0.00001%",
        "1%%",
        "all",
        "２%",
        "NaN%",
        "1000%",
    ],
)
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(DecodeError, match="not a share"):
        parse_cohort(text)


def test_named_nodes() -> None:
    assert parse_cohort(["2C3E8F527A", " dd87c5dc2d "]) == Named(frozenset({ANNE, BERT}))
    assert str(Named(frozenset({BERT, ANNE}))) == "2c3e8f527a, dd87c5dc2d"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ([], "empty"),
        (["2c3e8f527a", "2C3E8F527A"], "named twice"),
        (["2c3e8f527"], "is not an address"),
        (["ff3e8f527a"], "reserved"),
        ([1], "a cohort is a percentage"),
        (10, "a cohort is a percentage"),
        (None, "a cohort is a percentage"),
        ({"share": 1}, "a cohort is a percentage"),
        (True, "a cohort is a percentage"),
    ],
)
def test_what_is_no_cohort(entry: object, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        parse_cohort(entry)


def test_values_that_cannot_be() -> None:
    for places in (0, -1, PLACES + 1):
        with pytest.raises(UsageError, match="at most 100 %"):
            Share(places)
    with pytest.raises(UsageError, match="names one at least"):
        Named(frozenset())
    for address in (0, 1 << 40, 0xFF00000001):
        with pytest.raises(UsageError, match="no address that a node can have"):
            Named(frozenset({Address(address)}))


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([], 'end the cohorts with "100%"'),
        (["1%"], 'end the cohorts with "100%"'),
        (["100%", ["2c3e8f527a"]], 'end the cohorts with "100%"'),
        (["10%", "1%", "100%"], "1% after one of 10% adds no node"),
        (["1%", "1%", "100%"], "1% after one of 1% adds no node"),
        (["1%", ["2c3e8f527a"], "0.5%", "100%"], "0.5% after one of 1% adds no node"),
        (["100%", "100%"], "100% after one of 100% adds no node"),
        ([["2c3e8f527a"], ["2c3e8f527a"], "100%"], "2c3e8f527a is named in two cohorts"),
        ([["8056c2e21c"], "100%"], "8056c2e21c is a root"),
    ],
)
def test_cohorts_that_make_no_order(entries: list[object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Cohorts.parse(entries, [ROOT])


def test_cohorts_open_one_after_the_other() -> None:
    cohorts = Cohorts.parse([["2c3e8f527a"], "1%", ["dd87c5dc2d"], "10%", "100%"], [ROOT])
    opened = [cohorts.opened(stage) for stage in range(-1, 5)]
    assert opened[0] == NOBODY
    assert [each.share for each in opened[1:]] == [0, 10_000, 10_000, 100_000, PLACES]
    includes_bert = [each.includes(WORLD_ID, BERT) for each in opened]
    assert includes_bert == [False, False, False, True, True, True]
    assert [each.includes(WORLD_ID, ANNE) for each in opened] == [False] + [True] * 5
    assert [each.includes(WORLD_ID, ROOT) for each in opened] == [False] * 5 + [True]
    for stage in (-2, 5):
        with pytest.raises(UsageError, match="of 5 cohorts"):
            cohorts.opened(stage)


def test_a_named_node_comes_with_its_name_wherever_its_place_is() -> None:
    early = min(MANY, key=lambda address: place_of(WORLD_ID, address))
    cohorts = Cohorts([Share(10_000), Named(frozenset({early})), EVERYBODY])
    assert cohorts.cohort_of(WORLD_ID, early) == 1
    assert not cohorts.opened(0).includes(WORLD_ID, early)


@st.composite
def some_cohorts(draw: st.DrawFn) -> Cohorts:
    shares = sorted(draw(st.sets(st.integers(1, PLACES - 1), max_size=4)))
    made: list[Share | Named] = [Share(places) for places in shares]
    pool = draw(st.permutations([ANNE, BERT, *MANY[:4]]))
    for address in pool[: draw(st.integers(0, 4))]:
        made.insert(draw(st.integers(0, len(made))), Named(frozenset({address})))
    return Cohorts([*made, EVERYBODY], [ROOT])


@given(some_cohorts())
def test_a_node_is_in_the_stages_from_its_cohort_on(cohorts: Cohorts) -> None:
    for address in (ANNE, BERT, ROOT, *MANY[:50]):
        first = cohorts.cohort_of(WORLD_ID, address)
        for stage in range(-1, len(cohorts)):
            assert cohorts.opened(stage).includes(WORLD_ID, address) == (stage >= first)
    assert cohorts.cohort_of(WORLD_ID, ROOT) == len(cohorts) - 1


@given(some_cohorts())
def test_cohorts_are_read_as_they_are_written(cohorts: Cohorts) -> None:
    again = Cohorts.parse(cohorts.entries(), cohorts.roots)
    assert again == cohorts
    assert hash(again) == hash(cohorts)
    assert list(again) == [cohorts[number] for number in range(len(cohorts))]
    assert again != Cohorts(cohorts)
    assert repr(again) == repr(cohorts)


@given(st.one_of(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=3)))
def test_nonsense_is_refused_or_read(entry: object) -> None:
    try:
        cohort = parse_cohort(entry)
    except DecodeError:
        return
    written = str(cohort)
    assert parse_cohort(written if isinstance(cohort, Share) else written.split(",")) == cohort


def test_cohorts_have_the_size_that_they_say() -> None:
    cohorts = Cohorts.parse(["1%", "10%", "100%"])
    sizes = Counter(cohorts.cohort_of(WORLD_ID, address) for address in MANY)
    assert 30 <= sizes[0] <= 70
    assert 400 <= sizes[1] <= 500
    assert sum(sizes.values()) == len(MANY)
