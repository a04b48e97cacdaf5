"""What passes the network card of a host, and what it says to whoever has a root's secret.

with Capture(root.host) as capture:
    ...
for packet in capture.packets(root.identity, [leaf_identity]):
    print(packet.at_ms, packet.sender, packet.name)
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from orrery.errors import VerifyError
from orrery.vl1.fragments import Reassembler
from orrery.wire.address import format_address
from orrery.wire.cipher import SharedKeys
from orrery.wire.packet import (
    FLAG_FRAGMENTED,
    FLAGS_OFFSET,
    FRAGMENT_INDICATOR,
    FRAGMENT_INDICATOR_OFFSET,
    HEADER_BYTES,
    Fragment,
    Packet,
    Verb,
    header_destination,
    header_source,
)
from orrery.wire.verbs import Hello, Ok, OkHello, Rendezvous

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from orrery.wire.identity import Identity
    from tests.interop.lab import Host

_ETH_P_IP = 0x0800
_ETH_P_IPV6 = 0x86DD
_ETH_P_ALL = 0x0003
_UDP = 17
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 16 << 20


class Datagram(NamedTuple):
    """One UDP datagram; times are milliseconds since 1970, taken by the kernel."""

    at_ms: float
    source: str
    destination: str
    data: bytes


class Seen(NamedTuple):
    """One VL1 packet, joined from its fragments.

    Attributes:
        at_ms: When its last datagram passed.
        source: IP address and port that it came from.
        destination: IP address and port that it went to.
        sender: ZeroTier address of the node that made it.
        receiver: ZeroTier address of the node that it is for.
        packet: In the clear; None when it is not between the root and a node that was named.
        size_bytes: Its length.
        keys: Opens the tail of a HELLO.
    """

    at_ms: float
    source: str
    destination: str
    sender: str
    receiver: str
    packet: Packet | None
    size_bytes: int
    keys: SharedKeys | None

    @property
    def name(self) -> str:
        """`HELLO`, `OK(WHOIS)` and so on; `other` for what could not be opened."""
        if self.packet is None:
            return "other"
        verb = Verb(self.packet.verb)
        return f"OK({Verb(self.ok.verb).name})" if verb is Verb.OK else verb.name

    @property
    def ok(self) -> Ok:
        """What an OK says."""
        assert self.packet is not None
        return Ok.decode(self.packet.payload)

    @property
    def ok_hello(self) -> OkHello:
        """What an OK(HELLO) says."""
        return OkHello.decode(self.ok.body)

    @property
    def rendezvous(self) -> Rendezvous:
        """What a RENDEZVOUS says."""
        assert self.packet is not None
        return Rendezvous.decode(self.packet.payload)

    @property
    def hello(self) -> Hello:
        """What a HELLO says, moons included."""
        packet, keys = self.packet, self.keys
        assert packet is not None
        assert keys is not None
        return Hello.decode(packet.payload, lambda field: keys.crypt_field(field, packet.id))


class Capture:
    """Takes note of every UDP datagram that passes a host's card, both ways.

    Args:
        host: Whose card.
    """

    def __init__(self, host: Host) -> None:
        self._datagrams: list[Datagram] = []
        self._socket = host.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        # Nothing is read before it is asked for: the kernel keeps it, with the times.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind(("eth0", _ETH_P_ALL))
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._read()
        self._socket.close()

    @property
    def datagrams(self) -> list[Datagram]:
        """All until now."""
        if self._socket.fileno() >= 0:
            self._read()
        return self._datagrams

    def packets(self, root: Identity, nodes: Iterable[Identity]) -> list[Seen]:
        """All VL1 packets until now, those between the root and the nodes in the clear.

        Args:
            root: Its identity, with its secret.
            nodes: Public identities.
        """
        keys = {node.address: SharedKeys(root.agree(node)) for node in nodes}
        reassembler = Reassembler()
        seen = []
        for datagram in self.datagrams:
            data: bytes | None = datagram.data
            assert data is not None
            now_ms = int(datagram.at_ms)
            if len(data) < HEADER_BYTES:
                continue
            if data[FRAGMENT_INDICATOR_OFFSET] == FRAGMENT_INDICATOR:
                data = reassembler.add(Fragment.decode(data), now_ms)
            elif data[FLAGS_OFFSET] & FLAG_FRAGMENTED:
                data = reassembler.add_head(data, now_ms)
            if data is None:
                continue
            sender, receiver = header_source(data), header_destination(data)
            packet = None
            used = keys.get(receiver if sender == root.address else sender)
            if used is not None and root.address in (sender, receiver):
                with suppress(VerifyError):
                    packet = Packet.decode(used.dearmor(data)).uncompress()
            seen.append(
                Seen(
                    datagram.at_ms,
                    datagram.source,
                    datagram.destination,
                    format_address(sender),
                    format_address(receiver),
                    packet,
                    len(data),
                    used,
                )
            )
        return seen

    def _read(self) -> None:
        while True:
            try:
                data, ancillary, _, address = self._socket.recvmsg(65_535, 128)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("@ll", ancillary[0][2])
            at_ms = seconds * 1e3 + nanoseconds / 1e6
            datagram = _udp_in(data, address[1], at_ms)
            if datagram is not None:
                self._datagrams.append(datagram)


def _udp_in(data: bytes, protocol: int, at_ms: float) -> Datagram | None:
    if protocol == _ETH_P_IP and data[9] == _UDP:
        family, addresses, start = socket.AF_INET, data[12:20], 4 * (data[0] & 0x0F)
    elif protocol == _ETH_P_IPV6 and data[6] == _UDP:
        family, addresses, start = socket.AF_INET6, data[8:40], 40
    else:
        return None
    ports = struct.unpack_from(">HH", data, start)
    half = len(addresses) // 2
    source, destination = (
        f"{socket.inet_ntop(family, ip)}/{port}"
        for ip, port in zip((addresses[:half], addresses[half:]), ports, strict=True)
    )
    (length,) = struct.unpack_from(">H", data, start + 4)
    return Datagram(at_ms, source, destination, data[start + 8 : start + length])
