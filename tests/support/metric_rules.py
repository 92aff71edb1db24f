"""The naming rules of Prometheus that promtool does not check, as a function over one metric."""

from __future__ import annotations

import re
from collections.abc import Iterator

from exporter.catalogue import AnyMetric, Kind, Unit

# Labels that Prometheus or its users' target configuration set themselves.
_TARGET_LABELS = {"type", "env", "cluster", "service", "region", "job", "instance"}
_RESERVED_LABELS = {"le", "quantile", "pod", "namespace", "container", "endpoint"}
_RESERVED_SUFFIXES = ("_sum", "_count", "_bucket", "_created", "_info", "_total")
_OUTSIDE_UNITS = ("_percent", "_ms", "_millis", "_milliseconds", "_microseconds", "_minutes", "_hours", "_kb", "_mb")
# Units that a name must say; the others (records, requests) are its noun.
_SPELT_UNITS = {Unit.SECONDS, Unit.BYTES, Unit.RATIO, Unit.RECORDS_PER_SECOND}
_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def violations(metric: AnyMetric) -> Iterator[str]:
    """What is wrong with the metric, a sentence each."""
    name = metric.name
    if not _SNAKE_CASE.fullmatch(name):
        yield "a name is in snake case, without colons"
    if not name.startswith("penstock_"):
        yield "a name begins with penstock_"
    if (metric.kind is Kind.COUNTER) != name.endswith("_total"):
        yield "_total belongs to counters, and to all of them"
    if (metric.kind is Kind.INFO) != name.endswith("_info"):
        yield "_info belongs to infos, and to all of them"
    if metric.family_name.endswith(_RESERVED_SUFFIXES):
        yield "the family's name ends like a sample of a histogram"
    if metric.family_name.endswith(_OUTSIDE_UNITS):
        yield "a name is in base units"
    if metric.unit in _SPELT_UNITS and not metric.family_name.endswith(f"_{metric.unit}"):
        yield f"the name ends in its unit, {metric.unit}"
    for unit in _SPELT_UNITS - {metric.unit}:
        if metric.family_name.endswith(f"_{unit}") and not str(metric.unit).endswith(f"_{unit}"):
            yield f"the name ends in {unit}, which is not its unit"
    yield from _rules_of_labels(metric)
    yield from _rules_of_form(metric)


def _rules_of_labels(metric: AnyMetric) -> Iterator[str]:
    name = metric.name
    for label in metric.label_names:
        if f"_by_{label}" in name:
            yield f"the name says its label {label}"
        if not _SNAKE_CASE.fullmatch(label):
            yield f"label {label} is in snake case"
        if label in _TARGET_LABELS | _RESERVED_LABELS:
            yield f"label {label} belongs to others"
        if label == name:
            yield f"label {label} has the name of its metric"


def _rules_of_form(metric: AnyMetric) -> Iterator[str]:
    labels = metric.label_names
    if labels[:1] != ("pipeline",):
        yield "the first label is pipeline"
    if len(set(labels)) != len(labels):
        yield "a label occurs once"
    if metric.kind is Kind.STATE_SET and metric.labels[-1].values is None:
        yield "the states of a state set are a closed list"
    if (metric.kind is Kind.HISTOGRAM) != (metric.buckets is not None):
        yield "buckets belong to histograms, and to all of them"
    if metric.buckets is not None and list(metric.buckets) != sorted(set(metric.buckets)):
        yield "buckets rise"
    if not metric.help.endswith(".") or not (metric.help[:1].isupper() or metric.help[:1].isdigit()):
        yield "the help is a sentence"
    if any(not label.bound for label in metric.labels):
        yield "somebody bounds every label"
