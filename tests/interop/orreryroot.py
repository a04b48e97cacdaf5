"""Orrery under test conditions: a home, and its server in a host of the lab.

    root = OrreryRoot(lab.host("root")).serve()
    leaf = RealNode(lab.host("leaf"), zerotier_one, planet=root.planet).start()
    root.set_endpoints(["10.77.1.1/9993", "10.77.1.2/9993"])
    published = root.publish()

Everything is done as a person does it, by the commands, each in a process of its own.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from orrery.home.document import SettingsEditor
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import World
from tests.interop.lab import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.interop.lab import Daemon, Host
    from tests.interop.realnode import RealNode

COMMAND = (str(Path(sys.executable).with_name("orrery")),)
ROOT_NAME = "root-1"


def wall_ms() -> float:
    """Milliseconds since 1970, of which all hosts of a lab have the same."""
    return time.time_ns() / 1e6


def orrery(*arguments: str | Path, status: int = 0) -> str:
    """What a command writes to standard output; it must end with `status`."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    told = f"orrery {' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.returncode == status, told
    return done.stdout


class Published(NamedTuple):
    """A revision that `orrery publish` made.

    Attributes:
        world: The World.
        encoded: Its bytes.
        began_ms: When the command began.
        ended_ms: When it ended.
    """

    world: World
    encoded: bytes
    began_ms: float
    ended_ms: float

    @property
    def timestamp_ms(self) -> int:
        """Of the World."""
        return self.world.timestamp_ms


class Adopted(NamedTuple):
    """What the home knows of a node that holds a World.

    Attributes:
        timestamp_ms: Which revision.
        at_ms: Since when that is known.
        how: How it became known.
    """

    timestamp_ms: int
    at_ms: int
    how: str


class OrreryRoot:
    """A home of Orrery, and `orrery serve` in a host.

    Args:
        host: Where it serves.
        endpoints: What its World lists; port 9993 of the host's address when not given.
        init: More arguments of `orrery init`.

    Attributes:
        host: Where it serves.
        home: The home directory.
    """

    def __init__(
        self, host: Host, endpoints: Sequence[str] = (), *, init: Sequence[str | Path] = ()
    ) -> None:
        self.host = host
        self.home = host.directory / "orrery"
        self._daemon: Daemon | None = None
        wanted = list(endpoints) or [f"{host.address}/9993"]
        listed = [part for endpoint in wanted for part in ("--endpoint", endpoint)]
        self.command("init", *listed, *init)

    def command(self, *arguments: str | Path, status: int = 0) -> str:
        """What a command on this home writes to standard output."""
        return orrery(*arguments, "--home", self.home, status=status)

    # Its server

    def serve(self, *options: str) -> Self:
        """Start `orrery serve` and wait until it serves."""
        self._daemon = self.host.run(
            [*COMMAND, "serve", "--home", str(self.home), *options], cwd=self.home
        )
        self._daemon.wait_line(r'"event": "serving"', within_s=20)
        return self

    def stop(self, *, within_s: float = 20) -> int:
        """Stop it as an init system does; its exit status."""
        self.daemon.signal(signal.SIGTERM)
        return self.daemon.wait(within_s=within_s)

    @property
    def daemon(self) -> Daemon:
        """Its process, the last one if it was started repeatedly."""
        assert self._daemon is not None, f"{self.host.name} never served"
        return self._daemon

    # Its files

    @property
    def identity(self) -> Identity:
        """Of the root, with its secret."""
        return Identity.from_string((self.home / "identity.secret").read_text().strip())

    @property
    def address(self) -> str:
        """Of the root, as ZeroTier writes it."""
        return f"{self.identity.address:010x}"

    @property
    def planet(self) -> bytes:
        """The planet to give to nodes."""
        return (self.home / "planet").read_bytes()

    @property
    def world(self) -> World:
        """The planet, newest revision."""
        return World.decode(self.planet)

    def moon(self, moon_id: str) -> bytes:
        """The moon to give to nodes."""
        return (self.home / "moons.d" / f"{moon_id:0>16}.moon").read_bytes()

    # What is wanted

    def set_endpoints(
        self, endpoints: Sequence[str], *, world: str = "planet", root: str = ROOT_NAME
    ) -> None:
        """Change `endpoints` of a root in orrery.toml."""
        settings = self.home / "orrery.toml"
        editor = SettingsEditor(settings.read_text())
        editor.set_endpoints(world, root, [Endpoint.from_text(text) for text in endpoints])
        settings.write_text(editor.text())

    def add_root(
        self, name: str, identity: str, endpoints: Sequence[str], *, world: str = "planet"
    ) -> None:
        """Add a root to a World in orrery.toml."""
        settings = self.home / "orrery.toml"
        editor = SettingsEditor(settings.read_text())
        editor.add_root(
            world,
            name,
            Identity.from_string(identity),
            [Endpoint.from_text(text) for text in endpoints],
        )
        settings.write_text(editor.text())

    def add_moon(self, name: str, endpoints: Sequence[str]) -> str:
        """Write a moon of this root into orrery.toml, as a person would; its id of 16 digits."""
        moon_id = f"{self.address:0>16}"
        with (self.home / "orrery.toml").open("a") as settings:
            settings.write(
                f"""
[[world]]
name = "{name}"
kind = "moon"
id = "{moon_id}"

[[world.root]]
name = "{ROOT_NAME}"
identity = "{self.identity.public()}"
endpoints = {json.dumps(list(endpoints))}
"""
            )
        return moon_id

    def publish(self, *arguments: str) -> Published:
        """`orrery publish`."""
        began_ms = wall_ms()
        told: Mapping[str, Any] = json.loads(self.command("publish", *arguments, "--json"))
        ended_ms = wall_ms()
        world_file = told["file"]
        with open(world_file, "rb") as file:  # noqa: PTH123 - a name that a command told
            encoded = file.read()
        world = World.decode(encoded)
        assert world.timestamp_ms == told["timestamp_ms"]
        return Published(world, encoded, began_ms, ended_ms)

    def rotate(self, world: str = "planet", *arguments: str) -> Published:
        """Make a new signing key, and publish the revision that names it."""
        self.command("key", "new", "--world", world)
        return self.publish(world, *arguments)

    # What it knows

    def adopted(self, node: str, world_id: int) -> Adopted | None:
        """What the home knows of what a node holds, by `orrery nodes --json`."""
        told = json.loads(self.command("nodes", "--json", "--address", node))
        for found in told:
            for held in found["worlds"]:
                if held["id"] == f"{world_id:016x}":
                    return Adopted(held["timestamp_ms"], held["known_at_ms"], held["how"])
        return None

    def knows(self, node: RealNode) -> bool:
        """Whether its newest planet is known to be held by a node."""
        held = self.adopted(node.address, self.world.id)
        return held is not None and held.timestamp_ms == self.world.timestamp_ms

    def wait_adopted(self, node: str, world: World, *, within_s: float = 30.0) -> Adopted:
        """Wait until the home knows that a node holds a revision."""

        def known() -> Adopted | None:
            held = self.adopted(node, world.id)
            return held if held and held.timestamp_ms == world.timestamp_ms else None

        return eventually(
            known, within_s=within_s, what=f"{node} is known to hold {world.timestamp_ms}"
        )


def written_ms(file: Path) -> float:
    """When a file was written last; the kernel's clock for files ticks every few milliseconds."""
    return file.stat().st_mtime_ns / 1e6


def planet_times(
    published: Published, root: OrreryRoot, leaf: RealNode, *, within_s: float = 30
) -> tuple[float, float]:
    """Milliseconds from a revision's timestamp to the leaf's planet file, and to `adopted`."""
    leaf.wait_planet(published.encoded, within_s=within_s)
    file_ms = written_ms(leaf.home / "planet") - published.timestamp_ms
    adopted = root.wait_adopted(leaf.address, published.world)
    return file_ms, adopted.at_ms - published.timestamp_ms
