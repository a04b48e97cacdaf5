"""Whatever fails in a deploy: the host ends with a whole World that runs, and the next mends it.

Real sshd, the real `host.sh`; see `tests.fleet.bed` for what is a model.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from orrery.errors import ConflictError, UnreadableError
from orrery.fleet import Outcome, Result, deploy, deploying
from orrery.home import Home, publish
from tests.fleet.bed import Trip, cut_commands
from tests.fleet.scene import Scene
from tests.fleet.sshd import write_key
from tests.unit.home.making import ELSEWHERE, ONE, TWO, want
from tests.unit.home.test_backups_by_themselves import Safe
from tests.unit.server.serving import LIMIT_S, eventually
from tests.unit.store.making import NOW_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fleet.bed import Bed

    MakeScene = Callable[..., Scene]

COMMANDS = ("prepare", "/host.sh", "/by", "/new/planet", "/plan", "start", "state", "forget")
SELDOM = ("/host.sh", "/by", "/new/planet", "/plan", "forget")


@pytest.fixture
def make_scene(tmp_path: Path, bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeScene]:
    """Makes homes with a host each."""
    scenes: list[Scene] = []

    def make(**kind: Any) -> Scene:
        number = len(scenes) + 1
        directory = tmp_path / f"scene-{number}"
        directory.mkdir()
        scenes.append(Scene(directory, bed, monkeypatch, name=f"node-{number}", **kind))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.close()


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    """A home and its host."""
    return make_scene()


async def deploy_impatiently(scene: Scene) -> Outcome:
    """Deploy, and give up soon when there is no word from the host any more."""
    with pytest.MonkeyPatch.context() as patch:
        # It waits for four times the timeout and this.
        patch.setattr("orrery.fleet.deploying._HANGS_S", -9.8)
        return await scene.deploy()


async def check_mended(scene: Scene, *, was_cut: bool = False) -> None:
    """The host has a whole World, and the next deploy brings the new one."""
    host = scene.host
    await eventually(host.is_idle)
    host.check_whole(scene.old, scene.new)
    host.watch()
    host.obey()
    outcome = await scene.deploy()
    assert outcome.is_good, outcome
    await eventually(host.is_idle)
    host.check_settled(scene.new, was_cut=was_cut)
    check_kept_backups(scene)
    again = await scene.deploy()
    assert again.result is Result.UP_TO_DATE


def check_kept_backups(scene: Scene) -> None:
    """What is kept of the host is whole, has no secrets, and nobody else can read it."""
    assert not list(scene.host.deploys.rglob("local.conf")), "it may have passwords"
    secret = scene.host.identity.to_string(secret=True).rpartition(":")[2]
    folder = scene.home.backups / "hosts"
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
        if path.is_file():
            assert secret not in path.read_text("latin-1"), path
        assert path.name != "local.conf", "it may have passwords"
        if path.name == "planet":
            assert path.read_bytes() in (scene.old.encode(), scene.new.encode())


async def test_all_goes_well(scene: Scene) -> None:
    outcome = await scene.deploy()
    assert outcome.result is Result.DEPLOYED, outcome
    scene.host.check_settled(scene.new)
    assert scene.host.state().starts == 2
    assert outcome.backup is not None
    assert (outcome.backup / "planet").read_bytes() == scene.old.encode()
    check_kept_backups(scene)
    assert scene.host.backups() == [scene.old.encode()]
    assert scene.host.deploys.stat().st_mode & 0o077 == 0
    assert (await scene.deploy()).result is Result.UP_TO_DATE
    assert scene.host.state().starts == 2


async def test_a_dry_run_changes_nothing(scene: Scene) -> None:
    before = scene.host.modes()
    outcome = await scene.deploy(dry_run=True)
    assert outcome.result is Result.WOULD_DEPLOY
    assert scene.host.trips == []
    assert not scene.host.deploys.exists()
    scene.host.check_settled(scene.old)
    assert scene.host.modes() == before


@pytest.mark.parametrize(
    "shell",
    [
        "busybox sh",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("dash", "bash --posix")),
    ],
)
async def test_every_kind_of_sh(make_scene: MakeScene, shell: str) -> None:
    program, *_ = shell.split()
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} here")
    scene = make_scene(shell=shell)
    scene.host.order(dies_of=[scene.new.timestamp_ms])
    outcome = await scene.deploy()
    assert outcome.result is Result.PUT_BACK, outcome
    scene.host.check_settled(scene.old)
    await check_mended(scene)


# The connection


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "command",
    [pytest.param(name, marks=pytest.mark.slow if name in SELDOM else ()) for name in COMMANDS],
)
async def test_a_connection_that_is_cut(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, command: str, when: str
) -> None:
    cuts = cut_commands(monkeypatch)
    cuts.at(**{when: command})
    outcome = await deploy_impatiently(scene)
    assert cuts.is_cut
    assert not outcome.is_good or command == "forget"
    cuts.mend()
    await check_mended(scene)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
async def test_cuts_at_every_command(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    cuts = cut_commands(monkeypatch)
    for number in itertools.count(1):
        scene = make_scene()
        cuts.at(**{when: number})
        await deploy_impatiently(scene)
        was_cut = cuts.is_cut
        cuts.mend()
        await check_mended(scene)
        if not was_cut:
            break
    assert number > len(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["to_host", "from_host"])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8, 0.95])
async def test_a_line_that_is_cut_somewhere(make_scene: MakeScene, way: str, share: float) -> None:
    whole = make_scene()
    await whole.deploy()
    scene = make_scene()
    most = int(getattr(whole.host.line, way) * share)
    scene.host.line.cut_at(**{way: most})
    await deploy_impatiently(scene)
    scene.host.line.mend()
    await check_mended(scene)


async def test_a_connection_that_comes_back(scene: Scene) -> None:
    """As when the host is reached through the network that its node makes."""
    host = scene.host
    host.order(asks_until_up=2)
    told: list[str] = []

    def progress(_name: str, step: str, _words: str) -> None:
        if step not in told:
            told.append(step)
            if step == "restart":
                host.line.cut()
                host.sshd.kill()

    outcome = await scene.deploy(progress=progress)
    assert outcome.result is Result.DEPLOYED, outcome
    host.check_settled(scene.new)


async def test_a_wrong_host_key(scene: Scene, bed: Bed, tmp_path: Path) -> None:
    other = write_key(tmp_path / "other").with_name("other.pub").read_text()
    known = bed.credentials.known_hosts
    right = known.read_text()
    known.write_text(f"[127.0.0.1]:{scene.host.sshd.port} {other}")
    outcome = await scene.deploy()
    assert outcome.result is Result.UNREACHABLE
    assert "its host key has changed" in outcome.sentence
    assert scene.host.commands()[1:] == []
    scene.host.check_settled(scene.old)
    known.write_text(right)
    await check_mended(scene)


# The host


async def sweep(make_scene: MakeScene, how: Trip, numbers: Iterator[int]) -> int:
    """Let something happen at these of the host's commands; how far it got."""
    number = 0
    for number in numbers:
        scene = make_scene()
        scene.host.trip(number, how)
        await scene.deploy()
        await eventually(scene.host.is_idle)
        trips = scene.host.trips
        was_reached = len(trips) >= number
        try:
            await check_mended(scene, was_cut=was_reached)
        except AssertionError as error:
            error.add_note(f"{how} at {number}: {trips[:number]}")
            raise
        if not was_reached:
            break
    return number


@pytest.mark.slow
@pytest.mark.parametrize("how", Trip)
async def test_a_host_that_dies_or_fails_at_every_command(make_scene: MakeScene, how: Trip) -> None:
    assert await sweep(make_scene, how, itertools.count(1)) > 20


@pytest.mark.parametrize(
    ("command", "how"),
    [("systemctl", Trip.DIE_BEFORE), ("mv", Trip.DIE_AFTER), ("mv", Trip.FAIL)],
)
async def test_a_host_that_dies_or_fails_at(make_scene: MakeScene, command: str, how: Trip) -> None:
    whole = make_scene()
    await whole.deploy()
    # The last `mv` before the restart is that of a file into its place.
    restart = whole.host.trips.index("systemctl")
    at = restart + 1
    if command == "mv":
        moves = [n for n, name in enumerate(whole.host.trips[:restart], 1) if name == "mv"]
        at = moves[-2]
    await sweep(make_scene, how, iter([at]))


@pytest.mark.parametrize("step", ["look", "back-up", "upload", "install"])
async def test_a_disk_that_is_full(scene: Scene, step: str) -> None:
    host = scene.host
    if reason := host.small_disk(8 << 20):
        pytest.skip(reason)

    def progress(_name: str, now: str, _words: str) -> None:
        if now == step:
            host.fill_disk(0)

    outcome = await scene.deploy(progress=progress)
    assert not outcome.is_good, outcome
    assert re.search("No space left on device|no room|is full", outcome.sentence), outcome
    await eventually(host.is_idle)
    host.check_settled(scene.old)
    assert host.state().starts == 1
    host.free_disk()
    await check_mended(scene)


@pytest.mark.slow
async def test_a_disk_that_is_full_sooner_or_later(make_scene: MakeScene) -> None:
    for kept_bytes in itertools.count(0, 4096):
        scene = make_scene()
        if reason := scene.host.small_disk(8 << 20):
            pytest.skip(reason)

        def progress(_name: str, now: str, _words: str, scene: Scene = scene) -> None:
            if now == "back-up":
                scene.host.fill_disk(kept_bytes)  # noqa: B023 - it is called in this turn

        outcome = await scene.deploy(progress=progress)
        await eventually(scene.host.is_idle)
        scene.host.check_settled(scene.new if outcome.is_good else scene.old)
        scene.host.free_disk()
        await check_mended(scene)
        if outcome.is_good:
            break
    assert kept_bytes > 10 * 4096


# The service


@pytest.mark.parametrize(
    "orders",
    [
        pytest.param({"stays_down": [1]}, marks=pytest.mark.slow),
        {"stays_down": [1], "tells_failure": True},
        pytest.param({"dies_of": "new"}, marks=pytest.mark.slow),
        {"offline_with": "new"},
    ],
    ids=str,
)
async def test_a_service_that_does_not_come_back(scene: Scene, orders: dict[str, Any]) -> None:
    host = scene.host
    host.order(
        **{
            key: [scene.new.timestamp_ms] if value == "new" else value
            for key, value in orders.items()
        }
    )
    outcome = await scene.deploy()
    assert outcome.result is Result.PUT_BACK, outcome
    host.check_settled(scene.old)
    assert host.state().starts == 3
    await check_mended(scene)


async def test_a_service_that_never_comes_back(scene: Scene) -> None:
    host = scene.host
    host.order(stays_down=[1, 2])
    outcome = await scene.deploy()
    assert outcome.result is Result.FAILED, outcome
    assert "orrery deploy node-1" in outcome.sentence
    host.check_whole(scene.old, running=False)
    host.obey()
    outcome = await scene.deploy()
    assert outcome.result is Result.DEPLOYED, outcome
    host.check_settled(scene.new)


async def test_a_service_that_says_something_else(scene: Scene) -> None:
    scene.host.order(reports=scene.old.timestamp_ms)
    outcome = await scene.deploy()
    assert outcome.result is Result.PUT_BACK, outcome
    scene.host.check_settled(scene.old)
    await check_mended(scene)


async def test_a_restart_that_does_not_end(scene: Scene) -> None:
    scene.host.order(restart_hangs=True)
    outcome = await scene.deploy()
    assert outcome.result in (Result.PUT_BACK, Result.FAILED), outcome
    scene.host.die()
    await check_mended(scene, was_cut=True)


async def test_a_service_that_takes_its_time(scene: Scene) -> None:
    scene.host.order(asks_until_up=1, asks_until_online=2)
    outcome = await scene.deploy()
    assert outcome.result is Result.DEPLOYED, outcome
    scene.host.check_settled(scene.new)


async def test_old_copies_that_cannot_be_removed_here(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_folder: Path, _keep: int) -> None:
        raise UnreadableError("backups/hosts/node-1 cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(deploying, "drop_surplus", fail)
        outcome = await scene.deploy()
    assert outcome.result is Result.DEPLOYED
    assert outcome.sentence.endswith("now; but backups/hosts/node-1 cannot be read")
    assert outcome.restarted
    await check_mended(scene)


async def test_a_backup_of_the_home_is_made_before_a_deploy_and_for_that_alone(
    scene: Scene, tmp_path: Path
) -> None:
    safe = Safe(tmp_path / "safe")
    scene.say(safe.text())
    backups: list[list[Path]] = []

    def progress(_name: str, step: str, _words: str) -> None:
        if step == "back-up":
            backups.append(list(safe.path.glob("*.deploying.age")))

    assert (await scene.deploy(dry_run=True)).result is Result.WOULD_DEPLOY
    assert not safe.path.exists()
    assert (await scene.deploy(progress=progress)).result is Result.DEPLOYED
    (made,) = backups
    assert len(made) == 1
    for _ in range(2):
        assert (await scene.deploy()).result is Result.UP_TO_DATE
    assert list(safe.path.glob("*.age")) == made


# Others at the same time


async def test_two_deploys_from_one_home(scene: Scene) -> None:
    first = asyncio.create_task(scene.deploy())
    await eventually(lambda: len(scene.host.commands()) > 1)
    with pytest.raises(ConflictError):
        await scene.deploy()
    assert (await first).result is Result.DEPLOYED
    scene.host.check_settled(scene.new)


async def test_two_deploys_from_two_homes(scene: Scene, tmp_path: Path) -> None:
    shutil.copytree(scene.home.path, tmp_path / "copy")
    with Home.open(tmp_path / "copy") as copy:
        results = await asyncio.gather(scene.deploy(), deploy(copy))
    outcomes = [results[0], *results[1]]
    assert {outcome.result for outcome in outcomes} <= {
        Result.DEPLOYED,
        Result.BUSY,
        Result.UP_TO_DATE,
        Result.FAILED,
    }
    assert any(outcome.is_good for outcome in outcomes), outcomes
    assert scene.host.state().starts == 2
    await check_mended(scene)


async def test_a_node_that_is_handed_the_world_meanwhile(scene: Scene) -> None:
    told: list[str] = []

    def progress(_name: str, step: str, _words: str) -> None:
        told.append(step)
        if step == "upload":
            scene.host.receive(scene.new)

    outcome = await scene.deploy(progress=progress)
    assert "upload" in told
    await check_mended(scene)
    assert scene.host.state().starts <= 2, outcome


async def test_a_node_that_is_handed_a_later_world_before_the_backup_keeps_it(
    scene: Scene,
) -> None:
    key = scene.home.keys.signer_for(scene.new.id, scene.new.updates_must_be_signed_by)
    later = replace(scene.new, timestamp_ms=scene.new.timestamp_ms + 1).sign(key)

    def progress(_name: str, step: str, _words: str) -> None:
        if step == "back-up":
            scene.host.receive(later)

    outcome = await scene.deploy(progress=progress)
    assert outcome.result is Result.FAILED, outcome
    assert "planet was changed by somebody else meanwhile" in outcome.sentence
    scene.host.check_settled(later)
    assert scene.host.state().starts == 1
    assert not scene.host.backups()


async def test_what_a_host_is_to_hold_changes_while_it_is_copied_there(scene: Scene) -> None:
    def progress(_name: str, step: str, _words: str) -> None:
        if step == "upload":
            scene.home.acquire()
            want(scene.home, ONE, ELSEWHERE, TWO)
            publish(scene.home, "home", NOW_MS + 2)
            scene.home.release()

    outcome = await scene.deploy(progress=progress)
    assert outcome.result is Result.FAILED, outcome
    assert "what it is to hold was changed meanwhile" in outcome.sentence
    scene.host.check_settled(scene.old)
    assert scene.host.state().starts == 1
    assert (await scene.deploy()).result is Result.DEPLOYED
    scene.host.check_settled(scene.home.store.chain(scene.new.id).newest)


# Orrery itself


async def killed_at(scene: Scene, number: int) -> bool:
    """Deploy in a process of its own that is killed before a command; whether it was."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.fleet.deploying_process",
        scene.home.path,
        str(number),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    async with asyncio.timeout(LIMIT_S):
        return await process.wait() == -signal.SIGKILL


@pytest.mark.slow
async def test_orrery_that_is_killed_on_the_host_itself(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.host.local(monkeypatch)
    path = scene.home.settings_path
    path.write_text(path.read_text().replace(scene.host.toml(), scene.host.toml(local=True)))
    assert await killed_at(scene, 9)
    await check_mended(scene)


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=() if n == 9 else pytest.mark.slow) for n in range(1, 13)]
)
async def test_orrery_that_is_killed(scene: Scene, number: int) -> None:
    assert await killed_at(scene, number)
    await check_mended(scene)
