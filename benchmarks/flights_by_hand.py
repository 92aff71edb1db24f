"""The flights job by hand and durable: what an engine that keeps input, state and results has to do at the least.

An input log, a log of results with the state that they leave, and the output, a sync each for 1,000 records. Nothing is
checked, counted or recovered; one thread does all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import IO
from zlib import crc32

import orjson

from benchmarks.flight import mapped, told

BATCH = 1000
_FRAME = Struct("<II")


class _File:
    """Appends, and syncs what it has appended."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def append(self, data: bytes) -> None:
        os.write(self._file, data)
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


def by_hand(source: Path, folder: Path) -> int:
    files = commands, results, out = [_File(folder / name) for name in ("commands", "results", "out.ndjson")]
    counts: dict[str, int] = {}
    records = 0
    with source.open("rb") as lines:
        for batch in _batches(lines):
            values = [mapped(orjson.loads(line)) for line in batch]
            commands.append(_framed(orjson.dumps(values)))
            made, changed = [], {}
            for value in values:
                count = counts[value[0]] = changed[value[0]] = counts.get(value[0], 0) + 1
                made.append(orjson.dumps(told(value[0], count, value)))
            text = b"\n".join(made) + b"\n"
            results.append(_framed(text + orjson.dumps(changed)))
            out.append(text)
            records += len(batch)
    for file in files:
        file.close()
    return records


def _batches(lines: IO[bytes]) -> Iterator[list[bytes]]:
    while batch := [*islice(lines, BATCH)]:
        yield batch


def _framed(body: bytes) -> bytes:
    return _FRAME.pack(len(body), crc32(body)) + body
