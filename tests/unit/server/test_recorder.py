import asyncio
import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest
import structlog

from orrery.errors import UnreadableError
from orrery.server import recorder as module
from orrery.server.clock import Clock
from orrery.server.recorder import Recorder
from orrery.store import Adoption, Fork, Sighting, Store
from orrery.vl1.events import (
    AdoptionLearned,
    Drop,
    ForkSeen,
    How,
    NodeSeen,
    PacketDropped,
    WorldServed,
)
from orrery.vl1.forks import mark_of
from orrery.vl1.path import Path
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import Version, WorldHeld
from tests.unit.store.making import WORLD_ID, identity, key, world

PATH = Path(Endpoint.from_text("198.51.100.4:29994"), 0)


class _Clock(Clock):
    """One that the wall clock agrees with to the millisecond."""

    def wall_ms(self, steady_ms: int) -> int:
        return steady_ms


class _Disk:
    """Takes what a store would, or fails as told."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.batches: list[tuple[list[Sighting], list[Adoption]]] = []
        self.forks: list[Fork] = []
        self.reached = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def record(
        self,
        sightings: Sequence[Sighting],
        adoptions: Sequence[Adoption],
        forks: Sequence[Fork],
        *,
        now_ms: int,
        watched_since_ms: int,
    ) -> None:
        assert threading.current_thread() is not threading.main_thread()
        self.reached.set()
        self.goes_on.wait()
        if self.failure is not None:
            raise self.failure
        self.batches.append((list(sightings), list(adoptions)))
        self.forks += forks


@pytest.fixture
def disk() -> _Disk:
    return _Disk()


@pytest.fixture
def recorder(disk: _Disk) -> Recorder:
    return Recorder(cast("Store", disk), _Clock())


def seen(number: int, at_ms: int = 1_000) -> NodeSeen:
    return NodeSeen(
        at_ms, identity(number), PATH, 13, Version(1, 14, 1), WorldHeld(WORLD_ID, 5), ()
    )


def adopted(number: int, at_ms: int = 1_000) -> AdoptionLearned:
    return AdoptionLearned(at_ms, Address(number), WORLD_ID, 5, How.PROBE)


async def test_what_happened_is_written_in_one_batch(disk: _Disk, recorder: Recorder) -> None:
    recorder.take([seen(1), seen(2), adopted(7), seen(1, at_ms=2_000)])
    await recorder.flush()
    await recorder.flush()  # nothing is left
    ((sightings, adoptions),) = disk.batches
    assert {s.address for s in sightings} == {identity(1).address, identity(2).address}
    (first, second) = sightings
    assert first.seen_at_ms - second.seen_at_ms == 1_000  # of a node the last counts
    assert (first.path, first.version) == ("198.51.100.4/29994", (1, 14, 1))
    assert first.identity == identity(1).public().to_bytes()
    assert [(a.address, a.how) for a in adoptions] == [(7, "probe")]


async def test_what_is_only_counted(disk: _Disk, recorder: Recorder) -> None:
    recorder.take(
        [
            PacketDropped(Drop.RATE, PATH),
            PacketDropped(Drop.RATE, PATH),
            WorldServed(1, Address(7), 1, 300, pushed=True),
            WorldServed(1, Address(8), 2, 500, pushed=False),
        ]
    )
    await recorder.flush()
    assert not disk.batches
    assert recorder.counts == {
        "dropped: rate limit": 2,
        "pushed": 1,
        "served": 1,
        "world bytes": 800,
    }


async def test_a_fork_is_told_once(recorder: Recorder) -> None:
    with structlog.testing.capture_logs() as told:
        recorder.take([ForkSeen(1, Address(0x89E92CEEE5), WORLD_ID, 77)])
        await recorder.flush()
        await recorder.flush()
    (entry,) = told
    assert (entry["event"], entry["node"], entry["revision"]) == ("fork", "89e92ceee5", 77)


async def test_a_revision_that_another_root_knew_first_is_not_told_as_a_fork(
    recorder: Recorder,
) -> None:
    with structlog.testing.capture_logs() as told:
        recorder.take([ForkSeen(1, Address(number), WORLD_ID, 5) for number in (7, 8)])
        recorder.take([ForkSeen(1, Address(9), WORLD_ID, 77)])
        recorder.take([adopted(number) for number in (7, 9)])
        await recorder.flush()
    assert [entry["node"] for entry in told] == ["0000000008", "0000000009"]


async def test_forks_are_written_with_what_is_known_of_them(
    disk: _Disk, recorder: Recorder
) -> None:
    fork = world(77, signer=key(9))
    with structlog.testing.capture_logs():
        recorder.take([ForkSeen(1_000, Address(7), WORLD_ID, 78)])
        await recorder.flush()
        recorder.take([ForkSeen(2_000, Address(7), WORLD_ID, 77, fork)])
        await recorder.flush()
    names, roots = fork.updates_must_be_signed_by, (fork.roots[0].identity.address,)
    assert disk.forks == [
        Fork(Address(7), WORLD_ID, 78, 1_000),
        Fork(Address(7), WORLD_ID, 77, 2_000, mark_of(fork), names, roots),
    ]


async def test_of_a_node_the_last_fork_counts(disk: _Disk, recorder: Recorder) -> None:
    with structlog.testing.capture_logs():
        recorder.take([ForkSeen(at_ms, Address(7), WORLD_ID, at_ms) for at_ms in (1, 2)])
        await recorder.flush()
    assert [fork.timestamp_ms for fork in disk.forks] == [2]


async def test_forks_wait_for_a_disk_that_fails_up_to_a_limit(
    disk: _Disk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    disk.failure = UnreadableError("orrery.db cannot grow, the disk is full")
    with structlog.testing.capture_logs():
        recorder.take([ForkSeen(1, Address(number), WORLD_ID, 1) for number in (1, 2)])
        await recorder.flush()
        recorder.take([ForkSeen(2, Address(number), WORLD_ID, 2) for number in (2, 3, 4)])
        disk.failure = None
        await recorder.flush()
    assert {(fork.address, fork.timestamp_ms) for fork in disk.forks} == {(1, 1), (2, 2), (3, 2)}
    assert recorder.counts["forks"] == 5
    assert recorder.counts["forks lost"] == 1


async def test_many_forks_do_not_fill_the_log(recorder: Recorder) -> None:
    with structlog.testing.capture_logs() as told:
        for number in range(1_000):
            recorder.take([ForkSeen(number, Address(number), WORLD_ID, 1)])
        await recorder.flush()
    assert len(told) == 20


async def test_a_disk_that_fails_is_told_once_and_loses_nothing(
    disk: _Disk, recorder: Recorder
) -> None:
    disk.failure = UnreadableError("orrery.db cannot grow, the disk is full")
    with structlog.testing.capture_logs() as told:
        recorder.take([seen(1), adopted(7)])
        await recorder.flush()
        recorder.take([seen(1, at_ms=9_000), seen(2), adopted(8)])
        await recorder.flush()
        disk.failure = None
        await recorder.flush()
    assert [entry["event"] for entry in told] == ["recording fails", "recording works again"]
    assert "the disk is full" in told[0]["error"]
    ((sightings, adoptions),) = disk.batches
    assert len(sightings) == 2
    assert [a.address for a in adoptions] == [7, 8]
    newest = next(s for s in sightings if s.address == identity(1).address)
    other = next(s for s in sightings if s.address == identity(2).address)
    assert newest.seen_at_ms - other.seen_at_ms == 8_000


async def test_what_waits_is_bounded(
    disk: _Disk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    disk.failure = UnreadableError("full")
    for number in range(6):
        recorder.take([seen(number), adopted(number)])
        await recorder.flush()
    assert recorder.counts == {"sightings lost": 3, "adoptions lost": 3}
    recorder.take([seen(0, at_ms=5_000)])  # news of one that waits already has room
    disk.failure = None
    await recorder.flush()
    ((sightings, adoptions),) = disk.batches
    assert len(sightings) == len(adoptions) == 3
    assert recorder.counts["sightings lost"] == 3


async def test_what_came_while_the_disk_failed_has_the_first_place(
    disk: _Disk, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    disk.failure = UnreadableError("full")
    disk.goes_on.clear()
    recorder.take([seen(0), seen(1), adopted(0), adopted(1)])
    flushing = asyncio.create_task(recorder.flush())
    await asyncio.to_thread(disk.reached.wait)
    recorder.take([seen(2), adopted(2)])
    disk.goes_on.set()
    await flushing
    disk.failure = None
    await recorder.flush()
    ((sightings, adoptions),) = disk.batches
    assert {s.address for s in sightings} == {identity(0).address, identity(2).address}
    assert [a.address for a in adoptions] == [0, 1]  # the first time of an adoption is what counts
    assert recorder.counts == {"sightings lost": 1, "adoptions lost": 1}


async def test_a_bug_costs_its_batch_and_no_other(disk: _Disk, recorder: Recorder) -> None:
    disk.failure = OverflowError("Python int too large to convert to SQLite INTEGER")
    with structlog.testing.capture_logs() as told:
        recorder.take([seen(1), adopted(7)])
        await recorder.flush()
        disk.failure = None
        recorder.take([seen(2)])
        await recorder.flush()
    assert [(entry["event"], entry["log_level"]) for entry in told] == [("bug", "error")]
    ((sightings, adoptions),) = disk.batches
    assert [s.address for s in sightings] == [identity(2).address]
    assert not adoptions
    assert recorder.counts == {"sightings lost": 1, "adoptions lost": 1}


async def test_the_end_waits_for_what_is_being_written_and_writes_the_rest(
    disk: _Disk, recorder: Recorder
) -> None:
    disk.goes_on.clear()
    running = asyncio.create_task(recorder.run())
    recorder.take([seen(1)])
    await asyncio.to_thread(disk.reached.wait)
    recorder.take([seen(2)])
    recorder.end()
    disk.goes_on.set()
    await running
    written: list[Any] = [s.address for sightings, _ in disk.batches for s in sightings]
    assert written == [identity(1).address, identity(2).address]


async def test_the_end_does_not_wait_for_a_disk_that_fails(disk: _Disk, recorder: Recorder) -> None:
    disk.failure = UnreadableError("full")
    recorder.take([seen(1)])
    recorder.end()
    async with asyncio.timeout(30):
        await recorder.run()
    assert not disk.batches
