"""Places with little room for a log, and how to make more of it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine import Engine, EngineOptions, Pipeline
from engine.core.unit import Recovered
from engine.log.local.disk import Disk
from engine.log.local.storage import SegmentsStorage
from engine.log.sqlite import SqliteStorage
from engine.options import StorageKind

KEEP_ALL = EngineOptions(retained_records=None, free_space_bytes=0)
_WORDS = {"sqlite": "1.db: database or disk is full", "segments": f"1: {os.strerror(errno.ENOSPC)}"}
KINDS = ("tmpfs sqlite", "page limit", "tmpfs segments", "short files")


class NarrowStorage(SqliteStorage):
    """A database that may only grow to so many pages: SQLite's own "database or disk is full"."""

    PAGES = 300

    def recover(self) -> Recovered:
        recovered = super().recover()
        self.set_pages(self.PAGES)
        return recovered

    def set_pages(self, pages: int) -> None:
        self._connections.writer.execute(f"PRAGMA max_page_count = {pages}")


class NarrowDisk(Disk):
    """A disk with room for so many bytes of log, whose last write is cut short."""

    def __init__(self) -> None:
        self.room = 2_000_000

    def write(self, file: int, parts: Sequence[bytes], offset: int) -> None:
        written = b"".join(parts)
        if offset + len(written) > self.room:
            super().write(file, [written[: max(0, self.room - offset)]], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(file, parts, offset)

    def make_room(self) -> None:
        self.room = 1_000_000_000


@dataclass(frozen=True)
class FullDisk:
    """`engine` makes one that has not started; a few MB of records fill what there is until `make_room`."""

    engine: Callable[[Pipeline], Engine]
    make_room: Callable[[], None]
    # Of the file system.
    size_bytes: int
    # What the storage says of it.
    words: str


@contextmanager
def little_room(kind: str, folder: Path) -> Iterator[FullDisk]:
    """A real file system of 32 MB, all but full, or a limit on what the storage itself may use. Partition 1 alone."""
    if kind == "page limit":
        storages: list[NarrowStorage] = []

        def storage(number: int) -> NarrowStorage:
            storages.append(NarrowStorage(folder / f"{number}.db"))
            return storages[-1]

        yield FullDisk(
            engine=lambda pipeline: Engine(pipeline, folder, options=KEEP_ALL, storage=storage),
            make_room=lambda: storages[0].set_pages(1_000_000),
            size_bytes=shutil.disk_usage(folder).total,
            words=_WORDS["sqlite"],
        )
        return
    if kind == "short files":
        disk = NarrowDisk()
        yield FullDisk(
            engine=lambda pipeline: Engine(
                pipeline,
                folder,
                options=KEEP_ALL,
                storage=lambda number: SegmentsStorage(folder / f"{number}", disk=disk),
            ),
            make_room=disk.make_room,
            size_bytes=shutil.disk_usage(folder).total,
            words=_WORDS["segments"],
        )
        return
    storage_of: StorageKind = "segments" if kind.endswith("segments") else "sqlite"
    options = replace(KEEP_ALL, storage=storage_of)
    small = folder / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here; the limit of the storage stands in for it")
    ballast = small / "ballast"
    ballast.write_bytes(b"\0" * (30 * 1024 * 1024))
    try:
        yield FullDisk(
            engine=lambda pipeline: Engine(pipeline, small / "data", options=options),
            make_room=ballast.unlink,
            size_bytes=shutil.disk_usage(small).total,
            words=_WORDS[storage_of],
        )
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
