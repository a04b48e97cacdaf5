"""How long a forecast takes, and how much memory, by the size of the fleet.

    python benchmarks/forecast.py [--nodes 1000,100000,1000000]

Each in a process of its own: one future of a plan of three steps in three cohorts, led by one root
and by four, with a fifth of the nodes offline and 2 % of the packets lost; and of a fleet that is
there in the day only.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

from orrery.lab.churn import HOUR_MS, Churn, Daily, Sessions, Sighted
from orrery.lab.forecast import DAY_MS, Fleet, Forecast, Server, Step

STEPS = tuple(Step(f"step {number + 1}", 600, rotates=number == 0) for number in range(3))
LOSS = 0.02
KB = 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--nodes", default="1000,100000,1000000")
    options.add_argument("--one", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        kind, roots, nodes = chosen.one.split(",")
        measure(kind, int(roots), int(nodes))
        return
    print(f"{'nodes':>9}{'fleet':>10}{'roots':>7}{'s':>8}{'MB':>8}", flush=True)
    for nodes in chosen.nodes.split(","):
        for kind, roots in (("sessions", 1), ("sessions", 4), ("daily", 1), ("sighted", 1)):
            one = f"{kind},{roots},{nodes}"
            subprocess.run([sys.executable, __file__, "--one", one], check=True)


def churn_of(kind: str, nodes: int) -> Churn:
    if kind == "daily":
        return Daily(used=0.7)
    if kind == "sessions":
        return Sessions(0.2, 8 * HOUR_MS)
    chance = np.random.default_rng(1)
    ages_ms = chance.exponential(6 * HOUR_MS, nodes) * (chance.random(nodes) < 0.2)
    return Sighted(ages_ms, np.full(nodes, np.nan), 30 * DAY_MS)


def measure(kind: str, roots: int, nodes: int) -> None:
    servers = tuple(Server(f"root-{number + 1}") for number in range(roots))
    fleet = Fleet(nodes, churn_of(kind, nodes), servers, loss=LOSS)
    before_s = time.perf_counter()
    Forecast(STEPS).run(fleet)
    took_s = time.perf_counter() - before_s
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB
    print(f"{nodes:>9}{kind:>10}{roots:>7}{took_s:>8.2f}{most_mb:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
