"""The service: a root node on real sockets, fed by the store, recorded in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from orrery.errors import OrreryError, VerifyError
from orrery.server.clock import Clock
from orrery.server.recorder import Recorder
from orrery.server.supervisor import notify, watchdog_interval_s
from orrery.server.udp import UdpSockets
from orrery.store import NodeRecord, Store
from orrery.vl1.events import Proof
from orrery.vl1.path import Path
from orrery.vl1.push import PushSettings
from orrery.vl1.root import KnownNode, RootLimits, RootNode
from orrery.wire.address import format_address
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES, Version, WorldHeld
from orrery.worlds.handover import HandoverTable

STORE_POLL_S = 0.02
"""How soon a revision that another process published is noticed."""
REPORT_INTERVAL_S = 60
RETENTION_INTERVAL_S = 3600
LONGEST_TICK_S = 1.0
MAX_TRACES = 10

log = structlog.get_logger("orrery.server")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What a server is told by `orrery.toml` and the command line.

    Attributes:
        listen: endpoints to bind.
        push: see `PushSettings`.
        limits: see `RootLimits`.
        keep_days: days of sightings that are kept.
        max_sightings: sightings that are kept at most.
    """

    listen: tuple[Endpoint, ...]
    push: PushSettings = PushSettings()  # noqa: RUF009 - immutable
    limits: RootLimits = RootLimits()  # noqa: RUF009 - immutable
    keep_days: int = 30
    max_sightings: int = 1_000_000


class Server:
    """One root, from `start` to `stop`.

    Args:
        identity: of the root, with its secret.
        store: where revisions come from and sightings go.
        options: see `ServeOptions`.
    """

    def __init__(self, identity: Identity, store: Store, options: ServeOptions) -> None:
        self._identity = identity
        self._store = store
        self._options = options
        self._clock = Clock()
        self._recorder = Recorder(store, self._clock)
        self._version = -1
        self._tasks: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pushing = False

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where the server listens."""
        return self._sockets.endpoints

    @property
    def counts(self) -> Counter[str]:
        """What has happened since the start."""
        return self._recorder.counts

    async def start(self) -> None:
        """Bind, load, and begin to answer.

        Raises:
            OrreryError: an address cannot be bound, or the store cannot be read.
        """
        self._loop = asyncio.get_running_loop()
        self._version, table = await asyncio.to_thread(self._load)
        self._root = RootNode(
            self._identity,
            os.urandom,
            table,
            self._clock.now_ms(),
            push=self._options.push,
            limits=self._options.limits,
        )
        known = await asyncio.to_thread(self._store.nodes, limit=self._options.limits.peers)
        for node in known:
            self._root.learn(_known_node(node))
        self._sockets = UdpSockets(self._options.listen, self._on_datagram, self._flush)
        self._prover = ThreadPoolExecutor(1, thread_name_prefix="proof")
        for bound in self._sockets.sockets:
            self._loop.add_reader(bound.fileno(), self._sockets.receive, bound)
        self._tasks = [
            self._loop.create_task(run, name=name)
            for name, run in (
                ("recorder", self._recorder.run()),
                ("revisions", self._follow_store()),
                ("report", self._report()),
                ("retention", self._retain()),
                ("watchdog", self._feed_watchdog()),
            )
        ]
        self._tick()
        log.info(
            "serving",
            root=format_address(self._identity.address),
            listen=[str(endpoint) for endpoint in self.endpoints],
            worlds=_describe(table),
            nodes=len(known),
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP looks for a new revision at once.

        Raises:
            BaseException: whatever ended a background task of the server, which is a bug.
        """
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stopping.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        notify("READY=1")
        stopped = self._loop.create_task(stopping.wait())
        try:
            await asyncio.wait([stopped, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            notify("STOPPING=1")
            stopped.cancel()
        for task in self._tasks:
            if task.done() and (error := task.exception()) is not None:
                raise error

    async def stop(self) -> None:
        """Stop answering, write what is left, and let go of everything."""
        for bound in self._sockets.sockets:
            self._loop.remove_reader(bound.fileno())
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._prover.shutdown(wait=True, cancel_futures=True)
        self._sockets.close()
        await self._recorder.flush()
        log.info("stopped", **self._recorder.counts)

    # -- datagrams and time --------------------------------------------------------------------

    def _on_datagram(self, datagram: bytes, path: Path) -> None:
        try:
            self._root.receive(datagram, path, self._clock.now_ms())
        except Exception:
            # A bug; but whoever found it must not stop the root for everybody else, nor fill
            # the disk with its traces.
            self.counts["bugs"] += 1
            if self.counts["bugs"] <= MAX_TRACES:
                log.exception("bug", datagram=datagram.hex(), source=str(path))

    def _flush(self) -> None:
        """Send, report and hand on what the root has come up with."""
        output = self._root.drain()
        send = self._sockets.send
        for datagram, path in output.datagrams:
            send(datagram, path)
        if output.events:
            self._recorder.take(output.events)
        for proof in output.proofs:
            self._prover.submit(self._prove, proof)

    def _prove(self, proof: Proof) -> None:
        """Check a stranger's proof of work, on the thread that has nothing else to do."""
        try:
            proof.identity.validate()
            proven = True
        except VerifyError:
            proven = False
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._on_proof, proof.identity, proven)

    def _on_proof(self, identity: Identity, proven: bool) -> None:
        self._root.proof_done(identity, proven, self._clock.now_ms())
        self._flush()

    def _tick(self) -> None:
        now_ms = self._clock.now_ms()
        self._root.tick(now_ms)
        self._flush()
        self._note_push()
        wait_s = (self._root.next_tick_ms(now_ms) - now_ms) / 1000
        self._timer = self._loop.call_later(min(max(wait_s, 0), LONGEST_TICK_S), self._tick)

    def _note_push(self) -> None:
        backlog = self._root.push_backlog
        if self._pushing and not backlog:
            log.info("pushed", pushes=self._recorder.counts["pushed"])
        self._pushing = bool(backlog)

    # -- revisions ---------------------------------------------------------------------------------

    def _load(self) -> tuple[int, HandoverTable]:
        version = self._store.data_version()
        chains = [self._store.chain(world_id) for world_id in self._store.world_ids()]
        return version, HandoverTable(chains, OK_HELLO_WORLDS_BYTES)

    async def _follow_store(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(STORE_POLL_S)
            try:
                if self._store.data_version() != self._version:
                    await self._reload()
                failing = False
            except OrreryError as error:
                if not failing:
                    log.error("store", error=str(error))
                failing = True

    def _reload_soon(self) -> None:
        self._version = -1

    async def _reload(self) -> None:
        self._version, table = await asyncio.to_thread(self._load)
        nodes = self._root.publish(table, self._clock.now_ms())
        self._pushing = nodes > 0
        log.info("revision", worlds=_describe(table), pushed_to=nodes)
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
        self._tick()

    # -- housekeeping ------------------------------------------------------------------------------

    async def _report(self) -> None:
        last: Counter[str] = Counter()
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S)
            counts = Counter(self._recorder.counts)
            log.info("minute", nodes=self._root.peer_count, **(counts - last))
            last = counts

    async def _retain(self) -> None:
        while True:
            now_ms = self._clock.wall_ms(self._clock.now_ms())
            with contextlib.suppress(OrreryError):  # reported by whoever writes next
                await asyncio.to_thread(
                    self._store.retention,
                    now_ms,
                    self._options.keep_days,
                    self._options.max_sightings,
                )
            await asyncio.sleep(RETENTION_INTERVAL_S)

    async def _feed_watchdog(self) -> None:
        interval_s = watchdog_interval_s()
        while interval_s is not None:
            notify("WATCHDOG=1")
            await asyncio.sleep(interval_s)
        await asyncio.Event().wait()


def _known_node(node: NodeRecord) -> KnownNode:
    held = {holding.world_id: holding.timestamp_ms for holding in node.holdings}
    return KnownNode(
        Identity.read(Reader(node.identity)),
        node.protocol,
        Version(*node.version),
        tuple(WorldHeld(*item) for item in held.items()),
        node.last_seen_ms,
    )


def _describe(table: HandoverTable) -> list[str]:
    newest = [world for id_ in table.world_ids if (world := table.newest(id_)) is not None]
    return [f"{w.type.name.lower()} {w.id:016x} at {w.timestamp_ms}" for w in newest]
