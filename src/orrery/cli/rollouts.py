"""`orrery pause`, `resume`, `rollback` and `stop`: to steer the rollout that goes on."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from orrery.cli.apply import DetachOption
from orrery.cli.homes import (
    HERE,
    HomeOption,
    JsonOption,
    WorldArgument,
    home_option,
    world_option,
)

if TYPE_CHECKING:
    from pathlib import Path

    from orrery.home import Home
    from orrery.store import Rollout

    Steer = Callable[[Home, str, int], Rollout]


def pause(
    world: WorldArgument = None, home: HomeOption = HERE, as_json: JsonOption = False
) -> None:
    """Let the rollout stand still.

    Nodes keep what they have, and no further ones are handed the new revision.
    """
    from orrery.home import rolling

    _steer(
        home, world, rolling.pause, "is paused: go on with `orrery resume{this}`", as_json=as_json
    )


def resume(
    world: WorldArgument = None,
    home: HomeOption = HERE,
    follow: bool = typer.Option(False, "--follow", help="Follow it as `apply` does."),
    as_json: JsonOption = False,
) -> None:
    """Let a paused rollout go on.

    What it paused for is accepted, as somebody has looked at it.
    """
    from orrery.home import rolling

    said = "goes on: `orrery status --watch{here}` shows it"
    _steer(home, world, rolling.resume, said, follow=follow, as_json=as_json)


def rollback(
    world: WorldArgument = None,
    home: HomeOption = HERE,
    detach: DetachOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take back what is being rolled out.

    The content before the step becomes a new revision. Nodes that have the step get it first, then
    everybody. Exit status 0 when that is done.
    """
    from orrery.home import rolling

    said = "is being rolled back: `orrery status --watch{here}` shows it"
    _steer(home, world, rolling.roll_back, said, follow=not detach, as_json=as_json)


def stop(world: WorldArgument = None, home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """End the rollout where it is.

    For good: nodes keep what they have, and those that were held back stay so until another
    rollout is done, or `orrery publish` gives the newest revision to everybody. Where nodes may be
    in trouble, `rollback` is what helps.
    """
    from orrery.home import rolling

    _steer(home, world, rolling.stop, "is stopped: plan again with `orrery plan`", as_json=as_json)


def _steer(
    path: Path,
    name: str | None,
    steer: Steer,
    said: str,
    *,
    follow: bool = False,
    as_json: bool,
) -> None:
    from orrery.cli import following, output
    from orrery.cli.installing import duties_of
    from orrery.cli.rollout_view import describe_view
    from orrery.home import Home
    from orrery.home.rolling import steered, view
    from orrery.rollout.state import RolloutState

    here = home_option(path)
    status = 0
    with Home.open(path) as opened:
        world = steered(opened, name)
        rollout = steer(opened, world.name, opened.clock())
        conducted = following.is_conducted(opened)
        if not conducted and not rollout.state.is_over and rollout.state is not RolloutState.PAUSED:
            output.warn(
                "no server conducts here, so nothing will move before one does: start it with "
                f"`orrery serve{here}`"
            )
        if follow and conducted:
            status = following.follow(opened, world, path, quiet=as_json)
            ended = opened.store.rollout(rollout.number)
            if ended is not None and ended.state is RolloutState.ROLLED_BACK:
                status = 0
        elif not as_json:
            told = said.format(here=here, this=world_option(opened, world, path))
            output.say(f"the rollout of {world.name} {told}")
        if as_json:
            seen = view(opened, world.id, opened.clock())
            output.print_json(
                None
                if seen is None
                else describe_view(seen, opened.clock(), duties_of(opened, seen, path))
            )
    raise typer.Exit(status)
