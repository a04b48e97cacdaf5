"""Where a datagram came from or goes to."""

from __future__ import annotations

from typing import NamedTuple

from orrery.wire.endpoint import Endpoint

ANY_SOCKET = -1
"""Whichever of our sockets can send to the endpoint."""


class Path(NamedTuple):
    """An endpoint of somebody else, as seen from one of our sockets.

    Attributes:
        endpoint: the other's address and port.
        socket: number of our socket; what it means is up to whoever owns the sockets.
    """

    endpoint: Endpoint
    socket: int = 0

    def __str__(self) -> str:
        return str(self.endpoint)
