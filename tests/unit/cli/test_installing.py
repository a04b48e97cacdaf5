"""`apply` installs World files on official roots that are hosts; elsewhere it is said who is to."""

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orrery.cli.installing import Duties, Installer, due_of, installed_by
from orrery.errors import ConflictError
from orrery.fleet import Result, Step
from orrery.home import Home
from orrery.home.rolling import RolloutView
from orrery.rollout.conditions import Adopted, Installed
from orrery.rollout.state import RolloutState
from orrery.wire.address import Address
from tests.unit.cli.hosting import Fleet, add_host, host_view, outcome, unreached
from tests.unit.cli.rolling import (
    NODES,
    THERE,
    Conductor,
    adopt,
    edit,
    newest,
    rolling_home,
    wish,
)
from tests.unit.cli.running import Orrery
from tests.unit.cli.test_apply import SLEEP
from tests.unit.cli.test_rollout_view import cohort, seen
from tests.unit.home.making import ONE
from tests.unit.store.making import identity, sighting

ROOT = identity(1).address
OTHER = Address(0x1234567890)


# What is due, and when


def rolling(
    state: RolloutState = RolloutState.WAITING, *, at: int = -1, **values: Any
) -> RolloutView:
    """A rollout whose step was published."""
    view = seen(cohort(0, 1, now_ms=0), cohort(1, 4, now_ms=0), state=state)
    step = replace(view.order.plan.steps[0], **values)
    order = replace(view.order, plan=replace(view.order.plan, steps=(step,)))
    return replace(view, order=order, rollout=replace(view.rollout, cohort=at))


def test_a_file_is_due_at_once_or_with_the_last_cohort() -> None:
    step: dict[str, Any] = {"install_first": (ROOT,), "install_last": (OTHER,)}
    assert due_of(rolling(at=-1, **step)) == ((ROOT,), (OTHER,))
    assert due_of(rolling(at=0, **step)) == ((), (OTHER,))
    assert due_of(rolling(at=1, **step)) == ((OTHER,), ())
    assert due_of(rolling(RolloutState.PAUSED, at=-1, **step)) == ((), (OTHER,))
    done = rolling(RolloutState.DONE, at=1, **step)
    assert due_of(done) == ((), ())
    back = rolling(at=0, **step)
    assert due_of(replace(back, progress=replace(back.progress, rolling_back=True))) == ((), ())


def test_a_condition_is_due_when_the_rollout_waits_for_it() -> None:
    """Before it the root may have to be kept from starting."""
    needed = Installed(0, (ROOT,))
    view = rolling(at=-1, before=(Adopted(0), needed))
    unpublished = replace(view, progress=replace(view.progress, revisions=(1,)), target_ms=0)
    waits = replace(unpublished.rollout, reason=f"step 1 is published when this is so: {needed}")
    assert due_of(unpublished) == ((), ())
    assert due_of(replace(unpublished, rollout=waits)) == ((ROOT,), ())
    view = rolling(at=1)
    plan = replace(view.order.plan, finish=(Installed(1, (OTHER,)),))
    left = f"every step is done; what is left: {plan.finish[0]}"
    view = replace(view, order=replace(view.order, plan=plan))
    assert due_of(view) == ((), ())
    assert due_of(replace(view, rollout=replace(view.rollout, reason=left))) == ((OTHER,), ())
    assert installed_by(plan) == {OTHER}
    assert installed_by(unpublished.order.plan) == {ROOT}


# Commands


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that wants an official root beside its own, which is a host."""
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path / "home"))
    with rolling_home(tmp_path / "home") as made:
        wish(made, ONE, second=THERE)
        edit(made, 'name = "root-2"', 'name = "root-2"\nsoftware = "zerotier-one"')
        yield made


@pytest.fixture
def known(home: Home) -> Home:
    add_host(home, "second", ssh="root@198.51.100.20", node=f"{ROOT:010x}")
    return home


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    fleet = Fleet([outcome("second", sentence="revision 2 of home, restarted")])
    fleet.install(monkeypatch)
    return fleet


class Waiting(Conductor):
    """A conductor that waits for the official root before it gives the step to nodes."""

    def __init__(self, home: Home) -> None:
        super().__init__(home, self.wait_for_root, self.go_on, self.finish)
        self._home_of_nodes = home

    def wait_for_root(self) -> None:
        self.publish()
        self.change(state=RolloutState.WAITING, cohort=-1, reason="the file is awaited")

    def go_on(self) -> None:
        join_deploy()
        planet = newest(self._home_of_nodes)
        told = sighting(ROOT, planet.timestamp_ms, planet_timestamp_ms=planet.timestamp_ms)
        self._home_of_nodes.store.record([replace(told, planet_id=planet.id)])
        adopt(self._home_of_nodes, planet, *NODES)
        self.change(state=RolloutState.RUNNING, cohort=2, reason="")

    def finish(self) -> None:
        self.change(state=RolloutState.DONE, reason="every step is done")


def join_deploy() -> None:
    for thread in threading.enumerate():
        if thread.name == "deploy":
            thread.join()


def test_plan_says_which_host_gets_its_file_when(orrery: Orrery, known: Home) -> None:
    result = orrery("plan")
    assert "  install  its file at once on second by `apply`" in result.out.splitlines()
    told = orrery("plan", "--json").json
    assert told["hosts"] == {f"{ROOT:010x}": "second"}


def test_a_host_with_the_name_of_a_root_is_presumed_to_be_it(orrery: Orrery, home: Home) -> None:
    add_host(home, "root-2", ssh="root@198.51.100.20")
    assert "install  its file at once on root-2 by `apply`" in orrery("plan").out
    detached = orrery("apply", "--yes", "--detach")
    assert "will wait for `orrery deploy root-2 --home" in detached.err
    Waiting(home).wait_for_root()
    assert "`orrery deploy root-2 --home" in orrery("status").out


def test_apply_asks_before_it_goes_to_a_host(orrery: Orrery, known: Home) -> None:
    edit(known, "without_asking = []", 'without_asking = ["add-root"]')
    result = orrery("apply")
    assert result.status == 2
    assert result.err.splitlines()[-1] == (
        "orrery: the World file is installed on second (root@198.51.100.20) and zerotier-one "
        "restarted there, and there is nobody to ask: say --yes"
    )
    assert known.store.rollouts() == ()
    detached = orrery("apply", "--detach")
    assert detached.status == 0
    shown = " ".join(detached.out.split())
    assert "install its file at once on second by `orrery deploy second --home" in shown
    assert "has begun, and will wait for `orrery deploy second --home" in detached.err


def test_apply_deploys_a_host_when_the_step_waits_for_it(
    orrery: Orrery, known: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.course = [("second", Step.RESTART, "")]
    monkeypatch.setattr(SLEEP, Waiting(known))
    result = orrery("apply", "--yes")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[-6:] == [
        "step 1 of 1, planned",
        "waiting: the file is awaited",
        "second: restarting zerotier-one",
        "second: revision 2 of home, restarted",
        "step 1 of 1, running (5 of 5 nodes)",
        "done: every step is done",
    ]
    assert fleet.asked == [{"names": ["second"]}]


def test_a_failed_deploy_is_told_and_not_tried_again_at_once(
    orrery: Orrery, known: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.outcomes = [outcome("second", Result.PUT_BACK, "it stayed offline, what was is back")]
    conductor = Waiting(known)
    monkeypatch.setattr(SLEEP, conductor)
    result = orrery("apply", "--yes", "--json")
    assert (result.status, result.err) == (0, "")
    assert [each["result"] for each in result.json["deployed"]] == ["put-back"]
    assert len(fleet.asked) == 1


def test_what_failed_names_the_command_that_goes_on(
    orrery: Orrery, known: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.outcomes = [outcome("second", Result.UNREACHABLE, "root@198.51.100.20: no answer")]
    monkeypatch.setattr(SLEEP, Waiting(known))
    monkeypatch.setattr("orrery.cli.installing._AGAIN_S", 0.0)
    said = orrery("apply", "--yes").out
    assert (
        "second: root@198.51.100.20: no answer; the rollout waits for it, and `orrery deploy "
        "second --home" in said
    )
    assert "tries again" in said


def test_a_host_that_had_nothing_to_do_yet_is_looked_at_again(
    orrery: Orrery, known: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.outcomes = [outcome("second", Result.UP_TO_DATE, "home: holds revision 1")]
    conductor = Waiting(known)
    conductor.turns[1:1] = [join_deploy]
    monkeypatch.setattr(SLEEP, conductor)
    monkeypatch.setattr("orrery.cli.installing._AGAIN_S", 0.0)
    result = orrery("apply", "--yes")
    assert result.status == 0
    assert len(fleet.asked) == 2
    assert result.out.count("second: home: holds revision 1") == 1


def test_a_deploy_that_has_hardly_begun_is_let_go_of_too(
    known: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, installer = threading.Event(), Installer(known.path, {ROOT: "second"})
    fleet.is_held = True
    real = Home.open

    def open_late(path: Path) -> Home:
        assert opened.wait(30)
        return real(path)

    monkeypatch.setattr(Home, "open", open_late)
    monkeypatch.setattr(threading.Thread, "join", join_after(opened.set))
    installer.look(rolling(), Duties(now=(ROOT,), home=known.path))
    installer.stop()
    assert not installer.is_working
    assert fleet.asked == []


def join_after(act: Callable[[], None]) -> Callable[[threading.Thread], None]:
    real = threading.Thread.join

    def join(thread: threading.Thread) -> None:
        act()
        real(thread, 30)

    return join


def test_what_fails_before_the_host_is_told_too(
    orrery: Orrery, known: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.error = ConflictError("another deploy works from this home")
    monkeypatch.setattr(SLEEP, Waiting(known))
    result = orrery("apply", "--yes")
    assert result.status == 0
    assert "another deploy works from this home; the rollout waits for it, and `" in result.out


def test_a_host_that_does_not_say_its_node_is_asked(
    orrery: Orrery, home: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_host(home, "second", ssh="root@198.51.100.20")
    add_host(home, "router", ssh="root@192.0.2.4")
    fleet.views = [host_view("second", node=ROOT), unreached("router")]
    monkeypatch.setattr(SLEEP, Waiting(home))
    result = orrery("apply", "--yes")
    assert result.status == 0
    assert "it is not known which node host router is" in result.err
    assert fleet.asked == [{"names": ["second"]}]


def test_ctrl_c_lets_go_of_the_host_and_of_the_rollout(
    orrery: Orrery, known: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = threading.Event()
    fleet.course, fleet.is_held, fleet.on_course = [("second", Step.CHECK, "")], True, there.set
    conductor = Waiting(known)

    def interrupt() -> None:
        assert there.wait(30)
        signal.raise_signal(signal.SIGINT)

    conductor.turns[1:] = [interrupt]
    monkeypatch.setattr(SLEEP, conductor)
    result = orrery("apply", "--yes")
    assert result.status == 130
    assert "second goes on without this command" in result.err
    assert "the rollout goes on without this command" in result.err
    assert not any(thread.name == "deploy" for thread in threading.enumerate())


def test_status_names_the_command_that_the_rollout_waits_for(orrery: Orrery, known: Home) -> None:
    assert orrery("apply", "--yes", "--detach").status == 0
    conductor = Waiting(known)
    conductor.wait_for_root()
    shown = orrery("status")
    assert "install      `orrery deploy second --home" in " ".join(shown.out.split("\n"))
    (planet,) = orrery("status", "--json").json["worlds"]
    assert planet["rollout"]["install"] == [
        {"root": f"{ROOT:010x}", "host": "second", "when": "now"}
    ]
    conductor.go_on()
    (planet,) = orrery("status", "--json").json["worlds"]
    assert planet["rollout"]["install"] == []


def test_what_a_rollout_leaves_behind_is_named(
    orrery: Orrery, known: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_host(known, "nas", ssh="root@198.51.100.21", node=f"{NODES[1]:010x}")
    conductor = Waiting(known)
    conductor.turns[1] = lambda: adopt(known, newest(known), *NODES[2:])
    monkeypatch.setattr(SLEEP, conductor)
    result = orrery("apply", "--yes", "--exempt", f"{NODES[1]:010x},{NODES[2]:010x}")
    assert result.status == 0
    assert "to be done now: `orrery deploy nas --home" in result.err


def test_a_root_that_was_installed_is_not_taken_back_by_itself(
    orrery: Orrery, known: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert orrery("apply", "--yes", "--detach").status == 0
    conductor = Waiting(known)
    conductor.wait_for_root()
    back_ms = known.store.allocate_timestamp(newest(known).id, newest(known).timestamp_ms + 1)

    def take_back() -> None:
        told: dict[str, object] = {"back_ms": back_ms, "rolling_back": True}
        conductor.change(told, state=RolloutState.ROLLED_BACK, reason="step 1 was taken back")

    conductor.turns[:] = [take_back]
    monkeypatch.setattr(SLEEP, conductor)
    result = orrery("rollback")
    assert result.status == 0
    assert "to be done now: `orrery deploy second --home" in result.err


def test_stranded_nodes_that_are_hosts_are_deployed(orrery: Orrery, home: Home) -> None:
    add_host(home, "nas", ssh="root@198.51.100.21", node=f"{NODES[1]:010x}")
    result = orrery("plan", "--gone", str(ONE))
    assert result.status == 1
    assert "hosts of orrery.toml, `orrery deploy nas" in " ".join(result.out.split())
