"""The task of a source, and sources as an engine runs them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import EngineOptions, Pipeline
from engine.core.clock import NS_PER_SECOND, SystemClock
from engine.core.snapshot import VertexKind, VertexSnapshot
from engine.sources.lines import lines
from engine.sources.protocol import Source, SourceStart
from engine.sources.standard_input import StandardInput
from engine.sources.task import SourceTask
from engine.tasks.buffers import Buffer
from engine.tasks.subtask import Subtask
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS, wait_until


class Kept:
    """An outlet that keeps the buffers."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        # How many buffers had come each time.
        self.flushed_behind: list[int] = []
        self.ended = False

    def send(self, buffer: Buffer) -> None:
        self.buffers.append(buffer)

    def look(self) -> int:
        return NS_PER_SECOND

    def flush(self) -> None:
        self.flushed_behind.append(len(self.buffers))

    def end(self) -> None:
        self.ended = True


def a_subtask() -> Subtask:
    vertex = VertexSnapshot(vertex_id="1" * 32, task="source", kind=VertexKind.SOURCE, parallelism=1)
    return Subtask(vertex, 0, SystemClock(), failed=lambda name, error: None)


def ran(source: Source, start: int, boundaries: Iterable[int], *, buffer_records: int = 4) -> Kept:
    kept = Kept()
    subtask = a_subtask()
    subtask.timer.start()
    SourceTask(
        "s",
        source,
        SourceStart(start, None),
        set(boundaries),
        kept,
        subtask,
        lambda buffer, index, error: None,
        buffer_records=buffer_records,
    ).run()
    assert kept.ended
    return kept


@settings(deadline=None)
@given(
    content=st.lists(st.sampled_from(["", "a", "b,c"]), max_size=30),
    chosen=st.sets(st.integers(0, 40), max_size=4),
    start=st.integers(0, 10),
    csv=st.booleans(),
)
def test_no_buffer_reaches_across_an_offset_that_a_partition_has_stored(
    tmp_path_factory: pytest.TempPathFactory, content: list[str], chosen: set[int], start: int, csv: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "boundaries"
    path.write_text("\n".join(["head" if csv else "first", *content, "last"]) + "\n")

    def source() -> Source:
        return lines(path, format="csv" if csv else "lines")

    there = [buffer.offset_at(i) for buffer in ran(source(), 0, []).buffers for i in range(len(buffer.values))]
    # What a partition has stored is always the offset of a value.
    stored = [there[n] for n in chosen if n < len(there)]
    begin = there[start] if start < len(there) else 0
    kept = ran(source(), begin, [begin, *stored])
    assert [b.offset_at(i) for b in kept.buffers for i in range(len(b.values))] == [n for n in there if n > begin]
    for buffer in kept.buffers:
        assert not any(buffer.first_offset <= offset < buffer.last_offset for offset in stored)


def test_what_a_source_brought_is_handed_on_before_it_may_wait_inside_of_a_read() -> None:
    kept = ran(ListSource(list(range(10)), batch=4), 0, [], buffer_records=4)
    assert [len(buffer.values) for buffer in kept.buffers] == [4, 4, 2]
    assert kept.flushed_behind == [3], "it had no more: only the last batch was smaller than asked for"


def test_what_a_prompt_source_brought_may_wait_for_what_it_brings_next(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("a\nb\nc\n")
    kept = ran(lines(path), 0, [], buffer_records=2)
    assert [len(buffer.values) for buffer in kept.buffers] == [2, 1]
    assert kept.flushed_behind == []


@pytest.mark.parametrize("parallelism", [0, 1, 2])
def test_values_that_come_behind_a_flood_arrive_although_nothing_follows(parallelism: int, tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = Pipeline("p", partitions=8).source("endless", ListSource(list(range(200)), batch=10, endless=True))
    if parallelism:
        pipeline = pipeline.map("as-is", lambda value: value, parallelism=parallelism)
    with pipeline.key_by(str).export("all", exporter.factory).run(tmp_path) as engine:
        assert wait_until(lambda: sorted(exporter.values("record")) == list(range(200)))
        engine.stop(drain=False)


def test_a_source_that_waits_for_more_is_idle_and_ends_at_once_when_it_is_stopped() -> None:
    subtask = a_subtask()
    kept = Kept()
    source = ListSource([], endless=True)
    task = SourceTask("s", source, SourceStart(0, None), [], kept, subtask, lambda b, i, e: None, buffer_records=4)
    subtask.body = task.run
    subtask.start()
    assert wait_until(lambda: subtask.timer.read().idle_ns > 0)
    task.stop()
    assert subtask.join(WAIT_SECONDS)
    assert kept.ended


def test_lines_of_a_pipe_in_a_second_run_are_new_ones_on_every_partition(tmp_path: Path) -> None:
    exporter = CollectingExporter()

    def run(*values: bytes) -> None:
        reading, writing = os.pipe()
        os.write(writing, b"".join(value + b"\n" for value in values))
        os.close(writing)
        pipeline = (
            Pipeline("p", partitions=3)
            .source("pipe", StandardInput(descriptor=reading))
            .key_by(lambda line: line[:1].decode())
            .export("all", exporter.factory)
        )
        with pipeline.run(tmp_path) as engine:
            assert engine.wait(WAIT_SECONDS)
        os.close(reading)

    # All of the first run's lines go to one partition: the others stand at lower offsets.
    run(*[b"a%d" % n for n in range(50)])
    run(*[b"%d" % n for n in range(20)])
    values = sorted(exporter.values("record"))
    assert values == sorted([b"a%d" % n for n in range(50)] + [b"%d" % n for n in range(20)])


def test_several_sources_flow_into_one_pipeline_and_each_keeps_its_own_place(tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.ndjson"
    first.write_text("n\n" + "".join(f"{n}\n" for n in range(100)))
    second.write_bytes(b"".join(b"%d\n" % n for n in range(100, 150)))
    exporter = CollectingExporter()

    def run() -> None:
        pipeline = (
            Pipeline("p", partitions=2)
            .source("csv", lines(first, format="csv"))
            .source("plain", lines(second))
            .map("number", lambda value: {"n": int(value["n"] if isinstance(value, dict) else value)}, parallelism=2)
            .key_by("n")
            .export("all", exporter.factory)
        )
        with pipeline.run(tmp_path / "data", options=EngineOptions(buffer_records=7)) as engine:
            assert engine.wait(WAIT_SECONDS)

    run()
    with first.open("a") as file:
        file.write("150\n151\n")
    run()
    assert sorted(value["n"] for value in exporter.values("record")) == list(range(152))


def test_a_followed_file_is_read_on_while_the_engine_runs(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    exporter = CollectingExporter()
    before = set(threading.enumerate())
    pipeline = Pipeline("p").source("log", lines(path, follow=True)).export("all", exporter.factory)
    with pipeline.run(tmp_path / "data") as engine:
        for n in range(3):
            with path.open("ab") as file:
                file.write(b"line %d\n" % n)
            assert wait_until(lambda n=n: len(exporter.values("record")) == n + 1)
        assert not engine.wait(0)
    assert exporter.values("record") == [b"line 0", b"line 1", b"line 2"]
    assert not [t for t in threading.enumerate() if t.name.startswith("penstock-") and t not in before]
