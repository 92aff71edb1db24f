"""An exporter for a demo: it can be made slow, and its files never get large, for a demo may run for weeks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import msgspec

from engine import Clock, Exporter, ExporterContext, Record
from penstock.demo.pace import Pace, Speed

BYTES_MAX = 8 * 1024 * 1024


def recent_lines(folder: Path, speed: Speed, clock: Clock, *, bytes_max: int = BYTES_MAX) -> Callable[[], Exporter]:
    """The exporter for `Pipeline.export`: `FOLDER/<exporter>-<partition>.ndjson`, begun anew when it is full.

    Each partition's instance takes so many records as `speed` says, as a far-away database would.
    """
    return lambda: RecentLines(folder, Pace(speed, clock), bytes_max)


class RecentLines:
    """Writes what it is given and keeps the newest of it. One task's thread calls it."""

    def __init__(self, folder: Path, pace: Pace, bytes_max: int) -> None:
        self._folder = folder
        self._pace = pace
        self._bytes_max = bytes_max
        self._file: IO[bytes] | None = None

    def open(self, context: ExporterContext) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = (self._folder / f"{context.exporter}-{context.partition}.ndjson").open("ab")

    def export(self, records: Sequence[Record]) -> None:
        assert self._file is not None, "open() comes before export()"
        self._pace.wait(len(records))
        if self._file.tell() > self._bytes_max:
            self._file.truncate(0)
        for record in records:
            line = {
                "position": record.position,
                "valueType": record.value_type,
                "intent": record.intent,
                "key": record.key,
                "value": record.value,
            }
            self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
