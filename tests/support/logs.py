"""Partitions on disk for tests: filled through the log itself, then damaged from outside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from engine.core.clock import ManualClock
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Acknowledgement, Unit
from engine.log.local.format import HEAD_BYTES, SEGMENT_HEADER_BYTES, Body, Head, decode_body, decode_head, mark_of
from engine.log.local.storage import SegmentsStorage
from engine.log.partition_log import PartitionLog
from engine.log.sqlite import SqliteStorage
from engine.log.storage import LogStorage


def commands(values: Sequence[object]) -> Unit:
    return Unit(
        source=WriteSource.USER_COMMAND,
        records=[Record(RecordType.COMMAND, "t", "create", f"k{i}", value) for i, value in enumerate(values)],
    )


# Where a partition lies in its folder, by storage.
PLACES = {"sqlite": "1.db", "segments": "1"}


def storage_at(path: Path) -> LogStorage:
    """What keeps a partition there; `path` need not be there yet."""
    return SqliteStorage(path) if path.suffix == ".db" else SegmentsStorage(path)


def data_folder(folder: Path, batches: Sequence[int], *, partitions: int = 1, storage: str = "sqlite") -> Path:
    """A data folder whose partitions each hold batches of these sizes; values count from 0."""
    (folder / "partitions").mkdir(parents=True)
    (folder / "penstock.json").write_bytes(
        msgspec.json.encode({"format": 1, "pipeline": "p", "partitions": partitions, "storage": storage})
    )
    for number in range(1, partitions + 1):
        fill(folder / "partitions" / PLACES[storage].replace("1", f"{number}"), batches)
    return folder


def fill(path: Path, batches: Sequence[int], storage: LogStorage | None = None) -> None:
    clock = ManualClock()
    log = PartitionLog(1, storage or storage_at(path), clock, committed=lambda _: None)
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


def contents(path: Path) -> dict[str, bytes]:
    """All that a partition's files hold, but what reading leaves: an index, and a file with nothing in it."""
    files = path.iterdir() if path.is_dir() else [path]
    found = {file.name: file.read_bytes() for file in files if not file.name.endswith("-shm")}
    return {name: content for name, content in found.items() if content}


def change(path: Path, statement: str, *values: object) -> None:
    """Does to a database what a fault would."""
    db = sqlite3.connect(path)
    assert db.execute(statement, values).rowcount > 0, "there was something to damage"
    db.commit()
    db.close()


def first_of_batch(path: Path, position: int) -> tuple[int, int]:
    """Where the batch begins that holds the position, and how many records it has."""
    if path.is_dir():
        (found,) = ((b[0], b[1]) for *_, body in frames(path) for b in body.batches if b[0] <= position < b[0] + b[1])
        return found
    db = sqlite3.connect(path)
    statement = "SELECT first_position, count FROM batch WHERE first_position <= ? ORDER BY 1 DESC LIMIT 1"
    first, count = db.execute(statement, (position,)).fetchone()
    db.close()
    return first, count


def frames(folder: Path) -> Iterator[tuple[Path, int, Head, Body]]:
    """Each frame of a whole log: its segment, where it begins there, and what it says."""
    for segment in sorted(folder.glob("*.log")):
        data, at = segment.read_bytes(), SEGMENT_HEADER_BYTES
        mark = mark_of(data)
        assert mark is not None
        while (head := decode_head(data[at : at + HEAD_BYTES], mark, at)) is not None:
            yield segment, at, head, decode_body(head, data[at + HEAD_BYTES : at + HEAD_BYTES + head.body_bytes])
            at += head.frame_bytes


def turn_byte(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def damage(path: Path, first_position: int) -> None:
    """Turns a byte in the middle of the batch that begins there."""
    if path.is_dir():
        (hit,) = (
            (segment, at + start + length // 2)
            for segment, at, _, body in frames(path)
            for first, _, _, _, _, start, length, _ in body.batches
            if first == first_position
        )
        turn_byte(*hit)
        return
    db = sqlite3.connect(path)
    (blob,) = db.execute("SELECT blob FROM batch WHERE first_position = ?", (first_position,)).fetchone()
    middle = len(blob) // 2
    turned = blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :]
    db.execute("UPDATE batch SET blob = ? WHERE first_position = ?", (turned, first_position))
    db.commit()
    db.close()
