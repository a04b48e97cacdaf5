"""Hosts for the commands about them: what a look and a deploy would say, without any host."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

import orrery.fleet
from orrery.fleet import (
    Act,
    HostPlan,
    HostView,
    Outcome,
    Progress,
    Result,
    Running,
    Standing,
    Step,
)
from orrery.home import Home
from orrery.wire.address import Address
from orrery.wire.world import World
from tests.unit.store.making import NOW_MS, WORLD_ID, world

NODE = Address(0x2C3E8F527A)
REVISIONS = tuple(world(NOW_MS + number) for number in range(3))
GB = 10**9


def running(**told: object) -> Running:
    """A node that is well and holds the newest revision."""
    values: dict[str, object] = {
        "address": NODE,
        "version": "1.14.1",
        "online": True,
        "clock_ms": NOW_MS,
        "planet_id": WORLD_ID,
        "planet_ms": REVISIONS[-1].timestamp_ms,
        "moons": {},
        "peers": 4,
    }
    return Running(**(values | told))  # type: ignore[arg-type]


def host_view(name: str = "nas", **found: object) -> HostView:
    """A host that is well."""
    values: dict[str, object] = {
        "where": "root@203.0.113.8",
        "looked_at_ms": NOW_MS,
        "node": NODE,
        "home": "/var/lib/zerotier-one",
        "files": {},
        "planet": REVISIONS[-1],
        "moons": {},
        "running": running(),
        "disk_free_bytes": 5 * GB + 100_000_000,
        "disk_total_bytes": 20 * GB,
    }
    return HostView(name=name, **(values | found))  # type: ignore[arg-type]


def unreached(name: str = "router", error: str = "root@192.0.2.4: no answer") -> HostView:
    """A host that nobody gets to."""
    return HostView(name=name, where="root@192.0.2.4", error=error, files={}, moons={})


def standing(
    holds: World | None = REVISIONS[-1], act: Act = Act.NOTHING, **values: object
) -> Standing:
    """How a host stands with the planet: as it should where nothing is said."""
    held = None if holds not in REVISIONS else REVISIONS.index(holds) + 1
    told: dict[str, object] = {
        "name": "home",
        "world": REVISIONS[-1],
        "newest": REVISIONS[-1],
        "file": holds,
        "running_ms": None if holds is None else holds.timestamp_ms,
        "number": held,
        "target": len(REVISIONS),
        "of": len(REVISIONS),
        "is_root": False,
        "act": act,
        "sentence": "",
    }
    return Standing(**(told | values))  # type: ignore[arg-type]


def host_plan(*standings: Standing, name: str = "nas", refusal: str = "") -> HostPlan:
    return HostPlan(host=name, standings=standings or (standing(),), refusal=refusal)


def outcome(
    host: str, result: Result = Result.DEPLOYED, sentence: str = "as it should be"
) -> Outcome:
    return Outcome(host=host, result=result, sentence=sentence)


@dataclass
class Fleet:
    """Stands in for hosts: says what each command about them gets to hear.

    Attributes:
        outcomes: of deploys, in order of their hosts; those of hosts that are not named are left
            out.
        course: steps that each deploy reports before.
        asked: what each deploy was asked for.
        hold: when it is there, a deploy waits for it behind its course.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    course: list[tuple[str, Step, str]] = field(default_factory=list)
    asked: list[dict[str, object]] = field(default_factory=list)
    views: list[HostView] = field(default_factory=list)
    plans: dict[str, HostPlan] = field(default_factory=dict)
    error: Exception | None = None
    on_course: Callable[[], None] = lambda: None
    is_held: bool = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the real one."""
        monkeypatch.setattr(orrery.fleet, "deploy", self.deploy)
        monkeypatch.setattr(orrery.fleet, "look_at", self.look_at)
        monkeypatch.setattr(orrery.fleet, "read_known", lambda home: None)
        monkeypatch.setattr(
            orrery.fleet, "plan_for", lambda known, host, view: self.plans[host.name]
        )

    async def deploy(
        self,
        home: Home,
        names: Sequence[str] | None = None,
        *,
        progress: Progress | None = None,
        **options: object,
    ) -> list[Outcome]:
        self.asked.append({"names": names, **options})
        if self.error is not None:
            raise self.error
        told = [each for each in self.outcomes if names is None or each.host in names]
        assert progress is not None
        for host, step, words in self.course:
            progress(host, step, words)
        self.on_course()
        if self.is_held:
            await asyncio.Event().wait()
        for each in told:
            progress(each.host, Step.DONE, each.sentence)
        return told

    async def look_at(self, home: Home, names: Sequence[str] | None = None) -> list[HostView]:
        if self.error is not None:
            raise self.error
        return [view for view in self.views if names is None or view.name in names]


def add_host(home: Home, name: str, **values: object) -> None:
    """Write a `[[host]]`."""
    lines = [f'name = "{name}"', *(f'{key} = "{value}"' for key, value in values.items())]
    with home.settings_path.open("a") as file:
        file.write("\n[[host]]\n" + "\n".join(lines) + "\n")
