"""`orrery rehearse`: a plan carried out on a virtual fleet, before it is carried out."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from orrery.cli.homes import HERE, HomeOption, JsonOption, WorldArgument
from orrery.cli.planning import ExemptOption, GoneOption, InTurnOption, NextKeyOption, SpareOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from orrery.home.planning import Told
    from orrery.lab.churn import Churn
    from orrery.lab.rehearsal.outcome import Outcome
    from orrery.lab.rehearsal.playing import Report
    from orrery.lab.rehearsal.script import Script

_SAMPLE_NODES = 200
_LOOPBACK_NODES = 40


def rehearse(
    world: WorldArgument = None,
    home: HomeOption = HERE,
    sample: Annotated[
        bool,
        typer.Option(
            "--sample",
            help="Without a home: two roots become two others, and the signing key a new one.",
        ),
    ] = False,
    nodes: Annotated[
        int | None,
        typer.Option(
            min=1, max=20_000, metavar="N", help="Default: those that were seen, up to 2000."
        ),
    ] = None,
    offline: OfflineOption = None,
    session: SessionOption = "8h",
    always_on: AlwaysOnOption = None,
    daily: DailyOption = None,
    days_used: DaysUsedOption = "100%",
    begin: BeginOption = "09:00",
    loss: LossOption = "1%",
    rtt: RttOption = "20-120",
    nat: Annotated[str, typer.Option(metavar="SHARE", help="Of the nodes, behind a NAT.")] = "40%",
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="FAULT",
            help="What goes wrong, such as root-down@2h, root-down:NAME@2h+30m, loss:50%@1h+1h, "
            "unreachable:ENDPOINT@0, nodes-down:30%@1h+1h, nat-reboot@1h, bad-canary. Several "
            "may be given.",
        ),
    ] = None,
    operator: Annotated[
        str,
        typer.Option(
            metavar="SPAN", help="How long it takes you to start or stop a root when it is time."
        ),
    ] = "1m",
    span: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="SPAN", help="Virtual time. Default: until it is over, up to 30d."
        ),
    ] = None,
    roll_back: Annotated[
        bool,
        typer.Option("--roll-back", help="Roll back when the rollout pauses by itself."),
    ] = False,
    loopback: Annotated[
        bool,
        typer.Option(
            "--loopback",
            help="With real processes and sockets on this machine, in real time: up to 500 nodes, "
            "at most for --for (3m), spans of faults in seconds.",
        ),
    ] = False,
    every_packet: Annotated[
        bool,
        typer.Option(
            "--every-packet",
            help="Play what idle nodes do as well: the same outcome, a thousand times slower.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same rehearsal.")] = 0,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the adoption curve into this file.")
    ] = None,
    gone: GoneOption = None,
    in_turn: InTurnOption = None,
    exempt: ExemptOption = None,
    spare: SpareOption = True,
    next_key: NextKeyOption = None,
    as_json: JsonOption = False,
) -> int:
    """Carry the plan out on a virtual fleet: is anybody stranded?

    Real packets between real roots and nodes on a virtual network in virtual time, led by the real
    conductor. The plan is the one of `orrery plan`, and so are the options that it shares. Ends
    with 0 when the rollout is done and nobody is stranded, else with 1. Nothing is changed.
    docs/rehearse.md tells what is played, and what is not.
    """
    check_installed("rehearsal")
    from orrery.cli import output, rehearse_view
    from orrery.cli.planning import told_by
    from orrery.lab.rehearsal.faults import parse_fault
    from orrery.lab.rehearsal.script import Surroundings

    told = told_by(gone, in_turn, None, exempt, next_key, spare=spare)
    faults = tuple(map(parse_fault, fault or ()))

    def churn(seen: Churn | None) -> Churn:
        return choose_churn(
            seen,
            offline=offline,
            session=session,
            always_on=always_on,
            daily=daily,
            days_used=days_used,
            begin=begin,
        )

    if sample:
        usual = _LOOPBACK_NODES if loopback else _SAMPLE_NODES
        script = _sample(nodes or usual, churn(None), seed)
    else:
        seen = None if offline or always_on or daily else session
        some = _LOOPBACK_NODES if loopback else None
        script = _from_home(home, world, told, nodes or some, churn, seen)
    script = replace(
        script,
        surroundings=Surroundings(
            rtt_ms=read_rtt_ms(rtt),
            loss=read_share(loss, "--loss"),
            nat=read_share(nat, "--nat"),
        ),
        faults=faults,
        operator_ms=round(read_span_ms(operator)),
        for_ms=None if span is None else round(read_span_ms(span)),
        roll_back=roll_back,
        lapse=not every_packet,
        seed=seed,
    )
    outcome = _play(script, loopback=loopback)
    if svg is not None:
        rehearse_view.draw(svg, script, outcome)
    if as_json:
        output.print_json(rehearse_view.describe(script, outcome))
    else:
        rehearse_view.show(script, outcome)
        if svg is not None:
            output.say(f"the adoption curve is drawn in {svg}")
    return 0 if outcome.passed else 1


def _sample(nodes: int, churn: Churn, seed: int) -> Script:
    from orrery.lab.rehearsal.sample import make_sample

    return make_sample(nodes, churn=churn, seed=seed)


def _from_home(
    path: Path,
    world: str | None,
    told: Told,
    nodes: int | None,
    choose: Callable[[Churn | None], Churn],
    session: str | None,
) -> Script:
    """What a home plans, with a fleet like the one that it has seen."""
    from orrery.cli.homes import choose_world
    from orrery.home import Home, wall_clock_ms
    from orrery.home.planning import make_plan
    from orrery.lab.rehearsal.staging import stage

    with Home.open(path) as home:
        name = choose_world(home, world).name
        planned = make_plan(home, name, wall_clock_ms(), told)
        seen = None
        if session is not None and planned.fleet.counted:
            horizon_ms = float(planned.settings.rollout.horizon_ms)
            seen = sighted_churn(home, len(planned.chain.newest.roots), horizon_ms, session)
        return stage(home, planned, choose(seen), nodes)


def _play(script: Script, *, loopback: bool) -> Outcome:
    """Play it; a line shows how far it is."""
    from rich.console import Console

    from orrery.cli.rehearse_view import clock
    from orrery.lab.rehearsal.playing import rehearse as play

    console = Console(stderr=True, highlight=False, markup=False)
    if loopback:
        play = _play_on_loopback
    if not console.is_terminal:
        return play(script)
    with console.status("") as status:
        return play(script, lambda at_ms, what: status.update(f"{clock(at_ms)}  {what[:60]}"))


def _play_on_loopback(script: Script, report: Report | None = None) -> Outcome:
    import asyncio
    import tempfile

    from orrery.lab.rehearsal.loopback import rehearse_on_loopback

    with tempfile.TemporaryDirectory(prefix="orrery-rehearsal-") as directory:
        return asyncio.run(rehearse_on_loopback(script, Path(directory), report))
