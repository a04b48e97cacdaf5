"""From what a home wants, published and saw to what the planner asks for, and to its answer."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orrery.errors import CustodyError, DecodeError, PlanError, UsageError
from orrery.home.home import Home
from orrery.home.resolving import ResolvedRoot, Resolver, resolve
from orrery.home.settings import ChangeKind, Settings, WorldSettings
from orrery.rollout.cautions import Warned, cautions
from orrery.rollout.fleet import Fleet, Node
from orrery.rollout.landscape import Landscape, PlaceState
from orrery.rollout.order import Order
from orrery.rollout.places import Place, Reach, places_of
from orrery.rollout.plan import Plan, Refusal
from orrery.rollout.planner import plan
from orrery.rollout.wish import Wish
from orrery.store.reach import Holder
from orrery.wire.address import Address, format_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import Root, World
from orrery.worlds.chain import Chain
from orrery.worlds.ordering import sort_roots

_LATELY_MS = 600_000
"""A root that works with a database says so more often."""
_SILENT_MS = 180_000
"""All nodes that are there are seen once a minute."""
_LEAVING_MS = 86_400_000
"""An official root that retired is switched off in this time, or is a node from then on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a person says about roots and nodes that no file knows.

    A place is written as an endpoint, `203.0.113.7:9993`, or as the name or address of a root,
    which stands for all of its places.

    Attributes:
        gone: Places that do not answer and never will.
        in_turn: Pairs of places of which the second starts when the first has stopped.
        official: Roots that run zerotier-one though `orrery.toml` does not say so, because it does
            not list them any more.
        exempt: Nodes that are not waited for, and may be stranded.
        next_key: The public key that the last revision is to name, where it is not in the home.
        spare_root: Whether any one root may be down at any time.
    """

    gone: tuple[str, ...] = ()
    in_turn: tuple[tuple[str, str], ...] = ()
    official: tuple[str, ...] = ()
    exempt: tuple[Address, ...] = ()
    next_key: bytes | None = None
    spare_root: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What the planner said, and what it was asked.

    Attributes:
        settings: All of `orrery.toml`.
        world: The World in it.
        chain: What is published.
        roots: The wanted roots as `orrery.toml` names them, with what their names stood for.
        wish: What is wanted.
        fleet: Who has to follow.
        landscape: What is known of the roots.
        last_seen_ms: When each node of the fleet was seen last.
        retired: Official roots that are roots no more and not heard from: the fleet exempts them.
        told: What a person said.
        answer: The plan, or why there is none.
    """

    settings: Settings
    world: WorldSettings
    chain: Chain
    roots: tuple[ResolvedRoot, ...]
    wish: Wish
    fleet: Fleet
    landscape: Landscape
    last_seen_ms: dict[Address, int]
    retired: tuple[Address, ...]
    told: Told
    answer: Plan | Refusal

    @property
    def cautions(self) -> tuple[Warned, ...]:
        """What is to be said of the plan; nothing where there is none."""
        if isinstance(self.answer, Refusal):
            return ()
        return cautions(self.answer, self.chain.newest, self.landscape.official)

    @property
    def order(self) -> Order:
        """The plan with how it is to be carried out.

        Raises:
            PlanError: There is no plan.
        """
        if isinstance(self.answer, Refusal):
            raise PlanError(f"this is not safe: {'; '.join(self.answer.sentences)}")
        rollout = self.settings.rollout
        return Order(
            plan=self.answer,
            cohorts=tuple(rollout.cohorts),
            settle_ms=rollout.settle_ms,
            horizon_ms=rollout.horizon_ms,
            required=rollout.required,
        )


def make_plan(
    home: Home, name: str, now_ms: int, told: Told | None = None, resolver: Resolver | None = None
) -> Planned:
    """Plan the way from what is published of a World to what `orrery.toml` says.

    Nothing is changed. The plan ends with the current key of the home named, which is another one
    than now after `rotate_key`.

    Args:
        home: The home.
        name: The World's name or id.
        now_ms: The clock.
        told: What a person says.
        resolver: Tells what names stand for; the DNS when left out.

    Raises:
        PlanError: The World has no revision yet.
        UsageError: What was told names no place, root or node.
        ResolveError: A name stands for nothing that a World can hold.
        VerifyError: A new root's identity does not hold.
        CustodyError: The key to be named is locked and unknown, or open to others.
        DecodeError: `orrery.toml` has mistakes.
    """
    told = told or Told()
    settings = home.settings()
    world = settings.world(name)
    chain = _published(home, world)
    newest = chain.newest
    resolved = resolve(settings, world, resolver, published=newest)
    roots = sort_roots(each.root for each in resolved)
    known = {root.identity for root in newest.roots}
    for root in roots:
        if root.identity not in known:
            root.identity.validate()
    wish = Wish(
        type=world.type,
        id=world.id,
        roots=roots,
        key=_key_to_name(home, world.id, newest, told),
        spare_root=told.spare_root,
    )
    names = {each.name: each.root for each in resolved}
    holders = home.store.holders(world.id)
    own = {root.identity.address for root in (*newest.roots, *roots)}
    held = {each.address: each.holds_ms for each in holders if each.address in own}
    places = _Places(newest.roots, names)
    landscape = _landscape(home, world, places, told, held=held, now_ms=now_ms)
    since_ms = now_ms - settings.rollout.horizon_ms
    # Those that retired hold what they held then, for good.
    own.update(each.address for each in home.store.roots())
    nodes = [node for node in _nodes(home, chain, holders, since_ms) if node.address not in own]
    seen = {node.address: node.seen_ms for node in nodes}
    for address in told.exempt:
        if address not in seen:
            raise UsageError(
                f"no node {format_address(address)} is known to hold a revision of {world.name!r}, "
                "so it need not be exempt: leave it out, or look it up with `orrery nodes`"
            )
    retired = _retired(home, chain, seen, now_ms)
    fleet = Fleet.of(
        nodes,
        now_ms=now_ms,
        horizon_ms=settings.rollout.horizon_ms,
        exempt=(*told.exempt, *retired),
    )
    return Planned(
        settings=settings,
        world=world,
        chain=chain,
        roots=resolved,
        wish=wish,
        fleet=fleet,
        landscape=landscape,
        last_seen_ms=seen,
        retired=retired,
        told=told,
        answer=plan(chain, wish, fleet, landscape),
    )


def kinds_of_change(newest: World, answer: Plan) -> frozenset[ChangeKind]:
    """The kinds of change that a plan makes on its way, for `without_asking`.

    Args:
        newest: The revision that it starts from.
        answer: The plan.
    """
    found = set()
    before, key = newest.roots, newest.updates_must_be_signed_by
    for step in answer.steps:
        old, new = _by_identity(before), _by_identity(step.roots)
        kept = old.keys() & new.keys()
        if new.keys() - old.keys():
            found.add(ChangeKind.ADD_ROOT)
        if old.keys() - new.keys():
            found.add(ChangeKind.REMOVE_ROOT)
        if any(new[identity] - old[identity] for identity in kept):
            found.add(ChangeKind.ADD_ENDPOINT)
        if any(old[identity] - new[identity] for identity in kept):
            found.add(ChangeKind.REMOVE_ENDPOINT)
        if step.names != key:
            found.add(ChangeKind.ROTATE_KEY)
        before, key = step.roots, step.names
    return frozenset(found)


def _by_identity(roots: Iterable[Root]) -> dict[object, set[Endpoint]]:
    return {root.identity.public(): set(root.endpoints) for root in roots}


def _published(home: Home, world: WorldSettings) -> Chain:
    if home.store.newest(world.id) is None:
        raise PlanError(
            f"World {world.name!r} has no revision yet, so there is no node to be led anywhere: "
            f"make the first one with `orrery publish {world.name}`"
        )
    return home.store.chain(world.id)


def _key_to_name(home: Home, world_id: int, newest: World, told: Told) -> bytes | None:
    """The key that the last revision is to name, None for the one that is named."""
    if told.next_key is not None:
        wanted = told.next_key
    elif home.keys.keys(world_id):
        try:
            wanted = home.keys.current_public(world_id)
        except CustodyError:
            if any(key.slot == "current" for key in home.keys.keys(world_id)):
                raise
            return None  # keys of former days only: who signs has the others
    else:
        return None  # the keys are elsewhere: `plan --out`, `key sign`
    return None if wanted == newest.updates_must_be_signed_by else wanted


# Who has to follow


def _nodes(home: Home, chain: Chain, holders: Iterable[Holder], since_ms: int) -> Iterator[Node]:
    """Whoever holds the World, or waits for it."""
    store = home.store
    beside: dict[Address, tuple[int, ...]] = {}
    for other in sorted(store.world_ids()):
        if other != chain.world_id:
            for address, holds_ms, _ in store.holders(other):
                if holds_ms:
                    beside[address] = (*beside.get(address, ()), other)
    by_ipv6, forked = store.heard_by_ipv6(since_ms), store.fork_holders(chain.world_id)
    for address, holds_ms, seen_ms in holders:
        reach = Reach.IPV4
        if address in by_ipv6:
            reach = Reach.BOTH if by_ipv6[address] else Reach.IPV6
        held_ms = _beside_the_chain(holds_ms, chain) if address in forked else holds_ms
        yield Node(address, held_ms, seen_ms, reach, beside.get(address, ()))


def _beside_the_chain(timestamp_ms: int, chain: Chain) -> int:
    """A timestamp that stands for a fork: the next one that no revision has."""
    while chain.revision_at(timestamp_ms) is not None:
        timestamp_ms += 1
    return timestamp_ms


def _retired(
    home: Home, chain: Chain, seen: Mapping[Address, int], now_ms: int
) -> tuple[Address, ...]:
    """Official roots that were switched off when they were roots no more.

    One that goes on without being a root, as a network controller does, is a node like any other:
    it is heard from now, or was a day after the rollout that let it go.

    Args:
        home: The home.
        chain: What is published.
        seen: When nodes that are no roots now were seen last.
        now_ms: The clock.
    """
    last_listed = {
        root.identity.address: number
        for number, revision in enumerate(chain.revisions)
        for root in revision.roots
    }
    rollouts = home.store.rollouts(world_id=chain.world_id)
    found = []
    for address in sorted(last_listed.keys() & seen.keys()):
        if now_ms - seen[address] < _SILENT_MS or last_listed[address] + 1 >= len(chain.revisions):
            continue
        left_ms = chain.revisions[last_listed[address] + 1].timestamp_ms
        for rollout in rollouts:
            if rollout.created_at_ms <= left_ms <= (rollout.ended_at_ms or now_ms):
                left_ms = rollout.ended_at_ms or now_ms
        if seen[address] < left_ms + _LEAVING_MS:
            found.append(address)
    return tuple(found)


# What is known of the roots


def _landscape(
    home: Home,
    world: WorldSettings,
    places: "_Places",
    told: Told,
    *,
    held: Mapping[Address, int],
    now_ms: int,
) -> Landscape:
    # The roots that work with this home: its own, and others that share its database.
    ours = {home.identity().address: now_ms}
    ours.update((each.address, each.last_at_ms) for each in home.store.roots())
    working = {address for address, last_ms in ours.items() if now_ms - last_ms < _LATELY_MS}
    listed = {root.identity.address: root.software for root in world.roots}
    official = {address for address, software in listed.items() if software == "zerotier-one"}
    official.update(places.find_root(text) for text in told.official)
    # A root that is leaving is in no setting: it is official when it told us as nodes do.
    leaving = {root.identity.address for root in places.published} - listed.keys() - ours.keys()
    official |= leaving & held.keys()
    for address in sorted(official & working):
        raise UsageError(
            f"root {format_address(address)} works with this home, so it runs Orrery: say "
            'software = "orrery" of it'
        )
    return Landscape(
        states={
            place: PlaceState.GONE for text in told.gone for place in places.find(text, gone=True)
        },
        official={address: held.get(address) for address in official},
        in_turn=tuple(
            (first, second)
            for before, after in told.in_turn
            for first in places.find(before, gone=True)
            for second in places.find(after, gone=False)
            if first != second
        ),
        beside={
            other.id: tuple(root for root in other.roots if root.identity.address in working)
            for other in home.served_worlds()
            if other.id != world.id
        },
    )


class _Places:
    """Finds the places that people mean."""

    def __init__(self, published: Iterable[Root], names: dict[str, Root]) -> None:
        self.published = tuple(published)
        self._names = names

    def find(self, text: str, *, gone: bool) -> tuple[Place, ...]:
        """The places at an endpoint, or of a root.

        Args:
            text: What was written.
            gone: Whether those of the newest revision are meant first, else those that are wanted.
        """
        published, wanted = places_of(self.published), places_of(self._names.values())
        first, second = (published, wanted) if gone else (wanted, published)
        if any(mark in text for mark in ":/"):
            try:
                endpoint = Endpoint.from_text(text)
            except DecodeError as error:
                raise UsageError(str(error)) from None
            for some in (first, second):
                if found := sorted(place for place in some if place.endpoint == endpoint):
                    return tuple(found)
            here = ", ".join(str(place.endpoint) for place in sorted(published | wanted))
            raise UsageError(f"no root is or shall be at {text}: there are {here}")
        address = self.find_root(text)
        for some in (first, second):
            if found := sorted(place for place in some if place.identity.address == address):
                return tuple(found)
        return ()

    def find_root(self, text: str) -> Address:
        """The root with this name or address."""
        if text in self._names:
            return self._names[text].identity.address
        roots = (*self.published, *self._names.values())
        for root in roots:
            if format_address(root.identity.address) == text.lower():
                return root.identity.address
        here = dict.fromkeys((*self._names, *(format_address(r.identity.address) for r in roots)))
        raise UsageError(f"there is no root {text!r}: there are {', '.join(here)}")
