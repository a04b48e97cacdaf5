"""The server while a rollout holds a revision back, and with nodes that hold a fork."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import structlog

from orrery.rollout.state import RolloutState, Served
from orrery.server import recorder
from orrery.store import Rollout
from orrery.vl1.events import UpstreamAnswered, WorldRefused, WorldTaken
from orrery.wire.address import Address
from orrery.wire.world import World
from orrery.worlds.stage import NOBODY, PLACES, Membership
from tests.unit.server.serving import Crowd, Site, eventually, wall_ms
from tests.unit.store.making import identity, key

MakeCrowd = Callable[..., Crowd]


def _is(world: World, event: WorldTaken) -> bool:
    return event.world == world


async def _serve(site: Site, rollout: Rollout | None, opened: Membership | None) -> Rollout:
    """Hold all others back at the first planet, by a rollout that stopped there."""
    planet = site.planet
    served = None if opened is None else Served(planet.id, planet.timestamp_ms, opened)
    store = site.home.store
    if rollout is None:
        rollout = await asyncio.to_thread(store.create_rollout, planet.id, "{}", wall_ms())
        rollout = replace(rollout, state=RolloutState.STOPPED)
    return await asyncio.to_thread(store.update_rollout, replace(rollout, served=served), wall_ms())


def _named(*numbers: int) -> Membership:
    return Membership(named=frozenset(identity(number).address for number in numbers))


async def test_cohorts_get_a_revision_one_after_the_other(site: Site, crowd: MakeCrowd) -> None:
    server = await site.start()
    nodes = crowd([1, 2, 3, 4, 5])
    await nodes.all_tell(UpstreamAnswered)
    rollout = await _serve(site, None, NOBODY)
    newest = (await site.publish_step(1_234)).world
    adopts = partial(nodes.told, WorldTaken, partial(_is, newest))
    opened: list[tuple[Membership | None, set[int]]] = [
        (_named(2), {1}),
        (_named(2, 3, 4), {1, 2, 3}),
        (None, {0, 1, 2, 3, 4}),
    ]
    for membership, expected in opened:
        rollout = await _serve(site, rollout, membership)
        await eventually(lambda expected=expected: adopts() == expected)  # type: ignore[misc]
        addresses = {identity(number + 1).address for number in expected}
        await eventually(lambda addresses=addresses: _adopted(site, newest) == addresses)  # type: ignore[misc]
    assert server.counts["pushed"] == 5
    assert nodes.told(WorldTaken, lambda event: event.world != newest) == set()


def _adopted(site: Site, world: World) -> set[Address]:
    return {each.address for each in site.home.store.adoptions(world.id, world.timestamp_ms)}


async def test_a_server_that_starts_goes_by_what_is_held_back(site: Site, crowd: MakeCrowd) -> None:
    await _serve(site, None, _named(2))
    newest = (await site.publish_step(1_234)).world
    with structlog.testing.capture_logs() as told:
        await site.start()
    (line,) = next(entry["worlds"] for entry in told if entry["event"] == "serving")
    assert line.endswith(f"at {newest.timestamp_ms}, others at {site.planet.timestamp_ms}")
    nodes = crowd([1, 2])
    await nodes.all_tell(UpstreamAnswered)
    await eventually(lambda: nodes.told(WorldTaken) == {1})
    # Each has said HELLO and was answered by now: who is held back was handed nothing.
    assert nodes.told(WorldTaken) == {1}


async def test_a_share_of_all_is_everybody(site: Site, crowd: MakeCrowd) -> None:
    await site.start()
    nodes = crowd([1, 2, 3])
    await nodes.all_tell(UpstreamAnswered)
    rollout = await _serve(site, None, NOBODY)
    newest = (await site.publish_step(1_234)).world
    await _serve(site, rollout, Membership(PLACES))
    await nodes.all_tell(WorldTaken, partial(_is, newest))


async def test_a_fork_is_shown_and_known_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the timestamp of ours, so that only an answer of the node tells."""
    monkeypatch.setattr(recorder, "FLUSH_INTERVAL_S", 0.01)
    fork = replace(site.planet, updates_must_be_signed_by=key(9).public).sign(key(9))
    forked, honest, again = Crowd(fork, [1]), Crowd(site.planet, [2]), Crowd(fork, [1])
    server = await site.start()
    try:
        for nodes in (forked, honest):
            nodes.start()
            await nodes.all_tell(UpstreamAnswered)
        newest = (await site.publish(port=1_234)).world
        await honest.all_tell(WorldTaken, partial(_is, newest))
        await eventually(lambda: bool(site.home.store.fork_counts()))
        (count,) = site.home.store.fork_counts()
        assert (count.world_id, count.timestamp_ms, count.nodes) == (fork.id, fork.timestamp_ms, 1)
        assert count.wanted_key == key(9).public
        assert count.roots == (fork.roots[0].identity.address,)
        assert server.counts["forks"] >= 1
        assert forked.told(WorldTaken) == set()
        assert forked.told(WorldRefused) == {0}
        forked.close()
        await server.stop()
        # The next one knows, and hands over nothing that would be refused.
        server = await site.start()
        again.start()
        await again.all_tell(UpstreamAnswered)
        assert again.told(WorldRefused) == set()
        assert server.counts["forks"] == 0
    finally:
        for nodes in (honest, again):
            nodes.close()
