"""When the nodes of a large fleet are online: models of coming and going, for arithmetic on arrays.

A node is online in *sessions*. A model is asked, for many nodes at once, which session is running
at some time or comes next; between two such questions it may leap over any number of sessions.
Times are milliseconds since the start of a forecast, as floats.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orrery.errors import UsageError
from orrery.store.presence import NodePresence

Times: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]

MINUTE_MS = 60_000.0
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
PRESENT_MS = 5 * MINUTE_MS
"""Who was seen in this time is taken to be online: the rarest sign of life is a HELLO in 225 s."""
_SPELLS_MS = np.array(
    [10 * MINUTE_MS, 30 * MINUTE_MS]
    + [hours * HOUR_MS for hours in (1, 3, 8, 24, 72, 168, 336, 720)]
)
"""Mean lengths of absence that sightings are explained by."""
_EM_ROUNDS = 200
_EM_NODES = 20_000
_SAMPLE_NODES = 20_000
_LEAST_WINDOW_MS = 15 * MINUTE_MS
_LEAST_OFFLINE = 1e-6
"""A share of nodes offline that is less is none: one node of a million."""


class Presence(ABC):
    """The sessions of a fleet, node by node.

    Attributes:
        start_ms: when the session begins that was found last.
        end_ms: when it ends.
        seen_ms: when a node was seen last, where it was found offline.
    """

    def __init__(self, start_ms: Times, end_ms: Times, seen_ms: Times) -> None:
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.seen_ms = seen_ms

    @abstractmethod
    def meet(self, nodes: Indices, at_ms: Times | float) -> None:
        """Find the session of each of these nodes that is running at a time, or else the next.

        Args:
            nodes: distinct ones.
            at_ms: one time, or one for each; never before an earlier one for the same node.
        """

    @abstractmethod
    def online_share(self, at_ms: float) -> float:
        """The share of all nodes that are expected to be online at a time."""

    @abstractmethod
    def wakes_per_ms(self, at_ms: float) -> float:
        """How many nodes are expected to come online in a millisecond."""


class Churn(Protocol):
    """How the nodes of a fleet come and go."""

    def fleet(self, nodes: int, horizon_ms: float, random: np.random.Generator) -> Presence:
        """So many nodes, all seen within the horizon, at time 0."""

    def describe(self) -> str:
        """The model in a few words."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions and absences of random length, both exponential, at any time of the day.

    Attributes:
        offline: share of the fleet that is offline at any moment.
        session_ms: mean length of a session.
        always_on: share of the fleet that never leaves.
    """

    offline: float = 0.1
    session_ms: float = 8 * HOUR_MS
    always_on: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.always_on <= 1 or not 0 <= self.offline < 1 or self.session_ms <= 0:
            raise UsageError("shares of nodes are 0% to 100%, and a session takes some time")
        if self.offline > 0 and self.offline >= 1 - self.always_on:
            raise UsageError(
                f"{self.offline:.4g} of the nodes offline and {self.always_on:.4g} always online "
                "leave nobody who comes and goes: together they are to be less than all"
            )

    @property
    def absence_ms(self) -> float:
        """Mean length of an absence, which follows from the rest; 0 when nobody leaves."""
        return self.session_ms * self.offline / (1 - self.always_on - self.offline or 1)

    def describe(self) -> str:
        """The model in a few words."""
        if not self.offline:
            return "always online"
        words = f"{_percent(self.offline)} offline, sessions of {_span(self.session_ms)}"
        words += f" and absences of {_span(self.absence_ms)} on average"
        return words + (f", {_percent(self.always_on)} always on" if self.always_on else "")

    def fleet(self, nodes: int, horizon_ms: float, random: np.random.Generator) -> Presence:
        """So many nodes, all seen within the horizon, at time 0."""
        leaves = np.full(nodes, 1 / self.session_ms)
        comes_and_goes = self.offline >= _LEAST_OFFLINE
        returns = np.full(nodes, 1 / self.absence_ms if comes_and_goes else np.inf)
        stays = random.random(nodes) < (self.always_on if comes_and_goes else 1.0)
        leaves[stays] = 0
        away = ~stays & (random.random(nodes) < self.offline / (1 - self.always_on or 1))
        # Looked at at any moment, an exponential absence has lasted, and will last, exponentially.
        beyond = -np.expm1(-horizon_ms * returns[away])
        age_ms = -np.log1p(-random.random(int(away.sum())) * beyond) / returns[away]
        return Renewals(leaves, returns, away, age_ms, random)


class Renewals(Presence):
    """Sessions and absences that are exponential, with means of its own for each node.

    Args:
        leaves: how often each node leaves, per ms of being online; 0: never.
        returns: how often it returns, per ms of being offline.
        away: which are offline at time 0.
        age_ms: how long those have not been seen.
        random: source of chance.
    """

    def __init__(
        self,
        leaves: Times,
        returns: Times,
        away: NDArray[np.bool_],
        age_ms: Times,
        random: np.random.Generator,
    ) -> None:
        count = len(leaves)
        self._leaves = leaves
        self._returns = returns
        self._random = random
        start_ms, seen_ms = np.zeros(count), np.zeros(count)
        start_ms[away] = self._exponential(returns[away])
        seen_ms[away] = -age_ms
        super().__init__(start_ms, start_ms + self._exponential(leaves), seen_ms)
        online = np.divide(returns, leaves + returns, out=np.ones(count), where=leaves > 0)
        self._online_share = float(online.mean())
        self._wakes_per_ms = float((online * leaves).sum())

    def meet(self, nodes: Indices, at_ms: Times | float) -> None:
        """Find the session of each of these nodes that is running at a time, or else the next."""
        over = self.end_ms[nodes] <= at_ms
        if not over.any():
            return
        nodes = nodes[over]
        now_ms = np.broadcast_to(at_ms, over.shape)[over]
        leaves, returns = self._leaves[nodes], self._returns[nodes]
        gone_ms = now_ms - self.end_ms[nodes]
        # The two-state Markov chain, offline at the end of the last session.
        online = returns / (leaves + returns) * -np.expm1(-gone_ms * (leaves + returns))
        away = self._random.random(len(nodes)) >= online
        start_ms = now_ms.copy()
        start_ms[away] += self._exponential(returns[away])
        # Not seen since that session, or since a later one.
        gone_ms, unseen = gone_ms[away], np.exp(-gone_ms[away] * returns[away])
        still = self._random.random(len(gone_ms)) * (1 - online[away]) < unseen
        later_ms = -np.log1p(-self._random.random(len(gone_ms)) * (1 - unseen)) / returns[away]
        self.seen_ms[nodes] = now_ms
        self.seen_ms[nodes[away]] -= np.where(still, gone_ms, later_ms)
        self.start_ms[nodes] = start_ms
        self.end_ms[nodes] = start_ms + self._exponential(leaves)

    def online_share(self, at_ms: float) -> float:
        """The share of all nodes that are expected to be online, which is always the same."""
        return self._online_share

    def wakes_per_ms(self, at_ms: float) -> float:
        """How many nodes are expected to come online in a millisecond."""
        return self._wakes_per_ms

    def _exponential(self, rates: Times) -> Times:
        with np.errstate(divide="ignore"):
            return self._random.standard_exponential(len(rates)) / rates


@dataclass(frozen=True, slots=True)
class Daily:
    """One session a day at about the same hours, such as of laptops at work.

    Attributes:
        from_ms: time of the day when the sessions begin on average.
        until_ms: when they end; before `from_ms` it means the next day.
        begins_ms: time of the day at which the forecast begins.
        spread_ms: standard deviation, among nodes, of the begin and of the length.
        used: share of its days on which a node is online at all.
        always_on: share of the fleet that never leaves.
    """

    from_ms: float = 8 * HOUR_MS
    until_ms: float = 18 * HOUR_MS
    begins_ms: float = 9 * HOUR_MS
    spread_ms: float = HOUR_MS
    used: float = 1.0
    always_on: float = 0.0

    def __post_init__(self) -> None:
        if not 0.05 <= self.used <= 1 or not 0 <= self.always_on <= 1:
            raise UsageError("nodes are used on 5% to 100% of their days, and 0% to 100% stay on")
        if self.from_ms % DAY_MS == self.until_ms % DAY_MS:
            raise UsageError("daily sessions begin and end at different times of the day")

    def describe(self) -> str:
        """The model in a few words."""
        words = f"online {_clock(self.from_ms)} to {_clock(self.until_ms)}"
        words += f" on {_percent(self.used)} of days" if self.used < 1 else " each day"
        words += f", {_percent(self.always_on)} always on" if self.always_on else ""
        return words + f"; it is {_clock(self.begins_ms)}"

    def fleet(self, nodes: int, horizon_ms: float, random: np.random.Generator) -> Presence:
        """So many nodes, at time 0; their last session is within the horizon."""
        return _Windows(self, nodes, horizon_ms, random)


class _Windows(Presence):
    """A window a day for each node, on the days on which it is used."""

    def __init__(
        self, model: Daily, nodes: int, horizon_ms: float, random: np.random.Generator
    ) -> None:
        mean_ms = (model.until_ms - model.from_ms) % DAY_MS
        lengths_ms = random.normal(mean_ms, model.spread_ms, nodes)
        self._lengths_ms = np.clip(lengths_ms, _LEAST_WINDOW_MS, DAY_MS - _LEAST_WINDOW_MS)
        self._begins_ms = random.normal(model.from_ms - model.begins_ms, model.spread_ms, nodes)
        self._stays = random.random(nodes) < model.always_on
        self._used = model.used
        self._salt = random.integers(1 << 63, size=nodes, dtype=np.uint64)
        self._sample = np.arange(min(nodes, _SAMPLE_NODES))
        super().__init__(np.zeros(nodes), np.full(nodes, np.inf), np.zeros(nodes))
        leaving = np.flatnonzero(~self._stays)
        self.end_ms[leaving] = -np.inf
        self.meet(leaving, 0.0)
        np.maximum(self.seen_ms, -horizon_ms, out=self.seen_ms)

    def meet(self, nodes: Indices, at_ms: Times | float) -> None:
        """Find the session of each of these nodes that is running at a time, or else the next."""
        over = self.end_ms[nodes] <= at_ms
        nodes = nodes[over]
        if not len(nodes):
            return
        now_ms = np.broadcast_to(at_ms, over.shape)[over]
        begins_ms, lengths_ms = self._begins_ms[nodes], self._lengths_ms[nodes]
        day = np.floor((now_ms - begins_ms) / DAY_MS)
        ends_ms = begins_ms + day * DAY_MS + lengths_ms
        online = self._is_used(nodes, day) & (now_ms < ends_ms)
        following = self._search(nodes, np.where(online, day, day + 1), 1)
        start_ms = begins_ms + following * DAY_MS
        last = self._search(nodes, np.where(now_ms < ends_ms, day - 1, day), -1)
        self.seen_ms[nodes] = begins_ms + last * DAY_MS + lengths_ms
        self.seen_ms[nodes[online]] = now_ms[online]
        self.start_ms[nodes] = start_ms
        self.end_ms[nodes] = start_ms + lengths_ms

    def _search(self, nodes: Indices, day: Times, direction: int) -> Times:
        """The first day from this one on, or back, on which each node is used."""
        day = day.copy()
        waiting = np.arange(len(nodes))
        while len(waiting := waiting[~self._is_used(nodes[waiting], day[waiting])]):
            day[waiting] += direction
        return day

    def _is_used(self, nodes: Indices, day: Times) -> NDArray[np.bool_]:
        """Whether a node is used on a day: by chance, but each time the same."""
        mixed = self._salt[nodes] + day.astype(np.int64).view(np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        used: NDArray[np.bool_] = (mixed >> np.uint64(11)) * 2.0**-53 < self._used
        return used

    def _in_window(self, at_ms: float) -> NDArray[np.bool_]:
        into_ms = (at_ms - self._begins_ms[self._sample]) % DAY_MS
        inside: NDArray[np.bool_] = into_ms < self._lengths_ms[self._sample]
        return inside

    def online_share(self, at_ms: float) -> float:
        """The share of all nodes that are expected to be online at a time."""
        stays = self._stays[self._sample]
        return float(np.where(stays, 1.0, self._used * self._in_window(at_ms)).mean())

    def wakes_per_ms(self, at_ms: float) -> float:
        """How many nodes are expected to come online in a millisecond."""
        before = self._in_window(at_ms - 5 * MINUTE_MS)
        woken = ~self._stays[self._sample] & ~before & self._in_window(at_ms + 5 * MINUTE_MS)
        return float(woken.mean()) * self._used * len(self._stays) / (10 * MINUTE_MS)


@dataclass(frozen=True, eq=False)
class Sighted:
    """A fleet that comes and goes as the one that a root has seen.

    How long the absent ones have been away tells how long absences are: at any moment an absence
    has lasted for as long, in the mean of all, as it will still last. The ages are explained by a
    mixture of exponential absences (expectation maximisation), each absent node gets the kind that
    fits its age, and how much of its time it was seen tells its sessions. Nodes that are present
    are divided among those kinds so that as many leave each kind as return to it; what is left of
    them stays.

    Attributes:
        age_ms: how long ago each node was seen last, by the newest sighting of all.
        duty: share of its time that each node was online, nan where that is not known.
        horizon_ms: of these sightings.
        session_ms: mean length of a session where no duty is known.
    """

    age_ms: Times
    duty: Times
    horizon_ms: float
    session_ms: float = 8 * HOUR_MS

    @classmethod
    def of(
        cls,
        seen: Iterable[NodePresence],
        horizon_ms: float,
        session_ms: float,
        reported_every_ms: float | None,
    ) -> Sighted:
        """The fleet that a store tells of.

        Args:
            seen: its nodes.
            horizon_ms: those seen in this time before the newest sighting count.
            session_ms: mean length of a session where the store does not tell.
            reported_every_ms: how often a node is reported while it is online; None: nodes differ
                in that, and nothing can be told from it.
        """
        rows = np.array([tuple(row) for row in seen], np.float64).reshape(-1, 3)
        last_ms, since_ms, reports = rows.T
        age_ms = last_ms.max(initial=0) - last_ms
        span_ms = age_ms + last_ms - since_ms
        duty = np.full(len(rows), np.nan)
        if reported_every_ms is not None:
            told = span_ms >= DAY_MS
            duty[told] = np.minimum(reports[told] * reported_every_ms / span_ms[told], 1)
        counts = age_ms <= horizon_ms
        return cls(age_ms[counts], duty[counts], horizon_ms, session_ms)

    def __post_init__(self) -> None:
        if not len(self.age_ms):
            raise UsageError("no node was seen within the horizon: there is no fleet to forecast")

    def seen_within(self, span_ms: float) -> float:
        """The share of the nodes that were seen in this time."""
        return float((self.age_ms <= span_ms).mean())

    def describe(self) -> str:
        """The model in a few words."""
        spans = (
            (PRESENT_MS, "5 minutes"),
            (HOUR_MS, "hour"),
            (DAY_MS, "day"),
            (7 * DAY_MS, "week"),
        )
        parts = [f"{_percent(self.seen_within(span_ms))} in the last {n}" for span_ms, n in spans]
        return f"{len(self.age_ms):,} nodes as sighted: " + ", ".join(parts)

    def fleet(self, nodes: int, horizon_ms: float, random: np.random.Generator) -> Presence:
        """The nodes that were seen, each once, or so many drawn from them."""
        count = len(self.age_ms)
        drawn = random.permutation(count) if nodes == count else random.integers(count, size=nodes)
        age_ms = self.age_ms[drawn]
        away = age_ms > PRESENT_MS
        leaves, returns = np.zeros(nodes), np.full(nodes, 1 / _SPELLS_MS[0])
        absent_ms = self.age_ms[self.age_ms > PRESENT_MS]
        if len(absent_ms):
            weights = _explain(absent_ms, self.horizon_ms, random)
            leave_rates, present = self._kinds(weights)
            kind = _choose(_fit(age_ms[away], self.horizon_ms) * weights, random)
            returns[away] = 1 / _SPELLS_MS[kind]
            leaves[away] = leave_rates[kind]
            here = np.flatnonzero(~away)
            # One kind more: those that stay.
            shares = np.append(present, max(0.0, 1 - present.sum()))
            kind = random.choice(len(shares), len(here), p=shares / shares.sum())
            goes = kind < len(_SPELLS_MS)
            returns[here[goes]] = 1 / _SPELLS_MS[kind[goes]]
            leaves[here[goes]] = leave_rates[kind[goes]]
        return Renewals(leaves, returns, away, age_ms[away], random)

    def _kinds(self, weights: Times) -> tuple[Times, Times]:
        """For each kind: how often its nodes leave, and its share of the nodes that are present."""
        away = self.age_ms > PRESENT_MS
        absent_ms, duty = self.age_ms[away], self.duty[away]
        online = self.session_ms / (self.session_ms + _SPELLS_MS)
        known = ~np.isnan(duty)
        if known.any():
            belongs = _fit(absent_ms[known], self.horizon_ms) * weights
            belongs /= belongs.sum(axis=1, keepdims=True)
            total = belongs.sum(axis=0)
            observed = np.divide(
                duty[known] @ belongs, total, out=online.copy(), where=total > 1e-6
            )
            online = np.clip(observed, 0.01, 0.99)
        present = weights * len(absent_ms) * online / (1 - online)
        present /= max(1, len(self.age_ms) - len(absent_ms))
        return (1 - online) / online / _SPELLS_MS, present


def _fit(age_ms: Times, horizon_ms: float) -> Times:
    """How likely each age is under each kind of absence, between being present and the horizon."""
    seen = np.exp(-PRESENT_MS / _SPELLS_MS) - np.exp(-horizon_ms / _SPELLS_MS)
    fit: Times = np.exp(-age_ms[:, None] / _SPELLS_MS) / _SPELLS_MS / np.maximum(seen, 1e-12)
    return np.maximum(fit, 1e-300)


def _explain(age_ms: Times, horizon_ms: float, random: np.random.Generator) -> Times:
    """The shares of the kinds of absence that explain these ages best."""
    if len(age_ms) > _EM_NODES:
        age_ms = random.choice(age_ms, _EM_NODES, replace=False)
    fit = _fit(age_ms, horizon_ms)
    weights: Times = np.full(len(_SPELLS_MS), 1 / len(_SPELLS_MS))
    for _ in range(_EM_ROUNDS):
        belongs = fit * weights
        belongs /= belongs.sum(axis=1, keepdims=True)
        weights = belongs.mean(axis=0)
    return weights


def _choose(weights: Times, random: np.random.Generator) -> Indices:
    """A column for each row, by the weights in that row."""
    sums = weights.cumsum(axis=1)
    drawn = random.random((len(weights), 1)) * sums[:, -1:]
    chosen: Indices = np.minimum((sums < drawn).sum(axis=1), weights.shape[1] - 1)
    return chosen


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _clock(time_ms: float) -> str:
    minutes = round(time_ms / MINUTE_MS) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _span(span_ms: float) -> str:
    for unit_ms, unit in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if span_ms >= 2 * unit_ms or unit == "min":
            return f"{span_ms / unit_ms:.3g} {unit}"
    raise AssertionError("minutes come last")
