"""Who is stranded, who would be, and what hangs on one thing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_network

from orrery.doctor.checks.serving import start_root
from orrery.doctor.commands import Commands, quote_name
from orrery.doctor.finding import Finding, note, problem, warning
from orrery.doctor.snapshot import Published, Snapshot
from orrery.home.planning import Planned
from orrery.rollout.atlas import Bits
from orrery.rollout.fleet import Stranded, Why, count_nodes
from orrery.rollout.places import name_places, places_of
from orrery.rollout.stranding import judge, signer_of
from orrery.rollout.task import Task
from orrery.wire.address import Address, format_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import WorldType

_SHOWN = 5
_NETWORK_BITS = {4: 24, 6: 48}
"""What one provider hands out together."""


def check_stranding(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """Nodes that no running root can lead on, now or without one of the roots."""
    for world in snapshot.worlds:
        if world.planned is not None and world.planned.fleet.counted:
            yield from _of_a_world(world, world.planned, snapshot, commands)


def check_single_points(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """One root, one address, one network: what takes all of it with it when it fails."""
    for world in snapshot.worlds:
        if world.newest.type is WorldType.PLANET and world.newest.roots:
            yield from _roots(world, snapshot, commands)
        yield from _families(world, snapshot, commands)
        if world.planned is not None:
            yield from _names(world.planned, snapshot, commands)


# Nodes


def _of_a_world(
    world: Published, planned: Planned, snapshot: Snapshot, commands: Commands
) -> Iterator[Finding]:
    task = Task.of(world.chain, planned.wish, planned.fleet, planned.landscape)
    atlas = task.atlas
    lost = _judge(task, atlas.alive)
    for why in Why:
        if nodes := _addresses(each for each in lost if each.why is why):
            yield problem(
                "stranded",
                _why_lost(why, nodes, world),
                *_lead_by_hand(nodes, world, snapshot, commands),
            )
    known = set(_addresses(lost))
    # Whether the own root runs is told by itself, and is mended with one command.
    down = [place for place in snapshot.network.silent if not snapshot.is_own(place.identity)]
    waiting = [
        node
        for node in _addresses(_judge(task, atlas.alive & ~atlas.bits(down)))
        if node not in known
    ]
    if waiting:
        known.update(waiting)
        first = min(place.identity.address for place in down)
        yield problem(
            "stranded",
            f"{_nodes(waiting)} of {world.title} find no root that answers: they know only "
            f"{name_places(sorted(down))}",
            start_root(first, snapshot, commands),
        )
    if len(world.newest.roots) < 2:
        return
    for root in world.newest.roots:
        without = atlas.alive & ~atlas.of_root(atlas.bits_of([root]))
        depending = [node for node in _addresses(_judge(task, without)) if node not in known]
        if depending:
            address = format_address(root.identity.address)
            yield note(
                "depends-on-root",
                f"{_nodes(depending)} of {world.title} would be stranded without root {address}: "
                "it alone can lead them on, so keep it up until they have followed",
                commands.orrery("nodes --behind"),
            )


def _judge(task: Task, running: Bits) -> tuple[Stranded, ...]:
    return judge(task.atlas, task.counted, signer_of(task.chain), running, is_signed=True)


def _addresses(stranded: Iterable[Stranded]) -> list[Address]:
    return sorted(address for each in stranded for address in each.group.addresses)


def _why_lost(why: Why, nodes: Sequence[Address], world: Published) -> str:
    who = f"{_nodes(nodes)} of {world.title}"
    match why:
        case Why.FOREIGN:
            return (
                f"{who} hold a World that is none of its revisions, made elsewhere or older than "
                "the oldest one here: no root can lead them on unless the same key signed both; "
                "put the World's file into their homes and restart them"
            )
        case Why.SILENT:
            return (
                f"{who} look for roots where none runs any more: let one answer there again, or "
                "put the World's file into their homes and restart them"
            )
        case Why.NO_LINK:
            return (
                f"{who} reach official roots only, which have not the revision that leads them on: "
                "let them reach an Orrery root, or put the World's file into their homes and "
                "restart them"
            )


def _lead_by_hand(
    nodes: Sequence[Address], world: Published, snapshot: Snapshot, commands: Commands
) -> tuple[str, ...]:
    """Deploy where nodes are hosts, else write the file that a person installs."""
    hosts = () if snapshot.settings is None else snapshot.settings.hosts
    names = [
        host.name for host in hosts if host.node in nodes or snapshot.node_of(host.name) in nodes
    ]
    deploy = (commands.orrery(f"deploy {' '.join(map(quote_name, names))}"),) if names else ()
    if len(names) == len(nodes):
        return deploy
    file = world.file.name
    return (*deploy, commands.orrery(f"world export --world {world.newest.id:016x} {file}.new"))


# Single points


def _roots(world: Published, snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    places = sorted(places_of(world.newest.roots))
    is_wanted = world.planned is not None and len(world.planned.roots) > len(world.newest.roots)
    mend = (
        *([] if is_wanted else [commands.edit(snapshot.settings_path)]),
        commands.orrery(f"apply{world.argument}"),
    )
    if len(world.newest.roots) == 1:
        root = world.newest.roots[0]
        at_one = f", at one address, {places[0].endpoint}" if len(places) == 1 else ""
        nodes = 0 if world.planned is None else count_nodes(world.planned.fleet.counted)
        them = f"any of the {nodes:,} that were seen" if nodes > 1 else "them"
        yield note(
            "one-root",
            f"{world.title} has one root, {format_address(root.identity.address)}{at_one}: while "
            "it is down, nodes that have lost each other do not find each other again, and no "
            f"update reaches {them}; a second [[world.root]] takes over",
            *mend,
        )
        return
    addresses = {place.endpoint.ip for place in places}
    networks = {_network(place.endpoint) for place in places}
    if len(addresses) == 1 and places:
        yield note(
            "one-machine",
            f"all {len(world.newest.roots)} roots of {world.title} are at {places[0].endpoint.host}"
            ": what takes that machine down takes all of them",
            *mend,
        )
    elif len(networks) == 1:
        yield note(
            "one-network",
            f"all {len(world.newest.roots)} roots of {world.title} are in {networks.pop()}: what "
            "takes that network down, or makes its provider change addresses, takes all of them",
            *mend,
        )


def _network(endpoint: Endpoint) -> str:
    bits = _NETWORK_BITS[endpoint.family or 4]
    return str(ip_network(f"{endpoint.host}/{bits}", strict=False))


def _families(world: Published, snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    places = places_of(world.newest.roots)
    families = {place.endpoint.family for place in places}
    mend = (
        commands.edit(snapshot.settings_path),
        commands.orrery(f"apply{world.argument}"),
    )
    if families == {6}:
        yield warning(
            "ipv6-only",
            f"all roots of {world.title} have IPv6 addresses only: nodes in a network without IPv6 "
            "find none of them",
            *mend,
        )
    own = [place for place in places if snapshot.is_own(place.identity)]
    if families == {4} and own and (ipv6 := snapshot.network.own_ipv6) is not None:
        yield note(
            "no-ipv6",
            f"this machine has the address {ipv6.host}, and no node of {world.title} is told: as a "
            f'second endpoint, "{ipv6}", it is a second way to this root',
            *mend,
        )


def _names(planned: Planned, snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    for root in planned.roots:
        for resolution in root.resolutions:
            families = [endpoint.family for endpoint in resolution.addresses]
            if len(families) > len(set(families)):
                yield note(
                    "name-with-many",
                    f"{resolution.endpoint} stands for "
                    f"{', '.join(map(str, resolution.addresses))}, and all are told to nodes as "
                    f"places of root {root.name}: it must answer at each, and a name that shows "
                    "others each time is of no use here",
                    commands.edit(snapshot.settings_path),
                )


def _nodes(nodes: Sequence[Address]) -> str:
    shown = ", ".join(map(format_address, nodes[:_SHOWN]))
    more = f" and {len(nodes) - _SHOWN:,} more" if len(nodes) > _SHOWN else ""
    return f"{len(nodes):,} node{'s' * (len(nodes) > 1)} ({shown}{more})"
