"""What a node holds, whether it is behind, and what to hand it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orrery.vl1.events import AdoptionLearned, Event, ForkSeen, How
from orrery.vl1.forks import Fork, mark_of
from orrery.vl1.root_peer import KnownFork, RootPeer
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES, WorldHeld
from orrery.wire.world import World
from orrery.worlds.handover import HandoverTable


class Handing:
    """The table put beside what each node holds. It sends nothing.

    Args:
        table: which Worlds a node is answered with.
        report: called with what is learned of a node.

    Attributes:
        table: may be replaced; `judge_forks_again` then says what that changes for a node.
    """

    def __init__(self, table: HandoverTable, report: Callable[[Event], None]) -> None:
        self.table = table
        self._report = report

    def links(self, peer: RootPeer, held: Iterable[tuple[int, int]]) -> list[bytes]:
        """What a node that holds this is handed, in order, as far as a packet has room."""
        worlds: list[bytes] = []
        room = OK_HELLO_WORLDS_BYTES
        for world_id, timestamp_ms in held:
            for link in self._answer_to(self.table, peer, world_id, timestamp_ms):
                if len(link) > room:
                    break
                room -= len(link)
                worlds.append(link)
        return worlds

    def _answer_to(
        self, table: HandoverTable, peer: RootPeer, world_id: int, timestamp_ms: int
    ) -> tuple[bytes, ...]:
        """What a table hands to a node that holds this."""
        if peer.forks is not None:
            known = peer.fork_at(world_id, timestamp_ms)
            if known is not None and known.links is not None:
                return known.links
        return table.lookup(world_id, timestamp_ms, peer.address)

    def answers(self, table: HandoverTable, peer: RootPeer) -> list[tuple[bytes, ...]]:
        """What a table hands to a node, for each World that it holds."""
        return [self._answer_to(table, peer, *held) for held in peer.held.items()]

    def note_held(
        self, peer: RootPeer, held: WorldHeld, how: How, now_ms: int, world: World | None = None
    ) -> None:
        """Take note of what a node holds, where it is news.

        Args:
            peer: the node.
            held: what it said it holds, which may be a moon it waits for (timestamp 0).
            how: how it said so.
            now_ms: when.
            world: the World itself, where it sent it: a fork then shows by its bytes too.
        """
        newest = self.table.newest(held.id)
        if newest is None or (world is not None and world.type is not newest.type):
            return
        is_news = peer.held.get(held.id) != held.timestamp_ms
        if is_news:
            peer.held[held.id] = held.timestamp_ms
            peer.start_over(now_ms)
        elif world is None:
            return
        if not held.timestamp_ms:
            peer.forget_fork(held.id)
            return
        ours = self.table.revision_at(held.id, held.timestamp_ms)
        if ours is None or (world is not None and world != ours):
            self._note_fork(peer, Fork.of(held, world), now_ms, world)
            return
        was_fork = peer.forget_fork(held.id)
        if was_fork and not is_news:
            peer.start_over(now_ms)
        if was_fork or is_news:
            self._report(AdoptionLearned(now_ms, peer.address, *held, how))

    def _note_fork(self, peer: RootPeer, fork: Fork, now_ms: int, world: World | None) -> None:
        """Report a fork that is news, and lead its holder by what is known of it."""
        known = peer.fork_at(fork.world_id, fork.timestamp_ms)
        if known is not None and known.fork == fork:
            return
        if self.set_fork(peer, fork):
            peer.start_over(now_ms)
        self._report(ForkSeen(now_ms, peer.address, *fork[:2], world))

    def set_fork(self, peer: RootPeer, fork: Fork) -> bool:
        """Remember a fork; returns whether something leads on that is known to be taken."""
        links = None
        if fork.wanted_key is not None:
            links = self.table.lookup_fork(*fork[:2], fork.wanted_key, peer.address)
        peer.forks = (peer.forks or {}) | {fork.world_id: KnownFork(fork, links)}
        return bool(links)

    def judge_forks_again(self, peer: RootPeer, now_ms: int) -> bool:
        """With a new table: what was a fork may be ours, or lead elsewhere.

        Returns:
            Whether anything is otherwise.
        """
        changed = False
        for fork, links in list((peer.forks or {}).values()):
            ours = self.table.revision_at(fork.world_id, fork.timestamp_ms)
            if ours is not None and fork.mark in (b"", mark_of(ours)):
                peer.forget_fork(fork.world_id)
                how = How.PROBE if fork.mark else How.HELLO
                self._report(AdoptionLearned(now_ms, peer.address, *fork[:2], how))
                changed = True
            else:
                self.set_fork(peer, fork)
                known = peer.fork_at(fork.world_id, fork.timestamp_ms)
                changed = changed or known is None or known.links != links
        return changed

    def is_behind(self, peer: RootPeer) -> bool:
        """Whether there is anything to hand to a node."""
        if peer.forks is not None:
            return any(self.answers(self.table, peer))
        lookup, address = self.table.lookup, peer.address
        for world_id, timestamp_ms in peer.held.items():
            if lookup(world_id, timestamp_ms, address):
                return True
        return False
