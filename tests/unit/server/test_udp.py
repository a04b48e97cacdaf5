"""Sockets on this machine: who is answered, from where, and what happens to what fails."""

import errno
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from orrery.errors import ConflictError, UsageError
from orrery.server import udp
from orrery.server.udp import UdpSockets
from orrery.vl1.path import ANY_SOCKET, Path
from orrery.wire.endpoint import Endpoint
from tests.unit.server.serving import LIMIT_S, free_port, loopback


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


class Echo:
    """Sockets that send every datagram back at the end of its batch."""

    def __init__(self, *listen: Endpoint) -> None:
        self.waiting: list[tuple[bytes, Path]] = []
        self.batches: list[int] = []
        self.sockets = UdpSockets(listen, lambda d, p: self.waiting.append((d, p)), self._answer)

    def _answer(self) -> None:
        self.batches.append(len(self.waiting))
        for datagram, path in self.waiting:
            self.sockets.send(datagram, path)
        self.waiting.clear()

    def serve(self) -> None:
        """Wait for a datagram, and answer what is there."""
        ready, _, _ = select.select(self.sockets.sockets, [], [], LIMIT_S)
        assert ready
        for bound in ready:
            self.sockets.receive(bound)


@pytest.fixture
def make() -> Iterator[Callable[..., Echo]]:
    with ExitStack() as stack:

        def made(*listen: Endpoint) -> Echo:
            echo = Echo(*listen)
            stack.callback(echo.sockets.close)
            return echo

        yield made


@pytest.fixture
def client() -> Iterator[Callable[..., socket.socket]]:
    with ExitStack() as stack:

        def made(ip: str = "127.0.0.1") -> socket.socket:
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            one = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            one.settimeout(LIMIT_S)
            one.bind((ip, 0))
            return one

        yield made


@pytest.mark.parametrize(
    ("listen", "to"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2"),
        pytest.param("::1", "::1", marks=needs_ipv6),
        pytest.param("::", "::1", marks=needs_ipv6),
    ],
)
def test_the_answer_leaves_from_the_address_that_was_asked(
    make: Callable[..., Echo], client: Callable[..., socket.socket], listen: str, to: str
) -> None:
    echo = make(loopback(listen))
    (bound,) = echo.sockets.endpoints
    asking = client("::1" if ":" in to else "127.0.0.1")
    for question in (b"one", b"two"):
        asking.sendto(question, (to, bound.port))
        echo.serve()
        answer, source = asking.recvfrom(100)
        assert answer == question
        assert source[:2] == (to, bound.port)


def test_every_address_that_is_asked_is_a_path_of_its_own(
    make: Callable[..., Echo], client: Callable[..., socket.socket]
) -> None:
    echo = make(loopback("0.0.0.0"))
    seen: list[Path] = []
    echo.sockets._on_datagram = lambda _, path: seen.append(path)
    (bound,) = echo.sockets.endpoints
    asking = client()
    for to in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
        asking.sendto(b"x", (to, bound.port))
        echo.serve()
    first, second, third = seen
    assert first == third != second
    assert first.endpoint == second.endpoint == loopback("127.0.0.1", asking.getsockname()[1])
    # Kept for later, a path leads back from the same address.
    for path, local in ((first, "127.0.0.1"), (second, "127.0.0.2")):
        echo.sockets.send(b"later", path)
        assert asking.recvfrom(100)[1] == (local, bound.port)


def test_a_local_address_that_went_away_is_replaced_by_the_one_there_is(
    make: Callable[..., Echo], client: Callable[..., socket.socket]
) -> None:
    echo = make(loopback("0.0.0.0"))
    (bound,) = echo.sockets.endpoints
    asking = client()
    gone = echo.sockets._way_number(echo.sockets.sockets[0], bytes((203, 0, 113, 7)))
    path = Path(loopback("127.0.0.1", asking.getsockname()[1]), gone)
    echo.sockets.send(b"x", path)
    assert asking.recvfrom(100) == (b"x", ("127.0.0.1", bound.port))
    assert echo.sockets.send_errors == 0


@needs_ipv6
def test_both_families_are_served_on_one_port(
    make: Callable[..., Echo], client: Callable[..., socket.socket]
) -> None:
    port = free_port()
    echo = make(loopback("0.0.0.0", port), loopback("::", port))
    assert [each.port for each in echo.sockets.endpoints] == [port, port]
    for ip in ("127.0.0.1", "::1"):
        asking = client(ip)
        asking.sendto(b"x", (ip, port))
        echo.serve()
        assert asking.recvfrom(100)[1][:2] == (ip, port)
        # Without a question before, the socket of the family is taken.
        echo.sockets.send(b"y", Path(loopback(ip, asking.getsockname()[1]), ANY_SOCKET))
        assert asking.recvfrom(100)[0] == b"y"


def test_what_has_no_way_is_counted(make: Callable[..., Echo]) -> None:
    echo = make(loopback("127.0.0.1"))
    other_family = Endpoint(bytes(15) + b"\1", 9993)
    for endpoint in (other_family, Endpoint(b"", 0), Endpoint(b"\xff" * 4, 9993)):
        echo.sockets.send(b"x", Path(endpoint, ANY_SOCKET))
    assert echo.sockets.send_errors == 3


def test_an_icmp_error_is_counted_and_what_follows_is_read(
    make: Callable[..., Echo], client: Callable[..., socket.socket]
) -> None:
    echo = make(loopback("127.0.0.1"))
    (bound,) = echo.sockets.sockets

    failures = [errno.ECONNREFUSED, errno.ENETDOWN]

    class Refusing:
        """A socket of which the first reads tell of what was sent before."""

        family = bound.family

        def recvfrom(self, size: int) -> object:
            if failures:
                raise OSError(failures.pop(), "told by ICMP")
            return bound.recvfrom(size)

    asking = client()
    asking.sendto(b"x", bound.getsockname())
    select.select([bound], [], [], LIMIT_S)
    refusing = Refusing()
    echo.sockets._way_numbers[refusing, b""] = 0  # type: ignore[index]
    echo.sockets.receive(refusing)  # type: ignore[arg-type]
    assert asking.recvfrom(100)[0] == b"x"
    assert echo.sockets.receive_errors == 2


def test_a_flood_is_read_in_batches(
    make: Callable[..., Echo], client: Callable[..., socket.socket]
) -> None:
    echo = make(loopback("127.0.0.1"))
    asking = client()
    for _ in range(300):
        asking.sendto(b"x", echo.sockets.sockets[0].getsockname())
    while sum(echo.batches) < 300:
        echo.serve()
    assert max(echo.batches) == 128


def test_tables_stay_bounded(
    make: Callable[..., Echo],
    client: Callable[..., socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(udp, "_PATHS", 4)
    monkeypatch.setattr(udp, "_WAYS", 6)
    echo = make(loopback("0.0.0.0"))
    (bound,) = echo.sockets.endpoints
    for number in range(1, 30):
        asking = client()
        to = f"127.0.0.{number}"
        asking.sendto(b"x", (to, bound.port))
        echo.serve()
        assert asking.recvfrom(100)[0] == b"x"
        asking.close()
    assert len(echo.sockets._paths) <= 4
    assert len(echo.sockets._targets) <= 4
    assert len(echo.sockets._ways) == 6


def test_a_link_local_address_is_not_forced_on_the_answer() -> None:
    class Bound:
        family = socket.AF_INET6

    assert udp._sent_from(Bound(), b"\xfe\x80" + bytes(14)) == []  # type: ignore[arg-type]
    ((level, kind, data),) = udp._sent_from(Bound(), bytes(15) + b"\1")  # type: ignore[arg-type]
    assert (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
    assert data == struct.pack("16sI", bytes(15) + b"\1", 0)


def test_a_port_that_another_program_has_is_a_conflict() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        endpoint = loopback("127.0.0.1", other.getsockname()[1])
        with pytest.raises(ConflictError, match=r"^127\.0\.0\.1/\d+ is in use by another program"):
            Echo(endpoint)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^203\.0\.113\.7/9 is no address of this machine"):
        Echo(Endpoint.from_text("203.0.113.7:9"))


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.EACCES, "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"),
        (errno.EINVAL, f"cannot be bound ({os.strerror(errno.EINVAL)})"),
    ],
)
def test_why_an_address_cannot_be_bound_is_told(code: int, sentence: str) -> None:
    told = str(udp._explain(OSError(code, os.strerror(code)), loopback("127.0.0.1", 80)))
    assert told.startswith("127.0.0.1/80 ")
    assert sentence in told
    assert told.endswith("change `listen` in orrery.toml, or --listen")


@pytest.mark.parametrize(
    ("first", "second"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")],
)
def test_an_address_that_is_listened_at_twice_is_told(first: str, second: str) -> None:
    port = free_port()
    with pytest.raises(UsageError, match="listens already: leave one of them out"):
        Echo(loopback(first, port), loopback(second, port))
    with pytest.raises(UsageError, match="listens already"):  # the first socket was closed
        Echo(loopback(first, port), loopback(second, port))


def test_the_wildcard_of_a_family_that_is_missing_is_left_out(
    make: Callable[..., Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = socket.socket

    def without_ipv6(family: int = -1, *args: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return original(family, *args)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    port = free_port()
    echo = make(loopback("0.0.0.0", port), loopback("::", port))
    assert echo.sockets.endpoints == (loopback("0.0.0.0", port),)
    with pytest.raises(UsageError, match="cannot be bound"):  # it alone was asked for
        Echo(loopback("::", port))
