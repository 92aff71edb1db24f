"""How numbers are written on a panel: a unit of Grafana for each unit of the catalogue."""

from __future__ import annotations

from enum import StrEnum

from exporter.catalogue import AnyMetric, Kind, Unit


class Display(StrEnum):
    """The unit ids of Grafana that occur on the boards."""

    NUMBER = "short"
    # Small counts that are read as they are: 3 partitions, not 3.00.
    COUNT = "none"
    SECONDS = "s"
    # On a logarithmic axis: 1000 s is a round number there, 16.7 minutes is none.
    PLAIN_SECONDS = "suffix:s"
    BYTES = "bytes"
    # 0 to 1, shown as a percentage.
    SHARE = "percentunit"
    RECORDS_PER_SECOND = "recps"
    EVENTS_PER_SECOND = "eps"
    REQUESTS_PER_SECOND = "reqps"
    # What is no number, whatever it looks like: partition 1 is not 1 s.
    TEXT = "string"
    ON_OFF = "bool_on_off"
    # Of milliseconds since the epoch: the time of day, and the day where it is not today.
    MOMENT = "dateTimeAsIsoNoDateIfToday"


_VALUES = {
    Unit.SECONDS: Display.SECONDS,
    Unit.BYTES: Display.BYTES,
    Unit.RATIO: Display.SHARE,
    Unit.RECORDS_PER_SECOND: Display.RECORDS_PER_SECOND,
    Unit.BUFFERS: Display.COUNT,
    Unit.WRITERS: Display.COUNT,
}
# What a counter becomes when its rate is taken.
_RATES = {
    # Seconds per second: the share of time.
    Unit.SECONDS: Display.SHARE,
    Unit.RECORDS: Display.RECORDS_PER_SECOND,
    Unit.REQUESTS: Display.REQUESTS_PER_SECOND,
}


def display_of(metric: AnyMetric) -> Display:
    """The unit in which the values of `metric` are shown."""
    if metric.kind is Kind.INFO or metric.kind is Kind.STATE_SET:
        return Display.COUNT
    return _VALUES.get(metric.unit, Display.NUMBER)


def display_of_rate(metric: AnyMetric) -> Display:
    """The unit of the growth per second of `metric`."""
    return _RATES.get(metric.unit, Display.EVENTS_PER_SECOND)
