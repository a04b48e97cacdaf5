"""The service: a root node on real sockets, fed by the store, recorded in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from orrery.errors import OrreryError, VerifyError
from orrery.home import Home
from orrery.server.backups import Backups
from orrery.server.clock import Clock
from orrery.server.conducting import Conducting
from orrery.server.greeting import Greeting, greet, greetings_of
from orrery.server.logs import Trouble
from orrery.server.recorder import Recorder
from orrery.server.supervisor import notify, watchdog_interval_s
from orrery.server.udp import UdpSockets
from orrery.store import NodeRecord, Store
from orrery.vl1.events import Proof
from orrery.vl1.forks import Fork
from orrery.vl1.path import Path
from orrery.vl1.push import PushSettings
from orrery.vl1.root import RootLimits, RootNode
from orrery.vl1.root_peer import KnownNode
from orrery.wire.address import Address, format_address
from orrery.wire.cached_peer import CachedPeer
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES, Version, WorldHeld
from orrery.wire.world import World
from orrery.worlds.handover import HandoverTable

STORE_POLL_S = 0.02
"""How soon a revision that another process published is noticed."""
STORE_RETRY_S = 1.0
"""How soon a store that could not be read is tried again."""
REPORT_INTERVAL_S = 60
RETENTION_INTERVAL_S = 3600
LONGEST_TICK_S = 1.0
MAX_TRACES = 10
"""Traces of bugs that are logged; whoever found one must not fill the disk with it."""

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
        surroundings: the planet of others that this root lives on, see `RootNode`.
        keep_surroundings: writes down what became of that planet.
        open_home: opens the home once more, to conduct its rollouts and to back it up; without it
            others do.
        acquaintances: nodes that another one knew whose place this root has taken; called in a
            thread.
    """

    listen: tuple[Endpoint, ...]
    push: PushSettings = PushSettings()  # noqa: RUF009 - immutable
    limits: RootLimits = RootLimits()  # noqa: RUF009 - immutable
    keep_days: int = 30
    max_sightings: int = 1_000_000
    surroundings: World | None = None
    keep_surroundings: Callable[[World], None] | None = None
    open_home: Callable[[], Home] | None = None
    acquaintances: Callable[[], Iterator[CachedPeer]] | None = None


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
        self._recorder = Recorder(store, self._clock, identity.address, self._locate)
        self._version = -1
        self._tasks: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pushing = False
        self._stopping = asyncio.Event()
        self._signals = {
            signal.SIGTERM: self._stopping.set,
            signal.SIGINT: self._stopping.set,
            signal.SIGHUP: self._reload_soon,
        }

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
            surroundings=self._options.surroundings,
        )
        stored = await asyncio.to_thread(self._store.nodes, limit=self._options.limits.peers)
        known = [(record, _known_node(record)) for record in stored]
        for _, node in reversed(known):  # those seen last are kept for longest
            self._root.learn(node)
        wall_ms = self._clock.wall_ms(self._clock.now_ms())
        greetings = greetings_of(known, table, self._identity.address, wall_ms)
        self._sockets = UdpSockets(self._options.listen, self._on_datagram, self._flush)
        self._prover = ThreadPoolExecutor(1, thread_name_prefix="proof")
        for bound in self._sockets.sockets:
            self._loop.add_reader(bound.fileno(), self._on_readable, bound)
        self._recording = self._loop.create_task(self._recorder.run(), name="recorder")
        self._tasks = [
            self._recording,
            *(
                self._loop.create_task(run, name=name)
                for name, run in (
                    ("revisions", self._follow_store()),
                    ("report", self._report()),
                    ("retention", self._retain()),
                    ("surroundings", self._keep_surroundings()),
                    ("conductor", self._conduct()),
                    ("backups", self._back_up()),
                    ("greeting", self._greet(greetings)),
                    ("watchdog", self._feed_watchdog()),
                )
            ),
        ]
        self._tick()
        log.info(
            "serving",
            root=format_address(self._identity.address),
            listen=[str(endpoint) for endpoint in self.endpoints],
            worlds=_describe(table),
            nodes=len(known),
        )

    def handle_signals(self) -> None:
        """Let signals not end the process from now on, but `run`; it does this if nobody has."""
        loop = asyncio.get_running_loop()
        for number, handler in self._signals.items():
            loop.add_signal_handler(number, handler)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP looks for a new revision at once.

        Raises:
            BaseException: whatever ended a background task of the server, which is a bug.
        """
        self.handle_signals()
        notify("READY=1")
        stopped = self._loop.create_task(self._stopping.wait())
        try:
            await asyncio.wait([stopped, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            notify("STOPPING=1")
            stopped.cancel()
            for number in self._signals:
                self._loop.remove_signal_handler(number)
        for task in self._tasks:
            if task.done() and (error := task.exception()) is not None:
                raise error

    async def stop(self) -> None:
        """Stop answering, write what is left, and let go of everything."""
        for bound in self._sockets.sockets:
            self._loop.remove_reader(bound.fileno())
        for task in self._tasks:
            if task is not self._recording:
                task.cancel()
        self._recorder.end()  # not cancelled: a batch that is being written is waited for
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        self._prover.shutdown(wait=True, cancel_futures=True)
        self._sockets.close()
        log.info("stopped", **self._totals())

    def _locate(self, path: Path) -> Endpoint | None:
        return self._sockets.local_endpoint(path)

    # -- datagrams and time --------------------------------------------------------------------

    def _on_readable(self, bound: socket.socket) -> None:
        with self._surviving():
            self._sockets.receive(bound)

    def _on_datagram(self, datagram: bytes, path: Path) -> None:
        try:
            self._root.receive(datagram, path, self._clock.now_ms())
        except Exception as error:
            self._note_bug(error, datagram=datagram.hex(), source=str(path))

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        """Let a bug of ours not stop the root for everybody."""
        try:
            yield
        except Exception as error:
            self._note_bug(error)

    def _note_bug(self, error: BaseException, **context: object) -> None:
        self.counts["bugs"] += 1
        if self.counts["bugs"] <= MAX_TRACES:
            log.error("bug", exc_info=error, **context)

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
        failure: Exception | None = None
        try:
            proof.identity.validate()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._on_proof, proof.identity, failure)

    def _on_proof(self, identity: Identity, failure: Exception | None) -> None:
        if not isinstance(failure, VerifyError | None):
            self._note_bug(failure, stranger=str(identity))
        with self._surviving():
            self._root.proof_done(identity, failure is None, self._clock.now_ms())
            self._flush()

    def _tick(self) -> None:
        now_ms = self._clock.now_ms()
        wait_s = LONGEST_TICK_S
        with self._surviving():
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
        serving = self._store.serving()
        stages = {world_id: served.stage for world_id, served in serving.served.items()}
        return serving.version, HandoverTable(serving.chains, OK_HELLO_WORLDS_BYTES, stages)

    async def _follow_store(self) -> None:
        # Off the loop, even the little question for the version: a disk may hang.
        trouble = Trouble("reading the store")
        while True:
            wait_s = STORE_POLL_S
            with self._surviving():
                try:
                    if await asyncio.to_thread(self._store.data_version) != self._version:
                        await self._reload()
                    trouble.end()
                except OrreryError as error:
                    trouble.begin(error)
                    wait_s = STORE_RETRY_S
            await asyncio.sleep(wait_s)

    def _reload_soon(self) -> None:
        self._version = -1

    async def _reload(self) -> None:
        self._version, table = await asyncio.to_thread(self._load)
        nodes_to_push = self._root.publish(table, self._clock.now_ms())
        self._pushing = nodes_to_push > 0
        log.info("revision", worlds=_describe(table), nodes_to_push=nodes_to_push)
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
        self._tick()

    # -- housekeeping ------------------------------------------------------------------------------

    def _totals(self) -> Counter[str]:
        """What has happened since the start, with what the sockets count."""
        sockets = self._sockets
        return self.counts + Counter(
            {"not sent": sockets.send_errors, "not received": sockets.receive_errors}
        )

    async def _report(self) -> None:
        last: Counter[str] = Counter()
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S)
            totals = self._totals()
            log.info("minute", nodes=self._root.peer_count, **(totals - last))
            last = totals

    async def _retain(self) -> None:
        trouble = Trouble("forgetting old sightings")
        while True:
            now_ms = self._clock.wall_ms(self._clock.now_ms())
            with self._surviving():
                try:
                    await asyncio.to_thread(
                        self._store.retention,
                        now_ms,
                        self._options.keep_days,
                        self._options.max_sightings,
                    )
                    trouble.end()
                except OrreryError as error:
                    trouble.begin(error)
            await asyncio.sleep(RETENTION_INTERVAL_S)

    async def _keep_surroundings(self) -> None:
        kept, keep = self._options.surroundings, self._options.keep_surroundings
        while kept is not None and keep is not None:
            await asyncio.sleep(LONGEST_TICK_S)
            around = self._root.surroundings
            if around is None or around is kept:
                continue
            kept = around  # where it cannot be written, the next start learns it anew
            try:
                await asyncio.to_thread(keep, around)
            except OrreryError as error:
                log.error("surroundings", error=str(error))
            else:
                log.info("surroundings", planet=f"{around.id:016x}", revision=around.timestamp_ms)
        await asyncio.Event().wait()

    async def _conduct(self) -> None:
        if self._options.open_home is not None:
            root = self._identity.address
            await Conducting(
                self._options.open_home, root, self.endpoints, self._ask_nodes, self._clock
            ).run()
        await asyncio.Event().wait()

    async def _back_up(self) -> None:
        if self._options.open_home is not None:
            await Backups(
                self._options.open_home, lambda: self._clock.wall_ms(self._clock.now_ms())
            ).run()
        await asyncio.Event().wait()

    async def _greet(self, before: Iterable[Greeting]) -> None:
        greeted = 0
        with self._surviving():
            greeted = await greet(before, self._options.acquaintances, self._say_hello)
        if greeted:
            log.info("greeted", nodes=greeted)
        await asyncio.Event().wait()

    def _say_hello(self, greetings: Iterable[Greeting]) -> int:
        now_ms = self._clock.now_ms()
        greeted = 0
        with self._surviving():
            for node, endpoints in greetings:
                greeted += self._root.greet(node, endpoints, now_ms)
            self._flush()
        return greeted

    def _ask_nodes(self, addresses: Iterable[Address]) -> None:
        with self._surviving():
            self._root.ask(addresses, self._clock.now_ms())
            self._flush()

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
        tuple(
            Fork(fork.world_id, fork.timestamp_ms, fork.wanted_key, fork.mark)
            for fork in node.forks
        ),
        WorldHeld(node.planet_id, node.planet_timestamp_ms),
    )


def _describe(table: HandoverTable) -> list[str]:
    lines = []
    for world_id in table.world_ids:
        *held_back, newest = table.targets(world_id)
        line = f"{newest.type.name.lower()} {world_id:016x} at {newest.timestamp_ms}"
        lines.append(line + "".join(f", others at {world.timestamp_ms}" for world in held_back))
    return lines
