"""The search for the fewest steps that keep the rules.

Two steps change any content into any other, where a way exists at all: one that adds before one
that takes away. A key changes with one of these where the rules allow it, else in a step of its
own. So three steps are the most that are tried. In between a revision lists whole roots, each with
what endpoints are published or wanted: leaving out some could only take ways from nodes.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, combinations, zip_longest
from typing import NamedTuple

from orrery.rollout.atlas import Bits, iter_single
from orrery.rollout.places import Reach
from orrery.rollout.rules import Holder, Publication, Rules
from orrery.rollout.switching import Switch, iter_choices, order_switches
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS


class Leg(NamedTuple):
    """A step as the search found it.

    Attributes:
        switches: what stops and what starts in its place before it is published, in this order.
        starts: what else starts before.
        publication: what is published.
        running: what runs until everybody has it.
    """

    switches: tuple[Switch, ...]
    starts: Bits
    publication: Publication
    running: Bits


class Ending(NamedTuple):
    """What is done when everybody has the last revision.

    Attributes:
        switches: what stops and what starts in its place, in this order.
        starts: what else starts.
    """

    switches: tuple[Switch, ...]
    starts: Bits


class Course(NamedTuple):
    """The steps of a plan.

    Attributes:
        waits_first: whether everybody must hold the newest revision before anything is done.
        legs: the steps.
        ending: what follows them.
    """

    waits_first: bool
    legs: tuple[Leg, ...]
    ending: Ending


class Search:
    """A way from what is published to what is wanted.

    Args:
        rules: what is safe.
        newest: the newest revision, as if it were still to be published.
        goal: places of the wish.
        key: the key that the wish wants named, as `signing_half`.
        holders: what counted nodes hold.
        at_newest: the newest revision in the hands of each kind of node.
    """

    def __init__(
        self,
        rules: Rules,
        newest: Publication,
        goal: Bits,
        *,
        key: bytes,
        holders: tuple[Holder, ...],
        at_newest: tuple[Holder, ...],
    ) -> None:
        self._rules = rules
        self._newest = newest
        self._goal = goal
        self._key = key
        self._holders = holders
        self._at_newest = at_newest

    def find_course(self) -> Course | None:
        """The course with the fewest steps, None if there is none.

        Among those of one length: first without a wait for the newest revision, then with as many
        roots in common as possible, then with the key changed as early as the rules allow.
        """
        for length in range(4):
            for waits_first in (False, True) if length else (True,):
                holders = self._at_newest if waits_first else self._holders
                for publications in self._iter_publications(length):
                    if not self._could_be_safe(publications, holders):
                        continue
                    found = self._continue(
                        publications, holders, self._newest, self._rules.atlas.alive
                    )
                    if found is not None:
                        return Course(waits_first, *found)
        return None

    def _iter_publications(self, length: int) -> Iterator[tuple[Publication, ...]]:
        """All sequences of so many revisions that end at the wish; none does nothing."""
        rotates = self._key != self._newest.names
        for contents in self._iter_contents(length):
            for number in range(length) if rotates else (length,):
                yield self._publish(contents, number)
        if rotates and length:
            for contents in self._iter_contents(length - 1):
                stages = (self._newest.content, *contents)
                for number in range(length):
                    yield self._publish((*contents[:number], *stages[number:]), number)

    def _publish(self, contents: tuple[Bits, ...], rotated_with: int) -> tuple[Publication, ...]:
        keys = [self._newest.names] * (rotated_with + 1) + [self._key] * len(contents)
        return tuple(map(Publication, contents, keys, keys[1:]))

    def _iter_contents(self, changes: int) -> Iterator[tuple[Bits, ...]]:
        """The contents of so many revisions, each unlike the one before, that end at the wish."""
        newest, goal = self._newest.content, self._goal
        if changes == 0 and newest == goal:
            yield ()
        elif changes == 1 and newest != goal:
            yield (goal,)
        elif changes == 2:
            for middle in self._iter_middles():
                if middle not in (newest, goal):
                    yield middle, goal

    def _iter_middles(self) -> Iterator[Bits]:
        """What may be published in between, with most roots in common with both sides first."""
        atlas, newest, goal = self._rules.atlas, self._newest.content, self._goal
        useful = (newest | goal) & (atlas.alive | atlas.later)
        roots = [self._trim(places) for places in atlas.split_by_root(useful)]

        def in_common(middle: Bits) -> tuple[int, int]:
            behind = atlas.roots(middle & newest & atlas.alive).bit_count()
            ahead = atlas.roots(middle & goal).bit_count()
            return -min(behind, ahead), -behind - ahead

        sizes = range(1, MAX_ROOTS + 1)
        found = {sum(chosen) for size in sizes for chosen in combinations(roots, size)}
        yield from sorted(sorted(found), key=in_common)

    def _trim(self, places: Bits) -> Bits:
        """As many places of one root as a World can list, of each sort as many as of the others."""
        if places.bit_count() <= MAX_ENDPOINTS:
            return places
        newest, goal = self._newest.content, self._goal
        ipv4 = self._rules.atlas.within(Reach.IPV4)
        sorts = [
            iter_single(places & family & some)
            for family in (ipv4, ~ipv4)
            for some in (newest & goal, newest & ~goal, goal & ~newest)
        ]
        kept = filter(None, chain.from_iterable(zip_longest(*sorts, fillvalue=0)))
        return sum(place for _, place in zip(range(MAX_ENDPOINTS), kept, strict=False))

    def _could_be_safe(
        self, publications: Iterable[Publication], holders: tuple[Holder, ...]
    ) -> bool:
        """Whether these would be safe if all places ran at once: one more never does harm."""
        rules, before = self._rules, self._newest
        everything = rules.atlas.alive | rules.atlas.later
        for step in publications:
            if not rules.is_safe(holders, before.content, step, everything):
                return False
            holders, before = rules.holders_of(step), step
        return True

    def _continue(
        self,
        publications: tuple[Publication, ...],
        holders: tuple[Holder, ...],
        before: Publication,
        running: Bits,
    ) -> tuple[tuple[Leg, ...], Ending] | None:
        """The steps from here on, when counted nodes may hold this and this runs."""
        rules = self._rules
        signer = publications[0].signer if publications else self._key
        seeking = [(holder, signer) for holder in holders]
        # Who is behind is led to what is published until the next step is.
        seeking += [
            (holder, before.signer)
            for holder in holders
            if (holder.content, holder.key) != (before.content, before.names)
        ]
        if not publications:
            starts = self._goal & ~running
            found = order_switches(rules, seeking, running, starts)
            if found is None:
                return None
            switches, _ = found
            return (), Ending(switches, starts & ~_started_by(switches))
        step, *rest = publications
        for starts in iter_choices(rules, step.content, self._goal, running):
            found = order_switches(rules, seeking, running, starts)
            if found is None:
                continue
            switches, running_then = found
            if not rules.is_safe(holders, before.content, step, running_then):
                continue
            further = self._continue(tuple(rest), rules.holders_of(step), step, running_then)
            if further is not None:
                legs, ending = further
                leg = Leg(switches, starts & ~_started_by(switches), step, running_then)
                return (leg, *legs), ending
        return None


def _started_by(switches: tuple[Switch, ...]) -> Bits:
    return sum(switch.starts for switch in switches)
