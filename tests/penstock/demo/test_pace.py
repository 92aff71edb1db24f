"""A pace, on a clock turned by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import ManualClock
from penstock.demo.pace import Pace, Speed


def test_without_a_speed_nobody_waits() -> None:
    pace = Pace(Speed(), ManualClock())
    assert [pace.reserve(1000) for _ in range(3)] == [0, 0, 0]


def test_who_comes_too_early_waits_for_what_is_gone() -> None:
    clock = ManualClock(monotonic_ns=10**12)
    pace = Pace(Speed(10), clock)
    pace.reserve(1)
    # Coming from a standstill, a tenth of a second was in hand.
    assert pace.reserve(5) == 0
    assert pace.reserve(1) == pytest.approx(0.5)


def test_what_was_missed_is_not_made_up_for() -> None:
    clock = ManualClock(monotonic_ns=10**12)
    pace = Pace(Speed(100), clock)
    pace.reserve(1)
    clock.advance(3600)
    waits = [pace.reserve(10) for _ in range(3)]
    assert waits == pytest.approx([0, 0, 0.1])


def test_who_does_not_wait_goes_when_it_is_time_and_not_before() -> None:
    clock = ManualClock(monotonic_ns=10**12)
    pace = Pace(Speed(10), clock)
    assert pace.try_go(5)
    assert not pace.try_go(1)
    clock.advance(0.399)
    assert not pace.try_go(1)
    clock.advance(0.001)
    assert pace.try_go(1)


def test_a_new_speed_holds_from_the_next_on() -> None:
    clock = ManualClock(monotonic_ns=10**12)
    speed = Speed(1)
    pace = Pace(speed, clock)
    pace.reserve(1)
    speed.per_second = None
    assert pace.reserve(1) == 0


@given(
    per_second=st.floats(1, 10_000),
    steps=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 50)), min_size=1, max_size=50),
)
def test_over_any_time_no_more_goes_than_the_speed_allows(per_second: float, steps: list[tuple[float, int]]) -> None:
    clock = ManualClock(monotonic_ns=10**12)
    pace = Pace(Speed(per_second), clock)
    began_ns = clock.monotonic_ns()
    gone = 0
    for late, count in steps:
        clock.advance(late)
        clock.advance(pace.reserve(count))
        # Whoever goes now is not counted yet: he has just been let through.
        seconds = (clock.monotonic_ns() - began_ns) / 1e9
        assert gone <= per_second * (seconds + 0.1) * (1 + 1e-6) + 1e-3
        gone += count
