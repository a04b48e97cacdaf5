"""Commands on a host over SSH.

One connection serves all commands; when it is lost, the command that ran then fails, and the next
one connects anew. Nothing is expected of the host but an SSH server that runs commands, and a `sh`
with `dd`: a command does not travel on the command line, where the user's login shell (csh, fish)
would have its say and where small servers (dropbear) take a few kilobytes only, but ahead of its
data on standard input, in braces, so that a shell that was sent only a part of it runs none of it.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import asyncssh

from orrery.errors import HostError
from orrery.fleet.collecting import Collected, too_late
from orrery.fleet.host_script import one_line
from orrery.fleet.shell import Finished
from orrery.fleet.ssh_login import held_by_agent, keys_to_offer, named
from orrery.fleet.ssh_trust import KnownKeys, Offered, known_hosts_files

if TYPE_CHECKING:
    from pathlib import Path

    from orrery.home.settings import SshTarget

_CONNECT_S = 15
_KEEPALIVE_S = 10
_KEEPALIVES = 3
_CLOSE_S = 3
_ERROR = asyncssh.EXTENDED_DATA_STDERR
_NO_CERTIFICATE = "-*-cert-*"
_WANTED: dict[str, Any] = {
    "config": (),  # ~/.ssh/config, which is not everywhere asyncssh's default
    "keepalive_interval": _KEEPALIVE_S,
    "keepalive_count_max": _KEEPALIVES,
    "connect_timeout": None,
    # Nobody is there to be asked for a password, and no key of this machine is to be of use on
    # another.
    "preferred_auth": "publickey",
    "agent_forwarding": False,
    "x11_forwarding": False,
}
"""What is not for ssh's own configuration to say."""


class SshShell:
    """Runs commands on a host over SSH.

    Attributes:
        where: What to call it in an error: "root@203.0.113.7".
    """

    def __init__(self, target: SshTarget, *, key: Path | None, known_hosts: Path | None) -> None:
        """Prepare it; `connect`, or the first command, connects.

        Args:
            target: The host.
            key: The private key file to log in with; None for those of the agent, and ssh's own.
            known_hosts: The file with its host key; None for ssh's own.
        """
        self.where = str(target)
        self._target = target
        self._key = key
        self._known_hosts = known_hosts
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()

    async def run(self, command: str, data: bytes = b"", *, timeout_s: float = 30) -> Finished:
        """Run a command to its end; see `Shell.run`."""
        text = f"{{ {command}\n}}".encode()
        connection = await self.connect()
        try:
            return await self._run(connection, text, data, timeout_s)
        except asyncssh.ChannelOpenError as error:
            if not connection.is_closed():
                raise HostError(f"{self.where} does not run a command: {_why(error)}") from None
        # The connection had been lost without a sign until now: none of the command was sent.
        connection = await self.connect()
        try:
            return await self._run(connection, text, data, timeout_s)
        except asyncssh.ChannelOpenError as error:
            raise HostError(f"{self.where} does not run a command: {_why(error)}") from None

    async def _run(
        self, connection: asyncssh.SSHClientConnection, text: bytes, data: bytes, timeout_s: float
    ) -> Finished:
        session = _Session(Collected(self.where))
        try:
            async with asyncio.timeout(timeout_s):
                channel, _ = await connection.create_session(
                    lambda: session,
                    f"exec sh -c 'eval \"$(dd bs=1 count={len(text)} 2>/dev/null)\"'",
                    encoding=None,
                    request_pty=False,
                    x11_forwarding=False,
                )
                try:
                    channel.write(text + data)
                    channel.write_eof()
                    return await session.ended
                finally:
                    _end(channel, session)
        except TimeoutError:
            raise too_late(self.where, timeout_s) from None
        except asyncssh.ChannelOpenError:
            raise
        except (OSError, asyncssh.Error) as error:
            raise _lost(self.where, error) from None

    async def connect(self) -> asyncssh.SSHClientConnection:
        """Connect, if there is no connection.

        Raises:
            HostError: It cannot be reached, is not the known one, or refuses all keys.
            CustodyError: The private key is missing, locked or exposed.
            UnreadableError: A file of ssh cannot be read.
        """
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                await self._disconnect()
                self._connection = await self._connect()
            return self._connection

    async def close(self) -> None:
        """End the connection."""
        async with self._connecting:
            await self._disconnect()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await connection.wait_closed()
        except TimeoutError:
            connection.abort()

    async def _connect(self) -> asyncssh.SSHClientConnection:
        target = self._target
        wanted = _WANTED | {"host": target.host}
        if target.port is not None:
            wanted["port"] = target.port
        if target.user is not None:
            wanted["username"] = target.user
        try:
            async with asyncio.timeout(_CONNECT_S), AsyncExitStack() as stack:
                usual = await self._options(wanted)
                self.where = _named(target, usual)
                known = KnownKeys(self._known_hosts, known_hosts_files(usual.known_hosts))
                wanted["known_hosts"] = known.everything
                if self._key is not None:
                    keys = keys_to_offer(self._key, usual.agent_path)
                    wanted |= {
                        "client_keys": await stack.enter_async_context(keys),
                        "agent_path": None,
                        "agent_identities": None,
                    }
                try:
                    return await self._try_kinds(wanted, known, usual)
                except asyncssh.PermissionDenied:
                    raise await self._denied(usual) from None
        except TimeoutError:
            raise HostError(
                f"{self.where} did not answer within {_CONNECT_S} seconds: check that it is up, "
                "and its firewall"
            ) from None
        except (OSError, ValueError, asyncssh.Error) as error:
            raise HostError(f"{self.where} cannot be reached: {_why(error)}") from None

    async def _try_kinds(
        self,
        wanted: dict[str, Any],
        known: KnownKeys,
        usual: asyncssh.SSHClientConnectionOptions,
    ) -> asyncssh.SSHClientConnection:
        """Connect; asyncssh insists on a host key of the kinds that are known of the host."""
        try:
            return await self._try(wanted, known)
        except (asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost):
            # It may have none of those. What it has, it tells who does not insist.
            if not known.knows(usual.host_key_alias or usual.host, usual.port):
                raise
            return await self._try(wanted | {"server_host_key_algs": "default"}, known)

    async def _try(self, wanted: dict[str, Any], known: KnownKeys) -> asyncssh.SSHClientConnection:
        seen = _Seen()
        try:
            return await asyncssh.connect(**wanted, client_factory=lambda: seen)
        except asyncssh.HostKeyNotVerifiable as error:
            if seen.authority is not None and seen.offered is None:
                # Nobody knows who certified it here. Then its own key has to be a known one.
                return await self._try(wanted | {"server_host_key_algs": _NO_CERTIFICATE}, known)
            if seen.offered is not None:
                raise known.refuse(self.where, seen.offered) from error
            raise HostError(
                f"{self.where}: {one_line(error.reason)}: "
                + (
                    "do not connect to it, and find out who does answer there"
                    if "revoked" in error.reason
                    else "connect to that host by ssh once, and accept its key after a comparison"
                )
            ) from error

    async def _options(self, wanted: dict[str, Any]) -> asyncssh.SSHClientConnectionOptions:
        """What is wanted together with what ssh's own configuration says of the target."""
        try:
            options: asyncssh.SSHClientConnectionOptions = (
                await asyncssh.SSHClientConnectionOptions.construct(**wanted)
            )
        except (OSError, ValueError) as error:
            raise HostError(
                f"{self.where}: ssh's configuration cannot be used: {_why(error)}"
            ) from None
        return options

    async def _denied(self, options: asyncssh.SSHClientConnectionOptions) -> HostError:
        user = f"{self.where} does not let user {options.username!r} in"
        if self._key is not None:
            return HostError(
                f"{user} with the key {self._key}: add {self._key.name}.pub to his "
                "~/.ssh/authorized_keys there, or name another key or user"
            )
        agent = await held_by_agent(options.agent_path) if options.agent_path else ()
        tried = [*agent, *(options.client_keys or ())]
        if not tried:
            return HostError(
                f"{user}: there was no key to try: let an agent hold one by `ssh-add`, or name a "
                "private key file by 'key' in [[host]]"
            )
        return HostError(
            f"{user} with any of these keys: {named(tried)}: add one of them to his "
            "~/.ssh/authorized_keys there, or name another key by 'key' in [[host]]"
        )


class _Seen(asyncssh.SSHClient):
    """Notices the host key that was refused.

    Attributes:
        offered: It, with where it was looked for.
        authority: Or the key of who certified it.
    """

    def __init__(self) -> None:
        self.offered: Offered | None = None
        self.authority: asyncssh.SSHKey | None = None

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        self.offered = Offered(host, addr, port, key)
        return False

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.authority = key
        return False


class _Session(asyncssh.SSHClientSession[bytes]):
    """A command while it runs.

    Attributes:
        ended: How it ended, once all that it wrote is here.
    """

    def __init__(self, got: Collected) -> None:
        self.ended: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        self._got = got
        self._status: int | None = None

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self.ended.done():
            return
        try:
            self._got.add(data, error=datatype == _ERROR)
        except HostError as error:
            self.ended.set_exception(error)

    def exit_status_received(self, status: int) -> None:
        self._status = status

    def exit_signal_received(
        self,
        signal: str,
        core_dumped: bool,
        msg: str,
        lang: str,
    ) -> None:
        self._status = 128 + _number_of(signal)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.ended.done():
            return
        # With an error, a part of what it wrote may be missing, whatever its status.
        if exc is not None or self._status is None:
            self.ended.set_exception(_lost(self._got.where, exc))
            return
        self.ended.set_result(Finished(self._status, bytes(self._got.out), bytes(self._got.err)))


def _end(channel: asyncssh.SSHClientChannel[bytes], session: _Session) -> None:
    """Leave nothing behind of a command that did not end by itself, as far as the host obeys."""
    if session.ended.done() and not session.ended.cancelled() and not session.ended.exception():
        return
    session.ended.cancel()
    try:
        channel.kill()
    except OSError:
        return  # closed already
    channel.abort()


def _number_of(name: str) -> int:
    try:
        return signal.Signals[f"SIG{name}"]
    except KeyError:
        return 0


def _named(target: SshTarget, options: asyncssh.SSHClientConnectionOptions) -> str:
    host = f"[{target.host}]" if ":" in target.host and target.port is not None else target.host
    return f"{options.username}@{host}" + (f":{target.port}" if target.port is not None else "")


def _lost(where: str, error: Exception | None) -> HostError:
    why = f" ({_why(error)})" if error is not None else ""
    return HostError(
        f"the connection to {where} was lost{why}; whether the command did its work is not known"
    )


def _why(error: Exception) -> str:
    match error:
        case socket.gaierror():
            return "its name stands for no address: check its spelling, and the DNS"
        case ConnectionRefusedError():
            return "nobody listens there: check the port, and that its SSH server runs"
        case OSError() if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return (
                "there is no way to it from here: check the address; an IPv6 address with a port "
                "has brackets, [2001:db8::7]:22"
            )
        case OSError() if error.strerror:
            return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        case asyncssh.DisconnectError() if "Too many authentication failures" in error.reason:
            return "it takes fewer keys than were offered: name the right one by 'key' in [[host]]"
        case asyncssh.DisconnectError() | asyncssh.ChannelOpenError():
            # Whoever answers there says it, before it is known who that is.
            return one_line(error.reason)
        case _:
            return one_line(str(error))
