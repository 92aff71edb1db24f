"""A board: rows of panels under one title."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dashboards.grid import Grid, Place
from dashboards.panel import Panel, TimeSeries
from dashboards.places import BoardUid


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Panels under a heading; without a title, at the very top and under none.

    A folded one asks for nothing until somebody opens it: it is of things that most do not have. Nothing but folded
    ones follows it, for what is below moves down when it is opened.
    """

    id: int
    title: str | None
    panels: tuple[Panel, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Everything under one address. Invariant: no id occurs twice."""

    uid: BoardUid
    title: str
    # The question it answers.
    answers: str
    rows: tuple[Row, ...]
    time_from: str = "now-30m"
    # Of the pipelines that are seen through this kind of bridge; None is of all there are.
    bridge: str | None = None

    def __post_init__(self) -> None:
        ids = [*(row.id for row in self.rows if row.title), *(panel.id for panel in self.panels())]
        twice = sorted({number for number in ids if ids.count(number) > 1})
        if twice:
            raise ValueError(f"board {self.title!r} uses the id {twice[0]} twice")

    @property
    def has_throttles(self) -> bool:
        """Whether they are drawn: of what some bridges show nothing is throttled."""
        return self.bridge is None or any(isinstance(panel, TimeSeries) and panel.band for panel in self.panels())

    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels

    def placed(self) -> Iterator[tuple[Row | Panel, Place]]:
        """Headings and panels with their places, top to bottom."""
        grid = Grid()
        for row in self.rows:
            if row.title is None:
                grid.new_line()
            else:
                yield row, grid.row_title()
            for panel in row.panels:
                yield panel, grid.next(panel.width, panel.height)
