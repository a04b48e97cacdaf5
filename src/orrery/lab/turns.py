"""When whose turn comes in the push of a large fleet: `PushQueue` and what goes by it, as a curve.

A root hands a new revision to the nodes in the order in which it heard from them, the latest first,
at a pace of nodes and of bytes. Beside that queue, a node that has not confirmed is pushed to with
its next packet: there is a WHOIS every 5 s, and the pace does not hold that up, though its bytes
count. Who was heard from last is first in the queue and last to ask again, so that queue and
questions work through the fleet from its two ends.
"""

from __future__ import annotations

import numpy as np

from orrery.lab.curve import Times
from orrery.vl1.push import PushSettings

WHOIS_MS = 5_000.0
"""How often a node asks its best root for each root."""
HELLO_MS = 225_000.0
"""How often it says HELLO to each root."""
_TICK_MS = 10.0


class Turns:
    """The turns of one root's queue.

    Args:
        push: its pace.
        asking: how many nodes in the queue ask this root by WHOIS; they are its first.
        others: how many are behind those.
        size_bytes: of the Worlds that each is handed.
    """

    def __init__(self, push: PushSettings, asking: int, others: int, size_bytes: int) -> None:
        total = asking + others
        if total <= push.nodes.burst and total * size_bytes <= push.bytes.burst:
            self._ranks, self._times_ms = np.array([0.0]), np.array([0.0])
            return
        nodes, room = push.nodes.burst, push.bytes.burst
        popped, asked = 0.0, float(asking)
        ranks, times_ms = [0.0], [0.0]
        time_ms = 0.0
        while time_ms < WHOIS_MS and popped < total:
            # Of the nodes that ask in this tick, those that the queue has not come to yet.
            before, asked = asked, asking * (1 - (time_ms + _TICK_MS) / WHOIS_MS)
            fresh = max(0.0, before - max(asked, popped))
            room = max(room - fresh * size_bytes, -push.bytes.burst)
            turns = min(nodes, total - popped)
            if room < 1:
                turns = 0.0
            # Whoever has asked before its turn has been served: its turn takes no bytes.
            free = max(0.0, min(popped + turns, asking) - max(popped, asked))
            turns = min(turns, free + max(room, 0.0) / size_bytes)
            popped += turns
            nodes -= turns
            room -= max(0.0, turns - free) * size_bytes
            ranks.append(popped)
            times_ms.append(time_ms)
            time_ms += _TICK_MS
            nodes = min(push.nodes.burst, nodes + push.nodes.per_second * _TICK_MS / 1000)
            room = min(push.bytes.burst, room + push.bytes.per_second * _TICK_MS / 1000)
        # From here on only those take bytes who never asked.
        if room < 1:
            time_ms += (1 - room) * 1000 / push.bytes.per_second
        for end, rate in (
            (asking, push.nodes.per_second),
            (total, min(push.nodes.per_second, push.bytes.per_second / size_bytes)),
        ):
            if popped < end:
                ranks += [popped, float(end)]
                times_ms += [time_ms, time_ms + (end - popped) * 1000 / rate]
                popped, time_ms = float(end), times_ms[-1]
        self._ranks, self._times_ms = np.array(ranks), np.array(times_ms)

    def at(self, ranks: Times) -> Times:
        """When the turn of each rank comes, in ms; rank 0 is the first."""
        turns: Times = np.interp(ranks, self._ranks, self._times_ms)
        return turns
