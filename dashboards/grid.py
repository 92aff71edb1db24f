"""Places panels on the 24 columns of a board, left to right, top to bottom."""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = 24
ROW_TITLE_HEIGHT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A rectangle of the grid: columns from the left, rows of 30 px from the top."""

    x: int
    y: int
    w: int
    h: int


class Grid:
    """A cursor that goes through the board like a pen through a line of text.

    Invariant: no two places it gave overlap, and none leaves the columns.
    """

    def __init__(self) -> None:
        self._x = 0
        self._y = 0
        # Where the next line begins: below the tallest panel of this one.
        self._below = 0

    def next(self, width: int, height: int) -> Place:
        """The place right of the last one, or at the start of the next line if the width does not fit."""
        if not 1 <= width <= COLUMNS or height < 1:
            raise ValueError(f"a panel of {width} x {height} does not fit on {COLUMNS} columns")
        if self._x + width > COLUMNS:
            self.new_line()
        place = Place(x=self._x, y=self._y, w=width, h=height)
        self._x += width
        self._below = max(self._below, self._y + height)
        return place

    def row_title(self) -> Place:
        """A line of its own over the whole width."""
        self.new_line()
        place = self.next(COLUMNS, ROW_TITLE_HEIGHT)
        self.new_line()
        return place

    def new_line(self) -> None:
        self._x = 0
        self._y = self._below
