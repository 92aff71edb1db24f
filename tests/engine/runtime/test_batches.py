"""A processor of batches: what it writes is what one that takes each record would have written, whatever fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import (
    BatchContext,
    Commands,
    ConfigurationError,
    EngineOptions,
    FlowControlSettings,
    Pipeline,
    ProcessingContext,
    Record,
    TaskFailedError,
    WriteLimitSettings,
)
from engine.core.snapshot import VertexKind
from engine.log.storage import Entry, StorageError
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS

KEYS = 5


def numbers(count: int) -> list[dict[str, Any]]:
    return [{"n": n, "k": f"key {n % KEYS}"} for n in range(count)]


def told(n: int, count: int) -> dict[str, Any]:
    return {"n": n, "count": count, "what": object() if n % 23 == 9 else None}


def check(n: int, context: ProcessingContext) -> None:
    if n % 31 == 3:
        raise ValueError(f"{n} is not to my liking")
    if n % 29 == 5:
        context.reject("it says no")


def next_key(key: str) -> str:
    return f"key {(int(key[4:]) + 1) % KEYS}"


class Each:
    """Counts by key, sends some of them on, and asks for a timer now and then; dislikes some."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value_type != "record":
            context.emit("seen", record.value, intent=record.value_type)
            return
        n = record.value["n"]
        check(n, context)
        count = context.state.get(record.key, 0) + 1
        context.state.put(record.key, count)
        context.emit("counted", told(n, count))
        if n % 4 == 0:
            context.send(next_key(record.key), "sent", n)
        if n % 19 == 0:
            context.schedule(0, "timer", n, key=record.key)


class Batches:
    """The same for many at a time, and nothing for one."""

    def process_batch(self, commands: Commands, context: BatchContext) -> None:
        if commands.value_type != "record":
            context.emit_batch("seen", commands.values, intent=commands.value_type)
            return
        counts = context.state.get_many(commands.keys)
        values = []
        for index, (key, value) in enumerate(zip(commands.keys, commands.values, strict=True)):
            # It changes what it was given, which nobody may see when it fails.
            n = value["n"] if len(commands) == 1 else value.pop("n")
            counts[key] = counts.get(key, 0) + 1
            values.append(told(n, counts[key]))
            context.take(index)
            if n % 4 == 0:
                context.send(next_key(key), "sent", n)
            if n % 19 == 0:
                context.schedule(0, "timer", n, key=key)
            check(n, context)
        context.state.put_many(counts)
        context.emit_batch("counted", values)


class Both(Each, Batches):
    """Takes batches and, where one fails, each record."""


Kind = tuple[str, str, str, str, str]


def results(
    tmp_path: Path, processor: Callable[[], Any], *, partitions: int = 2, **options: Any
) -> tuple[Counter[Kind], dict[tuple[int, str], list[Any]], dict[str, int]]:
    """All that was written, how each key's counts went on, and what was rejected."""
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p", partitions=partitions)
        .source("n", ListSource(numbers(300), batch=50))
        .process(processor, key="k", attempts=2)
        .export("all", exporter.factory)
    )
    with pipeline.run(tmp_path, options=EngineOptions(**{"storage": "memory", **options})) as engine:
        assert engine.wait(WAIT_SECONDS)
    written: Counter[Kind] = Counter()
    counts: dict[tuple[int, str], list[Any]] = {}
    positions = {(p, r.position): r for p, records in exporter.records.items() for r in records}
    for (partition, _), record in sorted(positions.items()):
        written[(record.record_type, record.value_type, record.intent, record.key, repr(record.value))] += 1
        if record.value_type == "counted":
            counts.setdefault((partition, record.key), []).append(record.value["count"])
            cause = positions[partition, record.source_position]
            assert (cause.record_type, cause.value["n"]) == ("command", record.value["n"])
            assert cause.key == record.key
    rejected: Counter[str] = Counter()
    for task in engine.snapshot().tasks:
        if task.kind is VertexKind.PROCESSOR:
            rejected.update(task.rejected)
    return written, counts, dict(rejected)


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("processor", [Batches, Both])
@pytest.mark.parametrize("storage", ["memory", "local"])
def test_batches_write_what_each_record_would_and_whoever_fails_does_so_alone(
    tmp_path: Path, processor: type, partitions: int, storage: str
) -> None:
    expected = results(tmp_path / "each", Each, partitions=partitions)
    assert expected[2]["error"] > 10
    assert expected[2]["processor"] > 5
    assert results(tmp_path / "many", processor, partitions=partitions, storage=storage) == expected


@pytest.mark.parametrize("batch_records", [1, 3, 64])
def test_it_does_not_matter_how_many_are_taken_at_a_time(tmp_path: Path, batch_records: int) -> None:
    expected = results(tmp_path / "each", Each)
    assert results(tmp_path / "many", Batches, processing_batch_records=batch_records) == expected


class Sizes:
    """Notes the commands it is given, and answers each."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def process_batch(self, commands: Commands, context: BatchContext) -> None:
        assert len(commands) == len(commands.values) == len(commands.positions) == len(commands.timestamps_ns)
        assert [*commands.positions] == sorted(set(commands.positions))
        self.seen.append((commands.value_type, len(commands)))
        context.emit_batch("answer", [None] * len(commands), keys=[f"to {key}" for key in commands.keys])


def run_sizes(tmp_path: Path, flow_control: FlowControlSettings | None = None) -> tuple[Sizes, CollectingExporter]:
    exporter, processor = CollectingExporter(), Sizes()
    pipeline = (
        Pipeline("p")
        .source("n", ListSource(numbers(40), batch=40))
        .process(lambda: processor, key="k")
        .export("all", exporter.factory)
    )
    options = EngineOptions(storage="memory")
    with pipeline.run(tmp_path, options=options, flow_control=flow_control or FlowControlSettings()) as engine:
        assert engine.wait(WAIT_SECONDS)
    return processor, exporter


def test_commands_of_a_buffer_come_in_one_call_and_its_results_have_the_keys_they_were_given(tmp_path: Path) -> None:
    processor, exporter = run_sizes(tmp_path)
    assert processor.seen == [("record", 40)]
    answers = [record for record in exporter.records[1] if record.value_type == "answer"]
    assert [record.key for record in answers] == [f"to key {n % KEYS}" for n in range(40)]


def test_where_little_may_be_written_a_call_is_no_larger_than_that(tmp_path: Path) -> None:
    limited = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=100))
    processor, _ = run_sizes(tmp_path, limited)
    assert sum(count for _, count in processor.seen) == 40
    assert max(count for _, count in processor.seen) <= 10


@pytest.mark.parametrize(
    ("values", "given", "text"),
    [
        ([1], {}, "emit_batch got 1 values and 2 commands that they are of; there must be as many"),
        ([1, 2], {"keys": ["a"]}, "emit_batch got 2 values and 1 keys; there must be as many"),
        ([1, 2], {"of": [0]}, "emit_batch got 2 values and 1 commands that they are of; there must be as many"),
        ([1, 2], {"intent": ["a"]}, "emit_batch got 2 values and 1 intents; there must be as many"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_a_sentence(
    tmp_path: Path, values: list[int], given: dict[str, Any], text: str
) -> None:
    said: list[str] = []

    class Wrong:
        def process_batch(self, commands: Commands, context: BatchContext) -> None:
            if len(commands) == 2:
                try:
                    context.emit_batch("t", values, **given)
                except ValueError as error:
                    said.append(str(error))
                    raise

    pipeline = Pipeline("p").source("n", ListSource(numbers(2))).process(Wrong)
    with pipeline.run(tmp_path, options=EngineOptions(storage="memory")) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert said == [text]


def test_a_processor_that_is_told_to_stop_names_the_record_to_blame(tmp_path: Path) -> None:
    class Stops:
        def process_batch(self, commands: Commands, context: BatchContext) -> None:
            if any(value["n"] == 7 for value in commands.values):
                raise ValueError("seven")

    pipeline = Pipeline("p").source("n", ListSource(numbers(20), batch=20)).process(Stops, on_error="stop")
    with (
        pipeline.run(tmp_path, options=EngineOptions(storage="memory")) as engine,
        pytest.raises(TaskFailedError, match=r"partition 1, position 9 failed with ValueError: seven"),
    ):
        engine.wait(WAIT_SECONDS)


def test_what_can_do_neither_is_no_processor(tmp_path: Path) -> None:
    class Nothing:
        process = None

    pipeline = Pipeline("p").source("n", ListSource([])).process(Nothing)  # type: ignore[arg-type]
    with (
        pytest.raises(ConfigurationError, match=r"process\(record, context\) or process_batch\(commands, context\)"),
        pipeline.run(tmp_path, options=EngineOptions(storage="memory")),
    ):
        pass


def test_steps_of_batches_and_single_steps_make_the_same_and_set_the_same_aside(tmp_path: Path) -> None:
    values: list[Any] = [*range(40), "no", *range(40, 80), None]

    def half(value: Any) -> Any:
        return value / 2

    def halves(many: list[Any]) -> list[Any]:
        return [value / 2 for value in many]

    def made(name: str, add: Callable[[Pipeline], Pipeline]) -> tuple[list[Any], list[str]]:
        exporter = CollectingExporter()
        pipeline = add(Pipeline("p").source("n", ListSource(values, batch=9))).export("all", exporter.factory)
        with pipeline.run(tmp_path / name) as engine:
            assert engine.wait(WAIT_SECONDS)
        rejects = (tmp_path / name / "rejects" / "half.ndjson").read_text().splitlines()
        return exporter.values("record"), [line[line.index('"offset"') :].split('"time"')[0] for line in rejects]

    single = made("single", lambda p: p.map("half", half))
    many, rejects = made("many", lambda p: p.map_batch("half", halves, parallelism=2))
    assert (many, len(rejects)) == (single[0], 2)
    assert made("one lane", lambda p: p.map_batch("half", halves))[0] == single[0]


@pytest.mark.parametrize("made", [0, 2])
def test_a_step_that_makes_not_one_of_each_is_to_blame_with_the_count(tmp_path: Path, made: int) -> None:
    exporter = CollectingExporter()

    def wrong(many: list[Any]) -> list[Any]:
        return [value for value in many for _ in range(made if value == 3 else 1)]

    pipeline = Pipeline("p").source("n", ListSource([1, 2, 3, 4])).map_batch("w", wrong).export("all", exporter.factory)
    with pipeline.run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert exporter.values("record") == [1, 2, 4]
    (reject,) = (tmp_path / "rejects" / "w.ndjson").read_text().splitlines()
    assert f"of 1 values it made {made}; of each it has to make one" in reject


def test_a_unit_of_batches_that_the_log_refuses_is_tried_again_as_it_was(tmp_path: Path) -> None:
    from engine.log.memory import MemoryStorage

    refused: list[int] = []
    commit = MemoryStorage.commit

    def refusing(self: MemoryStorage, entries: Sequence[Entry]) -> None:
        units = [entry.unit for entry in entries if entry.unit.processed_position is not None and entry.unit.records]
        if units and len(refused) < 2:
            refused.append(len(units[0].records))
            raise StorageError("disk_full", "no room")
        commit(self, entries)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryStorage, "commit", refusing)
        _, exporter = run_sizes(tmp_path)
    assert refused == [40, 40]
    assert len(exporter.values("answer")) == 40
