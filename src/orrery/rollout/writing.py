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
    officials = _Officials(task.chain, task.landscape, task.atlas)
    steps = tuple(_write_steps(task, course, officials))
    finish = tuple(
        _write_starts(officials, len(steps), course.ending.switches, course.ending.starts)
    )
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


def _write_steps(task: Task, course: Course, officials: "_Officials") -> Iterator[Step]:
    atlas = task.atlas
    contents = [leg.publication.content for leg in course.legs]
    before = replace(task.newest, signature=b"", dictionary=b"")
    known = (held.content for position in task.counted for held in position.held)
    behind = task.content | _join(known)
    beside = _join(position.kind.beside for position in task.counted)
    heard = atlas.alive & behind
    # Other Worlds' places are not for this plan to stop.
    released = atlas.bits_of(root for roots in task.landscape.beside.values() for root in roots)
    for number, leg in enumerate(course.legs, start=1):
        content, running = leg.publication.content, leg.running
        after = replace(before, roots=task.list_roots(content))
        if leg.publication.names != leg.publication.signer and task.wish.key is not None:
            after = replace(after, updates_must_be_signed_by=task.wish.key)
        keep = running & (behind | content | beside)
        release = running & ~_join(contents[number - 1 :]) & ~released
        new = content & running & ~heard
        start = tuple(_write_starts(officials, number - 1, leg.switches, leg.starts))
        first, last, by_hand = officials.take(content, keep)
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
            forced=judge(
                atlas,
                task.counted,
                leg.publication.signer,
                running & ~release,
                is_signed=False,
            ),
        )
        before, behind = after, content
        heard |= new
        released |= release


def _write_starts(
    officials: "_Officials", done: int, switches: Iterable[Switch], starts: Bits
) -> Iterator[Condition]:
    """What starts, and what stops for it, when so many steps are done."""
    for switch in (Switch(0, starts), *switches):
        if switch.stops:
            yield Stopped(officials.atlas.list(switch.stops))
        if switch.starts:
            yield Answering(officials.atlas.list(switch.starts))
        if lacking := officials.start(switch.starts):
            yield Installed(done, lacking)


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
        self.atlas = atlas
        self._listed = newest = atlas.content_of(chain.newest)
        # What each may hold: in the beginning the newest revision too, as any node.
        self._held: dict[Address, tuple[Bits, ...]] = {}
        for address, holds_ms in landscape.official.items():
            held = None if holds_ms is None else chain.revision_at(holds_ms)
            self._held[address] = () if held is None else (atlas.content_of(held), newest)

    def start(self, places: Bits) -> tuple[Address, ...]:
        """Who is listed already, starts only now, and needs the file to be a root."""
        started = tuple(
            address for address in self._addresses(places & self._listed) if not self._held[address]
        )
        self._held.update(dict.fromkeys(started, (self._listed,)))
        return started

    def take(
        self, content: Bits, keep: Bits
    ) -> tuple[tuple[Address, ...], tuple[Address, ...], tuple[Address, ...]]:
        """Who needs the file at once, who belongs to the last cohort, who needs it with that."""
        new = set(self._addresses(content)) - set(self._addresses(self._listed))
        here = self._addresses(keep)
        first = tuple(address for address in here if address in new)
        last = tuple(address for address in here if address not in new)
        by_hand = tuple(address for address in last if not self._is_reached(address, keep))
        self._held.update(dict.fromkeys(here, (content,)))
        self._listed = content
        return first, last, by_hand

    def _is_reached(self, address: Address, keep: Bits) -> bool:
        """Whether an Orrery root that it knows hands it what is new."""
        held = self._held[address]
        return bool(held) and all(each & keep & self.atlas.orrery for each in held)

    def _addresses(self, places: Bits) -> tuple[Address, ...]:
        found = {place.identity.address for place in self.atlas.list(places & ~self.atlas.orrery)}
        return tuple(sorted(found))


def _join(sets: Iterable[Bits]) -> Bits:
    return reduce(or_, sets, 0)
