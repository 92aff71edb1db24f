"""Pipelines that a worker process can import, for tests of engines over several processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from engine import Engine, EngineOptions, FlowControlSettings, Pipeline, ProcessingContext, Record
from engine.exporting.jsonl import jsonl
from engine.exporting.protocol import ExporterContext
from engine.workers.blueprint import Blueprint
from engine.workers.engine import WorkerEngine
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


class Nowhere:
    """An exporter that takes everything and keeps nothing."""

    def open(self, context: ExporterContext) -> None:
        return

    def export(self, records: Sequence[Record]) -> bytes | None:
        return None

    def close(self) -> None:
        return


class Numbers(Sequence[dict[str, object]]):
    """So many values, made when they are asked for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int | slice) -> object:  # type: ignore[override]
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(self._count))]
        return {"n": place, "k": f"key {place % 13}"}


def counting(folder: str, count: int = 2000) -> Pipeline:
    """Two bounded sources, parallel steps, messages between the partitions."""
    return (
        Pipeline("counting", partitions=3)
        .source("a", ListSource(Numbers(count), batch=9))
        .source("b", ListSource(Numbers(count // 2), batch=4))
        .map("as_is", _same, parallelism=2)
        .process(Counting, key="k")
        .export("file", jsonl(Path(folder) / "out.ndjson"))
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


def failing() -> Pipeline:
    """A step that gives up the run."""
    return (
        Pipeline("failing", partitions=2)
        .source("numbers", ListSource(Numbers(200), batch=50))
        .map("picky", _not_13, on_error="stop")
        .process(Counting, key="k")
        .export("out", Nowhere)
    )


def _same(value: object) -> object:
    return value


def _slowly(value: object) -> object:
    threading.Event().wait(0.002)
    return value


def _not_13(value: dict[str, int]) -> object:
    if value["n"] == 13:
        raise ValueError("13 is not to my liking")
    return value


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
