"""Small sources, processors and exporters for tests of the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from engine.core.errors import StoppedError
from engine.core.records import Record
from engine.exporting.protocol import ExporterContext
from engine.processing.protocol import ProcessingContext
from engine.sources.protocol import SourceBatch, SourceStart


class ListSource:
    """The values of a list, again from any offset; `endless` waits for more instead of ending."""

    def __init__(self, values: Sequence[Any], *, batch: int = 7, endless: bool = False) -> None:
        self.values = values
        self.started_at: list[SourceStart] = []
        self._batch = batch
        self._endless = endless
        self._offset = 0
        self._pause = threading.Event()

    def describe(self) -> str:
        return f"{len(self.values)} values"

    def check(self) -> None:
        return

    def open(self, start: SourceStart) -> None:
        self.started_at.append(start)
        self._offset = start.offset

    def read(self, max_values: int) -> SourceBatch | None:
        values = list(self.values[self._offset : self._offset + min(self._batch, max_values)])
        if not values:
            if not self._endless:
                return None
            self._pause.wait(0.01)
        batch = SourceBatch(self._offset + 1, values, str(self._offset + len(values)).encode())
        self._offset += len(values)
        return batch

    def close(self) -> None:
        return


class CollectingExporter:
    """Keeps every record it is given, by partition; may be told to fail or to block."""

    def __init__(self) -> None:
        self.records: dict[int, list[Record]] = {}
        self.opened: list[ExporterContext] = []
        self.closed = 0
        # Called with the records before they count; may raise.
        self.before: Callable[[Sequence[Record]], None] = lambda _: None
        self.open_gate = threading.Event()
        self.open_gate.set()

    def factory(self) -> _Instance:
        return _Instance(self)

    def values(self, value_type: str | None = None) -> list[Any]:
        return [
            record.value
            for number in sorted(self.records)
            for record in self.records[number]
            if value_type is None or record.value_type == value_type
        ]


class _Instance:
    def __init__(self, shared: CollectingExporter) -> None:
        self._shared = shared
        self._partition = 0

    def open(self, context: ExporterContext) -> None:
        self._partition = context.partition
        self._shared.opened.append(context)

    def export(self, records: Sequence[Record]) -> bytes | None:
        while not self._shared.open_gate.wait(0.05):
            if self._shared.closed < 0:
                raise StoppedError("the test is over")
        self._shared.before(records)
        kept = self._shared.records.setdefault(self._partition, [])
        kept += records
        return str(len(kept)).encode()

    def close(self) -> None:
        self._shared.closed += 1


class Recorder:
    """A processor that keeps what it is given, and does what a test tells it."""

    def __init__(self, work: Callable[[Record, ProcessingContext], None]) -> None:
        self.seen: list[Record] = []
        self._work = work

    def process(self, record: Record, context: ProcessingContext) -> None:
        self.seen.append(record)
        self._work(record, context)
