"""Playing a rehearsal: real roots and leaves, real packets, virtual time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import heappop, heappush
from random import Random

from orrery.errors import UsageError
from orrery.lab.lapse import LapsedLeaf, LapsedNetwork, LapsedRoot
from orrery.lab.network import START_MS, Host, Link, Nat, NatKind
from orrery.lab.rehearsal.cast import Cast
from orrery.lab.rehearsal.conducting import Conducting, Known
from orrery.lab.rehearsal.faults import Fault, FaultKind
from orrery.lab.rehearsal.outcome import Happening, Lost, Outage, Outcome, RootOutcome
from orrery.lab.rehearsal.script import MINUTE_MS, Actor, Script
from orrery.lab.rehearsal.sleeping import Turn, plan_nights
from orrery.lab.rehearsal.steps import Stage, tell_steps
from orrery.lab.seeded import seeded_entropy
from orrery.rollout.conditions import Answering, Stopped
from orrery.rollout.health import Habit
from orrery.rollout.landscape import PlaceState
from orrery.rollout.places import Place, Reach, places_of
from orrery.rollout.state import RolloutState
from orrery.vl1.events import AdoptionLearned, Event, NodeSeen, WorldServed, WorldTaken
from orrery.vl1.root import RootLimits
from orrery.vl1.root_peer import KnownNode
from orrery.wire.address import Address, format_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES, PROTOCOL_VERSION, SOFTWARE_VERSION, WorldHeld
from orrery.wire.world import World
from orrery.worlds.handover import HandoverTable
from orrery.worlds.topology import Topology

WARM_UP_MS = 10 * MINUTE_MS
"""Nodes that are online at the begin have been for so long."""
GRACE_MS = 20 * MINUTE_MS
"""In the end all nodes are awake for so long: more than a leaf takes to try all that it knows."""
SPEAKING_MS = 60_000
"""A root reports a node that is there this often; here it does so less where nothing needs it."""
_LONGEST_SILENCE_MS = 6 * 60 * MINUTE_MS
ASK_NODES_MS = 2_000
"""Roots ask nodes so often whether they are still there (server/conducting.py)."""
LOOK_MS = 1_000
"""How soon the conductor looks again when something has happened."""
REST_MS = 300_000
"""And when nothing has."""
FALLING_SILENT_MS = 5_000
"""How long after it took a bad revision a node falls silent."""
_PROVIDER_NODES = 4

Report = Callable[[int, str], None]
"""Told the virtual time since the begin, and where the rollout stands."""


class _Member:
    """A node in the play."""

    __slots__ = ("actor", "asleep", "failed", "habit", "host", "link", "nat", "number", "taken")

    def __init__(self, number: int, actor: Actor, habit: Habit, link: Link) -> None:
        self.number = number
        self.actor = actor
        self.habit = habit
        self.link = link
        self.host: Host | None = None
        self.nat: Nat | None = None
        self.asleep = True
        self.failed = ""
        self.taken: dict[int, int] = {}


class Play:
    """A rehearsal that is being played.

    Args:
        script: what is rehearsed.
        report: told how far it is.
    """

    def __init__(self, script: Script, report: Report | None = None) -> None:
        self._script = script
        self._report = report
        self._random = Random(script.seed)  # noqa: S311 - a rehearsal is to be repeatable
        self._entropy = seeded_entropy(f"rehearsal {script.seed}")
        self._cast = Cast(script.seed)
        self._begin_ms = max(START_MS, script.chain.newest.timestamp_ms + MINUTE_MS)
        self._network = LapsedNetwork(script.seed, self._begin_ms - WARM_UP_MS, lapse=script.lapse)
        self._network.watcher = self._on_event
        self._chain = self._cast.chain(script.chain)
        self._beside = tuple(map(self._cast.chain, script.beside))
        self._order = replace(
            script.order,
            plan=self._cast.plan(script.order.plan, self._chain),
            signed=(),
        )
        self._roots: dict[Address, Host] = {}
        self._down: dict[Address, int] = {}
        self._outages: list[Outage] = []
        self._places: dict[Endpoint, Place] = {}
        self._work: Counter[tuple[Address, str]] = Counter()
        self._course: list[Happening] = []
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._dirty = False
        self._look_ms = 0
        self._ended_ms: int | None = None
        self._asked_ms = 0
        self._asked: set[Place] = set()
        self._released = 0
        self._bad_steps = {
            fault.step for fault in script.faults if fault.kind is FaultKind.BAD_CANARY
        }
        night = plan_nights(
            script.churn,
            len(script.actors),
            script.for_ms or script.limit_ms,
            script.order.horizon_ms,
            script.seed,
        )
        self._members = [
            _Member(number, actor, habit, self._draw_link())
            for number, (actor, habit) in enumerate(zip(script.actors, night.habits, strict=True))
        ]
        self._by_address = {member.actor.address: member for member in self._members}
        self._settle_behind_nats()
        world_id = self._chain.world_id
        known = {
            member.actor.address: Known(
                member.actor.held[world_id], self._begin_ms - (asleep_ms or 0), member.habit
            )
            for member, asleep_ms in zip(self._members, night.asleep, strict=True)
        }
        self._known = [
            KnownNode(
                self._cast.identity(member.actor.address).public(),
                PROTOCOL_VERSION,
                SOFTWARE_VERSION,
                tuple(WorldHeld(*held) for held in member.actor.held.items()),
                known[member.actor.address].seen_ms,
            )
            for member in self._members
        ]
        self._conducting = Conducting(
            self._order,
            self._chain,
            self._cast,
            known=known,
            now_ms=self._begin_ms,
            serve=self._serve,
        )
        self._start_roots()
        self._warm_up(night.asleep)
        self._counted = self._conducting.counted
        for turn in night.turns:
            self._at(turn.at_ms, self._turn(turn))
        for fault in script.faults:
            if fault.kind is not FaultKind.BAD_CANARY:
                self._at(fault.at_ms, self._begin_fault(fault))

    # -- the course of time ------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Play it to its end."""
        self._look()
        self._at(SPEAKING_MS, self._speak)
        last_ms = self._begin_ms + (self._script.for_ms or self._script.limit_ms)
        while self._network.now_ms < last_ms and not self._is_over():
            due_ms = min(self._agenda[0][0] if self._agenda else last_ms, self._look_ms, last_ms)
            self._network.run_until(self._is_news, due_ms - self._network.now_ms)
            if self._dirty:
                self._dirty = False
                self._look_ms = min(self._look_ms, self._network.now_ms + LOOK_MS)
            while self._agenda and self._agenda[0][0] <= self._network.now_ms:
                heappop(self._agenda)[2]()
            if self._look_ms <= self._network.now_ms:
                self._look()
        if self._ended_ms is None:
            self._ended_ms = self._network.now_ms
        virtual_ms = self._network.now_ms - self._begin_ms
        self._wake_all()
        return self._outcome(virtual_ms)

    def _at(self, at_ms: int, what: Callable[[], None]) -> None:
        """Let something happen so long after the begin."""
        self._count += 1
        heappush(self._agenda, (self._begin_ms + at_ms, self._count, what))

    def _after(self, span_ms: int, what: Callable[[], None]) -> None:
        self._at(self._network.now_ms - self._begin_ms + span_ms, what)

    def _is_news(self) -> bool:
        return self._dirty

    def _is_over(self) -> bool:
        """Whether nothing more is to come."""
        if self._ended_ms is None or self._script.for_ms is not None:
            return False
        faults_ms = max((f.at_ms + (f.for_ms or 0) for f in self._script.faults), default=0)
        rest_ms = self._script.operator_ms + MINUTE_MS
        return self._network.now_ms >= max(self._ended_ms + rest_ms, self._begin_ms + faults_ms)

    def _tell(self, what: str) -> None:
        self._course.append(Happening(self._network.now_ms - self._begin_ms, what))

    # -- the conductor and whoever does what it asks for -------------------------------------------

    def _look(self) -> None:
        """Let the conductor look at what is known, and the operator at what it waits for."""
        conducting, now_ms = self._conducting, self._network.now_ms
        awaited = conducting.awaited
        self._ask(awaited)
        conducting.look(now_ms, self._answering())
        position = conducting.position
        rolls_back = self._script.roll_back and not position.progress.rolling_back
        if position.state is RolloutState.PAUSED and rolls_back:
            self._tell(f"it is rolled back, because it paused: {position.reason}")
            conducting.roll_back(now_ms)
            conducting.look(now_ms, self._answering())
            position = conducting.position
        is_over = position.state.is_over or position.state is RolloutState.PAUSED
        if is_over and self._ended_ms is None:
            self._ended_ms = now_ms
        busy = awaited or conducting.awaited or position.state is RolloutState.SETTLING
        self._look_ms = now_ms + (LOOK_MS if busy and not is_over else REST_MS)
        wanted = conducting.wanted(self._answering(), now_ms)
        if isinstance(wanted, Answering):
            self._ask_for(wanted.places, self._open)
        elif isinstance(wanted, Stopped):
            self._ask_for(wanted.places, self._close)
        self._release()
        if self._report is not None:
            self._report(now_ms - self._begin_ms, position.reason)

    def _ask_for(self, places: tuple[Place, ...], act: Callable[[Place], None]) -> None:
        """Have somebody do something by hand, who takes a while."""
        for place in places:
            if place not in self._asked:
                self._asked.add(place)
                self._after(self._script.operator_ms, self._by_hand(act, place))

    def _by_hand(self, act: Callable[[Place], None], place: Place) -> Callable[[], None]:
        def do() -> None:
            self._asked.discard(place)
            act(place)
            self._dirty = True

        return do

    def _release(self) -> None:
        """Stop what is needed no more: who forgets to tests nothing."""
        position, steps = self._conducting.position, self._order.plan.steps
        done = len(steps) if position.state is RolloutState.DONE else position.step
        for step in steps[self._released : done]:
            self._ask_for(step.release, self._close)
        self._released = max(self._released, done)

    def _ask(self, awaited: list[Address]) -> None:
        """Ask nodes whether they are there, as roots do, where the answer matters.

        It does not of who is heard anyway, and while the settle time of a node is not over.
        """
        now_ms = self._network.now_ms
        settled_ms = now_ms - self._order.settle_ms
        asked = []
        for address in awaited:
            member = self._by_address[address]
            host = member.host
            if max(member.taken.values(), default=0) > settled_ms:
                continue
            heard_at = None if host is None else self._network.heard_at(host)
            place = None if heard_at is None else self._places[heard_at]
            if place is not None and place in self._conducting.listed:
                # Asked every 5 s by itself: nobody has to play that.
                self._conducting.note_heard(address, place, now_ms)
            else:
                asked.append((address, host))
        if not asked or now_ms - self._asked_ms < ASK_NODES_MS:
            return
        self._asked_ms = now_ms
        for _, host in asked:
            if host is not None:
                self._network.settle(host)
        for host in self._roots.values():
            if host.is_up and isinstance(host.node, LapsedRoot):
                host.node.ask([address for address, _ in asked], now_ms)
                self._network.act(host)

    def _speak(self) -> None:
        """Report the steady leaves as roots do, only not each at its own time."""
        every_ms = max(SPEAKING_MS, min(self._order.horizon_ms // 20, _LONGEST_SILENCE_MS))
        now_ms = self._network.now_ms
        for member in self._members:
            if member.host is not None and self._network.heard_at(member.host) is not None:
                self._conducting.note(member.actor.address, None, now_ms)
        self._conducting.forget(now_ms)
        self._after(every_ms, self._speak)

    # -- roots -------------------------------------------------------------------------------------

    def _start_roots(self) -> None:
        """Open the places that answer as the plan begins."""
        landscape = self._script.landscape
        states = {
            place: state
            for real, state in landscape.states.items()
            for place in self._cast.places([real])
        }
        alive = set(places_of(self._chain.newest.roots))
        for chain in self._beside:
            alive |= places_of(self._cast.roots(landscape.beside.get(chain.world_id, ())))
        alive = {place for place in alive if states.get(place) is not PlaceState.GONE}
        alive |= {place for place, state in states.items() if state is PlaceState.ALIVE}
        for place in sorted(alive):
            self._open(place)
        self._course.clear()

    def _open(self, place: Place) -> None:
        """Start a root at a place."""
        address = place.identity.address
        other = self._network.host_at(place.endpoint)
        host = self._roots.get(address)
        if other is not None and other is not host:
            self._tell(f"{place} cannot start: something else runs there")
            return
        with self._network.disturbing(silences=False):
            self._places[place.endpoint] = place
            if host is None:
                self._roots[address] = self._network.add(
                    self._new_root(address), place.endpoint, link=Link((0, 1))
                )
            else:
                if other is None:
                    self._network.open_place(host, place.endpoint)
                if not host.is_up and address not in self._down:
                    self._network.replace(host, self._new_root(address))
        self._tell(f"{self._script.name_of(address)} starts at {place.endpoint}")

    def _close(self, place: Place) -> None:
        """Stop a root at a place."""
        host = self._roots.get(place.identity.address)
        if host is None or self._network.host_at(place.endpoint) is not host:
            return
        with self._network.disturbing():
            self._network.take_away(place.endpoint)
            if not self._open_places(host):
                self._network.put_to_sleep(host)
        self._tell(f"{self._script.name_of(place.identity.address)} stops at {place.endpoint}")

    def _new_root(self, address: Address) -> LapsedRoot:
        root = LapsedRoot(
            self._cast.identity(address),
            self._entropy,
            self._table(),
            self._network.now_ms,
            limits=RootLimits(peers=max(RootLimits().peers, len(self._members))),
        )
        for node in self._known:
            root.learn(self._as_known_now(node))
        return root

    def _as_known_now(self, node: KnownNode) -> KnownNode:
        """What the store tells a root of a node when it starts."""
        known = self._conducting.known(node.identity.address)
        if known is None:
            return node
        held = dict(node.held) | {self._chain.world_id: known.holds_ms}
        worlds = tuple(WorldHeld(*each) for each in held.items())
        return node._replace(held=worlds, seen_ms=known.seen_ms)

    def _open_places(self, host: Host) -> list[Endpoint]:
        return [own for own in host.endpoints if self._network.host_at(own) is host]

    def _answering(self) -> frozenset[Place]:
        """The places that answer a probe."""
        return frozenset(
            self._places[endpoint]
            for host in self._roots.values()
            if host.is_up
            for endpoint in self._open_places(host)
        )

    def _table(self) -> HandoverTable:
        served = self._conducting.position.served
        stages = {} if served is None else {served.world_id: served.stage}
        chain = self._conducting.chain
        return HandoverTable((chain, *self._beside), OK_HELLO_WORLDS_BYTES, stages)

    def _serve(self) -> None:
        """Let every root that runs serve what the store says."""
        table = self._table()
        with self._network.disturbing(silences=False):
            for host in self._roots.values():
                if host.is_up and isinstance(host.node, LapsedRoot):
                    host.node.publish(table, self._network.now_ms)
                    self._network.act(host)

    # -- nodes -------------------------------------------------------------------------------------

    def _draw_link(self) -> Link:
        low_ms, high_ms = self._script.surroundings.rtt_ms
        one_way_ms = round(self._random.uniform(low_ms, high_ms) / 2)
        loss = self._script.surroundings.loss
        return Link((one_way_ms, one_way_ms + 3), loss_out=loss, loss_in=loss)

    def _settle_behind_nats(self) -> None:
        """Put nodes behind NATs, up to a few behind one."""
        nat, room = None, 0
        for member in self._members:
            if (
                not member.actor.reach & Reach.IPV4
                or self._random.random() >= self._script.surroundings.nat
            ):
                continue
            if nat is None or not room:
                number = member.number
                kind = NatKind.FULL_CONE if self._random.random() < 0.2 else NatKind.PORT_RESTRICTED
                nat = Nat(bytes((40, number >> 8 & 0xFF, number & 0xFF, 9)), kind)
                room = self._random.randint(1, _PROVIDER_NODES)
            member.nat = nat
            room -= 1

    def _warm_up(self, asleep: list[int | None]) -> None:
        """Let the nodes that are online find their roots before it begins."""
        for member, asleep_ms in zip(self._members, asleep, strict=True):
            if asleep_ms is None:
                self._network.run_for(self._random.randint(0, 1) + 60_000 // len(self._members))
                self._wake(member)
        self._network.run_for(self._begin_ms - self._network.now_ms)

    def _turn(self, turn: Turn) -> Callable[[], None]:
        member = self._members[turn.node]
        return lambda: self._wake(member) if turn.wakes else self._sleep(member)

    def _wake(self, member: _Member) -> None:
        member.asleep = False
        if member.failed:
            return
        if member.host is None:
            member.host = self._add(member)
        elif not member.host.is_up:
            self._network.wake(member.host)

    def _sleep(self, member: _Member) -> None:
        member.asleep = True
        if member.host is not None and member.host.is_up:
            if self._network.heard_at(member.host) is not None:
                self._conducting.note(member.actor.address, None, self._network.now_ms)
            self._network.put_to_sleep(member.host)

    def _add(self, member: _Member) -> Host:
        identity = self._cast.identity(member.actor.address)
        topology = Topology(identity)
        for world in self._worlds_of(member.actor):
            topology.add_world(world, always_accept_new=True)
        leaf = LapsedLeaf(identity, self._entropy, topology, self._network.now_ms)
        high, low = member.number >> 8 & 0xFF, member.number & 0xFF
        endpoints = []
        if member.actor.reach & Reach.IPV4:
            net = 30 if member.nat is None else 10
            endpoints.append(Endpoint(bytes((net, high, low, 9)), 9993))
        if member.actor.reach & Reach.IPV6:
            prefix = bytes.fromhex("2a00dead00000000")
            endpoints.append(Endpoint(prefix + bytes((0, 0, 0, 0, 0, high, low, 9)), 9993))
        return self._network.add(leaf, *endpoints, nat=member.nat, link=member.link)

    def _worlds_of(self, actor: Actor) -> Iterator[World]:
        """What a node holds at the begin; what is no revision was signed by somebody else."""
        for chain in (self._chain, *self._beside):
            held_ms = actor.held.get(chain.world_id)
            if held_ms:
                yield chain.revision_at(held_ms) or self._cast.foreign(chain, held_ms)

    def _wake_all(self) -> None:
        """In the end everybody is awake, and has time to find its way."""
        for member in self._members:
            if member.asleep:
                self._wake(member)
        self._network.run_for(GRACE_MS)

    # -- what they report --------------------------------------------------------------------------

    def _on_event(self, host: Host, event: Event) -> None:
        now_ms, world_id = self._network.now_ms, self._chain.world_id
        match event:
            case WorldTaken() if event.world.id == world_id:
                member = self._by_address[Address(host.node.address)]
                member.taken[event.world.timestamp_ms] = now_ms
                self._spoil(member, event.world.timestamp_ms)
            case AdoptionLearned() if event.world_id == world_id:
                self._conducting.note(event.address, event.timestamp_ms, now_ms)
                self._dirty = True
            case NodeSeen():
                held = {**dict([event.planet]), **dict(event.moons)}.get(world_id)
                address = event.identity.address
                self._conducting.note(address, held, now_ms)
                place = self._places[host.endpoints[event.path.socket]]
                self._conducting.note_heard(address, place, now_ms)
            case WorldServed():
                address = Address(host.node.address)
                self._work[address, "pushes" if event.pushed else "answers"] += event.links
                self._work[address, "bytes"] += event.size_bytes

    # -- faults ------------------------------------------------------------------------------------

    def _begin_fault(self, fault: Fault) -> Callable[[], None]:
        return lambda: self._have(fault)

    def _have(self, fault: Fault) -> None:
        """Let something go wrong, and right again after its time."""
        undo: Callable[[], None] | None = None
        match fault.kind:
            case FaultKind.ROOT_DOWN:
                undo = self._stop_root(fault)
            case FaultKind.PLACE_DOWN:
                undo = self._stop_place(fault)
            case FaultKind.UNREACHABLE if fault.place is not None:
                undo = self._put_out_of_reach(fault.place)
            case FaultKind.NODES_DOWN:
                undo = self._stop_nodes(fault.share)
            case FaultKind.NAT_REBOOT:
                self._reboot_nats(fault.share)
            case FaultKind.LOSS:
                undo = self._lose_more(fault.share)
        if undo is not None and fault.for_ms is not None:
            self._after(fault.for_ms, undo)
        self._dirty = True

    def _stop_root(self, fault: Fault) -> Callable[[], None] | None:
        running = [address for address, host in sorted(self._roots.items()) if host.is_up]
        wanted = fault.root.lower()
        if wanted:
            names = {self._script.names.get(each, "").lower(): each for each in self._roots}
            names |= {format_address(each): each for each in self._roots}
            if wanted not in names:
                known = ", ".join(self._script.name_of(each) for each in sorted(self._roots))
                raise UsageError(f"{fault}: no root {fault.root!r} runs by then, only {known}")
            running = [names[wanted]] if names[wanted] in running else []
        if not running:
            self._tell(f"{fault}: there is no such root to stop any more")
            return None
        address = self._random.choice(running)
        self._down[address] = self._network.now_ms
        with self._network.disturbing():
            self._network.put_to_sleep(self._roots[address])
        self._tell(f"{self._script.name_of(address)} goes down")
        return lambda: self._start_again(address)

    def _start_again(self, address: Address) -> None:
        self._note_outage(address, self._network.now_ms - self._begin_ms)
        host = self._roots[address]
        if not self._open_places(host):
            return  # it was stopped for good meanwhile
        with self._network.disturbing():
            self._network.replace(host, self._new_root(address))
        self._tell(f"{self._script.name_of(address)} comes up again")
        self._dirty = True

    def _note_outage(self, address: Address, end_ms: float) -> None:
        begin_ms = self._down.pop(address) - self._begin_ms
        self._outages.append(Outage(self._script.name_of(address), begin_ms, end_ms))

    def _stop_place(self, fault: Fault) -> Callable[[], None] | None:
        endpoint = fault.place
        host = None if endpoint is None else self._network.host_at(endpoint)
        if endpoint is None or host is None or host not in self._roots.values():
            self._tell(f"{fault}: no root is there by then")
            return None
        place = self._places[endpoint]
        self._close(place)
        return lambda: self._open(place)

    def _put_out_of_reach(self, endpoint: Endpoint) -> Callable[[], None]:
        def end() -> None:
            with self._network.disturbing():
                self._network.out_of_reach.discard(endpoint)
            self._tell(f"{endpoint} is within reach of nodes again")

        with self._network.disturbing():
            self._network.out_of_reach.add(endpoint)
        self._tell(f"{endpoint} gets out of reach of nodes")
        return end

    def _stop_nodes(self, share: float) -> Callable[[], None]:
        hit = [member for member in self._members if self._random.random() < share]
        stopped = [member for member in hit if not member.asleep]
        for member in stopped:
            self._sleep(member)
        self._tell(f"{len(stopped)} nodes go away at once")

        def end() -> None:
            back = [member for member in stopped if member.asleep]
            for member in back:
                self._wake(member)
            self._tell(f"{len(back)} nodes come back at once")

        return end

    def _reboot_nats(self, share: float) -> None:
        nats = sorted({m.nat.ip: m.nat for m in self._members if m.nat is not None}.items())
        hit = [nat for _, nat in nats if self._random.random() < share]
        with self._network.disturbing():
            for nat in hit:
                nat.reboot()
        self._tell(f"{len(hit)} NATs forget their mappings")

    def _lose_more(self, share: float) -> Callable[[], None]:
        def change(extra: float) -> None:
            with self._network.disturbing():
                for member in self._members:
                    loss = 1 - (1 - self._script.surroundings.loss) * (1 - extra)
                    member.link = member.link._replace(loss_out=loss, loss_in=loss)
                    if member.host is not None:
                        member.host.link = member.link

        def end() -> None:
            change(0.0)
            self._tell("no more packets than before are lost")

        change(share)
        self._tell(f"{share:.0%} of the packets more are lost")
        return end

    def _spoil(self, member: _Member, timestamp_ms: int) -> None:
        """Whoever takes a bad revision falls silent."""
        revisions = self._conducting.position.progress.revisions
        for step in self._bad_steps:
            if step < len(revisions) and revisions[step] == timestamp_ms:
                self._after(FALLING_SILENT_MS, self._fail(member, step, timestamp_ms))

    def _fail(self, member: _Member, step: int, timestamp_ms: int) -> Callable[[], None]:
        def do() -> None:
            if self._holds_ms(member) != timestamp_ms:
                return  # it was led on in the same moment
            member.failed = f"fell silent with the revision of step {step}, as was to be rehearsed"
            if member.host is not None and member.host.is_up:
                self._network.put_to_sleep(member.host)

        return do

    # -- what came of it ---------------------------------------------------------------------------

    def _outcome(self, virtual_ms: int) -> Outcome:
        conducting, network = self._conducting, self._network
        stranded: list[Lost] = []
        forsaken: list[Lost] = []
        behind: list[Lost] = []
        failed: list[Lost] = []
        exempt = {a for group in self._order.plan.exempt for a in group.addresses}
        for member in self._members:
            holds_ms = self._holds_ms(member)
            lost = Lost(member.actor.address, holds_ms, member.failed)
            if member.failed:
                failed.append(lost)
            elif not self._is_in_touch(member):
                left = forsaken if lost.address in exempt else stranded
                left.append(replace(lost, why=self._why(holds_ms)))
            else:
                table = self._table()
                target = table.newest_for(self._chain.world_id, member.actor.address)
                if target is not None and target.timestamp_ms > holds_ms:
                    left = forsaken if lost.address in exempt else behind
                    left.append(replace(lost, why=self._why_behind(holds_ms)))
        for address in tuple(self._down):
            self._note_outage(address, math.inf)
        position = conducting.position
        return Outcome(
            nodes=len(self._members),
            counted=self._counted,
            state=position.state,
            reason=position.reason,
            ended_ms=(self._ended_ms or network.now_ms) - self._begin_ms,
            virtual_ms=virtual_ms,
            steps=tuple(
                tell_steps(
                    self._order.plan,
                    conducting.cohorts,
                    [Stage(at - self._begin_ms, where) for at, where in conducting.history],
                    {
                        member.actor.address: {
                            took: at - self._begin_ms for took, at in member.taken.items()
                        }
                        for member in self._members
                    },
                )
            ),
            stranded=tuple(stranded),
            forsaken=tuple(forsaken),
            failed=tuple(failed),
            behind=tuple(behind),
            roots=tuple(
                RootOutcome(
                    address,
                    self._script.name_of(address),
                    self._work[address, "answers"],
                    self._work[address, "pushes"],
                    self._work[address, "bytes"],
                )
                for address in self._roots
            ),
            outages=tuple(self._outages),
            course=tuple(self._course),
            packets=sum(traffic.packets_from for traffic in network.traffic.values()),
            rounds=network.rounds,
            left_out=network.left_out,
        )

    def _holds_ms(self, member: _Member) -> int:
        """What a node holds now, by its own account."""
        if member.host is None or not isinstance(member.host.node, LapsedLeaf):
            return member.actor.held[self._chain.world_id]
        return dict(member.host.node.held).get(self._chain.world_id, 0)

    def _is_in_touch(self, member: _Member) -> bool:
        host = member.host
        if host is None or not isinstance(host.node, LapsedLeaf):
            return False
        if self._network.is_steady(host):
            return self._network.heard_at(host) is not None
        return host.node.is_online(self._network.now_ms)

    def _why(self, holds_ms: int) -> str:
        """Why a node that holds this hears of nobody."""
        held = self._conducting.chain.revision_at(holds_ms)
        if held is None:
            return f"holds {holds_ms}, which is no revision of this chain"
        answering = self._answering()
        told = []
        for place in sorted(places_of(held.roots)):
            how = "nothing runs there"
            if place.endpoint in self._network.out_of_reach:
                how = "out of reach of nodes"
            elif place in answering:
                how = "runs"
            told.append(f"{place.endpoint}: {how}")
        return f"holds revision {holds_ms}, and looks for its roots at {', '.join(told)}"

    def _why_behind(self, holds_ms: int) -> str:
        if self._conducting.chain.revision_at(holds_ms) is None:
            return f"holds {holds_ms}, which is no revision of this chain: nothing leads on from it"
        return f"holds revision {holds_ms} and has not taken what it was to be handed"


def rehearse(script: Script, report: Report | None = None) -> Outcome:
    """Play a rehearsal.

    Args:
        script: what is rehearsed.
        report: told how far it is.

    Raises:
        UsageError: a fault names a root that is not there.
    """
    return Play(script, report).run()
