"""Rollouts carried out by real servers, over real sockets, with leaves that follow."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orrery.home import Home, rotate_key
from orrery.home.rolling import begin
from orrery.rollout.conditions import Adopted, Answering, Condition, Heard
from orrery.rollout.order import Order
from orrery.rollout.places import places_of
from orrery.rollout.state import RolloutState
from orrery.store import Rollout
from orrery.vl1.events import UpstreamAnswered
from orrery.wire.world import Root, World
from tests.e2e.processes import Serving
from tests.unit.home.making import make_home
from tests.unit.rollout.ordering import order_of, plan_of, step_of
from tests.unit.server.serving import Crowd, eventually, free_port, loopback, wall_ms
from tests.unit.store.making import identity

SETTLE_MS = 300


class Town:
    """A home with one root, another root that may be added, and leaves."""

    def __init__(self, directory: Path, leaves: int) -> None:
        self.path = directory / "home"
        self.first = Root(identity(0).public(), (loopback("127.0.0.1", free_port()),))
        self.second = Root(identity(1).public(), (loopback("127.0.0.1", free_port()),))
        self._secret = directory / "second.secret"
        self._secret.write_text(identity(1).to_string(secret=True))
        self._secret.chmod(0o600)
        make_home(self.path, self.first.endpoints, entropy=os.urandom).close()
        self.home = Home.open(self.path)
        (self.planet,) = self.home.served_worlds()
        self.crowd = Crowd(self.planet, range(2, 2 + leaves))

    async def serve_first(self) -> Serving:
        return await Serving.start(
            "--home", self.path, "--listen", str(self.first.endpoints[0]).replace("/", ":")
        )

    async def serve_second(self) -> Serving:
        return await Serving.start(
            "--home",
            self.path,
            "--identity",
            self._secret,
            "--listen",
            str(self.second.endpoints[0]).replace("/", ":"),
        )

    def begin(self, order: Order) -> Rollout:
        with Home.open(self.path, writer=True) as home:
            return begin(home, "home", order, wall_ms())

    @property
    def rollout(self) -> Rollout:
        (rollout,) = self.home.store.rollouts(1)
        return rollout

    def order(self, *, rotate: bool = False, **values: Any) -> Order:
        """From the first root to the second one, over both."""
        old = self.planet.updates_must_be_signed_by
        new = self.home.keys.current_public(self.planet.id) if rotate else old
        added = tuple(places_of([self.second]))
        union: tuple[Condition, ...] = (Adopted(1), Heard(added))
        return order_of(
            plan_of(
                self.planet,
                step_of(
                    1,
                    (self.first, self.second),
                    old,
                    before=(Answering(added),),
                    done=union,
                    names=new,
                ),
                step_of(2, (self.second,), new, done=(Adopted(2),)),
            ),
            settle_ms=SETTLE_MS,
            **values,
        )

    async def until(self, *states: RolloutState) -> Rollout:
        await eventually(lambda: self.rollout.state in states)
        return self.rollout

    def holds(self) -> set[int]:
        leaves = map(self.crowd.fleet.leaf, range(len(self.crowd.fleet)))
        return {leaf.planet.timestamp_ms for leaf in leaves if leaf.planet is not None}


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path, 12)
    yield made
    made.home.close()


@asynccontextmanager
async def running(town: Town, *starts: object) -> AsyncIterator[list[Serving]]:
    servers = [await start() for start in starts]  # type: ignore[operator]
    town.crowd.start()
    try:
        await town.crowd.all_tell(UpstreamAnswered)
        yield servers
    finally:
        town.crowd.close()
        for server in servers:
            await server.end()


async def test_a_fleet_moves_from_one_root_to_another_with_another_key(town: Town) -> None:
    with Home.open(town.path, writer=True) as home:
        rotate_key(home, "home", wall_ms(), os.urandom)
    async with running(town, town.serve_first, town.serve_second):
        await eventually(lambda: len(town.home.store.standings(town.planet.id)) >= 12)
        town.begin(town.order(rotate=True))
        done = await town.until(RolloutState.DONE, RolloutState.PAUSED, RolloutState.STOPPED)
        assert (done.state, done.reason) == (RolloutState.DONE, "every step is done")
        chain = town.home.store.chain(town.planet.id)
        assert town.holds() == {chain.newest.timestamp_ms}
    assert [world.roots for world in chain] == [
        (town.first,),
        (town.first, town.second),
        (town.second,),
    ]
    assert World.decode((town.path / "planet").read_bytes()) == chain.newest
    assert done.served is None
