"""How fast the kernel is, side by side with the official zerotier-idtool.

    python benchmarks/kernel.py [--identities N] [--evaluations N]

ORRERY_ZEROTIER_IDTOOL names a zerotier-idtool, or ORRERY_ZEROTIER_ONE a zerotier-one, which is the
same program; without either only Orrery is measured, and that is said. All figures are CPU time
(user and system) of one core, so that other work on the machine disturbs little.
"""

import argparse
import math
import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import mean, stdev
from typing import NamedTuple

from orrery import kernel
from orrery.kernel._kernel import ffi, lib
from orrery.wire.identity import Identity

MEAN_TRIES = 256 / 17
"""Tries per identity: the first byte of the digest must be below 17."""

KEY = bytes(range(32))
IV = bytes(range(8))


class Measured(NamedTuple):
    """A mean, and how far off it may be (one standard error)."""

    value: float
    error: float

    @classmethod
    def of(cls, samples: list[float]) -> "Measured":
        return cls(mean(samples), stdev(samples) / math.sqrt(len(samples)))

    def minus(self, other: "Measured") -> "Measured":
        return Measured(self.value - other.value, math.hypot(self.error, other.error))

    def scaled(self, factor: float) -> "Measured":
        return Measured(self.value * factor, self.error * factor)

    def over(self, other: "Measured") -> "Measured":
        ratio = self.value / other.value
        return Measured(
            ratio, ratio * math.hypot(self.error / self.value, other.error / other.value)
        )

    def __str__(self) -> str:
        return f"{self.value:9.2f} ± {self.error:.2f}"


class IdTool:
    """The official tool, run as a process; its CPU time is what the kernel accounts to it."""

    def __init__(self, command: list[str]) -> None:
        self.command = command

    @classmethod
    def from_environment(cls) -> "IdTool | None":
        if named := os.environ.get("ORRERY_ZEROTIER_IDTOOL"):
            return cls([named])
        if named := os.environ.get("ORRERY_ZEROTIER_ONE"):
            return cls([named, "-i"])
        return None

    def cpu_ms(self, *arguments: str, fails: bool = False) -> tuple[float, str]:
        """Runs it once; returns the CPU time it took and what it printed."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*self.command, *arguments], capture_output=True, text=True, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if (done.returncode != 0) != fails:
            sys.exit(f"{shlex.join(self.command)} {arguments[0]}: status {done.returncode}")
        seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return seconds * 1e3, done.stdout

    def start_cpu_ms(self, runs: int) -> Measured:
        """What a run costs that does no proof of work: it is given no identity at all."""
        return Measured.of([self.cpu_ms("validate", "none", fails=True)[0] for _ in range(runs)])


def own_cpu_ms(call: Callable[[], object]) -> float:
    before = time.process_time_ns()
    call()
    return (time.process_time_ns() - before) / 1e6


def row(what: str, ours: Measured, theirs: Measured | None) -> None:
    line = f"  {what:<34}{ours!s:>18}"
    if theirs is not None:
        ratio = theirs.over(ours)
        line += f"{theirs!s:>20}{ratio.value:>9.1f} ± {ratio.error:.1f}"
    print(line, flush=True)


def proof_of_work(idtool: IdTool | None, evaluations: int, identities: int) -> None:
    print(
        "Identity proof of work, CPU ms of one core"
        + " " * 10
        + "Orrery      zerotier-idtool    ratio"
    )
    identity = Identity.generate(entropy=os.urandom)
    text = identity.to_string()
    start = idtool.start_cpu_ms(evaluations) if idtool else None

    def of_idtool(*arguments: str, runs: int) -> Measured | None:
        if idtool is None or start is None:
            return None
        return Measured.of([idtool.cpu_ms(*arguments)[0] for _ in range(runs)]).minus(start)

    kernel.memory_hard_digest(identity.public_key)
    ours = Measured.of([own_cpu_ms(identity.validate) for _ in range(evaluations)])
    row("validate one identity", ours, of_idtool("validate", text, runs=evaluations))

    tries: list[int] = []
    costs: list[float] = []
    for _ in range(identities):
        counted: list[int] = []
        costs.append(
            own_cpu_ms(
                lambda counted=counted: Identity.generate(  # type: ignore[misc]
                    entropy=os.urandom, workers=1, progress=counted.append
                )
            )
        )
        tries.append(counted[-1])
    theirs = of_idtool("generate", runs=identities)
    row("generate one identity", Measured.of(costs), theirs)
    per_try = sum(costs) / sum(tries)
    row(
        "generate, per try",
        Measured(
            per_try, stdev(c / t for c, t in zip(costs, tries, strict=True)) / identities**0.5
        ),
        theirs.scaled(1 / MEAN_TRIES) if theirs else None,
    )
    print(f"  (idtool does not say how many tries it made: {MEAN_TRIES:.2f}, the mean, is assumed)")


def code_paths(evaluations: int) -> None:
    print("\nProof of work on each code path of this machine, CPU ms")
    for path in range(4):
        if lib.orrery_force_path(path) == path:
            name = ffi.string(lib.orrery_path_name(path)).decode()
            samples = [
                own_cpu_ms(lambda: kernel.memory_hard_digest(bytes(64)))
                for _ in range(max(evaluations // 4, 3))
            ]
            row(name, Measured.of(samples), None)
    lib.orrery_force_path(-1)


def nanoseconds(call: Callable[[], object]) -> float:
    """CPU time of one call, the best of several runs of many calls."""

    def run(calls: int) -> int:
        before = time.process_time_ns()
        for _ in range(calls):
            call()
        return time.process_time_ns() - before

    calls = 1
    while run(calls) < 5_000_000:
        calls *= 2
    return min(run(calls) for _ in range(7)) / calls


def per_call() -> None:
    print("\nCalls from Python, ns each (MB/s)")
    sizes = (28, 100, 145, 500, 1400, 10_000)
    print("  size in bytes".ljust(24) + "".join(f"{size:>16,}" for size in sizes))
    calls: dict[str, Callable[[bytes], Callable[[], object]]] = {
        "salsa20, 12 rounds": lambda data: lambda: kernel.salsa20(data, KEY, IV, 12),
        "salsa20, 20 rounds": lambda data: lambda: kernel.salsa20(data, KEY, IV, 20),
        "poly1305": lambda data: lambda: kernel.poly1305(data, KEY),
        "armor, cipher 0": lambda data: lambda: kernel.armor(data, KEY, 0),
        "armor, cipher 1": lambda data: lambda: kernel.armor(data, KEY, 1),
        "dearmor, cipher 0": lambda data: opening(data, 0),
        "dearmor, cipher 1": lambda data: opening(data, 1),
        "dearmor, wrong MAC": lambda data: opening(data, 0, wrong=True),
    }
    for name, prepare in calls.items():
        cells = []
        for size in sizes:
            ns = nanoseconds(prepare(bytes(i * 7 % 256 for i in range(size))))
            cells.append(f"{ns:,.0f} ({size / ns * 1e3:,.0f})")
        print(f"  {name:<22}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


def opening(packet: bytes, cipher: int, *, wrong: bool = False) -> Callable[[], object]:
    wire = kernel.armor(packet, KEY, cipher)
    if wrong:
        wire = wire[:-1] + bytes([wire[-1] ^ 1])
    return lambda: kernel.dearmor(wire, KEY)


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the kernel is.")
    parser.add_argument("--identities", type=int, default=100, help="identities to generate")
    parser.add_argument("--evaluations", type=int, default=40, help="identities to validate")
    options = parser.parse_args()
    idtool = IdTool.from_environment()
    best = ffi.string(lib.orrery_path_name(lib.orrery_force_path(-1))).decode()
    print(f"Kernel path in use: {best}")
    if idtool:
        print(f"Compared with: {shlex.join(idtool.command)}\n")
    else:
        print(
            "Compared with nothing: set ORRERY_ZEROTIER_IDTOOL to a zerotier-idtool, or "
            "ORRERY_ZEROTIER_ONE to a zerotier-one.\n"
        )
    proof_of_work(idtool, options.evaluations, options.identities)
    code_paths(options.evaluations)
    per_call()


if __name__ == "__main__":
    main()
