"""`orrery plan`."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orrery.home import Home
from orrery.rollout.state import RolloutState, Served
from orrery.worlds.stage import NOBODY
from tests.unit.cli.rolling import MOVED, NODES, THERE, edit, newest, revisions, rolling_home, wish
from tests.unit.cli.running import Orrery
from tests.unit.home.making import ONE
from tests.unit.store.making import NOW_MS, identity, key

OWN = f"{identity(0).address:010x}"
OTHER = f"{identity(1).address:010x}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path / "home"))
    with rolling_home(tmp_path / "home") as made:
        yield made


def test_a_move_is_two_steps_with_what_must_stay_up(orrery: Orrery, home: Home) -> None:
    wish(home, MOVED)
    result = orrery("plan")
    assert result.status == 0
    assert result.err == f"next: orrery apply --home {home.path}\n"
    lines = result.out.splitlines()
    assert lines[0] == f"plan of planet {newest(home).id:016x}, 'home'"
    assert "nodes    5 counted, seen in the last 30d" in lines
    assert lines.count(f"  ~ root {OWN} root-1") == 2
    assert lines.count("    + 198.51.100.9/443") == 1
    assert lines.count(f"    - {ONE}") == 1
    assert f"  first    answering: {OWN} at 198.51.100.9/443" in lines
    assert "  wait     until every counted node holds the revision of step 1" in lines
    assert f"  may stop then: {OWN} at {ONE}" in lines
    assert lines[-1] == "plan: 1 to add, 1 to remove, in 2 steps"
    assert any("forced" in line and "strand" in line for line in lines)
    assert f"{NODES[0]:010x}" in result.out
    assert all(len(line) <= 80 for line in lines)
    assert len(revisions(home)) == 1


def test_who_is_offline_for_a_while_is_told_behind_the_plan(orrery: Orrery, home: Home) -> None:
    port = replace(ONE, port=443)
    wish(home, port)
    result = orrery("plan")
    assert result.status == 0
    lines = result.out.splitlines()
    plan = lines.index("plan: 1 to add, 1 to remove, in 2 steps")
    said = " ".join(line.removeprefix("caution").strip() for line in lines[plan + 1 :])
    assert lines[plan + 1].startswith("caution  when ")
    assert said.startswith(f"when {OWN} at {ONE} stops after step 2, ")
    assert f"until they look at {OWN} at {port} by themselves" in said
    assert all(len(line) <= 80 for line in lines)
    told = orrery("plan", "--json").json
    assert [each["caution"] for each in told["cautions"]] == ["offline-for-a-while"]
    assert [(each["step"], each["sentence"]) for each in told["cautions"]] == [(2, said)]
    assert told["retired"] == []


def test_nodes_that_a_stopped_rollout_holds_back_are_told_of(orrery: Orrery, home: Home) -> None:
    held = newest(home)
    served = Served(held.id, held.timestamp_ms, NOBODY)
    begun = home.store.create_rollout(held.id, "{}", NOW_MS, served=served)
    home.store.update_rollout(replace(begun, state=RolloutState.STOPPED), NOW_MS)
    result = orrery("plan")
    assert (result.status, "nothing to do" in result.out) == (0, True)
    assert f"was stopped, and holds nodes back at revision {held.timestamp_ms}" in result.err


def test_colours_are_those_of_terraform(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    wish(home, MOVED)
    out = orrery("plan").out
    assert "\x1b[32m+ 198.51.100.9/443" in out
    assert f"\x1b[31m- {ONE}" in out
    assert f"\x1b[33m~ root {OWN}" in out


def test_programs_are_told_all_of_it(orrery: Orrery, home: Home) -> None:
    wish(home, ONE, second=THERE)
    told = orrery("plan", "home", "--json").json
    assert (told["safe"], told["refusal"], told["file"]) == (True, None, None)
    assert (told["name"], told["revision"]) == ("home", 1)
    assert told["kinds"] == ["add-root"]
    (step,) = told["plan"]["steps"]
    assert sorted(root["endpoints"] for root in step["roots"]) == [[str(THERE)], [str(ONE)]]
    assert sum(len(group["nodes"]) for group in told["plan"]["fleet"]) == 5


def test_nothing_to_do_is_said(orrery: Orrery, home: Home) -> None:
    result = orrery("plan")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[-1].startswith("nothing to do")
    assert orrery("plan", "--detailed-exitcode").status == 0
    wish(home, ONE, MOVED)
    assert orrery("plan", "--detailed-exitcode").status == 2
    assert orrery("plan").status == 0


def test_an_address_that_is_gone_strands_everybody_and_is_refused(
    orrery: Orrery, home: Home
) -> None:
    wish(home, MOVED)
    result = orrery("plan", "--gone", str(ONE))
    assert result.status == 1
    assert "not safe: " in result.out
    assert "what can be done" in result.out
    assert f"{NODES[4]:010x}" in result.out
    assert all(len(line) <= 80 for line in result.out.splitlines())
    by_name = orrery("plan", "--gone", "root-1", "--json")
    assert by_name.status == 1
    told = by_name.json
    assert (told["safe"], told["plan"]) == (False, None)
    assert told["refusal"]["sentences"]
    assert told["refusal"]["remedies"]
    (stranded,) = told["refusal"]["stranded"]
    assert stranded["nodes"] == [f"{node:010x}" for node in NODES]
    assert (stranded["why"], stranded["holds_ms"]) == ("silent", newest(home).timestamp_ms)


def test_nodes_that_are_exempt_are_not_waited_for(orrery: Orrery, home: Home) -> None:
    wish(home, MOVED)
    first, *others = (f"{node:010x}" for node in NODES)
    told = orrery("plan", "--exempt", first, "--json").json
    assert [group["nodes"] for group in told["plan"]["exempt"]] == [[first]]
    assert [group["nodes"] for group in told["plan"]["fleet"]] == [others]
    assert f"1 exempt: {first}" in orrery("plan", "--exempt", first).out
    (home.path.parent / "lost").write_text("\n".join(others))
    told = orrery("plan", "--exempt", "@lost", "--exempt", f"{first},{first}", "--json").json
    assert told["plan"]["fleet"] == []


def test_nodes_that_nobody_saw_for_long_are_not_counted(orrery: Orrery, home: Home) -> None:
    edit(home, 'horizon = "30d"', 'horizon = "150m"')
    wish(home, MOVED)
    out = orrery("plan").out
    assert "2 counted, seen in the last 150m" in out
    assert "3 not seen for longer, and not waited for" in out


def test_a_rotation_is_a_step_like_any_other(orrery: Orrery, home: Home) -> None:
    before = newest(home).updates_must_be_signed_by
    made = orrery("key", "rotate", "--json").json
    told = orrery("plan", "--json").json
    (step,) = told["plan"]["steps"]
    assert told["kinds"] == ["rotate-key"]
    assert (step["signed_by"], step["names"]) == (before.hex(), made["public_key"])
    result = orrery("plan")
    assert f"→ {made['fingerprint']}" in result.out
    assert result.out.splitlines()[-1] == "plan: 0 to add, 0 to remove, 1 new key, in 1 step"


def test_a_key_that_is_elsewhere_can_be_named(orrery: Orrery, home: Home) -> None:
    public = key(7).public
    told = orrery("plan", "--next-key", public.hex(), "--json").json
    assert told["plan"]["steps"][-1]["names"] == public.hex()


def test_official_roots_come_last_and_need_the_file(orrery: Orrery, home: Home) -> None:
    wish(home, ONE, second=THERE)
    edit(home, 'name = "root-2"', 'name = "root-2"\nsoftware = "zerotier-one"')
    told = orrery("plan", "--json").json
    (step,) = told["plan"]["steps"]
    assert (step["install_first"], step["install_last"]) == ([OTHER], [])
    assert f"  install  its file at once on {OTHER}" in orrery("plan").out.splitlines()
    edit(home, 'software = "orrery"', 'software = "zerotier-one"')
    own = orrery("plan")
    assert (own.status, "works with this home, so it runs Orrery" in own.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("nobody",), 2, "no World 'nobody'"),
        (("--gone", "203.0.113.99:1"), 2, "no root is or shall be at 203.0.113.99:1"),
        (("--gone", "root-9"), 2, "there is no root 'root-9': there are root-1"),
        (("--gone", "1.2.3.4"), 2, "there is no root '1.2.3.4'"),
        (("--gone", "1.2.3.400:1"), 2, "is not an IP address"),
        (("--in-turn", "one"), 2, "write OLD=NEW"),
        (("--official", "root-9"), 2, "there is no root 'root-9'"),
        (("--exempt", "nobody"), 2, "is not an address"),
        (("--exempt", "2c3e8f527a"), 2, "no node 2c3e8f527a is known to hold a revision"),
        (("--next-key", "abc"), 3, "abc is not there"),
        (("--home", "nowhere"), 3, "there is no home at nowhere"),
    ],
)
def test_a_wrong_request_is_told(
    orrery: Orrery, home: Home, arguments: tuple[str, ...], status: int, said: str
) -> None:
    wish(home, MOVED)
    for more in ((), ("--json",)):
        result = orrery("plan", *arguments, *more)
        assert (result.status, result.out) == (status, "")
        told = json.loads(result.err)["error"]["message"] if more else result.err
        assert said in told


def test_a_world_without_a_revision_has_nothing_to_lead(orrery: Orrery, home: Home) -> None:
    moon = (
        '[[world]]\nname = "moon"\nkind = "moon"\nid = "abcdef"\n\n[[world.root]]\nname = "one"\n'
        f'identity = "{identity(0).public()}"\nendpoints = ["203.0.113.7:9993"]\n\n[serve]'
    )
    edit(home, "[serve]", moon)
    result = orrery("plan", "moon")
    assert (result.status, result.out) == (1, "")
    assert "make the first one with `orrery publish moon`" in result.err
    both = orrery("plan")
    assert (both.status, "say which World" in both.err) == (2, True)


def test_a_refused_wish_writes_no_file(orrery: Orrery, home: Home, tmp_path: Path) -> None:
    wish(home, MOVED)
    result = orrery("plan", "--gone", str(ONE), "--out", "plan.json")
    assert result.status == 1
    assert not (tmp_path / "plan.json").exists()
    wish(home, ONE)
    nothing = orrery("plan", "--out", "plan.json")
    assert (nothing.status, "no file was written" in nothing.err) == (0, True)
    assert not (tmp_path / "plan.json").exists()


def test_a_file_is_not_overwritten_unasked(orrery: Orrery, home: Home, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("mine")
    wish(home, MOVED)
    result = orrery("plan", "--out", "plan.json")
    assert (result.status, (tmp_path / "plan.json").read_text()) == (5, "mine")
    assert orrery("plan", "--out", "plan.json", "--force").status == 0
    assert json.loads((tmp_path / "plan.json").read_text())["format"] == "orrery-plan"
    both = orrery("plan", "--out", "-", "--json")
    assert (both.status, "has room for one" in both.error["message"]) == (2, True)
    piped = orrery("plan", "--out", "-")
    assert json.loads(piped.out)["format"] == "orrery-plan"
