"""Stand-ins: the same Worlds, plan and nodes with keys of the lab.

A rehearsal signs and speaks for roots whose secrets are elsewhere, or locked. So every identity is
replaced by one with the same address and another key, and every signing key by another one;
everything else stays as it is, byte for byte: timestamps, endpoints, sizes, who signs what, and so
which node belongs to which cohort.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orrery.lab.identities import make_unproven_identity
from orrery.lab.seeded import seeded_entropy
from orrery.rollout.conditions import Answering, Condition, Heard, Stopped
from orrery.rollout.places import Place
from orrery.rollout.plan import Plan, Step
from orrery.wire.address import Address, format_address
from orrery.wire.identity import Identity
from orrery.wire.signature import SigningKey
from orrery.wire.world import Root, World
from orrery.worlds.chain import Chain


class Cast:
    """Who stands in for whom.

    Args:
        seed: of the keys.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._identities: dict[Address, Identity] = {}
        self._keys: dict[bytes, SigningKey] = {}
        self._by_public: dict[bytes, SigningKey] = {}

    def identity(self, address: Address) -> Identity:
        """The identity, with its secret, of whoever stands in for this address."""
        known = self._identities.get(address)
        if known is None:
            made = make_unproven_identity(f"{self._seed} {format_address(address)}")
            known = Identity(address, made.public_key, made.private_key)
            self._identities[address] = known
        return known

    def key(self, public_key: bytes) -> SigningKey:
        """The key that stands in for one of which only the public half need be known."""
        known = self._keys.get(public_key)
        if known is None:
            known = SigningKey.generate(seeded_entropy(f"{self._seed} {public_key.hex()}"))
            self._keys[public_key] = self._by_public[known.public] = known
        return known

    def sign(self, world: World, signed_by: bytes) -> World:
        """Sign a World of stand-ins.

        Args:
            world: the World.
            signed_by: the public key of the stand-in for who signs.
        """
        return world.sign(self._by_public[signed_by])

    def chain(self, chain: Chain) -> Chain:
        """The chain, signed anew link by link."""
        worlds: list[World] = []
        for world in chain:
            names = self.key(world.updates_must_be_signed_by)
            signer = names
            if worlds:
                signer = self._by_public[worlds[-1].updates_must_be_signed_by]
            elif not world.is_self_signed:
                signer = self.key(b"whoever signed the oldest revision")
            standing_in = replace(
                world,
                updates_must_be_signed_by=names.public,
                roots=self.roots(world.roots),
            )
            worlds.append(standing_in.sign(signer))
        return Chain(worlds)

    def foreign(self, chain: Chain, timestamp_ms: int) -> World:
        """A World with the id of a chain that nobody of the chain has signed."""
        stranger = self.key(b"somebody else")
        roots = self.roots(chain.newest.roots)
        world = replace(chain.newest, timestamp_ms=timestamp_ms, roots=roots)
        return replace(world, updates_must_be_signed_by=stranger.public).sign(stranger)

    def roots(self, roots: Iterable[Root]) -> tuple[Root, ...]:
        """Roots at the same endpoints."""
        return tuple(
            Root(self.identity(root.identity.address).public(), root.endpoints) for root in roots
        )

    def plan(self, plan: Plan, chain: Chain) -> Plan:
        """The plan.

        Args:
            plan: the plan.
            chain: the stand-in of the chain that it was made for.
        """
        return replace(
            plan,
            start_signature=chain.newest.signature,
            steps=tuple(map(self._step, plan.steps)),
            finish=self._conditions(plan.finish),
        )

    def places(self, places: Iterable[Place]) -> tuple[Place, ...]:
        """Roots at endpoints."""
        return tuple(
            Place(self.identity(place.identity.address).public(), place.endpoint)
            for place in places
        )

    def _step(self, step: Step) -> Step:
        return replace(
            step,
            roots=self.roots(step.roots),
            signed_by=self.key(step.signed_by).public,
            names=self.key(step.names).public,
            before=self._conditions(step.before),
            done=self._conditions(step.done),
            keep=self.places(step.keep),
            old=self.places(step.old),
            release=self.places(step.release),
        )

    def _conditions(self, conditions: Iterable[Condition]) -> tuple[Condition, ...]:
        return tuple(
            replace(each, places=self.places(each.places))
            if isinstance(each, Answering | Stopped | Heard)
            else each
            for each in conditions
        )
