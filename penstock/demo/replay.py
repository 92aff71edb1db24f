"""A source that replays a file without end, at a steady pace."""

from __future__ import annotations

import gzip
from pathlib import Path

from engine import ConfigurationError, SourceBatch, SourceStart
from penstock.demo.pace import Pace

# Often enough to look steady, seldom enough to cost little.
_BATCHES_PER_SECOND = 20


class Replay:
    """The lines of a gzip file, from its beginning again behind its end; offsets go on rising.

    Like a feed from outside it has nothing to give for most of the time, and it does not catch up: what a slow reader
    did not take in time comes later.
    """

    prompt = True

    def __init__(self, path: Path, pace: Pace) -> None:
        self._path = path
        self._pace = pace
        self._lines: list[bytes] = []
        self._offset = 0

    def describe(self) -> str:
        return f"{self._path}, again and again"

    def check(self) -> None:
        if not self._path.is_file():
            raise ConfigurationError(f"{self._path}: no such file")

    def open(self, start: SourceStart) -> None:
        with gzip.open(self._path) as file:
            self._lines = file.read().splitlines()
        self._offset = start.offset

    def read(self, max_values: int) -> SourceBatch:
        per_second = self._pace.speed.per_second
        wanted = max_values if per_second is None else max(1, round(per_second / _BATCHES_PER_SECOND))
        # A batch does not reach over the end of the file; the next one begins it again.
        at = self._offset % len(self._lines)
        values = self._lines[at : at + min(max_values, wanted)]
        if not self._pace.try_go(len(values)):
            # The engine asks again soon, and is idle until then.
            return SourceBatch(self._offset + 1, [])
        batch = SourceBatch(self._offset + 1, list(values))
        self._offset = batch.last_offset
        return batch

    def close(self) -> None:
        self._lines = []
