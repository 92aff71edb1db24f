"""What is pushed is what is scraped: every series, every number, under the same name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from prometheus_client.parser import text_string_to_metric_families

from engine.core.clock import ManualClock
from engine.core.snapshot import EngineSnapshot
from exporter.catalogue import Kind, PortSnapshot, metrics
from exporter.otlp.names import otlp_name, otlp_unit
from exporter.otlp.points import metrics_data, resource
from exporter.prometheus import ExpositionWriter, Format
from exporter.scraper import Reading, Scraper
from tests.support.engines import FakeEngine
from tests.support.otlp_names import prometheus_name
from tests.support.snapshots import (
    STARTED_WALL_NS,
    TAKEN_MONOTONIC_NS,
    TAKEN_WALL_NS,
    busy_snapshot,
    engine_snapshot,
    histogram,
    marked,
    partition,
    wide_snapshot,
)

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def reading_of(snapshot: EngineSnapshot) -> Reading:
    scraper = Scraper(
        FakeEngine(snapshot),
        clock=ManualClock(monotonic_ns=TAKEN_MONOTONIC_NS),
        pushes=lambda: {"success": 3, "failure": 1, "skipped": 0},
        port=lambda: PortSnapshot(connections=3, refused=1, malformed=2),
    )
    return scraper.read(lambda reading: reading)


def pushed(reading: Reading) -> ExportMetricsServiceRequest:
    """As it stands on the wire, decoded again."""
    encoded = encode_metrics(metrics_data(reading, resource(reading.pipeline))).SerializeToString()
    return ExportMetricsServiceRequest.FromString(encoded)


def metrics_in(request: ExportMetricsServiceRequest) -> Iterator[pb.Metric]:
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            yield from scope_metrics.metrics


def points_of(metric: pb.Metric) -> Any:
    return getattr(metric, metric.WhichOneof("data")).data_points


def series_of_push(request: ExportMetricsServiceRequest) -> Series:
    """The series that Prometheus makes of a push."""
    series: Series = {}
    for metric in metrics_in(request):
        kind = metric.WhichOneof("data")
        name = prometheus_name(
            metric.name,
            metric.unit,
            monotonic_sum=kind == "sum" and metric.sum.is_monotonic,
            gauge=kind == "gauge",
        )
        for point in points_of(metric):
            labels = frozenset((attribute.key, attribute.value.string_value) for attribute in point.attributes)
            if kind == "histogram":
                below = 0
                for bound, count in zip([*point.explicit_bounds, float("inf")], point.bucket_counts, strict=True):
                    below += count
                    series[f"{name}_bucket", labels | {("le", f"{bound:g}")}] = below
                series[f"{name}_count", labels] = point.count
                series[f"{name}_sum", labels] = point.sum
            else:
                series[name, labels] = getattr(point, point.WhichOneof("value"))
    return series


def series_of_scrape(reading: Reading) -> Series:
    text = ExpositionWriter().render(reading.families, Format.TEXT).decode()
    series: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {**sample.labels, **({"le": f"{float(sample.labels['le']):g}"} if "le" in sample.labels else {})}
            series[sample.name, frozenset(labels.items())] = sample.value
    return series


@pytest.mark.parametrize(
    "snapshot",
    [busy_snapshot(), engine_snapshot(), wide_snapshot(partitions=20, subtasks=20)],
    ids=["busy", "quiet", "wide"],
)
def test_a_push_and_a_scrape_of_the_same_snapshot_are_equal_series_by_series(snapshot: EngineSnapshot) -> None:
    reading = reading_of(snapshot)
    assert series_of_push(pushed(reading)) == series_of_scrape(reading)


def test_every_name_of_the_catalogue_translates_to_the_scraped_one_and_to_no_other() -> None:
    for metric in metrics():
        translated = prometheus_name(
            otlp_name(metric),
            otlp_unit(metric),
            monotonic_sum=metric.kind is Kind.COUNTER,
            gauge=metric.kind not in (Kind.COUNTER, Kind.HISTOGRAM),
        )
        assert translated == metric.name
    assert len({otlp_name(metric) for metric in metrics()}) == len(metrics())


def test_counts_are_since_the_start_of_the_engine_and_of_the_moment_of_the_snapshot() -> None:
    kinds = set()
    for metric in metrics_in(pushed(reading_of(busy_snapshot()))):
        kind = metric.WhichOneof("data")
        kinds.add(kind)
        if kind != "gauge":
            assert getattr(metric, kind).aggregation_temporality == pb.AGGREGATION_TEMPORALITY_CUMULATIVE
        for point in points_of(metric):
            assert point.time_unix_nano == TAKEN_WALL_NS
            assert kind == "gauge" or point.start_time_unix_nano == STARTED_WALL_NS
    assert kinds == {"sum", "gauge", "histogram"}


def test_a_histogram_says_nothing_that_is_not_known() -> None:
    request = pushed(reading_of(busy_snapshot()))
    histograms = [metric for metric in metrics_in(request) if metric.WhichOneof("data") == "histogram"]
    for metric in histograms:
        for point in metric.histogram.data_points:
            assert not point.HasField("min")
            assert not point.HasField("max")
            assert point.count == sum(point.bucket_counts)
            assert all(one < other for one, other in pairwise(point.explicit_bounds))


def test_the_resource_says_who_pushes_and_the_environment_stands_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = resource("flights").attributes
    assert plain["service.name"] == "penstock"
    assert str(plain["service.instance.id"]).endswith("/flights")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ingest")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,service.instance.id=7")
    attributes = resource("flights").attributes
    assert attributes["service.name"] == "ingest"
    assert attributes["service.instance.id"] == "7"
    assert attributes["deployment.environment"] == "test"


def test_the_mark_of_an_observer_without_spans_is_pushed_as_it_is() -> None:
    one = marked(histogram(1), 0, 0.00001)
    labels = (("trace_id", "request 77"), ("place", "here"))
    one = replace(one, exemplars=tuple(e and replace(e, labels=labels) for e in one.exemplars))
    request = pushed(reading_of(engine_snapshot(partitions=(partition(1, append_duration=one),))))
    exemplars = [
        exemplar
        for metric in metrics_in(request)
        if metric.WhichOneof("data") == "histogram"
        for point in points_of(metric)
        for exemplar in point.exemplars
    ]
    (exemplar,) = exemplars
    assert exemplar.trace_id == exemplar.span_id == b""
    told = {attribute.key: attribute.value.string_value for attribute in exemplar.filtered_attributes}
    assert told == dict(labels)
