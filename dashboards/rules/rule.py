"""What a rule is: a recorded series, or an alert with all that its reader needs at three in the morning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dashboards.places import BoardUid
from dashboards.promql import Expression


class Severity(StrEnum):
    """Who is told, and when."""

    # Somebody is woken up: users notice, or will within the hour.
    PAGE = "page"
    # Somebody looks at it on the next working day.
    TICKET = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRule:
    """A series that is computed once and asked for often. Its name says level, metric and operation."""

    name: str
    expression: Expression

    def __post_init__(self) -> None:
        if self.name.count(":") != 2:
            raise ValueError(f"{self.name} is not of the form level:metric:operation")

    @property
    def series(self) -> Expression:
        return Expression(text=self.name, labels=self.expression.labels, unit=self.expression.unit)

    def over(self, function: str, window: str) -> Expression:
        """`avg`, `max` or `min` of what was recorded within `window`."""
        text = f"{function}_over_time({self.name}[{window}])"
        return Expression(text=text, labels=self.expression.labels, unit=self.expression.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition under which somebody is told, what he is told, and where he reads on.

    `for_` is how long the condition holds before it fires, `keep_firing_for` how long it must be gone before the
    alert ends: flapping is one alert, not twenty. `drill_down` are labels that the link to the board carries.
    """

    name: str
    expression: Expression
    severity: Severity
    summary: str
    description: str
    board: BoardUid
    for_: str = "5m"
    keep_firing_for: str = "5m"
    drill_down: tuple[str, ...] = ("pipeline",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated together, in their order. Without an interval, at Prometheus' own."""

    name: str
    rules: tuple[RecordingRule | Alert, ...]
    interval: str | None = None
