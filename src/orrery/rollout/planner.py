"""The planner: from what is published and what is wanted to the fewest steps that strand nobody.

A step is one revision. Before it is published its new places are started; then nodes take it in
any order, while some sleep, answers are lost, and any one root may be down where there are two.
When all counted nodes hold it, the places that only those behind needed may stop, and the next step
follows. So at most two contents are in the hands of nodes at a time, after the first step, and a
step is safe when these hold for every kind of node, that is for each family of addresses by which
nodes reach others:

LEAD      Who has not taken it reaches enough running roots that it knows and that hold its next
          link: an Orrery root has all links, an official zerotier-one the newest revision alone.
GROUND    Who takes it finds a place in it that runs and that the node knew already. A new place may
          turn out to be out of reach: nobody depends on it alone before all know the way there.
WHOLE     Who has taken it reaches enough running roots that it knows.
WAY BACK  Its predecessor's content can be published again, signed by the key that the step names,
          and who has not taken the step can still be led there. So where official roots lead nodes,
          the key changes in a step that changes nothing else.

*Enough* is two roots where nodes have two before and after, so that either may be down at any time;
else one. A place that can only
start when another has stopped, as two identities at one endpoint, is listed first and switched when
all nodes know it; the root that is switched is the one that is down meanwhile.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from orrery.rollout.atlas import Atlas, Bits
from orrery.rollout.conditions import Adopted, Answering, Condition, Heard, Installed, Stopped
from orrery.rollout.fleet import Fleet, Group, Stranded, Why, count_nodes
from orrery.rollout.landscape import Landscape
from orrery.rollout.places import Reach, name_places, roots_of
from orrery.rollout.plan import Plan, Reason, Refusal, Step
from orrery.rollout.rules import Kind, Publication, Rules, signing_half
from orrery.rollout.search import Course, Leg, Search
from orrery.rollout.stranding import Position, judge, key_of, locate, signer_of
from orrery.rollout.switching import Switch
from orrery.rollout.wish import Wish, mistakes
from orrery.wire.address import Address, format_address
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, Root
from orrery.worlds.chain import Chain
from orrery.worlds.diff import compare
from orrery.worlds.ordering import sort_roots

_MOST_NAMED = 8


def plan(chain: Chain, wish: Wish, fleet: Fleet, landscape: Landscape) -> Plan | Refusal:
    """Find the fewest safe steps to what is wanted.

    Args:
        chain: what is published.
        wish: what is wanted.
        fleet: who must not be stranded.
        landscape: what is known of the roots.

    Returns:
        The plan, or why there is none and what is the nearest that is safe.
    """
    wrong = tuple(mistakes(wish, chain.newest, landscape))
    if wrong:
        return Refusal(reason=Reason.MISTAKE, sentences=wrong)
    return _Planner(chain, wish, fleet, landscape).plan()


class _Planner:
    """All that is computed from what `plan` is given."""

    def __init__(self, chain: Chain, wish: Wish, fleet: Fleet, landscape: Landscape) -> None:
        self._chain = chain
        self._newest = chain.newest
        self._wish = wish
        self._fleet = fleet
        self._landscape = landscape
        self._atlas = Atlas(chain, wish.roots, landscape)
        self._content = self._atlas.content_of(self._newest)
        self._goal = self._atlas.bits_of(wish.roots)
        self._counted = locate(chain, fleet.counted, landscape, self._atlas)
        self._exempt = locate(chain, fleet.exempt, landscape, self._atlas)

    def plan(self) -> Plan | Refusal:
        refusal = self._refuse()
        if refusal is not None:
            return refusal
        rules = self._rules()
        course = self._search(rules)
        if course is not None:
            return self._write(rules, course)
        return self._refuse_all_ways()

    # The search

    def _rules(self) -> Rules:
        kinds = dict.fromkeys(position.kind for position in self._counted)
        if not kinds and self._content & self._atlas.alive:
            # Nobody was seen yet: nodes are taken to hold the newest revision.
            kinds[Kind(self._atlas.within(Reach.BOTH))] = None
        return Rules(
            self._atlas,
            tuple(kinds),
            self._content,
            self._goal,
            spare_root=self._wish.spare_root,
        )

    def _search(self, rules: Rules) -> Course | None:
        newest = Publication(self._content, signer_of(self._chain), key_of(self._newest))
        at_newest = rules.holders_of(newest)
        holders = set(at_newest)
        for _, kind, revisions in self._counted:
            for held in revisions:
                if held != self._newest:
                    published = Publication(self._atlas.content_of(held), b"", key_of(held))
                    holder = rules.holder_of(published, kind)
                    # What such nodes lack already is not asked for.
                    there = rules.count(rules.leaders(holder, newest.signer, self._atlas.alive))
                    holders.add(holder._replace(needs=min(holder.needs, there)))
        key = newest.names if self._wish.key is None else signing_half(self._wish.key)
        return Search(
            rules,
            newest,
            self._goal,
            key=key,
            holders=tuple(holders),
            at_newest=at_newest,
        ).find_course()

    # The plan

    def _write(self, rules: Rules, course: Course) -> Plan:
        fleet, newest = self._fleet, self._newest
        steps = tuple(self._write_steps(rules, course))
        ending = tuple(self._write_starts(course.ending.switches, course.ending.starts))
        if ending and not steps and self._counted:
            ending = (Adopted(0), *ending)
        return Plan(
            type=newest.type,
            id=newest.id,
            dictionary=newest.dictionary,
            start_ms=newest.timestamp_ms,
            start_signature=newest.signature,
            steps=steps,
            finish=ending,
            fleet=fleet.counted,
            exempt=fleet.exempt,
            unseen=count_nodes(fleet.unseen),
            stranded=self._judge(self._exempt),
            spare_root=self._wish.spare_root,
        )

    def _write_steps(self, rules: Rules, course: Course) -> Iterator[Step]:
        atlas = self._atlas
        contents = [leg.publication.content for leg in course.legs]
        names = [self._newest.updates_must_be_signed_by]
        behind = self._known_at_start()
        beside = self._beside()
        heard = atlas.alive & (behind | self._content)
        # Other Worlds' places are not for this plan to stop.
        released = atlas.bits_of(
            root for roots in self._landscape.beside.values() for root in roots
        )
        officials = _Officials(self._chain, self._landscape, atlas)
        before = replace(self._newest, signature=b"", dictionary=b"")
        for number, leg in enumerate(course.legs, start=1):
            content, running = leg.publication.content, leg.running
            rotates = leg.publication.names != leg.publication.signer
            names.append(self._wish.key if rotates and self._wish.key else names[-1])
            keep = running & (behind | content | beside)
            needed_later = 0
            for later in contents[number - 1 :]:
                needed_later |= later
            release = running & ~needed_later & ~released
            new = content & running & ~heard
            after = replace(
                before,
                roots=self._list_roots(content),
                updates_must_be_signed_by=names[-1],
            )
            first, by_hand, last = officials.take(content, keep)
            yield Step(
                number=number,
                roots=after.roots,
                signed_by=names[-2],
                names=names[-1],
                changes=compare(before, after).in_words(),
                before=tuple(self._write_before(number, course, leg)),
                done=tuple(self._write_done(number, first, last, self._to_be_heard(new, heard))),
                keep=atlas.list(keep),
                old=atlas.list(keep & ~content),
                release=atlas.list(release),
                last=last,
                install_first=first,
                install_last=by_hand,
                forced=judge(
                    atlas, self._counted, None, leg.publication.signer, running & ~release
                ),
            )
            before, behind = after, content
            heard |= new
            released |= release

    def _write_before(self, number: int, course: Course, leg: Leg) -> Iterator[Condition]:
        if number == 1 and course.waits_first:
            yield Adopted(0)
        yield from self._write_starts(leg.switches, leg.starts)

    def _write_starts(self, switches: Iterable[Switch], starts: Bits) -> Iterator[Condition]:
        if starts:
            yield Answering(self._atlas.list(starts))
        for switch in switches:
            yield Stopped(self._atlas.list(switch.stops))
            yield Answering(self._atlas.list(switch.starts))

    def _write_done(
        self,
        number: int,
        first: tuple[Address, ...],
        last: tuple[Address, ...],
        new: Bits,
    ) -> Iterator[Condition]:
        if first:
            yield Installed(number, first)
        yield Adopted(number, last)
        if new:
            yield Heard(self._atlas.list(new))

    def _to_be_heard(self, new: Bits, heard: Bits) -> Bits:
        """The new places where nodes will be heard before any old place stops.

        They look for a root at another port of an address only when the one that they use is dead;
        what official roots hear is not known.
        """
        atlas = self._atlas
        within = 0
        for _, kind, _ in self._counted:
            within |= kind.within
        hosts = {(place.identity, place.endpoint.ip) for place in atlas.list(heard)}
        return atlas.bits(
            place
            for place in atlas.list(new & within & atlas.orrery)
            if (place.identity, place.endpoint.ip) not in hosts
        )

    def _list_roots(self, content: Bits) -> tuple[Root, ...]:
        return sort_roots(roots_of(self._atlas.list(content)))

    def _known_at_start(self) -> Bits:
        known = 0
        for _, _, revisions in self._counted:
            for revision in revisions:
                known |= self._atlas.content_of(revision)
        return known

    def _beside(self) -> Bits:
        beside = 0
        for _, kind, _ in self._counted:
            beside |= kind.beside
        return beside

    def _judge(self, positions: Sequence[Position]) -> tuple[Stranded, ...]:
        atlas = self._atlas
        return judge(atlas, positions, self._newest, signer_of(self._chain), atlas.alive)

    # Refusals

    def _refuse(self) -> Refusal | None:
        """What is wrong before any way is looked for."""
        atlas = self._atlas
        if torn := atlas.alive & atlas.conflicts(atlas.alive):
            return Refusal(
                reason=Reason.CONTRADICTION,
                sentences=(
                    f"{name_places(atlas.list(torn))} are said to run, and not to run at the same "
                    "time: look which of them does, and say that the others do not",
                ),
            )
        if gone := self._goal & ~atlas.alive & ~atlas.later:
            return self._refuse_gone(gone)
        if stranded := self._judge(self._counted):
            return self._refuse_stranded(stranded)
        runnable = atlas.alive | atlas.later
        if lost := [each for each in self._counted if not each.kind.known(self._goal) & runnable]:
            return self._refuse_out_of_reach(lost)
        return None

    def _refuse_gone(self, gone: Bits) -> Refusal:
        kept = self._list_roots(self._goal & ~gone)
        names = name_places(self._atlas.list(gone))
        return self._with_nearest(
            Refusal(
                reason=Reason.GONE,
                sentences=(f"{names} is wanted and gone for good: nodes would look there in vain",),
                remedies=("start a root there again, or leave the place out",),
            ),
            replace(self._wish, roots=kept) if kept else None,
            f"without {names}",
        )

    def _refuse_stranded(self, stranded: tuple[Stranded, ...]) -> Refusal:
        addresses = _addresses(each.group for each in stranded)
        names = _name_nodes(addresses)
        told: dict[tuple[Why, Bits], list[Group]] = {}
        for group, why in stranded:
            told.setdefault((why, self._sought_by(group)), []).append(group)
        return self._with_nearest(
            Refusal(
                reason=Reason.STRANDED,
                sentences=tuple(
                    f"{_name_nodes(_addresses(groups))}: {self._tell_why(why, sought)}"
                    for (why, sought), groups in told.items()
                ),
                stranded=stranded,
                remedies=tuple(self._iter_remedies(stranded)),
            ),
            self._wish,
            f"without {names}: they need the new World file by hand",
            fleet=self._fleet.exempting(addresses),
        )

    def _sought_by(self, group: Group) -> Bits:
        """Where stranded nodes look for a root, with what they hold or will be led to."""
        atlas = self._atlas
        sought = 0
        for _, kind, revisions in locate(self._chain, [group], self._landscape, atlas):
            for revision in revisions:
                known = kind.known(atlas.content_of(revision))
                if not known & atlas.alive & atlas.orrery:
                    sought |= known
        return sought

    def _tell_why(self, why: Why, sought: Bits) -> str:
        names = name_places(self._atlas.list(sought)) or "no place that they can get to"
        if why is Why.FOREIGN:
            return "what they hold is no revision of this chain, and nothing leads on from it"
        if why is Why.NO_LINK:
            return (
                f"official roots alone are left where they look ({names}), and these have not the "
                "link that the nodes need next"
            )
        return f"nothing runs where they look ({names})"

    def _iter_remedies(self, stranded: tuple[Stranded, ...]) -> Iterator[str]:
        """What remains possible, best first."""
        atlas = self._atlas
        groups = [group for group, why in stranded if why is not Why.FOREIGN]
        sought = 0
        for group in groups:
            sought |= self._sought_by(group)
        if sought:
            yield f"start an Orrery root again at {name_places(atlas.list(sought))}"
        others = sorted({world_id for group in groups for world_id in group.standing.beside})
        if others:
            yield (
                "serve this World also from a running root of "
                f"{', '.join(f'World {world_id:016x}' for world_id in others)}, which they hold too"
            )
        if atlas.of_root(sought) & self._goal:
            yield (
                "carry out the plan without them: a root that has only moved, with its identity, "
                "pushes what is published to all whom its packets reach at their old paths"
            )
        yield (
            "have an agent on the nodes fetch and install the new World file, or copy it there by "
            f"hand: {_name_nodes(_addresses(group for group, _ in stranded))}"
        )

    def _refuse_out_of_reach(self, lost: Sequence[Position]) -> Refusal:
        groups = [position.group for position in lost]
        names = _name_nodes(_addresses(groups))
        atlas = self._atlas
        kept = 0
        for position in lost:
            kept |= position.kind.known(self._content) & atlas.alive
        refusal = Refusal(
            reason=Reason.OUT_OF_REACH,
            sentences=(
                f"{names}: no place that is wanted is of a family of addresses by which they were "
                f"ever heard ({name_places(atlas.list(self._goal))})",
            ),
            stranded=tuple(Stranded(group, Why.SILENT) for group in groups),
            remedies=("give a root an endpoint of the other family, IPv4 or IPv6",),
        )
        for also in (kept, *atlas.split_by_root(kept)):
            roots = self._list_roots(self._goal | also)
            fits = all(len(root.endpoints) <= MAX_ENDPOINTS for root in roots)
            if also and fits and len(roots) <= MAX_ROOTS:
                return self._with_nearest(
                    refusal,
                    replace(self._wish, roots=roots),
                    f"{name_places(atlas.list(also))} stays as well",
                )
        return self._with_nearest(
            refusal,
            self._wish,
            f"without {names}",
            fleet=self._fleet.exempting(_addresses(groups)),
        )

    def _refuse_all_ways(self) -> Refusal:
        """The wish itself is fine, and whatever is done first breaks a rule."""
        if self._wish.spare_root:
            relaxed = _Planner(
                self._chain,
                replace(self._wish, spare_root=False),
                self._fleet,
                self._landscape,
            ).plan()
            if isinstance(relaxed, Plan):
                return Refusal(
                    reason=Reason.NO_SPARE,
                    sentences=(
                        "on every way some nodes would depend on one root alone for a while, "
                        "though there are two before and after",
                    ),
                    remedies=("have one root more while it is carried out",),
                    nearest=relaxed,
                    nearest_is="one root alone carries these nodes for a while",
                )
        return Refusal(
            reason=Reason.NO_WAY,
            sentences=("whatever is done first, nodes that sleep through it are stranded",),
            remedies=(
                "give each root a place of its own while it is carried out, so that none must stop "
                "for another",
            ),
        )

    def _with_nearest(
        self, refusal: Refusal, wish: Wish | None, given_up: str, fleet: Fleet | None = None
    ) -> Refusal:
        """The refusal with the plan for another wish, or what is nearest to that one."""
        if wish is None:
            return refusal
        found = plan(self._chain, wish, fleet or self._fleet, self._landscape)
        if isinstance(found, Plan):
            return replace(refusal, nearest=found, nearest_is=given_up)
        if found.nearest is None:
            return refusal
        return replace(refusal, nearest=found.nearest, nearest_is=f"{given_up}; {found.nearest_is}")


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
        """Who needs the file at once, who with the last cohort, and who belongs to that."""
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
        return first, by_hand, last

    def _addresses(self, places: Bits) -> tuple[Address, ...]:
        found = {place.identity.address for place in self._atlas.list(places)}
        return tuple(sorted(found))


def _addresses(groups: Iterable[Group]) -> tuple[Address, ...]:
    return tuple(sorted(address for group in groups for address in group.addresses))


def _name_nodes(addresses: Sequence[Address]) -> str:
    named = ", ".join(map(format_address, addresses[:_MOST_NAMED]))
    more = f" and {len(addresses) - _MOST_NAMED} more" if len(addresses) > _MOST_NAMED else ""
    return f"{'node' if len(addresses) == 1 else 'nodes'} {named}{more}"
