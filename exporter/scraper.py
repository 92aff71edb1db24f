"""Reads all metrics off one snapshot, whoever asks: a scrape, an embedder's registry, a push."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
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
from exporter.door import Clock, Histogram, SnapshotSource, SystemClock

Result = TypeVar("Result")
_log = logging.getLogger("penstock.exporter")


@dataclass(frozen=True, slots=True)
class Family:
    """A metric and its samples at one moment. Invariant: there is at least one sample."""

    metric: AnyMetric
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All families of one snapshot, with the times it tells of itself, in wall time."""

    pipeline: str
    started_wall_ns: int
    taken_wall_ns: int
    families: tuple[Family, ...]


class Scraper:
    """Reads every metric off one snapshot at a time, and keeps count of what that costs.

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
        snapshot = self._source.snapshot()
        families: list[Family] = []
        success: dict[str, bool] = {}
        breath = Breath()
        for collector, metrics in ENGINE_METRICS.items():
            success[collector] = True
            for metric in metrics:
                family = _read(metric, snapshot)
                if family is None:
                    success[collector] = False
                else:
                    families.append(family)
                    breath.after(len(family.samples))
        if not all(success.values()):
            self._count_error()
        told = [family for family in families if family.samples]
        return Reading(
            pipeline=snapshot.pipeline,
            started_wall_ns=snapshot.started_wall_ns,
            taken_wall_ns=snapshot.taken_wall_ns,
            families=(*told, *self._of_itself(snapshot, success, told)),
        )

    def _of_itself(self, snapshot: EngineSnapshot, success: dict[str, bool], told: Iterable[Family]) -> list[Family]:
        with self._lock:
            duration, errors = self._duration.snapshot(), self._errors
        pushes = {} if self._pushes is None else self._pushes()
        port = None if self._port is None else self._port()

        def families(series: int) -> list[Family]:
            scrape = ScrapeSnapshot(
                pipeline=snapshot.pipeline,
                version=penstock_version(),
                python_version=python_version(),
                gil=gil_word(snapshot.has_gil),
                snapshot_age_ns=max(0, self._clock.monotonic_ns() - snapshot.taken_monotonic_ns),
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


def _read(metric: AnyMetric, snapshot: EngineSnapshot) -> Family | None:
    try:
        return Family(metric, tuple(metric.read(snapshot)))
    except Exception:
        # Whatever it is, it must not take the other metrics down with it.
        _log.exception("metric %s cannot be read and is left out of this scrape", metric.name)
        return None


def _series(families: Iterable[Family]) -> int:
    return sum(series_count(family.metric, family.samples) for family in families)
