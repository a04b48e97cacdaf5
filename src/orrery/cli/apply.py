"""`orrery apply`: carry a plan out, and watch it."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import (
    HERE,
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    choose_world,
    home_option,
    passphrase_provider,
    world_names,
    world_option,
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
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orrery.cli.hosting import HostNames
    from orrery.cli.installing import Installer
    from orrery.home import Home
    from orrery.home.plan_file import PlanFile
    from orrery.home.planning import Planned, Told
    from orrery.rollout.order import Order
    from orrery.wire.signature import SigningKey

_TargetArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="WORLD|FILE",
        help="Name or id of a World; may be left out where there is one only. Or a file that "
        "`plan --out` wrote.",
        autocompletion=world_names,
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Do not follow it: end as soon as it has begun.")
]

InstallOption = Annotated[
    bool,
    typer.Option(
        "--deploy/--no-deploy",
        help="Whether to deploy the hosts of orrery.toml on which a step needs its World file.",
    ),
]


def apply(
    target: _TargetArgument = None,
    home: HomeOption = HERE,
    yes: YesOption = False,
    detach: DetachOption = False,
    install: InstallOption = True,
    gone: GoneOption = None,
    in_turn: InTurnOption = None,
    official: OfficialOption = None,
    exempt: ExemptOption = None,
    spare: SpareOption = True,
    next_key: NextKeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry the plan out and follow it.

    It is shown first, and asked for unless `without_asking` in orrery.toml allows its kinds of
    change. `orrery serve` carries it out; this follows until it is done or pauses, and Ctrl-C ends
    the following, not the rollout. Official roots that need a World file get it on the way where
    they are hosts of orrery.toml. Exit status 0: done, or nothing to do; 1: not safe, not agreed
    to, or not done yet.
    """
    from orrery.cli import output
    from orrery.cli.planning import describe_planned, planned_lines, told_by
    from orrery.errors import UsageError
    from orrery.home import Home
    from orrery.home.plan_file import check_plan_file
    from orrery.home.planning import make_plan
    from orrery.rollout.plan import Refusal

    told = told_by(gone, in_turn, official, exempt, next_key, spare=spare)
    with Home.open(home, passphrase=_asked_once(passphrase_file)) as opened:
        file = _plan_file(opened, target)
        if file is None:
            name = choose_world(opened, target).name
            planned = make_plan(opened, name, opened.clock(), told)
        else:
            _check_nothing_told(told)
            planned = check_plan_file(opened, file, opened.clock())
        answer = planned.answer
        hosts = _hosts(opened, planned, wanted=install and not detach, quiet=as_json)
        if not as_json:
            by_itself = install and not detach
            output.print_lines(planned_lines(planned, home, hosts, by_itself=by_itself))
        if isinstance(answer, Refusal) or not answer.steps:
            if as_json:
                described = describe_planned(planned, hosts)
                output.print_json({**described, "rollout": None, "deployed": []})
            raise typer.Exit(int(isinstance(answer, Refusal)))
        _check_no_rollout(opened, planned, home)
        if file is None:
            _check_keys(opened, planned)
        _tell_if_nobody_serves(opened, home)
        touched = _touched(planned, hosts) if install and not detach else ()
        if not yes and (sentence := _question(planned, touched)) is not None:
            if not sys.stdin.isatty():
                always = planned.told.exempt or touched
                allow = ", or allow it in orrery.toml with `without_asking` below [rollout]"
                raise UsageError(
                    f"{sentence}, and there is nobody to ask: say --yes{'' if always else allow}"
                )
            if not typer.confirm(f"{sentence}. Carry this out?", err=True):
                output.say("nothing was changed")
                raise typer.Exit(1)
        _begin(opened, planned, file)
        installer = _installer(home, hosts, touched, quiet=as_json)
        _follow(opened, planned, home, hosts, installer, detach=detach, as_json=as_json)


def _asked_once(passphrase_file: Path | None) -> Callable[[str], str]:
    """The passphrase of a World's keys, which is one for all of them."""
    from functools import cache

    provide = passphrase_provider(passphrase_file)
    known = cache(lambda: provide("every signing key of this World"))
    return lambda _: known()


def _plan_file(home: Home, target: str | None) -> PlanFile | None:
    """The plan file that is meant, None where a World is."""
    from pathlib import Path

    from orrery.cli.files import read_source
    from orrery.errors import DecodeError, OrreryError, UsageError
    from orrery.home.plan_file import MAX_PLAN_BYTES, PlanFile

    if target is None:
        return None
    if target != "-":
        try:
            home.settings().world(target)
        except UsageError as error:
            if not Path(target).exists():
                raise UsageError(f"{error}; nor is there a plan file of this name") from None
        except OrreryError:
            if not Path(target).exists():
                raise
        else:
            return None
    source = read_source(target, MAX_PLAN_BYTES)
    try:
        return PlanFile.from_json(source.data.decode())
    except UnicodeDecodeError:
        raise DecodeError(f"{source.name}: this is no plan file: it is no text") from None
    except DecodeError as error:
        raise DecodeError(f"{source.name}: {error}") from None


def _check_nothing_told(told: Told) -> None:
    from orrery.errors import UsageError
    from orrery.home.planning import Told

    if told != Told():
        raise UsageError(
            "a plan file has in it what was said of roots and nodes when it was made: leave out "
            "--gone, --exempt and the like, or make a new one with them"
        )


def _check_no_rollout(home: Home, planned: Planned, path: Path) -> None:
    from orrery.errors import ConflictError

    going_on = home.store.active_rollout(planned.world.id)
    if going_on is not None:
        raise ConflictError(
            f"a rollout of {planned.world.name!r} goes on already and is {going_on.state}: follow "
            f"it with `orrery status --watch{home_option(path)}`, or take it back with "
            f"`orrery rollback{world_option(home, planned.world, path)}`"
        )


def _check_keys(home: Home, planned: Planned) -> None:
    """Refuse what cannot be signed here, before anybody is asked."""
    from orrery.errors import CustodyError
    from orrery.wire.signature import fingerprint

    here = {key.public for key in home.keys.keys(planned.world.id)}
    for step in planned.order.plan.steps:
        if step.signed_by not in here and None not in here:
            raise CustodyError(
                f"the key {fingerprint(step.signed_by)}, which must sign step {step.number}, is "
                f"not in {home.keys.directory}: write the plan to a file with `orrery plan --out`, "
                "sign it where the key is with `orrery key sign`, and apply the file"
            )


def _tell_if_nobody_serves(home: Home, path: Path) -> None:
    from orrery.cli import output
    from orrery.cli.following import is_conducted

    if not is_conducted(home):
        output.warn(
            "no server conducts here, so nothing will move before one does: start it with "
            f"`orrery serve{home_option(path)}`"
        )


def _hosts(home: Home, planned: Planned, *, wanted: bool, quiet: bool) -> HostNames:
    """Which node is which host; hosts that do not say which node they are may be asked.

    Args:
        home: the home.
        planned: the plan, which may need World files installed on official roots.
        wanted: whether they are to be installed by this command: then it asks.
        quiet: say nothing.
    """
    from orrery.cli.hosting import find_hosts, hosts_of_nodes
    from orrery.cli.installing import installed_by
    from orrery.rollout.plan import Refusal

    world = planned.world.name
    if not wanted or isinstance(planned.answer, Refusal):
        return hosts_of_nodes(planned.settings, world, by_name=True)
    known = hosts_of_nodes(planned.settings, world)
    if installed_by(planned.answer) <= known.keys():
        return known
    return find_hosts(home, planned.settings, world, quiet=quiet)


def _touched(planned: Planned, hosts: HostNames) -> tuple[str, ...]:
    """The hosts that this command will deploy, in the order of orrery.toml."""
    from orrery.cli.installing import installed_by

    names = {hosts[root] for root in installed_by(planned.order.plan) if root in hosts}
    return tuple(host.name for host in planned.settings.hosts if host.name in names)


def _installer(
    path: Path, hosts: HostNames, touched: Sequence[str], *, quiet: bool
) -> Installer | None:
    """Who deploys the hosts that the plan needs deployed; None where there are none."""
    from orrery.cli.installing import Installer

    def tell(line: str) -> None:
        print(line, flush=True)

    if not touched:
        return None
    return Installer(path, hosts, None if quiet or sys.stdout.isatty() else tell)


def _question(planned: Planned, touched: Sequence[str]) -> str | None:
    """What somebody has to agree to, None when orrery.toml allows it all."""
    from orrery.cli.hosting import name_hosts
    from orrery.home.planning import kinds_of_change

    order = planned.order
    allowed = planned.settings.rollout.without_asking
    asked = sorted(kinds_of_change(planned.chain.newest, order.plan) - set(allowed))
    parts = [f"this plan has {', '.join(asked)}"] if asked else []
    if planned.told.exempt:
        count = len(planned.told.exempt)
        parts.append(f"{count} node{'s' * (count > 1)} may be stranded")
    if touched:
        places = [f"{name} ({_where(planned, name)})" for name in touched]
        parts.append(
            f"the World file is installed on {name_hosts(places)} and zerotier-one restarted there"
        )
    return "; ".join(parts) or None


def _where(planned: Planned, name: str) -> str:
    target = planned.settings.host(name).ssh
    return "this machine" if target is None else str(target)


def _begin(home: Home, planned: Planned, file: PlanFile | None) -> None:
    from orrery.home.rolling import begin

    # A person may take their time with a passphrase: the home is not locked meanwhile.
    signers = _signers(home, planned, file)
    home.acquire()
    try:
        order = _signed_order(home, planned, file, signers)
        begin(home, planned.world.name, order, home.clock())
    finally:
        home.release()


def _signers(home: Home, planned: Planned, file: PlanFile | None) -> list[SigningKey]:
    """The keys to sign with now: none where the server can sign by itself.

    A server signs with keys that need no passphrase. Locked ones are opened here, and what nobody
    has signed of a file is signed at once, with the timestamps that it has.
    """
    from orrery.home.plan_file import signers_here

    signers = {step.signed_by for step in planned.order.plan.steps}
    if file is None:
        keys = home.keys.keys(planned.world.id)
        if signers <= {key.public for key in keys if not key.locked}:
            return []
        return [home.keys.signer_for(planned.world.id, public) for public in sorted(signers)]
    return signers_here(home, file)


def _signed_order(
    home: Home, planned: Planned, file: PlanFile | None, signers: list[SigningKey]
) -> Order:
    """What is handed over to the server."""
    from dataclasses import replace

    from orrery.home.plan_file import make_plan_file

    order = planned.order
    if file is None and not signers:
        return order
    if file is None:
        file = make_plan_file(home, planned, home.clock())
    return replace(order, signed=file.sign(signers).signed_order.signed)


def _follow(
    home: Home,
    planned: Planned,
    path: Path,
    hosts: HostNames,
    installer: Installer | None,
    *,
    detach: bool,
    as_json: bool,
) -> None:
    from orrery.cli import output
    from orrery.cli.following import follow, is_conducted
    from orrery.cli.hosting import deploy_command
    from orrery.cli.installing import duties_of
    from orrery.cli.planning import describe_planned
    from orrery.cli.rollout_view import describe_view
    from orrery.home.rolling import view

    here = home_option(path)
    world_id = planned.world.id
    status = 0
    names = _touched(planned, hosts)
    waits = f", and will wait for `{deploy_command(names, path)}`" if names else ""
    if not detach and not is_conducted(home):
        output.say(f"the rollout has begun; `orrery serve{here}` will carry it out{waits}")
        status = 1
    elif not detach:
        status = follow(home, planned.world, path, installer=installer, quiet=as_json)
    elif not as_json:
        output.say(f"the rollout has begun{waits}; see `orrery status --watch{here}`")
    if as_json:
        seen = view(home, world_id, home.clock())
        told = None
        if seen is not None:
            duties = duties_of(home, seen, path, hosts=hosts)
            told = describe_view(seen, home.clock(), duties)
        described = describe_planned(planned, hosts)
        deployed = [] if installer is None else installer.describe()
        output.print_json({**described, "rollout": told, "deployed": deployed})
    raise typer.Exit(status)
