"""A fleet that a plan is tried on, by an adversary who chooses what happens when.

Written from what a plan promises, not from how it is found: it knows nothing of the planner's rules
and search. Nodes, roots and revisions are as plain as can be; places are small numbers. What is
checked in every state that can come about:

- every counted node reaches a running root that it knows and that holds a verifiable next link for
  it, with any one root down where the node can expect two;
- a node that took a revision still reaches a place that it knew before, until the step is done: the
  new places may turn out to be out of reach;
- all of that also after a rollback, at any moment;
- and from every state the plan can still come to its end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from orrery.rollout.conditions import Adopted, Answering, Condition, Installed, Stopped
from orrery.rollout.landscape import Landscape, PlaceState
from orrery.rollout.places import Place, Reach
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, Root, WorldType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

    from orrery.rollout.fleet import Fleet
    from orrery.rollout.plan import Plan
    from orrery.rollout.wish import Wish
    from orrery.worlds.chain import Chain

Numbers = frozenset[int]
NONE: Numbers = frozenset()


class Stranding(AssertionError):  # noqa: N818 - what a plan is caught at
    """The adversary has won."""


class Revision(NamedTuple):
    """A revision: a node with `names` takes it when it is later and `signer` is that key."""

    number: int
    places: Numbers
    signer: str
    names: str


class Sort(NamedTuple):
    """A kind of node: what it can reach, what it knows from elsewhere, what it holds at first."""

    within: Numbers
    beside: Numbers
    held: int


@dataclass(frozen=True)
class Facts:
    """What is so when a plan is made."""

    places: tuple[Place, ...]
    start: tuple[Revision, ...]
    goal: Numbers
    goal_key: str
    alive: Numbers
    later: Numbers
    official: Numbers
    official_held: tuple[tuple[str, int | None], ...]
    conflicts: frozenset[tuple[int, int]]
    sorts: tuple[Sort, ...]
    spare_root: bool

    @classmethod
    def of(cls, chain: Chain, wish: Wish, fleet: Fleet, landscape: Landscape) -> Facts:
        """Take down what the planner is given too."""
        beside = [root for roots in landscape.beside.values() for root in roots]
        every = [root for revision in chain for root in revision.roots]
        found = _places_of([*every, *wish.roots, *beside])
        places = tuple(sorted(found))
        number = {place: index for index, place in enumerate(places)}

        def numbers(roots: Iterable[Root]) -> Numbers:
            return frozenset(number[place] for place in _places_of(roots))

        newest, goal, other = numbers(chain.newest.roots), numbers(wish.roots), numbers(beside)

        def is_in(state: PlaceState, default: Numbers) -> Numbers:
            return frozenset(
                index
                for place, index in number.items()
                if landscape.states.get(place, state if index in default else None) is state
            )

        alive = is_in(PlaceState.ALIVE, newest | other)
        later = is_in(PlaceState.LATER, goal) - alive
        conflicts = {
            (one, two)
            for one in number.values()
            for two in number.values()
            if one != two and places[one].endpoint == places[two].endpoint
        }
        for pair in landscape.in_turn:
            if pair[0] in number and pair[1] in number:
                one, two = number[pair[0]], number[pair[1]]
                conflicts |= {(one, two), (two, one)}
        signer = chain.revisions[0].updates_must_be_signed_by
        start = []
        for index, world in enumerate(chain):
            names = world.updates_must_be_signed_by
            start.append(Revision(index, numbers(world.roots), key_name(signer), key_name(names)))
            signer = names
        by_time = {world.timestamp_ms: index for index, world in enumerate(chain)}
        official = frozenset(
            index for place, index in number.items() if place.identity.address in landscape.official
        )
        sorts = set()
        for group in fleet.counted:
            held_ms, reach, ids = group.standing
            if held_ms == 0 and chain.type is WorldType.MOON:
                continue
            within = frozenset(
                index
                for place, index in number.items()
                if reach & (Reach.IPV4 if len(place.endpoint.ip) == 4 else Reach.IPV6)
            )
            held = by_time[held_ms]
            left = NONE
            if not start[held].places & within & alive:
                for world_id in ids:
                    left |= numbers(landscape.beside.get(world_id, ())) & within & alive
            sorts.add(Sort(within, left, held))
        return cls(
            places=places,
            start=tuple(start),
            goal=goal,
            goal_key=start[-1].names if wish.key is None else key_name(wish.key),
            alive=alive,
            later=later,
            official=official,
            official_held=tuple(
                (place_key(places[index]), by_time.get(held_at or -1))
                for index in sorted(official)
                for held_at in [landscape.official[places[index].identity.address]]
            ),
            conflicts=frozenset(conflicts),
            sorts=tuple(sorted(sorts, key=repr)),
            spare_root=wish.spare_root,
        )

    @cached_property
    def root_of(self) -> tuple[str, ...]:
        """The root of each place."""
        return tuple(map(place_key, self.places))

    def roots(self, places: Numbers) -> frozenset[str]:
        """The roots of some places."""
        return frozenset(self.root_of[place] for place in places)

    def can_have_two(self, places: Numbers) -> bool:
        """Whether two roots of these can run at the same time."""
        return any(
            self.root_of[one] != self.root_of[two] and (one, two) not in self.conflicts
            for one, two in combinations(sorted(places & (self.alive | self.later)), 2)
        )


@dataclass(frozen=True)
class Stop:
    """Places are stopped, and what follows starts in their place."""

    places: Numbers


@dataclass(frozen=True)
class Start:
    """Places are started."""

    places: Numbers


@dataclass(frozen=True)
class Publish:
    """A revision is signed, and nodes are given it in any order.

    Attributes:
        revision: what is published.
        keep: what may be relied on until it is done; None for all that runs.
        updated: official roots that get it, by whoever.
        by_hand: official roots that get it by hand; None for all.
    """

    revision: Revision
    keep: Numbers | None = None
    updated: frozenset[str] | None = None
    by_hand: frozenset[str] | None = None


@dataclass(frozen=True)
class Wait:
    """All counted nodes hold a revision or a later one, and so do some official roots."""

    number: int
    roots: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Done:
    """The step is done; places stop that are not needed any more."""

    release: Numbers = NONE


Action = Stop | Start | Publish | Wait | Done


def script_of(facts: Facts, plan: Plan) -> tuple[Action, ...]:
    """What whoever carries out a plan does, one thing after another."""
    number = {place: index for index, place in enumerate(facts.places)}
    start = len(facts.start) - 1
    owners = {place.identity.address: place_key(place) for place in facts.places}

    def numbers(places: Iterable[Place]) -> Numbers:
        return frozenset(number[place] for place in places)

    def carry_out(conditions: Iterable[Condition]) -> Iterator[Action]:
        for condition in conditions:
            if isinstance(condition, Stopped):
                yield Stop(numbers(condition.places))
            elif isinstance(condition, Answering):
                yield Start(numbers(condition.places))
            elif isinstance(condition, Adopted | Installed):
                roots = frozenset(owners[address] for address in condition.roots)
                nodes = start + condition.step if isinstance(condition, Adopted) else 0
                yield Wait(nodes, roots)

    script: list[Action] = []
    for step in plan.steps:
        if not 1 <= len(step.roots) <= MAX_ROOTS:
            raise Stranding(f"nodes throw away a World with {len(step.roots)} roots")
        if any(not 1 <= len(root.endpoints) <= MAX_ENDPOINTS for root in step.roots):
            raise Stranding("nodes throw away a World with so many endpoints")
        by_hand = (*step.install_first, *step.install_last)
        script += carry_out(step.before)
        script.append(
            Publish(
                Revision(
                    start + step.number,
                    numbers(_places_of(step.roots)),
                    key_name(step.signed_by),
                    key_name(step.names),
                ),
                numbers(step.keep),
                frozenset(owners[each] for each in (*by_hand, *step.last)),
                frozenset(owners[each] for each in by_hand),
            )
        )
        script += carry_out(step.done)
        script.append(Done(numbers(step.release)))
    script += carry_out(plan.finish)
    return tuple(script)


class NodeState(NamedTuple):
    """A node: what it holds, and the places that it knew before; None when they do not matter."""

    held: int
    knew: Numbers | None = None


class State(NamedTuple):
    """How things stand: so many actions done, what all hold, whether it is being rolled back."""

    done: int
    nodes: tuple[NodeState, ...]
    officials: tuple[int, ...]
    is_going_back: bool = False


class Situation(NamedTuple):
    """What follows from the actions that were done."""

    revisions: tuple[Revision, ...]
    running: Numbers
    relied_on: Numbers
    publication: Publish | None
    is_open: bool
    is_switching: bool


class Game:
    """One plan, and all that can happen to it."""

    def __init__(self, facts: Facts, script: tuple[Action, ...]) -> None:
        self.facts = facts
        self.script = script
        self.official_roots = tuple(dict.fromkeys(root for root, _ in facts.official_held))
        self._situations: dict[tuple[int, bool], Situation] = {}
        self._verdicts: dict[object, bool] = {}

    def start(self) -> State:
        """The first state."""
        held = dict(self.facts.official_held)
        return State(
            0,
            tuple(NodeState(sort.held) for sort in self.facts.sorts),
            tuple(-1 if held[root] is None else held[root] or 0 for root in self.official_roots),
        )

    def situation(self, state: State) -> Situation:
        """What was published and what runs."""
        key = state.done, state.is_going_back
        if key not in self._situations:
            self._situations[key] = self._situation(*key)
        return self._situations[key]

    def _situation(self, done: int, is_going_back: bool) -> Situation:
        revisions, running = list(self.facts.start), self.facts.alive
        publication, is_open, is_switching = None, False, False
        for action in self.script[:done]:
            is_switching = isinstance(action, Stop)
            if isinstance(action, Start):
                if stray := action.places - running - self.facts.later - self.facts.alive:
                    raise Stranding(f"{stray} cannot be started")
                running |= action.places
                if torn := [pair for pair in self.facts.conflicts if running.issuperset(pair)]:
                    raise Stranding(f"{torn} cannot run at the same time")
            elif isinstance(action, Stop):
                running -= action.places
            elif isinstance(action, Publish):
                revisions.append(action.revision)
                publication, is_open = action, True
            elif isinstance(action, Done):
                is_open = False
        released = NONE.union(
            *(action.release for action in self.script[:done] if isinstance(action, Done))
        )
        relied_on = running - released
        if is_open and publication is not None and publication.keep is not None:
            if stray := publication.keep - running:
                raise Stranding(f"{stray} are to be kept, and do not run")
            relied_on &= publication.keep
        if is_going_back:
            assert publication is not None
            step, before = revisions[-1], revisions[-2]
            revisions.append(
                Revision(step.number + 1, before.places, step.names, step.names),
            )
        return Situation(
            tuple(revisions),
            running - released,
            relied_on,
            publication,
            is_open,
            is_switching,
        )

    def known(self, sort: Sort, revision: Revision) -> Numbers:
        """The places that a node knows and can get to."""
        return revision.places & sort.within | sort.beside

    # What can happen

    def moves(self, state: State) -> Iterator[State]:
        """All states that can follow."""
        situation = self.situation(state)
        yield from self._wake(state, situation)
        yield from self._update_officials(state, situation)
        if state.is_going_back:
            return
        publication = situation.publication
        if situation.is_open and publication is not None:
            step, before = situation.revisions[-1], situation.revisions[-2]
            if step.places != before.places:
                yield state._replace(is_going_back=True)
        if state.done < len(self.script) and self._is_ready(state, self.script[state.done]):
            after = state._replace(done=state.done + 1)
            if isinstance(self.script[state.done], Done):
                # Who has it was seen at the new places.
                after = after._replace(nodes=tuple(NodeState(held) for held, _ in state.nodes))
            yield after

    def _wake(self, state: State, situation: Situation) -> Iterator[State]:
        """A node hears one root, or sleeps on; a lost answer is no answer."""
        revisions = situation.revisions
        targets = {len(revisions) - 1}
        if situation.is_open:
            targets.add(len(revisions) - 2)
        for index, (node, sort) in enumerate(zip(state.nodes, self.facts.sorts, strict=True)):
            held = node.held
            here = self.known(sort, revisions[held])
            heard = here & situation.relied_on
            taken = set()
            if heard - self.facts.official:
                taken |= {self.walk(revisions, held, target) for target in targets}
            for place in heard & self.facts.official:
                offered = self._official_held(state, place)
                if offered > held and revisions[offered].signer == revisions[held].names:
                    taken.add(offered)
            for each in taken - {held}:
                is_new = each == len(revisions) - 1 and situation.is_open
                after = NodeState(each, here if is_new and not state.is_going_back else None)
                yield state._replace(nodes=(*state.nodes[:index], after, *state.nodes[index + 1 :]))

    def _update_officials(self, state: State, situation: Situation) -> Iterator[State]:
        """An official root is given the newest revision, in band or by hand."""
        newest = len(situation.revisions) - 1
        for index, held in enumerate(state.officials):
            root = self.official_roots[index]
            is_reached = held >= 0 and any(
                self.facts.root_of[place] != root
                for place in situation.revisions[held].places
                & situation.relied_on - self.facts.official
            )
            in_band = is_reached and self._is_updated(root, situation)
            if held != newest and (in_band or self._is_installed(root, state, situation)):
                yield state._replace(
                    officials=(*state.officials[:index], newest, *state.officials[index + 1 :])
                )

    def _is_installed(self, root: str, state: State, situation: Situation) -> bool:
        """Whether somebody puts the newest file on an official root."""
        publication = situation.publication
        if publication is None or publication.by_hand is None:
            return True
        if situation.is_open:
            return root in publication.by_hand or (
                state.is_going_back and self._is_updated(root, situation)
            )
        # Between steps one that starts only now is waited for.
        action = self.script[state.done] if state.done < len(self.script) else None
        return isinstance(action, Wait) and root in action.roots

    def _is_updated(self, root: str, situation: Situation) -> bool:
        """Whether an official root gets what is newest."""
        publication = situation.publication
        if publication is None or publication.updated is None:
            return True
        return situation.is_open and root in publication.updated

    def _official_held(self, state: State, place: int) -> int:
        return state.officials[self.official_roots.index(self.facts.root_of[place])]

    def _is_ready(self, state: State, action: Action) -> bool:
        if not isinstance(action, Wait):
            return True
        return all(held >= action.number for held, _ in state.nodes) and all(
            held == len(self.situation(state).revisions) - 1
            for root, held in zip(self.official_roots, state.officials, strict=True)
            if root in action.roots
        )

    @staticmethod
    def walk(revisions: tuple[Revision, ...], held: int, target: int) -> int:
        """How far a node comes that is handed all links up to a revision."""
        while held < target:
            further = [
                number
                for number in range(held + 1, target + 1)
                if revisions[number].signer == revisions[held].names
            ]
            if not further:
                break
            held = further[-1]
        return held

    # What must be true

    def check(self, state: State) -> None:
        """Check that nobody is stranded.

        Raises:
            Stranding: somebody is.
        """
        situation = self.situation(state)
        for node, sort in zip(state.nodes, self.facts.sorts, strict=True):
            key = node, sort, state.officials, state.done, state.is_going_back
            if key not in self._verdicts:
                self._verdicts[key] = self._is_fine(state, situation, node, sort)
            if not self._verdicts[key]:
                raise Stranding(f"{node} {sort} is stranded in {state} of {self.script}")

    def _is_fine(self, state: State, situation: Situation, node: NodeState, sort: Sort) -> bool:
        revision = situation.revisions[node.held]
        here = self.known(sort, revision) & situation.relied_on
        leading = frozenset(
            place for place in here if self._leads(state, situation, place, node.held)
        )
        roots = len(self.facts.roots(leading))
        wanted = 2 if self._expects_two(state, situation, node.held, sort) else 1
        if situation.is_switching:
            # The root that is switched is the one that may be down.
            return roots >= wanted - 1
        if roots < wanted:
            return False
        if node.knew is None or state.is_going_back or not situation.is_open:
            return True
        return bool(here & node.knew)

    def _leads(self, state: State, situation: Situation, place: int, held: int) -> bool:
        """Whether a root has a next link for a node that holds this, or will have."""
        revisions = situation.revisions
        newest = len(revisions) - 1
        if place not in self.facts.official:
            return self.walk(revisions, held, newest) == newest
        offered, root = self._official_held(state, place), self.facts.root_of[place]
        if offered < 0 and not self._is_installed(root, state, situation):
            # It does not know that it is one.
            return False
        if held == newest:
            return True
        if offered > held and revisions[offered].signer == revisions[held].names:
            return True
        return (
            offered < newest
            and self._is_updated(root, situation)
            and revisions[newest].signer == revisions[held].names
        )

    def _expects_two(self, state: State, situation: Situation, held: int, sort: Sort) -> bool:
        """Whether a node shall have two roots, one of which may be down.

        It shall when it has two at the start and in the end. What nodes lack already when the plan
        is made, because they are behind, is not the plan's fault.
        """
        facts = self.facts
        last = len(facts.start) - 1
        if not facts.spare_root or not facts.can_have_two(facts.goal & sort.within | sort.beside):
            return False
        there = [self.known(sort, facts.start[last]) & facts.alive]
        if state.is_going_back and held == len(situation.revisions) - 1:
            held -= 2
        if held < last:
            behind = self.known(sort, facts.start[held]) & facts.alive
            if facts.start[held].names != facts.start[last].signer:
                behind -= facts.official
            there.append(behind)
        return all(len(facts.roots(places)) >= 2 for places in there)


def explore(game: Game, most_states: int = 200_000) -> int:
    """Go through all states that can come about.

    Returns:
        How many there are.

    Raises:
        Stranding: somebody is stranded in one of them, or the plan can get stuck.
    """
    first = game.start()
    waiting = deque([first])
    before: dict[State, list[State]] = {first: []}
    while waiting:
        state = waiting.popleft()
        game.check(state)
        for after in game.moves(state):
            if after not in before:
                before[after] = []
                waiting.append(after)
                if len(before) > most_states:
                    raise AssertionError("this case is too large to explore")
            before[after].append(state)
    # Back from the ends: whatever has happened, an end must still be possible.
    ending = [state for state in before if _is_end(game, state)]
    reaching = set(ending)
    while ending:
        for state in before[ending.pop()]:
            if state not in reaching:
                reaching.add(state)
                ending.append(state)
    if stuck := before.keys() - reaching:
        raise Stranding(f"there is no way on from {next(iter(stuck))} of {game.script}")
    return len(before)


def wander(game: Game, random: Random, most_moves: int = 500) -> int:
    """Go one way through the states, chosen at random, until the plan is carried out.

    Returns:
        How many states were seen.

    Raises:
        Stranding: somebody is stranded in one of them, or nothing can happen before the end.
    """
    state = game.start()
    for count in range(most_moves):
        game.check(state)
        moves = list(game.moves(state))
        if (state.is_going_back or state.done == len(game.script)) and _is_end(game, state):
            return count
        if not moves:
            raise Stranding(f"there is no way on from {state} of {game.script}")
        state = random.choice(moves)
    return most_moves


def _is_end(game: Game, state: State) -> bool:
    newest = len(game.situation(state).revisions) - 1
    if state.is_going_back:
        return all(held == newest for held, _ in state.nodes)
    return state.done == len(game.script) and all(held == newest for held, _ in state.nodes)


def check_arrival(game: Game) -> None:
    """Check that the plan ends at what was wanted.

    Raises:
        Stranding: it ends somewhere else.
    """
    facts = game.facts
    end = game.situation(game.start()._replace(done=len(game.script)))
    last = end.revisions[-1]
    if (last.places, last.names) != (facts.goal, facts.goal_key):
        raise Stranding(f"this is not what was wanted: {last}")
    if stray := facts.goal - end.relied_on:
        raise Stranding(f"{stray} are wanted, and do not run in the end")


def place_key(place: Place) -> str:
    """What tells the roots of places apart."""
    return place.identity.to_string()[:20]


def key_name(public_key: bytes) -> str:
    """A short name for the half of a key that counts."""
    return public_key[32:36].hex()


def _places_of(roots: Iterable[Root]) -> set[Place]:
    return {Place(root.identity, endpoint) for root in roots for endpoint in root.endpoints}
