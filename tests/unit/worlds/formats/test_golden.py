"""What zerotier-idtool and mkworld made of their input, byte for byte."""

import json
from typing import Any

import pytest

from orrery.errors import DecodeError, UsageError
from orrery.wire.world import World
from orrery.worlds import formats
from tests.vectors.loading import cases, load

_NOT_WRITTEN = {
    # Five roots and 33 endpoints genmoon writes, and no node reads; for the mismatched pair it
    # makes a signature that nobody can verify.
    "five-roots": "5 roots",
    "33-endpoints": "33 endpoints",
    "wrong-signing-secret": "does not belong to signingKey",
    # Here genmoon gives up as well.
    "id-zero": "id is 0",
    "unknown-world-type": "worldType is 'comet'",
    "bad-root-identity": "root 2: ",
}


@pytest.mark.parametrize("case", cases("worlds.json", "idtool"))
def test_a_signed_moon_json_is_what_genmoon_wrote(case: dict[str, Any]) -> None:
    data = json.dumps(case["edited_json"]).encode()
    if case["name"] in _NOT_WRITTEN:
        with pytest.raises(DecodeError, match=_NOT_WRITTEN[case["name"]]):
            formats.read(data)
        return
    document = formats.read(data, loose=case["name"] == "bad-endpoint-text")
    assert document.signing_key is not None
    world = document.sign(document.signing_key, timestamp_ms=case["timestamp"])
    assert world.encode().hex() == case["moon"]


@pytest.mark.parametrize("name", ["five-roots", "33-endpoints"])
def test_loose_reading_does_not_make_unreadable_worlds(name: str) -> None:
    case = next(case for case in load("worlds.json")["idtool"] if case["name"] == name)
    document = formats.read(json.dumps(case["edited_json"]).encode(), loose=True)
    assert document.signing_key is not None
    assert any(pitfall.code.startswith("too-many") for pitfall in document.warnings(0))
    with pytest.raises(UsageError, match="throw away a World"):
        document.sign(document.signing_key, timestamp_ms=1)


@pytest.mark.parametrize("case", cases("worlds.json", "idtool"))
def test_what_initmoon_printed_is_written_again_byte_for_byte(case: dict[str, Any]) -> None:
    printed = case["initmoon_output"].encode()
    document = formats.read(printed)
    assert formats.write(document, "moon-json", secrets=True) == printed


@pytest.mark.parametrize("case", cases("worlds.json", "mkworld"))
def test_a_signed_mkworld_configuration_is_what_mkworld_wrote(case: dict[str, Any]) -> None:
    if case["world_bin"] is None:
        lengths = {len(case[name]) // 2 for name in ("previous_c25519", "current_c25519")}
        assert lengths != {128}
        return
    previous = formats.read(bytes.fromhex(case["previous_c25519"]))
    current = formats.read(bytes.fromhex(case["current_c25519"]))
    planet = World.decode(bytes.fromhex(case["world_bin"]))
    configuration = {
        "rootNodes": [
            {
                "comments": "made for this test",
                "identity": str(root.identity),
                "endpoints": [str(endpoint) for endpoint in root.endpoints],
            }
            for root in planet.roots
        ],
        "signing": ["previous.c25519", "current.c25519"],
        "output": "planet.custom",
        "plID": planet.id,
        "plBirth": planet.timestamp_ms,
        "plRecommend": False,
    }
    document = formats.read(json.dumps(configuration).encode())
    assert document.key_files == ("previous.c25519", "current.c25519")
    assert document.timestamp_ms is not None
    assert previous.signing_key is not None
    signed = document.sign(
        previous.signing_key,
        timestamp_ms=document.timestamp_ms,
        next_public=current.signing_public,
    )
    assert signed.encode().hex() == case["world_bin"]
