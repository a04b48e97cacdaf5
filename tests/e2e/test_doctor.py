"""`orrery doctor` on homes that are served, and the commands that it names as processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import Serving, orrery
from tests.unit.home.making import make_home
from tests.unit.home.nameserver import running as name_server
from tests.unit.server.serving import LIMIT_S, free_port, loopback
from tests.unit.store.making import identity

pytestmark = pytest.mark.timeout(240)


class Place:
    """A home with a root at loopback, which is served or not."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "my home"
        self.endpoint = loopback("127.0.0.1", free_port())
        make_home(self.path, [self.endpoint], entropy=os.urandom).close()
        self.change('settle = "10s"', 'settle = "1s"')
        self.change('["1%", "10%", "100%"]', '["100%"]')
        self._serving: Serving | None = None

    def change(self, old: str, new: str) -> None:
        """Change the settings."""
        path = self.path / "orrery.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    async def findings(self) -> dict[str, dict[str, Any]]:
        """What the doctor finds, by code; its exit status is as it should be."""
        result = await orrery("doctor", "--home", self.path, "--json")
        assert result.err == ""
        found = {each["code"]: each for each in result.json["findings"]}
        assert result.status == any(each["level"] == "problem" for each in found.values())
        return found

    async def commands(self, code: str) -> list[list[str]]:
        """The words of the commands that mend something."""
        return [shlex.split(command) for command in (await self.findings())[code]["mend"]]

    async def serve(self, words: list[str] | None = None) -> None:
        """Serve it, with a command that a finding named."""
        words = words or ["orrery", "serve", "--home", str(self.path)]
        assert words[:2] == ["orrery", "serve"]
        self._serving = await Serving.start(*words[2:])

    async def apply(self, code: str) -> None:
        """Carry out what a finding says, and agree to it."""
        *_, words = await self.commands(code)
        assert words[:2] == ["orrery", "apply"]
        done = await orrery(*words[1:], "--yes")
        assert done.status == 0, done.err
        assert code not in await self.findings()

    async def stop(self) -> None:
        """End the server."""
        if self._serving is not None:
            await self._serving.end()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    await made.stop()


async def test_a_home_that_is_served_has_no_problem(place: Place) -> None:
    (words,) = await place.commands("not-served")
    await place.serve(words)
    found = await place.findings()
    assert [each for each in found.values() if each["level"] == "problem"] == []
    assert found["one-root"]["level"] == "note"
    assert found["no-backup"]["level"] == "warning"
    shown = await orrery("doctor", "--home", place.path)
    assert shown.status == 0
    assert shown.out.endswith("\nnothing needs doing\n")
    prose = [line for line in shown.out.splitlines() if not line.startswith("    ")]
    assert max(map(len, prose)) <= 80


async def test_another_program_has_the_port(place: Place) -> None:
    other = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        f"s.bind(('0.0.0.0', {place.endpoint.port})); print('bound', flush=True); sys.stdin.read()",
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        assert other.stdout is not None
        await asyncio.wait_for(other.stdout.readline(), LIMIT_S)
        kill, serve = await place.commands("port-taken")
        assert kill == ["kill", str(other.pid)]
        os.kill(int(kill[1]), signal.SIGTERM)
        await other.wait()
        await place.serve(serve)
        assert "port-taken" not in await place.findings()
    finally:
        await _end(other)


async def _end(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_two_homes_of_one_root(place: Place, tmp_path: Path) -> None:
    await place.serve()
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    # It wants the same root at the same place, and listens elsewhere.
    other.change(f":{other.endpoint.port}", f":{place.endpoint.port}")
    done = await orrery("publish", "--home", other.path, "--strand-everyone")
    assert done.status == 0, done.err
    other.change(f"0.0.0.0:{other.endpoint.port}", f"0.0.0.0:{free_port()}")
    other.change(f"[::]:{other.endpoint.port}", f"[::]:{free_port()}")
    assert str(place.endpoint) in (await other.findings())["another-server"]["sentence"]
    await place.stop()
    found = await other.findings()
    assert "another-server" not in found
    assert found["not-served"]["level"] == "problem"


async def test_a_second_root(place: Place, tmp_path: Path) -> None:
    await place.serve()
    secret = tmp_path / "second.secret"
    secret.write_text(identity(1).to_string(secret=True))
    secret.chmod(0o600)
    endpoint = f"127.0.0.9:{free_port('127.0.0.9')}"
    # A person adds a second root.
    edit, _ = await place.commands("one-root")
    assert edit[-1] == str(place.path / "orrery.toml")
    second = (
        f'[[world.root]]\nname = "root-2"\nidentity = "{identity(1).public()}"\n'
        f'endpoints = ["{endpoint}"]\n\n[serve]'
    )
    place.change("[serve]", second)
    assert {"one-root", "wanted"} <= (await place.findings()).keys(), "it is not published yet"
    shared = ("--identity", secret, "--listen", endpoint)
    second_root = await Serving.start("--home", place.path, *shared)
    try:
        await place.apply("one-root")
        found = await place.findings()
        assert "wanted" not in found
        assert "127.0.0.0/24" in found["one-network"]["sentence"]
    finally:
        await second_root.end()
    (words,) = await place.commands("root-down")
    given = {"IDENTITY": str(secret), "IP:PORT": endpoint}
    again = await Serving.start(*(given.get(word, word) for word in words[2:]))
    try:
        assert "root-down" not in await place.findings()
    finally:
        await again.end()


async def test_a_key_that_no_revision_names(place: Place) -> None:
    await place.serve()
    assert (await orrery("key", "rotate", "--home", place.path)).status == 0
    await place.apply("rotation-pending")


async def test_a_name_that_stands_for_another_address(place: Place) -> None:
    await place.serve()
    port = place.endpoint.port
    with name_server() as names:
        names.records["root.example.org"] = ["A 127.0.0.1"]
        place.change("servers = []", f'servers = ["{names.endpoint}"]')
        place.change(f'"127.0.0.1:{port}"', f'"root.example.org:{port}"')
        assert {"wanted", "name-moved"}.isdisjoint(await place.findings())
        names.records["root.example.org"] = ["A 127.0.0.1", "A 127.0.0.3"]
        finding = (await place.findings())["name-moved"]
        assert f"root.example.org:{port} stands for 127.0.0.3/{port} now" in finding["sentence"]
        await place.apply("name-moved")
        assert "name-with-many" in await place.findings()
        names.records["root.example.org"] = ["refused"]
        assert "unresolved" in await place.findings()


async def test_where_there_is_no_home(tmp_path: Path) -> None:
    result = await orrery("doctor", "--home", tmp_path)
    assert (result.status, result.out) == (3, "")
    assert "is no home of Orrery: make one with `orrery init`" in result.err


def _address_of_this_machine() -> str:
    """An address that nodes elsewhere could use, empty where there is none."""
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])
    return ""


async def test_what_a_person_with_one_root_reads(tmp_path: Path) -> None:
    address = _address_of_this_machine()
    if not address or address.startswith("127."):
        pytest.skip("this machine has no network")
    home, port = tmp_path / "planet", free_port(address)
    made = await orrery("init", "--home", home, "--endpoint", f"{address}:{port}")
    assert made.status == 0, made.err
    serving = await Serving.start("--home", home)
    try:
        result = await orrery("doctor", "--home", home, "--json")
        levels = {each["code"]: each["level"] for each in result.json["findings"]}
        expected = {"no-backup": "warning", "one-root": "note", "no-nodes": "note"}
        may_be = {"clock-unsynchronized": "note", "private-address": "note", "no-ipv6": "note"}
        assert levels.items() >= expected.items()
        assert levels.items() <= (expected | may_be).items()
        assert result.status == 0
    finally:
        await serving.end()
