"""HELLO/s of the whole server over UDP, under a load generator on the other core.

    ORRERY_ZTLOAD=path/to/ztload python benchmarks/load.py [--nodes 1000,10000,100000]

For each number of nodes: a store that knows them, a server pinned to core 0 in a network namespace
of its own, and ztload on core 1. Reports HELLO/s, CPU us per HELLO and bytes of memory per node.
Needs root, for the namespace.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from orrery.custody.identity_file import read_identity_secret
from orrery.lab.chains import ChainMaker, root_of
from orrery.lab.identities import make_unproven_identity
from orrery.server.logs import configure_logs
from orrery.server.service import ServeOptions, Server
from orrery.store import Sighting, Store
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import WorldType

ROOT = Endpoint.from_text("10.77.0.1/9993")
MOST_NODES = 65_536
"""ztload plays no more; a larger fleet is known to the server, and this much of it speaks."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--nodes", default="1000,10000,100000")
    options.add_argument("--seconds", default="5")
    options.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        uvloop.run(serve(Path(chosen.serve)))
        return
    ztload = os.environ.get("ORRERY_ZTLOAD")
    if not ztload or os.geteuid() != 0:
        print("skipped: ORRERY_ZTLOAD does not name the load generator, or not run as root")
        return
    print(f"{'nodes':>8}{'protocol':>10}{'HELLO/s':>10}{'us/HELLO':>10}{'p99 ms':>8}{'B/node':>9}")
    for count in map(int, chosen.nodes.split(",")):
        with tempfile.TemporaryDirectory() as directory, namespace() as name:
            prepare(Path(directory), count)
            for protocol in (11, 12):
                row = measure(
                    Path(directory),
                    name,
                    ztload=ztload,
                    count=count,
                    protocol=protocol,
                    seconds=chosen.seconds,
                )
                print(f"{count:>8}{protocol:>10}{row}", flush=True)


def prepare(directory: Path, count: int) -> None:
    """A store with one revision and a fleet of nodes without proof; the generator's files."""
    root = make_unproven_identity("root")
    (directory / "identity.secret").write_text(root.to_string(secret=True))
    (directory / "identity.public").write_text(str(root))
    now_ms = time.time_ns() // 1_000_000
    chain = ChainMaker(WorldType.PLANET, 0x1234, [root_of(root, ROOT)], os.urandom, now_ms - 1000)
    (directory / "planet").write_bytes(chain.newest.encode())
    sightings = []
    with (directory / "nodes").open("w") as nodes:
        for number in range(count):
            identity = make_unproven_identity(number)
            if number < MOST_NODES:
                nodes.write(identity.to_string(secret=True) + "\n")
            sightings.append(
                Sighting(
                    identity.address, identity.to_bytes(), "10.0.0.1/1", 11, (1, 14, 1), now_ms,
                    chain.newest.id, chain.newest.timestamp_ms,
                )
            )  # fmt: skip
    with Store.open(directory / "orrery.db") as store:
        store.add_revision(chain.newest, now_ms)
        store.record(sightings)


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    """A network namespace with a whole /8 on its loopback interface."""
    name = f"orrery-bench-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for words in ("link set lo up", "addr add 10.0.0.1/8 dev lo"):
            subprocess.run(["ip", "-n", name, *words.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def measure(
    directory: Path, name: str, *, ztload: str, count: int, protocol: int, seconds: str
) -> str:
    inside = ["ip", "netns", "exec", name, "taskset", "-c"]
    server = subprocess.Popen(
        [*inside, "0", sys.executable, __file__, "--serve", str(directory)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        empty_kb = int(server.stdout.readline())
        loaded = subprocess.run(
            [
                *inside, "1", ztload, "hello", "--root", f"{ROOT.host}:{ROOT.port}",
                "--root-identity", directory / "identity.public", "--nodes", directory / "nodes",
                "--planet", directory / "planet", "--pid", str(server.pid), "--proto",
                str(protocol), "--seconds", seconds, "--learn-window", "64",
            ],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    finally:
        server.terminate()
        server.wait()
    told = json.loads(loaded.stdout)
    per_node = (told["target_rss_kb"] - empty_kb) * 1024 // min(count, MOST_NODES)
    return (
        f"{told['per_s']:>10.0f}{told['target_cpu_us_per_op']:>10.1f}"
        f"{told['latency_us']['p99'] / 1000:>8.1f}{per_node:>9}"
    )


async def serve(directory: Path) -> None:
    """The server; its first line is the memory that it takes before any node has spoken."""
    configure_logs("warning")
    (directory / "identity.secret").chmod(0o600)
    identity = read_identity_secret(directory / "identity.secret")
    with Store.open(directory / "orrery.db") as store:
        server = Server(identity, store, ServeOptions(listen=(ROOT,)))
        await server.start()
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        print(resident // 1024, flush=True)
        await server.run()
        await server.stop()


if __name__ == "__main__":
    main()
