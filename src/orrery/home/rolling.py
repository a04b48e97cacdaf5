"""Rollouts as commands see them: to begin one, to steer it, and to look at it.

What is said here is stored; whichever server holds the conductor's lease carries it out
(`orrery.server.conducting`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from orrery.errors import ConflictError, CustodyError, DecodeError, PlanError, UsageError
from orrery.home.home import Home
from orrery.home.publishing import user_name
from orrery.home.unsettled import check_settled
from orrery.rollout.cohorts import Cohorts
from orrery.rollout.conductor import CLOCK_TOLERANCE_MS
from orrery.rollout.order import Order
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState
from orrery.store import AuditEntry, LeaseRecord, Rollout, RootRecord
from orrery.wire.address import Address
from orrery.wire.world import World

CONDUCTOR_LEASE = "conductor"
"""The lease of the one process that carries rollouts out."""
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class MissingNode:
    """A counted node that has not taken the revision.

    Attributes:
        address: The node.
        holds_ms: The revision that it was last known to hold.
        seen_ms: When it was heard from last.
    """

    address: Address
    holds_ms: int
    seen_ms: int


@dataclass(frozen=True, slots=True)
class CohortView:
    """How far a cohort is with the step that is carried out.

    Attributes:
        number: From 0.
        name: As `orrery.toml` says it: "1%", or addresses.
        is_open: Whether its nodes are handed the revision.
        counted: How many nodes of it count, those of earlier cohorts left out.
        adopted: How many of those have the revision, or a later one.
        missing: The others, those not heard from for longest first.
    """

    number: int
    name: str
    is_open: bool
    counted: int
    adopted: int
    missing: tuple[MissingNode, ...]


@dataclass(frozen=True, slots=True)
class RolloutView:
    """A rollout as it stands, for people.

    Attributes:
        rollout: As stored; its `state` and `reason` say where it stands and why.
        order: What is carried out.
        progress: What was done so far.
        target_ms: The revision that is rolled out, or the one that takes it back; 0 while the step
            is not published.
        cohorts: Of the step that is carried out, in order.
        adopted_at_ms: When each counted node took the revision that is rolled out, in order: the
            observed curve of adoption.
        conductor: Who carries it out, or did last; None if nobody ever did.
        is_conducted: Whether somebody does now.
    """

    rollout: Rollout
    order: Order
    progress: Progress
    target_ms: int
    cohorts: tuple[CohortView, ...]
    adopted_at_ms: tuple[int, ...]
    conductor: LeaseRecord | None
    is_conducted: bool


def begin(home: Home, name: str, order: Order, now_ms: int, *, actor: str | None = None) -> Rollout:
    """Begin to carry a plan out; a server of this home does the rest.

    Args:
        home: The home, open as a writer.
        name: The World's name or id.
        order: The plan, and how.
        now_ms: The clock.
        actor: Who does it, for the audit; the user of the process when left out.

    Raises:
        PlanError: The plan has no step; or the home was restored, and it is not known what was
            published since.
        ConflictError: It was made for another revision than the newest, or another rollout of this
            World is not over.
        UsageError: It is for another World, or a cohort names a root.
        CustodyError: The first step is to be signed here, and its key is not here.
        VerifyError: A World that was signed elsewhere is not what the plan says.
        UpdateRefused: A node would refuse it.
        DecodeError: It cannot be read.
    """
    home.check_writer()
    check_settled(home)
    plan = order.plan
    wanted = home.settings().world(name)
    if plan.id != wanted.id:
        raise UsageError(
            f"this plan is for World {plan.id:016x}, and {wanted.name!r} is {wanted.id:016x}: name "
            "the World that it was made for"
        )
    if not plan.steps:
        raise PlanError("this plan has no step: there is nothing to roll out")
    newest = home.store.newest(plan.id)
    start = None if newest is None else newest.world
    if start is None or (start.timestamp_ms, start.signature) != (
        plan.start_ms,
        plan.start_signature,
    ):
        found = "none" if start is None else f"revision {start.timestamp_ms}"
        raise ConflictError(
            f"this plan starts from revision {plan.start_ms} of {wanted.name!r}, and the newest is "
            f"{found}: make a new plan with `orrery plan`"
        )
    cohorts_of(order, start)
    order.check_signed(start)
    first = plan.steps[0]
    if order.signed_step(1) is None:
        _check_key(home, plan.id, first.signed_by)
    return home.store.create_rollout(
        plan.id,
        order.to_json(),
        now_ms,
        intents=Progress(revisions=(plan.start_ms,), clock_ms=now_ms).to_json(),
        audit=_audit(now_ms, actor, "begin rollout", plan.id, f"{len(plan.steps)} steps"),
    )


def pause(home: Home, name: str, now_ms: int, *, actor: str | None = None) -> Rollout:
    """Let a rollout stand still where it is, until `resume`.

    Raises:
        PlanError: There is no rollout to be paused.
    """

    def change(rollout: Rollout, progress: Progress) -> tuple[Rollout, Progress]:
        if rollout.state is RolloutState.PAUSED:
            raise PlanError(f"the rollout of {name!r} is paused already: {rollout.reason}")
        by = actor if actor is not None else user_name()
        return replace(rollout, state=RolloutState.PAUSED, reason=f"paused by {by}"), progress

    return _steer(home, name, now_ms, ("pause rollout", actor), change)


def resume(home: Home, name: str, now_ms: int, *, actor: str | None = None) -> Rollout:
    """Let a paused rollout go on: what it paused for is accepted, and so is the clock as it is.

    Raises:
        PlanError: There is no rollout, or it is not paused and does not wait for the clock.
    """

    def change(rollout: Rollout, progress: Progress) -> tuple[Rollout, Progress]:
        is_behind = now_ms < progress.clock_ms - CLOCK_TOLERANCE_MS
        if rollout.state is not RolloutState.PAUSED and not is_behind:
            raise PlanError(f"the rollout of {name!r} is not paused, it is {rollout.state}")
        return (
            replace(rollout, state=RolloutState.RUNNING, reason="resumed"),
            replace(
                progress,
                clock_ms=now_ms,
                forgiven_ms=now_ms,
                opened_ms=min(progress.opened_ms, now_ms),
                complete_ms=0,
            ),
        )

    return _steer(home, name, now_ms, ("resume rollout", actor), change)


def roll_back(home: Home, name: str, now_ms: int, *, actor: str | None = None) -> Rollout:
    """Take back the step that is being carried out: its predecessor's content as a new revision.

    Raises:
        PlanError: There is no rollout, or it is being rolled back already.
    """
    world = steered(home, name)
    if home.store.active_rollout(world.id) is None:
        raise PlanError(
            f"no rollout of {world.name!r} goes on, so no step can be taken back: put the old "
            f"settings back into {home.settings_path} and run `orrery apply`"
        )

    def change(rollout: Rollout, progress: Progress) -> tuple[Rollout, Progress]:
        if progress.rolling_back and rollout.state is not RolloutState.PAUSED:
            raise PlanError(f"the rollout of {name!r} is being rolled back already")
        signing_ms = progress.signing_ms if progress.rolling_back else 0
        return (
            replace(
                rollout,
                state=RolloutState.RUNNING,
                reason=f"step {rollout.step + 1} is being taken back",
            ),
            replace(
                progress,
                rolling_back=True,
                signing_ms=signing_ms,
                complete_ms=0,
                clock_ms=now_ms,
                forgiven_ms=now_ms,
                opened_ms=min(progress.opened_ms, now_ms),
            ),
        )

    return _steer(home, name, now_ms, ("roll back", actor), change)


def stop(home: Home, name: str, now_ms: int, *, actor: str | None = None) -> Rollout:
    """End a rollout where it is; who is held back stays so until another rollout says otherwise.

    Raises:
        PlanError: There is no rollout.
    """

    def change(rollout: Rollout, progress: Progress) -> tuple[Rollout, Progress]:
        by = actor if actor is not None else user_name()
        return replace(rollout, state=RolloutState.STOPPED, reason=f"stopped by {by}"), progress

    return _steer(home, name, now_ms, ("stop rollout", actor), change)


def view(home: Home, world_id: int, now_ms: int) -> RolloutView | None:
    """The last rollout of a World as it stands, None if there never was one.

    It reads a line for every node inside the horizon; once a second is often enough.

    Raises:
        DecodeError: The rollout was written by something else than Orrery.
    """
    found = home.store.rollouts(1, world_id=world_id)
    if not found:
        return None
    (rollout,) = found
    order, progress = Order.from_json(rollout.plan), Progress.from_json(rollout.intents)
    chain = home.store.chain(world_id)
    target_ms = progress.back_ms
    if not target_ms and progress.has_published(rollout.step):
        target_ms = progress.revisions[rollout.step + 1]
    enough = {
        world.timestamp_ms
        for world in (chain.revisions if target_ms else ())
        if world.timestamp_ms >= target_ms
    }
    cohorts = cohorts_of(order, chain.until(progress.revisions[0]).newest)
    uncounted = uncounted_of(order, cohorts, home.store.roots())
    counted: list[int] = [0] * len(cohorts)
    missing: list[list[MissingNode]] = [[] for _ in cohorts]
    members: set[Address] = set()
    since_ms = now_ms - order.horizon_ms
    for address, holds_ms, seen_ms, *_ in home.store.standings(world_id, since_ms):
        if address in uncounted:
            continue
        members.add(address)
        number = cohorts.cohort_of(world_id, address)
        counted[number] += 1
        if holds_ms not in enough:
            missing[number].append(MissingNode(address, holds_ms, seen_ms))
    for each in missing:
        each.sort(key=lambda node: (node.seen_ms, node.address))
    adopted = home.store.adoptions(world_id, target_ms) if target_ms else ()
    lease = home.store.lease(CONDUCTOR_LEASE)
    return RolloutView(
        rollout,
        order,
        progress,
        target_ms,
        tuple(
            CohortView(
                number,
                str(cohort),
                number <= rollout.cohort,
                counted[number],
                counted[number] - len(missing[number]),
                tuple(missing[number]),
            )
            for number, cohort in enumerate(cohorts)
        ),
        tuple(record.first_at_ms for record in adopted if record.address in members),
        lease,
        lease is not None and bool(lease.holder) and lease.until_ms > now_ms,
    )


def cohorts_of(order: Order, start: World) -> Cohorts:
    """The cohorts of an order, with every root of its revisions in the last one.

    Raises:
        UsageError: A cohort names a root.
    """
    roots = {root.identity.address for root in start.roots}
    roots.update(root.identity.address for step in order.plan.steps for root in step.roots)
    return Cohorts(order.cohorts, roots)


def uncounted_of(
    order: Order, cohorts: Cohorts, sharing: Iterable[RootRecord] = ()
) -> frozenset[Address]:
    """Who does not count however lately it was seen: roots, and nodes that the plan exempts.

    Args:
        order: What is carried out.
        cohorts: Of it, with the roots of its revisions.
        sharing: The roots that ever worked with this home. Those that retired hold what they held
            then, for good, and nobody may wait for them.
    """
    exempt = (address for group in order.plan.exempt for address in group.addresses)
    return cohorts.roots.union(exempt, (root.address for root in sharing))


class SteeredWorld(NamedTuple):
    """A World whose rollout is steered: its id, and its name or the id in hex."""

    id: int
    name: str


def steered(home: Home, name: str | None) -> SteeredWorld:
    """The World whose rollout is meant, by its name or id.

    A rollout must not go on because somebody has made a mistake in `orrery.toml` meanwhile: then it
    is found by the World's id, or by itself where it is the only one.

    Raises:
        UsageError: There is no such World, or several and none is named.
        DecodeError: `orrery.toml` has mistakes, and without it this cannot be told.
    """
    try:
        settings = home.settings()
    except DecodeError:
        active = home.store.active_rollouts()
        found = [SteeredWorld(each.world_id, f"{each.world_id:016x}") for each in active]
        meant = [each for each in found if name is None or each.name == name.lower().zfill(16)]
        if len(meant) != 1:
            raise
        return meant[0]
    world = settings.choose(name)
    return SteeredWorld(world.id, world.name)


_Change = Callable[[Rollout, Progress], tuple[Rollout, Progress]]


def _steer(
    home: Home, name: str, now_ms: int, audited: tuple[str, str | None], change: _Change
) -> Rollout:
    """Change a rollout that somebody else may be changing at the same time."""
    world = steered(home, name)
    action, actor = audited
    for attempt in range(_ATTEMPTS):
        rollout = home.store.active_rollout(world.id)
        if rollout is None:
            raise PlanError(f"no rollout of {world.name!r} goes on")
        changed, progress = change(rollout, Progress.from_json(rollout.intents))
        try:
            return home.store.update_rollout(
                replace(changed, intents=progress.to_json()),
                now_ms,
                audit=_audit(now_ms, actor, action, world.id, f"step {rollout.step + 1}"),
            )
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _check_key(home: Home, world_id: int, public: bytes) -> None:
    keys: Iterable[bytes | None] = [key.public for key in home.keys.keys(world_id)]
    if public not in keys and None not in keys:
        raise CustodyError(
            f"the key that must sign the first step is not in {home.keys.directory}: put it back "
            "from a backup, or sign the plan where the key is, with `orrery key sign`"
        )


def _audit(now_ms: int, actor: str | None, action: str, world_id: int, detail: str) -> AuditEntry:
    return AuditEntry(
        now_ms,
        actor if actor is not None else user_name(),
        action,
        f"World {world_id:016x}, {detail}",
    )
