"""Folders of other people's tools, as they are on the machines of those who have a fleet.

Made from the field lists of the formats and from what the real tools wrote (worlds.json).
"""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.signature import SigningKey
from orrery.wire.world import EARTH_ID, Root, World, WorldType
from orrery.worlds.earth import EARTH
from orrery.worlds.pitfalls import MKWORLD_TIMESTAMP_MS
from tests.unit.store.making import NOW_MS, identity, key

MADE_MS = NOW_MS - 90 * 86_400_000
"""When a fleet was made: some months ago."""
PLACE = "203.0.113.7/9994"
NETWORK = "8056c2e21c000001"
KEY = key(1)
ROOT = identity(0)


@dataclass(frozen=True)
class Maker:
    """What a World is made of; each test changes one thing."""

    signer: SigningKey = KEY
    names: SigningKey | None = None
    root: Identity = ROOT
    places: Sequence[str] = (PLACE,)
    timestamp_ms: int = MADE_MS
    world_id: int = EARTH_ID
    type: WorldType = WorldType.PLANET

    def world(self) -> World:
        """The World, signed."""
        places = tuple(Endpoint.parse_as_node(place) for place in self.places)
        return World(
            type=self.type,
            id=self.world_id,
            timestamp_ms=self.timestamp_ms,
            updates_must_be_signed_by=(self.names or self.signer).public,
            roots=(Root(self.root.public(), places),),
        ).sign(self.signer)

    def moon_json(self) -> dict[str, Any]:
        """What idtool has made it from."""
        moon = self.type is WorldType.MOON
        return {
            "id": f"{self.world_id:0{10 if moon else 16}x}",
            "objtype": "world",
            "roots": [{"identity": str(self.root.public()), "stableEndpoints": list(self.places)}],
            "signingKey": self.signer.public.hex(),
            "signingKey_SECRET": self.signer.private.hex(),
            "updatesMustBeSignedBy": (self.names or self.signer).public.hex(),
            "worldType": "moon" if moon else "planet",
        }

    def mkworld_config(self, **changes: Any) -> dict[str, Any]:
        """What ztmkworld has made it from."""
        return {
            "rootNodes": [
                {
                    "comments": "custom planet",
                    "identity": str(self.root.public()),
                    "endpoints": list(self.places),
                }
            ],
            "signing": ["previous.c25519", "current.c25519"],
            "output": "planet.custom",
            "plID": self.world_id,
            "plBirth": self.timestamp_ms,
            "plRecommend": False,
            **changes,
        }


def put(path: Path, content: bytes | str | dict[str, Any], mode: int = 0o644) -> Path:
    """Put a file in place, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content, indent=1)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def node_home(path: Path, who: Identity | None = None, *, planet: World | None = EARTH) -> Path:
    """What zerotier-one has in its home."""
    who = who or identity(0)
    put(path / "identity.secret", who.to_string(secret=True), 0o600)
    put(path / "identity.public", str(who.public()))
    put(path / "authtoken.secret", "0123456789abcdefghijklmn", 0o600)
    put(path / "zerotier-one.port", PLACE.rpartition("/")[2])
    put(path / "peers.d" / "1d20dc2a8e.peer", b"\x01" + bytes(200))
    put(path / "networks.d" / f"{NETWORK}.conf", b"")
    if planet is not None:
        put(path / "planet", planet.encode())
    return path


def controller(home: Path, networks: int = 1) -> None:
    """Let the node of this home be a network controller."""
    for number in range(networks):
        network = f"{int(NETWORK, 16) + number:016x}"
        put(home / "controller.d" / "network" / f"{network}.json", {"id": network})
        put(home / "controller.d" / "network" / network / "member" / "1d20dc2a8e.json", "{}")
    put(home / "controller.d" / "trace" / "1.json", "{}")


def docker_planet(
    path: Path, planet: Maker | None = None, *, with_moon: bool = True, mode: int = 0o600
) -> Path:
    """The data of docker-zerotier-planet: the node in `one`, what nodes fetch in `dist`."""
    planet = planet or Maker()
    root = planet.root
    moon = Maker(
        signer=planet.signer,
        root=root,
        places=planet.places,
        timestamp_ms=planet.timestamp_ms - 1000,
        world_id=root.address,
        type=WorldType.MOON,
    )
    home = node_home(path / "one", root)
    put(home / "moon.json", moon.moon_json(), mode)
    put(home / "planet.json", planet.moon_json(), mode)
    put(path / "dist" / "planet", planet.world().encode())
    if with_moon:
        name = f"{moon.world_id:016x}.moon"
        for place in (home, home / "moons.d", path / "dist"):
            put(place / name, moon.world().encode())
    put(path / "config" / "zerotier-one.port", "9994\n")
    put(path / "config" / "file_server.key", "ab" * 32, 0o600)
    return path


def ztnet_home(path: Path, planet: Maker | None = None) -> Path:
    """The zerotier-one home that ztnet works on."""
    planet = planet or Maker(places=("203.0.113.7/9993",))
    home = node_home(path, planet.root, planet=planet.world())
    put(home / "zerotier-one.port", "9993")
    put(home / "planet_backup" / "planet.bak.2024_01_01", EARTH.encode())
    mkworld_folder(home / "zt-mkworld", planet)
    return home


def mkworld_folder(path: Path, planet: Maker | None = None, mode: int = 0o600) -> Path:
    """Where ztmkworld ran."""
    planet = planet or Maker()
    put(path / "mkworld.config.json", planet.mkworld_config())
    put(path / "previous.c25519", planet.signer.encode(), mode)
    put(path / "current.c25519", (planet.names or planet.signer).encode(), mode)
    put(path / "planet.custom", planet.world().encode())
    return path


def cpp_folder(path: Path, planet: Maker | None = None) -> Path:
    """Where mkworld of ZeroTierOne ran, with its fixed timestamp."""
    planet = planet or Maker(timestamp_ms=MKWORLD_TIMESTAMP_MS)
    put(path / "previous.c25519", planet.signer.encode(), 0o600)
    put(path / "current.c25519", (planet.names or planet.signer).encode(), 0o600)
    put(path / "world.bin", planet.world().encode())
    return path


def zipped(folder: Path, path: Path, mode: int = 0o600) -> Path:
    """A zip of a folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            archive.write(file, file.relative_to(folder))
    path.chmod(mode)
    return path
