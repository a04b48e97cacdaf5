"""Settling a restored home: what was published after its backup is learned, then it may sign again.

    1. Nothing newer is missing. Worlds that nodes or roots hold are given as files and become
       revisions; or every node that was there lately has told since that it holds nothing newer;
       or somebody who knows says so. What a node is known to hold is never left out.
    2. No timestamp is given out twice. All that were given out before the backup are in it. The
       lost home went on from there by its clock, or by one more for each where it was ahead of its
       clock: so the next timestamp here is beyond the last one of the backup by the time that has
       passed since, beyond the clock, and beyond every World that was found.
    3. Rollouts go on. One whose next steps are what was found goes on behind them; one that was
       overtaken otherwise is stopped, and a new plan leads from there.

Doing it again after an interruption does the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orrery.custody.durable import remove
from orrery.errors import ConflictError, PlanError, RefusalReason, UpdateRefused, UsageError
from orrery.home.carrying import CONDUCTOR, changed_to, position_of
from orrery.home.home import Home
from orrery.home.publishing import user_name
from orrery.home.unsettled import MARK_NAME, HeldRollout, Mark, Outlook, outlook, read_mark
from orrery.rollout.conductor import published
from orrery.rollout.order import Order
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState, Served
from orrery.store import AuditEntry, Rollout
from orrery.wire.address import format_address
from orrery.wire.signature import fingerprint
from orrery.wire.world import UNSIGNED, World
from orrery.worlds.chain import Chain
from orrery.worlds.stage import NOBODY

CLOCK_TOLERANCE_MS = 300_000
"""Two machines may differ by this."""


@dataclass(frozen=True, slots=True)
class SettledWorld:
    """A World of a home that was settled.

    Attributes:
        id: Its id.
        added: Revisions that the backup lacked, oldest first.
        newest: Its newest revision now.
        missing_key: Fingerprint of the key that has to sign the next one, where it is not here.
    """

    id: int
    added: tuple[World, ...]
    newest: World
    missing_key: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a restored home.

    Attributes:
        worlds: Its Worlds.
        rollouts: What became of those that stood still.
    """

    worlds: tuple[SettledWorld, ...]
    rollouts: tuple[Rollout, ...]


def settle(
    home: Home,
    now_ms: int,
    found: Sequence[World] = (),
    *,
    nothing_newer: bool = False,
    actor: str | None = None,
) -> Settled:
    """Let a restored home sign again.

    Args:
        home: The home, open as a writer.
        now_ms: The clock.
        found: Worlds that nodes or other roots hold.
        nothing_newer: Somebody knows that nothing was published after the backup was made.
        actor: Who does it, for the audit; the user of the process when left out.

    Raises:
        UsageError: A World that is given is none of this home.
        ConflictError: One is of another chain.
        UpdateRefused: One does not follow from the chain: a revision between is missing too.
        PlanError: The home needs no settling, it is not known whether something newer is out, or
            the clock is before that of the backup.
        UnreadableError: Something cannot be written.
    """
    home.check_writer()
    mark = read_mark(home.path)
    if mark is None:
        raise PlanError("there is nothing to finish: this home was not restored, or it is done")
    if now_ms < mark.made_at_ms - CLOCK_TOLERANCE_MS:
        raise PlanError(
            "the clock of this machine is before the time at which the backup was made, so that "
            "timestamps would be given out for a second time: set the clock, then try again"
        )
    chains = {world_id: home.store.chain(world_id) for world_id in home.store.world_ids()}
    added = _sort(chains, found)
    for world_id, chain in chains.items():
        newest = (*chain.revisions, *added[world_id])[-1]
        given = any(world.id == world_id for world in found)
        _check_known(outlook(home, mark, newest), chain, given or nothing_newer)
    rollouts = [_overtake(home, held, added, now_ms) for held in mark.rollouts]
    by = actor if actor is not None else user_name()
    for world_id, worlds in added.items():
        for world in worlds:
            if home.store.chain(world_id).revision_at(world.timestamp_ms) is None:
                detail = f"World {world_id:016x} revision {world.timestamp_ms}, made before a loss"
                home.store.add_revision(
                    world,
                    now_ms,
                    "found after a restore",
                    audit=AuditEntry(now_ms, by, "recover revision", detail),
                )
        _skip_timestamps(home, world_id, mark, now_ms)
    after = [_go_on(home, held, rollout, now_ms) for held, rollout in rollouts]
    home.write_worlds()
    home.store.audit(now_ms, by, "finish restore")
    remove(home.path / MARK_NAME)
    return Settled(
        tuple(_describe(home, world_id, tuple(worlds)) for world_id, worlds in added.items()),
        tuple(rollout for rollout in after if rollout is not None),
    )


def _sort(chains: dict[int, Chain], found: Sequence[World]) -> dict[int, list[World]]:
    """The Worlds that continue each chain, judged as a node would."""
    added: dict[int, list[World]] = {world_id: [] for world_id in chains}
    for world in sorted(found, key=lambda each: each.timestamp_ms):
        chain = chains.get(world.id)
        if chain is None:
            raise UsageError(
                f"{world.type.name.lower()} {world.id:016x} is none of this home, which has "
                + ", ".join(f"{world_id:016x}" for world_id in chains)
            )
        for later in added[world.id]:
            chain = chain.extend(later)
        at = chain.revision_at(world.timestamp_ms)
        if at is not None and at.encode() == world.encode():
            continue
        if at is not None or world.timestamp_ms < chain.newest.timestamp_ms:
            raise ConflictError(
                f"a World with timestamp {world.timestamp_ms} is none of the revisions of "
                f"{world.id:016x} in this home, and not newer than those: it was made elsewhere, "
                "or this backup belongs to another home"
            )
        try:
            chain.extend(world)
        except UpdateRefused as error:
            if error.reason is not RefusalReason.WRONG_SIGNATURE:
                raise
            raise UpdateRefused(
                f"revision {world.timestamp_ms} of {world.id:016x} is signed by another key than "
                "the one that the newest revision here names: the signing key was changed after "
                "the backup was made. Give the World that named the new key with --world as well, "
                "or restore a backup that was made later",
                error.reason,
            ) from error
        added[world.id].append(world)
    return added


def _check_known(told: Outlook, chain: Chain, somebody_knows: bool) -> None:
    newest = told.newest
    where = "planet" if chain.type.name == "PLANET" else f"moons.d/{newest.id:016x}.moon"
    if told.lost:
        lost = told.lost[0]
        holders = ", ".join(map(format_address, lost.some))
        raise PlanError(
            f"{lost.nodes} node{'s' * (lost.nodes > 1)} ({holders}) hold{'s' * (lost.nodes == 1)} "
            f"revision {lost.timestamp_ms} of {newest.id:016x}, which was published after the "
            f"backup was made and is not here: copy {where} from the home of such a node and name "
            "it with --world"
        )
    if somebody_knows or told.is_clear:
        return
    raise PlanError(
        f"it is not known whether a later revision of {newest.id:016x} than {newest.timestamp_ms} "
        f"is out: {told.heard} of the {told.awaited} nodes that were there lately were heard since "
        "the restore. Let `orrery serve` run until all were; or name the newest World file of a "
        f"node or of another root ({where}) with --world; or say --nothing-newer if you know that "
        "nothing was published after the backup was made"
    )


def _skip_timestamps(home: Home, world_id: int, mark: Mark, now_ms: int) -> None:
    """Use up every timestamp that the lost home may have given out."""
    passed_ms = max(0, now_ms - mark.made_at_ms)
    given_ms = mark.given_ms.get(world_id, 0)
    home.store.allocate_timestamp(world_id, max(now_ms, mark.made_at_ms, given_ms + passed_ms))


def _overtake(
    home: Home, held: HeldRollout, added: dict[int, list[World]], now_ms: int
) -> tuple[HeldRollout, Rollout | None]:
    """Let a rollout that was overtaken have what was found as its steps, or end it."""
    rollout = home.store.rollout(held.number)
    if rollout is None or rollout.state.is_over:
        return held, None
    order = Order.from_json(rollout.plan)
    for world in added.get(rollout.world_id, []):
        step = _next_step(rollout, order, world)
        if step is None:
            reason = (
                f"revision {world.timestamp_ms}, which was published before a loss, is not what "
                "this rollout was about to do: make a new plan"
            )
            stopped = replace(rollout, state=RolloutState.STOPPED, reason=reason)
            return held, home.store.update_rollout(stopped, now_ms)
        rollout = _catch_up(home, rollout, step, world, now_ms)
    return held, rollout


def _next_step(rollout: Rollout, order: Order, world: World) -> int | None:
    """The step that a World is, if it is the one that the lost home published next."""
    progress = Progress.from_json(rollout.intents)
    # It has published a step behind one that is out only when that was done.
    step = rollout.step + progress.has_published(rollout.step)
    if progress.rolling_back or step == len(order.plan.steps):
        return None
    wanted = order.plan.world(order.plan.steps[step], world.timestamp_ms)
    return step if wanted == replace(world, signature=UNSIGNED) else None


def _catch_up(home: Home, rollout: Rollout, step: int, world: World, now_ms: int) -> Rollout:
    """Note that a step is published, with its revision; nobody is given it from here yet."""
    newest = home.store.chain(rollout.world_id).newest
    if rollout.served is None or step != rollout.step:  # as the conductor does before it signs
        served = Served(rollout.world_id, newest.timestamp_ms, NOBODY)
        rollout = home.store.update_rollout(replace(rollout, served=served), now_ms)
    at = published(replace(position_of(rollout), step=step), world.timestamp_ms, now_ms)
    detail = f"World {rollout.world_id:016x} revision {world.timestamp_ms}, made before a loss"
    return home.store.publish_step(
        world,
        changed_to(rollout, at),
        now_ms,
        f"rollout {rollout.number}, step {step + 1} found after a restore",
        audit=AuditEntry(now_ms, CONDUCTOR, "recover revision", detail),
    )


def _go_on(home: Home, held: HeldRollout, rollout: Rollout | None, now_ms: int) -> Rollout | None:
    """Let a rollout go on as it was, unless somebody has steered it since."""
    if rollout is None or rollout.state is not RolloutState.PAUSED:
        return rollout
    # Nodes fell silent because there was no root: that is held against no revision.
    progress = replace(
        Progress.from_json(rollout.intents), clock_ms=now_ms, forgiven_ms=now_ms, complete_ms=0
    )
    return home.store.update_rollout(
        replace(rollout, state=held.state, reason=held.reason, intents=progress.to_json()), now_ms
    )


def _describe(home: Home, world_id: int, added: tuple[World, ...]) -> SettledWorld:
    newest = home.store.chain(world_id).newest
    public = newest.updates_must_be_signed_by
    keys = home.keys.keys(world_id)
    is_here = any(key.public in (public, None) for key in keys)
    return SettledWorld(world_id, added, newest, None if is_here else fingerprint(public))
