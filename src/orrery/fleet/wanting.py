"""What a host should hold, and what is to be done for it: pure, from what is known and was seen.

wanted    the newest revision; while a rollout holds that back from some, what the host's cohort
          may have. A root hands what it holds to everybody, so it comes last, but for one that
          the step says to install it on first
refused   a World that is none of ours, without `--replace`, but for a root of ours that is on the
          official planet still; one that is newer than ours: then this home is behind
nothing   the service holds it, and so does the file
repair    the service was given it by another root, and the file does not have it
restart   the file has it, and the service has not read it
install   neither
orbit     a moon, on a node that runs: told to orbit it, it takes it from its file
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from orrery.fleet.host_view import HostView
from orrery.fleet.kinship import find_objections, is_of_chain
from orrery.fleet.known import Known, KnownWorld, read_known
from orrery.fleet.problems import LEAST_FREE_BYTES, describe_disk, is_world_place
from orrery.home import Home
from orrery.home.settings import HostSettings
from orrery.wire.address import Address, format_address
from orrery.wire.world import World, WorldType
from orrery.worlds.chain import Chain
from orrery.worlds.earth import EARTH

_MOST_ORBITED_ID = (1 << 40) - 1
"""Longer ids of moons fit into no request: they take a file, and a restart."""


class Act(StrEnum):
    """What is to be done for a World on a host."""

    NOTHING = "nothing"
    INSTALL = "install"
    RESTART = "restart"
    REPAIR = "repair"
    ORBIT = "orbit"
    REFUSED = "refused"


_RESTARTS = (Act.INSTALL, Act.RESTART)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a host stands with a World.

    Attributes:
        name: Of the World in `orrery.toml`, or its id.
        world: The revision that it is to hold now, or the later one that it has already.
        newest: The newest revision.
        file: What its file holds; None when that is missing or damaged.
        running_ms: Timestamp of this World that its service holds; None for no such World.
        number: Which revision of the chain it holds, from 1; None for none of ours.
        target: Which revision `world` is.
        of: How many the chain has.
        is_root: Whether the node is, or was, a root of it.
        act: What is to be done.
        sentence: Why.
    """

    name: str
    world: World
    newest: World
    file: World | None
    running_ms: int | None
    number: int | None
    target: int
    of: int
    is_root: bool
    act: Act
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """What is to be done on a host.

    Attributes:
        host: Its name.
        standings: How it stands with each World that it is to have.
        refusal: Why nothing may be done there at all, "" else.
    """

    host: str
    standings: tuple[Standing, ...]
    refusal: str = ""

    @property
    def is_root(self) -> bool:
        """Whether the node is a root of one of them."""
        return any(each.is_root for each in self.standings)

    @property
    def is_done(self) -> bool:
        """Whether it holds all that it should."""
        return not self.refusal and all(each.act is Act.NOTHING for each in self.standings)

    @property
    def restarts(self) -> bool:
        """Whether the service is to be restarted."""
        return any(each.act in _RESTARTS for each in self.standings)

    @property
    def objection(self) -> str:
        """Why it is refused, "" when it is not."""
        if self.refusal:
            return self.refusal
        refused = [each.sentence for each in self.standings if each.act is Act.REFUSED]
        return "; ".join(refused)


def standing_of(home: Home, view: HostView) -> HostPlan:
    """How a host stands, for who only looks.

    Raises:
        UsageError: There is no such host.
        DecodeError: As `read_known`.
    """
    return plan_for(read_known(home), home.settings().host(view.name), view)


def plan_for(
    known: Known, host: HostSettings, view: HostView, *, replace: bool = False
) -> HostPlan:
    """What is to be done on a host.

    Args:
        known: What the home knows.
        host: What the settings say of the host.
        view: What was found there.
        replace: Whether a World that is none of ours may be replaced.
    """
    node = view.node
    refusal = _refusal(host, view) or _unpublished(known, host)
    if refusal or node is None:
        return HostPlan(host=host.name, standings=(), refusal=refusal)
    standings = tuple(
        _standing(
            known, world, view, node, may_replace=replace or _was_never_given(world, view, node)
        )
        for world in known.worlds
        if _is_wanted(world, host, view, node)
    )
    if not standings:
        refusal = (
            "it is to have no World that this home has published: see 'worlds' of its [[host]]"
        )
    return _without_orbits(HostPlan(host=host.name, standings=standings, refusal=refusal))


def _without_orbits(plan: HostPlan) -> HostPlan:
    """When the service is restarted anyway, moons come with it, as files."""
    if not plan.restarts:
        return plan
    return replace(
        plan,
        standings=tuple(
            replace(each, act=Act.INSTALL) if each.act is Act.ORBIT else each
            for each in plan.standings
        ),
    )


def _refusal(host: HostSettings, view: HostView) -> str:
    if not view.is_reached:
        return view.error
    node = view.node
    if node is None:
        return (
            f"{view.home} has no identity, and no service answers: zerotier-one never ran there; "
            "start it once, or check 'home'"
        )
    if host.node is not None and host.node != node:
        return (
            f"it is node {format_address(node)}, and orrery.toml says "
            f"{format_address(Address(host.node))}: check 'ssh', 'home' and 'node'"
        )
    if "orrery.toml" in view.files:
        return f"{view.home} is the home of an Orrery root, which keeps its files itself"
    if not view.is_writable:
        return f"this user may not write to {view.home}: log in as root, or write sudo = true"
    if view.running is None and "authtoken.secret" in view.running_error:
        return (
            f"zerotier-one cannot be asked there ({view.running_error}), so nobody could say "
            "whether it does with what is installed: log in as root, or write sudo = true"
        )
    if view.running is None and "zerotier-cli is missing" in view.running_error:
        return (
            "there is no zerotier-cli, so nobody could say whether zerotier-one does with what is "
            "installed: check 'platform', or install it"
        )
    for name, file in view.files.items():
        if is_world_place(name) and not file.is_plain:
            return (
                f"{view.home}/{name} is a symbolic link or something else, and nothing is written "
                "through that: put the file or directory itself there"
            )
    if volatile := [each.sentence for each in view.problems if each.code == "volatile"]:
        return volatile[0]
    if view.disk_total_bytes > 0 and view.disk_free_bytes < LEAST_FREE_BYTES:
        return describe_disk(view)
    return ""


def _unpublished(known: Known, host: HostSettings) -> str:
    published = {world.name for world in known.worlds}
    missing = [name for name in host.worlds or () if name not in published]
    if not missing:
        return ""
    return (
        f"it is to have World {missing[0]!r}, which has no revision yet: run "
        f"`orrery publish {missing[0]}`"
    )


def _is_wanted(world: KnownWorld, host: HostSettings, view: HostView, node: Address) -> bool:
    if host.worlds is not None:
        return world.name in host.worlds
    if world.chain.type is WorldType.PLANET:
        return True
    world_id = world.chain.world_id
    has_it = world_id in view.moons or (view.running is not None and world_id in view.running.moons)
    return has_it or any(root.identity.address == node for root in world.chain.newest.roots)


def _was_never_given(world: KnownWorld, view: HostView, node: Address) -> bool:
    """Whether a root of this planet is still on the official one.

    Tools leave it so that put theirs only where nodes fetch it: it has nothing to lose.
    """
    return (
        world.chain.type is WorldType.PLANET
        and world.is_root(node)
        and view.planet is not None
        and view.planet.updates_must_be_signed_by == EARTH.updates_must_be_signed_by
    )


def _standing(
    known: Known, world: KnownWorld, view: HostView, node: Address, *, may_replace: bool
) -> Standing:
    chain = world.chain
    file = view.planet if chain.type is WorldType.PLANET else view.moons.get(chain.world_id)
    running_ms = _running_ms(chain, view)
    is_ours = file is not None and is_of_chain(chain, file)
    objected = tuple(find_objections(chain, file, running_ms, view, may_replace=may_replace))
    if file is not None and not is_ours and file.timestamp_ms == running_ms:
        running_ms = None  # the same id and timestamp, and yet none of ours
    target = known.wanted(world, node)
    held = None if running_ms is None else chain.revision_at(running_ms)
    if held is not None and held.timestamp_ms > target.timestamp_ms:
        target = held  # nobody is taken back: that is what later revisions are for
    if objected:
        act, sentence = Act.REFUSED, objected[0]
    else:
        act = _act(view, node, target, (file, running_ms))
        sentence = _sentence(chain, act, target, file if is_ours else None, running_ms)
    held_ms = running_ms if running_ms is not None or not is_ours else file and file.timestamp_ms
    numbers = {revision.timestamp_ms: number for number, revision in enumerate(chain, start=1)}
    return Standing(
        name=world.name,
        world=target,
        newest=chain.newest,
        file=file,
        running_ms=running_ms,
        number=numbers.get(held_ms or 0),
        target=numbers[target.timestamp_ms],
        of=len(chain),
        is_root=world.is_root(node),
        act=act,
        sentence=sentence,
    )


def _running_ms(chain: Chain, view: HostView) -> int | None:
    """Which timestamp of this World its service holds."""
    running = view.running
    if running is None:
        return None
    if chain.type is WorldType.PLANET:
        return running.planet_ms if running.planet_id == chain.world_id else None
    return running.moons.get(chain.world_id) or None


def _act(
    view: HostView,
    node: Address,
    target: World,
    held: tuple[World | None, int | None],
) -> Act:
    file, running_ms = held
    is_in_file, is_running = file == target, running_ms == target.timestamp_ms
    if is_in_file and is_running:
        return Act.NOTHING
    if is_running:
        return Act.REPAIR
    if _can_orbit(view, target, running_ms) and seed_of(target, node) is not None:
        return Act.ORBIT
    return Act.RESTART if is_in_file else Act.INSTALL


def _can_orbit(view: HostView, target: World, running_ms: int | None) -> bool:
    """Whether its service takes a moon from its file without a restart.

    One that it has already it is not told to orbit again, and takes in band or at a restart.
    """
    is_short = target.id <= _MOST_ORBITED_ID
    is_missing = view.running is not None and running_ms is None
    return target.type is WorldType.MOON and is_short and is_missing


def seed_of(moon: World, node: Address) -> Address | None:
    """The root that a node is told of when it is to orbit a moon: not itself where it can be."""
    roots = [root.identity.address for root in moon.roots]
    return next((root for root in roots if root != node), next(iter(roots), None))


def _sentence(
    chain: Chain, act: Act, target: World, file: World | None, running_ms: int | None
) -> str:
    def name(timestamp_ms: int | None) -> str:
        if timestamp_ms is None:
            return "none of it"
        numbers = [
            number for number, each in enumerate(chain, 1) if each.timestamp_ms == timestamp_ms
        ]
        return f"revision {numbers[0]}" if numbers else f"revision {timestamp_ms}"

    wanted = name(target.timestamp_ms)
    match act:
        case Act.NOTHING:
            return f"holds {wanted}"
        case Act.REPAIR:
            return f"holds {wanted}, and its file does not: the file is written"
        case Act.RESTART:
            return f"{wanted} is in its file, and its service has not read it: it is restarted"
        case Act.ORBIT:
            return f"holds {name(running_ms)}: gets {wanted} without a restart"
        case _:
            held_ms = running_ms if running_ms is not None or file is None else file.timestamp_ms
            return f"holds {name(held_ms)}: {wanted} is installed, and its service restarted"


def describe_acts(plan: HostPlan) -> str:
    """What is to be done, in a sentence."""
    return "; ".join(
        f"{each.name}: {each.sentence}" for each in plan.standings if each.act is not Act.NOTHING
    )


def describe_done(plan: HostPlan, *, after: bool = False) -> str:
    """What a host holds that holds all that it should.

    Args:
        plan: Of the host.
        after: The plan was carried out.
    """
    if after:
        return "; ".join(
            f"{each.name}: holds revision {each.target} now" for each in plan.standings
        )
    return "; ".join(f"{each.name}: {each.sentence}" for each in plan.standings)
