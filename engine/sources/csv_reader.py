"""Finds the rows in a window of lines: all together where they keep to the rules, one by one where they do not."""

from __future__ import annotations

import csv
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from engine.core.errors import PenstockError
from engine.sources.csv_dialect import CsvDialect
from engine.sources.csv_lazy import LazyQuotes
from engine.sources.csv_window import LineWindow
from engine.sources.line_splitter import shown
from engine.sources.unreadable import Unreadable

# What the csv module says of a row whose quotes are open where its text ends.
_OPEN = "unexpected end of data"


class RowReader:
    """Turns the lines of `window` into rows, in time linear in their length, whatever the quotes do.

    Whether a line that begins inside of quotes closes them is found out once, for all rows that may reach it, and no
    row reaches further than `row_bytes_max`. What a line becomes depends on the lines behind the last row alone, never
    on how they came into the window: after a restart it is the same.
    """

    def __init__(self, window: LineWindow, dialect: CsvDialect, name: str, row_bytes_max: int) -> None:
        """`name` is what is read, for people."""
        self._window = window
        self._name = name
        self._row_bytes_max = row_bytes_max
        # None until the row of names was read, or found to be none.
        self.columns: tuple[str, ...] | None = None
        # The number of the last line of the names, or of what told the dialect; 0 where there is none.
        self.header_line = 0
        self.begin(dialect)
        # The line up to which all are known to begin and end inside of quotes, if one before them opened these.
        self._inside_until = 0
        # From here on rows are tried all together again; after each failure, twice as far.
        self._together_from, self._alone = 0, 1

    def begin(self, dialect: CsvDialect) -> None:
        """Reads after this dialect from now on."""
        self.dialect = dialect
        self._lazy = LazyQuotes(dialect) if dialect.lazy_quotes else None

    def take(self, first: int, lines: list[Any], *, last: bool = False) -> None:
        """Adds lines to the window."""
        passed = self._window.forget_passed()
        self._inside_until -= passed
        self._together_from -= passed
        self._window.take(first, lines, last=last)

    def rows(self, until: int, *, at_end: bool) -> tuple[list[Any], list[int]]:
        """Rows that end up to line `until`, but at least one, where there is one; and the last line of each.

        Without `at_end` there may be more lines: a row whose quotes are open waits for them.
        """
        window = self._window
        values: list[Any] = []
        offsets: list[int] = []
        while not window.is_empty:
            if self.columns is None:
                if not self._take_names(at_end=at_end):
                    break
                continue
            if window.at >= self._together_from:
                self._take_together(until, values, offsets)
            if window.is_empty or (values and window.numbers[window.at] > until):
                break
            found = self._end_of_row(at_end=at_end)
            if found is None:
                break
            end, why = found
            number = window.numbers[end - 1]
            if values and number > until:
                break
            values.append(self._row(window.at, end) if why is None else self._broken(why))
            offsets.append(number)
            window.at = end
        return values, offsets

    # -- names ---

    def _take_names(self, *, at_end: bool) -> bool:
        """Reads the names, where the file has them; False while they have not come.

        Raises `ConfigurationError` for some that cannot be used.
        """
        window = self._window
        first = window.lines[window.at]
        told = self.dialect.told_by(first) if self.header_line == 0 and isinstance(first, str) else None
        if told is not None:
            self.begin(told)
            self.header_line = window.numbers[window.at]
            window.at += 1
            if window.is_empty:
                return False
        if self.dialect.columns is not None:
            self.columns = self.dialect.columns
            return True
        found = self._end_of_row(at_end=at_end)
        if found is None:
            return False
        end, why = found
        number = window.numbers[end - 1]
        fields = self._fields(window.at, end) if why is None else []
        if why is None and window.has_strange and not _is_text(fields):
            why = "it is no UTF-8 text; set encoding"
        if why is not None:
            raise PenstockError(f"{self._name}: line {number} cannot be read as column names: {why}")
        self.columns = self.dialect.named(fields, f"{self._name}, line {number}")
        self.header_line = number
        window.at = end
        return True

    # -- all together ---

    def _take_together(self, until: int, values: list[Any], offsets: list[int]) -> None:
        """As many rows as there are without a mistake, all by the csv module."""
        window, columns = self._window, self.columns
        assert columns is not None, "names come first"
        at = window.at
        end = max(bisect_right(window.numbers, until, at), at + (not values))
        if window.has_unreadable:
            end = next((i for i in range(at, end) if type(window.lines[i]) is Unreadable), end)
        if end == at:
            return
        rows, ends = self._rows_and_ends(at, end)
        if not window.has_strange and {*map(len, rows)} == {len(columns)}:
            values += [dict(zip(columns, row, strict=True)) for row in rows]
        else:
            begins = [0, *ends]
            values += [self._value(row, at + begins[i], at + ends[i]) for i, row in enumerate(rows)]
        offsets += (
            window.numbers[at:end] if len(rows) == end - at else [window.numbers[at + behind - 1] for behind in ends]
        )
        window.at = at + ends[-1] if ends else at
        if window.at < end:
            self._together_from = window.at + self._alone
            self._alone *= 2
        else:
            self._alone = 1

    def _rows_and_ends(self, at: int, end: int) -> tuple[list[list[str]], Sequence[int]]:
        """The rows in front of the first mistake, and how many lines there are up to the end of each."""
        texts: Any = self._window.lines[at:end]
        try:
            rows = list(self.dialect.parsed(texts))
        except csv.Error:
            rows = []
        if len(rows) == len(texts):
            return rows, range(1, len(rows) + 1)
        rows = []
        ends: list[int] = []
        reader = self.dialect.parsed(self._window.with_ends(at, end))
        try:
            for row in reader:
                begin = at + ends[-1] if ends else at
                if self._window.length(begin, at + reader.line_num) > self._row_bytes_max:
                    break
                rows.append(row)
                ends.append(reader.line_num)
        except csv.Error:
            pass
        return rows, ends

    # -- one by one ---

    def _end_of_row(self, *, at_end: bool) -> tuple[int, str | None] | None:
        """Where the next row ends, and what is wrong with it: then with its first line alone.

        None when more lines have to come.
        """
        at = self._window.at
        first = self._window.lines[at]
        if isinstance(first, Unreadable):
            return at + 1, first.reason
        why = self._ends_alone(first)
        if why != _OPEN:
            return at + 1, why
        found = self._end_of_quotes(at)
        if found is None:
            return (at + 1, "its quotes are still open at the end") if at_end else None
        end, why = found
        return (end, None) if why is None else (at + 1, why)

    def _end_of_quotes(self, at: int) -> tuple[int, str | None] | None:
        """Where the row ends whose quotes line `at` opened, and why that is none; None where lines end before."""
        window = self._window
        why: str | None = _OPEN
        end = self._inside_until = max(self._inside_until, at + 1)
        while why == _OPEN and window.length(at, end) <= self._row_bytes_max:
            if end == len(window.lines):
                return None
            following = window.lines[end]
            if isinstance(following, Unreadable):
                return end, "its quotes are open, and the next line is too long"
            why = self._ends_inside(following)
            end += 1
            if why == _OPEN:
                self._inside_until = end
        if window.length(at, end) > self._row_bytes_max:
            return end, f"its quotes are not closed within maxLineBytes ({self._row_bytes_max})"
        if why is not None:
            why = f"its quotes are closed in line {window.numbers[end - 1]}, and text follows"
        return end, why

    def _ends_alone(self, line: str) -> str | None:
        """None for a line that is a row, `_OPEN` where quotes are open at its end, else what is wrong with it."""
        if self._lazy is not None:
            return None if self._lazy.line(line).opened_at is None else _OPEN
        return self._mistake(line)

    def _ends_inside(self, line: str) -> str | None:
        """The same for a line that begins inside of quotes."""
        if self._lazy is not None:
            return None if self._lazy.line(line, is_open=True).opened_at is None else _OPEN
        return self._mistake(self.dialect.quote + line)

    def _mistake(self, text: str) -> str | None:
        try:
            for _ in self.dialect.parsed([text]):
                pass
        except csv.Error as error:
            return str(error)
        return None

    def _column_of_mistake(self, text: str) -> int:
        """The first character, from 1, with which the line breaks a rule: whatever goes on behind it does, too."""
        return 1 + bisect_left(
            range(len(text)), True, key=lambda at: self._mistake(text[: at + 1]) not in (None, _OPEN)
        )

    def _row(self, begin: int, end: int) -> Any:
        return self._value(self._fields(begin, end), begin, end)

    def _fields(self, begin: int, end: int) -> list[str]:
        pieces = self._window.pieces(begin, end)
        if self._lazy is None:
            return next(iter(self.dialect.parsed(["".join(ends + line for ends, line in pieces)])))
        fields: list[str] = []
        open_parts: list[str] = []
        for ends, line in pieces:
            first, *others = self._lazy.line(line, is_open=bool(ends)).fields
            open_parts += [ends, first]
            if others:
                fields += ["".join(open_parts), *others[:-1]]
                open_parts = [others[-1]]
        return [*fields, "".join(open_parts)]

    # -- values ---

    def _value(self, fields: list[str], begin: int, end: int) -> Any:
        """The row of the lines from `begin` to `end`, or why it is none."""
        columns = self.columns
        assert columns is not None, "names come first"
        if self._window.has_strange and not _is_text(fields):
            return self._unreadable(begin, end, "it is no UTF-8 text; set encoding")
        if len(fields) != len(columns):
            if any(fields[len(columns) :]) or len(fields) < len(columns):
                more = "; columnNames: number keeps those without a name" if len(fields) > len(columns) else ""
                why = f"it has {len(fields)} fields, and there are {len(columns)} columns{more}"
                return self._unreadable(begin, end, why)
            # Nothing but delimiters.
            fields = fields[: len(columns)]
        return dict(zip(columns, fields, strict=True))

    def _broken(self, why: str) -> Any:
        """What becomes of a line that begins a row and is none by itself."""
        at = self._window.at
        line = self._window.lines[at]
        if isinstance(line, Unreadable):
            return line
        if self._lazy is not None:
            return self._value(self._lazy.alone(line, self._lazy.line(line)), at, at + 1)
        if why == self._mistake(line):
            why = f"column {self._column_of_mistake(line)}: {why}"
        advice = "; set lazyQuotes where quotes are part of the text" if self.dialect.quote in line else ""
        return self._unreadable(at, at + 1, f"it is no CSV: {why}{advice}")

    def _unreadable(self, begin: int, end: int, why: str) -> Unreadable:
        text = "".join(ends + line for ends, line in self._window.pieces(begin, end))
        row = text.encode("utf-8", "surrogateescape")
        return Unreadable(f"{self._name}, line {self._window.numbers[begin]}: {why}: {shown(row)}", row)


def _is_text(fields: list[str]) -> bool:
    """Whether all of it could be decoded."""
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return False
    return True
