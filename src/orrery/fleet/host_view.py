"""What was found on a host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orrery.errors import DecodeError
from orrery.wire.address import Address
from orrery.wire.world import World

DIRECTORIES = (".", "moons.d")
MOON_FILE = re.compile(r"moons\.d/([0-9a-f]{16})\.moon")
_TOLD_FILES = ("planet", "identity.public")


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
        is_writable: Whether files can be put into its home.
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
    is_writable: bool = True
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


def is_told_file(name: str) -> bool:
    """Whether it is the name of a file whose content is told; a host may say anything."""
    return name in _TOLD_FILES or MOON_FILE.fullmatch(name) is not None


def decoded(data: bytes | None) -> World | None:
    """The World that a file holds, if it holds one."""
    try:
        return None if data is None else World.decode(data)
    except DecodeError:
        return None
