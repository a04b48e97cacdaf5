"""What no single value shows: repetitions, and what a home cannot have."""

from collections.abc import Collection, Iterator, Sequence

from orrery.home.named_endpoint import WantedEndpoint
from orrery.home.positions import Location
from orrery.home.settings.hosts import SSH_PORT, HostSettings
from orrery.home.settings.mistakes import did_you_mean
from orrery.home.settings.tables import RolloutSettings, WorldSettings
from orrery.rollout.cohorts import EVERYBODY, Share
from orrery.spans import format_span
from orrery.wire.address import Address, format_address


def check_together(
    worlds: Sequence[WorldSettings], rollout: RolloutSettings, hosts: Sequence[HostSettings]
) -> Iterator[tuple[Location, str]]:
    """Every mistake that shows in several values only: where it stands, and a sentence."""
    planets = [world.name for world in worlds if world.kind == "planet"]
    names: dict[str, str] = {}
    ids: dict[int, str] = {}
    for number, world in enumerate(worlds):
        here: Location = ("world", number)
        if world.name in names:
            yield (*here, "name"), f"two Worlds are called {world.name!r}: rename one"
        names[world.name] = world.name
        if world.id in ids:
            yield (
                (*here, "id"),
                f"World {ids[world.id]!r} has the id {world.id:016x} too: every World has its own",
            )
        ids.setdefault(world.id, world.name)
        if world.kind == "planet" and world.name != planets[0]:
            yield (
                (*here, "kind"),
                f"{planets[0]!r} is a planet already, and nodes have only one: a second planet "
                "needs another home",
            )
        yield from _check_roots(world, here)
    roots = {root.identity.address for world in worlds for root in world.roots}
    yield from _check_rollout(rollout, roots)
    yield from _check_hosts(hosts)
    for number, host in enumerate(hosts):
        yield from _check_host(host, worlds, ("host", number))


def _check_roots(world: WorldSettings, here: Location) -> Iterator[tuple[Location, str]]:
    names: set[str] = set()
    identities: dict[object, str] = {}
    endpoints: dict[WantedEndpoint, str] = {}
    for number, root in enumerate(world.roots):
        place = (*here, "root", number)
        if root.name in names:
            yield (*place, "name"), f"two roots are called {root.name!r}: rename one"
        names.add(root.name)
        if root.identity.address in identities:
            yield (
                (*place, "identity"),
                f"root {identities[root.identity.address]!r} has this identity too: every root "
                "needs its own",
            )
        identities.setdefault(root.identity.address, root.name)
        for position, endpoint in enumerate(root.endpoints):
            if endpoint in endpoints:
                owner = endpoints[endpoint]
                which = "this root" if owner == root.name else f"root {owner!r}"
                yield (
                    (*place, "endpoints", position),
                    f"{which} has the endpoint {endpoint} already: write it once",
                )
            endpoints.setdefault(endpoint, root.name)


def _check_rollout(
    rollout: RolloutSettings, roots: Collection[Address]
) -> Iterator[tuple[Location, str]]:
    here: Location = ("rollout", "cohorts")
    before: Share | None = None
    named: set[Address] = set()
    for number, cohort in enumerate(rollout.cohorts):
        if isinstance(cohort, Share):
            if before is not None and cohort.places <= before.places:
                yield (
                    (*here, number),
                    f"{cohort} comes after {before}, and a share counts from the first node on, so "
                    "this one adds nobody: let the shares grow",
                )
            before = cohort
            continue
        for node in sorted(cohort.addresses):
            if node in roots:
                yield (
                    (*here, number),
                    f"{format_address(node)} is a root, and hands what it gets to every node: leave"
                    " it out, it comes with the last cohort",
                )
            if node in named:
                yield (
                    (*here, number),
                    f"node {format_address(node)} is in a cohort before: name it once",
                )
        named |= cohort.addresses
    if rollout.cohorts[-1] != EVERYBODY:
        yield (
            (*here, len(rollout.cohorts) - 1),
            'the last cohort is not everybody: let the list end with "100%"',
        )
    if rollout.settle_ms > rollout.horizon_ms:
        yield (
            ("rollout", "settle"),
            f"a cohort would be watched for {format_span(rollout.settle_ms)}, longer than a node "
            f"counts that is not seen ({format_span(rollout.horizon_ms)}): let 'settle' be less "
            "than 'horizon'",
        )


def _check_hosts(hosts: Sequence[HostSettings]) -> Iterator[tuple[Location, str]]:
    names: set[str] = set()
    places: dict[object, str] = {}
    nodes: dict[int, str] = {}
    for number, host in enumerate(hosts):
        here: Location = ("host", number)
        # Backups lie in directories of these names, and not every disk tells case apart.
        name = host.name.casefold()
        if name in names:
            yield (*here, "name"), f"two hosts are called {host.name!r}: rename one"
        names.add(name)
        place = _whereabouts(host)
        if place in places:
            yield (
                here,
                f"host {places[place]!r} is the same zerotier-one: same server, home and "
                "container; leave one out",
            )
        places.setdefault(place, host.name)
        if host.node is None:
            continue
        if host.node in nodes:
            yield (
                (*here, "node"),
                f"host {nodes[host.node]!r} is node {format_address(host.node)} already: every "
                "node has its own address",
            )
        nodes.setdefault(host.node, host.name)


def _check_host(
    host: HostSettings, worlds: Sequence[WorldSettings], here: Location
) -> Iterator[tuple[Location, str]]:
    if host.platform == "docker":
        if host.container is None:
            yield (
                here,
                f'{host.name!r} runs in a container: write container = "zerotier" with the name '
                "that `docker ps` shows",
            )
        if host.stated_service is not None:
            yield (
                (*here, "service"),
                "a container is restarted by its name, not as a service: leave 'service' out",
            )
    elif host.container is not None:
        yield (
            (*here, "container"),
            'only what runs in a container has one: add platform = "docker", or leave '
            "'container' out",
        )
    if host.restart is not None and host.stated_service is not None:
        yield (
            (*here, "service"),
            "'restart' says all about the restart: leave 'service' or 'restart' out",
        )
    if host.ssh is None:
        for key, value in (("key", host.key), ("known_hosts", host.known_hosts)):
            if value is not None:
                yield (
                    (*here, key),
                    f"{host.name!r} is this machine, which needs no {key!r}: add 'ssh', or leave "
                    f"{key!r} out",
                )
    yield from _check_place(host, worlds, here)


def _check_place(
    host: HostSettings, worlds: Sequence[WorldSettings], here: Location
) -> Iterator[tuple[Location, str]]:
    for root in (root for world in worlds for root in world.roots):
        if root.identity.address == host.node and root.software == "orrery":
            yield (
                (*here, "node"),
                f"node {format_address(host.node)} is root {root.name!r}, which runs Orrery and "
                'needs no file: leave this host out, or write software = "zerotier-one" there',
            )
            break
    names = [world.name for world in worlds]
    wanted = host.worlds or []
    for number, name in enumerate(wanted):
        if name not in names:
            yield (
                (*here, "worlds", number),
                f"there is no World {name!r} here{did_you_mean(name, names)}",
            )
        if name in wanted[:number]:
            yield (*here, "worlds", number), f"World {name!r} is named twice here: name it once"


def _whereabouts(host: HostSettings) -> tuple[object, ...]:
    """What tells one zerotier-one from another; who logs in does not."""
    server = host.ssh and (host.ssh.host.casefold(), host.ssh.port or SSH_PORT)
    return server, host.home, host.container
