"""What a planner is given, and what is computed of it once."""

from dataclasses import dataclass
from typing import Self

from orrery.rollout.atlas import Atlas, Bits
from orrery.rollout.fleet import Fleet, Stranded
from orrery.rollout.landscape import Landscape
from orrery.rollout.places import roots_of
from orrery.rollout.stranding import Position, judge, locate, signer_of
from orrery.rollout.wish import Wish
from orrery.wire.world import Root, World
from orrery.worlds.chain import Chain
from orrery.worlds.ordering import sort_roots


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A way that is to be found.

    Attributes:
        chain: what is published.
        wish: what is wanted.
        fleet: who must not be stranded.
        landscape: what is known of the roots.
        atlas: all places.
        content: the places of the newest revision.
        goal: the places that are wanted.
        counted: where the nodes stand that count.
        exempt: where the others stand that were named.
    """

    chain: Chain
    wish: Wish
    fleet: Fleet
    landscape: Landscape
    atlas: Atlas
    content: Bits
    goal: Bits
    counted: tuple[Position, ...]
    exempt: tuple[Position, ...]

    @classmethod
    def of(cls, chain: Chain, wish: Wish, fleet: Fleet, landscape: Landscape) -> Self:
        """Look at what `orrery.rollout.planner.plan` is given."""
        atlas = Atlas(chain, wish.roots, landscape)
        return cls(
            chain=chain,
            wish=wish,
            fleet=fleet,
            landscape=landscape,
            atlas=atlas,
            content=atlas.content_of(chain.newest),
            goal=atlas.bits_of(wish.roots),
            counted=locate(chain, fleet.counted, landscape, atlas),
            exempt=locate(chain, fleet.exempt, landscape, atlas),
        )

    @property
    def newest(self) -> World:
        """The newest revision."""
        return self.chain.newest

    def find_stranded(self, positions: tuple[Position, ...]) -> tuple[Stranded, ...]:
        """Those who are stranded as things are now."""
        atlas = self.atlas
        return judge(atlas, positions, signer_of(self.chain), atlas.alive, is_signed=True)

    def list_roots(self, content: Bits) -> tuple[Root, ...]:
        """Roots with these places, as a revision lists them."""
        return sort_roots(roots_of(self.atlas.list(content)))
