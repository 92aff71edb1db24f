"""Pipelines that a worker process can import, for tests of engines over several processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from engine import Engine, EngineOptions, FlowControlSettings, Pipeline, ProcessingContext, Record
from engine.core.identity import partition_of
from engine.exporting.jsonl import jsonl
from engine.exporting.protocol import ExporterContext
from engine.sources.lines import LineFormat, lines
from engine.workers.blueprint import Blueprint
from engine.workers.engine import WorkerEngine
from engine.workers.worker import Worker
from tests.support.pipelines import ListSource

ENDLESS = 10**9


class Counting:
    """Counts per key, emits the count, and tells another partition."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        count = context.state.get(record.key, 0) + 1
        context.state.put(record.key, count)
        if record.intent == "receive":
            context.emit("told", record.value)
        else:
            context.emit("counted", {"n": record.value["n"], "count": count})
            context.send(f"about {record.value['n'] % 11}", "message", {"n": record.value["n"]})


class CountingSlowly(Counting):
    """Still at it when a worker that died meanwhile is back."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.intent == "create":
            threading.Event().wait(0.001)
        super().process(record, context)


class Holding:
    """Does nothing with a record before there is a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def process(self, record: Record, context: ProcessingContext) -> None:
        _wait_for(self._file)


class Nowhere:
    """An exporter that takes everything and keeps nothing."""

    def open(self, context: ExporterContext) -> None:
        return

    def export(self, records: Sequence[Record]) -> bytes | None:
        return None

    def close(self) -> None:
        return


class Refusing(Nowhere):
    """An exporter that reaches nobody."""

    def export(self, records: Sequence[Record]) -> bytes | None:
        raise ConnectionError("no such host")


class Echo:
    """One result for each command."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        context.emit("echo", record.value)


class Numbers(Sequence[dict[str, object]]):
    """So many values, made when they are asked for; with `only`, all of that key."""

    def __init__(self, count: int, *, only: str | None = None) -> None:
        self._count = count
        self._only = only

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int | slice) -> object:  # type: ignore[override]
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(self._count))]
        return {"n": place, "k": self._only or f"key {place % 13}"}


def counting(folder: str, count: int = 2000, processor: type[Counting] = Counting) -> Pipeline:
    """Two bounded sources, parallel steps, messages between the partitions."""
    return (
        Pipeline("counting", partitions=3)
        .source("a", ListSource(Numbers(count), batch=9))
        .source("b", ListSource(Numbers(count // 2), batch=4))
        .map("as_is", _same, parallelism=2)
        .process(processor, key="k")
        .export("file", jsonl(Path(folder) / "out.ndjson"))
    )


def counted_later(count: int = 2000) -> Pipeline:
    """What `counting` reads, in the log and no further."""
    return (
        Pipeline("counting", partitions=3)
        .source("a", ListSource(Numbers(count), batch=9))
        .source("b", ListSource(Numbers(count // 2), batch=4))
        .key_by("k")
    )


def still() -> Pipeline:
    """Two partitions in which nothing happens by itself."""
    return Pipeline("still", partitions=2)


def doored() -> Pipeline:
    """Two partitions, a task behind each, and nothing happens by itself."""
    return Pipeline("doored", partitions=2).process(Echo, key="k").export("out", Nowhere)


def holding(file: str) -> Pipeline:
    """Whatever is written from outside is in flight until there is that file."""
    return Pipeline("holding", partitions=2).process(lambda: Holding(Path(file)))


def blocked(file: str) -> Pipeline:
    """The last step lets nothing through before there is that file."""

    def sink(value: object) -> object:
        _wait_for(Path(file))
        return value

    return (
        Pipeline("blocked", partitions=2)
        .source("source", ListSource(Numbers(100_000), endless=True))
        .map("map", _same)
        .map("sink", sink, parallelism=2)
        .key_by("k")
    )


def open_door(folder: str) -> Pipeline:
    """Nothing but what is written from outside, into three partitions and a file."""
    return Pipeline("open door", partitions=3).key_by("k").export("file", jsonl(Path(folder) / "out.ndjson"))


def flowing() -> Pipeline:
    """Numbers without end into two partitions, and out again as fast as they are let."""
    return (
        Pipeline("flowing", partitions=2)
        .source("numbers", ListSource(Numbers(ENDLESS), batch=50))
        .map("work", _same)
        .process(Counting, key="k")
        .export("slow", Nowhere)
    )


def filling(count: int = ENDLESS, exporter: type[Nowhere] = Nowhere) -> Pipeline:
    """A source of numbers for each of two partitions, so that neither waits for the other's limit."""
    pipeline = Pipeline("filling", partitions=2).key_by("k")
    for number in (1, 2):
        key = next(f"key {n}" for n in range(100) if partition_of(f"key {n}", 2) == number)
        pipeline.source(f"numbers-{number}", ListSource(Numbers(count, only=key), batch=100, endless=True))
    return pipeline.export("slow", exporter)


def echoing(count: int = ENDLESS, batch: int = 200) -> Pipeline:
    """Numbers into two partitions, a result for each, and out again."""
    return (
        Pipeline("echoing", partitions=2)
        .source("numbers", ListSource(Numbers(count), batch=batch))
        .process(Echo, key="n")
        .export("slow", Nowhere)
    )


def held_back() -> Pipeline:
    """A step that is too slow for its source."""
    return (
        Pipeline("held back", partitions=2)
        .source("numbers", ListSource(Numbers(ENDLESS), batch=50))
        .map("slow", _slowly)
        .process(Counting, key="k")
        .export("out", Nowhere)
    )


def deadly(folder: str) -> Pipeline:
    """One record ends the process of whoever processes it."""

    class Deadly:
        def process(self, record: Record, context: ProcessingContext) -> None:
            if record.value["n"] == 100:
                with (Path(folder) / "deaths").open("a") as file:
                    file.write("x")
                os._exit(77)
            context.emit("lived", record.value)

    return (
        Pipeline("deadly", partitions=2)
        .source("numbers", ListSource(Numbers(200), batch=50))
        .process(Deadly, key="k")
        .export("out", Nowhere)
    )


def dying_at(folder: str, step: str, when: str) -> Pipeline:
    """As `counting`; the first worker that is ordered a step dies `before` it takes it, or `after`, without a word."""
    order = getattr(Worker, f"order_{step}")

    def ordered(worker: Worker, *arguments: object) -> object:
        try:
            (Path(folder) / "died").touch(exist_ok=False)
        except FileExistsError:
            return order(worker, *arguments)
        if when == "after":
            order(worker, *arguments)
        os._exit(79)

    # This is a process of its own.
    setattr(Worker, f"order_{step}", ordered)
    return counting(folder, processor=CountingSlowly)


def slow_to_make(folder: str) -> Pipeline:
    """Says in a file that it has begun, and is not made before there is another one."""
    (Path(folder) / f"begun-{os.getpid()}").touch()
    _wait_for(Path(folder) / "made")
    return still()


def dying() -> Pipeline:
    """Takes the process with it that would make it."""
    os._exit(78)


def differing() -> Pipeline:
    """Another one in each process."""
    return Pipeline(f"made by {os.getpid()}", partitions=2)


def failing() -> Pipeline:
    """A step that gives up the run."""
    return (
        Pipeline("failing", partitions=2)
        .source("numbers", ListSource(Numbers(200), batch=50))
        .map("picky", _not_13, on_error="stop")
        .process(Counting, key="k")
        .export("out", Nowhere)
    )


def _wait_for(file: Path) -> None:
    pause = threading.Event()
    while not file.exists():
        pause.wait(0.01)


def _same(value: object) -> object:
    return value


def _slowly(value: object) -> object:
    threading.Event().wait(0.002)
    return value


def _not_13(value: dict[str, int]) -> object:
    if value["n"] == 13:
        raise ValueError("13 is not to my liking")
    return value


def reading(path: str, out: str, format: LineFormat) -> Pipeline:
    """The lines, rows or values of files, into a file for each partition."""
    return (
        Pipeline("reading", partitions=3)
        .source("files", lines(path, format=format))
        .map("text", lambda value: value.decode() if isinstance(value, bytes) else value)
        .key_by(str)
        .export("out", jsonl(f"{out}/{{partition}}.ndjson"))
    )


def engine_of(
    name: str,
    folder: Path,
    *arguments: object,
    workers: int,
    flow_control: FlowControlSettings | None = None,
    options: EngineOptions | None = None,
) -> Engine | WorkerEngine:
    """The pipeline of that name in this module, in this process or over several."""
    if workers == 1:
        pipeline: Pipeline = globals()[name](*arguments)
        return pipeline.run(folder, flow_control=flow_control, options=options)
    blueprint = Blueprint(f"{__name__}:{name}", arguments)
    return WorkerEngine(blueprint, folder, workers=workers, flow_control=flow_control, options=options)
