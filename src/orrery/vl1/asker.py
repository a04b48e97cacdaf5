"""Asks roots at their endpoints whether they are there, and which World they hold."""

from __future__ import annotations

from collections import OrderedDict

from orrery.vl1.events import Drop, PlaceAnswered
from orrery.vl1.node import Entropy, Node
from orrery.vl1.path import ANY_SOCKET, Path
from orrery.vl1.peer import NO_VERSION, Peer
from orrery.vl1.strangers import StrangerGate, StrangerLimits
from orrery.wire.address import Address
from orrery.wire.cipher import CipherSuite
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import Packet, Verb, encode_packet
from orrery.wire.verbs import PROTOCOL_VERSION, Hello, Ok, OkHello, WorldHeld

NOTHING = WorldHeld(0, 0)
_MOST_AWAITED = 512


class Asker(Node[Peer]):
    """Says HELLO to roots at one endpoint each, and takes an answer from there only.

    It wants an identity of its own, which no root knows as a node or as a root: whoever answers
    shows that strangers reach that root there.

    Args:
        identity: its own, with its secret.
        entropy: source of packet ids.
    """

    def __init__(self, identity: Identity, entropy: Entropy) -> None:
        super().__init__(identity, entropy)
        self._peers: dict[Address, Peer] = {}
        self._awaited: OrderedDict[bytes, Endpoint] = OrderedDict()
        self._strangers = StrangerGate(StrangerLimits(), 0)

    def ask(
        self, root: Identity, endpoint: Endpoint, now_ms: int, held: WorldHeld = NOTHING
    ) -> None:
        """Ask a root at an endpoint.

        Args:
            root: who is asked.
            endpoint: where.
            now_ms: the time.
            held: what to say that we hold; a root that holds a newer one of that id sends it.
        """
        peer = self._peers.get(root.address)
        if peer is None or peer.identity != root:
            peer = self._peers[root.address] = Peer(root, self.identity.agree(root))
        packet_id = self._random_bytes(8)
        hello = Hello(PROTOCOL_VERSION, NO_VERSION, now_ms, self._public, endpoint, held, ())
        payload = hello.encode(self._crypt(peer, packet_id))
        packet = encode_packet(packet_id, peer.address, self.address, Verb.HELLO, payload)
        way = Path(endpoint, ANY_SOCKET)
        self._datagrams.append((peer.keys.armor(packet, CipherSuite.POLY1305_NONE), way))
        self._awaited[packet_id] = endpoint
        if len(self._awaited) > _MOST_AWAITED:
            self._awaited.popitem(last=False)

    def _on_authentic(self, packet: Packet, peer: Peer, path: Path, now_ms: int) -> None:
        if packet.verb != Verb.OK:
            self._drop(Drop.UNWANTED, path)
            return
        ok = Ok.decode(packet.payload)
        if ok.verb != Verb.HELLO or self._awaited.pop(ok.packet_id, None) != path.endpoint:
            self._drop(Drop.UNEXPECTED, path)
            return
        worlds = OkHello.decode(ok.body).worlds
        self._note(PlaceAnswered(now_ms, peer.identity, path.endpoint, worlds))

    def _peer(self, address: Address) -> Peer | None:
        return self._peers.get(address)

    def _gate(self, now_ms: int) -> StrangerGate:
        return self._strangers

    def _admit(self, identity: Identity, agreement: bytes, now_ms: int) -> None:
        """Nobody becomes known by asking us."""

    def _relay(
        self, datagram: bytes, source: Address | None, destination: Address, path: Path, now_ms: int
    ) -> None:
        self._drop(Drop.UNREACHABLE, path)

    def _on_stranger(self, datagram: bytes, source: Address, path: Path, now_ms: int) -> None:
        self._drop(Drop.UNKNOWN_SENDER, path)

    def _on_hello(self, packet: Packet, peer: Peer, path: Path, now_ms: int) -> None:
        # A root that would know us asks back; we are no node that it should know.
        self._drop(Drop.UNWANTED, path)

    def _on_unknown_sender(self, datagram: bytes, source: Address, path: Path, now_ms: int) -> None:
        self._drop(Drop.UNKNOWN_SENDER, path)
