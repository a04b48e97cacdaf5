"""Reading Worlds, whole, broken and odd, against the verdicts of ZeroTier One."""

from typing import Any

import pytest

from orrery.errors import DecodeError, VerifyError
from orrery.wire.cursor import Reader
from orrery.wire.world import World
from tests.vectors.loading import cases
from tests.vectors.test_worlds import TYPES, roots_of

MESSAGES = {
    "OUT_OF_BOUNDS": "end early",
    "INVALID_TYPE": r"no World|identity of unknown type",
    "OVERFLOW": "more than",
    "INVALID_CRYPTOGRAPHIC_TOKEN": "private key of",
    "BAD_ENCODING": "endpoint of unknown type",
}


@pytest.mark.parametrize("case", cases("world_decode.json", "cases"))
def test_decode(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["data"])
    assert len(data) == case["length"]
    reader = Reader(data)
    if not case["ok"]:
        with pytest.raises(DecodeError, match=MESSAGES[case["exception_name"]]):
            World.read(reader)
        return
    world = World.read(reader)
    assert reader.offset == case["consumed"]
    assert world == World.decode(data)
    assert world.type == TYPES[case["type"]]
    assert f"{world.id:016x}" == case["id_hex"]
    assert world.timestamp_ms == case["timestamp"]
    assert roots_of(world) == case["roots"]

    written = world.encode()
    if world.dictionary:
        # A node drops the dictionary; we keep what is there of it.
        assert written.endswith(data[-len(world.dictionary) :])
        written = written[: -len(world.dictionary) - 2] + b"\x00\x00"
    assert written == (bytes.fromhex(case["reserialized"]) if case["reserialized"] else data)
    assert World.decode(world.encode()) == world

    if case["verify_with_own_updates_key"]:
        world.verify(world.updates_must_be_signed_by)
    else:
        with pytest.raises(VerifyError):
            world.verify(world.updates_must_be_signed_by)
