"""Time-lapse: a fake network in which the rounds of idle leaves are reckoned instead of sent.

A leaf looks after its roots every 5 s for as long as it lives. Nearly all of that is idle: it asks
its best root who a root is, which it knows, and says HELLO to each root every 225 s, which tells
nothing that the root does not know. For 2,000 nodes and a week that is half a billion packets. Here
such a round (`LeafNode.tick` and all packets that come of it) is left out if, and only if, nothing
of it would change what anybody holds, what anybody knows others to hold, or who has a path to whom.
What it does change (when who was heard last, what a NAT keeps open) is written into leaf, root and
NAT before anybody looks at them again. All other rounds are real: real packets between the real
`LeafNode` and `RootNode`.

A round is idle when each packet of it goes either

- to a root that is *content* with the leaf: it runs at the place that the leaf sends to, has the
  leaf's present endpoint as a confirmed path, knows what the leaf holds, and its table has nothing
  for it. What it gets it answers, and the answer brings nothing; or
- nowhere: to a place where nothing runs. Silence makes a leaf forget paths and turn to another root
  after a while; that is reckoned round by round, by the methods of the real `LeafPeer`.

A leaf is *steady* when all its rounds are idle and it asks the root that it would ask in the long
run too: then it is not even looked at until something happens. What may happen is that a packet
arrives at it, that it falls asleep or wakes, or a disturbance: another table at a root, a root that
goes down or comes up, a place that is opened or closed. A disturbance has every leaf reckoned up to
its time first, by how things were, and looked at again at its next round, by how they are then.

Left out as well, as nothing else hangs on it: HELLO between roots and housekeeping of roots. In the
minute after a disturbance it is all there: roots find each other, and after the end of a root or a
place call the nodes that fell silent by it.

What is not the same:

- In an idle round no packet is lost. When HELLO to a root is lost, or its answer, that root has no
  path to the leaf until the next one, 225 s later; here it has, should a revision come just then. A
  leaf's best root is asked every 5 s, never loses its path, and hands the revision over either way.
- A packet of a round left out that would be on its way just when a root comes up or goes down has
  the luck of its start, not of its arrival: the leaf meets the change one round later or earlier.
- The latency of a root, by which a leaf chooses the best one, is not measured anew in idle rounds.

`FakeNetwork` is the same without any of this; tests hold the one against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from orrery.lab.network import START_MS, FakeNetwork, Host, Link, Nat
from orrery.vl1.leaf import CHECK_INTERVAL_MS, UPSTREAM_HELLO_MS, LeafNode
from orrery.vl1.leaf_peer import FULL_HELLO_MS, LeafPeer
from orrery.vl1.path import Path
from orrery.vl1.root import RootNode
from orrery.vl1.root_peer import RootPeer
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint

RESTLESS_MS = 60_000
"""Roots do their housekeeping for so long after a disturbance."""
HELLO_ROUND_MS = (UPSTREAM_HELLO_MS // CHECK_INTERVAL_MS + 1) * CHECK_INTERVAL_MS
"""How often a leaf that is left in peace says HELLO to a root."""
_NEVER_MS = 1 << 62


class LapsedRoot(RootNode):
    """A root that tells what it knows of a node, and rests unless it is disturbed."""

    __slots__ = ("before_calling", "restless_until_ms", "settle")

    before_calling: Callable[[], bool]
    restless_until_ms: int
    settle: Callable[[], None]

    def peer_of(self, address: Address) -> RootPeer | None:
        """What it remembers of a node that it has heard from."""
        return self._peers.get(address)

    def is_content_with(self, peer: RootPeer, held: tuple[tuple[int, int], ...]) -> bool:
        """Whether it knows that a node holds this, and has nothing for it."""
        if not peer.protocol or peer.question_id is None or peer.forks is not None:
            return False
        for world_id, timestamp_ms in held:
            known_ms = peer.held.get(world_id)
            if known_ms != timestamp_ms and (
                known_ms is not None or self._handing.table.newest(world_id) is not None
            ):
                return False
        return not self._handing.is_behind(peer)

    def next_tick_ms(self, now_ms: int) -> int:
        """As always after a disturbance, else only to push and to show where roots are."""
        if now_ms < self.restless_until_ms:
            return super().next_tick_ms(now_ms)
        due_ms = self._moves.due_ms if self._moves and not self._showing else _NEVER_MS
        waits = [queue.wait_ms(now_ms) for queue in (self._queue, self._showing) if queue]
        return min(due_ms, now_ms + min(waits, default=_NEVER_MS))

    def _call_silent(self, now_ms: int) -> None:
        if self.before_calling():
            super()._call_silent(now_ms)

    def _peers_to_show(self) -> Iterable[Address]:
        self.settle()
        return super()._peers_to_show()


class LapsedLeaf(LeafNode):
    """A leaf of which rounds can be left out."""

    __slots__ = ("_places",)

    _places: dict[Address, tuple[Endpoint, ...]]

    @property
    def checked_ms(self) -> int:
        """When its last round was."""
        return self._checked_ms

    @property
    def is_busy(self) -> bool:
        """Whether packets wait in it, or it looks for a moon."""
        return bool(self._outbox or self._inbox or self._topology.awaited)

    @property
    def held(self) -> tuple[tuple[int, int], ...]:
        """The Worlds that it holds: id and timestamp."""
        return tuple(held for held in (self._planet_held, *self._moons_held) if held.id)

    def roots(self) -> list[LeafPeer]:
        """Its roots, as it knows them."""
        return [self._peers[address] for address in self._topology.upstreams]

    def endpoints_of(self, address: Address) -> tuple[Endpoint, ...]:
        """Where its Worlds say that a root is."""
        places = self._places.get(address)
        if places is None:
            places = self._places[address] = self._topology.endpoints_of(address)
        return places

    def _on_worlds_changed(self, now_ms: int) -> None:
        self._places = {}
        super()._on_worlds_changed(now_ms)

    def best_root(self, now_ms: int) -> LeafPeer | None:
        """Whom it asks and relays through."""
        return self._best_upstream(now_ms)

    def leave_out(self, last_ms: int) -> None:
        """Note that its last round was then, and forget whom it would have forgotten by then."""
        self._checked_ms = last_ms
        upstreams = self._topology.upstreams
        if len(self._peers) > len(upstreams):
            for peer in list(self._peers.values()):
                if peer.address not in upstreams and peer.is_gone(last_ms):
                    del self._peers[peer.address]


class _Way(NamedTuple):
    """A path of a leaf to a root that answers there, and the root's path back."""

    path: Path
    node: RootPeer
    back: Path


class LapsedNetwork(FakeNetwork):
    """A fake network of `LapsedRoot` and `LapsedLeaf`, in time-lapse.

    Args:
        seed: of all chance.
        now_ms: what the clock shows first.
        lapse: whether rounds are left out at all.

    Attributes:
        lapse: whether rounds are left out.
        rounds: how many rounds were real.
        left_out: how many were not.
        out_of_reach: endpoints to which packets of leaves do not get.
    """

    def __init__(self, seed: int, now_ms: int = START_MS, *, lapse: bool = True) -> None:
        super().__init__(seed, _believe, now_ms)
        self.rounds = 0
        self.left_out = 0
        self.out_of_reach: set[Endpoint] = set()
        self.lapse = lapse
        self._roots: dict[Address, Host] = {}
        self._leaves: dict[Address, Host] = {}
        # A dict, because a set of these has another order in each run.
        self._steady: dict[Host, None] = {}
        self._restless_until_ms = 0
        self._calling_until_ms = 0
        self._found: dict[Address, list[_Way]] = {}
        self._heard: dict[Host, tuple[int, Endpoint]] = {}

    # -- who is there --------------------------------------------------------------------------

    def add(
        self,
        node: LapsedRoot | LapsedLeaf,  # type: ignore[override]
        *endpoints: Endpoint,
        nat: Nat | None = None,
        link: Link = Link(),  # noqa: B008 - immutable
    ) -> Host:
        """Connect a root or a leaf, which begins at once."""
        self._introduce(node)
        host = super().add(node, *endpoints, nat=nat, link=link)
        kept = self._roots if isinstance(node, LapsedRoot) else self._leaves
        kept[Address(node.address)] = host
        return host

    def replace(self, host: Host, node: LapsedRoot | LapsedLeaf) -> None:  # type: ignore[override]
        """Restart a host: a new node behind the same sockets."""
        self._introduce(node)
        self._steady.pop(host, None)
        super().replace(host, node)

    def _introduce(self, node: LapsedRoot | LapsedLeaf) -> None:
        if isinstance(node, LapsedRoot):
            node.restless_until_ms = self._restless_until_ms
            node.before_calling = self._before_calling
            node.settle = self.settle

    def put_to_sleep(self, host: Host) -> None:
        """Stop a host; the rounds of a leaf until now are made up for."""
        self._settle(host)
        self._steady.pop(host, None)
        super().put_to_sleep(host)

    def wake(self, host: Host) -> None:
        """Let a host go on: a leaf looks after its roots at once."""
        host.is_up = True
        self._steady.pop(host, None)
        host.node.tick(self.now_ms)
        self.rounds += 1
        self._drain(host)

    @contextmanager
    def disturbing(self, *, silences: bool = True) -> Iterator[None]:
        """What is done inside may matter to any leaf: tables, roots, places.

        Args:
            silences: whether leaves may lose a root that they hear by it.
        """
        self.settle()
        self._restless_until_ms = self.now_ms + RESTLESS_MS
        if silences:
            self._calling_until_ms = self._restless_until_ms
        for host in self._roots.values():
            _root(host).restless_until_ms = self._restless_until_ms
        yield
        for host in self._roots.values():
            _root(host).restless_until_ms = self._restless_until_ms
            if host.is_up:
                self._schedule_tick(host)
        for host in tuple(self._steady):
            self._steady.pop(host, None)
            if host.is_up:
                self._schedule_tick(host)

    def settle(self, only: Host | None = None) -> None:
        """Make up for what was left out so far, for whoever wants to look at roots and leaves.

        Args:
            only: the leaf that matters; all of them if it is left out.
        """
        for host in self._steady if only is None else (only,):
            self._settle(host)

    def _before_calling(self) -> bool:
        """Whether roots call nodes that fell silent; steady ones have not."""
        if self.lapse and self.now_ms >= self._calling_until_ms:
            return False
        self.settle()
        return True

    def is_steady(self, host: Host) -> bool:
        """Whether a leaf is idle until something happens: online, and in touch with its roots."""
        return host in self._steady

    def heard_at(self, host: Host) -> Endpoint | None:
        """Where a leaf was heard in its last round if that was left out; None if nowhere."""
        leaf = host.node
        if not host.is_up or not isinstance(leaf, LapsedLeaf):
            return None
        if host not in self._steady:
            at_ms, endpoint = self._heard.get(host, (0, None))
            return endpoint if self.now_ms - at_ms <= CHECK_INTERVAL_MS else None
        best = leaf.best_root(leaf.checked_ms)
        path = None if best is None else best.best_path(leaf.checked_ms)
        if best is None or path is None or not self._leads(best.address, path.endpoint):
            return None
        return path.endpoint

    # -- time ----------------------------------------------------------------------------------

    def _receive(self, host: Host, datagram: bytes, path: Path) -> None:
        if isinstance(host.node, LapsedLeaf):
            self._settle(host)
            self._steady.pop(host, None)
        super()._receive(host, datagram, path)

    def _send(self, host: Host, datagram: bytes, source: Endpoint, destination: Endpoint) -> None:
        if destination not in self.out_of_reach or host.node.address in self._roots:
            super()._send(host, datagram, source, destination)

    def _tick(self, host: Host) -> None:
        leaf = host.node
        if not isinstance(leaf, LapsedLeaf):
            super()._tick(host)
            return
        self._settle(host)
        if self.now_ms - leaf.checked_ms >= CHECK_INTERVAL_MS:
            self._found.clear()
            if self.lapse and not leaf.is_busy and self._leave_out_round(host, leaf):
                self.left_out += 1
                if self._is_steady(host, leaf):
                    self._steady[host] = None
                    return
                self._schedule_tick(host)
                return
            self.rounds += 1
        super()._tick(host)

    def _schedule_tick(self, host: Host) -> None:
        if host not in self._steady:
            super()._schedule_tick(host)

    # -- rounds that are left out --------------------------------------------------------------

    def _settle(self, host: Host) -> None:
        """Make up for the rounds of a steady leaf until now."""
        leaf = host.node
        if host not in self._steady or not isinstance(leaf, LapsedLeaf):
            return
        since_ms = leaf.checked_ms
        rounds = (self.now_ms - since_ms) // CHECK_INTERVAL_MS
        if rounds <= 0:
            return
        last_ms = since_ms + rounds * CHECK_INTERVAL_MS
        self.left_out += rounds
        best = leaf.best_root(since_ms)
        for peer in leaf.roots():
            ways = self._ways(host, leaf, peer, since_ms)
            hello_ms = peer.hello_ms or 0
            while (due_ms := _due_ms(peer, hello_ms, since_ms)) <= last_ms:
                hello_ms = due_ms
                if ways or not peer.has_paths:
                    # From here on it is always the same.
                    every_ms = HELLO_ROUND_MS if ways else FULL_HELLO_MS
                    hello_ms += (last_ms - due_ms) // every_ms * every_ms
                    for way in ways:
                        self._exchange(host, peer, way, hello_ms)
                peer.forget_expired(hello_ms)
                peer.sent_ms = hello_ms
            peer.hello_ms = hello_ms if peer.hello_ms is not None else None
            if peer is best:
                peer.sent_ms = last_ms
                # Of paths that answered HELLO at once it keeps to the first.
                chosen = peer.best_path(max(since_ms, hello_ms))
                for way in ways:
                    if way.path == chosen:
                        self._exchange(host, peer, way, last_ms)
        self._keep_nat_open(host, since_ms, last_ms)
        leaf.leave_out(last_ms)

    def _leave_out_round(self, host: Host, leaf: LapsedLeaf) -> bool:
        """Reckon the round that is due now if it is idle; says whether it was."""
        now_ms = self.now_ms
        greeted: list[tuple[LeafPeer, list[_Way]]] = []
        asks = False
        for peer in leaf.roots():
            pause_ms = UPSTREAM_HELLO_MS if peer.has_paths else 0
            if peer.hello_ms is not None and 0 <= now_ms - peer.hello_ms <= pause_ms:
                asks = True
                continue
            answering = self._answering(host, leaf, peer)
            if peer.hello_ms is None or answering is None:
                return False
            greeted.append((peer, answering))
        best = leaf.best_root(now_ms) if asks else None
        path = None if best is None else best.best_path(now_ms) or best.last_path()
        asked: _Way | None = None
        if best is not None and path is not None and self._leads(best.address, path.endpoint):
            ways = self._ways_now(host, leaf, best)
            asked = next((way for way in ways if way.path == path), None)
            if asked is None:
                return False
        for peer, answering in greeted:
            if now_ms - (peer.hello_ms or 0) >= FULL_HELLO_MS:
                peer.hello_ms = now_ms
            peer.sent_ms = now_ms
            peer.forget_expired(now_ms)
            for way in answering:
                self._exchange(host, peer, way, now_ms)
                self._heard[host] = now_ms, way.path.endpoint
        if best is not None and asked is not None:
            self._heard[host] = now_ms, asked.path.endpoint
            best.sent_ms = now_ms
            self._exchange(host, best, asked, now_ms)
        self._keep_nat_open(host, now_ms, now_ms)
        leaf.leave_out(now_ms)
        return True

    def _answering(self, host: Host, leaf: LapsedLeaf, peer: LeafPeer) -> list[_Way] | None:
        """The ways on which HELLO to a root would be answered now; None if that matters."""
        ways = self._ways_now(host, leaf, peer)
        paths = peer.paths(self.now_ms)
        answering = []
        for path in paths:
            if self._leads(peer.address, path.endpoint):
                way = next((way for way in ways if way.path == path), None)
                if way is None:
                    return None
                answering.append(way)
        families = {path.endpoint.family for path in paths}
        places = [
            place
            for place in leaf.endpoints_of(peer.address)
            if place.family not in families and _can_send(host, place)
        ]
        if any(self._leads(peer.address, place) for place in places):
            return None
        return answering if places or families else None

    def _is_steady(self, host: Host, leaf: LapsedLeaf) -> bool:
        """Whether all rounds from now on are idle: by then it asks the root that it asks now."""
        now_ms = self.now_ms
        best: LeafPeer | None = None
        best_answering: list[_Way] = []
        for peer in leaf.roots():
            answering = self._answering(host, leaf, peer)
            if peer.hello_ms is None or answering is None:
                return False
            # What does not answer is forgotten some day, and then it tries its other places.
            families = {way.path.endpoint.family for way in answering}
            for place in leaf.endpoints_of(peer.address):
                if place.family in families or not _can_send(host, place):
                    continue
                if self._leads(peer.address, place):
                    return False
            if answering and (best is None or _latency_ms(peer) <= _latency_ms(best)):
                best, best_answering = peer, answering
        if best is None:
            return True
        chosen = best.best_path(now_ms)
        return leaf.best_root(now_ms) is best and any(way.path == chosen for way in best_answering)

    def _ways_now(self, host: Host, leaf: LapsedLeaf, peer: LeafPeer) -> list[_Way]:
        """As `_ways`, found once for each round of a leaf."""
        ways = self._found.get(peer.address)
        if ways is None:
            ways = self._found[peer.address] = self._ways(host, leaf, peer, self.now_ms)
        return ways

    def _ways(self, host: Host, leaf: LapsedLeaf, peer: LeafPeer, at_ms: int) -> list[_Way]:
        """The paths on which a root answers a leaf with nothing new, and has a path back."""
        serving = self._roots.get(peer.address)
        if serving is None or not serving.is_up:
            return []
        root = _root(serving)
        node = root.peer_of(leaf.address)
        if node is None or not root.is_content_with(node, leaf.held):
            return []
        ways = []
        for path in peer.paths(at_ms):
            if not self._leads(peer.address, path.endpoint):
                continue
            own = _own_socket(host, path)
            nat = host.nat_of(own)
            seen_as = own if nat is None else nat.public_endpoint(own, at_ms)
            if seen_as is None:
                continue
            back = Path(seen_as, serving.endpoints.index(path.endpoint))
            if node.knows(back):
                ways.append(_Way(path, node, back))
        return ways

    def _exchange(self, host: Host, peer: LeafPeer, way: _Way, at_ms: int) -> None:
        """A packet went to a root and its answer came back."""
        way.node.heard(way.back, at_ms + host.link.latency_ms[0])
        answered_ms = at_ms + (peer.latency_ms or 0)
        peer.heard(way.path, answered_ms)
        peer.upstream_ms = answered_ms
        own = _own_socket(host, way.path)
        nat = host.nat_of(own)
        if nat is not None:
            nat.note_sent(own, way.path.endpoint, at_ms)

    def _leads(self, address: Address, endpoint: Endpoint) -> bool:
        """Whether a root runs there, for leaves."""
        host = self.host_at(endpoint)
        return (
            host is not None
            and host.is_up
            and self._roots.get(address) is host
            and endpoint not in self.out_of_reach
        )

    def _keep_nat_open(self, host: Host, since_ms: int, at_ms: int) -> None:
        """A leaf sends something in every round."""
        for own in host.endpoints:
            nat = host.nat_of(own)
            if nat is not None and nat.public_endpoint(own, since_ms) is not None:
                nat.note_sent(own, None, at_ms)


def _own_socket(host: Host, path: Path) -> Endpoint:
    if path.socket >= 0:
        return host.endpoints[path.socket]
    return next(own for own in host.endpoints if own.family == path.endpoint.family)


def _due_ms(peer: LeafPeer, hello_ms: int, since_ms: int) -> int:
    """The round after one at which a leaf notes HELLO to a root, since it did so last."""
    pause_ms = UPSTREAM_HELLO_MS + 1 if peer.has_paths else FULL_HELLO_MS
    wait_ms = max(hello_ms + pause_ms - since_ms, 1)
    return since_ms - (-wait_ms // CHECK_INTERVAL_MS) * CHECK_INTERVAL_MS


def _latency_ms(peer: LeafPeer) -> int:
    return peer.latency_ms or 0xFFFF


def _can_send(host: Host, place: Endpoint) -> bool:
    return any(own.family == place.family for own in host.endpoints)


def _root(host: Host) -> LapsedRoot:
    if not isinstance(host.node, LapsedRoot):
        raise TypeError("no root of a lapsed network lives here")
    return host.node


def _believe(identity: object) -> None:
    """Nodes of the lab have no proof of work, and no root asks for it."""
