"""What is planned, and what is refused, case by case. That plans are safe: `tests/simulation`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from orrery.rollout.conditions import Adopted, Answering, Condition, Heard, Installed, Stopped
from orrery.rollout.fleet import Fleet, Node, Why
from orrery.rollout.landscape import Landscape, PlaceState
from orrery.rollout.places import Place, Reach, places_of
from orrery.rollout.plan import Plan, Reason, Refusal, Step
from orrery.rollout.planner import plan
from orrery.rollout.search import Search
from orrery.rollout.wish import Wish
from orrery.wire.address import Address
from orrery.wire.signature import fingerprint
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES
from orrery.wire.world import MAX_ENDPOINTS, Root, World, WorldType
from orrery.worlds.chain import Chain
from tests.unit.worlds.making import key, root, rotation, world

A, B, C, D, E, F, G, H = (root(number, f"198.51.100.{number}/9993") for number in range(1, 9))
ANNE, BERT = Address(0x2C3E8F527A), Address(0xDD87C5DC2D)
MOON = 0xABD


def plan_for(
    published: Sequence[World] | Sequence[Root],
    wanted: Sequence[Root],
    *,
    names: str | None = None,
    nodes: Iterable[Node] | None = None,
    exempt: Iterable[Address] = (),
    landscape: Landscape | None = None,
    spare_root: bool = True,
) -> Plan | Refusal:
    """What the planner answers; without more, two nodes hold what is published."""
    revisions = [
        each if isinstance(each, World) else world(10, roots=published)  # type: ignore[arg-type]
        for each in published
    ]
    chain = Chain(revisions if isinstance(published[0], World) else revisions[:1])
    newest_ms = chain.newest.timestamp_ms
    fleet = Fleet.of(
        [Node(ANNE, newest_ms, 5), Node(BERT, newest_ms, 5)] if nodes is None else nodes,
        now_ms=5,
        horizon_ms=4,
        exempt=exempt,
    )
    wish = Wish(
        type=chain.type,
        id=chain.world_id,
        roots=tuple(wanted),
        key=None if names is None else key(names).public,
        spare_root=spare_root,
    )
    return plan(chain, wish, fleet, landscape or Landscape())


def planned(answer: Plan | Refusal) -> Plan:
    assert isinstance(answer, Plan), answer
    return answer


def refused(answer: Plan | Refusal, reason: Reason) -> Refusal:
    assert isinstance(answer, Refusal), answer
    assert answer.reason is reason
    return answer


def contents(answer: Plan) -> list[set[Place]]:
    return [set(places_of(step.roots)) for step in answer.steps]


def places(*roots: Root) -> tuple[Place, ...]:
    return tuple(sorted(places_of(roots)))


def of_kind(kind: type[Condition], conditions: Iterable[Condition]) -> list[Condition]:
    return [each for each in conditions if isinstance(each, kind)]


# What changes


def test_nothing_is_to_be_done() -> None:
    answer = planned(plan_for([A, B], [B, A]))
    assert not answer.steps
    assert not answer.finish
    assert answer.counted == 2


def test_a_root_is_added() -> None:
    answer = planned(plan_for([A], [A, B]))
    assert contents(answer) == [places_of([A, B])]
    (step,) = answer.steps
    assert step.changes == ("root 1000000002 added at 198.51.100.2/9993",)
    assert step.before == (Answering(places(B)),)
    assert step.done == (Adopted(1), Heard(places(B)))
    assert step.keep == places(A, B)
    assert step.old == step.release == ()
    assert step.forced == ()


def test_a_root_is_removed() -> None:
    answer = planned(plan_for([A, B], [A]))
    (step,) = answer.steps
    assert step.roots == (A,)
    assert step.before == ()
    assert step.done == (Adopted(1),)
    assert step.keep == places(A, B)
    assert step.old == step.release == places(B)
    assert step.forced == ()


def test_the_only_root_is_replaced() -> None:
    answer = planned(plan_for([A], [B]))
    assert contents(answer) == [places_of([A, B]), places_of([B])]
    first, second = answer.steps
    assert first.before == (Answering(places(B)),)
    assert first.release == ()
    assert first.forced == ()
    assert second.changes == ("root 1000000001 removed at 198.51.100.1/9993",)
    assert second.old == second.release == places(A)
    # Now, with one step left out, and the old root gone: both would look for it in vain.
    ((group, why),) = second.forced
    assert (group.addresses, why) == ((ANNE, BERT), Why.SILENT)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_roots_are_replaced_up_to_all_four(count: int) -> None:
    old, new = [A, B, C, D], [E, F, G, H]
    answer = planned(plan_for(old, [*new[:count], *old[count:]], names="b"))
    assert len(answer.steps) == (2 if count == 4 else 1)
    before = places_of(old)
    for step, content in zip(answer.steps, contents(answer), strict=True):
        assert len(step.roots) <= 4
        assert before & content
        before = frozenset(content)
    assert answer.steps[-1].names == key("b").public


def test_a_root_moves_to_another_address() -> None:
    moved = root(1, "198.51.100.9/9993")
    answer = planned(plan_for([A, B], [moved, B]))
    # The other root is known before and after: one step.
    assert contents(answer) == [places_of([moved, B])]
    assert answer.steps[0].release == places(A)
    assert answer.steps[0].done == (Adopted(1), Heard(places(moved)))
    alone = planned(plan_for([A], [moved]))
    assert contents(alone) == [places_of([A, moved]), places_of([moved])]


def test_a_root_changes_its_port() -> None:
    other = root(1, "198.51.100.1/443")
    answer = planned(plan_for([A], [other]))
    assert contents(answer) == [places_of([A, other]), places_of([other])]
    # Nodes do not look at another port while the first one answers: none can be heard there.
    assert answer.steps[0].done == (Adopted(1),)


def test_a_port_changes_where_both_cannot_be_open() -> None:
    other = root(1, "198.51.100.1/443")
    landscape = Landscape(in_turn=((places(A)[0], places(other)[0]),))
    first, second = planned(plan_for([A], [other], landscape=landscape)).steps
    assert first.before == ()
    assert second.before == (Stopped(places(A)), Answering(places(other)))


def test_a_machine_gets_another_identity() -> None:
    same_machine = root(9, "198.51.100.1/9993")
    first, second = planned(plan_for([A, B], [same_machine, B])).steps
    # Nodes learn of it while the old one still runs; the other root leads them meanwhile.
    assert places_of(first.roots) == places_of([A, B, same_machine])
    assert first.keep == places(A, B)
    assert second.before == (Stopped(places(A)), Answering(places(same_machine)))
    assert second.done == (Adopted(2), Heard(places(same_machine)))


def test_all_endpoints_of_a_root_that_has_32() -> None:
    ports = [f"198.51.100.1/{port}" for port in range(1000, 1000 + 2 * MAX_ENDPOINTS)]
    old, new = root(1, *ports[:MAX_ENDPOINTS]), root(1, *ports[MAX_ENDPOINTS:])
    answer = planned(plan_for([old], [new]))
    middle, last = contents(answer)
    assert len(middle) == MAX_ENDPOINTS
    assert len(middle & places_of([old])) == len(middle & places_of([new])) == MAX_ENDPOINTS // 2
    assert last == places_of([new])


def test_a_key_is_rotated_with_what_else_changes() -> None:
    answer = planned(plan_for([A], [B], names="b"))
    assert [(step.signed_by, step.names) for step in answer.steps] == [
        (key("a").public, key("b").public),
        (key("b").public, key("b").public),
    ]
    assert answer.steps[0].changes[0] == (
        f"key for the next revision: {fingerprint(key('a').public)} becomes "
        f"{fingerprint(key('b').public)}"
    )


def test_a_key_is_rotated_alone() -> None:
    (step,) = planned(plan_for([A], [A], names="b")).steps
    assert step.roots == (A,)
    assert len(step.changes) == 1


def test_a_moon_keeps_its_dictionary_and_does_not_wait_for_those_who_wait_for_it() -> None:
    moon = world(10, roots=[A], world_type=WorldType.MOON, dictionary=b"\1\2")
    nodes = [Node(ANNE, 10, 5), Node(BERT, 0, 5)]
    answer = planned(plan_for([moon], [B], nodes=nodes))
    assert answer.type is WorldType.MOON
    unsigned = answer.world(answer.steps[0], 99)
    assert (unsigned.dictionary, unsigned.timestamp_ms) == (b"\1\2", 99)
    assert len(answer.steps) == 2


def test_everything_at_once() -> None:
    """Two roots to two others, one with IPv6 and another port, and a new key."""
    wanted = [root(3, "198.51.100.3/443", "[2001:db8::3]:443"), D]
    answer = planned(plan_for([A, B], wanted, names="b"))
    assert len(answer.steps) == 2
    assert answer.steps[-1].roots == tuple(wanted)
    assert answer.steps[-1].release == places(A, B)


def test_where_nobody_was_seen_nodes_are_taken_to_be_there() -> None:
    assert len(planned(plan_for([A], [B], nodes=[])).steps) == 2


def test_a_published_root_that_was_down_is_started_when_all_know_it() -> None:
    landscape = Landscape(states=dict.fromkeys(places(B), PlaceState.LATER))
    answer = planned(plan_for([A, B], [A, B], landscape=landscape))
    assert not answer.steps
    assert answer.finish == (Adopted(0), Answering(places(B)))


# Who holds what


def test_a_node_that_missed_rotations_is_led_by_links() -> None:
    chain = rotation("abcd")
    nodes = [Node(ANNE, 10, 5), Node(BERT, 40, 5)]
    answer = planned(plan_for(chain, [*chain[-1].roots, C], names="e", nodes=nodes))
    assert len(answer.steps) == 1
    assert not of_kind(Adopted, answer.steps[0].before)


def test_official_roots_have_no_links_so_all_must_have_the_newest_first() -> None:
    chain = rotation("ab")
    nodes = [Node(ANNE, 10, 5), Node(BERT, 20, 5)]
    official = {each.identity.address: 20 for each in chain[-1].roots}
    answer = planned(
        plan_for(chain, [*chain[-1].roots, C], nodes=nodes, landscape=Landscape(official=official))
    )
    assert answer.steps[0].before == (Adopted(0), Answering(places(C)))


def test_counted_are_those_seen_inside_the_horizon() -> None:
    nodes = [Node(ANNE, 10, 5), Node(BERT, 10, 0), Node(Address(7), 10, 0)]
    answer = planned(plan_for([A], [B], nodes=nodes))
    assert (answer.counted, answer.unseen) == (1, 2)


def test_who_is_exempt_is_named_if_stranded() -> None:
    chain = [world(10, roots=[A]), world(20, roots=[B])]
    nodes = [Node(ANNE, 10, 5), Node(BERT, 20, 5)]
    answer = planned(plan_for(chain, [B, C], nodes=nodes, exempt=[ANNE]))
    ((group, why),) = answer.stranded
    assert (group.addresses, why) == ((ANNE,), Why.SILENT)
    assert [group.addresses for group in answer.exempt] == [(ANNE,)]


def test_a_node_stops_where_an_answer_has_no_room_for_more_links() -> None:
    """Old and newest root run; the one in the middle, where nodes have to stop, does not."""
    many = [f"198.51.100.9/{port}" for port in range(1000, 1000 + MAX_ENDPOINTS)]
    filling = [root(number, *many) for number in (7, 8, 9)]
    keys = "abcdefghijklmnop"
    chain = [
        world(10 * (number + 1), signer=keys[max(0, number - 1)], names=names, roots=roots)
        for number, names in enumerate(keys)
        for roots in [[A] if number in (0, len(keys) - 1) else filling]
    ]
    assert sum(len(each.encode()) for each in chain[1:]) > OK_HELLO_WORLDS_BYTES
    nodes = [Node(ANNE, 10, 5)]
    refused(plan_for(chain, [A, B], nodes=nodes), Reason.STRANDED)
    short = [chain[0], world(20, signer="a", names="a", roots=[A])]
    planned(plan_for(short, [A, B], nodes=nodes))


# Official roots


def official(*roots: Root, holding: int | None = 10) -> Landscape:
    return Landscape(official={each.identity.address: holding for each in roots})


def test_an_official_root_comes_last_and_is_updated_in_band() -> None:
    (step,) = planned(plan_for([A, B], [A, B, C], landscape=official(B))).steps
    assert step.last == (B.identity.address,)
    assert step.install_first == step.install_last == ()
    assert Adopted(1, (B.identity.address,)) in step.done


def test_an_official_root_that_no_orrery_root_reaches_gets_the_file_by_hand() -> None:
    (step,) = planned(plan_for([A], [A, B], landscape=official(A))).steps
    assert step.last == step.install_last == (A.identity.address,)


def test_a_new_official_root_needs_the_file_to_be_one() -> None:
    (step,) = planned(plan_for([A], [A, B], landscape=official(B, holding=None))).steps
    assert step.install_first == (B.identity.address,)
    assert step.last == ()
    # What an official root hears is not known.
    assert step.done == (Installed(1, (B.identity.address,)), Adopted(1))


def test_a_new_official_identity_on_a_machine_gets_the_file_when_it_starts() -> None:
    same_machine = root(9, "198.51.100.1/9993")
    first, second = planned(
        plan_for([A, B], [same_machine, B], landscape=official(same_machine, holding=None))
    ).steps
    assert first.install_first == first.last == ()
    address = same_machine.identity.address
    assert second.before == (
        Stopped(places(A)),
        Answering(places(same_machine)),
        Installed(1, (address,)),
    )
    assert second.last == (address,)
    assert second.install_last == ()


def test_an_official_root_of_former_days_comes_last_too() -> None:
    chain = [world(10, roots=[A]), world(20, roots=[B])]
    landscape = Landscape(
        states=dict.fromkeys(places(A), PlaceState.ALIVE), official={A.identity.address: 10}
    )
    nodes = [Node(ANNE, 10, 5), Node(BERT, 20, 5)]
    (step,) = planned(plan_for(chain, [B, C], nodes=nodes, landscape=landscape)).steps
    # Who is behind knows no place of the step, and takes the newest revision first.
    assert step.before == (Adopted(0), Answering(places(C)))
    assert (step.last, step.install_first) == ((A.identity.address,), ())


def test_where_official_roots_lead_the_key_changes_in_a_step_of_its_own() -> None:
    answer = planned(plan_for([A], [B], names="b", landscape=official(A, B)))
    assert contents(answer) == [places_of([A]), places_of([A, B]), places_of([B])]
    assert [step.names == key("b").public for step in answer.steps] == [True, True, True]
    assert len(planned(plan_for([A], [B], names="b")).steps) == 2


# Refusals


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ([], "1 to 4 roots and this wish 0"),
        ([A, B, C, D, E], "1 to 4 roots and this wish 5"),
        ([root(1)], "has 0 endpoints"),
        (
            [root(1, *[f"198.51.100.1/{port}" for port in range(1, MAX_ENDPOINTS + 2)])],
            "has 33 endpoints",
        ),
        ([A, root(1, "198.51.100.9/9993")], "listed 2 times"),
        ([A, root(2, "198.51.100.1/9993")], "2 roots are to be at 198.51.100.1/9993"),
        ([root(1, "198.51.100.1/9993", "198.51.100.1/9993")], "list each place once"),
        (
            [replace(A, identity=replace(A.identity, public_key=bytes(64)))],
            "another key than in the newest revision",
        ),
    ],
)
def test_mistakes(wanted: list[Root], says: str) -> None:
    refusal = refused(plan_for([A], wanted), Reason.MISTAKE)
    assert says in " ".join(refusal.sentences)
    assert refusal.nearest is None


def test_mistakes_about_the_world_itself() -> None:
    chain = Chain([world(10, roots=[A])])
    wish = Wish(type=WorldType.MOON, id=0xABD, roots=(A,), key=b"short")
    refusal = refused(plan(chain, wish, Fleet(), Landscape()), Reason.MISTAKE)
    kind, world_id, public_key = refusal.sentences
    assert "takes no moon" in kind
    assert "put the id back" in world_id
    assert "this one has 5" in public_key


def test_what_cannot_be_had_together() -> None:
    other = root(1, "198.51.100.1/443")
    both = root(1, "198.51.100.1/443", "198.51.100.1/9993")
    landscape = Landscape(in_turn=((places(A)[0], places(other)[0]),))
    refusal = refused(plan_for([A], [both], landscape=landscape), Reason.MISTAKE)
    assert "cannot both be had" in refusal.sentences[0]


def test_what_is_said_of_places_cannot_be_true() -> None:
    same_machine = root(9, "198.51.100.1/9993")
    states = dict.fromkeys(places(same_machine), PlaceState.ALIVE)
    answer = plan_for([A], [same_machine], landscape=Landscape(states=states))
    assert "not to run at the same time" in refused(answer, Reason.CONTRADICTION).sentences[0]


def gone(*roots: Root) -> dict[Place, PlaceState]:
    return dict.fromkeys(places(*roots), PlaceState.GONE)


def test_a_wanted_place_is_gone() -> None:
    refusal = refused(plan_for([A, B], [A, B, C], landscape=Landscape(states=gone(B))), Reason.GONE)
    assert "1000000002 at 198.51.100.2/9993 is wanted and gone" in refusal.sentences[0]
    assert refusal.nearest is not None
    assert contents(refusal.nearest) == [places_of([A, C])]
    assert refusal.nearest_is == "without 1000000002 at 198.51.100.2/9993"
    alone = refused(plan_for([A, B], [B], landscape=Landscape(states=gone(B))), Reason.GONE)
    assert alone.nearest is None


def test_the_only_root_is_gone() -> None:
    """By name who is stranded, and what remains possible."""
    refusal = refused(plan_for([A], [B], landscape=Landscape(states=gone(A))), Reason.STRANDED)
    assert refusal.sentences == (
        "nodes 2c3e8f527a, dd87c5dc2d: nothing runs where they look "
        "(1000000001 at 198.51.100.1/9993)",
    )
    assert [remedy.split(":")[0] for remedy in refusal.remedies] == [
        "start an Orrery root again at 1000000001 at 198.51.100.1/9993",
        "install the new World file on the nodes, by hand or by what manages their files",
    ]
    assert "2c3e8f527a, dd87c5dc2d" in refusal.remedies[-1]
    ((group, why),) = refusal.stranded
    assert (group.addresses, why) == ((ANNE, BERT), Why.SILENT)
    assert refusal.nearest is not None
    assert contents(refusal.nearest) == [places_of([B])]
    assert refusal.nearest.counted == 0
    assert [stranded.group.addresses for stranded in refusal.nearest.stranded] == [(ANNE, BERT)]


def test_the_only_root_has_moved_and_pushes_from_there() -> None:
    moved = root(1, "198.51.100.9/9993")
    refusal = refused(plan_for([A], [moved], landscape=Landscape(states=gone(A))), Reason.STRANDED)
    assert any("pushes what is published" in remedy for remedy in refusal.remedies)


def test_the_only_root_is_gone_and_nodes_hold_a_moon() -> None:
    nodes = [Node(ANNE, 10, 5, beside=(MOON,))]
    silent = plan_for([A], [B], nodes=nodes, landscape=Landscape(states=gone(A)))
    remedies = refused(silent, Reason.STRANDED).remedies
    assert any("root of World 0000000000000abd, which they hold too" in each for each in remedies)
    reached = plan_for(
        [A], [B], nodes=nodes, landscape=Landscape(states=gone(A), beside={MOON: (C,)})
    )
    (step,) = planned(reached).steps
    assert step.roots == (B,)
    # The moon's root leads them, and is not this plan's to stop.
    assert step.keep == places(B, C)
    assert step.release == ()


def test_a_second_root_is_left() -> None:
    (step,) = planned(plan_for([A, B], [B, C], landscape=Landscape(states=gone(A)))).steps
    assert step.keep == places(B, C)


def test_nodes_that_hold_another_world_with_this_id() -> None:
    refusal = refused(plan_for([A], [A, B], nodes=[Node(ANNE, 7, 5)]), Reason.STRANDED)
    assert "no revision of this chain" in refusal.sentences[0]
    assert refusal.stranded[0].why is Why.FOREIGN
    assert len(refusal.remedies) == 1


def test_official_roots_cannot_lead_who_missed_a_rotation() -> None:
    chain = [
        world(10, names="a", roots=[A]),
        world(20, signer="a", names="b", roots=[A]),
        world(30, signer="b", names="b", roots=[A]),
    ]
    refusal = refused(
        plan_for(chain, [A, B], nodes=[Node(ANNE, 10, 5)], landscape=official(A, holding=30)),
        Reason.STRANDED,
    )
    assert refusal.stranded[0].why is Why.NO_LINK
    assert "official roots alone are left" in refusal.sentences[0]
    assert refusal.remedies[0].startswith("start an Orrery root again at 1000000001")


def test_nodes_that_no_wanted_place_is_within_reach_of() -> None:
    only_ipv6 = root(2, "[2001:db8::2]:9993")
    nodes = [Node(ANNE, 10, 5, Reach.IPV4), Node(BERT, 10, 5)]
    refusal = refused(plan_for([A], [only_ipv6], nodes=nodes), Reason.OUT_OF_REACH)
    assert "node 2c3e8f527a" in refusal.sentences[0]
    assert refusal.nearest is not None
    assert contents(refusal.nearest) == [places_of([A, only_ipv6])]
    assert refusal.nearest_is == "1000000001 at 198.51.100.1/9993 stays as well"


def test_nodes_out_of_reach_where_there_is_no_room_for_what_they_reach() -> None:
    only_ipv6 = [root(number, f"[2001:db8::{number}]:9993") for number in (2, 3, 4, 5)]
    nodes = [Node(ANNE, 10, 5, Reach.IPV4), Node(BERT, 10, 5)]
    refusal = refused(plan_for([A], only_ipv6, nodes=nodes), Reason.OUT_OF_REACH)
    assert refusal.nearest is not None
    assert refusal.nearest_is == "without node 2c3e8f527a"
    assert refusal.nearest.counted == 1


def test_two_roots_that_change_places_leave_one_alone_for_a_while() -> None:
    swapped = [root(1, "198.51.100.2/9993"), root(2, "198.51.100.1/9993")]
    refusal = refused(plan_for([A, B], swapped), Reason.NO_SPARE)
    assert refusal.nearest is not None
    assert not refusal.nearest.spare_root
    relaxed = planned(plan_for([A, B], swapped, spare_root=False))
    assert relaxed == refusal.nearest
    assert [type(each) for each in relaxed.finish] == [Stopped, Answering]
    # With one root more nothing is the matter: one of them rests while the other has both places.
    (step,) = planned(plan_for([A, B, C], [*swapped, C])).steps
    assert [type(each) for each in step.before] == [Stopped, Answering]


def test_no_way_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """No case is known where this is the answer; it must be one all the same."""
    monkeypatch.setattr(Search, "find_course", lambda _: None)
    refusal = refused(plan_for([A], [B]), Reason.NO_WAY)
    assert "whatever is done first" in refusal.sentences[0]
    assert refusal.nearest is None
    assert refused(plan_for([A], [B, C], landscape=Landscape(states=gone(C))), Reason.GONE)


def test_many_nodes_are_named_by_some_of_them() -> None:
    nodes = [Node(Address(number), 10, 5) for number in range(1, 21)]
    refusal = refused(
        plan_for([A], [B], nodes=nodes, landscape=Landscape(states=gone(A))), Reason.STRANDED
    )
    assert "0000000008 and 12 more: nothing runs" in refusal.sentences[0]
    assert len(refusal.stranded[0].group.addresses) == 20


def test_several_things_are_the_matter() -> None:
    answer = plan_for([A, B], [B, C], landscape=Landscape(states=gone(A, B)))
    refusal = refused(answer, Reason.GONE)
    assert refusal.nearest is not None
    assert refusal.nearest_is.startswith("without 1000000002 at 198.51.100.2/9993; without nodes ")


# Steps


def test_steps_say_which_conditions_come_in_which_order() -> None:
    answer = planned(plan_for([A, B], [C, D], names="b", landscape=official(B, D)))
    for step in answer.steps:
        assert isinstance(step, Step)
        assert of_kind(Adopted, step.done)
    assert [str(condition) for condition in answer.steps[0].before] == [
        "answering: 1000000003 at 198.51.100.3/9993, 1000000004 at 198.51.100.4/9993"
    ]
