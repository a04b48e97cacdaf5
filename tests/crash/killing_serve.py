"""Kills `orrery serve` again and again while nodes say HELLO and revisions are published.

Run as a program: `python -m tests.crash.killing_serve DIRECTORY KILLS SEED`. Its workers are forked
from it, which is quick because everything is imported already: the command `orrery serve`, killed
with SIGKILL at random moments; a publisher, killed with it; and nodes, which live through it
all, restart themselves, and tell of every World that they take. After each kill the home must be
whole, and must know everything that was ever handed to a node. At last a server is left alone until
every node has the newest revision, and ended with SIGTERM. Prints what it saw as JSON.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from orrery.cli.app import run
from orrery.errors import ConflictError, PlanError
from orrery.home import Home, publish, rotate_key
from orrery.lab.fleet import Fleet, bind_sockets
from orrery.server.clock import Clock
from orrery.store import Store
from orrery.vl1.events import Event, UpstreamAnswered, WorldTaken
from orrery.vl1.leaf import LeafNode
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from tests.crash.test_home_steps import check_whole
from tests.unit.home.making import make_home, secret_file, want
from tests.unit.store.making import identity

_PATIENCE_S = 60
_NODES = range(1, 9)
_NEW_LIFE_S = 0.15
"""How long a node lives before it starts anew, with what it has taken, and says HELLO."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # whatever it is: this process is a fork and must not go on as its parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)
    return 0


def _kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status), "a worker ended by itself; what it said is above"


def _serve(path: Path, endpoint: Endpoint) -> None:
    listen = f"{endpoint.host}:{endpoint.port}"
    status = run(["serve", "--home", str(path), "--listen", listen, "--log-level", "error"])
    sys.stderr.flush()
    os._exit(status)


def _publish(path: Path, endpoint: Endpoint) -> None:
    """Publishes for ever, and rotates the key every now and then."""
    random.seed(os.getpid())
    while True:
        with Home.open(path, writer=True, wait_s=_PATIENCE_S) as home:
            want(home, endpoint, Endpoint(bytes((203, 0, 113, 9)), random.randint(1, 65_535)))
            with contextlib.suppress(ConflictError, PlanError):  # killed before it published
                if random.random() < 0.2:
                    rotate_key(home, "home", _now_ms(), os.urandom)
            publish(home, "home", _now_ms())
        time.sleep(random.uniform(0, 0.1))


class _Nodes:
    """Nodes that start anew again and again, with the World that they took last."""

    def __init__(self, planet: World, told: int) -> None:
        self._told = told
        self._clock = Clock()
        self._planets = dict.fromkeys(_NODES, planet)

    async def live(self) -> None:
        while True:
            self._lives_with = dict(self._planets)
            fleet = Fleet(
                [
                    LeafNode.holding(identity(number), os.urandom, planet, (), self._clock.now_ms())
                    for number, planet in self._lives_with.items()
                ],
                bind_sockets(["127.0.0.1"], 2),
                self._clock,
                self._on_event,
            )
            fleet.start()
            await asyncio.sleep(_NEW_LIFE_S)
            fleet.close()

    def _on_event(self, index: int, event: Event, _at_ms: float) -> None:
        if isinstance(event, WorldTaken):
            self._planets[_NODES[index]] = event.world
            digest = hashlib.sha256(event.world.encode()).hexdigest()
            self._tell({"node": index, "timestamp_ms": event.world.timestamp_ms, "sha256": digest})
        elif isinstance(event, UpstreamAnswered):
            said = self._lives_with[_NODES[index]]
            self._tell({"node": index, "timestamp_ms": said.timestamp_ms})

    def _tell(self, report: dict[str, object]) -> None:
        os.write(self._told, json.dumps(report).encode() + b"\n")


class _Heard:
    """What the nodes have told."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._rest = b""
        self.answers = 0
        self.said: dict[int, int] = {}
        """What each node said in the last HELLO that was answered."""
        self.holds: dict[int, int] = {}
        self.taken: dict[int, str] = {}

    def listen(self, for_s: float) -> None:
        """Read what they tell, for so long at most."""
        if not select.select([self._source], [], [], for_s)[0]:
            return
        *lines, self._rest = (self._rest + os.read(self._source, 65_536)).split(b"\n")
        for line in lines:
            report = json.loads(line)
            timestamp_ms, digest = report["timestamp_ms"], report.get("sha256")
            if digest is None:
                self.answers += 1
                self.said[report["node"]] = timestamp_ms
                continue
            assert self.taken.setdefault(timestamp_ms, digest) == digest, "two Worlds of one time"
            assert timestamp_ms > self.holds.get(report["node"], 0)
            self.holds[report["node"]] = timestamp_ms

    def wait(self, reached: Callable[[], bool], why: str) -> None:
        """Read until something is so."""
        give_up = time.monotonic() + _PATIENCE_S
        while not reached():
            assert time.monotonic() < give_up, why
            self.listen(0.05)


def _check(path: Path, heard: _Heard) -> list[int]:
    """The home is whole, and knows all that nodes were handed.

    Returns:
        The timestamps of its revisions.
    """
    timestamps = check_whole(path)
    with Store.open(path / "orrery.db") as store:
        with store._reading() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
        (world_id,) = store.world_ids()
        revisions = {
            revision.world.timestamp_ms: hashlib.sha256(revision.encoded).hexdigest()
            for revision in store.revisions(world_id)
        }
        for timestamp_ms, digest in heard.taken.items():
            assert revisions[timestamp_ms] == digest, "a node was handed what the home forgot"
        for timestamp_ms in revisions:
            for adoption in store.adoptions(world_id, timestamp_ms):
                assert adoption.first_at_ms <= adoption.last_at_ms
        for node in store.nodes():
            assert all(holding.timestamp_ms in revisions for holding in node.holdings)
    return timestamps


def _end_well(path: Path, endpoint: Endpoint, heard: _Heard) -> int:
    """Let one server do all that is left, and stop it kindly.

    Returns:
        How many nodes the store then knows to hold the newest revision.
    """
    server = _fork(lambda: _serve(path, endpoint))
    with Home.open(path) as home:
        (newest,) = home.served_worlds()
        heard.wait(
            lambda: (
                set(heard.holds.values()) == {newest.timestamp_ms}
                and len(heard.holds) == len(_NODES)
            ),
            "nodes do not come to the newest revision",
        )
        # They say so with their next HELLO; the end of the server writes it down.
        heard.wait(
            lambda: (
                set(heard.said.values()) == {newest.timestamp_ms} and len(heard.said) == len(_NODES)
            ),
            "nodes are not answered",
        )
        os.kill(server, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(server, 0)[1]) == 0
        return len(home.store.adoptions(newest.id, newest.timestamp_ms))


def main(directory: Path, kills: int, seed: int) -> None:
    """Kill so many times, and print a summary."""
    random.seed(seed)
    (probe,) = bind_sockets(["127.0.0.1"], 1)
    endpoint = Endpoint(b"\x7f\0\0\1", probe.getsockname()[1])
    probe.close()
    path = directory / "home"
    secret_file(directory)
    with make_home(path, [endpoint], entropy=os.urandom) as home:
        (planet,) = home.served_worlds()
    source, told = os.pipe()
    heard = _Heard(source)
    nodes = _fork(lambda: asyncio.run(_Nodes(planet, told).live()))
    timestamps: list[int] = []
    for kill in range(kills):
        server = _fork(lambda: _serve(path, endpoint))
        publisher = _fork(lambda: _publish(path, endpoint))
        if kill % 4:  # else: at any moment of its start
            answers, taken = heard.answers, len(heard.taken)
            heard.wait(
                lambda: heard.answers > answers and len(heard.taken) > taken,  # noqa: B023
                "the server answers nobody",
            )
        end = time.monotonic() + random.uniform(0, 0.2)
        while (left := end - time.monotonic()) > 0:
            heard.listen(left)
        for process in random.sample((server, publisher), 2):
            _kill(process)
        heard.listen(0)
        before, timestamps = timestamps, _check(path, heard)
        assert timestamps[: len(before)] == before, "revisions were lost"
    adopted = _end_well(path, endpoint, heard)
    _kill(nodes)
    print(
        json.dumps(
            {
                "kills": kills,
                "revisions": len(timestamps),
                "repeated": len(timestamps) - len(set(timestamps)),
                "answers": heard.answers,
                "taken": len(heard.taken),
                "adopted": adopted,
                "nodes": len(_NODES),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
