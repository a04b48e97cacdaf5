"""Randomness that can be had again: nothing made from it may guard anything."""

from __future__ import annotations

from random import Random

from orrery.vl1.node import Entropy


def seeded_entropy(seed: int | str) -> Entropy:
    """A source of the same bytes each time, in place of `os.urandom`."""
    return Random(seed).randbytes  # noqa: S311 - being predictable is its purpose
