"""Planners with one thing wrong each, made by changing a line of the source."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from orrery.rollout.fleet import Fleet
    from orrery.rollout.landscape import Landscape
    from orrery.rollout.plan import Plan, Refusal
    from orrery.rollout.wish import Wish
    from orrery.worlds.chain import Chain

    Planner = Callable[[Chain, Wish, Fleet, Landscape], Plan | Refusal]

_MODULES = (
    "atlas",
    "rules",
    "switching",
    "search",
    "stranding",
    "task",
    "writing",
    "objections",
    "planner",
)
"""Those that compute, each after those which it imports."""


class Mutant(NamedTuple):
    """What is changed, in which module, and into what."""

    name: str
    module: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "overlap dropped",
        "rules",
        "has_ground = holder.known & holder.kind.known(step.content) & running",
        "has_ground = True",
    ),
    Mutant("wait dropped", "writing", "yield Adopted(number, tuple(last))", "yield Answering(())"),
    Mutant(
        "first wait dropped",
        "writing",
        "[Adopted(0)] if number == 1 and course.waits_first else []",
        "[]",
    ),
    Mutant(
        "rotation merged with contraction",
        "rules",
        "goes_back = step.content == before or self.is_led(holder, step.names, running)",
        "goes_back = True",
    ),
    Mutant(
        "nobody has to be led",
        "rules",
        "leads = self.is_led(holder, step.signer, running)",
        "leads = True",
    ),
    Mutant(
        "who has taken it is forgotten",
        "rules",
        "self.count(holder.known & running) >= holder.needs for holder",
        "True for holder",
    ),
    Mutant("no spare root", "rules", "self._most = 2 if spare_root else 1", "self._most = 1"),
    Mutant(
        "official roots taken for Orrery's",
        "rules",
        "return heard if holder.key == signer else heard & self.atlas.orrery",
        "return heard",
    ),
    Mutant(
        "official roots not updated",
        "writing",
        "last = tuple(address for address in here if address not in new)",
        "last = ()",
    ),
    Mutant(
        "no file by hand",
        "writing",
        "if not self._is_reached(address, keep)",
        "if False",
    ),
    Mutant(
        "a root started that does not know it is one",
        "writing",
        "if lacking := officials.start(switch.starts):",
        "if lacking := ():",
    ),
    Mutant(
        "old places not kept",
        "writing",
        "keep = running & (behind | content | beside)",
        "keep = running & (content | beside)",
    ),
    Mutant(
        "old places released a step too early",
        "writing",
        "_join(contents[number - 1 :])",
        "_join(contents[number:])",
    ),
    Mutant(
        "new places not started",
        "writing",
        "for switch in (Switch(0, starts), *switches):",
        "for switch in switches:",
    ),
    Mutant(
        "the end forgotten",
        "writing",
        "if finish and not steps and task.counted:",
        "if finish := ():",
    ),
    Mutant(
        "what cannot run together is started together",
        "atlas",
        "found |= self._conflicts[number]",
        "found |= 0",
    ),
    Mutant(
        "what is in the way is not stopped",
        "writing",
        "if switch.stops:",
        "if False:",
    ),
    Mutant(
        "families of addresses ignored",
        "atlas",
        "place for place in self.places if reach.covers(place.endpoint)",
        "place for place in self.places",
    ),
    Mutant(
        "dead places taken for alive",
        "atlas",
        "for place, state in states if state is PlaceState.ALIVE",
        "for place, state in states",
    ),
    Mutant(
        "stranded nodes not looked for",
        "objections",
        "if stranded := task.find_stranded(task.counted):",
        "if stranded := ():",
    ),
    Mutant("nodes that lag behind forgotten", "planner", "if not held.is_newest:", "if False:"),
    Mutant(
        "signed by the new key",
        "writing",
        "signed_by=before.updates_must_be_signed_by",
        "signed_by=after.updates_must_be_signed_by",
    ),
    Mutant(
        "more than four roots",
        "search",
        "sizes = range(1, MAX_ROOTS + 1)",
        "sizes = range(2 * MAX_ROOTS, 0, -1)",
    ),
    Mutant(
        "more than 32 endpoints",
        "search",
        "if places.bit_count() <= MAX_ENDPOINTS:",
        "if True:",
    ),
    Mutant(
        "switched without a look at who is left",
        "switching",
        "if all(rules.is_led(holder, signer, after) for holder, signer in seeking):",
        "if True:",
    ),
)


def plant(mutant: Mutant) -> Planner:
    """A planner with that mistake; the real one stays as it is.

    Raises:
        AssertionError: the source does not say what is to be changed.
    """
    package = "orrery.rollout"
    real = {name: importlib.import_module(f"{package}.{name}") for name in _MODULES}
    try:
        for name, module in real.items():
            origin = module.__file__
            assert origin is not None
            source = Path(origin).read_text(encoding="utf-8")
            if name == mutant.module:
                assert source.count(mutant.old) == 1, f"{mutant.name}: look for {mutant.old!r}"
                source = source.replace(mutant.old, mutant.new)
            fresh = ModuleType(module.__name__)
            fresh.__file__ = origin
            sys.modules[module.__name__] = fresh
            exec(compile(source, origin, "exec"), fresh.__dict__)
        planner: Planner = sys.modules[f"{package}.planner"].plan
    finally:
        for name, module in real.items():
            sys.modules[f"{package}.{name}"] = module
    return planner
