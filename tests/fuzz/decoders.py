"""Every decoder with something for it to read, and what must hold when it has read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from orrery.errors import DecodeError, UsageError, VerifyError
from orrery.wire.address import format_address, parse_address
from orrery.wire.cached_peer import CachedPeer
from orrery.wire.cipher import SharedKeys
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import Fragment, Packet
from orrery.wire.signature import SigningKey
from orrery.wire.verbs import (
    Error,
    Hello,
    MulticastGather,
    Ok,
    OkHello,
    OkMulticastGather,
    PushDirectPaths,
    Rendezvous,
    UserMessage,
    Version,
    decode_addresses,
    decode_identities,
    decode_multicast_like,
    encode_addresses,
    encode_multicast_like,
)
from orrery.wire.world import World
from orrery.worlds import formats
from orrery.worlds.acceptance import check_update
from orrery.worlds.diff import compare
from orrery.worlds.pitfalls import warnings
from tests.fuzz.mutation import Mutator
from tests.vectors.loading import load

Check = Callable[[bytes], None]
"""Reads bytes; DecodeError (and VerifyError, where it verifies) may leave it, nothing else."""


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder.

    Attributes:
        name: what it reads.
        check: reads it, and asserts what must hold.
        corpus: what it reads without an error.
        weight: how often it is chosen.
    """

    name: str
    check: Check
    corpus: tuple[bytes, ...]
    weight: int = 2


def _fix_point(decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]) -> Check:
    """What was read is written, read again as the same, and written as the same."""

    def check(data: bytes) -> None:
        value = decode(data)
        written = encode(value)
        again = decode(written)
        assert again == value
        assert encode(again) == written

    return check


def _unmangled(field: bytes) -> bytes:
    return field


def _decode_hello(data: bytes) -> Hello:
    return Hello.decode(data, _unmangled)


def _read_worlds(data: bytes) -> list[World]:
    reader = Reader(data)
    worlds = []
    while reader.remaining:
        worlds.append(World.read(reader))
    return worlds


def _check_ok_hello(data: bytes) -> None:
    answer = OkHello.decode(data)
    again = OkHello.decode(answer.encode())
    assert again.worlds == answer.worlds
    assert again.encode() == answer.encode()


def _check_world(data: bytes) -> None:
    world = World.decode(data)
    written = world.encode()
    assert World.decode(written) == world
    assert World.decode(written).encode() == written
    assert len(world.signed_bytes()) == len(written) - len(world.dictionary) - 96 + 16


def _check_meaning_of_world(data: bytes) -> None:
    """Whatever can be read can be judged and described."""
    world = World.decode(data)
    reference = World.decode(_worlds()[0])
    assert all(pitfall.sentence for pitfall in warnings(world, 0, check_proof=False))
    assert isinstance(compare(reference, world).in_words(), tuple)
    assert compare(world, world).is_empty
    check_update(reference, world)
    world.verify(reference.updates_must_be_signed_by)


def _check_chain_of_worlds(data: bytes) -> None:
    for world in _read_worlds(data):
        _check_world(world.encode())


def _check_packet(data: bytes) -> None:
    packet = Packet.decode(data)
    assert Packet.decode(packet.encode()) == packet
    opened = packet.uncompress()
    assert opened.compress().uncompress() == opened


def _check_armored(data: bytes) -> None:
    keys = SharedKeys(bytes(range(48)))
    if len(data) >= 28:
        keys.dearmor(data)
        raise AssertionError("a packet under another key was opened")
    raise DecodeError("too short to be given to a cipher")


def _check_identity(data: bytes) -> None:
    identity = Identity.from_bytes(data)
    secret = identity.private_key is not None
    written = identity.to_bytes(secret=secret)
    assert Identity.from_bytes(written).to_bytes(secret=secret) == written == data[: len(written)]


def _check_identity_text(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    as_node = Identity.parse_as_node(text)
    assert Identity.parse_as_node(str(as_node)) == as_node
    identity = Identity.from_string(text)
    assert Identity.from_string(str(identity)) == identity == as_node


def _check_endpoint(data: bytes) -> None:
    endpoint = Endpoint.read(Reader(data))
    assert Endpoint.read(Reader(endpoint.encode())) == endpoint
    assert endpoint.scope
    assert Endpoint.parse_as_node(str(endpoint)) == endpoint


def _check_endpoint_text(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    as_node = Endpoint.parse_as_node(text)
    assert Endpoint.read(Reader(as_node.encode())) == as_node
    endpoint = Endpoint.from_text(text)
    assert Endpoint.from_text(str(endpoint)) == endpoint


def _check_address(data: bytes) -> None:
    address = parse_address(data.decode("latin-1"))
    assert parse_address(format_address(address)) == address


def _check_signing_key(data: bytes) -> None:
    key = SigningKey.decode(data)
    assert SigningKey.decode(key.encode()) == key


def _check_file(data: bytes) -> None:
    """A World in whatever format it is in; it is written in each that can say the same."""
    document = formats.read(data)
    for known in formats.FORMATS:
        try:
            written = formats.write(document, known.name)
        except UsageError:
            continue
        formats.read(written)


def _check_file_loosely(data: bytes) -> None:
    formats.read(data, loose=True)


@cache
def _worlds() -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(case["serialized"]) for case in load("worlds.json")["worlds"])


@cache
def _payloads(verb_name: str) -> tuple[bytes, ...]:
    """What follows the verb byte in the recorded packets, HELLO with its moons in the clear."""
    return tuple(
        bytes.fromhex(case.get("plaintext_before_crypt_field", case["plaintext"]))[28:]
        for case in load("packets.json")["packets"]
        if case["verb_name"] == verb_name
    )


def _bodies(verb: int) -> tuple[bytes, ...]:
    return tuple(payload[9:] for payload in _payloads("OK") if payload[0] == verb)


def _files() -> tuple[bytes, ...]:
    """Worlds in all formats."""
    files = []
    for world in _worlds()[:6]:
        document = formats.read(world)
        for known in formats.FORMATS:
            try:
                files.append(formats.write(document, known.name))
            except UsageError:
                continue
    return tuple(files)


@cache
def _cached_peers() -> tuple[bytes, ...]:
    """As a zerotier-one writes them, with a few paths and without."""
    places = tuple(map(Endpoint.from_text, ("203.0.113.7/9993", "2001:db8::7/29994")))
    return tuple(
        CachedPeer(Identity.from_string(case["public"]), 13, Version(1, 14, 1), where).encode()
        for case in load("identities.json")["valid"][:3]
        for where in (places, places[1:], ())
    )


def targets() -> tuple[Target, ...]:
    """All decoders."""
    worlds = _worlds()
    plain = tuple(bytes.fromhex(case["plaintext"]) for case in load("packets.json")["packets"])
    armored = tuple(
        bytes.fromhex(wire)
        for case in load("packets.json")["packets"]
        for wire in case["wire"].values()
    )
    compressed = tuple(bytes.fromhex(case["plaintext"]) for case in load("packets.json")["lz4"])
    rests = tuple(
        bytes.fromhex(datagram)
        for case in load("packets.json")["fragments"]
        for datagram in case["datagrams"][1:]
    )
    identities = [case["secret"] for case in load("identities.json")["valid"]]
    endpoints = tuple(case["text"].encode() for case in load("inetaddress.json")["text"])
    key = SigningKey.generate(Random(1).randbytes).encode()
    return (
        Target("packet", _check_packet, plain + compressed, 4),
        Target("armored packet", _check_armored, armored, 4),
        Target("fragment", _fix_point(Fragment.decode, Fragment.encode), rests),
        Target(
            "hello",
            _fix_point(_decode_hello, lambda hello: hello.encode(_unmangled)),
            _payloads("HELLO"),
            4,
        ),
        Target("ok", _fix_point(Ok.decode, Ok.encode), _payloads("OK")),
        Target("ok-hello", _check_ok_hello, _bodies(1), 4),
        Target("error", _fix_point(Error.decode, Error.encode), _payloads("ERROR")),
        Target("whois", _fix_point(decode_addresses, encode_addresses), _payloads("WHOIS"), 1),
        Target(
            "ok-whois",
            _fix_point(decode_identities, lambda found: b"".join(one.to_bytes() for one in found)),
            _bodies(4),
        ),
        Target(
            "rendezvous", _fix_point(Rendezvous.decode, Rendezvous.encode), _payloads("RENDEZVOUS")
        ),
        Target(
            "multicast-like",
            _fix_point(
                lambda data: decode_multicast_like(data)[0],
                encode_multicast_like,
            ),
            _payloads("MULTICAST_LIKE"),
            1,
        ),
        Target(
            "multicast-gather",
            _fix_point(MulticastGather.decode, MulticastGather.encode),
            _payloads("MULTICAST_GATHER"),
        ),
        Target(
            "ok-multicast-gather",
            _fix_point(OkMulticastGather.decode, OkMulticastGather.encode),
            _bodies(13),
        ),
        Target(
            "push-direct-paths",
            _fix_point(PushDirectPaths.decode, PushDirectPaths.encode),
            _payloads("PUSH_DIRECT_PATHS"),
        ),
        Target(
            "user-message",
            _fix_point(UserMessage.decode, UserMessage.encode),
            _payloads("USER_MESSAGE"),
            1,
        ),
        Target("world", _check_world, worlds, 10),
        Target("meaning of a world", _check_meaning_of_world, worlds, 2),
        Target("worlds", _check_chain_of_worlds, (b"".join(worlds[:4]), worlds[0] * 3), 2),
        Target(
            "identity",
            _check_identity,
            tuple(Identity.from_string(text).to_bytes(secret=True) for text in identities),
        ),
        Target("identity text", _check_identity_text, tuple(text.encode() for text in identities)),
        Target(
            "endpoint",
            _check_endpoint,
            tuple(Endpoint.parse_as_node(text.decode()).encode() for text in endpoints[:20]),
        ),
        Target("cached peer", _fix_point(CachedPeer.decode, CachedPeer.encode), _cached_peers()),
        Target("endpoint text", _check_endpoint_text, endpoints),
        Target("address", _check_address, (b"8056c2e21c", b" 00FFee1234\n"), 1),
        Target("signing key", _check_signing_key, (key,), 1),
        Target("file", _check_file, _files(), 1),
        Target("file, loosely", _check_file_loosely, _files(), 1),
    )


class DecoderFuzz:
    """Gives spoilt bytes to decoders that are chosen by chance."""

    def __init__(self, seed: int | str, chosen: Sequence[Target] | None = None) -> None:
        self._random = Random(seed)
        self._mutator = Mutator(self._random)
        self._targets = list(chosen or targets())
        self._weights = [target.weight for target in self._targets]
        self.outcomes: Counter[str] = Counter()

    def run(self, cases: int) -> None:
        """So many cases; what a decoder must not do is an AssertionError with the bytes in it."""
        for target in self._random.choices(self._targets, self._weights, k=cases):
            if self._random.random() < 0.02:
                data = self._mutator.noise()
            else:
                data = self._mutator.mutate(self._random.choice(target.corpus), target.corpus)
            try:
                target.check(data)
            except DecodeError:
                outcome = "DecodeError"
            except VerifyError:
                outcome = "VerifyError"
            except Exception as error:
                raise AssertionError(f"{target.name} given {data.hex()}") from error
            else:
                outcome = "read"
            self.outcomes[f"{target.name}: {outcome}"] += 1
