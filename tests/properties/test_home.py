"""A home under any sequence of commands, crashes, clock steps and foreign hands."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orrery.errors import ConflictError, PlanError
from orrery.home import Home, publish, rotate_key
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from orrery.worlds.acceptance import check_update
from tests.crash.stepping import machine
from tests.unit.home.making import entropy, make_home, want
from tests.unit.store.making import NOW_MS

ENDPOINTS = [Endpoint(bytes((203, 0, 113, 7)), port) for port in (1, 2, 3, 4)]


class HomeMachine(RuleBasedStateMachine):
    """What a person, a crash and a bad neighbour may do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "home"
        self.now_ms = NOW_MS
        self.keys = 0
        self.seen: list[World] = []
        self.wanted: tuple[Endpoint, ...] = (ENDPOINTS[0],)

    def teardown(self) -> None:
        shutil.rmtree(self.directory)

    @initialize()
    def init(self) -> None:
        make_home(self.path, endpoints=self.wanted).close()

    def _open(self) -> Home:
        return Home.open(self.path, writer=True, clock=lambda: max(0, self.now_ms))

    @rule(step_ms=st.integers(-(10**10), 10**10))
    def clock_steps(self, step_ms: int) -> None:
        self.now_ms += step_ms

    @rule(chosen=st.sets(st.sampled_from(ENDPOINTS), min_size=1))
    def wish(self, chosen: set[Endpoint]) -> None:
        with self._open() as home:
            self.wanted = tuple(sorted(chosen))
            want(home, *self.wanted)

    @rule(strand=st.booleans())
    def publish(self, strand: bool) -> None:
        with self._open() as home:
            before = home.served_worlds()[0]
            held = set(before.roots[0].endpoints)
            rotates = home.keys.current_public(before.id) != before.updates_must_be_signed_by
            try:
                world = publish(home, "home", max(0, self.now_ms), strand_everyone=strand).world
            except PlanError as error:
                if "nothing to publish" in str(error):
                    assert held == set(self.wanted)
                    assert not rotates
                else:
                    assert not strand
                    assert not held & set(self.wanted)
            else:
                assert world.roots[0].endpoints == tuple(sorted(self.wanted))
                assert world.timestamp_ms > max(before.timestamp_ms, self.now_ms - 1)
                check_update(before, world)

    @rule()
    def rotate(self) -> None:
        with self._open() as home:
            before = home.served_worlds()[0]
            pending = home.keys.current_public(before.id) != before.updates_must_be_signed_by
            self.keys += 1
            try:
                rotate_key(home, "home", max(0, self.now_ms), entropy(f"key {self.keys}"))
            except ConflictError:
                assert pending
            else:
                assert not pending

    @rule(step=st.integers(0, 60), loses=st.booleans(), rotates=st.booleans())
    def power_fails(self, step: int, loses: bool, rotates: bool) -> None:
        self.keys += 1
        with machine(step, loses=loses), self._open() as home:
            try:
                if rotates:
                    rotate_key(home, "home", max(0, self.now_ms), entropy(f"key {self.keys}"))
                publish(home, "home", max(0, self.now_ms), strand_everyone=True)
            except (ConflictError, PlanError):
                pass

    @precondition(lambda self: self.path.exists())
    @rule(data=st.one_of(st.none(), st.binary(max_size=40)))
    def stranger_writes_the_planet(self, data: bytes | None) -> None:
        planet = self.path / "planet"
        planet.unlink(missing_ok=True)
        if data is not None:
            planet.write_bytes(data)
        self._open().close()
        assert World.decode(planet.read_bytes())

    @precondition(lambda self: self.path.exists())
    @invariant()
    def holds_together(self) -> None:
        with self._open() as home:
            (newest,) = home.served_worlds()
            chain = home.store.chain(newest.id)
            times = [world.timestamp_ms for world in chain]
            assert times == sorted(set(times))
            assert list(chain)[: len(self.seen)] == self.seen  # nothing published is ever undone
            self.seen = list(chain)
            assert (self.path / "planet").read_bytes() == newest.encode()
            home.keys.signer_for(newest.id, newest.updates_must_be_signed_by)
            assert not list(self.path.rglob(".orrery-*"))


HomeMachine.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestHome = HomeMachine.TestCase
