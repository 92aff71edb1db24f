"""The flights job as one process: a line is parsed, counted per aircraft, and written out again.

    python -m benchmarks.flights_job VARIANT INPUT FOLDER

prints one JSON line: records, seconds from the first line read to the last one written, by the clock and of the
processor (all threads), and peak memory.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import orjson

from benchmarks.flight import Mapped, mapped, parse, told
from benchmarks.flights_by_hand import by_hand
from engine import BatchContext, Commands, EngineOptions, Pipeline, ProcessingContext, Record, RecordFilter
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


class Flight(msgspec.Struct):
    """What the job wants of a flight: the other sixteen fields are passed over, not decoded."""

    tailnum: str | None
    arr_delay: int | None
    carrier: str


_flight = msgspec.json.Decoder(Flight).decode


def plain_typed(source: Path, folder: Path) -> int:
    """The same loop, and three fields decoded instead of nineteen."""
    counts: dict[str, int] = {}
    records = 0
    with source.open("rb") as lines_in, (folder / "out.ndjson").open("wb") as out:
        for line in lines_in:
            value = of_flight(_flight(line))
            count = counts[value[0]] = counts.get(value[0], 0) + 1
            out.write(orjson.dumps(told(value[0], count, value)) + b"\n")
            records += 1
    return records


def of_flight(flight: Flight) -> Mapped:
    return (flight.tailnum or "?", (flight.arr_delay or 0) * 60, flight.carrier)


def parse_all(many: list[bytes]) -> list[Mapped]:
    return [mapped(orjson.loads(line)) for line in many]


def of_flights(many: list[Flight]) -> list[Mapped]:
    return [(f.tailnum or "?", (f.arr_delay or 0) * 60, f.carrier) for f in many]


class CountPerAircraft:
    """The same in a processor: the count is durable state, the result an event."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        tail = record.key
        count = context.state.get(tail, 0) + 1
        context.state.put(tail, count)
        context.emit("counted", told(tail, count, record.value))


class CountBatches:
    """The same for many at a time."""

    def process_batch(self, commands: Commands, context: BatchContext) -> None:
        counts = context.state.get_many(commands.keys)
        results = []
        for tail, value in zip(commands.keys, commands.values, strict=True):
            count = counts[tail] = counts.get(tail, 0) + 1
            results.append(told(tail, count, value))
        context.state.put_many(counts)
        context.emit_batch("counted", results)


Api = Literal["record", "batch", "typed"]


def penstock(options: EngineOptions, api: Api = "record") -> Callable[[Path, Path], int]:
    """The job through the engine: durable log in and out, one partition."""

    def run(source: Path, folder: Path) -> int:
        pipeline = Pipeline("flights-job")
        match api:
            case "record":
                pipeline.source("flights", lines(source)).map("parse", parse)
            case "batch":
                pipeline.source("flights", lines(source)).map_batch("parse", parse_all)
            case "typed":
                typed = lines(source, format="json", type=Flight)
                pipeline.source("flights", typed).map_batch("parse", of_flights)
        pipeline.process(CountPerAircraft if api == "record" else CountBatches, key=lambda value: value[0])
        pipeline.export("out", jsonl(folder / "out.ndjson"), filter=RecordFilter(value_types=frozenset({"counted"})))
        with pipeline.run(folder / "data", options=options) as engine:
            engine.wait()
        return sum(task.records_in or 0 for task in engine.snapshot().tasks if task.task == "flights")

    return run


def peer(*, recovers: bool = False) -> Callable[[Path, Path], int]:
    """The same by bytewax, which the bench extra brings."""
    from benchmarks.flights_bytewax import bytewax

    return partial(bytewax, recovers=recovers)


def streamz_peer() -> Callable[[Path, Path], int]:
    from benchmarks.flights_streamz import streamz

    return streamz


def engine_options(synchronous: Literal["FULL", "NORMAL"], storage: StorageKind = "local") -> EngineOptions:
    return EngineOptions(synchronous=synchronous, storage=storage, buffer_records=1000)


PEER = "bytewax"
RECOVERING_PEER = "bytewax, recovery"
VARIANTS: dict[str, Callable[[], Callable[[Path, Path], int]]] = {
    "plain": lambda: plain,
    "plain, typed": lambda: plain_typed,
    "by hand, durable": lambda: by_hand,
    "full": lambda: penstock(engine_options("FULL")),
    "full, batch": lambda: penstock(engine_options("FULL"), "batch"),
    "full, typed batch": lambda: penstock(engine_options("FULL"), "typed"),
    "normal": lambda: penstock(engine_options("NORMAL")),
    "memory": lambda: penstock(engine_options("FULL", "memory")),
    "memory, batch": lambda: penstock(engine_options("FULL", "memory"), "batch"),
    "memory, typed batch": lambda: penstock(engine_options("FULL", "memory"), "typed"),
    PEER: peer,
    RECOVERING_PEER: lambda: peer(recovers=True),
    "streamz": streamz_peer,
}
# What a variant needs that is not installed with everything.
LIBRARIES = {PEER: "bytewax", RECOVERING_PEER: "bytewax", "streamz": "streamz"}


def main(variant: str, source: str, folder: str) -> None:
    job = VARIANTS[variant]()
    began, began_cpu = time.perf_counter(), time.process_time()
    records = job(Path(source), Path(folder))
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    print(json.dumps({"records": records, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """This process's own peak; `getrusage` would also count the parent it was forked from."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(*sys.argv[1:])
