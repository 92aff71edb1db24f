"""The engine as a whole, over memory or a real folder, on the real clock with bounded waits."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from engine import (
    ConfigurationError,
    DataFolderError,
    Engine,
    EngineOptions,
    FlowControlSettings,
    Pipeline,
    Record,
    RecordFilter,
    Source,
    TaskFailedError,
    ThrottlingSettings,
    WriteLimitSettings,
    WriteSource,
)
from engine.core.identity import partition_of
from engine.core.snapshot import BlockReason, EngineState, ExporterState, Outcome, TaskStatus, VertexKind
from engine.kafka.settings import KafkaConnection, KafkaLogSettings
from engine.log.local.storage import LocalLogStorage
from engine.processing.protocol import ProcessingContext
from engine.sources.generator import generator
from engine.sources.lines import lines
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS, wait_until

MEMORY = EngineOptions(storage="memory")


class Doubler:
    """Emits twice the number it is given, and counts."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value["n"] == 13:
            raise ValueError("13 is not to my liking")
        context.state.put("count", context.state.get("count", 0) + 1)
        context.emit("doubled", {"n": record.value["n"] * 2})


def numbers(count: int) -> list[dict[str, Any]]:
    return [{"n": n, "k": f"key {n % 5}"} for n in range(count)]


def ran(pipeline: Pipeline, folder: Path, **kwargs: Any) -> Engine:
    with pipeline.run(folder, **kwargs) as engine:
        assert engine.wait(WAIT_SECONDS)
    return engine


def test_every_value_is_processed_once_and_exported_in_the_order_of_its_partition(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p", partitions=3)
        .source("numbers", ListSource(numbers(1000)))
        .process(Doubler, key="k")
        .export("all", exporter.factory)
    )
    engine = ran(pipeline, tmp_path)
    commands = [
        r for rs in exporter.records.values() for r in rs if r.value_type == "record" and r.record_type == "command"
    ]
    assert sorted(r.value["n"] for r in commands) == list(range(1000))
    assert sorted(exporter.values("doubled"), key=lambda v: v["n"]) == [{"n": 2 * n} for n in range(1000) if n != 13]
    for records in exporter.records.values():
        assert [r.position for r in records] == list(range(2, len(records) + 2))
    by_key: dict[str, list[int]] = {}
    for record in commands:
        by_key.setdefault(record.key, []).append(record.value["n"])
    assert all(found == sorted(found) for found in by_key.values())
    assert engine.state is EngineState.FINISHED


def test_a_second_run_reads_processes_and_exports_nothing_again(tmp_path: Path) -> None:
    source, exporter = ListSource(numbers(200)), CollectingExporter()

    def pipeline() -> Pipeline:
        wanted = RecordFilter(value_types=frozenset({"doubled"}))
        return (
            Pipeline("p", partitions=2)
            .source("numbers", source)
            .process(Doubler, key="k")
            .export("doubled", exporter.factory, filter=wanted)
        )

    ran(pipeline(), tmp_path)
    first = list(exporter.values())
    ran(pipeline(), tmp_path)
    assert exporter.values() == first
    assert source.started_at[1].offset == 200
    assert source.started_at[1].cursor == b"200"


def test_parallel_transforms_keep_the_order_of_the_source(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p", partitions=2)
        .source("numbers", ListSource(numbers(3000), batch=3))
        .map("as_is", lambda value: value, parallelism=3)
        .flat_map("twice", lambda value: [value, {**value, "again": True}], parallelism=2)
        .filter("no_threes", lambda value: value["n"] % 3 != 0)
        .key_by("k")
        .export("all", exporter.factory)
    )
    ran(pipeline, tmp_path)
    for records in exporter.records.values():
        values = [(r.value["n"], "again" in r.value) for r in records if r.value_type == "record"]
        assert values == sorted(values)
    assert len(exporter.values("record")) == 4000


def test_a_value_that_a_step_cannot_use_is_kept_with_its_place_and_the_run_goes_on(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p")
        .source("lines", ListSource(["1", "2", "three", "4"]))
        .filter("odd", lambda text: text != "2")
        .map("parse", int)
        .export("all", exporter.factory)
    )
    engine = ran(pipeline, tmp_path)
    assert exporter.values("record") == [1, 4]
    (line,) = (tmp_path / "rejects" / "parse.ndjson").read_text().splitlines()
    assert '"offset":3' in line
    assert "invalid literal for int() with base 10: 'three'" in line
    (parse,) = [task for task in engine.snapshot().tasks if task.task == "parse"]
    assert parse.rejected == {"error": 1, "processor": 0}


def test_a_line_that_is_too_long_is_rejected_with_its_number_and_the_others_keep_theirs(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"1\n" + b"2" * 5000 + b"\nthree\n4\n")
    exporter = CollectingExporter()
    source = lines(tmp_path / "in.txt", line_bytes_max=1000)
    pipeline = Pipeline("p").source("lines", source).map("parse", int).export("all", exporter.factory)
    ran(pipeline, tmp_path / "data")
    assert exporter.values("record") == [1, 4]
    (too_long,) = (tmp_path / "data" / "rejects" / "lines.ndjson").read_text().splitlines()
    assert '"offset":2' in too_long
    assert '"value":"2222' in too_long
    (no_number,) = (tmp_path / "data" / "rejects" / "parse.ndjson").read_text().splitlines()
    assert '"offset":3' in no_number


def test_a_step_that_is_told_to_stop_ends_the_run_with_the_place(tmp_path: Path) -> None:
    pipeline = Pipeline("p").source("lines", ListSource(["1", "x"])).map("parse", int, on_error="stop").process(Doubler)
    with (
        pipeline.run(tmp_path) as engine,
        pytest.raises(TaskFailedError, match=r"task parse/0 .* parse failed at lines:2"),
    ):
        engine.wait(WAIT_SECONDS)
    assert engine.state is EngineState.FAILED


def test_a_record_whose_processing_raises_is_tried_again_and_then_rejected(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p").source("n", ListSource(numbers(20))).process(Doubler, attempts=2).export("all", exporter.factory)
    )
    engine = ran(pipeline, tmp_path)
    (rejection,) = [r for r in exporter.records[1] if r.record_type == "rejection"]
    assert rejection.value == {"reason": "ValueError: 13 is not to my liking", "value": {"n": 13, "k": "key 3"}}
    # The first record of a log is the engine's own.
    assert exporter.records[1][rejection.source_position - 2].value["n"] == 13
    (processor,) = [task for task in engine.snapshot().tasks if task.kind is VertexKind.PROCESSOR]
    assert processor.rejected == {"error": 1, "processor": 0}


class Unencodable:
    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value == "no":
            context.reject("it says no")
        context.state.put("last", record.value)
        context.emit("out", object() if record.value == "bad" else record.value)


def test_a_result_that_cannot_be_stored_rejects_its_own_record_only(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p")
        .source("v", ListSource(["a", "no", "bad", "b"], batch=4))
        .process(Unencodable)
        .export("all", exporter.factory)
    )
    engine = ran(pipeline, tmp_path)
    assert exporter.values("out") == ["a", "b"]
    assert [r.value["value"] for r in exporter.records[1] if r.record_type == "rejection"] == ["no", "bad"]
    (processor,) = [task for task in engine.snapshot().tasks if task.kind is VertexKind.PROCESSOR]
    assert processor.rejected == {"error": 1, "processor": 1}, "each once, though they were tried twice"


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


class Odd:
    """Does what its record says, which no log can store."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        half: Any = "\ud800"
        done: dict[str, Callable[[], object]] = {
            "state get": lambda: context.state.get(half),
            "state put": lambda: context.state.put(half, 1),
            "state scan": lambda: list(context.state.scan(half)),
            "emit type": lambda: context.emit(cast(Any, 7), 1),
            "emit key": lambda: context.emit("out", 1, key=cast(Any, 7)),
            "send type": lambda: context.send("k", cast(Any, 7), 1),
            "schedule intent": lambda: context.schedule(0.0, "out", 1, intent=cast(Any, 7)),
            "emit half": lambda: context.emit("out", half),
            "emit deep": lambda: context.emit("out", nested(5000)),
        }
        if record.value in done:
            done[record.value]()
        elif record.value_type == "record":
            context.emit("out", record.value)


ODDITIES = ["state get", "state put", "state scan", "emit type", "emit key", "send type", "schedule intent"]
ODDITIES += ["emit half", "emit deep"]


@pytest.mark.parametrize("storage", ["memory", "local"])
def test_what_no_log_can_store_rejects_its_own_record_only_and_all_is_read_again(tmp_path: Path, storage: Any) -> None:
    exporter = CollectingExporter()
    values = ["before", *ODDITIES, "after"]
    pipeline = (
        Pipeline("p").source("v", ListSource(values, batch=len(values))).process(Odd).export("all", exporter.factory)
    )
    ran(pipeline, tmp_path, options=EngineOptions(storage=storage))
    assert exporter.values("out") == ["before", "after"]
    assert [r.value["value"] for r in exporter.records[1] if r.record_type == "rejection"] == ODDITIES


def test_a_processor_that_has_nothing_more_to_do_has_no_record_in_hand(tmp_path: Path) -> None:
    class Telling:
        def process(self, record: Record, context: ProcessingContext) -> None:
            elsewhere = [key for key in map(str, range(20)) if partition_of(key, 2) != context.partition]
            for key in elsewhere if record.value_type == "record" else []:
                context.send(key, "told", record.value)

    pipeline = Pipeline("p", partitions=2).source("n", ListSource([{"n": 1}], endless=True)).process(Telling, key="n")
    options = EngineOptions(storage="memory", outbox_records_max=1)
    with pipeline.run(tmp_path, options=options) as engine:
        assert wait_until(
            lambda: all(
                p.last_processed_position == p.last_written_position > 0 and p.processing_ns is None
                for p in engine.snapshot().partitions
            )
        )
        engine.stop(drain=False)


def test_a_record_that_is_processed_again_on_its_own_is_in_hand_like_any_other(tmp_path: Path) -> None:
    """Where a value cannot be stored, the records of its unit are processed again, one by one."""
    again, go_on = threading.Event(), threading.Event()

    class HangsAtSecondSight:
        def __init__(self) -> None:
            self.seen = 0

        def process(self, record: Record, context: ProcessingContext) -> None:
            self.seen += 1
            if self.seen > 1:
                again.set()
                go_on.wait(WAIT_SECONDS)
            context.emit("unsayable", object())

    pipeline = Pipeline("p").source("n", ListSource(numbers(1))).process(HangsAtSecondSight, attempts=1)
    with pipeline.run(tmp_path, options=EngineOptions(storage="memory")) as engine:
        assert again.wait(WAIT_SECONDS)
        (partition,) = engine.snapshot().partitions
        assert partition.processing_ns is not None
        # The first record says that the log was opened.
        assert partition.processing_position == 2
        go_on.set()
        assert engine.wait(WAIT_SECONDS)
    (partition,) = engine.snapshot().partitions
    assert partition.processing_ns is None


def test_state_that_cannot_be_read_stops_the_run_and_rejects_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pipeline(exporter: CollectingExporter) -> Pipeline:
        source = ListSource(numbers(10))
        return Pipeline("p").source("n", source).process(Doubler, attempts=3).export("all", exporter.factory)

    def broken(self: LocalLogStorage, key: str) -> bytes | None:
        raise sqlite3.OperationalError("disk I/O error")

    first, second = CollectingExporter(), CollectingExporter()
    with monkeypatch.context() as patched:
        patched.setattr(LocalLogStorage, "state_get", broken)
        with (
            pipeline(first).run(tmp_path) as engine,
            pytest.raises(TaskFailedError, match="state could not be read: disk I/O error"),
        ):
            engine.wait(WAIT_SECONDS)
    assert [r for r in first.records.get(1, []) if r.record_type == "rejection"] == []
    ran(pipeline(second), tmp_path)
    assert second.values("doubled") == [{"n": 2 * n} for n in range(10)]


class Forwarder:
    """Sends each number on to another key, whose partition emits it."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.intent == "receive":
            context.emit("arrived", record.value)
        else:
            context.send(f"to {record.value['n'] % 7}", "forwarded", record.value["n"])


def test_messages_reach_the_partition_that_owns_their_key_exactly_once(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p", partitions=3)
        .source("n", ListSource(numbers(500)))
        .process(Forwarder, key="k")
        .export("all", exporter.factory)
    )
    engine = ran(pipeline, tmp_path)
    assert sorted(exporter.values("arrived")) == list(range(500))
    writes = [partition.flow.writes for partition in engine.snapshot().partitions]
    assert sum(w[WriteSource.INTER_PARTITION, Outcome.ACCEPTED] for w in writes) > 0
    assert all(partition.outbox_records == 0 for partition in engine.snapshot().partitions)


class Alarm:
    """Schedules one command at the first record, and reports when it comes."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value_type == "alarm":
            context.emit("rang", record.value)
        elif record.value["n"] == 0:
            context.schedule(record.value.get("delay", 0.05), "alarm", "wake up", key="bell")


def test_a_scheduled_command_is_written_by_the_scheduled_source(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p").source("n", ListSource(numbers(3), endless=True)).process(Alarm).export("all", exporter.factory)
    )
    with pipeline.run(tmp_path) as engine:
        assert wait_until(lambda: exporter.values("rang") == ["wake up"])
        flow = engine.snapshot().partitions[0].flow
        assert flow.writes[WriteSource.SCHEDULED, Outcome.ACCEPTED] == 1


def test_a_timer_that_is_pending_at_the_end_fires_in_the_next_run(tmp_path: Path) -> None:
    exporter = CollectingExporter()

    def pipeline(values: list[dict[str, Any]], *, endless: bool) -> Pipeline:
        source = ListSource(values, endless=endless)
        return Pipeline("p").source("n", source).process(Alarm).export("all", exporter.factory)

    values = [{"n": 0, "delay": 1.0}]
    ran(pipeline(values, endless=False), tmp_path)
    assert exporter.values("rang") == []
    with pipeline(values, endless=True).run(tmp_path):
        assert wait_until(lambda: exporter.values("rang") == ["wake up"])


class Cancelling:
    """Sets a timer for each key, and takes it back where it is told to."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value_type == "alarm":
            context.emit("rang", record.key)
        elif record.value.get("cancel"):
            context.cancel(context.state.get(record.value["k"]))
        else:
            timer = context.schedule(1.0, "alarm", None, key=record.value["k"])
            context.state.put(record.value["k"], timer)


@pytest.mark.parametrize("storage", ["memory", "local"])
def test_a_timer_that_is_taken_back_in_a_later_run_or_the_same_never_fires(tmp_path: Path, storage: str) -> None:
    exporter = CollectingExporter()
    setting = [{"k": f"key {n}"} for n in range(10)]
    cancelling = [{"k": f"key {n}", "cancel": True} for n in range(0, 10, 2)]

    def pipeline(values: list[dict[str, Any]], *, endless: bool) -> Pipeline:
        source = ListSource(values, endless=endless)
        return Pipeline("p").source("n", source).process(Cancelling).export("all", exporter.factory)

    options = EngineOptions(storage=cast(Any, storage))
    if storage == "local":
        ran(pipeline(setting, endless=False), tmp_path, options=options)
    with pipeline([*setting, *cancelling], endless=True).run(tmp_path, options=options):
        assert wait_until(lambda: len(exporter.values("rang")) == 5)
    if storage == "local":
        again = pipeline([], endless=False).run(tmp_path, options=options)
        with again:
            assert again._partitions[1].recovered.timers == []
    # All had the same time: who else was to ring has rung.
    assert sorted(exporter.values("rang")) == [f"key {n}" for n in range(1, 10, 2)]


def test_an_exporter_that_fails_is_retried_and_nothing_is_lost(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    failures = [OSError("no route"), OSError("no route")]

    def stumble(_: object) -> None:
        if failures:
            raise failures.pop()

    exporter.before = stumble
    pipeline = Pipeline("p").source("n", ListSource(numbers(50))).export("all", exporter.factory)
    engine = ran(pipeline, tmp_path)
    assert [v["n"] for v in exporter.values("record")] == list(range(50))
    (seen,) = engine.snapshot().partitions[0].exporters
    assert (seen.errors, seen.retries, seen.last_error) == (2, 2, "OSError: no route")
    assert seen.state is ExporterState.CLOSED


def test_a_paused_exporter_keeps_its_place_and_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    source = ListSource(numbers(50), endless=True)
    pipeline = Pipeline("p").source("n", source).export("all", exporter.factory)
    with pipeline.run(tmp_path) as engine:
        assert wait_until(lambda: len(exporter.values("record")) == 50)
        engine.pause_exporter("all", paused=True)
        assert wait_until(lambda: engine.snapshot().partitions[0].exporters[0].state is ExporterState.PAUSED)
        source.values = numbers(60)
        assert wait_until(lambda: engine.snapshot().partitions[0].backlog_records == 10)
        assert len(exporter.values("record")) == 50
        engine.pause_exporter("all", paused=False)
        assert wait_until(lambda: len(exporter.values("record")) == 60)


def test_a_stop_drains_what_was_read_and_the_next_run_goes_on_behind_it(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    source = ListSource(numbers(100_000), batch=50)
    pipeline = Pipeline("p").source("n", source).export("all", exporter.factory)
    with pipeline.run(tmp_path) as engine:
        assert wait_until(lambda: len(exporter.records.get(1, ())) > 500)
        engine.stop()
    drained = len(exporter.values("record"))
    assert 500 < drained < 100_000
    (partition,) = engine.snapshot().partitions
    assert partition.backlog_records == 0
    source.values = numbers(drained + 10)
    again = Pipeline("p").source("n", source).export("all", exporter.factory)
    ran(again, tmp_path)
    assert [v["n"] for v in exporter.values("record")] == list(range(drained + 10))


def test_a_stop_in_front_of_a_stuck_exporter_ends_after_the_drain_time(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    exporter.open_gate.clear()
    pipeline = Pipeline("p").source("n", ListSource(numbers(5000))).export("all", exporter.factory)
    options = EngineOptions(drain_timeout_ns=200_000_000)
    with pipeline.run(tmp_path, options=options) as engine:
        assert wait_until(lambda: engine.snapshot().partitions[0].last_written_position > 5000)
        exporter.closed = -1
        engine.stop()
    assert engine.state is EngineState.FINISHED
    assert engine.snapshot().partitions[0].backlog_records == 5000


def test_a_full_chain_blocks_up_to_the_source_and_every_second_is_accounted_for(tmp_path: Path) -> None:
    flow = FlowControlSettings(
        write=WriteLimitSettings(enabled=True, limit=10, throttling=ThrottlingSettings(minimum_limit=1))
    )
    pipeline = Pipeline("p").source("n", ListSource(numbers(100_000))).map("m", lambda v: v)
    pipeline.export("all", CollectingExporter().factory)
    with pipeline.run(tmp_path, flow_control=flow, options=MEMORY) as engine:
        assert wait_until(
            lambda: (
                {t.task: t.state for t in engine.snapshot().tasks}
                == {
                    "n": BlockReason.BUFFER,
                    "m": BlockReason.BUFFER,
                    "log-writer": BlockReason.WRITE_LIMIT,
                    "all": "idle",
                }
            )
        )
        for task in engine.snapshot().tasks:
            if task.buffers is not None:
                assert task.buffers_in_use == task.buffers
        engine.stop(drain=False)
    for task in engine.snapshot().tasks:
        lived_ns = (task.ended_wall_ns or 0) - (task.started_wall_ns or 0)
        spent_ns = task.busy_ns + task.idle_ns + sum(task.back_pressured_ns.values())
        assert abs(spent_ns - lived_ns) < 50_000_000
    assert {t.status for t in engine.snapshot().tasks} <= {TaskStatus.CANCELED, TaskStatus.FINISHED}


def test_the_graph_is_told_in_the_order_in_which_records_flow(tmp_path: Path) -> None:
    pipeline = (
        Pipeline("p", partitions=2)
        .source("a", ListSource([]))
        .source("b", ListSource([]))
        .map("m", str)
        .map("wide", str, parallelism=4)
        .process(Doubler, key=str)
        .export("x", CollectingExporter().factory)
        .export("y", CollectingExporter().factory)
    )
    snapshot = ran(pipeline, tmp_path).snapshot()
    names = {vertex.vertex_id: vertex.task for vertex in snapshot.vertices}
    assert list(names.values()) == ["a", "b", "m", "wide", "log-writer", "processor", "x", "y"]
    assert [v.parallelism for v in snapshot.vertices] == [1, 1, 1, 4, 2, 2, 2, 2]
    assert {(names[e.source_id], names[e.target_id], e.ship_strategy) for e in snapshot.edges} == {
        ("a", "m", "FORWARD"),
        ("b", "m", "FORWARD"),
        ("m", "wide", "REBALANCE"),
        ("wide", "log-writer", "HASH"),
        ("log-writer", "processor", "LOG"),
        ("processor", "x", "LOG"),
        ("processor", "y", "LOG"),
    }


def test_a_folder_in_use_or_of_another_shape_is_refused_in_one_sentence(tmp_path: Path) -> None:
    def pipeline(partitions: int = 1, name: str = "p") -> Pipeline:
        return Pipeline(name, partitions=partitions).source("n", ListSource([], endless=True)).key_by("k")

    with pipeline().run(tmp_path), pytest.raises(DataFolderError, match=r"is in use by another process \(id \d+\)"):
        pipeline().run(tmp_path).start()
    with pytest.raises(DataFolderError, match="holds 1 partitions, the pipeline asks for 2"):
        pipeline(partitions=2).run(tmp_path).start()
    with pytest.raises(DataFolderError, match="belongs to pipeline 'p', not to 'q'"):
        pipeline(name="q").run(tmp_path).start()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderError, match="cannot be written: Not a directory"):
        pipeline().run(tmp_path / "file" / "data").start()
    with pipeline().run(tmp_path):
        """A refused start leaves nothing behind: the folder can be used."""


def test_partitions_without_a_key_are_refused(tmp_path: Path) -> None:
    pipeline = Pipeline("p", partitions=2).source("n", ListSource([]))
    with pytest.raises(ConfigurationError, match="has 2 partitions and needs a key"):
        pipeline.run(tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        generator(),
        lines("f"),
        lines("f", format="json"),
        lines("f", format="csv"),
        lines("f", follow=True),
        lines("f*"),
        lines("f*", follow=True),
        lines("-"),
    ],
)
def test_what_only_one_machine_can_read_is_refused_where_any_may_run_the_pipeline(
    tmp_path: Path, source: Source
) -> None:
    kafka = KafkaLogSettings(connection=KafkaConnection(bootstrap_servers="k:9092"))
    options = EngineOptions(storage="kafka", kafka=kafka)
    with pytest.raises(ConfigurationError, match=r"source 'a' cannot be with storage kafka: .* bring the records by"):
        Pipeline("p").source("a", source).run(tmp_path, options=options)


def test_task_names_are_used_once() -> None:
    pipeline = Pipeline("p").source("a", ListSource([]))
    with pytest.raises(ConfigurationError, match="task name 'a' is taken"):
        pipeline.map("a", str)
    with pytest.raises(ConfigurationError, match="task name 'log-writer' is taken"):
        pipeline.map("log-writer", str)
