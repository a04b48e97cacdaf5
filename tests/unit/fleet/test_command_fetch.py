from pathlib import Path

import pytest

from orrery.errors import HostError, ServiceError
from orrery.fleet.command_fetch import CommandFetch, cli_command
from orrery.fleet.fetching import api_of
from orrery.fleet.local_api import Answer, LocalApi
from orrery.fleet.local_shell import LocalShell
from orrery.fleet.shell import Finished
from orrery.home.settings import HostSettings
from orrery.wire.address import parse_address

SEED = parse_address("8056c2e21c")


def host(**keys: object) -> HostSettings:
    return HostSettings.model_validate({"name": "x"} | keys)


class Told:
    """A shell whose commands all end in one way."""

    where = "root@h"

    def __init__(self, status: int, out: bytes = b"", err: bytes = b"") -> None:
        self.commands: list[str] = []
        self._finished = Finished(status, out, err)

    async def run(self, command: str, data: bytes = b"", *, timeout_s: float = 30) -> Finished:
        self.commands.append(command)
        return self._finished


@pytest.mark.parametrize(
    ("keys", "command"),
    [
        ({}, "zerotier-cli -D/var/lib/zerotier-one"),
        ({"home": "/srv/zt"}, "zerotier-cli -D/srv/zt"),
        (
            {"platform": "macos", "sudo": True},
            "sudo -n zerotier-cli '-D/Library/Application Support/ZeroTier/One'",
        ),
        (
            {"platform": "docker", "container": "zt", "sudo": True},
            "sudo -n docker exec zt zerotier-cli -D/var/lib/zerotier-one",
        ),
    ],
)
def test_the_command_of_a_host(keys: dict[str, object], command: str) -> None:
    assert cli_command(host(**keys)) == command


async def test_requests_become_commands() -> None:
    shell = Told(0, b"[]")
    api = LocalApi(CommandFetch(shell, "zerotier-cli -D/zt"))
    await api.moons()
    await api.orbit(0xB9CE1F7FA4, SEED)
    await api.deorbit(0xB9CE1F7FA4)
    assert [command.partition("; export PATH; ")[2] for command in shell.commands] == [
        "zerotier-cli -D/zt /moon",
        "zerotier-cli -D/zt orbit b9ce1f7fa4 8056c2e21c",
        "zerotier-cli -D/zt deorbit b9ce1f7fa4",
    ]
    assert api.where == "root@h"


async def test_other_statuses_come_back_as_they_are() -> None:
    fetch = CommandFetch(Told(1, b"401 /status {}\n"), "zerotier-cli")
    assert await fetch("GET", "/status") == Answer(401, b"{}")
    fetch = CommandFetch(Told(1, b"404 /moon/0 \n"), "zerotier-cli")
    assert await fetch("GET", "/moon/0") == Answer(404, b"")


@pytest.mark.parametrize(
    ("finished", "said"),
    [
        (
            Finished(1, b"0 /status connection failed\n", b""),
            "no zerotier-one answers on root@h (connection failed): start it, or see in its log",
        ),
        (Finished(1, b"0 /status \n", b""), "no zerotier-one answers on root@h (no reason told)"),
        (
            Finished(
                2, b"", b"zerotier-cli: missing port and zerotier-one.port not found in /zt\n"
            ),
            "zerotier-one has not run with this home on root@h (zerotier-cli: missing port and",
        ),
        (
            Finished(
                2,
                b"",
                b"zerotier-cli: authtoken.secret not found or readable in /zt (try again as root)",
            ),
            "this user may not read the token of zerotier-one on root@h: log in as root, or write",
        ),
        (
            Finished(1, b"", b"sudo: a password is required\n"),
            "sudo wants a password on root@h: allow this user sudo without one",
        ),
        (
            Finished(127, b"", b"sh: 1: zerotier-cli: not found\n"),
            "a command is missing on root@h (sh: 1: zerotier-cli: not found): install zerotier-one",
        ),
        (
            Finished(1, b"", b"sudo: zerotier-cli: command not found\n"),
            "a command is missing on root@h (sudo: zerotier-cli: command not found)",
        ),
        (
            Finished(
                126,
                b'OCI runtime exec failed: exec: "zerotier-cli": executable file not found in'
                b" $PATH: unknown\r\n",
                b"",
            ),
            "a command is missing on root@h (OCI runtime exec failed",
        ),
        (
            Finished(1, b"", b"Error response from daemon: No such container: zt\nmore"),
            "zerotier-cli on root@h ended with status 1: Error response from daemon: No such "
            "container: zt",
        ),
        (Finished(139, b"", b""), "ended with status 139: it says nothing"),
        (Finished(3, b"\x1b[2J" + b"x" * 9_000, b""), "ended with status 3: ?[2Jxxx"),
    ],
)
async def test_what_is_no_answer_is_told(finished: Finished, said: str) -> None:
    with pytest.raises(HostError) as refused:
        await CommandFetch(Told(*finished), "zerotier-cli")("GET", "/status")
    assert said in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


async def test_what_has_no_command_is_not_tried() -> None:
    fetch = CommandFetch(shell := Told(0), "zerotier-cli")
    with pytest.raises(ServiceError, match="no command for DELETE /network/1"):
        await fetch("DELETE", "/network/1")
    with pytest.raises(ServiceError, match="no command for POST /moon/1"):
        await fetch("POST", "/moon/1")
    assert shell.commands == []


async def test_a_real_shell_finds_the_command_and_keeps_a_home_with_blanks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = tmp_path / "bin" / "zerotier-cli"
    cli.parent.mkdir()
    cli.write_text('#!/bin/sh\nprintf \'{"address":"8056c2e21c","version":"%s|%s"}\' "$1" "$2"\n')
    cli.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cli.parent}:/usr/bin:/bin")
    home = "/Library/A & B/It's"
    shell = LocalShell()
    status = await LocalApi(CommandFetch(shell, cli_command(host(home=home)))).status()
    assert status.version == f"-D{home}|/status"


async def test_this_machine_is_asked_by_http_and_all_else_by_command(tmp_path: Path) -> None:
    shell = Told(0, b'{"address": "8056c2e21c"}')
    with pytest.raises(HostError, match=r"there is no .*zerotier-one\.port"):
        await api_of(host(home=str(tmp_path)), shell).status()
    assert shell.commands == []
    for keys in (
        {"ssh": "root@h"},
        {"sudo": True},
        {"platform": "docker", "container": "zt"},
    ):
        await api_of(host(home=str(tmp_path), **keys), shell).status()
    assert len(shell.commands) == 3
