from dataclasses import replace

import pytest

from orrery.errors import RefusalReason, UpdateRefused, VerifyError
from orrery.wire.world import UNSIGNED, World, WorldType
from orrery.worlds.acceptance import check_update
from tests.unit.worlds.making import key, rotation, world


def refusal(current: World, candidate: World) -> UpdateRefused:
    with pytest.raises(UpdateRefused) as caught:
        check_update(current, candidate)
    return caught.value


def test_a_newer_one_by_the_wanted_key_is_taken() -> None:
    check_update(world(10, names="b"), world(11, signer="b", names="c"))


@pytest.mark.parametrize(
    ("candidate", "reason", "words"),
    [
        (world(9), RefusalReason.OLDER, "refuses an older one"),
        (world(10), RefusalReason.IDENTICAL, "no use for the same World again"),
        (world(10, roots=[]), RefusalReason.SAME_TIMESTAMP, "sign it with a larger timestamp"),
        (world(11, world_id=0xDEF), RefusalReason.OTHER_ID, "id 0000000000000def"),
        (world(11, world_type=WorldType.MOON), RefusalReason.OTHER_TYPE, "refuses a moon"),
        (
            replace(world(11), type=WorldType.NULL),
            RefusalReason.OTHER_TYPE,
            "refuses a World of type 0",
        ),
        (world(11, signer="b", names="b"), RefusalReason.WRONG_SIGNATURE, key("b").fingerprint),
        (world(11, signer="b", names="a"), RefusalReason.WRONG_SIGNATURE, "nor by the key"),
        (replace(world(11), signature=UNSIGNED), RefusalReason.UNSIGNED, "is not signed"),
        (replace(world(11), timestamp_ms=12), RefusalReason.ALTERED, "altered after"),
    ],
)
def test_each_refusal_has_its_reason(candidate: World, reason: RefusalReason, words: str) -> None:
    error = refusal(world(10), candidate)
    assert error.reason is reason
    assert words in str(error)
    assert isinstance(error, VerifyError)
    assert error.code == "update-refused"


def test_a_refused_signature_names_both_timestamps_and_keys() -> None:
    first, _, third, _ = rotation("abcc")
    error = refusal(first, third)
    assert error.reason is RefusalReason.WRONG_SIGNATURE
    for part in ("timestamp 10 ", "timestamp 30 ", key("a").fingerprint):
        assert part in str(error)


@pytest.mark.parametrize(
    "current", [None, world(10, world_id=0), replace(world(10), type=WorldType.NULL)]
)
def test_anything_replaces_nothing(current: World | None) -> None:
    check_update(current, replace(world(1, world_id=7), signature=UNSIGNED))


def test_the_signature_is_asked_for_last() -> None:
    old_and_unsigned = replace(world(9), signature=UNSIGNED)
    assert refusal(world(10), old_and_unsigned).reason is RefusalReason.OLDER
