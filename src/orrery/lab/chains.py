"""Chains of Worlds for networks that exist in the lab only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orrery.vl1.node import Entropy
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.signature import SigningKey
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES
from orrery.wire.world import Root, World, WorldType
from orrery.worlds.chain import Chain
from orrery.worlds.handover import HandoverTable
from orrery.worlds.stage import Stage


def root_of(identity: Identity, *endpoints: Endpoint) -> Root:
    """A root as a World lists it."""
    return Root(identity.public(), endpoints)


class ChainMaker:
    """Signs one revision after the other, and forgets no key.

    Args:
        world_type: planet or moon.
        world_id: of all revisions.
        roots: of the first revision.
        entropy: makes the keys.
        first_ms: timestamp of the first revision; each later one is a second younger.
    """

    def __init__(
        self,
        world_type: WorldType,
        world_id: int,
        roots: Iterable[Root],
        entropy: Entropy,
        first_ms: int,
    ) -> None:
        self._entropy = entropy
        self._key = SigningKey.generate(entropy)
        first = World(
            type=world_type,
            id=world_id,
            timestamp_ms=first_ms,
            updates_must_be_signed_by=self._key.public,
            roots=tuple(roots),
        )
        self.chain = Chain([first.sign(self._key)])

    @property
    def newest(self) -> World:
        """The revision signed last."""
        return self.chain.newest

    def revise(self, roots: Iterable[Root] | None = None, *, rotate: bool = False) -> World:
        """Sign the next revision.

        Args:
            roots: its roots, None for those of the revision before.
            rotate: name a new key, which signs from the revision after this one on.
        """
        signer = self._key
        if rotate:
            self._key = SigningKey.generate(self._entropy)
        before = self.newest
        revision = World(
            type=before.type,
            id=before.id,
            timestamp_ms=before.timestamp_ms + 1_000,
            updates_must_be_signed_by=self._key.public,
            roots=before.roots if roots is None else tuple(roots),
        ).sign(signer)
        self.chain = self.chain.extend(revision)
        return revision

    def forge(self) -> World:
        """A revision with a new timestamp that the chain's key signed and the chain does not hold.

        It stands for what another copy of the key signed: a fork.
        """
        before = self.newest
        return World(
            type=before.type,
            id=before.id,
            timestamp_ms=before.timestamp_ms + 500,
            updates_must_be_signed_by=self._key.public,
            roots=before.roots,
        ).sign(self._key)


def table_of(*makers: ChainMaker, stages: Mapping[int, Stage] | None = None) -> HandoverTable:
    """What a root serves that has these chains, at these stages by World id."""
    return HandoverTable([maker.chain for maker in makers], OK_HELLO_WORLDS_BYTES, stages)
