"""Which Worlds a node holds, and from whom it takes new ones (ZeroTierOne node/Topology.cpp)."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from orrery.errors import DecodeError, RefusalReason, UpdateRefused
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import Root, World, WorldType
from orrery.worlds.acceptance import check_update
from orrery.worlds.wording import describe_world


class StateObject(StrEnum):
    """What a node keeps on disk of its Worlds."""

    PLANET = "planet"
    MOON = "moon"


@dataclass(frozen=True, slots=True)
class StateWrite:
    """What the owner of a topology is to write to disk.

    Attributes:
        object: the planet file or the file of a moon.
        world_id: of which World.
        data: the new content, None to delete the file.
    """

    object: StateObject
    world_id: int
    data: bytes | None


class Topology:
    """The planet and the moons of one node, by the node's own rules.

    It does no I/O: what is to be written comes back from each change. It starts without a planet;
    call `start` once.

    Args:
        identity: of the node itself, which is not its own upstream.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._planet: World | None = None
        self._moons: list[World] = []
        self._awaited: list[tuple[int, Address]] = []
        self._upstreams: tuple[Address, ...] = ()
        self._is_root = False

    @property
    def planet(self) -> World | None:
        """The planet held, None before the start of a node without a built-in one."""
        return self._planet

    @property
    def moons(self) -> tuple[World, ...]:
        """The moons held."""
        return tuple(self._moons)

    @property
    def awaited(self) -> tuple[tuple[int, Address], ...]:
        """Moons wanted but not held, each with the seed which is asked for it."""
        return tuple(self._awaited)

    @property
    def moons_wanted(self) -> tuple[int, ...]:
        """Ids of the moons that are awaited, each once."""
        return tuple(dict.fromkeys(world_id for world_id, _ in self._awaited))

    @property
    def upstreams(self) -> tuple[Address, ...]:
        """Addresses of all roots of planet and moons but the node itself, in ascending order."""
        return self._upstreams

    @property
    def is_root(self) -> bool:
        """Whether the node itself is a root of one of its Worlds."""
        return self._is_root

    def roots(self) -> Iterator[Root]:
        """The roots of the planet, then those of the moons, the node itself left out."""
        for world in (self._planet, *self._moons):
            for root in world.roots if world is not None else ():
                if root.identity != self._identity:
                    yield root

    def endpoints_of(self, address: Address) -> tuple[Endpoint, ...]:
        """Where the Worlds say that a root is to be found, each place once."""
        places: dict[Endpoint, None] = {}
        for root in self.roots():
            if root.identity.address == address:
                places.update(dict.fromkeys(root.endpoints))
        return tuple(places)

    def accepts_updates_from(self, address: Address) -> bool:
        """Whether Worlds from this node are looked at: it is an upstream, or a seed."""
        return address in self._upstreams or any(seed == address for _, seed in self._awaited)

    def start(self, stored: bytes | None, built_in: World | None) -> tuple[StateWrite, ...]:
        """Take the planet at the start of a node.

        A stored planet is not verified. One that cannot be read, or is no planet, is ignored;
        the built-in planet then takes its place, on disk too.

        Args:
            stored: content of the planet file, None if there is none.
            built_in: the planet that the software brings along.
        """
        writes = []
        if stored is not None:
            with suppress(DecodeError, UpdateRefused):
                writes.append(self.add_world(World.decode(stored)))
        if built_in is not None:
            with suppress(UpdateRefused):
                writes.append(self.add_world(built_in))
        return tuple(writes)

    def add_world(self, world: World, *, always_accept_new: bool = False) -> StateWrite:
        """Take a World that was handed over.

        The caller asks `accepts_updates_from` first.

        Args:
            world: planet or moon.
            always_accept_new: take an unknown moon without being asked for it.

        Raises:
            UpdateRefused: the node would not take it, and nothing has changed.
        """
        if world.type == WorldType.NULL:
            raise UpdateRefused(
                f"a node takes neither planet nor moon from a {describe_world(world)}",
                RefusalReason.NULL_TYPE,
            )
        if world.type == WorldType.PLANET:
            check_update(self._planet, world)
            self._planet = world
        else:
            self._add_moon(world, always_accept_new=always_accept_new)
        self._remember_upstreams()
        return StateWrite(
            StateObject.PLANET if world.type == WorldType.PLANET else StateObject.MOON,
            world.id,
            world.encode(),
        )

    def orbit(
        self, world_id: int, seed: Address | None, stored: bytes | None = None
    ) -> tuple[StateWrite, ...]:
        """Want a moon.

        Args:
            world_id: id of the moon.
            seed: one of its roots, which is asked for it; None to use the stored file only.
            stored: content of the moon's file, None if there is none. It is not verified.
        """
        if stored is not None:
            try:
                moon = World.decode(stored)
            except DecodeError:
                moon = None
            if moon is not None and moon.type == WorldType.MOON and moon.id == world_id:
                try:
                    return (self.add_world(moon, always_accept_new=True),)
                except UpdateRefused:
                    return ()
        if seed and (world_id, seed) not in self._awaited:
            self._awaited.append((world_id, seed))
        return ()

    def deorbit(self, world_id: int) -> tuple[StateWrite, ...]:
        """Want a moon no more, whether it is held or awaited."""
        held = any(moon.id == world_id for moon in self._moons)
        self._moons = [moon for moon in self._moons if moon.id != world_id]
        self._awaited = [wish for wish in self._awaited if wish[0] != world_id]
        self._remember_upstreams()
        return (StateWrite(StateObject.MOON, world_id, None),) if held else ()

    def _add_moon(self, moon: World, *, always_accept_new: bool) -> None:
        for index, held in enumerate(self._moons):
            if held.id == moon.id:
                check_update(held, moon)
                self._moons[index] = moon
                return
        if not always_accept_new:
            addresses = {root.identity.address for root in moon.roots}
            for wish in self._awaited:
                if wish[0] == moon.id and wish[1] in addresses:
                    self._awaited.remove(wish)
                    break
            else:
                raise UpdateRefused(
                    f"a node takes {describe_world(moon)} only after it was told to orbit it "
                    "with one of its roots as the seed",
                    RefusalReason.NOT_AWAITED,
                )
        self._moons.append(moon)

    def _remember_upstreams(self) -> None:
        worlds = (self._planet, *self._moons)
        self._is_root = any(
            root.identity == self._identity
            for world in worlds
            if world is not None
            for root in world.roots
        )
        self._upstreams = tuple(sorted({root.identity.address for root in self.roots()}))
