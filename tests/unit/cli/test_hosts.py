"""`orrery hosts`: a line for each host, and what is not as it should be."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orrery.cli.hosts_view import (
    Looked,
    Newer,
    describe_looked,
    describe_size,
    host_lines,
    newest_in_use,
)
from orrery.fleet import Act, HostPlan, HostView, Problem, Standing, Unfinished
from orrery.home import Home
from orrery.wire.world import WorldType
from tests.unit.cli.hosting import (
    NODE,
    REVISIONS,
    Fleet,
    add_host,
    host_plan,
    host_view,
    running,
    standing,
    unreached,
)
from tests.unit.cli.rolling import NODES, rolling_home
from tests.unit.cli.running import Orrery
from tests.unit.store.making import NOW_MS, world

NEWEST = Newer((1, 16, 0), 3)


def shown(
    *looked: tuple[HostView, HostPlan | None], newest: Newer | None = None, width: int = 80
) -> list[str]:
    each = [Looked(view, plan) for view, plan in looked]
    return [line.plain for line in host_lines(each, newest, width, NOW_MS)]


def test_a_host_that_is_well_is_one_line() -> None:
    root = host_plan(standing(is_root=True))
    assert shown((host_view("root-2"), root)) == [
        "host    node              home          version  free    clock",
        "root-2  2c3e8f527a  root  3/3   online  1.14.1   5.1 GB  right",
    ]


def test_what_is_wrong_stands_below_its_host_with_what_mends_it() -> None:
    behind = standing(REVISIONS[1], Act.INSTALL, sentence="revision 3 is installed")
    view = host_view(
        running=running(online=False, version="1.12.2"),
        clock_skew_ms=-7_200_000,
        unfinished=Unfinished(
            id="x", state="installing", by="alice", since_ms=NOW_MS - 300_000, is_alive=False
        ),
        problems=(
            Problem("mode", "identity.secret is readable by others (mode 0644)", "chmod 600 /x"),
            Problem("world-file", "planet is a symbolic link", ""),
            Problem("cut-off", "a deploy by alice was cut off there", "orrery deploy nas"),
        ),
    )
    assert shown((view, host_plan(behind)), (unreached(), None), newest=NEWEST) == [
        "host    node              home               version  free    clock",
        "nas     2c3e8f527a  node  2/3   offline      1.12.2   5.1 GB  -2h",
        "  - home: it holds revision 2, and is to hold revision 3",
        "  - identity.secret is readable by others (mode 0644): there, run chmod 600 /x",
        "  - planet is a symbolic link",
        "  - a deploy by alice was cut off there: the next deploy ends it",
        "  - it runs zerotier-one 1.12.2, and 3 nodes run 1.16.0",
        "router  -                 -     unreachable  -        -       -",
        "  - root@192.0.2.4: no answer",
    ]


@pytest.mark.parametrize(
    ("held", "word"),
    [
        (standing(REVISIONS[0], Act.INSTALL), "1/3"),
        (standing(world(NOW_MS, world_id=7), Act.REFUSED), "other"),
        (standing(None, Act.INSTALL), "none"),
    ],
)
def test_what_is_held_is_one_word(held: Standing, word: str) -> None:
    lines = shown((host_view(running=None), host_plan(held)))
    assert lines[1].split()[3] == word


@pytest.mark.parametrize(
    ("stands", "words"),
    [
        (standing(None, Act.INSTALL), "it holds none of its revisions, and is to hold revision 3"),
        (standing(act=Act.REPAIR), "the service holds revision 3, and the file does not"),
        (
            standing(REVISIONS[0], Act.RESTART),
            "revision 3 is in the file, and the service holds revision 1",
        ),
        (standing(act=Act.REFUSED, sentence="none of ours"), "none of ours"),
    ],
)
def test_what_is_not_so_yet_is_a_sentence(stands: Standing, words: str) -> None:
    assert shown((host_view(), host_plan(stands)))[2:] == [f"  - home: {words}"]


def test_a_planet_and_a_moon_that_are_missing_are_two_things() -> None:
    """A node that runs has some planet, and waits for a moon."""
    moon = world(NOW_MS, world_id=9, world_type=WorldType.MOON)
    wanted = standing(None, Act.ORBIT, name="moon", world=moon)
    view = host_view(running=running(moons={9: 0}))
    lines = shown((view, host_plan(standing(None, Act.REFUSED), wanted)))
    assert lines[1].split()[3:5] == ["other", "waits"]


def test_a_column_in_which_nothing_stands_is_left_out() -> None:
    assert shown((unreached(), None))[:2] == [
        "host    node               version  free  clock",
        "router  -     unreachable  -        -     -",
    ]


def test_each_world_has_a_column_and_one_that_is_not_wanted_a_dash() -> None:
    moon = standing(name="a-moon-with-a-long-name", act=Act.NOTHING)
    lines = shown(
        (host_view("both"), host_plan(standing(), moon)), (host_view("one"), host_plan(standing()))
    )
    assert lines[0].split() == ["host", "node", "home", "a-moon-with…", "version", "free", "clock"]
    assert lines[1].split()[3:5] == ["3/3", "3/3"]
    assert lines[2].split()[3:5] == ["3/3", "-"]


def test_where_columns_have_no_room_those_go_that_tell_least() -> None:
    one = (host_view(), host_plan())
    assert shown(one, width=50)[0].split() == ["host", "node", "home", "version"]
    assert shown(one, width=30)[1] == "nas   3/3   online  1.14.1"
    assert shown(one, width=24)[1] == "nas   3/3   online"
    for width in range(20, 90):
        assert all(len(line) <= width for line in shown(one, width=width))


def test_a_service_that_does_not_run_says_why() -> None:
    silent = Problem("service", "zerotier-one does not answer", "systemctl restart zerotier-one")
    view = host_view(running=None, running_error="no answer", problems=(silent,))
    lines = shown((view, host_plan()), newest=NEWEST)
    assert "not running" in lines[1]
    there = "  - zerotier-one does not answer: there, run systemctl restart zerotier-one"
    assert lines[2:] == [there]
    here = shown((replace(view, where="this machine"), host_plan()))
    assert here[2:] == [there.replace("there, ", "")]


def test_a_deploy_that_goes_on_is_no_trouble_and_a_refusal_is() -> None:
    going_on = Unfinished(
        id="x", state="checking", by="bob on desk", since_ms=NOW_MS - 12_000, is_alive=True
    )
    volatile = Problem("volatile", "it is no such node", "")
    view = host_view(unfinished=going_on, problems=(volatile,))
    lines = shown((view, host_plan(refusal="it is no such node")))
    assert lines[2:] == [
        "  - it is no such node",
        "  - bob on desk has been deploying there for 12s (checking)",
    ]


def test_the_newest_version_is_counted_over_nodes_and_hosts() -> None:
    seen = {NODES[0]: (1, 14, 2), NODES[1]: (1, 14, 2), NODES[2]: (0, 0, 0), NODE: (1, 16, 0)}
    assert newest_in_use(seen, [host_view()]) == Newer((1, 14, 2), 2), "it says 1.14.1 itself"
    assert newest_in_use({}, [host_view()]) == Newer((1, 14, 1), 1)
    odd = host_view(running=running(version="a fork"))
    assert newest_in_use({}, [odd, unreached()]) is None
    assert describe_looked(Looked(odd, host_plan()), NEWEST)["newer"] is None


def test_sizes_have_three_figures() -> None:
    assert [describe_size(size) for size in (900_000, 5_100_000, 123 * 10**9, 2 * 10**12)] == [
        "900 kB",
        "5.1 MB",
        "123 GB",
        "2.0 TB",
    ]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with rolling_home(tmp_path / "home") as made:
        add_host(made, "nas", ssh="root@203.0.113.9")
        add_host(made, "router", ssh="root@192.0.2.4")
        yield made


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    fleet = Fleet(views=[host_view(), unreached()])
    fleet.plans["nas"] = host_plan(standing(REVISIONS[1], Act.INSTALL, sentence="to hold 3"))
    fleet.install(monkeypatch)
    return fleet


def test_what_a_deploy_would_mend_is_named(orrery: Orrery, home: Home, fleet: Fleet) -> None:
    result = orrery("hosts", "--home", "home")
    assert (result.status, result.err) == (1, "next: orrery deploy nas --home home\n")
    assert result.out.splitlines()[1].startswith("nas     2c3e8f527a  node  2/3")
    only = orrery("hosts", "nas", "--home", "home")
    assert (only.status, "router" in only.out) == (0, False)


def test_programs_are_told_all(orrery: Orrery, home: Home, fleet: Fleet) -> None:
    result = orrery("hosts", "--home", "home", "--json")
    assert (result.status, result.err) == (1, "")
    nas, router = result.json
    assert nas["worlds"][0] | {"sentence": ""} == {
        "name": "home",
        "id": f"{REVISIONS[0].id:016x}",
        "type": "planet",
        "revision": 2,
        "wanted": 3,
        "revisions": 3,
        "wanted_ms": REVISIONS[2].timestamp_ms,
        "newest_ms": REVISIONS[2].timestamp_ms,
        "file_ms": REVISIONS[1].timestamp_ms,
        "running_ms": REVISIONS[1].timestamp_ms,
        "root": False,
        "act": "install",
        "sentence": "",
    }
    assert (nas["reached"], nas["version"], nas["newer"]) == (True, "1.14.1", None)
    assert (router["reached"], router["error"]) == (False, "root@192.0.2.4: no answer")
    assert set(nas) == set(router)


def test_what_a_deploy_would_refuse_is_not_proposed(
    orrery: Orrery, home: Home, fleet: Fleet
) -> None:
    fleet.plans["nas"] = host_plan(standing(REVISIONS[1], Act.REFUSED, sentence="none of ours"))
    assert orrery("hosts", "nas", "--home", "home").err == ""
    fleet.plans["nas"] = host_plan(refusal="it is another node")
    assert orrery("hosts", "nas", "--home", "home").err == ""
    cut_off = Unfinished(id="x", state="installing", by="bob", since_ms=0, is_alive=False)
    fleet.views[0] = host_view(unfinished=cut_off)
    fleet.plans["nas"] = host_plan()
    assert "orrery deploy nas" in orrery("hosts", "nas", "--home", "home").err


def test_it_is_watched_at_leisure(
    orrery: Orrery, home: Home, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("orrery.cli.watching.time.sleep", sleep)
    result = orrery("hosts", "--watch", "--json", "--home", "home")
    assert (result.status, len(result.out.splitlines()), waited) == (0, 2, [10.0, 10.0])
