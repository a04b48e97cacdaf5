"""World files that a rollout needs on official roots: which, when, and `apply` that installs them.

A root that is a host of orrery.toml is deployed by `apply` itself while it follows the rollout;
elsewhere it is said which command does so.
"""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orrery.cli.hosting import deploy_command, name_hosts, naming_home
from orrery.rollout.conditions import Condition, Installed
from orrery.rollout.state import RolloutState
from orrery.wire.address import Address, format_address

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from orrery.cli.deploy_view import Course
    from orrery.fleet import Outcome
    from orrery.home import Home
    from orrery.home.rolling import RolloutView
    from orrery.rollout.plan import Plan

_AGAIN_S = 60.0
"""A host that cannot be reached, or where somebody else deploys, is tried again so much later."""
_TRIED_AGAIN = frozenset(("unreachable", "busy", "up-to-date"))
"""Results that may be others a while later, with nothing done: nothing was changed.

One that held what it should while the rollout was paused is to hold more once it goes on.
"""
_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What is to be installed for the step that is carried out.

    Attributes:
        now: official roots whose World file is to be installed now.
        later: those whose file is to be installed with the last cohort.
        hosts: which of all nodes is which host.
        by_itself: whether this process deploys them.
        home: how the home was named.
    """

    now: tuple[Address, ...] = ()
    later: tuple[Address, ...] = ()
    hosts: Mapping[Address, str] = field(default_factory=dict)
    by_itself: bool = False
    home: Path

    def sentences(self) -> Iterator[str]:
        """What is to be done, or is done by this process."""
        for roots, when in ((self.now, ""), (self.later, "with the last cohort, ")):
            hosts = [self.hosts[root] for root in roots if root in self.hosts]
            others = [format_address(root) for root in roots if root not in self.hosts]
            if hosts and self.by_itself:
                yield f"{when}on {name_hosts(hosts)}, by this command"
            elif hosts:
                yield f"{when}`{deploy_command(hosts, self.home)}`"
            if others:
                yield f"{when}on {', '.join(others)} what `orrery world export` writes"

    def describe(self) -> list[dict[str, Any]]:
        """The same for programs."""
        return [
            {"root": format_address(root), "host": self.hosts.get(root), "when": when}
            for roots, when in ((self.now, "now"), (self.later, "with the last cohort"))
            for root in roots
        ]


def duties_of(
    home: Home,
    view: RolloutView,
    path: Path,
    *,
    hosts: Mapping[Address, str] | None = None,
    by_itself: bool = False,
) -> Duties:
    """What is to be installed for the step that is carried out; what is known to be is left out.

    Args:
        home: the home.
        view: the rollout.
        path: how the home was named.
        hosts: which node is which host; as orrery.toml says where it is left out.
        by_itself: whether this process deploys them.
    """
    now, later = due_of(view)
    return Duties(
        now=tuple(root for root in now if _lacks(home, view, root)),
        later=tuple(root for root in later if _lacks(home, view, root)),
        hosts=known_hosts(home) if hosts is None else hosts,
        by_itself=by_itself,
        home=path,
    )


def _lacks(home: Home, view: RolloutView, node: Address) -> bool:
    """Whether a node is not known to hold what is rolled out, or what took it back."""
    world_id, target_ms = view.order.plan.id, view.target_ms
    return not target_ms or not any(
        held.world_id == world_id and held.timestamp_ms >= target_ms
        for found in home.store.nodes(address=node)
        for held in found.holdings
    )


def left_to_deploy(home: Home, view: RolloutView) -> tuple[str, ...]:
    """The hosts that nobody has led to where a rollout ended.

    When it is done, those that were left out as stranded; when it was taken back, official roots
    on which a file was installed, for who has to install one may have to install the next one too.
    """
    rollout, plan = view.rollout, view.order.plan
    if rollout.state is RolloutState.DONE:
        nodes = {address for group in plan.exempt for address in group.addresses}
    elif rollout.state is RolloutState.ROLLED_BACK and view.target_ms:
        nodes = set(installed_by(plan))
    else:
        return ()
    hosts = known_hosts(home)
    return tuple(sorted(hosts[node] for node in nodes & hosts.keys() if _lacks(home, view, node)))


def known_hosts(home: Home) -> Mapping[Address, str]:
    """Which node is which host, as far as orrery.toml tells; it may have mistakes meanwhile."""
    from orrery.cli.hosting import hosts_of_nodes
    from orrery.errors import OrreryError

    try:
        return hosts_of_nodes(home.settings(), by_name=True)
    except OrreryError:
        return {}


def due_of(view: RolloutView) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
    """The official roots whose file is to be installed now, and with the last cohort.

    A step needs it on some as soon as it is published, and on others with the last cohort; and a
    condition may ask for it before or after all, when the conditions before that one are true: the
    rollout says so itself as its reason.
    """
    rollout, plan = view.rollout, view.order.plan
    if rollout.state.is_over or view.progress.rolling_back:
        return (), ()
    step = plan.steps[rollout.step]
    if not view.progress.has_published(rollout.step):
        return _awaited(step.before, rollout.reason), ()
    if rollout.cohort < 0:
        # Nobody is given more of a paused rollout, official roots neither.
        is_paused = rollout.state is RolloutState.PAUSED
        return () if is_paused else step.install_first, step.install_last
    if not view.cohorts or rollout.cohort < len(view.cohorts) - 1:
        return (), step.install_last
    return (*step.install_last, *_awaited(plan.finish, rollout.reason)), ()


def _awaited(conditions: Iterable[Condition], reason: str) -> tuple[Address, ...]:
    """The roots on which the condition that a rollout waits for asks for a file."""
    for condition in conditions:
        if isinstance(condition, Installed) and reason.endswith(str(condition)):
            return condition.roots
    return ()


def installed_by(plan: Plan) -> frozenset[Address]:
    """The official roots on which a plan needs World files installed at some time."""
    found: set[Address] = set()
    for step in plan.steps:
        found.update(step.install_first, step.install_last)
        found.update(_in_conditions((*step.before, *step.done)))
    return frozenset(found.union(_in_conditions(plan.finish)))


def _in_conditions(conditions: Iterable[Condition]) -> Iterator[Address]:
    for condition in conditions:
        if isinstance(condition, Installed):
            yield from condition.roots


class Installer:
    """Deploys the hosts that a rollout needs deployed, in a thread beside who follows it.

    Args:
        home: how the home was named.
        hosts: which node is which host.
        tell: called with a sentence for each thing that becomes of a host, for who reads lines.
    """

    def __init__(
        self, home: Path, hosts: Mapping[Address, str], tell: Callable[[str], None] | None = None
    ) -> None:
        self.hosts = hosts
        self.outcomes: dict[str, Outcome] = {}
        self._home = home
        self._tell = tell
        self._again_s: dict[tuple[int, str], float] = {}
        self._course: Course | None = None
        self._thread: threading.Thread | None = None
        self._cancel: Callable[[], object] | None = None
        self._is_stopped = False
        self._told: dict[str, str] = {}
        self._trouble: str | None = None
        self._bug: BaseException | None = None

    @property
    def is_working(self) -> bool:
        """Whether a host is being deployed."""
        return self._thread is not None and self._thread.is_alive()

    def look(self, view: RolloutView, duties: Duties) -> None:
        """Begin what is due and was not tried yet, unless something is being done already."""
        if self.is_working:
            return
        if self._bug is not None:
            raise self._bug
        if view.rollout.state is RolloutState.PAUSED:
            return
        now_s, step = time.monotonic(), view.rollout.step
        due = [
            name
            for name in (self.hosts[root] for root in duties.now if root in self.hosts)
            if self._again_s.get((step, name), now_s) <= now_s
        ]
        if due:
            self._begin(step, due)

    def lines(self) -> Iterator[Text]:
        """What is done on hosts now, and what has failed."""
        from rich.text import Text

        from orrery.cli import output

        if self.is_working and self._course is not None:
            yield from self._course.lines(_LINES)
        for sentence in self.failures():
            yield from (Text(line, style="red") for line in output.wrap(sentence))

    def failures(self) -> Iterator[str]:
        """What has failed, and the command that does it again."""
        if self._trouble is not None:
            yield self._trouble
        for outcome in self.outcomes.values():
            if not outcome.is_good:
                yield self._failure(outcome)

    def describe(self) -> list[dict[str, Any]]:
        """What became of each host, for programs."""
        from orrery.cli.deploy_view import describe_outcomes

        return describe_outcomes(self.outcomes.values())

    def stop(self) -> tuple[str, ...]:
        """Let go: hosts end by themselves what was begun there.

        Returns:
            What is to be known of that, in sentences.
        """
        from orrery.cli.deploy_view import interrupted_sentences

        self._is_stopped = True  # for a thread that has just begun, and cannot be cancelled yet
        thread, course, cancel = self._thread, self._course, self._cancel
        if thread is None or course is None or not thread.is_alive():
            return ()
        if cancel is not None:
            with suppress(RuntimeError):  # it has ended by now
                cancel()
        thread.join()
        return tuple(interrupted_sentences(course, deploy_command(course.names, self._home)))

    def _begin(self, step: int, names: list[str]) -> None:
        from orrery.cli.deploy_view import Course

        self._trouble = None
        for name in names:
            self._again_s[step, name] = float("inf")
            self.outcomes.pop(name, None)
        self._course = Course(names, _steady_ms, self._tell)
        self._thread = threading.Thread(
            target=self._work, args=(step, names, self._course), name="deploy", daemon=True
        )
        self._thread.start()

    def _work(self, step: int, names: list[str], course: Course) -> None:
        """Deploy hosts; in the thread."""
        from orrery.errors import OrreryError

        try:
            outcomes = self._deploy(names, course)
        except OrreryError as error:
            again = deploy_command(names, self._home)
            self._trouble = f"{error}; the rollout waits for it, and `{again}` tries again"
            if self._tell is not None:
                self._tell(self._trouble)
            return
        except BaseException as error:  # for who follows, in its thread
            self._bug = error
            return
        for outcome in outcomes:
            self.outcomes[outcome.host] = outcome
            if str(outcome.result) in _TRIED_AGAIN:
                self._again_s[step, outcome.host] = time.monotonic() + _AGAIN_S
            good = f"{outcome.host}: {outcome.sentence}"
            self._tell_once(outcome.host, good if outcome.is_good else self._failure(outcome))

    def _tell_once(self, host: str, sentence: str) -> None:
        """Tell what became of a host, unless it is what became of it the last time."""
        if self._tell is not None and self._told.get(host) != sentence:
            self._told[host] = sentence
            self._tell(sentence)

    def _deploy(self, names: list[str], course: Course) -> list[Outcome]:
        import asyncio

        from orrery.fleet import deploy
        from orrery.home import Home

        async def work(home: Home) -> list[Outcome]:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            if task is not None:
                self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            try:
                if self._is_stopped:
                    return []
                return await deploy(home, names, progress=course.note)
            except asyncio.CancelledError:
                return []
            finally:
                self._cancel = None

        with Home.open(self._home) as home:
            return naming_home(asyncio.run(work(home)), self._home)

    def _failure(self, outcome: Outcome) -> str:
        again = deploy_command([outcome.host], self._home)
        return (
            f"{outcome.host}: {outcome.sentence}; the rollout waits for it, and `{again}` tries "
            "again"
        )


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000
