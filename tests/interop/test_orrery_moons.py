"""Moons that Orrery serves, and real nodes that orbit them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orrery.wire.world import World
from tests.interop.lab import eventually
from tests.interop.orreryroot import OrreryRoot, wall_ms, written_ms
from tests.interop.realnode import RealNode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.conftest import Measured
    from tests.interop.lab import Lab
    from tests.interop.orreryroot import Published
    from tests.interop.realnode import IdTool

pytestmark = pytest.mark.interop

WORLD_ID = 0xDC2BC199E3A5A08C


def wait_moon(
    root: OrreryRoot, node: RealNode, moon_id: str, published: Published
) -> tuple[float, float]:
    """Milliseconds from the revision's timestamp to the file, and to the adoption."""
    node.wait_moon(moon_id, published.encoded)
    file_ms = written_ms(node.home / "moons.d" / f"{moon_id:0>16}.moon")
    adopted = root.wait_adopted(node.address, published.world)
    return file_ms - published.timestamp_ms, adopted.at_ms - published.timestamp_ms


def test_a_moon_beside_our_planet(
    lab: Lab, root: OrreryRoot, zerotier_one: Path, measured: Measured
) -> None:
    moon_id = root.add_moon("moon", [f"{root.host.address}/9993"])
    root.command("key", "new", "--world", "moon")
    first = root.publish("moon")
    assert root.moon(moon_id) == first.encoded
    # A node tells which moons it wants in its next HELLO, which is due every 225 s, or every 5 s
    # while no root answers.
    leaf = RealNode(lab.host("leaf"), zerotier_one, planet=root.planet).start()
    leaf.orbit(root.address, root.address)
    root.serve()
    wait_moon(root, leaf, moon_id, first)
    assert leaf.moons()[moon_id]["timestamp"] == first.timestamp_ms

    root.set_endpoints([f"{root.host.address}/9993", f"{root.host.address}/443"], world="moon")
    second = root.publish("moon")
    file_ms, adopted_ms = wait_moon(root, leaf, moon_id, second)
    measured(
        "an update of a moon: file replaced; adoption recorded",
        f"{file_ms:.0f} ms; {adopted_ms:.0f} ms",
    )
    third = root.rotate("moon")
    wait_moon(root, leaf, moon_id, third)
    # The planet beside it goes its own way.
    fourth = root.rotate("planet")
    leaf.wait_planet(fourth.encoded)
    assert leaf.moon(moon_id) == third.encoded

    leaf.stop()
    last = root.rotate("moon")
    leaf.start()
    wait_moon(root, leaf, moon_id, last)


@pytest.mark.parametrize("around", ["our planet", "an official planet"])
def test_a_moon_with_a_root_of_its_own(
    lab: Lab, zerotier_one: Path, idtool: IdTool, measured: Measured, around: str
) -> None:
    """`orrery init --moon`: the moon's root is found through the roots of the leaf's planet."""
    host = lab.host("root")
    ours = OrreryRoot(host) if around == "our planet" else None
    if ours is not None:
        ours.serve()
        planet = ours.planet
    else:
        secret = idtool.generate()
        spec = idtool.planet_spec(WORLD_ID, {secret: [f"{host.address}/9993"]})
        planet = idtool.genmoon(spec)
        RealNode(host, zerotier_one, planet=planet, identity=secret).start()
    seed = OrreryRoot(lab.host("seed"), init=["--moon"])
    (seed.home / "planet").write_bytes(planet)
    seed.serve()
    leaf = RealNode(lab.host("leaf"), zerotier_one, planet=planet).start()
    leaf.wait_path(f"{World.decode(planet).roots[0].identity.address:010x}")

    first = seed.moon(seed.address)
    began_ms = wall_ms()
    leaf.orbit(seed.address, seed.address)
    leaf.wait_moon(seed.address, first)
    took_s = (wall_ms() - began_ms) / 1000
    measured(f"on {around}, from orbit by a seed not known before to its moon", f"{took_s:.1f} s")
    seed.wait_adopted(leaf.address, World.decode(first))
    leaf.wait_path(seed.address)
    second = seed.rotate("moon")
    file_ms, adopted_ms = wait_moon(seed, leaf, seed.address, second)
    measured(
        "  an update of that moon: file replaced; adoption recorded",
        f"{file_ms:.0f} ms; {adopted_ms:.0f} ms",
    )
    if ours is not None:
        # The moon's root lives on the planet as others do, and takes its updates.
        published = ours.rotate()
        ours.wait_adopted(seed.address, published.world)
        eventually(
            lambda: seed.planet == published.encoded,
            within_s=10,
            what="the moon's root has the planet's update",
        )
