"""Plan after plan for one fleet, each carried out, rolled back or left half-way.

Wherever a plan is left, nobody is stranded, and there is a way on. And the adversary's roots and
nodes do what the real ones do.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from orrery.errors import UpdateRefused
from orrery.rollout.fleet import Fleet, Node
from orrery.rollout.landscape import Landscape, PlaceState
from orrery.rollout.places import places_of
from orrery.rollout.plan import Plan, Reason
from orrery.rollout.planner import plan
from orrery.rollout.wish import Wish
from orrery.wire.address import Address
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES
from orrery.wire.world import Root, World
from orrery.worlds.acceptance import check_update
from orrery.worlds.chain import Chain
from orrery.worlds.handover import HandoverTable
from orrery.worlds.stage import NOBODY, Stage
from tests.simulation.adversary import (
    Facts,
    Game,
    Revision,
    State,
    check_arrival,
    key_name,
    script_of,
)
from tests.simulation.adversary_cases import (
    KNOTTY,
    MEDIUM,
    Case,
    choose_roots,
    make_case,
    make_pool,
    vary_roots,
)
from tests.unit.worlds.making import key, world

SEEDS = st.integers(0, 2**32)
LETTERS = "abc"
KEYS = {key_name(key(letter).public): letter for letter in LETTERS}


class OnePlanAfterTheOther(RuleBasedStateMachine):
    """A fleet of a planet through its life."""

    @initialize(seed=SEEDS)
    def begin(self, seed: int) -> None:
        random = Random(seed)
        self.pool = make_pool(random, MEDIUM)
        first = choose_roots(random, self.pool, MEDIUM.roots)
        self.chain = Chain([world(10, roots=first)])
        self.running = set(places_of(first))
        self.official: dict[Address, int | None] = {
            each.identity.address: 10 for each in first if random.random() < 0.2
        }
        self.nodes = [Node(Address(0x2000000000 + number), 10, 0) for number in range(4)]
        self.answer: Plan | None = None
        self.game: Game | None = None
        self.state: State | None = None

    @rule(seed=SEEDS, rotates=st.booleans(), spare_root=st.booleans(), count=st.integers(5, 50))
    def wish_for_something(self, seed: int, rotates: bool, spare_root: bool, count: int) -> None:
        """What is going on is left as it is; then this and that happens."""
        if self.game is not None:
            self.leave()
        random = Random(seed)
        roots = vary_roots(random, self.chain.newest.roots, self.pool, MEDIUM)
        letter = random.choice(LETTERS)
        self.plan_for(
            Wish(
                type=self.chain.type,
                id=self.chain.world_id,
                roots=roots,
                key=key(letter).public if rotates else None,
                spare_root=spare_root,
            )
        )
        self.let_things_happen(random, count, rolls_back=random.random() < 0.3)

    def plan_for(self, wish: Wish) -> None:
        published = places_of(root for revision in self.chain for root in revision.roots)
        states = {
            place: PlaceState.ALIVE
            if place in self.running
            else PlaceState.LATER
            if place in places_of(wish.roots)
            else PlaceState.GONE
            for place in published | places_of(wish.roots)
        }
        case = Case(
            self.chain,
            wish,
            Fleet.of(self.nodes, now_ms=0, horizon_ms=1),
            Landscape(states=states, official=self.official),
        )
        answer = plan(*case)
        if isinstance(answer, Plan):
            facts = Facts.of(*case)
            by_time = {sort.held: sort for sort in facts.sorts}
            held = [self.chain.revisions.index(self.held_by(node)) for node in self.nodes]
            facts = replace(facts, sorts=tuple(by_time[index] for index in held))
            game = Game(facts, script_of(facts, answer))
            check_arrival(game)
            self.answer, self.game, self.state = answer, game, game.start()
        else:
            # Nodes may lack a family of addresses for a wish; but whoever was led so far still is.
            assert answer.reason in (Reason.OUT_OF_REACH, Reason.NO_SPARE), answer

    @rule(seed=SEEDS, count=st.integers(1, 20), rolls_back=st.booleans())
    def go_on(self, seed: int, count: int, rolls_back: bool) -> None:
        self.let_things_happen(Random(seed), count, rolls_back=rolls_back)

    def let_things_happen(self, random: Random, count: int, *, rolls_back: bool) -> None:
        for _ in range(count if self.game is not None else 0):
            self.move(random, rolls_back=rolls_back)

    def move(self, random: Random, *, rolls_back: bool) -> None:
        assert self.game is not None
        assert self.state is not None
        going_back = self.state.is_going_back
        moves = [
            each
            for each in self.game.moves(self.state)
            if rolls_back or each.is_going_back == going_back
        ]
        if moves:
            self.state = random.choice(moves)
            self.game.check(self.state)

    def leave(self) -> None:
        """What has come about is where the next plan starts."""
        assert self.game is not None
        assert self.state is not None
        assert self.answer is not None
        while (situation := self.game.situation(self.state)).is_switching:
            self.move(Random(0), rolls_back=False)
        first = len(self.chain)
        for index, revision in enumerate(situation.revisions[first:]):
            is_return = self.state.is_going_back and first + index + 1 == len(situation.revisions)
            roots = self.chain.revisions[-2].roots if is_return else self.answer.steps[index].roots
            self.chain = self.chain.extend(self.sign(revision, roots))
        times = [revision.timestamp_ms for revision in self.chain]
        places = self.game.facts.places
        self.nodes = [
            node._replace(holds_ms=times[state.held])
            for node, state in zip(self.nodes, self.state.nodes, strict=True)
        ]
        addresses = {place.identity.to_string()[:20]: place.identity.address for place in places}
        for root, index in zip(self.game.official_roots, self.state.officials, strict=True):
            self.official[addresses[root]] = None if index < 0 else times[index]
        self.running = {places[number] for number in situation.running}
        self.game = None

    def held_by(self, node: Node) -> World:
        held = self.chain.revision_at(node.holds_ms)
        assert held is not None
        return held

    def sign(self, revision: Revision, roots: tuple[Root, ...]) -> World:
        return world(
            self.chain.newest.timestamp_ms + 10,
            signer=KEYS[revision.signer],
            names=KEYS[revision.names],
            roots=roots,
        )


TestOnePlanAfterTheOther = OnePlanAfterTheOther.TestCase
TestOnePlanAfterTheOther.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(SEEDS)
def test_a_node_is_led_by_the_real_table_as_by_the_adversary(seed: int) -> None:
    case = make_case(Random(seed), KNOTTY)
    revisions = Facts.of(*case).start
    for target, led_to in enumerate(case.chain):
        stage = Stage(led_to.timestamp_ms, NOBODY)
        table = HandoverTable([case.chain], OK_HELLO_WORLDS_BYTES, {led_to.id: stage})
        for number, held in enumerate(case.chain):
            node = held
            for link in table.lookup(held.id, held.timestamp_ms, Address(1)):
                node = take(node, World.decode(link))
            assert node == case.chain.revisions[Game.walk(revisions, number, max(target, number))]


@given(SEEDS)
def test_what_an_official_root_hands_over_is_taken_as_the_adversary_says(seed: int) -> None:
    case = make_case(Random(seed), KNOTTY)
    revisions = Facts.of(*case).start
    for number, held in enumerate(case.chain):
        for offered, newest in enumerate(case.chain):
            is_taken = take(held, newest) != held
            assert is_taken == (
                offered > number and revisions[offered].signer == revisions[number].names
            )


def take(held: World, offered: World) -> World:
    """What a node holds that was offered a World."""
    try:
        check_update(held, offered)
    except UpdateRefused:
        return held
    return offered
