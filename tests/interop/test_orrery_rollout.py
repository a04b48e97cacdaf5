"""`orrery apply` with real nodes: roots and key are replaced below them, and none is lost.

The session of docs/operations/rollout.md, whose nodes are real here. Two roots share a home and
live in hosts of their own; two others take their place.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import pytest

from orrery.home.document import SettingsEditor
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import World
from tests.interop.lab import eventually
from tests.interop.orreryroot import COMMAND, ROOT_NAME, OrreryRoot, orrery, wall_ms, written_ms
from tests.interop.realnode import Controller, RealNode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from tests.interop.conftest import Measured
    from tests.interop.lab import Daemon, Host, Lab
    from tests.interop.realnode import IdTool

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

PATIENCE_S = 120.0
"""Ends a test that waits in vain; nothing is measured by it."""
SECOND = "10.77.99.1"
COHORTS = 'cohorts = ["1%", "10%", "100%"]'
CONDUCTS = "this process carries rollouts out"


class FurtherRoot:
    """A root beside the first one of a home: another host and identity, the same home.

    Args:
        first: The first one.
        host: Where this one serves.
        name: How orrery.toml calls it.
    """

    def __init__(self, first: OrreryRoot, host: Host, name: str) -> None:
        self.host = host
        self.name = name
        self.endpoint = f"{host.address}/9993"
        self._home = first.home
        self._secret = host.directory / "identity.secret"
        public = host.directory / "identity.public"
        orrery("identity", "new", "--out", self._secret, "--public", public)
        self.identity = Identity.from_string(public.read_text().strip())
        self.address = f"{self.identity.address:010x}"
        self._daemon: Daemon | None = None

    def serve(self) -> Self:
        """Start `orrery serve` and wait until it serves."""
        home = ("--home", str(self._home))
        own = ("--identity", str(self._secret), "--listen", self.endpoint)
        self._daemon = self.host.run([*COMMAND, "serve", *home, *own])
        self._daemon.wait_line(r'"event": "serving"', within_s=20)
        return self

    @property
    def daemon(self) -> Daemon:
        """Its process, the last one if it was started repeatedly."""
        assert self._daemon is not None
        return self._daemon


Root: TypeAlias = OrreryRoot | FurtherRoot


def wait_conductor(roots: Iterable[Root]) -> Root:
    """Wait until one of these carries rollouts out, by its own account."""
    candidates = list(roots)

    def conducting() -> list[Root]:
        return [root for root in candidates if CONDUCTS in root.daemon.output]

    (conductor,) = eventually(conducting, within_s=PATIENCE_S, what="a root conducts")
    return conductor


def wish(
    first: OrreryRoot,
    *,
    add: Iterable[FurtherRoot] = (),
    remove: Iterable[str] = (),
    replace: Iterable[tuple[str, str]] = (),
) -> None:
    """Change orrery.toml as in an editor."""
    settings = first.home / "orrery.toml"
    text = settings.read_text()
    for old, new in replace:
        assert text.count(old) == 1, f"{old!r} in\n{text}"
        text = text.replace(old, new)
    editor = SettingsEditor(text)
    for root in add:
        editor.add_root("planet", root.name, root.identity, [Endpoint.from_text(root.endpoint)])
    for name in remove:
        editor.remove_root("planet", name)
    settings.write_text(editor.text())


def plan(first: OrreryRoot, *options: str) -> dict[str, Any]:
    """The plan for what is wanted now, by `orrery plan --json`."""
    found: dict[str, Any] = json.loads(first.command("plan", "--json", *options))["plan"]
    return found


def counted(first: OrreryRoot) -> set[str]:
    """The addresses of the nodes for which that is made."""
    return {address for group in plan(first)["fleet"] for address in group["nodes"]}


def rollout(first: OrreryRoot) -> dict[str, Any]:
    """Where the rollout stands, by `orrery status --json`."""
    (world,) = json.loads(first.command("status", "--json"))["worlds"]
    found: dict[str, Any] = world["rollout"]
    return found


def wait_state(first: OrreryRoot, *states: str, step: int | None = None) -> dict[str, Any]:
    """Where the rollout stands, once it is in one of these states (and in this step)."""
    last: list[dict[str, Any]] = []

    def reached() -> dict[str, Any] | None:
        last[:] = [rollout(first)]
        there = last[0]["state"] in states and step in (None, last[0]["step"])
        assert there or not last[0]["is_over"], last[0]
        return last[0] if there else None

    try:
        return eventually(reached, within_s=PATIENCE_S, what=" or ".join(states), every_s=0.2)
    except TimeoutError as error:
        error.add_note(f"it stands so: {last}")
        raise


NOBODY = "02:00:00:00:00:01"


def hide(other: Host, host: Host) -> None:
    """Let nothing that a host sends reach another."""
    host.ip("neigh", "replace", other.address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent")


def unhide(other: Host, host: Host) -> None:
    """Undo that."""
    host.ip("neigh", "delete", other.address, "dev", "eth0")


def held_ms(node: RealNode) -> int:
    """Timestamp of the planet that a node holds, by its file."""
    return World.decode(node.planet).timestamp_ms


def at(node: RealNode) -> str:
    """Where a node is reached."""
    return f"{node.host.address}/{node.port}"


def wait_live(node: RealNode, roots: Mapping[str, str]) -> None:
    """Wait until a node has a living path to each of these roots, and knows no other root.

    Args:
        node: The node.
        roots: The endpoint of each, by address.
    """

    def lives() -> bool:
        known = [peer for peer in node.peers().values() if peer["role"] == "PLANET"]
        paths = {
            root["address"]: {path["address"] for path in root["paths"] if path["active"]}
            for root in known
        }
        return paths == {address: {endpoint} for address, endpoint in roots.items()}

    name = node.host.name
    eventually(lives, within_s=30, what=f"{name} lives by {', '.join(roots)}")


class Pinging:
    """Pings from a host again and again until the end of the block, in a thread of its own.

    Attributes:
        sent: How many pings.
        lost: How many of them had no answer within a second.
        longest_ms: The longest time between two answers.
    """

    def __init__(self, host: Host, address: str) -> None:
        self.sent = self.lost = 0
        self.longest_ms = 0.0
        self._host, self._address = host, address
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pinging")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        answered_ms = wall_ms()
        while not self._ending.wait(0.1):
            self.sent += 1
            if self._host.ping(self._address) is None:
                self.lost += 1
                continue
            now_ms = wall_ms()
            self.longest_ms = max(self.longest_ms, now_ms - answered_ms)
            answered_ms = now_ms


class Leaves:
    """Starts real nodes with the planet of a home, each in a host of its own."""

    def __init__(self, lab: Lab, first: OrreryRoot, binary: Path) -> None:
        self._lab, self._first, self._binary = lab, first, binary

    def __call__(
        self, count: int, roots: Iterable[str], *, isolated: Iterable[int] = ()
    ) -> list[RealNode]:
        """Nodes with a path to each of these roots, of which the home knows what they hold.

        Args:
            count: How many.
            roots: Addresses.
            isolated: Those (from 0) that reach each other through a root only.
        """
        leaves = []
        for number in range(count):
            host = self._lab.host(f"leaf{number}", isolated=number in isolated)
            leaves.append(RealNode(host, self._binary, planet=self._first.planet).start())
        for leaf in leaves:
            for root in roots:
                leaf.wait_path(root)
        for leaf in leaves:
            self._first.wait_adopted(leaf.address, self._first.world)
        return leaves


@pytest.fixture
def start_leaves(lab: Lab, root: OrreryRoot, zerotier_one: Path) -> Leaves:
    """Starts nodes below the roots."""
    wish(root, replace=[('settle = "10s"', 'settle = "2s"')])
    return Leaves(lab, root, zerotier_one)


@pytest.fixture
def second(lab: Lab, root: OrreryRoot, start_leaves: Leaves) -> FurtherRoot:
    """A second root beside the first one; both serve."""
    second = FurtherRoot(root, lab.host("root2"), "root-2")
    wish(root, add=[second])
    root.publish()
    root.serve()
    return second.serve()


def two_more(lab: Lab, first: OrreryRoot) -> list[FurtherRoot]:
    """Two roots that do not serve yet."""
    return [FurtherRoot(first, lab.host(f"root{n}"), f"root-{n}") for n in (3, 4)]


def canary_first(canary: RealNode) -> tuple[str, str]:
    """What to change in orrery.toml."""
    return COHORTS, f'cohorts = [["{canary.address}"], "100%"]'


def test_roots_and_key_are_replaced_below_real_nodes(
    lab: Lab, root: OrreryRoot, second: FurtherRoot, start_leaves: Leaves, measured: Measured
) -> None:
    first = root
    leaves = start_leaves(4, [first.address, second.address], isolated=(1, 2))
    canary, leaf1, leaf2, sleeper = leaves
    awake = leaves[:3]
    processes = [leaf.daemon.pid for leaf in awake]
    # What leaf1 and leaf2 say to each other goes through a root all the time.
    network = Controller(canary).create_network()
    for leaf in (leaf1, leaf2):
        leaf.join(network)
    leaf1.wait_network(network)
    there = leaf2.wait_network(network)
    eventually(lambda: leaf1.host.ping(there), within_s=40, what="leaf2 answers leaf1")

    start = first.world
    third, fourth = two_more(lab, first)
    old, new = (first, second), (third, fourth)
    places = {each.address: each.endpoint for each in new}
    first.command("key", "rotate")
    wish(first, add=new, remove=[ROOT_NAME, second.name], replace=[canary_first(canary)])
    assert len(plan(first)["steps"]) == 2
    assert counted(first) == {leaf.address for leaf in leaves}
    sleeper.stop()

    with Pinging(leaf1.host, there) as pinging:
        began_ms = wall_ms()
        first.command("apply", "--yes", "--detach")
        # Nothing is published before the new roots answer.
        assert "answering" in wait_state(first, "waiting")["reason"]
        assert first.world == start
        killed = wait_conductor(old)
        third.serve()
        fourth.serve()
        # The canary has the step and is watched; who watches it is killed.
        killed.daemon.wait_line(r'"state": "settling"', within_s=PATIENCE_S)
        killed.daemon.kill()
        killed_ms = wall_ms()
        union_ms = rollout(first)["timestamp_ms"]
        assert held_ms(canary) == union_ms
        # The file for new nodes follows when everybody is given the step.
        assert leaf1.planet == leaf2.planet == first.planet == start.encode()
        wait_conductor(each for each in (*old, *new) if each is not killed)
        measured(
            "rollout: from kill -9 of the root that conducts until another does",
            f"{(wall_ms() - killed_ms) / 1000:.1f} s",
        )
        killed.serve()
        # All but the sleeper are given it; the step waits for the sleeper.
        waiting = wait_state(first, "waiting", step=1)
        assert "every counted node holds" in waiting["reason"]
        counts = [(each["counted"], each["adopted"]) for each in waiting["cohorts"]]
        assert counts == [(1, 1), (3, 2)]
        (missing,) = waiting["cohorts"][1]["missing"]
        assert missing["address"] == sleeper.address
        assert first.world.timestamp_ms == union_ms
        assert {leaf.planet for leaf in awake} == {first.planet}
        assert sleeper.planet == start.encode()

        woken_ms = wall_ms()
        sleeper.start()
        done = wait_state(first, "done")
        measured(
            "  from apply until a leaf that sleeps is all that it waits for; from then to the end",
            f"{(waiting['changed_ms'] - began_ms) / 1000:.1f} s; "
            f"{(done['ended_ms'] - woken_ms) / 1000:.1f} s",
        )
        final = first.world
        for leaf in leaves:
            assert leaf.planet == final.encode()
        kept = {each.identity.address for each in final.roots}
        assert kept == {each.identity.address for each in new}
        file_ms = [written_ms(leaf.home / "planet") - final.timestamp_ms for leaf in leaves]
        measured(
            "  last step, from its timestamp: planet file replaced, canary; others",
            f"{file_ms[0]:.0f} ms; {max(file_ms[1:]) / 1000:.1f} s",
        )

        for each in old:
            assert each.daemon.stop() == 0
        stopped_ms = wall_ms()
        for leaf in leaves:
            wait_live(leaf, places)
        eventually(lambda: leaf1.host.ping(there), within_s=60, what="leaf2 answers leaf1")
        measured(
            "  the old roots stop: leaves live by the new ones, relayed pings are answered",
            f"after {(wall_ms() - stopped_ms) / 1000:.1f} s",
        )
    measured(
        "  relayed pings meanwhile; of these without an answer; longest time without one",
        f"{pinging.sent}; {pinging.lost}; {pinging.longest_ms / 1000:.1f} s",
    )
    assert [leaf.daemon.pid for leaf in awake] == processes

    # The end is a beginning: nobody waits for the roots that are gone.
    assert first.planet == final.encode()
    first.command("key", "rotate")
    assert counted(first) == {leaf.address for leaf in leaves}
    first.command("apply", "--yes", "--detach")
    wait_state(first, "done")
    assert {leaf.planet for leaf in leaves} == {first.planet}
    sleeper.restart()
    wait_live(sleeper, places)
    sleeper.wait_online()


def test_a_canary_that_cannot_reach_the_new_roots_stops_it(
    lab: Lab, root: OrreryRoot, second: FurtherRoot, start_leaves: Leaves, measured: Measured
) -> None:
    leaves = start_leaves(3, [root.address, second.address])
    canary, *others = leaves
    start = root.planet
    new = [each.serve() for each in two_more(lab, root)]
    # A firewall that nobody thought of, before all nodes; the roots see each other.
    for leaf in leaves:
        for each in new:
            hide(each.host, leaf.host)
    root.command("key", "rotate")
    wish(root, add=new, remove=[ROOT_NAME, second.name], replace=[canary_first(canary)])
    root.command("apply", "--yes", "--detach")
    paused = wait_state(root, "paused")
    assert "came to a new endpoint" in paused["reason"]
    assert held_ms(canary) == paused["timestamp_ms"]
    assert {leaf.planet for leaf in others} == {start}
    measured(
        "a firewall before the new roots: from apply until the rollout pauses by itself",
        f"{(paused['changed_ms'] - paused['begun_ms']) / 1000:.1f} s",
    )
    root.command("rollback")
    assert rollout(root)["state"] == "rolled-back"
    back = root.world
    for leaf in leaves:
        leaf.wait_planet(root.planet)
    assert back.roots == World.decode(start).roots
    file_ms = [written_ms(leaf.home / "planet") - back.timestamp_ms for leaf in leaves]
    measured(
        "  rollback, from its timestamp: planet file of the canary; of the others",
        f"{file_ms[0]:.0f} ms; {max(file_ms[1:]) / 1000:.1f} s",
    )

    for leaf in leaves:
        for each in new:
            unhide(each.host, leaf.host)
    root.command("apply", "--yes", "--detach")
    done = wait_state(root, "done")
    assert {leaf.planet for leaf in leaves} == {root.planet}
    for old in (root, second):
        assert old.daemon.stop() == 0
    for leaf in leaves:
        wait_live(leaf, {each.address: each.endpoint for each in new})
    measured(
        "  the firewall is opened: the same plan, all nodes awake, from apply to the end",
        f"{(done['ended_ms'] - done['begun_ms']) / 1000:.1f} s",
    )


@pytest.fixture
def official(
    lab: Lab, root: OrreryRoot, start_leaves: Leaves, zerotier_one: Path, idtool: IdTool
) -> RealNode:
    """An official root beside the first one, which serves; orrery.toml says what it is."""
    host = lab.host("official")
    secret = idtool.generate()
    root.add_root("official", idtool.public(secret), [f"{host.address}/9993"])
    named = 'name = "official"\n'
    wish(root, replace=[(named, f'{named}software = "zerotier-one"\n')])
    root.publish()
    root.serve()
    official = RealNode(host, zerotier_one, planet=root.planet, identity=secret).start()
    official.wait_path(root.address)
    return official


def test_an_official_root_comes_last_and_is_updated_in_band(
    lab: Lab, root: OrreryRoot, official: RealNode, start_leaves: Leaves, measured: Measured
) -> None:
    leaves = start_leaves(2, [root.address, official.address])
    canary = leaves[0]
    process = official.daemon.pid
    new = FurtherRoot(root, lab.host("root2"), "root-2").serve()
    root.command("key", "rotate")
    wish(root, add=[new], remove=[ROOT_NAME], replace=[canary_first(canary)])
    steps = plan(root)["steps"]
    assert all(step["last"] == [official.address] for step in steps)
    assert not any(step["install_first"] or step["install_last"] for step in steps)

    root.command("apply", "--yes", "--detach")
    done = wait_state(root, "done")
    final = root.world
    assert {node.planet for node in (*leaves, official)} == {root.planet}
    # Whoever asks it gets what it has, so it gets nothing before everybody may.
    canary_ms, official_ms = (
        written_ms(node.home / "planet") - final.timestamp_ms for node in (canary, official)
    )
    assert canary_ms < official_ms
    measured(
        f"Orrery and an official root, a new key, another Orrery root: {len(steps)} steps",
        f"{(done['ended_ms'] - done['begun_ms']) / 1000:.1f} s",
    )
    measured(
        "  last step, from its timestamp: planet file of the canary; of the official root",
        f"{canary_ms:.0f} ms; {official_ms / 1000:.1f} s",
    )

    assert root.daemon.stop() == 0
    for leaf in leaves:
        wait_live(leaf, {new.address: new.endpoint, official.address: at(official)})
    wait_live(official, {new.address: new.endpoint})
    assert official.daemon.pid == process


@pytest.mark.parametrize("moved", ["address", "port"])
def test_the_only_root_moves(
    root: OrreryRoot, start_leaves: Leaves, measured: Measured, moved: str
) -> None:
    root.host.add_address(SECOND)
    wish(root, replace=[('"[::]:9993"', '"0.0.0.0:443"')])
    root.serve()
    leaves = start_leaves(3, [root.address])
    there = f"{SECOND}/9993" if moved == "address" else f"{root.host.address}/443"
    root.set_endpoints([there])
    assert len(plan(root)["steps"]) == 2
    root.command("apply", "--yes", "--detach")
    done = wait_state(root, "done")
    assert {leaf.planet for leaf in leaves} == {root.planet}
    measured(
        f"the only root gets another {moved}: 2 steps, from apply to the end",
        f"{(done['ended_ms'] - done['begun_ms']) / 1000:.1f} s",
    )
    for leaf in leaves:
        paths = {path["address"] for path in leaf.peers()[root.address]["paths"]}
        # Of another port a node takes no notice as long as the one that it uses answers.
        assert (there in paths) == (moved == "address")
