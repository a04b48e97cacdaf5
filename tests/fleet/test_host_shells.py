"""`host.sh` under the shells that hosts have, and with things planted in a home of others."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from orrery.fleet import Result
from orrery.fleet.host_script import script_text
from tests.fleet.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.bed import Bed

SHELLS = ("dash", "bash", "busybox")


@pytest.fixture(params=SHELLS)
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """A home and a host whose `sh` is one of the shells."""
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not installed")
    scene = Scene(tmp_path, bed, monkeypatch)
    (scene.host.directory / "bin" / "sh").symlink_to(found)
    yield scene
    scene.close()


async def test_installs(scene: Scene) -> None:
    outcome = await scene.deploy()
    assert outcome.result is Result.DEPLOYED, outcome
    scene.host.check_settled(scene.new)
    assert (await scene.deploy()).result is Result.UP_TO_DATE


async def test_puts_back(scene: Scene) -> None:
    scene.host.order(dies_of=[scene.new.timestamp_ms])
    outcome = await scene.deploy()
    assert outcome.result is Result.PUT_BACK, outcome
    scene.host.check_settled(scene.old)


async def test_keeps_owner_and_mode(scene: Scene) -> None:
    planet = scene.host.home / "planet"
    planet.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(planet, 4321, 8765)
    before = planet.stat()
    assert (await scene.deploy()).result is Result.DEPLOYED
    after = planet.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert planet.read_bytes() == scene.new.encode()


async def test_a_damaged_file_is_never_put_back(scene: Scene) -> None:
    planet = scene.host.home / "planet"
    planet.write_bytes(scene.old.encode()[:100])
    scene.host.order(offline=True)
    await scene.deploy()
    assert planet.read_bytes() == scene.new.encode()


@pytest.mark.parametrize("name", ["planet", "moons.d"])
async def test_a_link_in_place_of_a_file_is_refused(
    scene: Scene, tmp_path: Path, name: str
) -> None:
    place, elsewhere = scene.host.home / name, tmp_path / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    before = [path.name for path in tmp_path.iterdir()]
    outcome = await scene.deploy()
    assert outcome.result is Result.REFUSED
    assert f"/{name} is a symbolic link" in outcome.sentence
    assert place.is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == before
    assert elsewhere.is_dir() or elsewhere.read_bytes() == scene.old.encode()


async def test_what_a_link_points_to_is_not_fetched(scene: Scene, tmp_path: Path) -> None:
    secret = tmp_path / "shadow"
    secret.write_text("a secret of root")
    for name in ("identity.public", "local.conf"):
        (scene.host.home / name).unlink()
        (scene.host.home / name).symlink_to(secret)
    outcome = await scene.deploy()
    assert outcome.result is Result.DEPLOYED, outcome
    kept = [path for path in scene.home.backups.rglob("*") if path.is_file()]
    assert kept
    assert all(b"secret of root" not in path.read_bytes() for path in kept)


async def test_a_directory_of_others_in_place_of_ours_is_refused(
    scene: Scene, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (scene.host.home / ".orrery-deploy").symlink_to(theirs)
    outcome = await scene.deploy()
    assert outcome.result is Result.FAILED
    assert "nothing was changed there" in outcome.sentence
    assert not list(theirs.iterdir())
    scene.host.check_whole(scene.old)


async def test_a_link_that_is_put_there_at_the_last_moment_is_not_followed(
    scene: Scene, tmp_path: Path
) -> None:
    elsewhere, place = tmp_path / "elsewhere", scene.host.home / "planet"
    elsewhere.mkdir()
    mv = scene.host.directory / "bin" / "mv"
    mv.write_text(
        f"""#!/bin/sh
case $* in *planet*) {shutil.which("ln")} -sfn {elsewhere} {place} ;; esac
exec {shutil.which("mv")} "$@"
"""
    )
    outcome = await scene.deploy()
    assert not list(elsewhere.iterdir())
    assert outcome.result is Result.DEPLOYED, outcome
    scene.host.check_settled(scene.new)


async def test_what_is_started_makes_files_that_others_can_read(scene: Scene) -> None:
    made = scene.host.directory / "made"
    text = scene.home.settings_path.read_text()
    restart = f'restart = "systemctl restart zerotier-one && >{made}"'
    scene.home.settings_path.write_text(
        text.replace('name = "node-1"\n', f'name = "node-1"\n{restart}\n')
    )
    outcome = await scene.deploy()
    assert outcome.result is Result.DEPLOYED, outcome
    assert made.stat().st_mode & 0o777 == 0o644


async def test_a_journal_that_others_can_change_is_refused(scene: Scene) -> None:
    (scene.host.directory / "user" / ".orrery.d").mkdir(mode=0o777)
    (scene.host.directory / "user" / ".orrery.d").chmod(0o777)
    outcome = await scene.deploy()
    assert outcome.result is Result.FAILED
    assert "belongs to somebody else or is open to others" in outcome.sentence
    scene.host.check_whole(scene.old)


def test_a_deploy_is_seen_to_run_where_there_is_no_proc(tmp_path: Path) -> None:
    """As on macOS and FreeBSD, where `ps` fits what it tells to a terminal of 80 columns."""
    real = shutil.which("ps")
    if real is None:
        pytest.skip("ps is not installed")
    ps = tmp_path / "ps"
    ps.write_text(
        f'#!/bin/sh\ncase $* in *-ww*) exec {real} "$@" ;; *) {real} "$@" | cut -c1-79 ;; esac\n'
    )
    ps.chmod(0o755)
    script = script_text().decode().replace("/proc/", "/nowhere/")
    main, call = 'main "$@"\n', 'is_running "$1"\n'
    assert script.endswith(main)
    running = tmp_path / ("of-a-long-name-" * 8) / "host.sh"
    running.parent.mkdir()
    running.write_text("read -r _\n")
    path = f"{tmp_path}:{os.environ['PATH']}"
    with subprocess.Popen(["sh", running], stdin=subprocess.PIPE) as process:
        command = ["sh", "-s", str(process.pid)]
        asked = script.removesuffix(main) + call
        found = subprocess.run(
            command, input=asked.encode(), env=os.environ | {"PATH": path}, check=False
        )
        process.communicate(b"\n")
        assert found.returncode == 0
    gone = subprocess.run(
        command, input=asked.encode(), env=os.environ | {"PATH": path}, check=False
    )
    assert gone.returncode == 1
