"""When a step is safe: the rules that `orrery.rollout.planner` states in words, computed."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from orrery.rollout.atlas import Atlas, Bits, iter_single


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


class Fault(StrEnum):
    """The rule that a step would break."""

    LEAD = "lead"
    GROUND = "ground"
    WHOLE = "whole"
    WAY_BACK = "way-back"


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

    __slots__ = ("_demands", "_floor", "_most", "_runnable", "atlas", "kinds")

    def __init__(
        self, atlas: Atlas, kinds: Sequence[Kind], newest: Bits, goal: Bits, *, spare_root: bool
    ) -> None:
        self.atlas = atlas
        self.kinds = tuple(kinds)
        self._most = 2 if spare_root else 1
        self._runnable = atlas.alive | atlas.later
        self._demands: dict[tuple[Bits, Kind], int] = {}
        self._floor = {
            kind: min(
                self.count(kind.known(newest) & atlas.alive),
                self._count_at_once(kind.known(goal)),
            )
            for kind in self.kinds
        }

    def count(self, places: Bits) -> int:
        """How many roots have a place among these, up to what is ever asked for."""
        return min(self._most, self.atlas.roots(places).bit_count())

    def demand(self, content: Bits, kind: Kind) -> int:
        """How many roots must be there for nodes that hold a planned revision.

        Two, where two of its roots can run at once or where the network has two now and keeps two;
        else one.
        """
        key = content, kind
        if (found := self._demands.get(key)) is None:
            found = max(1, self._floor[kind], self._count_at_once(kind.known(content)))
            self._demands[key] = found
        return found

    def holders_of(self, publication: Publication) -> tuple[Holder, ...]:
        """Nodes of every kind that hold a planned revision."""
        content, _, names = publication
        return tuple(
            Holder(content, names, kind, self.demand(content, kind)) for kind in self.kinds
        )

    def leaders(self, holder: Holder, signer: bytes, running: Bits) -> Bits:
        """Places where a node gets a revision that this key signed, or the links to it.

        An official root has the newest revision alone: it helps who can verify that one.
        """
        heard = holder.known & running
        return heard if holder.key == signer else heard & self.atlas.orrery

    def is_led(self, holder: Holder, signer: bytes, running: Bits) -> bool:
        """Whether nodes get such a revision even when a root that they can spare is down."""
        return self.count(self.leaders(holder, signer, running)) >= holder.needs

    def can_go_back(self, before: Bits, running: Bits) -> bool:
        """Whether a revision could be returned to: all nodes find somebody there."""
        return all(kind.known(before) & running for kind in self.kinds)

    def find_fault(
        self, holders: Iterable[Holder], before: Bits, step: Publication, running: Bits
    ) -> Fault | None:
        """The first rule that a step breaks.

        Args:
            holders: what counted nodes may hold when it is published.
            before: places of the revision before, which is what a rollback returns to.
            step: what is published.
            running: what runs until everybody has it.
        """
        may_go_back = step.content != before and self.can_go_back(before, running)
        for holder in holders:
            if not self.is_led(holder, step.signer, running):
                return Fault.LEAD
            if not holder.known & holder.kind.known(step.content) & running:
                return Fault.GROUND
            if may_go_back and not self.is_led(holder, step.names, running):
                return Fault.WAY_BACK
        if any(
            self.count(holder.known & running) < holder.needs for holder in self.holders_of(step)
        ):
            return Fault.WHOLE
        return None

    def _count_at_once(self, places: Bits) -> int:
        """How many roots of these can run at the same time, up to what is ever asked for."""
        found = self.count(places & self._runnable)
        if found == 2 and not any(
            places & self._runnable & ~self.atlas.of_root(place) & ~self.atlas.conflicts(place)
            for place in iter_single(places & self._runnable)
        ):
            found = 1
        return found
