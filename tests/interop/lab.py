"""A network on one machine: hosts are Linux network namespaces, joined by a bridge in another.

    with Lab(directory) as lab:
        root, leaf = lab.host("root"), lab.host("leaf")
        server = root.run(["some", "server"])
        server.wait_line(r"listening on (\\S+)", within_s=5)
        assert leaf.ping(root.address) is not None

No interface of the lab is in the machine's own namespace and none has a route out, so nothing
leaves it and two labs cannot meet. Nothing here knows ZeroTier. Needs root and iproute2.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

T = TypeVar("T")

NAMESPACE = re.compile(r"orrerylab(?P<owner>\d+)-\d+-\S+")
"""Name of a lab's namespace; its owner is the process that made it."""

CLONE_NEWNET = 0x40000000
POLL_S = 0.02

_serials = itertools.count()


def why_no_lab() -> str | None:
    """The reason why this process cannot make a lab, or None when it can."""
    if os.uname().sysname != "Linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no ip command (iproute2)"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"/dev/net/tun cannot be opened: {error.strerror}"
    name = _namespace_name("trial")
    try:
        _ip("netns", "add", name)
        _ip("netns", "delete", name)
    except RuntimeError as error:
        return f"a network namespace cannot be made: {error}"
    return None


def eventually(
    probe: Callable[[], T | None], *, within_s: float, what: str, every_s: float = POLL_S
) -> T:
    """Call `probe` until it returns something true, and return that.

    Raises:
        TimeoutError: `what` was still not so after `within_s` seconds.
    """
    deadline = time.monotonic() + within_s
    while True:
        # Read before the probe, so that the last probe begins at or after the deadline.
        expired = time.monotonic() >= deadline
        if found := probe():
            return found
        if expired:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        time.sleep(every_s)


class DaemonExitedError(Exception):
    """A daemon ended while something was expected of it; the message holds its output."""


class Daemon:
    """A process of the lab; its standard output and error are collected in one file.

    Attributes:
        argv: The command.
        log: Where its output goes.
        pid: Its process id, which is also its process group.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.argv = list(argv)
        self.log = log
        with log.open("xb") as sink:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        """All that it has written so far."""
        return self.log.read_text(errors="replace")

    @property
    def exit_status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def check_running(self) -> None:
        """Raise DaemonExitedError unless it runs."""
        if self.exit_status is not None:
            raise DaemonExitedError(
                f"exit status {self.exit_status}: {' '.join(self.argv)}\n{self.output}"
            )

    def wait_line(self, pattern: str, *, within_s: float) -> re.Match[str]:
        """The first match of `pattern` in what it has written since its start.

        Raises:
            DaemonExitedError: It ended without writing that.
            TimeoutError: It runs and has not written that in `within_s` seconds.
        """
        expected = re.compile(pattern, re.MULTILINE)

        def look() -> re.Match[str] | None:
            running = self.exit_status is None
            found = expected.search(self.output)
            if found is None and not running:
                self.check_running()
            return found

        try:
            return eventually(look, within_s=within_s, what=f"{pattern!r} in its output")
        except TimeoutError as error:
            error.add_note(f"output of {' '.join(self.argv)}:\n{self.output}")
            raise

    def wait(self, *, within_s: float) -> int:
        """Its exit status, once it ended by itself."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            message = f"still running after {within_s:g} s: {' '.join(self.argv)}\n{self.output}"
            raise TimeoutError(message) from None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self, *, within_s: float = 10.0) -> int:
        """End it by SIGTERM, or by SIGKILL after `within_s` seconds; its exit status."""
        self._process.terminate()
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it and what it started by SIGKILL, as a crash would; its exit status."""
        if self.exit_status is None:
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()


class Host:
    """A machine of the lab, with one interface, `eth0`.

    Attributes:
        name: Its name in the lab.
        namespace: Name of its network namespace.
        address: Its IPv4 address.
        directory: A directory of its own.
    """

    def __init__(self, lab: Lab, name: str, namespace: str, address: str, directory: Path) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address
        self.directory = directory
        self._lab = lab
        self._logs = itertools.count(1)
        self._pings = itertools.count(1)
        directory.mkdir()
        with self.entered():
            # Without this, an interface that loses its first address loses them all.
            Path("/proc/sys/net/ipv4/conf/all/promote_secondaries").write_text("1")
        self.ip("link", "set", "dev", "lo", "up")
        self.ip("link", "set", "dev", "eth0", "up")
        self.add_address(address)

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Daemon:
        """Start a command, which the lab stops at its end at the latest."""
        daemon = Daemon(
            ["ip", "netns", "exec", self.namespace, *argv],
            log=self.directory / f"{Path(argv[0]).name}-{next(self._logs)}.log",
            env=env,
            cwd=cwd or self.directory,
        )
        self._lab.daemons.append(daemon)
        return daemon

    def ip(self, *arguments: str) -> str:
        """Output of `ip` in this host."""
        return _ip("-netns", self.namespace, *arguments)

    def add_address(self, address: str) -> None:
        """Give the host one more address, in the network of the lab."""
        self.ip("address", "add", _with_prefix(address), "dev", "eth0", *_no_detection(address))

    def remove_address(self, address: str) -> None:
        """Take an address away."""
        self.ip("address", "delete", _with_prefix(address), "dev", "eth0")

    def move(self, address: str) -> None:
        """Exchange the host's IPv4 address for another, as a redialled line does."""
        self.remove_address(self.address)
        self.add_address(address)
        self.address = address

    def unplug(self) -> None:
        """Cut the host off."""
        self._lab.switch_ip("link", "set", "dev", self.name, "down")

    def plug(self) -> None:
        """Connect it again."""
        self._lab.switch_ip("link", "set", "dev", self.name, "up")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in the host's network, for the time of the block."""
        with (
            Path("/proc/thread-self/ns/net").open("rb") as own,
            Path("/run/netns", self.namespace).open("rb") as other,
        ):
            _set_namespace(other.fileno())
            try:
                yield
            finally:
                _set_namespace(own.fileno())

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this host, to be used from anywhere."""
        with self.entered():
            return socket.socket(family, kind, protocol)

    def ping(self, address: str, *, within_s: float = 1.0) -> float | None:
        """Seconds until the ICMP echo of an IPv4 address came back, or None when it did not."""
        with self.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            mark, sequence = os.getpid() & 0xFFFF, next(self._pings) & 0xFFFF
            checksum = 0xFFFF - (0x0800 + mark + sequence) % 0xFFFF
            began = time.monotonic()
            try:
                raw.connect((address, 0))
                raw.send(struct.pack(">BBHHH", 8, 0, checksum, mark, sequence))
                while (left_s := began + within_s - time.monotonic()) > 0:
                    raw.settimeout(left_s)
                    packet = raw.recv(2048)
                    kind, _, _, *echoed = struct.unpack_from(
                        ">BBHHH", packet, 4 * (packet[0] & 0x0F)
                    )
                    if kind == 0 and echoed == [mark, sequence]:
                        return time.monotonic() - began
            except OSError:  # no answer in time, or no route (yet)
                return None
        return None


class Lab:
    """The network 10.77.0.0/16 and fd77::/64, and everything that runs in it.

    A root takes few new identities at a time from one IPv4 /24, so hosts get one each:
    10.77.1.1, 10.77.2.1 and so on.

    Args:
        directory: Where every host gets its directory.

    Attributes:
        daemons: All that was started in it.
        namespaces: Names of its network namespaces.
    """

    def __init__(self, directory: Path) -> None:
        self.daemons: list[Daemon] = []
        self.namespaces: list[str] = []
        self._directory = directory
        self._switch = ""
        self._numbers = itertools.count(1)
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        _remove_leftovers()
        try:
            self._switch = self._add_namespace("switch")
            self.switch_ip("link", "add", "name", "bridge", "type", "bridge")
            self.switch_ip("link", "set", "dev", "bridge", "up")
        except BaseException:
            self._ending.close()
            raise
        self._ending.callback(self._stop_daemons)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.close()

    def host(self, name: str, address: str | None = None, *, isolated: bool = False) -> Host:
        """A new host, connected and up.

        Args:
            name: At most 15 characters, as it also names a port of the switch.
            address: In 10.77.0.0/16; one in a /24 of its own when not given.
            isolated: It reaches no other isolated host, so that nodes in them need a relay.
        """
        namespace = self._add_namespace(name)
        veth = f"link add name {name} type veth peer name eth0 netns {namespace}"
        self.switch_ip(*veth.split())
        self.switch_ip("link", "set", "dev", name, "master", "bridge", "up")
        if isolated:
            self.switch_ip("link", "set", "dev", name, "type", "bridge_slave", "isolated", "on")
        own = f"10.77.{next(self._numbers)}.1"
        return Host(self, name, namespace, address or own, self._directory / name)

    def switch_ip(self, *arguments: str) -> str:
        """Output of `ip` in the switch."""
        return _ip("-netns", self._switch, *arguments)

    def _stop_daemons(self) -> None:
        for daemon in self.daemons:
            daemon.signal(signal.SIGTERM)
        for daemon in self.daemons:
            daemon.stop()

    def _add_namespace(self, role: str) -> str:
        name = _namespace_name(role)
        _ip("netns", "add", name)
        self._ending.callback(_remove_namespace, name)
        self.namespaces.append(name)
        return name


def _remove_leftovers() -> None:
    """Remove what runs that were killed could not."""
    for line in _ip("netns", "list").splitlines():
        named = NAMESPACE.match(line)
        if named and not Path("/proc", named["owner"]).exists():
            with suppress(RuntimeError):  # another run removes it at the same time
                _remove_namespace(named[0])


def _remove_namespace(name: str) -> None:
    for pid in _ip("netns", "pids", name).split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _ip("netns", "delete", name)


def _namespace_name(role: str) -> str:
    return f"orrerylab{os.getpid()}-{next(_serials)}-{role}"


def _with_prefix(address: str) -> str:
    return f"{address}/{16 if ip_address(address).version == 4 else 64}"


def _no_detection(address: str) -> list[str]:
    """An IPv6 address is usable at once when the kernel does not look for a duplicate."""
    return ["nodad"] if ip_address(address).version == 6 else []


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _set_namespace(descriptor: int) -> None:
    """Put the calling thread into a network namespace (setns(2); `os.setns` is of Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
