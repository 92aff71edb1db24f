"""Every processed batch is told to an observer, once, and what it answers stands beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from engine import BatchOutcome, EngineOptions, Pipeline, ProcessedBatch, ProcessingContext, Record, TaskFailedError
from engine.core.measures import LATENCY_BOUNDS_SECONDS, Histogram
from engine.core.records import WriteSource
from engine.core.snapshot import EngineSnapshot, Exemplar, HistogramSnapshot
from engine.log.memory import MemoryStorage
from engine.runtime.engine import Engine
from tests.support.pipelines import ListSource
from tests.support.traced_pipelines import Echo, Notebook, numbers
from tests.support.waiting import WAIT_SECONDS

MEMORY = EngineOptions(storage="memory", processing_batch_records=50)


def pipeline(count: int = 300, partitions: int = 2) -> Pipeline:
    return Pipeline("p", partitions=partitions).source("numbers", ListSource(numbers(count))).process(Echo, key="k")


def ran(described: Pipeline, folder: Path) -> Engine:
    with described.run(folder, options=MEMORY) as engine:
        assert engine.wait(WAIT_SECONDS)
    return engine


def histograms(snapshot: EngineSnapshot) -> Iterator[HistogramSnapshot]:
    for partition in snapshot.partitions:
        yield from (partition.processing_duration, partition.append_duration, partition.command_duration)


def exemplars(histogram: HistogramSnapshot) -> list[tuple[int, Exemplar]]:
    return [(bucket, known) for bucket, known in enumerate(histogram.exemplars) if known is not None]


def test_each_command_is_in_exactly_one_batch_and_positions_rise_without_overlap(tmp_path: Path) -> None:
    notebook = Notebook()
    ran(pipeline().observe(lambda _: notebook), tmp_path)
    assert sum(batch.commands for batch in notebook.batches) == 300
    assert sum(batch.rejected for batch in notebook.batches) == 1
    assert sum(batch.written for batch in notebook.batches) == 300
    for number in (1, 2):
        batches = [batch for batch in notebook.batches if batch.partition == number]
        assert batches
        assert all(batch.first_position <= batch.last_position for batch in batches)
        assert all(one.last_position < other.first_position for one, other in pairwise(batches))
        assert all(one.ended_ns <= other.started_ns for one, other in pairwise(batches))
    for batch in notebook.batches:
        assert batch.task == "processor"
        assert batch.triggers == (WriteSource.USER_COMMAND,)
        assert 0 <= batch.worked_ns <= batch.ended_ns - batch.started_ns
        assert batch.ended_wall_ns - batch.started_wall_ns == batch.ended_ns - batch.started_ns
        assert batch.outcome is (BatchOutcome.REJECTED if batch.rejected else BatchOutcome.PROCESSED)


def test_what_the_observer_answers_stands_at_the_bucket_into_which_the_duration_fell(tmp_path: Path) -> None:
    notebook = Notebook()
    snapshot = ran(pipeline().observe(lambda _: notebook), tmp_path).snapshot()
    pages = {(("page", str(batch.last_position)),) for batch in notebook.batches}
    for histogram in histograms(snapshot):
        found = exemplars(histogram)
        assert found
        for bucket, exemplar in found:
            assert histogram.counts[bucket] > 0
            bounds = (0.0, *histogram.bounds, float("inf"))
            assert bounds[bucket] <= exemplar.value <= bounds[bucket + 1]
            assert exemplar.labels in pages
    processing = {(batch.last_position, batch.worked_ns // batch.commands / 1e9) for batch in notebook.batches}
    for partition in snapshot.partitions:
        for _, exemplar in exemplars(partition.processing_duration):
            assert (int(exemplar.labels[0][1]), exemplar.value) in processing


def test_without_an_observer_there_is_no_exemplar_and_nothing_is_counted(tmp_path: Path) -> None:
    snapshot = ran(pipeline(), tmp_path).snapshot()
    assert snapshot.observed == {}
    assert all(histogram.exemplars == () for histogram in histograms(snapshot))


def test_the_observer_is_made_for_the_pipeline_counted_in_the_snapshot_and_ended_with_the_engine(
    tmp_path: Path,
) -> None:
    notebook, made = Notebook(), []

    def factory(name: str) -> Notebook:
        made.append(name)
        return notebook

    engine = ran(pipeline().observe(factory), tmp_path)
    assert made == ["p"]
    assert engine.snapshot().observed == {"kept": len(notebook.batches)}
    assert notebook.closed == 1


def test_a_batch_that_stops_the_run_is_told_with_what_it_died_of(tmp_path: Path) -> None:
    class Fragile:
        def process(self, record: Record, context: ProcessingContext) -> None:
            if record.value["n"] == 120:
                raise ValueError("no more")

    notebook = Notebook()
    described = (
        Pipeline("p")
        .source("numbers", ListSource(numbers(300)))
        .process(Fragile, on_error="stop", attempts=1)
        .observe(lambda _: notebook)
    )
    with described.run(tmp_path, options=MEMORY) as engine, pytest.raises(TaskFailedError):
        engine.wait(WAIT_SECONDS)
    *before, last = notebook.batches
    assert last.outcome is BatchOutcome.FAILED
    assert last.error == ("ValueError", "no more")
    assert all(batch.outcome is BatchOutcome.PROCESSED and batch.error is None for batch in before)
    # The command of 120 is the 121st; those in front of it are told, whether their batch was stored or not.
    assert sum(batch.commands for batch in notebook.batches) == 121


def test_a_batch_that_ends_because_state_cannot_be_read_is_told_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Remembering:
        def process(self, record: Record, context: ProcessingContext) -> None:
            if record.value["n"] == 120:
                context.state.get("anything")

    def broken(self: MemoryStorage, key: str) -> bytes | None:
        raise OSError("no such disk")

    monkeypatch.setattr(MemoryStorage, "state_get", broken)
    notebook = Notebook()
    described = (
        Pipeline("p")
        .source("numbers", ListSource(numbers(300)))
        .process(Remembering, on_error="reject", attempts=3)
        .observe(lambda _: notebook)
    )
    with described.run(tmp_path, options=MEMORY) as engine, pytest.raises(TaskFailedError, match="no such disk"):
        engine.wait(WAIT_SECONDS)
    *_, last = notebook.batches
    assert last.outcome is BatchOutcome.FAILED
    assert last.error == ("StateReadError", "state could not be read: no such disk")
    assert sum(batch.commands for batch in notebook.batches) == 121
    assert [batch.outcome for batch in notebook.batches].count(BatchOutcome.FAILED) == 1


def test_commands_that_messages_and_timers_brought_are_told_apart(tmp_path: Path) -> None:
    class Chain:
        def process(self, record: Record, context: ProcessingContext) -> None:
            if record.value_type == "record":
                context.send("key 2" if context.partition == 1 else "key 1", "message", {})
                context.schedule(0, "timer", {})

    notebook = Notebook()
    described = (
        Pipeline("p", partitions=2)
        .source("numbers", ListSource(numbers(50)))
        .process(Chain, key="k")
        .observe(lambda _: notebook)
    )
    ran(described, tmp_path)
    seen = {source for batch in notebook.batches for source in batch.triggers}
    assert seen >= {WriteSource.USER_COMMAND, WriteSource.SCHEDULED}
    assert seen & {WriteSource.INTER_PARTITION, WriteSource.PROCESSING_RESULT}


def test_an_observer_that_raises_is_logged_once_and_disturbs_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Notebook):
        def processed(self, batch: ProcessedBatch) -> tuple[tuple[str, str], ...]:
            self.batches.append(batch)
            raise RuntimeError("out of ink")

    broken = Broken()
    engine = ran(pipeline(partitions=1).observe(lambda _: broken), tmp_path)
    assert engine.snapshot().tasks[-1].records_in >= 300
    assert len(broken.batches) == 1
    assert caplog.text.count("the observer of batches failed") == 1


def test_of_a_bucket_the_newest_exemplar_is_kept() -> None:
    histogram = Histogram()
    for page, duration_ns in (("1", 60_000), ("2", 70_000), ("3", 99 * 10**9)):
        histogram.observe(duration_ns)
        histogram.mark(duration_ns, (("page", page),), 5)
    (second, newest), (last, beyond) = exemplars(histogram.snapshot())
    assert (second, newest.labels, newest.value) == (1, (("page", "2"),), 0.00007)
    assert (last, beyond.labels) == (len(LATENCY_BOUNDS_SECONDS), (("page", "3"),))
