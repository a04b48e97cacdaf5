"""What `orrery forecast` shows: a table in 80 columns, JSON, a picture, and warnings."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from orrery.lab.forecast import Fleet, Forecast, Outcome, Server, Spread
    from orrery.lab.load import Kind, Load
    from orrery.vl1.push import PushSettings


def warnings(fleet: Fleet, outcomes: list[Outcome], capacity: int) -> list[str]:
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
    if unseen := round(_spread_of(outcomes, lambda outcome: outcome.unseen).median):
        warnings.append(
            f"{unseen:,} nodes were not seen within the horizon before they had the last "
            "revision: they cease to count, and are led there when they come back"
        )
    return warnings


def _spread_of(outcomes: list[Outcome], number: Callable[[Outcome], float]) -> Spread:
    """A number of all futures."""
    from orrery.lab.forecast import spread

    return spread(number(outcome) for outcome in outcomes)


def _adopted(index: int) -> Callable[[Outcome], float]:
    """When one of the shares that are told of was reached."""
    return lambda outcome: outcome.adopted_ms[index]


def draw(path: Path, plan: Forecast, fleet: Fleet, outcomes: list[Outcome]) -> None:
    """Draw the adoption curve into a file.

    Raises:
        UnreadableError: it cannot be written.
    """
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


def describe(
    plan: Forecast, fleet: Fleet, outcomes: list[Outcome], warnings: list[str]
) -> dict[str, Any]:
    """The same for programs."""
    from orrery.lab.curve import TOLD_SHARES

    middle = outcomes[0]
    names = [f"{share * 100:g}" for share in TOLD_SHARES]
    ranges = [plan.turns_of(step, fleet.nodes) for step in plan.steps]

    def told(number: Callable[[Outcome], float]) -> dict[str, float]:
        return {
            name: round(value, 1) for name, value in _spread_of(outcomes, number)._asdict().items()
        }

    return {
        "nodes": fleet.nodes,
        "fleet": fleet.churn.describe(),
        "loss": fleet.loss,
        "rtt_ms": list(fleet.rtt_ms),
        "runs": len(outcomes),
        "settle_ms": plan.settle_ms,
        "horizon_ms": plan.horizon_ms,
        "adopted_ms": {name: told(_adopted(index)) for index, name in enumerate(names)},
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


def show(plan: Forecast, fleet: Fleet, outcomes: list[Outcome]) -> None:
    """Print the table; the first outcome is the one that is shown."""
    from rich.console import Console

    console = Console(highlight=False)
    with console.capture() as captured:
        for part in _render(plan, fleet, outcomes):
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
        (f"{share * 100:g} %", _adopted(index)) for index, share in enumerate(TOLD_SHARES)
    ]
    numbers.append(("done", lambda outcome: outcome.done_ms))
    for heading, _ in numbers:
        table.add_column(heading, justify="right")
    spreads = [_spread_of(outcomes, number) for _, number in numbers]
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
