"""`host.sh` on a host: how it is called, and what it answers."""

from __future__ import annotations

import re
import secrets
import shlex
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from orrery.errors import HostError
from orrery.fleet.shell import Finished, Shell

_CALL_S = 120
"""How long a call may take: `zerotier-cli` waits for a service that hangs for one minute."""
_LONGEST_TOLD = 300
_FROM_SHELL = re.compile(r"^(\S*sh: )?(line )?\d+: ")
"""What shells put before their complaints: "sh: 72: ", "sh: line 71: "."""


class Record(NamedTuple):
    """A part of an answer.

    Attributes:
        name: What it is, with what it is about: "file planet".
        data: Its content.
    """

    name: str
    data: bytes

    @property
    def text(self) -> str:
        """Its content without blanks around it."""
        return self.data.decode("utf-8", "replace").strip()


class HostScript:
    """Calls `host.sh` over a shell; it is sent along with each call and leaves nothing there.

    Args:
        shell: Runs commands on the host.
        sudo: Whether it takes `sudo -n` to do so as root.
    """

    def __init__(self, shell: Shell, *, sudo: bool) -> None:
        self._shell = shell
        self._sudo = "sudo -n " if sudo else ""

    @property
    def where(self) -> str:
        """What to call the host in an error."""
        return self._shell.where

    async def call(self, verb: str, *arguments: str) -> tuple[Record, ...]:
        """Call it; see its head for verbs and arguments.

        Returns:
            The records of its answer, in order.

        Raises:
            HostError: The connection failed, or the host cannot do what it was told.
        """
        token = secrets.token_hex(16)
        words = shlex.join([verb, token, *arguments])
        done = await self._shell.run(
            f"{self._sudo}sh -s -- {words}", script_text(), timeout_s=_CALL_S
        )
        records = _records(done.out, token)
        if not records or records[-1].name != "end":
            raise HostError(self._why_not(records, done))
        for record in records:
            if record.name == "failed":
                raise HostError(f"{self.where}: {told_by(done) or 'the host does not say why'}")
        return records[:-1]

    async def upload(self, path: str, data: bytes) -> None:
        """Write a file and read it back.

        Raises:
            HostError: The connection failed, it cannot be written, or is not what was sent.
        """
        command = f"""{self._sudo}sh -c 'umask 077; cat >"$1" && cat "$1"' sh {shlex.quote(path)}"""
        done = await self._shell.run(command, data)
        if done.status or done.out != data:
            raise HostError(
                f"{path} cannot be written on {self.where}: "
                f"{told_by(done) or 'what can be read there is not what was sent'}"
            )

    def _why_not(self, records: tuple[Record, ...], done: Finished) -> str:
        told = told_by(done)
        found = records[0] if records else Record("", b"")
        match found.name:
            case "no-home":
                return (
                    f"there is no home of zerotier-one on {self.where} that this user can enter "
                    f"({one_line(found.text)}): check 'home' in orrery.toml, or write sudo = true"
                )
            case "no-container":
                return (
                    f"docker on {self.where} does not show the container "
                    f"({one_line(found.text)}): check 'container' in orrery.toml, and whether this "
                    "user may use docker"
                )
            case "no-container-home":
                return (
                    f"the home in the container on {self.where} is no mount that this user can "
                    f"write to, and nothing can be run in it ({one_line(found.text)}): start it, "
                    "check 'home', or write sudo = true"
                )
        if "sudo:" in told or (self._sudo and "password" in told):
            return (
                f"sudo does not work on {self.where} ({told}): allow this user sudo without a "
                "password (NOPASSWD), or log in as root"
            )
        if done.status == 0:
            told = "its answer was cut off"
        return f"sh on {self.where} ended with status {done.status}: {told or 'it says nothing'}"


@cache
def script_text() -> bytes:
    """`host.sh`."""
    return files("orrery.fleet").joinpath("host.sh").read_bytes()


def told_by(done: Finished) -> str:
    """The first line of what a command complained of, fit for a sentence."""
    return one_line(done.err.decode("utf-8", "replace"))


def one_line(text: str) -> str:
    """The first line of a stranger's text, fit for a sentence."""
    line = _FROM_SHELL.sub("", text.strip().partition("\n")[0].strip())
    return "".join(char if char.isprintable() else "?" for char in line)[:_LONGEST_TOLD]


def _records(out: bytes, token: str) -> tuple[Record, ...]:
    parts = (b"\n" + out).split(f"\n@{token} ".encode())[1:]
    found = []
    for part in parts:
        name, _, data = part.partition(b"\n")
        found.append(Record(name.decode("utf-8", "replace"), data))
    return tuple(found)
