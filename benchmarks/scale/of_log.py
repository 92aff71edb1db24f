"""What the log costs by size: of a batch, of a record, of all that is in it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from engine.log.sqlite import SqliteStorage

from benchmarks.append import FLOW_CONTROL
from benchmarks.restart import fill, restart_seconds
from benchmarks.scale.curve import Cost, Costs, Curve, each_apart
from benchmarks.study import Pace
from engine.core.clock import SystemClock
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Unit
from engine.log.partition_log import PartitionLog
from engine.partition.partition import Partition
from engine.runtime.data_folder import DataFolder

SECONDS = 1.0
LENGTHS, QUICK_LENGTHS = (10_000, 100_000, 1_000_000, 10_000_000), (10_000, 100_000)
# Records that are read to find what reading costs.
READ = 20_000


def of_batch(records: int) -> Costs:
    """Through flow control, into a log that does not sync."""
    value = os.urandom(170)
    batch = [Record(RecordType.COMMAND, "row", "create", "key-17", value) for _ in range(records)]
    with tempfile.TemporaryDirectory() as folder:
        partition = Partition(
            1,
            SqliteStorage(Path(folder) / "1.db", synchronous="NORMAL"),
            SystemClock(),
            flow_control=FLOW_CONTROL,
            exporters=(),
            has_processor=False,
            progressed=lambda: None,
        )

        def append() -> None:
            permit = partition.wait_acquire(WriteSource.USER_COMMAND, records)
            partition.append(Unit(source=WriteSource.USER_COMMAND, records=batch), permit)

        seconds = seconds_a_call(append)
        partition.close()
    return {"append": 1e6 * seconds}


def of_record(size: int) -> Costs:
    """Ten in a batch, of values that cannot be made smaller."""
    records = [Record(RecordType.COMMAND, "row", "create", "key-17", os.urandom(size)) for _ in range(10)]
    with tempfile.TemporaryDirectory() as folder:
        log = _opened(Path(folder) / "1.db")
        append = seconds_a_call(lambda: log.append(Unit(source=WriteSource.USER_COMMAND, records=records)))
        end = log.last_position
        log.close()
        # Again from the disk, or the system's cache of it: what has just been written is still in our memory.
        log = _opened(Path(folder) / "1.db")
        read = seconds_a_record_read(log, 1, min(end, max(10, 100_000_000 // size)))
        log.close()
    return {"append": 1e6 * append / len(records), "read": 1e6 * read}


def of_length(pace: Pace) -> Iterator[tuple[int, Sequence[Costs]]]:
    """One log that grows from length to length."""
    with tempfile.TemporaryDirectory() as name:
        folder, length_before = Path(name) / "data", 0
        for length in QUICK_LENGTHS if pace.quick else LENGTHS:
            found = []
            append = 1e6 * fill(folder, length, after=length_before)
            for _ in pace.repetitions(5, 2, f"{length:,}"):
                restart = 1000 * restart_seconds(folder)
                found.append({"append": append, "read": 1e6 * _read_middle(folder, length), "restart": restart})
            length_before = length
            yield length, found


def _read_middle(folder: Path, length: int) -> float:
    data = DataFolder(folder)
    log = _opened(data.partition_path(1))
    first = max(1, length // 2 - READ // 2)
    seconds = seconds_a_record_read(log, first, min(length, first + READ))
    log.close()
    return seconds


def _opened(path: Path) -> PartitionLog:
    log = PartitionLog(1, SqliteStorage(path, synchronous="NORMAL"), SystemClock(), committed=lambda _: None)
    log.open()
    return log


def seconds_a_call(call: Callable[[], object]) -> float:
    """The mean of a second of calls, so that what SQLite does now and then is in it."""
    call()
    taken: list[float] = []
    until = time.perf_counter() + SECONDS
    while not taken or time.perf_counter() < until:
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return sum(taken) / len(taken)


def seconds_a_record_read(log: PartitionLog, first: int, until: int) -> float:
    """Decoded as a processor reads them, a thousand at a time."""
    began, position, records = time.perf_counter(), first, 0
    while position < until:
        for batch in log.read(position, 1000):
            records += len(batch.records)
            position = batch.records[-1].position + 1
    return (time.perf_counter() - began) / records


CURVES = (
    Curve(
        name="batch",
        cause="records in a batch",
        setup="one append of so many records of 200 bytes, through flow control, without a sync",
        costs=(Cost("append", "µs a batch", 1),),
        points=each_apart(of_batch, (1, 10, 100, 1000, 10_000), (1, 100, 1000)),
    ),
    Curve(
        name="record",
        cause="bytes of a record",
        setup="batches of ten appended without a sync, and read again",
        costs=(Cost("append", "µs a record", 1), Cost("read", "µs a record", 1)),
        points=each_apart(of_record, (100, 1000, 10_000, 100_000, 1_000_000), (100, 10_000)),
    ),
    Curve(
        name="log",
        cause="records in the log",
        setup="batches of a hundred with ten keys of state each, no sync; read from the middle; restarted",
        costs=(Cost("append", "µs a record", 0), Cost("read", "µs a record", 0), Cost("restart", "ms", 0)),
        points=of_length,
    ),
)
