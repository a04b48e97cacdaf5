"""World files while a rollout holds a revision back from some nodes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orrery.home import Home, propose, publish, release
from orrery.rollout.state import RolloutState, Served
from orrery.store import Rollout
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from orrery.worlds.stage import NOBODY, PLACES, Membership
from tests.unit.home.making import ONE, make_home, want
from tests.unit.store.making import NOW_MS

OTHER = Endpoint.from_text("203.0.113.9/9993")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "home") as made:
        yield made


def in_file(home: Home) -> World:
    return World.decode((home.path / "planet").read_bytes())


def hold_back(home: Home) -> Rollout:
    """Publish a step that is held back from everybody, and stop there."""
    before = in_file(home)
    served = Served(before.id, before.timestamp_ms, NOBODY)
    rollout = home.store.create_rollout(before.id, "{}", NOW_MS, served=served)
    want(home, ONE, OTHER)
    step = propose(home, "home").world
    timestamp_ms = home.store.allocate_timestamp(before.id, NOW_MS + 1)
    signer = home.keys.signer_for(before.id, before.updates_must_be_signed_by)
    home.store.add_revision(replace(step, timestamp_ms=timestamp_ms).sign(signer), NOW_MS + 1)
    home.write_worlds()
    return home.store.update_rollout(replace(rollout, state=RolloutState.STOPPED), NOW_MS)


def test_the_file_stays_where_everybody_is_led(home: Home) -> None:
    before = in_file(home)
    hold_back(home)
    assert in_file(home) == before
    assert home.served_worlds()[0] != before
    assert home.led_to(home.served_worlds()[0]) == before
    home.close()
    with Home.open(home.path, writer=True) as again:
        assert in_file(again) == before
        assert again.repairs == ()


def test_a_file_that_is_ahead_is_put_back(home: Home) -> None:
    before = in_file(home)
    hold_back(home)
    (newest,) = home.served_worlds()
    home.write_world(newest)
    home.close()
    with Home.open(home.path, writer=True) as again:
        assert in_file(again) == before
        (repair,) = again.repairs
        assert "which held another World than it should" in repair


@pytest.mark.parametrize("opened", [None, Membership(PLACES)])
def test_the_file_follows_when_the_revision_is_for_everybody(
    home: Home, opened: Membership | None
) -> None:
    rollout = hold_back(home)
    assert rollout.served is not None
    served = None if opened is None else replace(rollout.served, opened=opened)
    home.store.update_rollout(replace(rollout, served=served), NOW_MS)
    home.write_worlds()
    assert in_file(home) == home.served_worlds()[0]
    assert len(list(home.backups.glob("planet.*"))) == 1


def test_publishing_is_for_everybody(home: Home) -> None:
    hold_back(home)
    want(home, ONE)
    published = publish(home, "home", NOW_MS + 2)
    assert home.store.served() == {}
    assert in_file(home) == published.world


def test_what_is_held_back_can_be_given_to_everybody(home: Home) -> None:
    hold_back(home)
    assert release(home, "home", NOW_MS + 2)
    assert home.store.served() == {}
    assert in_file(home) == home.served_worlds()[0]
    assert not release(home, "home", NOW_MS + 3)
