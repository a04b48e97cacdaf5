"""What `orrery publish` does to real nodes: none is restarted, each follows."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from orrery.wire.identity import Identity
from tests.interop.capture import Capture
from tests.interop.orreryroot import wall_ms, written_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.interop.conftest import Joining, Measured
    from tests.interop.orreryroot import OrreryRoot, Published
    from tests.interop.realnode import RealNode

pytestmark = pytest.mark.interop

PUSHED_S = 10.0
"""Long enough for a busy machine, and far from the 225 s in which a leaf asks by itself."""


def add_endpoint(root: OrreryRoot) -> Published:
    root.set_endpoints([f"{root.host.address}/9993", f"{root.host.address}/443"])
    return root.publish()


def pid(node: RealNode | OrreryRoot) -> int:
    return node.daemon.pid


def wait_known(root: OrreryRoot, leaves: Iterable[RealNode]) -> None:
    for leaf in leaves:
        root.wait_adopted(leaf.address, root.world)


class TestPush:
    def test_every_leaf_has_a_revision_at_once(
        self, root: OrreryRoot, joining: Joining, measured: Measured
    ) -> None:
        root.serve()
        leaves = [joining("leaf1"), joining("leaf2")]
        processes = [pid(root), *map(pid, leaves)]
        wait_known(root, leaves)
        published = add_endpoint(root)
        measured(
            "publish with two leaves: the command ended, after the revision's timestamp",
            f"{published.ended_ms - published.timestamp_ms:.0f} ms",
        )
        for leaf in leaves:
            leaf.wait_planet(published.encoded, within_s=PUSHED_S)
            adopted = root.wait_adopted(leaf.address, published.world)
            assert adopted.how == "probe"
            assert leaf.status()["planetWorldTimestamp"] == published.timestamp_ms
            file_ms = written_ms(leaf.home / "planet")
            measured(
                "  planet file replaced; adoption recorded, by probe",
                f"{file_ms - published.timestamp_ms:.0f} ms; "
                f"{adopted.at_ms - published.timestamp_ms} ms",
            )
        assert [pid(root), *map(pid, leaves)] == processes

    def test_a_root_that_moved_hands_over_its_new_address_from_there(
        self, root: OrreryRoot, joining: Joining, measured: Measured
    ) -> None:
        root.serve()
        leaf = joining("leaf")
        wait_known(root, [leaf])
        root.host.move("10.77.99.1")
        root.set_endpoints([f"{root.host.address}/9993"])
        published = root.publish("--strand-everyone")
        leaf.wait_planet(published.encoded, within_s=PUSHED_S)
        file_ms = written_ms(leaf.home / "planet")
        measured(
            "a root with a new address hands over the World that names it: planet file replaced",
            f"{file_ms - published.timestamp_ms:.0f} ms",
        )
        root.wait_adopted(leaf.address, published.world)


class TestWithoutPush:
    def test_a_leaf_has_a_revision_as_it_starts(
        self, root: OrreryRoot, joining: Joining, measured: Measured
    ) -> None:
        root.serve("--no-push")
        leaf = joining("leaf")
        before = leaf.planet
        published = add_endpoint(root)
        root.daemon.wait_line(r'"event": "revision"', within_s=5)
        assert leaf.planet == before
        leaf.stop()
        began_ms = wall_ms()
        leaf.start()
        leaf.wait_planet(published.encoded, within_s=PUSHED_S)
        file_ms = written_ms(leaf.home / "planet")
        measured(
            "without push: from the start of a leaf to its file", f"{file_ms - began_ms:.0f} ms"
        )
        root.wait_adopted(leaf.address, published.world)

    @pytest.mark.slow
    @pytest.mark.timeout(400)
    def test_a_leaf_has_a_revision_with_its_next_hello(
        self, root: OrreryRoot, joining: Joining, measured: Measured
    ) -> None:
        root.serve("--no-push")
        leaf = joining("leaf")
        published = add_endpoint(root)
        leaf.wait_planet(published.encoded, within_s=240)
        file_ms = written_ms(leaf.home / "planet")
        measured(
            "without push: from a revision's timestamp to a running leaf's file",
            f"{(file_ms - published.timestamp_ms) / 1000:.1f} s",
        )
        root.wait_adopted(leaf.address, published.world)


class TestRotations:
    """The signing key changes again and again while a leaf hears nothing of it."""

    @pytest.mark.parametrize(
        ("rotations", "away"), [(2, "stopped"), (2, "frozen"), (2, "unplugged"), (8, "unplugged")]
    )
    def test_a_leaf_that_comes_back_has_the_newest_revision(
        self, root: OrreryRoot, joining: Joining, measured: Measured, rotations: int, away: str
    ) -> None:
        root.serve()
        leaf = joining("leaf")
        wait_known(root, [leaf])
        before = leaf.planet
        match away:
            case "stopped":
                leaf.stop()
            case "frozen":
                leaf.daemon.signal(signal.SIGSTOP)
            case _:
                leaf.host.unplug()
        for _ in range(rotations):
            published = root.rotate()
        assert leaf.planet == before
        with Capture(root.host) as capture:
            began_ms = wall_ms()
            match away:
                case "stopped":
                    leaf.start()
                case "frozen":
                    leaf.daemon.signal(signal.SIGCONT)
                case _:
                    leaf.host.plug()
            leaf.wait_planet(published.encoded, within_s=PUSHED_S)
            file_ms = written_ms(leaf.home / "planet")
            root.wait_adopted(leaf.address, published.world)
            seen = capture.packets(root.identity, [Identity.from_string(leaf.identity)])
        handed = [p for p in seen if p.name == "OK(HELLO)" and p.receiver == leaf.address]
        links = [len(p.ok_hello.worlds) for p in handed]
        measured(
            f"{rotations} key rotations while a leaf was {away}: from its return to its file",
            f"{file_ms - began_ms:.0f} ms; links in our answers: {links}",
        )
