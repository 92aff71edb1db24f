"""Follows a file, and stores what it reads together with its place, a batch at a time: what an engine does, in small.

`python -m tests.support.follow_reader PATH OUT` goes on where OUT ends, until it is killed. PATH may be a pattern. OUT
has one JSON object a batch: split, offset, cursor, values. A batch is written by one call, so that a kill leaves it
whole or torn at the end.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from engine.sources.followed_file import FollowedFile
from engine.sources.many_logs import ManyLogs
from engine.sources.protocol import Source, SourceBatch, SourceStart, SplitStart

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
    split: str = ""


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
    starts: dict[str, SplitStart] = {}
    for one in stored(out):
        cursor = one.cursor.encode()
        starts[one.split] = SplitStart(one.offset, cursor, cursor)
    read = of_pattern(path, starts) if "*" in str(path) else of_file(path, starts.get("", SourceStart(0, None)))
    pause = threading.Event()
    with out.open("ab", buffering=0) as file:
        while True:
            batch = read()
            if not batch.values and not (batch.split and batch.cursor):
                pause.wait(_REST_SECONDS)
                continue
            assert batch.cursor is not None
            values = [value.decode() for value in batch.values]
            line = Batch(batch.last_offset, batch.cursor.decode(), values, batch.split)
            file.write(msgspec.json.encode(line) + b"\n")


def of_file(path: Path, start: SourceStart) -> Callable[[], SourceBatch]:
    source = FollowedFile(path, clock=FastClock())
    source.open(start)
    return lambda: source.read(20)


def of_pattern(path: Path, starts: Mapping[str, SplitStart]) -> Callable[[], SourceBatch]:
    def made(path: Path) -> tuple[Source, FollowedFile]:
        file = FollowedFile(path, clock=FastClock())
        return file, file

    source = ManyLogs(str(path), made, clock=FastClock())
    source.open_splits(starts)

    def read() -> SourceBatch:
        batch = source.read_split(lambda split, offset: 20)
        assert batch is not None
        return batch

    return read


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
