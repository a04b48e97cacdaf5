"""A million cases against every decoder, the root and the leaf, on two processes.

    pytest -m slow tests/fuzz --timeout 3600 -s

`ORRERY_FUZZ_CASES` and `ORRERY_FUZZ_SEED` change how many, and which.
"""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.fuzz.decoders import DecoderFuzz
from tests.fuzz.nodes import LeafFuzz, RootFuzz

PROCESSES = 2
ROUND = 10_000
MAX_GROWTH_KB = 40_000
_STATUS = Path("/proc/self/statm")
_CASES = int(os.environ.get("ORRERY_FUZZ_CASES", "1000000"))
_SEED = os.environ.get("ORRERY_FUZZ_SEED", "million")


def resident_kb() -> int:
    """What this process holds in memory now: the peak that the system notes is its parent's too."""
    if not _STATUS.exists():
        return 0
    pages = int(_STATUS.read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() // 1024


def fuzz(seed: str, cases: int) -> tuple[Counter[str], int, float]:
    """Half of the cases for the decoders, a third for the root, the rest for the leaf.

    Returns:
        What came of them, by how many KB the process has grown, and how long it took.
    """
    decoders, root, leaf = DecoderFuzz(seed), RootFuzz(seed), LeafFuzz(seed)
    started = time.perf_counter()
    warm_kb = most_kb = 0
    for done in range(0, cases, ROUND):
        share = min(ROUND, cases - done)
        decoders.run(share // 2)
        root.run(share // 3)
        leaf.run(share - share // 2 - share // 3)
        if done <= cases // 5:
            warm_kb = resident_kb()
        most_kb = max(most_kb, resident_kb())
    growth_kb = most_kb - warm_kb
    outcomes: Counter[str] = Counter()
    for name, counts in (
        ("decoder", decoders.outcomes),
        ("root", root.outcomes),
        ("leaf", leaf.outcomes),
    ):
        for outcome, count in counts.items():
            kind = outcome.rpartition(": ")[2] if name != "decoder" else outcome
            outcomes[f"{name}: {kind}"] += count
    return outcomes, growth_kb, time.perf_counter() - started


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_million_cases(capsys: pytest.CaptureFixture[str]) -> None:
    seeds = [f"{_SEED} {number}" for number in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(fuzz, seeds, [_CASES // PROCESSES] * PROCESSES))
    outcomes: Counter[str] = Counter()
    for found, growth_kb, _ in results:
        outcomes += found
        assert growth_kb < MAX_GROWTH_KB
    seconds = max(result[2] for result in results)
    with capsys.disabled():
        print(f"\n{_CASES} cases in {seconds:.0f} s: {_CASES / seconds:.0f} a second")
        print(f"grown by {[growth for _, growth, _ in results]} KB at most after the first fifth")
        for outcome, count in sorted(outcomes.items()):
            print(f"  {count:>8}  {outcome}")
    decoded = sum(count for outcome, count in outcomes.items() if outcome.startswith("decoder"))
    assert decoded >= _CASES // 2 - ROUND
