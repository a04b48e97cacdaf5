"""What is different between two Worlds, as data and in words."""

from dataclasses import dataclass

from orrery.wire.address import format_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.signature import fingerprint
from orrery.wire.world import Root, World, WorldType
from orrery.worlds.wording import describe_timestamp, describe_type


@dataclass(frozen=True, slots=True)
class RootChange:
    """A root that is in both Worlds, with other endpoints."""

    identity: Identity
    endpoints_added: tuple[Endpoint, ...]
    endpoints_removed: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class WorldDiff:
    """The differences between an old World and a new one; a field is None or empty without one.

    Attributes:
        type: old and new type.
        id: old and new id.
        timestamp_ms: old and new timestamp.
        updates_key: old and new public key that the next revision must be signed by.
        roots_added: roots whose identity is only in the new World.
        roots_removed: roots whose identity is only in the old World.
        roots_changed: roots in both, with other endpoints.
        is_rearranged: the same roots and endpoints, in another order or repeated.
        dictionary: old and new dictionary of a moon.
        signature: old and new signature.
        endpoints_kept: where a node that knows the old World still finds a root of the new one.
    """

    type: tuple[WorldType, WorldType] | None
    id: tuple[int, int] | None
    timestamp_ms: tuple[int, int] | None
    updates_key: tuple[bytes, bytes] | None
    roots_added: tuple[Root, ...]
    roots_removed: tuple[Root, ...]
    roots_changed: tuple[RootChange, ...]
    is_rearranged: bool
    dictionary: tuple[bytes, bytes] | None
    signature: tuple[bytes, bytes] | None
    endpoints_kept: tuple[tuple[Identity, Endpoint], ...]

    @property
    def is_empty(self) -> bool:
        """Whether the two Worlds are the same."""
        return not self.in_words()

    def in_words(self) -> tuple[str, ...]:
        """One sentence for each difference."""
        words: list[str] = []
        if self.type:
            words.append("type: {} becomes {}".format(*map(describe_type, self.type)))
        if self.id:
            words.append(f"id: {self.id[0]:016x} becomes {self.id[1]:016x}")
        if self.timestamp_ms:
            words.append(
                "timestamp: {} becomes {}".format(*map(describe_timestamp, self.timestamp_ms))
            )
        if self.updates_key:
            words.append(
                "key for the next revision: {} becomes {}".format(
                    *map(fingerprint, self.updates_key)
                )
            )
        words.extend(f"root {_name(root)} added{_at(root)}" for root in self.roots_added)
        words.extend(f"root {_name(root)} removed{_at(root)}" for root in self.roots_removed)
        for root in self.roots_changed:
            words.extend(
                f"root {_name(root)}: {ip} added" for ip in map(_place, root.endpoints_added)
            )
            words.extend(
                f"root {_name(root)}: {ip} removed" for ip in map(_place, root.endpoints_removed)
            )
        if self.is_rearranged:
            words.append("the same roots and endpoints in another order, or not as often")
        if self.dictionary:
            words.append(
                "dictionary: {} bytes become {} other bytes".format(*map(len, self.dictionary))
            )
        if self.signature and not words:
            words.append("the signature alone")
        return tuple(words)


def compare(old: World, new: World) -> WorldDiff:
    """Find the differences between two Worlds.

    Roots are the same when their identities are; the same address with another key is another.
    """
    before, after = _endpoints_by_identity(old), _endpoints_by_identity(new)
    changed = tuple(
        RootChange(
            identity,
            tuple(endpoint for endpoint in after[identity] if endpoint not in endpoints),
            tuple(endpoint for endpoint in endpoints if endpoint not in after[identity]),
        )
        for identity, endpoints in before.items()
        if identity in after and set(endpoints) != set(after[identity])
    )
    same_roots = before.keys() == after.keys() and not changed
    return WorldDiff(
        type=None if old.type == new.type else (old.type, new.type),
        id=None if old.id == new.id else (old.id, new.id),
        timestamp_ms=(
            None if old.timestamp_ms == new.timestamp_ms else (old.timestamp_ms, new.timestamp_ms)
        ),
        updates_key=(
            None
            if old.updates_must_be_signed_by == new.updates_must_be_signed_by
            else (old.updates_must_be_signed_by, new.updates_must_be_signed_by)
        ),
        roots_added=tuple(Root(who, after[who]) for who in after if who not in before),
        roots_removed=tuple(Root(who, before[who]) for who in before if who not in after),
        roots_changed=changed,
        is_rearranged=same_roots and old.roots != new.roots,
        dictionary=None if old.dictionary == new.dictionary else (old.dictionary, new.dictionary),
        signature=None if old.signature == new.signature else (old.signature, new.signature),
        endpoints_kept=endpoints_in_common(old, new),
    )


def endpoints_in_common(old: World, new: World) -> tuple[tuple[Identity, Endpoint], ...]:
    """Where a node that knows the old World finds a root which is in the new one too.

    Without any, a node that sleeps through the change finds nobody when it wakes. Nil endpoints
    and port 0 lead nowhere and do not count.
    """
    after = _endpoints_by_identity(new)
    return tuple(
        (identity, endpoint)
        for identity, endpoints in _endpoints_by_identity(old).items()
        for endpoint in endpoints
        if endpoint.port and endpoint in after.get(identity, ())
    )


def _endpoints_by_identity(world: World) -> dict[Identity, tuple[Endpoint, ...]]:
    """Endpoints of each root, each once; a repeated root has the endpoints of all its entries."""
    found: dict[Identity, dict[Endpoint, None]] = {}
    for root in world.roots:
        found.setdefault(root.identity, {}).update(dict.fromkeys(root.endpoints))
    return {identity: tuple(endpoints) for identity, endpoints in found.items()}


def _name(root: Root | RootChange) -> str:
    return format_address(root.identity.address)


def _place(endpoint: Endpoint) -> str:
    return str(endpoint) or "the nil endpoint"


def _at(root: Root) -> str:
    return (
        f" at {', '.join(map(_place, root.endpoints))}" if root.endpoints else " without endpoints"
    )
