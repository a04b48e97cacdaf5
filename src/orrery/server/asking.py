"""An asker on sockets of its own, which roots hear as they hear any stranger."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable

from orrery.rollout.places import Place
from orrery.server.clock import Clock
from orrery.server.udp import UdpSockets
from orrery.vl1.asker import Asker
from orrery.vl1.events import PlaceAnswered
from orrery.vl1.path import Path
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.verbs import WorldHeld

_ANYWHERE = (Endpoint(bytes(4), 0), Endpoint(bytes(16), 0))


class AskingLine:
    """Asks roots at their places from ports of its own, until it is closed.

    Args:
        identity: of the asker, with its secret; see `Asker`.
        clock: tells the steady time.
        on_answer: told of each answer.
    """

    def __init__(
        self, identity: Identity, clock: Clock, on_answer: Callable[[PlaceAnswered], None]
    ) -> None:
        self._clock = clock
        self._on_answer = on_answer
        self._asker = Asker(identity, os.urandom)
        self._sockets = UdpSockets(_ANYWHERE, self._on_datagram, self._flush)
        self._loop = asyncio.get_running_loop()
        for bound in self._sockets.sockets:
            self._loop.add_reader(bound.fileno(), self._sockets.receive, bound)

    def ask(self, wanted: Iterable[tuple[Place, WorldHeld]]) -> None:
        """Ask each once, and say what we hold: a root that holds a newer one sends it."""
        now_ms = self._clock.now_ms()
        for (root, endpoint), held in wanted:
            self._asker.ask(root, endpoint, now_ms, held)
        self._flush()

    def close(self) -> None:
        """Close the sockets."""
        for bound in self._sockets.sockets:
            self._loop.remove_reader(bound.fileno())
        self._sockets.close()

    def _on_datagram(self, datagram: bytes, path: Path) -> None:
        self._asker.receive(datagram, path, self._clock.now_ms())

    def _flush(self) -> None:
        output = self._asker.drain()
        for datagram, path in output.datagrams:
            self._sockets.send(datagram, path)
        for event in output.events:
            if isinstance(event, PlaceAnswered):
                self._on_answer(event)
