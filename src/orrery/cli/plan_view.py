"""A plan, or why there is none, as people see it: pure functions from data to lines."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from rich.text import Text

from orrery.cli import output
from orrery.cli.hosting import deploy_command, name_hosts
from orrery.rollout.conditions import Condition, Installed
from orrery.rollout.fleet import Group, Stranded, Why
from orrery.rollout.places import name_places
from orrery.rollout.plan import Plan, Reason, Refusal, Step
from orrery.spans import format_span
from orrery.wire.address import Address, format_address
from orrery.wire.identity import Identity
from orrery.wire.signature import fingerprint
from orrery.wire.world import Root, World

Names = Mapping[Identity, str]
"""How `orrery.toml` calls roots."""


class Managed(NamedTuple):
    """The hosts of orrery.toml, for what is said of installing.

    Attributes:
        hosts: which node is which host.
        home: how the home was named.
        by_itself: whether `apply` deploys them, else somebody is to run `orrery deploy`.
    """

    hosts: Mapping[Address, str] = {}
    home: Path = Path()
    by_itself: bool = True

    def names(self, nodes: Iterable[Address]) -> list[str]:
        """The hosts among these nodes."""
        return [self.hosts[node] for node in nodes if node in self.hosts]


_NOBODY_MANAGED = Managed()
_LABEL = 9
"""Columns of a label inside a step, with the blanks behind it."""
_MOST_NAMED = 12
_MOST_COPIED = 4
"""So many addresses fit a line as one word, to be copied to the next command."""
_STYLES = {"+": "green", "-": "red", "~": "yellow", " ": ""}

REASONS = {
    Reason.MISTAKE: "it cannot be wanted",
    Reason.CONTRADICTION: "what is said of places cannot be true",
    Reason.NO_KEY: "nobody can sign",
    Reason.GONE: "a place that is wanted is gone",
    Reason.STRANDED: "nodes are stranded already",
    Reason.OUT_OF_REACH: "nodes could reach no root",
    Reason.NO_SPARE: "one root alone would carry the network meanwhile",
    Reason.NO_WAY: "whatever is done first strands somebody",
}
_WHY = {
    Why.FOREIGN: "hold a World that is not of this chain",
    Why.SILENT: "know no place that would run",
    Why.NO_LINK: "know only official roots, which do not have the link that they need",
}


def plan_lines(
    plan: Plan,
    start: World,
    names: Names,
    *,
    horizon_ms: int,
    revision: int | None = None,
    managed: Managed = _NOBODY_MANAGED,
) -> Iterator[Text]:
    """A plan as a list of steps.

    Args:
        plan: the plan.
        start: the revision that it starts from.
        names: how roots are called.
        horizon_ms: since when a node counts.
        revision: the number of `start` in its chain, if that is known.
        managed: the hosts of orrery.toml.
    """
    yield from _fleet_lines(plan, start, horizon_ms, revision)
    before, key = start.roots, start.updates_must_be_signed_by
    for step in plan.steps:
        yield Text()
        yield from step_lines(step, before, key, names, managed)
        before, key = step.roots, step.names
    if plan.finish:
        yield Text()
        yield from _labelled("last", _conditions(plan.finish, managed), indent=0)
    yield Text()
    yield summary(plan, start)


def step_lines(
    step: Step,
    before: Sequence[Root],
    key: bytes,
    names: Names,
    managed: Managed = _NOBODY_MANAGED,
) -> Iterator[Text]:
    """A step: what it changes, what must be true, what must stay up, who would be stranded."""
    yield Text.assemble(
        (f"step {step.number}", "bold"), f"  signed by {fingerprint(step.signed_by)}"
    )
    yield from _labelled("first", _conditions(step.before, managed))
    yield from change_lines(before, step.roots, names)
    if step.names != key:
        yield _marked("~", f"next signer {fingerprint(key)} → {fingerprint(step.names)}")
    yield from _labelled("wait", (f"until {condition}" for condition in step.done))
    if step.keep:
        yield from _labelled("keep up", [f"until then: {name_places(step.keep)}"])
    if step.old:
        yield from _labelled("", [f"of these not listed any more: {name_places(step.old)}"])
    yield from _labelled("install", _install_words(step, managed))
    if step.release:
        yield from _labelled("may stop", [f"then: {name_places(step.release)}"])
    if step.forced:
        yield from _labelled(
            "forced",
            ["at once it would strand " + stranded_words(each) for each in step.forced],
            style="red",
        )


def _install_words(step: Step, managed: Managed) -> Iterator[str]:
    """When the file is to be installed where, and who does so."""
    for when, roots in (
        ("at once", step.install_first),
        ("with the last cohort", step.install_last),
    ):
        hosts = managed.names(roots)
        others = [root for root in roots if root not in managed.hosts]
        if hosts:
            yield f"its file {when} on {_how(hosts, managed)}"
        if others:
            yield f"its file {when} on {_addresses(others)}"


def _conditions(conditions: Iterable[Condition], managed: Managed) -> Iterator[str]:
    """Conditions in words; of those that a deploy makes true, also that it does."""
    for condition in conditions:
        hosts = managed.names(condition.roots) if isinstance(condition, Installed) else []
        yield f"{condition}: on {_how(hosts, managed)}" if hosts else str(condition)


def _how(hosts: Sequence[str], managed: Managed) -> str:
    command = "apply" if managed.by_itself else deploy_command(hosts, managed.home)
    return f"{name_hosts(hosts)} by `{command}`"


def change_lines(before: Sequence[Root], after: Sequence[Root], names: Names) -> Iterator[Text]:
    """What becomes of roots and endpoints, with `+`, `-` and `~` as terraform marks them."""
    old, new = _by_identity(before), _by_identity(after)
    for identity in dict.fromkeys((*old, *new)):
        title = f"root {format_address(identity.address)}"
        title += f" {names[identity]}" if identity in names else ""
        had, has = old.get(identity), new.get(identity)
        if had is None and has is not None:
            yield _marked("+", title)
            yield from (_marked("+", str(endpoint), 4) for endpoint in has)
        elif has is None and had is not None:
            yield _marked("-", title)
            yield from (_marked("-", str(endpoint), 4) for endpoint in had)
        elif had is not None and has is not None and set(had) != set(has):
            yield _marked("~", title)
            for endpoint in dict.fromkeys((*had, *has)):
                mark = " " if endpoint in had and endpoint in has else "-+"[endpoint in has]
                yield _marked(mark, str(endpoint), 4)


def summary(plan: Plan, start: World) -> Text:
    """All of a plan in one line, as terraform ends one."""
    if not plan.steps and not plan.finish:
        return Text("nothing to do: the newest revision says what orrery.toml says", style="green")
    if not plan.steps:
        return Text("nothing to publish: only what stands above is left to do", style="green")
    contents = [start.roots, *(step.roots for step in plan.steps)]
    first, last = _places(contents[0]), _places(contents[-1])
    keys = [start.updates_must_be_signed_by, *(step.names for step in plan.steps)]
    rotations = sum(one != other for one, other in pairwise(keys))
    parts = [
        f"{len(last - first)} to add",
        f"{len(first - last)} to remove",
        *([f"{rotations} new key{'s' * (rotations > 1)}"] if rotations else []),
    ]
    steps = f"{len(plan.steps)} step{'s' * (len(plan.steps) > 1)}"
    return Text.assemble(("plan: ", "bold"), f"{', '.join(parts)}, in {steps}")


def refusal_lines(
    refusal: Refusal,
    start: World,
    names: Names,
    horizon_ms: int,
    managed: Managed = _NOBODY_MANAGED,
) -> Iterator[Text]:
    """Why there is no plan, whom it is about, what can be done, and what is nearest."""
    yield Text(f"not safe: {REASONS[refusal.reason]} ({refusal.reason})", style="bold red")
    for sentence in refusal.sentences:
        yield from _item(sentence)
    if refusal.remedies:
        yield Text()
        yield Text("what can be done", style="cyan")
        for remedy in refusal.remedies:
            yield from _item(remedy)
    if hosts := managed.names(_left_behind(refusal)):
        yield from _item(
            f"on those of the nodes that are hosts of orrery.toml, `"
            f"{deploy_command(hosts, managed.home)}` installs the newest World file"
        )
    if refusal.nearest is not None:
        yield Text()
        about = f": {refusal.nearest_is}" if refusal.nearest_is else ""
        yield from (
            Text(line, style="cyan" if not number else "")
            for number, line in enumerate(output.wrap(f"the nearest that is safe{about}"))
        )
        yield from plan_lines(refusal.nearest, start, names, horizon_ms=horizon_ms, managed=managed)
        exempt = sorted(each for group in refusal.nearest.exempt for each in group.addresses)
        if exempt:
            nodes = ",".join(map(format_address, exempt[:_MOST_COPIED]))
            said = nodes if len(exempt) <= _MOST_COPIED else "@FILE, a file that lists them"
            yield Text(f"the nodes are left out with --exempt {said}")


def _left_behind(refusal: Refusal) -> list[Address]:
    """The nodes that need a World file in another way."""
    groups = [group for group, _ in refusal.stranded]
    if refusal.nearest is not None:
        groups += refusal.nearest.exempt
    return sorted({address for group in groups for address in group.addresses})


def stranded_words(stranded: Stranded) -> str:
    """`2 nodes, which know no place that would run: 2c3e8f527a, dd87c5dc2d`."""
    group, why = stranded
    count = len(group.addresses)
    does = _WHY[why]
    if count == 1:
        verb, _, rest = does.partition(" ")
        does = f"{verb}s {rest}"
        return f"1 node, which {does}: {_addresses(group.addresses)}"
    return f"{count:,} nodes, which {does}: {_addresses(group.addresses)}"


def describe_refusal(refusal: Refusal) -> dict[str, object]:
    """A refusal for programs."""
    return {
        "reason": str(refusal.reason),
        "sentences": list(refusal.sentences),
        "stranded": [describe_stranded(stranded) for stranded in refusal.stranded],
        "remedies": list(refusal.remedies),
        "nearest": None if refusal.nearest is None else refusal.nearest.to_data(),
        "nearest_is": refusal.nearest_is or None,
    }


def describe_stranded(stranded: Stranded) -> dict[str, object]:
    """Who is stranded, and why, for programs."""
    return {
        "why": str(stranded.why),
        "holds_ms": stranded.group.standing.holds_ms,
        "nodes": [format_address(address) for address in stranded.group.addresses],
    }


def _fleet_lines(plan: Plan, start: World, horizon_ms: int, revision: int | None) -> Iterator[Text]:
    time = output.iso_time(start.timestamp_ms) or str(start.timestamp_ms)
    which = "" if revision is None else f"revision {revision}, "
    counted = f"{plan.counted:,} counted, seen in the last {format_span(horizon_ms)}"
    nodes = [counted]
    if plan.unseen:
        nodes.append(f"{plan.unseen:,} not seen for longer, and not waited for")
    if plan.exempt:
        exempt = [each for group in plan.exempt for each in group.addresses]
        nodes.append(f"{len(exempt):,} exempt: {_addresses(sorted(exempt))}")
    if plan.stranded:
        lost = sum(len(group.addresses) for group, _ in plan.stranded)
        nodes.append(f"{lost:,} of the exempt are stranded whatever is done")
    behind = _behind(plan.fleet, start)
    if behind:
        nodes.append(f"{behind:,} of the counted do not hold the newest revision yet")
    yield from _labelled("from", [f"{which}{time}"], indent=0)
    yield from _labelled("nodes", nodes, indent=0)


def _behind(groups: Iterable[Group], start: World) -> int:
    return sum(
        len(group.addresses) for group in groups if group.standing.holds_ms < start.timestamp_ms
    )


def _labelled(
    label: str, values: Iterable[str], *, indent: int = 2, style: str = ""
) -> Iterator[Text]:
    """A label, and each value behind it on lines of its own."""
    room = indent + _LABEL
    for number, value in enumerate(values):
        for position, line in enumerate(output.wrap(value, room)):
            shown = label if not number and not position else ""
            yield Text.assemble(" " * indent, (shown.ljust(_LABEL), "cyan"), (line, style))


def _item(sentence: str) -> Iterator[Text]:
    for number, line in enumerate(output.wrap(sentence, 2)):
        yield Text(f"{'  ' if number else '- '}{line}")


def _marked(mark: str, text: str, indent: int = 2) -> Text:
    style = _STYLES[mark]
    return Text.assemble(" " * indent, (f"{mark} {text}", style))


def _addresses(addresses: Sequence[Address]) -> str:
    shown = ", ".join(map(format_address, addresses[:_MOST_NAMED]))
    left = len(addresses) - _MOST_NAMED
    return shown if left <= 0 else f"{shown} and {left:,} more (--json names all)"


def _by_identity(roots: Iterable[Root]) -> dict[Identity, tuple[object, ...]]:
    return {root.identity.public(): root.endpoints for root in roots}


def _places(roots: Iterable[Root]) -> set[tuple[Identity, object]]:
    return {(root.identity.public(), each) for root in roots for each in root.endpoints}
