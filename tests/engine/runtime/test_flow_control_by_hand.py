"""Limits that are changed while an engine runs: by partition, for a time, over a restart; and what is told of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from engine import (
    ConfigurationError,
    Engine,
    EngineOptions,
    FlowControlSettings,
    Pipeline,
    Record,
    RecordFilter,
    RecordType,
    ThrottlingSettings,
    WriteLimitSettings,
    WriteSource,
)
from engine.core.clock import NS_PER_MS, NS_PER_SECOND, ManualClock, SystemClock
from engine.core.snapshot import BlockReason, Outcome
from engine.core.unit import Unit
from engine.processing.protocol import ProcessingContext
from engine.runtime.kept import OVERRIDES
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS, wait_until

MEMORY = EngineOptions(storage="memory", run_forever=True)
CONFIGURED = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=4000))
KEPT = FlowControlSettings(write=CONFIGURED.write, persist_overrides=True)


def limited(limit: int, base: FlowControlSettings = CONFIGURED) -> FlowControlSettings:
    return FlowControlSettings(
        write=WriteLimitSettings(enabled=True, limit=limit), persist_overrides=base.persist_overrides
    )


@contextmanager
def running(
    folder: Path,
    settings: FlowControlSettings = CONFIGURED,
    *,
    clock: ManualClock | None = None,
    exporter: CollectingExporter | None = None,
) -> Iterator[Engine]:
    """An engine of two partitions in which nothing happens by itself."""
    pipeline = Pipeline("p", partitions=2)
    if exporter is not None:
        pipeline.export("all", exporter.factory, filter=RecordFilter(value_types=frozenset({"penstock"})))
    engine = Engine(pipeline, folder, flow_control=settings, options=MEMORY, clock=clock)
    with engine:
        yield engine
        engine.stop(drain=False)


def limits(engine: Engine) -> dict[int, float | None]:
    return {p.partition: p.flow.write_limit_per_second for p in engine.snapshot().partitions}


def marks(engine: Engine) -> dict[int, bool]:
    return {p.partition: p.flow.overridden for p in engine.snapshot().partitions}


def test_what_is_set_for_a_time_goes_by_itself(tmp_path: Path) -> None:
    clock = ManualClock()
    with running(tmp_path, clock=clock) as engine:
        engine.apply_flow_control({1: limited(50), 2: limited(60)}, ttl_ns=60 * NS_PER_SECOND)
        engine.apply_flow_control({2: limited(70)})
        clock.advance(59)
        assert limits(engine) == {1: 50, 2: 70}
        clock.advance(1)
        assert wait_until(lambda: limits(engine)[1] == 4000)
        assert marks(engine) == {1: False, 2: True}


def test_by_default_what_is_set_by_hand_ends_with_the_run(tmp_path: Path) -> None:
    with running(tmp_path) as engine:
        engine.apply_flow_control({1: limited(50)})
    assert not (tmp_path / OVERRIDES).exists()
    with running(tmp_path) as engine:
        assert limits(engine) == {1: 4000, 2: 4000}


def test_where_that_is_asked_for_it_outlives_a_restart_with_its_time_and_its_maker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    with running(tmp_path, KEPT, clock=clock) as engine:
        engine.apply_flow_control({1: limited(50, KEPT)}, ttl_ns=60 * NS_PER_SECOND, by="alice")
        engine.apply_flow_control({2: limited(60, KEPT)})
        before = engine.flow_overrides()
    with caplog.at_level(logging.WARNING, "penstock"), running(tmp_path, KEPT, clock=clock) as engine:
        assert engine.flow_overrides() == before
        assert limits(engine) == {1: 50, 2: 60}
        assert marks(engine) == {1: True, 2: True}
        assert "partition 1: limits are still set by hand by alice" in caplog.text
        clock.advance(60)
        assert wait_until(lambda: limits(engine)[1] == 4000)
        engine.revert_flow_control()
    with running(tmp_path, KEPT, clock=clock) as engine:
        assert limits(engine) == {1: 4000, 2: 4000}


def test_a_file_of_overrides_that_cannot_be_understood_is_left_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path, KEPT) as engine:
        engine.apply_flow_control({1: limited(50, KEPT)})
    written = (tmp_path / OVERRIDES).read_text()
    for spoiled in ("", "{", "[]", written.replace('"limit":50', '"limit":-50'), written.replace("50", '"x"')):
        (tmp_path / OVERRIDES).write_text(spoiled)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "penstock"), running(tmp_path, KEPT) as engine:
            assert limits(engine) == {1: 4000, 2: 4000}
        assert "is not read, the configured limits hold" in caplog.text


def test_what_cannot_be_kept_is_not_changed_either(tmp_path: Path) -> None:
    with running(tmp_path, KEPT) as engine:
        (tmp_path / OVERRIDES).mkdir()
        with pytest.raises(ConfigurationError, match="cannot be stored"):
            engine.apply_flow_control({1: limited(50, KEPT)})
        assert limits(engine) == {1: 4000, 2: 4000}


def test_each_change_by_hand_is_a_record_in_the_log_and_a_line_for_who_is_on_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exporter, clock = CollectingExporter(), ManualClock()
    with caplog.at_level(logging.WARNING, "penstock"), running(tmp_path, clock=clock, exporter=exporter) as engine:
        engine.apply_flow_control({1: limited(50)}, ttl_ns=90 * NS_PER_SECOND, by="alice")
        clock.advance(90)
        assert wait_until(lambda: limits(engine)[1] == 4000)

        def told() -> list[Record]:
            return [r for r in exporter.records.get(1, []) if r.intent.startswith("limit")]

        assert wait_until(lambda: len(told()) == 4)
        lowered, overridden, raised, reverted = told()
        assert [r.intent for r in told()] == ["limit_changed", "limits_overridden", "limit_changed", "limits_reverted"]
        assert (lowered.value["oldLimit"], lowered.value["newLimit"]) == (4000, 50)
        assert lowered.value["reason"] == "the settings were changed; throttling is off"
        assert overridden.value["by"] == "alice"
        assert overridden.value["until"] - overridden.value["since"] == 90_000
        assert overridden.value["settings"]["write"]["limit"] == 50
        assert raised.value["newLimit"] == 4000
        assert reverted.value["why"] == "the time of what was set by hand is over"
        assert reverted.value["settings"]["write"]["limit"] == 4000
        accepted = engine.snapshot().partitions[0].flow.writes[WriteSource.INTERNAL, Outcome.ACCEPTED]
        assert accepted == 5
    assert "partition 1: limits were set by hand by alice for 1m30s: 50 records/s; requests are not" in caplog.text
    assert "partition 1: the configured limits hold again, the time of what was set by hand is over" in caplog.text


def test_throttled_time_is_the_sum_of_the_episodes_of_a_partition(tmp_path: Path) -> None:
    throttling = ThrottlingSettings(
        enabled=True,
        acceptable_backlog=400,
        resolution_ns=20 * NS_PER_MS,
        measurement_window_ns=1000 * NS_PER_MS,
        measurement_resolution_ns=50 * NS_PER_MS,
    )
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=4000, throttling=throttling))
    pipeline = Pipeline("p").source("n", ListSource(range(10**9), batch=100))
    pipeline.export("slow", CollectingExporter().factory)
    with pipeline.run(tmp_path, flow_control=settings, options=EngineOptions(storage="memory")) as engine:
        for _ in range(2):
            engine.pause_exporter("slow", paused=True)
            assert wait_until(lambda: engine.snapshot().partitions[0].flow.throttled)
            assert engine.throttling_episodes()[-1].end_wall_ns is None
            engine.pause_exporter("slow", paused=False)
            assert wait_until(lambda: not engine.snapshot().partitions[0].flow.throttled)
        engine.stop(drain=False)
    before_ns = engine.snapshot().partitions[0].flow.throttled_ns
    episodes = engine.throttling_episodes()
    after_ns = engine.snapshot().partitions[0].flow.throttled_ns
    # An episode may still be running.
    assert before_ns <= sum(episode.throttled_ns for episode in episodes) <= after_ns
    assert sum(episode.end_wall_ns is not None for episode in episodes) >= 2
    assert all(e.lowest_limit_per_second < 4000 and e.peak_backlog_records > 200 for e in episodes)


def blocked(engine: Engine, task: str) -> bool:
    return any(t.task == task and t.state == BlockReason.WRITE_LIMIT for t in engine.snapshot().tasks)


def test_a_raised_limit_frees_a_waiting_writer_within_50_ms(tmp_path: Path) -> None:
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=1))
    source = ListSource(range(100_000), batch=1000)
    pipeline = Pipeline("p").source("n", source)
    times_ms = []
    with pipeline.run(tmp_path, flow_control=settings, options=EngineOptions(storage="memory")) as engine:
        clock = SystemClock()
        for _ in range(5):
            engine.revert_flow_control()
            assert wait_until(lambda: blocked(engine, "log-writer"))
            written = engine.snapshot().partitions[0].last_written_position
            began_ns = clock.monotonic_ns()
            engine.apply_flow_control({1: limited(1_000_000)})
            # Two more than the records that tell of the change.
            assert wait_until(lambda w=written: engine.snapshot().partitions[0].last_written_position > w + 10)
            times_ms.append((clock.monotonic_ns() - began_ns) / NS_PER_MS)
        engine.stop(drain=False)
    # The best of a few: the machine may be busy with something else.
    assert min(times_ms) < 50


def test_a_stop_frees_all_who_wait_for_a_limit(tmp_path: Path) -> None:
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=1))
    pipeline = Pipeline("p", partitions=2).source("n", ListSource(range(100_000), batch=1000)).key_by(str)
    with pipeline.run(tmp_path, flow_control=settings, options=EngineOptions(storage="memory")) as engine:
        assert wait_until(lambda: sum(p.flow.waiting_writers for p in engine.snapshot().partitions) == 2)
        stopping = Thread(target=engine.stop, kwargs={"drain": False}, daemon=True)
        stopping.start()
        stopping.join(WAIT_SECONDS)
        assert not stopping.is_alive()
    assert all(p.flow.waiting_writers == 0 for p in engine.snapshot().partitions)


# -- commands that finish work ---


class Jobs:
    """Tells of each command that it was done."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        context.emit("job", record.value, intent=f"{record.intent} done")


def accepted(engine: Engine, source: WriteSource) -> int:
    return engine.snapshot().partitions[0].flow.writes[source, Outcome.ACCEPTED]


@pytest.mark.parametrize(("intent", "free"), [("complete", False), ("create", True)])
def test_a_source_is_held_by_a_limit_unless_its_commands_are_always_allowed(
    tmp_path: Path, intent: str, free: bool
) -> None:
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=1))
    source = ListSource([{"n": n} for n in range(1000)], batch=100)
    pipeline = Pipeline("p").always_allow(intent, value_type="record").source("n", source).process(Jobs)
    with pipeline.run(tmp_path, flow_control=settings, options=EngineOptions(storage="memory")) as engine:
        if free:
            assert wait_until(lambda: accepted(engine, WriteSource.PROCESSING_RESULT) == 1000)
            assert accepted(engine, WriteSource.USER_COMMAND) == 1000
        else:
            assert wait_until(lambda: blocked(engine, "log-writer"))
        engine.stop(drain=False)


def test_results_of_finished_work_pass_in_front_of_a_command_whose_results_are_held_back(tmp_path: Path) -> None:
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=1))
    pipeline = Pipeline("p").always_allow("complete").process(Jobs)
    with pipeline.run(tmp_path, flow_control=settings, options=MEMORY) as engine:
        partition = engine._partitions[1]
        # An hour of debt: whoever must wait does.
        partition.try_acquire(WriteSource.SCHEDULED, 3600, always_allowed=True)
        commands = [
            Record(RecordType.COMMAND, "job", intent, "", None)
            for intent in ("complete", "complete", "create", "complete")
        ]
        partition.append(Unit(source=WriteSource.USER_COMMAND, records=commands))
        assert wait_until(lambda: blocked(engine, "processor"))
        assert accepted(engine, WriteSource.PROCESSING_RESULT) == 2
        engine.apply_flow_control({1: FlowControlSettings()})
        assert wait_until(lambda: accepted(engine, WriteSource.PROCESSING_RESULT) == 4)
        engine.stop(drain=False)
