"""Our client of the local API against the real one: by HTTP, and by zerotier-cli."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, TypeVar

import pytest

from orrery.errors import HostError
from orrery.fleet.command_fetch import CommandFetch, cli_command
from orrery.fleet.http_fetch import HttpFetch
from orrery.fleet.local_api import LocalApi
from orrery.fleet.local_shell import LocalShell
from orrery.home import HostSettings
from orrery.wire.address import parse_address
from orrery.wire.world import World
from tests.interop.lab import eventually
from tests.interop.realnode import RealNode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.interop.conftest import Joining
    from tests.interop.lab import Lab
    from tests.interop.orreryroot import OrreryRoot

    Ask = Callable[[RealNode, Callable[[LocalApi], Awaitable["T"]]], "T"]

pytestmark = pytest.mark.interop

T = TypeVar("T")


class Asking:
    """Asks nodes in their hosts; `zerotier-cli` is what it is called in the PATH.

    Args:
        way: "HTTP" or "zerotier-cli".
    """

    def __init__(self, way: str) -> None:
        self.way = way

    def __call__(self, node: RealNode, question: Callable[[LocalApi], Awaitable[T]]) -> T:
        """What a node answers to a question."""

        async def ask() -> T:
            if self.way == "HTTP":
                return await question(LocalApi(HttpFetch(node.home)))
            host = HostSettings.model_validate({"name": "x", "home": str(node.home)})
            return await question(LocalApi(CommandFetch(LocalShell(), cli_command(host))))

        with node.host.entered():  # what this thread starts is in there too
            return asyncio.run(ask())


@pytest.fixture(params=["HTTP", "zerotier-cli"])
def asking(
    request: pytest.FixtureRequest,
    zerotier_one: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Asking:
    """Both ways to ask."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "zerotier-cli").symlink_to(zerotier_one)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return Asking(request.param)


def test_what_a_node_tells_of_itself_and_of_others(
    root: OrreryRoot, joining: Joining, asking: Asking
) -> None:
    root.serve()
    leaf = joining("leaf")
    leaf.wait_online()
    status = asking(leaf, LocalApi.status)
    planet = World.decode(leaf.planet)
    assert f"{status.address:010x}" == leaf.address
    assert str(status.identity) == leaf.status()["publicIdentity"]
    assert (status.planet_id, status.planet_timestamp_ms) == (planet.id, planet.timestamp_ms)
    assert status.online
    assert status.version == leaf.status()["version"]
    assert status.primary_port == leaf.port
    assert status.home == str(leaf.home)
    assert f"{leaf.host.address}/{leaf.port}" in status.listening_on

    (peer,) = asking(leaf, LocalApi.peers)
    assert peer.address == parse_address(root.address)
    assert peer.is_root
    assert peer.path is not None
    assert str(peer.path.endpoint) == f"{root.host.address}/9993"
    assert peer.path.last_receive_ms > 0
    assert asking(leaf, lambda api: api.peer(peer.address)) is not None
    assert asking(leaf, lambda api: api.peer(parse_address("8056c2e21c"))) is None
    assert asking(leaf, LocalApi.moons) == ()


def test_a_moon_is_orbited_and_left(
    lab: Lab, root: OrreryRoot, zerotier_one: Path, asking: Asking
) -> None:
    moon_id = root.add_moon("moon", [f"{root.host.address}/9993"])
    root.command("key", "new", "--world", "moon")
    published = root.publish("moon")
    seed = parse_address(root.address)
    # It says which moons it wants in full HELLOs: every 225 s, or every 5 s while nobody answers.
    leaf = RealNode(lab.host("leaf"), zerotier_one, planet=root.planet).start()
    asking(leaf, lambda api: api.orbit(published.world.id, seed))
    assert asking(leaf, lambda api: api.moon(published.world.id)) is None
    root.serve()
    held = eventually(
        lambda: asking(leaf, lambda api: api.moon(published.world.id)),
        within_s=30,
        every_s=0.2,
        what="it holds the moon",
    )
    assert not held.waiting
    assert (held.id, held.timestamp_ms, held.signature, held.updates_must_be_signed_by) == (
        published.world.id,
        published.timestamp_ms,
        published.world.signature,
        published.world.updates_must_be_signed_by,
    )
    assert [(each.identity, each.endpoints) for each in held.roots] == [
        (each.identity, each.endpoints) for each in published.world.roots
    ]
    assert leaf.moon(moon_id) == published.encoded

    asking(leaf, lambda api: api.orbit(published.world.id, seed))  # again, and nothing changes
    assert asking(leaf, LocalApi.moons) == (held,)
    asking(leaf, lambda api: api.deorbit(published.world.id))
    assert asking(leaf, LocalApi.moons) == ()
    assert leaf.moon(moon_id) is None
    asking(leaf, lambda api: api.deorbit(published.world.id))


def test_what_is_wrong_is_told(lab: Lab, zerotier_one: Path, asking: Asking) -> None:
    node = RealNode(lab.host("node"), zerotier_one)
    with pytest.raises(HostError, match="zerotier-one has not run with this home"):
        asking(node, LocalApi.status)
    node.start()
    assert not asking(node, LocalApi.status).online

    token = node.home / "authtoken.secret"
    right = token.read_bytes()
    token.write_bytes(b"wrong")
    with pytest.raises(HostError, match="refuses the token of this home"):
        asking(node, LocalApi.status)
    with pytest.raises(HostError, match="refuses the token of this home"):
        asking(node, lambda api: api.orbit(1, parse_address("8056c2e21c")))
    token.write_bytes(right)

    node.stop()
    with pytest.raises(HostError, match=r"no zerotier-one .*answers.*: start it, or see in its"):
        asking(node, LocalApi.status)
    with pytest.raises(HostError, match=r"no zerotier-one .*answers"):
        asking(node, lambda api: api.deorbit(1))
