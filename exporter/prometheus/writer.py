"""Writes families as Prometheus text 0.0.4 or OpenMetrics 1.0."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from engine.core.snapshot import HistogramSnapshot
from exporter.breath import Breath
from exporter.catalogue import AnyMetric, Kind, series_count
from exporter.prometheus.escaping import escaped
from exporter.prometheus.exemplars import exemplars_of, written
from exporter.prometheus.formats import Format
from exporter.prometheus.numbers import go_number
from exporter.scraper import Family

Labels = tuple[str, ...]
# All of a line that stands before its value; of a histogram one a bucket, then those of count and sum.
_Plain = dict[Labels, str]
_Buckets = dict[Labels, tuple[str, ...]]
# A cache may hold this many times the series of the last scrape before it drops those that are gone.
_STALE_FACTOR = 2


class ExpositionWriter:
    """Renders families, with the unchanging part of every series' line kept from scrape to scrape.

    May be called from several threads at once: a line rendered twice is the same line, and what is dropped is
    replaced as a whole. Byte for byte what prometheus_client's `generate_latest` makes of the same families.
    """

    def __init__(self) -> None:
        self._plain: dict[str, _Plain] = {}
        self._buckets: dict[str, _Buckets] = {}

    def render(self, families: Iterable[Family], format: Format) -> bytes:
        parts: list[str] = []
        breath = Breath()
        for family in families:
            parts.append(_header(family.metric, format))
            if family.metric.kind is Kind.HISTOGRAM:
                self._histograms(family, format, parts)
            else:
                self._numbers(family, parts)
            breath.after(series_count(family.metric, family.samples))
        if format is Format.OPEN_METRICS:
            parts.append("# EOF\n")
        return "".join(parts).encode()

    def _numbers(self, family: Family, parts: list[str]) -> None:
        metric = family.metric
        known = self._plain.setdefault(metric.name, {})
        for labels, value in family.samples:
            assert not isinstance(value, HistogramSnapshot), metric.name
            line = known.get(labels)
            if line is None:
                line = known[labels] = f"{metric.name}{_label_set(metric, labels)} "
            parts.append(f"{line}{go_number(value)}\n")
        if len(known) > _STALE_FACTOR * len(family.samples):
            self._plain[metric.name] = {labels: known[labels] for labels, _ in family.samples}

    def _histograms(self, family: Family, format: Format, parts: list[str]) -> None:
        metric = family.metric
        known = self._buckets.setdefault(metric.name, {})
        for labels, value in family.samples:
            assert isinstance(value, HistogramSnapshot), metric.name
            lines = known.get(labels)
            if lines is None or len(lines) != len(value.counts) + 2:
                lines = known[labels] = _histogram_lines(metric, labels, value.bounds)
            cumulated = list(accumulate(value.counts))
            numbers = (*cumulated, cumulated[-1], value.sum)
            if value.exemplars and format is Format.OPEN_METRICS:
                behind = (*map(written, exemplars_of(value)), "", "")
                parts.extend(f"{line}{go_number(n)}{b}\n" for line, n, b in zip(lines, numbers, behind, strict=True))
            else:
                parts.extend(f"{line}{go_number(n)}\n" for line, n in zip(lines, numbers, strict=True))
        if len(known) > _STALE_FACTOR * len(family.samples):
            self._buckets[metric.name] = {labels: known[labels] for labels, _ in family.samples}


def _histogram_lines(metric: AnyMetric, labels: Labels, bounds: tuple[float, ...]) -> tuple[str, ...]:
    ends = (*(go_number(bound) for bound in bounds), "+Inf")
    buckets = (f"{metric.name}_bucket{_label_set(metric, labels, le=end)} " for end in ends)
    plain = _label_set(metric, labels)
    return (*buckets, f"{metric.name}_count{plain} ", f"{metric.name}_sum{plain} ")


def _label_set(metric: AnyMetric, values: Labels, **more: str) -> str:
    """Labels in the order of their names, as prometheus_client writes them."""
    named = {**dict(zip(metric.label_names, values, strict=True)), **more}
    return "{" + ",".join(f'{name}="{escaped(named[name])}"' for name in sorted(named)) + "}"


def _header(metric: AnyMetric, format: Format) -> str:
    if format is Format.TEXT:
        told = metric.help.replace("\\", r"\\").replace("\n", r"\n")
        return f"# HELP {metric.name} {told}\n# TYPE {metric.name} {_type(metric, format)}\n"
    name, unit = metric.family_name, metric.unit_suffix
    told = f"# HELP {name} {escaped(metric.help)}\n# TYPE {name} {_type(metric, format)}\n"
    return told + (f"# UNIT {name} {unit}\n" if unit else "")


def _type(metric: AnyMetric, format: Format) -> str:
    match metric.kind:
        case Kind.INFO:
            # The text format has no info; OpenMetrics has.
            return "info" if format is Format.OPEN_METRICS else "gauge"
        case Kind.STATE_SET:
            return "gauge"
        case _:
            return str(metric.kind)
