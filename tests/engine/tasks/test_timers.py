from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.snapshot import BlockReason
from engine.tasks.timers import TaskTimer


def test_a_timer_that_was_never_started_has_spent_no_time() -> None:
    clock = ManualClock()
    timer = TaskTimer(clock)
    clock.advance(5)
    assert timer.read().elapsed_ns == 0


def test_time_is_counted_to_the_state_it_was_spent_in() -> None:
    clock = ManualClock()
    timer = TaskTimer(clock)
    timer.start()
    clock.advance(1)
    timer.idle()
    clock.advance(2)
    timer.blocked(BlockReason.BUFFER)
    clock.advance(3)
    timer.blocked(BlockReason.WRITE_LIMIT)
    clock.advance(4)
    timer.busy()
    clock.advance(5)
    times = timer.read()
    assert times.busy_ns == 6 * NS_PER_SECOND
    assert times.idle_ns == 2 * NS_PER_SECOND
    assert times.back_pressured_ns[BlockReason.BUFFER] == 3 * NS_PER_SECOND
    assert times.back_pressured_ns[BlockReason.WRITE_LIMIT] == 4 * NS_PER_SECOND
    assert times.longest_blocked_ns == 4 * NS_PER_SECOND
    assert times.state == "busy"


def test_a_period_that_spans_readings_is_counted_once() -> None:
    """The double count of the model: a start at 1 s, readings at 6 and 11 s, an end at 12 s, readings after."""
    clock = ManualClock()
    timer = TaskTimer(clock)
    timer.start()
    clock.advance(1)
    timer.blocked(BlockReason.BUFFER)
    clock.advance(5)
    assert timer.read().back_pressured_ns[BlockReason.BUFFER] == 5 * NS_PER_SECOND
    clock.advance(5)
    assert timer.read().back_pressured_ns[BlockReason.BUFFER] == 10 * NS_PER_SECOND
    clock.advance(1)
    timer.busy()
    clock.advance(4)
    assert timer.read().back_pressured_ns[BlockReason.BUFFER] == 11 * NS_PER_SECOND
    clock.advance(5)
    assert timer.read().back_pressured_ns[BlockReason.BUFFER] == 11 * NS_PER_SECOND


def test_the_longest_blocked_period_includes_the_running_one() -> None:
    clock = ManualClock()
    timer = TaskTimer(clock)
    timer.start()
    timer.blocked(BlockReason.REQUEST_LIMIT)
    clock.advance(7)
    assert timer.read().longest_blocked_ns == 7 * NS_PER_SECOND


def test_a_stopped_timer_counts_no_more() -> None:
    clock = ManualClock()
    timer = TaskTimer(clock)
    timer.start()
    clock.advance(1)
    timer.stop()
    clock.advance(100)
    assert timer.read().elapsed_ns == NS_PER_SECOND


def test_the_ring_tells_which_state_began_when() -> None:
    clock = ManualClock()
    timer = TaskTimer(clock)
    timer.start()
    clock.advance_ns(10)
    timer.idle()
    clock.advance_ns(10)
    timer.busy()
    assert list(timer.transitions.read()[0]) == [(0, "busy"), (10, "idle"), (20, "busy")]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["busy", "idle", "read", *BlockReason]),
            st.integers(min_value=0, max_value=10**12),
        )
    )
)
def test_busy_idle_and_back_pressured_always_sum_to_the_time_that_passed(steps: list[tuple[str, int]]) -> None:
    clock = ManualClock()
    timer = TaskTimer(clock)
    timer.start()
    passed = 0
    for what, step_ns in steps:
        match what:
            case "busy":
                timer.busy()
            case "idle":
                timer.idle()
            case "read":
                timer.read()
            case reason:
                timer.blocked(BlockReason(reason))
        clock.advance_ns(step_ns)
        passed += step_ns
        assert timer.read().elapsed_ns == passed
