"""What stands on a board: queries and the panels that draw them, free of how Grafana writes them down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.colours import Colour
from dashboards.places import BoardUid
from dashboards.promql import Expression
from dashboards.units import Display

TITLE_LENGTH_MAX = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How the series of one query differ from the other series of their panel. None: like the others."""

    colour: Colour | None = None
    # Several series of one colour, told apart by its shades.
    shades: bool = False
    dashed: bool = False
    width: int | None = None
    fill: int | None = None
    unit: Display | None = None
    right_axis: bool = False
    # Where the axis of these reaches at least, instead of that of the panel.
    soft_max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """An expression and the name of its series; `{{label}}` stands for the value of a label.

    Invariant: every label in the legend is a label of what the expression yields.
    """

    expression: Expression
    legend: str
    look: Look | None = None
    # The value at the end of the range, instead of the way there.
    instant: bool = False
    # With the durations that lead to their traces, where the engine gives them.
    exemplars: bool = False

    def __post_init__(self) -> None:
        missing = set(re.findall(r"{{(\w+)}}", self.legend)) - set(self.expression.labels)
        if missing:
            raise ValueError(
                f"legend {self.legend!r}: {self.expression.text} has no label {', '.join(sorted(missing))}"
            )


@dataclass(frozen=True, slots=True)
class Step:
    """From `value` on (None: from the very bottom), this colour."""

    value: float | None
    colour: Colour


@dataclass(frozen=True, slots=True)
class Word:
    """What is written, and in which colour, instead of a number."""

    text: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class DrillDown:
    """A click on a series leads to another board, narrowed down to these labels of the series."""

    board: BoardUid
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A rectangle on a board.

    `id` is unique on its board and stays when panels come and go: links and annotations refer to it. `shows`,
    `healthy` and `otherwise` become the description: what is seen, how it looks when all is well, what to do
    when it does not.
    """

    id: int
    title: str
    shows: str
    healthy: str
    otherwise: str
    queries: tuple[Query, ...]
    # In columns of 24 and rows of 30 px.
    width: int
    height: int
    # Unless given, that of the first query.
    unit: Display | None = None
    decimals: int | None = None
    min: float | None = None
    max: float | None = None
    steps: tuple[Step, ...] = (Step(None, Colour.QUIET),)
    words: Mapping[int, Word] | None = None
    no_value: str | None = None
    drill_down: DrillDown | None = None

    def __post_init__(self) -> None:
        if len(self.title) > TITLE_LENGTH_MAX:
            raise ValueError(f"title {self.title!r} is longer than {TITLE_LENGTH_MAX} characters")

    @property
    def description(self) -> str:
        return f"{self.shows}\n\n**Healthy:** {self.healthy}\n\n**If not:** {self.otherwise}"

    @property
    def shown_unit(self) -> Display:
        return self.unit or self.queries[0].expression.unit


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSeries(Panel):
    """Lines over time."""

    # Whether throttled periods are shaded behind the lines.
    band: bool = True
    stacked: bool = False
    fill: int = 0
    # How steps are drawn: not at all, as a dashed line, as zones.
    steps_drawn: str = "off"
    # Where the axis reaches at least.
    soft_min: float | None = 0
    soft_max: float | None = None
    logarithmic: bool = False
    legend_at_right: bool = False
    legend_values: tuple[str, ...] = ("lastNotNull", "max")
    # One such panel for each value of this variable.
    repeat: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat(Panel):
    """One number, or the name of one thing, in large."""

    # The way there, drawn small below it.
    sparkline: bool = False
    # The name of the series instead of its value.
    name_only: bool = False
    # The name of the series beside its value.
    with_name: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge(Panel):
    """Numbers between two bounds, as arcs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTimeline(Panel):
    """A row a series; its colour is the state."""

    row_height: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap(Panel):
    """How the observations of a histogram spread over its buckets, over time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a column of a table is called, and how its numbers are written."""

    title: str
    unit: Display | None = None
    decimals: int | None = None
    steps: tuple[Step, ...] = ()
    words: Mapping[int, Word] | None = None
    width: int | None = None
    # What is written where there is none.
    no_value: str | None = None
    # Asked for only because its labels are columns.
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Panel):
    """One row for each combination of the labels `rows`; one column a query, in their order."""

    rows: Mapping[str, Column]
    columns: tuple[Column, ...]
    # The title of the column by which it is sorted, the largest first.
    sorted_by: str | None = None

    def __post_init__(self) -> None:
        # The zero-argument form does not work in a slotted dataclass.
        Panel.__post_init__(self)
        if len(self.columns) != len(self.queries):
            raise ValueError(f"table {self.title!r} has {len(self.queries)} queries and {len(self.columns)} columns")
