"""All metrics in one order, and how to find one by its name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.core.snapshot import EngineSnapshot
from exporter.catalogue import (
    bridges,
    engine,
    exporting,
    flow_control,
    gateway,
    instances,
    kafka,
    log,
    scrape,
    sources,
    tasks,
)
from exporter.catalogue.metric import Metric
from exporter.catalogue.scrape import ScrapeSnapshot

# What is read off the engine's snapshot, by collector; the keys are the values of the label `collector`.
ENGINE_METRICS: Mapping[str, tuple[Metric[EngineSnapshot], ...]] = MappingProxyType(
    {
        "engine": engine.METRICS,
        "flow_control": flow_control.METRICS,
        "log": log.METRICS,
        "exporting": exporting.METRICS,
        "tasks": tasks.METRICS,
        "sources": sources.METRICS,
        "gateway": gateway.METRICS,
        "kafka": kafka.METRICS,
        "instances": instances.METRICS,
        "bridges": bridges.METRICS,
    }
)
# What the exporter says of itself; it comes last on the wire because it counts what stands above.
SCRAPE_METRICS: tuple[Metric[ScrapeSnapshot], ...] = scrape.METRICS

# Any, because who looks a metric up by name wants its words, not to read it.
AnyMetric = Metric[Any]
_ALL: tuple[AnyMetric, ...] = (*(m for group in ENGINE_METRICS.values() for m in group), *SCRAPE_METRICS)
_BY_NAME = {m.name: m for m in _ALL}
_BY_SAMPLE_NAME = {sample_name: m for m in _ALL for sample_name in m.sample_names}


class UnknownMetricError(LookupError):
    """A name that no metric bears; the text names the nearest one that exists."""


def metrics() -> tuple[AnyMetric, ...]:
    """Every metric, in the order in which they are exposed."""
    return _ALL


def metric(name: str) -> AnyMetric:
    """The metric of that name. Raises at once, so that a panel with a wrong one fails where it stands."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnknownMetricError(_unknown(name, _BY_NAME)) from None


def metric_of_sample(sample_name: str) -> AnyMetric:
    """The metric that owns a name as queries write it, `…_bucket` or `…_count` of a histogram too."""
    try:
        return _BY_SAMPLE_NAME[sample_name]
    except KeyError:
        raise UnknownMetricError(_unknown(sample_name, _BY_SAMPLE_NAME)) from None


def _unknown(name: str, known: Mapping[str, AnyMetric]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"there is no metric {name!r}{hint}"
