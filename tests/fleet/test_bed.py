"""The model of a host does as the real one does, and the faults are those that were asked for."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from orrery.errors import HostError
from orrery.fleet.command_fetch import CommandFetch, cli_command
from orrery.fleet.local_api import LocalApi
from orrery.fleet.reaching import open_shell
from orrery.wire.world import WorldType
from orrery.worlds.earth import EARTH
from tests.fleet.bed import Bed, FakeHost, Trip, cut_commands
from tests.unit.store.making import world

if TYPE_CHECKING:
    from pathlib import Path

    from orrery.fleet.shell import Shell

OLD = world(1000)
NEW = world(2000)
MOON = world(500, world_type=WorldType.MOON, world_id=0x8056C2E21C)


def api_of(shell: Shell, host: FakeHost) -> LocalApi:
    return LocalApi(CommandFetch(shell, cli_command(host.settings())))


async def test_a_host_tells_what_it_runs(bed: Bed, tmp_path: Path) -> None:
    host = bed.host("node-1", planet=OLD, moons=[MOON])
    async with open_shell(host.settings(), tmp_path) as shell:
        api = api_of(shell, host)
        status = await api.status()
        assert status.address == host.address
        assert (status.planet_id, status.planet_timestamp_ms) == (OLD.id, 1000)
        assert status.online
        (peer,) = await api.peers()
        assert peer.address == OLD.roots[0].identity.address
        assert peer.is_root
        (moon,) = await api.moons()
        assert (moon.id, moon.timestamp_ms) == (MOON.id, 500)
    host.check_settled(OLD)


async def test_files_are_read_at_the_start_alone(bed: Bed, tmp_path: Path) -> None:
    host = bed.host("node-1", planet=OLD)
    async with open_shell(host.settings(), tmp_path) as shell:
        await shell.run(f"cat >{host.home}/planet", NEW.encode())
        assert (await api_of(shell, host).status()).planet_timestamp_ms == 1000
        await shell.run(host.settings().restart_command)
        assert (await api_of(shell, host).status()).planet_timestamp_ms == 2000
    host.check_settled(NEW)
    host.receive(world(3000))
    host.check_settled(world(3000))
    assert host.state().starts == 2


@pytest.mark.parametrize("data", [None, b"", OLD.encode()[:-1], MOON.encode()])
def test_a_planet_that_is_broken_is_written_over(bed: Bed, data: bytes | None) -> None:
    host = bed.host("node-1", planet=OLD)
    if data is None:
        (host.home / "planet").unlink()
    else:
        (host.home / "planet").write_bytes(data)
    host.restart()
    assert host.planet() == EARTH.encode()
    assert host.state().fell_back
    with pytest.raises(AssertionError, match="no whole planet"):
        host.check_whole(OLD)


async def test_a_moon_comes_when_it_is_orbited(bed: Bed, tmp_path: Path) -> None:
    host = bed.host("node-1", planet=OLD)
    async with open_shell(host.settings(), tmp_path) as shell:
        api = api_of(shell, host)
        await api.orbit(MOON.id, MOON.roots[0].identity.address)
        assert await api.moons() == ()
        assert host.state().moons == {MOON.id: 0}
        host.order(hands={MOON.id: MOON})
        assert [moon.timestamp_ms for moon in await api.moons()] == [500]
        assert (host.home / f"moons.d/{MOON.id:016x}.moon").read_bytes() == MOON.encode()
        await api.deorbit(MOON.id)
        assert list((host.home / "moons.d").iterdir()) == []


async def test_a_moon_that_is_orbited_is_read_from_its_file(bed: Bed, tmp_path: Path) -> None:
    host = bed.host("node-1", planet=OLD)
    (host.home / f"moons.d/{MOON.id:016x}.moon").write_bytes(MOON.encode())
    async with open_shell(host.settings(), tmp_path) as shell:
        api = api_of(shell, host)
        assert await api.moons() == ()
        await api.orbit(MOON.id, MOON.roots[0].identity.address)
        assert [moon.timestamp_ms for moon in await api.moons()] == [500]


@pytest.mark.parametrize(
    ("platform", "more"),
    [("linux", {}), ("openwrt", {}), ("freebsd", {}), ("macos", {}), ("linux", {"sudo": True})],
)
async def test_every_platform_restarts(
    bed: Bed, tmp_path: Path, platform: str, more: dict[str, Any]
) -> None:
    host = bed.host("node-1", planet=OLD, platform=platform)
    settings = host.settings(**more)
    sudo = "sudo -n " if settings.sudo else ""
    async with open_shell(settings, tmp_path) as shell:
        assert (await shell.run(sudo + settings.restart_command)).status == 0
    assert host.state().starts == 2
    assert host.state().running


@pytest.mark.parametrize("mounted", [True, False])
async def test_a_container(bed: Bed, tmp_path: Path, mounted: bool) -> None:
    host = bed.host("node-1", planet=OLD, platform="docker", mounted=mounted)
    async with open_shell(host.settings(), tmp_path) as shell:
        assert (await api_of(shell, host).status()).planet_timestamp_ms == 1000
        file = tmp_path / "new"
        file.write_bytes(NEW.encode())
        copied = await shell.run(f"docker cp {file} zerotier:/var/lib/zerotier-one/planet")
        assert copied.status == 0
        told = await shell.run("docker exec zerotier cat /var/lib/zerotier-one/planet")
        assert told.out == NEW.encode()
        mounts = json.loads((await shell.run("docker inspect zerotier")).out)[0]["Mounts"]
        assert bool(mounts) == mounted
        assert (await shell.run("docker restart other")).status == 1
        assert (await shell.run("docker restart zerotier")).status == 0
        assert (await api_of(shell, host).status()).planet_timestamp_ms == 2000


async def test_what_it_is_ordered_to_do(bed: Bed, tmp_path: Path) -> None:
    host = bed.host("node-1", planet=OLD)
    async with open_shell(host.settings(), tmp_path) as shell:
        api = api_of(shell, host)
        host.order(stays_down=[2], asks_until_up=1, asks_until_online=2)
        host.restart()
        with pytest.raises(HostError, match="no zerotier-one answers"):
            await api.status()
        assert [(await api.status()).online for _ in range(2)] == [False, True]
        host.restart()
        assert not host.state().running
        host.obey()
        host.order(dies_of=[2000], tells_failure=True, reports=77, version="1.10.6", offline=True)
        host.restart()
        status = await api.status()
        assert (status.planet_timestamp_ms, status.version) == (77, "1.10.6")
        assert not status.online
        (host.home / "planet").write_bytes(NEW.encode())
        assert (await shell.run(host.settings().restart_command)).status == 1
        assert not host.state().running


@pytest.mark.parametrize("how", Trip)
async def test_something_happens_at_a_command(bed: Bed, tmp_path: Path, how: Trip) -> None:
    host = bed.host("node-1", planet=OLD)
    one, two, three = (host.home / name for name in ("one", "two", "three"))
    async with open_shell(host.settings(), tmp_path) as shell:
        host.trip(2, how)
        done = await shell.run(f"mkdir {one}; mkdir {two}; mkdir {three}; exit 0")
        died = how is not Trip.FAIL
        assert done.status == (137 if died else 0)
        assert one.exists()
        assert two.exists() == (how is Trip.DIE_AFTER)
        assert three.exists() != died
        assert host.trips == ["mkdir", "mkdir"] + ["mkdir"] * (not died)
        host.watch()
        assert (await shell.run(f"rmdir {one}")).status == 0


async def test_cuts_between_commands(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orrery.fleet import reaching

    host = bed.host("node-1", planet=OLD)
    cuts = cut_commands(monkeypatch)
    async with reaching.open_shell(host.settings(), tmp_path) as shell:
        cuts.at(after=2)
        assert (await shell.run(f"mkdir {host.home}/a")).status == 0
        with pytest.raises(HostError, match="cut after"):
            await shell.run(f"mkdir {host.home}/b")
        with pytest.raises(HostError, match="cut before"):
            await shell.run(f"mkdir {host.home}/c")
        cuts.mend()
        there = (await shell.run(f"ls {host.home}")).out.split()
        assert b"a" in there
        assert b"b" in there
        assert b"c" not in there
    cuts.at(before=1)
    async with reaching.open_shell(host.settings(), tmp_path) as shell:
        with pytest.raises(HostError, match="cut before"):
            await shell.run(f"mkdir {host.home}/d")
    with pytest.raises(HostError, match="cannot be reached"):
        await reaching.open_shell(host.settings(), tmp_path).__aenter__()


async def test_a_small_disk(bed: Bed, tmp_path: Path) -> None:
    host = bed.host("node-1", planet=OLD)
    if reason := host.small_disk(256 << 10):
        pytest.skip(reason)
    host.fill_disk(4096)
    async with open_shell(host.settings(), tmp_path) as shell:
        done = await shell.run(f"cat >{host.home}/big", bytes(64 << 10))
        assert done.status != 0
        assert b"No space left on device" in done.err
    host.free_disk()
    (host.home / "big").unlink()
    host.check_settled(OLD)


async def test_this_machine_as_a_host(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = bed.host("node-1", planet=OLD)
    host.local(monkeypatch)
    settings = host.settings(local=True)
    async with open_shell(settings, tmp_path) as shell:
        assert (await api_of(shell, host).status()).planet_timestamp_ms == 1000
        host.trip(1, Trip.DIE_BEFORE)
        assert (await shell.run("mkdir x; echo no")).status == 137


async def test_nothing_is_left_of_a_host(bed: Bed, tmp_path: Path) -> None:
    host = bed.host("node-1", planet=OLD)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with open_shell(host.settings(), tmp_path) as shell:
        await shell.run(f"(exec >{fifo}; sleep 1000) >/dev/null 2>&1 </dev/null &")
        with fifo.open("rb") as held:
            host.die()
            assert held.read() == b""
