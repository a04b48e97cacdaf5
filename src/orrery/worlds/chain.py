"""Chains: all revisions of one World, and how a node is led along them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise

from orrery.errors import UsageError, VerifyError
from orrery.wire.world import World, WorldType
from orrery.worlds.acceptance import check_update


class Chain:
    """The revisions of one World, each acceptable to a node that holds the one before.

    A node takes every later revision that is signed by the key which its own revision names, not
    only the next. So the furthest it can go at once is the last revision which that key signed;
    from there the next key leads on. Immutable: `extend` makes a new chain.

    Args:
        revisions: oldest first, at least one.

    Raises:
        UsageError: there is none, or it is one that anything would replace.
        UpdateRefused: a revision is not acceptable after the one before.
    """

    __slots__ = ("_first_signer", "_former", "_index", "_last_by", "_lasts", "_revisions", "_times")

    def __init__(self, revisions: Iterable[World]) -> None:
        worlds = tuple(revisions)
        if not worlds:
            raise UsageError("a chain has at least one revision")
        if worlds[0].type == WorldType.NULL or worlds[0].id == 0:
            raise UsageError(
                "a chain is made of planets or of moons with an id other than 0: nodes let "
                "anything replace the rest"
            )
        for current, candidate in pairwise(worlds):
            check_update(current, candidate)
        first_key = worlds[0].updates_must_be_signed_by
        # Who signed the oldest revision is known only if it names its own signer.
        self._index_revisions(worlds, _signing_half(first_key) if worlds[0].is_self_signed else b"")

    def extend(self, world: World) -> "Chain":
        """The chain with one more revision.

        Raises:
            UpdateRefused: a node with the newest revision would not take it.
        """
        check_update(self.newest, world)
        chain = Chain.__new__(Chain)
        chain._index_revisions((*self._revisions, world), self._first_signer)
        return chain

    def until(self, timestamp_ms: int) -> "Chain":
        """The chain as it was when the revision with this timestamp was its newest.

        Raises:
            UsageError: there is none.
        """
        index = self._index.get(timestamp_ms)
        if index is None:
            raise UsageError(
                f"World {self.world_id:016x} has no revision {timestamp_ms}; name one of its chain"
            )
        if index == len(self._revisions) - 1:
            return self
        chain = Chain.__new__(Chain)
        chain._index_revisions(self._revisions[: index + 1], self._first_signer)
        return chain

    @property
    def revisions(self) -> tuple[World, ...]:
        """All revisions, oldest first."""
        return self._revisions

    @property
    def newest(self) -> World:
        """The revision where every node is to arrive."""
        return self._revisions[-1]

    @property
    def world_id(self) -> int:
        """The id that all revisions share."""
        return self.newest.id

    @property
    def type(self) -> WorldType:
        """The type that all revisions share."""
        return self.newest.type

    def revision_at(self, timestamp_ms: int) -> World | None:
        """The revision with this timestamp, None if there is none."""
        index = self._index.get(timestamp_ms)
        return None if index is None else self._revisions[index]

    def links_from(self, timestamp_ms: int) -> tuple[World, ...]:
        """What to hand to a node that reports this timestamp, in this order."""
        return tuple(self.iter_links_from(timestamp_ms))

    def iter_links_from(self, timestamp_ms: int) -> Iterator[World]:
        """As `links_from`, one after another, for who does not need all.

        A revision of the chain: the furthest that a node there accepts, and so on to the newest.
        An unknown timestamp before the newest: which key such a node wants is not known, so the
        last revision of each signer that signed something newer, oldest first: the node takes the
        first that it can, and from there on each. A moon's 0 is a node that waits for it, and
        takes any revision which names the seed that it was told (see `_links_for_waiting`).
        """
        index = self._index.get(timestamp_ms)
        if index is not None:
            return self._links_after(index)
        if timestamp_ms == 0 and self.type == WorldType.MOON:
            return self._links_for_waiting()
        newer = bisect_right(self._times, timestamp_ms)
        return self._links_since(newer)

    def iter_links_for(self, timestamp_ms: int, wanted_key: bytes) -> Iterator[World]:
        """What to hand to a node of which more is known than a timestamp, as for a fork.

        Args:
            timestamp_ms: of the World that it holds, of this chain or not.
            wanted_key: the public key that this World wants its update to be signed by.

        Returns:
            The furthest revision that the node accepts, and so on to the newest; none where no
            revision is both newer and signed by that key.
        """
        index = self._last_by.get(_signing_half(wanted_key))
        if index is None and not self._first_signer and self._is_first_signed_by(wanted_key):
            index = 0
        if index is None or self._times[index] <= timestamp_ms:
            return
        yield self._revisions[index]
        yield from self._links_after(index)

    def _is_first_signed_by(self, key: bytes) -> bool:
        try:
            self._revisions[0].verify(key)
        except VerifyError:
            return False
        return True

    def __len__(self) -> int:
        return len(self._revisions)

    def __iter__(self) -> Iterator[World]:
        return iter(self._revisions)

    def _index_revisions(self, worlds: tuple[World, ...], first_signer: bytes) -> None:
        self._revisions = worlds
        self._first_signer = first_signer
        self._times = [world.timestamp_ms for world in worlds]
        self._index = {time: index for index, time in enumerate(self._times)}
        # Each revision is signed by what the one before names: that is what the chain has checked.
        self._last_by = {first_signer: 0}
        for index, before in enumerate(worlds[:-1]):
            self._last_by[_signing_half(before.updates_must_be_signed_by)] = index + 1
        self._lasts = sorted(self._last_by.values())
        last_with = {
            root.identity.address: index
            for index, world in enumerate(worlds)
            for root in world.roots
        }
        self._former = sorted(set(last_with.values()) - {len(worlds) - 1})

    def _links_after(self, index: int) -> Iterator[World]:
        while index < len(self._revisions) - 1:
            index = self._last_by[_signing_half(self._revisions[index].updates_must_be_signed_by)]
            yield self._revisions[index]

    def _links_since(self, index: int) -> Iterator[World]:
        """The last revision of each signer that signed at or after an index."""
        for last in self._lasts[bisect_left(self._lasts, index) :]:
            yield self._revisions[last]

    def _links_for_waiting(self) -> Iterator[World]:
        """The newest revision, which any seed that is still a root is named in.

        Behind it, for seeds of former days: the last revision which names each former root, and
        the way from there.
        """
        yield self.newest
        if self._former:
            way = self._lasts[bisect_left(self._lasts, self._former[0]) :]
            for index in sorted({*self._former, *way}):
                yield self._revisions[index]


def _signing_half(public_key: bytes) -> bytes:
    # A node does not look at the X25519 half when it verifies.
    return public_key[32:]
