"""Deploys to containers, by sudo, to OpenWrt, and of moons."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from orrery.fleet import Result, look_at
from orrery.home import publish
from orrery.wire.world import WorldType
from tests.fleet.scene import Scene
from tests.unit.store.making import NOW_MS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.bed import Bed


@pytest.mark.parametrize("mounted", [True, False])
async def test_a_container(
    tmp_path: Path, bed: Bed, monkeypatch: pytest.MonkeyPatch, mounted: bool
) -> None:
    scene = Scene(tmp_path, bed, monkeypatch, platform="docker", mounted=mounted)
    (view,) = await look_at(scene.home)
    assert view.is_inside is not mounted
    outcome = await scene.deploy()
    assert outcome.result is Result.DEPLOYED, outcome
    scene.host.check_settled(scene.new)
    scene.close()


@pytest.mark.parametrize("mounted", [True, False])
async def test_a_container_that_does_not_do_with_it(
    tmp_path: Path, bed: Bed, monkeypatch: pytest.MonkeyPatch, mounted: bool
) -> None:
    scene = Scene(tmp_path, bed, monkeypatch, platform="docker", mounted=mounted)
    scene.host.order(dies_of=[scene.new.timestamp_ms])
    outcome = await scene.deploy()
    assert outcome.result is Result.PUT_BACK, outcome
    scene.host.check_settled(scene.old)
    scene.close()


@pytest.mark.parametrize("platform", ["openwrt", "freebsd"])
async def test_other_systems(
    tmp_path: Path, bed: Bed, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    scene = Scene(tmp_path, bed, monkeypatch, platform=platform)
    outcome = await scene.deploy()
    assert outcome.result is Result.DEPLOYED, outcome
    scene.host.check_settled(scene.new)
    scene.close()


MOON_ID = 0x6E133E061D
MOON = f"""
[[world]]
name = "moon"
kind = "moon"
id = "{MOON_ID:010x}"

[[world.root]]
name = "root-1"
"""


async def test_a_moon_comes_without_a_restart_and_its_next_revision_with_one(
    tmp_path: Path, bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, bed, monkeypatch)
    assert (await scene.deploy()).result is Result.DEPLOYED
    starts = scene.host.state().starts
    text = scene.home.settings_path.read_text()
    identity = next(line for line in text.splitlines() if line.startswith("identity = "))
    scene.say(f'{MOON}{identity}\nendpoints = ["203.0.113.7:9993"]\n')
    settings = scene.home.settings_path.read_text()
    worlds = 'worlds = ["home", "moon"]\n'
    scene.home.settings_path.write_text(
        settings.replace(f'name = "{scene.host.name}"\n', f'name = "{scene.host.name}"\n{worlds}')
    )
    refused = await scene.deploy()
    assert (refused.result, "orrery publish moon" in refused.sentence) == (Result.REFUSED, True)
    for number in (1, 2):
        endpoints = ", ".join(f'"203.0.113.{each}:9993"' for each in range(7, 7 + number))
        before, _, after = scene.home.settings_path.read_text().rpartition("endpoints = ")
        scene.home.settings_path.write_text(
            f"{before}endpoints = [{endpoints}]{after[after.index(chr(10)) :]}"
        )
        scene.home.acquire()
        if number == 1:
            scene.home.keys.new_key(MOON_ID, os.urandom)
        world = publish(scene.home, "moon", NOW_MS + number).world
        scene.home.release()
        assert world.type is WorldType.MOON
        outcome = await scene.deploy()
        assert (outcome.result, outcome.restarted) == (Result.DEPLOYED, number == 2), outcome
        assert scene.host.state().moons == {MOON_ID: world.timestamp_ms}
        file = scene.host.home / "moons.d" / f"{MOON_ID:016x}.moon"
        assert file.read_bytes() == world.encode()
        assert file.stat().st_mode & 0o777 == 0o644
    assert scene.host.state().starts == starts + 1
    assert (await scene.deploy()).result is Result.UP_TO_DATE
    scene.close()
