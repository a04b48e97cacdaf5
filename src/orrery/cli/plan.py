"""`orrery plan`: the safe steps from what is published to what orrery.toml says."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import (
    HERE,
    HomeOption,
    JsonOption,
    WorldArgument,
    choose_world,
    home_option,
    passphrase_provider,
    tell_repairs,
)
from orrery.cli.planning import (
    ExemptOption,
    GoneOption,
    InTurnOption,
    NextKeyOption,
    OfficialOption,
    SpareOption,
)

if TYPE_CHECKING:
    from orrery.home import Home
    from orrery.home.planning import Planned

_CHANGES = 2
"""What terraform's option of this name ends with when there is something to change."""


def plan(
    world: WorldArgument = None,
    home: HomeOption = HERE,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Also write the plan to a file, with the exact bytes to sign: see `key sign` and "
            "`apply FILE`.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    detailed_exitcode: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="End with 2 where there is something to do."),
    ] = False,
    gone: GoneOption = None,
    in_turn: InTurnOption = None,
    official: OfficialOption = None,
    exempt: ExemptOption = None,
    spare: SpareOption = True,
    next_key: NextKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the safe steps to what orrery.toml says.

    Each with what it changes, what must be true before the next, what must stay up until when, and
    who would be stranded if it were forced. Nothing is changed. Exit status 0: there is a plan, or
    nothing to do; 1: what is wanted is not safe, and it is said why and what is.
    """
    from orrery.cli import output
    from orrery.cli.files import check_one_standard_output, check_output
    from orrery.cli.planning import describe_planned, planned_lines, told_by
    from orrery.home import Home
    from orrery.home.planning import make_plan
    from orrery.rollout.plan import Refusal

    told = told_by(gone, in_turn, official, exempt, next_key, spare=spare)
    if out is not None:
        check_output(out, force=force)
        check_one_standard_output(out, as_json=as_json)
    with Home.open(home, writer=out is not None, passphrase=passphrase_provider(None)) as opened:
        tell_repairs(opened)
        wanted = choose_world(opened, world)
        planned = make_plan(opened, wanted.name, opened.clock(), told)
        answer = planned.answer
        written = out is not None and not isinstance(answer, Refusal) and bool(answer.steps)
        if as_json:
            output.print_json({**describe_planned(planned), "file": out if written else None})
        elif out != "-":
            output.print_lines(planned_lines(planned, home))
        _tell_rollout(opened, planned)
        if isinstance(answer, Refusal):
            raise typer.Exit(1)
        if out is not None and written:
            _write(opened, planned, out, home_option(home), force=force)
        elif out is not None:
            output.say("there is nothing to sign, so no file was written")
    if not as_json and answer.steps and out is None:
        output.say(f"next: orrery apply{_argument(world)}{home_option(home)}")
    raise typer.Exit(_CHANGES if detailed_exitcode and (answer.steps or answer.finish) else 0)


def _argument(world: str | None) -> str:
    return "" if world is None else f" {shlex.quote(world)}"


def _tell_rollout(home: Home, planned: Planned) -> None:
    """Say that a rollout goes on, or was stopped: the plan does not show what that one left."""
    from orrery.cli import output

    going_on = home.store.active_rollout(planned.world.id)
    if going_on is not None:
        output.warn(
            f"a rollout of {planned.world.name!r} goes on and is {going_on.state}: this plan "
            "starts from the newest revision all the same, and `apply` refuses it until that "
            "rollout is over"
        )
    elif (served := home.store.served().get(planned.world.id)) is not None:
        output.warn(
            f"the last rollout of {planned.world.name!r} was stopped, and holds nodes back at "
            f"revision {served.held_back_ms} until another one is done, or until `orrery publish` "
            "gives the newest revision to everybody"
        )


def _write(home: Home, planned: Planned, out: str, at: str, *, force: bool) -> None:
    """Give out the timestamps and write the file; `at` is what names this home in a command."""
    from orrery.cli import output
    from orrery.cli.files import write_output
    from orrery.home.plan_file import make_plan_file

    made = make_plan_file(home, planned, home.clock())
    write_output(out, made.to_json().encode(), force=force)
    if out == "-":
        return
    shown, here = shlex.quote(out), {key.public for key in home.keys.keys(planned.world.id)}
    if {step.signed_by for step in made.plan.steps} <= here:
        output.say(f"wrote {out}: `orrery apply {shown}{at}` signs it and carries it out")
    else:
        output.say(
            f"wrote {out}: sign it where the key is, `orrery key sign {shown}`, then `orrery apply "
            f"{shown}{at}` here"
        )
