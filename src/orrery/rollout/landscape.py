"""What is known of the roots: which places are alive, and what runs there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orrery.rollout.places import Place
from orrery.wire.address import Address
from orrery.wire.world import Root


class PlaceState(StrEnum):
    """Whether a root can be found at a place.

    ALIVE: it answers, and goes on as long as it is asked to. LATER: it does not answer yet, and can
    be started when it is asked to. GONE: it does not answer, and never will.
    """

    ALIVE = "alive"
    LATER = "later"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Landscape:
    """What is known of the roots.

    Attributes:
        states: of places. Of those that are not here, those of the newest revision are alive,
            the others of the wish come later, and all others are gone.
        official: roots that are official zerotier-one processes, with the timestamp of the
            revision that they hold, None if they hold none. All other roots are Orrery's.
        in_turn: pairs of places of which the second can only be started when the first has
            stopped, such as two addresses of one machine. Two identities at one endpoint are such
            a pair whether or not they are here.
        beside: other Worlds by id, with those roots of theirs which are alive and hand out this
            World too: a node that holds such a World takes this one from them.
    """

    states: Mapping[Place, PlaceState] = field(default_factory=dict)
    official: Mapping[Address, int | None] = field(default_factory=dict)
    in_turn: tuple[tuple[Place, Place], ...] = ()
    beside: Mapping[int, tuple[Root, ...]] = field(default_factory=dict)
