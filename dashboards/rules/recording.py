"""Recorded series: the indicators of the objectives over every window that the alerts ask about."""

from __future__ import annotations

from dashboards.promql import (
    Scope,
    Selector,
    age,
    call,
    is_not,
    largest_without,
    mean_without,
    rate,
    select,
    total_without,
)
from dashboards.rules.rule import Group, RecordingRule
from dashboards.units import Display

# The windows of the burn-rate alerts, short to long.
WINDOWS = ("5m", "30m", "1h", "6h", "3d")
# Beyond this age of the oldest unexported record, the outside world is late.
AGE_SECONDS_MAX = 300


def _select(name: str) -> Selector:
    return select(name, scope=Scope.RULE)


THROTTLED_BY_PARTITION = RecordingRule(
    name="partition:penstock_throttled:max",
    expression=largest_without(_select("penstock_throttled"), "instance"),
)
THROTTLED = RecordingRule(
    name="pipeline:penstock_throttled:max",
    expression=largest_without(THROTTLED_BY_PARTITION.series, "partition"),
)
BACKLOG = RecordingRule(
    name="pipeline:penstock_exporting_backlog_records:sum",
    # A partition that moves is seen at both for a moment.
    expression=total_without(largest_without(_select("penstock_exporting_backlog_records"), "instance"), "partition"),
)
AGE = RecordingRule(
    name="pipeline:penstock_oldest_unexported_record_age_seconds:max",
    expression=largest_without(
        age(_select("penstock_oldest_unexported_record_timestamp_seconds")), "instance", "partition"
    ),
)
LATE = RecordingRule(
    name="pipeline:penstock_late:bool",
    expression=AGE.series.is_above(str(AGE_SECONDS_MAX)).with_unit(Display.COUNT),
)


def late_share(window: str) -> RecordingRule:
    """The share of the window in which the outside world was late."""
    return RecordingRule(name=f"pipeline:penstock_late:avg{window}", expression=LATE.over("avg", window))


def writes(window: str) -> RecordingRule:
    """Records that asked to be written, per second."""
    asked = select("penstock_writes_total", scope=Scope.RULE)
    return RecordingRule(
        name=f"pipeline:penstock_writes:rate{window}",
        expression=total_without(rate(asked, window), "instance", "partition", "source", "outcome"),
    )


def refused_writes(window: str) -> RecordingRule:
    """Those of them that were refused, per second."""
    refused = select("penstock_writes_total", is_not("outcome", "accepted"), scope=Scope.RULE)
    return RecordingRule(
        name=f"pipeline:penstock_writes_refused:rate{window}",
        expression=total_without(rate(refused, window), "instance", "partition", "source", "outcome"),
    )


def throttled_share(window: str) -> RecordingRule:
    """The share of the window in which a partition was throttled; of several the mean."""
    throttled = select("penstock_throttled_seconds_total", scope=Scope.RULE)
    # Rates are extrapolated and can pass one second a second by a little.
    of_each = call("clamp_max", total_without(rate(throttled, window), "instance"), "1")
    return RecordingRule(
        name=f"pipeline:penstock_throttled_seconds:rate{window}", expression=mean_without(of_each, "partition")
    )


def _indicators(*windows: str) -> tuple[RecordingRule, ...]:
    return tuple(rule(window) for window in windows for rule in (late_share, writes, refused_writes, throttled_share))


RECORDING_GROUPS = (
    Group(name="penstock.state", rules=(THROTTLED_BY_PARTITION, THROTTLED, BACKLOG, AGE, LATE)),
    # What covers hours does not change within seconds.
    Group(name="penstock.indicators.short", rules=_indicators("5m", "30m"), interval="15s"),
    Group(name="penstock.indicators.long", rules=_indicators("1h", "6h", "3d"), interval="1m"),
)
