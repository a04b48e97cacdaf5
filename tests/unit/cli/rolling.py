"""Homes with nodes, for the commands that plan and carry out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orrery.home import Home
from orrery.home.document import SettingsEditor
from orrery.rollout.order import Order
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState
from orrery.store import Adoption, Rollout
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from tests.unit.home.making import ONE, entropy, make_home
from tests.unit.store.making import identity, sighting

NODES = tuple(Address(0x1000000000 + number) for number in range(5))
MOVED = Endpoint.from_text("198.51.100.9:443")
THERE = Endpoint.from_text("198.51.100.20:9993")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def rolling_home(path: Path) -> Iterator[Home]:
    """A home with a planet at ONE, and five nodes that hold it, the first seen 5 hours ago."""
    with make_home(path, (ONE,), entropy=entropy("rolling")) as made:
        planet = newest(made)
        seen = [
            sighting(
                node,
                now_ms() - 3_600_000 * (len(NODES) - number),
                planet_id=planet.id,
                planet_timestamp_ms=planet.timestamp_ms,
            )
            for number, node in enumerate(NODES)
        ]
        made.store.record(seen)
        made.release()
        yield made


def newest(home: Home) -> World:
    (world,) = home.served_worlds()
    return world


def wish(home: Home, *endpoints: Endpoint, second: Endpoint | None = None) -> None:
    """Want the root at these endpoints, and a second root."""
    editor = SettingsEditor(home.settings_path.read_text())
    editor.set_endpoints("home", "root-1", endpoints)
    if second is not None:
        editor.add_root("home", "root-2", identity(1), [second])
    home.settings_path.write_text(editor.text())


def edit(home: Home, old: str, new: str) -> None:
    text = home.settings_path.read_text()
    assert old in text
    home.settings_path.write_text(text.replace(old, new, 1))


def adopt(home: Home, world: World, *nodes: Address) -> None:
    """Let nodes take a revision."""
    home.store.record(
        (), [Adoption(node, world.id, world.timestamp_ms, now_ms(), "probe") for node in nodes]
    )


def revisions(home: Home) -> list[int]:
    return [each.timestamp_ms for each in home.store.chain(newest(home).id)]


class Conductor:
    """Stands in for a server: each time that somebody waits, it does the next thing.

    Args:
        home: the home.
        turns: what is done, in this order; the last one again and again.
    """

    def __init__(self, home: Home, *turns: Callable[[], None]) -> None:
        self._home = home
        self.turns = list(turns)
        self.lease = home.store.acquire_lease("conductor", "a test", now_ms(), 3_600_000)

    def __call__(self, _: float) -> None:
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        turn()

    def change(self, progress: dict[str, object] | None = None, **values: object) -> None:
        """Store what became of the rollout."""
        rollout = self.rollout
        told = Progress.from_json(rollout.intents)
        values["intents"] = replace(told, **(progress or {})).to_json()  # type: ignore[arg-type]
        self._home.store.update_rollout(replace(rollout, **values), now_ms())  # type: ignore[arg-type]

    def publish(self) -> World:
        """Publish the next step and open its last cohort."""
        rollout = self.rollout
        plan = Order.from_json(rollout.plan).plan
        told = Progress.from_json(rollout.intents)
        step = plan.steps[len(told.revisions) - 1]
        timestamp_ms = self._home.store.allocate_timestamp(plan.id, now_ms())
        world = plan.world(step, timestamp_ms).sign(
            self._home.keys.signer_for(plan.id, step.signed_by)
        )
        self._home.store.add_revision(world, now_ms())
        self.change(
            {"revisions": (*told.revisions, timestamp_ms), "opened_ms": now_ms()},
            state=RolloutState.RUNNING,
            step=step.number - 1,
            cohort=2,
        )
        return world

    @property
    def rollout(self) -> Rollout:
        """The last rollout."""
        return self._home.store.rollouts(1)[0]
