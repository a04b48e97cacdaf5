"""A deploy on one host, step by step; see `host.sh` for what happens there.

    look        what is there, and what is to be done for it (`looking`, `wanting`)
    mend        a deploy that was cut off there is brought to its end first, by its own plan
    back-up     the files are copied on the host, and kept here; nothing was changed yet
    upload      the new files are written beside the home, and read back
    install     the host goes on alone: files, restart, check, and putting back where it has to
    check       we only ask how far it is; a connection that is lost changes nothing about it
    done        its directory there is removed, and backups that are too many

Whatever is cut or killed, at every moment the World files on the host are whole, old or new, and
the next deploy ends what was begun.
"""

from __future__ import annotations

import asyncio
import getpass
import secrets
import shlex
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from orrery.custody.durable import Owner
from orrery.errors import HostError, OrreryError, PlanError, UnreadableError
from orrery.fleet.host_script import HostScript, one_line, script_text
from orrery.fleet.host_view import HostView, Unfinished
from orrery.fleet.keeping import drop_files, drop_surplus, keep_files
from orrery.fleet.looking import look
from orrery.fleet.outcomes import Outcome, Result, Step
from orrery.fleet.shell import Shell
from orrery.fleet.wanting import Act, HostPlan, Standing, describe_acts, describe_done, seed_of
from orrery.home.settings import DeploySettings, HostSettings
from orrery.wire.address import format_address
from orrery.wire.world import World, WorldType

POLL_S = 0.5
"""How often a host is asked how far it is."""
_HANGS_S = 60
"""How long one question to a service that hangs takes `zerotier-cli`, beyond all timeouts."""
_STEPS = {
    "installing": Step.INSTALL,
    "restarting": Step.RESTART,
    "checking": Step.CHECK,
    "putting-back": Step.PUT_BACK,
}
_UNDER_WAY = ("staged", *_STEPS)
_UNTOUCHED = ("kept", "busy", "changed")


Guard = Callable[[HostView], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What is to be done for a host, and how.

    Attributes:
        host: What the settings say of it.
        settings: How, as `[deploy]` says.
        plan: Tells from what was found there what is to be done.
        guard: Called before its service is restarted; refuses by `PlanError`.
        backups: Where its files are kept here.
        owner: Whose these are to be.
        dry_run: Whether to stop before anything is changed.
        clock_ms: Our clock.
        tell: Told what is done now, and words on it.
    """

    host: HostSettings
    settings: DeploySettings
    plan: Callable[[HostView], HostPlan]
    guard: Guard
    backups: Path
    owner: Owner | None
    dry_run: bool
    clock_ms: Callable[[], int]
    tell: Callable[[Step, str], None]


async def deploy_to(orders: Orders, shell: AbstractAsyncContextManager[Shell]) -> Outcome:
    """Deploy to a host.

    Args:
        orders: What is to be done.
        shell: The way there, not opened yet.

    Returns:
        What became of it: errors of this host too.
    """
    name = orders.host.name
    orders.tell(Step.CONNECT, "")
    try:
        async with shell as opened:
            return await _Deploy(orders, opened).run()
    except HostError as error:
        return Outcome(host=name, result=Result.UNREACHABLE, sentence=str(error))
    except OrreryError as error:
        return Outcome(host=name, result=Result.REFUSED, sentence=str(error))


class _Deploy:
    """A deploy to a host that is connected."""

    def __init__(self, orders: Orders, shell: Shell) -> None:
        self._orders = orders
        self._host = orders.host
        self._shell = shell
        self._script = HostScript(shell, sudo=orders.host.sudo)
        self._outcome = Outcome(host=orders.host.name, result=Result.FAILED, sentence="")

    async def run(self) -> Outcome:
        """All of it."""
        view = await self._look()
        cut_off = view.unfinished
        if cut_off is not None and cut_off.is_alive:
            return self._end(Result.BUSY, _name_busy(cut_off))
        if cut_off is not None and not self._orders.dry_run:
            if refusal := await self._guarded(view):
                return self._end(Result.REFUSED, refusal)
            if not await self._mend(view, cut_off):
                return self._outcome
            view = await self._look()
        plan = self._orders.plan(view)
        self._outcome = replace(self._outcome, is_root=plan.is_root, node=view.node)
        if plan.objection:
            return self._end(Result.REFUSED, plan.objection)
        if plan.is_done and not (cut_off is not None and self._orders.dry_run):
            return self._end(Result.UP_TO_DATE, describe_done(plan))
        if plan.restarts and (refusal := await self._guarded(view)):
            return self._end(Result.REFUSED, refusal)
        if self._orders.dry_run:
            first = "a deploy that was cut off is ended first; " if cut_off else ""
            return self._end(Result.WOULD_DEPLOY, first + describe_acts(plan))
        return await self._deploy(view, plan)

    async def _look(self) -> HostView:
        self._orders.tell(Step.LOOK, "")
        return await look(self._shell, self._host, self._orders.clock_ms)

    async def _guarded(self, view: HostView) -> str:
        try:
            await self._orders.guard(view)
        except PlanError as error:
            return str(error)
        return ""

    def _end(self, result: Result, sentence: str) -> Outcome:
        self._outcome = replace(self._outcome, result=result, sentence=sentence)
        return self._outcome

    # -- what was cut off ------------------------------------------------------------------------

    async def _mend(self, view: HostView, cut_off: Unfinished) -> bool:
        """Bring a deploy to its end; False when it does not get there."""
        self._orders.tell(Step.MEND, f"begun by {cut_off.by}")
        await self._script.call("start", view.work, cut_off.id)
        state, why = await self._follow(view.work, cut_off.id)
        if state in _UNDER_WAY or not state:
            self._end(
                Result.FAILED, f"a deploy that was cut off there does not end: {why or state}"
            )
            return False
        await self._forget(view.work, cut_off.id)
        return True

    # -- the deploy itself -----------------------------------------------------------------------

    async def _deploy(self, view: HostView, plan: HostPlan) -> Outcome:
        deploy = _name_deploy(self._orders.clock_ms())
        written = [each for each in plan.standings if each.act is not Act.NOTHING]
        kept = self._orders.backups / deploy
        try:
            await self._back_up(view, written, deploy)
            await self._stage(view, plan, deploy)
            self._check_still_wanted(view, plan)
        except OrreryError as error:
            await self._clean_up(view.work, deploy, kept)
            return self._end(Result.FAILED, f"nothing was changed there: {error}")
        self._outcome = replace(
            self._outcome,
            backup=kept,
            installed=tuple(each.name for each in written),
            restarted=plan.restarts,
        )
        self._orders.tell(Step.INSTALL, "")
        lost = ""
        try:
            try:
                await self._script.call("start", view.work, deploy)
            except HostError as error:
                # Whether it began is told by how far it is.
                lost = str(error)
                await asyncio.sleep(POLL_S)
            state, why = await self._follow(view.work, deploy)
        except HostError as error:
            return self._end(
                Result.FAILED,
                f"{error}; the host goes on by itself, and puts the old files back where it has "
                f"to: `orrery deploy {shlex.quote(self._host.name)}` says later how it ended",
            )
        outcome = self._judge(state, why or lost, plan)
        if state in _UNTOUCHED:
            await self._clean_up(view.work, deploy, kept)
            return replace(outcome, installed=(), restarted=False, backup=None)
        await self._forget(view.work, deploy)
        try:
            drop_surplus(self._orders.backups, self._orders.settings.keep)
        except UnreadableError as error:
            # That is an affair of this machine: the host is as was said.
            return replace(outcome, sentence=f"{outcome.sentence}; but {error}")
        return outcome

    async def _back_up(self, view: HostView, written: list[Standing], deploy: str) -> None:
        self._orders.tell(Step.BACK_UP, "")
        host = self._host
        records = await self._script.call("prepare", host.home, host.container or "", deploy)
        files = {
            record.name.removeprefix("file "): record.data
            for record in records
            if record.name.startswith("file ")
        }
        keep_files(self._orders.backups, deploy, files, self._orders.owner)
        # The plan is for what was seen. A node may have been handed a later revision since; and
        # who owns the home may have led us to another file, of which putting back makes a copy.
        for name in (_file_of(each.world) for each in written):
            seen = view.files.get(name)
            if (None if seen is None else seen.data) != files.get(name):
                raise HostError(
                    f"{name} was changed by somebody else meanwhile; run "
                    f"`orrery deploy {shlex.quote(host.name)}`"
                )

    async def _stage(self, view: HostView, plan: HostPlan, deploy: str) -> None:
        self._orders.tell(Step.UPLOAD, "")
        directory = f"{view.work}/deploys/{deploy}"
        files = {
            _file_of(each.world): each.world.encode()
            for each in plan.standings
            if each.act is not Act.NOTHING
        }
        since_ms = self._orders.clock_ms()
        await self._script.upload(f"{directory}/host.sh", script_text())
        await self._script.upload(f"{directory}/by", f"{_who()}\n{since_ms}\n".encode())
        for name, data in files.items():
            await self._script.upload(f"{directory}/new/{name}", data)
        settings = _settings(self._orders, view, plan, tuple(files))
        await self._script.upload(
            f"{directory}/plan",
            "".join(f"{key}={shlex.quote(value)}\n" for key, value in settings.items()).encode(),
        )

    def _check_still_wanted(self, view: HostView, plan: HostPlan) -> None:
        """A rollout may have been paused or taken back since: a root would give it to everybody.

        Raises:
            HostError: Something else is to be done for the host now.
        """
        if self._orders.plan(view) != plan:
            raise HostError(
                "what it is to hold was changed meanwhile; run "
                f"`orrery deploy {shlex.quote(self._host.name)}`"
            )

    async def _follow(self, work: str, deploy: str) -> tuple[str, str]:
        """Wait until the host is done; how it ended, or where it stopped, and why."""
        timeout_s = self._orders.settings.timeout_ms / 1000
        # A restart and a check, and both again with the old files.
        until = asyncio.get_running_loop().time() + 4 * (timeout_s + _HANGS_S)
        told = ""
        while True:
            try:
                told_by = await self._script.call("state", work, deploy)
            except HostError:
                # It may have restarted the very network that we come by.
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(POLL_S)
                continue
            records = {record.name: record.text for record in told_by}
            state, why = records.get("state", ""), one_line(records.get("why", ""))
            if state not in _UNDER_WAY:
                return state, why
            if records.get("alive") != "yes":
                return ("kept", why) if state == "staged" else (state, "it was stopped there")
            if asyncio.get_running_loop().time() > until:
                return state, "it takes too long"
            if state != told and state in _STEPS:
                self._orders.tell(_STEPS[state], why if state == "putting-back" else "")
                told = state
            await asyncio.sleep(POLL_S)

    def _judge(self, state: str, why: str, plan: HostPlan) -> Outcome:
        again = f"`orrery deploy {shlex.quote(self._host.name)}`"
        match state:
            case "done":
                return self._end(Result.DEPLOYED, describe_done(plan, after=True))
            case "put-back":
                return self._end(Result.PUT_BACK, f"{why}: the old files are back and in use")
            case "kept":
                return self._end(Result.FAILED, f"nothing was changed there: {why}")
            case "changed":
                return self._end(Result.FAILED, f"nothing was changed there: {why}; run {again}")
            case "busy":
                return self._end(Result.BUSY, "another deploy began there at the same time")
            case "stuck":
                return self._end(Result.FAILED, f"{why}: look at the host, then run {again}")
            case _:
                reason = why or "its journal there is gone"
                return self._end(
                    Result.FAILED, f"the deploy did not come to its end: {reason}; run {again}"
                )

    # -- after it --------------------------------------------------------------------------------

    async def _forget(self, work: str, deploy: str) -> None:
        # What stays is removed after the next one.
        with suppress(HostError):
            await self._script.call("forget", work, deploy, str(self._orders.settings.keep))

    async def _clean_up(self, work: str, deploy: str, kept: Path) -> None:
        """Leave nothing of a deploy that changed nothing."""
        await self._forget(work, deploy)
        with suppress(UnreadableError):
            drop_files(kept)


def _settings(
    orders: Orders, view: HostView, plan: HostPlan, files: tuple[str, ...]
) -> Mapping[str, str]:
    """The variables of `host.sh` for a deploy."""
    host, node = orders.host, view.node
    orbited = [each for each in plan.standings if each.act is Act.ORBIT]
    running = view.running
    return {
        "home": host.home,
        "container": host.container or "",
        "root": "" if view.is_inside else view.home,
        "restart": host.restart_command if plan.restarts else "",
        "timeout": str(orders.settings.timeout_ms // 1000),
        "files": " ".join(files),
        "spoiled": " ".join(_spoiled(view, files)),
        "orbits": " ".join(
            f"{each.world.id:010x}:{format_address(seed)}"
            for each in orbited
            if node is not None and (seed := seed_of(each.world, node)) is not None
        ),
        "wanted": " ".join(_held(each.world) for each in plan.standings),
        "before": " ".join(_held(each) for each in _before(view, plan)),
        "was_running": "no" if running is None else "yes",
        "was_online": "yes" if running is not None and running.online else "no",
    }


def _spoiled(view: HostView, files: tuple[str, ...]) -> list[str]:
    """Which of these files are no World now that the host could go back to."""
    moons = {f"moons.d/{world_id:016x}.moon" for world_id in view.moons}
    has_planet = view.planet is not None and view.planet.type is WorldType.PLANET
    return [
        name
        for name in files
        if (not has_planet if name == "planet" else name in view.files and name not in moons)
    ]


def _before(view: HostView, plan: HostPlan) -> list[World]:
    """What the service is to hold when the files that are there now are put back."""
    ids = {each.world.id for each in plan.standings}
    planet = (
        [] if view.planet is None or view.planet.type is not WorldType.PLANET else [view.planet]
    )
    return planet + [moon for moon in view.moons.values() if moon.id in ids]


def _held(world: World) -> str:
    if world.type is WorldType.MOON:
        return f"moon:{world.id:016x}:{world.timestamp_ms}"
    return f"planet:{world.id}:{world.timestamp_ms}"


def _file_of(world: World) -> str:
    return f"moons.d/{world.id:016x}.moon" if world.type is WorldType.MOON else "planet"


def _name_deploy(now_ms: int) -> str:
    seconds, milliseconds = divmod(now_ms, 1000)
    stamp = f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}{milliseconds:03d}Z"
    return f"{stamp}-{secrets.token_hex(3)}"


def _who() -> str:
    return one_line(f"{getpass.getuser()} on {socket.gethostname()}")


# In words


def _name_busy(cut_off: Unfinished) -> str:
    since = datetime.fromtimestamp(cut_off.since_ms / 1000, UTC)
    return f"{cut_off.by} deploys there since {since:%Y-%m-%dT%H:%M:%SZ} ({cut_off.state})"
