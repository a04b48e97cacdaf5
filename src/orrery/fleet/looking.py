"""Looking at a host: what lies in its home, what its service says, and what is wrong there.

Nothing is changed there, and nothing secret is fetched: of `identity.secret` and `authtoken.secret`
only owner and mode are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from orrery.errors import DecodeError, OrreryError
from orrery.fleet.host_script import HostScript, Record, one_line
from orrery.fleet.host_view import (
    DIRECTORIES,
    MOON_FILE,
    HostFile,
    HostView,
    Running,
    Unfinished,
    decoded,
)
from orrery.fleet.node_models import Moon, Peer, Status
from orrery.fleet.problems import find_problems
from orrery.fleet.shell import Shell
from orrery.home.settings import HostSettings
from orrery.wire.address import Address
from orrery.wire.identity import Identity
from orrery.wire.world import World

_SECONDS, _MILLISECONDS = re.compile("[0-9]{1,10}"), re.compile("[0-9]{1,13}")
_LISTED = re.compile(r"([-dlcbps][-rwxsStT]{9})\S*\s+\d+\s+(\d{1,10})\s+(\d{1,10})\s.*?(\S+)")
_DISK = re.compile(r"\s(\d{1,15})\s+(-?\d{1,15})\s+(-?\d{1,15})\s+(?:\d+%|-)\s")


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
    return any(decoded(record.data) is None for record in found)


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
        home=home if work and home.isprintable() else host.home,
        work=work or home,
        is_writable="writable" not in told or told["writable"].text != "no",
        is_inside=not work,
        files=files,
        planet=None if planet is None else decoded(planet.data),
        moons=_moons(files),
        running=running,
        running_error=running_error,
        disk_free_bytes=free,
        disk_total_bytes=total,
        clock_skew_ms=_clock_skew(told, before_ms, after_ms),
        unfinished=_unfinished(told),
    )
    disk = told["disk"].text if "disk" in told else ""
    return replace(view, problems=tuple(find_problems(host, view, disk)))


# What the records say


def _files(told: Mapping[str, Record]) -> dict[str, HostFile]:
    found = {}
    for line in told["files"].text.splitlines() if "files" in told else ():
        listed = _LISTED.fullmatch(line.partition(" -> ")[0])
        if listed is None or not line.isprintable():
            continue
        flags, uid, gid, name = listed.groups()
        record = told.get(f"file {name}")
        found[name] = HostFile(
            name=name,
            mode=_mode(flags),
            uid=int(uid),
            gid=int(gid),
            is_plain=flags[0] == ("d" if name in DIRECTORIES else "-"),
            data=None if record is None else record.data,
        )
    return found


def _mode(flags: str) -> int:
    bits = 0
    for flag, unset in zip(flags[1:], "-" * 9, strict=True):
        bits = bits << 1 | (flag not in (unset, "S", "T"))
    return bits


def _moons(files: Mapping[str, HostFile]) -> dict[int, World]:
    found = {}
    for name, each in files.items():
        if (named := MOON_FILE.fullmatch(name)) and (world := decoded(each.data)) is not None:
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
        return None, one_line(str(error))
    return (
        Running(
            address=status.address,
            version=one_line(status.version),
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
            state=one_line(state),
            by=one_line(by) or "somebody",
            since_ms=int(since) if _MILLISECONDS.fullmatch(since) else 0,
            is_alive=name == "working",
        )
    return None
