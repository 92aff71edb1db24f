"""What a whole engine costs by its size: partitions, subtasks, record exporters, worker processes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.hour import memory_mb, processes
from benchmarks.scale.curve import Cost, Costs, Curve, each_apart
from benchmarks.workers import one
from engine import Engine, EngineOptions, Pipeline, ProcessingContext, Record
from engine.core.snapshot import EngineSnapshot
from engine.exporting.protocol import ExporterContext
from engine.sources.generator import generator

RECORDS = 40_000
# More keys than partitions, so that each has its share.
KEYS = 5000
IDLE_SECONDS = 3.0
# Of each partition.
_GROWN_BUFFER, _GROWN_RECORDS = 250, 1000
_LOOK_SECONDS = 0.02
_WAIT_SECONDS = 300.0
OPTIONS = EngineOptions(synchronous="NORMAL", run_forever=True, retained_records=None)


class Echo:
    """Each command has one result."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        context.emit("echo", record.value)


class Nowhere:
    """Takes everything and counts it."""

    def __init__(self) -> None:
        self.records = 0

    def open(self, context: ExporterContext) -> None:
        return

    def export(self, records: Sequence[Record]) -> None:
        self.records += len(records)

    def close(self) -> None:
        return


def with_partitions(partitions: int) -> Costs:
    return life_of(partitions=partitions)


def with_grown_buffers(partitions: int) -> Costs:
    """Buffers of as many values that each partition's part is as long as one partition's buffer would be."""
    records = max(RECORDS, _GROWN_RECORDS * partitions)
    options = replace(OPTIONS, buffer_records=_GROWN_BUFFER * partitions)
    return life_of(partitions=partitions, records=records, options=options)


def with_subtasks(subtasks: int) -> Costs:
    return life_of(subtasks=subtasks)


def with_exporters(exporters: int) -> Costs:
    return life_of(exporters=exporters)


def with_workers(workers: int) -> Costs:
    with tempfile.NamedTemporaryFile() as unused:
        thousand_per_second, by_cpu = one("generators", workers, Path(unused.name))
    return {"record": 1000 / thousand_per_second, "busiest process": 1000 / by_cpu}


def life_of(
    *,
    partitions: int = 1,
    subtasks: int = 1,
    exporters: int = 1,
    records: int = RECORDS,
    options: EngineOptions = OPTIONS,
) -> Costs:
    """Starts it, lets it finish its records, and leaves it idle for a while."""
    opened: list[Nowhere] = []

    def nowhere() -> Nowhere:
        opened.append(Nowhere())
        return opened[-1]

    pipeline = Pipeline("scale", partitions=partitions).source("made-up", generator(rate=1e9, keys=KEYS, count=records))
    pipeline = pipeline.map("as-is", lambda value: value, parallelism=subtasks).process(Echo, key="key")
    for number in range(exporters):
        pipeline = pipeline.export(f"out-{number}", nowhere)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        engine = pipeline.run(Path(folder) / "data", options=options).start()
        started = time.perf_counter()
        # A look at a large engine costs a good part of what is measured: not before all of it has arrived.
        _wait(engine, lambda: sum(exporter.records for exporter in opened) >= 2 * records * exporters)
        _wait(engine, lambda: is_done(engine.snapshot(), records))
        done = time.perf_counter()
        cpu, idle = time.process_time(), time.perf_counter()
        engine.wait(IDLE_SECONDS)
        idle_share = (time.process_time() - cpu) / (time.perf_counter() - idle)
        looks = 5
        looking = time.perf_counter()
        for _ in range(looks):
            snapshot = engine.snapshot()
        looking = (time.perf_counter() - looking) / looks
        megabytes = sum(memory_mb(process) for process in processes(snapshot).values())
        engine.stop(drain=False)
    return {
        "start": 1000 * (started - began),
        "record": 1e6 * (done - started) / records,
        "idle CPU": 100 * idle_share,
        "snapshot": 1000 * looking,
        "memory": megabytes,
    }


def is_done(snapshot: EngineSnapshot, records: int) -> bool:
    """Everything read, processed and acknowledged; the engine's own records come on top."""
    stored = sum(partition.last_written_position for partition in snapshot.partitions)
    return stored >= 2 * records and all(p.backlog_records == 0 for p in snapshot.partitions)


def _wait(engine: Engine, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not holds():
        if engine.wait(_LOOK_SECONDS) or time.monotonic() > deadline:
            raise RuntimeError(f"it never finished: {engine.snapshot().failure or 'the time is over'}")


_START = Cost("start", "ms", 1)
_RECORD = Cost("record", "µs", 0)
_IDLE = Cost("idle CPU", "% of a core", 1)
_SNAPSHOT = Cost("snapshot", "ms", 1)
_MEMORY = Cost("memory", "MB", 1)

CURVES = (
    Curve(
        name="partitions",
        cause="partitions",
        setup=f"{RECORDS:,} records and as many results through one engine, without a sync at each commit",
        costs=(_START, _RECORD, _IDLE, _SNAPSHOT, _MEMORY),
        points=each_apart(with_partitions, (1, 4, 16, 64, 256), (1, 4, 16)),
    ),
    Curve(
        name="grown-buffers",
        cause="partitions",
        setup=f"the same, at least {_GROWN_RECORDS:,} records for each partition, buffers of {_GROWN_BUFFER} for each",
        costs=(_RECORD,),
        points=each_apart(with_grown_buffers, (1, 4, 16, 64, 256), (1, 4, 16)),
    ),
    Curve(
        name="tasks",
        cause="subtasks of a step",
        setup="the same with one partition and a step of so many subtasks; the step does nothing",
        costs=(_START, _RECORD, _IDLE, _SNAPSHOT, _MEMORY),
        points=each_apart(with_subtasks, (1, 10, 100, 1000), (1, 10, 100)),
    ),
    Curve(
        name="exporters",
        cause="record exporters",
        setup="the same with one partition and so many exporters that take everything",
        costs=(_START, Cost("record", "µs", 1), _IDLE, _SNAPSHOT, _MEMORY),
        points=each_apart(with_exporters, (1, 2, 4, 8), (1, 2, 4)),
    ),
    Curve(
        name="workers",
        cause="worker processes",
        setup="two generators with a step that has to think, over so many processes (1: no worker process at all)",
        costs=(_RECORD, Cost("busiest process", "µs of CPU a record", 0)),
        points=each_apart(with_workers, (1, 2), (1, 2)),
    ),
)
