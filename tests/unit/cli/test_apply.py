"""`orrery apply`: what is asked, what is begun, how it is followed."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orrery.cli.app import run
from orrery.home import Home
from orrery.rollout.state import RolloutState
from tests.unit.cli.rolling import (
    MOVED,
    NODES,
    Conductor,
    adopt,
    edit,
    newest,
    revisions,
    rolling_home,
    wish,
)
from tests.unit.cli.running import Orrery
from tests.unit.custody.locks import quick_lock
from tests.unit.home.making import ONE

SLEEP = "orrery.cli.following.time.sleep"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ORRERY_PASSPHRASE", raising=False)
    with rolling_home(tmp_path / "home") as made:
        yield made


def test_without_a_server_it_begins_and_says_how_to_start_one(orrery: Orrery, home: Home) -> None:
    wish(home, ONE, MOVED)
    result = orrery("apply", "--yes")
    assert result.status == 1
    assert "plan: 1 to add" in result.out
    assert "no server conducts here" in result.err
    assert "`orrery serve --home" in result.err
    (rollout,) = home.store.rollouts()
    assert rollout.state is RolloutState.PLANNED
    assert len(revisions(home)) == 1
    again = orrery("apply", "--yes")
    assert (again.status, "a rollout of 'home' goes on already" in again.err) == (5, True)
    assert "`orrery status --watch --home" in again.err
    assert "`orrery rollback --home" in again.err


def test_detached_it_ends_at_once(orrery: Orrery, home: Home) -> None:
    wish(home, ONE, MOVED)
    told = orrery("apply", "--yes", "--detach", "--json")
    assert told.status == 0
    assert told.json["safe"]
    assert told.json["rollout"]["state"] == "planned"
    assert (told.json["rollout"]["step"], told.json["rollout"]["steps"]) == (1, 1)


def test_nobody_to_ask_is_a_refusal(orrery: Orrery, home: Home) -> None:
    wish(home, ONE, MOVED)
    result = orrery("apply")
    assert result.status == 2
    assert "this plan has add-endpoint, and there is nobody to ask: say --yes" in result.err
    assert home.store.rollouts() == ()


def test_what_orrery_toml_allows_is_not_asked(orrery: Orrery, home: Home) -> None:
    edit(home, "without_asking = []", 'without_asking = ["add-endpoint"]')
    wish(home, MOVED)
    result = orrery("apply", "--detach")
    assert (result.status, "this plan has remove-endpoint, and" in result.err) == (2, True)
    wish(home, ONE, MOVED)
    exempt = orrery("apply", "--detach", "--exempt", f"{NODES[0]:010x}")
    assert (exempt.status, "1 node may be stranded, and" in exempt.err) == (2, True)
    assert orrery("apply", "--detach").status == 0


@pytest.mark.parametrize(("answer", "begun"), [("y\n", 1), ("n\n", 0)])
def test_a_person_is_asked(
    home: Home, monkeypatch: pytest.MonkeyPatch, answer: str, begun: int
) -> None:
    wish(home, ONE, MOVED)
    typed = io.StringIO(answer)
    monkeypatch.setattr(typed, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", typed)
    assert run(["apply"]) == 1
    assert len(home.store.rollouts()) == begun


def test_where_the_key_is_not_nothing_is_asked_or_used_up(orrery: Orrery, home: Home) -> None:
    for path in home.keys.directory.rglob("*.c25519"):
        path.unlink()
    wish(home, ONE, MOVED)
    result = orrery("apply")
    assert result.status == 4
    assert "write the plan to a file with `orrery plan --out`" in result.err
    assert home.store.rollouts() == ()


def test_nothing_to_do_is_done(orrery: Orrery, home: Home) -> None:
    result = orrery("apply")
    assert (result.status, "nothing to do" in result.out) == (0, True)
    assert orrery("apply", "--json").json["rollout"] is None


def test_what_is_not_safe_is_not_begun(orrery: Orrery, home: Home) -> None:
    wish(home, MOVED)
    result = orrery("apply", "--yes", "--gone", str(ONE))
    assert (result.status, "what can be done" in result.out) == (1, True)
    told = orrery("apply", "--yes", "--gone", str(ONE), "--json")
    assert (told.status, told.json["safe"], told.json["rollout"]) == (1, False, None)
    assert home.store.rollouts() == ()


def test_it_is_followed_until_it_is_done(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    conductor = Conductor(
        home,
        lambda: None,
        lambda: adopt(home, conductor.publish(), *NODES[:2]),
        lambda: adopt(home, newest(home), *NODES),
        lambda: conductor.change(state=RolloutState.DONE, reason=""),
    )
    monkeypatch.setattr(SLEEP, conductor)
    wish(home, ONE, MOVED)
    result = orrery("apply", "--yes")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[-4:] == [
        "step 1 of 1, planned",
        "step 1 of 1, running (2 of 5 nodes)",
        "step 1 of 1, running (5 of 5 nodes)",
        "step 1 of 1, done",
    ]
    assert len(revisions(home)) == 2


class Terminal(io.StringIO):
    """What is written to it is shown to a person."""

    def isatty(self) -> bool:
        return True


def test_at_a_terminal_it_is_shown_in_place(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    conductor = Conductor(
        home,
        lambda: adopt(home, conductor.publish(), *NODES[:2]),
        lambda: conductor.change(state=RolloutState.PAUSED, reason="2 nodes fell silent"),
    )
    monkeypatch.setattr(SLEEP, conductor)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    wish(home, ONE, MOVED)
    assert run(["apply", "--yes"]) == 1
    shown = terminal.getvalue()
    assert "\x1b[1A" in shown, "the view before is overwritten"
    for said in ("planned", "2 of 5", f"{NODES[3]:010x}  holds revision 1", "2 nodes fell silent"):
        assert said in shown


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RolloutState.PAUSED, "go on with `orrery resume --home"),
        (RolloutState.STOPPED, ""),
        (RolloutState.ROLLED_BACK, ""),
    ],
)
def test_what_is_not_done_is_a_no(
    orrery: Orrery,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    state: RolloutState,
    said: str,
) -> None:
    conductor = Conductor(home, lambda: conductor.change(state=state, reason="3 nodes are silent"))
    monkeypatch.setattr(SLEEP, conductor)
    wish(home, ONE, MOVED)
    result = orrery("apply", "--yes")
    assert (result.status, said in result.err) == (1, True)
    assert result.out.splitlines()[-1] == f"{state}: 3 nodes are silent"


def test_a_conductor_that_goes_away_is_waited_for_only_so_long(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        assert conductor.lease is not None
        home.store.release_lease(conductor.lease)
        monkeypatch.setattr("orrery.cli.following._PATIENCE_S", -1.0)

    conductor = Conductor(home, die)
    monkeypatch.setattr(SLEEP, conductor)
    wish(home, ONE, MOVED)
    result = orrery("apply", "--yes")
    assert (result.status, "nobody has carried the rollout out" in result.err) == (1, True)


def test_ctrl_c_leaves_it_going_on_and_says_so(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    conductor = Conductor(home, interrupt)
    monkeypatch.setattr(SLEEP, conductor)
    wish(home, ONE, MOVED)
    result = orrery("apply", "--yes")
    assert (result.status, "the rollout goes on without this command" in result.err) == (130, True)
    assert conductor.rollout.state is RolloutState.PLANNED


def test_a_locked_key_signs_before_it_begins(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_lock(monkeypatch)
    monkeypatch.setenv("ORRERY_PASSPHRASE", "right")
    assert orrery("key", "lock").status == 0
    wish(home, MOVED)
    monkeypatch.setenv("ORRERY_PASSPHRASE", "wrong")
    wrong = orrery("apply", "--yes", "--detach")
    assert (wrong.status, "the passphrase is wrong" in wrong.err) == (4, True)
    assert home.store.rollouts() == ()
    monkeypatch.setenv("ORRERY_PASSPHRASE", "right")
    assert orrery("apply", "--yes", "--detach").status == 0
    (rollout,) = home.store.rollouts()
    assert rollout.plan.count('"signed": ["01') == 1
    assert len(revisions(home)) == 1


def test_a_clock_that_was_set_back_is_no_matter(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch, clock: Callable[[int], None]
) -> None:
    del monkeypatch
    wish(home, ONE, MOVED)
    clock(-3_600_000)
    assert orrery("apply", "--yes", "--detach").status == 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    import time

    def move(by_ms: int) -> None:
        true_ns = time.time_ns
        monkeypatch.setattr("orrery.home.home.time.time_ns", lambda: true_ns() + by_ms * 1_000_000)

    return move
