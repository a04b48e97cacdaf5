"""What a root and a leaf have in common: packets in and out, for one identity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from orrery.errors import DecodeError, VerifyError
from orrery.vl1.events import Drop, Event, Output, PacketDropped, Proof
from orrery.vl1.fragments import Reassembler
from orrery.vl1.path import Path
from orrery.vl1.peer import Peer
from orrery.vl1.strangers import Stranger, StrangerGate
from orrery.wire.address import Address, is_reserved
from orrery.wire.cipher import CipherSuite, SharedKeys, packet_cipher
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import (
    FLAG_FRAGMENTED,
    FLAGS_OFFSET,
    FRAGMENT_HEADER_BYTES,
    FRAGMENT_INDICATOR,
    FRAGMENT_INDICATOR_OFFSET,
    HEADER_BYTES,
    MAX_PACKET_BYTES,
    VERB_MASK,
    VERB_OFFSET,
    ErrorCode,
    Fragment,
    Packet,
    Verb,
    encode_packet,
    header_destination,
    header_source,
    is_fragmented_size,
    split,
)
from orrery.wire.verbs import (
    MINIMUM_PROTOCOL_VERSION,
    PROTOCOL_VERSION,
    SOFTWARE_VERSION,
    Error,
    Hello,
    WorldHeld,
)

Entropy = Callable[[int], bytes]
"""Gives so many unpredictable bytes; `os.urandom` in production, a seeded source in tests."""
_ENTROPY_BATCH_BYTES = 4096


PeerT = TypeVar("PeerT", bound=Peer)
"""What a kind of node remembers of the others."""


class Node(ABC, Generic[PeerT]):
    """One identity on VL1: `receive` and `tick` in, `drain` out.

    Nothing here reads a clock or a socket: `now_ms` is an argument of every call, and what is to
    be sent is collected until `drain`. Whatever a stranger sends becomes a `PacketDropped`; no
    exception leaves `receive` on account of a datagram.
    """

    __slots__ = (
        "_datagrams",
        "_entropy",
        "_events",
        "_proofs",
        "_public",
        "_random",
        "_random_offset",
        "_reassembler",
        "address",
        "identity",
    )

    def __init__(self, identity: Identity, entropy: Entropy) -> None:
        if identity.private_key is None:
            raise ValueError("a node needs its secret identity")
        self.identity = identity
        self.address: Address = identity.address
        self._public = identity.public()
        self._entropy = entropy
        self._random = b""
        self._random_offset = 0
        self._reassembler = Reassembler()
        self._datagrams: list[tuple[bytes, Path]] = []
        self._events: list[Event] = []
        self._proofs: list[Proof] = []

    # -- in ---------------------------------------------------------------------------------

    def receive(self, datagram: bytes, path: Path, now_ms: int) -> None:
        """Take one datagram from the network."""
        try:
            self._on_datagram(datagram, path, now_ms)
        except DecodeError:
            self._drop(Drop.MALFORMED, path)

    def proof_done(self, identity: Identity, proven: bool, now_ms: int) -> None:
        """Take the result of a `Proof`; a proven stranger's HELLO is answered."""
        stranger = self._gate(now_ms).settle(identity, proven=proven, now_ms=now_ms)
        if stranger is None:
            return
        if not proven:
            self._drop(Drop.NO_PROOF, stranger.path)
            return
        if self._peer(identity.address) is None:
            self._admit(identity, stranger.agreement, now_ms)
        self.receive(stranger.datagram, stranger.path, now_ms)

    def drain(self) -> Output:
        """Everything to send, report and work out since the last call."""
        output = Output(self._datagrams, self._events, self._proofs)
        self._datagrams, self._events, self._proofs = [], [], []
        return output

    def _on_datagram(self, datagram: bytes, path: Path, now_ms: int) -> None:
        size = len(datagram)
        if size <= FRAGMENT_HEADER_BYTES:
            self._drop(Drop.TOO_SHORT, path)
            return
        if size > MAX_PACKET_BYTES:
            self._drop(Drop.MALFORMED, path)
            return
        destination = header_destination(datagram)
        if datagram[FRAGMENT_INDICATOR_OFFSET] == FRAGMENT_INDICATOR:
            if destination != self.address:
                self._relay(datagram, None, destination, path, now_ms)
                return
            whole = self._reassembler.add(Fragment.decode(datagram), now_ms)
            if whole is not None:
                self._on_packet(whole, path, now_ms)
            return
        if size < HEADER_BYTES:
            self._drop(Drop.TOO_SHORT, path)
            return
        source = header_source(datagram)
        if source in (self.address, destination) or is_reserved(source):
            self._drop(Drop.RESERVED, path)
        elif destination != self.address:
            self._relay(datagram, source, destination, path, now_ms)
        elif datagram[FLAGS_OFFSET] & FLAG_FRAGMENTED:
            whole = self._reassembler.add_head(datagram, now_ms)
            if whole is not None:
                self._on_packet(whole, path, now_ms)
        else:
            self._on_packet(datagram, path, now_ms)

    def _on_packet(self, datagram: bytes, path: Path, now_ms: int) -> None:
        if len(datagram) > MAX_PACKET_BYTES:
            self._drop(Drop.MALFORMED, path)
            return
        if (
            datagram[VERB_OFFSET] & VERB_MASK == Verb.HELLO
            and packet_cipher(datagram) == CipherSuite.POLY1305_NONE
        ):
            self._on_clear_hello(datagram, path, now_ms)
            return
        source = header_source(datagram)
        peer = self._peer(source)
        if peer is None:
            self._on_unknown_sender(datagram, source, path, now_ms)
            return
        try:
            packet = Packet.decode(peer.keys.dearmor(datagram)).uncompress()
        except VerifyError:
            self._drop(Drop.WRONG_MAC, path)
            return
        self._on_authentic(packet, peer, path, now_ms)

    # -- HELLO under cipher 0, from friends and strangers ---------------------------------------

    def _on_clear_hello(self, datagram: bytes, path: Path, now_ms: int) -> None:
        source = header_source(datagram)
        if len(datagram) == HEADER_BYTES:
            self._drop(Drop.MALFORMED, path)
            return
        if datagram[HEADER_BYTES] < MINIMUM_PROTOCOL_VERSION:
            self._drop(Drop.OLD_PROTOCOL, path)
            return
        peer = self._peer(source)
        if peer is None:
            self._on_stranger(datagram, source, path, now_ms)
            return
        try:
            packet = Packet.decode(peer.keys.dearmor(datagram))
        except VerifyError:
            self._on_wrong_mac(datagram, peer, path, now_ms)
            return
        self._on_hello(packet, peer, path, now_ms)

    def _on_stranger(self, datagram: bytes, source: Address, path: Path, now_ms: int) -> None:
        identity = Hello.identity_of(datagram[HEADER_BYTES:])
        if identity.address != source:
            self._drop(Drop.WRONG_ADDRESS, path)
            return
        agreement = self._checked_agreement(identity, datagram, path, now_ms)
        if agreement is None:
            return
        if self._gate(now_ms).admit(Stranger(identity, agreement, datagram, path), now_ms):
            self._proofs.append(Proof(identity))
        else:
            self._drop(Drop.RATE, path)

    def _on_wrong_mac(self, datagram: bytes, peer: PeerT, path: Path, now_ms: int) -> None:
        """Tell an honest node that its address is taken; drop everything else."""
        identity = Hello.identity_of(datagram[HEADER_BYTES:])
        if identity.address != peer.address or identity == peer.identity:
            self._drop(Drop.WRONG_MAC, path)
            return
        agreement = self._checked_agreement(identity, datagram, path, now_ms)
        if agreement is None:
            return
        error = Error(Verb.HELLO, datagram[:8], ErrorCode.IDENTITY_COLLISION)
        self._send(Peer(identity, agreement), Verb.ERROR, error.encode(), path)
        self._drop(Drop.COLLISION, path)

    def _checked_agreement(
        self, identity: Identity, datagram: bytes, path: Path, now_ms: int
    ) -> bytes | None:
        """The agreement with somebody whose HELLO has the right MAC, as far as there is time."""
        if not self._gate(now_ms).may_agree(now_ms):
            self._drop(Drop.RATE, path)
            return None
        try:
            agreement = self.identity.agree(identity)
            SharedKeys(agreement).dearmor(datagram)
        except VerifyError:
            self._drop(Drop.WRONG_MAC, path)
            return None
        return agreement

    # -- what a root and a leaf do each in their own way ---------------------------------------

    @abstractmethod
    def _peer(self, address: Address) -> PeerT | None:
        """The node of this address, if it is known."""

    @abstractmethod
    def _relay(
        self, datagram: bytes, source: Address | None, destination: Address, path: Path, now_ms: int
    ) -> None:
        """A packet or fragment (which has no source) for somebody else."""

    @abstractmethod
    def _gate(self, now_ms: int) -> StrangerGate:
        """Decides about strangers."""

    @abstractmethod
    def _admit(self, identity: Identity, agreement: bytes, now_ms: int) -> None:
        """Remember a stranger whose proof of work holds."""

    @abstractmethod
    def _on_hello(self, packet: Packet, peer: PeerT, path: Path, now_ms: int) -> None:
        """A HELLO whose MAC fits."""

    @abstractmethod
    def _on_unknown_sender(self, datagram: bytes, source: Address, path: Path, now_ms: int) -> None:
        """A packet that cannot be checked, for lack of its sender's identity."""

    @abstractmethod
    def _on_authentic(self, packet: Packet, peer: PeerT, path: Path, now_ms: int) -> None:
        """A packet whose MAC fits, in the clear."""

    # -- out --------------------------------------------------------------------------------

    def _note(self, event: Event) -> None:
        self._events.append(event)

    def _drop(self, reason: Drop, path: Path) -> None:
        self._events.append(PacketDropped(reason, path))

    def _random_bytes(self, size: int) -> bytes:
        """Entropy for packet ids, fetched in batches: a call per packet costs more than its use."""
        end = self._random_offset + size
        if end > len(self._random):
            self._random = self._entropy(max(size, _ENTROPY_BATCH_BYTES))
            self._random_offset, end = 0, size
        taken = self._random[self._random_offset : end]
        self._random_offset = end
        return taken

    def _armored(
        self, peer: Peer, verb: Verb, payload: bytes, suite: CipherSuite | None = None
    ) -> bytes:
        packet = encode_packet(self._random_bytes(8), peer.address, self.address, verb, payload)
        if is_fragmented_size(len(packet)):
            flagged = bytearray(packet)
            flagged[FLAGS_OFFSET] |= FLAG_FRAGMENTED
            packet = bytes(flagged)
        return peer.keys.armor(packet, peer.suite if suite is None else suite)

    def _send(self, peer: Peer, verb: Verb, payload: bytes, path: Path) -> bytes:
        """Armor a packet and send it; returns its id on the wire."""
        armored = self._armored(peer, verb, payload)
        for datagram in split(armored):
            self._datagrams.append((datagram, path))
        return armored[:8]

    def _send_hello(
        self,
        peer: Peer,
        path: Path,
        now_ms: int,
        planet: WorldHeld,
        moons: tuple[WorldHeld, ...] = (),
    ) -> bytes:
        """Say HELLO and expect an answer; returns the packet id."""
        packet_id = self._random_bytes(8)
        hello = Hello(
            PROTOCOL_VERSION,
            SOFTWARE_VERSION,
            now_ms,
            self._public,
            path.endpoint,
            planet,
            moons,
        )
        payload = hello.encode(lambda field: peer.keys.crypt_field(field, packet_id))
        packet = encode_packet(packet_id, peer.address, self.address, Verb.HELLO, payload)
        self._datagrams.append((peer.keys.armor(packet, CipherSuite.POLY1305_NONE), path))
        peer.expect_answer(packet_id)
        return packet_id

    def _crypt(self, peer: Peer, packet_id: bytes) -> Callable[[bytes], bytes]:
        return lambda field: peer.keys.crypt_field(field, packet_id)


def endpoint_for_protocol(endpoint: Endpoint, protocol: int) -> Endpoint:
    """The endpoint that OK(HELLO) tells: nodes before protocol 5 must not see a port."""
    return endpoint if protocol >= 5 else Endpoint(endpoint.ip, 0)
