"""Puts made-up samples into a Prometheus data directory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

from engine.core.clock import ManualClock
from engine.core.snapshot import EngineSnapshot, HistogramSnapshot
from exporter.catalogue import AnyMetric, Kind, metrics
from exporter.scraper import Family, Scraper
from tests.support.programs import program

JOB = "penstock"
INSTANCE = "engine:9600"


@dataclass(slots=True)
class _Seen:
    """Stands in for an engine: what somebody who looks now gets to see."""

    now: EngineSnapshot | None = None

    def snapshot(self) -> EngineSnapshot:
        assert self.now is not None
        return self.now


def open_metrics(looks: Iterable[tuple[int, EngineSnapshot]]) -> str:
    """All looks as one OpenMetrics text with times, as `promtool tsdb create-blocks-from openmetrics` takes it."""
    seen, clock = _Seen(), ManualClock()
    scraper = Scraper(seen, clock=clock)
    lines: dict[str, list[str]] = {}

    def take(families: tuple[Family, ...], at: int) -> None:
        for family in families:
            into = lines.setdefault(family.metric.name, [])
            for labels, value in family.samples:
                into.extend(_lines(family.metric, labels, value, at))

    for at, snapshot in looks:
        seen.now = snapshot
        clock.advance_ns(snapshot.taken_monotonic_ns - clock.monotonic_ns())
        scraper.scrape(partial(take, at=at))
    told = (metric for metric in metrics() if metric.name in lines)
    return "".join(f"# TYPE {_family(m)} {_type(m)}\n" + "".join(lines[m.name]) for m in told) + "# EOF\n"


def _type(metric: AnyMetric) -> str:
    match metric.kind:
        case Kind.COUNTER:
            return "counter"
        case Kind.HISTOGRAM:
            return "histogram"
        case _:
            return "gauge"


def _family(metric: AnyMetric) -> str:
    return metric.family_name if metric.kind is Kind.COUNTER else metric.name


def _lines(metric: AnyMetric, values: tuple[str, ...], value: object, at: int) -> Iterator[str]:
    labels = {"job": JOB, "instance": INSTANCE, **dict(zip(metric.label_names, values, strict=True))}
    if isinstance(value, HistogramSnapshot):
        for bound, count in zip((*value.bounds, float("inf")), accumulate(value.counts), strict=True):
            end = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f"{metric.name}_bucket{_set({**labels, 'le': end})} {count} {at}\n"
        yield f"{metric.name}_count{_set(labels)} {sum(value.counts)} {at}\n"
        yield f"{metric.name}_sum{_set(labels)} {value.sum} {at}\n"
    else:
        yield f"{metric.name}{_set(labels)} {value} {at}\n"


def _set(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def create_blocks(text: str, data: Path) -> None:
    """Makes a Prometheus data directory that holds these samples."""
    source = data.with_suffix(".txt")
    source.write_text(text, encoding="utf-8")
    subprocess.run(
        [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(source), str(data)],
        check=True,
        capture_output=True,
    )
    source.unlink()
