"""Why a wish is not safe, by name, and what comes nearest to it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from orrery.rollout.atlas import Bits
from orrery.rollout.fleet import Fleet, Group, Stranded, Why
from orrery.rollout.places import name_places
from orrery.rollout.plan import Reason, Refusal
from orrery.rollout.stranding import Position
from orrery.rollout.task import Task
from orrery.rollout.wish import Wish
from orrery.wire.address import Address, format_address
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS

_MOST_NAMED = 8


class Nearest(NamedTuple):
    """What could be asked for instead.

    Attributes:
        wish: what is wanted then.
        fleet: who counts then.
        given_up: what is given up for it, in words.
    """

    wish: Wish
    fleet: Fleet
    given_up: str


class Objection(NamedTuple):
    """A refusal, and what could be asked for instead."""

    refusal: Refusal
    nearest: Nearest | None = None


def find_objection(task: Task) -> Objection | None:
    """What is wrong before any way is looked for."""
    atlas = task.atlas
    runnable = atlas.alive | atlas.later
    if torn := atlas.alive & atlas.conflicts(atlas.alive):
        return Objection(
            Refusal(
                reason=Reason.CONTRADICTION,
                sentences=(
                    f"{name_places(atlas.list(torn))} are said to run, and not to run at the same "
                    "time: look which of them does, and say that the others do not",
                ),
            )
        )
    if gone := task.goal & ~runnable:
        return _object_to_gone(task, gone)
    if stranded := task.find_stranded(task.counted):
        return _object_to_stranded(task, stranded)
    if lost := [each for each in task.counted if not each.kind.known(task.goal) & runnable]:
        return _object_to_out_of_reach(task, lost)
    return None


def object_to_all_ways(task: Task) -> Objection:
    """The wish itself is fine, and whatever is done first breaks a rule."""
    if task.wish.spare_root:
        return Objection(
            Refusal(
                reason=Reason.NO_SPARE,
                sentences=(
                    "on every way some nodes would depend on one root alone for a while, though "
                    "there are two before and after",
                ),
                remedies=("have one root more while it is carried out",),
            ),
            Nearest(
                replace(task.wish, spare_root=False),
                task.fleet,
                "one root alone carries these nodes for a while",
            ),
        )
    return Objection(
        Refusal(
            reason=Reason.NO_WAY,
            sentences=("whatever is done first, nodes that sleep through it are stranded",),
            remedies=(
                "give each root a place of its own while it is carried out, so that none must stop "
                "for another",
            ),
        )
    )


def _object_to_gone(task: Task, gone: Bits) -> Objection:
    kept = task.list_roots(task.goal & ~gone)
    names = name_places(task.atlas.list(gone))
    refusal = Refusal(
        reason=Reason.GONE,
        sentences=(f"{names} is wanted and gone for good: nodes would look there in vain",),
        remedies=("start a root there again, or leave the place out",),
    )
    if not kept:
        return Objection(refusal)
    wish = replace(task.wish, roots=kept)
    return Objection(refusal, Nearest(wish, task.fleet, f"without {names}"))


def _object_to_out_of_reach(task: Task, lost: Sequence[Position]) -> Objection:
    atlas = task.atlas
    groups = [position.group for position in lost]
    addresses = _addresses(groups)
    names = _name_nodes(addresses)
    refusal = Refusal(
        reason=Reason.OUT_OF_REACH,
        sentences=(
            f"{names}: no place that is wanted is of a family of addresses by which they were "
            f"ever heard ({name_places(atlas.list(task.goal))})",
        ),
        stranded=tuple(Stranded(group, Why.SILENT) for group in groups),
        remedies=("give a root an endpoint of the other family, IPv4 or IPv6",),
    )
    kept = 0
    for position in lost:
        kept |= position.kind.known(task.content) & atlas.alive
    for also in (kept, *atlas.split_by_root(kept)):
        roots = task.list_roots(task.goal | also)
        fits = all(len(root.endpoints) <= MAX_ENDPOINTS for root in roots)
        if also and fits and len(roots) <= MAX_ROOTS:
            wish = replace(task.wish, roots=roots)
            stays = f"{name_places(atlas.list(also))} stays as well"
            return Objection(refusal, Nearest(wish, task.fleet, stays))
    fleet = task.fleet.exempting(addresses)
    return Objection(refusal, Nearest(task.wish, fleet, f"without {names}"))


def _object_to_stranded(task: Task, stranded: Sequence[Stranded]) -> Objection:
    addresses = _addresses(each.group for each in stranded)
    sought_by = {position.group.standing: _sought(task, position) for position in task.counted}
    told: dict[tuple[Why, Bits], list[Group]] = {}
    for group, why in stranded:
        told.setdefault((why, sought_by[group.standing]), []).append(group)
    return Objection(
        Refusal(
            reason=Reason.STRANDED,
            sentences=tuple(
                f"{_name_nodes(_addresses(groups))}: {_tell_why(task, why, sought)}"
                for (why, sought), groups in told.items()
            ),
            stranded=tuple(stranded),
            remedies=tuple(_iter_remedies(task, told)),
        ),
        Nearest(
            task.wish,
            task.fleet.exempting(addresses),
            f"without {_name_nodes(addresses)}: they need the new World file by hand",
        ),
    )


def _sought(task: Task, position: Position) -> Bits:
    """Where nodes look in vain for who leads them, with what they hold or will be led to."""
    sought = 0
    for held in position.held:
        known = position.kind.known(held.content)
        if not known & task.atlas.alive & task.atlas.orrery:
            sought |= known
    return sought


def _tell_why(task: Task, why: Why, sought: Bits) -> str:
    names = name_places(task.atlas.list(sought)) or "no place that they can get to"
    if why is Why.FOREIGN:
        return "what they hold is no revision of this chain, and nothing leads on from it"
    if why is Why.NO_LINK:
        return (
            f"official roots alone are left where they look ({names}), and these have not the link "
            "that the nodes need next"
        )
    return f"nothing runs where they look ({names})"


def _iter_remedies(task: Task, told: Mapping[tuple[Why, Bits], list[Group]]) -> Iterator[str]:
    """What remains possible, best first."""
    atlas = task.atlas
    sought = 0
    worlds: set[int] = set()
    for (why, places), groups in told.items():
        sought |= places
        if why is not Why.FOREIGN:
            worlds.update(*(group.standing.beside for group in groups))
    if sought:
        yield f"start an Orrery root again at {name_places(atlas.list(sought))}"
    if worlds:
        names = ", ".join(f"World {world_id:016x}" for world_id in sorted(worlds))
        yield f"serve this World also from a running root of {names}, which they hold too"
    if atlas.of_root(sought) & task.goal:
        yield (
            "carry out the plan without them: a root that has only moved, with its identity, "
            "pushes what is published to all whom its packets reach at their old paths"
        )
    yield (
        "install the new World file on the nodes, by hand or by what manages their files: "
        f"{_name_nodes(_addresses(group for groups in told.values() for group in groups))}"
    )


def _addresses(groups: Iterable[Group]) -> tuple[Address, ...]:
    return tuple(sorted(address for group in groups for address in group.addresses))


def _name_nodes(addresses: Sequence[Address]) -> str:
    named = ", ".join(map(format_address, addresses[:_MOST_NAMED]))
    more = f" and {len(addresses) - _MOST_NAMED} more" if len(addresses) > _MOST_NAMED else ""
    return f"{'node' if len(addresses) == 1 else 'nodes'} {named}{more}"
