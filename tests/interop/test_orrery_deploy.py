"""`deploy` with a real zerotier-one: installed, put back, repaired; a moon without a restart."""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from orrery.fleet import Outcome, Result, deploy
from orrery.home import Home
from orrery.worlds.earth import EARTH
from tests.interop.lab import POLL_S
from tests.interop.realnode import RealNode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.lab import Host, Lab
    from tests.interop.orreryroot import OrreryRoot

pytestmark = pytest.mark.interop


class ServiceNode(RealNode):
    """A zerotier-one that is started again when it ends, but not with a forbidden planet."""

    def __init__(self, host: Host, binary: Path) -> None:
        super().__init__(host, binary)
        self.forbidden = host.directory / "forbidden"

    def start(self, *, within_s: float = 20.0) -> ServiceNode:
        words = [str(self._binary), "-U", f"-p{self.port}", str(self.home)]
        keep = f"""while :; do
            cmp -s planet {shlex.quote(str(self.forbidden))} || {shlex.join(words)}
            sleep {POLL_S}
        done"""
        self._daemon = self.host.run(["/bin/sh", "-c", keep], cwd=self.home)
        self._eventually(self._answers, within_s, "its local API answers")
        return self

    def _answers(self) -> bool:
        try:
            return bool(self.status())
        except (OSError, ValueError):
            return False

    @property
    def toml(self) -> str:
        """Its `[[host]]`, as seen from its own machine."""
        pid = shlex.quote(str(self.home / "zerotier-one.pid"))
        return f"""
[[host]]
name = "{self.host.name}"
home = {json.dumps(str(self.home))}
restart = {json.dumps(f'process=$(cat {pid}); rm -f {pid}; kill "$process" || :')}

[deploy]
timeout = "20s"
"""


@pytest.fixture
def node(
    lab: Lab, root: OrreryRoot, zerotier_one: Path, monkeypatch: pytest.MonkeyPatch
) -> ServiceNode:
    """A node on the official planet, which is a host of the root's home."""
    leaf = lab.host("leaf")
    tools = leaf.directory / "bin"
    tools.mkdir()
    for name in ("zerotier-one", "zerotier-cli"):
        (tools / name).symlink_to(zerotier_one)
    monkeypatch.setenv("HOME", str(leaf.directory))
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    node = ServiceNode(leaf, zerotier_one).start()
    settings = root.home / "orrery.toml"
    settings.write_text(settings.read_text() + node.toml)
    return node


def deploy_from(root: OrreryRoot, node: ServiceNode, **more: Any) -> Outcome:
    """Deploy to a node on its own machine."""
    with Home.open(root.home) as home, node.host.entered():
        (outcome,) = asyncio.run(deploy(home, **more))
    return outcome


def process_of(node: RealNode) -> int:
    return int((node.home / "zerotier-one.pid").read_text())


def test_a_node_of_the_official_planet_is_given_ours(root: OrreryRoot, node: ServiceNode) -> None:
    root.serve()
    assert node.status()["planetWorldId"] == EARTH.id
    refused = deploy_from(root, node)
    assert (refused.result, "--replace" in refused.sentence) == (Result.REFUSED, True)

    done = deploy_from(root, node, replace=True)
    assert done.result is Result.DEPLOYED, done
    assert node.planet == root.planet
    node.wait_online()
    assert deploy_from(root, node).result is Result.UP_TO_DATE

    # In band from now on; a file that was damaged is written without a restart.
    root.set_endpoints([f"{root.host.address}:9993", f"{root.host.address}:9994"])
    second = root.publish()
    node.wait_planet(second.encoded)
    process = process_of(node)
    (node.home / "planet").write_bytes(b"damaged")
    mended = deploy_from(root, node)
    assert (mended.result, mended.restarted) == (Result.DEPLOYED, False), mended
    assert (node.planet, process_of(node)) == (second.encoded, process)


def test_what_the_service_does_not_do_with_is_put_back(root: OrreryRoot, node: ServiceNode) -> None:
    assert deploy_from(root, node, replace=True).result is Result.DEPLOYED
    first = node.planet
    # Nobody serves: what is new comes by file or not at all.
    root.set_endpoints([f"{root.host.address}:9993", f"{root.host.address}:9994"])
    second = root.publish()
    node.forbidden.write_bytes(second.encoded)
    back = deploy_from(root, node)
    assert back.result is Result.PUT_BACK, back
    assert node.planet == first
    assert node.status()["planetWorldTimestamp"] < second.world.timestamp_ms

    node.forbidden.unlink()
    assert deploy_from(root, node).result is Result.DEPLOYED
    assert node.planet == second.encoded
    assert node.status()["planetWorldTimestamp"] == second.world.timestamp_ms


def test_a_moon_comes_without_a_restart(root: OrreryRoot, node: ServiceNode) -> None:
    assert deploy_from(root, node, replace=True).result is Result.DEPLOYED
    moon_id = root.add_moon("moon", [f"{root.host.address}:9993"])
    root.command("key", "new", "--world", "moon")
    root.publish("moon")
    settings = root.home / "orrery.toml"
    name = f'name = "{node.host.name}"\n'
    settings.write_text(settings.read_text().replace(name, f'{name}worlds = ["planet", "moon"]\n'))
    process = process_of(node)
    done = deploy_from(root, node)
    assert (done.result, done.restarted, done.installed) == (Result.DEPLOYED, False, ("moon",))
    assert node.moon(moon_id) == root.moon(moon_id)
    assert moon_id in node.moons()
    assert process_of(node) == process
