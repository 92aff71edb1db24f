"""One run of a job over worker processes, or in one process.

    python -m benchmarks.workers_job JOB WORKERS INPUT FOLDER scraped|alone

prints one JSON line: records, seconds from the moment that all sources run until the run has ended and every worker is
gone, and the CPU seconds of the busiest process in that time, which say what two free cores would make of it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.flight import parse
from benchmarks.flights_job import CountPerAircraft
from engine import Engine, EngineOptions, Pipeline, RecordFilter, SourceBatch, SourceStart
from engine.exporting.jsonl import jsonl
from engine.sources.lines import lines
from engine.workers.blueprint import Blueprint
from engine.workers.engine import WorkerEngine
from exporter.management import ManagementServer

OPTIONS = EngineOptions(buffer_records=1000)
PARTITIONS = 2
GENERATED = 60_000
_SCRAPE_EVERY_SECONDS = 0.5
_LOOK_SECONDS = 0.02


def flights(source: str, folder: str, partitions: int = PARTITIONS) -> Pipeline:
    """A line is parsed, counted per aircraft, and written out again."""
    return (
        Pipeline("flights-job", partitions=partitions)
        .source("flights", lines(source))
        .map("parse", parse)
        .process(CountPerAircraft, key=_first)
        .export("out", jsonl(Path(folder) / "out.ndjson"), filter=RecordFilter(value_types=frozenset({"counted"})))
    )


def flights_of_three(source: str, folder: str) -> Pipeline:
    """The same with a partition more, which the worker without a source has."""
    return flights(source, folder, PARTITIONS + 1)


def generators(_source: str, folder: str) -> Pipeline:
    """A source of numbers for each worker, and a step that has to think about each."""
    pipeline = Pipeline("generators", partitions=PARTITIONS)
    for name in ("a", "b"):
        pipeline.source(name, Numbers())
    return (
        pipeline.map("think", _think)
        .process(CountPerAircraft, key=_first)
        .export("out", jsonl(Path(folder) / "out.ndjson"), filter=RecordFilter(value_types=frozenset({"counted"})))
    )


class Numbers:
    """So many numbers, as fast as they are taken."""

    def __init__(self, count: int = GENERATED) -> None:
        self._count = count
        self._offset = 0

    def describe(self) -> str:
        return f"{self._count} numbers"

    def check(self) -> None:
        return

    def open(self, start: SourceStart) -> None:
        self._offset = start.offset

    def read(self, max_values: int) -> SourceBatch | None:
        first = self._offset + 1
        self._offset = min(self._count, self._offset + max_values)
        return SourceBatch(first, list(range(first, self._offset + 1))) if self._offset >= first else None

    def close(self) -> None:
        return


def _first(value: Any) -> Any:
    return value[0]


def _think(number: int) -> tuple[str, int, str]:
    thought = number
    for _ in range(300):
        thought = thought * 31 % 1_000_003
    return (f"N{number % 4000}", thought, "XX")


JOBS: Mapping[str, Callable[[str, str], Pipeline]] = {
    "flights": flights,
    "flights of three": flights_of_three,
    "generators": generators,
}


def engine_of(job: str, workers: int, source: str, folder: str) -> Engine | WorkerEngine:
    data = Path(folder) / "data"
    if workers == 1:
        return JOBS[job](source, folder).run(data, options=OPTIONS)
    blueprint = Blueprint(f"benchmarks.workers_job:{JOBS[job].__name__}", (source, folder))
    return WorkerEngine(blueprint, data, workers=workers, options=OPTIONS)


def main(job: str, workers: str, source: str, folder: str, watching: str) -> None:
    engine = engine_of(job, int(workers), source, folder).start()
    began = time.perf_counter()
    over = threading.Event()
    if watching == "scraped":
        server = ManagementServer(engine, port=0)
        server.start()
        threading.Thread(target=scrape, args=(f"{server.url}/metrics", over), daemon=True).start()
    processes = [w.process_id for w in engine.snapshot().workers if w.process_id is not None] or [os.getpid()]
    before = {process: cpu_seconds(process) for process in processes}
    spent = dict.fromkeys(processes, 0.0)
    while not engine.wait(_LOOK_SECONDS):
        spent = {process: max(spent[process], cpu_seconds(process) - before[process]) for process in processes}
    seconds = time.perf_counter() - began
    over.set()
    records = sum(task.records_in or 0 for task in engine.snapshot().tasks if task.kind == "source")
    print(json.dumps({"records": records, "seconds": seconds, "cpu_seconds_max": max(spent.values())}))


def cpu_seconds(process: int) -> float:
    """What a process has spent so far; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def scrape(url: str, over: threading.Event) -> None:
    while not over.wait(_SCRAPE_EVERY_SECONDS):
        urllib.request.urlopen(url).read()


if __name__ == "__main__":
    main(*sys.argv[1:])
