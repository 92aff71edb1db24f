from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.backpressure.judgement import NoVerdict, verdict_at, verdict_of_look, verdict_of_state
from engine.backpressure.markers import Look
from engine.backpressure.window import Verdict
from engine.core.snapshot import BlockReason
from engine.tasks.timers import TaskState

STATES: list[TaskState] = ["busy", "idle", *BlockReason]
TRANSITIONS: list[tuple[int, TaskState]] = [(10, "busy"), (20, BlockReason.BUFFER), (30, "idle")]


def test_the_state_that_began_last_before_a_moment_decides() -> None:
    assert verdict_at(TRANSITIONS, False, 19) is Verdict.BUSY
    assert verdict_at(TRANSITIONS, False, 20) is Verdict.BLOCKED
    assert verdict_at(TRANSITIONS, False, 29) is Verdict.BLOCKED
    assert verdict_at(TRANSITIONS, False, 1000) is Verdict.IDLE


def test_before_the_first_transition_a_task_had_not_started() -> None:
    assert verdict_at(TRANSITIONS, False, 9) is NoVerdict.NOT_STARTED


def test_before_the_oldest_transition_that_is_kept_nothing_is_known() -> None:
    assert verdict_at(TRANSITIONS, True, 9) is NoVerdict.FORGOTTEN


@given(st.lists(st.tuples(st.integers(1, 100), st.sampled_from(STATES)), min_size=1), st.integers(0, 10_000))
def test_it_is_the_state_a_plain_walk_finds(steps: list[tuple[int, TaskState]], at_ns: int) -> None:
    now, transitions = 0, []
    for step, state in steps:
        now += step
        transitions.append((now, state))
    expected: Verdict | NoVerdict = NoVerdict.NOT_STARTED
    for since, state in transitions:
        if since <= at_ns:
            expected = verdict_of_state(state)
    assert verdict_at(transitions, False, at_ns) is expected


def test_the_stack_decides_who_is_held_back_whatever_the_timer_says() -> None:
    assert verdict_of_look(Look.HELD_BACK, "busy") is Verdict.BLOCKED
    assert verdict_of_look(Look.NEITHER, BlockReason.BUFFER) is Verdict.BUSY


def test_who_is_not_held_back_is_idle_by_its_timer_or_its_stack() -> None:
    assert verdict_of_look(Look.NEITHER, "idle") is Verdict.IDLE
    assert verdict_of_look(Look.WAITS_FOR_INPUT, None) is Verdict.IDLE
    assert verdict_of_look(Look.NEITHER, None) is Verdict.BUSY
