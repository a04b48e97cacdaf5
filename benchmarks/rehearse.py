"""How long a rehearsal takes, by the size of the fleet and the length of virtual time.

    python benchmarks/rehearse.py [--nodes 200,2000] [--days 7]

Each in a process of its own, on one core: two roots become two others and the signing key another
one, in three cohorts, with a fifth of the nodes offline (sessions of 8 h), 2 % of the packets lost
each way, 40 % of the nodes behind NATs, and a root that is down for half an hour. It goes on to the
end of the virtual time though the rollout is done before.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import replace

from orrery.lab.churn import Sessions
from orrery.lab.rehearsal.faults import parse_fault
from orrery.lab.rehearsal.playing import rehearse
from orrery.lab.rehearsal.sample import make_sample
from orrery.lab.rehearsal.script import DAY_MS, Surroundings

KB = 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--nodes", default="200,2000")
    options.add_argument("--days", type=float, default=7)
    options.add_argument("--one", type=int, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        measure(chosen.one, chosen.days)
        return
    heads = ("nodes", "days", "s", "CPU s", "MB", "packets", "rounds left out", "done", "lost")
    widths = (8, 6, 8, 8, 7, 11, 18, 9, 6)
    print("".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    for nodes in chosen.nodes.split(","):
        command = [sys.executable, __file__, "--one", nodes, "--days", str(chosen.days)]
        subprocess.run(command, check=True)


def measure(nodes: int, days: float) -> None:
    before_s, cpu_before_s = time.perf_counter(), time.process_time()
    script = replace(
        make_sample(nodes, churn=Sessions(0.2)),
        surroundings=Surroundings(loss=0.02, nat=0.4),
        faults=(parse_fault("root-down:old-1@2h+30m"),),
        for_ms=round(days * DAY_MS),
    )
    outcome = rehearse(script)
    took_s, cpu_s = time.perf_counter() - before_s, time.process_time() - cpu_before_s
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB
    lost = len(outcome.stranded) + len(outcome.behind)
    print(
        f"{nodes:>8}{outcome.virtual_ms / DAY_MS:>6.1f}{took_s:>8.1f}{cpu_s:>8.1f}{most_mb:>7.0f}"
        f"{outcome.packets:>11,}{outcome.left_out:>18,}{outcome.ended_ms / DAY_MS:>7.1f} d"
        f"{lost:>6}",
        flush=True,
    )


if __name__ == "__main__":
    main()
