import re
from fractions import Fraction
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.errors import DecodeError, UnreadableError, UsageError
from orrery.home import Settings, SettingsEditor
from orrery.home.document import new_text, write_endpoint
from orrery.home.named_endpoint import NamedEndpoint
from orrery.home.settings import DnsSettings, RolloutSettings
from orrery.rollout.cohorts import EVERYBODY, Cohorts, Named, Share
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import WorldType
from tests.unit.store.making import identity

ANNE, BERT, CARL = (str(identity(number).public()) for number in range(3))
SECRET = identity(0).to_string(secret=True)
GOOD = f"""\
[[world]]
name = "home"
kind = "planet"
id = "8056c2e21c000001"

[[world.root]]
name = "one"
identity = "{ANNE}"
endpoints = ["203.0.113.7:9993", "2001:db8::1/9993"]

[[world.root]]
name = "two"
identity = "{BERT}"
endpoints = ["203.0.113.8:9993"]

[serve]
push = false
"""


def test_settings_are_read_as_they_are_meant() -> None:
    settings = Settings.parse(GOOD)
    (world,) = settings.worlds
    assert (world.name, world.type, world.id) == ("home", WorldType.PLANET, 0x8056C2E21C000001)
    assert [root.name for root in world.roots] == ["one", "two"]
    assert world.roots[0].identity == identity(0).public()
    assert list(map(str, world.roots[0].endpoints)) == ["203.0.113.7/9993", "2001:db8::1/9993"]
    assert settings.serve.push is False
    assert list(map(str, settings.serve.listen)) == ["0.0.0.0/9993", "::/9993"]
    assert (settings.serve.push_rate, settings.serve.retention_days) == (1_000, 30)


def test_serve_may_be_left_out() -> None:
    assert (
        Settings.parse(GOOD.partition("[serve]")[0]).serve
        == Settings.parse(GOOD.replace("push = false", "push = true")).serve
    )


def _replaced(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (_replaced('name = "home"', "name = home"), 2, "this is not TOML"),
        (GOOD + "\n[serve]\n", 19, "this is not TOML"),
        (_replaced('"203.0.113.8:9993"]', '"203.0.113.8:9993"'), None, "this is not TOML"),
        (_replaced("push =", "puhs ="), 17, "unknown key 'puhs' in [serve]; did you mean 'push'?"),
        (
            _replaced('endpoints = ["203.0.113.8', 'endpoint = ["203.0.113.8'),
            14,
            "unknown key 'endpoint' in [[world.root]]; did you mean 'endpoints'?",
        ),
        (_replaced("[serve]", "[serv]"), 16, "unknown key 'serv' in the file; did you mean"),
        (
            _replaced("[serve]", "[zzz]"),
            16,
            "unknown key 'zzz' in the file; known are world, serve, rollout, dns",
        ),
        (
            _replaced('kind = "planet"\n', 'knid = "planet"\n'),
            3,
            "unknown key 'knid' in [[world]]; did you mean 'kind'?",
        ),
        (
            _replaced('kind = "planet"\n', ""),
            1,
            "[[world]] has no 'kind': write kind = \"planet\"",
        ),
        (_replaced(f'identity = "{BERT}"\n', ""), 11, "[[world.root]] has no 'identity'"),
        (_replaced('"planet"', '"star"'), 3, '\'kind\' is "planet" or "moon"'),
        (_replaced('"home"', "7"), 2, "a name is a text: write it in quotes"),
        (_replaced('"home"', '" home"'), 2, "without blanks around it"),
        (_replaced('"home"', '""'), 2, "a name is made of visible characters"),
        (_replaced('"home"', f'"{"x" * 65}"'), 2, "at most 64 characters, and this has 65"),
        (_replaced('"8056c2e21c000001"', '"8056c2e21c0000012"'), 4, "1 to 16 hex digits"),
        (_replaced('"8056c2e21c000001"', '"xyz"'), 4, "'xyz' is not"),
        (_replaced('"8056c2e21c000001"', "8056"), 4, "an id is a text: write it in quotes"),
        (_replaced('"8056c2e21c000001"', '"0"'), 4, "the id 0 is no World's"),
        (_replaced(ANNE, ANNE[:-1]), 8, "has 127 hex digits, not 128"),
        (_replaced(ANNE, SECRET), 8, "has its private key with it"),
        (_replaced(f'"{ANNE}"', "5"), 8, "an identity is a text"),
        (_replaced(BERT, ANNE), 13, "root 'one' has this identity too"),
        (_replaced('"two"', '"one"'), 12, "two roots are called 'one'"),
        (_replaced("203.0.113.8:9993", "localhost:9993"), 14, "is a name without a domain"),
        (_replaced("203.0.113.8:9993", "a_b.example.org:1"), 14, "'a_b' in"),
        (_replaced("203.0.113.8:9993", "root.example.org"), 14, "has no port"),
        (
            _replaced("203.0.113.8:9993", 'root.example.org:1", "Root.Example.org.:1'),
            14,
            "this root has the endpoint root.example.org:1 already",
        ),
        (_replaced("203.0.113.8:9993", "203.0.113.8:0"), 14, "a number from 1 to 65535"),
        (_replaced("203.0.113.8:9993", "203.0.113.8"), 14, "has no port"),
        (_replaced("203.0.113.8:9993", "0.0.0.0:9993"), 14, "no place where a root can be found"),
        (_replaced("203.0.113.8:9993", "224.0.0.1:9993"), 14, "no place where a root"),
        (_replaced('["203.0.113.8:9993"]', "[]"), 14, "'endpoints' is empty"),
        (_replaced('["203.0.113.8:9993"]', '"203.0.113.8:9993"'), 14, "'endpoints' is a list"),
        (_replaced('["203.0.113.8:9993"]', "[1]"), 14, "an endpoint is a text"),
        (
            _replaced("203.0.113.8:9993", "203.0.113.7/9993"),
            14,
            "root 'one' has the endpoint 203.0.113.7/9993 already",
        ),
        (
            _replaced('"203.0.113.8:9993"', '"203.0.113.8:9993",\n "203.0.113.8/9993"'),
            15,
            "this root has the endpoint 203.0.113.8/9993 already",
        ),
        (
            _replaced(
                '"203.0.113.8:9993"', ", ".join(f'"203.0.113.8:{9000 + n}"' for n in range(33))
            ),
            14,
            "33 endpoints are too many: at most 32",
        ),
        (_replaced("push = false", 'push = "no"'), 17, "'push' is true or false"),
        (_replaced("push = false", "push_rate = 0"), 17, "'push_rate' is at least 1"),
        (_replaced("push = false", "push_rate = 1.5"), 17, "'push_rate' is a whole number"),
        (_replaced("push = false", "push_rate = 999999"), 17, "'push_rate' is at most 100000"),
        (_replaced("push = false", "listen = []"), 17, "'listen' is empty"),
        (
            _replaced("push = false", 'listen = ["root.example.org:1"]'),
            17,
            "is a name, and a server",
        ),
        (_replaced("push = false", 'listen = ["1.2.3.4"]'), 17, "has no port"),
        (
            _replaced("push = false", 'settle = "1m"'),
            17,
            "'settle' is no key of [serve]: it belongs below [rollout]",
        ),
        (f'name = "x"\n{GOOD}', 1, "'name' is no key of the file: it belongs below [[world]]"),
        ("serve = 1\n" + GOOD.partition("[serve]")[0], 1, "'serve' is a table"),
        ("", 1, "the file has no 'world'"),
        ("world = 1", 1, "'world' is written as [[world]]"),
        ("world = []", 1, "'world' is empty"),
        ("[[world]]\n\n[[world.roots]]\n", 3, "did you mean 'root'?"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, line: int | None, said: str) -> None:
    with pytest.raises(DecodeError) as refused:
        Settings.parse(text, "/home/orrery.toml")
    message = str(refused.value)
    assert said in message
    told = [each for each in message.split("\n") if said in each]
    if line is not None:
        assert told[0].startswith(f"/home/orrery.toml, line {line}: ")
    assert SECRET.rpartition(":")[2][:20] not in message


def test_the_rollout_is_read_as_it_is_meant() -> None:
    text = (
        GOOD
        + """
[rollout]
cohorts = ["2.5%", ["2c3e8f527a", "DD87C5DC2D"], "10 %", "100%"]
settle = "90s"
horizon = "36h"
required = "99.9%"
"""
    )
    rollout = Settings.parse(text).rollout
    nodes = frozenset(map(Address, (0x2C3E8F527A, 0xDD87C5DC2D)))
    assert rollout.cohorts == [Share(25_000), Named(nodes), Share(100_000), EVERYBODY]
    assert Cohorts(rollout.cohorts).opened(0).share == 25_000
    assert (rollout.settle_ms, rollout.horizon_ms) == (90_000, 36 * 3_600_000)
    assert rollout.required == Fraction(999, 1000)


def test_the_rollout_has_a_default_for_everything() -> None:
    rollout = Settings.parse(GOOD).rollout
    assert rollout == Settings.parse(f"{GOOD}\n[rollout]\n").rollout
    assert list(map(str, rollout.cohorts)) == ["1%", "10%", "100%"]
    assert (rollout.settle_ms, rollout.horizon_ms) == (10_000, 30 * 86_400_000)
    assert rollout.required == 1
    assert rollout.without_asking == []


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("cohorts = []", 1, "'cohorts' is empty"),
        ('cohorts = "100%"', 1, '\'cohorts\' is a list: write cohorts = ["1%", "10%", "100%"]'),
        ('cohorts = [10, "100%"]', 1, 'a cohort is a share, "10%", or a list of nodes'),
        ('cohorts = ["10", "100%"]', 1, "'10' has no % sign: write \"10%\""),
        ('cohorts = [\n"1%",\n"ten%",\n"100%"]', 3, "'ten%' is not a share of the nodes"),
        ('cohorts = ["0%", "100%"]', 1, "'0%' is not a share: it is more than 0%"),
        ('cohorts = ["1%", "101%"]', 1, "'101%' is not a share"),
        ('cohorts = ["1.00001%", "100%"]', 1, "with up to four decimals"),
        ('cohorts = ["10%",\n"1%",\n"100%"]', 2, "1% comes after 10%"),
        ('cohorts = ["1%", "1%", "100%"]', 1, "1% comes after 1%"),
        ('cohorts = ["1%", "10%"]', 1, 'let the list end with "100%"'),
        ('cohorts = ["100%", ["2c3e8f527a"]]', 1, 'let the list end with "100%"'),
        ('cohorts = ["2c3e8f527a", "100%"]', 1, 'write ["2c3e8f527a"]'),
        ('cohorts = [[\n"2c3e8f527a",\n"2c3e8f527"], "100%"]', 3, "'2c3e8f527' is not an address"),
        ('cohorts = [["ff3e8f527a"], "100%"]', 1, "is a reserved address"),
        ('cohorts = [[], "100%"]', 1, "this cohort names no node"),
        ('cohorts = [[1], "100%"]', 1, "the address of a node is a text"),
        (
            'cohorts = [["2c3e8f527a"],\n["2C3E8F527A"], "100%"]',
            2,
            "node 2c3e8f527a is in a cohort before: name it once",
        ),
        (
            'cohorts = [["2c3e8f527a", "2C3E8F527A"], "100%"]',
            1,
            "node 2c3e8f527a is named twice here",
        ),
        (f'cohorts = [["{identity(1).address:010x}"], "100%"]', 1, "is a root, and hands what it"),
        ("cohorts = " + str([f"{n}%" for n in range(1, 34)]), 1, "has 33 entries"),
        ("settle = 600", 1, "a span of time has a unit and stands in quotes"),
        ("settle = 00:10:00", 1, "a span of time has a unit and stands in quotes"),
        ('settle = "10"', 1, "'10' is not a span of time: write 90s, 10m, 36h or 7d"),
        ('settle = "0s"', 1, "'0s' is not a span of time"),
        ('settle = "31d"', 1, "31d is too long: write 1s to 30d"),
        ('horizon = "9m"', 1, "9m is too short: write 10m to 400d, because a node"),
        ('horizon = "401d"', 1, "401d is too long"),
        ('horizon = "10m"\nsettle = "1h"', 2, "would be watched for 1h, longer than"),
        ("required = 100", 1, 'a share stands in quotes, with a % sign: write "10%"'),
        ('required = "0%"', 1, "'0%' is not a share"),
        ('without_asking = "add-root"', 1, "'without_asking' is a list: write without_asking = ["),
        ('without_asking = ["add-roots"]', 1, "no kind of change; did you mean 'add-root'?"),
        ("without_asking = [1]", 1, "a kind of change is a text: write it in quotes"),
        ('without_asking = ["all"]', 1, "known are add-endpoint, remove-endpoint, add-root,"),
        ('settel = "10m"', 1, "unknown key 'settel' in [rollout]; did you mean 'settle'?"),
        (
            "retention_days = 1",
            1,
            "it belongs below [serve]",
        ),
    ],
)
def test_a_mistake_in_the_rollout_is_told_with_its_line(text: str, line: int, said: str) -> None:
    above = GOOD.count("\n") + 1
    with pytest.raises(DecodeError) as refused:
        Settings.parse(f"{GOOD}[rollout]\n{text}\n")
    assert f"orrery.toml, line {above + line}: " in str(refused.value)
    assert said in str(refused.value)


def test_dns_servers_are_addresses() -> None:
    text = '[dns]\nservers = ["9.9.9.9", "2620:fe::fe", "[::1]:5353"]\ntimeout = "2s"\n'
    dns = Settings.parse(GOOD + text).dns
    assert list(map(str, dns.servers)) == ["9.9.9.9/53", "2620:fe::fe/53", "::1/5353"]
    assert dns.timeout_ms == 2_000
    assert Settings.parse(GOOD).dns.servers == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('servers = ["dns.example.org"]', "is a name, and this server is what looks names up"),
        ('servers = ["9.9.9"]', 'is no DNS server: write its IP address, such as "9.9.9.9"'),
        ('servers = ["9.9.9.9:0"]', "is no DNS server"),
        ("servers = [9]", "a DNS server is a text"),
        ("servers = " + str(["9.9.9.9"] * 9), "'servers' has 9 entries, and at most 8"),
        ('timeout = "2m"', "2m is too long: write 1s to 1m"),
    ],
)
def test_a_mistake_about_dns_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DecodeError, match="line 19: ") as refused:
        Settings.parse(f"{GOOD}[dns]\n{text}\n")
    assert said in str(refused.value)


@pytest.mark.parametrize("value", ["1" * 5_000, "[" * 3_000 + "]" * 3_000])
def test_what_no_parser_can_hold_is_a_mistake_too(value: str) -> None:
    with pytest.raises(DecodeError, match="line 18: a number here is too long, or brackets"):
        Settings.parse(f"{GOOD}push_rate = {value}\n")


def test_settings_know_where_they_stand() -> None:
    settings = Settings.parse(GOOD, "/home/orrery.toml")
    place = settings.place("world", 0, "root", 1, "endpoints", 0)
    assert place == "/home/orrery.toml, line 14"
    assert settings.place("dns", "servers") == "/home/orrery.toml, line 1"
    assert settings == Settings.parse(f"# moved\n{GOOD}")


def test_every_mistake_is_told_in_order_of_lines() -> None:
    text = GOOD.replace('"home"', "7").replace(":9993", ":0").replace("push", "puhs")
    with pytest.raises(DecodeError) as refused:
        Settings.parse(text)
    lines = [int(each.split("line ")[1].split(":")[0]) for each in str(refused.value).split("\n")]
    assert lines == [2, 9, 14, 17]


def test_more_roots_than_nodes_read_are_refused() -> None:
    roots = "".join(
        f'[[world.root]]\nname = "{n}"\nidentity = "{identity(n).public()}"\n'
        f'endpoints = ["203.0.113.{n}:9993"]\n'
        for n in range(1, 6)
    )
    head = GOOD.partition("[[world.root]]")[0]
    with pytest.raises(DecodeError, match="line 6: 5 roots are too many: at most 4"):
        Settings.parse(head + roots)


def _two_worlds(**second: str) -> str:
    values = {"name": "hut", "kind": "moon", "id": "b9ce1f7fa4"} | second
    lines = "\n".join(f'{key} = "{value}"' for key, value in values.items())
    root = f'[[world.root]]\nname = "one"\nidentity = "{ANNE}"\nendpoints = ["203.0.113.7:9993"]\n'
    return f"{GOOD}\n[[world]]\n{lines}\n{root}"


def test_worlds_may_share_a_root() -> None:
    assert [world.kind for world in Settings.parse(_two_worlds()).worlds] == ["planet", "moon"]


@pytest.mark.parametrize(
    ("second", "line", "said"),
    [
        ({"name": "home"}, 20, "two Worlds are called 'home'"),
        ({"id": "8056c2e21c000001"}, 22, "World 'home' has the id 8056c2e21c000001 too"),
        ({"kind": "planet"}, 21, "'home' is a planet already"),
    ],
)
def test_worlds_of_a_home_differ(second: dict[str, str], line: int, said: str) -> None:
    with pytest.raises(DecodeError, match=f"line {line}: {said}"):
        Settings.parse(_two_worlds(**second))


def test_worlds_are_found_by_name_and_by_id() -> None:
    settings = Settings.parse(_two_worlds())
    assert settings.world("hut").id == 0xB9CE1F7FA4
    assert settings.world("B9CE1F7FA4").name == "hut"
    assert settings.world("000000b9ce1f7fa4").name == "hut"
    with pytest.raises(UsageError, match="did you mean 'home'"):
        settings.world("hoem")
    with pytest.raises(UsageError, match="it has home, hut"):
        settings.world("1")


def test_files_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    path = tmp_path / "orrery.toml"
    with pytest.raises(UnreadableError, match="no such file"):
        Settings.load(path)
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert Settings.load(path) == Settings.parse(GOOD)  # as some editors write it
    path.write_bytes(b"# one\n# two \xff\n")
    with pytest.raises(DecodeError, match=r"orrery\.toml, line 2: this is not UTF-8"):
        Settings.load(path)


ENDPOINTS = [Endpoint.from_text(text) for text in ("198.51.100.1:1", "[2001:db8::2]:2")]


@pytest.mark.parametrize("name", ["home", 'quo"te', "back\\slash", "家"])
def test_the_first_settings_are_read_as_they_were_asked_for(name: str) -> None:
    text = new_text(
        name=name,
        kind="moon",
        world_id=0xB9CE1F7FA4,
        root_name="r",
        identity=identity(0),
        endpoints=ENDPOINTS,
        listen=[Endpoint.from_text("[::]:7", allow_any=True)],
    )
    (world,) = Settings.parse(text).worlds
    assert (world.name, world.kind, world.id) == (name, "moon", 0xB9CE1F7FA4)
    assert world.roots[0].endpoints == ENDPOINTS
    assert list(map(str, Settings.parse(text).serve.listen)) == ["::/7"]
    assert text.count("#") >= 18
    assert Settings.parse(text).rollout == RolloutSettings()
    assert Settings.parse(text).dns == DnsSettings()
    assert identity(0).to_string(secret=True).rpartition(":")[2] not in text


def test_first_settings_that_would_be_refused_are_refused_at_once() -> None:
    with pytest.raises(DecodeError, match="already"):
        new_text(
            name="home",
            kind="planet",
            world_id=1,
            root_name="r",
            identity=identity(0),
            endpoints=[ENDPOINTS[0]] * 2,
            listen=ENDPOINTS,
        )


def test_edits_leave_comments_alone() -> None:
    text = GOOD.replace('name = "two"', 'name = "two" # the second').replace(
        "[serve]", "# about serving\n[serve]"
    )
    editor = SettingsEditor(text)
    editor.set_endpoints("home", "two", ENDPOINTS)
    edited = editor.text()
    assert Settings.parse(edited).worlds[0].roots[1].endpoints == ENDPOINTS
    assert [line for line in edited.split("\n") if "#" in line] == [
        'name = "two" # the second',
        "# about serving",
    ]
    changed = set(edited.split("\n")) ^ set(text.split("\n"))
    assert all(line.startswith("endpoints") for line in changed)


def test_edits_leave_the_comments_of_the_first_settings_alone() -> None:
    text = new_text(
        name="home",
        kind="planet",
        world_id=1,
        root_name="one",
        identity=identity(0),
        endpoints=ENDPOINTS,
        listen=ENDPOINTS,
    ).replace('settle = "10s"', 'settle = "1h" # the night shift wants to see it')
    editor = SettingsEditor(text)
    editor.set_endpoints("home", "one", [NamedEndpoint("root.example.org", 9993), *ENDPOINTS])
    editor.add_root("home", "two", identity(1), [ENDPOINTS[0].__class__(b"\1\1\1\1", 1)])
    editor.remove_root("home", "two")
    edited = editor.text()
    assert [line for line in edited.split("\n") if "#" in line] == [
        line for line in text.split("\n") if "#" in line
    ]
    assert edited.partition("[serve]")[2] == text.partition("[serve]")[2]
    assert '"root.example.org:9993"' in edited
    assert Settings.parse(edited).rollout.settle_ms == 3_600_000


def test_roots_come_and_go() -> None:
    editor = SettingsEditor(GOOD)
    editor.add_root("home", "three", identity(2), ENDPOINTS)
    editor.remove_root("home", "one")
    (world,) = Settings.parse(editor.text()).worlds
    assert [(root.name, root.identity) for root in world.roots] == [
        ("two", identity(1)),
        ("three", identity(2)),
    ]


def test_edits_of_what_is_not_there_are_refused() -> None:
    editor = SettingsEditor(GOOD)
    with pytest.raises(UsageError, match="there is 'one', 'two'"):
        editor.set_endpoints("home", "three", ENDPOINTS)
    with pytest.raises(UsageError, match="there is 'home'"):
        editor.remove_root("hut", "one")


def test_an_edit_that_makes_no_sense_gives_no_text() -> None:
    editor = SettingsEditor(GOOD)
    editor.set_endpoints("home", "one", [])
    with pytest.raises(DecodeError, match="'endpoints' is empty"):
        editor.text()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_endpoints_are_read_as_they_are_written(endpoint: Endpoint) -> None:
    assert Endpoint.from_text(write_endpoint(endpoint)) == endpoint


_FIRST = new_text(
    name="home",
    kind="planet",
    world_id=1,
    root_name="one",
    identity=identity(0),
    endpoints=ENDPOINTS,
    listen=ENDPOINTS,
)
_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_KEYS = [line.partition(" = ")[0] for line in _FIRST.split("\n") if re.match(r"\w+ = ", line)]


def _is_read_or_told(text: str) -> None:
    try:
        Settings.parse(text)
    except DecodeError as error:
        message = str(error)
    else:
        return
    for line in message.split("\n"):
        found = re.match(r"orrery\.toml, line (\d+): \S", line)
        assert found is not None
        assert 1 <= int(found[1]) <= text.count("\n") + 1


@settings(max_examples=400)
@given(data=st.data())
def test_settings_with_anything_changed_are_read_or_told(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(_FIRST)))
    end = data.draw(st.integers(start, min(start + 30, len(_FIRST))))
    more = data.draw(st.text(st.sampled_from("[]{}\"'=.#\n \\0a%") | st.characters(), max_size=8))
    _is_read_or_told(_FIRST[:start] + more + _FIRST[end:])


@settings(max_examples=400)
@given(key=st.sampled_from(_KEYS), value=_VALUES)
def test_settings_with_any_value_are_read_or_told(key: str, value: object) -> None:
    held = tomlkit.inline_table()
    held["it"] = value
    written = held.as_string().removeprefix("{").removesuffix("}").partition("=")[2]
    text = re.sub(rf"^{key} = .*$", lambda _: f"{key} ={written}", _FIRST, flags=re.MULTILINE)
    _is_read_or_told(text)
