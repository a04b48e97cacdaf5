"""A real sshd behind a line that a test can cut.

Every connection gets an sshd of its own (`sshd -i`), which a thread of this process connects to
the TCP port that clients see. So there is no port to lose to somebody else, no daemon that stays,
and each byte passes through here, where a `Line` can stop passing them on.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import asyncssh

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_PRIVILEGE_SEPARATION = Path("/run/sshd")
_PART_BYTES = 65_536


def why_no_sshd() -> str | None:
    """What is missing here for an sshd."""
    if sshd_path() is None:
        return "there is no sshd here; on Debian: apt install openssh-server"
    if os.geteuid() == 0:
        try:
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        except OSError as error:
            return f"sshd needs {_PRIVILEGE_SEPARATION} when root runs it: {error}"
    return None


def sshd_path() -> str | None:
    """Where sshd is; it insists on being called by its whole path."""
    return shutil.which("sshd", path=f"/usr/sbin:/usr/local/sbin:/sbin:{os.environ['PATH']}")


@dataclass(frozen=True)
class Credentials:
    """The keys of a test bed: worthless elsewhere.

    Attributes:
        host_key: What the host proves itself with; a private key file.
        user_key: What we log in with; a private key file, with .pub beside it.
        authorized: Who may log in.
        known_hosts: Which hosts are known; each sshd adds its own line.
        user: Who logs in: whoever runs this.
    """

    host_key: Path
    user_key: Path
    authorized: Path
    known_hosts: Path
    user: str

    @classmethod
    def make(cls, directory: Path) -> Self:
        """Make new ones."""
        directory.mkdir(mode=0o700)
        made = cls(
            host_key=write_key(directory / "host_key"),
            user_key=write_key(directory / "user_key"),
            authorized=directory / "authorized_keys",
            known_hosts=directory / "known_hosts",
            user=getpass.getuser(),
        )
        made.authorized.write_bytes(made.user_key.with_name("user_key.pub").read_bytes())
        made.known_hosts.write_text("")
        return made


def write_key(path: Path, passphrase: str | None = None, kind: str = "ssh-ed25519") -> Path:
    """A new private key file, with its public half beside it."""
    key = asyncssh.generate_private_key(kind, comment=path.name)
    if passphrase is not None:
        data = key.export_private_key("pkcs8-pem", passphrase)
    else:
        data = key.export_private_key()
    path.write_bytes(data)
    path.chmod(0o600)
    path.with_name(f"{path.name}.pub").write_bytes(key.export_public_key())
    return path


class Line:
    """All connections to one sshd, present and future.

    Attributes:
        accepted: How many there were.
        to_host: How many bytes went to the host.
        from_host: How many bytes came from it.
    """

    def __init__(self) -> None:
        self.accepted = 0
        self.to_host = 0
        self.from_host = 0
        self._open: set[_Connection] = set()
        self._lock = threading.Lock()
        self._down = False
        self._most_to_host: int | None = None
        self._most_from_host: int | None = None
        self._flows = threading.Event()
        self._flows.set()

    def hang(self) -> None:
        """Let nothing through any more, without a sign to anybody, until `mend`."""
        self._flows.clear()

    def cut(self, *, down: bool = False) -> None:
        """End all connections, as if a cable was pulled.

        Args:
            down: Whether new ones end at once, too, until `mend`.
        """
        with self._lock:
            self._down = self._down or down
            connections = list(self._open)
        for connection in connections:
            connection.end()

    def cut_at(self, *, to_host: int | None = None, from_host: int | None = None) -> None:
        """End all connections for good, once so many more bytes have passed, up to `mend`.

        Args:
            to_host: Of those sent to the host.
            from_host: Of those that it sends.
        """
        with self._lock:
            self._most_to_host = None if to_host is None else self.to_host + to_host
            self._most_from_host = None if from_host is None else self.from_host + from_host

    def mend(self) -> None:
        """Let connections through again."""
        with self._lock:
            self._down = False
            self._most_to_host = self._most_from_host = None
        self._flows.set()

    def admit(self, connection: _Connection) -> bool:
        """A new connection: whether it may be."""
        with self._lock:
            self.accepted += 1
            if self._down:
                return False
            self._open.add(connection)
            return True

    def forget(self, connection: _Connection) -> None:
        """A connection has ended."""
        with self._lock:
            self._open.discard(connection)

    def take(self, size: int, *, to_host: bool) -> int:
        """How many of these bytes may pass, as soon as any may."""
        self._flows.wait()
        with self._lock:
            passed = self.to_host if to_host else self.from_host
            most = self._most_to_host if to_host else self._most_from_host
            if self._down:
                return 0
            allowed = size if most is None else max(0, min(size, most - passed))
            if allowed < size:
                self._down = True
            if to_host:
                self.to_host += allowed
            else:
                self.from_host += allowed
            return allowed


class _Connection:
    def __init__(self, line: Line, client: socket.socket, command: list[str], log: Path) -> None:
        self._line = line
        self._client = client
        ours, theirs = socket.socketpair()
        self._host = ours
        with theirs, log.open("ab") as errors:
            self.sshd = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=errors,
                start_new_session=True,
            )
        self._pumps = [
            threading.Thread(target=self._pump, args=(client, ours, True), daemon=True),
            threading.Thread(target=self._pump, args=(ours, client, False), daemon=True),
        ]
        for pump in self._pumps:
            pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket, to_host: bool) -> None:
        try:
            while data := source.recv(_PART_BYTES):
                allowed = self._line.take(len(data), to_host=to_host)
                sink.sendall(data[:allowed])
                if allowed < len(data):
                    # The line is down for all of them.
                    self._line.cut(down=True)
                    return
        except OSError:
            pass
        finally:
            self.end()

    def end(self) -> None:
        for end in (self._client, self._host):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._line.forget(self)

    def join(self) -> None:
        self.end()
        for pump in self._pumps:
            pump.join()
        self.sshd.kill()
        self.sshd.wait()
        self._client.close()
        self._host.close()


class Sshd:
    """An sshd on a port of 127.0.0.1.

    Attributes:
        port: The port.
        line: What is between it and its clients.
        log: What it writes.
    """

    def __init__(
        self,
        directory: Path,
        credentials: Credentials,
        environment: Mapping[str, str],
        *more: str,
        command: Sequence[str] = (),
    ) -> None:
        """Start it.

        Args:
            directory: For its files.
            credentials: Its key, and who may log in.
            environment: What commands find in their environment, beside what sshd puts there.
            more: Lines for its configuration.
            command: What serves a connection on its standard input, in place of sshd.
        """
        self.line = Line()
        self.log = directory / "sshd.log"
        self._connections: list[_Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        configuration = directory / "sshd_config"
        set_env = " ".join(
            f'"{name}={value}"' for name, value in environment.items() or [("_", "")]
        )
        configuration.write_text(
            "\n".join(
                (
                    f"HostKey {credentials.host_key}",
                    f"AuthorizedKeysFile {credentials.authorized}",
                    "StrictModes no",
                    "UsePAM no",
                    "PasswordAuthentication no",
                    "KbdInteractiveAuthentication no",
                    "PermitRootLogin prohibit-password",
                    "PrintMotd no",
                    "PrintLastLog no",
                    "PidFile none",
                    f"SetEnv {set_env}",
                    *more,
                    "",
                )
            )
        )
        self._command = [*command] or [str(sshd_path()), "-i", "-e", "-f", str(configuration)]
        public = credentials.host_key.with_name(f"{credentials.host_key.name}.pub").read_text()
        kind, key, *_ = public.split()
        with credentials.known_hosts.open("a") as known:
            known.write(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            connection = _Connection(self.line, client, self._command, self.log)
            self._connections.append(connection)
            if not self.line.admit(connection):
                connection.end()

    def kill(self) -> None:
        """Kill all sshd that serve a connection, as a host's memory shortage might."""
        for connection in self._connections:
            connection.sshd.kill()

    def stop(self) -> None:
        """End it and all its connections."""
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        self.line.mend()
        for connection in self._connections:
            connection.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
