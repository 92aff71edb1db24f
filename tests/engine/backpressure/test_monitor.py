"""The monitor over real threads that stand still, on a clock turned by hand: 10 samples, 100 ms apart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.backpressure.markers import Markers
from engine.backpressure.monitor import BackPressureMonitor
from engine.backpressure.settings import BackPressureMode, BackPressureSettings
from engine.core.clock import NS_PER_MS, ManualClock, SystemClock
from engine.core.errors import ConfigurationError
from engine.core.identity import stable_id
from engine.core.snapshot import EngineSnapshot, SamplingProgress, TaskSnapshot, VertexKind, VertexSnapshot
from engine.tasks.buffers import LocalBufferPool
from engine.tasks.subtask import Subtask
from tests.support.snapshots import engine_snapshot
from tests.support.subjects import InTheMiddle
from tests.support.waiting import wait_until

VERTEX = VertexSnapshot(vertex_id=stable_id("t", "parse"), task="parse", kind=VertexKind.TRANSFORM, parallelism=4)


class Bench:
    """Four subtasks; each waits for a buffer of its exhausted pool, and when it gets one, for the end of the test."""

    def __init__(self, mode: BackPressureMode, settings: BackPressureSettings | None = None) -> None:
        self.clock = ManualClock()
        self.over = threading.Event()
        self.job_is_over = False
        self.subtasks = [Subtask(VERTEX, number, self.clock, failed=lambda *_: None) for number in range(4)]
        self.pools = [LocalBufferPool(1, subtask.timer) for subtask in self.subtasks]
        for subtask, pool in zip(self.subtasks, self.pools, strict=True):
            subtask.pool = pool
            subtask.body = lambda pool=pool: self._body(pool)
        self.monitor = BackPressureMonitor(
            settings or BackPressureSettings(mode=mode, num_samples=10, delay_between_samples_ns=100 * NS_PER_MS),
            self.clock,
            [VERTEX],
            self.subtasks,
            Markers(held_back=[LocalBufferPool.request_buffer_blocking]),
            is_over=lambda: self.job_is_over,
            random=InTheMiddle(),
        )

    def _body(self, pool: LocalBufferPool) -> None:
        while pool.request_buffer(0):
            pass
        pool.request_buffer_blocking(0)
        self.over.wait()

    def start(self) -> None:
        for subtask in self.subtasks:
            subtask.start()
        assert wait_until(lambda: all(subtask.timer.read().state == "buffer" for subtask in self.subtasks))

    def release(self, number: int) -> None:
        self.pools[number].recycle(0)
        assert wait_until(lambda: self.subtasks[number].timer.read().state == "busy")

    def end(self) -> None:
        self.over.set()
        for pool, subtask in zip(self.pools, self.subtasks, strict=True):
            pool.close()
            assert subtask.join(20)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(0.1)
            self.monitor.advance()

    def snapshot(self) -> EngineSnapshot:
        plain = engine_snapshot(vertices=(VERTEX,), tasks=tuple(subtask.snapshot() for subtask in self.subtasks))
        return self.monitor.completed(plain)

    def task(self, number: int) -> TaskSnapshot:
        return self.snapshot().tasks[number]


@pytest.fixture
def continuous() -> Iterator[Bench]:
    bench = Bench(BackPressureMode.CONTINUOUS)
    bench.start()
    yield bench
    bench.end()


@pytest.fixture
def on_demand() -> Iterator[Bench]:
    bench = Bench(BackPressureMode.ON_DEMAND)
    bench.start()
    yield bench
    bench.end()


def test_tasks_on_an_exhausted_pool_are_held_back_all_the_time_and_released_ones_never(continuous: Bench) -> None:
    continuous.tick(10)
    seen = continuous.monitor.look_at(VERTEX.vertex_id)
    assert [reading.ratio for reading in seen.subtasks.values()] == [1.0] * 4
    assert (seen.level, seen.is_fresh) == ("high", True)
    for number in range(4):
        continuous.release(number)
    continuous.tick(10)
    seen = continuous.monitor.look_at(VERTEX.vertex_id)
    assert [reading.ratio for reading in seen.subtasks.values()] == [0.0] * 4
    assert seen.level == "ok"


def test_a_vertex_is_as_bad_as_the_worst_of_its_subtasks(continuous: Bench) -> None:
    for number in (0, 1, 2):
        continuous.release(number)
    continuous.tick(10)
    seen = continuous.monitor.look_at(VERTEX.vertex_id)
    assert [reading.level for reading in seen.subtasks.values()] == ["ok", "ok", "ok", "high"]
    assert seen.level == "high"


def test_continuously_there_is_a_ratio_from_the_first_sample_on_and_it_is_fresh_once_the_window_is_full(
    continuous: Bench,
) -> None:
    assert continuous.task(0).back_pressure is None
    assert not continuous.monitor.look_at(VERTEX.vertex_id).is_fresh
    continuous.tick(9)
    reading = continuous.task(0).back_pressure
    assert reading is not None
    assert reading.samples == 9
    assert not continuous.monitor.look_at(VERTEX.vertex_id).is_fresh
    continuous.tick()
    assert continuous.monitor.look_at(VERTEX.vertex_id).is_fresh
    assert continuous.task(0).sample_basis is not None


def test_continuously_a_click_takes_a_fresh_sample_and_shows_how_far_it_is(continuous: Bench) -> None:
    continuous.tick(20)
    assert continuous.monitor.look_at(VERTEX.vertex_id).sampling is None
    assert continuous.monitor.sample(VERTEX.vertex_id)
    assert not continuous.monitor.sample(VERTEX.vertex_id), "one is under way"
    continuous.tick(3)
    assert continuous.monitor.look_at(VERTEX.vertex_id).sampling == SamplingProgress(taken=3, of=10)
    continuous.tick(7)
    assert continuous.monitor.look_at(VERTEX.vertex_id).sampling is None


def test_on_demand_nothing_is_sampled_before_somebody_looks(on_demand: Bench) -> None:
    on_demand.tick(50)
    assert on_demand.task(0).back_pressure is None
    assert on_demand.snapshot().sampler is not None
    assert on_demand.snapshot().sampler.ticks == 0  # type: ignore[union-attr]


def test_on_demand_a_look_starts_a_measurement_that_later_looks_find(on_demand: Bench) -> None:
    first = on_demand.monitor.look_at(VERTEX.vertex_id)
    assert (first.level, first.is_fresh, first.sampling) == (None, False, SamplingProgress(taken=0, of=10))
    on_demand.tick(4)
    again = on_demand.monitor.look_at(VERTEX.vertex_id)
    assert (again.level, again.sampling) == (None, SamplingProgress(taken=4, of=10))
    on_demand.tick(6)
    found = on_demand.monitor.look_at(VERTEX.vertex_id)
    assert (found.level, found.is_fresh, found.sampling) == ("high", True, None)
    assert found.sampled_wall_ns == on_demand.clock.wall_ns()
    reading = on_demand.task(0).back_pressure
    assert reading is not None
    assert reading.samples == 10


def test_on_demand_with_the_documented_settings_there_is_data_about_five_seconds_after_the_first_look() -> None:
    bench = Bench(BackPressureMode.ON_DEMAND, BackPressureSettings(mode=BackPressureMode.ON_DEMAND))
    bench.start()
    bench.monitor.look_at(VERTEX.vertex_id)
    waited_ms = 0
    while not bench.monitor.look_at(VERTEX.vertex_id).is_fresh:
        bench.clock.advance(0.01)
        bench.monitor.advance()
        waited_ms += 10
        assert waited_ms < 10_000
    bench.end()
    assert 4900 <= waited_ms <= 5000
    bench.clock.advance(59.9)
    assert bench.monitor.look_at(VERTEX.vertex_id).is_fresh
    bench.clock.advance(0.1)
    assert not bench.monitor.look_at(VERTEX.vertex_id).is_fresh


def test_on_demand_a_measurement_is_stale_after_a_minute_and_measured_anew_when_looked_at(on_demand: Bench) -> None:
    on_demand.monitor.look_at(VERTEX.vertex_id)
    on_demand.tick(10)
    on_demand.clock.advance(60)
    stale = on_demand.monitor.look_at(VERTEX.vertex_id)
    assert (stale.level, stale.is_fresh, stale.sampling) == ("high", False, SamplingProgress(taken=0, of=10))


def test_on_demand_the_metric_is_absent_again_after_the_clean_up(on_demand: Bench) -> None:
    on_demand.monitor.look_at(VERTEX.vertex_id)
    on_demand.tick(10)
    assert on_demand.task(0).back_pressure is not None
    on_demand.clock.advance(600)
    on_demand.tick()
    assert on_demand.task(0).back_pressure is None


def test_taking_a_snapshot_is_no_look(on_demand: Bench) -> None:
    on_demand.snapshot()
    on_demand.tick(10)
    assert on_demand.snapshot().back_pressure[0].level is None


def test_looks_from_many_threads_start_one_measurement(on_demand: Bench) -> None:
    threads = [
        threading.Thread(target=on_demand.monitor.look_at, args=(VERTEX.vertex_id,), daemon=True) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    on_demand.tick(10)
    sampler = on_demand.snapshot().sampler
    assert sampler is not None
    assert sampler.ticks == 10
    assert on_demand.monitor.look_at(VERTEX.vertex_id).is_fresh


def test_a_subtask_that_ended_has_no_ratio_and_the_others_go_on(continuous: Bench) -> None:
    continuous.tick(5)
    continuous.pools[2].close()
    assert continuous.subtasks[2].join(20)
    continuous.tick(5)
    assert [task.back_pressure is None for task in continuous.snapshot().tasks] == [False, False, True, False]
    assert list(continuous.monitor.look_at(VERTEX.vertex_id).subtasks) == [0, 1, 3]


def test_on_demand_a_vertex_that_does_not_run_says_why_there_is_nothing() -> None:
    bench = Bench(BackPressureMode.ON_DEMAND)
    bench.start()
    bench.end()
    bench.monitor.look_at(VERTEX.vertex_id)
    bench.tick()
    seen = bench.monitor.look_at(VERTEX.vertex_id)
    assert seen.level is None
    assert seen.problem == "task parse is not running and cannot be sampled"


def test_when_the_job_is_over_nothing_is_measured(on_demand: Bench) -> None:
    on_demand.job_is_over = True
    assert on_demand.monitor.look_at(VERTEX.vertex_id).sampling is None
    assert not on_demand.monitor.sample(VERTEX.vertex_id)


def test_an_unknown_vertex_is_an_error_in_one_sentence(continuous: Bench) -> None:
    with pytest.raises(ConfigurationError, match="there is no vertex 'nope'"):
        continuous.monitor.look_at("nope")
    with pytest.raises(ConfigurationError):
        continuous.monitor.sample("nope")


def test_the_time_held_back_is_told_by_downstream_channel(continuous: Bench) -> None:
    continuous.tick(20)
    task = continuous.task(0)
    assert task.blocked_by_channel_ns == (round(2.0 * 1e9),)
    assert task.recent is not None
    assert task.recent.blocked_share == 1.0
    assert continuous.snapshot().culprit is None, "this plan does not say who comes next"


def test_a_look_that_fails_does_not_end_the_monitor(continuous: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Of a monitor on real time: its first look stumbles, and later ones serve."""

    class Stumbling(SystemClock):
        """Fails once, in the monitor's thread."""

        failures = 1

        def __init__(self) -> None:
            super().__init__()
            plain = self.monotonic_ns

            def monotonic_ns() -> int:
                if threading.current_thread().name == "penstock-back-pressure" and Stumbling.failures:
                    Stumbling.failures -= 1
                    raise OSError("no clock today")
                return plain()

            self.monotonic_ns = monotonic_ns

    monitor = BackPressureMonitor(
        replace(BackPressureSettings(), num_samples=3, delay_between_samples_ns=NS_PER_MS),
        Stumbling(),
        [VERTEX],
        continuous.subtasks,
        Markers(held_back=[LocalBufferPool.request_buffer_blocking]),
        is_over=lambda: False,
    )
    monitor.start()
    try:
        assert wait_until(lambda: monitor.look_at(VERTEX.vertex_id).is_fresh)
    finally:
        monitor.stop()
    assert [record.message for record in caplog.records if "look at the tasks" in record.message]
