"""Homes in which nothing is wrong, and what is seen of them, to be spoilt one thing at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orrery.doctor import Commands, Finding, Snapshot, examine, gather
from orrery.doctor.snapshot import Network, Time
from orrery.home import Home, SettingsEditor, publish
from orrery.home.named_endpoint import WantedEndpoint
from orrery.rollout.places import Place, places_of
from orrery.wire.endpoint import Endpoint
from tests.unit.home.making import ONE, entropy, make_home
from tests.unit.store.making import NOW_MS, identity, sighting

LATER_MS = NOW_MS + 3_600_000
"""When the home is looked at: an hour after it was made."""
SECOND = Endpoint.from_text("198.51.100.20:9993")
NODES = tuple(0x1000000000 + number for number in range(4))


@contextmanager
def sound_home(path: Path, endpoints: Sequence[WantedEndpoint] = (ONE,)) -> Iterator[Home]:
    """A home of two roots, the second of which is elsewhere, open as a writer."""
    with make_home(path, endpoints, entropy=entropy("sound")) as home:
        editor = SettingsEditor(home.settings_path.read_text())
        editor.add_root("home", "root-2", identity(1).public(), [SECOND])
        home.save_settings(editor.text())
        publish(home, "home", NOW_MS + 1_000)
        yield home


def see_nodes(home: Home, *, holds_ms: int | None = None, at_ms: int = LATER_MS - 60_000) -> None:
    """Let nodes be seen, which hold the newest revision unless something else is said."""
    (planet,) = home.served_worlds()
    holds_ms = planet.timestamp_ms if holds_ms is None else holds_ms
    told = {"planet_id": planet.id, "planet_timestamp_ms": holds_ms}
    home.store.record([sighting(node, at_ms, **told) for node in NODES])


def seen(path: Path, **changes: Any) -> Snapshot:
    """A home whose roots all answer, with a backup; what is to be otherwise is said.

    No packet is sent, whatever the home says.
    """
    silent: Callable[..., Network] = lambda *_, **__: Network()  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orrery.doctor.gathering.look_at_network", silent)
        snapshot = gather(path, clock=lambda: LATER_MS, hosts=False)
    places = frozenset().union(*(places_of(world.newest.roots) for world in snapshot.worlds))
    newest = next((world.newest.timestamp_ms for world in snapshot.worlds), None)
    sound = replace(
        snapshot,
        is_served=True,
        disk=replace(snapshot.disk, is_changing=False),  # by the test itself
        time=Time(now_ms=LATER_MS, noted_ms=LATER_MS - 5_000, is_synchronized=True),
        network=Network(
            asked=places, answered=places, held_ms=newest, heard_at_ms=LATER_MS - 60_000
        ),
        backups=replace(
            snapshot.backups, by_hand_at_ms=LATER_MS - 1_000, by_hand_place="/mnt/b.age"
        ),
    )
    return replace(sound, **changes)


def findings(snapshot: Snapshot) -> tuple[Finding, ...]:
    """What is found, with commands for a home that is named."""
    return examine(snapshot, Commands(snapshot.path, " --home HOME"))


def told(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Levels and codes of what is found."""
    return [(str(finding.level), finding.code) for finding in findings(snapshot)]


def only(snapshot: Snapshot) -> Finding:
    """The one thing that is found."""
    (finding,) = findings(snapshot)
    return finding


def places(snapshot: Snapshot, *, own: bool) -> frozenset[Place]:
    """The places of the own root, or those of others."""
    return frozenset(
        place for place in snapshot.network.asked if snapshot.is_own(place.identity) is own
    )
