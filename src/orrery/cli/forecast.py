"""`orrery forecast`: what a rollout will take, for up to a million nodes."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from orrery.cli.fleet_options import (
    AlwaysOnOption,
    BeginOption,
    DailyOption,
    DaysUsedOption,
    LossOption,
    OfflineOption,
    RttOption,
    SessionOption,
    check_installed,
    choose_churn,
    read_rtt_ms,
    read_share,
    read_span_ms,
    sighted_churn,
)
from orrery.cli.homes import JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orrery.home import Home
    from orrery.lab.churn import Churn
    from orrery.lab.forecast import Fleet, Forecast, Outcome, Server, Step
    from orrery.vl1.push import PushSettings
    from orrery.wire.world import Root, World

_NODES = 1_000
_WORLD_BYTES = 500
_SETTLE = "10s"
_HORIZON = "30d"
_COHORTS = "1%,10%,100%"
_MOST_RUNS = 20
_NODES_OF_ALL_RUNS = 400_000
_CAPACITY_PACKETS = 20_000
"""What a root answered a second on one core of a small machine (benchmarks/load.py)."""


def forecast(
    from_home: Annotated[
        Path | None,
        typer.Option(
            "--from-home",
            metavar="DIR",
            help="Shape fleet, roots and rollout like those of this home; options overrule it.",
        ),
    ] = None,
    world: Annotated[
        str | None, typer.Option(metavar="WORLD", help="Which World of the home, by name or id.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="The steps that `orrery plan` has for this home (--from-home, or the current "
            "directory), in place of --steps.",
        ),
    ] = False,
    nodes: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help=f"Default: {_NODES}, or as the home.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=100, help="Revisions of the plan. Default: 1.")
    ] = None,
    rotations: Annotated[
        int, typer.Option(min=0, max=100, help="How many of them, the first ones, name a new key.")
    ] = 0,
    world_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="BYTES", help=f"Of a World. Default: {_WORLD_BYTES}."),
    ] = None,
    roots: Annotated[
        int | None, typer.Option(min=1, max=4, help="How many; each node knows all.")
    ] = None,
    push_rate: Annotated[
        str | None,
        typer.Option(
            metavar="N[,N…]", help="Nodes a second that a root pushes to; one for all, or for each."
        ),
    ] = None,
    push_bytes: Annotated[
        str | None,
        typer.Option(metavar="N[,N…]", help="Bytes of Worlds a second that a root pushes."),
    ] = None,
    push: Annotated[
        bool | None, typer.Option(help="Hand revisions over at once, or in answer to HELLO only.")
    ] = None,
    cohorts: Annotated[
        str | None, typer.Option(metavar="SHARES", help=f"Default: {_COHORTS}.")
    ] = None,
    settle: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help=f"Wait before the next cohort. Default: {_SETTLE}."),
    ] = None,
    required: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Of the counted nodes, to go on. Default: 100%."),
    ] = None,
    horizon: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help=f"Nodes seen in it count. Default: {_HORIZON}."),
    ] = None,
    offline: OfflineOption = None,
    session: SessionOption = "8h",
    always_on: AlwaysOnOption = None,
    daily: DailyOption = None,
    days_used: DaysUsedOption = "100%",
    begin: BeginOption = "09:00",
    loss: LossOption = "1%",
    rtt: RttOption = "20-120",
    capacity: Annotated[
        int, typer.Option(min=1, metavar="N", help="Packets a second that a root can take in.")
    ] = _CAPACITY_PACKETS,
    runs: Annotated[
        int | None,
        typer.Option(min=1, max=1_000, help="Futures. Default: up to 20, fewer of large fleets."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same futures.")] = 0,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the adoption curve into this file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate how long adoption takes.

    Time to 50, 99 and 100 % adoption, and the load on each root, for up to a million nodes.
    docs/forecast.md tells what is simulated, and what is not.
    """
    check_installed("forecast")
    from orrery.cli import forecast_view, output
    from orrery.lab.forecast import Fleet, Forecast, shares_of
    from orrery.rollout.conductor import AWAKE_MS

    if plan:
        from_home = from_home or _home_here()
    told = _DEFAULTS
    if from_home is not None:
        told = _from_home(from_home, world, horizon, session, planned=plan)
    count = nodes or told.nodes
    servers = _servers(roots, push_rate, push_bytes, push, told)
    churn = choose_churn(
        told.churn,
        offline=offline,
        session=session,
        always_on=always_on,
        daily=daily,
        days_used=days_used,
        begin=begin,
    )
    rollout = Forecast(
        steps=_steps(steps, rotations, world_size, told),
        cohorts=_cohorts(cohorts) if cohorts is not None else shares_of(told.cohorts(), count),
        settle_ms=read_span_ms(settle) if settle is not None else told.settle_ms,
        required=read_share(required, "--required") if required is not None else told.required,
        horizon_ms=read_span_ms(horizon) if horizon is not None else told.horizon_ms,
        awake_ms=AWAKE_MS,
    )
    fleet = Fleet(count, churn, servers, read_rtt_ms(rtt), read_share(loss, "--loss"))
    outcomes = _run(rollout, fleet, runs or _runs(count), seed)
    warnings = forecast_view.warnings(fleet, outcomes, capacity)
    if svg is not None:
        forecast_view.draw(svg, rollout, fleet, outcomes)
    if as_json:
        output.print_json(forecast_view.describe(rollout, fleet, outcomes, warnings))
        return
    forecast_view.show(rollout, fleet, outcomes)
    output.print_warnings(warnings)
    if svg is not None:
        output.say(f"the adoption curve is drawn in {svg}")


# -- what is wanted --------------------------------------------------------------------------------


class _Told(NamedTuple):
    """What is not said by an option."""

    nodes: int
    world_bytes: int
    roots: tuple[str, ...]
    push: PushSettings | None
    cohorts: Callable[[], Sequence[Any]]
    settle_ms: float
    required: float
    horizon_ms: float
    churn: Churn | None
    steps: tuple[Step, ...] = ()


def _default_cohorts() -> Sequence[Any]:
    from orrery.rollout.cohorts import Share

    return [Share.from_text(text) for text in _COHORTS.split(",")]


_DEFAULTS = _Told(
    nodes=_NODES,
    world_bytes=_WORLD_BYTES,
    roots=("root-1",),
    push=None,
    cohorts=_default_cohorts,
    settle_ms=10_000.0,
    required=1.0,
    horizon_ms=30 * 86_400_000.0,
    churn=None,
)


def _home_here() -> Path:
    import os

    return Path(os.environ.get("ORRERY_HOME") or ".")


def _from_home(
    path: Path, world: str | None, horizon: str | None, session: str, *, planned: bool
) -> _Told:
    """What a home tells of its fleet, its roots and its rollouts."""
    from orrery.cli.homes import choose_world
    from orrery.home import Home
    from orrery.vl1.limits import Allowance
    from orrery.vl1.push import PushSettings

    with Home.open(path) as home:
        settings = home.settings()
        wanted = choose_world(home, world)
        newest = home.store.chain(wanted.id).newest
        horizon_ms = float(settings.rollout.horizon_ms)
        if horizon is not None:
            horizon_ms = read_span_ms(horizon)
        churn = sighted_churn(home, len(newest.roots), horizon_ms, session)
        rate = settings.serve.push_rate
        names = {root.identity.address: root.name for root in wanted.roots}
        listed = newest.roots
        steps: tuple[Step, ...] = ()
        if planned:
            listed, steps = _planned(home, wanted.name, newest)
        return _Told(
            nodes=len(churn.age_ms),
            world_bytes=len(newest.encode()),
            roots=tuple(
                names.get(root.identity.address, f"{root.identity.address:010x}") for root in listed
            ),
            push=PushSettings(enabled=settings.serve.push, nodes=Allowance(rate, rate)),
            cohorts=lambda: settings.rollout.cohorts,
            settle_ms=float(settings.rollout.settle_ms),
            required=float(settings.rollout.required),
            horizon_ms=horizon_ms,
            churn=churn,
            steps=steps,
        )


def _planned(home: Home, name: str, newest: World) -> tuple[tuple[Root, ...], tuple[Step, ...]]:
    """The steps that a home plans, and the roots of the revision that lists most of them.

    Raises:
        PlanError: there is nothing to do, or nothing safe.
    """
    from orrery.errors import PlanError
    from orrery.home import wall_clock_ms
    from orrery.home.planning import make_plan
    from orrery.lab.forecast import steps_of

    plan = make_plan(home, name, wall_clock_ms()).order.plan
    if not plan.steps:
        raise PlanError("nothing to forecast: the newest revision says what orrery.toml says")
    contents = (newest.roots, *(step.roots for step in plan.steps))
    return max(contents, key=len), steps_of(plan, newest)


def _servers(
    roots: int | None,
    push_rate: str | None,
    push_bytes: str | None,
    push: bool | None,
    told: _Told,
) -> tuple[Server, ...]:
    from orrery.errors import UsageError
    from orrery.lab.forecast import Server
    from orrery.vl1.limits import Allowance
    from orrery.vl1.push import PushSettings

    rates = _numbers(push_rate, "--push-rate")
    byte_rates = _numbers(push_bytes, "--push-bytes")
    given = {len(numbers) for numbers in (rates, byte_rates) if len(numbers) > 1}
    count = roots or max(given, default=len(told.roots))
    if given - {count}:
        raise UsageError(
            f"there are {count} roots: write one number for all of them, or {count} with commas"
        )
    names = told.roots if count == len(told.roots) else [f"root-{n + 1}" for n in range(count)]
    base = told.push or PushSettings(nodes=Allowance(1_000, 1_000))
    servers = []
    for number, name in enumerate(names):
        settings = base if push is None else base._replace(enabled=push)
        if rates:
            rate = rates[number % len(rates)]
            settings = settings._replace(nodes=Allowance(rate, rate))
        if byte_rates:
            rate = byte_rates[number % len(byte_rates)]
            settings = settings._replace(bytes=Allowance(rate, rate))
        servers.append(Server(name, settings))
    return tuple(servers)


def _steps(
    steps: int | None, rotations: int, world_bytes: int | None, told: _Told
) -> tuple[Step, ...]:
    from orrery.errors import UsageError
    from orrery.lab.forecast import Step

    if told.steps:
        if steps or rotations or world_bytes:
            raise UsageError(
                "--plan says what the steps are: leave out --steps, --rotations and --world-size"
            )
        return told.steps
    count = steps or 1
    if rotations > count:
        raise UsageError(f"{rotations} rotations need as many steps: give --steps {rotations}")
    return tuple(
        Step(
            f"step {number + 1}",
            world_bytes or told.world_bytes,
            rotates=number < rotations,
            waits_for_all=True,
        )
        for number in range(count)
    )


def _cohorts(text: str) -> tuple[float, ...]:
    return tuple(read_share(part, "--cohorts") for part in text.split(","))


def _numbers(text: str | None, option: str) -> list[int]:
    from orrery.errors import UsageError

    if text is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) < 10**12 for part in parts):
        raise UsageError(
            f"{option}: {text[:40]!r} is not a list of numbers: write 1000 or 1000,500"
        )
    return [int(part) for part in parts]


def _runs(nodes: int) -> int:
    return max(1, min(_MOST_RUNS, _NODES_OF_ALL_RUNS // nodes))


# -- what comes of it ------------------------------------------------------------------------------


def _run(plan: Forecast, fleet: Fleet, runs: int, seed: int) -> list[Outcome]:
    """So many futures, the one whose end is in the middle first; a bar shows how far it is."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("computing", total=runs * plan.turns)
        outcomes = [
            plan.run(fleet, seed + number, lambda *_: bar.advance(task)) for number in range(runs)
        ]
    outcomes.sort(key=lambda outcome: outcome.adopted_ms[-1])
    middle = outcomes.pop(len(outcomes) // 2)
    return [middle, *outcomes]
