"""A planet that the official tools made and an official root served, adopted with its leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orrery.home import Home, SettingsEditor
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import EARTH_ID, World
from tests.interop.orreryroot import COMMAND, orrery
from tests.interop.realnode import IdTool, RealNode

if TYPE_CHECKING:
    from pathlib import Path

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
