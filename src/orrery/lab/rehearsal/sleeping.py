"""When the nodes of a virtual fleet sleep and wake, written down beforehand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from orrery.lab.churn import HOUR_MS, Churn
from orrery.rollout.health import Habit

_PAST_MS = 168 * HOUR_MS
"""So much of the past is what roots know of a node's habits."""


class Turn(NamedTuple):
    """A node falls asleep or wakes.

    Attributes:
        at_ms: when, since the begin.
        node: its number.
        wakes: whether it wakes.
    """

    at_ms: int
    node: int
    wakes: bool


class Night(NamedTuple):
    """What is known beforehand of a fleet's coming and going.

    Attributes:
        asleep: for each node how long it has been asleep at the begin, None if it is online.
        turns: who wakes and sleeps when, in order.
        habits: for each node what roots have seen of it until the begin.
    """

    asleep: list[int | None]
    turns: list[Turn]
    habits: list[Habit]


def plan_nights(churn: Churn, nodes: int, for_ms: int, horizon_ms: int, seed: int) -> Night:
    """Draw the sessions of a fleet.

    Args:
        churn: how it comes and goes.
        nodes: how many they are.
        for_ms: how long it is to last.
        horizon_ms: each was seen in this time before the begin.
        seed: of all chance.
    """
    random = np.random.default_rng(seed)
    presence = churn.fleet(nodes, float(horizon_ms), random)
    everybody = np.arange(nodes)
    presence.meet(everybody, 0.0)
    online = presence.start_ms <= 0
    asleep = [
        None if here else max(0, round(-seen_ms))
        for here, seen_ms in zip(online.tolist(), presence.seen_ms.tolist(), strict=True)
    ]
    turns: list[Turn] = []
    absences = np.zeros(nodes)
    present_ms = np.zeros(nodes)
    awake = everybody
    while len(awake):
        start_ms, end_ms = presence.start_ms[awake], presence.end_ms[awake]
        present_ms[awake] += np.minimum(end_ms, for_ms) - np.clip(start_ms, 0, for_ms)
        absences[awake] += end_ms < for_ms
        for node, begins_ms, ends_ms in zip(
            awake.tolist(), start_ms.tolist(), end_ms.tolist(), strict=True
        ):
            if 0 < begins_ms <= for_ms:
                turns.append(Turn(int(begins_ms), node, wakes=True))
            if ends_ms <= for_ms:
                turns.append(Turn(int(ends_ms), node, wakes=False))
        awake = awake[end_ms < for_ms]
        presence.meet(awake, presence.end_ms[awake])
    turns.sort()
    return Night(asleep, turns, _habits(absences, present_ms, for_ms))


def _habits(absences: np.ndarray, present_ms: np.ndarray, for_ms: int) -> list[Habit]:
    """As the fleet is going to come and go, it has done so in the week before."""
    scale = _PAST_MS / max(for_ms, 1)
    return [
        Habit(round(times * scale), round(spent_ms * scale))
        for times, spent_ms in zip(absences.tolist(), present_ms.tolist(), strict=True)
    ]
