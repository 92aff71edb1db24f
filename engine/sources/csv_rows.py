"""CSV over the lines of another source: each row a dictionary of text."""

from __future__ import annotations

import csv
from collections import deque
from typing import Any

from engine.core.errors import ConfigurationError, PenstockError
from engine.core.snapshot import InputSnapshot
from engine.sources.csv_dialect import CsvDialect
from engine.sources.csv_reader import RowReader
from engine.sources.csv_window import LineWindow
from engine.sources.line_splitter import LINE_BYTES_MAX
from engine.sources.protocol import (
    Source,
    SourceBatch,
    SourceStart,
    can_restart,
    input_of,
    is_of_this_machine,
    is_prompt,
)

_BEGINNING = SourceStart(0, None)
# Lines that are read at a time.
_READ_LINES = 1000


class CsvRows:
    r"""Reads rows after a dialect: fields may be quoted, and a row may span lines.

    Without `columns` the first line that is not empty names the columns. The offset of a row is the number of its last
    line, so that behind any row stands the beginning of the next; the lines of `inner` number the rows. Line ends
    inside quotes are read as `\n`. Empty fields behind the last column are nothing. A row that has another number of
    fields, is no UTF-8 or breaks the rules gives an `Unreadable`; if it spans lines and is broken or never closed, its
    first line alone does, and the next line begins a row of its own.

    The cursor says where in `inner` a batch ended: at which line, and with which cursor. The lines from there to the
    row's are read again.
    """

    def __init__(
        self, inner: Source, *, dialect: CsvDialect | None = None, row_bytes_max: int = LINE_BYTES_MAX
    ) -> None:
        self._inner = inner
        self._dialect = dialect or CsvDialect()
        self._row_bytes_max = row_bytes_max
        self.restartable = can_restart(inner)
        self.prompt = is_prompt(inner)
        self.of_this_machine = is_of_this_machine(inner)
        self._begin()

    def _begin(self, behind: int = 0) -> None:
        self._window = LineWindow(self._dialect.escape, self._row_bytes_max)
        self._reader = RowReader(self._window, self._dialect, self._inner.describe(), self._row_bytes_max)
        # Where the batches of `inner` that are not passed yet ended, and the last that is.
        self._ends: deque[tuple[int, bytes | None]] = deque()
        self._end: tuple[int, bytes | None] = (behind, None)
        # Everything up to `_passed` is handed out, everything up to `_read_until` was read or is not wanted.
        self._passed = self._read_until = self._unwanted_until = behind
        self._at_end = False

    def describe(self) -> str:
        return f"{self._inner.describe()}, rows of CSV"

    def check(self) -> None:
        self._inner.check()
        if not self.restartable:
            return
        try:
            self._read_header()
        except PenstockError as error:
            raise ConfigurationError(str(error)) from error

    def open(self, start: SourceStart) -> None:
        # The module's own bound is for all who use it, so it is only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), self._row_bytes_max))
        if not self.restartable:
            self._begin(start.offset)
            self._inner.open(start)
            return
        header = self._read_header()
        # Rows that came along with the header are read again.
        behind = max(start.offset, header.header_line)
        place = SourceStart(*_read_cursor(start) if behind == start.offset else (behind, None))
        self._begin(behind)
        self._reader.columns, self._reader.header_line = header.columns, header.header_line
        self._reader.begin(header.dialect)
        # How far the header reaches is told first, so that what is asked for is counted from there.
        self._passed = start.offset
        self._end = place.offset, place.cursor
        self._inner.open(place)

    def read(self, max_values: int) -> SourceBatch | None:
        if self._passed < self._unwanted_until:
            self._passed = self._unwanted_until
            return SourceBatch(self._passed + 1, [])
        values, offsets = self._rows(max_values)
        # A row that is open is read on here: between two calls the task may rest.
        while not values and not self._at_end and self._read_lines():
            values, offsets = self._rows(max_values)
        if values:
            return self._batch(values, offsets)
        if self._window.is_empty and not self._window.waits:
            # Empty lines behind the last row are passed, too.
            self._passed = self._read_until
            if self._at_end:
                self._check_header()
                return None
        return SourceBatch(self._passed + 1, [])

    def close(self) -> None:
        self._inner.close()

    def input(self) -> InputSnapshot | None:
        return input_of(self._inner)

    def _read_header(self) -> RowReader:
        """Who has read the names and nothing else."""
        self._begin()
        try:
            self._inner.open(_BEGINNING)
            while self._reader.columns is None and self.read(_READ_LINES) is not None:
                pass
        finally:
            self._inner.close()
        return self._reader

    def _check_header(self) -> None:
        if self._reader.columns is None and self._dialect.columns is None:
            raise PenstockError(f"{self._inner.describe()} is empty; CSV begins with a line of column names")

    def _rows(self, max_values: int) -> tuple[list[Any], list[int]]:
        return self._reader.rows(self._passed + max_values, at_end=self._at_end)

    def _read_lines(self) -> bool:
        """Takes the next lines; False when there are none for now."""
        batch = self._inner.read(_READ_LINES)
        if batch is None:
            self._at_end = True
            self._reader.take(self._read_until + 1, [], last=True)
            return True
        unwanted = min(len(batch.values), max(0, self._unwanted_until - batch.first_offset + 1))
        self._read_until = max(self._read_until, batch.last_offset)
        if batch.last_offset >= self._unwanted_until:
            self._ends.append((batch.last_offset, batch.cursor))
        self._reader.take(batch.first_offset + unwanted, batch.values[unwanted:] if unwanted else batch.values)
        return bool(batch.values)

    def _batch(self, values: list[Any], offsets: list[int]) -> SourceBatch:
        first, self._passed = offsets[0], offsets[-1]
        while self._ends and self._ends[0][0] <= self._passed:
            self._end = self._ends.popleft()
        line, cursor = self._end
        is_dense = self._passed - first + 1 == len(offsets)
        return SourceBatch(
            first,
            values,
            None if cursor is None else b"%d %s" % (line, cursor),
            None if is_dense else offsets,
        )


def _read_cursor(start: SourceStart) -> tuple[int, bytes | None]:
    """How far `inner` had come, and its own cursor there."""
    if start.cursor is None:
        return start.offset, None
    line, _, cursor = start.cursor.partition(b" ")
    return int(line), cursor
