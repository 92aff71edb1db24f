"""The exporter on itself: its build, what a scrape costs, how old it is and what it had to leave out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from engine.core.snapshot import HistogramSnapshot
from exporter.catalogue.labels import COLLECTOR, GIL, PIPELINE, PUSH_OUTCOME, PYTHON_VERSION, VERSION
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit
from exporter.catalogue.reading import seconds

# From a handful of series to a hundred thousand, and the second at which a scrape is a nuisance.
SCRAPE_BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSnapshot:
    """Who came to the management port."""

    connections: int
    # Those that found no place, or lost it to another.
    refused: int
    malformed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeSnapshot:
    """What the exporter knows of itself at the moment of a scrape."""

    pipeline: str
    version: str
    python_version: str
    # As the engine says it: enabled or disabled; empty where that is not known.
    gil: str
    # By pipeline.
    snapshot_ages_ns: Mapping[str, int]
    # Of the scrapes before this one.
    duration: HistogramSnapshot
    errors: int
    series: int
    # By collector: whether all its metrics could be read.
    success: Mapping[str, bool]
    # By outcome; empty where nothing is pushed.
    pushes: Mapping[str, int]
    # None where there is no port.
    port: PortSnapshot | None = None


def _collector_success(scrape: ScrapeSnapshot) -> Iterable[Sample]:
    for collector, succeeded in scrape.success.items():
        yield (scrape.pipeline, collector), int(succeeded)


def _pushes(scrape: ScrapeSnapshot) -> Iterable[Sample]:
    for outcome, pushes in scrape.pushes.items():
        yield (scrape.pipeline, outcome), pushes


def _of_port(value: Callable[[PortSnapshot], int]) -> Callable[[ScrapeSnapshot], Iterable[Sample]]:
    """One series, where there is a port."""
    return lambda scrape: [] if scrape.port is None else [((scrape.pipeline,), value(scrape.port))]


BUILD_INFO: Metric[ScrapeSnapshot] = Metric(
    name="penstock_build_info",
    kind=Kind.INFO,
    unit=Unit.NONE,
    labels=(PIPELINE, VERSION, PYTHON_VERSION, GIL),
    help="Always 1; which build is running, on which Python, and whether its global interpreter lock is on.",
    combine=Combine.LAST,
    read=lambda s: [((s.pipeline, s.version, s.python_version, s.gil), 1)],
)
SNAPSHOT_AGE: Metric[ScrapeSnapshot] = Metric(
    name="penstock_snapshot_age_seconds",
    kind=Kind.GAUGE,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="Age of the snapshot from which this scrape is told; through a bridge, of what was seen at the last look.",
    combine=Combine.MAX,
    read=lambda s: [((pipeline,), seconds(age_ns)) for pipeline, age_ns in s.snapshot_ages_ns.items()],
)
SCRAPE_DURATION: Metric[ScrapeSnapshot] = Metric(
    name="penstock_scrape_duration_seconds",
    kind=Kind.HISTOGRAM,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="Time that the scrapes before this one took to read and to write, the network left aside.",
    combine=Combine.SUM,
    read=lambda s: [((s.pipeline,), s.duration)],
    buckets=SCRAPE_BOUNDS_SECONDS,
)
SCRAPE_ERRORS: Metric[ScrapeSnapshot] = Metric(
    name="penstock_scrape_errors_total",
    kind=Kind.COUNTER,
    unit=Unit.ERRORS,
    labels=(PIPELINE,),
    help="Scrapes that failed as a whole or left a metric out.",
    combine=Combine.SUM,
    read=lambda s: [((s.pipeline,), s.errors)],
)
COLLECTOR_SUCCESS: Metric[ScrapeSnapshot] = Metric(
    name="penstock_collector_success",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE, COLLECTOR),
    help="1 if every metric of this part of the catalogue could be read in this scrape, else 0.",
    combine=Combine.MIN,
    read=_collector_success,
)
SERIES: Metric[ScrapeSnapshot] = Metric(
    name="penstock_series",
    kind=Kind.GAUGE,
    unit=Unit.SERIES,
    labels=(PIPELINE,),
    help="Series in this scrape, this one included; in a scrape of everything if it asked for some by name.",
    combine=Combine.SUM,
    read=lambda s: [((s.pipeline,), s.series)],
)
PUSHES: Metric[ScrapeSnapshot] = Metric(
    name="penstock_otlp_exports_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE, PUSH_OUTCOME),
    help="Pushes to an OpenTelemetry collector, by how they ended, and intervals left out because the push before "
    "took too long. Absent where nothing is pushed.",
    combine=Combine.SUM,
    read=_pushes,
)

PORT_CONNECTIONS: Metric[ScrapeSnapshot] = Metric(
    name="penstock_management_connections",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Connections to the management port that are open. Absent without the port.",
    combine=Combine.SUM,
    read=_of_port(lambda port: port.connections),
)
PORT_REFUSED: Metric[ScrapeSnapshot] = Metric(
    name="penstock_management_refused_connections_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Connections to the management port that found no place, or lost theirs to another while they rested. Absent "
    "without the port.",
    combine=Combine.SUM,
    read=_of_port(lambda port: port.refused),
)
PORT_MALFORMED: Metric[ScrapeSnapshot] = Metric(
    name="penstock_management_malformed_requests_total",
    kind=Kind.COUNTER,
    unit=Unit.REQUESTS,
    labels=(PIPELINE,),
    help="What came to the management port and was no HTTP, or had too long a head. Absent without the port.",
    combine=Combine.SUM,
    read=_of_port(lambda port: port.malformed),
)

METRICS: tuple[Metric[ScrapeSnapshot], ...] = (
    BUILD_INFO,
    SNAPSHOT_AGE,
    SCRAPE_DURATION,
    SCRAPE_ERRORS,
    COLLECTOR_SUCCESS,
    SERIES,
    PUSHES,
    PORT_CONNECTIONS,
    PORT_REFUSED,
    PORT_MALFORMED,
)
