"""What was begun and has not come to its end: rollouts, and a restore."""

from __future__ import annotations

from collections.abc import Iterator

from orrery.doctor.commands import Commands, quote_name
from orrery.doctor.finding import Finding, note, problem, warning
from orrery.doctor.snapshot import Published, Snapshot
from orrery.home.rolling import RolloutView
from orrery.rollout.conditions import Adopted, Installed
from orrery.rollout.state import RolloutState
from orrery.spans import format_age
from orrery.wire.address import Address, format_address

_MOMENT_MS = 60_000
"""What lasts no longer needs nobody: a server is starting, a root restarting."""
_LONG_MS = 7 * 86_400_000
_SHOWN = 5


def check_restored(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """A home that was restored, until it is known what was published since."""
    mark = snapshot.mark
    if mark is None:
        return
    lost = [each for outlook in snapshot.outlooks for each in outlook.lost]
    if lost:
        revision = lost[0]
        holders = ", ".join(map(format_address, revision.some))
        yield problem(
            "unsettled",
            f"this home was restored from a backup, and {_nodes(revision.nodes)} hold"
            f"{'s' * (revision.nodes == 1)} revision {revision.timestamp_ms}, which was published "
            f"after that was made: copy the World file of one of them ({holders}) here",
            commands.orrery("restore --finish --world WORLD-FILE"),
        )
        return
    awaited = max((outlook.awaited for outlook in snapshot.outlooks), default=0)
    heard = min((outlook.heard for outlook in snapshot.outlooks), default=0)
    told = f"{heard} of {awaited} nodes have told since what they hold" if awaited else ""
    age = format_age(snapshot.time.now_ms - mark.restored_at_ms)
    yield problem(
        "unsettled",
        f"this home was restored from a backup {age} ago, and signs nothing before it is known "
        f"what was published after that was made{told and f': {told}'}",
        commands.orrery("restore --finish"),
    )


def check_rollouts(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """Rollouts that stand still, wait for somebody, or hold nodes back."""
    for world in snapshot.worlds:
        if world.rollout is not None:
            yield from _of_a_world(world, world.rollout, snapshot, commands)


def _of_a_world(
    world: Published, view: RolloutView, snapshot: Snapshot, commands: Commands
) -> Iterator[Finding]:
    rollout, this = view.rollout, world.argument
    quiet_ms = snapshot.time.now_ms - rollout.changed_at_ms
    if rollout.state.is_over:
        if rollout.served is not None and not rollout.served.opened.is_everybody:
            yield warning(
                "held-back",
                f"the rollout of {world.title} is {rollout.state} ({rollout.reason}), and some "
                f"nodes are held back at revision {rollout.served.held_back_ms}: plan again, or "
                "give the newest revision to everybody",
                commands.orrery(f"publish{this}"),
            )
        return
    if rollout.state is RolloutState.PAUSED:
        if snapshot.mark is None:  # else it waits for the restore, which is told
            yield problem(
                "rollout-paused",
                f"the rollout of {world.title} is paused: {rollout.reason}; if all is well let it "
                f"go on, else take it back with `{commands.orrery(f'rollback{this}')}`",
                commands.orrery(f"resume{this}"),
            )
        return
    if not view.is_conducted and quiet_ms > _MOMENT_MS:
        # Where no server runs that ought to, the check of roots tells.
        if snapshot.is_served or not _is_root(snapshot):
            why = "; the log of the server that runs tells why" if snapshot.is_served else ""
            yield problem(
                "rollout-alone",
                f"nobody carries out the rollout of {world.title}, which stands still since "
                f"{format_age(quiet_ms)}{why}",
                commands.orrery("serve"),
            )
        return
    if rollout.state is RolloutState.WAITING and quiet_ms > _MOMENT_MS:
        yield from _waiting(world, view, snapshot, commands)


def _waiting(
    world: Published, view: RolloutView, snapshot: Snapshot, commands: Commands
) -> Iterator[Finding]:
    rollout, this = view.rollout, world.argument
    quiet_ms = snapshot.time.now_ms - rollout.changed_at_ms
    since = f"since {format_age(quiet_ms)}"
    missing = [node.address for cohort in view.cohorts if cohort.is_open for node in cohort.missing]
    by_hand = _to_install(world, view)
    if by_hand:
        yield problem(
            "rollout-installs",
            f"the rollout of {world.title} waits {since} for its World file on "
            f"{', '.join(map(format_address, by_hand))}: {rollout.reason}",
            *_install(by_hand, world, snapshot, commands),
        )
    elif not view.target_ms or not missing:
        yield problem(
            "rollout-waits",
            f"the rollout of {world.title} waits {since} for somebody: {rollout.reason}",
            commands.orrery("status"),
        )
    elif quiet_ms > _LONG_MS:
        named = ",".join(map(format_address, missing))
        yield note(
            "rollout-long",
            f"the rollout of {world.title} waits {since} for {_nodes(len(missing))}, "
            f"{_list(missing)}: that is safe, and goes on until they come or are not counted any "
            "more; those that are gone for good can be left out",
            commands.orrery(f"stop{this}"),
            commands.orrery(f"apply{this} --exempt {named}"),
        )


def _to_install(world: Published, view: RolloutView) -> list[Address]:
    """The official roots whose file a rollout waits for."""
    step = view.order.plan.steps[view.rollout.step]
    awaited_ms = view.target_ms or view.progress.revisions[view.rollout.step]
    roots = step.install_first
    if not view.target_ms or view.rollout.cohort >= 0:
        is_given = not view.target_ms or view.cohorts[-1].is_open
        roots = tuple(
            address
            for condition in (step.done if view.target_ms else step.before)
            if isinstance(condition, Installed | Adopted) and is_given
            for address in condition.roots
        )
    held = {} if world.planned is None else world.planned.landscape.official
    return [address for address in roots if (held.get(address) or 0) < awaited_ms]


def _install(
    roots: list[Address], world: Published, snapshot: Snapshot, commands: Commands
) -> tuple[str, ...]:
    names = [
        host.name
        for host in (snapshot.settings.hosts if snapshot.settings is not None else ())
        if host.node in roots or snapshot.node_of(host.name) in roots
    ]
    if names:
        return (commands.orrery(f"deploy {' '.join(map(quote_name, names))}"),)
    file = f"{world.file.name}.new"
    return (commands.orrery(f"world export --world {world.newest.id:016x} {file}"),)


def _is_root(snapshot: Snapshot) -> bool:
    return any(
        snapshot.is_own(root.identity) for world in snapshot.worlds for root in world.newest.roots
    )


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count:,} nodes"


def _list(nodes: list[Address]) -> str:
    shown = ", ".join(map(format_address, nodes[:_SHOWN]))
    return shown + (f" and {len(nodes) - _SHOWN:,} more" if len(nodes) > _SHOWN else "")
