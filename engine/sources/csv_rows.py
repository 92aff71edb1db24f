"""CSV with a header, over the lines of another source: each row a dictionary of text."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import Any

from engine.core.errors import ConfigurationError, PenstockError
from engine.sources.line_splitter import LINE_BYTES_MAX
from engine.sources.protocol import Source, SourceBatch, SourceStart, can_restart, is_prompt
from engine.sources.unreadable import Unreadable

_BEGINNING = SourceStart(0, None)
_EXCERPT_BYTES = 200
_READ_AHEAD = 100


class CsvRows:
    r"""Reads rows after RFC 4180: fields may be quoted, a quote is doubled inside quotes, a row may span lines.

    The first line that is not empty is the header. The offset of a row is the number of its last line, so that
    behind any row stands the beginning of the next; the lines of `inner` number the rows. Line ends inside
    quotes are read as `\n`. A row that has not the header's number of fields, is no UTF-8, or is longer than
    `row_bytes_max`, gives an `Unreadable`.
    """

    def __init__(self, inner: Source, *, delimiter: str = ",", row_bytes_max: int = LINE_BYTES_MAX) -> None:
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise ConfigurationError(f"delimiter must be one character, and no quote or line end, not {delimiter!r}")
        self._inner = inner
        self._delimiter = delimiter
        self._row_bytes_max = row_bytes_max
        self.restartable = can_restart(inner)
        self.prompt = is_prompt(inner)
        self._begin()

    def _begin(self) -> None:
        self._header: list[str] | None = None
        self._header_line = 0
        self._begin_rows(behind=0)

    def _begin_rows(self, behind: int) -> None:
        self._ready: deque[SourceBatch] = deque()
        # The lines of a row whose quotes are still open.
        self._open: list[bytes] = []
        # Everything up to `_passed` is handed out or ready, everything up to `_read_until` was read.
        self._passed = self._read_until = behind

    def describe(self) -> str:
        return f"{self._inner.describe()}, rows of CSV"

    def check(self) -> None:
        self._inner.check()
        if not self.restartable:
            return
        try:
            self._open_and_read_header()
        except PenstockError as error:
            raise ConfigurationError(str(error)) from error
        finally:
            self._inner.close()

    def open(self, start: SourceStart) -> None:
        if not self.restartable:
            self._begin()
            self._begin_rows(behind=start.offset)
            self._inner.open(start)
            return
        self._open_and_read_header()
        # Rows that came along with the header are read again.
        self._inner.close()
        place = start if start.offset >= self._header_line else SourceStart(self._header_line, None)
        self._begin_rows(behind=place.offset)
        if place.offset > start.offset:
            # How far the header reaches is told first, so that what is asked for is counted from there.
            self._ready.append(SourceBatch(place.offset + 1, []))
        self._inner.open(place)

    def read(self, max_values: int) -> SourceBatch | None:
        if not self._ready:
            # What an open row holds back was read already, and counts.
            batch = self._inner.read(max(1, max_values - (self._read_until - self._passed)))
            if batch is not None:
                self._take(batch)
            elif self._open:
                self._give_up_row(self._read_until, "its quotes are still open at the end")
            elif self._header is None:
                raise PenstockError(f"{self._inner.describe()} is empty; CSV begins with a line of column names")
            else:
                return None
        return self._ready.popleft() if self._ready else SourceBatch(self._passed + 1, [])

    def close(self) -> None:
        self._inner.close()

    # -- header ---

    def _open_and_read_header(self) -> None:
        self._begin()
        self._inner.open(_BEGINNING)
        while self._header is None:
            if self.read(_READ_AHEAD) is None:
                return

    def _take_header(self, fields: list[str], line: int) -> None:
        if "" in fields or len(set(fields)) < len(fields):
            raise PenstockError(
                f"{self._inner.describe()}: the column names in line {line} must be different and not empty, "
                f"not {self._delimiter.join(fields)}"
            )
        self._header, self._header_line = fields, line

    # -- rows ---

    def _take(self, batch: SourceBatch) -> None:
        self._read_until = batch.last_offset
        if not self._open and self._header is not None:
            rows = self._simple_rows(batch.values, self._header)
            if rows is not None:
                self._ready.append(SourceBatch(batch.first_offset, rows, batch.cursor))
                self._passed = batch.last_offset
                return
        for number, line in enumerate(batch.values, start=batch.first_offset):
            self._take_line(number, line)
        if not self._open:
            self._passed = batch.last_offset
            if self._ready and self._ready[-1].last_offset == batch.last_offset:
                self._ready[-1].cursor = batch.cursor

    def _simple_rows(self, lines: list[Any], header: list[str]) -> list[Any] | None:
        """All rows at once where each line is a good row; None where they need a closer look."""
        if any(type(line) is Unreadable for line in lines):
            return None
        try:
            rows = list(self._parsed([line.decode() for line in lines]))
        except (UnicodeDecodeError, csv.Error):
            return None
        width = len(header)
        if len(rows) != len(lines) or any(len(row) != width for row in rows):
            return None
        return [dict(zip(header, row, strict=True)) for row in rows]

    def _take_line(self, number: int, line: bytes | Unreadable) -> None:
        if isinstance(line, Unreadable):
            if self._open:
                self._give_up_row(number - 1, "a line of it is too long")
            self._add(number, line)
            return
        if self._open:
            # Empty lines are no values of the inner source; inside quotes they count.
            self._open += [b""] * (number - self._passed - 1 - len(self._open))
        else:
            self._passed = number - 1
        self._open.append(line)
        if len(self._open) > 1 and b'"' not in line:
            # Nothing that could close it; only its length may end it.
            fields = None
        else:
            try:
                fields = self._fields(b"\n".join(self._open))
            except ValueError as error:
                self._give_up_row(number, str(error))
                return
        if fields is not None:
            self._finish_row(number, fields)
        elif sum(map(len, self._open)) > self._row_bytes_max:
            self._give_up_row(number, f"it is longer than maxLineBytes ({self._row_bytes_max})")

    def _fields(self, row: bytes) -> list[str] | None:
        """The fields of one row; None while its quotes are open. Raises `ValueError` for what is no row."""
        try:
            (fields,) = self._parsed([row.decode()])
        except UnicodeDecodeError:
            raise ValueError("it is no UTF-8 text") from None
        except csv.Error as error:
            if str(error) == "unexpected end of data":
                return None
            raise ValueError(f"it is no CSV: {error}") from None
        return fields

    def _parsed(self, texts: list[str]) -> Iterator[list[str]]:
        return csv.reader(texts, delimiter=self._delimiter, strict=True)

    def _finish_row(self, number: int, fields: list[str]) -> None:
        if self._header is None:
            self._take_header(fields, number)
        elif len(fields) != len(self._header):
            self._give_up_row(number, f"it has {len(fields)} fields, and the header {len(self._header)}")
            return
        else:
            self._add(number, dict(zip(self._header, fields, strict=True)))
        self._close_row(number)

    def _give_up_row(self, number: int, why: str) -> None:
        """The row that ends with line `number` is nothing that can be used."""
        row = b"\n".join(self._open)
        self._add(number, Unreadable(f"the row cannot be read: {why}", row[:_EXCERPT_BYTES]))
        self._close_row(number)

    def _close_row(self, number: int) -> None:
        self._open = []
        self._passed = number

    def _add(self, number: int, value: Any) -> None:
        """Puts a row behind the others; where numbers leap, a new batch begins."""
        if self._header is None:
            raise PenstockError(f"{self._inner.describe()}: line {number} cannot be read as column names")
        if not self._ready or self._ready[-1].last_offset + 1 != number:
            self._ready.append(SourceBatch(number, []))
        self._ready[-1].values.append(value)
