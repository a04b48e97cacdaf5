"""Deploys to the hosts of a home: who comes after whom, and who is not tried any more.

Roots come first, one at a time, and none while it is the last one that nodes could turn to. A root
that fails stops all that would come after it. Then the first node that there is something to do for
comes alone, and stops the rest if it fails; then as many at a time as `[deploy]` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from orrery.errors import OrreryError, UsageError
from orrery.fleet.deploying import Guard, Orders, deploy_to
from orrery.fleet.host_view import HostView
from orrery.fleet.known import read_known
from orrery.fleet.last_root import LastRootGuard
from orrery.fleet.looking import look
from orrery.fleet.outcomes import Outcome, Progress, Result, Step
from orrery.fleet.reaching import open_shell
from orrery.fleet.wanting import HostPlan, describe_done, plan_for
from orrery.home import Home, wall_clock_ms
from orrery.home.backing_up import back_up
from orrery.home.settings import HostSettings, Settings
from orrery.home.unsettled import check_settled
from orrery.rollout.places import Place, name_places

_LOOKS = 16
"""At how many hosts at once: looking changes nothing there."""
_STOPPING = (Result.PUT_BACK, Result.FAILED)


async def look_at(
    home: Home,
    names: Sequence[str] | None = None,
    *,
    clock_ms: Callable[[], int] = wall_clock_ms,
) -> list[HostView]:
    """Look at hosts; nothing is changed there.

    Args:
        home: The home.
        names: Which hosts, all of them when left out.
        clock_ms: Our clock.

    Returns:
        What was found, in the order of `orrery.toml`; one that cannot be reached has an `error`.

    Raises:
        UsageError: There is no such host, or none at all.
        DecodeError: `orrery.toml` has mistakes.
    """
    hosts = choose_hosts(home.settings(), names)
    gate = asyncio.Semaphore(_LOOKS)
    return list(await asyncio.gather(*(_look_at_one(home, host, clock_ms, gate) for host in hosts)))


async def deploy(
    home: Home,
    names: Sequence[str] | None = None,
    *,
    dry_run: bool = False,
    replace: bool = False,
    restart_last_root: bool = False,
    clock_ms: Callable[[], int] = wall_clock_ms,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Let hosts hold the World files that they should.

    It is safe to repeat, and to be cut off at any moment: the next one ends what was begun.

    Args:
        home: The home, open as a reader; for the backup it is the writer for a moment.
        names: Which hosts, all of them when left out.
        dry_run: Only tell what would be done.
        replace: Whether Worlds that are none of this home may be replaced.
        restart_last_root: Whether a root may be restarted that is the only one for some nodes.
        clock_ms: Our clock.
        progress: Told what is done for which host.

    Returns:
        What became of each, in the order of `orrery.toml`.

    Raises:
        UsageError: There is no such host, or none at all.
        PlanError: The home was restored, and it is not known what was published since.
        ConflictError: Another deploy from this home goes on.
        CustodyError, UnreadableError: The backup that `[backup]` asks for cannot be made.
        DecodeError: `orrery.toml` has mistakes.
    """
    settings = home.settings()
    hosts = choose_hosts(settings, names)
    check_settled(home)
    wishes = _Wishes(dry_run, replace, restart_last_root)
    with _alone(home, dry_run=dry_run):
        return await _Campaign(home, settings, hosts, wishes, (clock_ms, progress)).run()


@contextmanager
def _alone(home: Home, *, dry_run: bool) -> Iterator[None]:
    if dry_run:
        yield
        return
    with home.start_deploying():
        yield


def _back_up(home: Home, settings: Settings, now_ms: int) -> None:
    if settings.backup is None:
        return
    was_writer = home.is_writer
    home.acquire()
    try:
        back_up(home, settings.backup, now_ms, "deploying")
    finally:
        if not was_writer:
            home.release()


def choose_hosts(settings: Settings, names: Sequence[str] | None) -> list[HostSettings]:
    """The hosts with these names, or all of them, in the order of `orrery.toml`.

    Raises:
        UsageError: There is no such host, or none at all.
    """
    if not settings.hosts:
        raise UsageError(
            "orrery.toml has no host: write a [[host]] with a name and where it is, as "
            "docs/deploying.md shows"
        )
    if not names:
        return list(settings.hosts)
    chosen = {settings.host(name).name for name in names}
    return [host for host in settings.hosts if host.name in chosen]


async def _look_at_one(
    home: Home, host: HostSettings, clock_ms: Callable[[], int], gate: asyncio.Semaphore
) -> HostView:
    async with gate:
        try:
            async with open_shell(host, home.path) as shell:
                return await look(shell, host, clock_ms)
        except OrreryError as error:
            where = "this machine" if host.ssh is None else str(host.ssh)
            return HostView(name=host.name, where=where, error=str(error))


@dataclass(frozen=True, slots=True)
class _Wishes:
    dry_run: bool
    replace: bool
    restart_last_root: bool


class _Campaign:
    """One run over hosts."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        hosts: list[HostSettings],
        wishes: _Wishes,
        told: tuple[Callable[[], int], Progress | None],
    ) -> None:
        self._home = home
        self._settings = settings
        self._hosts = hosts
        self._wishes = wishes
        self._clock_ms, self._progress = told
        self._guard = LastRootGuard(home, self._clock_ms, may_restart_last=wishes.restart_last_root)
        self._outcomes: dict[str, Outcome] = {}

    async def run(self) -> list[Outcome]:
        """All of it."""
        roots, nodes = await self._sort()
        if (roots or nodes) and not self._wishes.dry_run:
            # Not when there is nothing to do: who looks again and again would push older ones out.
            _back_up(self._home, self._settings, self._clock_ms())
        stopped_by = ""
        for host in roots:
            if stopped_by:
                self._skip(host, stopped_by)
                continue
            outcome = await self._deploy_root(host)
            if outcome.result in _STOPPING:
                stopped_by = host.name
        await self._deploy_nodes(nodes, stopped_by)
        return [self._outcomes[host.name] for host in self._hosts]

    async def _sort(self) -> tuple[list[HostSettings], list[HostSettings]]:
        """Look at all; roots and nodes for which there is something to do."""
        gate = asyncio.Semaphore(_LOOKS)

        async def look_at_it(host: HostSettings) -> HostView:
            self._tell(host, Step.LOOK, "")
            return await _look_at_one(self._home, host, self._clock_ms, gate)

        views = await asyncio.gather(*map(look_at_it, self._hosts))
        known = read_known(self._home)
        roots: list[HostSettings] = []
        nodes: list[HostSettings] = []
        for host, view in zip(self._hosts, views, strict=True):
            if not view.is_reached:
                self._end(Outcome(host=host.name, result=Result.UNREACHABLE, sentence=view.error))
                continue
            plan = plan_for(known, host, view, replace=self._wishes.replace)
            is_root = view.node is not None and any(
                world.is_root(view.node) for world in known.worlds
            )
            if plan.is_done and view.unfinished is None:
                self._end(_up_to_date(plan, view))
            else:
                self._tell(host, Step.WAIT, "")
                (roots if is_root else nodes).append(host)
        return roots, nodes

    async def _deploy_root(self, host: HostSettings) -> Outcome:
        answered: frozenset[Place] = frozenset()

        async def guard(view: HostView) -> None:
            nonlocal answered
            if view.node is not None:
                silent = view.running is None
                answered = await self._guard.check(view.node, is_silent=silent)

        outcome = await deploy_to(self._orders(host, guard), open_shell(host, self._home.path))
        if outcome.result is Result.DEPLOYED and outcome.restarted and answered:
            timeout_s = self._settings.deploy.timeout_ms / 1000
            if missing := await self._guard.missing(answered, timeout_s):
                sentence = (
                    f"{outcome.sentence}, but it does not answer as a root any more, as it did "
                    f"before: {name_places(missing)}; look at its log and its firewall"
                )
                outcome = replace(outcome, result=Result.FAILED, sentence=sentence)
        return self._end(outcome)

    async def _deploy_nodes(self, nodes: list[HostSettings], stopped_by: str) -> None:
        """The first that really is deployed to comes alone."""
        waiting = list(nodes)
        while waiting and not stopped_by:
            host = waiting.pop(0)
            outcome = await self._deploy_node(host)
            if outcome.result in _STOPPING:
                stopped_by = host.name
            elif outcome.result is Result.DEPLOYED or self._wishes.dry_run:
                break
        if stopped_by:
            for host in waiting:
                self._skip(host, stopped_by)
            return
        gate = asyncio.Semaphore(self._settings.deploy.parallel)

        async def deploy_in_turn(host: HostSettings) -> None:
            async with gate:
                await self._deploy_node(host)

        await asyncio.gather(*map(deploy_in_turn, waiting))

    async def _deploy_node(self, host: HostSettings) -> Outcome:
        async def guard(view: HostView) -> None:
            """No root: its restart is its own affair."""

        return self._end(
            await deploy_to(self._orders(host, guard), open_shell(host, self._home.path))
        )

    def _orders(self, host: HostSettings, guard: Guard) -> Orders:
        home = self._home

        def plan(view: HostView) -> HostPlan:
            return plan_for(read_known(home), host, view, replace=self._wishes.replace)

        return Orders(
            host=host,
            settings=self._settings.deploy,
            plan=plan,
            guard=guard,
            backups=home.backups / "hosts" / host.name,
            owner=home.owner,
            dry_run=self._wishes.dry_run,
            clock_ms=self._clock_ms,
            tell=lambda step, words: self._tell(host, step, words),
        )

    def _skip(self, host: HostSettings, stopped_by: str) -> None:
        sentence = f"not tried, because {stopped_by} did not do with it"
        self._end(Outcome(host=host.name, result=Result.SKIPPED, sentence=sentence))

    def _end(self, outcome: Outcome) -> Outcome:
        self._outcomes[outcome.host] = outcome
        if self._progress is not None:
            self._progress(outcome.host, Step.DONE, outcome.sentence)
        return outcome

    def _tell(self, host: HostSettings, step: Step, words: str) -> None:
        if self._progress is not None:
            self._progress(host.name, step, words)


def _up_to_date(plan: HostPlan, view: HostView) -> Outcome:
    return Outcome(
        host=plan.host,
        result=Result.UP_TO_DATE,
        sentence=describe_done(plan),
        is_root=plan.is_root,
        node=view.node,
    )
