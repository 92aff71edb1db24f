"""The classic rules, on a clock turned by hand; refresh after 60 s, clean-up after 600 s unless a test says else."""

from __future__ import annotations

from engine.backpressure.tracker import Ended, Failure, Measurement, MeasurementTracker
from engine.backpressure.window import Counts
from engine.core.clock import NS_PER_SECOND, ManualClock

VERTEX = "a" * 32
OTHER = "b" * 32


class Tracked:
    """A tracker whose measurements end when the test says so."""

    def __init__(self, *, refresh_s: float = 60, cleanup_s: float = 600) -> None:
        self.clock = ManualClock()
        self.started: list[str] = []
        self._ended: dict[str, Ended] = {}
        self.job_is_over = False
        self.tracker = MeasurementTracker(
            self.clock,
            refresh_interval_ns=round(refresh_s * NS_PER_SECOND),
            cleanup_interval_ns=round(cleanup_s * NS_PER_SECOND),
            start=self._start,
            is_over=lambda: self.job_is_over,
        )

    def _start(self, vertex_id: str, ended: Ended) -> None:
        self.started.append(vertex_id)
        self._ended[vertex_id] = ended

    def end(self, *ratios: float, vertex_id: str = VERTEX, problem: str | None = None) -> Measurement:
        readings = {}
        for number, ratio in enumerate(ratios):
            blocked = round(100 * ratio)
            reading = Counts(busy=100 - blocked, idle=0, blocked=blocked).reading(self.clock.wall_ns())
            assert reading is not None
            readings[number] = reading
        measurement = Measurement(
            subtasks=readings,
            ended_ns=self.clock.monotonic_ns(),
            ended_wall_ns=self.clock.wall_ns(),
            problem=problem,
        )
        self._ended.pop(vertex_id)(measurement)
        return measurement

    def fail(self, text: str, vertex_id: str = VERTEX) -> None:
        self._ended.pop(vertex_id)(Failure(text=text))


def test_the_first_look_finds_nothing_and_starts_a_measurement() -> None:
    tracked = Tracked()
    assert tracked.tracker.get(VERTEX) is None
    assert tracked.started == [VERTEX]
    assert tracked.tracker.is_pending(VERTEX)


def test_further_looks_while_it_runs_start_none() -> None:
    tracked = Tracked()
    for _ in range(5):
        assert tracked.tracker.get(VERTEX) is None
    assert tracked.started == [VERTEX]


def test_vertices_are_measured_independently() -> None:
    tracked = Tracked()
    tracked.tracker.get(VERTEX)
    tracked.tracker.get(OTHER)
    assert tracked.started == [VERTEX, OTHER]
    tracked.end(0.25, vertex_id=OTHER)
    assert tracked.tracker.get(VERTEX) is None
    assert tracked.tracker.get(OTHER) is not None


def test_after_it_ended_looks_find_it_and_start_none_for_the_refresh_interval() -> None:
    tracked = Tracked()
    tracked.tracker.get(VERTEX)
    measured = tracked.end(0.25, 0.5, 0.75, 1.0)
    assert [reading.ratio for reading in measured.subtasks.values()] == [0.25, 0.5, 0.75, 1.0]
    tracked.clock.advance(59.999)
    assert tracked.tracker.get(VERTEX) is measured
    assert tracked.tracker.is_fresh(measured)
    assert tracked.started == [VERTEX]


def test_a_look_at_something_too_old_returns_it_and_starts_a_new_measurement() -> None:
    tracked = Tracked()
    tracked.tracker.get(VERTEX)
    old = tracked.end(0.1)
    tracked.clock.advance(60)
    assert tracked.tracker.get(VERTEX) is old
    assert not tracked.tracker.is_fresh(old)
    assert tracked.started == [VERTEX, VERTEX]
    new = tracked.end(0.2)
    assert tracked.tracker.get(VERTEX) is new
    assert tracked.started == [VERTEX, VERTEX]


def test_with_a_refresh_interval_of_0_every_look_measures_anew() -> None:
    tracked = Tracked(refresh_s=0)
    tracked.tracker.get(VERTEX)
    measured = tracked.end(0.31, 0.48, 1.0, 0.0)
    assert tracked.tracker.get(VERTEX) is measured
    assert not tracked.tracker.is_fresh(measured)
    assert tracked.started == [VERTEX, VERTEX]


def test_what_nobody_looks_at_is_dropped_after_the_clean_up_interval() -> None:
    tracked = Tracked(cleanup_s=10)
    tracked.tracker.get(VERTEX)
    tracked.end(1.0)
    tracked.clock.advance(9.999)
    tracked.tracker.clean_up()
    assert tracked.tracker.peek(VERTEX) is not None
    tracked.clock.advance(0.001)
    tracked.tracker.clean_up()
    assert tracked.tracker.peek(VERTEX) is None
    assert tracked.tracker.get(VERTEX) is None


def test_frequent_looks_keep_even_old_measurements_alive() -> None:
    tracked = Tracked(cleanup_s=10)
    tracked.tracker.get(VERTEX)
    old = tracked.end(1.0)
    for _ in range(20):
        tracked.clock.advance(9)
        tracked.tracker.clean_up()
        assert tracked.tracker.get(VERTEX) is old


def test_peeking_neither_measures_nor_keeps_alive() -> None:
    tracked = Tracked(cleanup_s=10)
    assert tracked.tracker.peek(VERTEX) is None
    assert tracked.started == []
    tracked.tracker.get(VERTEX)
    tracked.end(1.0)
    tracked.clock.advance(5)
    tracked.tracker.peek(VERTEX)
    tracked.clock.advance(5)
    tracked.tracker.clean_up()
    assert tracked.tracker.peek(VERTEX) is None


def test_after_a_failure_nothing_is_kept_the_reason_is_and_the_next_look_measures_again() -> None:
    tracked = Tracked()
    tracked.tracker.get(VERTEX)
    tracked.fail("task parse is not running")
    assert tracked.tracker.problem(VERTEX) == "task parse is not running"
    assert tracked.tracker.get(VERTEX) is None
    assert tracked.started == [VERTEX, VERTEX]
    tracked.end(0.5)
    assert tracked.tracker.problem(VERTEX) is None


def test_a_failure_leaves_what_was_measured_before() -> None:
    tracked = Tracked(refresh_s=0)
    tracked.tracker.get(VERTEX)
    old = tracked.end(0.5)
    tracked.tracker.get(VERTEX)
    tracked.fail("too late")
    assert tracked.tracker.get(VERTEX) is old


def test_a_partial_result_is_kept_with_its_reason() -> None:
    tracked = Tracked()
    tracked.tracker.get(VERTEX)
    tracked.end(0.5, problem="subtask 1 was not running")
    assert tracked.tracker.get(VERTEX) is not None
    assert tracked.tracker.problem(VERTEX) == "subtask 1 was not running"


def test_a_job_that_is_over_is_not_measured() -> None:
    tracked = Tracked()
    tracked.job_is_over = True
    assert tracked.tracker.get(VERTEX) is None
    assert not tracked.tracker.trigger(VERTEX)
    assert tracked.started == []


def test_a_result_that_comes_after_the_end_of_the_job_is_dropped() -> None:
    tracked = Tracked()
    tracked.tracker.get(VERTEX)
    tracked.job_is_over = True
    tracked.end(1.0)
    assert tracked.tracker.peek(VERTEX) is None
    assert not tracked.tracker.is_pending(VERTEX)


def test_after_shutdown_there_is_nothing_and_nothing_starts() -> None:
    tracked = Tracked()
    tracked.tracker.get(VERTEX)
    tracked.tracker.get(OTHER)
    tracked.end(1.0)
    tracked.tracker.shut_down()
    assert tracked.tracker.get(VERTEX) is None
    tracked.end(1.0, vertex_id=OTHER)
    assert tracked.tracker.get(OTHER) is None
    assert tracked.started == [VERTEX, OTHER]


def test_a_step_of_the_wall_clock_makes_nothing_old() -> None:
    tracked = Tracked()
    tracked.tracker.get(VERTEX)
    measured = tracked.end(1.0)
    tracked.clock.jump_wall(3600)
    assert tracked.tracker.is_fresh(measured)


def test_a_forced_measurement_runs_although_the_last_one_is_fresh_but_only_once_at_a_time() -> None:
    tracked = Tracked()
    tracked.tracker.get(VERTEX)
    tracked.end(1.0)
    assert tracked.tracker.trigger(VERTEX)
    assert not tracked.tracker.trigger(VERTEX)
    assert tracked.started == [VERTEX, VERTEX]
