"""When a step is safe: the rules that `orrery.rollout.planner` states in words, computed."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from orrery.rollout.atlas import Atlas, Bits


class Kind(NamedTuple):
    """What nodes have in common, whatever revision they hold.

    Attributes:
        within: places that they can get to.
        beside: places that other Worlds name to them, counted on only when nothing else is left.
    """

    within: Bits
    beside: Bits = 0

    def known(self, content: Bits) -> Bits:
        """The places that such a node knows and can get to, when its World names these."""
        return content & self.within | self.beside


class Holder(NamedTuple):
    """A revision that counted nodes of a kind may hold at some moment.

    Attributes:
        content: the places that it names.
        key: the key that it names, as `signing_half`.
        kind: of the nodes.
        needs: how many roots must be there for them.
    """

    content: Bits
    key: bytes
    kind: Kind
    needs: int

    @property
    def known(self) -> Bits:
        """The places that such a node knows and can get to."""
        return self.kind.known(self.content)


class Publication(NamedTuple):
    """A revision that is to be published.

    Attributes:
        content: the places that it names.
        signer: the key that signs it, as `signing_half`.
        names: the key that it names, as `signing_half`.
    """

    content: Bits
    signer: bytes
    names: bytes


def signing_half(public_key: bytes) -> bytes:
    """The half of a key that nodes verify with; they do not look at the other."""
    return public_key[32:]


class Rules:
    """The rules for one plan.

    Args:
        atlas: the places.
        kinds: all kinds of counted nodes.
        newest: places of the newest revision.
        goal: places of the wish.
        spare_root: whether any one root may be down.
    """

    __slots__ = ("_most", "_needs", "atlas", "kinds")

    def __init__(
        self, atlas: Atlas, kinds: Sequence[Kind], newest: Bits, goal: Bits, *, spare_root: bool
    ) -> None:
        self.atlas = atlas
        self.kinds = tuple(kinds)
        self._most = 2 if spare_root else 1
        self._needs = {
            kind: max(
                1,
                min(
                    self.count(kind.known(newest) & atlas.alive),
                    self.count(kind.known(goal) & (atlas.alive | atlas.later)),
                ),
            )
            for kind in self.kinds
        }

    def count(self, places: Bits) -> int:
        """How many roots have a place among these, up to what is ever asked for."""
        return min(self._most, self.atlas.roots(places).bit_count())

    def holder_of(self, publication: Publication, kind: Kind) -> Holder:
        """Nodes of a kind that hold a revision.

        They need two roots where they have two now and in the end, else one.
        """
        return Holder(publication.content, publication.names, kind, self._needs[kind])

    def holders_of(self, publication: Publication) -> tuple[Holder, ...]:
        """Nodes of every kind that hold a revision."""
        return tuple(self.holder_of(publication, kind) for kind in self.kinds)

    def leaders(self, holder: Holder, signer: bytes, running: Bits) -> Bits:
        """Places where a node gets a revision that this key signed, or the links to it.

        An official root has the newest revision alone: it helps who can verify that one.
        """
        heard = holder.known & running
        return heard if holder.key == signer else heard & self.atlas.orrery

    def is_led(self, holder: Holder, signer: bytes, running: Bits) -> bool:
        """Whether nodes get such a revision even when a root that they can spare is down."""
        return self.count(self.leaders(holder, signer, running)) >= holder.needs

    def is_safe(
        self, holders: Iterable[Holder], before: Bits, step: Publication, running: Bits
    ) -> bool:
        """Whether a step keeps all rules.

        Args:
            holders: what counted nodes may hold when it is published.
            before: places of the revision before, which is what a rollback returns to.
            step: what is published.
            running: what runs until everybody has it.
        """
        for holder in holders:
            leads = self.is_led(holder, step.signer, running)
            has_ground = holder.known & holder.kind.known(step.content) & running
            goes_back = step.content == before or self.is_led(holder, step.names, running)
            if not (leads and has_ground and goes_back):
                return False
        return all(
            self.count(holder.known & running) >= holder.needs for holder in self.holders_of(step)
        )
