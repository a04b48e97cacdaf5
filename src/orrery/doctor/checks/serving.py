"""Roots: whether they run, answer where nodes look for them, and hand out what is published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orrery.doctor.commands import Commands, restart
from orrery.doctor.finding import Finding, note, problem, warning
from orrery.doctor.snapshot import Snapshot
from orrery.rollout.places import Place, name_places, places_of
from orrery.spans import format_age
from orrery.wire.address import Address, format_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import WorldType

_LATELY_MS = 900_000
"""A node that is there was heard in this time."""
_SILENCE_MS = 3_600_000
"""So long no fleet is silent altogether, unless all of it sleeps."""


def check_serving(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """The own root, then the others."""
    listed = sorted(_listed(snapshot))
    own = [place for place in listed if snapshot.is_own(place.identity)]
    if snapshot.is_served:
        yield from _served(snapshot, own, commands)
    elif own:
        yield from _not_served(own[0].identity.address, own, snapshot, commands)
    others: dict[Address, list[Place]] = {}
    for place in listed:
        if not snapshot.is_own(place.identity):
            others.setdefault(place.identity.address, []).append(place)
    for address, places in others.items():
        yield from _another_root(address, places, snapshot, commands)


def _listed(snapshot: Snapshot) -> frozenset[Place]:
    return frozenset().union(*(places_of(world.newest.roots) for world in snapshot.worlds))


# The own root


def _not_served(
    address: Address, own: list[Place], snapshot: Snapshot, commands: Commands
) -> Iterator[Finding]:
    root = f"root {format_address(address)}"
    if snapshot.network.listeners:
        taken = snapshot.network.listeners[0]
        who = taken.program or "another program"
        which = f"{who} (process {taken.process})" if taken.process else who
        yield problem(
            "port-taken",
            f"{which} receives at UDP {taken.endpoint}, where {root} is to, so `orrery serve` "
            "cannot start: stop it for good, or change 'listen' in orrery.toml",
            _stop(taken.program, taken.process),
            commands.orrery("serve"),
        )
        return
    answering = snapshot.network.answered.intersection(own)
    if answering:
        yield problem(
            "another-server",
            f"{name_places(answering)} answers, and this home is not served: another program has "
            "the identity of its root, and may hand out other revisions than this home has; stop "
            "one of the two for good (there, `ss -lunp` names that program)",
            "ss -lunp",
        )
        return
    waits = any(world.is_rolling for world in snapshot.worlds)
    yield problem(
        "not-served",
        f"{root} does not run: nodes find nobody at {' and '.join(_endpoints(own))}"
        + (", and the rollout that was begun stands still" if waits else ""),
        commands.orrery("serve"),
    )


def _stop(program: str, process: int) -> str:
    if program == "zerotier-one":
        return "systemctl disable --now zerotier-one"
    return f"kill {process}" if process else "ss -lunp"


def _served(snapshot: Snapshot, own: list[Place], commands: Commands) -> Iterator[Finding]:
    if snapshot.identity is None:
        return
    settings, network = snapshot.settings, snapshot.network
    address = format_address(snapshot.identity.address)
    wanted = settings is not None and any(
        root.identity == snapshot.identity for world in settings.worlds for root in world.roots
    )
    if not own and not wanted and snapshot.worlds:
        yield warning(
            "not-a-root",
            f"root {address} is served here, and no World lists it: nodes never ask it; give it a "
            "[[world.root]] in orrery.toml, or let the root that is listed be served",
            commands.edit(snapshot.settings_path),
            commands.orrery("apply"),
        )
    silent = network.silent.intersection(own)
    for place in sorted(silent):
        yield from _own_silence(place, snapshot, commands)
    yield from _what_it_hands_out(snapshot, commands)
    heard_ms, now_ms = network.heard_at_ms, snapshot.time.now_ms
    if own and not silent and now_ms - heard_ms > _SILENCE_MS:
        said = (
            f"no node was heard by root {address} for {format_age(now_ms - heard_ms)}"
            if heard_ms
            else f"no node has said hello to root {address} yet"
        )
        files = ", ".join(str(world.file) for world in snapshot.worlds)
        yield note(
            "no-nodes",
            f"{said}: nodes need {files} in their home directory, and UDP port "
            f"{' and '.join(_ports(own))} must be open in every firewall on the way",
            *(_open_ports(own, network.firewall) or (commands.orrery("nodes --watch"),)),
        )


def _own_silence(place: Place, snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """A place of the own root that does not answer though it is served."""
    network, settings = snapshot.network, snapshot.settings
    is_local = place.endpoint.ip in network.local
    listen = [] if settings is None else settings.serve.listen
    here = [each for each in listen if _receives(each, place.endpoint)]
    if listen and not here:
        where = ", ".join(map(str, listen))
        told = (
            f"nodes look for this root at {place.endpoint}, and 'listen' in orrery.toml says "
            f"{where}"
        )
        mend = (commands.edit(snapshot.settings_path),)
        if is_local:
            yield problem(
                "other-port", f"{told}: let it have that port, and start the server again", *mend
            )
        elif not _is_heard(snapshot):
            yield warning("other-port", f"{told}: that is right only if a router maps it", *mend)
    elif is_local:
        yield problem(
            "no-answer",
            f"the server runs, and nothing answers at {place.endpoint}, an address of this "
            "machine: a firewall here keeps it from nodes too, or the server was started with "
            "another --listen",
            *(_open_ports([place], network.firewall) or ("ss -lunp",)),
        )
    elif not _is_heard(snapshot):
        yield note(
            "not-seen-from-here",
            f"nothing answers from here at {place.endpoint}, which is no address of this machine: "
            "many routers lead nobody back inside; see to it that this UDP port is mapped to this "
            "machine, and watch whether nodes come",
            commands.orrery("nodes --watch"),
        )


def _receives(listen: Endpoint, endpoint: Endpoint) -> bool:
    return (listen.family, listen.port) == (endpoint.family, endpoint.port)


def _is_heard(snapshot: Snapshot) -> bool:
    return snapshot.time.now_ms - snapshot.network.heard_at_ms < _LATELY_MS


def _what_it_hands_out(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    network = snapshot.network
    planet = next(
        (world for world in snapshot.worlds if world.newest.type is WorldType.PLANET), None
    )
    if planet is None or network.held_ms is None or planet.led_to != planet.newest:
        return
    if network.held_ms != planet.newest.timestamp_ms:
        what = f"revision {network.held_ms}" if network.held_ms else "no revision of it"
        process = next((each.process for each in network.listeners if each.process), 0)
        yield problem(
            "serves-other",
            f"the server hands out {what}, and the newest of {planet.title} is "
            f"{planet.newest.timestamp_ms}: it is another home's, or cannot read its database; "
            "start it again",
            f"kill -HUP {process}" if process else commands.orrery("serve"),
        )


# Other roots


def _another_root(
    address: Address, places: list[Place], snapshot: Snapshot, commands: Commands
) -> Iterator[Finding]:
    silent = snapshot.network.silent.intersection(places)
    if not silent:
        return
    if snapshot.network.answered.intersection(places):
        yield warning(
            "no-answer",
            f"root {name_places(silent)} does not answer there, and does elsewhere: nodes that can "
            "only get there have lost it; let it answer, or take the place out of orrery.toml",
            commands.edit(snapshot.settings_path),
            commands.orrery("apply"),
        )
        return
    yield problem(
        "root-down",
        f"root {name_places(silent)} does not answer from here: start it there; if it is gone for "
        f"good, plan with `--gone {format_address(address)}`",
        start_root(address, snapshot, commands),
    )


def start_root(address: Address, snapshot: Snapshot, commands: Commands) -> str:
    """How to start a root that is somewhere else, as far as that is known."""
    settings = snapshot.settings
    hosts = [] if settings is None else settings.hosts
    for host in hosts:
        if address in (host.node, snapshot.node_of(host.name)):
            return restart(host, snapshot.path)
    if address in snapshot.sharing:
        return commands.orrery("serve --identity IDENTITY --listen IP:PORT")
    is_official = settings is not None and any(
        root.software == "zerotier-one" and root.identity.address == address
        for world in settings.worlds
        for root in world.roots
    )
    return "systemctl restart zerotier-one" if is_official else "systemctl restart orrery"


# Words


def _endpoints(places: Iterable[Place]) -> list[str]:
    return [str(place.endpoint) for place in places]


def _ports(places: Iterable[Place]) -> list[str]:
    return [str(port) for port in dict.fromkeys(place.endpoint.port for place in places)]


def _open_ports(places: Iterable[Place], firewall: str) -> tuple[str, ...]:
    """Let the firewall of this machine lead nodes to these places; nothing where it is unknown."""
    ports = _ports(places)
    if firewall == "ufw":
        return tuple(f"ufw allow {port}/udp" for port in ports)
    if firewall == "firewall-cmd":
        added = " ".join(f"--add-port={port}/udp" for port in ports)
        return (f"firewall-cmd --permanent {added}", "firewall-cmd --reload")
    return ()
