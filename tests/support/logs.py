"""Partitions on disk for tests: filled through the log itself, then damaged from outside."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.core.clock import ManualClock
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Acknowledgement, Unit
from engine.log.local.disk import Disk
from engine.log.local.floor import FloorFile, floor_path
from engine.log.local.format import HEAD_BYTES, SEGMENT_HEADER_BYTES, Body, Head, decode_body, decode_head, mark_of
from engine.log.local.identity import IDENTITY_BYTES, NOWHERE, LogIdentity
from engine.log.local.look import floor_as_it_is
from engine.log.local.pages import SUMS_NAME, PageSums
from engine.log.local.storage import LocalLogStorage
from engine.log.partition_log import PartitionLog
from engine.log.rows.tables import STATE_NAME
from engine.runtime.data_folder import DataFolder


def commands(values: Sequence[object]) -> Unit:
    return Unit(
        source=WriteSource.USER_COMMAND,
        records=[Record(RecordType.COMMAND, "t", "create", f"k{i}", value) for i, value in enumerate(values)],
    )


def local_log(folder: Path, **options: Any) -> LocalLogStorage:
    """The log in this folder, made if it is not there; a folder that was copied without its floor gets one."""
    identity = options.get("identity", NOWHERE)
    if not (folder / STATE_NAME).exists():
        LocalLogStorage(folder, identity=identity).make()
    if not floor_path(folder).exists():
        floor = FloorFile(floor_path(folder), identity, Disk())
        floor.make(floor_as_it_is(folder))
        floor.close()
    return LocalLogStorage(folder, **options)


def copy_log(folder: Path, into: Path) -> Path:
    """As a process that is killed at this moment leaves it, with its floor.

    A copy takes time, in which the applier may go on: it is made again until that has stood still. The floor comes
    first, for the log behind it is never shorter than it says.
    """
    while True:
        before = _state_files(folder)
        into.parent.mkdir(parents=True, exist_ok=True)
        if floor_path(folder).exists():
            shutil.copy(floor_path(folder), floor_path(into))
        try:
            shutil.copytree(folder, into, ignore=shutil.ignore_patterns("*.tmp"))
        except shutil.Error:
            # A file that was replaced, or deleted, meanwhile.
            shutil.rmtree(into)
            continue
        if _state_files(folder) == before:
            return into
        shutil.rmtree(into)


def _state_files(folder: Path) -> set[tuple[str, int, int, int]]:
    found = set()
    for file in folder.glob("state.*"):
        with suppress(FileNotFoundError):
            stat = file.stat()
            # A reader changes the index in memory alone.
            if not file.name.endswith("-shm"):
                found.add((file.name, stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return found


def move_log(folder: Path, to: Path) -> None:
    folder.rename(to)
    floor_path(folder).rename(floor_path(to))


def data_folder(path: Path, batches: Sequence[int], *, partitions: int = 1) -> Path:
    """A data folder whose partitions each hold batches of these sizes; values count from 0."""
    folder = DataFolder(path)
    folder.open("p", partitions)
    for number in range(1, partitions + 1):
        fill(folder.partition_path(number), batches, identity=folder.identity(number))
    folder.close()
    return path


def fill(path: Path, batches: Sequence[int], **options: Any) -> None:
    clock = ManualClock()
    log = PartitionLog(1, local_log(path, **options), clock, committed=lambda _: None)
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
    found = {file.name: file.read_bytes() for file in path.iterdir() if not file.name.endswith("-shm")}
    return {name: content for name, content in found.items() if content}


def change(path: Path, statement: str, *values: object) -> None:
    """Does to a database what a fault would."""
    db = sqlite3.connect(path)
    assert db.execute(statement, values).rowcount > 0, "there was something to damage"
    db.commit()
    db.close()
    # As if that had been written: what it shall show is no bit that the disk has turned.
    identity = LogIdentity.unpacked(path.with_name(SUMS_NAME).read_bytes()[8 : 8 + IDENTITY_BYTES])
    PageSums(path, identity, Disk()).make()


def first_of_batch(path: Path, position: int) -> tuple[int, int]:
    """Where the batch begins that holds the position, and how many records it has."""
    (found,) = ((b[0], b[1]) for *_, body in frames(path) for b in body.batches if b[0] <= position < b[0] + b[1])
    return found


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
    (hit,) = (
        (segment, at + start + length // 2)
        for segment, at, _, body in frames(path)
        for first, _, _, _, _, start, length, _ in body.batches
        if first == first_position
    )
    turn_byte(*hit)
