"""Places with little room for a log, and how to make more of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import Engine, EngineOptions, Pipeline
from engine.log.sqlite import SqliteStorage
from engine.unit import Recovered

KEEP_ALL = EngineOptions(retained_records=None, free_space_bytes=0)
KINDS = ("tmpfs", "page limit")


class NarrowStorage(SqliteStorage):
    """A database that may only grow to so many pages: SQLite's own "database or disk is full"."""

    PAGES = 300

    def recover(self) -> Recovered:
        recovered = super().recover()
        self.set_pages(self.PAGES)
        return recovered

    def set_pages(self, pages: int) -> None:
        assert self._writer is not None
        self._writer.execute(f"PRAGMA max_page_count = {pages}")


@dataclass(frozen=True)
class FullDisk:
    """`engine` makes one that has not started; a few MB of records fill what there is until `make_room`."""

    engine: Callable[[Pipeline], Engine]
    make_room: Callable[[], None]
    # Of the file system.
    size_bytes: int


@contextmanager
def little_room(kind: str, folder: Path) -> Iterator[FullDisk]:
    """A real file system of 32 MB, all but full, or a limit on the pages of the database. Partition 1 alone."""
    if kind == "page limit":
        storages: list[NarrowStorage] = []

        def storage(number: int) -> NarrowStorage:
            storages.append(NarrowStorage(folder / f"{number}.db"))
            return storages[-1]

        yield FullDisk(
            engine=lambda pipeline: Engine(pipeline, folder, options=KEEP_ALL, storage=storage),
            make_room=lambda: storages[0].set_pages(1_000_000),
            size_bytes=shutil.disk_usage(folder).total,
        )
        return
    small = folder / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here; the page limit stands in for it")
    ballast = small / "ballast"
    ballast.write_bytes(b"\0" * (30 * 1024 * 1024))
    try:
        yield FullDisk(
            engine=lambda pipeline: Engine(pipeline, small / "data", options=KEEP_ALL),
            make_room=ballast.unlink,
            size_bytes=shutil.disk_usage(small).total,
        )
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
