"""Families of one snapshot as OpenTelemetry's data points."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, assert_never, cast

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from engine.core.snapshot import Exemplar as KnownExemplar
from engine.core.snapshot import HistogramSnapshot
from exporter.build import penstock_version
from exporter.catalogue import Kind
from exporter.otlp.names import otlp_name, otlp_unit
from exporter.scraper import Family, Reading

# Everything since the start, as Prometheus and its like want it: what a lost push held is in the next one.
_CUMULATIVE = AggregationTemporality.CUMULATIVE


def resource(pipeline: str) -> Resource:
    """Who pushes. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES stand above what is said here."""
    ours = Resource(
        {
            "service.name": "penstock",
            "service.version": penstock_version(),
            "service.instance.id": f"{socket.gethostname()}/{pipeline}",
        }
    )
    return ours.merge(OTELResourceDetector().detect())


def metrics_data(reading: Reading, who: Resource) -> MetricsData:
    """All families of a reading."""
    scope = ScopeMetrics(
        scope=InstrumentationScope("penstock", penstock_version()),
        metrics=[_metric(family, reading) for family in reading.families],
        schema_url="",
    )
    return MetricsData([ResourceMetrics(resource=who, scope_metrics=[scope], schema_url="")])


def _metric(family: Family, reading: Reading) -> Metric:
    metric = family.metric
    data: Sum | Gauge | Histogram
    match metric.kind:
        case Kind.COUNTER:
            data = Sum(_numbers(family, reading), _CUMULATIVE, is_monotonic=True)
        case Kind.GAUGE | Kind.INFO | Kind.STATE_SET:
            data = Gauge(_numbers(family, reading))
        case Kind.HISTOGRAM:
            data = Histogram(_histograms(family, reading), _CUMULATIVE)
        case _:
            assert_never(metric.kind)
    return Metric(name=otlp_name(metric), description=metric.help, unit=otlp_unit(metric), data=data)


def _numbers(family: Family, reading: Reading) -> list[NumberDataPoint]:
    points = []
    for labels, value in family.samples:
        assert not isinstance(value, HistogramSnapshot), family.metric.name
        points.append(
            NumberDataPoint(
                attributes=dict(zip(family.metric.label_names, labels, strict=True)),
                start_time_unix_nano=reading.started_wall_ns,
                time_unix_nano=reading.taken_wall_ns,
                value=value,
            )
        )
    return points


def _histograms(family: Family, reading: Reading) -> list[HistogramDataPoint]:
    # Smallest and largest are optional on the wire and not known here; the class would have them as numbers.
    unknown = cast(Any, None)
    points = []
    for labels, value in family.samples:
        assert isinstance(value, HistogramSnapshot), family.metric.name
        points.append(
            HistogramDataPoint(
                attributes=dict(zip(family.metric.label_names, labels, strict=True)),
                start_time_unix_nano=reading.started_wall_ns,
                time_unix_nano=reading.taken_wall_ns,
                count=sum(value.counts),
                sum=value.sum,
                bucket_counts=value.counts,
                explicit_bounds=value.bounds,
                min=unknown,
                max=unknown,
                exemplars=[_exemplar(known) for known in value.exemplars if known is not None],
            )
        )
    return points


def _exemplar(known: KnownExemplar) -> Exemplar:
    labels = dict(known.labels)
    trace_id: int | None = None
    span_id: int | None = None
    # Another observer's mark may be no span's: then it stays what it is.
    with suppress(KeyError, ValueError):
        trace_id, span_id = int(labels["trace_id"], 16), int(labels["span_id"], 16)
        del labels["trace_id"], labels["span_id"]
    return Exemplar(
        filtered_attributes=labels,
        value=known.value,
        time_unix_nano=known.wall_ns,
        trace_id=trace_id,
        span_id=span_id,
    )
