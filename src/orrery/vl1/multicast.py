"""Who subscribes to which multicast group: what a root tells those who ask."""

from __future__ import annotations

from itertools import chain, islice

from orrery.wire.address import Address
from orrery.wire.verbs import MulticastGroup, OkMulticastGather

EXPIRATION_MS = 600_000
"""A subscription lasts this long (ZT_MULTICAST_LIKE_EXPIRE)."""
MAX_GROUPS_OF_A_NODE = 1_024
MAX_SUBSCRIPTIONS = 1_000_000
"""Half a kilobyte each at worst, when everybody has groups of his own."""
MAX_MEMBERS_IN_ANSWER = 200


class Multicaster:
    """Subscriptions of all nodes, bounded per node and in all."""

    def __init__(self) -> None:
        self._members: dict[MulticastGroup, dict[Address, int]] = {}
        self._groups: dict[Address, int] = {}
        self._count = 0

    def like(self, group: MulticastGroup, member: Address, now_ms: int) -> bool:
        """Subscribe, or renew; False when the node or the root holds no more."""
        members = self._members.get(group)
        if members is not None and member in members:
            del members[member]  # to stand at the end: members are in the order of expiration
            members[member] = now_ms + EXPIRATION_MS
            return True
        held = self._groups.get(member, 0)
        if held >= MAX_GROUPS_OF_A_NODE or len(self) >= MAX_SUBSCRIPTIONS:
            return False
        if members is None:
            members = self._members[group] = {}
        members[member] = now_ms + EXPIRATION_MS
        self._groups[member] = held + 1
        self._count += 1
        return True

    def __len__(self) -> int:
        return self._count

    def gather(
        self, group: MulticastGroup, asker: Address, limit: int, start: int, now_ms: int
    ) -> OkMulticastGather | None:
        """Up to `limit` members other than the asker, from a random `start` around the circle.

        Returns:
            The answer, or None when there is nobody to tell of.
        """
        if group in self._members:
            self._expire(group, now_ms)
        members = self._members.get(group)
        if members is None:
            return None
        offset = start % len(members)
        circle = chain(islice(members, offset, None), islice(members, offset))
        others = (member for member in circle if member != asker)
        chosen = tuple(islice(others, min(limit, MAX_MEMBERS_IN_ANSWER)))
        return OkMulticastGather(group, len(members), chosen) if chosen else None

    def expire(self, now_ms: int) -> None:
        """Forget subscriptions that were not renewed."""
        for group in list(self._members):
            self._expire(group, now_ms)

    def _expire(self, group: MulticastGroup, now_ms: int) -> None:
        members = self._members[group]
        expired = []
        for member, until_ms in members.items():
            if until_ms > now_ms:
                break
            expired.append(member)
        for member in expired:
            del members[member]
            self._forget_one_of(member)
        if not members:
            del self._members[group]

    def _forget_one_of(self, member: Address) -> None:
        self._count -= 1
        left = self._groups[member] - 1
        if left:
            self._groups[member] = left
        else:
            del self._groups[member]
