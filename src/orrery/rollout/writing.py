"""Plans, written down from the courses that were found."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_

from orrery.rollout.atlas import Atlas, Bits
from orrery.rollout.conditions import Adopted, Answering, Condition, Heard, Installed, Stopped
from orrery.rollout.fleet import count_nodes
from orrery.rollout.landscape import Landscape
from orrery.rollout.plan import Plan, Step
from orrery.rollout.search import Course
from orrery.rollout.stranding import judge
from orrery.rollout.switching import Switch
from orrery.rollout.task import Task
from orrery.wire.address import Address
from orrery.worlds.chain import Chain
from orrery.worlds.diff import compare


def write_plan(task: Task, course: Course) -> Plan:
    """The plan for a course."""
    fleet, newest = task.fleet, task.newest
    steps = tuple(_write_steps(task, course))
    finish = tuple(_write_starts(task.atlas, course.ending.switches, course.ending.starts))
    if finish and not steps and task.counted:
        finish = (Adopted(0), *finish)
    return Plan(
        type=newest.type,
        id=newest.id,
        dictionary=newest.dictionary,
        start_ms=newest.timestamp_ms,
        start_signature=newest.signature,
        steps=steps,
        finish=finish,
        fleet=fleet.counted,
        exempt=fleet.exempt,
        unseen=count_nodes(fleet.unseen),
        stranded=task.find_stranded(task.exempt),
        spare_root=task.wish.spare_root,
    )


def _write_steps(task: Task, course: Course) -> Iterator[Step]:
    atlas = task.atlas
    contents = [leg.publication.content for leg in course.legs]
    before = replace(task.newest, signature=b"", dictionary=b"")
    behind = _join(
        atlas.content_of(held) for position in task.counted for held in position.revisions
    )
    behind |= task.content
    beside = _join(position.kind.beside for position in task.counted)
    heard = atlas.alive & behind
    # Other Worlds' places are not for this plan to stop.
    released = atlas.bits_of(root for roots in task.landscape.beside.values() for root in roots)
    officials = _Officials(task.chain, task.landscape, atlas)
    for number, leg in enumerate(course.legs, start=1):
        content, running = leg.publication.content, leg.running
        after = replace(before, roots=task.list_roots(content))
        if leg.publication.names != leg.publication.signer and task.wish.key is not None:
            after = replace(after, updates_must_be_signed_by=task.wish.key)
        keep = running & (behind | content | beside)
        release = running & ~_join(contents[number - 1 :]) & ~released
        new = content & running & ~heard
        first, last, by_hand = officials.take(content, keep)
        start = _write_starts(atlas, leg.switches, leg.starts)
        wait = [Adopted(0)] if number == 1 and course.waits_first else []
        yield Step(
            number=number,
            roots=after.roots,
            signed_by=before.updates_must_be_signed_by,
            names=after.updates_must_be_signed_by,
            changes=compare(before, after).in_words(),
            before=(*wait, *start),
            done=tuple(_write_done(atlas, number, first, last, _hearable(task, new, heard))),
            keep=atlas.list(keep),
            old=atlas.list(keep & ~content),
            release=atlas.list(release),
            last=last,
            install_first=first,
            install_last=by_hand,
            forced=judge(atlas, task.counted, None, leg.publication.signer, running & ~release),
        )
        before, behind = after, content
        heard |= new
        released |= release


def _write_starts(atlas: Atlas, switches: Iterable[Switch], starts: Bits) -> Iterator[Condition]:
    if starts:
        yield Answering(atlas.list(starts))
    for switch in switches:
        yield Stopped(atlas.list(switch.stops))
        yield Answering(atlas.list(switch.starts))


def _write_done(
    atlas: Atlas, number: int, first: Sequence[Address], last: Sequence[Address], new: Bits
) -> Iterator[Condition]:
    if first:
        yield Installed(number, tuple(first))
    yield Adopted(number, tuple(last))
    if new:
        yield Heard(atlas.list(new))


def _hearable(task: Task, new: Bits, heard: Bits) -> Bits:
    """The new places where nodes will be heard before any old place stops.

    They look for a root at another port of an address only when the one that they use is dead;
    what official roots hear is not known.
    """
    atlas = task.atlas
    within = _join(position.kind.within for position in task.counted)
    hosts = {(place.identity, place.endpoint.ip) for place in atlas.list(heard)}
    return atlas.bits(
        place
        for place in atlas.list(new & within & atlas.orrery)
        if (place.identity, place.endpoint.ip) not in hosts
    )


class _Officials:
    """Official roots on their way through the steps."""

    def __init__(self, chain: Chain, landscape: Landscape, atlas: Atlas) -> None:
        self._atlas = atlas
        self._listed = atlas.content_of(chain.newest)
        # What each may hold: in the beginning the newest revision too, as any node.
        self._held: dict[Address, tuple[Bits, ...]] = {}
        for address, holds_ms in landscape.official.items():
            held = None if holds_ms is None else chain.revision_at(holds_ms)
            self._held[address] = (0,) if held is None else (atlas.content_of(held), self._listed)

    def take(
        self, content: Bits, keep: Bits
    ) -> tuple[tuple[Address, ...], tuple[Address, ...], tuple[Address, ...]]:
        """Who needs the file at once, who belongs to the last cohort, who needs it with that."""
        atlas = self._atlas
        here = self._addresses(keep & ~atlas.orrery)
        listed = self._addresses(self._listed)
        first = tuple(address for address in here if address not in listed)
        last = tuple(address for address in here if address in listed)
        by_hand = tuple(
            address
            for address in last
            if not all(held & keep & atlas.orrery for held in self._held[address])
        )
        for address in here:
            self._held[address] = (content,)
        self._listed |= content
        return first, last, by_hand

    def _addresses(self, places: Bits) -> tuple[Address, ...]:
        found = {place.identity.address for place in self._atlas.list(places)}
        return tuple(sorted(found))


def _join(sets: Iterable[Bits]) -> Bits:
    return reduce(or_, sets, 0)
