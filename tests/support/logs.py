"""Partition databases for tests: filled through the log itself, then damaged from outside."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.clock import ManualClock
from engine.log.partition_log import PartitionLog
from engine.log.sqlite import SqliteStorage
from engine.records import Record, RecordType, WriteSource
from engine.unit import Acknowledgement, Unit


def commands(values: Sequence[object]) -> Unit:
    return Unit(
        source=WriteSource.USER_COMMAND,
        records=[Record(RecordType.COMMAND, "t", "create", f"k{i}", value) for i, value in enumerate(values)],
    )


def data_folder(folder: Path, batches: Sequence[int], *, partitions: int = 1) -> Path:
    """A data folder whose partitions each hold batches of these sizes; values count from 0."""
    (folder / "partitions").mkdir(parents=True)
    (folder / "penstock.json").write_bytes(
        msgspec.json.encode({"format": 1, "pipeline": "p", "partitions": partitions})
    )
    for number in range(1, partitions + 1):
        fill(folder / "partitions" / f"{number}.db", batches)
    return folder


def fill(path: Path, batches: Sequence[int]) -> None:
    clock = ManualClock()
    log = PartitionLog(1, SqliteStorage(path), clock, committed=lambda _: None)
    log.open()
    written = 0
    for size in batches:
        log.append(commands([{"n": n} for n in range(written, written + size)]))
        written += size
        clock.advance(1)
    log.append(
        Unit(
            source=WriteSource.INTERNAL,
            processed_position=max(0, written - 1),
            acknowledged={"file": Acknowledgement("file", written // 2, None)},
        )
    )
    log.close()


def change(path: Path, statement: str, *values: object) -> None:
    """Does to a database what a fault would."""
    db = sqlite3.connect(path)
    assert db.execute(statement, values).rowcount > 0, "there was something to damage"
    db.commit()
    db.close()


def damage(path: Path, first_position: int) -> None:
    """Turns a byte in the middle of the batch that begins there."""
    db = sqlite3.connect(path)
    (blob,) = db.execute("SELECT blob FROM batch WHERE first_position = ?", (first_position,)).fetchone()
    middle = len(blob) // 2
    turned = blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :]
    db.execute("UPDATE batch SET blob = ? WHERE first_position = ?", (turned, first_position))
    db.commit()
    db.close()
