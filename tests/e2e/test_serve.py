"""The commands of the main job as processes, with nodes in this one."""

import asyncio
import json
import resource
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orrery.home import Home
from orrery.vl1.events import EchoAnswered, UpstreamAnswered, WorldTaken
from orrery.wire.endpoint import Endpoint
from orrery.wire.packet import Verb
from orrery.wire.world import World
from tests.e2e.processes import Serving, environment, events, orrery
from tests.unit.home.making import secret_file, want
from tests.unit.server.serving import LIMIT_S, Crowd, eventually, free_port


class Root:
    """A home that `orrery init` made, at a port of 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "home"
        self.port = free_port()
        self.endpoint = Endpoint(b"\x7f\0\0\1", self.port)
        self.servers: list[Serving] = []

    async def init(self, secret: Path) -> None:
        made = await orrery(
            "init", "--home", self.path, "--identity", secret, "--name", "home",
            "--endpoint", f"127.0.0.1:{self.port}", "--listen", f"127.0.0.1:{self.port}",
        )  # fmt: skip
        assert made.status == 0, made.err

    async def serve(self, *arguments: str, **env: str) -> Serving:
        self.servers.append(await Serving.start("--home", self.path, *arguments, env=env))
        return self.servers[-1]

    def wish(self, port: int) -> None:
        with Home.open(self.path, writer=True) as home:
            want(home, self.endpoint, Endpoint(bytes((84, 17, 53, 155)), port))

    async def publish(self, port: int) -> World:
        self.wish(port)
        published = await orrery("publish", "--home", self.path, "--json")
        assert published.status == 0, published.err
        return self.planet

    @property
    def planet(self) -> World:
        return World.decode((self.path / "planet").read_bytes())


@pytest.fixture
async def root(tmp_path: Path) -> AsyncIterator[Root]:
    made = Root(tmp_path)
    await made.init(secret_file(tmp_path))
    yield made
    for server in made.servers:
        await server.end(signal.SIGKILL)


@pytest.fixture
async def nodes(root: Root) -> AsyncIterator[Crowd]:
    """Five nodes that hold the first revision; a test starts them."""
    crowd = Crowd(root.planet, range(1, 6), sockets=5)
    yield crowd
    crowd.close()


async def test_a_planet_is_made_served_changed_and_followed(root: Root, nodes: Crowd) -> None:
    serving = await root.serve()
    nodes.start()
    await nodes.all_tell(UpstreamAnswered)
    newest = await root.publish(port=1)
    await nodes.all_tell(WorldTaken, lambda taken: taken.world == newest)
    revision = await serving.until("revision")
    assert revision["worlds"] == [f"planet {newest.id:016x} at {newest.timestamp_ms}"]

    with Home.open(root.path) as home:
        await eventually(lambda: len(home.store.adoptions(newest.id, newest.timestamp_ms)) == 5)
    told = (await orrery("status", "--home", root.path, "--json")).json
    assert told["serving"]
    (world,) = told["worlds"]
    assert (world["revisions"], world["nodes"], world["adopted"]) == (2, 5, 5)
    listed = (await orrery("nodes", "--home", root.path, "--json")).json
    assert {int(node["address"], 16) for node in listed} == nodes.addresses
    for node in listed:
        (held,) = node["worlds"]
        assert (held["revision"], held["behind"]) == (2, 0)
    assert (await orrery("nodes", "--home", root.path, "--behind", "--json")).json == []

    assert await serving.end() == 0
    assert events(serving)[-1] == "stopped"
    assert not (await orrery("status", "--home", root.path, "--json")).json["serving"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_end_writes_down_what_was_seen(
    root: Root, nodes: Crowd, number: signal.Signals
) -> None:
    serving = await root.serve()
    nodes.start()
    await nodes.all_tell(UpstreamAnswered)
    assert await serving.end(number) == 0
    with Home.open(root.path) as home:
        assert {node.address for node in home.store.nodes()} == nodes.addresses


async def test_revisions_of_a_while_ago_are_handed_over_after_a_kill(
    root: Root, nodes: Crowd
) -> None:
    first = await root.serve()
    nodes.start()
    await nodes.all_tell(UpstreamAnswered)
    second = await orrery("serve", "--home", root.path)
    assert second.status == 5
    assert "another `orrery serve` has" in second.err
    await first.end(signal.SIGKILL)
    newest = await root.publish(port=1)
    await root.serve()
    await nodes.all_tell(WorldTaken, lambda taken: taken.world == newest)


async def test_the_service_manager_is_told_and_may_reload(root: Root) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        name = f"orrery-test-{uuid.uuid4()}"
        manager.bind(f"\0{name}")
        serving = await root.serve(NOTIFY_SOCKET=f"@{name}", WATCHDOG_USEC="40000")

        async def told() -> bytes:
            return await asyncio.get_running_loop().sock_recv(manager, 100)

        async with asyncio.timeout(LIMIT_S):
            first = {await told(), await told()}
            assert b"READY=1" in first
            serving.send(signal.SIGHUP)
            await serving.until("revision")
            while await told() != b"WATCHDOG=1":
                pass
            assert await serving.end() == 0
            while await told() != b"STOPPING=1":
                pass


async def test_a_planet_written_over_by_hand_is_put_back(root: Root) -> None:
    planet = root.planet
    (root.path / "planet").write_bytes(b"mine")
    serving = await root.serve()
    assert events(serving)[0] == "repaired"
    assert root.planet == planet
    (kept,) = (path for path in (root.path / "backups").iterdir() if path.read_bytes() == b"mine")
    assert kept.name in serving.logged[0]["what"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit")
async def test_a_disk_that_takes_nothing_more_holds_up_no_node(root: Root, nodes: Crowd) -> None:
    serving = await root.serve()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files of the server may not grow from here on; those of others may.
    resource.prlimit(serving.process.pid, resource.RLIMIT_FSIZE, (0, hard))
    nodes.start()
    await nodes.all_tell(UpstreamAnswered)
    failure = await serving.until("recording fails")
    assert str(root.path / "orrery.db") in failure["error"]
    newest = await root.publish(port=1)
    await nodes.all_tell(WorldTaken, lambda taken: taken.world == newest)
    for number in range(len(nodes.fleet)):
        nodes.fleet.call(
            number,
            lambda leaf, now_ms: leaf.send(
                newest.roots[0].identity.address, Verb.ECHO, b"?", now_ms
            ),
        )
    await nodes.all_tell(EchoAnswered)
    with Home.open(root.path) as home:
        assert home.store.count_nodes() == 0
        resource.prlimit(serving.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await serving.until("recording works again")
        await eventually(lambda: home.store.count_nodes() == 5)
        await eventually(lambda: len(home.store.adoptions(newest.id, newest.timestamp_ms)) == 5)
    assert await serving.end() == 0
    assert events(serving).count("recording fails") == 1


async def test_who_watches_sees_each_second_what_changes(root: Root, nodes: Crowd) -> None:
    await root.serve()
    watching = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orrery", "status", "--home", str(root.path), "--watch", "--json",
        stdout=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    try:
        assert watching.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            assert json.loads(await watching.stdout.readline())["nodes"] == 0
            nodes.start()
            while json.loads(await watching.stdout.readline())["nodes"] < 5:
                pass
        watching.send_signal(signal.SIGINT)
        assert await watching.wait() == 0
    finally:
        if watching.returncode is None:
            watching.kill()
            await watching.wait()
