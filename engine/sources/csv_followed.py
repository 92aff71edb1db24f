"""CSV out of a followed file: rows as they are written, and the names of the columns anew with each file."""

from __future__ import annotations

import csv
import logging
from collections import deque
from typing import Any

import msgspec

from engine.core.snapshot import InputSnapshot
from engine.sources.csv_dialect import CsvDialect
from engine.sources.csv_reader import RowReader
from engine.sources.csv_window import LineWindow
from engine.sources.followed_file import FollowedFile
from engine.sources.line_splitter import LINE_BYTES_MAX
from engine.sources.protocol import SourceBatch, SourceStart

log = logging.getLogger("penstock.source")

# Lines that are read at a time.
_READ_LINES = 1000


class RowsPlace(msgspec.Struct, frozen=True):
    """The cursor: where the lines of a batch of the file ended, and the names of the columns there."""

    line: int
    columns: tuple[str, ...] | None
    # Of the line of names; 0 where there is none.
    header_line: int
    # Whether files of this log go on without names, as behind `copytruncate`.
    goes_on: bool
    inner: bytes | None


class RowsCursor:
    """For who finds logs by the cursors of their files."""

    def wrapped(self, line: int, cursor: bytes) -> bytes:
        return msgspec.msgpack.encode(RowsPlace(line, None, 0, False, cursor))

    def unwrapped(self, cursor: bytes) -> bytes | None:
        return msgspec.msgpack.decode(cursor, type=RowsPlace).inner


class _End:
    """Of the lines that were read together: the last one, the cursor behind it, and who has read the names."""

    __slots__ = ("cursor", "line", "reader")

    def __init__(self, line: int, cursor: bytes | None, reader: RowReader) -> None:
        self.line = line
        self.cursor = cursor
        self.reader = reader


class FollowedRows:
    """Reads rows as `CsvRows` does, out of a file that grows and is rotated.

    Without `columns` each file begins with a line of names. Behind a rotation by renaming the new file's may be others;
    a word in the log says so. A file that was truncated goes on: its first row is one of names only where it says the
    very same. No row reaches from one file into the next. The offset of a row is the number of its last line, as in
    `FollowedFile`.
    """

    restartable = True
    prompt = True

    def __init__(
        self, inner: FollowedFile, *, dialect: CsvDialect | None = None, row_bytes_max: int = LINE_BYTES_MAX
    ) -> None:
        self._inner = inner
        self._dialect = dialect or CsvDialect()
        self._row_bytes_max = row_bytes_max
        self._begin(0)

    def _begin(self, behind: int) -> None:
        self._new_reader()
        self._file = 0
        # What the next file has begun with, while the rows in front of it are taken.
        self._following: SourceBatch | None = None
        self._ends: deque[_End] = deque()
        self._end = _End(behind, None, self._reader)
        # Everything up to `_passed` is handed out, everything up to `_read_until` was read; what is read again of it is
        # not wanted.
        self._passed = self._read_until = self._unwanted_until = behind
        # Whether the first row may say the names once more.
        self._may_repeat = False
        self._is_begun = False
        # The names of the file before, where the next one's may be others.
        self._known: tuple[str, ...] | None = None

    def _new_reader(self) -> None:
        self._window = LineWindow(self._dialect.escape, self._row_bytes_max)
        self._reader = RowReader(self._window, self._dialect, self._inner.describe(), self._row_bytes_max)

    def describe(self) -> str:
        return f"{self._inner.describe()}, rows of CSV"

    def check(self) -> None:
        self._inner.check()

    def open(self, start: SourceStart) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), self._row_bytes_max))
        self._begin(start.offset)
        self._inner.goes_on = False
        if start.cursor is None:
            self._inner.open(SourceStart(start.offset, None))
        else:
            place = msgspec.msgpack.decode(start.cursor, type=RowsPlace)
            self._inner.goes_on = place.goes_on
            self._inner.open(SourceStart(place.line, place.inner))
            self._reader.columns, self._reader.header_line = place.columns, place.header_line
            self._end = _End(place.line, place.inner, self._reader)
            self._read_until = place.line
        self._file = self._inner.files_begun

    def read(self, max_values: int) -> SourceBatch | None:
        values, offsets = self._rows(max_values)
        while not values and self._read_lines():
            values, offsets = self._rows(max_values)
        if values:
            return self._batch(values, offsets)
        if self._window.is_empty and not self._window.waits and self._following is None:
            # Empty lines behind the last row are passed, too.
            self._passed = max(self._passed, self._read_until)
        return SourceBatch(self._passed + 1, [])

    def close(self) -> None:
        self._inner.close()

    def input(self) -> InputSnapshot:
        return self._inner.input()

    # -- lines ---

    def _read_lines(self) -> bool:
        """Takes the next lines; False when there are none for now."""
        if self._following is not None:
            batch, self._following = self._following, None
            self._begin_file()
        else:
            batch = self._inner.read(_READ_LINES)
            if self._inner.files_begun != self._file:
                self._file = self._inner.files_begun
                # Rows that are open end with their file.
                self._following = batch
                self._reader.take(self._read_until + 1, [], last=True)
                return True
        unwanted = 0
        if not self._is_begun:
            # The place may lie inside of a row, so that what is read again makes no rows.
            unwanted = min(len(batch.values), max(0, self._unwanted_until - batch.first_offset + 1))
        self._read_until = max(self._read_until, batch.last_offset)
        if batch.last_offset >= self._unwanted_until:
            self._ends.append(_End(batch.last_offset, batch.cursor, self._reader))
        self._reader.take(batch.first_offset + unwanted, batch.values[unwanted:] if unwanted else batch.values)
        return bool(batch.values)

    def _begin_file(self) -> None:
        before = self._reader
        self._new_reader()
        self._is_begun = True
        self._may_repeat = False
        if self._inner.goes_on and before.columns is not None:
            self._reader.columns, self._reader.header_line = before.columns, before.header_line
            self._may_repeat = self._dialect.columns is None
            self._reader.begin(before.dialect)
        elif before.columns is not None:
            self._known = before.columns

    # -- rows ---

    def _rows(self, max_values: int) -> tuple[list[Any], list[int]]:
        had_names = self._reader.columns is not None
        values, offsets = self._reader.rows(self._passed + max_values, at_end=self._following is not None)
        if not had_names and self._reader.columns is not None:
            self._tell_names(self._reader.columns)
        if values and self._may_repeat:
            self._may_repeat = False
            if isinstance(values[0], dict) and all(name == text for name, text in values[0].items()):
                values, offsets = values[1:], offsets[1:]
        if self._is_begun and offsets and offsets[0] <= self._unwanted_until:
            wanted = [index for index, offset in enumerate(offsets) if offset > self._unwanted_until]
            values, offsets = [values[index] for index in wanted], [offsets[index] for index in wanted]
        return values, offsets

    def _tell_names(self, names: tuple[str, ...]) -> None:
        if self._known is not None and names != self._known:
            log.warning(
                "%s: the columns of the next file are %s, and were %s",
                self._inner.describe(),
                ", ".join(names),
                ", ".join(self._known),
            )
        self._known = None

    def _batch(self, values: list[Any], offsets: list[int]) -> SourceBatch:
        first, self._passed = offsets[0], offsets[-1]
        while self._ends and self._ends[0].line <= self._passed:
            self._end = self._ends.popleft()
        end = self._end
        place = RowsPlace(end.line, end.reader.columns, end.reader.header_line, self._inner.goes_on, end.cursor)
        is_dense = self._passed - first + 1 == len(offsets)
        return SourceBatch(first, values, msgspec.msgpack.encode(place), None if is_dense else offsets)
