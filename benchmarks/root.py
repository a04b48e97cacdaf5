"""What a packet costs the root node in this process, and a node its memory.

    python benchmarks/root.py [--nodes 1000,10000,100000] [--profile hello]

CPU time per call of `RootNode.receive`, in batches as a server makes them, without sockets: for
HELLO, WHOIS, ECHO and a relayed packet of nodes that are known and have a path, of both ciphers,
from nodes chosen by chance; for the HELLO of a stranger up to the check of its proof of work; and
for a push. Each size runs in a process of its own. Memory is what that process grows by (RSS)
while its nodes come online, and, of some of them, what Python allocated (tracemalloc).
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import resource
import subprocess
import sys
import time
import tracemalloc
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path as FilePath
from random import Random
from statistics import median

from orrery.lab.chains import ChainMaker, root_of, table_of
from orrery.lab.identities import make_unproven_identity
from orrery.lab.seeded import seeded_entropy
from orrery.vl1.limits import Allowance
from orrery.vl1.path import Path
from orrery.vl1.push import PushSettings
from orrery.vl1.root import RootLimits, RootNode
from orrery.vl1.root_peer import KnownNode
from orrery.vl1.strangers import StrangerLimits
from orrery.wire.cipher import CipherSuite, SharedKeys, packet_cipher
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import Verb, encode_packet
from orrery.wire.verbs import (
    Hello,
    Ok,
    Version,
    WorldHeld,
    encode_addresses,
    encode_ok_hello,
)
from orrery.wire.world import WorldType

START_MS = 1_700_000_000_000
ROOT_ENDPOINT = Endpoint.from_text("203.0.113.1/9993")
VERSION = Version(1, 14, 1)
BATCH = 128
ROUNDS = 15
CASES = 4_096
TRACED = 2_000

Case = tuple[bytes, Path]
UNLIMITED = Allowance(1e12, 1e12)


class Nodes:
    """Virtual nodes, in little memory: identity, agreement, and nothing else."""

    def __init__(self, root: Identity, count: int, protocol: int) -> None:
        self.root = root.public()
        self.protocol = protocol
        self.identities = [make_unproven_identity(number) for number in range(count)]
        self.agreements = b"".join(identity.agree(self.root) for identity in self.identities)
        self.public = [identity.public() for identity in self.identities]
        self._entropy = seeded_entropy("benchmark")
        self.planet = WorldHeld(0, 0)
        # A server makes one of these for an address, and gives it with each datagram from there.
        self.paths = [
            Path(Endpoint(bytes((30, number >> 16, number >> 8 & 0xFF, number & 0xFF)), 9993))
            for number in range(count)
        ]

    def path(self, number: int) -> Path:
        return self.paths[number]

    def keys(self, number: int) -> SharedKeys:
        return SharedKeys(self.agreements[48 * number : 48 * number + 48])

    def hello(self, number: int, now_ms: int) -> bytes:
        keys, packet_id = self.keys(number), self._entropy(8)
        made = Hello(
            self.protocol, VERSION, now_ms, self.public[number], ROOT_ENDPOINT, self.planet
        )
        payload = made.encode(lambda field: keys.crypt_field(field, packet_id))
        return keys.armor(
            self._packet(number, Verb.HELLO, payload, packet_id), CipherSuite.POLY1305_NONE
        )

    def packet(self, number: int, verb: Verb, payload: bytes) -> bytes:
        aes = self.protocol >= 12
        return self.keys(number).armor(
            self._packet(number, verb, payload, self._entropy(8)),
            CipherSuite.AES_GMAC_SIV if aes else CipherSuite.POLY1305_SALSA2012,
        )

    def relayed(self, number: int, other: int) -> bytes:
        to, source = self.public[other].address, self.public[number].address
        return encode_packet(self._entropy(8), to, source, Verb.FRAME, bytes(1_372))

    def _packet(self, number: int, verb: Verb, payload: bytes, packet_id: bytes) -> bytes:
        source = self.public[number].address
        return encode_packet(packet_id, self.root.address, source, verb, payload)


class Bench:
    """One root with so many nodes online."""

    def __init__(self, count: int, protocol: int) -> None:
        self.random = Random(1)
        self.root_identity = make_unproven_identity("root")
        self.nodes = Nodes(self.root_identity, count, protocol)
        self.maker = ChainMaker(
            WorldType.PLANET,
            0x1234,
            [root_of(self.root_identity, ROOT_ENDPOINT)],
            seeded_entropy(1),
            START_MS - 1_000_000,
        )
        self.nodes.planet = WorldHeld(self.maker.newest.id, self.maker.newest.timestamp_ms)
        strangers = StrangerLimits(
            agreements=UNLIMITED, proofs=UNLIMITED, site_proofs=UNLIMITED, waiting=10**9
        )
        self.now_ms = START_MS
        self.root = RootNode(
            self.root_identity,
            seeded_entropy(2),
            table_of(self.maker),
            self.now_ms,
            push=PushSettings(nodes=UNLIMITED, bytes=UNLIMITED),
            limits=RootLimits(strangers=strangers, node_worlds=UNLIMITED),
        )

    def come_online(self, numbers: Iterable[int]) -> None:
        """Nodes say HELLO, and answer the root's."""
        for number in numbers:
            path = self.nodes.path(number)
            self.root.learn(KnownNode(self.nodes.public[number], self.nodes.protocol))
            self.root.receive(self.nodes.hello(number, self.now_ms), path, self.now_ms)
            for datagram, _ in self.root.drain().datagrams:
                if packet_cipher(datagram) == CipherSuite.POLY1305_NONE:
                    body = encode_ok_hello(self.now_ms, path.endpoint, [], self.nodes.protocol)
                    answer = Ok(Verb.HELLO, datagram[:8], body).encode()
                    self.root.receive(self.nodes.packet(number, Verb.OK, answer), path, self.now_ms)
            self.root.drain()

    def some(self, make: Callable[[int], bytes]) -> list[Case]:
        count = len(self.nodes.public)
        numbers = [self.random.randrange(count) for _ in range(CASES)]
        return [(make(number), self.nodes.path(number)) for number in numbers]

    def cases(self, name: str) -> list[Case]:
        """Datagrams of one kind."""
        nodes, count = self.nodes, len(self.nodes.public)
        whois = encode_addresses([nodes.root.address])
        match name:
            case "hello":
                return self.some(lambda number: nodes.hello(number, self.now_ms))
            case "whois":
                return self.some(lambda number: nodes.packet(number, Verb.WHOIS, whois))
            case "echo":
                return self.some(lambda number: nodes.packet(number, Verb.ECHO, bytes(16)))
            case "relay":
                for number in range(0, min(count, CASES), 2):  # introduced before it is measured
                    path = nodes.path(number)
                    self.root.receive(nodes.relayed(number, number ^ 1), path, self.now_ms)
                self.root.drain()
                numbers = [self.random.randrange(min(count, CASES)) for _ in range(CASES)]
                return [(nodes.relayed(n, n ^ 1), nodes.path(n)) for n in numbers]
            case _:
                raise ValueError(name)

    def measure_us(self, cases: list[Case]) -> float:
        """CPU microseconds of one packet: the median of some rounds."""
        rounds = array("d")
        for _ in range(ROUNDS):
            self.now_ms += 1_000
            started = time.process_time()
            for first in range(0, len(cases), BATCH):
                receive, now_ms = self.root.receive, self.now_ms
                for datagram, path in cases[first : first + BATCH]:
                    receive(datagram, path, now_ms)
                self.root.drain()
            rounds.append((time.process_time() - started) / len(cases) * 1e6)
        return median(rounds)

    def measure_strangers_us(self) -> float:
        strangers = Nodes(self.root_identity, 500, self.nodes.protocol)
        strangers.public = [make_unproven_identity(f"stranger {n}").public() for n in range(500)]
        strangers.agreements = b"".join(
            make_unproven_identity(f"stranger {n}").agree(strangers.root) for n in range(500)
        )
        cases = [(strangers.hello(n, self.now_ms), strangers.path(n)) for n in range(500)]
        started = time.process_time()
        for datagram, path in cases:
            self.root.receive(datagram, path, self.now_ms)
        took = time.process_time() - started
        assert len(self.root.drain().proofs) == len(cases)
        return took / len(cases) * 1e6

    def measure_push_us(self) -> tuple[float, int]:
        """CPU microseconds to push a revision to one node, and to how many it was."""
        self.maker.revise()
        table = table_of(self.maker)
        started = time.process_time()
        pushed = self.root.publish(table, self.now_ms)
        took = time.process_time() - started
        assert self.root.push_backlog == 0
        self.root.drain()
        return took / pushed * 1e6, pushed


def resident_bytes() -> int:
    gc.collect()
    pages = int(FilePath("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def run(count: int, protocol: int) -> None:
    """Measure one size, and print a row."""
    bench = Bench(count, protocol)
    before = resident_bytes()
    bench.come_online(range(count))
    per_node = (resident_bytes() - before) / count
    gc.freeze()
    kinds = ("hello", "whois", "echo", "relay")
    costs = [bench.measure_us(bench.cases(kind)) for kind in kinds]
    stranger_us = bench.measure_strangers_us()
    push_us, pushed = bench.measure_push_us()
    assert pushed >= count
    row = "".join(f"{cost:9.2f}" for cost in (*costs, stranger_us, push_us))
    print(f"{count:>8}{protocol:>10}{row}{per_node:>10.0f}", flush=True)


def trace() -> None:
    """Print what Python allocates for a node."""
    for protocol in (11, 12):
        bench = Bench(TRACED, protocol)
        bench.come_online(range(100))
        gc.collect()
        tracemalloc.start()
        bench.come_online(range(100, TRACED))
        gc.collect()
        current, _ = tracemalloc.get_traced_memory()
        largest = tracemalloc.take_snapshot().statistics("lineno")[:8]
        tracemalloc.stop()
        count = TRACED - 100
        print(f"tracemalloc, protocol {protocol}: {current / count:.0f} bytes a node")
        for statistic in largest:
            frame = statistic.traceback[0]
            name = "/".join(FilePath(frame.filename).parts[-2:])
            print(f"    {statistic.size / count:7.0f}  {name}:{frame.lineno}")


def profile(name: str, protocol: int) -> None:
    """Print where the time of one kind of packet goes."""
    bench = Bench(1_000, protocol)
    bench.come_online(range(1_000))
    cases = bench.cases(name)
    print(f"{name}, protocol {protocol}: {bench.measure_us(cases):.2f} us")
    bench.now_ms += 1_000
    profiler = cProfile.Profile()
    profiler.enable()
    for datagram, path in cases:
        bench.root.receive(datagram, path, bench.now_ms)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--nodes", default="1000,10000,100000")
    options.add_argument("--profile", choices=("hello", "whois", "echo", "relay"))
    options.add_argument("--run", nargs=2, type=int, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.run:
        run(*chosen.run)
        return
    if chosen.profile:
        for protocol in (11, 12):
            profile(chosen.profile, protocol)
        return
    print("CPU us per packet; bytes of memory per node")
    heads = ("HELLO", "WHOIS", "ECHO", "relay", "stranger", "push")
    print(
        f"{'nodes':>8}{'protocol':>10}"
        + "".join(f"{head:>9}" for head in heads)
        + f"{'B/node':>10}"
    )
    for count in chosen.nodes.split(","):
        for cipher in ("11", "12"):
            subprocess.run([sys.executable, __file__, "--run", count, cipher], check=True)
    trace()


if __name__ == "__main__":
    main()
