"""The demo with few nodes: real processes, real sockets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from orrery.errors import ServiceError
from orrery.lab.demo import (
    DemoEnded,
    NodeOnline,
    NodesAsleep,
    NodesWoken,
    RevisionAdopted,
    RevisionPublished,
    run_demo,
)

if TYPE_CHECKING:
    from pathlib import Path


async def test_every_node_adopts_every_link(tmp_path: Path) -> None:
    events = [event async for event in run_demo(tmp_path, nodes=6, sleepers=2, pause_s=0)]
    ended = events[-1]
    assert isinstance(ended, DemoEnded)
    assert ended.passed
    assert ended.revisions == (2, 3, 4)
    assert [node.slept for node in ended.nodes] == [True, False, False, True, False, False]
    assert all(
        after_ms is not None and after_ms >= 0 for node in ended.nodes for after_ms in node.after_ms
    )
    # Those that slept were led over both rotations by what woke them.
    for node in ended.nodes:
        assert (node.after_waking_ms is not None) == node.slept

    published = [event for event in events if isinstance(event, RevisionPublished)]
    keys = [event.world.updates_must_be_signed_by for event in published]
    assert len(published) == len(set(keys)) == 3
    assert [len(event.world.roots[0].endpoints) for event in published] == [2, 2, 2]
    asleep, woken = (
        next(index for index, event in enumerate(events) if isinstance(event, kind))
        for kind in (NodesAsleep, NodesWoken)
    )
    during = [event for event in events[asleep:woken] if isinstance(event, RevisionAdopted)]
    assert {(event.node, event.revision) for event in during} == {
        (node, revision) for node in (1, 2, 4, 5) for revision in (3, 4)
    }
    assert sum(isinstance(event, NodeOnline) for event in events) == 6


async def test_a_root_that_does_not_start_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(ServiceError, match="the root does not start"):
        async for _ in run_demo(tmp_path, nodes=1, sleepers=1, pause_s=0):
            pass


async def test_leaving_early_ends_the_processes(tmp_path: Path) -> None:
    events = run_demo(tmp_path, nodes=1, sleepers=1, pause_s=0)
    async for event in events:
        if isinstance(event, NodeOnline):
            break
    await events.aclose()  # type: ignore[attr-defined]
    # The server has let go of its home.
    from filelock import FileLock

    with FileLock(tmp_path / "root" / "serve.lock", timeout=5):
        pass
