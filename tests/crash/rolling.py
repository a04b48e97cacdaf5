"""A rollout that one process after another carries out, with nodes that take what they are handed.

What a server does is done here step by step, in one thread and at a time that tests set. Nodes are
lines in a table: each takes what the roots would hand it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orrery.errors import OrreryError
from orrery.home import Home, rotate_key
from orrery.home.rolling import begin
from orrery.rollout.cohorts import EVERYBODY, Named
from orrery.rollout.order import Order
from orrery.rollout.places import Place
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState
from orrery.server.clock import Clock
from orrery.server.conducting import Conducting
from orrery.store import Adoption, Rollout
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES
from orrery.wire.world import Root, World
from orrery.worlds.handover import HandoverTable
from tests.unit.home.making import ELSEWHERE, ONE, entropy, make_home
from tests.unit.rollout.ordering import order_of, plan_of, step_of
from tests.unit.store.making import NOW_MS, identity, sighting

CANARY, SECOND, THIRD = (Address(0x1000000000 + number) for number in range(3))
NODES = (CANARY, SECOND, THIRD)
COHORTS = (Named(frozenset({CANARY})), EVERYBODY)
ROOT = identity(0).address
SETTLE_MS = 4_000
TURN_MS = 5_000


class SetClock(Clock):
    """A clock that tests set; the wall clock may be apart from the steady one."""

    def __init__(self, now_ms: int = NOW_MS + 60_000) -> None:
        self.steady_ms = now_ms
        self.apart_ms = 0

    def now_ms(self) -> int:
        return self.steady_ms

    def wall_ms(self, steady_ms: int) -> int:
        return steady_ms + self.apart_ms


class NoPlaces:
    """No place outside of the store is asked."""

    answering: frozenset[Place] = frozenset()
    unknown: frozenset[Place] = frozenset()

    def held(self, _world_id: int) -> dict[Address, int]:
        return {}


@dataclass
class Fleet:
    """What each node holds; who is away takes nothing and is not heard.

    Attributes:
        holds: the timestamp that each node holds.
        away: nodes that are not there.
        mute: nodes that take what they are handed, and are not heard from any more.
        dead: endpoints at which the root is not reached: who knows no other is away.
    """

    holds: dict[Address, int]
    away: set[Address] = field(default_factory=set)
    mute: set[Address] = field(default_factory=set)
    dead: set[Endpoint] = field(default_factory=set)

    def take(self, home: Home, now_ms: int) -> None:
        """Let every node take what it is handed, and be heard."""
        serving = home.store.serving()
        stages = {world_id: served.stage for world_id, served in serving.served.items()}
        table = HandoverTable(serving.chains, OK_HELLO_WORLDS_BYTES, stages)
        world_id = table.world_ids[0]
        seen, taken = [], []
        for address, held_ms in self.holds.items():
            if address in self.away or not self._ways(table, world_id, held_ms):
                continue
            links = [World.decode(link) for link in table.lookup(world_id, held_ms, address)]
            if links:
                self.holds[address] = links[-1].timestamp_ms
                if address in self.mute:
                    self.away.add(address)
                    continue
                taken.append(Adoption(address, world_id, self.holds[address], now_ms, "hello"))
            for here in self._ways(table, world_id, self.holds[address]):
                told = {"planet_id": world_id, "planet_timestamp_ms": self.holds[address]}
                root = identity(0).address
                seen.append(sighting(address, now_ms, **told, heard_by=root, heard_at=str(here)))
        home.store.record(seen, taken, now_ms=now_ms)

    def _ways(self, table: HandoverTable, world_id: int, held_ms: int) -> list[Endpoint]:
        world = table.revision_at(world_id, held_ms)
        assert world is not None
        return [each for each in world.roots[0].endpoints if each not in self.dead]


def make_rolling(path: Path) -> Order:
    """A home with a rollout of two steps that has begun, and a rotated key in the second."""
    with make_home(path, (ONE,), entropy=entropy("rolling")) as home:
        (planet,) = home.served_worlds()
        old = planet.updates_must_be_signed_by
        rotate_key(home, "home", NOW_MS, entropy("rotated"))
        new = home.keys.current_public(planet.id)
        root = planet.roots[0].identity
        order = order_of(
            plan_of(
                planet,
                step_of(1, (Root(root, (ONE, ELSEWHERE)),), old, names=new),
                step_of(2, (Root(root, (ONE,)),), new),
            ),
            COHORTS,
            settle_ms=SETTLE_MS,
        )
        fleet_of(planet).take(home, NOW_MS)
        begin(home, "home", order, NOW_MS + 1)
    return order


def fleet_of(planet: World) -> Fleet:
    """Nodes that hold this."""
    return Fleet(dict.fromkeys(NODES, planet.timestamp_ms))


class Process:
    """One server's conductor, as long as it lives."""

    def __init__(
        self,
        path: Path,
        clock: SetClock,
        root: Address = ROOT,
        endpoints: tuple[Endpoint, ...] = (ONE, ELSEWHERE),
    ) -> None:
        self.home = Home.open(path, clock=clock.now_ms)
        self.clock = clock
        self.conducting = Conducting(lambda: self.home, root, endpoints, lambda _: None, clock)
        self.conducting._places = NoPlaces()  # type: ignore[assignment]

    def turn(self) -> bool:
        """Look at everything once, as `Conducting` does; returns whether anything was done."""
        it = self.conducting
        try:
            it._follow(self.home)
            if not it._jobs or it._lease is None:
                return False
            return it._conduct(self.home, it._lease, it._listening(self.home))
        except (OrreryError, OSError):
            it._start_over()
            raise

    def end(self) -> None:
        """Die: nothing is let go of but what the system takes back."""
        self.home.close()


def rollout_of(home: Home) -> Rollout:
    """The last rollout."""
    (rollout,) = home.store.rollouts(1)
    return rollout


def go_on(
    path: Path, clock: SetClock, fleet: Fleet, *, until: frozenset[RolloutState] | None = None
) -> Rollout:
    """Let one process carry on to the end, or to one of these states."""
    process = Process(path, clock)
    try:
        for _ in range(200):
            while process.turn():
                check_nobody_is_before_his_turn(process.home, fleet)
            rollout = rollout_of(process.home)
            if rollout.state in until if until else rollout.state.is_over:
                return rollout
            fleet.take(process.home, clock.now_ms())
            check_nobody_is_before_his_turn(process.home, fleet)
            clock.steady_ms += TURN_MS
        raise AssertionError(f"it comes to no end: {rollout_of(process.home)}")
    finally:
        process.end()


def check_nobody_is_before_his_turn(home: Home, fleet: Fleet) -> None:
    """No node outside of the opened cohorts holds what is being rolled out."""
    rollout = rollout_of(home)
    progress = Progress.from_json(rollout.intents)
    if rollout.served is None or not progress.has_published(rollout.step):
        return
    if progress.rolling_back and not progress.back_ms:
        return  # what is rolled out is still to be signed
    target_ms = progress.back_ms or progress.revisions[rollout.step + 1]
    for address, held_ms in fleet.holds.items():
        if not rollout.served.opened.includes(rollout.world_id, address):
            assert held_ms < target_ms, f"{address:x} was given {held_ms} before its turn"


@contextmanager
def watched_signatures() -> Iterator[dict[int, set[bytes]]]:
    """Everything that is signed meanwhile: by timestamp the signed bytes."""
    signed: dict[int, set[bytes]] = {}
    sign = World.sign

    def watching(world: World, key: object) -> World:
        made = sign(world, key)  # type: ignore[arg-type]
        signed.setdefault(made.timestamp_ms, set()).add(made.encode())
        return made

    World.sign = watching  # type: ignore[method-assign, assignment]
    try:
        yield signed
    finally:
        World.sign = sign  # type: ignore[method-assign]
