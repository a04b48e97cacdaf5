"""Following a rollout: in place on a terminal, a line for each change elsewhere."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from orrery.cli.installing import Duties, Installer
    from orrery.home import Home, WorldSettings
    from orrery.home.rolling import RolloutView, SteeredWorld

_INTERVAL_S = 0.5
_PATIENCE_S = 60.0
"""For so long nobody may conduct before following ends: a server may be restarting."""
_MOMENT_MS = 15_000
"""A server takes a rollout up, and one takes over from another, in less."""
_INTERRUPTED = 130


def is_conducted(home: Home) -> bool:
    """Whether a server carries out the rollouts of a home, or is about to."""
    from orrery.home.rolling import CONDUCTOR_LEASE

    lease = home.store.lease(CONDUCTOR_LEASE)
    if lease is not None and lease.holder and lease.until_ms > home.clock():
        return True
    return home.is_served


def alone_sentence(home: Home, path: Path, changed_ms: int) -> str:
    """What to say of a rollout that nobody carries out; nothing as long as it may be a moment's."""
    from orrery.cli.homes import home_option

    if home.is_served:
        if home.clock() - changed_ms < _MOMENT_MS:
            return ""
        return "the server that runs does not carry it out: its log tells why"
    return f"nobody carries it out now: start `orrery serve{home_option(path)}`"


def follow(
    home: Home,
    world: WorldSettings | SteeredWorld,
    path: Path,
    *,
    installer: Installer | None = None,
    quiet: bool = False,
) -> int:
    """Show a rollout until it is over or pauses.

    Args:
        home: The home.
        world: Whose rollout.
        path: How the home was named.
        installer: Deploys the hosts that need it.
        quiet: Show nothing.

    Returns:
        The exit status: 0 when it is done.
    """
    from orrery.cli import output
    from orrery.cli.homes import home_option, world_option
    from orrery.cli.hosting import deploy_command
    from orrery.cli.installing import left_to_deploy

    try:
        seen = _follow(home, world, path, installer, quiet=quiet)
    except KeyboardInterrupt:
        for sentence in () if installer is None else installer.stop():
            output.say(sentence)
        output.say(
            f"the rollout goes on without this command: `orrery status --watch{home_option(path)}` "
            f"shows it, `orrery pause{world_option(home, world, path)}` stops it"
        )
        return _INTERRUPTED
    finally:
        if installer is not None:
            installer.stop()
    status = _conclude(seen, home_option(path), world_option(home, world, path), quiet=quiet)
    if (left := left_to_deploy(home, seen)) and not quiet:
        output.say(f"to be done now: `{deploy_command(left, path)}`, where no root leads")
    return status


def _conclude(seen: RolloutView, here: str, this: str, *, quiet: bool) -> int:
    """Say how it ended; 0 when it is done.

    Args:
        seen: The rollout.
        here: What makes a command one about this home.
        this: And about this World.
        quiet: Say nothing.
    """
    from orrery.cli import output
    from orrery.rollout.state import RolloutState

    rollout = seen.rollout
    if rollout.state is RolloutState.DONE:
        for sentence in _afterwards(seen) if not quiet else ():
            output.say(sentence)
        return 0
    if quiet:
        return 1
    if rollout.state is RolloutState.PAUSED:
        back = (
            "" if seen.progress.rolling_back else f", or take it back with `orrery rollback{this}`"
        )
        output.say(f"the rollout is paused: go on with `orrery resume{this}`{back}")
    elif not rollout.state.is_over:
        output.say(
            f"nobody has carried the rollout out for {_PATIENCE_S:.0f} s: start `orrery "
            f"serve{here}`, and see `orrery status --watch{here}`"
        )
    return 1


def _afterwards(seen: RolloutView) -> Iterator[str]:
    """What may be or is to be done when every step is."""
    from orrery.rollout.places import name_places

    plan = seen.order.plan
    kept = {place for step in plan.steps for place in step.release}
    if kept:
        yield f"may stop now: {name_places(kept)}"
    yield from (f"to be done now: {condition}" for condition in plan.finish)


def _follow(
    home: Home,
    world: WorldSettings | SteeredWorld,
    path: Path,
    installer: Installer | None,
    *,
    quiet: bool,
) -> RolloutView:
    from orrery.cli.installing import duties_of
    from orrery.cli.rollout_view import progress_sentence, rollout_lines

    def duties(seen: RolloutView) -> Duties:
        hosts = None if installer is None else installer.hosts
        return duties_of(home, seen, path, hosts=hosts, by_itself=installer is not None)

    def is_working() -> bool:
        return installer is not None and installer.is_working

    def lines(seen: RolloutView) -> list[Text]:
        chain = home.store.chain(world.id)
        alone = alone_sentence(home, path, seen.rollout.changed_at_ms)
        shown = rollout_lines(seen, chain, home.clock(), alone=alone, duties=duties(seen))
        return [*shown, *(() if installer is None else installer.lines())]

    def until_over(show: Callable[[RolloutView], None]) -> RolloutView:
        def show_and_install(seen: RolloutView) -> None:
            show(seen)
            if installer is not None:
                installer.look(seen, duties(seen))

        return _until_over(home, world.id, show_and_install, is_working)

    if quiet:
        return until_over(lambda seen: None)
    if not sys.stdout.isatty():
        told = ""

        def tell(seen: RolloutView) -> None:
            nonlocal told
            if (sentence := progress_sentence(seen)) != told:
                told = sentence
                print(sentence, flush=True)

        return until_over(tell)

    from rich.console import Console, Group
    from rich.live import Live

    with Live(
        console=Console(highlight=False),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        return until_over(lambda seen: live.update(Group(*lines(seen)), refresh=True))


def _until_over(
    home: Home,
    world_id: int,
    show: Callable[[RolloutView], None],
    is_working: Callable[[], bool],
) -> RolloutView:
    """Look again and again until there is nothing more to be seen.

    Args:
        home: The home.
        world_id: Whose rollout.
        show: Called with what was seen.
        is_working: Whether something is being done here that is to be waited for all the same.
    """
    from orrery.rollout.state import RolloutState

    alone_since_s = time.monotonic()
    while True:
        began_s = time.monotonic()
        seen, is_at_work = _look(home, world_id), is_working()
        show(seen)
        ends = seen.rollout.state.is_over or seen.rollout.state is RolloutState.PAUSED
        if ends and not is_at_work:
            return seen
        if seen.is_conducted or is_at_work:
            alone_since_s = time.monotonic()
        elif time.monotonic() - alone_since_s > _PATIENCE_S:
            return seen
        # A look takes a line of every node, so a large fleet is looked at less often.
        time.sleep(max(_INTERVAL_S, 3 * (time.monotonic() - began_s)))


def _look(home: Home, world_id: int) -> RolloutView:
    from orrery.errors import PlanError
    from orrery.home.rolling import view

    seen = view(home, world_id, home.clock())
    if seen is None:
        raise PlanError("there is no rollout")
    return seen
