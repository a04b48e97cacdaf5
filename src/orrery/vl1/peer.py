"""Another node: its keys, what it speaks, and where it can be reached."""

from __future__ import annotations

from orrery.vl1.path import Path
from orrery.wire.address import Address
from orrery.wire.cipher import CipherSuite, SharedKeys
from orrery.wire.identity import Identity
from orrery.wire.verbs import Version

AES_PROTOCOL = 12
"""From this protocol on, nodes take AES-GMAC-SIV."""
PATH_EXPIRATION_MS = 243_000
"""A path without a packet for so long is forgotten (ZT_PEER_PATH_EXPIRATION)."""
PATH_ALIVE_MS = 19_000
"""A path with a packet in this time needs no other beside it on the same IP address."""
MAX_PATHS = 8
"""Confirmed paths that are kept for a node; the oldest gives way."""
NO_VERSION = Version(0, 0, 0)
"""What an asker says of its software: no node, and nothing that a root should remember."""
_CONFIRM_INTERVAL_MS = 1_000
_ID_BYTES = 8
_AWAITED_BYTES = 64 * _ID_BYTES


class PeerPath:
    """A confirmed path and when it was last heard from."""

    __slots__ = ("last_receive_ms", "path")

    def __init__(self, path: Path, now_ms: int) -> None:
        self.path = path
        self.last_receive_ms = now_ms


class Peer:
    """What one node remembers of another.

    Args:
        identity: the other's public identity.
        agreement: the 48 bytes agreed with it.
    """

    __slots__ = (
        "_awaited_ids",
        "_confirming",
        "_paths",
        "address",
        "identity",
        "keys",
        "last_receive_ms",
        "protocol",
        "version",
    )

    def __init__(self, identity: Identity, agreement: bytes) -> None:
        self.identity = identity
        self.address: Address = identity.address
        self.keys = SharedKeys(agreement)
        self.protocol = 0
        self.version = NO_VERSION
        self.last_receive_ms = 0
        self._awaited_ids = b""
        self._paths: list[PeerPath] = []
        self._confirming: tuple[Path, int] | None = None

    @property
    def suite(self) -> CipherSuite:
        """The cipher for packets to it other than HELLO."""
        if self.protocol >= AES_PROTOCOL:
            return CipherSuite.AES_GMAC_SIV
        return CipherSuite.POLY1305_SALSA2012

    @property
    def is_asker(self) -> bool:
        """Whether it only asks whether we are here, and what we hold (`orrery.vl1.asker`)."""
        return self.version == NO_VERSION

    def set_version(self, protocol: int, version: Version) -> None:
        """Note what it said of itself."""
        self.protocol = protocol
        self.version = version

    def expect_answer(self, packet_id: bytes) -> None:
        """Note the id of a request; one answer to each of the last 64 is taken.

        So many because another root is greeted at up to 32 endpoints at once, and at twice as many
        while a revision that moves it is held back.
        """
        self._awaited_ids = (self._awaited_ids + packet_id)[-_AWAITED_BYTES:]

    def take_answer(self, packet_id: bytes) -> bool:
        """Whether an answer to this request is expected; from now on it is not.

        An answer that somebody recorded and sends again from elsewhere would move our traffic
        there.
        """
        awaited = self._awaited_ids
        for start in range(0, len(awaited), _ID_BYTES):
            end = start + _ID_BYTES
            if awaited[start:end] == packet_id:
                self._awaited_ids = awaited[:start] + awaited[end:]
                return True
        return False

    @property
    def path_count(self) -> int:
        """Confirmed paths, expired ones too."""
        return len(self._paths)

    def knows(self, path: Path) -> bool:
        """Whether the path is confirmed."""
        return any(known.path == path for known in self._paths)

    def paths(self, now_ms: int) -> list[Path]:
        """Confirmed paths that have not expired, the one heard from last first."""
        fresh = [p for p in self._paths if now_ms - p.last_receive_ms < PATH_EXPIRATION_MS]
        fresh.sort(key=lambda known: known.last_receive_ms, reverse=True)
        return [known.path for known in fresh]

    def best_path(self, now_ms: int) -> Path | None:
        """The confirmed path that was heard from last, unless it has expired."""
        best: PeerPath | None = None
        for known in self._paths:
            # One that is ahead was noted before the clock was set back.
            known.last_receive_ms = min(known.last_receive_ms, now_ms)
            if best is None or known.last_receive_ms > best.last_receive_ms:
                best = known
        if best is None or now_ms - best.last_receive_ms >= PATH_EXPIRATION_MS:
            return None
        return best.path

    def heard(self, path: Path, now_ms: int) -> bool:
        """Note a direct packet.

        Returns:
            Whether the path is one to use already: a confirmed one, or another port of an IP
            address that a confirmed and living path has, beside which no second one is learned.
        """
        self.last_receive_ms = now_ms
        for known in self._paths:
            if known.path == path:
                known.last_receive_ms = now_ms
                return True
        return any(
            known.path.endpoint.ip == path.endpoint.ip
            and known.path.socket == path.socket
            and 0 <= now_ms - known.last_receive_ms < PATH_ALIVE_MS
            for known in self._paths
        )

    def confirm(self, path: Path, now_ms: int) -> None:
        """Learn a path from which an answer of ours came; takes the place of a dead or old one."""
        if self.heard(path, now_ms):
            return
        fresh = PeerPath(path, now_ms)
        for index, known in enumerate(self._paths):
            same_ip = known.path.endpoint.ip == path.endpoint.ip
            if same_ip and known.path.socket == path.socket:
                self._paths[index] = fresh
                return
        if len(self._paths) < MAX_PATHS:
            self._paths.append(fresh)
        else:
            oldest = min(range(MAX_PATHS), key=lambda i: self._paths[i].last_receive_ms)
            self._paths[oldest] = fresh

    def forget_path(self, path: Path) -> None:
        """Drop a confirmed path."""
        self._paths = [known for known in self._paths if known.path != path]

    def may_confirm(self, path: Path, now_ms: int) -> bool:
        """Whether to ask at a path that is not confirmed; not twice in a second."""
        if self._confirming is not None:
            asked, at_ms = self._confirming
            if asked == path and 0 <= now_ms - at_ms < _CONFIRM_INTERVAL_MS:
                return False
        self._confirming = (path, now_ms)
        return True
