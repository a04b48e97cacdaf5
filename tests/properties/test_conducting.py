"""A rollout under any sequence of kills, orders, clock steps, sleep and dead endpoints."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from orrery.errors import PlanError
from orrery.home import Home
from orrery.home.rolling import pause, resume, roll_back
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState
from orrery.server.conducting import LEASE_MS
from orrery.store import Rollout
from orrery.wire.world import World
from tests.crash.rolling import (
    NODES,
    Fleet,
    Process,
    SetClock,
    check_nobody_is_before_his_turn,
    fleet_of,
    make_rolling,
    rollout_of,
)
from tests.crash.stepping import machine
from tests.unit.home.making import ELSEWHERE

_TURNS = 60


class ConductingMachine(RuleBasedStateMachine):
    """Everything that may come between a rollout and its end."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "home"
        self.clock = SetClock()
        self.published: dict[int, World] = {}
        self.over: Rollout | None = None

    def teardown(self) -> None:
        try:
            self._bring_to_an_end()
        finally:
            self.process.end()
            self.home.close()
            shutil.rmtree(self.directory)

    @initialize()
    def begin(self) -> None:
        make_rolling(self.path)
        self.home = Home.open(self.path)
        (planet,) = self.home.served_worlds()
        self.fleet: Fleet = fleet_of(planet)
        self.process = Process(self.path, self.clock)

    @rule(turns=st.integers(1, 6))
    def work(self, turns: int) -> None:
        """Time passes, and nothing happens to anybody."""
        for _ in range(turns):
            while self.process.turn():
                check_nobody_is_before_his_turn(self.home, self.fleet)
            self._meet()

    @rule(step=st.integers(0, 60))
    def die(self, step: int) -> None:
        """The machine stops before one of the next steps of the disk, and another takes over."""
        with machine(step):
            for _ in range(4):
                while self.process.turn():
                    pass
                self.clock.steady_ms += 5_000
        self.process.end()
        self.clock.steady_ms += LEASE_MS + 1_000
        self.process = Process(self.path, self.clock)

    @rule(change_ms=st.sampled_from((-3_600_000, -30_000, 30_000, 3_600_000)))
    def set_clock(self, change_ms: int) -> None:
        self.clock.apart_ms += change_ms

    @rule(away=st.sets(st.sampled_from(NODES)))
    def sleep(self, away: set[object]) -> None:
        self.fleet.away = set(away)  # type: ignore[arg-type]

    @rule(dead=st.booleans())
    def lose_endpoint(self, dead: bool) -> None:
        self.fleet.dead = {ELSEWHERE} if dead else set()

    @precondition(lambda self: not rollout_of(self.home).state.is_over)
    @rule(steer=st.sampled_from((pause, resume, resume, roll_back)))
    def steer(self, steer: object) -> None:
        try:
            steer(self.home, "home", self.clock.wall_ms(self.clock.now_ms()))  # type: ignore[operator]
        except PlanError:
            return  # it is paused already, or not; or it is taken back already

    @invariant()
    def what_is_published_stays(self) -> None:
        """No timestamp ever has two contents, and none comes out of order."""
        rollout = rollout_of(self.home)
        chain = list(self.home.store.chain(rollout.world_id))
        for world in chain:
            assert self.published.setdefault(world.timestamp_ms, world) == world
        times = [world.timestamp_ms for world in chain]
        assert times == sorted(set(times))
        progress = Progress.from_json(rollout.intents)
        assert times[-1] == progress.newest_ms
        assert len(times) == len(progress.revisions) + bool(progress.back_ms)
        check_nobody_is_before_his_turn(self.home, self.fleet)
        if self.over is not None:
            assert rollout == self.over
        if rollout.state.is_over:
            self.over = rollout

    def _meet(self) -> None:
        self.fleet.take(self.home, self.clock.wall_ms(self.clock.now_ms()))
        self.clock.steady_ms += 5_000

    def _bring_to_an_end(self) -> None:
        """With all mended, it comes to an end, and every node to the newest revision."""
        self.fleet.away, self.fleet.dead = set(), set()
        self.clock.steady_ms += LEASE_MS + 1_000
        for _ in range(_TURNS):
            while self.process.turn():
                check_nobody_is_before_his_turn(self.home, self.fleet)
            rollout = rollout_of(self.home)
            if rollout.state.is_over:
                break
            late = rollout.reason.startswith("the clock of this machine")
            if rollout.state is RolloutState.PAUSED or late:
                resume(self.home, "home", self.clock.wall_ms(self.clock.now_ms()))
            self._meet()
        rollout = rollout_of(self.home)
        assert rollout.state in (RolloutState.DONE, RolloutState.ROLLED_BACK), rollout.reason
        assert rollout.served is None
        self._meet()
        newest = self.home.store.chain(rollout.world_id).newest
        assert set(self.fleet.holds.values()) == {newest.timestamp_ms}
        with Home.open(self.path, writer=True):
            assert World.decode((self.path / "planet").read_bytes()) == newest


TestConducting = ConductingMachine.TestCase
TestConducting.settings = settings(
    max_examples=6,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
