"""Looking at a host: what lies in its home, what its service says, and what is wrong there.

Nothing is changed there, and nothing secret is fetched: of `identity.secret` and `authtoken.secret`
only owner and mode are read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from orrery.errors import DecodeError, OrreryError
from orrery.fleet.host_script import HostScript, Record, one_line
from orrery.fleet.node_models import Moon, Peer, Status
from orrery.fleet.shell import Shell
from orrery.home.settings import HostSettings
from orrery.wire.address import Address
from orrery.wire.identity import Identity
from orrery.wire.world import World, WorldType

CLOCK_TOLERANCE_MS = 60_000
LEAST_FREE_BYTES = 1 << 20
"""What a deploy and its backups fit into with ease."""
_SHORT_OF_ROOM_BYTES = 16 << 20
_DIRECTORIES = (".", "moons.d")
_SECRETS = ("identity.secret", "authtoken.secret")
_SECONDS, _MILLISECONDS = re.compile("[0-9]{1,10}"), re.compile("[0-9]{1,13}")
_MOON = re.compile(r"moons\.d/([0-9a-f]{16})\.moon")
_LISTED = re.compile(r"([-dlcbps][-rwxsStT]{9})\S*\s+\d+\s+(\d{1,10})\s+(\d{1,10})\s.*?(\S+)")
_DISK = re.compile(r"\s(\d{1,15})\s+(-?\d{1,15})\s+(-?\d{1,15})\s+(?:\d+%|-)\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFile:
    """A file or directory of a home on a host.

    Attributes:
        name: "planet", "moons.d/….moon"; "." is the home itself.
        mode: Its permissions.
        uid: Its owner.
        gid: Its group.
        is_plain: Whether it is a file or directory, as it should be; not a link, say.
        data: Its content; None for a directory, a secret, and what is no World's business.
    """

    name: str
    mode: int
    uid: int
    gid: int
    is_plain: bool = True
    data: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the service says that runs on a host.

    Attributes:
        address: The node.
        version: Of zerotier-one.
        online: Whether it heard from a root lately.
        clock_ms: Its clock.
        planet_id: Id of the planet that it works with.
        planet_ms: And timestamp.
        moons: Timestamps of the moons that it holds, by id; 0 for one that it waits for.
        peers: How many nodes it has a path to.
    """

    address: Address
    version: str
    online: bool
    clock_ms: int
    planet_id: int
    planet_ms: int
    moons: Mapping[int, int]
    peers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A deploy that is going on there, or that was cut off.

    Attributes:
        id: Its name, which begins with the time at which it began.
        state: How far it is; `host.sh` lists the states.
        by: Who deploys.
        since_ms: When it began, by the clock of who deploys.
        is_alive: Whether it goes on; if not, the next deploy ends it.
    """

    id: str
    state: str
    by: str
    since_ms: int
    is_alive: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong on a host.

    Attributes:
        code: For programs: "mode", "owner", "disk", "clock", "world-file", "service", "cut-off",
            "volatile".
        sentence: For people.
        mend: The command that mends it, "" where there is none.
    """

    code: str
    sentence: str
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """What was found on a host.

    Attributes:
        name: Of the host in `orrery.toml`.
        where: How it is reached: "root@203.0.113.7", "this machine".
        error: Why it could not be looked at, with the rest empty; "" else.
        looked_at_ms: When, by our clock.
        node: Its address.
        home: Its home on the host's disk, inside of the container where there is no other way.
        work: Where deploys keep their journal and backups there.
        is_inside: Whether there is no way to its home but into the container.
        files: By name.
        planet: What its planet file holds, None when that is missing or damaged.
        moons: What its moon files hold, by id.
        running: What its service says, None when it does not answer.
        running_error: Why it does not.
        disk_free_bytes: On the disk of the home.
        disk_total_bytes: All of that.
        clock_skew_ms: Its clock less ours, in steps of a second; 0 when they may agree.
        unfinished: A deploy that is going on or was cut off.
        problems: What is wrong.
    """

    name: str
    where: str
    error: str = ""
    looked_at_ms: int = 0
    node: Address | None = None
    home: str = ""
    work: str = ""
    is_inside: bool = False
    files: Mapping[str, HostFile] = field(default_factory=dict)
    planet: World | None = None
    moons: Mapping[int, World] = field(default_factory=dict)
    running: Running | None = None
    running_error: str = ""
    disk_free_bytes: int = 0
    disk_total_bytes: int = 0
    clock_skew_ms: int = 0
    unfinished: Unfinished | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def is_reached(self) -> bool:
        """Whether it could be looked at."""
        return not self.error


async def look(shell: Shell, host: HostSettings, now_ms: Callable[[], int]) -> HostView:
    """Look at a host.

    Args:
        shell: Runs commands there.
        host: What the settings say of it.
        now_ms: Our clock.

    Raises:
        HostError: It cannot be reached, or is not what the settings say.
    """
    script = HostScript(shell, sudo=host.sudo)
    before_ms = now_ms()
    records = await script.call("look", host.home, host.container or "")
    if _is_torn(records):
        # The service writes its files in place, and was just doing so.
        before_ms = now_ms()
        records = await script.call("look", host.home, host.container or "")
    return read_view(host, shell.where, records, before_ms, now_ms())


def _is_torn(records: tuple[Record, ...]) -> bool:
    found = [record for record in records if record.name == "file planet"]
    return any(_decoded(record.data) is None for record in found)


def read_view(
    host: HostSettings, where: str, records: tuple[Record, ...], before_ms: int, after_ms: int
) -> HostView:
    """What an answer to `look` says.

    Args:
        host: What the settings say of it.
        where: How it is reached.
        records: The answer.
        before_ms: Our clock when it was asked.
        after_ms: Our clock when it had answered.
    """
    told = {record.name: record for record in records}
    files = _files(told)
    running, running_error = _running(told)
    planet = files.get("planet")
    home, _, work = told["home"].text.partition("\n") if "home" in told else ("", "", "")
    total, free = _disk(told)
    view = HostView(
        name=host.name,
        where=where,
        looked_at_ms=after_ms,
        node=_node(files, running),
        home=home if work else host.home,
        work=work or home,
        is_inside=not work,
        files=files,
        planet=None if planet is None else _decoded(planet.data),
        moons=_moons(files),
        running=running,
        running_error=running_error,
        disk_free_bytes=free,
        disk_total_bytes=total,
        clock_skew_ms=_clock_skew(told, before_ms, after_ms),
        unfinished=_unfinished(told),
    )
    return replace(view, problems=tuple(_problems(host, view, told)))


# What the records say


def _files(told: Mapping[str, Record]) -> dict[str, HostFile]:
    found = {}
    for line in told["files"].text.splitlines() if "files" in told else ():
        listed = _LISTED.fullmatch(line.partition(" -> ")[0])
        if listed is None:
            continue
        flags, uid, gid, name = listed.groups()
        record = told.get(f"file {name}")
        found[name] = HostFile(
            name=name,
            mode=_mode(flags),
            uid=int(uid),
            gid=int(gid),
            is_plain=flags[0] == ("d" if name in _DIRECTORIES else "-"),
            data=None if record is None else record.data,
        )
    return found


def _mode(flags: str) -> int:
    bits = 0
    for flag, unset in zip(flags[1:], "-" * 9, strict=True):
        bits = bits << 1 | (flag not in (unset, "S", "T"))
    return bits


def _decoded(data: bytes | None) -> World | None:
    try:
        return None if data is None else World.decode(data)
    except DecodeError:
        return None


def _moons(files: Mapping[str, HostFile]) -> dict[int, World]:
    found = {}
    for name, each in files.items():
        if (named := _MOON.fullmatch(name)) and (world := _decoded(each.data)) is not None:
            found[int(named[1], 16)] = world
    return found


def _running(told: Mapping[str, Record]) -> tuple[Running | None, str]:
    for name in ("/status", "/peer", "/moon"):
        if f"answer {name}" not in told:
            refused = told.get(f"no-answer {name}")
            return None, one_line(refused.text) if refused is not None else "it was not asked"
    try:
        status = Status.parse(told["answer /status"].data)
        peers = Peer.parse_list(told["answer /peer"].data)
        moons = Moon.parse_list(told["answer /moon"].data)
    except DecodeError as error:
        return None, str(error)
    return (
        Running(
            address=status.address,
            version=status.version,
            online=status.online,
            clock_ms=status.clock_ms,
            planet_id=status.planet_id,
            planet_ms=status.planet_timestamp_ms,
            moons={moon.id: 0 if moon.waiting else moon.timestamp_ms for moon in moons},
            peers=sum(peer.path is not None for peer in peers),
        ),
        "",
    )


def _node(files: Mapping[str, HostFile], running: Running | None) -> Address | None:
    if running is not None:
        return running.address
    public = files.get("identity.public")
    if public is None or public.data is None:
        return None
    try:
        return Identity.from_string(public.data.decode("ascii", "replace").strip()).address
    except OrreryError:
        return None


def _disk(told: Mapping[str, Record]) -> tuple[int, int]:
    found = None if "disk" not in told else _DISK.search(told["disk"].text.replace("\n", " "))
    return (0, 0) if found is None else (int(found[1]) << 10, max(0, int(found[3])) << 10)


def _clock_skew(told: Mapping[str, Record], before_ms: int, after_ms: int) -> int:
    """How far their clock is from any time at which it can have been read."""
    if "time" not in told or not _SECONDS.fullmatch(told["time"].text):
        return 0
    since_ms = int(told["time"].text) * 1000
    if since_ms > after_ms:
        return since_ms - after_ms
    return min(0, since_ms + 999 - before_ms)


def _unfinished(told: Mapping[str, Record]) -> Unfinished | None:
    for name in ("working", "unfinished"):
        record = told.get(name)
        if record is None:
            continue
        deploy, state, by, since, *_ = [*record.text.splitlines(), "", "", "", ""]
        return Unfinished(
            id=deploy,
            state=state,
            by=one_line(by) or "somebody",
            since_ms=int(since) if _MILLISECONDS.fullmatch(since) else 0,
            is_alive=name == "working",
        )
    return None


# What is wrong


def _problems(host: HostSettings, view: HostView, told: Mapping[str, Record]) -> Iterator[Problem]:
    yield from _file_problems(host, view)
    if view.disk_total_bytes > 0 and view.disk_free_bytes < _SHORT_OF_ROOM_BYTES:
        free_kib = view.disk_free_bytes >> 10
        yield Problem("disk", f"the disk of {view.home} has {free_kib:,} KiB left: free some space")
    if abs(view.clock_skew_ms) > CLOCK_TOLERANCE_MS:
        ahead = "ahead of" if view.clock_skew_ms > 0 else "behind"
        seconds = abs(view.clock_skew_ms) // 1000
        yield Problem(
            "clock", f"its clock is {seconds:,} s {ahead} ours: let it be set by the network (NTP)"
        )
    if view.running is None:
        yield Problem(
            "service",
            f"zerotier-one does not answer: {view.running_error}",
            host.restart_command,
        )
    if view.unfinished is not None and not view.unfinished.is_alive:
        yield Problem(
            "cut-off",
            f"a deploy by {view.unfinished.by} was cut off there while {view.unfinished.state}",
            f"orrery deploy {shlex.quote(host.name)}",
        )
    if is_volatile(host, told):
        yield Problem(
            "volatile",
            f"{view.home} is in memory and is emptied when the service starts: let config_path of "
            "/etc/config/zerotier name a directory on flash, and copy_config_path be 0",
        )


def _file_problems(host: HostSettings, view: HostView) -> Iterator[Problem]:
    home = view.files.get(".")
    for name, each in view.files.items():
        path = shlex.quote(view.home if name == "." else f"{view.home}/{name}")
        open_to = 0o077 if name == "identity.secret" else 0o007
        if name in _SECRETS and each.mode & open_to:
            yield Problem(
                "mode",
                f"{name} is open to other users (mode {each.mode:04o})",
                _command(host, f"chmod 600 {path}"),
            )
        elif name not in _SECRETS and each.is_plain and each.mode & 0o022:
            yield Problem(
                "mode",
                f"{'its home' if name == '.' else name} may be changed by other users "
                f"(mode {each.mode:04o})",
                _command(host, f"chmod go-w {path}"),
            )
        # Root can read and write everything; any other user only what is its own.
        if home is not None and home.uid and each.uid != home.uid and not _is_ours(name):
            yield Problem(
                "owner",
                f"{name} belongs to user {each.uid}, and its home to user {home.uid}, as whom "
                "zerotier-one may be running: then it could not write it",
                _command(host, f"chown {home.uid}:{home.gid} {path}"),
            )
        if not each.is_plain and is_world_place(name):
            yield Problem("world-file", f"{name} is {_name_kind(name)}: put its content there")
        if each.data is not None and _is_world(name) and not _is_right(name, each.data):
            yield Problem("world-file", f"{name} is damaged: it holds no such World")
    if view.files and "planet" not in view.files:
        yield Problem("world-file", f"{view.home}/planet is missing")


def _is_ours(name: str) -> bool:
    return name == "local.conf"  # read only


def is_world_place(name: str) -> bool:
    """Whether Worlds lie there."""
    return name == "moons.d" or _is_world(name)


def _name_kind(name: str) -> str:
    return f"no {'directory' if name in _DIRECTORIES else 'file'} but a link or something else"


def _is_world(name: str) -> bool:
    return name == "planet" or _MOON.fullmatch(name) is not None


def _is_right(name: str, data: bytes) -> bool:
    world = _decoded(data)
    if world is None:
        return False
    named = _MOON.fullmatch(name)
    if named is None:
        return world.type is WorldType.PLANET
    return (world.type, world.id) == (WorldType.MOON, int(named[1], 16))


def _command(host: HostSettings, command: str) -> str:
    if host.container is not None:
        return f"docker exec {shlex.quote(host.container)} {command}"
    return f"sudo {command}" if host.sudo else command


def is_volatile(host: HostSettings, told: Mapping[str, Record]) -> bool:
    """Whether the home is lost at a restart of the service, as OpenWrt's script does it."""
    disk = told.get("disk")
    return host.platform == "openwrt" and disk is not None and "\ntmpfs " in disk.text
