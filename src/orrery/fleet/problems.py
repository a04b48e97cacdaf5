"""What is wrong on a host, each thing with the command that mends it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from orrery.fleet.host_view import DIRECTORIES, MOON_FILE, HostView, Problem, decoded
from orrery.home.settings import HostSettings
from orrery.wire.world import WorldType

CLOCK_TOLERANCE_MS = 60_000
LEAST_FREE_BYTES = 1 << 20
"""What a deploy and its backups fit into with ease."""
_SHORT_OF_ROOM_BYTES = 16 << 20
_SECRETS = ("identity.secret", "authtoken.secret")


def describe_disk(view: HostView) -> str:
    """What to say of a disk that is short of room."""
    if view.disk_free_bytes < LEAST_FREE_BYTES:
        return f"the disk of {view.home} has no room for a backup: free some space"
    free_kib = view.disk_free_bytes >> 10
    return f"the disk of {view.home} has {free_kib:,} KiB left: free some space"


def find_problems(host: HostSettings, view: HostView, disk: str) -> Iterator[Problem]:
    """What is wrong on a host.

    Args:
        host: What the settings say of it.
        view: What was found there, without problems.
        disk: What `df` says of its home.
    """
    yield from _file_problems(host, view)
    if view.disk_total_bytes > 0 and view.disk_free_bytes < _SHORT_OF_ROOM_BYTES:
        yield Problem("disk", describe_disk(view))
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
    if host.platform == "openwrt" and "\ntmpfs " in disk:
        # Its start script empties the home.
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
    return f"no {'directory' if name in DIRECTORIES else 'file'} but a link or something else"


def _is_world(name: str) -> bool:
    return name == "planet" or MOON_FILE.fullmatch(name) is not None


def _is_right(name: str, data: bytes) -> bool:
    world = decoded(data)
    if world is None:
        return False
    named = MOON_FILE.fullmatch(name)
    if named is None:
        return world.type is WorldType.PLANET
    return (world.type, world.id) == (WorldType.MOON, int(named[1], 16))


def _command(host: HostSettings, command: str) -> str:
    if host.container is not None:
        return f"docker exec {shlex.quote(host.container)} {command}"
    return f"sudo {command}" if host.sudo else command
