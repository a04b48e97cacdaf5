"""From `publish` to adoption: a fleet of virtual nodes on loopback, and one root.

    python benchmarks/adoption.py [--nodes 10000] [--links 1]

Two processes, each on a core of its own: the server with a store that knows the nodes (they have
no proof of work: making 10,000 real identities takes an hour), and the fleet. Once all are online,
revisions are added to the store, as `orrery publish` does, each but the last with a new key.
Reported is how long after that 50, 99 and 100 % of the nodes had taken the newest one, by their own
clocks, and how long until the root knew it by a probe.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from orrery.custody.identity_file import read_identity_secret
from orrery.lab.chains import ChainMaker, root_of
from orrery.lab.fleet_process import FleetProcess
from orrery.lab.fleet_program import FleetSettings, unproven_identities
from orrery.lab.identities import make_unproven_identity
from orrery.server.logs import configure_logs
from orrery.server.service import ServeOptions, Server
from orrery.store import Sighting, Store
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World, WorldType

PLANET_ID = 0x1234
SEED = "adoption"
SOCKETS = 32
LIMIT_S = 300


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--nodes", type=int, default=10_000)
    options.add_argument("--links", type=int, default=1, help="revisions published at once")
    options.add_argument("--port", type=int, default=29_993, help="of the root, on 127.0.0.1")
    options.add_argument("--sockets", type=int, default=SOCKETS, help="shared by the nodes")
    options.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    root = Endpoint.from_text(f"127.0.0.1/{chosen.port}")
    if chosen.serve:
        uvloop.run(serve(Path(chosen.serve), root))
        return
    with tempfile.TemporaryDirectory() as directory:
        uvloop.run(measure(Path(directory), root, chosen))


async def measure(directory: Path, root: Endpoint, chosen: argparse.Namespace) -> None:
    nodes: int = chosen.nodes
    links: int = chosen.links
    chain = prepare(directory, root, nodes)
    server = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", str(directory), "--port", str(root.port),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout is not None
    await server.stdout.readline()
    fleet = await FleetProcess.start(
        FleetSettings(
            planet=chain.newest.encode().hex(),
            unproven=nodes,
            seed=SEED,
            sockets=min(chosen.sockets, nodes),
            spread_ms=max(1_000, nodes),
        )
    )
    pin(server.pid, fleet.pid)
    watch = Watch(fleet, nodes)
    try:
        await watch.until(lambda: len(watch.online) == nodes)
        await asyncio.sleep(6)  # until each has asked for its root once, as it does all the time
        before = cpu_s(server.pid), cpu_s(fleet.pid)
        with Store.open(directory / "orrery.db") as store:
            published_ms = time.time_ns() / 1_000_000
            newest = publish(store, chain, links)
            watch.wanted_ms = newest.timestamp_ms
            await watch.until(lambda: len(watch.taken) == nodes)
            confirmed = await confirmations(store, newest, nodes)
        after = cpu_s(server.pid), cpu_s(fleet.pid)
        resident = rss_bytes(server.pid), rss_bytes(fleet.pid)
    finally:
        await fleet.stop()
        server.terminate()
        await server.wait()
    print(f"{nodes} nodes, {links} {'link' if links == 1 else 'links'}, ms after publish:")
    print(f"{'':>24}{'50 %':>8}{'99 %':>8}{'100 %':>8}")
    print(row("adopted", [at_ms - published_ms for at_ms in watch.taken.values()]))
    print(row("confirmed by probe", [at_ms - published_ms for at_ms in confirmed]))
    print(
        f"CPU of the root {after[0] - before[0]:.1f} s, of the fleet {after[1] - before[1]:.1f} s; "
        f"memory of the root {resident[0] // nodes} B, of the fleet {resident[1] // nodes} B per "
        "node, all of the process included",
        flush=True,
    )


class Watch:
    """What the fleet has reported so far."""

    def __init__(self, fleet: FleetProcess, nodes: int) -> None:
        self.online: set[int] = set()
        self.taken: dict[int, float] = {}
        self.wanted_ms = 0
        self._nodes = nodes
        self._reports = fleet.reports()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Read reports until something is so."""
        async with asyncio.timeout(LIMIT_S):
            while not reached():
                report = await anext(self._reports)
                match report["report"]:
                    case "online":
                        self.online.add(report["node"])
                    case "taken" if report["timestamp_ms"] == self.wanted_ms:
                        self.taken.setdefault(report["node"], report["at_ms"])


async def confirmations(store: Store, newest: World, nodes: int) -> list[float]:
    """When the root learned by a probe of each node that it holds the newest revision."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            known = await asyncio.to_thread(store.adoptions, newest.id, newest.timestamp_ms)
            probed = [float(record.first_at_ms) for record in known if record.how == "probe"]
            if len(probed) == nodes:
                return probed
            await asyncio.sleep(0.2)


def prepare(directory: Path, root: Endpoint, nodes: int) -> ChainMaker:
    """A store with one revision, which knows the fleet."""
    identity = make_unproven_identity("root")
    (directory / "identity.secret").write_text(identity.to_string(secret=True))
    (directory / "identity.secret").chmod(0o600)
    now_ms = time.time_ns() // 1_000_000
    chain = ChainMaker(
        WorldType.PLANET, PLANET_ID, [root_of(identity, root)], os.urandom, now_ms - 1_000_000
    )
    held = chain.newest.id, chain.newest.timestamp_ms
    with Store.open(directory / "orrery.db") as store:
        store.add_revision(chain.newest, now_ms)
        store.record(
            [
                Sighting(
                    node.address, node.to_bytes(), "127.0.0.1/1", 12, (1, 14, 1), now_ms, *held
                )
                for node in unproven_identities(SEED, nodes)
            ]
        )
    return chain


def publish(store: Store, chain: ChainMaker, links: int) -> World:
    for _ in range(links - 1):
        store.add_revision(chain.revise(rotate=True), time.time_ns() // 1_000_000)
    store.add_revision(chain.revise(), time.time_ns() // 1_000_000)
    return chain.newest


async def serve(directory: Path, root: Endpoint) -> None:
    configure_logs("warning")
    identity = read_identity_secret(directory / "identity.secret")
    with Store.open(directory / "orrery.db") as store:
        server = Server(identity, store, ServeOptions(listen=(root,)))
        await server.start()
        print("serving", flush=True)
        await server.run()
        await server.stop()


def row(name: str, took_ms: Sequence[float]) -> str:
    ordered = sorted(took_ms)
    parts = [ordered[max(0, round(share * len(ordered)) - 1)] for share in (0.5, 0.99, 1.0)]
    return f"{name:>24}" + "".join(f"{part:>8.0f}" for part in parts)


def pin(*pids: int) -> None:
    """Each process on a core of its own, as far as there are cores."""
    cores = sorted(os.sched_getaffinity(0))
    for number, pid in enumerate(pids):
        os.sched_setaffinity(pid, {cores[number % len(cores)]})


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
