"""Expressions of PromQL made from catalogue entries, so that a wrong name fails where it is written.

An `Expression` knows its labels and its unit. That is enough to refuse, at import, an unknown metric, a label
it does not have, a value no label takes, the rate of a gauge, or a legend that would stay empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from dashboards.units import Display, display_of, display_of_rate
from exporter.catalogue import AnyMetric, Kind, metric_of_sample

# Labels that Prometheus puts on every series it scrapes.
TARGET_LABELS = ("job", "instance")
# The labels by which a reader narrows a board down; each has a variable of its name.
VARIABLE_LABELS = (*TARGET_LABELS, "pipeline", "partition", "task", "exporter")
_PIPELINE = (*TARGET_LABELS, "pipeline")

# Four scrapes, or a step and a scrape if that is more: Grafana knows both.
RATE_WINDOW = "$__rate_interval"
# What lies between two points of a panel.
STEP = "$__interval"
STEP_SECONDS = "$__interval_ms / 1000"
# The point of a panel, or the moment of an instant query.
NOW = "time()"
RANGE = "$__range"
RANGE_SECONDS = "$__range_s"
# How far back the last scrape is looked for that was before a gap. Longer gaps are beginnings.
GAP_MAX = "15m"

# What Prometheus itself says of each target.
UP = "up"


class Scope(Enum):
    """Who asks: a board narrows every selector down to what its reader has chosen, a rule takes all."""

    BOARD = "board"
    # What happened to a whole engine, on every board: narrowed down to engines, for that is what all boards know.
    EVENT = "event"
    RULE = "rule"


_VARIABLES = {Scope.BOARD: VARIABLE_LABELS, Scope.EVENT: _PIPELINE, Scope.RULE: ()}


class ExpressionError(ValueError):
    """An expression that could not mean what it says."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on a label."""

    label: str
    operator: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f'{self.label}{self.operator}"{"|".join(self.values)}"'


def is_(label: str, value: str) -> Matcher:
    return Matcher(label, "=", (value,))


def is_not(label: str, value: str) -> Matcher:
    return Matcher(label, "!=", (value,))


def one_of(label: str, *values: str) -> Matcher:
    return Matcher(label, "=~", values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A piece of PromQL, the labels of what it yields, and the unit of its values."""

    text: str
    labels: tuple[str, ...]
    unit: Display
    # Whether it must be put in parentheses beside an operator.
    compound: bool = False

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, other: Expression | str) -> Expression:
        same = isinstance(other, Expression) and other.unit is self.unit
        unit = Display.SHARE if same else self.unit
        return replace(self._joined("/", other), unit=unit)

    def __sub__(self, other: Expression | str) -> Expression:
        return self._joined("-", other)

    def __add__(self, other: Expression | str) -> Expression:
        return self._joined("+", other)

    def __mul__(self, other: Expression | str) -> Expression:
        return self._joined("*", other)

    def __pow__(self, other: Expression | str) -> Expression:
        return self._joined("^", other)

    def above(self, bound: Expression | str) -> Expression:
        """Only the series above `bound`."""
        return self._joined(">", bound)

    def equals(self, value: Expression | str) -> Expression:
        """Only the series of that value."""
        return self._joined("==", value)

    def differs(self, other: Expression | str) -> Expression:
        """Only the series that are another value in `other`."""
        return self._joined("!=", other)

    def at_most(self, bound: Expression | str) -> Expression:
        """Only the series not above `bound`."""
        return self._joined("<=", bound)

    def below(self, bound: Expression | str) -> Expression:
        """Only the series below `bound`."""
        return self._joined("<", bound)

    def is_above(self, bound: Expression | str) -> Expression:
        """1 where it is above `bound`, else 0."""
        return self._joined("> bool", bound)

    def otherwise(self, other: Expression | str) -> Expression:
        """The series of `other` where this has none."""
        return self._joined("or", other)

    def only_where(self, other: Expression, *on: str) -> Expression:
        """Only the series for which `other` has one too, of the same labels or of the same `on`."""
        return self._joined(f"and on ({', '.join(on)})" if on else "and", other)

    def unless(self, other: Expression, *on: str) -> Expression:
        """Only the series for which `other` has none of the same `on`."""
        return self._joined(f"unless on ({', '.join(on)})", other)

    def with_value_of(self, other: Expression, *on: str) -> Expression:
        """Of a series that is always 1: its labels with the value of the one that `other` has of the same `on`."""
        return replace(self._joined(f"* on ({', '.join(on)}) group_left ()", other), unit=other.unit)

    def with_unit(self, unit: Display) -> Expression:
        return replace(_plain(self), unit=unit)

    def marked(self, label: str, value: str) -> Expression:
        """With one more label of a fixed value."""
        text = f'label_replace({self.text}, "{label}", "{value}", "", "")'
        return replace(_plain(self), text=text, labels=(*self.labels, label), compound=False)

    def joined(self, label: str, between: str, *sources: str) -> Expression:
        """With one more label: the values of others, one behind the other."""
        named = ", ".join(f'"{source}"' for source in sources)
        text = f'label_join({self.text}, "{label}", "{between}", {named})'
        return replace(_plain(self), text=text, labels=(*self.labels, label), compound=False)

    def _joined(self, operator: str, other: Expression | str) -> Expression:
        right = other.operand() if isinstance(other, Expression) else other
        return replace(_plain(self), text=f"{self.operand()} {operator} {right}", compound=True)

    def operand(self) -> str:
        return f"({self.text})" if self.compound else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector(Expression):
    """The series of one metric."""

    metric: AnyMetric


def select(name: str, *matchers: Matcher, scope: Scope = Scope.BOARD) -> Selector:
    """The series called `name` that match, as the reader of the board has narrowed them down."""
    metric = metric_of_sample(name)
    labels = (*TARGET_LABELS, *metric.label_names, *(("le",) if name.endswith("_bucket") else ()))
    for matcher in matchers:
        _check(metric, matcher)
    narrowed = [f'{label}=~"${label}"' for label in _VARIABLES[scope] if label in labels]
    inside = ", ".join((*narrowed, *map(str, matchers)))
    unit = Display.NUMBER if metric.kind is Kind.HISTOGRAM and not name.endswith("_sum") else display_of(metric)
    return Selector(text=f"{name}{{{inside}}}" if inside else name, labels=labels, unit=unit, metric=metric)


def up(scope: Scope = Scope.RULE) -> Expression:
    """1 while a target can be scraped, else 0; of every target, not only of ours."""
    inside = ", ".join(f'{label}=~"${label}"' for label in TARGET_LABELS if scope is not Scope.RULE)
    return Expression(text=f"{UP}{{{inside}}}" if inside else UP, labels=TARGET_LABELS, unit=Display.COUNT)


def down(scope: Scope = Scope.BOARD) -> Expression:
    """1 for each engine that was scraped within a day and is away: its target does not answer, or nobody of its
    pipeline is scraped any more. What was seen through a bridge has ended, or is unknown: the bridge says which.
    A pipeline that instances share is down when none of them answers."""
    gone = _seen(scope).unless(select("penstock_build_info", scope=scope), "job", "pipeline")
    silent = _silent(scope).unless(select("penstock_instances", scope=scope), "job", "pipeline")
    return silent.otherwise(gone).with_unit(Display.COUNT)


def instance_down(scope: Scope = Scope.RULE) -> Expression:
    """1 for each target that does not answer and whose pipeline goes on, because others share it."""
    shared = select("penstock_instances", scope=scope)
    return _silent(scope).only_where(shared, "job", "pipeline").with_unit(Display.COUNT)


def _seen(scope: Scope) -> Expression:
    """1 for each engine that was scraped within a day; what is seen through a bridge is left out."""
    bridges = over_time("last", select("penstock_bridge_up", scope=scope), "1d")
    behind = over_time("last", select("penstock_bridged_info", scope=scope), "1d").unless(bridges, *_PIPELINE)
    return over_time("last", select("penstock_build_info", scope=scope), "1d").unless(behind, *_PIPELINE)


def _silent(scope: Scope) -> Expression:
    """1 for each of them whose target does not answer."""
    return _seen(scope).only_where(up(scope).equals("0"), *TARGET_LABELS)


def firing(pattern: str) -> Expression:
    """1 for each alert of a name like this that fires."""
    return Expression(
        text=f'ALERTS{{alertname=~"{pattern}", alertstate="firing"}}',
        labels=("alertname", *TARGET_LABELS, "pipeline"),
        unit=Display.COUNT,
    )


def rate(counter: Selector, window: str = RATE_WINDOW) -> Expression:
    """Growth per second. Counters only."""
    _demand_counter(counter)
    return Expression(
        text=f"rate({counter.text}[{window}])", labels=counter.labels, unit=display_of_rate(counter.metric)
    )


def increase(counter: Selector, window: str = RANGE) -> Expression:
    """Growth over `window`. Counters only."""
    _demand_counter(counter)
    return Expression(text=f"increase({counter.text}[{window}])", labels=counter.labels, unit=counter.unit)


def over_time(function: str, gauge: Selector, window: str = STEP) -> Expression:
    """`max`, `min`, `avg` or `last` of what was scraped within `window`."""
    return Expression(text=f"{function}_over_time({gauge.text}[{window}])", labels=gauge.labels, unit=gauge.unit)


def a_step_before(selector: Selector) -> Expression:
    """What was scraped last at the point before, or before the gap that was there."""
    return _same(selector, f"last_over_time({selector.text}[{GAP_MAX}] offset {STEP})")


def until_now(selector: Selector) -> Expression:
    """What was scraped last, before a gap if there is one."""
    return _same(selector, f"last_over_time({selector.text}[{GAP_MAX}])")


def earlier(expression: Expression, by: str = STEP) -> Expression:
    """A selector as it was so long before."""
    return _same(expression, f"{expression.text} offset {by}")


def later(selector: Selector) -> Expression:
    """As it will be at the next point; at the last one, as it is."""
    return _same(selector, f"{selector.text} offset -{STEP}")


def count_over_time(selector: Selector, window: str = RANGE) -> Expression:
    """How often it was scraped within `window`."""
    return replace(_same(selector, f"count_over_time({selector.text}[{window}])"), unit=Display.COUNT)


def _same(expression: Expression, text: str) -> Expression:
    return Expression(text=text, labels=expression.labels, unit=expression.unit)


def changes(gauge: Selector, window: str = RANGE) -> Expression:
    """How often the value changed within `window`."""
    return Expression(text=f"changes({gauge.text}[{window}])", labels=gauge.labels, unit=Display.COUNT)


def predicted(gauge: Selector, window: str, seconds_ahead: int) -> Expression:
    """The value in so many seconds, if it goes on as it went within `window`."""
    text = f"predict_linear({gauge.text}[{window}], {seconds_ahead})"
    return Expression(text=text, labels=gauge.labels, unit=gauge.unit)


def call(function: str, *arguments: Expression | str) -> Expression:
    """A function that leaves labels and unit as they are; the first expression among its arguments decides both."""
    first = next(argument for argument in arguments if isinstance(argument, Expression))
    return replace(_plain(first), text=f"{function}({', '.join(map(str, arguments))})", compound=False)


def age(timestamp: Selector) -> Expression:
    """Seconds since a Unix time, as they were at the scrape: at the query, idle would be a scrape interval old.

    Never below 0: the clocks of the engine and of Prometheus differ a little.
    """
    text = f"clamp_min(timestamp({timestamp.text}) - {timestamp.text}, 0)"
    return Expression(text=text, labels=timestamp.labels, unit=Display.SECONDS)


def quantile(
    share: float, histogram: str, *by: str, scope: Scope = Scope.BOARD, window: str = RATE_WINDOW
) -> Expression:
    """The value that this share of the observations does not exceed."""
    buckets = total(rate(select(f"{histogram}_bucket", scope=scope), window), "le", *by)
    return Expression(
        text=f"histogram_quantile({share:g}, {buckets.text})",
        labels=by,
        unit=display_of(metric_of_sample(f"{histogram}_bucket")),
    )


def total(expression: Expression, *by: str) -> Expression:
    return _aggregated("sum", expression, by)


def largest(expression: Expression, *by: str) -> Expression:
    return _aggregated("max", expression, by)


def smallest(expression: Expression, *by: str) -> Expression:
    return _aggregated("min", expression, by)


def mean(expression: Expression, *by: str) -> Expression:
    return _aggregated("avg", expression, by)


def total_without(expression: Expression, *without: str) -> Expression:
    return _aggregated_without("sum", expression, without)


def largest_without(expression: Expression, *without: str) -> Expression:
    return _aggregated_without("max", expression, without)


def smallest_without(expression: Expression, *without: str) -> Expression:
    return _aggregated_without("min", expression, without)


def mean_without(expression: Expression, *without: str) -> Expression:
    return _aggregated_without("avg", expression, without)


def _aggregated(function: str, expression: Expression, by: tuple[str, ...]) -> Expression:
    _demand(expression.labels, by, expression.text)
    grouping = f" by ({', '.join(by)}) " if by else ""
    return replace(_plain(expression), text=f"{function}{grouping}({expression.text})", labels=by, compound=False)


def _aggregated_without(function: str, expression: Expression, without: tuple[str, ...]) -> Expression:
    _demand(expression.labels, without, expression.text)
    kept = tuple(label for label in expression.labels if label not in without)
    text = f"{function} without ({', '.join(without)}) ({expression.text})"
    return replace(_plain(expression), text=text, labels=kept, compound=False)


def _plain(expression: Expression) -> Expression:
    # What is computed from a selector is no selector.
    return Expression(
        text=expression.text, labels=expression.labels, unit=expression.unit, compound=expression.compound
    )


def _demand(labels: Iterable[str], wanted: Iterable[str], text: str) -> None:
    missing = sorted(set(wanted) - set(labels))
    if missing:
        raise ExpressionError(f"{text} has no label {', '.join(missing)}")


def _demand_counter(selector: Selector) -> None:
    if selector.metric.kind not in (Kind.COUNTER, Kind.HISTOGRAM):
        raise ExpressionError(f"{selector.metric.name} is no counter, it has no rate")


def _check(metric: AnyMetric, matcher: Matcher) -> None:
    label = next((label for label in metric.labels if label.name == matcher.label), None)
    if label is None:
        raise ExpressionError(f"{metric.name} has no label {matcher.label}")
    unknown = set(matcher.values) - set(label.values or matcher.values)
    if unknown:
        raise ExpressionError(f"the label {label.name} of {metric.name} is never {', '.join(sorted(unknown))}")
