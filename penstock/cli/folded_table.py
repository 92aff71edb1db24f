"""A table of short cells that is folded, not cut, where the page is narrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.table import Table
from rich.text import Text

_GAP = 2
_NOTHING = Text()


class FoldedTable:
    """Columns that do not fit beside one another go below, each time behind the first ones, which name the row.

    Half a number reads like another number, so no cell is cut as long as the page has room for it and the names.
    """

    def __init__(self, *, names: int = 1) -> None:
        """The first `names` columns say which row it is."""
        self._names = names
        self._headings: list[Text] = []
        self._justify: list[JustifyMethod] = []
        self._rows: list[tuple[Text, ...]] = []

    def add_columns(self, *headings: str, justify: JustifyMethod = "left") -> None:
        self._headings += [Text(heading, style="bold") for heading in headings]
        self._justify += [justify] * len(headings)

    def add_row(self, *cells: Text | str) -> None:
        """Cells from the left; those that are left out stay empty."""
        self._rows.append(tuple(cell if isinstance(cell, Text) else Text(cell) for cell in cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = list(zip_longest(self._headings, *self._rows, fillvalue=_NOTHING))
        for number, fold in enumerate(self._folds(columns, options.max_width)):
            if number:
                yield Text()
            table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
            for index in fold:
                table.add_column(columns[index][0], justify=self._justify[index], no_wrap=True)
            for row in range(1, len(self._rows) + 1):
                table.add_row(*(columns[index][row] for index in fold))
            yield table

    def _folds(self, columns: Sequence[Sequence[Text]], width: int) -> Iterator[list[int]]:
        """Which columns stand beside one another."""
        needs = [max(cell.cell_len for cell in column) + _GAP for column in columns]
        names = list(range(self._names))
        taken = sum(needs[: self._names])
        fold, free = list(names), width + _GAP - taken
        for index in range(self._names, len(columns)):
            if needs[index] > free and fold != names:
                yield fold
                fold, free = list(names), width + _GAP - taken
            fold.append(index)
            free -= needs[index]
        yield fold
