import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import DecodeError
from orrery.rollout.state import RolloutState, Served
from orrery.wire.address import Address
from orrery.worlds.stage import PLACES, Membership, Stage

WORLD_ID = 0x8056C2E21C000001
ANNE = Address(0x2C3E8F527A)
BERT = Address(0xDD87C5DC2D)
DOCUMENTED = """{
  "world_id": "8056c2e21c000001",
  "held_back_ms": 1790000000000,
  "opened": {
    "share": 10000,
    "named": ["2c3e8f527a"],
    "later": ["dd87c5dc2d"]
  }
}"""


def test_the_form_that_is_documented() -> None:
    served = Served.from_json(DOCUMENTED)
    opened = Membership(10_000, frozenset({ANNE}), frozenset({BERT}))
    assert served == Served(WORLD_ID, 1_790_000_000_000, opened)
    assert served.stage == Stage(1_790_000_000_000, opened)
    assert json.loads(served.to_json()) == json.loads(DOCUMENTED)


addresses = st.integers(1, (0xFF << 32) - 1).map(Address)


@given(
    st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, PLACES), st.sets(addresses)
)
def test_it_is_read_as_it_was_written(
    world_id: int, held_back_ms: int, share: int, nodes: set[Address]
) -> None:
    named = frozenset(address for address in nodes if address % 2)
    served = Served(world_id, held_back_ms, Membership(share, named, frozenset(nodes) - named))
    assert Served.from_json(served.to_json()) == served


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("world_id", 5),
        ("world_id", "5"),
        ("world_id", "8056C2E21C000001"),
        ("world_id", "0x56c2e21c000001"),
        ("held_back_ms", "1790000000000"),
        ("held_back_ms", -1),
        ("held_back_ms", True),
        ("held_back_ms", 1 << 64),
        ("opened", []),
        ("opened", {"share": 1, "named": []}),
        ("opened", {"share": 1, "named": [], "later": [], "also": []}),
        ("opened", {"share": 1.5, "named": [], "later": []}),
        ("opened", {"share": PLACES + 1, "named": [], "later": []}),
        ("opened", {"share": 1, "named": 7, "later": []}),
        ("opened", {"share": 1, "named": ["ff3e8f527a"], "later": []}),
        ("opened", {"share": 1, "named": ["2c3e8f527a"], "later": ["2c3e8f527a"]}),
        ("another", 1),
    ],
)
def test_what_it_is_not(key: str, value: object) -> None:
    told = json.loads(DOCUMENTED) | {key: value}
    with pytest.raises(DecodeError, match="what a rollout lets roots serve cannot be read"):
        Served.from_json(json.dumps(told))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "7", "{}", '"x"'])
def test_what_is_nothing_of_the_kind(text: str) -> None:
    with pytest.raises(DecodeError, match="no version of Orrery wrote this"):
        Served.from_json(text)


def test_states_that_end_a_rollout() -> None:
    assert {state.value for state in RolloutState if state.is_over} == {
        "done",
        "rolled-back",
        "stopped",
    }
