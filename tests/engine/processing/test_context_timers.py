"""A timer keeps its delay, whatever the wall clock does between the call that sets it and the commit."""

from __future__ import annotations

import pytest

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.records import Record, RecordType
from engine.core.unit import Timer
from engine.processing.context import UnitContext
from engine.processing.state import StateOverlay
from engine.processing.timers import TimerQueue

WALL_NS = 1_700_000_000 * NS_PER_SECOND
JUMPS = pytest.mark.parametrize("jump_seconds", [3600, -3600])


class Unit:
    """A context and the queue of its partition, as the processing task has them."""

    def __init__(self) -> None:
        self.clock = ManualClock(monotonic_ns=77 * NS_PER_SECOND, wall_ns=WALL_NS)
        self.queue = TimerQueue(self.clock)
        state = StateOverlay(lambda _: None, lambda _: iter(()))
        self.context = UnitContext(1, 1, self.clock, state, next_timer_id=1, next_sequence=1)
        self.context.begin(Record(RecordType.COMMAND, "t", "create", "k", None, position=1))

    def commit(self) -> list[Timer]:
        ahead_ns = self.context.wall_ahead_ns
        unit = self.context.take_unit(1)
        self.queue.add(unit.timers_added, ahead_ns)
        self.queue.cancel(unit.timers_fired)
        self.canceled = unit.timers_fired
        return unit.timers_added

    def due_after(self, seconds: float) -> list[int]:
        """The timers that are due once so much more time has passed."""
        self.clock.advance(seconds)
        return [timer.timer_id for timer in self.queue.due(10)]


@JUMPS
def test_a_jump_between_schedule_and_commit_moves_no_timer(jump_seconds: float) -> None:
    unit = Unit()
    unit.context.schedule(10, "alarm", None)
    unit.clock.jump_wall(jump_seconds)
    unit.commit()
    assert unit.due_after(9.999) == []
    assert unit.due_after(0.001) == [1]


@JUMPS
def test_a_jump_between_two_timers_of_a_unit_moves_neither(jump_seconds: float) -> None:
    unit = Unit()
    unit.context.schedule(20, "alarm", None)
    unit.clock.advance(5)
    unit.clock.jump_wall(jump_seconds)
    unit.context.schedule(10, "alarm", None)
    unit.clock.advance(1)
    unit.commit()
    assert unit.due_after(8.999) == []
    assert unit.due_after(0.001) == [2]
    assert unit.due_after(4.999) == [2]
    assert unit.due_after(0.001) == [2, 1]


@JUMPS
def test_what_is_stored_of_a_timer_goes_by_the_wall_clock_of_its_own_unit(jump_seconds: float) -> None:
    unit = Unit()
    unit.context.schedule(10, "alarm", None)
    (before,) = unit.commit()
    unit.clock.jump_wall(jump_seconds)
    unit.context.schedule(10, "alarm", None)
    (after,) = unit.commit()
    assert before.due_wall_ns == WALL_NS + 10 * NS_PER_SECOND
    assert after.due_wall_ns - before.due_wall_ns == jump_seconds * NS_PER_SECOND
    assert unit.due_after(10) == [1, 2]


def test_a_unit_that_is_discarded_leaves_no_offset_to_the_next() -> None:
    unit = Unit()
    unit.context.schedule(10, "alarm", None)
    unit.context.discard(1, 1)
    unit.clock.jump_wall(3600)
    unit.context.schedule(10, "alarm", None)
    (timer,) = unit.commit()
    assert timer.due_wall_ns == WALL_NS + 3610 * NS_PER_SECOND


def test_a_timer_is_taken_back_by_its_number_in_its_own_unit_and_in_a_later_one() -> None:
    unit = Unit()
    first = unit.context.schedule(10, "alarm", None)
    second = unit.context.schedule(10, "alarm", None)
    third = unit.context.schedule(10, "alarm", None)
    unit.context.cancel(second)
    unit.commit()
    unit.context.cancel(first)
    unit.commit()
    assert unit.canceled == [first]
    assert unit.due_after(10) == [third]


def test_what_a_failed_record_has_canceled_fires_all_the_same() -> None:
    unit = Unit()
    kept = unit.context.schedule(10, "alarm", None)
    gone = unit.context.schedule(10, "alarm", None)
    unit.context.cancel(gone)
    unit.context.begin(Record(RecordType.COMMAND, "t", "create", "k", None, position=2))
    unit.context.cancel(kept)
    unit.context.undo_record()
    unit.commit()
    assert unit.canceled == [gone]
    assert unit.due_after(10) == [kept]


@pytest.mark.parametrize("timer", [0, -1, 2, None, "1", True])
def test_a_timer_that_never_was_cannot_be_taken_back(timer: object) -> None:
    unit = Unit()
    unit.context.schedule(10, "alarm", None)
    with pytest.raises(ValueError, match="there was never a timer"):
        unit.context.cancel(timer)  # type: ignore[arg-type]
