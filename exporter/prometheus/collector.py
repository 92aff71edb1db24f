"""The door for embedders: the same families in a registry of prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import assert_never

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from engine.core.snapshot import HistogramSnapshot
from exporter.catalogue import AnyMetric, Kind, metrics
from exporter.door import Clock, SnapshotSource
from exporter.prometheus.exemplars import exemplars_of, seconds_of
from exporter.prometheus.numbers import go_number
from exporter.scraper import Family, Scraper


class PenstockCollector(Collector):
    """Exposes an engine through prometheus_client: `registry.register(PenstockCollector(engine))`.

    Every collection takes one fresh snapshot; nothing is kept between two of them. `describe` names all
    metrics without asking the engine, so that registering is cheap and `name[]` works.
    """

    def __init__(
        self,
        engine: SnapshotSource,
        *,
        clock: Clock | None = None,
        pushes: Callable[[], Mapping[str, int]] | None = None,
    ) -> None:
        """`pushes` says how pushes to elsewhere ended, where there are any."""
        self._scraper = Scraper(engine, clock=clock, pushes=pushes)

    def describe(self) -> Iterable[Metric]:
        return [prometheus_family(Family(metric, ())) for metric in metrics()]

    def collect(self) -> Iterator[Metric]:
        return iter(self._scraper.scrape(lambda families: [prometheus_family(f) for f in families]))


def prometheus_family(family: Family) -> Metric:
    """A family in the words of prometheus_client."""
    metric = family.metric
    match metric.kind:
        case Kind.COUNTER:
            counter = CounterMetricFamily(
                metric.family_name, metric.help, labels=metric.label_names, unit=metric.unit_suffix
            )
            for labels, value in family.samples:
                counter.add_metric(labels, _number(metric, value))
            return counter
        case Kind.GAUGE | Kind.STATE_SET:
            gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.label_names, unit=metric.unit_suffix)
            for labels, value in family.samples:
                gauge.add_metric(labels, _number(metric, value))
            return gauge
        case Kind.INFO:
            info = InfoMetricFamily(metric.family_name, metric.help, labels=metric.label_names)
            for labels, _ in family.samples:
                info.add_metric(labels, {})
            return info
        case Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(
                metric.name, metric.help, labels=metric.label_names, unit=metric.unit_suffix
            )
            for labels, value in family.samples:
                assert isinstance(value, HistogramSnapshot), metric.name
                histogram.add_metric(labels, _buckets(value), value.sum)
            return histogram
        case _:
            assert_never(metric.kind)


def _number(metric: AnyMetric, value: object) -> float:
    assert isinstance(value, int | float), metric.name
    return value


def _buckets(histogram: HistogramSnapshot) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    ends = (*(go_number(bound) for bound in histogram.bounds), "+Inf")
    below = zip(ends, accumulate(histogram.counts), exemplars_of(histogram), strict=True)
    return [
        (end, count) if known is None else (end, count, Exemplar(dict(known.labels), known.value, seconds_of(known)))
        for end, count, known in below
    ]
