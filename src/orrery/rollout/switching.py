"""Starting places for a step, and stopping those that stand in their way, one after another."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product
from math import prod
from typing import NamedTuple

from orrery.rollout.atlas import Bits, iter_single
from orrery.rollout.places import Reach
from orrery.rollout.rules import Holder, Rules

_MOST_CHOICES = 81
"""More ways to switch are not tried one by one: then it is all, half or none."""
_MOST_PARTED = 3
"""So many places are parted in all ways."""


class Switch(NamedTuple):
    """Places that stop, and places that start when these have."""

    stops: Bits
    starts: Bits


def iter_choices(rules: Rules, content: Bits, goal: Bits, running: Bits) -> Iterator[Bits]:
    """The sets of places that could be started before a revision with this content is published.

    What stands in nobody's way is in each of them. The first has nothing else; those with fewest
    switches come first.
    """
    atlas = rules.atlas
    silent = content & (atlas.alive | atlas.later) & ~running
    # Of two that cannot run together, what is wanted for good.
    silent &= ~atlas.conflicts(silent & goal) | goal
    free = silent & ~atlas.conflicts(running)
    families: dict[tuple[Bits, Bits, Bits], Bits] = {}
    for place in iter_single(silent & ~free):
        partners = atlas.roots(atlas.conflicts(place) & running)
        signature = atlas.roots(place), partners, place & atlas.within(Reach.IPV4) and 1
        families[signature] = families.get(signature, 0) | place
    choices = [_parts(some) for some in families.values()]
    ways: Iterable[Sequence[Bits]] = product(*choices)
    if prod(map(len, choices)) > _MOST_CHOICES:
        ways = zip(
            *((parts[0], parts[len(parts) // 2], parts[-1]) for parts in choices), strict=True
        )
    for started in sorted({sum(way) for way in ways}, key=lambda bits: (bits.bit_count(), bits)):
        yield free | started


def order_switches(
    rules: Rules, seeking: Sequence[tuple[Holder, bytes]], running: Bits, starts: Bits
) -> tuple[tuple[Switch, ...], Bits] | None:
    """An order in which places can be switched while nodes hold what they hold.

    After each all that nodes need must be there. During a switch neither side runs, which is one
    root less at most, as only one root starts with it: the outage that any root may have.

    Args:
        rules: of the plan.
        seeking: what counted nodes may hold meanwhile, and the signer of what they are led to.
        running: what runs now.
        starts: what is to run as well.

    Returns:
        The switches and what runs after them; None if there is no such order.
    """
    waiting = list(_switches(rules, running, starts))
    for switch in waiting:
        starts &= ~switch.starts
    running |= starts
    ordered = []
    while waiting:
        for switch in waiting:
            after = running & ~switch.stops | switch.starts
            if all(rules.is_led(holder, signer, after) for holder, signer in seeking):
                break
        else:
            return None
        waiting.remove(switch)
        ordered.append(switch)
        running = after
    return tuple(ordered), running


def _switches(rules: Rules, running: Bits, starts: Bits) -> Iterator[Switch]:
    """What must stop for what, a root at a time."""
    atlas = rules.atlas
    found: dict[tuple[Bits, Bits], Switch] = {}
    for place in iter_single(starts):
        if stops := atlas.conflicts(place) & running:
            signature = atlas.roots(place), atlas.roots(stops)
            before = found.get(signature, Switch(0, 0))
            found[signature] = Switch(before.stops | stops, before.starts | place)
    yield from found.values()


def _parts(places: Bits) -> tuple[Bits, ...]:
    """Parts of a set, from none to all: every one of a small set, half of a large one.

    With a part both roots run for a while, each at some of the endpoints.
    """
    members = tuple(iter_single(places))
    if len(members) > _MOST_PARTED:
        return 0, sum(members[::2]), places
    sizes = range(len(members) + 1)
    return tuple(sum(part) for size in sizes for part in combinations(members, size))
