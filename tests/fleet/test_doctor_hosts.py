"""What `orrery doctor` says of hosts: each command that it names is really run, and mends."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orrery.doctor import Commands, Finding, Snapshot, examine, gather
from orrery.doctor.snapshot import Network
from tests.fleet.bed import Bed
from tests.fleet.scene import Scene

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh is installed")


@pytest.fixture
def scene(tmp_path: Path, bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr("orrery.doctor.gathering.look_at_network", lambda *_, **__: Network())
    made = Scene(tmp_path, bed, monkeypatch)
    yield made
    made.close()


def look(scene: Scene) -> Snapshot:
    return gather(scene.home.path)


def of_hosts(scene: Scene) -> dict[str, Finding]:
    """What is found about hosts, by its code."""
    path = scene.home.path
    found = examine(look(scene), Commands(path, f" --home {shlex.quote(str(path))}"))
    return {each.code: each for each in found if each.code.startswith("host")}


def mend(scene: Scene, code: str) -> None:
    """Do what a finding says; then it is gone."""
    for command in of_hosts(scene)[code].mend:
        words = shlex.split(command)
        if words[0] == "orrery":
            words = [sys.executable, "-m", *words]
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    assert code not in of_hosts(scene)


def test_a_host_that_is_behind(scene: Scene) -> None:
    assert "home" in of_hosts(scene)["host-behind"].sentence
    mend(scene, "host-behind")
    assert of_hosts(scene) == {}


def test_a_secret_of_a_host_that_others_read(scene: Scene) -> None:
    (scene.host.home / "identity.secret").chmod(0o644)
    assert of_hosts(scene)["host-mode"].sentence.startswith("host node-1: identity.secret is open")
    mend(scene, "host-mode")


def test_a_host_whose_service_does_not_run(scene: Scene) -> None:
    scene.host.stop()
    mend(scene, "host-service")
    assert scene.host.state().running


def test_a_host_that_is_not_reached(scene: Scene) -> None:
    scene.host.sshd.stop()
    found = of_hosts(scene)
    assert list(found) == ["host-unreachable"]
    assert found["host-unreachable"].mend[0].startswith("ssh ")


def test_hosts_are_left_alone_where_nobody_asks(scene: Scene) -> None:
    scene.host.sshd.stop()
    assert gather(scene.home.path, hosts=False).hosts.views == ()


def test_a_host_that_belongs_to_another_planet_is_told(scene: Scene) -> None:
    (scene.host.home / "planet").write_bytes((scene.host.directory / "earth").read_bytes())
    scene.host.restart()
    assert set(of_hosts(scene)) == {"host-refused"}
