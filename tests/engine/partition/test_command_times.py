"""A user command lasts from its acceptance until it is processed."""

from __future__ import annotations

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.partition.command_times import CommandTimes

SECOND = NS_PER_SECOND


def test_each_command_is_counted_when_its_unit_is_processed_and_the_longest_is_told_once() -> None:
    clock = ManualClock()
    times = CommandTimes(clock)
    times.stored((3, clock.monotonic_ns(), 3))
    clock.advance(1)
    times.stored((5, clock.monotonic_ns(), 2))
    times.stored((9, clock.monotonic_ns(), 4))
    times.processed(2)
    assert times.take_longest_ns() is None
    assert sum(times.duration.snapshot().counts) == 0
    clock.advance(2)
    times.processed(5)
    assert times.take_longest_ns() == 3 * SECOND
    assert times.take_longest_ns() is None
    counted = times.duration.snapshot()
    assert sum(counted.counts) == 5
    assert counted.sum == 3 * 3 + 2 * 2
    times.processed(9)
    assert times.take_longest_ns() == 2 * SECOND
    assert sum(times.duration.snapshot().counts) == 9
