"""A planet that the official tools made and an official root served, adopted with its leaves."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from orrery.home import Home, SettingsEditor
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import EARTH_ID, World
from tests.interop.lab import eventually
from tests.interop.orreryroot import COMMAND, orrery, wall_ms, written_ms
from tests.interop.realnode import IdTool, RealNode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.conftest import Measured
    from tests.interop.lab import Lab

pytestmark = pytest.mark.interop

HELLO_S = 240.0
"""Longer than a leaf waits between two HELLOs: 225 s."""


def test_real_leaves_follow_an_official_root_that_orrery_took_over(
    lab: Lab, zerotier_one: Path, idtool: IdTool
) -> None:
    host = lab.host("root")
    secret = idtool.generate()
    spec = idtool.planet_spec(EARTH_ID, {secret: [f"{host.address}/9993"]})
    planet = idtool.genmoon(spec)
    official = RealNode(host, zerotier_one, planet=planet, identity=secret).start()
    for path, content in (
        (official.home / "planet.json", json.dumps(spec).encode()),
        (host.directory / "dist" / "planet", planet),
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    leaf = RealNode(lab.host("leaf"), zerotier_one, planet=planet).start()
    leaf.wait_path(official.address)
    process = leaf.daemon.pid

    home = host.directory / "orrery"
    told = json.loads(orrery("adopt", host.directory / "zerotier-one", host.directory / "dist",
                             "--home", home, "--json"))  # fmt: skip
    assert [world["can"] for world in told["worlds"]] == ["everything"]
    assert told["root"]["role"] == "in-place"
    assert {finding["code"] for finding in told["findings"]} >= {"exposed-secret"}
    assert (home / "planet").read_bytes() == planet

    official.stop()
    serving = host.run([*COMMAND, "serve", "--home", str(home)], cwd=home)
    serving.wait_line(r'"event": "serving"', within_s=20)
    with Home.open(home, writer=True) as opened:
        editor = SettingsEditor(opened.settings_path.read_text())
        both = [Endpoint.from_text(f"{host.address}/{port}") for port in (9993, 443)]
        editor.set_endpoints("planet", "root-1", both)
        opened.save_settings(editor.text())
    orrery("publish", "--home", home)
    newest = (home / "planet").read_bytes()
    assert World.decode(newest).timestamp_ms > World.decode(planet).timestamp_ms
    # A leaf notices nothing of the change, and says its next HELLO when that is due.
    leaf.wait_planet(newest, within_s=HELLO_S)
    assert leaf.daemon.pid == process


@pytest.mark.parametrize("order", ["adopt, then stop", "stop, then adopt"])
def test_the_leaves_of_an_official_root_are_greeted_by_who_takes_its_place(
    lab: Lab, zerotier_one: Path, idtool: IdTool, measured: Measured, order: str
) -> None:
    host = lab.host("root")
    secret = idtool.generate()
    spec = idtool.planet_spec(EARTH_ID, {secret: [f"{host.address}/9993"]})
    planet = idtool.genmoon(spec)
    official = RealNode(host, zerotier_one, planet=planet, identity=secret)
    (official.home / "planet.json").write_text(json.dumps(spec))
    official.start()
    leaves = [RealNode(lab.host(f"leaf{n}"), zerotier_one, planet=planet) for n in range(2)]
    for leaf in leaves:
        leaf.start().wait_path(official.address)
    processes = [leaf.daemon.pid for leaf in leaves]

    home = host.directory / "orrery"
    adopt = ("adopt", official.home, "--home", home, "--json")
    if order == "adopt, then stop":
        orrery(*adopt)
    # Only now does it write down whom it knows.
    official.stop()
    names = {path.stem for path in (official.home / "peers.d").iterdir()}
    assert names == {leaf.address for leaf in leaves}
    if order == "stop, then adopt":
        orrery(*adopt)
        shutil.rmtree(official.home)  # what was taken over is enough
    nodes = ("nodes", "--home", home, "--json")
    assert json.loads(orrery(*nodes)) == []  # nobody counts who has not answered

    serving = host.run([*COMMAND, "serve", "--home", str(home)], cwd=home)
    serving.wait_line(r'"event": "serving"', within_s=20)
    began_ms = wall_ms()

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(orrery(*nodes))
        return found if len(found) == len(leaves) else []

    found = eventually(listed, within_s=20, what="all leaves are listed")
    assert {node["address"] for node in found} == names
    held = World.decode(planet).timestamp_ms
    assert {(world["timestamp_ms"]) for node in found for world in node["worlds"]} == {held}
    seen_ms = max(node["last_seen_ms"] for node in found) - began_ms
    measured(f"an official root is taken over ({order}): from serving to leaves listed",
             f"{seen_ms:.0f} ms")  # fmt: skip
    # And they follow, with the first question that they ask, not with their next HELLO.
    with Home.open(home, writer=True) as opened:
        editor = SettingsEditor(opened.settings_path.read_text())
        both = [Endpoint.from_text(f"{host.address}/{port}") for port in (9993, 443)]
        editor.set_endpoints("planet", "root-1", both)
        opened.save_settings(editor.text())
    orrery("publish", "--home", home)
    newest = (home / "planet").read_bytes()
    for leaf in leaves:
        leaf.wait_planet(newest, within_s=20)
    file_ms = max(written_ms(leaf.home / "planet") for leaf in leaves)
    measured("  from the timestamp of its first revision to their files",
             f"{file_ms - World.decode(newest).timestamp_ms:.0f} ms")  # fmt: skip
    assert [leaf.daemon.pid for leaf in leaves] == processes
