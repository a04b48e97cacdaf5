"""UDP sockets for a root: many datagrams a wake-up, answers from the address that was asked.

A server that listens on 0.0.0.0 of a machine with several addresses must answer from the address
that a datagram came to, or the answer does not pass the node's NAT. So sockets on a wildcard
address take note of it (IP_PKTINFO) and a `Path` names socket and local address in one number.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orrery.errors import ConflictError, UsageError
from orrery.vl1.path import ANY_SOCKET, Path
from orrery.wire.endpoint import Endpoint

RECEIVE_BUFFER_BYTES = 4 << 20
_BATCH = 128
_DATAGRAM_BYTES = 65_535
_ANCILLARY_BYTES = 128
_PATHS = 65_536
_WAYS = 4_096
_IP_PKTINFO: int | None = getattr(socket, "IP_PKTINFO", 8 if sys.platform == "linux" else None)
_SO_RCVBUFFORCE = 33

_Address = tuple[str, int] | tuple[str, int, int, int]
_Ancillary = list[tuple[int, int, bytes]]


@dataclass(frozen=True, slots=True)
class _Way:
    """One of our sockets with the local address to send from, empty where it has only one.

    `endpoint` is where it receives, as far as that is known.
    """

    socket: socket.socket
    ancillary: _Ancillary
    endpoint: Endpoint


class UdpSockets:
    """The sockets of one root.

    Args:
        listen: where to bind; port 0 takes any. `[::]` beside others is left out on a machine
            without IPv6.
        on_datagram: called with each datagram and its path.
        on_batch: called after the datagrams of one wake-up.

    Raises:
        ConflictError: another program is bound there.
        UsageError: an address cannot be bound for another reason, or is there twice.
    """

    def __init__(
        self,
        listen: Iterable[Endpoint],
        on_datagram: Callable[[bytes, Path], None],
        on_batch: Callable[[], None],
    ) -> None:
        self._on_datagram = on_datagram
        self._on_batch = on_batch
        self._ways: list[_Way] = []
        self._way_numbers: dict[tuple[socket.socket, bytes], int] = {}
        self._paths: dict[tuple[_Address, int], Path] = {}
        self._targets: dict[Path, tuple[_Way, _Address]] = {}
        self._sockets: list[socket.socket] = []
        self.receive_errors = 0
        self.send_errors = 0
        try:
            wanted = list(listen)
            for endpoint in wanted:
                if len(wanted) == 1 or not _is_missing_family(endpoint):
                    self._check_apart(endpoint)
                    self._sockets.append(_bind(endpoint))
        except BaseException:
            self.close()
            raise
        self._wildcards = frozenset(filter(_is_wildcard, self._sockets))
        for bound in self._sockets:
            self._way_number(bound, b"")

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """For an event loop to watch; `receive` reads one that is readable."""
        return tuple(self._sockets)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where the sockets are bound, with the ports that they got."""
        return tuple(_endpoint(bound.getsockname()) for bound in self._sockets)

    def close(self) -> None:
        """Close all sockets."""
        for bound in self._sockets:
            bound.close()

    def receive(self, bound: socket.socket) -> None:
        """Read what is there, up to a batch, so that timers get their turn under load."""
        on_datagram, paths = self._on_datagram, self._paths
        with_local = bound in self._wildcards
        number = self._way_number(bound, b"")
        for _ in range(_BATCH):
            try:
                if with_local:
                    datagram, ancillary, _, address = bound.recvmsg(
                        _DATAGRAM_BYTES, _ANCILLARY_BYTES
                    )
                    number = self._way_number(bound, _local_address(ancillary))
                else:
                    datagram, address = bound.recvfrom(_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                # What a datagram that we sent brought back by ICMP, or the interface is down.
                self.receive_errors += 1
                continue
            path = paths.get((address, number))
            if path is None:
                path = self._learn_path(address, number)
            on_datagram(datagram, path)
        self._on_batch()

    def send(self, datagram: bytes, path: Path) -> None:
        """Send a datagram; what the kernel does not take is lost, as UDP is."""
        target = self._targets.get(path) or self._learn_target(path)
        if target is None:
            self.send_errors += 1
            return
        way, address = target
        if way.ancillary:
            try:
                way.socket.sendmsg([datagram], way.ancillary, 0, address)
            except OSError:
                pass  # that address is no longer ours: from the one that we have now
            else:
                return
        try:
            way.socket.sendto(datagram, address)
        except OSError:
            self.send_errors += 1

    def _check_apart(self, endpoint: Endpoint) -> None:
        """Refuse an endpoint that one of our sockets has already."""
        for other in self.endpoints:
            same = other.ip == endpoint.ip or not any(other.ip) or not any(endpoint.ip)
            if same and other.family == endpoint.family and other.port == endpoint.port != 0:
                raise UsageError(
                    f"{endpoint} is where {other} listens already: leave one of them out"
                )

    def _learn_path(self, address: _Address, number: int) -> Path:
        if len(self._paths) >= _PATHS:
            self._paths.clear()
        path = self._paths[address, number] = Path(_endpoint(address), number)
        self._remember_target(path, self._ways[number], address)
        return path

    def _learn_target(self, path: Path) -> tuple[_Way, _Address] | None:
        endpoint = path.endpoint
        family = socket.AF_INET if endpoint.family == 4 else socket.AF_INET6
        if path.socket == ANY_SOCKET:
            way = next((w for w in self._ways if w.socket.family == family), None)
        else:
            way = self._ways[path.socket]
        if way is None or not endpoint.ip:
            return None
        return self._remember_target(
            path, way, (socket.inet_ntop(family, endpoint.ip), endpoint.port)
        )

    def _remember_target(self, path: Path, way: _Way, address: _Address) -> tuple[_Way, _Address]:
        if len(self._targets) >= _PATHS:
            self._targets.clear()
        target = self._targets[path] = way, address
        return target

    def _way_number(self, bound: socket.socket, local: bytes) -> int:
        number = self._way_numbers.get((bound, local))
        if number is None and len(self._ways) >= _WAYS:
            # Every address of a network is ours, and somebody tries them all.
            return self._way_numbers[bound, b""]
        if number is None:
            number = self._way_numbers[bound, local] = len(self._ways)
            own = _endpoint(bound.getsockname())
            here = Endpoint(local, own.port) if local else own
            self._ways.append(_Way(bound, _sent_from(bound, local), here))
        return number

    def local_endpoint(self, path: Path) -> Endpoint | None:
        """Where we receive what comes by this path; None if that is not known."""
        return self._ways[path.socket].endpoint if path.socket != ANY_SOCKET else None


def _is_missing_family(endpoint: Endpoint) -> bool:
    """Whether this is the wildcard of IPv6, which the machine does not have."""
    if endpoint.ip != bytes(16):
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return True
    return False


def _bind(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET if endpoint.family == 4 else socket.AF_INET6
    try:
        bound = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise _explain(error, endpoint) from error
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _widen(bound)
        bound.setblocking(False)
        bound.bind((socket.inet_ntop(family, endpoint.ip), endpoint.port))
        if _is_wildcard(bound):
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            elif _IP_PKTINFO is not None:
                bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    except OSError as error:
        bound.close()
        raise _explain(error, endpoint) from error
    return bound


def _widen(bound: socket.socket) -> None:
    """A buffer for what arrives while Python is busy; root may go beyond the system's limit."""
    try:
        bound.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except OSError:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def _explain(error: OSError, endpoint: Endpoint) -> ConflictError | UsageError:
    mend = "change `listen` in orrery.toml, or --listen"
    match error.errno:
        case errno.EADDRINUSE:
            return ConflictError(
                f"{endpoint} is in use by another program, perhaps zerotier-one: stop that, or "
                f"{mend}"
            )
        case errno.EADDRNOTAVAIL:
            return UsageError(f"{endpoint} is no address of this machine: {mend}")
        case errno.EACCES:
            return UsageError(
                f"{endpoint} may not be bound: ports below 1024 need root or the capability "
                f"CAP_NET_BIND_SERVICE; {mend}"
            )
        case _:
            return UsageError(f"{endpoint} cannot be bound ({error.strerror}): {mend}")


def _is_wildcard(bound: socket.socket) -> bool:
    return bound.getsockname()[0] in {"0.0.0.0", "::"}


def _local_address(ancillary: _Ancillary) -> bytes:
    """The address that a datagram came to, as the kernel tells it."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return data[8:12]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return data[:16]
    return b""


def _sent_from(bound: socket.socket, local: bytes) -> _Ancillary:
    if not local or local[:2] == b"\xfe\x80":  # link-local: the scope of the target decides
        return []
    if bound.family == socket.AF_INET6:
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("16sI", local, 0))]
    if _IP_PKTINFO is None:
        return []
    return [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("I4s4s", 0, local, bytes(4)))]


def _endpoint(address: _Address) -> Endpoint:
    host = address[0].partition("%")[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return Endpoint(socket.inet_pton(family, host), address[1])
