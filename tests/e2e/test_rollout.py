"""Rollouts carried out by real servers, over real sockets, with leaves that follow."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orrery.home import Home, lock_keys, rotate_key, unlock_keys
from orrery.home.rolling import CONDUCTOR_LEASE, begin, pause, resume, roll_back
from orrery.rollout.cohorts import EVERYBODY, Named
from orrery.rollout.conditions import Adopted, Answering, Condition, Heard
from orrery.rollout.order import Order
from orrery.rollout.places import places_of
from orrery.rollout.state import RolloutState
from orrery.store import Rollout
from orrery.vl1.events import UpstreamAnswered, WorldTaken
from orrery.wire.world import Root, World
from tests.e2e.processes import Serving
from tests.unit.custody.locks import quick_lock
from tests.unit.home.making import make_home
from tests.unit.rollout.ordering import order_of, plan_of, step_of
from tests.unit.server.serving import Crowd, eventually, free_port, loopback, wall_ms
from tests.unit.store.making import identity

SETTLE_MS = 300
PATIENCE_S = 120
"""Ends a test that waits in vain; nothing is measured by it."""


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
        async with asyncio.timeout(PATIENCE_S):
            while self.rollout.state not in states:
                await asyncio.sleep(0.05)
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


pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


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


async def test_who_carries_it_out_is_killed_and_the_other_takes_over(town: Town) -> None:
    async with running(town, town.serve_first, town.serve_second) as servers:
        await eventually(lambda: len(town.home.store.standings(town.planet.id)) >= 12)
        town.begin(town.order())
        await town.until(RolloutState.SETTLING)
        lease = town.home.store.lease(CONDUCTOR_LEASE)
        assert lease is not None
        number = 0 if lease.holder.startswith(f"{town.first.identity.address:010x}") else 1
        servers[number].send(signal.SIGKILL)
        await servers[number].process.wait()
        # The root is gone with its conductor; both are to be had again, and one of them goes on.
        servers[number] = await (town.serve_first, town.serve_second)[number]()
        done = await town.until(RolloutState.DONE, RolloutState.PAUSED, RolloutState.STOPPED)
        assert (done.state, done.reason) == (RolloutState.DONE, "every step is done")
        chain = town.home.store.chain(town.planet.id)
        assert town.holds() == {chain.newest.timestamp_ms}
        taken_over = town.home.store.lease(CONDUCTOR_LEASE)
        assert taken_over is not None
        assert taken_over.token > lease.token
    assert len(chain) == 3


async def test_it_is_paused_resumed_and_taken_back_while_it_runs(town: Town) -> None:
    order = town.order(cohorts=(Named(frozenset({identity(2).address})), EVERYBODY))
    async with running(town, town.serve_first, town.serve_second):
        await eventually(lambda: len(town.home.store.standings(town.planet.id)) >= 12)
        town.begin(replace(order, settle_ms=600_000))
        await town.until(RolloutState.SETTLING)
        paused = pause(town.home, "home", wall_ms())
        resume(town.home, "home", wall_ms())
        await town.until(RolloutState.SETTLING)
        assert town.rollout.version > paused.version + 1
        newest = town.home.store.chain(town.planet.id).newest
        assert town.holds() == {town.planet.timestamp_ms, newest.timestamp_ms}
        assert town.crowd.told(WorldTaken) == {0}
        # What is not in the plan: the canary's user wants it back at once.
        roll_back(town.home, "home", wall_ms())
        await eventually(lambda: len(town.home.store.chain(town.planet.id)) == 3)
        back = town.home.store.chain(town.planet.id).newest
        await eventually(lambda: back.timestamp_ms in town.holds())
        assert town.crowd.told(WorldTaken) == {0}
        assert back.roots == town.planet.roots
    assert town.rollout.state is RolloutState.SETTLING


@pytest.mark.slow
async def test_a_canary_that_vanishes_stops_it(town: Town) -> None:
    """The only root of the revision is dead, and nothing was asked before: the worst of plans."""
    order = town.order(cohorts=(Named(frozenset({identity(2).address})), EVERYBODY))
    step = step_of(1, (town.second,), town.planet.updates_must_be_signed_by)
    order = replace(order, plan=plan_of(town.planet, step))
    async with running(town, town.serve_first):
        await eventually(lambda: len(town.home.store.standings(town.planet.id)) >= 12)
        # The other root was here once: so it would be known that a node is heard there.
        endpoints = tuple(map(str, town.second.endpoints))
        town.home.store.note_root(town.second.identity.address, endpoints, wall_ms() - 60_000)
        town.begin(order)
        paused = await town.until(RolloutState.PAUSED)
        assert "revision" in paused.reason
        assert town.crowd.told(WorldTaken) == {0}
        roll_back(town.home, "home", wall_ms())
        back = await town.until(RolloutState.ROLLED_BACK)
        newest = town.home.store.chain(town.planet.id).newest
        await eventually(lambda: newest.timestamp_ms in town.holds())
        assert back.served is None
        assert newest.roots == town.planet.roots


async def test_a_locked_key_pauses_it_until_it_is_opened(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_lock(monkeypatch)
    with Home.open(town.path, writer=True, passphrase=lambda _: "four words of mine") as home:
        lock_keys(home, "home", wall_ms())
    async with running(town, town.serve_first, town.serve_second):
        await eventually(lambda: len(town.home.store.standings(town.planet.id)) >= 12)
        town.begin(town.order())
        paused = await town.until(RolloutState.PAUSED)
        assert "run `orrery key unlock`" in paused.reason
        with Home.open(town.path, writer=True, passphrase=lambda _: "four words of mine") as home:
            unlock_keys(home, "home", wall_ms())
        resume(town.home, "home", wall_ms())
        done = await town.until(RolloutState.DONE, RolloutState.PAUSED)
        assert done.state is RolloutState.DONE
