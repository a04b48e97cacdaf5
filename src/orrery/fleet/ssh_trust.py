"""Which host keys are known, and what to say of one that is not."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import asyncssh

from orrery.custody.durable import unreadable
from orrery.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncssh.known_hosts import SSHKnownHosts

_KEY_FILES = {
    "ssh-ed25519": "ssh_host_ed25519_key.pub",
    "ssh-rsa": "ssh_host_rsa_key.pub",
}
_SSH_PORT = 22
_GLOBAL = Path("/etc/ssh/ssh_known_hosts")


class Offered(NamedTuple):
    """What a host offered, as it was looked for among the known ones.

    Attributes:
        host: Its name, or what stands in `HostKeyAlias` of ssh's configuration.
        address: Where it was found.
        port: Where it listens.
        key: Its key.
    """

    host: str
    address: str
    port: int
    key: asyncssh.SSHKey

    @property
    def place(self) -> str:
        """How known_hosts files name it."""
        return self.host if self.port == _SSH_PORT else f"[{self.host}]:{self.port}"


class KnownKeys:
    """The host keys of one or more known_hosts files.

    Attributes:
        everything: All of them, for asyncssh.
    """

    def __init__(self, stated: Path | None, usual: Sequence[Path]) -> None:
        """Read them; a file that is missing knows nobody.

        Args:
            stated: The one file that counts, if it does.
            usual: Else the files that ssh would take by itself.

        Raises:
            UnreadableError: A file is there and cannot be read.
        """
        self.everything: SSHKnownHosts = asyncssh.import_known_hosts("")
        self._files: list[tuple[Path, SSHKnownHosts]] = []
        self._stated = stated
        for path in usual if stated is None else (stated,):
            known = asyncssh.import_known_hosts("")
            for line in _lines(path):
                try:
                    known.load(line)
                    self.everything.load(line)
                except ValueError:
                    continue  # as ssh does: a line that is none says nothing
            self._files.append((path, known))

    def refuse(self, where: str, offered: Offered) -> HostError:
        """The error for a host whose key is not a known one.

        Args:
            where: What to call the host.
            offered: What it offered.
        """
        port = None if offered.port == _SSH_PORT else offered.port
        key = _named(offered.key)
        by_file = [
            (path, known.match(offered.host, offered.address, port)) for path, known in self._files
        ]
        for path, (keys, *_) in by_file:
            if keys:
                forget = shlex.join(["ssh-keygen", "-R", offered.place, "-f", str(path)])
                return HostError(
                    f"{where}: its host key has changed: it is {key} and not "
                    f"{_listed(keys)}, as {path} knows it: somebody else may be answering; only "
                    f"if the host was set up anew, run `{forget}` and {self._accept(where)}"
                )
        file = _KEY_FILES.get(offered.key.get_algorithm(), "ssh_host_ecdsa_key.pub")
        return HostError(
            f"{where}: its host key {key} is not known here: compare it with what "
            f"`ssh-keygen -lf /etc/ssh/{file}` says on the host, then {self._accept(where)}"
        )

    def knows(self, host: str, port: int) -> bool:
        """Whether a key is known of a host.

        Args:
            host: Its name.
            port: Where it listens.
        """
        return any(self.everything.match(host, "", None if port == _SSH_PORT else port))

    def _accept(self, where: str) -> str:
        user, _, place = where.rpartition("@")
        if place.startswith("["):
            host, _, port = place[1:].partition("]")
            port = port[1:]
        elif place.count(":") == 1:
            host, _, port = place.partition(":")
        else:
            host, port = place, ""
        words = ["ssh"]
        if self._stated is not None:
            words += ["-o", f"UserKnownHostsFile={self._stated}"]
        if port:
            words += ["-p", port]
        words += [f"{user}@{host}" if user else host, "true"]
        return f"accept it by `{shlex.join(words)}`"


def known_hosts_files(configured: object) -> list[Path]:
    """The files that ssh takes by itself.

    Args:
        configured: What asyncssh made of ssh's configuration: a list, if it names files.
    """
    files = list(map(Path, configured)) if isinstance(configured, list) else []
    return [path.expanduser() for path in files or [Path("~/.ssh/known_hosts")]] + [_GLOBAL]


def _lines(path: Path) -> Iterable[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise unreadable(path, "read", error) from error


def _named(key: asyncssh.SSHKey) -> str:
    return f"{key.get_algorithm()} {key.get_fingerprint()}"


def _listed(keys: Sequence[asyncssh.SSHKey]) -> str:
    return " or ".join(dict.fromkeys(map(_named, keys)))
