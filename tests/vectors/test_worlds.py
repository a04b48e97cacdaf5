"""Worlds, against what ZeroTier One, zerotier-idtool and mkworld wrote."""

from dataclasses import replace
from typing import Any

import pytest

from orrery.errors import DecodeError, UsageError, VerifyError
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.signature import SigningKey
from orrery.wire.world import UNSIGNED, Root, World, WorldType
from orrery.worlds.ordering import sort_roots
from orrery.worlds.pitfalls import MKWORLD_TIMESTAMP_MS
from tests.vectors.loading import cases, load

TYPES = {"planet": WorldType.PLANET, "moon": WorldType.MOON, "null": WorldType.NULL}


def roots_of(world: World) -> list[dict[str, Any]]:
    return [
        {
            "identity": str(root.identity),
            "endpoints": [str(endpoint) for endpoint in root.endpoints],
        }
        for root in world.roots
    ]


def public(roots: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "identity": ":".join(root["identity"].split(":")[:3]),
            "endpoints": root["endpoints"],
        }
        for root in roots
    ]


def endpoint_as_node(text: str) -> Endpoint:
    """What genmoon makes of a text: nil for what a node refuses."""
    try:
        return Endpoint.parse_as_node(text)
    except DecodeError:
        return Endpoint.NIL


@pytest.mark.parametrize("case", cases("worlds.json", "worlds"))
def test_world(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["serialized"])
    reader = Reader(data)
    world = World.read(reader)
    assert reader.offset == case["consumed"]
    assert world.type == TYPES[case["type"]]
    assert world.id == case["id"] == int(case["id_hex"], 16)
    assert world.timestamp_ms == case["timestamp"] == int(case["timestamp_hex"], 16)
    assert world.updates_must_be_signed_by.hex() == case["updates_must_be_signed_by"]
    assert world.signature.hex() == case["signature"]
    assert roots_of(world) == public(case["roots"])
    assert world.signed_bytes().hex() == case["to_be_signed"]
    assert case["round_trip_equal"]
    assert world.encode() == data

    signer = SigningKey(
        bytes.fromhex(case["signing_key_public"]), bytes.fromhex(case["signing_key_private"])
    )
    assert case["verify"]
    world.verify(signer.public)
    made = World(
        type=TYPES[case["type"]],
        id=case["id"],
        timestamp_ms=case["timestamp"],
        updates_must_be_signed_by=bytes.fromhex(case["updates_must_be_signed_by"]),
        roots=tuple(
            Root(
                Identity.parse_as_node(root["identity"]),
                tuple(map(Endpoint.parse_as_node, root["endpoints"])),
            )
            for root in case["roots"]
        ),
    ).sign(signer)
    assert made == world
    assert made.encode() == data


def test_the_built_in_planet() -> None:
    earth = load("worlds.json")["earth"]
    world = World.decode(bytes.fromhex(earth["serialized"]))
    assert (world.id, world.timestamp_ms) == (earth["id"], earth["timestamp"])
    assert roots_of(world) == earth["roots"]
    assert world.signed_bytes().hex() == earth["to_be_signed"]
    assert world.encode().hex() == earth["serialized"]
    assert world.is_self_signed is earth["verify_with_own_updates_key"] is True


GENMOON = {case["name"]: case for case in load("worlds.json")["idtool"]}


def test_genmoon_refuses_a_root_that_is_no_identity() -> None:
    refused = GENMOON["bad-root-identity"]
    assert refused["moon"] is None
    with pytest.raises(DecodeError):
        Identity.parse_as_node(refused["edited_json"]["roots"][1]["identity"])


@pytest.mark.parametrize(
    "case",
    [case for case in GENMOON.values() if case["exit_code"] == 0],
    ids=lambda case: case["name"],
)
def test_genmoon(case: dict[str, Any]) -> None:
    source = case["edited_json"]
    data = bytes.fromhex(case["moon"])
    signer = SigningKey(
        bytes.fromhex(source["signingKey"]), bytes.fromhex(source["signingKey_SECRET"])
    )
    unsigned = World(
        type=TYPES[source["worldType"]],
        id=int(source["id"], 16),
        timestamp_ms=case["timestamp"],
        updates_must_be_signed_by=bytes.fromhex(source["updatesMustBeSignedBy"]),
        roots=sort_roots(
            Root(
                Identity.parse_as_node(root["identity"]),
                tuple(map(endpoint_as_node, root["stableEndpoints"])),
            )
            for root in source["roots"]
        ),
    )
    if case["name"] in ("five-roots", "33-endpoints"):
        # The tool writes what no node can read.
        with pytest.raises(DecodeError, match="more than"):
            World.decode(data)
        with pytest.raises(UsageError, match="more than"):
            unsigned.sign(signer)
        return
    if case["name"] == "wrong-signing-secret":
        # The tool writes what no node would take.
        with pytest.raises(VerifyError):
            World.decode(data).verify(signer.public)
        with pytest.raises(VerifyError, match="does not belong"):
            unsigned.sign(signer)
        return
    assert unsigned.sign(signer).encode() == data
    assert case["file_name"] == f"{unsigned.id:016x}.moon"


@pytest.mark.parametrize("case", cases("worlds.json", "mkworld"))
def test_mkworld(case: dict[str, Any]) -> None:
    if case["world_bin"] is None:
        with pytest.raises(DecodeError, match="128 bytes"):
            SigningKey.decode(bytes.fromhex(case["previous_c25519"]))
        return
    previous = SigningKey.decode(bytes.fromhex(case["previous_c25519"]))
    current = SigningKey.decode(bytes.fromhex(case["current_c25519"]))
    assert previous.encode().hex() == case["previous_c25519"]
    world = World.decode(bytes.fromhex(case["world_bin"]))
    assert world.updates_must_be_signed_by == current.public
    assert replace(world, signature=UNSIGNED).sign(previous) == world
    assert world.encode().hex() == case["world_bin"]
    if case["keys_existed"] is False:
        assert previous == current
    if not case["name"].startswith("own-roots"):
        assert world.timestamp_ms == MKWORLD_TIMESTAMP_MS
