"""Rehearsals: what they say of good and of bad plans, and that time-lapse does not change it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orrery.errors import UsageError
from orrery.lab.churn import Churn, Sessions
from orrery.lab.rehearsal.faults import parse_fault
from orrery.lab.rehearsal.outcome import Outcome
from orrery.lab.rehearsal.playing import rehearse
from orrery.lab.rehearsal.sample import WORLD_ID, make_sample
from orrery.lab.rehearsal.script import Actor, Script, Surroundings
from orrery.rollout.conditions import Adopted
from orrery.rollout.landscape import Landscape
from orrery.rollout.state import RolloutState
from orrery.wire.address import Address, format_address

HOUR_MS = 3_600_000
ALWAYS = Sessions(offline=0.0)
MIXED = Sessions(offline=0.2)
PERFECT = Surroundings(loss=0.0, nat=0.3, rtt_ms=(20.0, 20.0))


def sample(
    nodes: int = 60, *faults: str, churn: Churn = MIXED, for_ms: int | None = None
) -> Script:
    found = tuple(map(parse_fault, faults))
    return replace(make_sample(nodes, churn=churn), faults=found, for_ms=for_ms)


def told(outcome: Outcome) -> list[str]:
    return [happening.what for happening in outcome.course]


def test_a_fleet_that_is_online_passes_every_step_in_seconds() -> None:
    outcome = rehearse(replace(sample(churn=ALWAYS), operator_ms=1_000))
    assert outcome.passed
    assert [step.number for step in outcome.steps] == [1, 2]
    assert outcome.ended_ms < 120_000
    for step in outcome.steps:
        assert step.published_ms is not None
        assert step.done_ms is not None
        assert step.curve.shares[-1] == 1
        assert sum(cohort.nodes for cohort in step.cohorts) == 60
        for cohort in step.cohorts:
            if cohort.nodes:
                assert cohort.opened_ms is not None
                assert cohort.passed_ms is not None
                # 10 s of watching, and what lies before and after it.
                assert 10_000 <= cohort.passed_ms - cohort.opened_ms <= 30_000
                # Pushed: there within a second.
                assert cohort.adopted_ms[0] - cohort.opened_ms < 1_000


def test_who_sleeps_is_waited_for_and_old_roots_stop_only_then() -> None:
    outcome = rehearse(sample())
    assert outcome.passed
    assert outcome.ended_ms > HOUR_MS
    assert [what.split(" ")[-3] for what in told(outcome)] == ["starts", "starts", "stops", "stops"]
    last = outcome.steps[-1]
    stops = [each.at_ms for each in outcome.course if "stops" in each.what]
    assert last.done_ms is not None
    assert min(stops) >= max(cohort.adopted_ms[-1] for cohort in last.cohorts if cohort.nodes)


def test_a_plan_that_does_not_wait_strands_who_sleeps() -> None:
    """The wait for adoption is dropped: who sleeps through it all finds nobody."""
    script = sample(churn=Sessions(offline=0.3, session_ms=24.0 * HOUR_MS))
    steps = script.order.plan.steps
    hasty = replace(
        script.order.plan,
        steps=tuple(
            replace(step, done=tuple(c for c in step.done if not isinstance(c, Adopted)))
            for step in steps
        ),
    )
    required = script.order.required / 4
    outcome = rehearse(replace(script, order=replace(script.order, plan=hasty, required=required)))
    assert outcome.state is RolloutState.DONE
    assert not outcome.passed
    assert outcome.stranded
    assert {lost.holds_ms for lost in outcome.stranded} <= {
        script.chain.newest.timestamp_ms,
        outcome.steps[0].timestamp_ms,
    }
    assert all("192.0.2.1/9993: nothing runs there" in lost.why for lost in outcome.stranded)


def test_a_root_that_is_down_for_a_while_changes_nothing_for_the_nodes() -> None:
    outcome = rehearse(sample(60, "root-down:old-1@30s+1h"))
    assert outcome.passed
    assert "old-1" in outcome.outages[0].name
    assert outcome.outages[0].end_ms - outcome.outages[0].begin_ms == HOUR_MS
    # With any root named by nobody, it is one of those that run.
    assert rehearse(sample(60, "root-down@2m+10m")).passed


def test_both_roots_down_for_good_strands_everybody_and_the_verdict_says_where_they_look() -> None:
    script = sample(20, "root-down:old-1@0", "root-down@1s", churn=ALWAYS, for_ms=HOUR_MS)
    outcome = rehearse(script)
    assert not outcome.passed
    assert not outcome.state.is_over
    assert len(outcome.stranded) == 20
    assert outcome.stranded[0].why == (
        f"holds revision {script.chain.newest.timestamp_ms}, and looks for its roots at "
        "192.0.2.1/9993: nothing runs there, 192.0.2.2/9993: nothing runs there"
    )


def test_a_bad_canary_pauses_the_rollout_and_nobody_else_gets_it() -> None:
    outcome = rehearse(sample(60, "bad-canary", churn=ALWAYS))
    assert outcome.state is RolloutState.PAUSED
    assert "not heard from again" in outcome.reason
    assert not outcome.passed
    assert not outcome.stranded
    first = next(cohort for cohort in outcome.steps[0].cohorts if cohort.nodes)
    assert 0 < len(outcome.failed) <= first.nodes
    assert all("step 1" in lost.why for lost in outcome.failed)


def test_a_bad_canary_is_rolled_back_where_that_is_wanted() -> None:
    outcome = rehearse(replace(sample(60, "bad-canary", churn=ALWAYS), roll_back=True))
    assert outcome.state is RolloutState.ROLLED_BACK
    first = next(cohort for cohort in outcome.steps[0].cohorts if cohort.nodes)
    assert len(outcome.failed) <= first.nodes
    assert not outcome.stranded
    assert not outcome.behind


def test_a_new_root_that_nodes_cannot_reach_is_noticed_before_the_old_ones_stop() -> None:
    one, both = "unreachable:198.51.100.1/9993@0", "unreachable:198.51.100.2/9993@0"
    outcome = rehearse(sample(60, one, both, churn=ALWAYS, for_ms=HOUR_MS))
    assert outcome.state is RolloutState.PAUSED
    assert "out of their reach" in outcome.reason
    assert not outcome.stranded
    outcome = rehearse(sample(60, one, churn=ALWAYS, for_ms=HOUR_MS))
    assert outcome.state is RolloutState.WAITING
    assert "nodes were heard at" in outcome.reason
    assert not outcome.stranded


def test_losses_and_routers_that_forget_delay_and_do_no_harm() -> None:
    outcome = rehearse(
        sample(60, "loss:40%@30s+2h", "nat-reboot@61s", "place-down:192.0.2.1/9993@5m+5m")
    )
    assert outcome.passed
    assert any("NATs forget" in what for what in told(outcome))
    assert any("no more packets than before" in what for what in told(outcome))


def test_half_of_the_fleet_gone_at_once_is_nothing_that_its_history_explains() -> None:
    outcome = rehearse(sample(60, "nodes-down:50%@62s+1h", churn=ALWAYS))
    assert outcome.state is RolloutState.PAUSED
    assert any("come back at once" in what for what in told(outcome))
    assert not outcome.stranded


def test_nodes_with_a_world_of_somebody_else_are_named() -> None:
    script = sample(20, churn=ALWAYS, for_ms=HOUR_MS)
    foreign = replace(script.actors[0], held={WORLD_ID: script.chain.newest.timestamp_ms - 5})
    outcome = rehearse(replace(script, actors=(foreign, *script.actors[1:])))
    assert [lost.address for lost in outcome.behind] == [foreign.address]
    assert "no revision of this chain" in outcome.behind[0].why
    assert not outcome.passed


def test_the_same_seed_gives_the_same_rehearsal_and_another_another() -> None:
    one, again = rehearse(sample()), rehearse(sample())
    assert one == again
    assert rehearse(replace(sample(), seed=1)).steps != one.steps


def test_what_cannot_be_rehearsed_is_refused() -> None:
    script = sample(5)
    with pytest.raises(UsageError, match="no step"):
        replace(script, order=replace(script.order, plan=replace(script.order.plan, steps=())))
    with pytest.raises(UsageError, match="1 to 20,000 nodes"):
        replace(script, actors=())
    with pytest.raises(UsageError, match="has 2 steps"):
        replace(script, faults=(parse_fault("bad-canary:3"),))
    official = script.chain.newest.roots[0].identity.address
    with pytest.raises(UsageError, match=f"root {format_address(official)} runs zerotier-one"):
        replace(script, landscape=Landscape(official={official: None}))
    with pytest.raises(UsageError, match="no root 'nobody' runs"):
        rehearse(replace(script, faults=(parse_fault("root-down:nobody@1s"),)))


@pytest.mark.parametrize("seed", range(3))
def test_a_rehearsal_with_every_packet_comes_to_the_same(seed: int) -> None:
    """Without losses and with one endpoint a root, chance has no say in what idle nodes do."""
    churn = Sessions(offline=0.2, session_ms=0.5 * HOUR_MS)
    script = replace(
        sample(16, "root-down:old-2@20m+10m", churn=churn),
        surroundings=PERFECT,
        seed=seed,
    )
    lapsed = rehearse(script)
    whole = rehearse(replace(script, lapse=False))
    assert whole.passed
    assert lapsed.passed
    assert whole.rounds > 20 * lapsed.rounds
    for ours, theirs in zip(lapsed.steps, whole.steps, strict=True):
        assert ours.published_ms == pytest.approx(theirs.published_ms, abs=10_000)
        for one, other in zip(ours.cohorts, theirs.cohorts, strict=True):
            assert one.nodes == other.nodes
            assert one.adopted_ms == pytest.approx(other.adopted_ms, abs=10_000)
    # What roots hand out differs by repetitions only.
    assert sum(root.handed_bytes for root in lapsed.roots) == pytest.approx(
        sum(root.handed_bytes for root in whole.roots), rel=0.2
    )


def test_actors_are_who_they_are() -> None:
    script = sample(3)
    assert {actor.address for actor in script.actors} == {
        address for group in script.order.plan.fleet for address in group.addresses
    }
    assert isinstance(script.actors[0], Actor)
    assert script.name_of(Address(0x123456789A)) == "123456789a"
