"""Playing a rehearsal: real roots and leaves, real packets, virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import heappop, heappush
from random import Random

from orrery.lab.lapse import LapsedNetwork
from orrery.lab.network import START_MS, Host
from orrery.lab.rehearsal.cast import Cast
from orrery.lab.rehearsal.conducting import Conducting, Known
from orrery.lab.rehearsal.faults import Fault, FaultKind
from orrery.lab.rehearsal.mishaps import Mishaps
from orrery.lab.rehearsal.nodes import Member, Nodes
from orrery.lab.rehearsal.outcome import Happening, Lost, Outcome, RootOutcome
from orrery.lab.rehearsal.roots import Roots
from orrery.lab.rehearsal.script import MINUTE_MS, Script
from orrery.lab.rehearsal.sleeping import Turn, plan_nights
from orrery.lab.rehearsal.steps import Stage, tell_steps
from orrery.lab.seeded import seeded_entropy
from orrery.rollout.conditions import Answering, Stopped
from orrery.rollout.places import Place, places_of
from orrery.rollout.state import RolloutState
from orrery.vl1.events import AdoptionLearned, Event, NodeSeen, WorldServed, WorldTaken
from orrery.vl1.root_peer import KnownNode
from orrery.wire.address import Address
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES, PROTOCOL_VERSION, SOFTWARE_VERSION, WorldHeld
from orrery.worlds.handover import HandoverTable

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

Report = Callable[[int, str], None]
"""Told the virtual time since the begin, and where the rollout stands."""


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
        entropy = seeded_entropy(f"rehearsal {script.seed}")
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
        self._nodes = Nodes(
            script,
            self._network,
            self._cast,
            chains=(self._chain, *self._beside),
            night=night,
            random=self._random,
            entropy=entropy,
        )
        self._roots = Roots(
            script,
            self._network,
            self._cast,
            entropy=entropy,
            table=self._table,
            known=self._known_now,
            tell=self._tell,
        )
        self._mishaps = Mishaps(
            script,
            self._network,
            self._roots,
            self._nodes,
            sleep=self._sleep,
            begin_ms=self._begin_ms,
            random=self._random,
            tell=self._tell,
        )
        world_id = self._chain.world_id
        known = {
            member.actor.address: Known(
                member.actor.held[world_id], self._begin_ms - (asleep_ms or 0), member.habit
            )
            for member, asleep_ms in zip(self._nodes.members, night.asleep, strict=True)
        }
        self._known = [
            KnownNode(
                self._cast.identity(member.actor.address).public(),
                PROTOCOL_VERSION,
                SOFTWARE_VERSION,
                tuple(WorldHeld(*held) for held in member.actor.held.items()),
                known[member.actor.address].seen_ms,
            )
            for member in self._nodes.members
        ]
        self._conducting = Conducting(
            self._order,
            self._chain,
            self._cast,
            known=known,
            now_ms=self._begin_ms,
            serve=self._roots.serve,
        )
        self._roots.start(self._chain, self._beside)
        self._course.clear()
        self._warm_up(night.asleep)
        self._counted = self._conducting.counted
        for turn in night.turns:
            self._at(turn.at_ms, self._turn(turn))
        for fault in script.faults:
            if fault.kind is not FaultKind.BAD_CANARY:
                self._at(fault.at_ms, self._begin(fault))

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
        conducting.look(now_ms, self._roots.answering())
        position = conducting.position
        rolls_back = self._script.roll_back and not position.progress.rolling_back
        if position.state is RolloutState.PAUSED and rolls_back:
            self._tell(f"it is rolled back, because it paused: {position.reason}")
            conducting.roll_back(now_ms)
            conducting.look(now_ms, self._roots.answering())
            position = conducting.position
        is_over = position.state.is_over or position.state is RolloutState.PAUSED
        if is_over and self._ended_ms is None:
            self._ended_ms = now_ms
        busy = awaited or conducting.awaited or position.state is RolloutState.SETTLING
        self._look_ms = now_ms + (LOOK_MS if busy and not is_over else REST_MS)
        wanted = conducting.wanted(self._roots.answering(), now_ms)
        if isinstance(wanted, Answering):
            self._ask_for(wanted.places, self._roots.open)
        elif isinstance(wanted, Stopped):
            self._ask_for(wanted.places, self._roots.close)
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
            self._ask_for(step.release, self._roots.close)
        self._released = max(self._released, done)

    def _ask(self, awaited: list[Address]) -> None:
        """Ask nodes whether they are there, as roots do, where the answer matters.

        It does not of who is heard anyway, and while the settle time of a node is not over.
        """
        now_ms = self._network.now_ms
        settled_ms = now_ms - self._order.settle_ms
        asked = []
        for address in awaited:
            member = self._nodes[address]
            host = member.host
            if max(member.taken.values(), default=0) > settled_ms:
                continue
            heard_at = None if host is None else self._network.heard_at(host)
            place = None if heard_at is None else self._roots.places[heard_at]
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
        for root, host in self._roots.serving():
            root.ask([address for address, _ in asked], now_ms)
            self._network.act(host)

    def _speak(self) -> None:
        """Report the steady leaves as roots do, only not each at its own time."""
        every_ms = max(SPEAKING_MS, min(self._order.horizon_ms // 20, _LONGEST_SILENCE_MS))
        now_ms = self._network.now_ms
        for member in self._nodes.members:
            if member.host is not None and self._network.heard_at(member.host) is not None:
                self._conducting.note(member.actor.address, None, now_ms)
        self._conducting.forget(now_ms)
        self._after(every_ms, self._speak)

    # -- what is stored and served -----------------------------------------------------------------

    def _known_now(self) -> Iterator[KnownNode]:
        """What the store tells a root when it starts."""
        return map(self._as_known_now, self._known)

    def _as_known_now(self, node: KnownNode) -> KnownNode:
        known = self._conducting.known(node.identity.address)
        if known is None:
            return node
        held = dict(node.held) | {self._chain.world_id: known.holds_ms}
        worlds = tuple(WorldHeld(*each) for each in held.items())
        return node._replace(held=worlds, seen_ms=known.seen_ms)

    def _table(self) -> HandoverTable:
        served = self._conducting.position.served
        stages = {} if served is None else {served.world_id: served.stage}
        chain = self._conducting.chain
        return HandoverTable((chain, *self._beside), OK_HELLO_WORLDS_BYTES, stages)

    # -- nodes -------------------------------------------------------------------------------------

    def _warm_up(self, asleep: list[int | None]) -> None:
        """Let the nodes that are online find their roots before it begins."""
        every_ms = MINUTE_MS // len(self._nodes.members)
        for member, asleep_ms in zip(self._nodes.members, asleep, strict=True):
            if asleep_ms is None:
                self._network.run_for(self._random.randint(0, 1) + every_ms)
                self._nodes.wake(member)
        self._network.run_for(self._begin_ms - self._network.now_ms)

    def _turn(self, turn: Turn) -> Callable[[], None]:
        member = self._nodes.members[turn.node]
        return lambda: self._nodes.wake(member) if turn.wakes else self._sleep(member)

    def _sleep(self, member: Member) -> None:
        if self._nodes.sleep(member):
            self._conducting.note(member.actor.address, None, self._network.now_ms)

    def _wake_all(self) -> None:
        """In the end everybody is awake, and has time to find its way."""
        for member in self._nodes.members:
            if member.asleep:
                self._nodes.wake(member)
        self._network.run_for(GRACE_MS)

    # -- what they report --------------------------------------------------------------------------

    def _on_event(self, host: Host, event: Event) -> None:
        now_ms, world_id = self._network.now_ms, self._chain.world_id
        match event:
            case WorldTaken() if event.world.id == world_id:
                member = self._nodes[Address(host.node.address)]
                member.taken[event.world.timestamp_ms] = now_ms
                self._spoil(member, event.world.timestamp_ms)
            case AdoptionLearned() if event.world_id == world_id:
                self._conducting.note(event.address, event.timestamp_ms, now_ms)
                self._dirty = True
            case NodeSeen():
                held = {**dict([event.planet]), **dict(event.moons)}.get(world_id)
                address = event.identity.address
                self._conducting.note(address, held, now_ms)
                place = self._roots.places[host.endpoints[event.path.socket]]
                self._conducting.note_heard(address, place, now_ms)
            case WorldServed():
                address = Address(host.node.address)
                self._work[address, "pushes" if event.pushed else "answers"] += event.links
                self._work[address, "bytes"] += event.size_bytes

    # -- faults ------------------------------------------------------------------------------------

    def _begin(self, fault: Fault) -> Callable[[], None]:
        def do() -> None:
            undo = self._mishaps.have(fault)
            if undo is not None and fault.for_ms is not None:
                self._after(fault.for_ms, self._undo(undo))
            self._dirty = True

        return do

    def _undo(self, undo: Callable[[], None]) -> Callable[[], None]:
        def do() -> None:
            undo()
            self._dirty = True

        return do

    def _spoil(self, member: Member, timestamp_ms: int) -> None:
        """Whoever takes a bad revision falls silent."""
        revisions = self._conducting.position.progress.revisions
        for step in self._bad_steps:
            if step < len(revisions) and revisions[step] == timestamp_ms:
                self._after(FALLING_SILENT_MS, self._fail(member, step, timestamp_ms))

    def _fail(self, member: Member, step: int, timestamp_ms: int) -> Callable[[], None]:
        def do() -> None:
            if self._nodes.holds_ms(member) != timestamp_ms:
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
        for member in self._nodes.members:
            holds_ms = self._nodes.holds_ms(member)
            lost = Lost(member.actor.address, holds_ms, member.failed)
            if member.failed:
                failed.append(lost)
            elif not self._nodes.is_in_touch(member):
                left = forsaken if lost.address in exempt else stranded
                left.append(replace(lost, why=self._why(holds_ms)))
            else:
                table = self._table()
                target = table.newest_for(self._chain.world_id, member.actor.address)
                if target is not None and target.timestamp_ms > holds_ms:
                    left = forsaken if lost.address in exempt else behind
                    left.append(replace(lost, why=self._why_behind(holds_ms)))
        self._roots.end_outages(self._begin_ms)
        position = conducting.position
        return Outcome(
            nodes=len(self._nodes.members),
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
                        for member in self._nodes.members
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
                for address in self._roots.hosts
            ),
            outages=tuple(self._roots.outages),
            course=tuple(self._course),
            packets=sum(traffic.packets_from for traffic in network.traffic.values()),
            rounds=network.rounds,
            left_out=network.left_out,
        )

    def _why(self, holds_ms: int) -> str:
        """Why a node that holds this hears of nobody."""
        held = self._conducting.chain.revision_at(holds_ms)
        if held is None:
            return f"holds {holds_ms}, which is no revision of this chain"
        answering = self._roots.answering()
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
