"""Servers that run an official zerotier-one: how each is reached, and how it is looked after."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, InstanceOf

from orrery.home.settings.mistakes import mistake
from orrery.home.settings.tables import Table
from orrery.home.settings.values import (
    LONGEST_NAME,
    MINUTE_MS,
    SECOND_MS,
    Name,
    Node,
    read_span_ms,
    text_of,
)

Platform = Literal["linux", "openwrt", "freebsd", "macos", "docker"]

SSH_PORT = 22
_HOST_NAME = re.compile(r"\w[\w.-]*")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_TARGET = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_SERVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,127}")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_HOMES: dict[Platform, str] = {
    "linux": "/var/lib/zerotier-one",
    "openwrt": "/var/lib/zerotier-one",
    "freebsd": "/var/db/zerotier-one",
    "macos": "/Library/Application Support/ZeroTier/One",
    "docker": "/var/lib/zerotier-one",
}
_SERVICES: dict[Platform, str] = {
    "linux": "zerotier-one",
    "openwrt": "zerotier",
    "freebsd": "zerotier",
    "macos": "com.zerotier.one",
}


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Whom to connect to: `[user@]host[:port]`.

    Attributes:
        user: None for whom ssh's own configuration names, or the user of this machine.
        host: A name, also one of `~/.ssh/config`, or an address without brackets.
        port: None for the one of ssh's own configuration, or 22.
    """

    user: str | None
    host: str
    port: int | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host and self.port is not None else self.host
        return (
            (f"{self.user}@" if self.user is not None else "")
            + host
            + (f":{self.port}" if self.port is not None else "")
        )


def _read_host_name(value: object) -> str:
    text = text_of(value, "a name")
    # The name becomes that of a directory, for the backups.
    if not _HOST_NAME.fullmatch(text) or len(text) > LONGEST_NAME:
        raise mistake(
            f"{text[:LONGEST_NAME]!r} is no name of a host: it is made of letters, digits, '-', "
            f"'_' and '.', begins with a letter or digit, and has at most {LONGEST_NAME} of them"
        )
    return text


def _read_ssh(value: object) -> SshTarget:
    text = text_of(value, "a server").strip()
    if "://" in text or "/" in text:
        raise mistake(f'{text[:80]!r} is no server: write "root@203.0.113.7" or "root@host:2222"')
    user, at, place = text.rpartition("@")
    if at and not _USER.fullmatch(user):
        raise mistake(
            f"{user[:40]!r} in {text[:80]!r} is no user: letters, digits, '-', '_' and '.' make one"
        )
    if _is_ipv6(place):
        return SshTarget(user or None, place, None)
    if place.startswith("["):
        host, closed, rest = place[1:].partition("]")
        well_formed = bool(closed) and _is_ipv6(host) and rest[:1] in ("", ":")
        colon, port = rest[:1], rest[1:]
    else:
        host, colon, port = place.partition(":")
        well_formed = bool(_TARGET.fullmatch(host))
    if not well_formed:
        raise mistake(
            f"{text[:80]!r} is no server: write a name or an address, with a user in front, "
            '"root@203.0.113.7", and IPv6 in brackets where a port follows, "[2001:db8::7]:2222"'
        )
    if colon and not (_PORT.fullmatch(port) and int(port) < 65_536):
        raise mistake(f"{text[:80]!r} has no port behind its colon: a number from 1 to 65535")
    return SshTarget(user or None, host, int(port) if colon else None)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _read_file(value: object) -> Path:
    text = text_of(value, "a file")
    if not text.strip() or not text.isprintable():
        raise mistake('a file has a name: write "~/.ssh/id_ed25519"')
    return Path(text)


def _read_home(value: object) -> str:
    text = text_of(value, "a directory")
    if not text.startswith("/") or not text.isprintable() or ".." in text.split("/"):
        raise mistake(
            f"{text[:80]!r} is no directory of a host: write all of its path, from / on, such as "
            '"/var/lib/zerotier-one"'
        )
    if not text.strip("/"):
        raise mistake("/ is the home of no zerotier-one: write the directory of its files")
    return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))


def _read_service(value: object) -> str:
    text = text_of(value, "a service")
    if not _SERVICE.fullmatch(text):
        raise mistake(
            f"{text[:40]!r} is no name of a service; a whole command to restart it goes into "
            "'restart'"
        )
    return text


def _read_restart(value: object) -> str:
    text = text_of(value, "a command").strip()
    if not text or not text.isprintable():
        raise mistake(
            'a command stands on one line: write restart = "systemctl restart zerotier-one"'
        )
    return text


def _read_container(value: object) -> str:
    text = text_of(value, "a container")
    if not _CONTAINER.fullmatch(text):
        raise mistake(f"{text[:40]!r} is no name of a container, such as `docker ps` shows")
    return text


_HostName = Annotated[str, BeforeValidator(_read_host_name)]
_Ssh = Annotated[InstanceOf[SshTarget], BeforeValidator(_read_ssh)]
_File = Annotated[InstanceOf[Path], BeforeValidator(_read_file)]
_Home = Annotated[str, BeforeValidator(_read_home)]
_Service = Annotated[str, BeforeValidator(_read_service)]
_Restart = Annotated[str, BeforeValidator(_read_restart)]
_Container = Annotated[str, BeforeValidator(_read_container)]
_Timeout = Annotated[int, BeforeValidator(read_span_ms(10 * SECOND_MS, 10 * MINUTE_MS))]


class HostSettings(Table):
    """A server with an official zerotier-one, whose World files are kept right from here.

    Attributes:
        ssh: Where it is; None for this machine.
        key: The private key to log in with, as written (`key_file`); None for those of the agent
            and then ssh's usual ones.
        known_hosts: Where its host key stands, as written (`known_hosts_file`); None for ssh's
            usual files.
        platform: What it is, which decides the defaults below.
        stated_home: The home of zerotier-one there, if one is written: `home`.
        stated_service: The name of the service, if one is written: `service`.
        restart: A whole command that restarts it, in place of the platform's: `restart_command`.
        container: The container that it runs in; there is one exactly when the platform is docker.
        sudo: Whether commands need `sudo -n`. No command here contains it.
        node: Its address; None when it is to be asked for it.
        worlds: The names of the Worlds that it is to have; None for the planet, and those moons
            that it has or is a root of.
    """

    name: _HostName
    ssh: _Ssh | None = None
    key: _File | None = None
    known_hosts: _File | None = None
    platform: Platform = "linux"
    stated_home: Annotated[_Home | None, Field(alias="home")] = None
    stated_service: Annotated[_Service | None, Field(alias="service")] = None
    restart: _Restart | None = None
    container: _Container | None = None
    sudo: bool = False
    node: Node | None = None
    worlds: Annotated[list[Name], Field(min_length=1)] | None = None

    @property
    def home(self) -> str:
        """The home of zerotier-one on the host, or in its container: an absolute path."""
        return self.stated_home or _HOMES[self.platform]

    @property
    def service(self) -> str | None:
        """The name of the service; None for a container."""
        return self.stated_service or _SERVICES.get(self.platform)

    @property
    def restart_command(self) -> str:
        """What restarts zerotier-one, for the host's `sh`; `sudo` is not in it."""
        if self.restart is not None:
            return self.restart
        match self.platform:
            case "linux":
                return f"systemctl restart {self.service}"
            case "openwrt":
                return f"/etc/init.d/{self.service} restart"
            case "freebsd":
                return f"service {self.service} restart"
            case "macos":
                file = f"/Library/LaunchDaemons/{self.service}.plist"
                # What is not loaded now is to be loaded all the same.
                return f"launchctl unload {file}; launchctl load {file}"
            case "docker":
                return f"docker restart {self.container}"

    def key_file(self, home: Path) -> Path | None:
        """The private key to log in with.

        Args:
            home: The directory of the Orrery home, for a path that does not begin at / or ~.
        """
        return _resolved(self.key, home)

    def known_hosts_file(self, home: Path) -> Path | None:
        """The file with its host key.

        Args:
            home: As for `key_file`.
        """
        return _resolved(self.known_hosts, home)


def _resolved(path: Path | None, home: Path) -> Path | None:
    return None if path is None else home / path.expanduser()


class DeploySettings(Table):
    """How Worlds are put onto hosts.

    Attributes:
        parallel: At how many nodes at once; roots come one at a time.
        timeout_ms: How long a node may take to be back online after its restart; `timeout`.
        keep: How many backups of each host are kept, on it and here.
    """

    parallel: Annotated[int, Field(ge=1, le=64)] = 4
    timeout_ms: Annotated[_Timeout, Field(alias="timeout")] = MINUTE_MS
    keep: Annotated[int, Field(ge=1, le=10_000)] = 10
