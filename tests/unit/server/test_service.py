"""The server on real sockets, in this process, with leaves that live by it."""

import asyncio
import os
import signal
import socket
import sqlite3
import threading
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from orrery.errors import ConflictError, UnreadableError
from orrery.lab.identities import make_unproven_identity
from orrery.server import service
from orrery.server.clock import Clock
from orrery.server.service import ServeOptions, Server
from orrery.store import Sighting, Store
from orrery.store import engine as store_engine
from orrery.vl1.events import EchoAnswered, NodeSeen, UpstreamAnswered, WorldTaken
from orrery.vl1.leaf import LeafNode
from orrery.vl1.path import Path as WirePath
from orrery.vl1.push import PushSettings
from orrery.vl1.root import RootNode
from orrery.wire.identity import Identity
from orrery.wire.packet import Verb
from orrery.wire.verbs import Version, WorldHeld
from orrery.wire.world import World
from tests.unit.server.serving import (
    LIMIT_S,
    Crowd,
    Site,
    eventually,
    hello,
    loopback,
    wall_ms,
)
from tests.unit.server.test_udp import needs_ipv6
from tests.unit.store.making import identity

MakeCrowd = Callable[..., Crowd]
Told = list[dict[str, Any]]


@pytest.fixture
def told() -> Any:
    """What is logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def events_in(told: Told) -> list[str]:
    return [entry["event"] for entry in told]


def _is(world: World, taken: WorldTaken) -> bool:
    return taken.world == world


def _serves(server: Server, number: int) -> bool:
    return server._version == number


def echo_all(crowd: Crowd, site: Site) -> None:
    root = site.home.identity().address
    for number in range(len(crowd.fleet)):
        crowd.fleet.call(number, lambda leaf, now_ms: leaf.send(root, Verb.ECHO, b"there?", now_ms))


# -- HELLO, and what is remembered of it ---------------------------------------------------------


async def test_nodes_are_answered_and_remembered(site: Site, crowd: MakeCrowd) -> None:
    await site.start()
    before_ms = wall_ms()
    nodes = crowd(range(1, 6), sockets=5)
    await nodes.all_tell(UpstreamAnswered)
    await eventually(lambda: site.home.store.count_nodes() == 5)
    for record in site.home.store.nodes():
        assert record.address in nodes.addresses
        assert record.path.startswith("127.0.0.1/")
        assert (record.planet_id, record.planet_timestamp_ms) == (
            site.planet.id,
            site.planet.timestamp_ms,
        )
        assert before_ms - 1_000 <= record.last_seen_ms <= wall_ms() + 1_000


async def test_what_was_seen_last_is_written_at_the_end(
    site: Site, crowd: MakeCrowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orrery.server.recorder.FLUSH_INTERVAL_S", 3_600)
    await site.start()
    nodes = crowd(range(1, 4))
    await nodes.all_tell(UpstreamAnswered)
    assert site.home.store.count_nodes() == 0
    await site.server.stop()
    assert {node.address for node in site.home.store.nodes()} == nodes.addresses
    await site.start()


async def test_a_server_knows_its_nodes_again(
    site: Site, crowd: MakeCrowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.start()
    await crowd([1, 2]).all_tell(UpstreamAnswered)
    await site.server.stop()

    def not_again(_identity: Identity) -> None:
        raise AssertionError("an identity was proven twice")

    monkeypatch.setattr(Identity, "validate", not_again)
    await site.start()
    nodes = crowd([1, 2])
    await nodes.all_tell(UpstreamAnswered)
    assert site.server.counts["bugs"] == 0


async def test_of_more_nodes_than_are_remembered_those_seen_last_are(site: Site) -> None:
    known = [make_unproven_identity(number) for number in range(5)]
    site.home.store.record(
        [
            Sighting(each.address, each.to_bytes(), "127.0.0.1/1", 13, (1, 14, 1), at_ms, 0, 0)
            for at_ms, each in enumerate(known, wall_ms() - 1_000)
        ]
    )
    server = await site.start()
    # What is learned too much pushes out the first.
    assert list(server._root._recalled) == [each.address for each in known]


async def test_the_wildcard_answers_from_the_address_that_was_asked(tmp_path: Path) -> None:
    site = Site(tmp_path, ip="127.0.0.2", listen="0.0.0.0")
    await site.start()
    try:
        for number, ip in ((1, "127.0.0.1"), (2, "127.0.0.2")):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
                node.setblocking(False)
                node.bind(("127.0.0.1", 0))
                node.sendto(hello(number, site.planet), (ip, site.endpoint.port))
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(LIMIT_S):
                    answer, source = await loop.sock_recvfrom(node, 2_000)
            assert source == (ip, site.endpoint.port)
            assert answer[8:13] == identity(number).address.to_bytes(5)
    finally:
        await site.server.stop()
        site.home.close()


@needs_ipv6
async def test_nodes_are_served_over_ipv6(tmp_path: Path) -> None:
    site = Site(tmp_path, ip="::1", listen="::")
    await site.start()
    nodes = Crowd(site.planet, [1, 2], ip="::1")
    nodes.start()
    try:
        await nodes.all_tell(UpstreamAnswered)
        newest = (await site.publish(port=9993)).world
        await nodes.all_tell(WorldTaken)
        await eventually(
            lambda: len(site.home.store.adoptions(newest.id, newest.timestamp_ms)) == 2
        )
        assert all(node.path.startswith("::1/") for node in site.home.store.nodes())
    finally:
        nodes.close()
        await site.server.stop()
        site.home.close()


# -- strangers -----------------------------------------------------------------------------------


async def test_strangers_are_proven_beside_the_loop(
    site: Site, crowd: MakeCrowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = identity(1)
    site.home.store.record(
        [Sighting(known.address, known.public().to_bytes(), "127.0.0.1/1", 13, (1, 14, 1), 1, 0, 0)]
    )
    goes_on = threading.Event()
    validate = Identity.validate

    def validate_slowly(stranger: Identity) -> None:
        goes_on.wait()
        validate(stranger)

    monkeypatch.setattr(Identity, "validate", validate_slowly)
    await site.start()
    try:
        strangers = crowd(range(2, 30), sockets=28)
        friend = crowd([1])
        await friend.all_tell(UpstreamAnswered)  # nobody waits for those who are being proven
        assert not strangers.told(UpstreamAnswered)
    finally:
        goes_on.set()
    await strangers.all_tell(UpstreamAnswered)


async def test_a_stranger_without_proof_stays_one(site: Site, crowd: MakeCrowd) -> None:
    server = await site.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
        now_ms = Clock().now_ms()
        leaf = LeafNode.holding(make_unproven_identity(1), os.urandom, site.planet, (), now_ms)
        leaf.tick(now_ms)
        node.sendto(leaf.drain().datagrams[0][0], ("127.0.0.1", site.endpoint.port))
        await eventually(lambda: server.counts["dropped: identity fails its proof of work"] == 1)
    assert server._root.peer_count == 0


async def test_a_proof_that_fails_by_a_bug_does_not_keep_its_place(
    site: Site, crowd: MakeCrowd, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    validate = Identity.validate

    def stumble(stranger: Identity) -> None:
        monkeypatch.setattr(Identity, "validate", validate)
        raise RuntimeError("a bug")

    monkeypatch.setattr(Identity, "validate", stumble)
    server = await site.start()
    first = hello(1, site.planet)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
        node.sendto(first, ("127.0.0.1", site.endpoint.port))
        await eventually(lambda: server.counts["bugs"] == 1)
    assert not server._root._strangers._waiting
    assert "bug" in events_in(told)


# -- revisions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rotate", [False, True])
async def test_a_revision_of_another_process_reaches_every_node(
    site: Site, crowd: MakeCrowd, told: Told, rotate: bool
) -> None:
    await site.start()
    nodes = crowd(range(1, 9), sockets=4)
    await nodes.all_tell(UpstreamAnswered)
    before_ms = wall_ms()
    newest = (await site.publish(port=1_234, rotate=rotate)).world
    await nodes.all_tell(WorldTaken, partial(_is, newest))
    await eventually(
        lambda: len(site.home.store.adoptions(newest.id, newest.timestamp_ms)) == len(nodes.fleet)
    )
    for adoption in site.home.store.adoptions(newest.id, newest.timestamp_ms):
        assert adoption.address in nodes.addresses
        assert adoption.how in {"probe", "hello"}
        assert before_ms - 1_000 <= adoption.first_at_ms <= wall_ms() + 1_000
    (entry,) = (entry for entry in told if entry["event"] == "revision")
    assert entry["worlds"] == [f"planet {newest.id:016x} at {newest.timestamp_ms}"]
    assert entry["nodes_to_push"] <= 8


async def test_without_push_the_next_hello_is_answered_with_the_revision(
    site: Site, crowd: MakeCrowd
) -> None:
    server = await site.start(push=PushSettings(enabled=False))
    await crowd([1]).all_tell(UpstreamAnswered)
    newest = (await site.publish(port=1_234)).world
    await eventually(lambda: server._root._handing.table.newest(newest.id) == newest)
    assert server.counts["pushed"] == 0
    again = crowd([1])  # as after a restart of the node: it says HELLO
    await again.all_tell(WorldTaken, partial(_is, newest))
    assert server.counts["pushed"] == 0


async def test_one_that_slept_through_rotations_is_led_to_the_newest(
    site: Site, crowd: MakeCrowd
) -> None:
    await site.start()
    for port in (1, 2, 3):
        newest = (await site.publish(port=port, rotate=True)).world
    late = crowd([7])
    await late.all_tell(WorldTaken, partial(_is, newest))
    await eventually(lambda: len(site.home.store.adoptions(newest.id, newest.timestamp_ms)) == 1)


async def test_revisions_are_served_while_rubbish_arrives(site: Site, crowd: MakeCrowd) -> None:
    server = await site.start()
    nodes = crowd(range(1, 4))
    await nodes.all_tell(UpstreamAnswered)
    enough = threading.Event()

    def flood() -> None:
        source = hello(9, site.planet)
        target = ("127.0.0.1", site.endpoint.port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            while not enough.is_set():
                for size in (0, 20, 27, 28, 200, 1_400):
                    stranger.sendto(os.urandom(size), target)
                    stranger.sendto(source[:size] + os.urandom(len(source) - size % 200), target)

    flooding = asyncio.create_task(asyncio.to_thread(flood))
    try:
        for port in (1, 2, 3):
            newest = (await site.publish(port=port)).world
            await nodes.all_tell(WorldTaken, partial(_is, newest))
    finally:
        enough.set()
        await flooding
    assert server.counts["bugs"] == 0
    assert sum(count for name, count in server.counts.items() if name.startswith("dropped")) > 100


# -- signals and the service manager -------------------------------------------------------------


async def test_sigterm_ends_it_and_sighup_looks_for_a_revision(
    site: Site, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await site.start()
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        name = f"orrery-test-{uuid.uuid4()}"
        manager.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        running = asyncio.create_task(server.run())
        async with asyncio.timeout(LIMIT_S):
            assert await loop.sock_recv(manager, 100) == b"READY=1"
            os.kill(os.getpid(), signal.SIGHUP)
            await eventually(lambda: "revision" in events_in(told))
            os.kill(os.getpid(), signal.SIGTERM)
            await running
            assert await loop.sock_recv(manager, 100) == b"STOPPING=1"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_signal_that_comes_before_it_serves_ends_it_as_well(site: Site) -> None:
    site.server = Server(
        site.home.identity(), site.home.store, ServeOptions(listen=(site.endpoint,))
    )
    site.server.handle_signals()
    os.kill(os.getpid(), signal.SIGTERM)
    await site.server.start()
    async with asyncio.timeout(LIMIT_S):
        await site.server.run()


async def test_the_watchdog_is_fed_as_long_as_the_loop_goes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        name = f"orrery-test-{uuid.uuid4()}"
        manager.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        await site.start()
        async with asyncio.timeout(LIMIT_S):
            for _ in range(3):
                loop = asyncio.get_running_loop()
                assert await loop.sock_recv(manager, 100) == b"WATCHDOG=1"


async def test_a_second_server_on_the_port_is_refused(site: Site) -> None:
    await site.start()
    first = site.server
    with pytest.raises(ConflictError, match="in use by another program"):
        await site.start()
    site.server = first


# -- what fails ----------------------------------------------------------------------------------


async def test_a_bug_in_the_root_costs_its_datagram_alone(
    site: Site, crowd: MakeCrowd, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    def stumble(*_args: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(service, "MAX_TRACES", 2)
    monkeypatch.setattr(RootNode, "_on_echo", stumble)
    server = await site.start()
    nodes = crowd(range(1, 5))
    await nodes.all_tell(UpstreamAnswered)
    echo_all(nodes, site)
    await eventually(lambda: server.counts["bugs"] == 4)
    newest = (await site.publish(port=1)).world
    await nodes.all_tell(WorldTaken, partial(_is, newest))
    traced = [entry for entry in told if entry["event"] == "bug"]
    assert len(traced) == 2
    assert all(isinstance(entry["exc_info"], RuntimeError) for entry in traced)
    assert all(entry["source"].startswith("127.0.0.1/") for entry in traced)


@pytest.mark.parametrize("name", ["tick", "next_tick_ms", "drain", "publish"])
async def test_a_bug_anywhere_in_the_root_stops_nothing(
    site: Site, crowd: MakeCrowd, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(service, "LONGEST_TICK_S", 0.01)
    original = getattr(RootNode, name)
    left = 3

    def stumble(root: RootNode, *args: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise RuntimeError("a bug")
        return original(root, *args)

    server = await site.start()
    nodes = crowd(range(1, 4))
    await nodes.all_tell(UpstreamAnswered)
    monkeypatch.setattr(RootNode, name, stumble)
    for port in range(1, 6):  # of which a bug may cost three
        revision = await site.publish(port=port)
        number, newest = revision.number, revision.world
        await eventually(partial(_serves, server, number))
    await nodes.all_tell(WorldTaken, partial(_is, newest))
    assert server.counts["bugs"] == 3


async def test_a_store_that_another_program_locks_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    monkeypatch.setattr(store_engine, "_BUSY_TIMEOUT_MS", 20)
    site = Site(tmp_path)
    await site.start()
    first, second = Crowd(site.planet, [1, 2]), Crowd(site.planet, [3, 4])
    try:
        with sqlite3.connect(site.path / "orrery.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            first.start()
            await first.all_tell(UpstreamAnswered)
            await eventually(lambda: "recording fails" in events_in(told))
            second.start()
            await second.all_tell(UpstreamAnswered)
            other.execute("ROLLBACK")
        other.close()
        await eventually(lambda: site.home.store.count_nodes() == 4)
        await eventually(lambda: "recording works again" in events_in(told))
    finally:
        first.close()
        second.close()
        await site.server.stop()
        site.home.close()
    assert events_in(told).count("recording fails") == 1


@pytest.mark.parametrize(
    ("method", "event"),
    [
        ("data_version", "reading the store fails"),
        ("serving", "reading the store fails"),
        ("record", "recording fails"),
        ("retention", "forgetting old sightings fails"),
    ],
)
async def test_a_store_that_fails_is_told_once_and_tried_again(
    site: Site,
    crowd: MakeCrowd,
    monkeypatch: pytest.MonkeyPatch,
    *,
    told: Told,
    method: str,
    event: str,
) -> None:
    monkeypatch.setattr(service, "STORE_RETRY_S", 0.01)
    monkeypatch.setattr(service, "RETENTION_INTERVAL_S", 0.01)
    server = await site.start()
    nodes = crowd([1, 2])
    await nodes.all_tell(UpstreamAnswered)
    failures = 0

    def fail(*_args: object, **_kwargs: object) -> None:
        nonlocal failures
        failures += 1
        raise UnreadableError("orrery.db cannot be read or written (disk I/O error)")

    with monkeypatch.context() as broken:
        broken.setattr(Store, method, fail)
        server._reload_soon()
        server._recorder.take([_seen(3)])
        await eventually(lambda: failures >= 3)
        nodes.forget()
        echo_all(nodes, site)
        await nodes.all_tell(EchoAnswered)
    await eventually(lambda: f"{event.removesuffix('fails')}works again" in events_in(told))
    assert events_in(told).count(event) == 1
    newest = (await site.publish(port=5)).world
    await nodes.all_tell(WorldTaken, partial(_is, newest))
    await eventually(lambda: site.home.store.count_nodes() == 3)
    assert server.counts["bugs"] == 0


def _seen(number: int) -> NodeSeen:
    return NodeSeen(
        Clock().now_ms(),
        identity(number),
        WirePath(loopback("127.0.0.1", 9), 0),
        13,
        Version(1, 14, 1),
        WorldHeld(0, 0),
        (),
    )


async def test_a_chain_that_was_tampered_with_does_not_replace_the_one_that_is_served(
    site: Site, crowd: MakeCrowd, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STORE_RETRY_S", 0.01)
    await site.start()
    nodes = crowd([1])
    await nodes.all_tell(UpstreamAnswered)
    newest = (await site.publish(port=5)).world
    await nodes.all_tell(WorldTaken)
    forged = World.decode(newest.encode()[:-3] + b"\x04\x11\x22\x33"[:3])
    with sqlite3.connect(site.path / "orrery.db") as other:
        other.execute(
            "INSERT INTO revisions (world_id, timestamp_ms, world, added_at_ms, note)"
            " SELECT world_id, timestamp_ms + 1, ?, added_at_ms, '' FROM revisions"
            " ORDER BY number DESC LIMIT 1",
            (forged.encode(),),
        )
    other.close()
    await eventually(lambda: "reading the store fails" in events_in(told))
    late = crowd([2])
    await late.all_tell(WorldTaken, partial(_is, newest))


# -- housekeeping --------------------------------------------------------------------------------


async def test_old_sightings_are_forgotten(site: Site, crowd: MakeCrowd) -> None:
    day_ms = 86_400_000
    store = site.home.store
    for number, age_days in ((5, 31), (6, 29)):
        each = identity(number)
        store.record(
            [
                Sighting(
                    each.address,
                    each.public().to_bytes(),
                    "127.0.0.1/1",
                    13,
                    (1, 14, 1),
                    wall_ms() - age_days * day_ms,
                    0,
                    0,
                )
            ]
        )
    await site.start(keep_days=30)
    await eventually(lambda: not store.history(identity(5).address))
    assert store.history(identity(6).address)
    assert store.count_nodes() == 2  # the nodes themselves are remembered for longer


async def test_each_minute_is_reported(
    site: Site, crowd: MakeCrowd, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REPORT_INTERVAL_S", 0.01)
    await site.start()
    nodes = crowd([1, 2])
    await nodes.all_tell(UpstreamAnswered)
    newest = (await site.publish(port=5)).world
    await nodes.all_tell(WorldTaken, partial(_is, newest))

    def reported(name: str) -> int:
        return sum(entry.get(name, 0) for entry in told if entry["event"] == "minute")

    await eventually(lambda: reported("pushed") + reported("served") >= 2)
    assert any(entry["nodes"] == 2 for entry in told if entry["event"] == "minute")
    site.server._sockets.send_errors += 3
    await eventually(lambda: reported("not sent") == 3)


async def test_the_end_is_told_with_what_has_happened(
    site: Site, crowd: MakeCrowd, told: Told
) -> None:
    await site.start()
    await crowd([1]).all_tell(UpstreamAnswered)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"x", ("127.0.0.1", site.endpoint.port))
        await eventually(lambda: site.server.counts["dropped: shorter than any packet"] == 1)
    await site.server.stop()
    assert told[-1]["event"] == "stopped"
    assert told[-1]["dropped: shorter than any packet"] == 1
    serving = next(entry for entry in told if entry["event"] == "serving")
    assert serving["root"] == f"{site.home.identity().address:010x}"
    assert serving["listen"] == [str(site.endpoint)]
    await site.start()


async def test_a_clock_that_is_set_back_loses_no_adoption(
    site: Site, crowd: MakeCrowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour_ms = 3_600_000
    await site.start()
    nodes = crowd([1, 2])
    await nodes.all_tell(UpstreamAnswered)
    await eventually(lambda: site.home.store.count_nodes() == 2)
    wall = Clock.wall_ms
    monkeypatch.setattr(Clock, "wall_ms", lambda clock, at_ms: wall(clock, at_ms) - hour_ms)
    newest = (await site.publish(port=5)).world
    await nodes.all_tell(WorldTaken, partial(_is, newest))
    await eventually(
        lambda: (
            len(site.home.store.adoptions(newest.id, newest.timestamp_ms)) == 2
            and all(
                holding.timestamp_ms == newest.timestamp_ms
                for node in site.home.store.nodes()
                for holding in node.holdings
            )
        )
    )
