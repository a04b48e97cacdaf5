"""What a leaf remembers of another node, and when it talks to it."""

from __future__ import annotations

from collections.abc import Collection

from orrery.vl1.path import Path
from orrery.vl1.peer import PATH_EXPIRATION_MS, Peer
from orrery.wire.identity import Identity

HEARTBEAT_MS = 14_000
"""A path that nothing was sent to for so long gets an ECHO (ZT_PATH_HEARTBEAT_PERIOD)."""
FULL_HELLO_MS = 60_000
"""Confirmed paths get a HELLO instead when the last one is so old (ZT_PEER_PING_PERIOD)."""
ACTIVITY_MS = 500_000
"""A node not heard from for so long is as good as gone (ZT_PEER_ACTIVITY_TIMEOUT)."""
_UNKNOWN_LATENCY_MS = 0xFFFF
_LATENCY_LOSES_WORTH_MS = 61_000


class LeafPeer(Peer):
    """A node, as a leaf sees it.

    Attributes:
        since_ms: when it was learned of.
        hello_ms: when the last round of HELLO to it began, None if there was none.
        sent_ms: when something was last sent to its paths.
        frame_ms: when it last sent something other than chatter, None if it never did.
        echoed_ms: when its last ECHO was answered, None if there was none.
        pushed_ms: when it last told of direct paths, and in `pushes` how often in a row.
        latency_ms: of its last OK(HELLO), None before.
        upstream_ms: when it was last heard from as one of the roots, None if it never was.
    """

    __slots__ = (
        "echoed_ms",
        "frame_ms",
        "hello_ms",
        "latency_ms",
        "pushed_ms",
        "pushes",
        "sent_ms",
        "since_ms",
        "upstream_ms",
    )

    def __init__(self, identity: Identity, agreement: bytes, now_ms: int) -> None:
        super().__init__(identity, agreement)
        self.since_ms = now_ms
        self.hello_ms: int | None = None
        self.sent_ms = now_ms
        self.frame_ms: int | None = None
        self.echoed_ms: int | None = None
        self.pushed_ms = 0
        self.pushes = 0
        self.latency_ms: int | None = None
        self.upstream_ms: int | None = None

    @property
    def has_paths(self) -> bool:
        """Whether any path is known; expired ones count until the next round of HELLO."""
        return bool(self._paths)

    def last_path(self) -> Path | None:
        """The path heard from last, expired or not."""
        if not self._paths:
            return None
        return max(self._paths, key=lambda known: known.last_receive_ms).path

    def forget_expired(self, now_ms: int) -> None:
        """Drop the paths that have been silent for too long."""
        self._paths = [p for p in self._paths if now_ms - p.last_receive_ms < PATH_EXPIRATION_MS]

    def is_active(self, now_ms: int) -> bool:
        """Whether real traffic has come from it lately, so that its paths are kept open."""
        return self.frame_ms is not None and now_ms - self.frame_ms < ACTIVITY_MS

    def is_gone(self, now_ms: int) -> bool:
        """Whether it has been silent for so long that it may be forgotten."""
        return now_ms - max(self.since_ms, self.last_receive_ms) >= ACTIVITY_MS

    def relay_quality(self, now_ms: int) -> float:
        """How good a way to others it is; less is better (ZeroTierOne node/Peer.hpp)."""
        silent_ms = now_ms - self.last_receive_ms
        if silent_ms >= ACTIVITY_MS:
            return float("inf")
        latency_ms = self.latency_ms if self.best_path(now_ms) is not None else None
        return (latency_ms or _UNKNOWN_LATENCY_MS) * (silent_ms // _LATENCY_LOSES_WORTH_MS + 1)


def stalest(peers: Collection[LeafPeer]) -> LeafPeer:
    """The node to forget where there is no room for more."""
    return min(peers, key=lambda peer: max(peer.since_ms, peer.last_receive_ms))
