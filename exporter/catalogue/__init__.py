"""The catalogue: every metric once, with its meaning, its bounds and how it is read.

Expositions, pushes, documents, dashboards and rules are all made from it and name nothing else. Importing it
needs no metrics library and no web framework.
"""

from exporter.catalogue.gateway import GATEWAY_BOUNDS_SECONDS
from exporter.catalogue.index import (
    ENGINE_METRICS,
    SCRAPE_METRICS,
    AnyMetric,
    UnknownMetricError,
    metric,
    metric_of_sample,
    metrics,
)
from exporter.catalogue.labels import (
    BACK_PRESSURE_LEVELS,
    BACK_PRESSURE_LOW_MAX,
    BACK_PRESSURE_OK_MAX,
    FLOW_CONTROL_TASK,
    GATEWAY_CODES,
    LOOK_ERRORS,
    OUTSIDE_TASK,
    PUSH_OUTCOMES,
    SPAN_OUTCOMES,
)
from exporter.catalogue.metric import Combine, Kind, Label, Metric, Sample, Stability, Unit, series_count
from exporter.catalogue.scrape import SCRAPE_BOUNDS_SECONDS, PortSnapshot, ScrapeSnapshot
from exporter.door import Condition

__all__ = [
    # looking up
    "metric",
    "metric_of_sample",
    "metrics",
    "UnknownMetricError",
    # what a metric is
    "AnyMetric",
    "Combine",
    "Kind",
    "Label",
    "Metric",
    "Sample",
    "Stability",
    "Unit",
    "series_count",
    # reading all of them
    "ENGINE_METRICS",
    "SCRAPE_METRICS",
    "SCRAPE_BOUNDS_SECONDS",
    "PortSnapshot",
    "ScrapeSnapshot",
    "GATEWAY_BOUNDS_SECONDS",
    "GATEWAY_CODES",
    # words and thresholds that others draw
    "Condition",
    "BACK_PRESSURE_LEVELS",
    "BACK_PRESSURE_LOW_MAX",
    "BACK_PRESSURE_OK_MAX",
    "FLOW_CONTROL_TASK",
    "LOOK_ERRORS",
    "OUTSIDE_TASK",
    "PUSH_OUTCOMES",
    "SPAN_OUTCOMES",
]
