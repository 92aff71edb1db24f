from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.unit import Timer
from engine.processing.timers import TimerQueue


def timer(clock: ManualClock, number: int, seconds: float) -> Timer:
    return Timer(number, clock.wall_ns() + round(seconds * NS_PER_SECOND), b"")


def test_timers_are_due_in_the_order_of_their_time() -> None:
    clock = ManualClock()
    queue = TimerQueue(clock, [timer(clock, 1, 10), timer(clock, 2, 5)])
    assert queue.due(10) == []
    assert queue.next_due_ns() == 5 * NS_PER_SECOND
    clock.advance(10)
    assert [t.timer_id for t in queue.due(10)] == [2, 1]
    assert [t.timer_id for t in queue.due(1)] == [2]
    queue.fired(1)
    assert [t.timer_id for t in queue.due(10)] == [1]
    queue.fired(1)
    assert len(queue) == 0
    assert queue.next_due_ns() is None


def test_a_jump_of_the_wall_clock_neither_fires_a_timer_nor_holds_it_back() -> None:
    clock = ManualClock()
    queue = TimerQueue(clock, [timer(clock, 1, 10)])
    clock.jump_wall(3600)
    assert queue.due(10) == []
    clock.jump_wall(-7200)
    clock.advance(10)
    assert [t.timer_id for t in queue.due(10)] == [1]


def test_a_timer_whose_time_passed_while_nobody_ran_is_due_at_once() -> None:
    clock = ManualClock()
    stored = timer(clock, 1, 10)
    clock.advance(100)
    assert [t.timer_id for t in TimerQueue(clock, [stored]).due(10)] == [1]


@given(
    seconds=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    canceled=st.lists(st.tuples(st.integers(0, 9), st.sets(st.integers(1, 40), max_size=12)), max_size=4),
)
def test_a_timer_that_is_canceled_before_its_time_never_fires_and_all_others_do(
    seconds: list[int], canceled: list[tuple[int, set[int]]]
) -> None:
    clock = ManualClock()
    queue = TimerQueue(clock, [timer(clock, number, after) for number, after in enumerate(seconds, 1)])
    due_at = dict(enumerate(seconds, 1))
    gone: set[int] = set()
    fired: list[int] = []
    for second in range(11):
        for when, numbers in canceled:
            if when == second:
                queue.cancel(numbers)
                gone |= {n for n in numbers if n in due_at and n not in fired}
        waiting = [after for number, after in due_at.items() if number not in gone and number not in fired]
        assert queue.next_due_ns() == (min(waiting) * NS_PER_SECOND if waiting else None)
        found = queue.due(100)
        fired += [one.timer_id for one in found]
        queue.fired(len(found))
        clock.advance(1)
    assert sorted(fired) == sorted(set(due_at) - gone)
    assert queue.next_due_ns() is None
