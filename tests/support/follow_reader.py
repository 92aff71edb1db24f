"""Follows a file, and stores what it reads together with its place, a batch at a time: what an engine does, in small.

`python -m tests.support.follow_reader PATH OUT` goes on where OUT ends, until it is killed. OUT has one JSON object a
batch: offset, cursor, values. A batch is written by one call, so that a kill leaves it whole or torn at the end.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import msgspec

from engine.sources.followed_file import FollowedFile
from engine.sources.protocol import SourceStart

# The two quiet seconds behind a rotation pass in a tenth of one.
_SPEED = 20
_REST_SECONDS = 0.002


class FastClock:
    """Time that flies."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() * _SPEED

    def wall_ns(self) -> int:
        return time.time_ns()


class Batch(msgspec.Struct):
    """One line of OUT."""

    offset: int
    cursor: str
    values: list[str]


def stored(out: Path) -> list[Batch]:
    """All whole batches."""
    if not out.exists():
        return []
    content = out.read_bytes()
    return msgspec.json.Decoder(Batch).decode_lines(content[: content.rfind(b"\n") + 1])


def cut_torn(out: Path) -> None:
    """What was torn by a kill is cut off."""
    if out.exists():
        os.truncate(out, out.read_bytes().rfind(b"\n") + 1)


def main(path: Path, out: Path) -> None:
    cut_torn(out)
    batches = stored(out)
    start = SourceStart(batches[-1].offset, batches[-1].cursor.encode()) if batches else SourceStart(0, None)
    pause = threading.Event()
    source = FollowedFile(path, clock=FastClock())
    source.open(start)
    with out.open("ab", buffering=0) as file:
        while True:
            batch = source.read(20)
            assert batch is not None
            assert batch.cursor is not None
            if not batch.values:
                pause.wait(_REST_SECONDS)
                continue
            values = [value.decode() for value in batch.values]
            file.write(msgspec.json.encode(Batch(batch.last_offset, batch.cursor.decode(), values)) + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
