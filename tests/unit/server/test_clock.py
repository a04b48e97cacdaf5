import time

import pytest

from orrery.server.clock import Clock


class _Clocks:
    """The two clocks of the system, to be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_ms = 1_790_000_000_000
        self.running_ms = 5_000
        monkeypatch.setattr(time, "time_ns", lambda: self.wall_ms * 1_000_000)
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.running_ms * 1_000_000)

    def pass_ms(self, span_ms: int) -> None:
        self.wall_ms += span_ms
        self.running_ms += span_ms


@pytest.mark.parametrize("step_ms", [-3_600_000, 0, 3_600_000])
def test_the_steady_clock_ignores_steps_and_the_records_follow_them(
    monkeypatch: pytest.MonkeyPatch, step_ms: int
) -> None:
    clocks = _Clocks(monkeypatch)
    clock = Clock()
    start_ms = clock.now_ms()
    assert start_ms == clocks.wall_ms
    clocks.pass_ms(1_500)
    clocks.wall_ms += step_ms
    assert clock.now_ms() == start_ms + 1_500
    assert clock.wall_ms(clock.now_ms()) == clocks.wall_ms
    assert clock.wall_ms(start_ms) == clocks.wall_ms - 1_500
