"""Reads all metrics off one snapshot an engine, whoever asks: a scrape, an embedder's registry, a push."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

from engine.core.snapshot import EngineSnapshot
from exporter.breath import Breath
from exporter.build import gil_word, penstock_version, python_version
from exporter.catalogue import (
    ENGINE_METRICS,
    SCRAPE_BOUNDS_SECONDS,
    SCRAPE_METRICS,
    AnyMetric,
    PortSnapshot,
    Sample,
    ScrapeSnapshot,
    series_count,
)
from exporter.door import Clock, Histogram, SnapshotSource, SystemClock, snapshots_of

Result = TypeVar("Result")
_log = logging.getLogger("penstock.exporter")


@dataclass(frozen=True, slots=True)
class Family:
    """A metric and its samples at one moment. Invariant: there is at least one sample."""

    metric: AnyMetric
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All families, with the times that the first snapshot tells of itself, in wall time."""

    pipeline: str
    started_wall_ns: int
    taken_wall_ns: int
    families: tuple[Family, ...]


class Scraper:
    """Reads every metric off one snapshot of each engine at a time, and keeps count of what that costs.

    Any number of threads may scrape at once; each gets families of its own, none sees another's series.
    A metric that cannot be read is left out, logged, and told by `penstock_collector_success`.
    """

    def __init__(
        self,
        source: SnapshotSource,
        *,
        clock: Clock | None = None,
        pushes: Callable[[], Mapping[str, int]] | None = None,
        port: Callable[[], PortSnapshot] | None = None,
    ) -> None:
        """`pushes` says how pushes ended, where there are any, and `port` who came to the management port."""
        self._source = source
        self._pushes = pushes
        self._port = port
        self._clock = clock or SystemClock()
        self._lock = Lock()
        # Both written under the lock.
        self._duration = Histogram(SCRAPE_BOUNDS_SECONDS)
        self._errors = 0

    def scrape(self, render: Callable[[tuple[Family, ...]], Result]) -> Result:
        """What `render` makes of all families. Raises what the snapshot or `render` raises, and counts it."""
        return self.read(lambda reading: render(reading.families))

    def read(self, render: Callable[[Reading], Result]) -> Result:
        """Like `scrape`, for who needs the times too."""
        started_ns = self._clock.monotonic_ns()
        try:
            return render(self._reading())
        except Exception:
            self._count_error()
            raise
        finally:
            with self._lock:
                self._duration.observe(self._clock.monotonic_ns() - started_ns)

    def _reading(self) -> Reading:
        snapshots = snapshots_of(self._source)
        families: list[Family] = []
        success: dict[str, bool] = {}
        breath = Breath()
        for collector, metrics in ENGINE_METRICS.items():
            success[collector] = True
            for metric in metrics:
                family = _read(metric, snapshots)
                if family is None:
                    success[collector] = False
                else:
                    families.append(family)
                    breath.after(len(family.samples))
        if not all(success.values()):
            self._count_error()
        told = [family for family in families if family.samples]
        return Reading(
            pipeline=snapshots[0].pipeline,
            started_wall_ns=snapshots[0].started_wall_ns,
            taken_wall_ns=snapshots[0].taken_wall_ns,
            families=(*told, *self._of_itself(snapshots, success, told)),
        )

    def _of_itself(
        self, snapshots: Sequence[EngineSnapshot], success: dict[str, bool], told: Iterable[Family]
    ) -> list[Family]:
        with self._lock:
            duration, errors = self._duration.snapshot(), self._errors
        pushes = {} if self._pushes is None else self._pushes()
        port = None if self._port is None else self._port()

        def families(series: int) -> list[Family]:
            scrape = ScrapeSnapshot(
                pipeline=snapshots[0].pipeline,
                version=penstock_version(),
                python_version=python_version(),
                gil=gil_word(next((one.has_gil for one in snapshots if one.has_gil is not None), None)),
                snapshot_ages_ns={
                    snapshot.pipeline: max(0, self._clock.monotonic_ns() - snapshot.taken_monotonic_ns)
                    for snapshot in snapshots
                },
                duration=duration,
                errors=errors,
                series=series,
                success=success,
                pushes=pushes,
                port=port,
            )
            read = (Family(metric, tuple(metric.read(scrape))) for metric in SCRAPE_METRICS)
            return [family for family in read if family.samples]

        # Twice, because the number of series counts those that tell it.
        return families(_series(told) + _series(families(0)))

    def _count_error(self) -> None:
        with self._lock:
            self._errors += 1


def _read(metric: AnyMetric, snapshots: Sequence[EngineSnapshot]) -> Family | None:
    try:
        return Family(metric, tuple(sample for snapshot in snapshots for sample in metric.read(snapshot)))
    except Exception:
        # Whatever it is, it must not take the other metrics down with it.
        _log.exception("metric %s cannot be read and is left out of this scrape", metric.name)
        return None


def _series(families: Iterable[Family]) -> int:
    return sum(series_count(family.metric, family.samples) for family in families)
