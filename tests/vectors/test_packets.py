"""Packets, against what a real node's code made, protected and took apart."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from orrery.errors import DecodeError, VerifyError
from orrery.vl1.fragments import Reassembler
from orrery.wire.address import Address, format_address
from orrery.wire.cipher import CipherSuite, SharedKeys, kbkdf, packet_cipher
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import (
    DATAGRAM_BYTES,
    FLAG_FRAGMENTED,
    FLAGS_OFFSET,
    HEADER_BYTES,
    HOPS_MASK,
    MAX_HOPS,
    VERB_OFFSET,
    Fragment,
    Packet,
    Verb,
    split,
    with_hop,
)
from orrery.wire.verbs import (
    Error,
    Hello,
    MulticastGather,
    MulticastGroup,
    Ok,
    OkHello,
    OkMulticastGather,
    PushDirectPaths,
    Rendezvous,
    UserMessage,
    Version,
    WorldHeld,
    decode_addresses,
    decode_identities,
    decode_multicast_like,
    encode_addresses,
    encode_multicast_like,
)
from tests.vectors.loading import cases, load

KEYS = [SharedKeys(bytes.fromhex(pair["shared_key"])) for pair in load("packets.json")["keys"]]


def keys_of(case: dict[str, Any]) -> SharedKeys:
    return KEYS[int(case["keys"])]


def suites_of(case: dict[str, Any]) -> list[tuple[CipherSuite, bytes]]:
    return [(CipherSuite(int(suite)), bytes.fromhex(wire)) for suite, wire in case["wire"].items()]


def opens(keys: SharedKeys, datagram: bytes) -> bool:
    try:
        keys.dearmor(datagram)
    except VerifyError:
        return False
    return True


def address(text: str) -> Address:
    return Address(int(text, 16))


def endpoint(text: str | None) -> Endpoint:
    return Endpoint.parse_as_node(text or "")


@pytest.mark.parametrize("case", cases("packets.json", "keys"))
def test_keys(case: dict[str, Any]) -> None:
    sender = Identity.from_string(case["sender_secret"])
    receiver = Identity.from_string(case["receiver_secret"])
    agreement = sender.agree(receiver.public())
    assert agreement.hex() == case["shared_key"]
    assert kbkdf(agreement, b"0").hex() == case["aes_key_0"]
    assert kbkdf(agreement, b"1").hex() == case["aes_key_1"]


# -- protecting -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("packets.json", "packets"))
def test_armor(case: dict[str, Any]) -> None:
    plaintext = bytes.fromhex(case["plaintext"])
    for suite, wire in suites_of(case):
        assert keys_of(case).armor(plaintext, suite) == wire
        assert packet_cipher(wire) == suite


@pytest.mark.parametrize("case", cases("packets.json", "packets"))
def test_dearmor(case: dict[str, Any]) -> None:
    plaintext = bytes.fromhex(case["plaintext"])
    for suite, wire in suites_of(case):
        assert case["dearmor"][str(suite.value)]
        opened = keys_of(case).dearmor(wire)
        assert opened[:VERB_OFFSET] == wire[:VERB_OFFSET]
        assert opened[VERB_OFFSET:] == plaintext[VERB_OFFSET:]


@pytest.mark.parametrize("case", cases("packets.json", "tampered"))
def test_tampered(case: dict[str, Any]) -> None:
    assert opens(keys_of(case), bytes.fromhex(case["wire"])) is case["dearmor"]


@pytest.mark.parametrize("case", cases("packets.json", "hops"))
def test_hops_are_outside_of_the_mac(case: dict[str, Any]) -> None:
    wire = bytes.fromhex(case["wire"])
    assert opens(keys_of(case), wire) is case["dearmor"]
    packet = Packet.decode(keys_of(case).dearmor(wire))
    assert packet.hops == case["hops"]
    relayed = with_hop(wire)
    if case["hops"] >= MAX_HOPS:
        assert relayed is None
    else:
        assert relayed is not None
        assert relayed[FLAGS_OFFSET] & HOPS_MASK == case["hops"] + 1
        assert packet._replace(hops=case["hops"] + 1) == Packet.decode(
            keys_of(case).dearmor(relayed)
        )


@pytest.mark.parametrize("case", cases("packets.json", "crypt_field"))
def test_crypt_field(case: dict[str, Any]) -> None:
    before, after = bytes.fromhex(case["before"]), bytes.fromhex(case["after"])
    packet_id = bytes.fromhex(case["packet_id"])
    assert len(before) == case["length"]
    assert keys_of(case).crypt_field(before, packet_id) == after
    assert keys_of(case).crypt_field(after, packet_id) == before


# -- the packet and its payload -------------------------------------------------------------


@pytest.mark.parametrize("case", cases("packets.json", "packets"))
def test_header(case: dict[str, Any]) -> None:
    plaintext = bytes.fromhex(case["plaintext"])
    packet = Packet.decode(plaintext)
    assert packet == Packet(
        id=bytes.fromhex(case["packet_id"]),
        destination=address(case["to"]),
        source=address(case["from"]),
        verb=case["verb"],
        payload=plaintext[HEADER_BYTES:],
    )
    assert Verb(packet.verb).name == case["verb_name"]
    assert packet.encode() == plaintext


def check_hello(case: dict[str, Any], payload: bytes) -> None:
    fields = case["fields"]

    def crypt(field: bytes) -> bytes:
        return keys_of(case).crypt_field(field, bytes.fromhex(case["packet_id"]))

    hello = Hello(
        protocol=fields["protocol"],
        version=Version(fields["major"], fields["minor"], fields["revision"]),
        timestamp_ms=fields["timestamp"],
        identity=Identity.from_string(fields["identity"]),
        physical_destination=endpoint(fields.get("physical_destination")),
        planet=WorldHeld(int(fields.get("planet_id", "0"), 16), fields.get("planet_timestamp", 0)),
        moons=tuple(
            WorldHeld(int(moon["id"], 16), moon["timestamp"]) for moon in fields.get("moons", ())
        ),
    )
    assert Hello.decode(payload, crypt) == hello
    assert Hello.decode(payload, crypt, known=hello.identity).identity is hello.identity
    assert Hello.identity_of(payload) == hello.identity
    if "moons" in fields:
        assert hello.encode(crypt) == payload
        start = case["crypt_field_offset"]
        assert len(payload) == start - HEADER_BYTES + case["crypt_field_length"]
        in_the_clear = bytes.fromhex(case["plaintext_before_crypt_field"])
        assert hello.encode(lambda field: field) == in_the_clear[HEADER_BYTES:]
    else:  # old senders stop early
        assert hello.encode(crypt).startswith(payload)


def check_error(case: dict[str, Any], payload: bytes) -> None:
    fields = case["fields"]
    error = Error(
        fields["in_re_verb"],
        bytes.fromhex(fields["in_re_packet_id"]),
        fields["error_code"],
        bytes.fromhex(fields.get("network_id", "")),
    )
    assert Error.decode(payload) == error
    assert error.encode() == payload


def check_ok(case: dict[str, Any], payload: bytes) -> None:
    fields = case["fields"]
    ok = Ok.decode(payload)
    assert ok.verb == fields["in_re_verb"]
    assert ok.packet_id.hex() == fields["in_re_packet_id"]
    assert ok.encode() == payload
    match ok.verb:
        case Verb.HELLO:
            check_ok_hello(fields, ok.body)
        case Verb.WHOIS:
            identities = decode_identities(ok.body)
            assert [str(identity) for identity in identities] == fields["identities"]
            assert b"".join(identity.to_bytes() for identity in identities) == ok.body
        case Verb.ECHO:
            assert ok.body.hex() == fields["payload"]
        case Verb.MULTICAST_GATHER:
            found = OkMulticastGather(
                MulticastGroup(
                    int(fields["network_id"], 16), bytes.fromhex(fields["mac"]), fields["adi"]
                ),
                fields["total_known"],
                tuple(map(address, fields["members"])),
            )
            assert len(found.members) == fields["count"]
            assert OkMulticastGather.decode(ok.body) == found
            assert found.encode() == ok.body
        case _:
            pytest.fail(f"an OK for verb {ok.verb}, which this test does not know")


def check_ok_hello(fields: dict[str, Any], body: bytes) -> None:
    answer = OkHello.decode(body)
    assert answer.timestamp_ms == fields["timestamp_echo"]
    assert answer.protocol == fields["protocol"]
    assert answer.version == Version(fields["major"], fields["minor"], fields["revision"])
    assert answer.physical_source == endpoint(fields["physical_source"])
    assert not answer.broken
    if "worlds" not in fields:
        assert not answer.worlds
        assert answer.encode() == body + b"\0\0"
        return
    assert [
        {
            "type": world.type.name.lower(),
            "id": f"{world.id:016x}",
            "timestamp": world.timestamp_ms,
            "serialized": world.encode().hex(),
        }
        for world in answer.worlds
    ] == fields["worlds"]
    assert sum(len(world.encode()) for world in answer.worlds) == fields["world_bytes"]
    assert answer.encode() == body


def check_whois(case: dict[str, Any], payload: bytes) -> None:
    addresses = decode_addresses(payload)
    assert [format_address(each) for each in addresses] == case["fields"]["addresses"]
    assert encode_addresses(addresses) == payload


def check_rendezvous(case: dict[str, Any], payload: bytes) -> None:
    fields = case["fields"]
    introduction = Rendezvous(address(fields["with"]), endpoint(fields["endpoint"]))
    assert introduction.endpoint.port == fields["port"]
    assert len(introduction.endpoint.ip) == fields["address_length"]
    assert Rendezvous.decode(payload) == introduction
    assert introduction.encode() == payload


def check_echo(case: dict[str, Any], payload: bytes) -> None:
    assert payload.hex() == case["fields"]["payload"]


def check_multicast_like(case: dict[str, Any], payload: bytes) -> None:
    groups = tuple(
        MulticastGroup(int(group["network_id"], 16), bytes.fromhex(group["mac"]), group["adi"])
        for group in case["fields"]["groups"]
    )
    assert decode_multicast_like(payload) == (groups, False)
    assert encode_multicast_like(groups) == payload


def check_multicast_gather(case: dict[str, Any], payload: bytes) -> None:
    fields = case["fields"]
    group = MulticastGroup(
        int(fields["network_id"], 16), bytes.fromhex(fields["mac"]), fields["adi"]
    )
    ask = MulticastGather(group, fields["gather_limit"], fields["flags"])
    assert MulticastGather.decode(payload) == ask
    assert ask.encode() == payload


def check_nop(case: dict[str, Any], payload: bytes) -> None:
    assert payload == b""
    assert case["fields"] == {}


def check_push_direct_paths(case: dict[str, Any], payload: bytes) -> None:
    paths = PushDirectPaths(tuple(map(endpoint, case["fields"]["paths"])))
    assert PushDirectPaths.decode(payload) == paths
    assert paths.encode() == payload


def check_user_message(case: dict[str, Any], payload: bytes) -> None:
    message = UserMessage(int(case["fields"]["type_id"], 16), bytes.fromhex(case["fields"]["data"]))
    assert UserMessage.decode(payload) == message
    assert message.encode() == payload


CHECKS: dict[Verb, Callable[[dict[str, Any], bytes], None]] = {
    Verb.NOP: check_nop,
    Verb.HELLO: check_hello,
    Verb.ERROR: check_error,
    Verb.OK: check_ok,
    Verb.WHOIS: check_whois,
    Verb.RENDEZVOUS: check_rendezvous,
    Verb.ECHO: check_echo,
    Verb.MULTICAST_LIKE: check_multicast_like,
    Verb.MULTICAST_GATHER: check_multicast_gather,
    Verb.PUSH_DIRECT_PATHS: check_push_direct_paths,
    Verb.USER_MESSAGE: check_user_message,
}


@pytest.mark.parametrize("case", cases("packets.json", "packets"))
def test_payload(case: dict[str, Any]) -> None:
    CHECKS[Verb(case["verb"])](case, bytes.fromhex(case["plaintext"])[HEADER_BYTES:])


# -- compression ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("packets.json", "lz4"))
def test_lz4(case: dict[str, Any]) -> None:
    packet = Packet.decode(bytes.fromhex(case["plaintext"]))
    assert packet.verb == case["verb"]
    assert packet.compressed is case["compressed"]
    if case["before"] is not None:
        before = Packet.decode(bytes.fromhex(case["before"]))
        compressed = before.compress()
        assert compressed.compressed is case["compressed"]
        # Two versions of LZ4 may write other blocks for the same content.
        assert compressed.uncompress() == before
        assert len(compressed.payload) == len(packet.payload)
    if not case["uncompress"]:
        with pytest.raises(DecodeError, match=r"not an LZ4 block|expands to nothing"):
            packet.uncompress()
    else:
        after = bytes.fromhex(case["after_uncompress"] or case["plaintext"])
        assert packet.uncompress().encode() == after
    for suite, wire in suites_of(case):
        assert keys_of(case).armor(packet.encode(), suite) == wire
        opened = Packet.decode(keys_of(case).dearmor(wire))
        assert opened.compressed is case["compressed"]
        assert opened.payload == packet.payload


# -- fragments ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("packets.json", "fragments"))
def test_fragments(case: dict[str, Any]) -> None:
    keys = keys_of(case)
    plaintext = bytes.fromhex(case["plaintext"])
    assert len(plaintext) == case["length"]
    assert bool(plaintext[FLAGS_OFFSET] & FLAG_FRAGMENTED) is (case["total_fragments"] > 1)
    armored = keys.armor(plaintext, CipherSuite(case["suite"]))
    head, *rest = [bytes.fromhex(datagram) for datagram in case["datagrams"]]
    hops = head[FLAGS_OFFSET] & HOPS_MASK
    for number, datagram in enumerate(rest, start=1):
        fragment = Fragment.decode(datagram)
        assert fragment.encode() == datagram
        assert (fragment.total, fragment.number) == (case["total_fragments"], number)
        assert fragment.packet_id == head[:8]
        assert fragment.hops == hops
        assert fragment.destination == address(case["datagrams"][0][16:26])
    if case["mtu"] == DATAGRAM_BYTES and not hops:
        assert split(armored) == [head, *rest]

    assert case["dearmor_of_joined"]
    orders = list(permutations(range(len(rest) + 1)))
    for order in orders[:: max(1, len(orders) // 50)] if rest else ():
        reassembler = Reassembler()
        results = [
            reassembler.add(Fragment.decode(rest[number - 1]), 0)
            if number
            else reassembler.add_head(head, 0)
            for number in order
        ]
        assert results[:-1] == [None] * len(rest)
        whole = results[-1]
        assert whole is not None
        assert keys.dearmor(whole)[VERB_OFFSET:] == plaintext[VERB_OFFSET:]
        assert len(reassembler) == 0
