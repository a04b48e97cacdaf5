"""`orrery forecast`: what a rollout will take, for up to a million nodes."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from orrery.cli.homes import JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from orrery.lab.churn import Churn
    from orrery.lab.forecast import Fleet, Forecast, Outcome, Server, Spread, Step
    from orrery.lab.load import Kind, Load
    from orrery.vl1.push import PushSettings

_NODES = 1_000
_WORLD_BYTES = 500
_SETTLE = "10m"
_HORIZON = "30d"
_COHORTS = "1%,10%,100%"
_MOST_RUNS = 20
_NODES_OF_ALL_RUNS = 400_000
_CAPACITY_PACKETS = 20_000
"""What a root answered a second on one core of a small machine (benchmarks/load.py)."""
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%")
_TIME_OF_DAY = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_MINUTE_MS = 60_000


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
    nodes: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help=f"Default: {_NODES}, or as the home.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=100, help="Revisions of the plan.")] = 1,
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
    offline: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Offline at any moment. Default: 10%.")
    ] = None,
    session: Annotated[
        str, typer.Option(metavar="SPAN", help="Mean time online of those who come and go.")
    ] = "8h",
    always_on: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Never offline. Default: 0%.")
    ] = None,
    daily: Annotated[
        str | None,
        typer.Option(
            metavar="HH:MM-HH:MM", help="Nodes are online in these hours, in place of --offline."
        ),
    ] = None,
    days_used: Annotated[
        str, typer.Option(metavar="SHARE", help="With --daily: of the days.")
    ] = "100%",
    begin: Annotated[
        str, typer.Option(metavar="HH:MM", help="With --daily: when the rollout begins.")
    ] = "09:00",
    loss: Annotated[str, typer.Option(metavar="SHARE", help="Of packets, each way.")] = "1%",
    rtt: Annotated[
        str, typer.Option(metavar="MS-MS", help="Shortest and longest round trip.")
    ] = "20-120",
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
    """Simulate a rollout: time to 50, 99 and 100 % adoption, and the load on each root.

    docs/forecast.md tells what is simulated, and what is not.
    """
    _check_installed()
    from orrery.cli import output
    from orrery.lab.forecast import Fleet, Forecast, shares_of

    told = _from_home(from_home, world, horizon, session) if from_home is not None else _DEFAULTS
    count = nodes or told.nodes
    servers = _servers(roots, push_rate, push_bytes, push, told)
    churn = _churn(told, offline, session, always_on, daily, days_used, begin)
    plan = Forecast(
        steps=_steps(steps, rotations, world_size or told.world_bytes),
        cohorts=_cohorts(cohorts) if cohorts is not None else shares_of(told.cohorts(), count),
        settle_ms=_span_ms(settle) if settle is not None else told.settle_ms,
        required=_share(required, "--required") if required is not None else told.required,
        horizon_ms=_span_ms(horizon) if horizon is not None else told.horizon_ms,
    )
    fleet = Fleet(count, churn, servers, _rtt_ms(rtt), _share(loss, "--loss"))
    outcomes = _run(plan, fleet, runs or _runs(count), seed)
    warnings = _warnings(fleet, outcomes, capacity)
    if svg is not None:
        _draw(svg, plan, fleet, outcomes)
    if as_json:
        output.print_json(_describe(plan, fleet, outcomes, warnings))
        return
    _print(_render(plan, fleet, outcomes))
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


def _default_cohorts() -> Sequence[Any]:
    from orrery.rollout.cohorts import Share

    return [Share.from_text(text) for text in _COHORTS.split(",")]


_DEFAULTS = _Told(
    nodes=_NODES,
    world_bytes=_WORLD_BYTES,
    roots=("root-1",),
    push=None,
    cohorts=_default_cohorts,
    settle_ms=600_000.0,
    required=1.0,
    horizon_ms=30 * 86_400_000.0,
    churn=None,
)


def _check_installed() -> None:
    from orrery.errors import UsageError

    try:
        import numpy  # noqa: F401
    except ImportError:
        raise UsageError(
            "a forecast needs a part that is not installed; run: pip install 'zt-orrery[lab]'"
        ) from None


def _from_home(path: Path, world: str | None, horizon: str | None, session: str) -> _Told:
    """What a home tells of its fleet, its roots and its rollouts."""
    from orrery.cli.homes import choose_world
    from orrery.home import Home
    from orrery.lab.churn import Sighted
    from orrery.lab.turns import WHOIS_MS
    from orrery.vl1.limits import Allowance
    from orrery.vl1.push import PushSettings
    from orrery.vl1.root import RootLimits

    with Home.open(path) as home:
        settings = home.settings()
        wanted = choose_world(home, world)
        newest = home.store.chain(wanted.id).newest
        horizon_ms = float(settings.rollout.horizon_ms)
        if horizon is not None:
            horizon_ms = _span_ms(horizon)
        # With several roots, a node is seen often by the one that it asks by WHOIS, else seldom.
        every_ms = RootLimits().report_ms + WHOIS_MS / 2 if len(newest.roots) == 1 else None
        churn = Sighted.of(home.store.presence(), horizon_ms, _span_ms(session), every_ms)
        rate = settings.serve.push_rate
        names = {root.identity.address: root.name for root in wanted.roots}
        return _Told(
            nodes=len(churn.age_ms),
            world_bytes=len(newest.encode()),
            roots=tuple(
                names.get(root.identity.address, f"{root.identity.address:010x}")
                for root in newest.roots
            ),
            push=PushSettings(enabled=settings.serve.push, nodes=Allowance(rate, rate)),
            cohorts=lambda: settings.rollout.cohorts,
            settle_ms=float(settings.rollout.settle_ms),
            required=float(settings.rollout.required),
            horizon_ms=horizon_ms,
            churn=churn,
        )


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


def _churn(
    told: _Told,
    offline: str | None,
    session: str,
    always_on: str | None,
    daily: str | None,
    days_used: str,
    begin: str,
) -> Churn:
    from orrery.errors import UsageError
    from orrery.lab.churn import Daily, Sessions

    stays = 0.0 if always_on is None else _share(always_on, "--always-on")
    if daily is not None:
        if offline is not None:
            raise UsageError("--daily says who is offline when: leave --offline out")
        first, dash, last = daily.partition("-")
        if not dash:
            raise UsageError(f"{daily!r} are no hours of a day: write 08:00-18:00")
        return Daily(
            from_ms=_time_of_day_ms(first),
            until_ms=_time_of_day_ms(last),
            begins_ms=_time_of_day_ms(begin),
            used=_share(days_used, "--days-used"),
            always_on=stays,
        )
    if told.churn is not None and offline is None and always_on is None:
        return told.churn
    away = 0.1 if offline is None else _share(offline, "--offline")
    return Sessions(offline=away, session_ms=_span_ms(session), always_on=stays)


def _steps(steps: int, rotations: int, world_bytes: int) -> tuple[Step, ...]:
    from orrery.errors import UsageError
    from orrery.lab.forecast import Step

    if rotations > steps:
        raise UsageError(f"{rotations} rotations need as many steps: give --steps {rotations}")
    return tuple(
        Step(f"step {number + 1}", world_bytes, rotates=number < rotations)
        for number in range(steps)
    )


def _cohorts(text: str) -> tuple[float, ...]:
    return tuple(_share(part, "--cohorts") for part in text.split(","))


def _share(text: str, option: str) -> float:
    from orrery.errors import UsageError

    found = _PERCENT.fullmatch(text.strip())
    if found is None or float(found[1]) > 100:
        raise UsageError(f"{option}: {text[:40]!r} is not a share: write 0% to 100%, such as 2.5%")
    return float(found[1]) / 100


def _span_ms(text: str) -> float:
    from orrery.spans import parse_span_ms

    return float(parse_span_ms(text))


def _time_of_day_ms(text: str) -> float:
    from orrery.errors import UsageError

    found = _TIME_OF_DAY.fullmatch(text.strip())
    if found is None or int(found[1]) > 24 or int(found[2]) > 59:
        raise UsageError(f"{text[:40]!r} is no time of the day: write 08:00")
    return float((int(found[1]) * 60 + int(found[2])) * _MINUTE_MS)


def _rtt_ms(text: str) -> tuple[float, float]:
    from orrery.errors import UsageError

    first, dash, last = text.partition("-")
    try:
        return float(first), float(last if dash else first)
    except ValueError:
        raise UsageError(f"{text[:40]!r} are no round trips: write 20-120, or 80") from None


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


def _warnings(fleet: Fleet, outcomes: list[Outcome], capacity: int) -> list[str]:
    """Where the figures do not hold, or tell of something that is easily overlooked."""
    from orrery.lab.load import Kind
    from orrery.vl1.root import RootLimits

    warnings = []
    loads = outcomes[0].loads
    background = max(
        load[Kind.HELLO].mean.packets_in + load[Kind.WHOIS].mean.packets_in for load in loads
    )
    peak = max(load[Kind.ALL].peak.packets_in for load in loads)
    if background > capacity:
        warnings.append(
            f"{background:,.0f} packets a second reach a root all the time, and it is taken to "
            f"handle {capacity:,} (--capacity): it would drop the rest, so none of this holds"
        )
    elif peak > capacity:
        warnings.append(
            f"a root is asked for {peak:,.0f} packets in the busiest second, and it is taken to "
            f"handle {capacity:,} (--capacity): that second takes longer in truth"
        )
    if fleet.nodes > (most := RootLimits().peers):
        warnings.append(
            f"a root remembers {most:,} nodes: with more than that it takes those it forgot for "
            "strangers again and again, which is not part of the forecast"
        )
    if unseen := round(_spread(outcomes, lambda outcome: outcome.unseen).median):
        warnings.append(
            f"{unseen:,} nodes were not seen within the horizon before they had the last "
            "revision: they cease to count, and are led there when they come back"
        )
    return warnings


def _spread(outcomes: list[Outcome], number: Callable[[Outcome], float]) -> Spread:
    """A number of all futures."""
    from orrery.lab.forecast import spread

    return spread(number(outcome) for outcome in outcomes)


def _draw(path: Path, plan: Forecast, fleet: Fleet, outcomes: list[Outcome]) -> None:
    from orrery.errors import UnreadableError
    from orrery.lab.curve import draw_svg

    middle = outcomes[0]
    last = plan.steps[-1].name
    picture = draw_svg(
        middle.curves,
        title=f"Adoption of {last} by {fleet.nodes:,} nodes",
        subtitle=_in_short(plan, fleet),
        openings_ms=[turn.opened_ms for turn in middle.turns],
    )
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"{path} cannot be written: {error.strerror}") from error


def _in_short(plan: Forecast, fleet: Fleet) -> str:
    roots = len(fleet.servers)
    return (
        f"{fleet.churn.describe()}; {_count(roots, 'root')}, "
        f"{_count(len(plan.steps), 'step')}, {fleet.loss * 100:.3g} % loss"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _describe(
    plan: Forecast, fleet: Fleet, outcomes: list[Outcome], warnings: list[str]
) -> dict[str, Any]:
    from orrery.lab.curve import TOLD_SHARES

    middle = outcomes[0]
    names = [f"{share * 100:g}" for share in TOLD_SHARES]
    ranges = [plan.turns_of(step, fleet.nodes) for step in plan.steps]

    def told(number: Callable[[Outcome], float]) -> dict[str, float]:
        return {
            name: round(value, 1) for name, value in _spread(outcomes, number)._asdict().items()
        }

    return {
        "nodes": fleet.nodes,
        "fleet": fleet.churn.describe(),
        "loss": fleet.loss,
        "rtt_ms": list(fleet.rtt_ms),
        "runs": len(outcomes),
        "settle_ms": plan.settle_ms,
        "horizon_ms": plan.horizon_ms,
        "adopted_ms": {
            name: told(lambda outcome, index=index: outcome.adopted_ms[index])  # type: ignore[misc]
            for index, name in enumerate(names)
        },
        "done_ms": told(lambda outcome: outcome.done_ms),
        "unseen": told(lambda outcome: outcome.unseen),
        "turns": [
            {
                "step": plan.steps[turn.step].name,
                "share": ranges[turn.step][0][turn.cohort][1] / fleet.nodes,
                "nodes": turn.nodes,
                "required": ranges[turn.step][1],
                "opened_ms": round(turn.opened_ms, 1),
                "adopted_ms": {
                    name: round(at_ms, 1)
                    for name, at_ms in zip(names, turn.adopted_ms, strict=True)
                },
                "reached_ms": round(turn.reached_ms, 1),
            }
            for turn in middle.turns
        ],
        "roots": [
            {
                "name": server.name,
                "push": server.push.enabled,
                "push_nodes_per_s": server.push.nodes.per_second,
                "push_bytes_per_s": server.push.bytes.per_second,
                "load": {str(kind): _load_as_json(load) for kind, load in loads.items()},
            }
            for server, loads in zip(fleet.servers, middle.loads, strict=True)
        ],
        "curves": [
            {"name": curve.name, "times_ms": curve.times_ms, "shares": curve.shares}
            for curve in middle.curves
        ],
        "warnings": warnings,
    }


def _load_as_json(load: Load) -> dict[str, dict[str, float]]:
    return {
        name: {key: round(value, 1) for key, value in rate._asdict().items()}
        for name, rate in (("mean", load.mean), ("peak", load.peak))
    }


# -- the table -------------------------------------------------------------------------------------


def _print(parts: Sequence[RenderableType]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    for line in captured.get().splitlines():
        print(line.rstrip())


def _render(plan: Forecast, fleet: Fleet, outcomes: list[Outcome]) -> list[RenderableType]:
    parts: list[RenderableType] = [_facts(plan, fleet, outcomes), ""]
    parts += [_turns(plan, fleet, outcomes), "", _totals(outcomes)]
    middle = outcomes[0]
    alike = len({server.push for server in fleet.servers}) == 1
    if alike:
        roots = len(fleet.servers)
        name = "the root" if roots == 1 else f"the busiest of {roots} roots"
        parts += ["", _loads(name, _busiest(middle))]
    else:
        for server, loads in zip(fleet.servers, middle.loads, strict=True):
            parts += ["", _loads(server.name, loads)]
    return parts


def _facts(plan: Forecast, fleet: Fleet, outcomes: list[Outcome]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from orrery.spans import format_span

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan", no_wrap=True)
    facts.add_column()
    facts.add_row("fleet", fleet.churn.describe())
    low_ms, high_ms = fleet.rtt_ms
    facts.add_row(
        "network",
        f"round trips {low_ms:g} to {high_ms:g} ms, {fleet.loss * 100:.3g} % lost each way",
    )
    facts.add_row("push", _pushing(fleet.servers))
    sizes = {step.world_bytes for step in plan.steps}
    facts.add_row(
        "plan",
        f"Worlds of {max(sizes):,} bytes, settle {format_span(round(plan.settle_ms))}, "
        f"horizon {format_span(round(plan.horizon_ms))}",
    )
    many = "one future"
    if len(outcomes) > 1:
        many = f"{len(outcomes)} futures; times are of the one that ends in the middle"
    facts.add_row("computed", many)
    title = (
        f"forecast: {_count(fleet.nodes, 'node')}, {_count(len(fleet.servers), 'root')}, "
        f"{_count(len(plan.steps), 'step')}"
    )
    return Group(Text(title, style="bold"), facts)


def _pushing(servers: Sequence[Server]) -> str:
    told = dict.fromkeys(_pace(server.push) for server in servers)
    if len(told) > 1:
        return "; ".join(f"{server.name} {_pace(server.push)}" for server in servers)
    return next(iter(told)) + (" from each root" if servers[0].push.enabled else "")


def _pace(push: PushSettings) -> str:
    if not push.enabled:
        return "none, revisions go out in answer to HELLO"
    return f"{push.nodes.per_second:,.0f} nodes/s, {_bytes(push.bytes.per_second)}/s"


def _turns(plan: Forecast, fleet: Fleet, outcomes: list[Outcome]) -> RenderableType:
    from rich.table import Table

    from orrery.lab.curve import TOLD_SHARES, format_time

    table = Table(box=None, pad_edge=False, header_style="cyan", padding=(0, 1))
    table.add_column("step")
    for heading in ("cohort", "nodes", "turn at", *(f"{share:.0%}" for share in TOLD_SHARES)):
        table.add_column(heading.replace("%", " %"), justify="right")
    table.add_column("required", justify="right")
    for turn in outcomes[0].turns:
        ranges, _ = plan.turns_of(plan.steps[turn.step], fleet.nodes)
        share = ranges[turn.cohort][1] / fleet.nodes
        table.add_row(
            "" if turn.cohort else plan.steps[turn.step].name,
            f"{share * 100:.3g} %",
            f"{turn.nodes:,}",
            format_time(turn.opened_ms),
            *(f"+{format_time(at_ms - turn.opened_ms)}" for at_ms in turn.adopted_ms),
            f"+{format_time(turn.reached_ms - turn.opened_ms)}",
        )
    return table


def _totals(outcomes: list[Outcome]) -> RenderableType:
    from rich.table import Table

    from orrery.lab.curve import TOLD_SHARES, format_time

    table = Table(box=None, pad_edge=False, header_style="cyan", padding=(0, 2))
    table.add_column("the last revision", no_wrap=True)
    numbers: list[tuple[str, Callable[[Outcome], float]]] = [
        (f"{share * 100:g} %", lambda outcome, index=index: outcome.adopted_ms[index])  # type: ignore[misc]
        for index, share in enumerate(TOLD_SHARES)
    ]
    numbers.append(("done", lambda outcome: outcome.done_ms))
    for heading, _ in numbers:
        table.add_column(heading, justify="right")
    spreads = [_spread(outcomes, number) for _, number in numbers]
    table.add_row("median", *(format_time(found.median) for found in spreads), style="bold")
    if len(outcomes) > 1:
        table.add_row("least", *(format_time(found.least) for found in spreads))
        table.add_row("most", *(format_time(found.most) for found in spreads))
    return table


def _busiest(outcome: Outcome) -> dict[Kind, Load]:
    """For each number the largest among the roots."""
    from orrery.lab.load import Load, Rate

    return {
        kind: Load(
            Rate(*map(max, zip(*(loads[kind].mean for loads in outcome.loads), strict=True))),
            Rate(*map(max, zip(*(loads[kind].peak for loads in outcome.loads), strict=True))),
        )
        for kind in outcome.loads[0]
    }


def _loads(name: str, loads: dict[Kind, Load]) -> RenderableType:
    from rich.table import Table

    table = Table(
        title=f"a second at {name}: in the mean, and the busiest one",
        title_justify="left",
        title_style="",
        box=None,
        pad_edge=False,
        header_style="cyan",
        padding=(0, 1),
    )
    table.add_column("")
    for heading in (
        "packets\nin",
        "\npeak",
        "\nout",
        "\npeak",
        "bytes\nin",
        "\npeak",
        "\nout",
        "\npeak",
    ):
        table.add_column(heading, justify="right")
    for kind, load in loads.items():
        cells = []
        for index in range(4):
            form = _amount if index < 2 else _bytes
            cells += [form(load.mean[index]), form(load.peak[index])]
        table.add_row(str(kind), *cells)
    return table


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _bytes(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"
