"""Whole pipelines that hold something back, until the engine names whom. Real threads, bounded waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.backpressure.settings import BackPressureMode, BackPressureSettings
from engine.core.clock import NS_PER_MS
from engine.core.records import Record
from engine.core.snapshot import BlockReason, EngineSnapshot
from engine.flow.settings import (
    FixedSettings,
    FlowControlSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    ThrottlingSettings,
    WriteLimitSettings,
)
from engine.options import EngineOptions
from engine.runtime.engine import Engine
from engine.runtime.pipeline import Pipeline
from tests.support.pipelines import CollectingExporter, ListSource, Recorder
from tests.support.waiting import wait_until

# A ratio after a fifth of a second.
QUICK = BackPressureSettings(num_samples=20, delay_between_samples_ns=10 * NS_PER_MS)


@contextmanager
def started(
    pipeline: Pipeline,
    tmp_path: Path,
    *,
    back_pressure: BackPressureSettings = QUICK,
    flow_control: FlowControlSettings | None = None,
    buffer_records: int = 500,
) -> Iterator[Engine]:
    options = EngineOptions(
        storage="memory", run_forever=True, back_pressure=back_pressure, buffer_records=buffer_records
    )
    engine = pipeline.run(tmp_path / "data", flow_control=flow_control, options=options)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop(drain=False)


def seen(engine: Engine, holds: Callable[[EngineSnapshot], object]) -> EngineSnapshot:
    """The first snapshot for which `holds`, or the last one."""
    found: list[EngineSnapshot] = []

    def look() -> object:
        found[:] = [engine.snapshot()]
        return holds(found[0])

    wait_until(look)
    return found[0]


def blames(task: str, subtask: int | None = None) -> Callable[[EngineSnapshot], bool]:
    return lambda snapshot: (
        snapshot.culprit is not None and (snapshot.culprit.task, snapshot.culprit.subtask) == (task, subtask)
    )


class Gate:
    """User code that does not return before it may."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._open = threading.Event()

    def pass_through(self, value: Any) -> Any:
        self.entered.set()
        self._open.wait()
        return value

    def open(self) -> None:
        self._open.set()


def test_a_sink_that_blocks_is_the_bottleneck_and_everybody_before_it_is_held_back(tmp_path: Path) -> None:
    gate = Gate()
    pipeline = (
        Pipeline("blocked")
        .source("source", ListSource(range(100_000), endless=True))
        .map("map", lambda value: value)
        .map("sink", gate.pass_through)
    )
    with started(pipeline, tmp_path) as engine:

        def all_held_back(snapshot: EngineSnapshot) -> bool:
            ratios = {task.task: task.back_pressure.ratio for task in snapshot.tasks if task.back_pressure}
            return (ratios.get("source"), ratios.get("map")) == (1.0, 1.0)

        snapshot = seen(engine, lambda s: all_held_back(s) and s.bottleneck == "sink")
        ratios = {task.task: task.back_pressure.ratio for task in snapshot.tasks if task.back_pressure}
        levels = {vertex.vertex_id: vertex.level for vertex in snapshot.back_pressure}
        gate.open()
        assert (ratios["source"], ratios["map"], ratios["sink"]) == (1.0, 1.0, 0.0)
        assert [levels[vertex.vertex_id] for vertex in snapshot.vertices[:3]] == ["high", "high", "ok"]
        assert snapshot.bottleneck == "sink"
        assert snapshot.culprit is not None
        assert snapshot.culprit.victims == ("source/0", "map/0")
        assert snapshot.culprit.reason is BlockReason.BUFFER
        calm = seen(engine, lambda s: s.tasks[0].back_pressure and s.tasks[0].back_pressure.ratio == 0.0)
        assert calm.tasks[0].back_pressure is not None
        assert calm.tasks[0].back_pressure.ratio == 0.0, "with the gate open it flows again"


def longest_blocked_channel(snapshot: EngineSnapshot) -> int:
    (source,) = (task for task in snapshot.tasks if task.task == "source")
    return source.blocked_by_channel_ns.index(max(source.blocked_by_channel_ns))


def test_of_eight_subtasks_exactly_the_slow_one_is_named(tmp_path: Path) -> None:
    gate = Gate()
    pipeline = (
        Pipeline("skewed")
        .source("source", ListSource(range(1_000_000), batch=10, endless=True))
        .map("work", lambda value: gate.pass_through(value) if value // 10 % 8 == 5 else value, parallelism=8)
    )
    with started(pipeline, tmp_path, buffer_records=10) as engine:
        # Where the others' threads begin late, the source waits for them first.
        snapshot = seen(engine, lambda s: blames("work", 5)(s) and longest_blocked_channel(s) == 5)
        gate.open()
    assert snapshot.culprit is not None
    assert (snapshot.culprit.task, snapshot.culprit.subtask) == ("work", 5)
    (source,) = (task for task in snapshot.tasks if task.task == "source")
    by_channel = source.blocked_by_channel_ns
    assert sum(by_channel) == source.back_pressured_ns[BlockReason.BUFFER]


def test_a_slow_exporter_behind_a_throttle_is_named_and_felt_as_flow_control(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    exporter.open_gate.clear()
    fast = CollectingExporter()
    pipeline = (
        Pipeline("throttled")
        .source("source", ListSource(range(100_000), endless=True))
        .export("fast", fast.factory)
        .export("slow", exporter.factory)
    )
    throttling = ThrottlingSettings(
        enabled=True, acceptable_backlog=100, minimum_limit=10, resolution_ns=100 * NS_PER_MS
    )
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=2000, throttling=throttling))
    with started(pipeline, tmp_path, flow_control=settings) as engine:
        snapshot = seen(engine, lambda s: blames("slow", 0)(s) and s.partitions[0].flow.throttled)
        exporter.closed = -1
        exporter.open_gate.set()
    assert snapshot.culprit is not None
    assert (snapshot.culprit.task, snapshot.bottleneck) == ("slow", "slow")
    assert snapshot.culprit.reason is BlockReason.WRITE_LIMIT
    assert snapshot.culprit.victims[-1] == "log-writer/0"


def test_a_static_limit_alone_is_flow_controls_doing(tmp_path: Path) -> None:
    pipeline = Pipeline("limited").source("source", ListSource(range(100_000), endless=True))
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=20))
    with started(pipeline, tmp_path, flow_control=settings) as engine:
        snapshot = seen(engine, blames("flow-control"))

        def writers_ratio(snapshot: EngineSnapshot) -> float:
            (writer,) = (task for task in snapshot.tasks if task.task == "log-writer")
            return 0.0 if writer.back_pressure is None else writer.back_pressure.ratio

        sampled = writers_ratio(seen(engine, lambda s: writers_ratio(s) > 0.5))
    assert snapshot.culprit is not None
    assert (snapshot.culprit.task, snapshot.culprit.vertex_id) == ("flow-control", None)
    assert snapshot.culprit.reason is BlockReason.WRITE_LIMIT
    assert sampled > 0.5, "the wait for the write limit stands on the stack"


def test_a_request_limit_behind_a_slow_processor_is_the_processors_doing(tmp_path: Path) -> None:
    gate = Gate()

    def work(record: Record, context: object) -> None:
        gate.pass_through(None)

    pipeline = (
        Pipeline("requests")
        .source("source", ListSource(range(100_000), endless=True))
        .process(lambda: Recorder(work), name="count")
    )
    settings = FlowControlSettings(
        request=RequestLimitSettings(enabled=True, algorithm=RequestAlgorithm.FIXED, fixed=FixedSettings(limit=1))
    )
    with started(pipeline, tmp_path, flow_control=settings) as engine:
        snapshot = seen(engine, blames("count", 0))
        gate.open()
    assert snapshot.culprit is not None
    assert (snapshot.culprit.task, snapshot.culprit.reason) == ("count", BlockReason.REQUEST_LIMIT)


def test_sampled_and_timed_shares_of_a_busy_pipeline_agree(tmp_path: Path) -> None:
    """A sink that sleeps 10 ms a buffer behind a source that computes: both waiting and computing tasks."""

    pause = threading.Event()

    def slow(value: int) -> int:
        if value % 50 == 0:
            pause.wait(0.01)
        return value

    pipeline = Pipeline("both").source("source", ListSource(range(10_000_000), batch=50)).map("sink", slow)
    settings = BackPressureSettings(num_samples=400, delay_between_samples_ns=5 * NS_PER_MS)
    with started(pipeline, tmp_path, back_pressure=settings, buffer_records=50) as engine:
        before = {task.task: task for task in engine.snapshot().tasks}
        snapshot = seen(engine, lambda s: s.back_pressure[0].is_fresh)
    for task in snapshot.tasks:
        then = before[task.task]
        blocked_ns = sum(task.back_pressured_ns.values()) - sum(then.back_pressured_ns.values())
        elapsed_ns = task.busy_ns + task.idle_ns + sum(task.back_pressured_ns.values())
        elapsed_ns -= then.busy_ns + then.idle_ns + sum(then.back_pressured_ns.values())
        assert task.back_pressure is not None
        assert abs(task.back_pressure.ratio - blocked_ns / elapsed_ns) <= 0.06, task
        assert task.sample_basis is not None
        assert task.sample_basis.disagreements <= 0.02 * (
            task.sample_basis.by_stack + task.sample_basis.by_transitions
        ), task


def test_on_demand_the_first_look_finds_nothing_and_a_later_one_what_it_started(tmp_path: Path) -> None:
    gate = Gate()
    pipeline = (
        Pipeline("demand").source("source", ListSource(range(100_000), endless=True)).map("sink", gate.pass_through)
    )
    settings = BackPressureSettings(
        mode=BackPressureMode.ON_DEMAND, num_samples=10, delay_between_samples_ns=10 * NS_PER_MS
    )
    with started(pipeline, tmp_path, back_pressure=settings) as engine:
        assert gate.entered.wait(20)
        source = engine.snapshot().vertices[0].vertex_id
        first = engine.look_at_back_pressure(source)
        assert (first.level, first.is_fresh) == (None, False)
        assert wait_until(lambda: engine.look_at_back_pressure(source).is_fresh)
        assert engine.look_at_back_pressure(source).level == "high"
        assert engine.sample_back_pressure(source)
        gate.open()


def test_after_the_end_nobody_is_held_back_and_nothing_is_measured(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = Pipeline("ended").source("source", ListSource(range(100))).export("all", exporter.factory)
    with pipeline.run(tmp_path / "data", options=EngineOptions(storage="memory", back_pressure=QUICK)) as engine:
        assert engine.wait(20)
        snapshot = engine.snapshot()
    assert all(task.back_pressure is None and task.recent is None for task in snapshot.tasks)
    assert (snapshot.culprit, snapshot.bottleneck) == (None, None)
    assert not engine.sample_back_pressure(snapshot.vertices[0].vertex_id)
