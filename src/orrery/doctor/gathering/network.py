"""What is to be seen of roots from here, and what stands in their way on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
import socket
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from orrery.doctor.snapshot import Listener, Network
from orrery.home import Home
from orrery.rollout.places import Place, places_of
from orrery.server.witnesses import Answers, ask_roots
from orrery.wire.endpoint import Endpoint, Scope
from orrery.wire.identity import Identity
from orrery.wire.verbs import WorldHeld
from orrery.wire.world import World, WorldType

PATIENCE_S = 3.0
"""How long roots have to answer."""
_TEMPORARY = 0x01
_DEPRECATED = 0x20
_TENTATIVE = 0x40
"""Flags of addresses (linux/if_addr.h)."""


def look_at_network(
    home: Home,
    worlds: Collection[World],
    identity: Identity | None,
    listen: Iterable[Endpoint],
    *,
    is_served: bool,
) -> Network:
    """Ask roots, and look around on this machine.

    Args:
        home: The home.
        worlds: The newest revisions.
        identity: The own root's.
        listen: Where its server is to receive.
        is_served: Whether that server runs.
    """
    listed = places_of(root for world in worlds for root in world.roots)
    asked = frozenset(place for place in listed if _has_route(place.endpoint))
    own = frozenset(
        place for place in asked if identity is not None and place.identity == identity.public()
    )
    planet = next((world for world in worlds if world.type is WorldType.PLANET), None)
    # Who says to hold nothing newer is told the newest, and all that leads there.
    held = WorldHeld(0, 0) if planet is None else WorldHeld(planet.id, 0)
    ours, theirs = asyncio.run(_ask(own, asked - own, held))
    handed = [
        world.timestamp_ms for world in ours.worlds if planet is not None and world.id == planet.id
    ]
    return Network(
        asked=asked,
        answered=ours.places | theirs.places,
        held_ms=max(handed, default=None),
        local=frozenset(place.endpoint.ip for place in listed if _is_local(place.endpoint)),
        heard_at_ms=_heard_at_ms(home, identity),
        listeners=tuple(_listeners(listen, is_served=is_served)),
        firewall=_firewall(),
        own_ipv6=_own_ipv6(listed, own),
    )


async def _ask(
    own: Collection[Place], others: Collection[Place], held: WorldHeld
) -> tuple[Answers, Answers]:
    return await asyncio.gather(
        ask_roots(own, held, PATIENCE_S), ask_roots(others, held, PATIENCE_S)
    )


def _heard_at_ms(home: Home, identity: Identity | None) -> int:
    """When the own root heard a node last."""
    if identity is None:
        return 0
    return max(
        (
            hearing.last_at_ms
            for hearing in home.store.movements(0).hearings
            if hearing.root == identity.address
        ),
        default=0,
    )


def _address(endpoint: Endpoint, port: int) -> tuple[int, tuple[str, int]]:
    family = socket.AF_INET if endpoint.family == 4 else socket.AF_INET6
    return family, (endpoint.host, port)


def _has_route(endpoint: Endpoint) -> bool:
    """Whether this machine knows a way there; no packet is sent."""
    family, address = _address(endpoint, endpoint.port)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
    except OSError:
        return False
    return True


def _is_local(endpoint: Endpoint) -> bool:
    """Whether an address is one of this machine."""
    family, address = _address(endpoint, 0)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True


# Who else is there


def _listeners(listen: Iterable[Endpoint], *, is_served: bool) -> Iterator[Listener]:
    """Who receives where the server is to: itself, where it runs."""
    for endpoint in listen:
        if is_served or _is_taken(endpoint):
            program, process = _who_receives(endpoint)
            if process or not is_served:
                yield Listener(endpoint, program, process)


def _is_taken(endpoint: Endpoint) -> bool:
    family, address = _address(endpoint, endpoint.port)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _who_receives(endpoint: Endpoint) -> tuple[str, int]:
    """The program that has a UDP port, as far as /proc tells; empty and 0 where it does not."""
    table = Path("/proc/net/udp" if endpoint.family == 4 else "/proc/net/udp6")
    sockets = set()
    with contextlib.suppress(OSError):
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == endpoint.port:
                sockets.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        # Others' processes are out of sight for whoever is not root, and some are gone by now.
        with contextlib.suppress(OSError):
            if any(str(each.readlink()) in sockets for each in (process / "fd").iterdir()):
                return (process / "comm").read_text().strip(), int(process.name)
    return "", 0


def _firewall() -> str:
    """The program by which the firewall of this machine is managed, empty for none."""
    with contextlib.suppress(OSError):
        if shutil.which("ufw") and "ENABLED=yes" in Path("/etc/ufw/ufw.conf").read_text():
            return "ufw"
    if shutil.which("firewall-cmd") and Path("/run/firewalld.pid").exists():
        return "firewall-cmd"
    return ""


def _own_ipv6(listed: Iterable[Place], own: Collection[Place]) -> Endpoint | None:
    """A lasting public IPv6 address of this machine, at the port of its root.

    Nothing where the own root is elsewhere, or where an IPv6 address is listed already.
    """
    ports = [place.endpoint.port for place in sorted(own)]
    if not ports or any(place.endpoint.family == 6 for place in listed):
        return None
    try:
        table = Path("/proc/net/if_inet6").read_text()
    except OSError:
        return None
    return lasting_ipv6(table, ports[0])


def lasting_ipv6(table: str, port: int) -> Endpoint | None:
    """The first public address that stays, of those that /proc/net/if_inet6 lists.

    Args:
        table: address, index, length of the prefix, scope and flags in hex, and interface a line.
        port: for the endpoint.
    """
    for line in sorted(table.splitlines()):
        digits, _, _, _, flags, name = line.split()
        endpoint = Endpoint(bytes.fromhex(digits), port)
        stays = not int(flags, 16) & (_TEMPORARY | _DEPRECATED | _TENTATIVE)
        if stays and endpoint.scope is Scope.GLOBAL and not name.startswith("zt"):
            return endpoint
    return None
