"""The conductor as a task of a server, on real sockets."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from orrery.errors import UnreadableError
from orrery.home import Home
from orrery.home.rolling import CONDUCTOR_LEASE, begin
from orrery.rollout.cohorts import EVERYBODY, Named
from orrery.rollout.conditions import Adopted, Answering, Heard, Stopped
from orrery.rollout.order import Order
from orrery.rollout.places import places_of
from orrery.rollout.state import RolloutState
from orrery.server import conducting
from orrery.server.clock import Clock
from orrery.server.conducting import Conducting
from orrery.server.service import ServeOptions, Server
from orrery.store import Store
from orrery.vl1.events import UpstreamAnswered, WorldTaken
from orrery.wire.world import Root
from tests.unit.rollout.ordering import order_of, plan_of, step_of
from tests.unit.server.serving import LIMIT_S, Crowd, Site, eventually, free_port, loopback, wall_ms
from tests.unit.store.making import identity

Told = list[dict[str, Any]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def told() -> Any:
    """What is logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def order_for(site: Site, *, waits_for: tuple[Any, ...] = ()) -> Order:
    """Another endpoint of the same root, where it listens too."""
    root = Root(site.planet.roots[0].identity, (site.endpoint,))
    key = site.planet.updates_must_be_signed_by
    here = tuple(places_of([root]))
    step = step_of(
        1,
        (root, Root(identity(20).public(), (loopback("127.9.9.9", 1_234),))),
        key,
        before=(*waits_for, Answering(here)),
        done=(Adopted(1), Heard(here)),
    )
    cohorts = (Named(frozenset({identity(1).address})), EVERYBODY)
    return order_of(plan_of(site.planet, step), cohorts, settle_ms=0)


def begin_at(site: Site, order: Order) -> None:
    with Home.open(site.path, writer=True) as home:
        begin(home, "home", order, wall_ms())


def state_of(site: Site) -> RolloutState:
    (rollout,) = site.home.store.rollouts(1)
    return rollout.state


def reason_of(site: Site) -> str:
    (rollout,) = site.home.store.rollouts(1)
    return rollout.reason


async def test_a_server_carries_out_what_is_begun_beside_it(site: Site, told: Told) -> None:
    server = await site.start(open_home=partial(Home.open, site.path))
    crowd = Crowd(site.planet, [1, 2, 3])
    crowd.start()
    try:
        await crowd.all_tell(UpstreamAnswered)
        await eventually(lambda: len(site.home.store.standings(site.planet.id)) == 3)
        await asyncio.to_thread(begin_at, site, order_for(site))
        await eventually(lambda: state_of(site) is RolloutState.DONE)
        assert crowd.told(WorldTaken) == {0, 1, 2}
    finally:
        crowd.close()
        await server.stop()
    states = [entry["state"] for entry in told if entry["event"] == "rollout"]
    assert states[-1] == "done"
    lease = site.home.store.lease(CONDUCTOR_LEASE)
    assert lease is not None
    assert lease.holder == ""  # let go of, for the next one


async def test_places_elsewhere_are_asked(site: Site) -> None:
    """One root is not of this home, and at the other place nobody is, which takes time to tell."""
    endpoint = loopback("127.0.0.1", free_port())
    there = tuple(places_of([Root(identity(5).public(), (endpoint,))]))
    nowhere = tuple(places_of([Root(identity(4).public(), (loopback("127.0.0.1", free_port()),))]))
    waits_for = (Answering(there), Heard(there), Stopped(nowhere))
    server = await site.start(open_home=partial(Home.open, site.path))
    store = Store.open(site.path.parent / "elsewhere.db")
    elsewhere = Server(identity(5), store, ServeOptions(listen=(endpoint,)))
    try:
        await asyncio.to_thread(begin_at, site, order_for(site, waits_for=waits_for))
        await eventually(lambda: reason_of(site).endswith(str(Answering(there))))
        await elsewhere.start()
        await eventually(lambda: reason_of(site).endswith(str(Stopped(nowhere))))
        await elsewhere.stop()
    finally:
        await server.stop()
        store.close()


class _Running:
    """A conductor that runs beside the test."""

    def __init__(self, open_home: Callable[[], Home], site: Site) -> None:
        self.conducting = Conducting(
            open_home, identity(0).address, (site.endpoint,), lambda _: None, Clock()
        )

    async def __aenter__(self) -> Conducting:
        self.task = asyncio.create_task(self.conducting.run())
        return self.conducting

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(self.task, return_exceptions=True)


async def test_a_home_that_cannot_be_opened_is_tried_again(
    site: Site, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conducting, "RETRY_S", 0.01)
    failures = [UnreadableError("the disk is full")] * 3

    def open_home() -> Home:
        if failures:
            raise failures.pop()
        return Home.open(site.path)

    async with _Running(open_home, site):
        await eventually(lambda: len(told) == 2)
    assert [entry["event"] for entry in told] == [
        "conducting rollouts fails",
        "conducting rollouts works again",
    ]


async def test_a_bug_does_not_end_it(
    site: Site, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conducting, "RETRY_S", 0.0)
    bugs = conducting.MAX_TRACES + 5
    reached = asyncio.Event()

    async def turn(_conducting: Conducting, _home: Home) -> float:
        nonlocal bugs
        if bugs:
            bugs -= 1
            raise ValueError("a bug")
        reached.set()
        return 0.01

    monkeypatch.setattr(Conducting, "_turn", turn)
    async with _Running(partial(Home.open, site.path), site):
        async with asyncio.timeout(LIMIT_S):
            await reached.wait()
    assert [entry["event"] for entry in told] == ["bug"] * conducting.MAX_TRACES


async def test_a_lease_that_cannot_be_let_go_of_runs_out(
    site: Site, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_at(site, order_for(site, waits_for=(Stopped(tuple(places_of(site.planet.roots))),)))

    def fail(*_: object) -> None:
        raise UnreadableError("the disk is full")

    async with _Running(partial(Home.open, site.path), site) as running:
        await eventually(lambda: running._lease is not None)
        monkeypatch.setattr("orrery.store.Store.release_lease", fail)
    assert told[-1]["event"] == "lease kept"
    lease = site.home.store.lease(CONDUCTOR_LEASE)
    assert lease is not None
    assert lease.holder
