"""Starting places for a step, and stopping those that stand in their way, one after another."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from orrery.rollout.atlas import Bits, iter_single
from orrery.rollout.places import Reach
from orrery.rollout.rules import Holder, Rules

_MOST_CHOICES = 729
"""More ways to switch are not tried one by one: then it is all, half or none."""


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
    # Half of them: both roots run for a while, each at some of the endpoints.
    choices = [
        (0, _half(some), some) if some & (some - 1) else (0, some) for some in families.values()
    ]
    count = 1
    for choice in choices:
        count *= len(choice)
    ways: Iterable[Sequence[Bits]] = (
        product(*choices)
        if count <= _MOST_CHOICES
        else ([choice[min(which, len(choice) - 1)] for choice in choices] for which in range(3))
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


def _half(places: Bits) -> Bits:
    """Every second place of a set."""
    chosen = 0
    for number, place in enumerate(iter_single(places)):
        chosen |= place if number % 2 else 0
    return chosen
