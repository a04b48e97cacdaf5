"""Which places answer, on real sockets, and at which of its places a root is."""

import asyncio
from pathlib import Path

import pytest

from orrery.rollout.places import Place
from orrery.server import places
from orrery.server.clock import Clock
from orrery.server.places import ANSWERED_MS, PlaceWatch, own_endpoints
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import WorldHeld
from tests.unit.server.serving import LIMIT_S, Site, free_port, loopback
from tests.unit.store.making import identity

NOTHING = WorldHeld(0, 0)
PUBLIC, OTHER = (Endpoint.from_text(f"203.0.113.{n}:9993") for n in (7, 8))
V6 = Endpoint.from_text("[2001:db8::7]:9993")
PRIVATE = Endpoint.from_text("10.0.0.7:9993")
ANYWHERE = Endpoint(bytes(4), 9993)
ANYWHERE_V6 = Endpoint(bytes(16), 9993)


class _MovingClock(Clock):
    """A clock that may be moved on."""

    moved_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.moved_ms


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def until_answered(watch: PlaceWatch, wanted: dict[Place, WorldHeld]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not watch.answering:
            await watch.watch(wanted)
            await asyncio.sleep(0.01)


async def test_a_place_answers_as_long_as_its_root_does(site: Site) -> None:
    server = await site.start()
    clock = _MovingClock()
    watch = PlaceWatch(clock)
    here = Place(identity(0).public(), site.endpoint)
    elsewhere = Place(identity(0).public(), loopback("127.0.0.1", free_port()))
    other = Place(identity(3).public(), site.endpoint)
    wanted = dict.fromkeys((here, elsewhere, other), NOTHING)
    try:
        await until_answered(watch, wanted)
        assert watch.answering == {here}
        assert watch.unknown == {elsewhere, other}
        # No root remembers who only asks.
        assert site.home.store.count_nodes() == 0
        clock.moved_ms += ANSWERED_MS - 1_000
        await watch.watch(wanted)
        await until_answered(watch, wanted)
        await server.stop()
        assert site.home.store.count_nodes() == 0
        clock.moved_ms += ANSWERED_MS
        await watch.watch(wanted)
        assert watch.answering == watch.unknown == frozenset()
    finally:
        watch.close()


async def test_what_an_official_root_holds_is_asked_for(site: Site) -> None:
    server = await site.start()
    watch = PlaceWatch(Clock())
    here = Place(identity(0).public(), site.endpoint)
    await until_answered(watch, {here: WorldHeld(site.planet.id, 1)})
    assert watch.held(site.planet.id) == {here.identity.address: site.planet.timestamp_ms}
    assert watch.held(5) == {}
    watch.close()
    assert watch.held(site.planet.id) == {}
    await server.stop()


async def test_without_a_wish_there_is_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "AskingLine", None)
    watch = PlaceWatch(Clock())
    await watch.watch({})
    assert watch.answering == watch.unknown == frozenset()
    watch.close()


@pytest.mark.parametrize(
    ("listed", "bound", "ours", "expected"),
    [
        ([PUBLIC], [PUBLIC], set(), [PUBLIC]),
        ([PUBLIC, OTHER], [ANYWHERE], {PUBLIC.ip}, [PUBLIC]),
        ([PUBLIC, OTHER], [PUBLIC], {PUBLIC.ip, OTHER.ip}, [PUBLIC]),
        ([PUBLIC, V6], [ANYWHERE, ANYWHERE_V6], {PUBLIC.ip, V6.ip}, [PUBLIC, V6]),
        ([PUBLIC, V6], [ANYWHERE], {PUBLIC.ip, V6.ip}, [PUBLIC]),
        # Behind a NAT none of them is an address of this machine.
        ([PUBLIC], [ANYWHERE], set(), [PUBLIC]),
        ([PUBLIC], [PRIVATE], set(), [PUBLIC]),
        ([PUBLIC, V6], [ANYWHERE, ANYWHERE_V6], {V6.ip}, [PUBLIC, V6]),
        ([PUBLIC], [Endpoint.from_text("10.0.0.7:443")], set(), []),
        ([], [ANYWHERE], set(), []),
    ],
)
def test_at_which_of_its_places_a_root_is(
    listed: list[Endpoint], bound: list[Endpoint], ours: set[bytes], expected: list[Endpoint]
) -> None:
    is_ours = {endpoint.ip: endpoint.ip in ours for endpoint in listed}
    assert own_endpoints(listed, bound, is_ours) == tuple(sorted(expected))
