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
          and who has not taken the step can still be led there. So where official roots alone lead,
          the key changes in a step that changes nothing else.

*Enough* is two roots where nodes have two before and after, so that either may be down at any time;
else one. A place that can only start when another has stopped, as two identities at one endpoint,
is listed first and switched when all nodes know it; the root that is switched is the one that is
down meanwhile.

`docs/adr/0017-the-planner.md` tells why these are enough, and what is assumed.
"""

from dataclasses import replace

from orrery.rollout.fleet import Fleet
from orrery.rollout.landscape import Landscape
from orrery.rollout.objections import Objection, find_objection, object_to_all_ways
from orrery.rollout.places import Reach
from orrery.rollout.plan import Plan, Reason, Refusal
from orrery.rollout.rules import Kind, Publication, Rules, signing_half
from orrery.rollout.search import Course, Search
from orrery.rollout.stranding import key_of, signer_of
from orrery.rollout.task import Task
from orrery.rollout.wish import Wish, mistakes
from orrery.rollout.writing import write_plan
from orrery.worlds.chain import Chain


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
    task = Task.of(chain, wish, fleet, landscape)
    objection = find_objection(task)
    if objection is None:
        course = _find_course(task)
        if course is not None:
            return write_plan(task, course)
        objection = object_to_all_ways(task)
    return _refuse(task, objection)


def _find_course(task: Task) -> Course | None:
    atlas = task.atlas
    kinds = dict.fromkeys(position.kind for position in task.counted)
    if not kinds and task.content & atlas.alive:
        # Nobody was seen yet: nodes are taken to hold the newest revision.
        kinds[Kind(atlas.within(Reach.BOTH))] = None
    rules = Rules(atlas, tuple(kinds), task.content, task.goal, spare_root=task.wish.spare_root)
    newest = Publication(task.content, signer_of(task.chain), key_of(task.newest))
    at_newest = rules.holders_of(newest)
    holders = set(at_newest)
    for kind, held in {(each.kind, held) for each in task.counted for held in each.held}:
        if not held.is_newest:
            holder = rules.holder_of(Publication(held.content, b"", held.key), kind)
            # What such nodes lack already is not asked for.
            there = rules.count(rules.leaders(holder, newest.signer, atlas.alive))
            holders.add(holder._replace(needs=min(holder.needs, there)))
    key = newest.names if task.wish.key is None else signing_half(task.wish.key)
    return Search(
        rules, newest, task.goal, key=key, holders=tuple(holders), at_newest=at_newest
    ).find_course()


def _refuse(task: Task, objection: Objection) -> Refusal:
    """The refusal with the plan for what is nearest, or for what is nearest to that."""
    refusal, nearest = objection
    if nearest is None:
        return refusal
    found = plan(task.chain, nearest.wish, nearest.fleet, task.landscape)
    if isinstance(found, Plan):
        return replace(refusal, nearest=found, nearest_is=nearest.given_up)
    if refusal.reason is Reason.NO_SPARE:
        return found
    if found.nearest is None:
        return refusal
    given_up = f"{nearest.given_up}; {found.nearest_is}"
    return replace(refusal, nearest=found.nearest, nearest_is=given_up)
