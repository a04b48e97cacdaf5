"""The session of docs/operations/rollout.md, with real processes."""

import asyncio
from pathlib import Path

import pytest

from orrery.lab.rollout_demo import NODES, Session


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_session_plays_to_its_end(tmp_path: Path) -> None:
    session = Session(tmp_path)
    asyncio.run(session.play())  # raises where something does not come as the document tells
    told = session.transcript.document()
    assert "paused: no node that took revision" in told
    assert "step 1 was taken back" in told
    assert "every step is done" in told
    assert f"All {NODES} nodes hold the last revision" in told
