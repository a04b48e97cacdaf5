"""The fewest steps that the adversary cannot beat, by trying everything.

It knows nothing of the planner. Whatever is published or wanted is listed in any combination, with
whatever started or stopped for it, and the key changed at any step; the adversary says which of it
is safe.
"""

from __future__ import annotations

from itertools import chain, combinations
from typing import TYPE_CHECKING

from orrery.wire.world import MAX_ROOTS
from tests.simulation.adversary import (
    Action,
    Done,
    Facts,
    Game,
    Numbers,
    Publish,
    Revision,
    Start,
    Stop,
    Stranding,
    Wait,
    explore,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Script = tuple[Action, ...]


def find_script(facts: Facts, steps: int) -> Script | None:
    """Any safe script of so many revisions to what is wanted; None if there is none."""
    last = len(facts.start) - 1
    return _Trying(facts).go_on((Wait(last),), facts.alive, steps)


class _Trying:
    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        listable = (facts.alive | facts.later) & (facts.start[-1].places | facts.goal)
        self._contents = [
            content
            for content in _subsets(listable)
            if content and len(facts.roots(content)) <= MAX_ROOTS
        ]
        torn = frozenset(chain.from_iterable(facts.conflicts))
        self._free = facts.later - torn
        self._torn = (facts.alive | facts.later) & torn

    def go_on(self, script: Script, running: Numbers, steps: int) -> Script | None:
        """A safe script that begins like this."""
        facts = self._facts
        published = [action.revision for action in script if isinstance(action, Publish)]
        newest = published[-1] if published else facts.start[-1]
        for prepared, running_then in self._prepare(script, running):
            if not steps:
                if (
                    newest.names == facts.goal_key
                    and newest.places == facts.goal
                    and facts.goal <= running_then
                ):
                    return prepared
                continue
            for places in [facts.goal] if steps == 1 else self._contents:
                for names in {facts.goal_key} if steps == 1 else {newest.names, facts.goal_key}:
                    revision = Revision(newest.number + 1, places, newest.names, names)
                    further: Script = (
                        *prepared,
                        Publish(revision),
                        Wait(revision.number, facts.roots(running_then & facts.official)),
                        Done(),
                    )
                    if self._is_safe(further):
                        found = self.go_on(further, running_then, steps - 1)
                        if found is not None:
                            return found
        return None

    def _prepare(self, script: Script, running: Numbers) -> Iterator[tuple[Script, Numbers]]:
        """All that could be started and stopped, each with what runs then."""
        begun = self._free - running
        if begun:
            script = (*script, Start(begun))
        waiting = {running | begun: script}
        seen = set(waiting)
        while waiting:
            running, script = waiting.popitem()
            yield script, running
            for starts in _subsets(self._torn - running):
                stops = frozenset(
                    two for one, two in self._facts.conflicts if one in starts and two in running
                )
                after = running - stops | starts
                if not starts or after in seen:
                    continue
                switched: Script = (*script, Stop(stops), Start(starts))
                if self._is_safe(switched):
                    seen.add(after)
                    waiting[after] = switched

    def _is_safe(self, script: Script) -> bool:
        try:
            explore(Game(self._facts, script))
        except Stranding:
            return False
        return True


def _subsets(some: Iterable[int]) -> list[Numbers]:
    ordered = sorted(some)
    return [
        frozenset(chosen)
        for size in range(len(ordered) + 1)
        for chosen in combinations(ordered, size)
    ]
