"""A rollout as people see it, how long it will take, and `pause`, `resume`, `rollback`, `stop`."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from orrery.cli.estimate import time_left_ms
from orrery.cli.installing import Duties, due_of
from orrery.cli.rollout_view import describe_span, rollout_lines, time_left_words
from orrery.home import Home
from orrery.home.rolling import CohortView, MissingNode, RolloutView
from orrery.rollout.cohorts import EVERYBODY, Share
from orrery.rollout.order import Order
from orrery.rollout.places import places_of
from orrery.rollout.plan import Plan, Step
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState, Served
from orrery.store import Rollout
from orrery.wire.address import Address
from orrery.wire.world import World, WorldType
from orrery.worlds.chain import Chain
from orrery.worlds.stage import NOBODY
from tests.unit.cli.rolling import MOVED, NODES, Conductor, adopt, newest, rolling_home, wish
from tests.unit.cli.running import Orrery
from tests.unit.home.making import ONE
from tests.unit.store.making import WORLD_ID, key, world

OPENED_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
CHAIN = Chain([world(OPENED_MS - 2), world(OPENED_MS - 1)])


def missing(*ages_ms: int, now_ms: int = OPENED_MS) -> tuple[MissingNode, ...]:
    return tuple(
        MissingNode(Address(number), OPENED_MS - 2, now_ms - age_ms)
        for number, age_ms in enumerate(ages_ms, start=1)
    )


def cohort(
    number: int, counted: int, *ages_ms: int, now_ms: int, is_open: bool = True
) -> CohortView:
    return CohortView(
        number,
        ("1%", "100%")[number],
        is_open,
        counted,
        counted - len(ages_ms),
        missing(*ages_ms, now_ms=now_ms),
    )


def seen(
    *cohorts: CohortView,
    adopted_at_ms: tuple[int, ...] = (),
    state: RolloutState = RolloutState.RUNNING,
    steps: int = 1,
    required: Fraction = Fraction(1),
    complete_ms: int = 0,
    is_conducted: bool = True,
    reason: str = "",
) -> RolloutView:
    step = Step(
        number=1,
        roots=CHAIN.newest.roots,
        signed_by=key(1).public,
        names=key(1).public,
        changes=(),
    )
    plan = Plan(
        type=WorldType.PLANET,
        id=WORLD_ID,
        dictionary=b"",
        start_ms=OPENED_MS - 2,
        start_signature=bytes(96),
        steps=tuple(replace(step, number=number + 1) for number in range(steps)),
    )
    order = Order(
        plan=plan,
        cohorts=(Share(10_000), EVERYBODY),
        settle_ms=10_000,
        horizon_ms=30 * 24 * HOUR_MS,
        required=required,
    )
    progress = Progress(
        revisions=(OPENED_MS - 2, OPENED_MS - 1), opened_ms=OPENED_MS, complete_ms=complete_ms
    )
    rollout = Rollout(
        number=1,
        world_id=WORLD_ID,
        version=1,
        state=state,
        step=0,
        cohort=max(each.number for each in cohorts if each.is_open),
        reason=reason,
        plan=order.to_json(),
        intents=progress.to_json(),
        served=None,
        created_at_ms=OPENED_MS,
        changed_at_ms=OPENED_MS,
        ended_at_ms=None,
    )
    target_ms = OPENED_MS - 1
    return RolloutView(
        rollout, order, progress, target_ms, cohorts, adopted_at_ms, None, is_conducted
    )


def test_a_fleet_that_is_online_takes_as_long_as_it_is_watched() -> None:
    now_ms = OPENED_MS + 1_000
    view = seen(
        cohort(0, 10, now_ms=now_ms), cohort(1, 990, *[0] * 990, now_ms=now_ms, is_open=False)
    )
    assert time_left_ms(view, now_ms) == 10_000 + 11_000
    watched = replace(view, progress=replace(view.progress, complete_ms=OPENED_MS))
    assert time_left_ms(watched, now_ms) == 9_000 + 11_000
    further = seen(*view.cohorts, steps=3)
    assert time_left_ms(further, now_ms) == 21_000 + 2 * 22_000
    longer = replace(view, progress=replace(view.progress, complete_ms=OPENED_MS - 11_000))
    assert time_left_ms(longer, now_ms) is None
    assert time_left_words(longer, now_ms) == ""


def test_sleepers_wake_as_they_did_so_far() -> None:
    """Of 20 nodes ten were missing at half-time, of which five came: half of them in two hours."""
    now_ms = OPENED_MS + 4 * HOUR_MS
    came = tuple(OPENED_MS + 2 * HOUR_MS + number * 1_440_000 for number in range(1, 6))
    ages = [5 * HOUR_MS] * 5
    view = seen(
        cohort(0, 0, now_ms=now_ms),
        cohort(1, 20, *ages, now_ms=now_ms),
        adopted_at_ms=(OPENED_MS + 100,) * 10 + came,
    )
    exposed = 5 * 2 * HOUR_MS + sum(at_ms - OPENED_MS - 2 * HOUR_MS for at_ms in came)
    harmonic = sum(1 / number for number in range(1, 6))
    assert time_left_ms(view, now_ms) == pytest.approx(harmonic * exposed / 5 + 10_000, rel=1e-6)


def test_with_nobody_following_nothing_is_guessed() -> None:
    now_ms = OPENED_MS + 4 * HOUR_MS
    burst = (OPENED_MS + 100,) * 10
    last = cohort(1, 20, *[5 * HOUR_MS] * 10, now_ms=now_ms)
    view = seen(cohort(0, 0, now_ms=now_ms), last, adopted_at_ms=burst)
    assert time_left_ms(view, now_ms) is None
    assert time_left_words(view, now_ms) == "not known: no node followed lately"
    early = seen(cohort(0, 0, now_ms=now_ms), last, adopted_at_ms=burst)
    assert time_left_ms(early, OPENED_MS + 4_000) is None
    assert time_left_words(early, OPENED_MS + 4_000) == ""


def test_only_as_many_as_are_required_are_awaited() -> None:
    now_ms = OPENED_MS + HOUR_MS
    first = cohort(0, 10, HOUR_MS, now_ms=now_ms)
    rest = cohort(1, 5, now_ms=now_ms, is_open=False)
    assert time_left_ms(seen(first, rest), now_ms) is None
    assert time_left_ms(seen(first, rest, required=Fraction(9, 10)), now_ms) == 21_000


@pytest.mark.parametrize("state", [RolloutState.PAUSED, RolloutState.DONE])
def test_what_stands_still_has_no_time_left(state: RolloutState) -> None:
    assert time_left_words(seen(cohort(0, 1, now_ms=OPENED_MS), state=state), OPENED_MS) == ""


@pytest.mark.parametrize(
    ("span_ms", "said"),
    [
        (0, "1 s"),
        (89_000, "89 s"),
        (90_000, "2 min"),
        (5_340_000, "89 min"),
        (9_000_000, "2.5 h"),
        (36_000_000, "10 h"),
        (4 * 86_400_000, "4.0 d"),
        (40 * 86_400_000, "40 d"),
    ],
)
def test_spans_are_said_in_few_figures(span_ms: int, said: str) -> None:
    assert describe_span(span_ms) == said


def test_a_bar_for_each_cohort_and_who_is_missing() -> None:
    now_ms = OPENED_MS + HOUR_MS
    ages = [number * HOUR_MS for number in range(1, 13)]
    view = seen(
        cohort(0, 4, now_ms=now_ms),
        cohort(1, 24, *ages, now_ms=now_ms),
        state=RolloutState.WAITING,
        reason="waiting for 12 nodes",
        is_conducted=False,
    )
    lines = [line.plain for line in rollout_lines(view, CHAIN, now_ms, alone="nobody is there")]
    assert lines == [
        "rollout      step 1 of 1, waiting",
        "             waiting for 12 nodes",
        "             nobody is there",
        f"1%           {'█' * 30} 4 of 4",
        f"100%         {'█' * 15}{'░' * 15} 12 of 24",
        "time left    not known: no node followed lately",
        "missing      000000000c  holds revision 1, last seen 12h ago",
        *(
            f"             {number:010x}  holds revision 1, last seen {number}h ago"
            for number in range(11, 2, -1)
        ),
        "             and 2 more: orrery nodes --behind",
    ]
    assert all(len(line) <= 80 for line in lines)


def test_cohorts_whose_turn_has_not_come_say_so() -> None:
    view = seen(
        cohort(0, 0, now_ms=OPENED_MS),
        replace(cohort(1, 2, 1, 1, now_ms=OPENED_MS, is_open=False), name="2c3e8f527a, dd87c5dc2d"),
    )
    lines = [line.plain for line in rollout_lines(view, CHAIN, OPENED_MS, alone="")]
    assert lines[1] == "1%           no node counts"
    assert lines[2] == f"2 nodes      {'░' * 30} 0 of 2, not its turn yet"


def test_what_must_stay_up_or_be_installed_is_said() -> None:
    root = CHAIN.newest.roots[0]
    (place,) = places_of([root])
    view = seen(cohort(0, 0, now_ms=OPENED_MS), cohort(1, 2, now_ms=OPENED_MS))
    step = replace(view.order.plan.steps[0], old=(place,), install_last=(root.identity.address,))
    order = replace(view.order, plan=replace(view.order.plan, steps=(step,)))
    seen_now = replace(view, order=order)
    name = f"{root.identity.address:010x}"

    def shown(duties: Duties | None) -> list[str]:
        told = rollout_lines(seen_now, CHAIN, OPENED_MS, alone="", duties=duties)
        return [line.plain for line in told]

    now, later = due_of(seen_now)
    assert (now, later) == ((root.identity.address,), ())
    here = Path()
    lines = shown(Duties(now=now, home=here))
    assert f"install      on {name} what `orrery world export` writes" in lines
    hosts = {root.identity.address: "root-1"}
    assert "install      `orrery deploy root-1`" in shown(Duties(now=now, hosts=hosts, home=here))
    by_itself = Duties(later=now, hosts=hosts, by_itself=True, home=here)
    assert "install      with the last cohort, on root-1, by this command" in shown(by_itself)
    assert f"keep up      {name} at {root.endpoints[0]}, which nodes behind still need" in lines


# Commands


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path / "home"))
    with rolling_home(tmp_path / "home") as made:
        wish(made, ONE, MOVED)
        yield made


def begun(orrery: Orrery) -> None:
    assert orrery("apply", "--yes", "--detach").status == 0


@pytest.mark.parametrize("command", ["pause", "resume", "rollback", "stop"])
def test_without_a_rollout_there_is_nothing_to_steer(
    orrery: Orrery, home: Home, command: str
) -> None:
    result = orrery(command)
    assert (result.status, result.out) == (1, "")
    assert "no rollout of 'home' goes on" in result.err


def test_a_rollout_is_paused_and_goes_on(orrery: Orrery, home: Home) -> None:
    begun(orrery)
    paused = orrery("pause")
    assert (paused.status, paused.out) == (0, "")
    assert "is paused: go on with `orrery resume --home" in paused.err
    again = orrery("pause", "--json")
    assert (again.status, "is paused already" in again.error["message"]) == (1, True)
    assert "step 1 of 1, paused" in orrery("status").out
    told = orrery("resume", "--json").json
    assert (told["state"], told["conducted"]) == ("running", False)
    twice = orrery("resume")
    assert (twice.status, "is not paused, it is running" in twice.err) == (1, True)


def test_publish_lets_go_of_nodes_that_a_stopped_rollout_holds_back(
    orrery: Orrery, home: Home
) -> None:
    begun(orrery)
    conductor = Conductor(home, lambda: None)
    before = home.served_worlds()[0]
    published = conductor.publish()
    conductor.change(served=Served(before.id, before.timestamp_ms, NOBODY))
    assert orrery("stop").status == 0
    world_id = before.id
    assert home.store.served()[world_id].held_back_ms < published.timestamp_ms
    assert "until `orrery publish` gives the newest revision to everybody" in orrery("plan").err
    would = orrery("publish", "--dry-run")
    assert (would.status, "would be given to everybody" in would.out) == (0, True)
    assert world_id in home.store.served()
    released = orrery("publish")
    assert (released.status, released.err) == (0, "")
    assert "revision 2 of planet home is given to everybody" in released.out
    assert home.store.served() == {}
    assert World.decode((home.path / "planet").read_bytes()) == published
    assert orrery("publish").status == 1


@pytest.mark.parametrize("named", [True, False])
def test_mistakes_in_orrery_toml_do_not_keep_a_rollout_going(
    orrery: Orrery, home: Home, named: bool
) -> None:
    begun(orrery)
    world_id = f"{home.served_worlds()[0].id:016x}"
    home.settings_path.write_text("[[world]]\nname = ")
    paused = orrery("pause", *([world_id] if named else []))
    assert (paused.status, paused.out) == (0, "")
    assert f"the rollout of {world_id} is paused" in paused.err
    unknown = orrery("resume", "home")
    assert (unknown.status, "orrery.toml, line 2" in unknown.err) == (3, True)
    assert orrery("resume").status == 0


def test_a_rollout_is_stopped_for_good(orrery: Orrery, home: Home) -> None:
    begun(orrery)
    assert orrery("stop").status == 0
    told = orrery("status", "--json").json["worlds"][0]["rollout"]
    assert (told["state"], told["is_over"]) == ("stopped", True)
    assert "stopped by " in orrery("status").out
    assert orrery("apply", "--yes", "--detach").status == 0


def test_a_rollback_is_followed_and_done_when_all_have_it(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(orrery)
    conductor = Conductor(home, lambda: conductor.change(state=RolloutState.ROLLED_BACK))
    adopt(home, conductor.publish(), *NODES[:2])
    monkeypatch.setattr("orrery.cli.following.time.sleep", conductor)
    result = orrery("rollback")
    assert (result.status, result.err) == (0, "")
    assert "being taken back" in result.out


def test_status_shows_the_rollout(orrery: Orrery, home: Home) -> None:
    begun(orrery)
    conductor = Conductor(home, lambda: None)
    adopt(home, conductor.publish(), *NODES[:3])
    out = orrery("status").out
    assert "rollout      step 1 of 1, running\n" in out
    assert " 3 of 5\n" in out
    assert f"missing      {NODES[3]:010x}  holds revision 1, last seen 2h ago\n" in out
    assert all(len(line) <= 80 for line in out.replace(str(home.path), "home").splitlines())
    told = orrery("status", "--json").json["worlds"][0]["rollout"]
    assert (told["state"], told["step"], told["steps"]) == ("running", 1, 1)
    assert told["timestamp_ms"] == newest(home).timestamp_ms
    assert [each["adopted"] for each in told["cohorts"]] == [0, 0, 3]
    assert [node["address"] for node in told["cohorts"][2]["missing"]] == [
        f"{node:010x}" for node in NODES[3:]
    ]
