"""How nodes that are online come to a revision: by push, by their HELLO; and how a root knows.

What `RootNode` and `LeafNode` do, for all nodes of a cohort at once. Times are milliseconds from
the moment at which the revision is published for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orrery.lab.churn import Indices
from orrery.lab.curve import Times
from orrery.lab.traffic import probe_exchange, push_exchange
from orrery.lab.turns import HELLO_MS, WHOIS_MS, Turns
from orrery.vl1.peer import PATH_EXPIRATION_MS
from orrery.vl1.push import PushSettings

_LAST_PUSH_MS = 4 * HELLO_MS
"""Pushes are followed for so long; whoever has not confirmed then does so by HELLO."""
_SECOND_MS = 1_000.0


@dataclass(frozen=True, slots=True)
class Chances:
    """How likely an exchange succeeds where each datagram arrives with the chance `heard`.

    Attributes:
        heard: that one arrives.
        roots: whom a node asks, says HELLO to, and is answered by.
    """

    heard: float
    roots: int

    def pushed(self, worlds_bytes: int) -> float:
        """That Worlds arrive, in all their fragments."""
        return float(self.heard ** push_exchange(worlds_bytes).out.datagrams)

    def probed(self, world_bytes: int) -> float:
        """That a probe arrives and its answer comes back."""
        return float(self.heard ** (1 + probe_exchange(world_bytes).into.datagrams))

    def greeted(self, worlds_bytes: int) -> float:
        """That a HELLO to every root brings the Worlds from one at least."""
        return self._any(self.heard * self.pushed(worlds_bytes))

    @property
    def told(self) -> float:
        """That one at least of as many packets as there are roots arrives."""
        return self._any(self.heard)

    def _any(self, chance: float) -> float:
        return float(1 - (1 - chance) ** self.roots)


def failures(chance: float, count: int, random: np.random.Generator) -> Times:
    """For each of so many: how often something fails before it first succeeds."""
    if chance >= 1:
        return np.zeros(count)
    times: Times = np.floor(random.standard_exponential(count) / -np.log1p(-chance))
    return times


@dataclass(frozen=True, slots=True)
class Reached:
    """What came of it.

    Attributes:
        adopted_ms: when each node has the revision; infinite: not in this session.
        confirmed_ms: when a root knows, infinite likewise.
        pushes: for each root, how many pushes, each with a probe, it sent in each second.
        answers: for each root, how many HELLOs it answered with the World in each second.
        unheard: for each root, how many nodes it pushed to that had just left.
    """

    adopted_ms: Times
    confirmed_ms: Times
    pushes: list[Times]
    answers: list[Times]
    unheard: list[int]


@dataclass(slots=True)
class Reaching:
    """Nodes that are online when a revision is published for them.

    Attributes:
        pushes_of: how each root pushes.
        best: for each node, the root that it asks by WHOIS.
        delay_ms: one way, roots by nodes.
        until_ms: when each node's session ends.
        left_ms: how long ago each of the nodes left that are not online.
        world_bytes: size of the World.
        chances: of packets.
        random: source of chance.
    """

    pushes_of: tuple[PushSettings, ...]
    best: NDArray[np.uint8]
    delay_ms: NDArray[np.float32]
    until_ms: Times
    left_ms: Times
    world_bytes: int
    chances: Chances
    random: np.random.Generator
    _nearest_ms: Times = field(init=False)
    _hello_ms: Times = field(init=False)
    _whois_ms: Times = field(init=False)
    _turn_ms: Times = field(init=False)
    _adopted_ms: Times = field(init=False)
    _confirmed_ms: Times = field(init=False)
    _pushes: list[Times] = field(init=False)

    def run(self) -> Reached:
        """Compute it."""
        count = len(self.best)
        # Where each node is in its two rounds is chance; a HELLO goes to all roots at once.
        self._hello_ms = self.random.uniform(0, HELLO_MS, count)
        self._whois_ms = self.random.uniform(0, WHOIS_MS, count)
        self._nearest_ms = self.delay_ms[self.best, np.arange(count)].astype(np.float64)
        self._turn_ms = np.full(count, np.inf)
        self._confirmed_ms = np.full(count, np.inf)
        self._pushes = [np.zeros(1) for _ in self.pushes_of]
        lost = failures(self.chances.greeted(self.world_bytes), count, self.random)
        answered_ms = self._hello_ms + lost * HELLO_MS
        self._adopted_ms = answered_ms + self._nearest_ms
        answers = [np.zeros(1)] * len(self.pushes_of)
        unheard = [0] * len(self.pushes_of)
        if any(push.enabled for push in self.pushes_of):
            unheard = self._push()
        else:
            answers = [_seconds(answered_ms[answered_ms <= self.until_ms])] * len(self.pushes_of)
            probed = self.random.random(count) < self.chances.probed(self.world_bytes)
            self._confirmed_ms[probed] = (self._adopted_ms + self._nearest_ms)[probed]
        # At the latest the node's next HELLO tells what it holds.
        rounds = np.ceil((self._adopted_ms - self._hello_ms) / HELLO_MS)
        rounds += failures(self.chances.told, count, self.random)
        told_ms = self._hello_ms + rounds * HELLO_MS
        np.minimum(self._confirmed_ms, told_ms, out=self._confirmed_ms)
        self._adopted_ms[self._adopted_ms > self.until_ms] = np.inf
        self._confirmed_ms[self._confirmed_ms > self.until_ms] = np.inf
        return Reached(self._adopted_ms, self._confirmed_ms, self._pushes, answers, unheard)

    def _push(self) -> list[int]:
        unheard: list[int] = []
        once: list[tuple[Indices, Times, Times]] = []
        for root, push in enumerate(self.pushes_of):
            if not push.enabled:
                unheard.append(0)
                continue
            mine = np.flatnonzero(self.best == root)
            theirs = np.flatnonzero(self.best != root)
            # Who left lately is last in the queue, and is sent to as long as there is a path.
            reach_ms = min(push.horizon_ms, PATH_EXPIRATION_MS)
            unheard.append(int((self.left_ms < reach_ms).sum()))
            turns = Turns(push, len(mine), len(theirs) + unheard[-1], self.world_bytes)
            self._turn_ms[mine] = turns.at((1 - self._whois_ms[mine] / WHOIS_MS) * len(mine))
            places = len(mine) + self.random.random(len(theirs)) * len(theirs)
            once.append(self._push_once(root, theirs, turns.at(places)))
        self._push_until_confirmed()
        # A root that is not asked by WHOIS learns from one probe.
        for theirs, at_ms, delay_ms in once:
            probed = self.random.random(len(theirs)) < self.chances.probed(self.world_bytes)
            known = probed & (self._adopted_ms[theirs] <= at_ms + delay_ms)
            known_ms = np.where(known, at_ms + 2 * delay_ms, np.inf)
            self._confirmed_ms[theirs] = np.minimum(self._confirmed_ms[theirs], known_ms)
        return unheard

    def _push_once(self, root: int, nodes: Indices, at_ms: Times) -> tuple[Indices, Times, Times]:
        """Push from a root that hears of these nodes by their HELLO only."""
        online = at_ms <= self.until_ms[nodes]
        nodes, at_ms = nodes[online], at_ms[online]
        delay_ms = self.delay_ms[root, nodes].astype(np.float64)
        self._hand_over(nodes, at_ms + delay_ms)
        self._pushes[root] = _sum(self._pushes[root], _seconds(at_ms))
        return nodes, at_ms, delay_ms

    def _hand_over(self, nodes: Indices, there_ms: Times) -> None:
        arrived = self.random.random(len(nodes)) < self.chances.pushed(self.world_bytes)
        had_ms = np.where(arrived, there_ms, np.inf)
        self._adopted_ms[nodes] = np.minimum(self._adopted_ms[nodes], had_ms)

    def _push_until_confirmed(self) -> None:
        """Push from the root that each node asks: at its turn or its WHOIS, then with backoff."""
        pushing = np.array([push.enabled for push in self.pushes_of])
        nodes = np.flatnonzero(pushing[self.best])
        at_ms = np.minimum(self._turn_ms[nodes], self._next_whois(nodes, None))
        attempts = 0
        while True:
            online = at_ms <= np.minimum(self.until_ms[nodes], _LAST_PUSH_MS)
            nodes, at_ms = nodes[online], at_ms[online]
            if not len(nodes):
                return
            attempts += 1
            best = self.best[nodes]
            for root in range(len(self.pushes_of)):
                self._pushes[root] = _sum(self._pushes[root], _seconds(at_ms[best == root]))
            there_ms = at_ms + self._nearest_ms[nodes]
            self._hand_over(nodes, there_ms)
            probed = self.random.random(len(nodes)) < self.chances.probed(self.world_bytes)
            known = probed & (self._adopted_ms[nodes] <= there_ms)
            self._confirmed_ms[nodes[known]] = (there_ms + self._nearest_ms[nodes])[known]
            pauses_ms = np.array([float(push.retry_ms(attempts)) for push in self.pushes_of])
            due_ms = (at_ms + pauses_ms[best])[~known]
            nodes = nodes[~known]
            turn_ms = self._turn_ms[nodes]
            turn_ms = np.where(turn_ms >= due_ms, turn_ms, np.inf)
            at_ms = np.minimum(turn_ms, self._next_whois(nodes, due_ms))

    def _next_whois(self, nodes: Indices, since_ms: Times | None) -> Times:
        """When a WHOIS of each node arrives first, or first after a time."""
        rounds = failures(self.chances.told, len(nodes), self.random)
        if since_ms is not None:
            rounds += np.maximum(np.ceil((since_ms - self._whois_ms[nodes]) / WHOIS_MS), 0)
        return self._whois_ms[nodes] + rounds * WHOIS_MS


def _seconds(at_ms: Times) -> Times:
    """How many fall into each second."""
    counts = np.bincount((at_ms / _SECOND_MS).astype(np.intp), minlength=1)
    return counts.astype(np.float64)


def _sum(one: Times, other: Times) -> Times:
    """The sum of two rows that may differ in length."""
    if len(one) < len(other):
        one, other = other, one
    total = one.copy()
    total[: len(other)] += other
    return total
