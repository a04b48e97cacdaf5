import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import DecodeError
from orrery.fleet.node_models import Moon, Peer, PeerPath, Status
from orrery.wire.address import format_address, parse_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import World
from tests.vectors.loading import load

TRANSCRIPTS = [
    f"transcripts/{name}.json" for name in ("moon_orbit", "planet_rotation", "planet_update")
]


def told(path: str) -> list[Any]:
    """What recorded nodes answered to a path."""
    return [
        entry["json"]
        for name in TRANSCRIPTS
        for entry in load(name)["api"]
        if entry.get("path") == path and "json" in entry
    ]


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("answer", told("/status"), ids=lambda answer: answer["address"])
def test_recorded_statuses(answer: dict[str, Any]) -> None:
    status = Status.parse(encoded(answer))
    assert format_address(status.address) == answer["address"]
    assert status.identity == Identity.from_string(answer["publicIdentity"])
    assert status.identity.address == status.address
    assert (status.planet_id, status.planet_timestamp_ms, status.clock_ms) == (
        answer["planetWorldId"],
        answer["planetWorldTimestamp"],
        answer["clock"],
    )
    assert (status.online, status.tcp_fallback, status.version) == (True, False, "1.14.1")
    assert status.primary_port == 9993
    settings = answer["config"]["settings"]
    assert list(status.listening_on) == settings["listeningOn"]
    assert list(status.surface_addresses) == settings["surfaceAddresses"]


@pytest.mark.parametrize("answer", told("/peer"), ids=lambda answer: answer[0]["address"])
def test_recorded_peers(answer: list[dict[str, Any]]) -> None:
    peers = Peer.parse_list(encoded(answer))
    assert len(peers) == len(answer)
    for peer, its in zip(peers, answer, strict=True):
        assert format_address(peer.address) == its["address"]
        assert peer.role == its["role"]
        assert peer.is_root == (its["role"] != "LEAF")
        assert peer.version == its["version"]
        assert peer.latency_ms == (its["latency"] if its["latency"] >= 0 else None)
        assert [
            (f"{path.endpoint}", path.active, path.preferred, path.last_send_ms)
            for path in peer.paths
        ] == [
            (path["address"], path["active"], path["preferred"], path["lastSend"])
            for path in its["paths"]
        ]
        assert peer.path is not None
        assert peer.path.preferred


@pytest.mark.parametrize("answer", [each for each in told("/moon") if each], ids=str)
def test_recorded_moons_are_the_worlds_that_they_were_made_from(answer: list[Any]) -> None:
    (moon,) = Moon.parse_list(encoded(answer))
    worlds = [
        World.decode(bytes.fromhex(each["hex"]))
        for each in load("transcripts/moon_orbit.json")["worlds"]
        if each["kind"] == "moon"
    ]
    assert not moon.waiting
    world = next(world for world in worlds if world.timestamp_ms == moon.timestamp_ms)
    assert (moon.id, moon.updates_must_be_signed_by, moon.signature) == (
        world.id,
        world.updates_must_be_signed_by,
        world.signature,
    )
    assert [(root.identity, root.endpoints) for root in moon.roots] == [
        (root.identity, root.endpoints) for root in world.roots
    ]


def test_a_moon_that_is_waited_for_has_nothing_yet() -> None:
    (answer,) = told("POST /moon/<id> again")
    moon = Moon.parse(encoded(answer))
    assert (moon.id, moon.waiting, moon.timestamp_ms, moon.roots) == (0x50BCC4260F, True, 0, ())
    assert moon.signature is moon.updates_must_be_signed_by is None


def test_an_id_may_have_64_bits() -> None:
    status = Status.parse(b'{"address": "8056c2e21c", "planetWorldId": 18446744073709551615}')
    assert status.planet_id == 2**64 - 1
    assert Moon.parse(b'{"id": "ffffffffffffffff"}').id == 2**64 - 1


def test_what_older_versions_do_not_tell_has_a_default() -> None:
    address = parse_address("8056c2e21c")
    for config in ("{}", "null", '{"settings": null}', '{"settings": {"primaryPort": 1}}'):
        status = Status.parse(f'{{"address": "8056c2e21c", "config": {config}}}'.encode())
        assert (status.address, status.identity, status.online) == (address, None, False)
        assert (status.version, status.listening_on, status.home) == ("", (), "")
    peer = Peer.parse(b'{"address": "8056c2e21c", "latency": -1, "version": "-1.-1.-1"}')
    assert (peer.latency_ms, peer.version, peer.paths, peer.path) == (None, None, (), None)
    assert not peer.is_root


def test_the_way_in_use_is_the_preferred_one_or_one_that_lives() -> None:
    one, two = (PeerPath.parse(encoded({"address": f"203.0.113.{n}/9993"})) for n in (1, 2))
    assert one.endpoint == Endpoint.from_text("203.0.113.1/9993")
    peer = Peer.parse(b'{"address": "8056c2e21c"}')
    assert peer.model_copy(update={"paths": (one, two)}).path is None
    alive = two.model_copy(update={"active": True})
    assert peer.model_copy(update={"paths": (one, alive)}).path is alive
    used = one.model_copy(update={"preferred": True})
    assert peer.model_copy(update={"paths": (alive, used)}).path is used


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "this is no JSON"),
        (b"<html>", "this is no JSON, as a zerotier-one answers: '<html>'"),
        (b"\xff\xfe{", "this is no JSON"),
        (b"[" * 100_000, "this is no JSON"),
        (b"9" * 100_000, "this is no JSON"),
        (b"[]", "what a zerotier-one tells of its status is not as expected, at all of it"),
        (b"{}", "not as expected, at address"),
        (b'{"address": 5}', "not as expected, at address"),
        (b'{"address": "xyz"}', "'xyz' is not an address"),
        (b'{"address": "8056c2e21c", "clock": -1}', "at clock"),
        (b'{"address": "8056c2e21c", "planetWorldId": 18446744073709551616}', "at planetWorldId"),
        (b'{"address": "8056c2e21c", "publicIdentity": "8056c2e21c:0:00"}', "hex digits"),
        (b'{"address": "8056c2e21c", "online": "maybe"}', "at online"),
    ],
)
def test_what_is_no_status_is_told(data: bytes, said: str) -> None:
    with pytest.raises(DecodeError) as refused:
        Status.parse(data)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 300


def test_what_is_no_list_is_told() -> None:
    with pytest.raises(DecodeError, match=r"this is no list of a zerotier-one: '\{\}'"):
        Peer.parse_list(b"{}")
    with pytest.raises(DecodeError, match="tells of its moon is not as expected, at id"):
        Moon.parse_list(b'[{"id": "1"}, {"id": "zz"}]')


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "address",
                    "id",
                    "paths",
                    "roots",
                    "identity",
                    "stableEndpoints",
                    "config",
                    "settings",
                    "listeningOn",
                    "signature",
                    "latency",
                    "version",
                    "publicIdentity",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(_JSON.map(encoded) | st.binary(max_size=60))
def test_whatever_answers_is_read_or_refused(data: bytes) -> None:
    for read in (Status.parse, Peer.parse, Moon.parse, Peer.parse_list, Moon.parse_list):
        with suppress(DecodeError):
            read(data)
