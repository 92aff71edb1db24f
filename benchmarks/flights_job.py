"""The flights job as one process: a line is parsed, counted per aircraft, and written out again.

    python -m benchmarks.flights_job VARIANT INPUT FOLDER

prints one JSON line: records, seconds from the first line read to the last one written, peak memory.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import orjson

from benchmarks.flight import mapped, parse, told
from engine import EngineOptions, Pipeline, ProcessingContext, Record, RecordFilter
from engine.exporting.jsonl import jsonl
from engine.options import StorageKind
from engine.sources.lines import lines


def plain(source: Path, folder: Path) -> int:
    """The limit: one loop, one dictionary, orjson."""
    counts: dict[str, int] = {}
    records = 0
    with source.open("rb") as lines_in, (folder / "out.ndjson").open("wb") as out:
        for line in lines_in:
            value = mapped(orjson.loads(line))
            count = counts[value[0]] = counts.get(value[0], 0) + 1
            out.write(orjson.dumps(told(value[0], count, value)) + b"\n")
            records += 1
    return records


class CountPerAircraft:
    """The same in a processor: the count is durable state, the result an event."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        tail = record.key
        count = context.state.get(tail, 0) + 1
        context.state.put(tail, count)
        context.emit("counted", told(tail, count, record.value))


def penstock(options: EngineOptions) -> Callable[[Path, Path], int]:
    """The job through the engine: durable log in and out, one partition."""

    def run(source: Path, folder: Path) -> int:
        pipeline = (
            Pipeline("flights-job")
            .source("flights", lines(source))
            .map("parse", parse)
            .process(CountPerAircraft, key=lambda value: value[0])
            .export("out", jsonl(folder / "out.ndjson"), filter=RecordFilter(value_types=frozenset({"counted"})))
        )
        with pipeline.run(folder / "data", options=options) as engine:
            engine.wait()
        return sum(task.records_in or 0 for task in engine.snapshot().tasks if task.task == "flights")

    return run


def peer() -> Callable[[Path, Path], int]:
    """The same by bytewax, which the bench extra brings."""
    from benchmarks.flights_bytewax import bytewax

    return bytewax


def engine_options(synchronous: Literal["FULL", "NORMAL"], storage: StorageKind = "local") -> EngineOptions:
    return EngineOptions(synchronous=synchronous, storage=storage, buffer_records=1000)


PEER = "bytewax"
VARIANTS: dict[str, Callable[[], Callable[[Path, Path], int]]] = {
    "plain": lambda: plain,
    "full": lambda: penstock(engine_options("FULL")),
    "normal": lambda: penstock(engine_options("NORMAL")),
    "memory": lambda: penstock(engine_options("FULL", "memory")),
    PEER: peer,
}


def main(variant: str, source: str, folder: str) -> None:
    job = VARIANTS[variant]()
    began = time.perf_counter()
    records = job(Path(source), Path(folder))
    seconds = time.perf_counter() - began
    print(json.dumps({"records": records, "seconds": seconds, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """This process's own peak; `getrusage` would also count the parent it was forked from."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(*sys.argv[1:])
