"""Kills processes that work on one home, again and again, and looks at what they leave.

Run as a program: `python -m tests.crash.killing DIRECTORY KILLS SEED`. It forks the workers, which
is quick because everything is imported already, and stays single-threaded so that forking is safe:
two writers that init, publish and rotate keys, a recorder that writes sightings, and a server. It
watches the planet file until it kills them all with SIGKILL, at a random moment. Prints what it saw
as JSON; an AssertionError ends it.
"""

import asyncio
import hashlib
import itertools
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

from orrery.errors import ConflictError, PlanError, UnreadableError
from orrery.home import Home, publish, rotate_key
from orrery.server.logs import configure_logs
from orrery.server.service import ServeOptions, Server
from orrery.store import Store
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from tests.crash.test_home_steps import check_whole
from tests.unit.home.making import ONE, make_home, secret_file, want
from tests.unit.store.making import NOW_MS, sighting

_KILLS_PER_HOME = 10
_PATIENCE_S = 60
_PUBLISHED = os.pipe()
"""A byte comes out for every revision that a writer has published."""


def _clock() -> int:
    # Slow, and stepping back and forth, so that allocation has something to do.
    return NOW_MS + time.monotonic_ns() // 50_000_000 + random.randint(-20, 20)


def _writer(path: Path) -> None:
    """Makes the home if it is not there, then publishes and rotates for ever, and tells so."""
    for number in itertools.count():
        try:
            if not (path / "orrery.db").exists() or (path / "init.unfinished").exists():
                secret = path.parent / "identity-0.secret"
                make_home(
                    path, entropy=os.urandom, identity_secret=secret, wait_s=_PATIENCE_S
                ).close()
            with Home.open(path, writer=True, wait_s=_PATIENCE_S) as home:
                port = random.randint(1, 65_535)
                want(home, ONE, Endpoint(bytes((198, 51, 100, 9)), port))
                if number % 3 == 2:
                    rotate_key(home, "home", _clock(), os.urandom)
                publish(home, "home", _clock())
                os.write(_PUBLISHED[1], b".")
        except (ConflictError, PlanError):
            # The other writer made the home first, or was killed between rotating and publishing.
            continue


def _recorder(path: Path) -> None:
    """Writes what a busy root sees."""
    for number in itertools.count():
        if (path / "orrery.db").exists() and not (path / "init.unfinished").exists():
            with Home.open(path) as home:
                for batch in range(5):
                    seen = [sighting(n + 1, NOW_MS + number + batch) for n in range(100)]
                    home.store.record(seen)
                home.store.retention(NOW_MS, keep_days=1, max_rows=100)


def _server(path: Path) -> None:
    """A server of the home, reloading with every revision."""
    while not (path / "orrery.db").exists() or (path / "init.unfinished").exists():
        time.sleep(0.005)
    with Home.open(path) as home:
        server = Server(
            home.identity(), home.store, ServeOptions(listen=(Endpoint(b"\x7f\0\0\1", 0),))
        )

        async def serve() -> None:
            await server.start()
            await server.run()

        asyncio.run(serve())


def _fork(work: Callable[[Path], None], path: Path) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        configure_logs("critical")
        random.seed(os.getpid())
        work(path)
    except BaseException:  # whatever it is: this process is a fork and must not go on as its parent
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


class _Watch:
    """What was ever seen in the planet file of one home."""

    def __init__(self, path: Path) -> None:
        self._planet = path / "planet"
        self.contents: dict[int, str] = {}
        self._last_ms = 0

    def look(self) -> None:
        """Read it: whole, never older than before, one content per timestamp."""
        try:
            data = self._planet.read_bytes()
        except FileNotFoundError:
            assert not self.contents, "the planet file was gone"
            return
        world = World.decode(data)
        assert world.encode() == data
        assert world.timestamp_ms >= self._last_ms
        self._last_ms = world.timestamp_ms
        digest = hashlib.sha256(data).hexdigest()
        assert self.contents.setdefault(world.timestamp_ms, digest) == digest


def _kill_once(path: Path, watch: _Watch, revisions: int) -> None:
    """Let all work until so many revisions are published, and a random moment more."""
    while select.select([_PUBLISHED[0]], [], [], 0)[0]:
        os.read(_PUBLISHED[0], 4096)  # of those who are dead
    workers = [_fork(work, path) for work in (_writer, _writer, _recorder, _server)]
    give_up = time.monotonic() + _PATIENCE_S
    while revisions:
        watch.look()
        if select.select([_PUBLISHED[0]], [], [], 0.002)[0]:
            revisions -= len(os.read(_PUBLISHED[0], 1))
        assert time.monotonic() < give_up, "the writers publish nothing"
    end = time.monotonic() + random.uniform(0, 0.1)
    while time.monotonic() < end:
        watch.look()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    for worker in workers:
        _, status = os.waitpid(worker, 0)
        assert os.WIFSIGNALED(status), "a worker ended by itself; its traceback is above"


def _open_again(path: Path) -> bool:
    """Check what was left; whether there is a home already."""
    try:
        Home.open(path).close()
    except (PlanError, UnreadableError) as error:
        if "`orrery init`" not in str(error):
            raise
        return False  # killed in the middle of init, or before it began
    check_whole(path)
    with Store.open(path / "orrery.db") as store, store._reading() as connection:
        problems = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        assert problems == ["ok"]
    return True


def main(directory: Path, kills: int, seed: int) -> None:
    """Kill so many times, and print a summary."""
    random.seed(seed)
    secret_file(directory)
    opened = half_made = revisions = repeated = 0
    for start in range(0, kills, _KILLS_PER_HOME):
        path = directory / f"home-{start}"
        watch = _Watch(path)
        for kill in range(min(_KILLS_PER_HOME, kills - start)):
            _kill_once(path, watch, revisions=random.randint(1, 3) if kill else 0)
            if _open_again(path):
                opened += 1
                watch.look()
            else:
                half_made += 1
        if not (path / "orrery.db").exists() or (path / "init.unfinished").exists():
            make_home(path).close()
        timestamps = check_whole(path)
        assert watch.contents.keys() <= set(timestamps)
        revisions += len(timestamps)
        repeated += len(timestamps) - len(set(timestamps))
    print(
        json.dumps(
            {
                "kills": kills,
                "opened": opened,
                "half_made": half_made,
                "revisions": revisions,
                "repeated": repeated,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
