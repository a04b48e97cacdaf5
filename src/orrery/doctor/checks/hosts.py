"""Hosts: servers with an official zerotier-one that `orrery deploy` looks after."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orrery.doctor.commands import Commands, install_part, on_host, quote_name, restart
from orrery.doctor.finding import Finding, Level, problem, warning
from orrery.doctor.snapshot import Snapshot
from orrery.home.settings import HostSettings
from orrery.spans import format_age

if TYPE_CHECKING:
    from orrery.fleet import HostView, Problem

_LEVELS = {"clock": Level.WARNING, "version": Level.NOTE, "volatile": Level.WARNING}
"""All else that is wrong on a host is a problem."""
_CLOCKS = 2
_SKEW_MS = 60_000


def check_hosts(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """What was seen on each host, and what they have in common."""
    hosts = snapshot.hosts
    if hosts.missing_part:
        yield problem(
            "part-missing",
            "hosts of orrery.toml are reached by ssh, and the part of Orrery that does is not "
            "installed",
            install_part(hosts.missing_part),
        )
    if hosts.refusal:
        yield problem("hosts", hosts.refusal, commands.edit(snapshot.settings_path, hosts.refusal))
    settings = {} if snapshot.settings is None else {h.name: h for h in snapshot.settings.hosts}
    skewed = [view for view in hosts.views if abs(view.clock_skew_ms) > _SKEW_MS]
    ours = len(skewed) >= _CLOCKS and len(skewed) == sum(view.is_reached for view in hosts.views)
    if ours:
        yield problem(
            "clock-differs",
            f"the clocks of all {len(skewed)} hosts differ from the one here by a minute and more, "
            "so it is this one that is wrong",
            "timedatectl set-ntp true",
        )
    for view in hosts.views:
        yield from _of_a_host(view, settings[view.name], snapshot, commands, ours=ours)


def _of_a_host(
    view: HostView,
    host: HostSettings,
    snapshot: Snapshot,
    commands: Commands,
    *,
    ours: bool,
) -> Iterator[Finding]:
    name, plan = quote_name(host.name), snapshot.hosts.standings.get(host.name)
    if not view.is_reached:
        yield problem(
            "host-unreachable",
            f"host {host.name} cannot be looked at: {view.error}",
            on_host(host, snapshot.path, "true"),
        )
        return
    deploy = commands.orrery(f"deploy {name}")
    unfinished = view.unfinished
    if unfinished is not None and not unfinished.is_alive:
        age = format_age(view.looked_at_ms + view.clock_skew_ms - unfinished.since_ms)
        yield problem(
            "host-unfinished",
            f"on host {host.name} a deploy by {unfinished.by} was cut off {age} ago while it was "
            f"{unfinished.state}: the next one ends it or takes it back",
            deploy,
        )
    elif plan is not None and not plan.is_done and unfinished is None:
        refused = [plan.refusal] if plan.refusal else []
        refused += [each.sentence for each in plan.standings if each.act == "refused"]
        if refused:
            again = deploy
            # Without it the same would be refused again; the sentence says what it does.
            if not plan.refusal and any("--replace" in sentence for sentence in refused):
                again = commands.orrery(f"deploy {name} --replace")
            yield warning("host-refused", f"host {host.name}: {'; '.join(refused)}", again)
        else:
            todo = "; ".join(
                f"{each.name}: {each.sentence}" for each in plan.standings if each.act != "nothing"
            )
            yield problem(
                "host-behind", f"host {host.name} does not hold what it should: {todo}", deploy
            )
    for found in view.problems:
        if found.code == "cut-off" or (found.code == "clock" and ours):
            continue  # told above
        level = _LEVELS.get(found.code, Level.PROBLEM)
        mend = _mend(found, host, view, snapshot, deploy)
        yield Finding(f"host-{found.code}", level, f"host {host.name}: {found.sentence}", mend)


def _mend(
    found: Problem, host: HostSettings, view: HostView, snapshot: Snapshot, deploy: str
) -> tuple[str, ...]:
    """What mends something on a host, run from here."""
    match found.code:
        case "service":
            return (restart(host, snapshot.path),)
        case "world-file":
            return (deploy,)
        case "clock" if host.platform == "linux":
            return (on_host(host, snapshot.path, "timedatectl set-ntp true"),)
        case "disk":
            largest = f"du -xh {shlex.quote(view.home)} | sort -h | tail -n 20"
            return (on_host(host, snapshot.path, largest),)
    return (on_host(host, snapshot.path, found.mend),) if found.mend else ()
