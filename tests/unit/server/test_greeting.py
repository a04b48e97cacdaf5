"""A server that greets those whom it, or another one before it, has known."""

import asyncio
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from orrery.home import Home
from orrery.server import greeting
from orrery.server.greeting import SEEN_MS, Greeting, greet, greetings_of
from orrery.server.service import ServeOptions, Server
from orrery.store import NodeRecord
from orrery.vl1.root_peer import KnownNode
from orrery.wire.cached_peer import CachedPeer
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES, Version, WorldHeld
from orrery.worlds.chain import Chain
from orrery.worlds.handover import HandoverTable
from tests.unit.server.serving import Crowd, Site, eventually
from tests.unit.store.making import NOW_MS, identity, world

ROOT = identity(0).address
PLANET = world(NOW_MS)
TABLE = HandoverTable([Chain((PLANET,))], OK_HELLO_WORLDS_BYTES)
PLACE = Endpoint.from_text("198.51.100.4/29994")


def known(number: int, age_ms: int = 0, path: str = str(PLACE)) -> tuple[NodeRecord, KnownNode]:
    """A node that was seen, and holds our planet."""
    public = identity(number).public()
    held = WorldHeld(PLANET.id, PLANET.timestamp_ms)
    record = NodeRecord(
        address=public.address,
        identity=public.to_bytes(),
        path=path,
        protocol=13,
        version=(1, 14, 1),
        first_seen_ms=NOW_MS - age_ms,
        last_seen_ms=NOW_MS - age_ms,
        planet_id=held.id,
        planet_timestamp_ms=held.timestamp_ms,
        holdings=(),
        forks=(),
    )
    return record, KnownNode(public, 13, Version(1, 14, 1), (held,))


def test_those_seen_lately_are_greeted_where_they_were() -> None:
    nodes = [known(1), known(2, SEEN_MS - 1), known(3, SEEN_MS), known(4, path="nowhere")]
    expected = [Greeting(node, (PLACE,)) for _, node in nodes[:2]]
    assert greetings_of(nodes, TABLE, ROOT, NOW_MS) == expected


def test_who_holds_us_as_no_root_is_left_to_come_by_itself() -> None:
    record, node = known(1)
    for held in ((), (WorldHeld(PLANET.id, 5),), (WorldHeld(7, PLANET.timestamp_ms),)):
        assert greetings_of([(record, node._replace(held=held))], TABLE, ROOT, NOW_MS) == []
    assert greetings_of([(record, node)], TABLE, identity(5).address, NOW_MS) == []


async def test_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greeting, "TURN_S", 0.001)
    said: list[int] = []
    peers = [CachedPeer(identity(n).public(), 12, Version(1, 14, 1), (PLACE,)) for n in range(25)]

    def say(some: Iterable[Greeting]) -> int:
        said.append(len(list(some)))
        return said[-1] // 2

    nodes = greetings_of([known(number) for number in range(1, 26)], TABLE, ROOT, NOW_MS)
    assert await greet(nodes, lambda: iter(peers), say) == 10 + 2 + 10 + 2
    assert said == [20, 5, 20, 5]


# With a server


async def test_acquaintances_are_listed_when_they_answer_and_not_before(
    site: Site, crowd: Callable[..., Crowd], tmp_path: Path
) -> None:
    shutil.copytree(site.path, tmp_path / "other")
    leaves = crowd([1, 2])
    await site.start()
    await eventually(lambda: site.home.store.count_nodes() == 2)
    met = [
        CachedPeer(
            Identity.read(Reader(node.identity)),
            node.protocol,
            Version(*node.version),
            (Endpoint.from_text(node.path),),
        )
        for node in site.home.store.nodes()
    ]
    met.insert(0, CachedPeer(identity(9).public(), 12, Version(1, 14, 1), (PLACE,)))
    await site.server.stop()
    del site.server
    # In the place of that root comes one that has never heard them.
    with Home.open(tmp_path / "other") as home:
        options = ServeOptions(listen=(site.endpoint,), acquaintances=lambda: iter(met))
        server = Server(home.identity(), home.store, options)
        await server.start()
        try:
            await eventually(lambda: home.store.count_nodes() == 2)
            nodes = home.store.nodes()
        finally:
            await server.stop()
    assert {node.address for node in nodes} == leaves.addresses
    assert {holding.timestamp_ms for node in nodes for holding in node.holdings} == {
        site.planet.timestamp_ms
    }


async def test_what_goes_wrong_is_a_bug_and_no_end(site: Site) -> None:
    def broken() -> Iterator[CachedPeer]:
        raise ValueError("a bug")
        yield

    server = await site.start(acquaintances=broken)
    await eventually(lambda: server.counts["bugs"] == 1)
    running = asyncio.create_task(server.run())
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_after_a_restart_nodes_are_seen_again_at_once(
    site: Site, crowd: Callable[..., Crowd]
) -> None:
    leaves = crowd([1, 2, 3])
    server = await site.start()
    await eventually(lambda: site.home.store.count_nodes() == 3)
    before = {node.address: node.last_seen_ms for node in site.home.store.nodes()}
    assert before.keys() == leaves.addresses
    await server.stop()
    await site.start()

    def again() -> bool:
        nodes = site.home.store.nodes()
        return all(node.last_seen_ms > before[node.address] for node in nodes)

    await eventually(again)
    assert {node.planet_id for node in site.home.store.nodes()} == {site.planet.id}
