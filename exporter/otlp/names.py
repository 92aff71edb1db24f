"""The catalogue's names and units as OpenTelemetry spells them.

Translated back the way Prometheus does it (dots to underscores, units spelt out, `_total` behind counters, `_ratio`
behind gauges of unit 1), each is the name under which it is scraped. A unit stays part of the name, because the name
alone must tell `penstock_throttled` from `penstock_throttled_seconds_total`.
"""

from __future__ import annotations

from types import MappingProxyType

from exporter.catalogue import AnyMetric, Unit

# The Unified Code for Units of Measure; what is counted stands in braces and has no meaning to a machine.
_UNITS = MappingProxyType(
    {
        Unit.SECONDS: "s",
        Unit.BYTES: "By",
        Unit.RATIO: "1",
        Unit.RECORDS: "{record}",
        Unit.RECORDS_PER_SECOND: "{record}/s",
        Unit.REQUESTS: "{request}",
        Unit.BUFFERS: "{buffer}",
        Unit.WRITERS: "{writer}",
        Unit.SAMPLES: "{sample}",
        Unit.SERIES: "{series}",
        Unit.ERRORS: "{error}",
        Unit.TRANSACTIONS: "{transaction}",
        Unit.POSITION: "{position}",
        # Not 1: that would make it a ratio.
        Unit.NONE: "",
    }
)


def otlp_name(metric: AnyMetric) -> str:
    """`penstock_writes_total` is `penstock.writes`."""
    return metric.name.removesuffix("_total").replace("_", ".", 1)


def otlp_unit(metric: AnyMetric) -> str:
    """`s`, `By`, `{record}/s`; empty for what has none."""
    return _UNITS[metric.unit]
