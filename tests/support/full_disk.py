"""Places with little room for a log, and how to make more of it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import Engine, EngineOptions, Pipeline
from engine.log.local.disk import Disk
from tests.support.logs import local_log

KEEP_ALL = EngineOptions(retained_records=None, free_space_bytes=0)
_WORDS = f"1: {os.strerror(errno.ENOSPC)}"
KINDS = ("tmpfs", "short files")


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
    if kind == "short files":
        disk = NarrowDisk()
        yield FullDisk(
            engine=lambda pipeline: Engine(
                pipeline,
                folder,
                options=KEEP_ALL,
                storage=lambda number: local_log(folder / f"{number}", disk=disk),
            ),
            make_room=disk.make_room,
            size_bytes=shutil.disk_usage(folder).total,
            words=_WORDS,
        )
        return
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
            engine=lambda pipeline: Engine(pipeline, small / "data", options=KEEP_ALL),
            make_room=ballast.unlink,
            size_bytes=shutil.disk_usage(small).total,
            words=_WORDS,
        )
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
