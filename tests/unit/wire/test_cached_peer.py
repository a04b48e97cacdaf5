"""Files of `peers.d`."""

import pytest

from orrery.errors import DecodeError
from orrery.wire.cached_peer import MAX_CACHED_PEER_BYTES, CachedPeer
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import Version
from tests.unit.store.making import identity

# Written by zerotier-one 1.14.1 as a root that knew one leaf was stopped.
WRITTEN = bytes.fromhex(
    "020c0727b26d00fe27dbcfed194b0753e8b7dc0530f3564e3d492fa9f26eb3e2f87188cb055163eaf1fe8fc95e99"
    "e31eacbe680d1332a1eab1648340ba35c87b578cae52b9973300000c0001000e00010001040a4d02012709"
)
LEAF = (
    "0c0727b26d:0:fe27dbcfed194b0753e8b7dc0530f3564e3d492fa9f26eb3e2f87188cb055163eaf1fe8fc95e99e3"
    "1eacbe680d1332a1eab1648340ba35c87b578cae52b99733"
)
PLACES = tuple(map(Endpoint.from_text, ("203.0.113.7/9993", "[2001:db8::7]:29994")))


def test_what_a_real_node_has_written() -> None:
    peer = CachedPeer.decode(WRITTEN)
    assert str(peer.identity) == LEAF
    peer.identity.validate()
    assert (peer.protocol, peer.version) == (12, Version(1, 14, 1))
    assert peer.endpoints == (Endpoint.from_text("10.77.2.1/9993"),)
    assert peer.encode() == WRITTEN


@pytest.mark.parametrize("places", [(), PLACES[:1], PLACES, PLACES * 32])
def test_what_is_written_is_read(places: tuple[Endpoint, ...]) -> None:
    peer = CachedPeer(identity(3).public(), 13, Version(1, 16, 0), places)
    assert CachedPeer.decode(peer.encode()) == peer
    assert CachedPeer.decode(peer.encode() + b"more") == peer
    assert len(peer.encode()) <= MAX_CACHED_PEER_BYTES
    reader = Reader(peer.encode() * 2)
    assert [CachedPeer.read(reader), CachedPeer.read(reader)] == [peer, peer]
    assert reader.remaining == 0


def test_endpoints_that_are_none_are_left_out() -> None:
    ethernet = b"\x01" + bytes(6)
    places = b"\0" + ethernet + PLACES[0].encode()
    written = WRITTEN[:80] + (3).to_bytes(2) + places
    assert CachedPeer.decode(written).endpoints == PLACES[:1]


def test_a_secret_does_not_go_on() -> None:
    secret = identity(3)
    written = b"\x02" + secret.to_bytes(secret=True) + bytes(10)
    assert CachedPeer.decode(written).identity == Identity(secret.address, secret.public_key)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "end"),
        (b"\x01" + WRITTEN[1:], "form 1"),
        *((WRITTEN[:size], "end") for size in (1, 40, 72, 79, 81, 85, len(WRITTEN) - 1)),
        (WRITTEN[:80] + b"\xff\xff", "65535 endpoints"),
        (WRITTEN[:80] + b"\x00\x01\x07", "unknown type 7"),
        (WRITTEN[:80] + b"\x00\x01\x01\x00", "in the middle of an endpoint"),
    ],
)
def test_what_is_none(data: bytes, told: str) -> None:
    with pytest.raises(DecodeError, match=told):
        CachedPeer.decode(data)
