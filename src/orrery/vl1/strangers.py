"""Letting strangers in: cheap checks before dear ones, and a bounded share of one core for all.

A stranger's HELLO costs a key agreement (about 60 us) before its MAC can be checked, and a proof
of work (2 to 5 ms) before it can be believed. Both are rationed, the proof also for each site, so
that a flood from one place does not shut out the others. What is refused may ask again: nodes
repeat their HELLO every 5 seconds.
"""

from __future__ import annotations

from typing import NamedTuple

from orrery.vl1.limits import Allowance, BucketTable, TokenBucket
from orrery.vl1.path import Path
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity


class StrangerLimits(NamedTuple):
    """How much a root spends on nodes that it has not seen before.

    Attributes:
        agreements: key agreements, for all.
        proofs: proofs of work, for all: 40 a second are at most a fifth of a core.
        site_proofs: proofs of work for one IPv4 /24 or IPv6 /48: 500 nodes in 40 s. Nodes that
            start together say HELLO together, every 5 s: a burst must hold what 5 s allow.
        failure_cost: what an identity without proof costs its site.
        waiting: proofs begun and not done at once.
        sites: how many sites are remembered.
    """

    agreements: Allowance = Allowance(200, 1_000)
    proofs: Allowance = Allowance(200, 40)
    site_proofs: Allowance = Allowance(80, 12)
    failure_cost: float = 40
    waiting: int = 200
    sites: int = 16_384


class Stranger(NamedTuple):
    """A HELLO whose MAC fits, waiting for the proof of its identity."""

    identity: Identity
    agreement: bytes
    datagram: bytes
    path: Path


class StrangerGate:
    """Decides which strangers are worth an agreement, and which a proof."""

    def __init__(self, limits: StrangerLimits, now_ms: int) -> None:
        self._limits = limits
        self._agreements = TokenBucket(limits.agreements, now_ms)
        self._proofs = TokenBucket(limits.proofs, now_ms)
        self._sites = BucketTable(limits.site_proofs, limits.sites)
        self._waiting: dict[Identity, Stranger] = {}

    def may_agree(self, now_ms: int) -> bool:
        """Whether to agree a key, to check the MAC of a stranger's HELLO."""
        return self._agreements.take(1, now_ms)

    def admit(self, stranger: Stranger, now_ms: int) -> bool:
        """Whether to check the proof of a stranger whose MAC fits; it waits here for the result."""
        if stranger.identity in self._waiting or len(self._waiting) >= self._limits.waiting:
            return False
        site = self._sites.bucket(site_of(stranger.path.endpoint), now_ms)
        if site.wait_ms(1, now_ms) or not self._proofs.take(1, now_ms):
            return False
        site.charge(1, now_ms)
        self._waiting[stranger.identity] = stranger
        return True

    def settle(self, identity: Identity, *, proven: bool, now_ms: int) -> Stranger | None:
        """Take the result of a proof; returns the stranger, or None if nobody waits for it."""
        stranger = self._waiting.pop(identity, None)
        if stranger is not None and not proven:
            site = self._sites.bucket(site_of(stranger.path.endpoint), now_ms)
            site.charge(self._limits.failure_cost, now_ms)
        return stranger


def site_of(endpoint: Endpoint) -> bytes:
    """The addresses that one party usually holds: an IPv4 /24 or an IPv6 /48."""
    return endpoint.ip[:3] if len(endpoint.ip) == 4 else endpoint.ip[:6]
