"""`orrery apply` adds an official root, and installs its World file there over SSH by itself."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from orrery.home import Home, SettingsEditor
from orrery.rollout.state import RolloutState
from orrery.server.service import ServeOptions, Server
from orrery.store import Rollout, Store
from orrery.vl1.events import UpstreamAnswered
from orrery.wire.world import World
from tests.e2e.processes import Serving, orrery
from tests.e2e.terminals import Terminal
from tests.fleet.bed import node_text
from tests.fleet.conftest import bed, credentials, ssh_home, sshd_possible  # noqa: F401
from tests.unit.home.making import make_home
from tests.unit.server.serving import Crowd, eventually, free_port, loopback, wall_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.fleet.bed import Bed, FakeHost

pytestmark = pytest.mark.timeout(240)
LEAVES = 4


class OfficialRoot:
    """What the node of a host does on the wire: it answers, and hands out the World of its file."""

    def __init__(self, directory: Path, host: FakeHost, old: World) -> None:
        self.endpoint = loopback("127.0.0.2", free_port("127.0.0.2"))
        self._host, self._old = host, old
        self._store = Store.open(directory / "official.db")
        self._store.add_revision(old, wall_ms())
        options = ServeOptions(listen=(self.endpoint,))
        self._server = Server(host.identity, self._store, options)

    async def run(self) -> None:
        """Answer, and take what is installed when the service is restarted."""
        await self._server.start()
        try:
            while self._host.state().planet_ms == self._old.timestamp_ms:
                await asyncio.sleep(0.05)
            self._store.add_revision(World.decode(self._host.planet()), wall_ms())
            await asyncio.Event().wait()
        finally:
            await self._server.stop()
            self._store.close()


class Place:
    """A home with a root and leaves that wants an official root beside it, which is a host."""

    def __init__(self, directory: Path, bed: Bed) -> None:  # noqa: F811
        self.at, self.path = directory, directory / "home"
        endpoint = loopback("127.0.0.1", free_port())
        make_home(self.path, [endpoint], entropy=os.urandom).close()
        self.home = Home.open(self.path)
        (self.old,) = self.home.served_worlds()
        self.host = bed.host("root-two", planet=self.old)
        self.official = OfficialRoot(directory, self.host, self.old)
        self.crowd = Crowd(self.old, range(2, 2 + LEAVES))
        self._want()

    def _want(self) -> None:
        editor = SettingsEditor(self.home.settings_path.read_text())
        public = self.host.identity.public()
        editor.add_root("home", "root-2", public, [self.official.endpoint])
        text = editor.text()
        for old, new in (
            ('settle = "10s"', 'settle = "1s"'),
            ('["1%", "10%", "100%"]', '["100%"]'),
            ('name = "root-2"', 'name = "root-2"\nsoftware = "zerotier-one"'),
        ):
            assert old in text
            text = text.replace(old, new, 1)
        text += self.host.toml(node=node_text(self.host))
        self.home.settings_path.write_text(text + '\n[deploy]\ntimeout = "30s"\n')

    def edit(self, old: str, new: str) -> None:
        """Change orrery.toml."""
        text = self.home.settings_path.read_text()
        assert old in text
        self.home.settings_path.write_text(text.replace(old, new, 1))

    async def serve(self) -> Serving:
        """Start the server, and let the leaves be heard there."""
        serving = await Serving.start("--home", self.path)
        self.crowd.start()
        await self.crowd.all_tell(UpstreamAnswered)
        await eventually(lambda: len(self.home.store.standings(self.old.id)) == LEAVES)
        return serving

    @property
    def rollout(self) -> Rollout:
        return self.home.store.rollouts(1)[0]

    def check_done(self) -> None:
        """Check that the rollout is, with the host and all."""
        assert self.rollout.state is RolloutState.DONE, self.rollout.reason
        newest = self.home.store.chain(self.old.id).newest
        assert len(newest.roots) == 2
        self.host.check_settled(newest)


@pytest.fixture
async def place(tmp_path: Path, bed: Bed) -> AsyncIterator[Place]:  # noqa: F811
    made = Place(tmp_path, bed)
    official = asyncio.create_task(made.official.run())
    yield made
    official.cancel()
    await asyncio.wait([official])
    made.crowd.close()
    made.home.close()


def _agree_and_follow(place: Place) -> tuple[int, Terminal]:
    with Terminal("apply", "--home", place.path, at=place.at) as shown:
        shown.until("Carry this out? [y/N]: ")
        shown.type("y\r")
        return shown.end(), shown


async def test_a_person_agrees_and_the_host_is_deployed_on_the_way(place: Place) -> None:
    serving = await place.serve()
    status, shown = await asyncio.to_thread(_agree_and_follow, place)
    assert status == 0, shown.text
    said = " ".join(shown.text.split())
    assert "install its file at once on root-two by `apply`" in said
    assert f"the World file is installed on root-two ({place.host.target}) and" in said
    assert "install on root-two, by this command" in said
    place.check_done()
    assert await serving.end() == 0


def _leave_it(place: Place) -> tuple[int, str]:
    with Terminal("apply", "--yes", "--home", place.path, at=place.at) as shown:
        shown.until("waiting until it is back")
        shown.type("\x03")
        return shown.end(), shown.text


async def test_ctrl_c_leaves_the_host_and_the_rollout_to_themselves(place: Place) -> None:
    serving = await place.serve()
    place.edit('timeout = "30s"', 'timeout = "10m"')
    place.host.order(reports=place.old.timestamp_ms)
    status, text = await asyncio.to_thread(_leave_it, place)
    assert (status, "Traceback" in text) == (130, False)
    said = " ".join(text.split())
    assert "root-two goes on without this command, and will run with the new World or" in said
    assert "the rollout goes on without this command: `orrery status --watch" in said
    place.host.obey("reports")
    await eventually(place.host.is_idle)
    await eventually(lambda: place.rollout.state is RolloutState.DONE)
    done = await orrery("deploy", "--home", place.path)
    assert done.status == 0, done.out
    place.check_done()
    assert await serving.end() == 0


async def test_a_host_that_fails_holds_the_rollout_until_it_is_deployed(place: Place) -> None:
    serving = await place.serve()
    place.host.hurry()
    place.host.order(stays_down=[1])
    begun = asyncio.create_task(orrery("apply", "--yes", "--home", place.path))
    await eventually(lambda: place.host.state().starts == 3)
    again = f"`orrery deploy root-two --home {place.path}`"
    status = await orrery("status", "--home", place.path)
    assert again in " ".join(status.out.split())
    await eventually(place.host.is_idle)
    place.host.check_settled(place.old)
    mended = await orrery("deploy", "root-two", "--home", place.path)
    assert mended.status == 0, mended.out
    followed = await begun
    assert followed.status == 0, followed.out
    assert f"the rollout waits for it, and {again} tries again" in followed.out
    place.check_done()
    assert await serving.end() == 0
