"""How long a restart takes, by the length of the log. `python -m benchmarks restart`.

From `start` on a stopped data folder to the first new record, durable and processed, with a processor and an
exporter that have caught up: what stands between an operator and a running pipeline.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from benchmarks.conditions import Spread, conditions
from benchmarks.study import Pace, Report
from engine import EngineOptions, Pipeline, ProcessingContext, Record, RecordType, WriteSource
from engine.core.clock import SystemClock
from engine.core.unit import Acknowledgement, Unit
from engine.exporting.protocol import ExporterContext
from engine.log.partition_log import PartitionLog
from engine.runtime.data_folder import DataFolder

LENGTHS = (10_000, 100_000, 1_000_000)
QUICK_LENGTHS = (10_000, 100_000)
BATCH = 100
_TIMED_BATCHES = 100


class Nothing:
    """A processor and an exporter that do nothing."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        return

    def open(self, context: ExporterContext) -> None:
        return

    def export(self, records: Sequence[Record]) -> None:
        return

    def close(self) -> None:
        return


def fill(folder: Path, length: int, *, after: int = 0) -> float:
    """A log of so many records with as many keys of state as a tenth of them, all processed and acknowledged.

    Goes on `after` what an earlier call has left. Returns the seconds that one record took, over the last batches.
    """
    data = DataFolder(folder)
    data.open("restart", 1)
    log = PartitionLog(1, data.storage(1, "local", "NORMAL"), SystemClock(), committed=lambda _: None)
    log.open()
    taken: deque[float] = deque(maxlen=_TIMED_BATCHES)
    for first in range(after + 1, length + 1, BATCH):
        records = [
            Record(RecordType.COMMAND, "row", "create", f"key-{n}", {"n": n, "filling": "x" * 100})
            for n in range(first, first + BATCH)
        ]
        state: dict[str, bytes | None] = {f"key/{n}": b"\x01" for n in range(first, first + BATCH, 10)}
        began = time.perf_counter()
        log.append(Unit(source=WriteSource.USER_COMMAND, records=records, state=state))
        taken.append(time.perf_counter() - began)
    reached = log.last_position
    end = Unit(source=WriteSource.INTERNAL, processed_position=reached)
    end.acknowledged["out"] = Acknowledgement("out", reached, None)
    log.append(end)
    log.close()
    data.close()
    # What the filling has left in memory must not be written out in the restart's time.
    os.sync()
    return sum(taken) / len(taken) / BATCH


def restart_seconds(folder: Path) -> float:
    options = EngineOptions(retained_records=None, run_forever=True)
    began = time.perf_counter()
    engine = Pipeline("restart").process(Nothing).export("out", Nothing).run(folder, options=options).start()
    while True:
        (partition,) = engine.snapshot().partitions
        # The engine's own record of the opening is the first new one.
        if partition.last_processed_position == partition.last_written_position:
            break
        time.sleep(0.0005)
    seconds = time.perf_counter() - began
    engine.stop()
    return seconds


def run(pace: Pace) -> Report:
    rows = ["| records in the log | restart ms | log MB |", "|---|---|---|"]
    for length in QUICK_LENGTHS if pace.quick else LENGTHS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "data"
            fill(folder, length)
            found = [restart_seconds(folder) * 1000 for _ in pace.repetitions(7, 3, f"{length} records")]
            files = [file for file in (folder / "partitions").rglob("*") if file.is_file()]
            megabytes = sum(file.stat().st_size for file in files) / 1e6
            rows.append(f"| {length} | {Spread.of(found).text('{:.1f}')} | {megabytes:.0f} |")
    return Report("\n".join([f"restart, batches of {BATCH}, n = {len(found)}; {conditions()}", "", *rows]))
