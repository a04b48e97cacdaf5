"""Asking roots what they hold, against real servers on loopback."""

import asyncio
from pathlib import Path

import pytest

from orrery.cli.restore import _ask_roots
from orrery.errors import PlanError
from orrery.home import Home
from orrery.home.backing_up import take
from orrery.home.restoring import restore
from orrery.rollout.places import places_of
from orrery.server.witnesses import ask_roots
from orrery.wire.verbs import WorldHeld
from tests.unit.server.serving import LIMIT_S, Site, wall_ms
from tests.unit.store.making import identity


async def test_a_root_tells_what_is_newer(tmp_path: Path) -> None:
    site = Site(tmp_path)
    places = places_of(site.planet.roots)
    server = await site.start()
    try:
        behind = WorldHeld(site.planet.id, site.planet.timestamp_ms - 1)
        answers = await ask_roots(places, behind, LIMIT_S)
        assert (answers.places, answers.worlds) == (places, (site.planet,))
        same = await ask_roots(places, WorldHeld(site.planet.id, site.planet.timestamp_ms), LIMIT_S)
        assert (same.places, same.worlds) == (places, ())
    finally:
        await server.stop()
        site.home.close()
    silent = await ask_roots(places, behind, 0.2)
    assert (silent.places, silent.worlds) == (frozenset(), ())


async def test_nobody_is_asked_nothing() -> None:
    answers = await ask_roots((), WorldHeld(1, 1), LIMIT_S)
    assert answers.places == frozenset()


async def test_who_finishes_a_restore_asks_the_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path)
    with Home.open(site.path, writer=True) as lost:
        archive = take(lost, wall_ms()).archive
    await asyncio.to_thread(restore, archive, "it", tmp_path / "there", wall_ms())
    server = await site.start()
    try:
        with Home.open(tmp_path / "there") as there:
            with pytest.raises(PlanError, match=r"still served.* stop that one for good first"):
                await asyncio.to_thread(_ask_roots, there)
            monkeypatch.setattr(there, "identity", lambda: identity(5))  # that was another root
            assert await asyncio.to_thread(_ask_roots, there) == [site.planet]
            later = await site.publish(9)
            assert await asyncio.to_thread(_told, there, later.world) == [later.world, site.planet]
    finally:
        await server.stop()
        site.home.close()


def _told(home: Home, later: object) -> list[object]:
    """What roots tell, once the server has noticed what was published."""
    told: list[object] = []
    while later not in told:
        told = list(_ask_roots(home))
    return told
