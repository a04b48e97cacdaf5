"""`orrery apply` by a person at a terminal, with a real server and leaves that follow."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orrery.home import Home, SettingsEditor
from orrery.rollout.state import RolloutState
from orrery.store import Rollout
from orrery.vl1.events import UpstreamAnswered
from orrery.wire.endpoint import Endpoint
from tests.e2e.processes import Serving
from tests.e2e.terminals import COLUMNS, Terminal
from tests.unit.home.making import make_home
from tests.unit.server.serving import Crowd, eventually, free_port, loopback

pytestmark = pytest.mark.timeout(240)
LEAVES = 6


class Place:
    """A home with a root at one endpoint that is to be at another, and leaves."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "home"
        self.old, self.new = (loopback(ip, free_port()) for ip in ("127.0.0.1", "127.0.0.2"))
        make_home(self.path, [self.old], entropy=os.urandom).close()
        self.home = Home.open(self.path)
        (self.planet,) = self.home.served_worlds()
        self.crowd = Crowd(self.planet, range(2, 2 + LEAVES))
        self._want(self.new)

    def _want(self, *endpoints: Endpoint) -> None:
        editor = SettingsEditor(self.home.settings_path.read_text())
        editor.set_endpoints("home", "root-1", endpoints)
        text = editor.text().replace('settle = "10s"', 'settle = "1s"')
        text = text.replace('["1%", "10%", "100%"]', '["100%"]')
        self.home.settings_path.write_text(text)

    async def serve(self) -> Serving:
        listen = (str(each).replace("/", ":") for each in (self.old, self.new))
        serving = await Serving.start(
            "--home", self.path, *(part for each in listen for part in ("--listen", each))
        )
        self.crowd.start()
        await self.crowd.all_tell(UpstreamAnswered)
        await eventually(lambda: len(self.home.store.standings(self.planet.id)) == LEAVES)
        return serving

    @property
    def rollout(self) -> Rollout:
        return self.home.store.rollouts(1)[0]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.crowd.close()
    made.home.close()


def _wait(shown: Terminal, said: str) -> None:
    """Wait for longer than a view may wait for one change: nodes have their time to come back."""
    for patience in range(4):
        try:
            shown.until(said)
        except AssertionError:
            if patience == 3:
                raise
        else:
            return


def _agree_and_follow(at: Path) -> tuple[int, Terminal]:
    with Terminal("apply", "--home", at, at=at.parent) as shown:
        shown.until("Carry this out? [y/N]: ")
        shown.type("y\r")
        for said in ("step 1 of 2, settling", "step 2 of 2, ", "2 steps, done"):
            _wait(shown, said)
        return shown.end(), shown


async def test_a_move_is_agreed_to_and_followed_to_its_end(place: Place) -> None:
    serving = await place.serve()
    status, shown = await asyncio.to_thread(_agree_and_follow, place.path)
    assert status == 0, shown.text
    assert "plan: 1 to add, 1 to remove, in 2 steps" in shown.lines
    assert "this plan has add-endpoint, remove-endpoint. Carry this out?" in shown.text
    assert f" {LEAVES} of {LEAVES}" in shown.text
    assert any(line.startswith("rollout      2 steps, done") for line in shown.lines)
    assert all(len(line) <= COLUMNS for line in shown.lines if "Carry this out" not in line)
    assert (
        f"may stop now: {place.planet.roots[0].identity.address:010x} at {place.old}" in shown.text
    )
    assert place.rollout.state is RolloutState.DONE, place.rollout.reason
    assert place.home.store.chain(place.planet.id).newest.roots[0].endpoints == (place.new,)
    assert await serving.end() == 0


def _leave_it(at: Path) -> tuple[int, str]:
    with Terminal("apply", "--home", at, "--yes", at=at.parent) as shown:
        shown.until("step 1 of 2, ")
        shown.type("\x03")
        return shown.end(), shown.text


async def test_ctrl_c_leaves_it_going_on(place: Place) -> None:
    serving = await place.serve()
    status, text = await asyncio.to_thread(_leave_it, place.path)
    assert (status, "the rollout goes on without this command" in text) == (130, True)
    assert "Traceback" not in text
    async with asyncio.timeout(120):
        while not place.rollout.state.is_over and place.rollout.state is not RolloutState.PAUSED:
            await asyncio.sleep(0.1)
    assert place.rollout.state is RolloutState.DONE, place.rollout.reason
    assert await serving.end() == 0
