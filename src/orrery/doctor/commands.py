"""The commands that mend findings, as a person at this machine would type them."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from orrery.home.settings import HostSettings

_LINE = re.compile(r", line (\d+): ")


@dataclass(frozen=True, slots=True)
class Commands:
    """Makes commands that are about this home.

    Attributes:
        path: The home, as it was named.
        option: What names it to Orrery: ` --home DIR`, or nothing where it is found anyway.
    """

    path: Path
    option: str = ""

    def orrery(self, command: str) -> str:
        """A command of Orrery about this home.

        Args:
            command: What stands behind `orrery`.
        """
        return f"orrery {command}{self.option}"

    def edit(self, path: Path, mistake: str = "") -> str:
        """Open a file in the editor of whoever runs this.

        Args:
            path: The file.
            mistake: What is wrong in it, which may tell the line.
        """
        found = _LINE.search(mistake)
        place = f"+{found[1]} " if found else ""
        return f"${{EDITOR:-vi}} {place}{quote(path)}"

    @property
    def mend(self) -> str:
        """Do what every command does that changes a home, and no more."""
        return self.orrery("doctor --mend")


def quote(path: Path) -> str:
    """A path for a shell; one that begins with a hyphen is no option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def quote_name(name: str) -> str:
    """A name of a World or host for a shell."""
    return shlex.quote(name)


def on_host(host: HostSettings, home: Path, command: str) -> str:
    """A command for a host, to be run from here.

    Args:
        host: Where.
        home: The home of Orrery, for files that are named from there.
        command: For the `sh` there.
    """
    if host.ssh is None:
        return command
    words = ["ssh"]
    if host.ssh.port is not None:
        words += ["-p", str(host.ssh.port)]
    if (key := host.key_file(home)) is not None:
        words += ["-i", str(key)]
    if (known := host.known_hosts_file(home)) is not None:
        words += ["-o", f"UserKnownHostsFile={known}"]
    user = f"{host.ssh.user}@" if host.ssh.user is not None else ""
    return shlex.join([*words, f"{user}{host.ssh.host}", command])


def restart(host: HostSettings, home: Path) -> str:
    """What restarts zerotier-one on a host, from here."""
    command = f"sudo -n {host.restart_command}" if host.sudo else host.restart_command
    return on_host(host, home, command)


def install_part(part: str) -> str:
    """Install a part of Orrery into the Python that runs this."""
    return f"{shlex.quote(sys.executable)} -m pip install 'zt-orrery[{part}]'"
