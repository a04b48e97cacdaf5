"""What a rollout asks of the roots: packets and bytes a second, in the mean and at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orrery.lab.churn import Presence
from orrery.lab.curve import Times
from orrery.lab.reaching import Reached
from orrery.lab.traffic import (
    Exchange,
    hello_exchange,
    probe_exchange,
    push_exchange,
    whois_exchange,
)
from orrery.lab.turns import HELLO_MS, WHOIS_MS

LEAST_MEAN_MS = 60_000.0
"""A mean is taken over this time at least."""
_MINUTE_MS = 60_000.0
_LOOKS = 200
Amounts: TypeAlias = NDArray[np.float64]
"""Packets in, packets out, bytes in, bytes out."""


class Kind(StrEnum):
    """What packets are for."""

    HELLO = "HELLO"
    WHOIS = "WHOIS"
    PUSH = "push"
    PROBE = "probe"
    ALL = "all"


_KINDS = (Kind.HELLO, Kind.WHOIS, Kind.PUSH, Kind.PROBE)


class Rate(NamedTuple):
    """Per second; bytes include the headers of IPv4 and UDP."""

    packets_in: float
    packets_out: float
    bytes_in: float
    bytes_out: float


@dataclass(frozen=True, slots=True)
class Load:
    """Of one kind of packets at one root.

    Attributes:
        mean: from the begin until the last node has adopted.
        peak: in the busiest second, for each number by itself.
    """

    mean: Rate
    peak: Rate


class Meter:
    """Adds up what every root is asked for.

    Args:
        presence: of the fleet.
        nodes: in the fleet.
        shares: for each root, the share of the nodes that ask it by WHOIS.
        heard: the share of datagrams that arrive, each way.
    """

    def __init__(
        self, presence: Presence, nodes: int, shares: Sequence[float], heard: float
    ) -> None:
        self._presence = presence
        self._nodes = nodes
        self._shares = shares
        self._heard = heard
        self._totals = np.zeros((len(shares), len(_KINDS), 4))
        self._peaks = np.zeros((len(shares), len(_KINDS) + 1, 4))
        self._minutes = np.zeros(1)

    def background(self, at_ms: float) -> Amounts:
        """What the fleet asks for all the time, per second: roots by kinds by amounts."""
        online = self._nodes * self._presence.online_share(at_ms)
        hellos = online / HELLO_MS + self._presence.wakes_per_ms(at_ms)
        # Of each root, at every look but those with a HELLO.
        asks = online * len(self._shares) * (1 / WHOIS_MS - 1 / HELLO_MS)
        rates = np.zeros((len(self._shares), len(_KINDS), 4))
        rates[:, 0] = _amounts(hello_exchange(), self._heard, self._heard) * hellos * 1000
        for number, share in enumerate(self._shares):
            rates[number, 1] = (
                _amounts(whois_exchange(), self._heard, self._heard) * asks * share * 1000
            )
        return rates

    def opened(self, at_ms: float, reached: Reached, world_bytes: int) -> None:
        """Note what came of a cohort's turn.

        Args:
            at_ms: when it was.
            reached: what came of it.
            world_bytes: of the World.
        """
        pushes, answers, unheard = reached.pushes, reached.answers, reached.unheard
        background = self.background(at_ms)
        push, probe = _amounts(push_exchange(world_bytes), 1, 1), self._probe(world_bytes)
        worlds = self._worlds(world_bytes)
        for number in range(len(self._shares)):
            seconds = max(len(pushes[number]), len(answers[number]), 1)
            pushed = np.zeros(seconds)
            pushed[: len(pushes[number])] = pushes[number]
            answered = np.zeros(seconds)
            answered[: len(answers[number])] = answers[number]
            amounts = np.zeros((seconds, len(_KINDS), 4))
            amounts[:, 0] = answered[:, None] * worlds
            amounts[:, 2] = pushed[:, None] * push
            amounts[:, 3] = (pushed + answered)[:, None] * probe
            self._totals[number] += amounts.sum(axis=0)
            amounts += background[number]
            self._note_peak(number, amounts)
            self._totals[number, 2] += unheard[number] * push
            self._totals[number, 3, (1, 3)] += unheard[number] * probe[[1, 3]]

    def woke(self, times_ms: Times, worlds_bytes: Times) -> None:
        """Note nodes that came online and were handed Worlds by every root, with a probe.

        Args:
            times_ms: when each had them.
            worlds_bytes: how much each was handed.
        """
        if not len(times_ms):
            return
        minutes = np.bincount((times_ms / _MINUTE_MS).astype(np.intp))
        if len(minutes) > len(self._minutes):
            self._minutes = np.pad(self._minutes, (0, len(minutes) - len(self._minutes)))
        self._minutes[: len(minutes)] += minutes
        sizes, counts = np.unique(worlds_bytes, return_counts=True)
        for size_bytes, count in zip(sizes.astype(int).tolist(), counts.tolist(), strict=True):
            self._totals[:, 0] += count * self._worlds(size_bytes)
            self._totals[:, 3] += count * self._probe(size_bytes)

    def loads(self, end_ms: float, world_bytes: int) -> tuple[dict[Kind, Load], ...]:
        """For each root, the load of each kind and of all together.

        Args:
            end_ms: when the rollout was over.
            world_bytes: of the last World.
        """
        looks = np.linspace(0, max(end_ms, 1.0), _LOOKS)
        backgrounds = np.stack([self.background(at_ms) for at_ms in looks])
        # The busiest minute of those who wake is looked at too.
        busiest = int(self._minutes.argmax())
        minutes = np.append((looks / _MINUTE_MS).astype(np.intp), busiest)
        woken = self._minutes[np.minimum(minutes, len(self._minutes) - 1)] * 1000 / _MINUTE_MS
        rates = np.concatenate((backgrounds, self.background(busiest * _MINUTE_MS)[None]))
        rates[:, :, 0] += woken[:, None, None] * self._worlds(world_bytes)
        rates[:, :, 3] += woken[:, None, None] * self._probe(world_bytes)
        for number in range(len(self._shares)):
            self._note_peak(number, rates[:, number])
        means = self._totals * 1000 / max(end_ms, LEAST_MEAN_MS) + backgrounds.mean(axis=0)
        return tuple(map(self._told, means, self._peaks))

    def _told(self, means: Amounts, peaks: Amounts) -> dict[Kind, Load]:
        told = {
            kind: Load(Rate(*means[index].tolist()), Rate(*peaks[index].tolist()))
            for index, kind in enumerate(_KINDS)
        }
        told[Kind.ALL] = Load(Rate(*means.sum(axis=0).tolist()), Rate(*peaks[-1].tolist()))
        return told

    def _worlds(self, world_bytes: int) -> Amounts:
        """What an answer with a World takes beyond one without."""
        with_world, without = hello_exchange(world_bytes), hello_exchange()
        return self._heard * (_amounts(with_world, 0, 1) - _amounts(without, 0, 1))

    def _probe(self, world_bytes: int) -> Amounts:
        return _amounts(probe_exchange(world_bytes), self._heard**2, 1)

    def _note_peak(self, number: int, amounts: Amounts) -> None:
        peaks = self._peaks[number]
        np.maximum(peaks[:-1], amounts.max(axis=0), out=peaks[:-1])
        np.maximum(peaks[-1], amounts.sum(axis=1).max(axis=0), out=peaks[-1])


def _amounts(exchange: Exchange, into: float, out: float) -> Amounts:
    """The amounts of an exchange, of which such shares take place."""
    return np.array(
        [
            exchange.into.datagrams * into,
            exchange.out.datagrams * out,
            exchange.into.size_bytes * into,
            exchange.out.size_bytes * out,
        ]
    )
