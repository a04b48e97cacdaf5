"""`orrery deploy`: what is asked for, what is shown meanwhile, and what became of each host."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orrery.cli.app import run
from orrery.cli.deploy_view import Course, outcome_lines
from orrery.errors import ConflictError
from orrery.fleet import Result, Step
from orrery.home import Home
from tests.unit.cli.hosting import Fleet, add_host, outcome
from tests.unit.cli.rolling import rolling_home
from tests.unit.cli.running import Orrery
from tests.unit.cli.test_apply import Terminal

GOOD = [outcome("root-2"), outcome("nas", Result.UP_TO_DATE, "it holds revision 1 of home already")]
BAD = [
    outcome("root-2"),
    outcome(
        "nas",
        Result.PUT_BACK,
        "zerotier-one did not come back online within 60s with revision 2 of home, so that what "
        "was there before was put back, and runs: look at its log",
    ),
    outcome("router", Result.UNREACHABLE, "root@192.0.2.4: nobody answers at port 22"),
    outcome("phone", Result.SKIPPED, "not tried, because nas failed"),
]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with rolling_home(tmp_path / "home") as made:
        add_host(made, "root-2", ssh="root@203.0.113.8")
        add_host(made, "nas", ssh="root@203.0.113.9")
        yield made


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    fleet = Fleet(GOOD)
    fleet.install(monkeypatch)
    return fleet


def test_each_host_is_told_of_and_all_are_counted(orrery: Orrery, home: Home, fleet: Fleet) -> None:
    fleet.course = [
        ("root-2", Step.CONNECT, ""),
        ("root-2", Step.PUT_BACK, "it stays offline"),
        ("root-2", Step.PUT_BACK, "it stays offline"),
        ("nas", Step.LOOK, ""),
        ("nas", Step.UPLOAD, ""),
    ]
    result = orrery("deploy", "--home", "home")
    assert (result.status, result.out, result.err) == (
        0,
        "root-2  deployed    as it should be\n"
        "nas     up to date  it holds revision 1 of home already\n"
        "2 hosts: 1 deployed, 1 up to date\n",
        "root-2: putting back what was there: it stays offline\nnas: copying the World files\n",
    )
    assert fleet.asked == [
        {"names": None, "dry_run": False, "replace": False, "restart_last_root": False}
    ]


def test_what_is_asked_for_is_handed_on(orrery: Orrery, home: Home, fleet: Fleet) -> None:
    assert orrery("deploy", "nas", "nas", "--home", "home", "--replace").status == 0
    fleet.outcomes = [outcome("nas", Result.WOULD_DEPLOY, "revision 1 of home, to hold 2")]
    result = orrery("deploy", "nas", "--dry-run", "--restart-last-root", "--home", "home")
    assert fleet.asked == [
        {"names": ["nas"], "dry_run": False, "replace": True, "restart_last_root": False},
        {"names": ["nas"], "dry_run": True, "replace": False, "restart_last_root": True},
    ]
    assert result.out == "nas  would deploy  revision 1 of home, to hold 2\n"
    assert result.err == "next: orrery deploy nas --home home\n"


def test_what_is_left_is_a_no_and_its_command_is_said(
    orrery: Orrery, home: Home, fleet: Fleet
) -> None:
    fleet.outcomes = BAD
    result = orrery("deploy", "--home", "home")
    assert result.status == 1
    assert result.out.splitlines() == [
        "root-2  deployed     as it should be",
        "nas     put back     zerotier-one did not come back online within 60s with",
        "                     revision 2 of home, so that what was there before was put",
        "                     back, and runs: look at its log",
        "router  unreachable  root@192.0.2.4: nobody answers at port 22",
        "phone   skipped      not tried, because nas failed",
        "4 hosts: 1 deployed, 1 put back, 1 unreachable, 1 skipped",
    ]
    assert result.err == "when that is mended: orrery deploy nas router phone --home home\n"
    fleet.outcomes = BAD[1:]
    assert orrery("deploy", "--home", "home").err.endswith("orrery deploy --home home\n")
    one = orrery("deploy", "router", "--home", "home")
    assert one.err.endswith("orrery deploy router --home home\n")
    assert "1 host:" not in one.out


def test_commands_to_run_name_the_home(orrery: Orrery, home: Home, fleet: Fleet) -> None:
    fleet.outcomes = [outcome("nas", Result.FAILED, "it was cut off; run `orrery deploy nas`")]
    result = orrery("deploy", "--home", "home", "--json")
    (told,) = result.json["hosts"]
    assert told["sentence"] == "it was cut off; run `orrery deploy nas --home home`"


def test_programs_are_told_the_same(orrery: Orrery, home: Home, fleet: Fleet) -> None:
    fleet.outcomes = BAD
    fleet.course = [("nas", Step.INSTALL, "")]
    result = orrery("deploy", "--home", "home", "--json")
    assert (result.status, result.err) == (1, "")
    told = result.json
    assert (told["good"], told["dry_run"]) == (False, False)
    assert [(each["host"], each["result"]) for each in told["hosts"]] == [
        ("root-2", "deployed"),
        ("nas", "put-back"),
        ("router", "unreachable"),
        ("phone", "skipped"),
    ]


def test_what_fails_before_any_host_is_an_error(orrery: Orrery, home: Home, fleet: Fleet) -> None:
    fleet.error = ConflictError("another deploy works from this home")
    result = orrery("deploy", "--home", "home", "--json")
    assert (result.status, result.error["code"]) == (5, "conflict")


def test_ctrl_c_leaves_hosts_to_themselves_and_says_so(
    orrery: Orrery, home: Home, fleet: Fleet
) -> None:
    fleet.course = [
        ("root-2", Step.DONE, "as it should be"),
        ("nas", Step.CHECK, ""),
        ("router", Step.BACK_UP, ""),
    ]
    add_host(home, "router", ssh="root@192.0.2.4")
    fleet.is_held = True
    fleet.on_course = lambda: signal.raise_signal(signal.SIGINT)
    result = orrery("deploy", "--home", "home")
    assert (result.status, result.out) == (130, "")
    assert result.err.splitlines()[2:] == [
        "nas goes on without this command, and will run with the new World or with the one before: "
        "`orrery deploy --home home` tells how it ended, and does the rest",
        "nothing was changed on router",
    ]
    fleet.course = []
    early = orrery("deploy", "nas", "--home", "home")
    assert early.err == "nothing was changed on nas: `orrery deploy nas --home home` begins anew\n"


def test_at_a_terminal_it_is_shown_in_place(
    home: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    fleet.course = [("root-2", Step.CHECK, "")]
    assert run(["deploy", "--home", "home"]) == 0
    shown = terminal.getvalue()
    assert "waiting for its turn" in shown
    assert "0 of 2 hosts done" in shown
    assert "\x1b[1A" in shown, "the view is taken away again"
    assert "2 hosts: 1 deployed, 1 up to date" in shown.rpartition("\x1b[1A")[2]


def test_a_course_says_where_each_host_is_and_since_when() -> None:
    now_ms = 0
    course = Course(["root-2", "nas", "router"], lambda: now_ms)
    course.note("root-2", Step.DONE, "it holds revision 2")
    course.note("nas", Step.CHECK, "")
    assert [line.plain for line in course.lines(24)] == [
        "root-2  it holds revision 2",
        "nas     waiting until it is back",
        "router  waiting for its turn",
        "1 of 3 hosts done",
    ]
    now_ms = 12_000
    course.note("nas", Step.CHECK, "offline")
    assert [line.plain for line in course.lines(3)] == [
        "nas     waiting until it is back: offline, 12s",
        "1 of 3 hosts done",
    ]


def test_with_little_room_sentences_go_on_lines_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orrery.cli.output.width", lambda: 40)
    lines = [line.plain for line in outcome_lines(BAD[:2], 40)]
    assert lines[:4] == [
        "root-2  deployed",
        "  as it should be",
        "nas     put back",
        "  zerotier-one did not come back online",
    ]
    assert all(len(line) <= 40 for line in lines)


def test_a_home_without_hosts_says_how_to_name_one(orrery: Orrery, tmp_path: Path) -> None:
    with rolling_home(tmp_path / "bare"):
        for command in ("deploy", "hosts"):
            result = orrery(command, "--home", "bare")
            assert result.status == 2
            assert "[[host]]" in result.err
            named = orrery(command, "nas", "--home", "bare", "--json")
            assert (named.status, named.error["code"]) == (2, "usage")
    assert json.loads(named.err)["error"]["exit_status"] == 2
