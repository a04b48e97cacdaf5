from pathlib import Path

import pytest

from orrery.errors import DecodeError, UsageError
from orrery.home import HostSettings, Settings, SshTarget
from orrery.wire.address import Address, format_address
from tests.unit.store.making import identity

WORLDS = f"""\
[[world]]
name = "home"
kind = "planet"
id = "8056c2e21c000001"

[[world.root]]
name = "one"
identity = "{identity(0).public()}"
endpoints = ["203.0.113.7:9993"]

[[world.root]]
name = "two"
identity = "{identity(1).public()}"
endpoints = ["203.0.113.8:9993"]
software = "zerotier-one"

[[world]]
name = "hut"
kind = "moon"
id = "b9ce1f7fa4"

[[world.root]]
name = "moon-root"
identity = "{identity(2).public()}"
endpoints = ["203.0.113.9:9993"]

"""
ABOVE = WORLDS.count("\n")
OWN = format_address(identity(0).address)
OFFICIAL = format_address(identity(1).address)


def host(text: str) -> HostSettings:
    (found,) = Settings.parse(f'{WORLDS}[[host]]\nname = "x"\n{text}\n').hosts
    return found


def test_a_host_needs_a_name_only_and_is_this_machine() -> None:
    found = host("")
    assert (found.ssh, found.key, found.known_hosts) == (None, None, None)
    assert (found.node, found.worlds, found.sudo) == (None, None, False)
    assert (found.platform, found.home, found.service) == (
        "linux",
        "/var/lib/zerotier-one",
        "zerotier-one",
    )
    assert found.restart_command == "systemctl restart zerotier-one"


def test_a_host_is_read_as_it_is_meant() -> None:
    found = host(f"""
ssh = "admin@[2001:db8::7]:2222"
key = "keys/deploy"
known_hosts = "~/.ssh/known_hosts.d/roots"
platform = "freebsd"
home = "/usr/jails/zt//home/"
service = "zerotier_jail"
sudo = true
node = "{OFFICIAL}"
worlds = ["hut", "home"]
""")
    assert found.ssh == SshTarget("admin", "2001:db8::7", 2222)
    assert found.home == "/usr/jails/zt/home"
    assert found.restart_command == "service zerotier_jail restart"
    assert found.sudo
    assert found.node == Address(identity(1).address)
    assert found.worlds == ["hut", "home"]


def test_files_are_found_from_the_home_of_the_user_or_that_of_orrery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/anne")
    home = Path("/srv/orrery")
    for written, file in {
        "keys/deploy": "/srv/orrery/keys/deploy",
        "~/.ssh/deploy": "/home/anne/.ssh/deploy",
        "/etc/orrery/deploy": "/etc/orrery/deploy",
    }.items():
        found = host(f'ssh = "a"\nkey = "{written}"\nknown_hosts = "{written}"')
        assert found.key_file(home) == found.known_hosts_file(home) == Path(file)
    assert host("").key_file(home) is host("").known_hosts_file(home) is None


@pytest.mark.parametrize(
    ("text", "home", "restart"),
    [
        ('platform = "linux"', "/var/lib/zerotier-one", "systemctl restart zerotier-one"),
        ('service = "zt@2.service"', "/var/lib/zerotier-one", "systemctl restart zt@2.service"),
        ('platform = "openwrt"', "/var/lib/zerotier-one", "/etc/init.d/zerotier restart"),
        ('platform = "freebsd"', "/var/db/zerotier-one", "service zerotier restart"),
        (
            'platform = "macos"',
            "/Library/Application Support/ZeroTier/One",
            "launchctl unload /Library/LaunchDaemons/com.zerotier.one.plist; "
            "launchctl load /Library/LaunchDaemons/com.zerotier.one.plist",
        ),
        (
            'platform = "docker"\ncontainer = "zt-1"',
            "/var/lib/zerotier-one",
            "docker restart zt-1",
        ),
        (
            'platform = "docker"\ncontainer = "zt-1"\nhome = "/data"\nrestart = "cd /zt && make"',
            "/data",
            "cd /zt && make",
        ),
        ('restart = " rc-service zt restart "', "/var/lib/zerotier-one", "rc-service zt restart"),
    ],
)
def test_the_platform_tells_home_and_restart(text: str, home: str, restart: str) -> None:
    found = host(text)
    assert (found.home, found.restart_command) == (home, restart)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("root-2.example.org", SshTarget(None, "root-2.example.org", None)),
        ("my_root", SshTarget(None, "my_root", None)),
        ("root@203.0.113.8", SshTarget("root", "203.0.113.8", None)),
        ("root@203.0.113.8:2222", SshTarget("root", "203.0.113.8", 2222)),
        ("2001:db8::8", SshTarget(None, "2001:db8::8", None)),
        ("root@2001:db8::8", SshTarget("root", "2001:db8::8", None)),
        ("root@[2001:db8::8]", SshTarget("root", "2001:db8::8", None)),
        ("[fe80::1%eth0]:65535", SshTarget(None, "fe80::1%eth0", 65535)),
    ],
)
def test_ssh_targets(text: str, target: SshTarget) -> None:
    found = host(f'ssh = "{text}"').ssh
    assert found == target
    assert host(f'ssh = "{found}"').ssh == target


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('ssh = "ssh://root@h"', 1, 'is no server: write "root@203.0.113.7"'),
        ('ssh = "root@h:"', 1, "'root@h:' has no port behind its colon: a number from 1 to 65535"),
        ('ssh = "root@h:65536"', 1, "has no port behind its colon"),
        ('ssh = "root@h:2222:1"', 1, "has no port behind its colon"),
        ('ssh = "[2001:db8::8]2222"', 1, "IPv6 in brackets where a port follows"),
        ('ssh = "[203.0.113.8]:2222"', 1, "is no server"),
        ('ssh = ""', 1, "'' is no server"),
        ('ssh = "@h"', 1, "'' in '@h' is no user"),
        ('ssh = "ro ot@h"', 1, "'ro ot' in 'ro ot@h' is no user"),
        ('ssh = "-oProxyCommand=reboot"', 1, "is no server"),
        ('ssh = "root@-h"', 1, "is no server"),
        ('ssh = "a..b/"', 1, "is no server"),
        ("ssh = 5", 1, "a server is a text: write it in quotes"),
        ('ssh = "h"\nkey = ""', 2, 'a file has a name: write "~/.ssh/id_ed25519"'),
        ('key = "k"', 1, "'x' is this machine, which needs no 'key'"),
        ('known_hosts = "k"', 1, "'x' is this machine, which needs no 'known_hosts'"),
        (
            'platform = "windows"',
            1,
            '\'platform\' is "linux", "openwrt", "freebsd", "macos" or "docker"',
        ),
        ('home = "zt"', 1, "'zt' is no directory of a host: write all of its path"),
        ('home = "/srv/../etc"', 1, "is no directory of a host"),
        ('home = "/srv/\\n"', 1, "is no directory of a host"),
        ('home = "//"', 1, "/ is the home of no zerotier-one"),
        ('service = "a; reboot"', 1, "is no name of a service; a whole command"),
        ('service = "--all"', 1, "is no name of a service"),
        ('restart = ""', 1, "a command stands on one line"),
        ('restart = "a\\nb"', 1, "a command stands on one line"),
        ('restart = "a"\nservice = "b"', 2, "'restart' says all about the restart"),
        ('platform = "docker"', -1, 'write container = "zerotier" with the name that `docker ps`'),
        ('platform = "docker"\ncontainer = "a b"', 2, "'a b' is no name of a container"),
        ('platform = "docker"\ncontainer = "a"\nservice = "b"', 3, "not as a service"),
        ('container = "a"', 1, "only what runs in a container has one: add platform = "),
        ('sudo = "yes"', 1, "'sudo' is true or false, without quotes"),
        ('node = "8056c2e21"', 1, "'8056c2e21' is not an address"),
        ('node = "ff00000001"', 1, "is a reserved address"),
        (f'node = "{OWN}"', 1, "is root 'one', which runs Orrery and needs no file"),
        ("worlds = []", 1, "'worlds' is empty: it needs at least one entry"),
        ('worlds = "home"', 1, "'worlds' is a list: write worlds = [\"home\"]"),
        ('worlds = ["home",\n"hurt"]', 2, "there is no World 'hurt' here; did you mean 'hut'?"),
        ('worlds = ["home",\n"home"]', 2, "World 'home' is named twice here"),
        ('user = "root"', 1, "unknown key 'user' in [[host]]; known are name, ssh, key, "),
        ("parallel = 3", 1, "'parallel' is no key of [[host]]: it belongs below [deploy]"),
        ('containr = "a"', 1, "unknown key 'containr' in [[host]]; did you mean 'container'?"),
        ("[[host]]", 1, "[[host]] has no 'name': write name = \"root-2\""),
        ('[[host]]\nname = "../x"', 2, "'../x' is no name of a host: it is made of letters"),
        ('[[host]]\nname = ".x"', 2, "is no name of a host"),
        (f'[[host]]\nname = "{"x" * 65}"', 2, "at most 64 of them"),
        ('[[host]]\nname = "X"', 2, "two hosts are called 'X': rename one"),
        ('[[host]]\nname = "y"', 1, "host 'x' is the same zerotier-one: same server, home and"),
        (
            f'node = "{OFFICIAL}"\n[[host]]\nname = "y"\nssh = "h"\nnode = "{OFFICIAL.upper()}"',
            5,
            f"host 'x' is node {OFFICIAL} already",
        ),
        (
            'ssh = "a@H"\n[[host]]\nname = "y"\nssh = "b@h:22"\nhome = "/var/lib/zerotier-one/"',
            2,
            "host 'x' is the same zerotier-one",
        ),
        ("[[hosts]]", 1, "unknown key 'hosts' in the file; did you mean 'host'?"),
        ("[host.a]\nb = 1", 1, "unknown key 'a' in [[host]]"),
    ],
)
def test_a_mistake_about_a_host_is_told_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(DecodeError) as refused:
        Settings.parse(f'{WORLDS}[[host]]\nname = "x"\n{text}\n')
    told = [each for each in str(refused.value).split("\n") if said in each]
    assert told, str(refused.value)
    assert told[0].startswith(f"orrery.toml, line {ABOVE + 2 + line}: ")


@pytest.mark.parametrize(
    "second",
    [
        'ssh = "h"\nhome = "/srv/zt"',
        'ssh = "h:2222"',
        'ssh = "h2"',
        'ssh = "h"\nplatform = "docker"\ncontainer = "zt"',
        "",
    ],
)
def test_hosts_differ_in_server_home_or_container(second: str) -> None:
    text = f'{WORLDS}[[host]]\nname = "x"\nssh = "h"\n[[host]]\nname = "根-2"\n{second}\n'
    assert [each.name for each in Settings.parse(text).hosts] == ["x", "根-2"]


def test_a_single_table_is_no_list_of_hosts() -> None:
    with pytest.raises(DecodeError, match=r"'host' is written as \[\[host\]\], with its keys"):
        Settings.parse(f'{WORLDS}[host]\nname = "x"\n')


def test_a_host_is_found_by_its_name() -> None:
    text = f'{WORLDS}[[host]]\nname = "root-1"\n[[host]]\nname = "hut"\nssh = "h"\n'
    settings = Settings.parse(text)
    assert settings.host("hut") is settings.hosts[1]
    with pytest.raises(UsageError, match=r"no host 'root1' in orrery.toml; did you mean 'root-1'"):
        settings.host("root1")
    with pytest.raises(UsageError, match=r"no host 'zzz' in orrery.toml: it has root-1, hut"):
        settings.host("zzz")
    with pytest.raises(UsageError, match=r"orrery.toml has no \[\[host\]\]"):
        Settings.parse(WORLDS).host("hut")


def test_deploy_has_a_default_for_everything() -> None:
    assert Settings.parse(WORLDS).deploy == Settings.parse(f"{WORLDS}[deploy]\n").deploy
    wanted = Settings.parse(WORLDS).deploy
    assert (wanted.parallel, wanted.timeout_ms, wanted.keep) == (4, 60_000, 10)


def test_deploy_is_read_as_it_is_meant() -> None:
    text = '[deploy]\nparallel = 64\ntimeout = "10m"\nkeep = 1\n'
    wanted = Settings.parse(WORLDS + text).deploy
    assert (wanted.parallel, wanted.timeout_ms, wanted.keep) == (64, 600_000, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parallel = 0", "'parallel' is at least 1"),
        ("parallel = 65", "'parallel' is at most 64"),
        ('timeout = "9s"', "9s is too short: write 10s to 10m"),
        ('timeout = "11m"', "11m is too long: write 10s to 10m"),
        ("timeout = 60", "a span of time has a unit and stands in quotes"),
        ("keep = 0", "'keep' is at least 1"),
        ('every = "1d"', "'every' is no key of [deploy]: it belongs below [backup]"),
    ],
)
def test_a_mistake_about_deploy_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DecodeError, match=f"line {ABOVE + 2}: ") as refused:
        Settings.parse(f"{WORLDS}[deploy]\n{text}\n")
    assert said in str(refused.value)


def test_a_key_of_several_tables_is_told_with_all_of_them() -> None:
    with pytest.raises(DecodeError) as refused:
        Settings.parse(f'{WORLDS}[serve]\ntimeout = "5s"\n')
    assert "it belongs below [dns] or [deploy]" in str(refused.value)


def test_each_of_many_hosts_that_are_the_same_is_told_of_once() -> None:
    hosts = "".join(f'[[host]]\nname = "n{number}"\n' for number in range(50))
    with pytest.raises(DecodeError) as refused:
        Settings.parse(WORLDS + hosts)
    told = str(refused.value).splitlines()
    assert len([line for line in told if "host 'n0' is the same zerotier-one" in line]) == 49
    assert len(told) == 49
