"""What a CSV file is written like: how it separates, quotes and escapes, and what its columns are called."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from engine.core.errors import ConfigurationError

if TYPE_CHECKING:
    # What `csv.reader` gives has no public name before Python 3.13.
    from _csv import Reader

ColumnNames = Literal["refuse", "number"]
# What a spreadsheet puts into the first line to say how it separates.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?')
# What is likely to separate the columns of a file that seems to have only one.
_LIKELY = (";", "\t", "|")


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvDialect:
    """How rows are written. Without anything said: RFC 4180."""

    # None is a comma, unless the first line says otherwise.
    delimiter: str | None = None
    # Empty: nothing is quoted.
    quote: str = '"'
    # What makes the next character text, also a line end; beside the doubled quote.
    escape: str | None = None
    # A quote inside of a field is text; only one in front of a delimiter or a line end closes it.
    lazy_quotes: bool = False
    # The names of all columns, where the file has no line of them.
    columns: tuple[str, ...] | None = None
    # What happens to a doubled or empty name.
    column_names: ColumnNames = "refuse"

    def __post_init__(self) -> None:
        if self.delimiter == "\\t":
            object.__setattr__(self, "delimiter", "\t")
        for name, mark in (("delimiter", self.delimiter), ("quote", self.quote or None), ("escape", self.escape)):
            if mark is not None and (len(mark) != 1 or mark in "\r\n"):
                raise ConfigurationError(f"{name} must be one character, and no line end, not {mark!r}")
        marks = [mark for mark in (self.separator, self.quote, self.escape) if mark]
        if len(set(marks)) < len(marks):
            raise ConfigurationError(f"delimiter, quote and escape must be different characters, not {' '.join(marks)}")
        if self.lazy_quotes and not self.quote:
            raise ConfigurationError("lazyQuotes says what quotes mean, and quote says that there are none")
        if self.columns is not None:
            if not self.columns:
                raise ConfigurationError("columns must have at least one name")
            object.__setattr__(self, "columns", self._told_apart(list(self.columns), "columns"))

    @property
    def separator(self) -> str:
        return self.delimiter or ","

    def told_by(self, line: str) -> CsvDialect | None:
        """The dialect that a first line such as `sep=;` tells; None for any other line."""
        found = _SEPARATOR_LINE.fullmatch(line)
        return None if found is None or found[1] in (self.quote, self.escape) else replace(self, delimiter=found[1])

    def parsed(self, texts: Iterable[str]) -> Reader:
        """Rows of fields, after the rules and no others: `csv.Error` at whatever breaks them."""
        return csv.reader(
            texts,
            delimiter=self.separator,
            quotechar=self.quote or None,
            escapechar=self.escape,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            strict=True,
        )

    def named(self, fields: Iterable[str], where: str) -> tuple[str, ...]:
        """The names of the columns. Raises `ConfigurationError` for those that tell nothing apart."""
        names = list(fields)
        # A delimiter at the end of each line makes a column of nothing.
        while self.column_names == "refuse" and len(names) > 1 and not names[-1]:
            names.pop()
        if len(names) == 1 and self.delimiter is None:
            for other in _LIKELY:
                if other in names[0]:
                    raise ConfigurationError(
                        f"{where}: there is one column only, called {names[0]!r}; set delimiter: {other!r}, or "
                        "delimiter: ',' if that is right"
                    )
        return self._told_apart(names, where)

    def _told_apart(self, names: list[str], where: str) -> tuple[str, ...]:
        if self.column_names == "number":
            return tuple(_numbered(names))
        if "" in names or len(set(names)) < len(names):
            raise ConfigurationError(
                f"{where}: the column names must be different and not empty, not {self.separator.join(names)}; "
                "columnNames: number tells them apart by numbers"
            )
        return tuple(names)


def _numbered(names: list[str]) -> Iterator[str]:
    """`id, , id` as `id, column_2, id_2`; never a name that is there already."""
    taken = set(names) - {""}
    seen: set[str] = set()
    for number, name in enumerate(names, start=1):
        if name and name not in seen:
            seen.add(name)
            yield name
            continue
        base, count = (name, 2) if name else ("column", number)
        while (numbered := f"{base}_{count}") in taken:
            count += 1
        taken.add(numbered)
        yield numbered
