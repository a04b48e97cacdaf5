"""What no single value shows: repetitions, and what a home cannot have."""

from collections.abc import Collection, Iterator, Sequence

from orrery.home.named_endpoint import WantedEndpoint
from orrery.home.positions import Location
from orrery.home.settings.tables import RolloutSettings, WorldSettings
from orrery.rollout.cohorts import EVERYBODY, Share
from orrery.spans import format_span
from orrery.wire.address import Address, format_address


def check_together(
    worlds: Sequence[WorldSettings], rollout: RolloutSettings
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
