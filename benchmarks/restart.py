"""How long a restart takes, by the length of the log. `python -m benchmarks restart`.

From `start` on a stopped data folder to the first new record, durable and processed, with a processor and an
exporter that have caught up: what stands between an operator and a running pipeline.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.conditions import Spread, conditions
from engine import EngineOptions, Pipeline, ProcessingContext, Record, RecordType, WriteSource
from engine.clock import SystemClock
from engine.data_folder import DataFolder
from engine.exporting.protocol import ExporterContext
from engine.log.partition_log import PartitionLog
from engine.log.sqlite import SqliteStorage
from engine.unit import Acknowledgement, Unit

LENGTHS = (10_000, 100_000, 1_000_000)
BATCH = 100
KEEP_ALL = EngineOptions(retained_records=None, run_forever=True)


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


def fill(folder: Path, length: int) -> None:
    """A log of so many records with as many keys of state as a tenth of them, all processed and acknowledged."""
    data = DataFolder(folder)
    data.open("restart", 1)
    path = data.partition_path(1)
    path.parent.mkdir()
    log = PartitionLog(1, SqliteStorage(path, synchronous="NORMAL"), SystemClock(), committed=lambda _: None)
    log.open()
    for first in range(1, length + 1, BATCH):
        records = [
            Record(RecordType.COMMAND, "row", "create", f"key-{n}", {"n": n, "filling": "x" * 100})
            for n in range(first, first + BATCH)
        ]
        state = {f"key/{n}": b"\x01" for n in range(first, first + BATCH, 10)}
        log.append(Unit(source=WriteSource.USER_COMMAND, records=records, state=state))
    end = Unit(source=WriteSource.INTERNAL, processed_position=length)
    end.acknowledged["out"] = Acknowledgement("out", length, None)
    log.append(end)
    log.close()
    data.close()
    # What the filling has left in memory must not be written out in the restart's time.
    os.sync()


def restart_seconds(folder: Path) -> float:
    began = time.perf_counter()
    engine = Pipeline("restart").process(Nothing).export("out", Nothing).run(folder, options=KEEP_ALL).start()
    while True:
        (partition,) = engine.snapshot().partitions
        # The engine's own record of the opening is the first new one.
        if partition.last_processed_position == partition.last_written_position:
            break
        time.sleep(0.0005)
    seconds = time.perf_counter() - began
    engine.stop()
    return seconds


def main(*, repetitions: int = 7, lengths: Sequence[int] = LENGTHS) -> str:
    """The table as text."""
    rows = ["| records in the log | restart ms | log MB |", "|---|---|---|"]
    for length in lengths:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "data"
            fill(folder, length)
            found = [restart_seconds(folder) * 1000 for _ in range(repetitions)]
            megabytes = (folder / "partitions" / "1.db").stat().st_size / 1e6
            rows.append(f"| {length} | {Spread.of(found).text('{:.1f}')} | {megabytes:.0f} |")
    return "\n".join([f"restart, batches of {BATCH}, n = {repetitions}; {conditions()}", "", *rows])
